"""Options as a command of Typer takes them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from functools import wraps
from itertools import chain
from typing import Annotated, Any, Literal, get_type_hints

import typer

from inspector.options.definition import Spec, Way, WrongOption, specs


def taking(way: Way, **bundles: type) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A command whose arguments named in `bundles` are dataclasses of options.

    Whoever calls the command gives each option by itself, as those of the bundle that `way` may
    give; the rest of a bundle has its defaults.
    """

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        given = {name: specs(bundle, way) for name, bundle in bundles.items()}

        @wraps(command)
        def run(**values: Any) -> Any:
            for name, listed in given.items():
                asked = {spec.name: values.pop(spec.name, spec.default) for spec in listed}
                values[name] = bundles[name](**asked)
            return command(**values)

        parameters = [*_own(command, set(bundles)), *map(_parameter, chain(*given.values()))]
        # Defaults stand behind what has none; Typer tells arguments by their annotation.
        parameters.sort(key=lambda one: one.default is not inspect.Parameter.empty)
        vars(run).pop("__wrapped__")
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {one.name: one.annotation for one in parameters}
        return run

    return decorate


def _own(command: Callable[..., Any], without: set[str]) -> Iterator[inspect.Parameter]:
    """The command's own parameters, their annotations no longer strings."""
    hints = get_type_hints(command, include_extras=True)
    for name, one in inspect.signature(command).parameters.items():
        if name not in without:
            yield one.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=hints[name])


def _parameter(spec: Spec) -> inspect.Parameter:
    return inspect.Parameter(
        spec.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=spec.default,
        annotation=_annotated(spec),
    )


def _annotated(spec: Spec) -> Any:
    if spec.kind is bool:
        return Annotated[bool, typer.Option(spec.flag, help=spec.help)]
    if spec.choices:
        return Annotated[Literal[spec.choices], typer.Option(spec.flag, help=spec.help)]
    if spec.word is not None or spec.kind is str:
        # Typer has no number that may also be a word.
        told = typer.Option(
            spec.flag, metavar=spec.metavar, help=spec.help, callback=_checking(spec)
        )
        return Annotated[str | None if spec.default is None else str, told]
    bounded = typer.Option(
        spec.flag, min=spec.least, max=spec.most, metavar=spec.metavar, help=spec.help
    )
    return Annotated[spec.kind | None if spec.default is None else spec.kind, bounded]


def _checking(spec: Spec) -> Callable[[str | None], Any]:
    def check(given: str | None) -> Any:
        try:
            return given if given is None else spec.parsed(given)
        except WrongOption as problem:
            raise typer.BadParameter(problem.detail) from problem

    return check
