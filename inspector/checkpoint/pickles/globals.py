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
code (:mod:`inspector.checkpoint.pickles.rebuild`). The allow-list starts from
``torch/_weights_only_unpickler.py``; the deny-list from the published scanner bypasses.
"""

from __future__ import annotations

import re
import sys
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING

from inspector.checkpoint.pickles.walker import Ledger, Mentions
from inspector.checkpoint.reading import GlobalSeverity, GlobalUse
from inspector.checkpoint.reasons import report
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
    "_rebuild_meta_tensor_no_storage _rebuild_nested_tensor _rebuild_wrapper_subclass "
    "_rebuild_device_tensor_from_numpy _rebuild_device_tensor_from_cpu_tensor "
    "_rebuild_sparse_csr_tensor _rebuild_xla_tensor _rebuild_mlc_tensor"
)
_LAYOUTS = "strided sparse_coo sparse_csr sparse_csc sparse_bsr sparse_bsc"

_ONLY_NAMED = frozenset(
    _names("torch", " ".join(f"{kind}Storage" for kind in _STORAGES.split()))
    | _names("torch.storage", "UntypedStorage TypedStorage")
    | _names("torch.nn.parameter", "Parameter Buffer")
    | {"torch.Tensor"}
)
"""Named as types by honest pickles, and called by none: a call takes as much memory as it is told."""

EXPECTED: frozenset[str] = frozenset(
    _names("collections", "OrderedDict defaultdict Counter")
    | _names("builtins", "dict list tuple set frozenset int float bool str bytes bytearray")
    | _names("builtins", "complex object slice range")
    | _names("torch", f"Size device {_DTYPES} {_LAYOUTS}")
    | _names("torch._utils", _REBUILD)
    | _names("torch._tensor", "_rebuild_from_type_v2 _rebuild_from_type")
    | {"torch.tensor._rebuild_from_type"}
    | _names("torch.serialization", "_get_layout")
    | {"copyreg._reconstructor", "_codecs.encode"}
    | _names("numpy", "ndarray dtype")
    | _names("numpy.core.multiarray", "scalar _reconstruct")
    | _names("numpy._core.multiarray", "scalar _reconstruct")
    | _names("numpy._core.numeric", "_frombuffer")
    | _names("numpy.core.numeric", "_frombuffer")
    | _ONLY_NAMED
)

# Classes of these packages are live state of a training run: optimisers and schedules. Pickles make
# them empty (NEWOBJ) and fill them; their constructors would run, and write to tensors.
_EXPECTED_CLASS = re.compile(r"(torch\.optim|dassl\.optim)(\.[a-z_0-9]+)*\.[A-Z][A-Za-z0-9]*")
_UNCOMMON_CLASS = re.compile(r"torch\.nn\.modules(\.[a-z_0-9]+)*\.[A-Z][A-Za-z0-9]*")
_UNCOMMON_VALUE = re.compile(
    r"pathlib\.(Pure)?(Posix|Windows)?Path|argparse\.Namespace|types\.SimpleNamespace"
    r"|datetime\.(datetime|date|time|timedelta|timezone)|decimal\.Decimal|fractions\.Fraction"
    r"|collections\.deque|uuid\.(UUID|SafeUUID)|ipaddress\.IPv[46]Address"
    r"|yacs\.config\.CfgNode|easydict\.EasyDict|addict\.addict\.Dict"
    r"|(ml_collections\.config_dict\.)+(Frozen)?ConfigDict"
    r"|torchvision\.transforms\.functional\.InterpolationMode"
    r"|numpy\.random\._pickle\.__(bit_)?(generator|randomstate)_ctor"
    r"|numpy\.random\.__RandomState_ctor"
    r"|numpy\.random\.bit_generator\.(__pyx_unpickle_)?SeedSequence"
    r"|numpy\.random\._(pcg64|mt19937|philox|sfc64)\.[A-Z][A-Z0-9a-z]*"
)

_DENIED_WORDS = """
    os posix nt posixpath subprocess sys shutil socket ssl pty tty importlib imp runpy pkgutil
    zipimport ctypes cffi _ctypes pickle _pickle cPickle dill cloudpickle joblib marshal shelve code
    codeop types functools operator itertools webbrowser http urllib urllib2 requests httplib
    ftplib smtplib telnetlib xmlrpc asyncio multiprocessing threading _thread concurrent signal pdb
    bdb cProfile profile pstats timeit trace doctest unittest pydoc pip ensurepip venv distutils
    setuptools idlelib lib2to3 test cgitb platform tempfile io _io fileinput linecache inspect gc
    site sitecustomize atexit logging uuid mmap resource commands popen2 ast dis antigravity
    imaplib poplib nntplib aiohttp httpx paramiko pexpect difflib sqlite3 dbm glob getpass readline
    rlcompleter curses tkinter turtle turtledemo wsgiref socketserver sched weakref contextlib zipfile
    tarfile bz2 lzma gzip zlib xml faulthandler tracemalloc msvcrt winreg fcntl termios pkg_resources
    compileall py_compile modulefinder zipapp pyclbr tabnanny this nturl2path symtable
"""
_DENIED_MODULES = frozenset(
    {*_DENIED_WORDS.split(), *(name for name in sys.stdlib_module_names if name.startswith("_"))}
    - {"__future__", "_codecs"}
)
"""Private modules of the standard library reach the same things past every list of public names."""
_DENIED_PREFIXES = (
    "torch.hub",
    "torch.jit",
    "torch.package",
    "torch.utils.bottleneck",
    "torch.utils.collect_env",
    "torch.utils.cpp_extension",
    "torch.utils.model_zoo",
    "torch.utils._config_module",
    "torch.utils.data.datapipes",
    "torch.utils.show_pickle",
    "torch.utils.benchmark",
    "torch.library",
    "torch.export",
    "torch._export",
    "torch.onnx",
    "torch.testing",
    "torch.distributed",
    "torch.multiprocessing",
    "torch._dynamo",
    "torch._inductor",
    "torch.fx",
    "torch.ops",
    "numpy.f2py",
    "numpy.testing",
    "numpy.distutils",
    "numpy.ctypeslib",
    "numpy.lib",
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
    if entry.uses & (_FILLING | {"computed"}):
        return "critical"
    if _UNCOMMON_VALUE.fullmatch(dotted):
        return "low"
    if _is_denied(dotted) or _is_path(entry.name):
        return "critical"
    is_path = "." in entry.name
    if dotted in EXPECTED and not is_path:
        return "critical" if dotted in _ONLY_NAMED and entry.uses & _CALLING else "expected"
    if entry.uses & _CALLING:
        return "critical"
    if is_path:
        return "high"
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


def _is_path(name: str) -> bool:
    """Whether ``name`` walks from one object to another that a module merely happens to hold.

    ``pathlib``, ``os.system`` names a function of another module (GHSA-5j3x-jp52-966f), and special
    attributes lead to every builtin.
    """
    parts = name.split(".")
    return any(part in _DENIED_MODULES for part in parts[:-1]) or any(
        part.startswith("__") and part.endswith("__") for part in parts
    )


def _is_denied(dotted: str) -> bool:
    module = dotted.rpartition(".")[0]
    return (
        dotted.split(".", 1)[0] in _DENIED_MODULES
        or dotted in _DENIED_NAMES
        or any(f"{module}.".startswith(f"{prefix}.") for prefix in _DENIED_PREFIXES)
        or dotted.startswith("copyreg.extension ")
    )
