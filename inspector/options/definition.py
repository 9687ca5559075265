"""What an option is: a field of a dataclass that says what may be given, and what for."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import Field, dataclass, fields
from typing import Any, Literal

Way = Literal["inspect", "repair", "calibrate", "read", "submit", "rest", "trojai"]
"""Where an option may be given; `read` are the commands that only read a checkpoint. A request to a
worker's child has them all."""
EVERYWHERE: tuple[Way, ...] = ("inspect", "repair", "submit", "rest", "trojai")
_KEY = "option"
_WORDS = {str: "a string", int: "a whole number", float: "a number", bool: "true or false"}


class WrongOption(ValueError):
    """A value that an option cannot have; ``name`` is the option's."""

    def __init__(self, name: str, detail: str) -> None:
        super().__init__(detail)
        self.name, self.detail = name, detail


@dataclass(frozen=True, slots=True)
class Spec:
    """One option.

    Attributes:
        name: its key in JSON; on the command line `flag`.
        kind: str, int, float or bool.
        default: None is also what is meant where nothing is given.
        choices: of strings, all that there are.
        least, most: bounds of numbers, or lengths of strings, both allowed.
        word: a string that may stand in place of a number.
        archives: of a string that is the path of a folder of pictures, what may stand for the
            folder: zip, tar. Over REST it is the id of such an archive, which `submit` uploads.
        needs: an option of true or false without which nothing reads this one.
        ways: where it may be given.
    """

    name: str
    kind: type
    default: Any
    help: str
    choices: tuple[str, ...] = ()
    least: float | None = None
    most: float | None = None
    word: str | None = None
    archives: tuple[str, ...] = ()
    needs: str | None = None
    flag: str = ""
    metavar: str | None = None
    ways: tuple[Way, ...] = EVERYWHERE

    @property
    def is_pictures(self) -> bool:
        """Whether it is a path here and an upload elsewhere."""
        return bool(self.archives)

    @property
    def is_unread(self) -> str:
        """What to tell whoever gives it without what it needs."""
        return f"it serves a {self.needs} only: set {self.needs} to true, or leave {self.name} out"

    def checked(self, value: object) -> Any:
        """The value, as the kind that it is.

        Raises:
            WrongOption: it is another kind, none of the choices, or out of bounds.
        """
        if value is None and self.default is None:
            return None
        if self.word is not None and value == self.word:
            return value
        if not self._is_of_kind(value):
            raise WrongOption(self.name, f"{value!r:.100} is not {self._expected()}")
        if isinstance(value, str):
            if self.choices and value not in self.choices:
                raise WrongOption(self.name, f"{value!r:.100} is not {self._expected()}")
            self._bounded(len(value), value)
            return value
        if isinstance(value, bool):
            return value
        assert isinstance(value, int | float)
        self._bounded(value, value)
        return self.kind(value)

    def parsed(self, text: str) -> Any:
        """The value that a word on the command line means; raises WrongOption as `checked`."""
        if self.word is not None and text == self.word:
            return text
        try:
            value: object = text if self.kind is str else self.kind(text)
        except ValueError:
            value = text
        return self.checked(value)

    def json_schema(self) -> dict[str, Any]:
        """The same in JSON Schema."""
        types = {str: "string", int: "integer", float: "number", bool: "boolean"}
        schema: dict[str, Any] = {"type": types[self.kind]}
        if self.choices:
            schema["enum"] = list(self.choices)
        names = ("minLength", "maxLength") if self.kind is str else ("minimum", "maximum")
        for name, bound in zip(names, (self.least, self.most), strict=True):
            if bound is not None:
                schema[name] = bound
        if self.word is not None:
            schema = {"anyOf": [{"const": self.word}, schema]}
        told = {} if self.default is None else {"default": self.default}
        return {"description": self.help, **schema, **told}

    def _is_of_kind(self, value: object) -> bool:
        if isinstance(value, bool) or self.kind is bool:
            return isinstance(value, bool) and self.kind is bool
        if self.kind is float:
            return isinstance(value, int | float) and math.isfinite(value)
        if self.kind is int and isinstance(value, float):
            return value.is_integer()  # JSON has one kind of number: 2.0 is whole.
        return isinstance(value, self.kind)

    def _bounded(self, number: float, value: object) -> None:
        if (self.least is not None and number < self.least) or (
            self.most is not None and number > self.most
        ):
            raise WrongOption(self.name, f"{value!r:.100} is not {self._expected()}")

    def _expected(self) -> str:
        if self.choices:
            return f"one of {', '.join(self.choices)}"
        said = _WORDS[self.kind]
        if self.kind is str and self.least is not None:
            said += f" of {self.least:g} to {self.most:g} characters"
        elif self.least is not None:
            said += f" from {self.least:g} on" + (
                f", at most {self.most:g}" if self.most is not None else ""
            )
        return f"{self.word} or {said}" if self.word is not None else said


def option(help_: str, kind: type, **more: Any) -> dict[str, Any]:
    """Metadata of a field that is an option; `more` as in `Spec`."""
    return {_KEY: (help_, kind, more)}


def specs(of: type, way: Way | None = None) -> tuple[Spec, ...]:
    """The options among the fields of a dataclass, in order; with `way` those that it may give."""
    return tuple(spec for spec in _specs(of) if way is None or way in spec.ways)


def _specs(of: type) -> Iterator[Spec]:
    for one in fields(of):
        if _KEY in one.metadata:
            yield _spec(one)


def _spec(one: Field[Any]) -> Spec:
    help_, kind, more = one.metadata[_KEY]
    flag = "--" + one.name.replace("_", "-")
    return Spec(one.name, kind, one.default, help_, **{"flag": flag, **more})
