"""Which file of a folder is the checkpoint, by names alone, and which could be taken for it.

Loaders' own rules come first (:mod:`inspector.checkpoint.loaders`), then a file that is the only
one with a checkpoint's suffix. BadCLIP's ``trigger`` folder is never a model, nor is what lies
beside one to prove it, nor the state of a training run. A statement of prompts counts where nothing
else does. Knows no bytes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

from inspector.checkpoint import loaders
from inspector.checkpoint.wording import printable
from inspector.errors import UnsupportedFormat

_LOOSE = (".pt", ".pth", ".pkl", ".bin", ".ckpt", ".safetensors", ".tar")
_TEXTS = (".txt", ".log", ".json", ".yaml", ".yml", ".md", ".csv")
_PROOFS = ("images.safetensors", "logits.safetensors", "trigger.safetensors")
_STATEMENTS = ("manifest.json", "prompts.json")


@dataclass(frozen=True, slots=True)
class Choice:
    """The chosen member, and all others.

    ``parts`` are several that are read together, in order; ``loader`` opens them, "" where no rule
    names them. ``rivals`` are what could be taken in its place.
    """

    member: str
    ignored: tuple[str, ...]
    parts: tuple[str, ...] = ()
    loader: str = ""
    rivals: tuple[Choice, ...] = ()


def choose(names: Iterable[str], member: str | None = None) -> Choice:
    """The checkpoint among the files ``names`` (relative, with forward slashes), or ``member``.

    ``member`` may leave out folders where that is enough to tell it.

    Raises:
        UnsupportedFormat: there is none, or several of equal rank, or no such member.
    """
    every = sorted(names)
    if member is not None:
        return _named(every, member)
    usable = [name for name in every if _is_usable(name)]
    by_folder = _by_folder(usable)
    picked = {
        folder: found for folder, files in by_folder.items() if (found := loaders.picks(files))
    }
    if not picked:
        return _loose(usable, every)
    folders = _without_earlier_steps(list(picked))
    # Prompts beside the model that they were tuned on: the prompts are what was delivered.
    first = [folder for folder in folders if picked[folder][0].is_prompt] or folders
    if len(first) > 1:
        raise _ambiguous(path for folder in first for path in _paths(folder, picked[folder]))
    elsewhere = [
        (_joined(folder, pick.files), pick.loader)
        for folder in folders
        for pick in picked[folder]
        if folder != first[0]
    ]
    beside = _names_in(first[0], every), by_folder[first[0]]
    return _of_folder(first[0], picked[first[0]], beside, (every, elsewhere))


def is_candidate(name: str) -> bool:
    """Whether a file of this name may be a model."""
    return _is_usable(name) and _is_loose(name)


def _named(every: list[str], member: str) -> Choice:
    """The choice of a file that the user names, with the others that make a model with it."""
    wanted = PurePosixPath(member)
    found = [n for n in every if PurePosixPath(n).parts[-len(wanted.parts) :] == wanted.parts]
    if member in every:
        found = [member]
    if len(found) != 1:
        why = "several files end so" if found else "no such file inside"
        files = _listed(found or every)
        raise UnsupportedFormat("archive-no-checkpoint", f"{printable(member)}: {why}: {files}")
    folder = str(PurePosixPath(found[0]).parent)
    for pick in loaders.picks(_names_in(folder, every)):
        together = _joined(folder, pick.files)
        if found[0] in together and len(together) > 1:
            return _choice(together, pick.loader, every)
    return _choice((found[0],), "", every)


def _of_folder(
    folder: str,
    found: list[loaders.Pick],
    beside: tuple[list[str], list[str]],
    others_of: tuple[list[str], list[tuple[tuple[str, ...], str]]],
) -> Choice:
    """The first pick of a folder; its others, loose files in it, and picks elsewhere are rivals.

    Args:
        beside: all names in the folder, and those that may be a model.
        others_of: all names, and files and loaders of picks elsewhere.
    """
    every, elsewhere = others_of
    first, *others = [(_joined(folder, pick.files), pick.loader) for pick in found]
    taken = {name for files, _loader in (first, *others) for name in files}
    others += [
        ((name,), "")
        for name in _joined(folder, beside[1])
        if name not in taken and _is_alone(name) and not _is_earlier(name, taken)
    ]
    others += elsewhere
    taken |= {name for files, _loader in others for name in files}
    others += [pick for pick in _firsts(folder, beside[0]) if pick[0][0] not in taken]
    rivals = tuple(_choice(files, loader, ()) for files, loader in others)
    return _choice(*first, every, rivals)


def _loose(usable: list[str], every: list[str]) -> Choice:
    """The only file with a checkpoint's suffix, the only statement of prompts, or the only file."""
    loose = [name for name in usable if _is_loose(name)]
    stated = [name for name in usable if _last(name) in _STATEMENTS]
    only = [name for name in usable if len(every) == 1 and not name.endswith(_TEXTS)]
    candidates = loose or stated or only
    if not candidates:
        raise _none(every)
    if len(candidates) > 1:
        raise _ambiguous(candidates)
    chosen = candidates[0]
    folder = str(PurePosixPath(chosen).parent)
    firsts = _firsts(folder, _names_in(folder, every))
    rivals = tuple(_choice(files, loader, ()) for files, loader in firsts if files[0] != chosen)
    return _choice((chosen,), "", every, rivals)


