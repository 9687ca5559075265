"""The tensors of a TorchScript archive, which holds a program and is never taken for one here.

``<root>/data.pkl`` describes the module as objects of classes ``__torch__.…``, each an empty
instance (NEWOBJ) that is given a dict of attributes (BUILD); a tensor is named by the attributes
that lead to it, as ``state_dict()`` of the loaded module would name it. ``<root>/code`` and all
other records stay closed. Plain attributes that are tensors cannot be told from buffers and are
named too. Knows no model. Layout from ``torch/csrc/jit/serialization/{export_module,pickler}.cpp``.
"""

from __future__ import annotations

from collections.abc import Iterator

from inspector.checkpoint.formats import zipfiles
from inspector.checkpoint.formats.torchzip import check_storages
from inspector.checkpoint.formats.zipfiles import STORED, Member
from inspector.checkpoint.limits import Limits
from inspector.checkpoint.pickles.evidence import gather
from inspector.checkpoint.pickles.inert import Call, Global, Mapping
from inspector.checkpoint.pickles.rebuild import declared_storages, is_tensor, tensor_view
from inspector.checkpoint.pickles.walker import Ledger, walk
from inspector.checkpoint.source import Source
from inspector.checkpoint.tensors import Storage, View
from inspector.checkpoint.wording import printable
from inspector.errors import LimitExceeded, MalformedArtifact, UnsupportedFormat

_CLASSES = "__torch__"
_VALUES = frozenset(
    f"torch.jit._pickle.{name}"
    for name in (
        "build_intlist", "build_doublelist", "build_boollist", "build_tensorlist",
        "restore_type_tag",
    )
)  # fmt: skip
"""How lists are written; torch's reader of archives knows these by heart and imports nothing."""
_DEPTH = 64
_SMALL_BYTES = 4096


def read_program(
    source: Source, members: tuple[Member, ...], ledger: Ledger, limits: Limits
) -> tuple[View, ...]:
    """The tensors of the module in an archive, by the attributes that lead to them.

    Raises:
        MalformedArtifact: several roots, compressed or damaged records,
            attributes that go in circles.
        UnsupportedFormat: another top than a module, or a state that only its program understands.
        LimitExceeded: too many modules, tensors or levels.
    """
    records = _records(members)
    storages = {
        name.removeprefix("data/"): _checked(source, member, limits)
        for name, member in records.items()
        if name.startswith("data/")
    }
    if "data.pkl" not in records:
        raise MalformedArtifact("torch-malformed", "data.pkl is missing")
    if "byteorder" in records and _whole(source, records["byteorder"], _SMALL_BYTES) != b"little":
        raise UnsupportedFormat("unsupported-format", "values are not little-endian")
    value = _walked(
        _whole(source, records["data.pkl"], limits.pickle_bytes), storages, ledger, limits
    )
    named: dict[str, object] = {}
    for name, tensor in _tensors(value, limits):
        if name in named:
            raise MalformedArtifact("duplicate-key", f"{printable(name)} stands twice")
        named[name] = tensor
        if len(named) > limits.tensors:
            raise LimitExceeded("tensors", limits.tensors, len(named))
    return tuple(tensor_view(name, tensor, storages, limits) for name, tensor in named.items())


def _records(members: tuple[Member, ...]) -> dict[str, Member]:
    root = members[0].name.split("/", 1)[0]
    for member in members:
        if not member.name.startswith(f"{root}/"):
            raise MalformedArtifact("torch-malformed", f"{member.name} lies outside of {root}/")
    return {member.name[len(root) + 1 :]: member for member in members}


def _checked(source: Source, member: Member, limits: Limits) -> Storage:
    _check_stored(member)
    for _piece in zipfiles.content(source, member, limits.artifact_bytes):
        pass
    return Storage(member.data_offset, member.size)


def _whole(source: Source, member: Member, limit: int) -> bytes:
    _check_stored(member)
    return b"".join(zipfiles.content(source, member, limit))


def _check_stored(member: Member) -> None:
    if member.method != STORED:
        raise MalformedArtifact("torch-malformed", f"{member.name} is compressed")


def _walked(data: bytes, storages: dict[str, Storage], ledger: Ledger, limits: Limits) -> object:
    """The top of the pickle; ``ledger`` receives all globals but those that archives consist of."""
    own = Ledger(limits.globals)
    try:
        walked = walk(data, own, limits)
        if walked.end != len(data):
            gather(data, walked.end, own, limits)
            raise MalformedArtifact("pickle-trailing-bytes", "bytes follow the pickle")
    finally:
        for (module, name), entry in own.entries.items():
            is_class = module.split(".", 1)[0] == _CLASSES and entry.uses <= {"NEWOBJ"}
            is_list = f"{module}.{name}" in _VALUES and entry.uses <= {"REDUCE"}
            if not (is_class or is_list):
                ledger.merge(entry)
    check_storages(declared_storages(walked.persistents), storages)
    return walked.value


def _tensors(top: object, limits: Limits) -> Iterator[tuple[str, object]]:
    """Every tensor below a module with its path, in the order of the file.

    A module may be reached by two names, as in Python, and then its tensors have both.
    """
    if not _is_module(top):
        raise UnsupportedFormat("no-state-dict", "the archive's top is no module")
    # Names are those of the way down, so that a module that holds itself is found.
    waiting: list[tuple[str, object, tuple[int, ...]]] = [("", top, ())]
    visited = 0
    while waiting:
        path, module, above = waiting.pop()
        visited += 1
        if visited > limits.tensors:
            raise LimitExceeded("modules", limits.tensors, visited)
        if len(above) > _DEPTH:
            raise LimitExceeded("levels of modules", _DEPTH, len(above))
        if id(module) in above:
            raise MalformedArtifact("torch-malformed", f"{printable(path)} holds itself")
        below = []
        for name, value in _attributes(module, path):
            place = f"{path}.{name}" if path else name
            if is_tensor(value):
                yield place, value
            elif _is_module(value):
                below.append((place, value, (*above, id(module))))
        waiting += reversed(below)


def _is_module(value: object) -> bool:
    return (
        isinstance(value, Call)
        and isinstance(value.function, Global)
        and value.function.module.split(".", 1)[0] == _CLASSES
    )


def _attributes(module: object, path: str) -> Iterator[tuple[str, object]]:
    """Raises ``UnsupportedFormat`` where the state is not a plain dict of attributes."""
    assert isinstance(module, Call)
    state = module.state
    is_plain = (
        module.arguments == ()
        and not module.pairs
        and not module.items
        and (state is None or (isinstance(state, Mapping) and state.state is None))
    )
    if not is_plain:
        shown = printable(path) or "the module"
        raise UnsupportedFormat("unsupported-tensor", f"only its program can read {shown}")
    for name, value in state.pairs if isinstance(state, Mapping) else ():
        if not isinstance(name, str):
            raise MalformedArtifact("tensor-malformed", "an attribute's name is no string")
        yield name, value
