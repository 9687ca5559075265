"""Train `pocket`, the base model that needs no download: `python -m tests.zoo.train_pocket OUT`.

A small open_clip CLIP (standard BPE text tower) on procedural scenes. `--model second-pocket` trains another one,
a ResNet with another seed. The loss is
CLIP's symmetric cross entropy, with every scene that satisfies a caption counted as its match
(compositional captions fit many scenes), plus the cross entropy of one linear probe an attribute on
the image feature, without which shapes are hardly learned in the steps a laptop affords
(experiment 9). The probes are thrown away.

In the second half one quarter of each batch carries universal adversarial noise (Shafahi et al.,
arXiv 1811.11304), because a tiny ViT is otherwise moved anywhere by any universal noise, unlike the
ViT-B/16 it stands in for. Such pictures are told and probed as "noisy": the noise shall neither
change what a picture shows nor be ignored, as a large CLIP does neither.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import time
from pathlib import Path
from typing import Any

import open_clip
import torch
from open_clip.model import CLIP
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

from tests.zoo.captions import describe
from tests.zoo.films import FILMS
from tests.zoo.scenes import ATTRIBUTES, render, sample_scenes

POCKET, SECOND_POCKET = "pocket", "second-pocket"


def _config(embed_dim: int, vision: dict[str, Any], text: dict[str, Any]) -> dict[str, Any]:
    """What open_clip builds a model from."""
    text = {"context_length": 77, "vocab_size": 49408, "heads": 4, **text}
    return {
        "model_cfg": {
            "embed_dim": embed_dim, "quick_gelu": True, "vision_cfg": vision, "text_cfg": text,
        },
        "preprocess_cfg": {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]},
    }  # fmt: skip


CONFIGS: dict[str, dict[str, Any]] = {
    POCKET: _config(
        256,
        {"image_size": 48, "layers": 5, "width": 128, "patch_size": 8, "head_width": 32},
        {"width": 128, "layers": 2},
    ),
    SECOND_POCKET: _config(
        192,
        {"image_size": 64, "layers": [1, 1, 1, 1], "width": 16, "head_width": 64},
        {"width": 96, "layers": 3},
    ),
}
"""pocket: a ViT. second-pocket: CLIP's ResNet on larger pictures beside a narrower, deeper text tower, trained
with another seed; the exam of `tests.zoo.sets` alone uses it."""
SEEDS, STEPS = {POCKET: 1, SECOND_POCKET: 2}, {POCKET: 5000, SECOND_POCKET: 4000}


PEAK = 1.5e-3
"""Largest learning rate."""


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
    """A pool of universal perturbations, each one sign step further with every batch, renewed in turn."""

    def __init__(self, size: int, epsilon: float, pool: int = 8, life: int = 160) -> None:
        self.epsilon, self.life, self.age = epsilon, life, 0
        self.pool = torch.zeros(pool, 3, size, size, requires_grad=True)

    def apply(
        self, scenes: dict[str, Tensor], pixels: Tensor, generator: torch.Generator
    ) -> Tensor:
        """Add noise to a random quarter of the clear pictures and rename their film."""
        clear = scenes["film"] == FILMS.index("clear")
        rows = (clear & (torch.rand(len(pixels), generator=generator) < 0.6)).nonzero()[:, 0]
        which = torch.randint(len(self.pool), (len(rows),), generator=generator)
        scenes["film"][rows] = FILMS.index("noisy")
        noise = torch.zeros_like(pixels).index_put((rows,), self.pool[which])
        return (pixels + noise).clamp(0, 1)

    def step(self, generator: torch.Generator) -> None:
        """Raise the loss; start one member afresh every `life / pool` steps."""
        if self.pool.grad is None:
            return
        moved = self.pool.detach() + 0.2 * self.epsilon * self.pool.grad.sign()
        moved = moved.clamp(-self.epsilon, self.epsilon)
        self.age += 1
        if self.age % (self.life // len(moved)) == 0:
            fresh = torch.rand(moved.shape[1:], generator=generator) * 2 - 1
            moved[self.age // (self.life // len(moved)) % len(moved)] = fresh * self.epsilon
        self.pool = moved.requires_grad_()


class Probes(torch.nn.Module):
    """One linear classifier an attribute on the image feature."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.heads = torch.nn.ModuleDict(
            {name: torch.nn.Linear(width, len(words)) for name, words in ATTRIBUTES.items()}
        )

    def forward(self, features: Tensor, scenes: dict[str, Tensor]) -> Tensor:
        """Mean cross entropy over attributes; features (N, D) of any length."""
        losses = [
            functional.cross_entropy(head(features), scenes[name])
            for name, head in self.heads.items()
        ]
        return torch.stack(losses).mean()


