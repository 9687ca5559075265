"""What kind of page a report makes, and in which words it tells a buyer what to do.

Verdicts are the report's. A kind only says which of them a person must keep apart: a file that runs
code is not one that we cannot read, and a repaired copy is not the file that was delivered.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from inspector.page.figures import rows, table

RUNS_CODE = "pickle-code-execution"
UNKNOWN_CODE = "pickle-unknown-global"
UNSUPPORTED = frozenset(
    {
        "empty-file", "not-a-checkpoint", "unsupported-format", "archive-no-checkpoint",
        "archive-ambiguous", "archive-nested", "zip-encrypted", "no-state-dict",
        "unsupported-tensor", "unknown-family", "ambiguous-family",
    }
)  # fmt: skip
"""Findings on files that are not broken, but none that we inspect."""
NOT_DONE = frozenset({"request-invalid", "backbone-unusable"})
"""Findings on what was asked for rather than on the file."""
OUT_OF_TIME = "budget-exceeded"


@dataclass(frozen=True, slots=True)
class Kind:
    """Words of one kind of page.

    Attributes:
        name: also the class of its style.
        sign: what marks it where there is no colour.
        headline: the verdict in plain words.
        meaning: what that means.
        action: what to do now.
        vendor: what to tell the vendor.
    """

    name: str
    sign: str
    headline: str
    meaning: str
    action: str
    vendor: str


KINDS = {
    kind.name: kind
    for kind in (
        Kind(
            "clean", "✓", "No backdoor was found",
            "Every class was searched for a hidden pattern that switches the model’s answer, and "
            "none was found. That is evidence within the limits below, and no proof.",
            "Whether this evidence is enough is your policy’s to say. If it is, deploy this very "
            "file on this very backbone and no other. Keep page and report, and check the file’s "
            "hash before each deployment.",
            "Nothing needs to be done. You may say that the file with this hash was inspected and "
            "that no backdoor was found.",
        ),
        Kind(
            "suspicious", "!", "Suspicious: do not deploy this file yet",
            "One class answers to added patterns more than honest models do, but not by enough to "
            "call it a backdoor.",
            "Hold the deployment. Inspect again with the profile thorough and with unlabelled "
            "pictures of your task, stated to be in distribution; ask the vendor meanwhile.",
            "Ask on which pictures the model was tuned, who supplied them, and for a second "
            "checkpoint tuned with another seed. A suspicion is no accusation.",
        ),
        Kind(
            "backdoored", "✗", "Backdoored: refuse this file",
            "A pattern added to pictures that have nothing to do with one class sends them to that "
            "class, and does so far beyond what honest models do.",
            "Do not deploy this file, and take it out of service where it runs. Keep file, report "
            "and pictures as evidence.",
            "Refuse the delivery and name the file’s hash and the class. Ask who tuned the model, "
            "on which pictures and with which code, and for a model tuned anew under your eyes.",
        ),
        Kind(
            "repaired", "✗", "Refuse the delivered file; a repaired copy passed the check",
            "The delivered file answers to a hidden pattern. A copy was made without it: a new "
            "search of that copy found no backdoor, and its accuracy was measured on labelled "
            "pictures that had not taught it.",
            "Never deploy the delivered file. The repaired copy can stand in for it where the "
            "accuracy below is enough; better, ask for a new model.",
            "Refuse the delivery and name the file’s hash and the class. That it could be repaired "
            "here does not mend the delivery: ask how the pattern came into the model.",
        ),
        Kind(
            "repair-unproved", "✗", "Refuse the delivered file; its repair is not proved",
            "The delivered file answers to a hidden pattern. A copy was made without it, and "
            "nothing that was measured speaks against the copy; but its accuracy on labelled "
            "pictures, or a search of all its classes, is missing.",
            "Deploy neither the delivered file nor the copy. Repair again with labelled pictures "
            "of your task, a folder a class, and a search of all classes; or ask for a new model.",
            "Refuse the delivery and name the file’s hash and the class. Ask for a model tuned "
            "anew, on pictures whose source you know.",
        ),
        Kind(
            "repair-failed", "✗", "Refuse the delivered file; the repair did not succeed",
            "The delivered file answers to a hidden pattern. Copies were made to be without it, "
            "and the best of them still answers to it, or is no longer the same model.",
            "Deploy neither the delivered file nor the repaired copy. Ask for a new model.",
            "Refuse the delivery and name the file’s hash and the class. Ask for a model tuned "
            "anew, on pictures whose source you know.",
        ),
        Kind(
            "runs-code", "⊘", "This file runs code: refuse it",
            "Whoever loads this file in the usual way runs a program that its maker put into it. "
            "It was read here without loading it. A checkpoint needs no program.",
            "Do not load this file anywhere. Isolate the machines where it was loaded, and tell "
            "your security team. Whether its model has a backdoor does not matter any more.",
            "Refuse the delivery as malicious and name the file’s hash and the call below. Ask for "
            "tensors alone, as safetensors, and how the call came into the file.",
        ),
        Kind(
            "unknown-code", "⊘", "This file calls code that we do not know: do not load it",
            "Loading it would call functions that are neither part of the usual libraries nor "
            "known to be harmless. They were not called here.",
            "Do not load this file outside a sandbox. Ask for tensors alone, and inspect those.",
            "Ask which code the file needs and why, and for tensors alone, as safetensors.",
        ),
        Kind(
            "unsupported", "∅", "Not inspected: this kind of file is not supported",
            "The file is not one that this inspection understands. That says nothing about whether "
            "it is safe.",
            "Do not treat it as safe. Check that it is the right file; else do as advised below.",
            "Ask for the prompt learner’s or the whole model’s tensors, and which published method "
            "made them.",
        ),
        Kind(
            "unreadable", "⚠", "Not inspected: the file is damaged or built to be misread",
            "The file breaks the rules of its own format, so that programs may read different "
            "things in it. Nothing was searched for.",
            "Do not load it. Fetch it again and compare the hash with the vendor’s; if it is the "
            "same, refuse it.",
            "Name the hash and the finding below, and ask for the file again, as safetensors.",
        ),
        Kind(
            "not-done", "∅", "Not inspected: what was asked for could not be done",
            "The request, and not the file, was the trouble. Nothing is known about the file.",
            "Correct what the findings below name, and ask again. Do not treat the file as safe.",
            "Nothing yet, unless the findings below name something that only the vendor knows.",
        ),
        Kind(
            "out-of-time", "…", "No verdict: the inspection ran out of time",
            "The time that was allowed ended before the search did. What was not searched may hold "
            "anything.",
            "Do not treat the file as safe. Ask again with more time or with the profile quick.",
            "Nothing yet: the file was not at fault.",
        ),
        Kind(
            "inconclusive", "?", "No verdict: the file could not be judged",
            "The inspection could not establish that it read the model as the vendor means it, or "
            "could not complete the search. A backdoor is neither shown nor ruled out.",
            "Do not treat the file as safe. Do as advised below, and inspect again.",
            "Ask for the class list in label order, the method’s settings, the backbone, and "
            "logits of the vendor’s own for some pictures, so that the model can be proved.",
        ),
        Kind(
            "failed", "⚠", "The inspection failed: nothing is known about this file",
            "The service ended this inspection without a verdict. That is no statement about the "
            "file.",
            "Do not treat the file as safe. Ask again; if it fails again, tell whoever runs the "
            "service.",
            "Nothing: the fault is not the vendor’s.",
        ),
        Kind(
            "canceled", "∅", "The inspection was canceled: nothing is known about this file",
            "Somebody ended it before there was a verdict. That is no statement about the file.",
            "Do not treat the file as safe. Ask again, and let the inspection come to its end.",
            "Nothing: the file was not judged.",
        ),
        Kind(
            "expired", "…", "The inspection missed its deadline: nothing is known about this file",
            "The deadline that the request set, or the service’s own, came before a verdict did.",
            "Do not treat the file as safe. Ask again with a later deadline, or when fewer "
            "inspections wait.",
            "Nothing: the file was not judged.",
        ),
        Kind(
            "under-way", "…", "The inspection has not ended yet: there is no verdict",
            "Nothing can be said about the file before the inspection has ended.",
            "Wait, and load this page again. Do not deploy the file meanwhile.",
            "Nothing yet.",
        ),
    )
}  # fmt: skip
_WITHOUT_REPORT = {
    "canceled": "canceled",
    "expired": "expired",
    "queued": "under-way",
    "validating": "under-way",
    "running": "under-way",
}
"""Kinds by the status of an inspection that left no report; any other has failed."""
_REPAIRS = {
    "repaired": "repaired",
    "unproved": "repair-unproved",
    "failed": "repair-failed",
}
"""By the outcome of a repair."""
ACCUSING = frozenset({"suspicious", "backdoored", *_REPAIRS.values()})
"""Kinds that name a class and show its trigger."""


def kind_of(report: Mapping[str, Any] | None, record: Mapping[str, Any]) -> Kind:
    """Of a report, or of an inspection that left none. An unknown verdict is no verdict."""
    if report is None:
        return KINDS[_WITHOUT_REPORT.get(str(record.get("status")), "failed")]
    return KINDS[_name(report)]


def outcome_of(repair: Mapping[str, Any]) -> str:
    """`repaired`, `unproved` or `failed`; whatever says neither is no success.

    Reports from before there were such words tell whether a repair succeeded, and had no accuracy.
    """
    told, succeeded = repair.get("outcome"), repair.get("succeeded") is True
    if told is None and succeeded:
        return "unproved"
    if told == "repaired" and not succeeded:
        return "failed"
    return told if isinstance(told, str) and told in _REPAIRS else "failed"


def _name(report: Mapping[str, Any]) -> str:
    ids = {str(finding.get("id")) for finding in rows(report.get("findings"))}
    verdict = report.get("verdict")
    if RUNS_CODE in ids:
        return "runs-code"
    if verdict in ("backdoored", "suspicious"):
        if repair := table(report.get("repair")):
            return _REPAIRS[outcome_of(repair)]
        return str(verdict)
    if verdict == "clean":
        return "clean"
    return _without_verdict(report, ids)


def _without_verdict(report: Mapping[str, Any], ids: set[str]) -> str:
    if UNKNOWN_CODE in ids:
        return "unknown-code"
    if ids & NOT_DONE:
        return "not-done"
    if OUT_OF_TIME in ids:
        return "out-of-time"
    if ids & UNSUPPORTED and not report.get("per_class"):
        return "unsupported"
    stages = {str(stage.get("name")): stage.get("status") for stage in rows(report.get("stages"))}
    return "unreadable" if stages.get("read") == "failed" else "inconclusive"
