"""Copies of a classifier by the canonical tensors that a file holds."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy

from torch import Tensor

from inspector.clip.classifier import Classifier

_CONTEXT = {"ctx": "context"}
"""Canonical names that the classifier calls otherwise."""


def copy_of(classifier: Classifier) -> Classifier:
    """A classifier with context and meta-net of its own; what it spends counts as the first's."""
    context, meta_net = classifier.context.detach().clone(), deepcopy(classifier.meta_net)
    names, layout = list(classifier.classnames), classifier.layout
    copy = Classifier(classifier.backbone, names, layout, context, meta_net, classifier.matching)
    copy.work = classifier.work
    return copy.requires_grad_(False)


def copy_with(classifier: Classifier, tensors: Mapping[str, Tensor]) -> Classifier:
    """The same with other values, given by canonical name."""
    copy = copy_of(classifier)
    state = {_CONTEXT.get(name, name): tensor.float() for name, tensor in tensors.items()}
    copy.load_state_dict(state, strict=False)
    return copy.requires_grad_(False)


def canonical(classifier: Classifier) -> dict[str, Tensor]:
    """`ctx` and, where there is one, `meta_net.*`, on the CPU."""
    told = {"ctx": classifier.context.detach().cpu()}
    if classifier.meta_net is not None:
        state = classifier.meta_net.state_dict()
        told |= {f"meta_net.{name}": value.detach().cpu() for name, value in state.items()}
    return told
