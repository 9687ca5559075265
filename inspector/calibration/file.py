"""A calibration as a JSON file: what was inspected how, and the scores that came out. Torch-free.

The `id` is a hash of everything else in the file, so that a report which names it names these very
scores, and a file that was changed afterwards is refused. There is no clock in it: the same command
writes the same bytes. Knows nothing of the inspection that it is held against.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from inspector.calibration.engine import installed
from inspector.calibration.schema import FORM, KINDS, SCHEMA, Kind, Method
from inspector.errors import RequestError
from inspector.files import problem_of, read_json, write_json
from inspector.manifest import Triple, spoken
from inspector.profiles import Profile

_METHODS: dict[str, Method] = {
    "CoCoOp": "CoCoOp",
    "BadCLIP": "CoCoOp",
    "CoOp": "CoOp",
    "ProGrad": "CoOp",
    "KgCoOp": "CoOp",
}


def method_of(family: str) -> Method | None:
    """The method whose honest models are of a family's form; None where we tune none such.

    Only families whose files hold a context, and a meta-net or not, and nothing else.
    """
    return _METHODS.get(family)


@dataclass(frozen=True, slots=True)
class Weights:
    """The backbone: sha256 of its weight file, and how pixels are normalised for it."""

    sha256: str
    mean: Triple
    std: Triple


@dataclass(frozen=True, slots=True)
class ClassNames:
    """A class list by number and hash, not by its names, which may be nobody else's business."""

    count: int
    sha256: str

    @classmethod
    def of(cls, names: Sequence[str]) -> ClassNames:
        """Names as the tokenizer sees them: case and underscores do not count, order does."""
        seen = [" ".join(spoken(name).lower().split()) for name in names]
        return cls(len(seen), hashlib.sha256(json.dumps(seen).encode()).hexdigest())


@dataclass(frozen=True, slots=True)
class Probes:
    """Pools of pictures, to search on and held out, by sha256 and numbers."""

    sha256: str
    pictures: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Calibration:
    """Scores of honest models, ascending; `recipes` says in the same order how each was tuned.

    engine: version of clipvet. class_counts: fewest and most classes of one of its models. probes:
    sha256 of both pools. pictures: numbers of these. seed: of the models and of the search.
    """

    engine: str
    statistic: str
    backbone: Weights
    kind: Kind
    method: Method
    classes: ClassNames
    class_counts: tuple[int, int]
    profile: str
    probes: str
    pictures: tuple[int, int]
    seed: int
    recipes: tuple[Mapping[str, Any], ...]
    scores: tuple[float, ...]

    @property
    def id(self) -> str:
        """First 16 hex digits of the sha256 over the canonical content."""
        return _id(self._content())

    def to_json(self) -> dict[str, Any]:
        """The content of the file."""
        content = self._content()
        return {"schema": SCHEMA, "id": _id(content)} | content

    def _content(self) -> dict[str, Any]:
        # Through JSON and back, so that a file read again is hashed in the same form.
        content: dict[str, Any] = json.loads(json.dumps({"schema": SCHEMA} | asdict(self)))
        return content


def made(
    here: tuple[Weights, ClassNames], method: Method, profile: Profile, probes: Probes, seed: int,
    models: Sequence[tuple[float, Mapping[str, Any]]], class_counts: tuple[int, int] | None = None,
) -> Calibration:  # fmt: skip
    """A calibration of this engine and the profile's statistic from (score, recipe) of each.

    class_counts: fewest and most classes, where the models have not all the same.
    """
    ranked = sorted(models, key=lambda model: model[0])
    backbone, classes = here
    return Calibration(
        engine=installed() or "unknown",
        statistic=profile.statistic,
        backbone=backbone,
        kind=KINDS[method],
        method=method,
        classes=classes,
        class_counts=class_counts or (classes.count, classes.count),
        profile=profile.name,
        probes=probes.sha256,
        pictures=probes.pictures,
        seed=seed,
        recipes=tuple(recipe for _, recipe in ranked),
        scores=tuple(score for score, _ in ranked),
    )


def _id(content: Mapping[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def save(calibration: Calibration, path: Path) -> None:
    """The whole file or nothing."""
    write_json(path, calibration.to_json())


def load(path: Path) -> Calibration:
    """Read and check a file.

    Raises:
        RequestError: it cannot be read, a field is missing, of a wrong type or out of range, or the
            id is not that of the content; the field is named.
    """
    try:
        data = read_json(path)
    except (OSError, ValueError) as problem:
        why = problem.strerror if isinstance(problem, OSError) else problem
        raise RequestError("calibration", f"cannot read {path.name}: {why}") from problem
    wrong = problem_of(data, FORM) or _problem(data)
    if wrong:
        raise RequestError(f"calibration.{wrong[0]}".rstrip("."), f"{wrong[1]} ({path.name})")
    calibration = _calibration(data)
    if data["id"] != calibration.id:
        detail = f"is not that of the content: the file was changed or cut ({path.name})"
        raise RequestError("calibration.id", detail)
    return calibration


def _problem(data: Mapping[str, Any]) -> tuple[str, str] | None:
    """What a schema cannot say, as (field, message)."""
    scores, recipes, method = data["scores"], data["recipes"], data["method"]
    if scores != sorted(scores):
        return "scores", "do not ascend"
    if len(scores) != len(recipes):
        return "recipes", f"are {len(recipes)} for {len(scores)} scores"
    if data["kind"] != KINDS[method]:
        return "kind", f"is {data['kind']!r}, that of {method} is {KINDS[method]!r}"
    return None


def _calibration(data: Mapping[str, Any]) -> Calibration:
    content = {name: data[name] for name in (field.name for field in fields(Calibration))}
    trusted = data["backbone"]
    return Calibration(
        **content
        | {
            "backbone": Weights(trusted["sha256"], tuple(trusted["mean"]), tuple(trusted["std"])),
            "classes": ClassNames(**data["classes"]),
            "class_counts": tuple(data["class_counts"]),
            "pictures": tuple(data["pictures"]),
            "recipes": tuple(data["recipes"]),
            "scores": tuple(data["scores"]),
        }
    )
