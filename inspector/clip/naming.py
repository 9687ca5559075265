"""Class names that a file itself tells, without torch: its embedding rows back to words.

With a backbone at hand every row is compared bit for bit; without one, the indexes that come with
clipvet (:mod:`inspector.clip.vocabulary`) are tried, and the one that knows most rows speaks.
Zero-shot prompts state their classes themselves. What the names should be is
the assembly's question.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from inspector.checkpoint import Reading, TensorInfo, families
from inspector.checkpoint.families.zero_shot import STATEMENT
from inspector.clip.classlist import decode_names
from inspector.clip.registry import locate
from inspector.clip.statement import with_statement
from inspector.clip.suffix import Ids, find_altered, prompts_of, rows_to_tokens
from inspector.clip.vocabulary import TokenIndex
from inspector.clip.weightfiles import in_safetensors
from inspector.errors import AssemblyError, BackboneError, RequestError
from inspector.findings import Finding, Severity
from inspector.manifest import Manifest

_TYPES: dict[str, type[np.floating[Any]]] = {
    "F16": np.float16,
    "F32": np.float32,
    "F64": np.float64,
}
_TABLES = (
    "token_embedding.weight",
    "text.token_embedding.weight",
    "text_model.embeddings.token_embedding.weight",
)
"""In OpenAI's and open_clip's layout, in open_clip's with a text tower of
its own, Hugging Face's."""
_PROMPTS_AT_ONCE = 50
_KNOWN_SHARE = 0.5
"""Rows that an index must know before the file counts as of its backbone; rows of another backbone
match none, those of a file that was tampered with nearly all."""


@dataclass(frozen=True, slots=True)
class DecodedNames:
    """Class names read from the file, or None, and what was odd about them.

    ``vocabulary`` names the backbone whose token embedding the rows are of, None where unknown;
    ``by`` says whether the backbone itself or its index was asked; ``source`` whether the names
    were decoded from rows or are stated in so many words.
    """

    names: tuple[str, ...] | None = None
    vocabulary: str | None = None
    by: Literal["backbone", "index"] | None = None
    findings: tuple[Finding, ...] = ()
    source: Literal["decoded", "stated"] = "decoded"


def names_by_statement(reading: Reading, canonical: Path) -> DecodedNames | None:
    """The classes that zero-shot prompts state; None for any other artifact."""
    if all(tensor.name != STATEMENT for tensor in reading.tensors):
        return None
    try:
        stated = with_statement(_read(canonical, STATEMENT).tobytes(), Manifest.parse({})).manifest
    except AssemblyError as problem:
        return undecoded(problem.finding_id, problem.detail, problem.remedy)
    return DecodedNames(stated.classnames, source="stated")


def names_by_backbone(reading: Reading, canonical: Path, spec: str) -> DecodedNames:
    """Ask the token embedding of backbone ``spec``; whatever keeps it from answering is a finding.

    Raises:
        RequestError: it is not on this machine.
        BackboneError: its token embedding cannot be read.
    """
    table = token_embedding(spec)
    info = _suffix_info(reading)
    if info is None:
        return undecoded("class-list-missing", "the file has no token_suffix to read names from")
    if not _is_exact(reading, info):
        kind = info.dtype if info.dtype not in _TYPES else "averaged rows"
        return undecoded("class-list-missing", f"names in {kind} are read by inspect only")
    if info.shape[-1] != table.shape[1]:
        shapes = f"{'x'.join(map(str, info.shape))}, its token embedding {table.shape[1]} columns"
        return undecoded("backbone-mismatch", f"token_suffix is {shapes}")
    rounded = table.astype(_TYPES[info.dtype])
    ids = _ids(canonical, info, lambda rows: rows_to_tokens(rows, rounded))
    return _named(ids, reading, DecodedNames(None, spec, "backbone"))


