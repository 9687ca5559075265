"""From a name as it is typed to a registered id, open_clip's ``NAME/TAG`` or ``hf-hub:ORG/NAME``.

Words and numbers of a name count, not what joins them: ``ViT-B/16``, ``ViT-B-16`` and ``vit_b16``
are one. OpenAI's own names mean OpenAI's weights, since nobody else's go by the bare name; any
other architecture needs a tag, unless it has but one. What fits two things is refused with both.
Spellings: ``clip.available_models()`` of openai/CLIP, the configurations of KaiyangZhou/CoOp, the
repositories of OpenAI and of open_clip's authors on the Hugging Face hub.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from pathlib import Path

BUILT_IN = ("pocket",)
"""Ids that every installation has."""
_OPENAI = {
    "RN50": ("RN50", "resnet50"),
    "RN101": ("RN101", "resnet101"),
    "RN50x4": ("RN50x4", "resnet50x4"),
    "RN50x16": ("RN50x16", "resnet50x16"),
    "RN50x64": ("RN50x64", "resnet50x64"),
    "ViT-B-32": ("ViT-B/32", "vit-base-patch32"),
    "ViT-B-16": ("ViT-B/16", "vit-base-patch16"),
    "ViT-L-14": ("ViT-L/14", "vit-large-patch14"),
    "ViT-L-14-336": ("ViT-L/14@336px", "vit-large-patch14-336"),
}
"""By the name in open_clip, first OpenAI's own spelling, then what the hub calls it."""
_PREFIXES = ("", "clip-", "openai/", "openai/clip-")
_HUB = "hf-hub:"
_PIN = "@sha256:"
_SHAPE = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9 _.:@/+-]*[A-Za-z0-9])?")
_REPOSITORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*/[A-Za-z0-9][A-Za-z0-9_.-]*")
_LONGEST = 200
_NEAREST, _LIKENESS = 3, 0.6

Key = tuple[str, ...]


class UnknownName(ValueError):
    """No backbone goes by that name, or more than one does.

    ``detail`` is one sentence without the list of all; ``nearest`` are names that may have been
    meant, ``registered`` all ids that there are.
    """

    def __init__(self, detail: str, nearest: tuple[str, ...], registered: tuple[str, ...]) -> None:
        end = "" if detail.endswith("?") else "."
        super().__init__(
            f"{detail}{end} Registered: {', '.join(registered)}. Understood besides: OpenAI's "
            f"names ({', '.join(spelled[0] for spelled in _OPENAI.values())}), NAME/TAG of "
            f"open_clip, {_HUB}ORG/NAME"
        )
        self.detail = detail
        self.nearest = nearest
        self.registered = registered


@dataclass(frozen=True, slots=True)
class Named:
    """A backbone's one name, and the sha256 that its weights must have, or ""."""

    name: str
    pin: str = ""

    def __str__(self) -> str:
        return f"{self.name}{_PIN}{self.pin}" if self.pin else self.name


def split_pin(spec: str) -> Named:
    """Take ``NAME[@sha256:HEX]`` apart."""
    name, _, pin = spec.partition(_PIN)
    return Named(name, pin.lower())


def understand(spec: str, registered: Collection[str] = ()) -> Named:
    """The backbone that ``spec`` means; an id in ``registered`` goes before everything else.

    Raises:
        UnknownName: nothing goes by that name, or several things do.
    """
    given = split_pin(spec)
    ids = tuple(sorted({*BUILT_IN, *registered}))
    if given.name in ids:
        return given
    try:
        name = _resolved(given.name)
    except _Several as problem:
        detail = f"{problem.why}: {', '.join(problem.names)}"
        raise UnknownName(detail, problem.names, ids) from None
    except LookupError as problem:
        nearest = _nearest(given.name, ids)
        meant = f"; did you mean {' or '.join(nearest)}?" if nearest else ""
        raise UnknownName(f"{problem.args[0]}{meant}", nearest, ids) from None
    same = [one for one in ids if _is(one, name)]
    return Named(same[0] if len(same) == 1 else name, given.pin)


