"""The identity of the code: the same for the same sources, another for any other."""

from __future__ import annotations

import subprocess
from pathlib import Path

from inspector.calibration.engine import ROOT, identity, sources_sha256


def test_the_hash_is_what_its_docstring_says_it_is() -> None:
    command = (
        "find . -name '*.py' -o -name '*.json' -o -name '*.txt' | cut -c3- | LC_ALL=C sort | "
        "xargs sha256sum | sha256sum"
    )
    told = subprocess.run(command, shell=True, cwd=ROOT, capture_output=True, text=True, check=True)
    assert identity()["sha256"] == told.stdout.split()[0]


def test_one_changed_byte_or_name_is_another_engine(tmp_path: Path) -> None:
    (tmp_path / "rules").mkdir()
    source, rule = tmp_path / "a.py", tmp_path / "rules" / "lead.json"
    source.write_text("x = 1\n")
    rule.write_text("{}")
    seen = {sources_sha256(tmp_path)}
    source.write_text("x = 2\n")
    seen.add(sources_sha256(tmp_path))
    rule.rename(tmp_path / "rules" / "other.json")
    seen.add(sources_sha256(tmp_path))
    assert len(seen) == 3
    (tmp_path / "weights.bin").write_bytes(b"no source")
    assert sources_sha256(tmp_path) in seen