def names_by_index(
    reading: Reading, canonical: Path, indexes: Iterable[TokenIndex]
) -> DecodedNames:
    """Ask each of ``indexes``; silent when none knows the rows: nobody said that one would."""
    info = _suffix_info(reading)
    if info is None or not _is_exact(reading, info):
        return DecodedNames()
    fitting = [index for index in indexes if index.width == info.shape[-1]]
    if not fitting:
        return DecodedNames()
    tried = [(_ids(canonical, info, index.tokens_of), index) for index in fitting]
    ids, best = max(tried, key=lambda pair: float((pair[0] >= 0).mean()))
    if (ids >= 0).mean() < _KNOWN_SHARE:
        return DecodedNames()
    return _named(ids, reading, DecodedNames(None, best.name, "index"))


def token_embedding(spec: str) -> NDArray[np.floating[Any]]:
    """The token embedding (V, W) of a backbone on this machine, in the type it is stored in.

    Raises:
        RequestError, BackboneError: see :func:`names_by_backbone`.
    """
    location = locate(spec)
    if not location.weights:
        raise RequestError("backbone", f"{spec!r} is not on this machine; scan downloads nothing")
    with in_safetensors(location) as files:
        for path in files:
            try:
                with safe_open(path, framework="numpy") as file:
                    name = next((name for name in _TABLES if name in file.keys()), None)  # noqa: SIM118
                    if name is not None:
                        return file.get_tensor(name)  # type: ignore[no-any-return]
            except (OSError, SafetensorError, TypeError) as problem:
                raise location.unusable("its token embedding cannot be read", problem) from problem
    raise BackboneError(spec, f"its weights hold none of {', '.join(_TABLES)}")


def undecoded(identifier: str, message: str, remedy: str = "") -> DecodedNames:
    """No names, and the finding that says why."""
    return DecodedNames(findings=(Finding(identifier, Severity.MEDIUM, message, remedy),))


def _suffix_info(reading: Reading) -> TensorInfo | None:
    found = (tensor for tensor in reading.tensors if tensor.name.endswith("token_suffix"))
    return next(
        (tensor for tensor in found if len(tensor.shape) == 3 and 0 not in tensor.shape), None
    )


def _is_exact(reading: Reading, info: TensorInfo) -> bool:
    """Whether rows are still bit for bit those of a backbone, in a type that numpy has."""
    is_rounded = reading.family is not None and families.named(reading.family).rounding > 0
    return info.dtype in _TYPES and not is_rounded


def _ids(path: Path, info: TensorInfo, lookup: Callable[[NDArray[Any]], Ids]) -> Ids:
    """Token ids of all rows of a tensor; a thousand classes have 150 MB of them, so in pieces."""
    with safe_open(path, framework="numpy") as file:
        rows = file.get_slice(info.name)
        bounds = [*range(0, info.shape[0], _PROMPTS_AT_ONCE), info.shape[0]]
        return np.concatenate([lookup(rows[start:stop]) for start, stop in pairwise(bounds)])


def _named(ids: Ids, reading: Reading, known: DecodedNames) -> DecodedNames:
    """``known`` with the names that ``ids`` spell, or with what is odd about them."""
    altered = find_altered(ids)
    if altered is not None:
        return replace(known, findings=(altered,))
    prompts = prompts_of(ids)
    count = reading.options.get("num_classes")
    if isinstance(count, int) and 0 < count < len(prompts):
        # PLOT keeps the rows of all classes once for every set of its prompts.
        if any(prompt != prompts[row % count] for row, prompt in enumerate(prompts)):
            message = f"{len(prompts)} rows of token_suffix do not repeat the first {count}"
            return replace(
                known, findings=(Finding("token-suffix-altered", Severity.HIGH, message),)
            )
        prompts = prompts[:count]
    try:
        return replace(known, names=decode_names(prompts))
    except AssemblyError as problem:
        return undecoded(problem.finding_id, problem.detail, problem.remedy)


def _read(path: Path, name: str) -> NDArray[Any]:
    with safe_open(path, framework="numpy") as file:
        return file.get_tensor(name)  # type: ignore[no-any-return]
