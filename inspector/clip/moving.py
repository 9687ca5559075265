"""The tensors of a file that training may move, and the encoders that follow them.

Every update builds the encoders anew of the file's own tensors, so that what is tuned is what is
delivered: weights of encoders that were tuned whole, both matrices (and DoRA's magnitudes, copies,
biases) of low-rank changes, both layers of an adapter. What stays:

- the table of token embeddings, a sixth of a large CLIP and most of a small one: rows of words that
  no pair has would only decay;
- the factor of cosines: every loss here uses the trusted backbone's, so that a vendor's cannot
  flatten it;
- running means of a ResNet, as the models are not in training mode.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from inspector.checkpoint.families.parts import Bottleneck
from inspector.clip.backbone import Backbone
from inspector.clip.delivered import Adapter, DeliveredEncoders, OnFeatures
from inspector.clip.functional import weights_of
from inspector.clip.rebuilding import Delivered
from inspector.errors import AssemblyError

_STAYS = ("token_embedding.weight", "logit_scale")


class Moving:
    """Copies of the file's tensors that follow an optimiser.

    `encoders` begins an update, `pull` ends its backward pass.

    Raises:
        AssemblyError: nothing in the file can be tuned on pairs.
    """

    def __init__(self, delivered: Delivered) -> None:
        own = delivered.encoders
        delivered.parts(delivered.tensors)
        if not isinstance(own, DeliveredEncoders):
            raise AssemblyError("the encoders are the trusted backbone's")
        self._delivered, self._own = delivered, own
        self._model = copy.deepcopy(own.model)
        device = own.device
        self._copies: dict[str, Tensor] = {
            name: tensor.to(device, torch.float32, copy=True).requires_grad_()
            if tensor.is_floating_point()
            else tensor
            for name, tensor in delivered.tensors.items()
        }
        self._weights: dict[str, Tensor] = {}
        self.leaves = self._found()

    def _found(self) -> dict[str, Tensor]:
        """By canonical name, the copies that the encoders depend on."""
        encoders = self.encoders()
        outputs = [one for one in self._weights.values() if one.requires_grad]
        for adapter in (encoders.on_image, encoders.on_text):
            if isinstance(adapter, Adapter):
                outputs += [adapter.first, adapter.second]
        floats = {name: one for name, one in self._copies.items() if one.requires_grad}
        if not outputs:
            raise AssemblyError("nothing in the file can be tuned on pairs")
        gradients = torch.autograd.grad(
            outputs, list(floats.values()), [torch.ones_like(one) for one in outputs],
            allow_unused=True,
        )  # fmt: skip
        return {
            name: leaf
            for (name, leaf), gradient in zip(floats.items(), gradients, strict=True)
            if gradient is not None
        }

    def encoders(self) -> DeliveredEncoders:
        """The encoders of the tensors as they are now, with a gradient to them."""
        parts = self._delivered.parts(self._copies)
        settings, reference = self._delivered.lora_settings, self._own.reference
        moved = weights_of(parts, settings, reference)
        places: Mapping[str, Tensor] = dict(self._model.named_parameters())
        self._weights = {
            name: weight
            for name, weight in moved.items()
            if name in places and not name.endswith(_STAYS)
        }
        with torch.no_grad():
            for name, weight in self._weights.items():
                places[name].requires_grad_(True).copy_(weight)
        return replace(
            self._own,
            model=self._model,
            on_image=_adapter(parts.image_adapter, self._own.on_image),
            on_text=_adapter(parts.text_adapter, self._own.on_text),
        )

    def pull(self) -> None:
        """Pass the gradients of the model's weights on to the file's tensors."""
        places: Mapping[str, Tensor] = dict(self._model.named_parameters())
        reached = [name for name in self._weights if places[name].grad is not None]
        if reached:
            gradients = [places[name].grad for name in reached]
            torch.autograd.backward([self._weights[name] for name in reached], gradients)
        for name in reached:
            places[name].grad = None

    def tensors(self) -> dict[str, Tensor]:
        """What moved, of any shape, by canonical name."""
        return {name: leaf.detach().cpu() for name, leaf in self.leaves.items()}


def _adapter(part: Bottleneck | None, own: OnFeatures | None) -> OnFeatures | None:
    if part is None or not isinstance(own, Adapter):
        return own
    return Adapter(part.first, part.second, own.ratio)


def scale_of(encoders: Backbone) -> float:
    """The factor of cosines that losses use: the trusted backbone's."""
    return encoders.reference.logit_scale
