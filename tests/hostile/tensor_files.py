"""Tensors that are larger, elsewhere or of another kind than torch or a scanner would believe."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tests.hostile import assemble as a
from tests.hostile.boxes import torch_zip
from tests.hostile.entry import Entry, bad


def _ctx(tensor: bytes, after: bytes = b"") -> Callable[[], bytes]:
    return lambda: torch_zip(a.checkpoint(("ctx", tensor), after=after))


def _view(
    shape: Sequence[int], stride: Sequence[int], start: int = 0, count: int = 64
) -> Callable[[], bytes]:
    return _ctx(a.tensor("0", count, shape, stride, start))


def _stored(stored: bytes) -> Callable[[], bytes]:
    return _ctx(a.tensor("0", 64, (4, 16), (16, 1), stored=stored))


def _parameter(*arguments: bytes) -> bytes:
    return a.call("torch._utils", "_rebuild_parameter_with_state", *arguments)


def _rebuilt(name: str, *arguments: bytes) -> Callable[[], bytes]:
    return _ctx(a.call("torch._utils", name, *arguments))


def _parameters(depth: int) -> bytes:
    inner = a.CTX
    for _ in range(depth):
        hooks = a.named("collections", "OrderedDict") + b")R"
        inner = a.call("torch._utils", "_rebuild_parameter", inner, b"\x88", hooks)
    return inner


_BOMBS = tuple((f"bomb-{index}", shape) for index, shape in enumerate(
    ((2**62, 4), (2**31, 2**31), (10**6, 10**6), (2**63, 2), (2**200, 1))
))  # fmt: skip
_VALUE = a.tensor("0", 64, (1,), (1,))
_OVERWRITTEN = a.checkpoint(("ctx", a.CTX + b"q\x01"), after=b"h\x01" + b"K\x00" + b"K\x01" + b"s0")


def _two_dictionaries(second: bytes, key: str = "ctx") -> bytes:
    tensors = a.mapping((a.text("ctx"), a.CTX), (a.text(key), second))
    return a.program(a.mapping((a.text("state_dict"), tensors)))


def _ordered(fill: bytes) -> Callable[[], bytes]:
    """A state_dict that is an OrderedDict with something more done to it."""
    tensors = a.named("collections", "OrderedDict") + b")R" + a.text("ctx") + a.CTX + b"s" + fill
    return lambda: torch_zip(a.program(a.mapping((a.text("state_dict"), tensors))))


ENTRIES: tuple[Entry, ...] = (
    *(
        bad(f"tensor-{name}", f"a tensor of shape {shape} on 256 bytes", "original",
            _view(shape, (0, 0)),
            "storage-out-of-range" if shape == (10**6, 10**6) else "tensor-malformed")
        for name, shape in _BOMBS
    ),
    bad("tensor-expanded", "four values that repeat to four gigabytes", "original",
        _view((2**30,), (0,)), "storage-out-of-range"),
    bad("tensor-many-expanded", "200 tensors of a megabyte each on 256 bytes", "original",
        lambda: torch_zip(a.checkpoint(
            *((f"ctx{i}", a.tensor("0", 64, (2**18,), (0,))) for i in range(200)))),
        "limit-exceeded"),
    bad("tensor-beyond", "a tensor that begins behind its storage", "CVE-2026-24747",
        _view((4, 16), (16, 1), 64), "storage-out-of-range"),
    bad("tensor-last", "a tensor that ends one value behind its storage", "CVE-2026-24747",
        _view((4, 16), (16, 1), 1), "storage-out-of-range"),
    bad("tensor-stride", "strides that leave the storage", "CVE-2026-24747",
        _view((4, 16), (17, 1)), "storage-out-of-range"),
    bad("tensor-stride-huge", "a stride of 2^62: its product wraps round 64 bits", "original",
        _view((5, 1), (2**62, 1)), "storage-out-of-range"),
    bad("tensor-negative-stride", "a negative stride", "original", _view((4, 16), (-16, 1), 63),
        "tensor-malformed"),
    bad("tensor-negative-start", "a negative offset", "original", _view((4, 16), (16, 1), -1),
        "tensor-malformed"),
    bad("tensor-negative-shape", "two negative sizes, whose product is positive", "original",
        _view((-4, -16), (16, 1)), "tensor-malformed"),
    bad("tensor-dimensions", "more strides than sizes", "original", _view((4, 16), (16, 1, 1)),
        "tensor-malformed"),
    bad("tensor-64-dimensions", "64 dimensions", "original", _view((1,) * 64, (1,) * 64),
        "limit-exceeded"),
    bad("tensor-shape-list", "a shape in a list, changed after the call", "original",
        _ctx(a.call("torch._utils", "_rebuild_tensor_v2", a.storage("0", 64), b"K\x00",
                    b"](K\x04K\x10eq\x09", a.numbers((16, 1)), b"\x89", b"}"),
             b"h\x09K\x09a0"), "tensor-malformed"),
    bad("tensor-bool-shape", "a shape of booleans", "original",
        _ctx(a.call("torch._utils", "_rebuild_tensor_v2", a.storage("0", 64), b"K\x00",
                    b"(\x88\x88t", a.numbers((1, 1)), b"\x89", b"}")), "tensor-malformed"),
    bad("storage-forged", "a storage that says more than its record has", "ivanphuc-mmap-poc",
        _view((4, 16), (16, 1), count=65), "storage-out-of-range"),
    bad("storage-forged-unused", "a forged storage that only the optimiser uses",
        "ivanphuc-mmap-poc",
        lambda: torch_zip(a.coop(a.tensor("1", 2**40, (2**40,), (1,))),
                          {"0": bytes(256), "1": bytes(16)}), "storage-out-of-range"),
    bad("storage-missing", "a storage without a record", "original",
        _ctx(a.tensor("7", 64, (4, 16), (16, 1))), "storage-out-of-range"),
    bad("storage-path", "a storage key that climbs out of its folder", "original",
        _ctx(a.tensor("../data.pkl", 64, (4, 16), (16, 1))), "storage-out-of-range"),
    bad("storage-key-long", "a storage whose key has a million letters", "original",
        _ctx(a.tensor("0" * 1_000_000, 64, (4, 16), (16, 1))), "tensor-malformed"),
    bad("storage-two-types", "one storage as float and as double", "CVE-2026-24747",
        lambda: torch_zip(a.checkpoint(("ctx", a.CTX), ("w", a.tensor(
            "0", 32, (32,), (1,), kind="DoubleStorage")))), "tensor-malformed"),
    bad("storage-two-sizes", "one storage with two sizes", "CVE-2026-24747",
        lambda: torch_zip(a.checkpoint(("ctx", a.CTX), ("w", a.tensor("0", 32, (32,), (1,))))),
        "tensor-malformed"),
    bad("storage-unknown-type", "a storage type that torch does not have", "original",
        _ctx(a.tensor("0", 64, (4, 16), (16, 1), kind="EvilStorage")),
        "unsupported-tensor", "pickle-unknown-global"),
    bad("persid-text", "PERSID, the text form of a persistent id", "original",
        _stored(b"Pstorage\n"), "tensor-malformed"),
    bad("persid-short", "a persistent id with too few parts", "original",
        _stored(b"(" + a.text("storage") + b"tQ"), "tensor-malformed"),
    bad("persid-module", "a persistent id of a module: its source would be compared, and written",
        "original", _stored(b"(" + a.text("module") + b"NNNNtQ"), "tensor-malformed"),
    bad("persid-count", "a number of values that is a float", "original",
        _stored(b"(" + a.text("storage") + a.named("torch", "FloatStorage") + a.text("0")
                + a.text("cpu") + b"G" + bytes(8) + b"tQ"), "tensor-malformed"),
    bad("tensor-setitem", "a value is set after the tensor was made", "CVE-2026-24747",
        lambda: torch_zip(_OVERWRITTEN), "pickle-malformed"),
    bad("tensor-build", "a tensor is given a state", "original",
        _ctx(a.CTX + b"}" + a.text("data") + _VALUE + b"sb"), "pickle-malformed"),
    bad("parameter-state", "a parameter whose state replaces its data", "original",
        _ctx(_parameter(a.CTX, b"\x88", b"}", b"}" + a.text("data") + _VALUE + b"s")),
        "unsupported-tensor"),
    bad("parameters-deep", "20 parameters around one another", "original",
        _ctx(_parameters(20)), "unsupported-tensor"),
    bad("tensor-negation", "lazy negation: the values are not those of the storage", "original",
        _ctx(a.tensor("0", 64, (4, 16), (16, 1), tail=b"}" + a.text("neg") + b"\x88s")),
        "unsupported-tensor"),
    bad("tensor-complex", "complex values", "original",
        _ctx(a.tensor("0", 32, (4, 8), (8, 1), kind="ComplexFloatStorage")), "unsupported-tensor"),
    bad("tensor-quantised", "a quantised tensor", "original",
        _rebuilt("_rebuild_qtensor", a.storage("0", 256, "QInt8Storage"), b"K\x00",
                 a.numbers((256,)), a.numbers((1,)), b")", b"\x89", b"}"), "unsupported-tensor"),
    bad("tensor-sparse", "a sparse tensor", "original",
        _rebuilt("_rebuild_sparse_tensor", a.named("torch", "sparse_coo"), b")"),
        "unsupported-tensor"),
    bad("tensor-nested", "a nested tensor", "original",
        _rebuilt("_rebuild_nested_tensor", a.CTX, a.CTX, a.CTX, a.CTX), "unsupported-tensor"),
    bad("tensor-meta", "a tensor without values", "original",
        _rebuilt("_rebuild_meta_tensor_no_storage", a.named("torch", "float32"),
                 a.numbers((4, 16)), a.numbers((16, 1)), b"\x89"), "unsupported-tensor"),
    bad("tensor-wrapper", "a wrapper subclass", "original",
        _rebuilt("_rebuild_wrapper_subclass", a.named("torch", "Tensor")), "unsupported-tensor"),
    bad("tensor-subclass", "a tensor of an unknown class", "original",
        _ctx(a.call("torch._tensor", "_rebuild_from_type_v2",
                    a.named("torch._utils", "_rebuild_tensor_v2"), a.named("somebody", "Tensor"),
                    b")", b"}")), "unsupported-tensor", "pickle-unknown-global"),
    bad("tensor-numpy", "a tensor of another device, as numpy", "original",
        _rebuilt("_rebuild_device_tensor_from_numpy", b"N", a.named("torch", "float32"),
                 a.text("xla:0"), b"\x89"), "unsupported-tensor"),
    bad("tensor-no-storage", "a tensor over a tuple in place of a storage", "original",
        _stored(b")"), "tensor-malformed"),
    bad("tensor-path-name", "torch._utils reached through torch", "original",
        lambda: torch_zip(a.checkpoint(("ctx", a.CTX.replace(
            a.named("torch._utils", "_rebuild_tensor_v2"),
            a.stacked("torch", "_utils._rebuild_tensor_v2"))), protocol=4)),
        "pickle-code-execution", "unsupported-tensor"),
    bad("key-twice", "one key twice: torch keeps the last", "original",
        lambda: torch_zip(_two_dictionaries(_VALUE)), "duplicate-key"),
    bad("key-module-twice", "a key with and without 'module.'", "original",
        lambda: torch_zip(_two_dictionaries(_VALUE, "module.ctx")), "duplicate-key"),
    bad("ordered-attributes", "an OrderedDict with attributes: its keys() is another function",
        "original", _ordered(b"}" + a.text("keys") + a.named("builtins", "list") + b"sb"),
        "no-state-dict"),
    bad("ordered-hidden", "the same, then an empty state that hides the first", "original",
        _ordered(b"}" + a.text("keys") + a.named("builtins", "list") + b"sbNb"),
        "pickle-malformed"),
    bad("ordered-items", "an OrderedDict that something is appended to", "original",
        _ordered(b"Na"), "no-state-dict"),
    bad("ordered-arguments", "an OrderedDict made from another one", "original",
        lambda: torch_zip(a.program(a.mapping((a.text("state_dict"), a.call(
            "collections", "OrderedDict", a.mapping((a.text("ctx"), a.CTX))))))),
        "no-state-dict"),
    bad("tensor-scattered", "60 tensors of a quarter of a million pieces each on 256 bytes",
        "original",
        lambda: torch_zip(a.checkpoint(
            *((f"ctx{i}", a.tensor("0", 128, (2**18, 2), (0, 1), kind="HalfStorage"))
              for i in range(60)))), "limit-exceeded"),
    bad("key-homoglyph-beside", "a second context whose key looks the same", "original",
        lambda: torch_zip(_two_dictionaries(a.CTX, "\u0441tx")), "unknown-family"),
    bad("nan", "not-a-number and infinity among the values", "original",
        lambda: torch_zip(storages={"0": (b"\0\0\xc0\x7f" + b"\0\0\x80\xff") * 32}),
        "non-finite-tensor", canonical=True),
    bad("nan-payload", "a NaN with a payload, which some checks miss", "original",
        lambda: torch_zip(storages={"0": b"\x01\0\x80\x7f" + bytes(252)}),
        "non-finite-tensor", canonical=True),
    bad("integer-weights", "context vectors of integers", "original",
        _ctx(a.tensor("0", 32, (4, 8), (8, 1), kind="LongStorage")), "unsupported-tensor"),
    bad("wrong-shape", "token vectors that do not fit the context", "original",
        lambda: torch_zip(a.checkpoint(
            ("ctx", a.CTX), ("token_prefix", a.tensor("0", 64, (5, 1, 8), (8, 8, 1))))),
        "shape-mismatch"),
    bad("no-family", "keys of no method", "original",
        lambda: torch_zip(a.checkpoint(("layer.weight", a.CTX))), "unknown-family"),
)  # fmt: skip
