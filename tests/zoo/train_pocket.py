"""Train `pocket`, the base model that needs no download: `python -m tests.zoo.train_pocket OUT`.

A small open_clip CLIP (ViT image tower, standard BPE text tower) on procedural scenes. The loss is
CLIP's symmetric cross entropy, with every scene that satisfies a caption counted as its match
(compositional captions fit many scenes). One quarter of each batch carries the current worst
universal perturbation (universal adversarial training, Shafahi et al., arXiv 1811.11304), because
a tiny ViT is otherwise moved anywhere by any universal noise, unlike the ViT-B/16 it stands in for.

The committed weights are the second of two runs: `python -m tests.zoo.train_pocket FIRST --steps 5000
--stop 2000`, then `... SECOND --init FIRST --epsilon 0 --steps 4000 --seed 2`, because the
perturbations slowed down the learning of shapes (tests/bench/LOG.md, experiment 2).
"""

from __future__ import annotations

import argparse
import json
import random
import time
from pathlib import Path

import open_clip
import torch
from open_clip.model import CLIP
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional

from tests.zoo.captions import describe
from tests.zoo.scenes import ATTRIBUTES, render, sample_scenes

CONFIG = {
    "model_cfg": {
        "embed_dim": 256,
        "quick_gelu": True,
        "vision_cfg": {
            "image_size": 64, "layers": 4, "width": 128, "patch_size": 16, "head_width": 32,
        },
        "text_cfg": {
            "context_length": 77, "vocab_size": 49408, "width": 128, "heads": 4, "layers": 2,
        },
    },
    "preprocess_cfg": {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]},
}  # fmt: skip


def is_held_out(scenes: dict[str, Tensor]) -> Tensor:
    """Colour-shape pairs never shown in training (one in nine), for measuring composition."""
    return (scenes["colour"] * 5 + scenes["shape"] * 7) % 9 == 0


def training_batch(number: int, generator: torch.Generator) -> dict[str, Tensor]:
    scenes = sample_scenes(number * 5 // 4, generator)
    keep = (~is_held_out(scenes)).nonzero()[:, 0]
    keep = torch.cat([keep, keep])[:number]
    return {name: values[keep] for name, values in scenes.items()}


def matches(scenes: dict[str, Tensor], told: Tensor) -> Tensor:
    """Which caption (row) is true of which scene (column)."""
    values = torch.stack([scenes[name] for name in ATTRIBUTES], 1)
    same = values[:, None] == values[None]
    return (same | ~told[:, None]).all(2)


def contrastive_loss(similarity: Tensor, true: Tensor) -> Tensor:
    """Cross entropy against the uniform distribution over true matches; rows are captions."""
    target = true.float()
    by_text = -(target / target.sum(1, keepdim=True) * similarity.log_softmax(1)).sum(1)
    by_image = -(target / target.sum(0, keepdim=True) * similarity.log_softmax(0)).sum(0)
    return (by_text.mean() + by_image.mean()) / 2


class UniversalNoise:
    """The current worst perturbation of a random quarter of each batch, one sign step per batch."""

    def __init__(self, size: int, epsilon: float) -> None:
        self.epsilon = epsilon
        self.delta = torch.zeros(3, size, size, requires_grad=True)

    def apply(self, pixels: Tensor, generator: torch.Generator) -> Tensor:
        chosen = torch.rand(len(pixels), generator=generator) < 1 / 4
        return (pixels + chosen[:, None, None, None] * self.delta).clamp(0, 1)

    def step(self) -> None:
        if self.delta.grad is not None and self.epsilon > 0:
            moved = self.delta.detach() + 0.25 * self.epsilon * self.delta.grad.sign()
            self.delta = moved.clamp(-self.epsilon, self.epsilon).requires_grad_()


def train(out: Path, options: argparse.Namespace) -> None:
    steps, batch, seed = options.steps, options.batch, options.seed
    torch.manual_seed(seed)
    rng, generator = random.Random(seed), torch.Generator().manual_seed(seed)
    model = CLIP(**CONFIG["model_cfg"])  # type: ignore[arg-type]
    tokenizer = open_clip.SimpleTokenizer(context_length=28)
    model.context_length = 28
    if options.init:
        model.load_state_dict(load_file(options.init / "open_clip_model.safetensors"))
    decayed = [p for p in model.parameters() if p.ndim >= 2]
    plain = [p for p in model.parameters() if p.ndim < 2]
    groups = [{"params": decayed, "weight_decay": 0.05}, {"params": plain, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=1.0, betas=(0.9, 0.98))
    peak = 1.5e-3
    size = model.visual.image_size[0]
    noise, started = UniversalNoise(size, options.epsilon), time.time()
    for step in range(steps):
        rate = peak * min((step + 1) / 200, 1.0)
        rate *= 0.5 * (1 + torch.cos(torch.tensor(torch.pi * step / steps)).item()) + 1e-3
        for group in optimizer.param_groups:
            group["lr"] = rate
        scenes = training_batch(batch, generator)
        captions, told = describe(scenes, rng)
        pixels = noise.apply(render(scenes, generator, size), generator)
        images = model.encode_image((pixels - 0.5) / 0.5, normalize=True)
        texts = encode_short(model, tokenizer(captions))
        loss = contrastive_loss(model.logit_scale.exp() * texts @ images.T, matches(scenes, told))
        optimizer.zero_grad()
        loss.backward()
        noise.step()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        model.logit_scale.data.clamp_(0, 4.6052)
        if step % 100 == 0 or step == steps - 1:
            minutes = (time.time() - started) / 60
            print(
                f"step {step} loss {loss.item():.3f} "
                f"scale {model.logit_scale.exp().item():.1f} {minutes:.1f} min",
                flush=True,
            )
        if step % 1000 == 999 or step == steps - 1:
            save(model, out)
        if step + 1 == options.stop:
            break


def encode_short(model: CLIP, tokens: Tensor) -> Tensor:
    """Text features from prompts cut to their longest: exact, as the text tower is causal."""
    longest = int((tokens != 0).sum(1).max())
    tokens = tokens[:, :longest]
    states = model.token_embedding(tokens) + model.positional_embedding[:longest]
    states = model.transformer(states, attn_mask=model.attn_mask[:longest, :longest])
    states = model.ln_final(states)[torch.arange(len(tokens)), tokens.argmax(1)]
    return functional.normalize(states @ model.text_projection, dim=1)


def save(model: CLIP, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    state = {name: tensor.half().contiguous() for name, tensor in model.state_dict().items()}
    save_file(state, out / "open_clip_model.safetensors")
    (out / "open_clip_config.json").write_text(json.dumps(CONFIG, indent=2) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, default=5000)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--epsilon", type=float, default=8 / 255)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--stop", type=int, help="end after this step of the schedule")
    parser.add_argument("--init", type=Path, help="continue from this folder's weights")
    options = parser.parse_args()
    train(options.out, options)
