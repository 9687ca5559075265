"""The encoders of a delivered model where they are not the bare backbone's.

A whole-model file brings its own weights; a prompt method may put vectors into either transformer;
an adapter may stand behind either encoder. All of it is the vendor's and none of it is trusted; the
backbone that was asked for stays at hand as `pristine`. Sources: muzairkhattak/
multimodal-prompt-learning `clip/model.py`, ShuvenduRoy/CoPrompt `trainers/coprompt.py`,
gaopengcuhk/CLIP-Adapter `clip_adapter.py`, 1adrianb/lasp `prompting/lasp.py`, CHENGY12/PLOT
`plot-coop/clip/model.py`. Does not know how files name things.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional

from inspector.clip.backbone import Backbone
from inspector.clip.overwrite import (
    append,
    before_blocks,
    changed_input,
    overwrite_last,
)
from inspector.clip.positions import every_position
from inspector.clip.text import TextTower

OnFeatures = Callable[[Tensor], Tensor]
"""What happens to raw features (B, D) before they are normalised."""


@dataclass(frozen=True)
class VisualPrompts:
    """Vectors (M, V) behind the patch tokens, and by block those that replace them before it."""

    tokens: Tensor
    deep: Mapping[int, Tensor]


@dataclass(frozen=True)
class Adapter:
    """`ratio` of relu(W2 relu(W1 x)) mixed into raw features x (B, D); W1 (H, D), W2 (D, H)."""

    first: Tensor
    second: Tensor
    ratio: float

    def __call__(self, features: Tensor) -> Tensor:
        """Adapted features (B, D), not normalised."""
        hidden = torch.relu(features @ self.first.T)
        adapted = torch.relu(hidden @ self.second.T)
        return self.ratio * adapted + (1 - self.ratio) * features


@dataclass(frozen=True)
class Shift:
    """A vector (1, D) added to raw features."""

    by: Tensor

    def __call__(self, features: Tensor) -> Tensor:
        """Shifted features (B, D), not normalised."""
        return features + self.by


@dataclass(frozen=True)
class ClassBranch:
    """Vectors that a small network makes of each class's zero-shot text feature (K, D).

    They take the place of the context before text block `block` (TCP).
    """

    features: Tensor
    block: int

    def vectors(self, layers: Mapping[str, Tensor], width: int) -> Tensor:
        """(K, M, width) by two layers with QuickGELU between, named as `MetaNet`'s."""
        tensors = {name: values.to(self.features) for name, values in layers.items()}
        hidden = functional.linear(
            self.features, tensors["linear1.weight"], tensors["linear1.bias"]
        )
        hidden = hidden * torch.sigmoid(1.702 * hidden)
        made = functional.linear(hidden, tensors["linear2.weight"], tensors["linear2.bias"])
        return made.view(len(self.features), -1, width)


@dataclass(frozen=True)
class DeliveredEncoders(Backbone):
    """A backbone with what the vendor put into it.

    `text_prompts`: by block, vectors (M, W), or (K, M, W) with a set for each class. `scale`: the
    factor of cosines where it is not the model's own. With `has_positions` image features are those
    of all P positions of a ResNet's attention pool, (B, P, D), instead of the pooled one.
    `class_branch`: what makes one of the `text_prompts`.
    """

    pristine: Backbone
    visual_prompts: VisualPrompts | None = None
    text_prompts: Mapping[int, Tensor] = field(default_factory=dict)
    on_image: OnFeatures | None = None
    on_text: OnFeatures | None = None
    scale: float | None = None
    has_positions: bool = False
    class_branch: ClassBranch | None = None

    @property
    def reference(self) -> Backbone:
        """The bare backbone, which no vendor has touched."""
        return self.pristine

    @property
    def logit_scale(self) -> float:
        """The vendor's factor of cosines, or the model's own."""
        return super().logit_scale if self.scale is None else self.scale

    @property
    def text(self) -> TextTower:
        """The text encoder with the vendor's vectors and adapter."""
        return TextTower(self.model, self.text_prompts, self.on_text)

    def image_features(self, pixels: Tensor) -> Tensor:
        """Normalised features of pixels (B, 3, S, S) in [0,1].

        (B, D), or (B, P, D) with `has_positions`.
        """
        with ExitStack() as stack:
            if self.visual_prompts is not None:
                visual, prompts = self.model.visual, self.visual_prompts
                stack.enter_context(changed_input(visual.ln_pre, append(prompts.tokens)))
                deep = {block: overwrite_last(v) for block, v in prompts.deep.items()}
                stack.enter_context(before_blocks(visual.transformer, deep))
            if self.has_positions:
                stack.enter_context(every_position(self.model.visual.attnpool))
            raw = self.raw_image_features(pixels)
        if self.on_image is not None:
            raw = self.on_image(raw)
        return functional.normalize(raw, dim=-1)
