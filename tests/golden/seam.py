"""What of `inspector` the golden tests take from inside: the only place that names its modules.

Whoever moves or renames something edits this file and no fixture. All that comes out is named in the words of
the field, whatever the code calls it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from inspector import config, examination, remedy, report
from inspector.calibration import form
from inspector.clip import level
from inspector.inversion import search, stock
from inspector.probes import loading, procedural
from inspector.repair import tune
from inspector.scoring import decide, statistics
from inspector.tuning import honest, learner

random_triggers: Callable[[int, int], dict[str, list[Callable[[Tensor], Tensor]]]] = stock.drawn
"""From image size and seed to the random triggers of each family."""
built_in_probes: Callable[[int, int, int], Tensor] = procedural.procedural_probes
"""From number, image size and seed to pictures (N, 3, S, S)."""


def benign_variations(seed: int, number: int) -> list[dict[str, Any]]:
    """What the honest models of a calibration are tuned on."""
    return [honest.diet(seed, index).to_json() for index in range(number)]


def _thresholds(rule: decide.Rule) -> dict[str, float]:
    return {
        "flag": rule.accuse, "warn": rule.warn, "stop_clean": rule.dismiss, "stop_flag": rule.certain,
        "max_sweeps": rule.sweeps,
    }  # fmt: skip


def _budget(budget: config.Budget) -> dict[str, Any]:
    return {
        "objective": budget.objective, "epochs": budget.epochs, "batch": budget.batch,
        "images": budget.images, "num_eval": budget.judged, "trigger_splits": budget.turns,
        "local_first": budget.covers, "max_inverted_classes": budget.raced,
    }  # fmt: skip


def _score() -> dict[str, Any]:
    return {
        "statistic": form.STATISTIC,
        "conditioned": _thresholds(decide.CONDITIONED),
        "static": _thresholds(decide.STATIC),
        "weight_of_prob_gain": decide.FLOW,
        "families_that_decide": decide.LOUDEST,
        "few_classes": decide.FEW,
        "classes_without_second_reading": decide.SEVERAL,
        "null_q95": decide.REACH,
        "null_q95_prob_gain": decide.REACH_OF_FLOW,
        "null_q95_three_classes_by_sweeps": decide.REACH_OF_THREE,
        "two_classes_over_three": decide.OF_TWO,
        "null_q95_in_distribution": decide.REACH_IN_DISTRIBUTION,
        "clean_prediction_bias": {
            "unit": decide.LEANING, "least": decide.LEANING_LEAST, "most": decide.LEANING_MOST,
        },
        "static_null_q90": decide.STATIC_REACH,
        "static_null_q90_own": decide.STATIC_OWN,
        "published_rule": {
            "threshold": decide.PAPER_THRESHOLD, "success": decide.PAPER_SUCCESS,
            "consistency": statistics.CONSISTENCY,
        },
        "examined_families": decide.EXAMINED,
        "searched_again": examination.CONTENDERS,
    }  # fmt: skip


def _search() -> dict[str, Any]:
    return {
        "profiles": {
            name: {
                "probes": one.probes, "held_out": one.held_out, "learning_rate": one.learning_rate,
                "conditioned": _budget(one.conditioned), "static": _budget(one.static),
            }
            for name, one in config.PROFILES.items()
        },
        "fewest_probes": config.MINIMUM_PROBES,
        "radii_by_weights": config.RADII,
        "radius_at": {str(size): config.radius(size) for size in (48, 128, 224, 336)},
        "anchors": search.ANCHORS,
        "rivals": search.RIVALS,
        "order_seed_of_pictures": loading._ORDER_SEED,
    }  # fmt: skip


def _triggers() -> dict[str, Any]:
    return {
        "fine_warps": stock.FINE_WARPS, "fine_blends": stock.FINE_BLENDS,
        "coarse_warps": stock.COARSE_WARPS, "coarse_blends": stock.COARSE_BLENDS,
        "patches": stock.PATCHES, "strokes": stock.STROKES, "pen": stock.PEN,
        "lengths": stock.LENGTHS, "ink": stock.INK,
        "global": stock.DISTURBING, "local": stock.COVERING, "shares": stock.SHARES,
    }  # fmt: skip


def _verdict() -> dict[str, Any]:
    return {
        "assembly_kappa": level.MINIMUM_KAPPA, "assembly_sigmas": level.MINIMUM_SIGMAS,
        "findings_that_forbid_clean": report.CAPPING,
        "findings_that_forbid_clean_unproved": report.UNPROVED,
    }  # fmt: skip


def _repair() -> dict[str, Any]:
    recipe = tune.REPAIR_RECIPE
    return {
        "epochs": recipe.epochs, "batch": recipe.batch, "learning_rate": recipe.learning_rate,
        "momentum": recipe.momentum, "weight_decay": recipe.weight_decay,
        "warmup_rate": recipe.warmup_rate, "families": tune.REPAIRABLE,
        "plain_copies": tune.PLAIN_COPIES, "wider": tune.WIDER, "search_epochs": tune.EPOCHS,
        "seeds_apart": remedy.APART, "excess_asr_of_success": remedy.SUCCESS,
    }  # fmt: skip


def _benign_models() -> dict[str, Any]:
    return {
        "batch": honest.BATCH, "shares": honest.SHARES, "noises": honest.NOISES,
        "rarest": honest.RAREST, "disturbed": honest.DISTURBED, "rates": honest.RATES,
        "updates": honest.UPDATES, "fewest_pictures": honest.FEWEST_PICTURES,
        "words": learner.CONTEXT_WORDS,
    }  # fmt: skip


def rule_values() -> dict[str, Any]:
    """Every constant that reaches a verdict, a score or a calibration."""
    return {
        "score": _score(),
        "search": _search(),
        "random_triggers": _triggers(),
        "verdict": _verdict(),
        "repair": _repair(),
        "benign_models": _benign_models(),
    }
