"""Where two JSON values differ, and by how much numbers may.

On the kind of machine that wrote the fixtures all figures come out alike, but for the last bits. Elsewhere a
search may end a little aside: Adam follows the sign of a gradient, a rounding may turn one that is almost zero,
and a picture that lies on the border of two classes then falls on the other side. Rates are multiples of one in
48 to 101 pictures, so two or three pictures may flip, and a score is the difference of two such rates. What may
not differ at all (verdicts, targets, counts, seeds) is no float.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

SAME_ABSOLUTE, SAME_RELATIVE = 2e-4, 2e-3
"""On the same kind of machine."""
RATES = ("asr", "base_asr", "excess_asr", "zero_shot_excess_asr", "agreement",
         "excess_asr_of_the_old_trigger", "additive", "blend", "mask", "warp", "tone")  # fmt: skip
ELSEWHERE = dict.fromkeys(RATES, 0.08) | {
    "margin": 0.15, "margin_gain": 0.15, "score": 0.1, "twin_excess": 0.1,
}  # fmt: skip
"""Absolute, by the name of the figure, on other machines."""
RELATIVE_ELSEWHERE = 0.1
DRAWN = 2e-5
"""Of weighted means of pictures: a bicubic kernel's rounding is a hundred times smaller, the mean of another
draw a hundred times larger."""


def machine() -> dict[str, str]:
    """What decides which float comes out."""
    cpus = Path("/proc/cpuinfo")
    named = [
        line.partition(":")[2].strip()
        for line in (cpus.read_text().splitlines() if cpus.is_file() else ())
        if line.startswith("model name")
    ]
    return {
        "torch": torch.__version__,
        "vectors": torch.backends.cpu.get_cpu_capability(),
        "processor": named[0] if named else platform.processor(),
    }


Near = Callable[[str, float, float], bool]
"""Whether two floats are as good as the same at a path, the pinned one first."""


def exactly(path: str, then: float, now: float) -> bool:
    """For what is written down rather than computed."""
    return then == now


def as_drawn(path: str, then: float, now: float) -> bool:
    """For means of random pictures."""
    return abs(then - now) <= DRAWN


def as_measured_here(path: str, then: float, now: float) -> bool:
    """For figures of an inspection on the kind of machine that wrote the fixtures."""
    return abs(then - now) <= SAME_ABSOLUTE + SAME_RELATIVE * abs(then)


def as_measured_elsewhere(path: str, then: float, now: float) -> bool:
    """For figures of an inspection on any other."""
    absolute = ELSEWHERE.get(path.rpartition(".")[2].partition("[")[0])
    if absolute is None:
        return as_measured_here(path, then, now)
    return abs(then - now) <= absolute + RELATIVE_ELSEWHERE * abs(then)


def differences(expected: Any, got: Any, near: Near) -> list[str]:
    """One line for each path that differs; floats may, as far as `near` says."""
    return list(_differing(expected, got, "", near))


def _differing(expected: Any, got: Any, path: str, near: Near) -> Iterator[str]:
    if isinstance(expected, dict) and isinstance(got, dict):
        for key in [*expected, *(key for key in got if key not in expected)]:
            below = f"{path}.{key}".removeprefix(".")
            if key not in got:
                yield f"{below}: gone, was {_short(expected[key])}"
            elif key not in expected:
                yield f"{below}: new, {_short(got[key])}"
            else:
                yield from _differing(expected[key], got[key], below, near)
    elif isinstance(expected, list) and isinstance(got, list):
        if len(expected) != len(got):
            yield f"{path}: {len(got)} entries, were {len(expected)}"
        for index, (then, now) in enumerate(zip(expected, got, strict=False)):
            yield from _differing(then, now, f"{path}[{index}]", near)
    elif isinstance(expected, float) and isinstance(got, float):
        if not near(path, expected, got):
            yield f"{path}: {got!r}, was {expected!r}"
    elif type(expected) is not type(got) or expected != got:
        yield f"{path}: {_short(got)}, was {_short(expected)}"


def _short(value: Any) -> str:
    told = repr(value)
    return told if len(told) <= 80 else told[:77] + "..."
