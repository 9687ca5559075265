"""Which mapping of tensors in a file is the model, and which others a loader could take for it.

Chosen is what the family's own code reads: ``state_dict``, or the whole file, or the only
mapping of a family's tensors. Every other mapping that is a family's is compared with it,
and so is whatever another loader would take (:mod:`inspector.checkpoint.loaders`); nothing
that differs stays unnamed. A prefix that all keys share is taken off where the rest is a
family: wrappers put it there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from inspector.checkpoint import families
from inspector.checkpoint.canonical import write_canonical
from inspector.checkpoint.content import Content
from inspector.checkpoint.families import Recognition
from inspector.checkpoint.limits import MIB, Limits
from inspector.checkpoint.loaders import KEY_RULES, KeyRule, name_given_twice
from inspector.checkpoint.pickles.mappings import Found
from inspector.checkpoint.source import Source
from inspector.checkpoint.tensors import View, run_count
from inspector.checkpoint.wording import printable
from inspector.errors import (
    ArtifactError,
    LimitExceeded,
    MalformedArtifact,
    UnknownFamily,
    UnsupportedFormat,
)

TOP = "."
"""How the whole file is called where a key is asked for."""
_COUNTERS = frozenset({"n_averaged"})
"""What ``torch.optim.swa_utils.AveragedModel`` counts beside the weights."""
_PREFIXES = 6
"""Parts of a common prefix; a compiled, parallel, averaged learner of a
Lightning module has five."""
_SHARED, _SMALL_BYTES = 4, 64 * MIB
_RUNS = 8_000_000
"""Each piece of a transposed tensor takes a microsecond; a whole ResNet in
channels-last has 2e6."""

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Model:
    """Tensors that are, or should be, a family's.

    ``state`` is what the user calls it by; ``views`` have the family's names, ``names`` gives the
    file's own for these; ``prefix`` was taken off all of them. ``outcome`` is what the
    families say; ``rest`` are names of the same mapping that belong to no model,
    ``extras`` those of no tensor.
    """

    state: str
    found: Found
    views: tuple[View, ...]
    names: Mapping[str, str]
    prefix: str
    outcome: Recognition | ArtifactError
    rest: tuple[str, ...] = ()
    extras: tuple[str, ...] = ()

    @property
    def family(self) -> str | None:
        """Name of the family; None where none recognised the tensors."""
        return self.outcome.family if isinstance(self.outcome, Recognition) else None

    @property
    def is_claimed(self) -> bool:
        """Whether some family has these keys, be the shapes as they may."""
        return not isinstance(self.outcome, UnknownFamily)

    @property
    def is_like_a_model(self) -> bool:
        """Whether a family's tensors are among these, whatever else may hide them."""
        return self.is_claimed or families.may_be(self.found.tensors)


@dataclass(frozen=True, slots=True)
class Choice:
    """The model that is read, the other models of the file, and what some loader takes instead.

    Beside each of the ``others`` stand the loaders that take it unless they are told otherwise;
    ``strays`` are loaders with the key that they take, where that is no model that we can read.
    """

    model: Model
    others: tuple[tuple[Model, tuple[str, ...]], ...]
    strays: tuple[tuple[str, str], ...]


def choose_state(content: Content, wanted: str | None, limits: Limits) -> Choice:
    """The model of a file, or the one that is called ``wanted``.

    Raises:
        UnsupportedFormat: there is none, or none of that name.
        MalformedArtifact: a key of the model is no string, or two are one to some loader.
        ArtifactError: a tensor of the model cannot be read.
    """
    models = _with_own_names(m for found in content.found for m in _models_in(found, content))
    model = _chosen(models, content, wanted)
    check_names(model)
    others = tuple(m for m in models if m is not model and m.is_like_a_model)
    with_loaders = tuple((other, _loaders_of(other, model, content)) for other in others)
    strays = () if wanted is not None else tuple(_strays(model, others, content))
    return Choice(model, with_loaders, strays)


def _with_own_names(models: Iterable[Model]) -> list[Model]:
    """The models, each called as no other: a key may look like the way to another one."""
    taken: set[str] = set()
    named = []
    for model in models:
        state, number = model.state, 1
        while state in taken:
            number += 1
            state = f"{model.state}#{number}"
        taken.add(state)
        named.append(replace(model, state=state))
    return named


def check_names(model: Model) -> None:
    """That all loaders see the names that we see.

    Raises:
        MalformedArtifact: a key of the model is no string, or two are one to some loader.
    """
    if model.found.is_odd:
        raise MalformedArtifact("tensor-malformed", "a key is no string, or no dictionary holds it")
    twice = name_given_twice(list(model.found.tensors))
    if twice is not None:
        raise MalformedArtifact(
            "duplicate-key", f"{printable(twice)} stands with and without a wrapper's prefix"
        )


