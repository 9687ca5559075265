"""The loop that all strategies share: pairs in batches, one loss, AdamW on what moves of the file.

A strategy says what the loss of a batch is. Progress, budget and cancelling go through the meter,
asked at every update; a training that was cut off is no copy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from inspector.clip.backbone import Backbone
from inspector.clip.moving import Moving
from inspector.errors import AssemblyError, NumericalError
from inspector.probes.pairs import Pairs
from inspector.repair.encoders.case import EncoderCase, check_has_pairs
from inspector.repair.encoders.losses import is_sound
from inspector.repair.encoders.recipes import BETAS, LONGEST_GRADIENT, WEIGHT_DECAY, Schedule
from inspector.repair.strategy import CannotRepair

UNITS = 20
"""Parts in which a training tells its progress."""


@dataclass(frozen=True)
class Batch:
    """Pictures (B, 3, S, S) in [0,1] with their captions, and the tokens (B, L) of these."""

    pixels: Tensor
    captions: list[str]
    tokens: Tensor


Loss = Callable[[Backbone, Batch], Tensor]
"""Of the encoders as they are now and a batch, a scalar."""


def trained(case: EncoderCase, schedule: Schedule, loss: Loss, name: str) -> dict[str, Tensor]:
    """What the file's tensors, of any shape, are once the loss has been minimised.

    Raises:
        CannotRepair: too few pairs, or nothing in the file that can be tuned on pairs.
        NumericalError: a loss became NaN or infinite.
        BudgetExceeded: the time is up.
    """
    check_has_pairs(case.pairs)
    moving, meter = _moving(case), case.meter
    optimizer = _optimizer(list(moving.leaves.values()))
    generator = torch.Generator().manual_seed(case.seed)
    rates = schedule.rates(len(case.pairs))
    batches = _batches(case.pairs, case.delivered.encoders, schedule.batch, generator)
    parts = [rates[unit * len(rates) // UNITS : (unit + 1) * len(rates) // UNITS]
             for unit in range(UNITS)]  # fmt: skip
    meter.expect(UNITS)
    finished = 0
    with torch.enable_grad():
        for part in meter.within_budget(parts, lambda _: name):
            for rate in part:
                meter.check()
                _update(moving, optimizer, rate, next(batches), loss, name)
            finished += 1
    if finished < UNITS:
        meter.check()
    return moving.tensors()


def _moving(case: EncoderCase) -> Moving:
    try:
        return Moving(case.delivered)
    except AssemblyError as problem:
        raise CannotRepair(problem.detail) from problem


def text_features(encoders: Backbone, tokens: Tensor) -> Tensor:
    """Normalised features (N, D) of token ids (N, L)."""
    return encoders.text.encode(encoders.text.embed(tokens), tokens.argmax(1))


def tokens_of(encoders: Backbone, captions: list[str]) -> Tensor:
    """Token ids (N, L) where the encoders compute, L up to the longest of them."""
    tokens = encoders.tokenise(captions, encoders.text.context_length)
    return tokens[:, : int(tokens.argmax(1).max()) + 1].to(encoders.device)


def _update(
    moving: Moving, optimizer: torch.optim.Optimizer, rate: float, batch: Batch, loss: Loss,
    name: str,
) -> None:  # fmt: skip
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.zero_grad()
    value = loss(moving.encoders(), batch)
    if not is_sound(value):
        raise NumericalError(name)
    value.backward()
    moving.pull()
    torch.nn.utils.clip_grad_norm_(list(moving.leaves.values()), LONGEST_GRADIENT)
    optimizer.step()


def _optimizer(leaves: list[Tensor]) -> torch.optim.Optimizer:
    """Matrices decay, biases and the scales of norms do not."""
    groups = [
        {"params": [one for one in leaves if one.ndim >= 2], "weight_decay": WEIGHT_DECAY},
        {"params": [one for one in leaves if one.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=0.0, betas=BETAS)


def _batches(
    pairs: Pairs, encoders: Backbone, size: int, generator: torch.Generator
) -> Iterator[Batch]:
    """Whole batches in another order at every pass; without end."""
    tokens = tokens_of(encoders, list(pairs.captions))
    while True:
        order = torch.randperm(len(pairs), generator=generator)
        for rows in order[: max(1, len(pairs) // size) * size].split(size):
            said = [pairs.captions[row] for row in rows.tolist()]
            pixels = pairs.pixels(rows).to(encoders.device)
            yield Batch(pixels, said, tokens[rows.to(tokens.device)])
