"""Names whose mere presence in a checkpoint has no honest explanation.

The list raises the weight of a name and never decides that one is harmless: what it forgets and a
pickle calls is critical all the same (:mod:`inspector.checkpoint.pickles.globals`). It was gathered
from published bypasses of scanners.
"""

from __future__ import annotations

import sys

from inspector.checkpoint.pickles.honest import names

_DENIED_WORDS = """
    os posix nt posixpath subprocess sys shutil socket ssl pty tty importlib imp runpy pkgutil
    zipimport ctypes cffi _ctypes pickle _pickle cPickle dill cloudpickle joblib marshal shelve code
    codeop types functools operator itertools webbrowser http urllib urllib2 requests httplib
    ftplib smtplib telnetlib xmlrpc asyncio multiprocessing threading _thread concurrent signal pdb
    bdb cProfile profile pstats timeit trace doctest unittest pydoc pip ensurepip venv distutils
    setuptools idlelib lib2to3 test cgitb platform tempfile io _io fileinput linecache inspect gc
    site sitecustomize atexit logging uuid mmap resource commands popen2 ast dis antigravity
    imaplib poplib nntplib aiohttp httpx paramiko pexpect difflib sqlite3 dbm glob getpass readline
    rlcompleter curses tkinter turtle turtledemo wsgiref socketserver sched weakref contextlib
    zipfile tarfile bz2 lzma gzip zlib xml faulthandler tracemalloc msvcrt winreg fcntl termios
    pkg_resources compileall py_compile modulefinder zipapp pyclbr tabnanny this nturl2path symtable
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
    names("builtins", "eval exec compile open getattr setattr delattr __import__ globals locals")
    | names("builtins", "vars dir breakpoint input map filter reduce apply execfile type super")
    | names("builtins", "memoryview classmethod property hasattr __build_class__ exit quit help")
    | names("torch", "load save compile classes")
    | names("torch.serialization", "load save _load _legacy_load add_safe_globals")
    | names("torch.storage", "_load_from_bytes")
    | names("numpy", "load loads fromfile memmap save savez genfromtxt loadtxt")
    | {"copyreg.add_extension", "copyreg.pickle", "copyreg.constructor"}
)

_REACHING = """
    Popen Popen3 Popen4 ProxyCommand PopenSpawn CDLL PyDLL WinDLL OleDLL FFI Unpickler SSHClient
    Telnet SMTP SMTP_SSL FTP FTP_TLS IMAP4 IMAP4_SSL IMAP4_stream POP3 POP3_SSL NNTP HTTPConnection
    HTTPSConnection ServerProxy URLopener FancyURLopener FileIO FileHandler RotatingFileHandler
    SocketHandler ZipFile TarFile NamedTemporaryFile TemporaryDirectory InteractiveInterpreter
    InteractiveConsole InteractiveShell Pdb Bdb ProcessPoolExecutor SourceFileLoader
    ExtensionFileLoader SourcelessFileLoader PackageImporter PyTorchFileReader FunctionType CodeType
    LambdaType MethodType ForwardRef LambdaLR
"""
_REACHING_CLASSES = frozenset(_REACHING.split())
"""Classes of the library and of packages that act when they are made; any module
may have imported them."""


def is_denied(dotted: str) -> bool:
    """Whether the dotted name of a global stands on the list."""
    module = dotted.rpartition(".")[0]
    return (
        dotted.split(".", 1)[0] in _DENIED_MODULES
        or dotted in _DENIED_NAMES
        or any(f"{module}.".startswith(f"{prefix}.") for prefix in _DENIED_PREFIXES)
        or dotted.startswith("copyreg.extension ")
    )


def is_path(name: str) -> bool:
    """Whether ``name`` walks from one object to another that a module merely happens to hold.

    ``pathlib``, ``os.system`` names a function of another module (GHSA-5j3x-jp52-966f), and special
    attributes lead to every builtin.
    """
    parts = name.split(".")
    return any(part in _DENIED_MODULES for part in parts[:-1]) or any(
        part.startswith("__") and part.endswith("__") for part in parts
    )


def reaches_out(name: str) -> bool:
    """Whether a class of this name is known to act on the machine when it is made."""
    return name in _REACHING_CLASSES
