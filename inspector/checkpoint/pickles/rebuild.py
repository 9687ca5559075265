"""From inert nodes to tensors: the few calls that we interpret ourselves.

``torch._utils._rebuild_*`` become views on storages, ``torch.Size`` a tuple. Whatever else a file
calls stays a node; if it stands where a tensor should be, the tensor is refused by name. So is all
by which torch would end up with other values than the storage holds: a state set on a tensor, lazy
negation, two types for one storage, shapes in lists that change after the call. The meaning of the
arguments is that of ``torch/_utils.py``. Knows no container and no state_dict.
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Mapping as MappingType
from dataclasses import dataclass
from typing import TypeGuard

from inspector.checkpoint.limits import Limits
from inspector.checkpoint.pickles.inert import (
    Call,
    Global,
    Mapping,
    Persistent,
    is_call_of,
    module_class,
)
from inspector.checkpoint.pickles.known import is_tensor_class
from inspector.checkpoint.tensors import ITEM_SIZES, Storage, View, check_name, check_view
from inspector.errors import MalformedArtifact, UnsupportedFormat

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
_UNREAD_ITEM_SIZES = {
    "torch.ComplexFloatStorage": 8, "torch.ComplexDoubleStorage": 16,
    "torch.QInt8Storage": 1, "torch.QUInt8Storage": 1, "torch.QInt32Storage": 4,
}  # fmt: skip
_TORCH_DTYPES = {
    "torch.float16": "F16", "torch.bfloat16": "BF16", "torch.float32": "F32",
    "torch.float64": "F64", "torch.int8": "I8", "torch.int16": "I16", "torch.int32": "I32",
    "torch.int64": "I64", "torch.uint8": "U8", "torch.uint16": "U16", "torch.uint32": "U32",
    "torch.uint64": "U64", "torch.bool": "BOOL", "torch.float8_e4m3fn": "F8_E4M3",
    "torch.float8_e5m2": "F8_E5M2",
}  # fmt: skip
_PARAMETER = "torch._utils._rebuild_parameter"
_PARAMETER_WITH_STATE = "torch._utils._rebuild_parameter_with_state"
_FROM_TYPE = "torch._tensor._rebuild_from_type_v2"
_TENSOR = "torch._utils._rebuild_tensor"
_TENSOR_V2 = "torch._utils._rebuild_tensor_v2"
_TENSOR_V3 = "torch._utils._rebuild_tensor_v3"
_NEW_PARAMETER = "torch.nn.parameter.Parameter"
_PLAIN_TYPES = ("torch.Tensor", "torch.nn.parameter.Parameter", "torch.nn.parameter.Buffer")
_KEY_LIMIT = 64
"""Characters of a storage key; torch counts or uses addresses."""
_WRAPPERS = 4
"""How many parameters may be wrapped around one another; honest files have one."""


@dataclass(frozen=True, slots=True)
class StorageId:
    """What a persistent id says: the key, the dotted name of the type, the number of values."""

    key: str
    kind: str
    count: int

    @property
    def dtype(self) -> str:
        """The safetensors code. Raises ``UnsupportedFormat`` for a type that we do not read."""
        code = _STORAGE_DTYPES.get(self.kind)
        if code is None:
            raise UnsupportedFormat("unsupported-tensor", f"storage type {self.kind!a}")
        return code

    @property
    def item_size(self) -> int | None:
        """Bytes per value, also of types that we do not read; None when the type is unknown."""
        if self.kind in _STORAGE_DTYPES:
            return ITEM_SIZES[_STORAGE_DTYPES[self.kind]]
        return _UNREAD_ITEM_SIZES.get(self.kind)


def storage_id(identifier: object) -> StorageId:
    """Parse a persistent id of torch.

    The device tag is ignored: where the values once lay does not matter.

    Raises:
        MalformedArtifact: the id is not one that torch writes.
        UnsupportedFormat: it refers to a part of another storage, as torch 0.3 wrote.
    """
    if not isinstance(identifier, tuple) or len(identifier) not in (5, 6):
        raise MalformedArtifact("tensor-malformed", "a persistent id is not torch's")
    tag, kind, key, _device, count = identifier[:5]
    if tag != "storage" or not isinstance(kind, Global) or not isinstance(key, str):
        raise MalformedArtifact("tensor-malformed", "a persistent id is not torch's")
    if len(key) > _KEY_LIMIT:
        raise MalformedArtifact("tensor-malformed", f"a storage key of {len(key)} characters")
    if not _is_integer(count) or count < 0:
        raise MalformedArtifact("tensor-malformed", f"storage {key!a}: bad number of values")
    if len(identifier) == 6 and identifier[5] is not None:
        raise UnsupportedFormat("unsupported-tensor", f"storage {key!a} is a view (torch 0.3)")
    return StorageId(key, kind.dotted, count)


def declared_storages(persistents: Iterable[Persistent]) -> dict[str, StorageId]:
    """All storages that a pickle refers to, by key.

    Raises:
        MalformedArtifact: one key has two types or sizes. torch would keep the first for all.
        UnsupportedFormat: see :func:`storage_id`.
    """
    declared: dict[str, StorageId] = {}
    for persistent in persistents:
        if module_class(persistent) is not None:
            continue
        found = storage_id(persistent.identifier)
        first = declared.setdefault(found.key, found)
        # Empty storages of all types share one key, since they share one address.
        if first != found and (first.count or found.count):
            raise MalformedArtifact("tensor-malformed", f"storage {found.key!a} has two types")
    return declared


def is_tensor(value: object) -> bool:
    """Whether a node is a call of a function that rebuilds tensors, torch's or its classes'."""
    if not isinstance(value, Call) or not isinstance(value.function, Global):
        return False
    # torch itself still finds what its module tensor held in _tensor.
    functions = ("torch._utils._rebuild_", "torch._tensor._rebuild_", "torch.tensor._rebuild_")
    return is_tensor_class(value.function) or value.function.dotted.startswith(functions)


def tensor_view(
    name: str, value: object, storages: MappingType[str, Storage], limits: Limits
) -> View:
    """The view that a rebuilding call describes, checked against its storage.

    Raises:
        UnsupportedFormat: a kind of tensor that we do not read.
        MalformedArtifact, LimitExceeded: see :func:`check_view`.
    """
    call = _unwrapped(check_name(name), value)
    arguments = _arguments(call)
    count, dtype, metadata = len(arguments), None, None
    if is_call_of(call, _TENSOR_V3) and count in (7, 8):
        kind, metadata = arguments[6], arguments[7] if count == 8 else None
        dtype = _TORCH_DTYPES.get(kind.dotted) if isinstance(kind, Global) else None
        if dtype is None:
            raise UnsupportedFormat("unsupported-tensor", f"{name!a}: unknown dtype")
    elif is_call_of(call, _TENSOR_V2) and count in (6, 7):
        metadata = arguments[6] if count == 7 else None
    elif not is_call_of(call, _TENSOR) or count != 4:
        raise UnsupportedFormat(
            "unsupported-tensor", f"{name!a} is no dense tensor (sparse, quantised, subclass?)"
        )
    if metadata is not None:
        # It holds the bits of lazy conjugation and negation.
        raise UnsupportedFormat("unsupported-tensor", f"{name!a} is a lazily changed tensor")
    persistent, start, shape, stride = arguments[:4]
    if not isinstance(persistent, Persistent):
        raise MalformedArtifact("tensor-malformed", f"{name!a}: a tensor without storage")
    stored = storage_id(persistent.identifier)
    storage = _find(name, stored, storages)
    sizes, strides = _sizes(shape), _sizes(stride)
    if sizes is None or strides is None or not _is_integer(start):
        raise MalformedArtifact("tensor-malformed", f"{name!a}: bad shape, stride or offset")
    return check_view(View(name, dtype or stored.dtype, sizes, strides, start, storage), limits)


def _unwrapped(name: str, value: object) -> object:
    """The innermost call, without the parameters that wrap it."""
    for _ in range(_WRAPPERS):
        arguments = _arguments(value)
        if is_call_of(value, _PARAMETER) and len(arguments) == 3:
            value = arguments[0]
        elif is_call_of(value, _PARAMETER_WITH_STATE) and len(arguments) == 4:
            _check_no_state(name, arguments[3])
            value = arguments[0]
        elif is_call_of(value, _NEW_PARAMETER) and len(arguments) in (1, 2):
            value = arguments[0]
        elif is_call_of(value, _FROM_TYPE) and len(arguments) == 4:
            function, kind, inner, state = arguments
            _check_no_state(name, state)
            if not isinstance(kind, Global) or kind.dotted not in _PLAIN_TYPES:
                raise UnsupportedFormat("unsupported-tensor", f"{name!a} is of a tensor subclass")
            value = Call(function=function, arguments=inner)
        else:
            break
    return value


def _check_no_state(name: str, state: object) -> None:
    # Each entry of a state is set as an attribute; "data" among them replaces the values.
    is_empty = state is None or (isinstance(state, Mapping) and not state.pairs)
    if not is_empty:
        raise UnsupportedFormat("unsupported-tensor", f"{name!a} carries attributes")


def _arguments(value: object) -> tuple[object, ...]:
    if isinstance(value, Call) and isinstance(value.arguments, tuple):
        return value.arguments
    return ()


def _find(name: str, stored: StorageId, storages: MappingType[str, Storage]) -> Storage:
    storage = storages.get(stored.key)
    if storage is None:
        raise MalformedArtifact("storage-out-of-range", f"{name!a}: no storage {stored.key!a}")
    size = stored.count * ITEM_SIZES[stored.dtype]
    if storage.size != size:
        raise MalformedArtifact(
            "storage-out-of-range",
            f"{name!a}: storage {stored.key!a} has {storage.size} bytes, declared are {size}",
        )
    return storage


def _is_integer(value: object) -> TypeGuard[int]:
    """Whether ``value`` is an integer; True and False are none here."""
    return isinstance(value, int) and not isinstance(value, bool)


def _sizes(value: object) -> tuple[int, ...] | None:
    """A shape or stride as a tuple; negative numbers are left to :func:`check_view`.

    Lists are refused: the pickle may change them after the call that was given them.
    """
    if is_call_of(value, "torch.Size"):
        value = next(iter(_arguments(value)), None)
    if not isinstance(value, tuple) or not all(_is_integer(item) for item in value):
        return None
    return value
