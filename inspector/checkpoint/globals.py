"""The judgement on every global that a pickle names.

A deny-list can always be bypassed, so the rule is an allow-list: what is not on it and is *called*
(REDUCE, OBJ, INST, a call of a computed object, filling or changing a global) is an attempt to run
code, whatever its name. The deny-list only raises the weight of names whose mere presence has no
honest explanation: a dangerous function may be handed to something harmless that calls it later.

    expected   on the allow-list: what torch, Dassl and numpy write
    low        harmless value classes that are unusual in a checkpoint
    high       unknown, named or instantiated but not called
    critical   on the deny-list, or unknown and called; or anything called that was itself computed

Nothing here decides what is loaded: even an expected global is only ever interpreted by our own
code (:mod:`inspector.checkpoint.rebuild`). The allow-list starts from
``torch/_weights_only_unpickler.py``; the deny-list from the published scanner bypasses.
"""

from __future__ import annotations

import re
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING

from inspector.checkpoint.reading import GlobalSeverity, GlobalUse
from inspector.checkpoint.reasons import report
from inspector.checkpoint.walker import Ledger, Mentions
from inspector.checkpoint.wording import printable
from inspector.findings import Finding


def _names(prefix: str, names: str) -> set[str]:
    return {f"{prefix}.{name}" for name in names.split()}


_STORAGES = (
    "Float Half BFloat16 Double Long Int Short Char Byte Bool ComplexFloat ComplexDouble "
    "QInt8 QUInt8 QInt32 QUInt4x2 QUInt2x4"
)
_DTYPES = (
    "float16 half bfloat16 float32 float float64 double int8 int16 short int32 int int64 long "
    "uint8 uint16 uint32 uint64 bool complex64 complex128 float8_e4m3fn float8_e5m2 "
    "qint8 quint8 qint32"
)
_REBUILD = (
    "_rebuild_tensor _rebuild_tensor_v2 _rebuild_tensor_v3 _rebuild_parameter "
    "_rebuild_parameter_with_state _rebuild_sparse_tensor _rebuild_qtensor "
    "_rebuild_meta_tensor_no_storage _rebuild_nested_tensor _rebuild_wrapper_subclass"
)
_LAYOUTS = "strided sparse_coo sparse_csr sparse_csc sparse_bsr sparse_bsc"

EXPECTED: frozenset[str] = frozenset(
    _names("collections", "OrderedDict defaultdict Counter")
    | _names("builtins", "dict list tuple set frozenset int float bool str bytes bytearray")
    | _names("builtins", "complex object slice")
    | _names("torch", " ".join(f"{kind}Storage" for kind in _STORAGES.split()))
    | _names("torch.storage", "UntypedStorage TypedStorage")
    | _names("torch", f"Size device Tensor {_DTYPES} {_LAYOUTS}")
    | _names("torch._utils", _REBUILD)
    | _names("torch.nn.parameter", "Parameter Buffer")
    | _names("torch._tensor", "_rebuild_from_type_v2")
    | _names("torch.serialization", "_get_layout")
    | {"copyreg._reconstructor", "_codecs.encode"}
    | _names("numpy", "ndarray dtype")
    | _names("numpy.core.multiarray", "scalar _reconstruct")
    | _names("numpy._core.multiarray", "scalar _reconstruct")
)

# Classes of these packages are live state of a training run: optimisers and schedules. Pickles make
# them empty (NEWOBJ) and fill them; their constructors would run, and write to tensors.
_EXPECTED_CLASS = re.compile(r"(torch\.optim|dassl\.optim)(\.[a-z_0-9]+)*\.[A-Z][A-Za-z0-9]*")
_UNCOMMON_CLASS = re.compile(r"torch\.nn\.modules(\.[a-z_0-9]+)*\.[A-Z][A-Za-z0-9]*")
_UNCOMMON_VALUE = re.compile(
    r"pathlib\.(Pure)?(Posix|Windows)?Path|argparse\.Namespace|yacs\.config\.CfgNode"
    r"|datetime\.(datetime|date|time|timedelta|timezone)"
)