def checked_views(model: Model, source: Source) -> tuple[View, ...]:
    """The views of a model, none too many or too large for the file that they lie in.

    Raises:
        LimitExceeded: they are.
    """
    total, limit = sum(view.size for view in model.views), _SHARED * source.size + _SMALL_BYTES
    if total > limit:
        raise LimitExceeded("bytes of all tensors", limit, total)
    scattered = sum(run_count(view) for view in model.views)
    if scattered > _RUNS:
        raise LimitExceeded("pieces that the tensors lie in", _RUNS, scattered)
    return model.views


def digest(model: Model, source: Source, limits: Limits) -> str:
    """The SHA-256 that the canonical tensors of a model would have.

    Raises:
        ArtifactError: they cannot be read.
    """
    if isinstance(model.outcome, ArtifactError):
        raise model.outcome
    return write_canonical(source, checked_views(model, source), None, limits)[1]


def _chosen(models: list[Model], content: Content, wanted: str | None) -> Model:
    claimed = [model for model in models if model.is_claimed]
    if wanted is not None:
        for model in models:
            if model.state == wanted:
                return model
        raise UnsupportedFormat(
            "no-state-dict", f"no tensors under {printable(wanted)}{_hint(models)}"
        )
    if "state_dict" in content.top:
        found = content.at(content.top["state_dict"], ("state_dict",))
        if found is None:
            raise UnsupportedFormat("no-state-dict", f"state_dict is no mapping{_hint(claimed)}")
        own = [model for model in models if model.found.value is found.value]
        return own[0] if own else _models_in(found, content)[0]
    preferred = [rule.key(content.top) for rule in KEY_RULES]
    claimed.sort(key=lambda model: not model.found.path or model.found.path[0] not in preferred)
    at_top = [model for model in models if not model.found.path]
    candidates = [model for model in claimed if not model.found.path] or claimed
    if not candidates and (at_top or len(models) == 1):
        candidates = at_top or models
    if not candidates:
        keys = ", ".join(sorted(map(printable, content.top))[:20]) or "none"
        raise UnsupportedFormat("no-state-dict", f"no mapping of a family's tensors; keys: {keys}")
    return candidates[0]


def _hint(models: Sequence[Model]) -> str:
    names = [printable(model.state) for model in models[:10]]
    return f"; there are tensors under: {', '.join(names)}" if names else ""


def _models_in(found: Found, content: Content) -> list[Model]:
    """The models of one mapping: mostly one, more where copies lie beside it under a prefix."""
    names = [name for name in found.tensors if name not in _COUNTERS or len(found.tensors) == 1]
    try:
        shapes = {name: content.view(name, found.tensors[name]).shape for name in names}
    except ArtifactError as error:
        return [_unreadable(found, names, error)]
    parts, rest = _split(shapes)
    return [
        Model(
            _state(found, part.prefix if number else ""),
            found,
            tuple(content.view(ours, found.tensors[own]) for ours, own in part.names.items()),
            part.names,
            part.prefix,
            part.outcome,
            () if number else rest,
            () if number else found.extras,
        )
        for number, part in enumerate(parts)
    ]


def _unreadable(found: Found, names: Sequence[str], error: ArtifactError) -> Model:
    """A mapping with a tensor that cannot be read; no family's unless names or place say so."""
    is_expected = families.may_be(names) or found.path in ((), ("state_dict",))
    outcome = error if is_expected else UnknownFamily(names, families.NAMES)
    return Model(_state(found, ""), found, (), {name: name for name in names}, "", outcome)


def _state(found: Found, prefix: str) -> str:
    return "/".join((*found.path, prefix) if prefix else found.path) or TOP


@dataclass(frozen=True, slots=True)
class _Part:
    """Names under one prefix, ours to theirs, and what the families say of them."""

    prefix: str
    names: Mapping[str, str]
    outcome: Recognition | ArtifactError


def _split(shapes: Shapes) -> tuple[list[_Part], tuple[str, ...]]:
    """The models that lie in one mapping, the first one first, and the names of none of them."""
    every = {name: name for name in shapes}
    whole = _peeled("", every, shapes)
    if whole is None:
        prefix, inner = _without_common("", every)
        parts = _in_groups(prefix, inner, shapes)
        return parts or [_Part("", every, _attempt(every, shapes))], _left(every, parts)
    unknown = whole.outcome.unknown if isinstance(whole.outcome, Recognition) else ()
    copies = list(_groups(whole.prefix, {name: whole.names[name] for name in unknown}, shapes))
    if copies:
        gone = {theirs for part in copies for theirs in part.names.values()}
        own = {ours: theirs for ours, theirs in whole.names.items() if theirs not in gone}
        whole = _Part(whole.prefix, own, _attempt(own, shapes))
    kept = {whole.names[name]: "" for name in unknown if name in whole.names}
    return [whole, *copies], tuple(kept)


def _in_groups(prefix: str, names: Mapping[str, str], shapes: Shapes) -> list[_Part]:
    """Models side by side, as a student and its teacher; what is in no group may be another."""
    copies = list(_groups(prefix, names, shapes))
    gone = {theirs for part in copies for theirs in part.names.values()}
    own = {ours: theirs for ours, theirs in names.items() if theirs not in gone}
    outcome = _attempt(own, shapes)
    is_own = bool(copies) and isinstance(outcome, Recognition)
    return [_Part(prefix, own, outcome), *copies] if is_own else copies


