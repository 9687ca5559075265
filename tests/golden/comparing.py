"""Where two JSON values differ, and by how much numbers may.

On the kind of machine that wrote the fixtures all figures come out alike, but for the last bits. Elsewhere a
search may end a little aside: Adam follows the sign of a gradient, a rounding may turn one that is almost zero,
and a picture that lies on the border of two classes then falls on the other side. Rates are multiples of one in
32 to 96 pictures, so two or three pictures may flip. A score divides the root of such a rate by a unit of about
a tenth, where one picture of 32 is worth up to 0.4. What may not differ at all (verdicts, targets, counts, seeds)
is no float.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

SAME_ABSOLUTE, SAME_RELATIVE = 2e-4, 2e-3
"""On the same kind of machine."""
RATES = ("asr", "base_asr", "excess_asr", "zero_shot_excess_asr", "asr_gain", "agreement",
         "excess_asr_of_the_old_trigger")  # fmt: skip
ELSEWHERE = dict.fromkeys(RATES, 0.08) | {
    "margin": 0.15, "margin_gain": 0.15, "score": 0.4, "prob_gain": 0.02,
    "text_feature_shift": 0.02, "clean_prediction_bias": 0.005,
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


def differences(expected: Any, got: Any, *, same: bool) -> list[str]:
    """One line for each path that differs; `same`: both come from the same kind of machine."""
    return list(_differing(expected, got, "", same))


def _differing(expected: Any, got: Any, path: str, same: bool) -> Iterator[str]:
    if isinstance(expected, dict) and isinstance(got, dict):
        for key in [*expected, *(key for key in got if key not in expected)]:
            below = f"{path}.{key}".removeprefix(".")
            if key not in got:
                yield f"{below}: gone, was {_short(expected[key])}"
            elif key not in expected:
                yield f"{below}: new, {_short(got[key])}"
            else:
                yield from _differing(expected[key], got[key], below, same)
    elif isinstance(expected, list) and isinstance(got, list):
        if len(expected) != len(got):
            yield f"{path}: {len(got)} entries, were {len(expected)}"
        for index, pair in enumerate(zip(expected, got, strict=False)):
            yield from _differing(*pair, f"{path}[{index}]", same)
    elif not _agree(expected, got, path, same):
        yield f"{path}: {_short(got)}, was {_short(expected)}"


def _agree(expected: Any, got: Any, path: str, same: bool) -> bool:
    if not (isinstance(expected, float) and isinstance(got, float)):
        return bool(expected == got) and type(expected) is type(got)
    if path.startswith(("random_triggers", "built_in_probes")):
        return abs(expected - got) <= DRAWN
    absolute, relative = SAME_ABSOLUTE, SAME_RELATIVE
    name = path.rpartition(".")[2]
    if not same and name in ELSEWHERE:
        absolute, relative = ELSEWHERE[name], RELATIVE_ELSEWHERE
    return abs(expected - got) <= absolute + relative * abs(expected)


def _short(value: Any) -> str:
    told = repr(value)
    return told if len(told) <= 80 else told[:77] + "..."
