"""How a call is disguised: opcodes, the memo, the place in the file, the file's name and container.

The function is always one that every scanner knows, so that only the disguise can hide it.
"""

from __future__ import annotations

import pickle
import struct
from functools import partial

from tests.hostile import assemble as a
from tests.hostile.boxes import (
    Part,
    legacy_coop,
    legacy_file,
    tar_member,
    tar_of,
    torch_parts,
    torch_zip,
    zip_of,
)
from tests.hostile.entry import Entry, bad, code

_OS = a.named("posix", "system")
_ARGS = b"(" + a.text(a.CANARY) + b"t"


def _planted(payload: bytes, protocol: int = 2) -> bytes:
    return torch_zip(a.coop(payload, protocol))


def _memo_confusion() -> bytes:
    # BINPUT and MEMOIZE share the memo: MEMOIZE writes to its length, whatever was put where.
    put = a.text("posix") + b"q\x00" + a.text("system") + b"q\x01"
    decoys = a.text("torch._utils") + b"\x94" + a.text("_rebuild_tensor_v2") + b"\x94"
    return put + decoys + b"h\x00h\x01\x93" + _ARGS + b"R0000"


def _numpy_builtins() -> bytes:
    # numpy.size is filled so that numpy.__builtins__ can be read through it.
    size, builtins = a.stacked("numpy", "size"), a.stacked("numpy", "__builtins__")
    filled = size + b"\x94}" + b"}" + a.short("shape") + builtins + b"s\x86b"
    return filled + b"h\x00h\x00" + a.short("eval") + b"\x86R"


def _interpreters() -> bytes:
    made = a.stacked_call("_interpreters", "create") + b"\x94"
    return made + b"0" + a.stacked("types", "SimpleNamespace") + b")\x81}b"


def _frame_straddle() -> bytes:
    # The frame ends inside the name of the module: CPython forgets what it had read of it.
    body = b"cmap" + b"posix\nsystem\n" + _ARGS + b"R0N."
    return b"\x80\x04\x95" + struct.pack("<Q", 4) + body


def _frame_buried() -> bytes:
    hidden = _OS + _ARGS + b"R0"
    data = b"\0\0" + (hidden + b"(").ljust(261, b"N")
    head = b"\x80\x05NV" + b"a" * (8192 * 16 - 17) + b"\n0("
    return head + b"\x95" + struct.pack("<Q", 2) + b"B\x07\x01\x00\x00" + data + b"1."


def _in_legacy(place: int) -> bytes:
    evil = a.program(a.system())
    if place == 3:
        return legacy_file(legacy_coop(a.system()))
    magic, version, machine, _thing, keys = (evil if i == place else None for i in range(5))
    return legacy_file(legacy_coop(), magic=magic, version=version, machine=machine, keys=keys)


def _dynamic_magic() -> bytes:
    return legacy_file(legacy_coop(a.system()), magic=a.program(_eval("0x1950A86A20F9469CFC6C")))


def _eval(text: str) -> bytes:
    return a.call("builtins", "eval", a.text(text))


def _behind(fault: bytes) -> bytes:
    return torch_zip(b"\x80\x02" + fault + a.system() + b".")


def _torch_tar(**members: bytes) -> bytes:
    none = a.program(a.number(0))
    parts = {"storages": none + a.program(b"]"), "tensors": none, "pickle": a.program(b"}")}
    return tar_of(*(tar_member(name, data) for name, data in (parts | members).items()))


def _nested(depth: int) -> bytes:
    inner = a.program(a.system())
    for _ in range(depth):
        inner = a.program(
            a.named("pickle", "loads") + b"(B" + struct.pack("<I", len(inner)) + inner + b"tR"
        )
    return inner


