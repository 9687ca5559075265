"""Where a backbone's name leads: files on this machine, or something on the hub. Torch-free.

Reads no weights; of several files in a folder it knows which ones a library would take. Shared by
the loader of backbones, by the static scan, which only needs the token embedding, and by the warm
child, which asks whether the files have changed.
"""

from __future__ import annotations

import json
import logging
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from inspector.errors import BackboneError
from inspector.names import BUILT_IN, Named, UnknownName, split_pin, understand

WEIGHTS = "open_clip_model.safetensors"
CONFIG = "open_clip_config.json"
HUGGING_FACE_CONFIG = "config.json"
REGISTERED = {name: Path(__file__).parent / name for name in BUILT_IN}
"""Backbones that come with clipvet, by id."""

_OPEN_CLIP = (
    WEIGHTS,
    "open_clip_pytorch_model.safetensors",
    "open_clip_pytorch_model.bin",
    "open_clip_pytorch_model.pth",
)
_HUGGING_FACE = ("model.safetensors", "pytorch_model.bin")
"""In the order in which the libraries themselves look for them."""
_INDEX = ".index.json"
_SUFFIXES = (".safetensors", ".bin", ".pt", ".pth")
_CONFIG_BYTES = 16 * 1024 * 1024

Layout = Literal["open_clip", "hugging-face", "openai", "hub"]

logger = logging.getLogger("clipvet.inspector")


@dataclass(frozen=True, slots=True)
class Location:
    """`name` is what the backbone is called, `pins` each sha256 demanded of its weights.

    `layout` says how to build it: by the configuration in `config` (open_clip's or Hugging Face's),
    as OpenAI's, or as open_clip's `NAME/TAG`. `weights` are several where they are cut into shards,
    and none where they are yet to be fetched from the hub. With `is_private` somebody asks for it
    who must not learn where it lies.
    """

    name: str
    layout: Layout
    pins: tuple[str, ...] = ()
    weights: tuple[Path, ...] = ()
    config: Path | None = None
    index: Path | None = None
    hub: str = ""
    is_private: bool = False

    @property
    def stamp(self) -> tuple[object, ...]:
        """Changes when one of the files does, however that was done.

        Raises:
            BackboneError: one has gone.
        """
        files = filter(None, (*self.weights, self.config, self.index))
        try:
            return tuple((str(path), *_state(path)) for path in files)
        except OSError as problem:
            raise self.unusable("its files cannot be opened", problem) from problem

    def unusable(self, why: str, problem: Exception | None = None) -> BackboneError:
        """The error that says ``why``, and of ``problem`` what the caller may know.

        Libraries name files in what they say. Who works on this machine may read that; what a
        service tells its callers must not hold it, so there it goes to the log.
        """
        if problem is None:
            return BackboneError(self.name, why)
        if self.is_private:
            logger.warning("backbone %s: %s", self.name, why, exc_info=problem)
            return BackboneError(self.name, f"{why}; the service's log says more")
        return BackboneError(self.name, f"{why}: {str(problem)[:1000] or type(problem).__name__}")


def locate(spec: str, at: str | None = None) -> Location:
    """Find the backbone that ``spec``, `NAME[@sha256:HEX]`, means.

    A registered id goes before a folder or file, these before names of the hub.

    Args:
        at: what the name stands for here, said as ``spec`` is, where a caller asks for it by name.

    Raises:
        BackboneError: there is no such thing, or a folder lacks something.
    """
    given = split_pin(spec)
    place = given if at is None else split_pin(at)
    pins = tuple(sorted({named.pin for named in (given, place)} - {""}))
    found = Location(given.name, "hub", pins, is_private=at is not None)
    try:
        path = REGISTERED.get(place.name, Path(place.name).expanduser())
        if path.is_dir():
            return _in_folder(found, path)
        if path.is_file():
            return _of_file(found, path)
    except (OSError, RuntimeError) as problem:
        raise found.unusable("it cannot be opened", problem) from problem
    return _on_hub(found, place)


