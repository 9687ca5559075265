"""A delivered checkpoint that can be built again with other values in some of its tensors.

It keeps what a repair of encoders needs: the canonical tensors, what they are, the classifier that
was built of them, and the backbone that the buyer trusts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from safetensors.torch import load_file
from torch import Tensor

from inspector.checkpoint import Reading, families
from inspector.checkpoint.families.parts import Parts
from inspector.checkpoint.reading import Scalar
from inspector.clip.assembly import assemble_tensors
from inspector.clip.backbone import Backbone
from inspector.clip.classifier import Classifier
from inspector.clip.encoders import lora_settings
from inspector.errors import AssemblyError
from inspector.manifest import Manifest, spoken

_TEMPLATE = "a photo of a {}."


@dataclass(frozen=True)
class Delivered:
    """A checkpoint with encoders of its own.

    Attributes:
        tensors: canonical ones, of any shape, as delivered.
        backbone: the one that the buyer trusts.
        classifier: frozen; nothing here changes it.
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
    def encoders(self) -> Backbone:
        """The delivered encoders, frozen; the trusted ones are their `reference`."""
        return self.classifier.backbone

    @property
    def class_prompts(self) -> list[str]:
        """What the classes are called in the file's own words, one sentence each."""
        template = self.manifest.template or _TEMPLATE
        return [template.replace("{}", spoken(name)) for name in self.classifier.classnames]

    @property
    def lora_settings(self) -> Mapping[str, Scalar]:
        """What CLIP-LoRA's file and the manifest say of its matrices."""
        return lora_settings(self.reading, self.manifest)

    def parts(self, tensors: Mapping[str, Tensor]) -> Parts:
        """What tensors in the places of the file's are to the encoders.

        Raises:
            AssemblyError: the file is not encoders alone.
        """
        assert self.reading.family is not None, "it was assembled"
        parts = families.named(self.reading.family).parts(tensors)
        prompts = (parts.context, parts.meta_net, parts.visual_tokens, parts.statement)
        if parts.text_prompts or any(part is not None for part in prompts):
            raise AssemblyError("the file holds prompts, not only encoders")
        return parts

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
