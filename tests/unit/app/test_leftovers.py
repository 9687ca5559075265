"""What a process made under a common roof: there as long as it lives, gone for whoever sweeps afterwards."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from app import leftovers

_MAKER = """
import sys, time
from pathlib import Path
from app import leftovers
roof = Path(sys.argv[1])
out = leftovers.new_file(roof)
with leftovers.new_folder(roof) as folder:
    (folder / "inside").write_text("x")
    print("made", flush=True)
    time.sleep(60)
"""


def names(roof: Path) -> set[str]:
    return {path.name for path in roof.iterdir()}


def test_what_is_left_at_the_end_of_the_block_is_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), leftovers.new_folder(tmp_path / "roof") as folder:
        (folder / "x").write_text("x")
        assert folder.stat().st_mode & 0o777 == 0o700
        leftovers.sweep(tmp_path / "roof")
        assert (folder / "x").exists()
        raise RuntimeError
    assert names(tmp_path / "roof") == set()


def test_what_the_dead_left_goes_and_what_the_living_hold_stays(tmp_path: Path) -> None:
    (tmp_path / "child").mkdir()
    command = [sys.executable, "-c", _MAKER, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as maker:
        assert maker.stdout is not None
        assert maker.stdout.readline() == "made\n"
        assert len(names(tmp_path)) == 3
        leftovers.sweep(tmp_path)
        assert len(names(tmp_path)) == 3
        maker.kill()
    leftovers.sweep(tmp_path)
    assert names(tmp_path) == {"child"}
    leftovers.sweep(tmp_path / "never made")


def test_sweeping_beside_makers_takes_nothing_from_them(tmp_path: Path) -> None:
    over = threading.Event()
    troubles: list[str] = []

    def sweep() -> None:
        while not over.is_set():
            leftovers.sweep(tmp_path)

    def make() -> None:
        for number in range(150):
            with leftovers.new_folder(tmp_path) as folder, leftovers.new_file(tmp_path) as out:
                try:
                    (folder / "x").write_text("x")
                except FileNotFoundError:
                    troubles.append(f"folder {number}")
                if not Path(out.name).exists():
                    troubles.append(f"file {number}")

    sweepers = [threading.Thread(target=sweep) for _ in range(2)]
    makers = [threading.Thread(target=make) for _ in range(3)]
    for thread in (*sweepers, *makers):
        thread.start()
    for thread in makers:
        thread.join()
    over.set()
    for thread in sweepers:
        thread.join()
    assert troubles == []
    leftovers.sweep(tmp_path)
    assert names(tmp_path) == set()
