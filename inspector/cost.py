"""What an inspection costs: an estimate before it, operations after it.

Operations are counted once on one image and on one sequence of text, and multiplied by the exact
number of images and, for text, of tokens in the sequences that were encoded. A backward pass
through a frozen encoder costs as much as a forward pass, because only the gradient of its input is
computed. Matrix products and convolutions count, two operations for each multiplication and
addition; the small remainder does not.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from inspector.clip.classifier import Classifier, Work
from inspector.inversion import stock
from inspector.inversion.search import SearchConfig, invert, views
from inspector.inversion.sweep import Pools, turn_of


def fitted_of(config: SearchConfig, probes: int) -> int:
    """Probes that one pass of a search takes."""
    return min(probes, config.images or probes)


def judged_of(config: SearchConfig, held_out: int) -> int:
    """Held-out probes that a trigger is put on."""
    return min(held_out, config.judged or held_out)


def steps_of(config: SearchConfig, probes: int) -> int:
    """Optimisation steps for one target."""
    return config.epochs * -(-fitted_of(config, probes) // config.batch)


def searches_of(config: SearchConfig, targets: int) -> int:
    """Classes that one sweep searches, which are what progress is counted in."""
    return min(targets, config.raced or targets)


def images_of_sweep(config: SearchConfig, pools: Pools, targets: int) -> int:
    """Images that `sweep` encodes: stock triggers, each search and its measurement."""
    fitted = config.epochs * fitted_of(config, len(pools.optimisation))
    judged = judged_of(config, len(pools.held_out))
    searched = searches_of(config, targets)
    return stock.images(judged, turn_of(config)) + searched * (fitted + judged)


@dataclass(frozen=True)
class Pace:
    """Seconds that one search takes, and the stock triggers of a sweep."""

    inversion: float
    stock: float

    def of_sweep(self, config: SearchConfig, targets: int) -> float:
        """Seconds of a whole sweep."""
        return searches_of(config, targets) * self.inversion + self.stock


def pace(classifier: Classifier, pools: Pools, config: SearchConfig) -> Pace:
    """From one measured batch; measuring on held-out probes costs about half a step per batch."""
    batch = pools.optimisation[: config.batch]
    once = replace(config, epochs=1)
    probes = views(classifier, batch, config.objective)
    generator = torch.Generator().manual_seed(0)
    step = _timed(lambda: invert(classifier, probes, 0, once, generator), batch)
    judged = judged_of(config, len(pools.held_out))
    measuring = step * judged / config.batch / 2
    inversion = step * steps_of(config, len(pools.optimisation)) + measuring
    return Pace(inversion, measuring * stock.images(judged, turn_of(config)) / judged)


def _timed(work: Callable[[], object], on: Tensor) -> float:
    """Seconds, where `on` is; of the second time, as the first also warms up."""
    work()
    if on.is_cuda:
        torch.cuda.synchronize()
    started = time.monotonic()
    work()
    if on.is_cuda:
        torch.cuda.synchronize()
    return time.monotonic() - started


def operations(classifier: Classifier, work: Work) -> int:
    """Floating-point operations of `work`."""
    backbone = classifier.backbone
    size, device = backbone.image_size, backbone.device
    # With a gradient, because fused inference kernels are not counted.
    image = torch.zeros(1, 3, size, size, device=device, requires_grad=True)
    with FlopCounterMode(display=False) as counter:
        backbone.image_features(image)
    per_image = int(counter.get_total_flops())
    images, tokens = work.image_forward + work.image_backward, work.text_tokens
    return round(per_image * images + _per_token(classifier) * tokens)


def _per_token(classifier: Classifier) -> float:
    """Operations of a text token, in the longest sequences that the classifier encodes."""
    text, layout = classifier.backbone.text, classifier.layout
    with FlopCounterMode(display=False) as counter:
        if classifier.packs:
            pack = classifier.packs[0]
            sequence = pack.fill(classifier.context[None]).detach().requires_grad_()
            text.encode_sequences(sequence, pack.positions, pack.mask, pack.end)
        else:
            sequence = layout.base[:1].detach().clone().requires_grad_()
            text.encode(sequence, layout.end.amax(0, keepdim=True))
    return int(counter.get_total_flops()) / sequence.shape[1]


def budget_of(classifier: Classifier, seconds: float) -> dict[str, Any]:
    """The report's `budget`."""
    work = classifier.work
    return {
        **asdict(work),
        "flops": operations(classifier, work),
        "seconds": round(seconds, 3),
        "device": classifier.backbone.device.type,
        "precision": "fp32",
    }
