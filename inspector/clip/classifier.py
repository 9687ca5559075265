"""A classifier over a frozen backbone: pixels in [0,1] to logits, for every prompt family here.

Static prompts (CoOp and its kin) have constant text features. Instance-conditioned prompts
(CoCoOp, BadCLIP) add meta_net(image feature) to every context vector, so each image has its own
text features; they are computed for a few images at a time, in bounded memory. Sources:
KaiyangZhou/CoOp `trainers/coop.py` and `trainers/cocoop.py`. Does not know where its tensors come
from; `inspector.clip.assembly` builds it from a vendor's file,
`inspector.clip.prompt_tuning` from scratch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from inspector.clip.backbone import Backbone
from inspector.clip.matching import Matching
from inspector.clip.packing import Pack, can_pack, packs
from inspector.clip.prompts import PromptLayout
from inspector.clip.text import TOKENS_PER_PART


class MetaNet(nn.Module):
    """CoCoOp's bottleneck: normalised image feature (B, D) to a shift of the context (B, W)."""

    def __init__(self, features: int, hidden: int, width: int) -> None:
        super().__init__()
        self.linear1 = nn.Linear(features, hidden)
        self.linear2 = nn.Linear(hidden, width)

    def forward(self, features: Tensor) -> Tensor:
        """Offset (B, W) of the context for features (B, D)."""
        return self.linear2(torch.relu(self.linear1(features)))  # type: ignore[no-any-return]


@dataclass
class Work:
    """Encoder passes spent, counted in images and prompts; text tokens of both directions."""

    image_forward: int = 0
    image_backward: int = 0
    text_forward: int = 0
    text_backward: int = 0
    text_tokens: int = 0

    def __add__(self, other: Work) -> Work:
        return Work(
            *(a + b for a, b in zip(vars(self).values(), vars(other).values(), strict=True))
        )


