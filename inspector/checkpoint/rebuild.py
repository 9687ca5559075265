"""From inert nodes to tensors: the few calls that we interpret ourselves.

``torch._utils._rebuild_*`` become views on storages, ``OrderedDict`` and ``defaultdict`` become
mappings, ``torch.Size`` a tuple. Whatever else a file calls stays a node; if it stands where a
tensor should be, the tensor is refused by name. Only ``state_dict``, or a bare top-level mapping of
tensors, is ever looked at; optimisers and schedules are not. The meaning of the arguments is that
of ``torch/_utils.py``. Knows no container.
"""

from __future__ import annotations

from collections.abc import Mapping as MappingType
from dataclasses import dataclass
from typing import TypeGuard

from inspector.checkpoint.inert import Call, Global, Mapping, Persistent, is_call_of
from inspector.checkpoint.limits import Limits
from inspector.checkpoint.reading import Scalar
from inspector.checkpoint.reasons import report
from inspector.checkpoint.tensors import ITEM_SIZES, Storage, View, check_view
from inspector.checkpoint.wording import printable
from inspector.errors import LimitExceeded, MalformedArtifact, UnsupportedFormat
from inspector.findings import Finding

_STORAGE_DTYPES = {
    "torch.FloatStorage": "F32",
    "torch.HalfStorage": "F16",
    "torch.BFloat16Storage": "BF16",
    "torch.DoubleStorage": "F64",
    "torch.LongStorage": "I64",
    "torch.IntStorage": "I32",
    "torch.ShortStorage": "I16",
    "torch.CharStorage": "I8",
    "torch.ByteStorage": "U8",
    "torch.BoolStorage": "BOOL",
    "torch.storage.UntypedStorage": "U8",
}
_TORCH_DTYPES = {
    "torch.float16": "F16", "torch.bfloat16": "BF16", "torch.float32": "F32",
    "torch.float64": "F64", "torch.int8": "I8", "torch.int16": "I16", "torch.int32": "I32",
    "torch.int64": "I64", "torch.uint8": "U8", "torch.uint16": "U16", "torch.uint32": "U32",
    "torch.uint64": "U64", "torch.bool": "BOOL", "torch.float8_e4m3fn": "F8_E4M3",
    "torch.float8_e5m2": "F8_E5M2",
}  # fmt: skip
_PARAMETER_CALLS = ("torch._utils._rebuild_parameter", "torch._utils._rebuild_parameter_with_state")
_DENSE_CALLS = ("torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2")
_PLAIN_TYPES = ("torch.Tensor", "torch.nn.parameter.Parameter", "torch.nn.parameter.Buffer")
_WRAPPERS = 4
"""How many parameters may be wrapped around one another; honest files have one."""
_SCALARS_LIMIT = 100


@dataclass(frozen=True, slots=True)
class StateDict:
    """What a pickle yields: views, the scalars beside them, and remarks."""

    views: tuple[View, ...]
    metadata: dict[str, Scalar]
    findings: tuple[Finding, ...]


def state_dict(value: object, storages: MappingType[str, Storage], limits: Limits) -> StateDict:
    """The tensors under ``state_dict`` of a walked pickle, or of the mapping that it is.

    Args:
        value: the top of the walked pickle.
        storages: by key, where the bytes of each storage lie in the file.

    Raises:
        UnsupportedFormat: there is no dictionary of tensors, or a tensor of an unsupported kind.
        MalformedArtifact: a tensor or a key is invalid.
        LimitExceeded: too many tensors, or one of too many dimensions.
    """
    top = _pairs(value)
    if top is None:
        raise UnsupportedFormat("no-state-dict", "the file holds no dictionary")
    named = _unique_keys(top)
    found = _pairs(named.get("state_dict"))
    is_bare = "state_dict" not in named
    if is_bare and named and all(_is_tensor(entry) for entry in named.values()):
        found = top
    if found is None:
        keys = ", ".join(sorted(printable(key) for key in named)[:20]) or "none"
        raise UnsupportedFormat(
            "no-state-dict", f"no state_dict of tensors; top-level keys: {keys}"
        )
    if len(found) > limits.tensors:
        raise LimitExceeded("tensors", limits.tensors, len(found))
    findings: list[Finding] = []
    entries = _strip_module(_unique_keys(found), findings)
    extras = [key for key, entry in entries.items() if not _is_tensor(entry)]
    if extras:
        shown = ", ".join(printable(key) for key in extras[:20])
        findings.append(report("state-dict-extra", f"not tensors, ignored: {shown}"))
    views = tuple(
        _tensor(key, entry, storages, limits) for key, entry in entries.items() if _is_tensor(entry)
    )
    return StateDict(views, {} if is_bare else scalars(named), tuple(findings))


