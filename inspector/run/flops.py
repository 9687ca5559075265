"""What an inspection has cost, in floating-point operations and seconds.

Operations are counted once on one image and on one sequence of text, and multiplied by the exact
number of images and, for text, of tokens in the sequences that were encoded. A backward pass
through a frozen encoder costs as much as a forward pass, because only the gradient of its input is
computed. Matrix products and convolutions count, two operations for each multiplication and
addition; the small remainder does not.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from inspector.clip.classifier import Classifier, Work


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
        "image_forward": work.image_forward,
        "image_backward": work.image_backward,
        "text_forward": work.text_forward,
        "text_backward": work.text_backward,
        "text_tokens": work.text_tokens,
        "flops": operations(classifier, work),
        "seconds": round(seconds, 3),
        "device": classifier.backbone.device.type,
        "precision": "fp32",
    }
