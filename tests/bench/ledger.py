"""Who has looked at which model: `python -m tests.bench.ledger check TAG`, `seen FOLDER ...`.

check  refuse unless the rule's files are those of TAG.
seen   the rules that have looked at each model.

Rows are written by `python -m tests.exam look`, each before the model is inspected.

A rule is frozen by a commit and tag before it sees an exam; a clone may lack the tag, so FROZEN keeps its name and
commit as well. What decides a verdict is FILES; if anything
there differs from the tag, committed or not, the examined rule is another one, and the command
refuses. A model that a rule has seen cannot show anything about a rule made afterwards: rows are
only ever added, and digests tell rules apart that bear the same id.
"""

from __future__ import annotations

import argparse
import csv
import datetime
import hashlib
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from inspector.profiles import TWINS

ROOT = Path(__file__).parents[2]
LEDGER = Path(__file__).with_name("ledger.csv")
FROZEN = Path("tests/bench/frozen.csv")
"""Below the root: tag, commit, date and what was frozen. Rows are only ever added."""
FILES = (
    "inspector/calibration", "inspector/clip", "inspector/detection", "inspector/probes",
    "inspector/profiles.py", "inspector/run",
)  # fmt: skip
"""From the tensors that were read to the verdict. The reader of files and the reports are not the rule."""


class Refused(Exception):
    """The rule is not the one that was frozen."""


@dataclass(frozen=True)
class Look:
    """One model that one rule has seen.

    Attributes:
        commit: what the tag stands for.
        date: of the look, UTC.
        rule: the rule's id, or a baseline's name.
        digest: of the rule's files; two rules of one id are the same where this is.
        model: the folder's name.
    """

    commit: str
    date: str
    rule: str
    digest: str
    model: str


FIELDS = tuple(field.name for field in fields(Look))


def frozen(tag: str, root: Path = ROOT) -> tuple[str, str]:
    """The commit of `tag` and the digest of the rule's files.

    Raises:
        Refused: there is no such tag, it has none of the files, or they differ from it.
    """
    commit = _commit_of(tag, root)
    listed = _git(root, "ls-tree", "-r", commit, "--", *FILES)
    if not listed:
        raise Refused(f"{tag} has none of the rule's files")
    if changed := _changed(root, commit):
        raise Refused(f"changed since {tag}: {', '.join(changed)}")
    return commit, hashlib.sha256(listed.encode()).hexdigest()


def _commit_of(tag: str, root: Path) -> str:
    """By the tag itself, else by its row.

    Raises:
        Refused: neither is there, or they disagree, or the commit is missing.
    """
    rows = {row["tag"]: row["commit"] for row in _frozen_rows(root)}
    told = {rows[tag]} if tag in rows else set()
    for name in (f"refs/tags/{tag}", *told):
        try:
            told.add(_git(root, "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}"))
        except subprocess.CalledProcessError:
            if name in told:
                raise Refused(f"{tag} is commit {name}, which this clone lacks") from None
    if not told:
        raise Refused(f"no tag {tag}")
    if len(told) > 1:
        raise Refused(f"{tag} is {' and '.join(sorted(told))}: a frozen tag was moved")
    return told.pop()


def _frozen_rows(root: Path) -> list[dict[str, str]]:
    if not (root / FROZEN).exists():
        return []
    with (root / FROZEN).open(newline="") as file:
        return list(csv.DictReader(file))


def _changed(root: Path, commit: str) -> list[str]:
    """Files of the rule that differ from the commit, those that nobody has added to git as well."""
    differ = _git(root, "diff", "--name-only", commit, "--", *FILES)
    untracked = _git(root, "ls-files", "--others", "--exclude-standard", "--", *FILES)
    return sorted({*differ.splitlines(), *untracked.splitlines()})


def _git(root: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", "-C", str(root), *arguments], check=True, capture_output=True, text=True
    ).stdout.strip()


def looks(ledger: Path = LEDGER) -> list[Look]:
    """All rows, in the order in which they were written."""
    with ledger.open(newline="") as file:
        return [Look(**row) for row in csv.DictReader(file)]


def record(
    tag: str,
    models: Iterable[str],
    ledger: Path = LEDGER,
    root: Path = ROOT,
    rule: str = TWINS,
) -> list[Look]:
    """Add a row for each model that this very rule has not seen; those rows.

    Args:
        rule: the product's, or the name of a baseline.

    Raises:
        Refused: as `frozen`; then nothing is written.
    """
    commit, digest = frozen(tag, root)
    date = datetime.datetime.now(datetime.UTC).date().isoformat()
    known = {(look.rule, look.digest, look.model) for look in looks(ledger)}
    fresh = [name for name in dict.fromkeys(models) if (rule, digest, name) not in known]
    rows = [Look(commit, date, rule, digest, name) for name in fresh]
    with ledger.open("a", newline="") as file:
        csv.DictWriter(file, FIELDS, lineterminator="\n").writerows(asdict(row) for row in rows)
    return rows


def seen(model: str, ledger: Path = LEDGER) -> list[Look]:
    """The looks at one model, the oldest first."""
    return [look for look in looks(ledger) if look.model == model]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Keep the ledger of looks at models of an exam.")
    actions = parser.add_subparsers(dest="action", required=True)
    actions.add_parser("check").add_argument("tag")
    actions.add_parser("seen").add_argument("folders", type=Path, nargs="+")
    options = parser.parse_args(arguments)
    if options.action == "seen":
        return _tell(folder.name for folder in options.folders)
    try:
        print(*frozen(options.tag))
    except Refused as refusal:
        parser.exit(1, f"refused: {refusal}\n")
    return None


def _tell(models: Iterable[str]) -> None:
    for model in models:
        told = [f"{look.rule} {look.digest[:12]} {look.date}" for look in seen(model)]
        print(model, *(told or ["unseen"]), sep="\t")


if __name__ == "__main__":
    main()
