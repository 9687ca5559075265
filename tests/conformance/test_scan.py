"""`clipvet scan --backbone` names the classes of files written by the original research code."""

from __future__ import annotations

import json

import pytest

from inspector.cli.entry import main
from tests.conformance.conftest import FOLDER, manifest_of


@pytest.mark.parametrize(
    ("case", "is_decoded"),
    [("coop-csc8-end", True), ("maple-d2", True), ("coprompt-d2-fp16", True),
     ("promptsrc-t3v3", False), ("vpt-deep3", False)],
)  # fmt: skip
def test_class_names(case: str, is_decoded: bool, capsys: pytest.CaptureFixture[str]) -> None:
    data = manifest_of(case)
    backbone = FOLDER / data["backbone_dir"] / "open_clip"
    with pytest.raises(SystemExit) as caught:
        main(["scan", str(FOLDER / case), "--backbone", str(backbone), "--json"])
    assert caught.value.code == 0
    report = json.loads(capsys.readouterr().out)
    names = [name.replace("_", " ") for name in data["classnames"]]
    assert report["classes"]["names"] == (names if is_decoded else None)
    assert [f["id"] for f in report["findings"]] == ([] if is_decoded else ["class-list-missing"])
