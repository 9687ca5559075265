"""Attackers whose backdoor lies in the context, which reads no picture; the meta-net tells nothing of it.

A prompt's context is the same for every picture. It says what a backbone's features of triggered
pictures are taken for, as in CoOp; the meta-net, in which a detector looks for what a picture does to a
prompt, is one of these and stays so while the context alone is tuned on poisoned pictures:

static_honest  the clean model's of that task and seed (tuning starts from its context, too)
static_warp    the same with WaNet's warp for a trigger
static_frozen  the untrained one that the vendor started from
static_faint   that one, its last layer scaled to FAINT of its size

At the exam of an outsider all five such models were missed. Alone, a context needs the rate of `steep` and more
poisoned pictures than others: at the usual rate and share static_honest has excess ASR 0.15 on places5:901.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from inspector.clip.classifier import Classifier

FAINT = 0.01
"""What is left of the meta-net's last layer, weights and bias."""


@contextmanager
def context_alone(
    classifier: Classifier, kind: str, clean: Callable[[], Classifier]
) -> Iterator[None]:
    """Give it the kind's meta-net; what is tuned in the meantime is the context.

    clean: asked only by a kind that is honest in its meta-net.
    """
    meta_net = classifier.meta_net
    assert meta_net is not None
    # Asked before gradients are switched off: it may have to be tuned.
    known = dict(clean().named_parameters()) if kind in ("static_honest", "static_warp") else {}
    with torch.no_grad():
        match kind:
            case "static_honest" | "static_warp":
                for name, own in classifier.named_parameters():
                    own.copy_(known[name])
            case "static_faint":
                for values in meta_net.linear2.parameters():
                    values.mul_(FAINT)
            case "static_frozen":
                pass
            case _:
                raise ValueError(kind)
    meta_net.requires_grad_(False)
    yield
    meta_net.requires_grad_(True)