_ALSO = {
    **dict.fromkeys(
        (
            "build-module",
            "build-numpy-builtins",
            "setitem-modules",
            "append-path",
            "update-environ",
        ),
        ("pickle-malformed",),
    ),
    **dict.fromkeys(
        (
            "vendor-path",
            "getattr-method",
            "getattr-called",
            "getattr-kept",
            "partial-called",
            "partial-factory",
            "partial-state",
            "state-then-append",
        ),
        ("pickle-unknown-global",),
    ),
    "vendor-path": (),
    "vendor-filled": ("pickle-malformed", "pickle-unknown-global"),
    "generator": ("pickle-uncommon-global",),
    "bit-generator": ("pickle-uncommon-global",),
    "reconstructor": ("pickle-unknown-global",),
    "interpreters": ("pickle-uncommon-global",),
}
"""What else is reported: filling a global ends the walk, and other names are judged too."""
_STACKED = a.stacked("posix", "system")
_STATE = b"}" + a.text("x") + a.text("y") + b"s"

_OPCODES = (
    ("global-reduce", "GLOBAL and REDUCE", "original", _OS + _ARGS + b"R"),
    ("stack-global", "STACK_GLOBAL and REDUCE", "original", _STACKED + _ARGS + b"R"),
    ("inst", "INST", "picklescan-21", b"(" + a.text(a.CANARY) + b"iposix\nsystem\n"),
    ("obj", "OBJ", "GHSA-mxhj-88fx-4pcv", b"(" + _OS + a.text(a.CANARY) + b"o"),
    ("obj-pty", "OBJ, its result used by nothing", "fickling-108", b"(cpty\nspawn\nS'id'\no"),
    ("newobj", "NEWOBJ of a class that runs a command", "original",
     a.named("subprocess", "Popen") + _ARGS + b"\x81"),
    ("newobj-ex", "NEWOBJ_EX with keyword arguments", "original",
     a.named("subprocess", "Popen") + b")}" + a.text("args") + a.text(a.CANARY) + b"s\x92"),
    ("build", "REDUCE, then BUILD: its __setstate__ runs", "GHSA-mhc9-48gj-9gp3",
     a.call("attacker", "Thing") + _STATE + b"b"),
    ("build-denied", "BUILD of an instance of a denied class", "GHSA-mhc9-48gj-9gp3",
     a.named("functools", "partial") + b")\x81" + _STATE + b"b"),
    ("build-module", "BUILD fills a function with attributes", "modelscan-85",
     a.named("numpy", "prod") + b"N}" + a.text("a") + a.text("posix") + b"s\x86b"),
    ("build-numpy-builtins", "numpy.size is filled, numpy.__builtins__ named", "modelscan-330",
     _numpy_builtins()),
    ("string-join", "the name is put together by str.join", "modelscan-331",
     a.call("importlib", "import_module", a.text("builtins"))
     + b"0" + a.call("builtins", "getattr", a.text("x"), a.text("join"))),
    ("ext1", "EXT1: a name from the registry of the loading process", "original", b"\x82\x07)R"),
    ("ext2", "EXT2, named only", "original", b"\x83\x07\x00"),
    ("ext4", "EXT4, called", "original", b"\x84\x07\x00\x00\x00)R"),
    ("setitem-modules", "SETITEM on sys.modules", "picklescan-sys-override",
     a.named("sys", "modules") + a.text("os") + a.text("x") + b"s"),
    ("append-path", "APPEND to sys.path", "original",
     a.named("sys", "path") + a.text("/tmp") + b"a"),
    ("update-environ", "SETITEMS on os.environ", "original",
     a.named("os", "environ") + b"(" + a.text("LD_PRELOAD") + a.text("x") + b"u"),
    ("memo-confusion", "BINPUT and MEMOIZE mixed", "picklescan-14", _memo_confusion()),
    ("memo-type-confusion", "the module of STACK_GLOBAL comes from a memo that was overwritten",
     "picklescan-type-confusion", a.text("math") + b"q\x050" + a.text("posix") + b"q\x050"
     + b"h\x05" + a.text("system") + b"\x93" + _ARGS + b"R"),
    ("python2-strings", "SHORT_BINSTRING names", "modelscan-313",
     b"U\x05posixU\x06system\x93" + _ARGS + b"R"),
    ("dotted", "a harmless module that holds another one", "GHSA-5j3x-jp52-966f",
     a.stacked("pathlib", "os.system") + _ARGS + b"R"),
    ("dotted-not-called", "the same, named only", "GHSA-5j3x-jp52-966f",
     a.stacked("pathlib", "os.system")),
    ("dotted-class", "a class reached through torch.optim", "original",
     a.stacked("torch.optim.lr_scheduler", "types.FunctionType") + b")\x81"),
    ("dunder", "a special attribute of an allowed class", "original",
     a.stacked("collections", "OrderedDict.__init__.__globals__")),
    ("computed", "what a call gave is called", "original",
     a.named("collections", "OrderedDict") + b")R" + b")R"),
    ("from-type", "torch's own function that calls its argument", "CVE-2025-32434",
     a.named("torch._tensor", "_rebuild_from_type_v2")
     + b"(" + a.named("attacker", "f") + a.named("torch", "Tensor") + b")NtR"),
    ("from-type-1", "its predecessor, under the module's former name", "original",
     a.named("torch.tensor", "_rebuild_from_type")
     + b"(" + a.named("attacker", "f") + a.named("torch", "Tensor") + b")NtR"),
    ("default-factory", "a defaultdict that calls on the first missing key", "original",
     a.call("collections", "defaultdict", a.named("attacker", "f"))),
    ("generator", "numpy's constructor of a random generator calls its second argument",
     "original", a.call("numpy.random._pickle", "__generator_ctor", a.text(a.CANARY),
                        a.named("attacker", "f"))),
    ("bit-generator", "numpy's constructor of a bit generator calls its argument", "original",
     a.call("numpy.random._pickle", "__bit_generator_ctor", a.named("attacker", "A"))),
    ("reconstructor", "copyreg._reconstructor runs the base's __init__", "original",
     a.call("copyreg", "_reconstructor", a.named("attacker", "A"), a.named("attacker", "B"),
            a.text(a.CANARY))),
    ("interpreters", "a subinterpreter, hidden by BUILD", "GHSA-6ggj-6f2q-f7mx", _interpreters()),
    ("pop-result", "the result is dropped at once", "fickling-unused", _OS + _ARGS + b"R0N"),
    ("dup-callable", "DUP of the function before the call", "original", _OS + b"2" + _ARGS + b"R0"),
    ("under-mark", "the call stands under a mark that POP_MARK removes", "original",
     b"(" + _OS + _ARGS + b"R1N"),
    ("storage-call", "a storage class is called: it allocates what it is told", "original",
     a.call("torch", "FloatStorage", a.number(10**12))),
    ("optimizer-call", "the constructor of an optimiser is called", "original",
     a.call("torch.optim.sgd", "SGD", b"]")),
    ("homoglyph", "a Cyrillic letter in the name of the module", "original",
     a.stacked_call("p\u043esix", "system", a.text(a.CANARY))),
    ("python2-builtins", "__builtin__, renamed to builtins on loading", "picklescan",
     a.call("__builtin__", "eval", a.text("1"))),
    ("python2-commands", "commands, renamed to subprocess on loading", "picklescan",
     a.call("commands", "getoutput", a.text(a.CANARY))),
    ("vendor-function", "a vendor's function with a plain value", "original",
     a.call("trainers.options", "backbone", a.text("x"))),
    ("vendor-object", "a vendor's class that is given a function", "original",
     a.call("trainers.options", "Backbone", a.named("collections", "OrderedDict"))),
    ("vendor-computed", "what a vendor's class made is called", "original",
     a.call("trainers.options", "Backbone", a.text("x")) + b")R"),
    ("vendor-path", "an attribute of a vendor's class", "original",
     a.stacked_call("trainers.options", "Backbone.Inner", a.text("x"))),
    ("vendor-import", "a class that a vendor's module imported", "original",
     a.call("trainers.options", "Popen", a.text(a.CANARY))),
    ("vendor-filled", "an attribute of a vendor's class is filled", "original",
     a.call("builtins", "getattr", a.named("trainers.options", "Registry"), a.text("HANDLERS"))
     + a.text("x") + b"Ns"),
    ("published-class", "a class that runs a command when it is made", "original",
     a.call("paramiko.proxy", "ProxyCommand", a.text(a.CANARY))),
    ("getattr-method", "a method is looked up and called", "original",
     a.call("builtins", "getattr", a.named("trainers.options", "Backbone"), a.text("load"))),
    ("getattr-called", "a member is looked up and called", "original",
     a.call("builtins", "getattr", a.named("trainers.options", "Backbone"), a.text("VIT"))
     + b")R"),
    ("getattr-kept", "getattr is looked up for a member and handed on as well", "original",
     a.call("builtins", "getattr", a.named("trainers.options", "Backbone"), a.text("VIT"))
     + a.named("builtins", "getattr") + b"\x850"),
    ("partial-called", "a partial is called", "original",
     a.call("functools", "partial", a.named("trainers.options", "f")) + b")R"),
    ("partial-factory", "a defaultdict that calls a partial", "original",
     a.call("collections", "defaultdict",
            a.call("functools", "partial", a.named("trainers.options", "f")))),
    ("partial-state", "a partial whose state is another function", "original",
     a.call("functools", "partial", a.named("trainers.options", "f"))
     + b"(" + a.named("trainers.options", "g") + b")NNtb"),
    ("state-then-append", "an attribute takes the place of append", "original",
     a.named("argparse", "Namespace") + b")\x81}" + a.text("append")
     + a.named("trainers.options", "f") + b"sbNa"),
    ("submodule", "a submodule of a denied module", "CVE-2025-10157",
     a.stacked_call("os.path", "join", a.text("x"))),
    ("rebound-proto", "PROTO again in the middle", "original", b"\x80\x04" + _STACKED + _ARGS + b"R"),
)  # fmt: skip


