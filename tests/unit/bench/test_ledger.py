"""The ledger of looks in a repository of its own: what is refused, what is written, what is seen."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from inspector.profiles import TWINS
from tests.bench import ledger
from tests.bench.ledger import (
    FIELDS,
    FILES,
    FROZEN,
    LEDGER,
    ROOT,
    Refused,
    frozen,
    looks,
    record,
    seen,
)

RULE = "inspector/detection/rule.py"


def _git(root: Path, *arguments: str) -> None:
    who = ("-c", "user.name=a", "-c", "user.email=a@b.example", "-c", "commit.gpgsign=false")
    subprocess.run(["git", "-C", str(root), *who, *arguments], check=True, capture_output=True)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A repository whose rule is frozen at the tag `frozen`."""
    root = tmp_path / "repository"
    for name in (RULE, "inspector/profiles.py", "inspector/report.py"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("NUMBER = 1\n")
    _git(tmp_path, "init", "--quiet", str(root))
    _commit(root)
    _git(root, "tag", "frozen")
    return root


def _commit(root: Path) -> None:
    _git(root, "add", "--all")
    _git(root, "commit", "--quiet", "--message", "A rule")


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    path = tmp_path / "ledger.csv"
    path.write_text(",".join(FIELDS) + "\n")
    return path


def test_the_frozen_rule_is_let_through_and_has_one_digest(root: Path) -> None:
    commit, digest = frozen("frozen", root)
    assert len(commit) == 40 and len(digest) == 64
    (root / "inspector/report.py").write_text("NUMBER = 2\n")
    _commit(root)
    assert frozen("frozen", root) == (commit, digest)


@pytest.mark.parametrize("committed", [False, True])
@pytest.mark.parametrize("how", ["changed", "deleted", "added", "staged"])
def test_another_rule_is_refused_by_name(
    root: Path, empty: Path, how: str, committed: bool
) -> None:
    name = "inspector/detection/further.py" if how == "added" else RULE
    if how == "deleted":
        (root / name).unlink()
    else:
        (root / name).write_text("NUMBER = 2\n")
    if how == "staged":
        _git(root, "add", "--all")
    if committed:
        _commit(root)
    with pytest.raises(Refused, match=name):
        frozen("frozen", root)
    with pytest.raises(Refused):
        record("frozen", ["things6-1-clean"], empty, root)
    assert looks(empty) == []


def test_a_rule_that_was_changed_back_is_the_frozen_one(root: Path) -> None:
    before = frozen("frozen", root)
    for number in (2, 1):
        (root / RULE).write_text(f"NUMBER = {number}\n")
        _commit(root)
    assert frozen("frozen", root) == before


def test_what_is_no_tag_is_refused(root: Path) -> None:
    for name in ("nothing", "HEAD", ""):
        with pytest.raises(Refused, match="no tag"):
            frozen(name, root)


def _told(root: Path, commit: str) -> None:
    (root / FROZEN).parent.mkdir(parents=True, exist_ok=True)
    (root / FROZEN).write_text(f"tag,commit,date,what\nfrozen,{commit},2026-11-29,rule\n")


def test_a_row_stands_for_a_tag_that_a_clone_lacks(root: Path) -> None:
    before = frozen("frozen", root)
    _told(root, before[0])
    assert frozen("frozen", root) == before
    _git(root, "tag", "--delete", "frozen")
    assert frozen("frozen", root) == before


def test_a_tag_that_was_moved_is_refused(root: Path) -> None:
    _told(root, frozen("frozen", root)[0])
    (root / "other").write_text("later\n")
    _git(root, "add", "other")
    _git(root, "commit", "--quiet", "--message", "later")
    _git(root, "tag", "--force", "frozen")
    with pytest.raises(Refused, match="was moved"):
        frozen("frozen", root)


def test_a_commit_that_a_clone_lacks_is_told(root: Path) -> None:
    _git(root, "tag", "--delete", "frozen")
    _told(root, "0" * 40)
    with pytest.raises(Refused, match="this clone lacks"):
        frozen("frozen", root)


def test_a_tag_without_a_rule_is_refused(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("words\n")
    _git(tmp_path, "init", "--quiet")
    _commit(tmp_path)
    _git(tmp_path, "tag", "frozen")
    with pytest.raises(Refused, match="none of the rule's files"):
        frozen("frozen", tmp_path)


def test_a_look_is_written_once_a_rule_and_model(root: Path, empty: Path) -> None:
    first = record("frozen", ["a-1-clean", "b-1-clean", "a-1-clean"], empty, root)
    assert [look.model for look in first] == ["a-1-clean", "b-1-clean"] and looks(empty) == first
    assert {look.rule for look in first} == {TWINS}
    (more,) = record("frozen", ["b-1-clean", "c-1-clean"], empty, root)
    assert looks(empty) == [*first, more] and more.model == "c-1-clean"


def test_another_rule_of_the_same_id_sees_a_model_anew(root: Path, empty: Path) -> None:
    record("frozen", ["a-1-clean"], empty, root)
    (root / RULE).write_text("NUMBER = 2\n")
    _commit(root)
    _git(root, "tag", "later")
    record("later", ["a-1-clean"], empty, root)
    commits = [look.commit for look in seen("a-1-clean", empty)]
    assert commits == [frozen_commit(root, "frozen"), frozen_commit(root, "later")]
    assert len({look.digest for look in seen("a-1-clean", empty)}) == 2
    assert seen("b-1-clean", empty) == []


def frozen_commit(root: Path, tag: str) -> str:
    command = ["git", "-C", str(root), "rev-parse", tag]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_the_command_refuses_with_a_reason(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ledger.frozen, "__defaults__", (root,))
    ledger.main(["check", "frozen"])
    assert capsys.readouterr().out.split() == list(frozen("frozen", root))
    (root / RULE).write_text("NUMBER = 2\n")
    with pytest.raises(SystemExit) as left:
        ledger.main(["check", "frozen"])
    assert left.value.code == 1 and RULE in capsys.readouterr().err


def test_the_ledger_of_this_repository_can_be_read_and_its_files_exist() -> None:
    assert LEDGER.read_text().splitlines()[0] == ",".join(FIELDS)
    assert all(len(look.digest) == 64 for look in looks())
    assert all((ROOT / name).exists() for name in FILES)
