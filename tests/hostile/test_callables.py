"""Whatever is called is critical, whether or not anybody has thought of it: no list of names decides.

Beyond the corpus: every dangerous-looking callable of the standard library, torch and numpy that is
there to be found, and names that nobody has invented yet, at three protocols and by every opcode.
"""

from __future__ import annotations

import ast
import importlib.util
import random
import string
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from inspector.checkpoint.limits import Limits
from inspector.checkpoint.pickles.globals import summarise
from inspector.checkpoint.pickles.honest import EXPECTED
from inspector.checkpoint.pickles.walker import Ledger, walk
from inspector.errors import ArtifactError
from inspector.findings import Severity
from tests.hostile import assemble as a

_MODULES = """
    os posixpath subprocess shutil socket ssl pty importlib runpy pkgutil zipimport ctypes ctypes.util
    pickle marshal shelve code codeop types functools operator webbrowser http.client http.server
    urllib.request ftplib smtplib xmlrpc.client asyncio.subprocess multiprocessing.util
    multiprocessing.pool threading concurrent.futures.thread signal pdb bdb cProfile profile pstats
    timeit trace doctest unittest.main pydoc ensurepip venv distutils.spawn distutils.file_util
    idlelib.run lib2to3.main cgitb platform tempfile fileinput linecache inspect atexit
    logging.handlers logging.config uuid mmap ast dis imaplib poplib nntplib sqlite3.dbapi2 dbm.dumb
    glob getpass rlcompleter compileall py_compile zipapp tarfile zipfile gzip bz2 lzma copyreg weakref
    contextlib sched socketserver string configparser optparse argparse random enum
    torch.hub torch.serialization torch.utils.cpp_extension torch.utils.collect_env torch.package
    torch._dynamo.guards torch.fx.graph torch.multiprocessing.spawn torch.distributed.rpc.api
    numpy.f2py.crackfortran numpy.ctypeslib numpy.lib.npyio numpy.testing._private.utils
"""
_PUBLISHED = """
    paramiko.proxy.ProxyCommand pexpect.popen_spawn.PopenSpawn pexpect.pty_spawn.spawn invoke.runners.Local
    fabric.connection.Connection sh.Command git.cmd.Git git.repo.base.Repo dask.delayed.Delayed
    IPython.core.interactiveshell.InteractiveShell pandas.core.frame.DataFrame jinja2.environment.Template
    mako.template.Template setuptools.dist.Distribution requests.sessions.Session urllib3.poolmanager.PoolManager
    joblib.memory.Memory transformers.pipelines.base.Pipeline transformers.trainer.Trainer
    peft.peft_model.PeftModel timm.data.loader.PrefetchLoader open_clip.tokenizer.SimpleTokenizer
    huggingface_hub.repository.Repository huggingface_hub.hf_file_system.HfFileSystem plumbum.machines.local.LocalMachine
    lightning.pytorch.trainer.trainer.Trainer accelerate.accelerator.Accelerator omegaconf.dictconfig.DictConfig
    hydra._internal.hydra.Hydra torchvision.datasets.folder.ImageFolder tensorflow.io.gfile.GFile
    keras.saving.saving_lib.DiskIOStore yaml.loader.UnsafeLoader numba.core.dispatcher.Dispatcher
    sqlalchemy.engine.url.URL wandb.sdk.wandb_run.Run ray.job_config.JobConfig PIL.ImageShow.UnixViewer
    cv2.VideoCapture nltk.downloader.Downloader win32com.client.CDispatch torch.optim.sgd.SGD
"""
_AS_ENUMS = ("REDUCE", "stack global")
_OPCODES = ("REDUCE", "OBJ", "INST", "NEWOBJ then call", "stack global")


def _functions(module: str) -> Iterator[str]:
    """Public and private functions and classes that a module's own source defines."""
    try:
        found = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        return
    if found is None or not found.origin or not found.origin.endswith(".py"):
        return
    tree = ast.parse(Path(found.origin).read_text("utf-8"))
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name


