"""What the reader's tests share: one genuine-looking file, the fixtures' folder, reading in-process."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from inspector.checkpoint.canonical import write_canonical
from inspector.checkpoint.limits import Limits, ReaderOptions
from inspector.checkpoint.opening import open_checkpoint
from inspector.checkpoint.read import choose_model, new_draft, read_here
from inspector.checkpoint.reading import Reading
from inspector.checkpoint.states import checked_views
from tests.support.checkpoints import cocoop_state, save_dassl

Read = Callable[..., Reading]
Extract = Callable[[Path], Path]


@pytest.fixture(scope="session")
def genuine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CoCoOp file as Dassl writes it, live scheduler included."""
    return save_dassl(tmp_path_factory.mktemp("genuine") / "model.pth.tar-10", cocoop_state())


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Read a file in this process, without a child: fast, and an error shows its traceback."""

    def run(path: Path, limits: Limits | None = None) -> Reading:
        out = tmp_path / "out"
        out.mkdir(exist_ok=True)
        return read_here(path, out, ReaderOptions(limits or Limits()))

    return run


@pytest.fixture
def extract(tmp_path: Path) -> Extract:
    """Copy all tensors of a file, of whatever family, to canonical safetensors."""

    def run(path: Path) -> Path:
        target = tmp_path / "extracted.safetensors"
        draft = new_draft(path, ReaderOptions())
        with ExitStack() as stack:
            opened = open_checkpoint(path, tmp_path, draft, stack)
            views = checked_views(choose_model(opened, draft, None).model, opened.source)
            write_canonical(opened.source, views, target, draft.limits)
        return target

    return run


def ids(reading: Reading) -> list[str]:
    """The ids of all findings."""
    return [finding.id for finding in reading.findings]


def conformance_folder() -> Path:
    """The folder of fixtures beside the project; skips when it is not there."""
    folder = Path(__file__).parents[4].parent / "shared" / "conformance"
    if not folder.is_dir():
        pytest.skip("the conformance fixtures are not beside the project")
    return folder