def _texts() -> tuple[Entry, ...]:
    """The same payload at every protocol, as a bare pickle and inside a checkpoint."""

    class Payload:
        def __reduce__(self) -> tuple[object, ...]:
            return exec, (f"import os; os.system({a.CANARY!r})",)

    rows = []
    for protocol in range(6):
        bare = pickle.dumps(Payload(), protocol)
        rows.append(
            code(f"bare-protocol-{protocol}", f"a bare pickle of protocol {protocol}",
                 "CVE-2025-10155", partial(bytes, bare), "unsupported-format")
        )  # fmt: skip
        rows.append(
            code(f"planted-protocol-{protocol}", f"protocol {protocol} inside a torch zip",
                 "original", partial(torch_zip, bare), "no-state-dict")
        )  # fmt: skip
    return tuple(rows)


_FAULTS = (
    ("octal", "an integer that the C unpickler alone reads", "original", b"I010\n0"),
    ("bad-integer", "an integer that nobody reads", "original", b"I12x\n0"),
    ("bad-float", "a float that nobody reads", "original", b"F1.2.3\n0"),
    ("huge-float", "a float that the C unpickler refuses", "original", b"F1e999\n0"),
    ("bad-text", "a text that is no UTF-8", "original", b"X\x02\0\0\0\xc1\xa30"),
    ("unknown-memo", "a memo entry that was never written", "picklescan-52", b"h\x630"),
    ("empty-stack", "a pop of the empty stack", "original", b"00"),
    ("no-arguments", "a call without a tuple of arguments", "original", b"NNR0"),
    ("odd-pairs", "a key without a value", "original", b"}(NNNu0"),
    ("filled-nothing", "an item for what is no container", "original", b"NNa0"),
    ("state-of-a-list", "a state for a list", "original", b"]Nb0"),
    ("two-states", "a second state for one object", "original",
     a.named("collections", "OrderedDict") + b")R}b}b0"),
    ("unknown-opcode", "a byte that is no opcode", "modelscan-354", b"\xff"),
    ("buffer", "a buffer outside of the pickle", "original", b"\x970"),
    ("protocol-9", "a protocol that does not exist", "original", b"\x80\x09"),
)  # fmt: skip
"""Faults in front of a payload: most unpicklers stop there, and the payload is named all the same."""
_LEGACY_ALSO = {
    0: ("pickle-trailing-bytes",), 1: ("legacy-malformed",), 4: ("legacy-malformed",)
}  # fmt: skip


