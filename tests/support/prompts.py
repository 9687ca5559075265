"""Prompt learners as a vendor's code makes them: the tensors of a file, and their logits.

A second implementation, straight from the published forward passes and without any of the
product's shortcuts: prompts are put together row by row, all 77 positions are encoded, and every
image is encoded on its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import open_clip
import torch
from torch import Tensor
from torch.nn import functional

from inspector.manifest import Position
from tests.support.checkpoints import save_dassl


@cache
def _tokenizer() -> Any:
    return open_clip.SimpleTokenizer()


@dataclass(frozen=True)
class Vendor:
    """One tuned prompt. `template` has {} for the class; `state` is what the file holds."""

    model: Any
    classnames: list[str]
    template: str
    position: Position
    state: dict[str, Tensor]

    def logits(self, pixels: Tensor, mean: Tensor, std: Tensor) -> Tensor:
        """Logits (N, K) of pixels in [0,1]."""
        rows = []
        with torch.no_grad():
            for image in pixels:
                normalised = (image - mean[:, None, None]) / std[:, None, None]
                feature = functional.normalize(self.model.encode_image(normalised[None]), dim=-1)
                texts = [self._text(index, feature) for index in range(len(self.classnames))]
                rows.append(self.model.logit_scale.exp() * feature @ torch.cat(texts).T)
        return torch.cat(rows)

    def _text(self, index: int, feature: Tensor) -> Tensor:
        context = self.state["ctx"].float()
        if context.ndim == 3:
            context = context[index]
        if "meta_net.linear2.weight" in self.state:
            hidden = functional.linear(feature, *self._layer("linear1")).relu()
            context = context + functional.linear(hidden, *self._layer("linear2"))
        name = self.classnames[index].replace("_", " ")
        ids = _tokenizer()([self.template.replace("{}", name)])
        embedded = self.model.token_embedding.weight[ids[0]]
        words = len(_tokenizer().encode(name))
        count, start = len(context), 1 + len(context)
        class_rows, rest = embedded[start : start + words], embedded[start + words :]
        middle = {
            "end": [context, class_rows],
            "front": [class_rows, context],
            "middle": [context[: count // 2], class_rows, context[count // 2 :]],
        }[self.position]
        states = torch.cat([embedded[:1], *middle, rest])[None] + self.model.positional_embedding
        states = self.model.transformer(states, attn_mask=self.model.attn_mask)
        state = self.model.ln_final(states)[:, int(ids.argmax())]
        return functional.normalize(state @ self.model.text_projection, dim=-1)

    def _layer(self, name: str) -> tuple[Tensor, Tensor]:
        layer = f"meta_net.{name}"
        return self.state[f"{layer}.weight"].float(), self.state[f"{layer}.bias"].float()

    def save(self, folder: Path) -> Path:
        """Write the Dassl file."""
        return save_dassl(folder / "prompt_learner" / "model.pth.tar-5", self.state, 5)


@dataclass(frozen=True)
class Recipe:
    """What to tune. `fixed` are words of the template behind the context, as ProGrad leaves them."""

    classnames: tuple[str, ...]
    num_context: int = 4
    position: Position = "end"
    class_specific: bool = False
    conditioned: bool = False
    fixed: str = ""
    dtype: torch.dtype = torch.float32
    seed: int = 0


def tune(model: Any, recipe: Recipe) -> Vendor:
    """A prompt of random numbers of natural size, with the frozen tokens as the original code."""
    generator = torch.Generator().manual_seed(recipe.seed)
    count, width = recipe.num_context, model.token_embedding.weight.shape[1]
    names = list(recipe.classnames)
    template = "X " * count + recipe.fixed + "{}."
    prompts = [template.replace("{}", name.replace("_", " ")) for name in names]
    embedded = model.token_embedding.weight.detach()[_tokenizer()(prompts)]
    embedded = embedded.to(recipe.dtype)
    shape = (len(names), count, width) if recipe.class_specific else (count, width)
    state = {
        "ctx": (torch.randn(shape, generator=generator) * 0.05).to(recipe.dtype),
        "token_prefix": embedded[:, :1],
        "token_suffix": embedded[:, 1 + count :],
    }
    if recipe.conditioned:
        features = model.text_projection.shape[1]
        hidden = max(1, features // 16)
        for layer, out, into in (("linear1", hidden, features), ("linear2", width, hidden)):
            weight = torch.randn(out, into, generator=generator) / into**0.5
            bias = torch.randn(out, generator=generator) * 0.02
            state[f"meta_net.{layer}.weight"] = (weight * 0.3).to(recipe.dtype)
            state[f"meta_net.{layer}.bias"] = bias.to(recipe.dtype)
    return Vendor(model, names, template, recipe.position, state)