def _callables() -> list[tuple[str, str]]:
    """At most five of every module, the same in every run."""
    chosen = []
    for module in _MODULES.split():
        names = sorted(set(_functions(module)))
        chosen += [
            (module, name) for name in random.Random(module).sample(names, min(5, len(names)))
        ]
    builtin = ("eval", "exec", "compile", "open", "getattr", "setattr", "__import__", "map", "type")
    return [*chosen, *(("builtins", name) for name in builtin)]


def _invented(count: int) -> list[tuple[str, str]]:
    source = random.Random(7)

    def word() -> str:
        letters = string.ascii_lowercase + "_"
        first = source.choice(string.ascii_letters)
        return first + "".join(source.choices(letters, k=source.randint(0, 9)))

    return [(".".join(word() for _ in range(source.randint(1, 4))), word()) for _ in range(count)]


def _program(module: str, name: str, opcode: str, protocol: int) -> bytes:
    argument = a.text(a.CANARY)
    named = a.named(module, name)
    body = {
        "REDUCE": named + b"(" + argument + b"tR",
        "OBJ": b"(" + named + argument + b"o",
        "INST": b"(" + argument + b"i" + f"{module}\n{name}\n".encode(),
        "NEWOBJ then call": named + b")\x81)R",
        "stack global": a.stacked(module, name) + b"(" + argument + b"tR",
    }[opcode]
    head = b"" if protocol == 0 else b"\x80" + bytes([protocol])
    return head + body + b"."


def _severities(program: bytes) -> set[Severity]:
    ledger = Ledger(Limits().globals)
    # What was seen before an error counts.
    with suppress(ArtifactError):
        walk(program, ledger, Limits())
    return {finding.severity for finding in summarise(ledger)[1]}


# Constructors of plain values: uncommon in a checkpoint, and harmless when they are called.
_HARMLESS = {"argparse.Namespace", "types.SimpleNamespace", "uuid.UUID", "uuid.SafeUUID"}


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_what_is_called_is_critical(protocol: int) -> None:
    callables = _callables()
    assert len(callables) >= 300
    missed = [
        (module, name, opcode)
        for module, name in callables
        for opcode in _OPCODES
        if f"{module}.{name}" not in EXPECTED | _HARMLESS
        and Severity.CRITICAL not in _severities(_program(module, name, opcode, protocol))
    ]
    assert missed == []


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_names_that_nobody_has_thought_of(protocol: int) -> None:
    missed = [
        (module, name, opcode)
        for module, name in _invented(200)
        for opcode in _OPCODES
        if Severity.CRITICAL not in _severities(_program(module, name, opcode, protocol))
    ]
    # What may be somebody's enum is said to be unknown; it is never less.
    unknown = [(m, n, o) for m, n, o in missed if n[0].isupper() and o in _AS_ENUMS]
    assert missed == unknown
    assert len(unknown) > 100
    assert all(
        _severities(_program(module, name, opcode, protocol)) == {Severity.HIGH}
        for module, name, opcode in unknown
    )


def test_a_class_of_a_published_package_that_is_called() -> None:
    missed = []
    for dotted in _PUBLISHED.split():
        module, _, name = dotted.rpartition(".")
        if Severity.CRITICAL not in _severities(_program(module, name, "REDUCE", 2)):
            missed.append(dotted)
    assert missed == []


def test_a_private_module_of_the_library_needs_only_be_named() -> None:
    private = sorted(
        name for name in sys.stdlib_module_names if name.startswith("_") and name != "__future__"
    )
    assert len(private) > 50
    missed = [
        name
        for name in private
        if Severity.CRITICAL not in _severities(a.program(a.named(name, "thing")))
    ]
    assert missed == ["_codecs"]


def test_expected_names_are_silent_where_honest_pickles_have_them() -> None:
    loud = [
        name for name in sorted(EXPECTED) if _severities(a.program(a.named(*name.rsplit(".", 1))))
    ]
    assert loud == []
