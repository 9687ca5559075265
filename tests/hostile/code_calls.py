"""Which function a pickle would call: every one that a published advisory or report names.

The advisories are those of picklescan and fickling, the issues of modelscan, and what they were
written about: a deny-list forgot this name. Knows nothing of how a call is disguised.
"""

from __future__ import annotations

from functools import partial

from tests.hostile.assemble import CANARY, coop, stacked_call, text
from tests.hostile.boxes import torch_zip
from tests.hostile.entry import Entry, code

_TABLE = """
CVE-2025-1716        pip main
CVE-2025-1716        pip._internal main
GHSA-655q-fx9r-782v  pip._internal.cli.main main
GHSA-4r9r-ch6f-vxmx  torch.utils.bottleneck.__main__ run_cprofile
GHSA-4whj-rm5r-c2v8  torch.utils.bottleneck.__main__ run_autograd_prof
GHSA-86cj-95qr-2p4f  torch._dynamo.guards GuardBuilder.get
GHSA-f4x7-rfwp-v3xw  torch.fx.experimental.symbolic_shapes ShapeEnv.evaluate_guards_expression
GHSA-f745-w6jp-hpxx  torch.utils.collect_env run
GHSA-jhph-76pp-mggw  torch.utils.collect_env run_and_read_all
GHSA-h3qp-7fh3-f8h4  torch.utils.data.datapipes.utils.decoder basichandlers
GHSA-vr7h-p6mm-wpmh  torch.jit.unsupported_tensor_ops execWrapper
GHSA-vv6j-3g6g-2pvj  torch.utils._config_module ConfigModule.load_config
GHSA-5qwp-399c-mjwf  trace Trace.run
GHSA-g344-hcph-8vgg  trace Trace.runctx
GHSA-x696-vm39-cp64  profile Profile.run
GHSA-6vqj-c2q5-j97w  profile Profile.runctx
GHSA-7wx9-6375-f5wh  profile run
GHSA-49gj-c84q-6qm9  cProfile run
GHSA-9w88-8rmg-7g2p  cProfile runctx
GHSA-f54q-57x4-jg88  lib2to3.pgen2.grammar Grammar.loads
GHSA-p9w7-82w4-7q8m  lib2to3.pgen2.pgen ParserGenerator.make_label
GHSA-3vg9-h568-4w9m  idlelib.debugobj ObjectTreeItem.SetText
GHSA-6w4w-5w54-rjvr  idlelib.autocomplete AutoComplete.get_entity
GHSA-7cq8-mj8x-j263  idlelib.autocomplete AutoComplete.fetch_completions
GHSA-8r4j-24qv-fmq9  idlelib.calltip Calltip.fetch_tip
GHSA-9xph-j2h6-g47v  idlelib.calltip get_entity
GHSA-m869-42cg-3xwr  idlelib.run Executive.runcode
GHSA-j343-8v2j-ff7w  idlelib.pyshell ModifiedInterpreter.runcommand
GHSA-3gf5-cxq9-w223  idlelib.pyshell ModifiedInterpreter.runcode
GHSA-cj3c-v495-4xqh  code InteractiveInterpreter.runcode
GHSA-xp4f-hrf8-rxw7  ensurepip _run_pip
GHSA-fqq6-7vqf-w3fg  doctest debug_script
GHSA-v7x6-rv5q-mhwc  timeit timeit
GHSA-q77w-mwjj-7mqx  asyncio.unix_events _UnixSubprocessTransport._start
CVE-2025-10157       asyncio.unix_events _UnixSubprocessTransport._start
GHSA-m273-6v24-x4m4  distutils.file_util write_file
GHSA-4675-36f9-wf6r  ctypes CDLL
CVE-2025-67747       marshal loads
CVE-2025-67747       types FunctionType
CVE-2025-67748       pty spawn
GHSA-vqmv-47xg-9wpr  pty spawn
GHSA-84r2-jw7c-4r5q  pydoc locate
GHSA-46h3-79wf-xr6c  bdb Bdb.run
GHSA-955r-x9j8-7rhh  _operator methodcaller
GHSA-955r-x9j8-7rhh  operator methodcaller
GHSA-r8g5-cgf2-4m4m  numpy.f2py.crackfortran getlincoef
GHSA-r8g5-cgf2-4m4m  numpy.f2py.crackfortran _eval_length
GHSA-vvpj-8cmc-gx39  pkgutil resolve_name
GHSA-g38g-8gr9-h9xp  uuid _get_command_stdout
GHSA-g38g-8gr9-h9xp  _osx_support _read_output
GHSA-g38g-8gr9-h9xp  _aix_support _read_cmd_output
GHSA-g38g-8gr9-h9xp  imaplib IMAP4_stream
GHSA-g38g-8gr9-h9xp  _pyrepl.pager pipe_pager
GHSA-g38g-8gr9-h9xp  test.support.script_helper assert_python_ok
GHSA-97f8-7cmv-76j2  numpy.testing._private.utils runstring
GHSA-9m3x-qqw2-h32h  logging FileHandler
GHSA-m7j5-r2p5-c39r  cloudpickle.cloudpickle _make_function
GHSA-m7j5-r2p5-c39r  types CodeType
GHSA-hgrh-qx5j-jfwx  urllib.request urlopen
GHSA-wfq2-52f7-7qvj  runpy run_path
GHSA-wfq2-52f7-7qvj  runpy _run_code
GHSA-p523-jq9w-64x9  cProfile Profile.run
GHSA-5hvc-6wx8-mvv4  pydoc pipepager
GHSA-q5qq-mvfm-j35x  multiprocessing.util spawnv_passfds
GHSA-q5qq-mvfm-j35x  importlib import_module
GHSA-h4rm-mm56-xf63  builtins __import__
GHSA-5cxw-w2xg-2m8h  platform popen
GHSA-r48f-3986-4f9c  linecache getlines
GHSA-r48f-3986-4f9c  gc get_objects
GHSA-5hwf-rc88-82xm  _osx_support _find_build_tool
GHSA-m6fh-58r7-x697  _posixsubprocess fork_exec
GHSA-m6fh-58r7-x697  site addsitedir
GHSA-m6fh-58r7-x697  atexit register
GHSA-6ggj-6f2q-f7mx  _interpreters run_string
GHSA-6ggj-6f2q-f7mx  _xxsubinterpreters run_string
GHSA-mxhj-88fx-4pcv  smtplib SMTP
modelscan-85         numpy prod
modelscan-267        pickle loads
modelscan-338        mlflow.projects.backend.local _run_entry_point
modelscan-338        pandas.io.parsers.readers read_csv
modelscan-338        torch.library torch.utils.collect_env.run
CVE-2025-32434       torch.hub load
arXiv-2508.19774     torch._inductor.codecache compile_file
arXiv-2508.19774     torch.storage _load_from_bytes
arXiv-2508.19774     joblib.numpy_pickle load
arXiv-2508.19774     numpy load
arXiv-2508.19774     numpy.ctypeslib load_library
arXiv-2508.19774     pandas read_pickle
arXiv-2508.19774     keras.models load_model
original             os system
original             nt system
original             posix execv
original             subprocess Popen
original             commands getoutput
original             popen2 popen2
original             builtins eval
original             builtins exec
original             builtins compile
original             builtins getattr
original             __builtin__ execfile
original             __builtin__ apply
original             functools partial
original             functools reduce
original             itertools starmap
original             sys exit
original             sys.modules __setitem__
original             venv create
original             webbrowser open
original             socket create_connection
original             ssl get_server_certificate
original             shutil rmtree
original             tempfile mkstemp
original             io FileIO
original             _io open
original             pathlib Path.unlink
original             sqlite3 connect
original             torch load
original             torch.serialization load
original             torch.distributed.rpc rpc_sync
original             torch.multiprocessing.spawn spawn
original             torch.package PackageImporter
original             torch.onnx.utils export
original             torch.FloatStorage from_file
original             torch UntypedStorage.from_file
original             torch.nn.modules.module Module.load_state_dict
original             torch.optim.sgd SGD
original             collections OrderedDict.fromkeys
original             sympy.core.sympify sympify
original             yaml unsafe_load
original             IPython.core.interactiveshell InteractiveShell.run_cell
original             attacker_package innocent_function
"""


def _entries() -> tuple[Entry, ...]:
    rows = []
    for index, line in enumerate(_TABLE.strip().splitlines()):
        advisory, module, name = line.split()
        payload = stacked_call(module, name, text(CANARY))
        rows.append(
            code(
                f"call-{index:03d}-{module}.{name}",
                f"a genuine-looking checkpoint that calls {module}.{name}",
                advisory,
                partial(torch_zip, coop(payload, protocol=4)),
            )
        )
    return tuple(rows)


ENTRIES = _entries()