def config_of(location: Location) -> dict[str, object]:
    """The JSON object in the configuration. Raises BackboneError when it is none."""
    assert location.config is not None
    try:
        return _json_object(location.config)
    except (OSError, ValueError, RecursionError) as problem:
        raise location.unusable(f"its {location.config.name} cannot be read", problem) from problem


def _on_hub(found: Location, place: Named) -> Location:
    try:
        name = understand(place.name).name
    except UnknownName as problem:
        if place.name != found.name:
            raise found.unusable("what is registered is not there", problem) from problem
        lacking = "there is no such folder or file, and "
        raise BackboneError(found.name, lacking + str(problem)) from problem
    return replace(found, hub=name, name=found.name if found.is_private else name)


def _in_folder(found: Location, folder: Path) -> Location:
    names = set(os.listdir(folder))
    own = next((name for name in _OPEN_CLIP if name in names), None)
    is_hugging_face = HUGGING_FACE_CONFIG in names and any(
        name in names or name + _INDEX in names for name in _HUGGING_FACE
    )
    if CONFIG in names and (own or not is_hugging_face):
        weights = own or _only_weights(found, names)
        return replace(
            found, layout="open_clip", config=folder / CONFIG, weights=(folder / weights,)
        )
    if is_hugging_face:
        return _hugging_face(found, folder, names)
    raise found.unusable(
        f"a folder needs {CONFIG} and {WEIGHTS}, or a CLIPModel's {HUGGING_FACE_CONFIG} and "
        f"{_HUGGING_FACE[0]}; of a single file give the path"
    )


def _only_weights(found: Location, names: set[str]) -> str:
    """The one file in an open_clip folder that has another name than open_clip's."""
    others = sorted(name for name in names if name.endswith(_SUFFIXES))
    if len(others) != 1:
        said = "several of these, none of which is called so" if others else "none"
        raise found.unusable(f"a folder needs {CONFIG} and {WEIGHTS}; there are {said}")
    return others[0]


def _hugging_face(found: Location, folder: Path, names: set[str]) -> Location:
    found = replace(found, layout="hugging-face", config=folder / HUGGING_FACE_CONFIG)
    for name in _HUGGING_FACE:
        if name in names:
            return replace(found, weights=(folder / name,))
        if name + _INDEX in names:
            return _sharded(found, folder / (name + _INDEX))
    raise AssertionError("the caller has looked")


def _sharded(found: Location, index: Path) -> Location:
    """All shards that an index names. Raises BackboneError for one that is no such index."""
    try:
        places = _json_object(index)["weight_map"]
        shards = sorted(set(places.values()))  # type: ignore[attr-defined]
        if not shards or any(Path(shard).name != shard for shard in shards):
            raise ValueError("weight_map names no files of the folder")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as problem:
        raise found.unusable(f"its {index.name} cannot be read", problem) from problem
    weights = tuple(index.parent / shard for shard in shards)
    missing = [path.name for path in weights if not path.is_file()]
    if missing:
        raise found.unusable(f"{len(missing)} of its {len(weights)} shards are missing")
    return replace(found, weights=weights, index=index)


def _of_file(found: Location, path: Path) -> Location:
    """A file by itself is OpenAI's, unless the configuration that belongs to it lies beside it."""
    if path.name in _OPEN_CLIP and (path.parent / CONFIG).is_file():
        return replace(found, layout="open_clip", config=path.parent / CONFIG, weights=(path,))
    beside = path.parent / HUGGING_FACE_CONFIG
    if path.name in _HUGGING_FACE and beside.is_file():
        return replace(found, layout="hugging-face", config=beside, weights=(path,))
    return replace(found, layout="openai", weights=(path,))


def _json_object(path: Path) -> dict[str, object]:
    if path.stat().st_size > _CONFIG_BYTES:
        raise ValueError(f"it has more than {_CONFIG_BYTES} bytes")
    data = json.loads(path.read_text("utf-8"))
    if not isinstance(data, dict):
        raise ValueError("it is no JSON object")
    return data


def _state(path: Path) -> tuple[int, ...]:
    # The time of the last change of status moves also when the other one is set back.
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