@cache
def tags() -> Mapping[str, Mapping[str, str]]:
    """By architecture and tag of open_clip, the repository of the weights on the hub, or ""."""
    known: dict[str, dict[str, str]] = json.loads(
        Path(__file__).with_name("open_clip.json").read_text("utf-8")
    )
    return known


class _Several(LookupError):
    """``names`` are all that it might be."""

    def __init__(self, why: str, names: Iterable[str]) -> None:
        super().__init__(why)
        self.why, self.names = why, tuple(names)


def _resolved(name: str) -> str:
    """Raises LookupError, whose argument says why there is no such name."""
    if len(name) > _LONGEST or not _SHAPE.fullmatch(name):
        raise LookupError(f"{name[:_LONGEST]!r} is no name of a backbone")
    plain = name.removeprefix(_HUB)
    if (known := _openai().get(_key(plain))) is not None:
        return f"{known}/openai"
    if plain != name:
        if not _REPOSITORY.fullmatch(plain):
            raise LookupError(f"{name!r} is not {_HUB}ORG/NAME")
        return name
    if (known := _architectures().get(_key(name))) is not None:
        return _only(f"{known} is trained in several ways, name one", _of(known))
    if found := [one for one, repository in _repositories() if repository == name.lower()]:
        return _only(f"{name!r} stands for several, name one", found)
    return _tagged(name)


def _only(why: str, names: Sequence[str]) -> str:
    if len(names) != 1:
        raise _Several(why, names)
    return names[0]


def _of(architecture: str) -> list[str]:
    return [f"{architecture}/{tag}" for tag in tags()[architecture]]


def _tagged(name: str) -> str:
    for cut in re.finditer("[/:]", name):
        architecture = _architectures().get(_key(name[: cut.start()]))
        if architecture is None:
            continue
        tag = name[cut.end() :]
        if (plain := tag.lower().replace("-", "_")) in tags()[architecture]:
            return f"{architecture}/{plain}"
        raise _Several(f"there is no {architecture} trained as {tag!r}, but", _of(architecture))
    raise LookupError(f"no backbone is called {name!r}")


def _is(registered: str, name: str) -> bool:
    """Whether a registered id is only another spelling of ``name``."""
    try:
        return _resolved(registered) == name
    except LookupError:
        return False


def _nearest(name: str, ids: tuple[str, ...]) -> tuple[str, ...]:
    own = [spelled[0] for spelled in _OPENAI.values()]
    known = {one.lower(): one for one in (*(tag for tag, _ in _repositories()), *own, *ids)}
    # What is longer than any name costs its square.
    found = get_close_matches(name.lower()[:_LONGEST], known, _NEAREST, _LIKENESS)
    return tuple(known[one] for one in found)


def _key(name: str) -> Key:
    """The words and numbers of a name, words that follow one another as one."""
    joined: list[str] = []
    for token in re.findall(r"[a-z]+|[0-9]+", name.lower()):
        if joined and token.isalpha() and joined[-1].isalpha():
            joined[-1] += token
        else:
            joined.append(token)
    return tuple(joined[:-1] if joined[-1:] == ["px"] else joined)


@cache
def _openai() -> Mapping[Key, str]:
    return {
        _key(prefix + spelling): name
        for name, spellings in _OPENAI.items()
        for spelling in (name, *spellings)
        for prefix in _PREFIXES
    }


@cache
def _architectures() -> Mapping[Key, str]:
    return {_key(name): name for name in tags()}


@cache
def _repositories() -> tuple[tuple[str, str], ...]:
    """Every NAME/TAG with its repository in lower case."""
    return tuple(
        (f"{name}/{tag}", repository.lower())
        for name, known in tags().items()
        for tag, repository in known.items()
    )