_DENIED_WORDS = """
    os posix nt posixpath subprocess sys shutil socket ssl pty tty importlib imp runpy pkgutil
    zipimport ctypes cffi _ctypes pickle _pickle cPickle dill cloudpickle joblib marshal shelve code
    codeop types functools operator itertools webbrowser http urllib urllib2 requests httplib
    ftplib smtplib telnetlib xmlrpc asyncio multiprocessing threading _thread concurrent signal pdb
    bdb cProfile profile pstats timeit trace doctest unittest pydoc pip ensurepip venv distutils
    setuptools idlelib lib2to3 test cgitb platform tempfile io _io fileinput linecache inspect gc
    site sitecustomize atexit logging uuid mmap resource commands popen2 ast dis antigravity
    imaplib poplib nntplib aiohttp httpx paramiko pexpect
"""
_DENIED_MODULES = frozenset(_DENIED_WORDS.split())
_DENIED_PREFIXES = (
    "torch.hub",
    "torch.jit",
    "torch.package",
    "torch.utils.bottleneck",
    "torch.utils.collect_env",
    "torch.utils.cpp_extension",
    "torch.utils.model_zoo",
    "torch.distributed",
    "torch.multiprocessing",
    "torch._dynamo",
    "torch._inductor",
    "torch.fx",
    "torch.ops",
    "numpy.f2py",
    "numpy.testing",
    "numpy.distutils",
)
_DENIED_NAMES = frozenset(
    _names("builtins", "eval exec compile open getattr setattr delattr __import__ globals locals")
    | _names("builtins", "vars dir breakpoint input map filter reduce apply execfile type super")
    | _names("builtins", "memoryview classmethod property hasattr __build_class__ exit quit help")
    | _names("torch", "load save compile classes")
    | _names("torch.serialization", "load save _load _legacy_load add_safe_globals")
    | _names("torch.storage", "_load_from_bytes")
    | _names("numpy", "load loads fromfile memmap save savez genfromtxt loadtxt")
    | {"copyreg.add_extension", "copyreg.pickle", "copyreg.constructor"}
)

_CALLING = frozenset({"REDUCE", "OBJ", "INST", "computed"})
_FILLING = frozenset({"APPEND", "APPENDS", "ADDITEMS", "SETITEM", "SETITEMS", "DICT", "BUILD"})


def real_name(module: str, name: str) -> str:
    """The dotted name in Python 3: unpickling renames what Python 2 called otherwise."""
    module, name = NAME_MAPPING.get((module, name), (module, name))
    return f"{IMPORT_MAPPING.get(module, module)}.{name}"


def judge(entry: Mentions) -> GlobalSeverity:
    """How one global weighs, by its name and by what the pickle does with it."""
    dotted = real_name(entry.module, entry.name)
    if entry.uses & (_FILLING | {"computed"}) or _is_denied(dotted):
        return "critical"
    if dotted in EXPECTED:
        return "expected"
    if _UNCOMMON_VALUE.fullmatch(dotted):
        return "low"
    if entry.uses & _CALLING:
        return "critical"
    if _EXPECTED_CLASS.fullmatch(dotted):
        return "expected"
    return "low" if _UNCOMMON_CLASS.fullmatch(dotted) else "high"


def summarise(ledger: Ledger) -> tuple[tuple[GlobalUse, ...], tuple[Finding, ...]]:
    """All globals of an artifact, and one finding for each that is not expected."""
    uses, findings = [], []
    for entry in sorted(ledger.entries.values(), key=lambda item: (item.module, item.name)):
        severity = judge(entry)
        shown = printable(real_name(entry.module, entry.name))
        uses.append(GlobalUse(shown, entry.count, severity))
        if severity == "critical":
            how = f"by {', '.join(sorted(entry.uses))}" if entry.uses else "by naming it"
            findings.append(
                report("pickle-code-execution", f"the pickle would run {shown} ({how})")
            )
        elif severity == "high":
            findings.append(report("pickle-unknown-global", f"the pickle names {shown}"))
        elif severity == "low":
            findings.append(report("pickle-uncommon-global", f"the pickle holds a {shown}"))
    return tuple(uses), tuple(findings)


def _is_denied(dotted: str) -> bool:
    module = dotted.rpartition(".")[0]
    return (
        dotted.split(".", 1)[0] in _DENIED_MODULES
        or dotted in _DENIED_NAMES
        or any(f"{module}.".startswith(f"{prefix}.") for prefix in _DENIED_PREFIXES)
        or dotted.startswith("copyreg.extension ")
    )
