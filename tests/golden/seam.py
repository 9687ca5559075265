"""What of `inspector` the golden tests take from inside: the only place that names its modules.

Whoever moves or renames something edits this file and no fixture. All that comes out is named in the words of
the field, whatever the code calls it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from torch import Tensor

from inspector import profiles, report
from inspector.calibration import pvalue
from inspector.clip import bounds, learned, level, prompt_tuning
from inspector.detection import (
    contrast,
    objectives,
    published_test,
    random_reading,
    spaces,
    twin_test,
)
from inspector.detection import random_triggers as triggers
from inspector.detection.inversion import SearchConfig
from inspector.detection.seeds import derive_seed
from inspector.probes import loading, procedural
from inspector.reference import benign_models
from inspector.repair import (
    acceptance,
    arithmetic,
    filtering,
    realign,
    reconstruction,
    rederive,
    tuning,
    unlearn,
    views,
)
from inspector.twins import linear

random_triggers: Callable[[int, int], dict[str, list[Callable[[Tensor], Tensor]]]] = triggers.draw
"""From image size and seed to the random triggers of each family."""
built_in_probes: Callable[[int, int, int], Tensor] = procedural.procedural_probes
"""From number, image size and seed to pictures (N, 3, S, S)."""


def benign_variations(seed: int, number: int) -> list[dict[str, Any]]:
    """What the honest models of a calibration are tuned on."""
    return [benign_models.variation(seed, index).to_json() for index in range(number)]


def _published() -> dict[str, Any]:
    return {
        "statistic": profiles.PUBLISHED,
        "threshold": published_test.PUBLISHED_THRESHOLD,
        "success": published_test.PUBLISHED_SUCCESS,
        "consistency": published_test.CONSISTENCY,
        "search": asdict(SearchConfig(0.01)),
    }


def _search() -> dict[str, Any]:
    return {
        "profiles": {
            name: {
                "probes": one.probes, "held_out": one.held_out,
                "twins": None if one.twins is None else asdict(one.twins),
            }
            for name, one in profiles.PROFILES.items()
        },
        "fewest_probes": profiles.MINIMUM_PROBES,
        "radii_by_weights": profiles.RADII,
        "radius_at": {str(size): profiles.radius(size) for size in (48, 128, 224, 336)},
        "anchors": objectives.ANCHORS,
        "rivals": objectives.RIVALS,
        "order_seed_of_pictures": loading._ORDER_SEED,
    }  # fmt: skip


def _twins() -> dict[str, Any]:
    return {
        "statistic": profiles.TWINS,
        "strengths": linear.STRENGTHS, "tolerance": linear.TOLERANCE, "steps": linear.STEPS, "rate": linear.RATE,
        "open": twin_test.OPEN, "searched_again": twin_test.CONTENDERS,
        "random_weight": twin_test.RANDOM_WEIGHT, "random_probes": twin_test.RANDOM_EVAL,
        "random_leading": random_reading.LEADING, "unheard_of": twin_test.UNHEARD_OF,
        "demonstrated": twin_test.DEMONSTRATED, "noticeable": twin_test.NOTICEABLE, "few_classes": profiles.FEW_CLASSES,
        "accused": pvalue.ACCUSED, "warned": pvalue.WARNED,
        "least_rate": contrast.LEAST_RATE,
        "spaces": {one.name: vars(one) | {"members": one.members} for one in spaces.spaces_of(0.01)},
    }  # fmt: skip


def _triggers() -> dict[str, Any]:
    return {
        "films": triggers.FILMS, "tone": triggers.TONE, "bends": triggers.BENDS, "coloured": triggers.COLOURED,
        "fine_warps": triggers.FINE_WARPS, "fine_blends": triggers.FINE_BLENDS,
        "coarse_warps": triggers.COARSE_WARPS, "coarse_blends": triggers.COARSE_BLENDS,
        "patches": triggers.PATCHES, "strokes": triggers.STROKES, "pen": triggers.PEN,
        "lengths": triggers.LENGTHS, "ink": triggers.INK,
        "global": triggers.GLOBAL, "local": triggers.LOCAL, "shares": triggers.SHARES,
    }  # fmt: skip


def _verdict() -> dict[str, Any]:
    return {
        "assembly_kappa": level.MINIMUM_KAPPA, "assembly_sigmas": level.MINIMUM_SIGMAS,
        "assembly_labels": [level.LEAST_SKILL, level.SURE],
        "findings_that_forbid_clean": report.CAPPING,
        "findings_that_forbid_clean_unproved": report.UNPROVED,
    }  # fmt: skip


def _repair() -> dict[str, Any]:
    recipe = unlearn.REPAIR_RECIPE
    return {
        "epochs": recipe.epochs, "batch": recipe.batch, "learning_rate": recipe.learning_rate,
        "momentum": recipe.momentum, "weight_decay": recipe.weight_decay,
        "warmup_rate": recipe.warmup_rate, "families": learned.PROMPT_ONLY,
        "plain_copies": unlearn.PLAIN_COPIES, "wider": unlearn.WIDER, "search_epochs": unlearn.EPOCHS,
        "seeds_apart": derive_seed(0, "repair check"),
        "excess_asr_of_success": acceptance.RESIDUAL_EXCESS_ASR,
        "largest_loss": acceptance.LARGEST_LOSS, "least_agreement": acceptance.LEAST_AGREEMENT,
        "fewest_measured": acceptance.FEWEST_MEASURED, "most_searched": acceptance.MOST_SEARCHED,
        "confidence": bounds.CONFIDENCE,
        "most_of_median": filtering.MOST_OF_MEDIAN,
        "views": [views.CROPPED, views.SHIFTED, views.BRIGHTNESS],
        "half_share": rederive.HALF_SHARE, "least_shared": rederive.LEAST_SHARED,
        "realigned": asdict(realign.REALIGNED), "planted": asdict(arithmetic.PLANTED),
        "multiples": arithmetic.MULTIPLES, "least_kept": arithmetic.LEAST_KEPT,
        "searched": [reconstruction.TRIED, reconstruction.STEPS, reconstruction.BATCH],
        "most_encoded": tuning.MOST_ENCODED, "deep_rate": tuning.DEEP_RATE,
        "updates": tuning.DERIVED.updates, "pictures_an_update": tuning.DERIVED.batch,
    }  # fmt: skip


def _benign_models() -> dict[str, Any]:
    return {
        "batch": benign_models.BATCH, "shares": benign_models.SHARES, "noises": benign_models.NOISES,
        "rarest": benign_models.RAREST, "disturbed": benign_models.DISTURBED, "rates": benign_models.RATES,
        "updates": benign_models.UPDATES, "fewest_pictures": benign_models.FEWEST_PICTURES,
        "words": prompt_tuning.CONTEXT_WORDS,
    }  # fmt: skip


def rule_values() -> dict[str, Any]:
    """Every constant that reaches a verdict, a score or a calibration."""
    return {
        "published": _published(),
        "search": _search(),
        "twins": _twins(),
        "random_triggers": _triggers(),
        "verdict": _verdict(),
        "repair": _repair(),
        "benign_models": _benign_models(),
    }