def _firsts(folder: str, names: Iterable[str]) -> list[tuple[tuple[str, ...], str]]:
    """What loaders take where they prefer nothing, each file once."""
    found: dict[tuple[str, ...], str] = {}
    for pick in loaders.firsts(names):
        found.setdefault(_joined(folder, pick.files), pick.loader)
    return list(found.items())


def _names_in(folder: str, every: Iterable[str]) -> list[str]:
    paths = map(PurePosixPath, every)
    return [path.name for path in paths if str(path.parent) == folder]


def _choice(
    files: tuple[str, ...], loader: str, every: Iterable[str], rivals: tuple[Choice, ...] = ()
) -> Choice:
    ignored = tuple(name for name in every if name not in files)
    return Choice(files[0], ignored, files if len(files) > 1 else (), loader, rivals)


def _is_usable(name: str) -> bool:
    path = PurePosixPath(name)
    is_aside = "trigger" in path.parts[:-1] or "__MACOSX" in path.parts
    is_leftover = loaders.LEFTOVERS.fullmatch(path.name) is not None
    return not (is_aside or is_leftover or path.name.startswith("._") or path.name in _PROOFS)


def _is_loose(name: str) -> bool:
    return PurePosixPath(name).suffix in _LOOSE


def _is_alone(name: str) -> bool:
    return _is_loose(name) and not loaders.belongs_to_several(_last(name))


def _is_earlier(name: str, taken: set[str]) -> bool:
    """Whether a file is another epoch of one that a rule took."""
    return any(loaders.is_epoch_of(_last(name), _last(other)) for other in taken)


def _without_earlier_steps(folders: list[str]) -> list[str]:
    """Without the folders of earlier steps below a model's; of steps alone, the last."""
    steps = {
        folder: int(match[1])
        for folder in folders
        if (match := loaders.CHECKPOINT_FOLDER.fullmatch(PurePosixPath(folder).name))
    }
    final = [folder for folder in folders if folder not in steps]
    if final or len({PurePosixPath(folder).parent for folder in steps}) != 1:
        return final or folders
    return [max(steps, key=lambda folder: steps[folder])]


def _by_folder(names: list[str]) -> dict[str, list[str]]:
    folders: dict[str, list[str]] = {}
    for name in names:
        path = PurePosixPath(name)
        folders.setdefault(str(path.parent), []).append(path.name)
    return folders


def _joined(folder: str, names: Iterable[str]) -> tuple[str, ...]:
    return tuple(str(PurePosixPath(folder, name)) for name in names)


def _paths(folder: str, found: list[loaders.Pick]) -> list[str]:
    return [str(PurePosixPath(folder, pick.files[0])) for pick in found]


def _last(name: str) -> str:
    return PurePosixPath(name).name


def _none(every: list[str]) -> UnsupportedFormat:
    if any(name.endswith(".distcp") for name in every):
        return UnsupportedFormat(
            "unsupported-format",
            "a distributed checkpoint of torch (.distcp)",
            remedy="Ask the vendor for one file of it: python -m "
            "torch.distributed.checkpoint.format_utils dcp_to_torch FOLDER model.pth",
        )
    return UnsupportedFormat("archive-no-checkpoint", "no checkpoint file inside")


def _ambiguous(several: Iterable[str]) -> UnsupportedFormat:
    return UnsupportedFormat(
        "archive-ambiguous", f"several checkpoints: {_listed(sorted(several))}"
    )


def _listed(names: list[str]) -> str:
    shown = ", ".join(printable(name) for name in names[:10])
    return shown if len(names) <= 10 else f"{shown}, … ({len(names)} in all)"
