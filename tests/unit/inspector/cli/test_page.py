"""`clipvet page`: the page of a folder, of a service's record, and what it says when it cannot."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path

import pytest

from tests.page.stored import Stored
from tests.unit.inspector.cli.conftest import Clipvet

STORED = Stored("clean")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(STORED.folder, tmp_path / "kept"))


def test_a_folder_with_a_record(folder: Path, clipvet: Clipvet) -> None:
    ended = clipvet("page", folder)
    assert (ended.code, ended.out) == (0, "")
    assert (folder / "report.html").read_text("utf-8") == STORED.page()


def test_a_record_from_elsewhere(folder: Path, tmp_path: Path, clipvet: Clipvet) -> None:
    (folder / "record.json").replace(tmp_path / "other.json")
    assert clipvet("page", folder).code == 0
    assert "who asked and when is not recorded" in (folder / "report.html").read_text("utf-8")
    assert clipvet("page", folder, "--record", tmp_path / "other.json").code == 0
    assert (folder / "report.html").read_text("utf-8") == STORED.page()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (None, "No such file"),
        ("[]", "no JSON object"),
        ("{", "cannot read"),
        ("[" * 100_000, "deeply"),
    ],
)
def test_a_report_that_cannot_be_read(
    text: str | None, why: str, folder: Path, clipvet: Clipvet
) -> None:
    (folder / "report.json").unlink()
    if text is not None:
        (folder / "report.json").write_text(text)
    ended = clipvet("page", folder)
    assert ended.code == 4
    assert why in ended.err
    assert not (folder / "report.html").exists()


def test_no_file_outside_the_folder_gets_onto_the_page(folder: Path, clipvet: Clipvet) -> None:
    report = STORED.report
    outside = folder.parent / "trigger-0.png"
    drawn = next(file for file in report["artifacts"] if file["name"].startswith("trigger-"))
    shutil.copy(folder / drawn["name"], outside)
    digest = drawn["sha256"]
    picture = {"media_type": "image/png", "sha256": digest, "description": ""}
    report["artifacts"] = [picture | {"name": name} for name in ("../trigger-0.png", str(outside))]
    (folder / "report.json").write_text(json.dumps(report))
    assert clipvet("page", folder).code == 0
    assert "data:image" not in (folder / "report.html").read_text("utf-8")


def test_a_pdf_needs_the_extra_and_says_so(folder: Path, clipvet: Clipvet) -> None:
    ended = clipvet("page", folder, "--pdf")
    if importlib.util.find_spec("weasyprint") is None:
        assert ended.code == 4
        assert "clipvet[pdf]" in ended.err
    else:
        assert ended.code == 0
        assert (folder / "report.pdf").read_bytes().startswith(b"%PDF-")
