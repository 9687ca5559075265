"""The options of an inspection as fields of a JSON body, from the one definition of them.

Knows no option by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, create_model

from inspector.options import Options, Policy, Selection, Spec, specs

UploadId = Annotated[str, StringConstraints(pattern=r"^upl_[0-9a-f]{32}$")]
_VISIBLE = r"^[^\x00-\x1f]+$"
READ: tuple[Spec, ...] = (*specs(Selection, "rest"), *specs(Options, "rest"))
"""What the inspection itself reads."""
NEEDING: dict[str, Spec] = {spec.name: spec for spec in READ if spec.needs}
"""By name, options that nothing reads without another one."""


def uploads_named(asked: Mapping[str, Any]) -> dict[str, str]:
    """By option, the identifiers of the uploads that a request needs besides its artifact."""
    pictures = [spec for spec in specs(Options, "rest") if spec.is_pictures]
    # What was asked for before there was some option does not have it.
    given = {spec.name: asked.get(spec.name, spec.default) for spec in pictures}
    return {spec.name: given[spec.name] for spec in pictures if given[spec.name] != spec.default}


def _type(spec: Spec) -> Any:
    if spec.kind is bool:
        return bool
    if spec.choices:
        return Literal[spec.choices]
    if spec.is_pictures:
        return UploadId if spec.default is None else Literal[spec.default] | UploadId
    if spec.kind is str:
        lengths = {"min_length": spec.least, "max_length": spec.most}
        limits: Any = {name: int(bound) for name, bound in lengths.items() if bound is not None}
        return Annotated[str, StringConstraints(pattern=_VISIBLE, **limits)]
    finite: Any = {"allow_inf_nan": False} if spec.kind is float else {}
    number: Any = Annotated[spec.kind, Field(ge=spec.least, le=spec.most, **finite)]
    return number if spec.word is None else Literal[spec.word] | number


def _field(spec: Spec) -> Any:
    kind = _type(spec)
    if spec.default is None:
        kind = kind | None
    told = spec.help
    if spec.is_pictures:
        told += f" Here: an uploaded {' or '.join(spec.archives)}, by its id."
    if spec.needs:
        told += f" Needs {spec.needs}."
    return Annotated[kind, Field(description=told)], spec.default


def body(name: str, listed: tuple[Spec, ...] = (*READ, *specs(Policy, "rest"))) -> Any:
    """A model with these options as its fields."""
    return create_model(name, **{spec.name: _field(spec) for spec in listed})
