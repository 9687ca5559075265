"""Files that try to run code: found, named, and nothing happens.

The payloads are the shapes of published scanner bypasses: nested attributes and submodules of
dangerous packages (CVE-2025-10157), indirect calls through harmless-looking functions, garbage
after the payload, protocol 0 text, globals that are filled instead of called.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from inspector.checkpoint import read_artifact
from inspector.findings import Finding, Severity
from tests.support.checkpoints import call_opcodes, plant_pickle, records_of, write_torch_zip
from tests.unit.inspector.checkpoint.conftest import Read, ids

# Runs the reader on a file with a recording audit hook; prints the events that it saw.
WATCHED = """
import json, sys
from pathlib import Path
from inspector.checkpoint.limits import ReaderOptions
from inspector.checkpoint.read import read_here
from inspector.checkpoint.sandbox.cage import warm_up
warm_up()
events = set()
watching = True
sys.addaudithook(lambda event, args: events.add(event) if watching else None)
reading = read_here(Path(sys.argv[1]), Path(sys.argv[2]), ReaderOptions())
watching = False
print(json.dumps({"events": sorted(events), "findings": [f.to_json() for f in reading.findings],
                  "modules": sorted({"torch", "numpy"} & set(sys.modules))}))
"""
HARMLESS_EVENTS = {"open", "os.listdir", "os.scandir", "os.remove", "os.rename"}


def critical(findings: tuple[Finding, ...]) -> list[str]:
    return [finding.message for finding in findings if finding.severity is Severity.CRITICAL]


def test_one_call_added_to_a_genuine_file(genuine: Path, tmp_path: Path) -> None:
    proof = tmp_path / "proof"
    payload = call_opcodes("posix", "system", f"touch {proof}")
    path = plant_pickle(genuine, tmp_path / "model.pth.tar-10", payload)

    reading = read_artifact(path, tmp_path / "out")

    assert [f.id for f in reading.findings] == ["pickle-code-execution"]
    assert reading.findings[0].severity is Severity.CRITICAL
    assert "posix.system" in reading.findings[0].message
    assert reading.canonical is None
    assert not (tmp_path / "out" / "canonical.safetensors").exists()
    # The tensors are still described, as evidence.
    assert reading.family == "CoCoOp"
    assert not proof.exists()


def test_nothing_happens_while_a_payload_is_read(genuine: Path, tmp_path: Path) -> None:
    proof = tmp_path / "proof"
    payload = call_opcodes("os", "system", f"touch {proof}")
    path = plant_pickle(genuine, tmp_path / "planted.pth", payload)

    run = subprocess.run(
        [sys.executable, "-I", "-c", WATCHED, str(path), str(tmp_path)],
        check=True,
        capture_output=True,
        text=True,
    )

    seen = json.loads(run.stdout)
    assert "os.system" in seen["findings"][0]["message"]
    assert set(seen["events"]) <= HARMLESS_EVENTS
    assert "open" in seen["events"]
    assert seen["modules"] == []
    assert not proof.exists()


def test_the_payload_would_run_for_real(genuine: Path, tmp_path: Path) -> None:
    """Guards the tests above: the planted file is an attack that works elsewhere."""
    proof = tmp_path / "proof"
    payload = call_opcodes("posix", "system", f"touch {proof}")
    path = plant_pickle(genuine, tmp_path / "planted.pth", payload)
    torch.load(path, weights_only=False)
    assert proof.exists()


@pytest.mark.parametrize(
    ("opcodes", "named"),
    [
        (call_opcodes("os", "system", "x"), "os.system"),
        (call_opcodes("nt", "system", "x"), "nt.system"),
        (call_opcodes("subprocess", "Popen", "x"), "subprocess.Popen"),
        (call_opcodes("__builtin__", "eval", "x"), "builtins.eval"),
        (call_opcodes("builtins", "exec", "x"), "builtins.exec"),
        (call_opcodes("builtins", "__import__", "x"), "builtins.__import__"),
        (call_opcodes("importlib", "import_module", "x"), "importlib.import_module"),
        (call_opcodes("runpy", "run_path", "x"), "runpy.run_path"),
        (call_opcodes("asyncio.unix_events", "_UnixSubprocessTransport._start", "x"), "asyncio"),
        (call_opcodes("functools", "partial", "x"), "functools.partial"),
        (call_opcodes("operator", "attrgetter", "x"), "operator.attrgetter"),
        (call_opcodes("torch.hub", "load", "x"), "torch.hub.load"),
        (call_opcodes("torch.storage", "_load_from_bytes", "x"), "torch.storage._load_from_bytes"),
        (call_opcodes("torch.jit.unsupported_tensor_ops", "execWrapper", "x"), "execWrapper"),
        (call_opcodes("collections", "OrderedDict.fromkeys", "x"), "OrderedDict.fromkeys"),
        (call_opcodes("my_package.innocent", "thing", "x"), "my_package.innocent.thing"),
        (call_opcodes("torch.optim.lr_scheduler", "wraps", "x"), "torch.optim.lr_scheduler.wraps"),
        # Named only, to be called later by something harmless.
        (b"ccollections\ndefaultdict\n(cos\ngetcwd\ntR0", "os.getcwd"),
        # STACK_GLOBAL, protocol 4.
        (b"\x8c\x02os\x8c\x06system\x93(\x8c\x01xtR0", "os.system"),
        # INST and OBJ.
        (b"(X\x01\x00\x00\x00xios\nsystem\n0", "os.system"),
        (b"(cmy_package\nthing\nX\x01\x00\x00\x00xo0", "my_package.thing"),
        # A call of what a call gave.
        (b"ccollections\nOrderedDict\n)R)R0", "collections.OrderedDict"),
        # A global that is filled: sys.path, or a class that others use.
        (b"csys\npath\nX\x01\x00\x00\x00xa0", "sys.path"),
        (b"ccollections\nOrderedDict\n}X\x01\x00\x00\x00xX\x01\x00\x00\x00ysb0", "OrderedDict"),
        # The registry of extensions belongs to whoever loads the file.
        (b"\x82\x07(X\x01\x00\x00\x00xtR0", "copyreg.extension 7"),
    ],
)
def test_payloads(opcodes: bytes, named: str, genuine: Path, tmp_path: Path, read: Read) -> None:
    reading = read(plant_pickle(genuine, tmp_path / "planted.pth", opcodes))
    assert any(named in message for message in critical(reading.findings)), reading.findings
    assert reading.canonical is None


@pytest.mark.parametrize("tail", [b"\xff\xff garbage", b"", b"(((", b"0" * 50])
def test_garbage_after_the_payload_does_not_hide_it(
    tail: bytes, genuine: Path, tmp_path: Path, read: Read
) -> None:
    records = records_of(genuine)
    records["data.pkl"] = b"\x80\x02" + call_opcodes("os", "system", "x") + tail
    reading = read(write_torch_zip(tmp_path / "broken.pth", records))
    assert ids(reading) == ["pickle-code-execution", "pickle-malformed"]
    assert "os.system" in reading.findings[0].message


def test_a_bare_pickle_of_protocol_0_is_recognised(tmp_path: Path, read: Read) -> None:
    path = tmp_path / "model.pth"
    path.write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    reading = read(path)
    assert ids(reading) == ["pickle-code-execution", "unsupported-format"]
    assert reading.artifact.format == "pickle"


def test_an_unknown_object_that_is_not_called_is_high(
    genuine: Path, tmp_path: Path, read: Read
) -> None:
    path = plant_pickle(genuine, tmp_path / "planted.pth", b"cmy_package\nThing\n0")
    reading = read(path)
    assert ids(reading) == ["pickle-unknown-global"]
    assert reading.findings[0].severity is Severity.HIGH
    assert reading.findings[0].message.endswith("code that we do not know: my_package.Thing")
    assert reading.canonical is not None


def test_a_harmless_object_is_low(genuine: Path, tmp_path: Path, read: Read) -> None:
    path = plant_pickle(genuine, tmp_path / "planted.pth", b"cargparse\nNamespace\n)\x81}b0")
    reading = read(path)
    assert ids(reading) == ["pickle-uncommon-global"]
    assert reading.canonical is not None


def test_other_optimisers_and_schedules_are_expected(tmp_path: Path, read: Read) -> None:
    parameter = torch.nn.Parameter(torch.zeros(4, 16))
    optimizer = torch.optim.AdamW([parameter])
    content = {
        "state_dict": {"ctx": torch.ones(4, 16)},
        "scheduler": torch.optim.lr_scheduler.StepLR(optimizer, 3),
    }
    torch.save(content, tmp_path / "model.pth")
    reading = read(tmp_path / "model.pth")
    assert reading.findings == ()
    assert "torch.optim.adamw.AdamW" in {use.name for use in reading.globals}


def test_names_are_shown_without_control_characters(
    genuine: Path, tmp_path: Path, read: Read
) -> None:
    opcodes = b"c\xd0\xbes\nsys\x1b[2Jtem\n(tR0"
    reading = read(plant_pickle(genuine, tmp_path / "planted.pth", opcodes))
    assert reading.findings[0].message.isascii()
    assert reading.findings[0].message.isprintable()
    assert "\\u043es" in reading.findings[0].message