def scalars(named: MappingType[str, object]) -> dict[str, Scalar]:
    """The scalars beside the tensors, such as epoch and val_result; nothing else is of interest."""
    result: dict[str, Scalar] = {}
    for key, entry in named.items():
        if len(result) >= _SCALARS_LIMIT:
            break
        if isinstance(entry, str):
            result[printable(key)] = printable(entry)
        elif isinstance(entry, float):
            # JSON has no NaN.
            result[printable(key)] = entry if abs(entry) < float("inf") else str(entry)
        elif entry is None or isinstance(entry, bool):
            result[printable(key)] = entry
        elif isinstance(entry, int):
            result[printable(key)] = entry if abs(entry) < 2**53 else hex(entry)
    return result


def persistent_storage(identifier: object) -> tuple[str, str, int]:
    """Key, dtype code and number of values of the storage that a persistent id refers to.

    The device tag is ignored: where the values once lay does not matter.

    Raises:
        MalformedArtifact: the id is not one that torch writes.
        UnsupportedFormat: a storage type that we do not read, or a view of a storage.
    """
    if not isinstance(identifier, tuple) or len(identifier) not in (5, 6):
        raise MalformedArtifact("tensor-malformed", "a persistent id is not torch's")
    tag, kind, key, _device, count = identifier[:5]
    if isinstance(key, int):
        key = str(key)
    if tag != "storage" or not isinstance(kind, Global) or not isinstance(key, str):
        raise MalformedArtifact("tensor-malformed", "a persistent id is not torch's")
    if not _is_integer(count) or count < 0:
        raise MalformedArtifact("tensor-malformed", f"storage {key!a}: bad number of values")
    if len(identifier) == 6 and identifier[5] is not None:
        raise UnsupportedFormat("unsupported-tensor", f"storage {key!a} is a view (torch 0.3)")
    dtype = _STORAGE_DTYPES.get(kind.dotted)
    if dtype is None:
        raise UnsupportedFormat("unsupported-tensor", f"storage type {kind.dotted!a}")
    return key, dtype, count


def _pairs(value: object) -> list[tuple[object, object]] | None:
    """The pairs of a dict, OrderedDict or defaultdict; None for anything else."""
    if isinstance(value, Mapping):
        return value.pairs
    if isinstance(value, Call) and is_call_of(value, "collections.OrderedDict"):
        pairs = list(value.pairs)
        # Python 2 handed the items over as one list of two-element lists.
        if arguments := _arguments(value):
            given = arguments[0]
            if not isinstance(given, list):
                return None
            rows = [row for row in given if isinstance(row, list | tuple) and len(row) == 2]
            if len(rows) != len(given):
                return None
            pairs = [(row[0], row[1]) for row in rows] + pairs
        return pairs
    if isinstance(value, Call) and is_call_of(value, "collections.defaultdict"):
        return value.pairs
    return None


def _unique_keys(pairs: list[tuple[object, object]]) -> dict[str, object]:
    named: dict[str, object] = {}
    for key, entry in pairs:
        if not isinstance(key, str):
            raise MalformedArtifact("tensor-malformed", "a key is no string")
        if key in named:
            raise MalformedArtifact("duplicate-key", f"{printable(key)} stands twice")
        named[key] = entry
    return named