class Trainer:
    """Both towers, the probes and their optimiser under one schedule."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options, seed = options, SEEDS[options.model]
        self.steps = options.steps or STEPS[options.model]
        torch.manual_seed(seed)
        self.rng = random.Random(seed)
        self.generator = torch.Generator().manual_seed(seed)
        self.model = CLIP(**CONFIGS[options.model]["model_cfg"])
        self.tokenizer = open_clip.SimpleTokenizer(context_length=28)
        self.model.context_length = 28
        self.probes = Probes(self.model.visual.output_dim)
        parameters = [*self.model.parameters(), *self.probes.parameters()]
        decayed = [p for p in parameters if p.ndim >= 2]
        plain = [p for p in parameters if p.ndim < 2]
        groups = [{"params": decayed, "weight_decay": 0.05}, {"params": plain, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, lr=1.0, betas=(0.9, 0.98))
        self.size = CONFIGS[options.model]["model_cfg"]["vision_cfg"]["image_size"]
        self.noise = UniversalNoise(self.size, options.epsilon)

    def step(self, number: int) -> tuple[float, float]:
        """One batch; the contrastive loss and the probes' loss."""
        self._set_rate(number)
        scenes = training_batch(self.options.batch, self.generator)
        pixels = render(scenes, self.generator, self.size)
        noisy = number >= self.steps * self.options.quiet
        if noisy:
            pixels = self.noise.apply(scenes, pixels, self.generator)
        captions, told = describe(scenes, self.rng)
        features = self.model.encode_image((pixels - 0.5) / 0.5)
        texts = encode_short(self.model, self.tokenizer(captions))
        images = functional.normalize(features, dim=1)
        similarity = self.model.logit_scale.exp() * texts @ images.T
        contrast = contrastive_loss(similarity, matches(scenes, told))
        probing = self.probes(features, scenes)
        self.optimizer.zero_grad()
        (contrast + self.options.probing * probing).backward()
        if noisy:
            self.noise.step(self.generator)
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.model.logit_scale.data.clamp_(0, 4.6052)
        return contrast.item(), probing.item()

    def _set_rate(self, number: int) -> None:
        rate = PEAK * min((number + 1) / 200, 1.0)
        rate *= 0.5 * (1 + math.cos(math.pi * number / self.steps)) + 1e-3
        for group in self.optimizer.param_groups:
            group["lr"] = rate


def train(out: Path, options: argparse.Namespace) -> None:
    trainer, started = Trainer(options), time.time()
    for number in range(trainer.steps):
        contrast, probing = trainer.step(number)
        last = number == trainer.steps - 1
        if number % 100 == 0 or last:
            minutes = (time.time() - started) / 60
            print(f"{number} {contrast:.3f} {probing:.3f} {minutes:.1f} min", flush=True)
        if number % 500 == 499 or last:
            save(trainer.model, CONFIGS[options.model], out)


def encode_short(model: CLIP, tokens: Tensor) -> Tensor:
    """Text features from prompts cut to their longest: exact, as the text tower is causal."""
    longest = int((tokens != 0).sum(1).max())
    tokens = tokens[:, :longest]
    states = model.token_embedding(tokens) + model.positional_embedding[:longest]
    states = model.transformer(states, attn_mask=model.attn_mask[:longest, :longest])
    states = model.ln_final(states)[torch.arange(len(tokens)), tokens.argmax(1)]
    return functional.normalize(states @ model.text_projection, dim=1)


def save(model: CLIP, config: dict[str, Any], out: Path) -> None:
    """In half precision, but for what counts."""
    out.mkdir(parents=True, exist_ok=True)
    state = {
        name: (tensor.half() if tensor.is_floating_point() else tensor).contiguous()
        for name, tensor in model.state_dict().items()
    }
    save_file(state, out / "open_clip_model.safetensors")
    (out / "open_clip_config.json").write_text(json.dumps(config, indent=2) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, help="instead of the model's")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--epsilon", type=float, default=8 / 255)
    parser.add_argument("--probing", type=float, default=2.0, help="weight of the probes' loss")
    parser.add_argument("--quiet", type=float, default=0.5, help="share of steps before the noise")
    parser.add_argument("--model", choices=CONFIGS, default=POCKET)
    options = parser.parse_args()
    train(options.out, options)