def _left(every: Mapping[str, str], parts: Sequence[_Part]) -> tuple[str, ...]:
    """Names of the file that no part has, or that its family does not know."""
    known = {
        theirs
        for part in parts
        for ours, theirs in part.names.items()
        if not (isinstance(part.outcome, Recognition) and ours in part.outcome.unknown)
    }
    return tuple(name for name in every if name not in known) if parts else ()


def _groups(prefix: str, names: Mapping[str, str], shapes: Shapes) -> Iterator[_Part]:
    """Groups of names with one first component that are some family's by themselves."""
    by_head: dict[str, dict[str, str]] = {}
    for ours, theirs in names.items():
        head, dot, rest = ours.partition(".")
        if dot and rest:
            by_head.setdefault(f"{head}.", {})[rest] = theirs
    for head, group in by_head.items():
        part = _peeled(prefix + head, group, shapes)
        if part and not (isinstance(part.outcome, Recognition) and part.outcome.unknown):
            yield part


def _peeled(prefix: str, names: dict[str, str], shapes: Shapes) -> _Part | None:
    """The names without what all of them begin with, as soon as some family has the rest."""
    for _ in range(_PREFIXES + 1):
        outcome = _attempt(names, shapes)
        if not isinstance(outcome, UnknownFamily):
            return _Part(prefix, names, outcome)
        longer, names = _without_head(prefix, names)
        if longer == prefix:
            return None
        prefix = longer
    return None


def _without_common(prefix: str, names: dict[str, str]) -> tuple[str, dict[str, str]]:
    """The names without all that they have in common at the front."""
    for _ in range(_PREFIXES):
        prefix, names = _without_head(prefix, names)
    return prefix, names


def _without_head(prefix: str, names: dict[str, str]) -> tuple[str, dict[str, str]]:
    """The names without the first component that all of them share, if there is one."""
    heads = {name.partition(".")[0] if "." in name else None for name in names}
    head = heads.pop() if len(heads) == 1 else None
    if head is None or f"{head}." in names:
        return prefix, names
    inner = {ours.removeprefix(f"{head}."): theirs for ours, theirs in names.items()}
    return f"{prefix}{head}.", inner


def _attempt(names: Mapping[str, str], shapes: Shapes) -> Recognition | ArtifactError:
    try:
        return families.recognise({ours: shapes[theirs] for ours, theirs in names.items()})
    except ArtifactError as error:
        return error


def _loaders_of(other: Model, model: Model, content: Content) -> tuple[str, ...]:
    """The loaders that take ``other`` and not ``model``."""
    if other.found.value is model.found.value:
        return ()
    return tuple(
        rule.loader for rule in KEY_RULES if _target(rule, content)[1] is other.found.value
    )


def _strays(model: Model, others: Sequence[Model], content: Content) -> Iterator[tuple[str, str]]:
    """Loaders that take neither the chosen model nor another one that is named anyway."""
    for rule in KEY_RULES:
        key, value = _target(rule, content)
        if value is model.found.value:
            is_named = _is_same_under(rule, model)
        else:
            is_named = value is None or any(value is other.found.value for other in others)
            is_named = is_named or not _has_weights(value, content)
        if not is_named:
            yield rule.loader, key or TOP


def _target(rule: KeyRule, content: Content) -> tuple[str | None, object]:
    """The key that a loader takes, and what stands there; None if the whole file has no tensors."""
    key = rule.key(content.top)
    if key is not None:
        return key, content.top[key]
    outer = next((found for found in content.found if not found.path), None)
    return None, outer.value if outer else None


def _is_same_under(rule: KeyRule, model: Model) -> bool:
    """Whether a loader gives a model's tensors the model's names, behind one prefix or none."""
    theirs = list(model.found.keys)
    renamed: dict[str, str] = dict(zip(rule.rename(theirs), theirs, strict=True))
    mine = model.names
    first_ours, first_theirs = next(iter(mine.items()), ("", ""))
    names = [new for new, old in renamed.items() if old == first_theirs]
    prefix = names[0].removesuffix(first_ours) if names and names[0].endswith(first_ours) else None
    if prefix is None or any(renamed.get(prefix + name) != mine[name] for name in mine):
        return False
    # Another model of the same mapping may lose so much of its names that it joins this one.
    joining = [new for new, old in renamed.items() if old not in mine.values()]
    return not any(
        name.startswith(prefix) and families.is_known(name.removeprefix(prefix))
        for name in joining
        if renamed[name] in model.found.tensors and renamed[name] != name
    )


def _has_weights(value: object, content: Content) -> bool:
    """Whether a loader gets more than numbers: a tensor with a dimension, or the unreadable."""
    found = content.at(value, ())
    if found is None:
        return not isinstance(value, list | tuple | str | int | float)
    for name, node in found.tensors.items():
        try:
            if content.view(name, node).numel > 1:
                return True
        except ArtifactError:
            return True
    return False