def _strip_module(entries: dict[str, object], findings: list[Finding]) -> dict[str, object]:
    # Dassl removes what DataParallel puts in front of every key, and only there.
    if not any(key.startswith("module.") for key in entries):
        return entries
    findings.append(report("module-prefix-stripped", "a leading 'module.' was removed from keys"))
    return _unique_keys([(key.removeprefix("module."), entry) for key, entry in entries.items()])


def _is_tensor(value: object) -> bool:
    if not isinstance(value, Call) or not isinstance(value.function, Global):
        return False
    dotted = value.function.dotted
    return dotted.startswith(("torch._utils._rebuild_", "torch._tensor._rebuild_"))


def _tensor(name: str, value: object, storages: MappingType[str, Storage], limits: Limits) -> View:
    """The view that a rebuilding call describes, checked against its storage."""
    call = _unwrapped(name, value)
    arguments = _arguments(call)
    dtype = None
    if is_call_of(call, "torch._utils._rebuild_tensor_v3") and len(arguments) >= 7:
        kind = arguments[6]
        dtype = _TORCH_DTYPES.get(kind.dotted) if isinstance(kind, Global) else None
        if dtype is None:
            raise UnsupportedFormat("unsupported-tensor", f"{name!a}: unknown dtype")
    elif not is_call_of(call, *_DENSE_CALLS) or len(arguments) < 4:
        raise UnsupportedFormat(
            "unsupported-tensor", f"{name!a} is no dense tensor (sparse, quantised, subclass?)"
        )
    persistent, start, shape, stride = arguments[:4]
    if not isinstance(persistent, Persistent):
        raise MalformedArtifact("tensor-malformed", f"{name!a}: a tensor without storage")
    key, stored, count = persistent_storage(persistent.identifier)
    storage = _find(name, key, count * ITEM_SIZES[stored], storages)
    sizes, strides = _sizes(shape), _sizes(stride)
    if sizes is None or strides is None or not _is_integer(start):
        raise MalformedArtifact("tensor-malformed", f"{name!a}: bad shape, stride or offset")
    return check_view(View(name, dtype or stored, sizes, strides, start, storage), limits)


def _unwrapped(name: str, value: object) -> object:
    """The innermost call, without the parameters that wrap it."""
    for _ in range(_WRAPPERS):
        arguments = _arguments(value)
        if is_call_of(value, *_PARAMETER_CALLS) and arguments:
            value = arguments[0]
        elif is_call_of(value, "torch._tensor._rebuild_from_type_v2") and len(arguments) == 4:
            value = _typed(name, arguments)
        else:
            break
    return value


def _arguments(value: object) -> tuple[object, ...]:
    if isinstance(value, Call) and isinstance(value.arguments, tuple):
        return value.arguments
    return ()


def _typed(name: str, arguments: tuple[object, ...]) -> Call:
    """The plain call inside ``_rebuild_from_type_v2``, for types that add nothing."""
    function, kind, inner, _state = arguments
    if not isinstance(kind, Global) or kind.dotted not in _PLAIN_TYPES:
        raise UnsupportedFormat("unsupported-tensor", f"{name!a} is of a tensor subclass")
    return Call(function=function, arguments=inner)


def _find(name: str, key: str, size: int, storages: MappingType[str, Storage]) -> Storage:
    storage = storages.get(key)
    if storage is None:
        raise MalformedArtifact("storage-out-of-range", f"{name!a}: no storage {key!a}")
    if storage.size != size:
        raise MalformedArtifact(
            "storage-out-of-range",
            f"{name!a}: storage {key!a} has {storage.size} bytes, declared are {size}",
        )
    return storage


def _is_integer(value: object) -> TypeGuard[int]:
    """Whether ``value`` is an integer; True and False are none here."""
    return isinstance(value, int) and not isinstance(value, bool)


def _sizes(value: object) -> tuple[int, ...] | None:
    """A shape or stride as a tuple; negative numbers are left to :func:`check_view`."""
    if isinstance(value, Call) and is_call_of(value, "torch.Size"):
        value = next(iter(_arguments(value)), None)
    if not isinstance(value, tuple | list):
        return None
    if not all(_is_integer(item) for item in value):
        return None
    return tuple(value)
