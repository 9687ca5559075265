"""What of a delivered model was learned, and copies of the model with other values of it.

The family says which tensors of a file these are and how they begin
(`inspector.checkpoint.families`); here no family is known by name but those that this project makes
itself. A copy is put together as the delivered model was, from parts, and gradients pass through it
to the values: also to those that stand in the image encoder, or that a layer makes of others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor

from inspector.checkpoint import families
from inspector.checkpoint.families import Family
from inspector.checkpoint.families.family import Start
from inspector.checkpoint.families.parts import Parts
from inspector.clip.classifier import Classifier
from inspector.clip.delivered import Adapter, DeliveredEncoders
from inspector.clip.encoders import relearned
from inspector.clip.prompt_tuning import context_words, drawn_layer, drawn_vectors
from inspector.findings import Finding

Values = Mapping[str, Tensor]
"""Learned tensors, of any shape, by their names in the file."""
_OF_ENCODERS = ("encoder-changed", "encoder-tuned")
"""Findings by which encoders are not the trusted backbone's."""
PROMPT_ONLY = tuple(
    name for one in families.FAMILIES if one.learned for name in (one.name, *one.aliases)
)
"""Methods that learn prompts, and what makes or adapts them, on encoders that stay as they are."""


@dataclass(frozen=True)
class Delivered:
    """A classifier, and of the tensors that it was assembled from those that were learned.

    Attributes:
        classifier: frozen; it is never changed.
        tensors: by canonical name, in the file's types; none where more than prompts was learned.
    """

    classifier: Classifier
    family: Family
    tensors: Values

    @classmethod
    def of(cls, classifier: Classifier) -> Delivered:
        """A prompt of CoOp's or CoCoOp's kind on bare encoders, which was tuned here."""
        tensors = {"ctx": classifier.context.detach()}
        if classifier.meta_net is not None:
            state = classifier.meta_net.state_dict()
            tensors |= {f"meta_net.{name}": values.clone() for name, values in state.items()}
        name = "CoCoOp" if classifier.is_instance_conditioned else "CoOp"
        return cls(classifier, families.named(name), tensors)

    @classmethod
    def read(cls, classifier: Classifier, family: str, canonical: Path) -> Delivered:
        """What the file `canonical` holds, of which `classifier` was assembled."""
        known = families.named(family)
        with safe_open(canonical, framework="pt") as file:
            names = known.starts(file.keys())
            return cls(classifier, known, {name: file.get_tensor(name) for name in names})

    @cached_property
    def learned(self) -> dict[str, Tensor]:
        """The delivered values in fp32, where the classifier computes."""
        device = self.classifier.backbone.device
        return {name: tensor.to(device).float() for name, tensor in self.tensors.items()}

    def why_not(self, findings: Sequence[Finding]) -> str | None:
        """Why learning anew would not do, by what was found; None where it does."""
        if not self.tensors:
            return f"{self.family.name} has no prompt that was learned"
        if any(finding.id in _OF_ENCODERS for finding in findings):
            return "its encoders are not the backbone's, and would stay as they are"
        return None

    @property
    def is_visual(self) -> bool:
        """Whether features of pictures depend on what was learned: other values, other features."""
        encoders = self.classifier.backbone
        return isinstance(encoders, DeliveredEncoders) and (
            encoders.visual_prompts is not None or isinstance(encoders.on_image, Adapter)
        )

    def fresh(self, generator: torch.Generator) -> dict[str, Tensor]:
        """Values as the method begins with, of the delivered shapes and nothing else of theirs.

        Every class of a class-specific context starts alike.
        """
        device = self.classifier.backbone.device
        starts = self.family.starts(self.tensors)
        return {
            name: self._fresh(name, start, generator).to(device) for name, start in starts.items()
        }

    def _fresh(self, name: str, start: Start, generator: torch.Generator) -> Tensor:
        shape = self.tensors[name].shape
        if start == "words":
            words = context_words(self.classifier.backbone, shape[-2], generator)
            return words.expand(shape).clone()
        if start == "vectors":
            return drawn_vectors(shape, generator)
        if start == "layer":
            weight = name.rpartition(".")[0] + ".weight"
            return drawn_layer(shape, self.tensors[weight].shape[1], generator)
        return torch.zeros(shape)

    def with_values(self, values: Values) -> Classifier:
        """A frozen copy with other values; what it spends counts as the delivered one's."""
        first = self.classifier
        copy = Classifier(
            first.backbone, list(first.classnames), first.layout, first.context.detach().clone(),
            deepcopy(first.meta_net), first.matching,
        ).requires_grad_(False)  # fmt: skip
        copy.work = first.work
        device = first.backbone.device
        self.put(copy, {name: value.detach().to(device) for name, value in values.items()})
        return copy

    def put(self, copy: Classifier, values: Values) -> None:
        """Put values into a copy in place; gradients pass through to them."""
        parts = self.family.parts({**self.tensors, **values})
        layers = {}
        if parts.meta_net is not None and copy.meta_net is not None:
            layers = dict(parts.meta_net.layers)
        copy.put(relearned(copy.backbone, parts), _context(parts, copy), layers)


def _context(parts: Parts, copy: Classifier) -> Tensor | None:
    """(M, W), or (P, M, W) with a set for each of P prompts; None where a family has none."""
    context: Tensor | None = parts.context
    if context is None or not parts.is_transported:
        return context
    return context.repeat_interleave(len(copy.classnames), 0)