def _with(position: int, **change: object) -> bytes:
    parts = torch_parts(a.coop(a.system()))
    old = parts[position]
    parts[position] = Part(old.name, old.data, **change)  # type: ignore[arg-type]
    return zip_of(parts)


_PLACES: tuple[Entry, ...] = (
    *(
        code(f"legacy-pickle-{place}", f"the payload in pickle {place} of the five of a legacy file",
             "arXiv-2508.19774", partial(_in_legacy, place),
             *_LEGACY_ALSO.get(place, ()))
        for place in range(5)
    ),
    code("legacy-protocol-0", "a legacy file of protocol 1, without any mark", "original",
         lambda: legacy_file(legacy_coop(a.system()), protocol=1)),
    code("legacy-dynamic-magic", "the magic number is computed, so that no scanner sees it",
         "picklescan-magic-bypass", _dynamic_magic, "pickle-trailing-bytes"),
    code("after-stop", "a second pickle behind STOP of data.pkl", "modelscan-2",
         lambda: torch_zip(a.coop() + a.program(a.system())), "pickle-trailing-bytes"),
    code("after-stop-bare", "a second pickle behind STOP of a bare one", "GHSA-9gvj-pp9x-gcfr",
         lambda: a.program(b"N") + a.program(a.system()), "pickle-trailing-bytes"),
    code("then-garbage", "garbage after the payload", "CVE-2025-10156",
         lambda: torch_zip(b"\x80\x02" + a.system() + b"\xff\xfe garbage"), "pickle-malformed"),
    code("then-end", "the pickle ends after the payload", "GHSA-9gvj-pp9x-gcfr",
         lambda: torch_zip(b"\x80\x02" + a.system()), "pickle-malformed"),
    code("then-bad-memo", "an unknown memo entry after the payload", "picklescan-52",
         lambda: torch_zip(b"\x80\x02" + a.system() + b"h\x63."), "pickle-malformed"),
    code("protocol-0-then-garbage", "a bare pickle of protocol 0, then garbage",
         "GHSA-9gvj-pp9x-gcfr", lambda: a.text_call("os", "system", a.CANARY) + b"\xff\xff",
         "pickle-malformed"),
    code("nested-pickle", "pickle.loads of a pickle", "CVE-2025-1889",
         lambda: torch_zip(_nested(1)), "no-state-dict"),
    code("nested-20", "twenty pickles in one another", "modelscan-267",
         lambda: torch_zip(_nested(20)), "no-state-dict"),
    code("name-bin", "a bare pickle called .bin, so that scanners take it for torch's",
         "CVE-2025-10155", lambda: a.program(a.system()), "unsupported-format", name="model.bin"),
    code("name-txt", "a torch zip called notes.txt", "CVE-2025-1889",
         lambda: _planted(a.system()), name="notes.txt"),
    code("name-safetensors", "a torch zip called .safetensors", "CVE-2025-10155",
         lambda: _planted(a.system()), name="model.safetensors"),
    code("name-tar", "a bare pickle called .tar", "original",
         lambda: a.program(a.system()), "unsupported-format", name="model.pth.tar"),
    code("gz-tar-planted", "a planted checkpoint inside a tar", "original",
         lambda: tar_of(tar_member("run/model.pth.tar-50", _planted(a.system())))),
    code("torch-tar", "the tar of torch 0.1: torch.load takes its members for pickles",
         "arXiv-2508.19774", lambda: _torch_tar(pickle=a.program(a.system())),
         "unsupported-format"),
    code("torch-tar-storages", "the same with the payload in the first member", "original",
         lambda: _torch_tar(storages=a.program(a.system())), "unsupported-format"),
    code("torch-tar-alone", "the first member alone, which torch.load runs before it fails",
         "original", lambda: tar_of(tar_member("storages", a.program(a.system()))),
         "unsupported-format"),
    code("bad-crc-payload", "a payload in a record with a wrong checksum", "CVE-2025-10156",
        lambda: _with(0, local={"crc": 1}, central={"crc": 1}), "zip-bad-crc"),
    code("flag-encrypted-payload", "a payload in a record that is marked as encrypted",
        "CVE-2025-1945",
        lambda: _with(0, flags=1), "zip-encrypted"),
    code("name-differs-payload", "a payload whose two headers have two names", "CVE-2025-1944",
        lambda: _with(0, local_name=b"archive/data.txt"), "zip-header-mismatch"),
    bad("pkl-elsewhere", "a second pickle in the torch zip, under another name", "CVE-2025-1889",
        lambda: zip_of([*torch_parts(), Part("archive/config.p", a.program(a.system()))]),
        "torch-malformed"),
    bad("pickle-as-storage", "a pickle hidden in a storage: values, never a program", "original",
        lambda: torch_zip(storages={"0": a.program(a.system()).ljust(256, b".")}), canonical=True),
    code("frame-straddle", "a name that crosses the end of its frame: CPython reads another",
         "cpython-154848", lambda: torch_zip(_frame_straddle()), "pickle-malformed"),
    code("frame-buried", "a call inside what looks like a long string of bytes", "cpython-154848",
         lambda: torch_zip(_frame_buried()), "pickle-malformed"),
    *(
        code(f"behind-{name}", f"the payload behind {what}", source,
             partial(_behind, fault),
             "pickle-malformed")
        for name, what, source, fault in _FAULTS
    ),
    code("behind-base-0", "the payload behind an integer in base 0, which both unpicklers read",
         "TESTforge42", lambda: torch_zip(b"\x80\x02I0x10\n0" + a.system() + b"."),
         "no-state-dict"),
    code("behind-long-text", "the payload behind a text that is longer than we read", "original",
         lambda: torch_zip(b"\x80\x02X" + struct.pack("<I", 2**21) + b"x" * 2**21 + b"0"
                           + a.system() + b"."), "limit-exceeded"),
    bad("frame-nested", "a frame inside a frame", "cpython-154848",
        lambda: torch_zip(b"\x80\x04\x95" + struct.pack("<Q", 30) + b"N\x95" + struct.pack("<Q", 2)
                          + b"N" * 40 + b"."), "pickle-malformed"),
    bad("frame-too-long", "a frame that reaches beyond the pickle", "original",
        lambda: torch_zip(b"\x80\x04\x95" + struct.pack("<Q", 2**40) + b"N."), "pickle-malformed"),
    bad("unknown-class", "an instance of an unknown class: not loaded, reported", "original",
        lambda: _planted(a.named("somebody.config", "Config") + b")\x81}b"),
        "pickle-unknown-global", canonical=True),
)  # fmt: skip


def _opcodes() -> tuple[Entry, ...]:
    return tuple(
        code(f"opcode-{name}", what, source, partial(_planted, payload, 4),
             *_ALSO.get(name, ()))
        for name, what, source, payload in _OPCODES
    )  # fmt: skip


ENTRIES = (*_opcodes(), *_texts(), *_PLACES)
