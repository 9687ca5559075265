"""TorchScript archives: as a backbone their tensors and nothing else, as an artifact advice."""

# torch.jit reads annotations of classes, which must not be strings then.
import warnings
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from inspector.checkpoint import ReaderOptions, Reading, read_artifact
from tests.support.checkpoints import call_opcodes, records_of, write_torch_zip


class Block(nn.Module):
    def __init__(self, shared: Tensor) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding="same")
        self.norm = nn.BatchNorm1d(4)
        self.shared = shared
        self.gain = 2.5
        self.label = "a block"

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x).mean((2, 3))) + self.shared.sum() * self.gain  # type: ignore[no-any-return]


class Model(nn.Module):
    """Nested modules, a list of them, weights that two share, a transposed one, lists of numbers."""

    sizes: list[int]

    def __init__(self) -> None:
        super().__init__()
        self.proj = nn.Parameter(torch.arange(12.0).view(3, 4).t())
        self.blocks = nn.ModuleList([Block(self.proj), Block(self.proj)])
        self.sizes = [1, 2, 3]
        self.register_buffer("count", torch.tensor(7))

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = x + block(x).sum()
        return x


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("script") / "model.pt"
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(Model()).save(str(path))
    return path


def read(path: Path, out: Path, **options: str) -> Reading:
    return read_artifact(path, out, options=ReaderOptions(**options))  # type: ignore[arg-type]


def test_every_tensor_by_the_name_that_torch_gives_it(archive: Path, tmp_path: Path) -> None:
    reading = read(archive, tmp_path / "out", role="backbone")
    assert reading.findings == ()
    assert {use.severity for use in reading.globals} == {"expected"}
    tensors = load_file(tmp_path / "out" / str(reading.canonical))
    expected = torch.jit.load(str(archive), "cpu").state_dict()
    assert tensors.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(tensors[name], tensor), name


def test_a_vendor_is_told_how_to_convert_it(archive: Path, tmp_path: Path) -> None:
    reading = read(archive, tmp_path / "out")
    (finding,) = reading.findings  # Nor is its list of numbers taken for a call.
    assert (reading.canonical, finding.id) == (None, "unsupported-format")
    command = finding.remedy.partition("tensors alone: ")[2]
    place = {"f": str(archive), "torch": torch}
    exec(command.replace("state.pth", str(tmp_path / "state.pth")), place)
    assert (
        torch.load(tmp_path / "state.pth").keys()
        == torch.jit.load(str(archive)).state_dict().keys()
    )


def test_code_stays_closed_and_may_be_anything(archive: Path, tmp_path: Path) -> None:
    records = records_of(archive)
    for name in records:
        if name.startswith("code/"):
            records[name] = b"raise SystemExit"
    spoilt = write_torch_zip(tmp_path / "m.pt", records | {"constants.pkl": b"not a pickle"})
    assert read(spoilt, tmp_path / "out", role="backbone").canonical


@pytest.mark.parametrize(
    ("planted", "identifier"),
    [
        (call_opcodes("os", "system", "true"), "pickle-code-execution"),
        (call_opcodes("torch.hub", "load", "x"), "pickle-code-execution"),
        # A class of the archive is instantiated, never called; a builder of lists is given a list.
        (call_opcodes("__torch__.os", "system", "true"), "pickle-code-execution"),
        (call_opcodes("torch.jit._pickle", "load", "x"), "pickle-code-execution"),
    ],
)
def test_what_would_run_code_is_refused(
    planted: bytes, identifier: str, archive: Path, tmp_path: Path
) -> None:
    records = records_of(archive)
    records["data.pkl"] = records["data.pkl"][:-1] + planted + b"."
    hostile = write_torch_zip(tmp_path / "m.pt", records)
    reading = read(hostile, tmp_path / "out", role="backbone")
    assert reading.canonical is None
    assert identifier in [finding.id for finding in reading.findings]


_EMPTY = b"\x80\x02c__torch__\nM\n)\x81"
"""An instance of a class of the archive, before it is given its attributes."""


@pytest.mark.parametrize(
    ("program", "identifier"),
    [
        (_EMPTY + b"q\x00}X\x01\x00\x00\x00ah\x00sb.", "torch-malformed"),
        (_EMPTY + b"K\x01b.", "unsupported-tensor"),
        (_EMPTY + b"}K\x01K\x02sb.", "tensor-malformed"),
        (b"\x80\x02}.", "no-state-dict"),
        (_EMPTY + b"}b.\x80\x02cos\nsystem\nX\x01\x00\x00\x00a\x85R.", "pickle-code-execution"),
        (b"\x80\x02" + b"c__torch__\nM\n)\x81}X\x01\x00\x00\x00a" * 80 + b"N" + b"sb" * 80 + b".",
         "limit-exceeded"),
    ],
)  # fmt: skip
def test_pickles_that_no_archive_holds(program: bytes, identifier: str, tmp_path: Path) -> None:
    records = {"data.pkl": program, "constants.pkl": b"", "byteorder": b"little"}
    path = write_torch_zip(tmp_path / "m.pt", records)
    reading = read(path, tmp_path / "out", role="backbone")
    assert reading.canonical is None
    assert identifier in [finding.id for finding in reading.findings]


def test_modules_that_double_at_every_level_end_at_a_limit(tmp_path: Path) -> None:
    """Thirty classes in one pickle, each with the one before it twice: a billion paths."""
    program = _EMPTY + b"}bq\x00"
    for _ in range(30):
        program += b"c__torch__\nM\n)\x81}(X\x01\x00\x00\x00ah\x00X\x01\x00\x00\x00bh\x00ubq\x00"
    path = write_torch_zip(tmp_path / "m.pt", {"data.pkl": program + b".", "constants.pkl": b""})
    reading = read(path, tmp_path / "out", role="backbone")
    assert [finding.id for finding in reading.findings] == ["limit-exceeded"]


def test_damage_is_found(archive: Path, tmp_path: Path) -> None:
    records = records_of(archive)
    ways = {
        "compressed": (zipfile.ZIP_DEFLATED, records),
        "short": (zipfile.ZIP_STORED, records | {"data/0": records["data/0"][:-4]}),
        "gone": (zipfile.ZIP_STORED, {k: v for k, v in records.items() if k != "data/0"}),
        "big-endian": (zipfile.ZIP_STORED, records | {"byteorder": b"big"}),
    }
    for way, (method, content) in ways.items():
        path = tmp_path / f"{way}.pt"
        with zipfile.ZipFile(path, "w", method) as made:
            for name, data in content.items():
                made.writestr(f"m/{name}", data)
        reading = read(path, tmp_path / "out", role="backbone")
        assert (way, reading.canonical) == (way, None)
        assert reading.findings