class Classifier(nn.Module):
    """Prompt-tuned CLIP. Trainable parameters: `context`, and `meta_net` where there is one.

    context: (M, W) shared by all classes, or (K, M, W) with one set for each.

    Static text features are kept between calls while `context` does not require a gradient; freeze
    the classifier (`requires_grad_(False)`) to encode text once. Where several prompts stand for a
    class, contexts and layout are those of all prompts.
    """

    def __init__(
        self,
        backbone: Backbone,
        classnames: list[str],
        layout: PromptLayout,
        context: Tensor,
        meta_net: MetaNet | None = None,
        matching: Matching | None = None,
    ) -> None:
        super().__init__()
        self.backbone, self.classnames, self.layout = backbone, classnames, layout
        self.context: Tensor = nn.Parameter(context.float())
        self.meta_net = meta_net
        self.matching = matching or Matching()
        self.work = Work()
        self._kept: tuple[tuple[int, int], Tensor] | None = None

    def put(
        self, backbone: Backbone, context: Tensor | None, meta_net: Mapping[str, Tensor]
    ) -> None:
        """Put other prompts in place; gradients pass through to where they come from.

        Args:
            backbone: with the prompts inside the encoders.
            context: (M, W) or (K, M, W), as it is; None: it stays.
            meta_net: its tensors, of any shape, by name; empty where there is none.
        """
        self.backbone, self._kept = backbone, None
        if context is not None:
            _put(self, "context", context.float())
        for name, values in meta_net.items():
            assert self.meta_net is not None
            layer, _, part = name.rpartition(".")
            _put(self.meta_net.get_submodule(layer), part, values.float())

    @cached_property
    def packs(self) -> list[Pack]:
        """Conditioned prompts of all classes, where these begin alike; else empty."""
        begin_alike = self.context.ndim == 2 and can_pack(self.layout)
        is_able = self.is_instance_conditioned and self.backbone.text.is_plain and begin_alike
        return packs(self.layout) if is_able else []

    @property
    def is_instance_conditioned(self) -> bool:
        """Whether every picture gets prompts of its own."""
        return self.meta_net is not None

    def image_features(self, pixels: Tensor) -> Tensor:
        """Normalised image features (B, D) of pixels (B, 3, S, S) in [0,1]."""
        self.work.image_forward += len(pixels)
        self.work.image_backward += len(pixels) * pixels.requires_grad
        return self.backbone.image_features(pixels)

    def text_features(
        self, features: Tensor | None = None, classes: Tensor | None = None
    ) -> Tensor:
        """Text features: (K, D) static, else (B, K, D) for image features (B, D).

        Static prompts of which several stand for a class are gathered, see `Matching.gather`.

        classes: (k,) or (B, k) restricts the class axis to k.
        """
        if self.meta_net is None:
            return self._static_features(classes)
        if features is None:
            raise ValueError("instance-conditioned prompts need image features")
        shift = self.meta_net(features)[:, None, None]  # (B, 1, 1, W)
        if self.packs and not _is_per_image(classes):
            return self._encode_packed((self.context + shift)[:, 0], classes)
        encoded = self._encode(self._context_of(classes) + shift, classes)
        return encoded.view(len(features), -1, encoded.shape[-1])

    def logits_from_features(
        self, features: Tensor, classes: Tensor | None = None, *, condition: Tensor | None = None
    ) -> Tensor:
        """Logits (B, K), or (B, k) for `classes`, of normalised image features (B, D).

        condition: what the prompt reads instead of `features`, (B, D). With clean features and a
        triggered condition the logits show the prompt's own response to the trigger, apart from
        what the trigger does to the image feature. Static prompts read nothing.
        """
        scale = self.backbone.logit_scale
        if self.meta_net is None:
            text = self.text_features(classes=classes)
            if _is_per_image(classes):
                text = text.view(len(features), -1, *text.shape[1:])
            logits = scale * self.matching.cosines(features, text)
            cache = self.matching.cache
            return logits if cache is None else logits + cache(features, classes)
        read = features if condition is None else condition
        per_image = len(self.classnames) if classes is None else classes.shape[-1]
        part = max(1, TOKENS_PER_PART // (per_image * self.layout.length))
        rows = []
        for start in range(0, len(features), part):
            some = features[start : start + part]
            chosen = classes
            if classes is not None and _is_per_image(classes):
                chosen = classes[start : start + part]
            text = self.text_features(read[start : start + part], chosen)
            rows.append(self.matching.cosines(some, text))
        return scale * torch.cat(rows)

    @torch.no_grad()
    def prompts_read(self, features: Tensor) -> Tensor:
        """Text features (B, K, D) of instance-conditioned prompts that read each of (B, D)."""
        per_part = max(1, TOKENS_PER_PART // (len(self.classnames) * self.layout.length))
        return torch.cat([self.text_features(part) for part in features.split(per_part)])

    def crossed_logits(self, features: Tensor, text: Tensor) -> Tensor:
        """Logits (B, N, k) of every image feature (N, D) under every reader's prompts (B, k, D).

        What a conditioned prompt says depends on the picture that it reads and not on the picture
        that is classified, so B encodings serve B times N pairs.
        """
        return self.backbone.logit_scale * torch.einsum("nd,bkd->bnk", features, text)

    def forward(self, pixels: Tensor) -> Tensor:
        """Logits (B, K) of pixels in [0,1], (B, 3, H, W)."""
        return self.logits_from_features(self.image_features(pixels))

    def _context_of(self, classes: Tensor | None) -> Tensor:
        if self.context.ndim == 3 and classes is not None:
            return self.context[classes]
        return self.context

    def _static_features(self, classes: Tensor | None) -> Tensor:
        if self.context.requires_grad:
            if self.backbone.text.has_sets or self.matching.prompts_per_class > 1:
                return _chosen(self.matching.gather(self._encode(self.context, None)), classes)
            return self.matching.gather(self._encode(self._context_of(classes), classes))
        key = (self.context.data_ptr(), self.context._version)
        if self._kept is None or self._kept[0] != key:
            # Not an inference tensor: a later search differentiates through the product with it.
            with torch.inference_mode(False), torch.no_grad():
                self._kept = key, self.matching.gather(self._encode(self.context, None))
        return _chosen(self._kept[1], classes)

    def _encode(self, context: Tensor, classes: Tensor | None) -> Tensor:
        embedded, end = self.layout.fill(context, classes)
        self._count_text(embedded, len(end))
        return self.backbone.text.encode(embedded, end)

    def _encode_packed(self, context: Tensor, classes: Tensor | None) -> Tensor:
        """Text features (B, k, D) of contexts (B, M, W)."""
        features = []
        for one in self.packs if classes is None else packs(self.layout, classes):
            embedded = one.fill(context)
            self._count_text(embedded, len(embedded) * len(one.end))
            features.append(
                self.backbone.text.encode_sequences(embedded, one.positions, one.mask, one.end)
            )
        return torch.cat(features, 1)

    def _count_text(self, embedded: Tensor, prompts: int) -> None:
        is_backward = torch.is_grad_enabled() and embedded.requires_grad
        self.work.text_forward += prompts
        self.work.text_backward += prompts * is_backward
        self.work.text_tokens += embedded[..., 0].numel() * (1 + is_backward)


def _put(module: nn.Module, name: str, values: Tensor) -> None:
    """Instead of a parameter, which would be a leaf that no gradient passes."""
    if name in module._parameters:
        delattr(module, name)
    setattr(module, name, values)


def _chosen(features: Tensor, classes: Tensor | None) -> Tensor:
    return features if classes is None else features[classes].flatten(0, classes.ndim - 1)


def _is_per_image(classes: Tensor | None) -> bool:
    return classes is not None and classes.ndim == 2
