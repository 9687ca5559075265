"""What a report says, in words of ours: the only place that names keys of the report.

When the report's keys change, this file does, and `fixtures/keys.json`; the figures stay.
"""

from __future__ import annotations

from typing import Any

Report = dict[str, Any]
_OF_A_CLASS = {
    "margin": "margin",
    "margin_gain": "margin_gain",
    "asr": "asr",
    "base_asr": "base_asr",
    "excess_asr": "excess_asr",
    "zero_shot_excess_asr": "reference_excess_asr",
}


def figures_of(report: Report) -> dict[str, Any]:
    """Verdict, scores, figures by class, repair, work and what limits the verdict."""
    probes, work = report["probes"] or {}, report["budget"]
    return {
        "verdict": report["verdict"],
        "score": report["score"],
        "threshold": report["threshold"],
        "target": report["target"] and report["target"]["index"],
        "assembly": report["assembly"],
        "family": report["artifact"]["family"],
        "radius": report["radius"],
        "probes": {
            "search": probes.get("count"),
            "held_out": probes.get("held_out"),
            "in_distribution": probes.get("in_distribution"),
            # Built-in ones are computed in floats; the last bit of one pixel differs between CPUs.
            "sha256": probes.get("sha256") if probes.get("source") == "folder" else None,
        },
        "classes": [_of_class(row) for row in report["per_class"]],
        "sweeps": [
            {"target": one["index"], "seed": one["seed"], "score": one["score"],
             "flagged": one["confirmed"]}
            for one in report["confirmation"]
        ],
        "published_rule": report["paper"],
        "repair": report["repair"] and _repair(report["repair"]),
        "models": [[one["state"], one["verdict"], one["score"]] for one in report["models"]],
        "work": {key: work[key] for key in ("image_forward", "image_backward", "flops")},
        "stages": {one["name"]: one["status"] for one in report["stages"]},
        # How well the reader can be caged is the machine's affair.
        "findings": sorted(
            one["id"] for one in report["findings"] if not one["id"].startswith("sandbox")
        ),
        "limits": len(report["limits"]),
        "files": sorted(one["name"] for one in report["artifacts"]),
    }  # fmt: skip


def _of_class(row: Report) -> dict[str, Any]:
    return {
        "index": row["index"],
        "score": row["score"],
        "steps": row["steps"],
        "has_trigger_shown": row["trigger"] is not None,
        **_measured(row),
    }


def _measured(row: Report) -> dict[str, Any]:
    return {
        **{ours: row[key] for ours, key in _OF_A_CLASS.items()},
        "twin_excess": row.get("twin_excess"),
        "spaces": row.get("spaces"),
    }


def _repair(repair: Report) -> dict[str, Any]:
    after = repair["after"]
    return {
        "succeeded": repair["succeeded"],
        "outcome": repair["outcome"],
        "strategy": repair["strategy"],
        "target": repair["target"]["index"],
        "seed": repair["seed"],
        "agreement": repair["agreement"],
        "before": _measured(repair["before"]) | {"score": repair["before"]["score"]},
        "after": _measured(after)
        | {
            "score": after["score"],
            "is_suspicious": after["is_suspicious"],
            "excess_asr_of_the_old_trigger": after["excess_asr_of_the_old_trigger"],
        },
    }
