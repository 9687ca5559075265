"""What many inspections of one task ask for anew, asked for once a process.

Models of one task are inspected with the same probes, and with the same random triggers on them. What is kept
is keyed by the very pixels of a batch, so an inspection gets to the last bit what it would have computed.
Nothing that takes a gradient is kept, and no features of an encoder that a vendor has changed.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any
from unittest.mock import patch
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from inspector.clip.backbone import Backbone
from inspector.probes.loading import load_pools

BATCHES = 1024
"""As many are kept, about 100 kB each; an inspection asks for some dozens."""
TASKS = 2
"""Probes of so many tasks are kept; one that is inspected at a time needs one."""

_kept: WeakKeyDictionary[Any, OrderedDict[bytes, Tensor]] = WeakKeyDictionary()
"""By the encoders themselves: a copy that somebody changes is another key."""


class Remembering(Backbone):
    """A backbone that knows the features of batches it has encoded.

    It has no field of its own, because the product copies a backbone's fields into a vendor's encoders.
    """

    @classmethod
    def of(cls, backbone: Backbone) -> Remembering:
        return cls(**vars(backbone))

    def raw_image_features(self, pixels: Tensor) -> Tensor:
        if pixels.requires_grad:
            return super().raw_image_features(pixels)
        kept = _kept.setdefault(self.model, OrderedDict())
        key = _key(pixels)
        if key not in kept:
            kept[key] = super().raw_image_features(pixels)
        kept.move_to_end(key)
        while len(kept) > BATCHES:
            kept.popitem(last=False)
        return kept[key].clone()


def _key(pixels: Tensor) -> bytes:
    """Of everything that the features' last bits depend on: with gradients other kernels run."""
    said = f"{tuple(pixels.shape)} {pixels.dtype} {pixels.device} {torch.is_grad_enabled()}"
    digest = hashlib.blake2b(said.encode(), digest_size=16)
    digest.update(pixels.detach().cpu().contiguous().numpy().data)
    return digest.digest()


@contextmanager
def remembered_probes() -> Iterator[None]:
    """Within, inspections read and decode the pictures of a task once."""
    with patch("inspector.run.prepare.load_pools", lru_cache(maxsize=TASKS)(load_pools)):
        yield
