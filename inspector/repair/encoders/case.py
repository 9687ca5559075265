"""What a repair of encoders may draw on, and what a strategy of it is: one file each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from safetensors.torch import load_file
from torch import Tensor

from inspector.checkpoint import Reading, families
from inspector.checkpoint.families import Family
from inspector.checkpoint.families.parts import Parts
from inspector.checkpoint.reading import Scalar
from inspector.clip.assembly import assemble_tensors
from inspector.clip.backbone import Backbone
from inspector.clip.classifier import Classifier
from inspector.clip.encoders import lora_settings
from inspector.detection.triggers import Trigger
from inspector.manifest import Manifest
from inspector.probes.pairs import Pairs
from inspector.progress import Meter
from inspector.repair.strategy import CannotRepair

FEWEST_PAIRS = 64
"""Pairs that cleaning needs; a contrast among fewer pictures says little."""


@dataclass(frozen=True)
class Delivered:
    """A checkpoint with encoders of its own: its canonical tensors and what was built of them.

    Attributes:
        tensors: canonical ones, of any shape, as delivered.
        backbone: the one that the buyer trusts.
        classifier: frozen; no strategy changes it.
    """

    reading: Reading
    tensors: Mapping[str, Tensor]
    manifest: Manifest
    backbone: Backbone
    classifier: Classifier

    @classmethod
    def read(
        cls, reading: Reading, canonical: Path, manifest: Manifest, backbone: Backbone
    ) -> Delivered:
        """From the canonical tensors of `reading`.

        Raises:
            AssemblyError: the three do not fit together.
        """
        tensors = load_file(canonical)
        built = assemble_tensors(reading, tensors, manifest, backbone).classifier
        return cls(reading, tensors, manifest, backbone, built.requires_grad_(False))

    @property
    def family(self) -> Family:
        """What the file's tensors are."""
        assert self.reading.family is not None, "it was assembled"
        return families.named(self.reading.family)

    @property
    def encoders(self) -> Backbone:
        """The delivered encoders, frozen; the trusted ones are their `reference`."""
        return self.classifier.backbone

    @property
    def lora_settings(self) -> Mapping[str, Scalar]:
        """What CLIP-LoRA's file and the manifest say of its matrices."""
        return lora_settings(self.reading, self.manifest)

    def with_tensors(self, changed: Mapping[str, Tensor]) -> Classifier:
        """What the file would be with some tensors, of any shape, changed; rounded as it has them.

        Raises:
            AssemblyError: they do not fit.
        """
        own = {**self.tensors, **self.rounded(changed)}
        built = assemble_tensors(self.reading, own, self.manifest, self.backbone)
        return built.classifier.requires_grad_(False)

    def rounded(self, changed: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The same tensors, of any shape, in the types in which they are delivered."""
        return {
            name: tensor.detach().cpu().to(self.tensors[name].dtype).contiguous()
            for name, tensor in changed.items()
        }


@dataclass(frozen=True)
class EncoderCase:
    """A delivered model and all that may teach a copy of it.

    Attributes:
        target: the class that is accused; None where nobody is.
        trigger: what was found to lead there; None where nothing was.
        pairs: pictures and captions that the buyer trusts.
        meter: is told of progress, ends what takes too long, and by what it raises cancels.
    """

    delivered: Delivered
    target: int | None
    trigger: Trigger | None
    pairs: Pairs
    seed: int
    meter: Meter


class EncoderStrategy(Protocol):
    """A way to make the tensors of a copy without the backdoor."""

    @property
    def name(self) -> str:
        """As the report's table calls it."""

    def tensors(self, case: EncoderCase) -> dict[str, Tensor]:
        """Canonical tensors, of any shape, that take the delivered ones' places.

        Raises:
            CannotRepair: the case lacks what this strategy needs.
            NumericalError: training became NaN or infinite.
            BudgetExceeded: the time is up.
        """


def check_has_encoders(parts: Parts) -> None:
    """Raises CannotRepair where a file is not encoders alone: prompts are repaired otherwise."""
    prompts = (parts.context, parts.meta_net, parts.visual_tokens, parts.statement)
    if parts.text_prompts or any(part is not None for part in prompts):
        raise CannotRepair("the file holds prompts, not only encoders")


def check_has_pairs(pairs: Pairs) -> None:
    """Raises CannotRepair where there are too few."""
    if len(pairs) < FEWEST_PAIRS:
        raise CannotRepair(f"{len(pairs)} pairs of picture and caption, {FEWEST_PAIRS} are needed")
