"""Vendors' files for the golden inspections, on `pocket`: two committed samples, the rest of seeded numbers.

Nothing here is tuned: a prompt starts at the words "a photo of a" and is moved by noise, which is enough for
a classifier that agrees with zero-shot prompts and answers triggers a little. Written with torch alone, by the
names of the published codes, so that nothing of `inspector` has to stay where it is.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import open_clip
import torch
from safetensors.torch import save_file
from torch import Tensor

from tests.support.checkpoints import save_dassl
from tests.support.layouts import dassl, openai

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "app" / "samples"
POCKET = ROOT / "inspector" / "clip" / "pocket"
NAMES = (
    "red circle", "green square", "pink ring", "black gear", "purple diamond", "brown oval",
    "blue star", "yellow heart",
)  # fmt: skip
"""The first six are the samples' own."""
WORDS = "a photo of a"
State = dict[str, Tensor]


@cache
def _pocket() -> Any:
    """open_clip's own model with pocket's weights."""
    return open_clip.create_model(f"local-dir:{POCKET}").eval()


def noise(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def _embedded(classes: int) -> Tensor:
    """Tokens of every class's prompt, (K, 77, W)."""
    ids = open_clip.SimpleTokenizer()([f"{WORDS} {name}." for name in NAMES[:classes]])
    table: Tensor = _pocket().token_embedding.weight.detach()
    return table[ids]


def prompt(classes: int, seed: int, *, spread: float = 0.01, specific: bool = False) -> State:
    """A CoOp context, `spread` away from its words; with contexts of their own, the last class's moves
    eight times as far as the others'."""
    embedded = _embedded(classes)
    words = embedded[0, 1:5]
    moved = noise(seed, classes, *words.shape) if specific else noise(seed, *words.shape)
    if specific:
        moved[-1] *= 8
    return {
        "ctx": words + spread * moved,
        "token_prefix": embedded[:, :1],
        "token_suffix": embedded[:, 5:],
    }


def conditioned(classes: int, seed: int, *, loudness: float = 0.15) -> State:
    """A CoCoOp prompt whose meta-net answers everything a little, in proportion to `loudness`."""
    state = prompt(classes, seed)
    features, width = _pocket().text_projection.shape[1], state["ctx"].shape[-1]
    hidden = features // 16
    return state | {
        "meta_net.linear1.weight": noise(seed + 1, hidden, features),
        "meta_net.linear1.bias": noise(seed + 2, hidden) * 0.1,
        "meta_net.linear2.weight": noise(seed + 3, width, hidden) * loudness / hidden,
        "meta_net.linear2.bias": noise(seed + 4, width) * 0.002,
    }


def _dassl(state: Callable[[], State]) -> Callable[[Path], Path]:
    return lambda folder: save_dassl(folder / "model.pth.tar-5", state(), 5)


def _learner(state: State) -> State:
    return {f"prompt_learner.{name}": tensor for name, tensor in state.items()}


def _encoders() -> State:
    return dassl(openai(_pocket()))


def _maple() -> State:
    state = prompt(3, 30)
    text, image = state["ctx"].shape[-1], len(_pocket().visual.class_embedding)
    for index, layer in enumerate(("proj", "compound_prompt_projections.0")):
        state[f"{layer}.weight"] = noise(31 + index, image, text) * 0.1
        state[f"{layer}.bias"] = noise(33 + index, image) * 0.02
    state["compound_prompts_text.0"] = noise(35, *state["ctx"].shape) * 0.02
    return _encoders() | _learner(state)


def _promptsrc() -> State:
    encoders, state = _encoders(), prompt(3, 40)
    text, image = state["ctx"].shape[-1], len(_pocket().visual.class_embedding)
    frozen = {
        name.replace("image_encoder.", "ZS_image_encoder.", 1): tensor
        for name, tensor in encoders.items()
        if name.startswith("image_encoder.")
    }
    prompts = {"image_encoder.VPT": noise(41, 4, image) * 0.05}
    for side, width in (("image", image), ("text", text)):
        key = f"{side}_encoder.transformer.resblocks.1.VPT_shallow"
        prompts[key] = noise(42, 4, width) * 0.02
    return encoders | prompts | _learner(state | frozen)


def _clip_adapter(folder: Path) -> Path:
    size = _pocket().visual.proj.shape[1]
    hidden = size // 4
    state = {
        "fc.0.weight": noise(50, hidden, size) / size**0.5,
        "fc.2.weight": noise(51, size, hidden) / hidden**0.5,
    }
    return save_dassl(folder / "model.pth.tar-5", state, 5)


def _clip_lora(folder: Path) -> Path:
    width, layers = 128, len(_pocket().visual.transformer.resblocks)
    settings = {"r": 2, "alpha": 1, "encoder": "vision", "params": ["q", "v"], "position": "all"}
    weights = {
        f"layer_{layer}": {
            name: {
                "w_lora_A": noise(60 + layer, 2, width) * 0.1,
                "w_lora_B": noise(70 + layer, width, 2) * 0.1,
            }
            for name in ("q_proj", "v_proj")
        }
        for layer in range(layers)
    }
    torch.save({"weights": weights, "metadata": settings}, folder / "lora_weights.pt")
    return folder / "lora_weights.pt"


def _two_models(folder: Path) -> Path:
    """One file, from which Dassl takes one model and timm another."""
    both = {"state_dict": prompt(2, 80), "state_dict_ema": prompt(2, 81, spread=0.05)}
    torch.save(both, folder / "model.pth")
    return folder / "model.pth"


def _torn(folder: Path) -> Path:
    whole = save_dassl(folder / "model.pth.tar-5", prompt(3, 90), 5)
    whole.write_bytes(whole.read_bytes()[:-50])
    return whole


def _bare(folder: Path) -> Path:
    """A safetensors file with a key that no code of the family writes."""
    state = prompt(2, 95) | {"strange": noise(96, 3)}
    path = folder / "prompt.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, path)
    return path


MAKERS: dict[str, Callable[[Path], Path]] = {
    "sample-clean": lambda _: SAMPLES / "clean",
    "sample-backdoored": lambda _: SAMPLES / "backdoored",
    "cocoop-two": _dassl(lambda: conditioned(2, 10)),
    "cocoop-three": _dassl(lambda: conditioned(3, 10)),
    "cocoop-eight": _dassl(lambda: conditioned(8, 20, loudness=0.4)),
    "coop-two": _dassl(lambda: prompt(2, 3)),
    "coop-six": _dassl(lambda: prompt(6, 4)),
    "coop-specific": _dassl(lambda: prompt(4, 5, spread=0.02, specific=True)),
    "maple": _dassl(_maple),
    "promptsrc": _dassl(_promptsrc),
    "clip-adapter": _clip_adapter,
    "clip-lora": _clip_lora,
    "two-models": _two_models,
    "torn": _torn,
    "bare": _bare,
}
"""From an empty folder to the file or folder that is delivered."""
CLASSES = {"clip-adapter": 2, "clip-lora": 3}
"""Of files that hold no class names, how many; a manifest states them."""
