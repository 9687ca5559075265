"""A calibration as a JSON file: what was inspected how, and the scores that came out. Torch-free.

The `id` is a hash of everything else in the file, so that a report which names it names these very
scores, and a file that was changed afterwards is refused. There is no clock in it: the same command
writes the same bytes. Knows nothing of the inspection that it is held against.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

from inspector.errors import RequestError
from inspector.manifest import Triple, spoken

SCHEMA = "clipvet-calibration/1"
STATISTIC = "lead-7"
"""Version of the score. Another rule gives other scores, which these say nothing about."""
FEWEST = 5
"""Scores below which a file is refused: the smallest p-value would be above 0.16."""

Kind = Literal["conditioned", "static"]
Method = Literal["CoCoOp", "CoOp"]
KINDS: dict[Method, Kind] = {"CoCoOp": "conditioned", "CoOp": "static"}
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
class Calibration:
    """Scores of honest models, ascending; `recipes` says in the same order how each was tuned.

    engine: version of clipvet. probes: sha256 of both pools. seed: of the models and of the search.
    """

    engine: str
    statistic: str
    backbone: Weights
    kind: Kind
    method: Method
    classes: ClassNames
    profile: str
    probes: str
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
    here: tuple[Weights, ClassNames], method: Method, profile: str, probes: str, seed: int,
    models: Sequence[tuple[float, Mapping[str, Any]]],
) -> Calibration:  # fmt: skip
    """A calibration of this engine and statistic from (score, recipe) of each model."""
    ranked = sorted(models, key=lambda model: model[0])
    backbone, classes = here
    return Calibration(
        engine=_engine(),
        statistic=STATISTIC,
        backbone=backbone,
        kind=KINDS[method],
        method=method,
        classes=classes,
        profile=profile,
        probes=probes,
        seed=seed,
        recipes=tuple(recipe for _, recipe in ranked),
        scores=tuple(score for score, _ in ranked),
    )


def _engine() -> str:
    try:
        return version("clipvet")
    except PackageNotFoundError:
        return "unknown"


def _id(content: Mapping[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def save(calibration: Calibration, path: Path) -> None:
    """The whole file or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_text(json.dumps(calibration.to_json(), indent=2, allow_nan=False) + "\n")
    partial.replace(path)


def load(path: Path) -> Calibration:
    """Read and check a file.

    Raises:
        RequestError: it cannot be read, a field is missing, of a wrong type or out of range, or the
            id is not that of the content; the field is named.
    """
    try:
        data = json.loads(path.read_text("utf-8"), parse_constant=_refuse)
    except (OSError, ValueError, RecursionError) as problem:
        raise RequestError("calibration", f"cannot read {path.name}: {problem}") from problem
    if not isinstance(data, dict):
        raise _wrong(path, "", "is no JSON object")
    if data.get("schema") != SCHEMA:
        raise _wrong(path, ".schema", f"is {data.get('schema')!r}, not {SCHEMA!r}")
    calibration = _Fields(data, path).calibration()
    if data.get("id") != calibration.id or set(data) != set(calibration.to_json()):
        raise _wrong(path, ".id", "is not that of the content: the file was changed or cut")
    return calibration


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


def _wrong(path: Path, field: str, detail: str) -> RequestError:
    return RequestError(f"calibration{field}", f"{detail} ({path.name})")


@dataclass(frozen=True, slots=True)
class _Fields:
    """Takes a JSON object apart, field by field."""

    data: Mapping[str, Any]
    path: Path

    def calibration(self) -> Calibration:
        method = self._one_of("method", KINDS)
        scores, recipes = self._scores(), self._recipes()
        if len(scores) != len(recipes):
            raise _wrong(self.path, ".recipes", f"are {len(recipes)} for {len(scores)} scores")
        return Calibration(
            engine=self._text(self.data, "engine"),
            statistic=self._text(self.data, "statistic"),
            backbone=self._weights(),
            kind=self._one_of("kind", [KINDS[method]]),
            method=method,
            classes=self._classes(),
            profile=self._text(self.data, "profile"),
            probes=self._text(self.data, "probes"),
            seed=self._integer(self.data, "seed", 0),
            recipes=recipes,
            scores=scores,
        )

    def _text(self, data: Mapping[str, Any], name: str, prefix: str = "") -> str:
        value = data.get(name)
        if not isinstance(value, str) or not value:
            raise _wrong(self.path, f"{prefix}.{name}", "is no text")
        return value

    def _integer(self, data: Mapping[str, Any], name: str, least: int, prefix: str = "") -> int:
        value = data.get(name)
        if type(value) is not int or value < least:
            raise _wrong(self.path, f"{prefix}.{name}", f"is no integer from {least} on")
        return value

    def _object(self, name: str) -> Mapping[str, Any]:
        value = self.data.get(name)
        if not isinstance(value, dict):
            raise _wrong(self.path, f".{name}", "is no object")
        return value

    def _one_of(self, name: str, known: Any) -> Any:
        value = self.data.get(name)
        if not isinstance(value, str) or value not in known:
            raise _wrong(self.path, f".{name}", f"is {value!r}, not {' or '.join(known)}")
        return value

    def _weights(self) -> Weights:
        value = self._object("backbone")
        mean, std = (self._triple(value, name) for name in ("mean", "std"))
        return Weights(self._text(value, "sha256", ".backbone"), mean, std)

    def _triple(self, data: Mapping[str, Any], name: str) -> Triple:
        value = data.get(name)
        if not isinstance(value, list) or len(value) != 3 or not all(map(_is_finite, value)):
            raise _wrong(self.path, f".backbone.{name}", "are not three finite numbers")
        return value[0], value[1], value[2]

    def _classes(self) -> ClassNames:
        value = self._object("classes")
        return ClassNames(
            self._integer(value, "count", 2, ".classes"), self._text(value, "sha256", ".classes")
        )

    def _scores(self) -> tuple[float, ...]:
        value = self.data.get("scores")
        if not isinstance(value, list) or not all(map(_is_finite, value)):
            raise _wrong(self.path, ".scores", "is no list of finite numbers")
        if len(value) < FEWEST:
            raise _wrong(self.path, ".scores", f"are {len(value)}, needed are {FEWEST} or more")
        if value != sorted(value):
            raise _wrong(self.path, ".scores", "do not ascend")
        return tuple(value)

    def _recipes(self) -> tuple[Mapping[str, Any], ...]:
        value = self.data.get("recipes")
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise _wrong(self.path, ".recipes", "is no list of objects")
        return tuple(value)


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and type(value) is not bool and math.isfinite(value)
