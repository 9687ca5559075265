"""The documents of the exams name only what exists: files, commands, experiments, tables.

Says nothing of whether what they claim is true; tables of RESULTS.md are held against their rows in
`test_results.py`.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.bench import flips
from tests.bench.models import read_models

ROOT = Path(__file__).parents[3]
BENCH = ROOT / "tests" / "bench"
TABLES, EXPERIMENTS = BENCH / "tables", BENCH / "experiments"
NOTES = sorted(EXPERIMENTS.glob("[0-9]*.md"))
OURS = [*sorted(BENCH.glob("*.md")), EXPERIMENTS / "README.md", TABLES / "README.md"]
DOCUMENTS = [*OURS, *NOTES, ROOT / "CONTRIBUTING.md"]
SOURCES = [path for at in ("app", "worker", "inspector", "tests") for path in (ROOT / at).rglob("*.py")]  # fmt: skip
WIDEST = 130
CSV = re.compile(r"(?<![\w/.-])(?:tests/bench/tables/(?:archive/)?)?[a-z0-9][a-z0-9-]*\.csv")
PLACE = re.compile(r"(?<![\w/.-])(?:tests|inspector|app|worker|docker|migrations)/[\w./*-]*[\w*]")
CITED = re.compile(r"[Ee]xperiments?[\s#]+(\d{1,2}(?:(?:,| and| to)[\s#]+\d{1,2}(?!\.?\d))*)\b")


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


every_document = pytest.mark.parametrize("path", DOCUMENTS, ids=name)


def quoted(text: str) -> Iterator[str]:
    """Lines of code blocks, continued ones joined, and spans between backticks."""
    blocks = re.split(r"^```.*$", text, flags=re.MULTILINE)
    for block in blocks[1::2]:
        yield from block.replace("\\\n", " ").splitlines()
    for block in blocks[::2]:
        yield from (" ".join(span.split()) for span in re.findall(r"`([^`]+)`", block))


def table(named: str) -> Path | None:
    """Where a CSV lies that a document names, with its folder or alone."""
    places = [ROOT / named] if "/" in named else [TABLES / named, TABLES / "archive" / named]
    return next((place for place in places if place.is_file()), None)


@every_document
def test_every_table_that_is_named_exists(path: Path) -> None:
    named = set(CSV.findall(path.read_text("utf-8")))
    assert {one for one in named if table(one) is None} == set()


@every_document
def test_every_path_that_is_named_exists(path: Path) -> None:
    """Notes of experiments may name modules of their day, never files of the bench that are gone."""
    named = {place for span in quoted(path.read_text("utf-8")) for place in PLACE.findall(span)}
    if path in NOTES:
        named = {place for place in named if place.startswith("tests/")}
    assert {place for place in named if not any(ROOT.glob(place))} == set()


@every_document
def test_every_link_leads_somewhere(path: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", path.read_text("utf-8"))
    assert {link for link in links if "://" not in link and not (path.parent / link).exists()} == set()  # fmt: skip


@every_document
def test_every_command_is_a_module(path: Path) -> None:
    modules = {
        module
        for span in quoted(path.read_text("utf-8"))
        for module in re.findall(r"python -m ((?:tests|inspector|worker)[\w.]*\w)", span)
    }
    assert {module for module in modules if find_spec(module) is None} == set()


def commands() -> list[list[str]]:
    """Words of every command over tables that some document prints."""
    spans = {span for path in DOCUMENTS for span in quoted(path.read_text("utf-8"))}
    found = [re.search(r"python -m tests\.bench\.(?:metrics|flips) (.+)", span) for span in spans]
    lines = {" ".join(match[0].split()) for match in found if match and CSV.search(match[1])}
    return [line.split() for line in sorted(lines)]


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_what_a_command_reads_can_be_read(words: list[str]) -> None:
    paths = [ROOT / word.strip("[]") for word in words if word.strip("[]").endswith(".csv")]
    assert paths
    if "tests.bench.flips" in words:
        assert len(next(iter(flips.read(paths).values()))) > 1
    else:
        for part in (paths[:-1], paths[-1:]) if "--paper" in " ".join(words) else (paths,):
            assert read_models(part)


def test_there_are_such_commands() -> None:
    assert {words[2] for words in commands()} == {"tests.bench.metrics", "tests.bench.flips"}


@pytest.mark.parametrize("path", [*OURS, *NOTES], ids=name)
def test_prose_can_be_read(path: Path) -> None:
    lines = path.read_text("utf-8").splitlines()
    assert [line for line in lines if len(line) > WIDEST and not line.startswith("|")] == []


def numbered() -> dict[int, str]:
    """Experiment to its verdict, by the title of its file."""
    titles = [path.read_text("utf-8").split("\n", 1)[0] for path in NOTES]
    matches = [re.fullmatch(r"# (\d+)\. (.+)", title) for title in titles]
    assert all(matches), titles
    return {int(match[1]): match[2] for match in matches if match}


def test_experiments_are_numbered_as_their_files() -> None:
    assert [int(path.name.split("-")[0]) for path in NOTES] == list(numbered())
    assert list(numbered()) == list(range(1, len(NOTES) + 1))


def test_the_index_has_every_experiment_under_its_verdict() -> None:
    text = (EXPERIMENTS / "README.md").read_text("utf-8")
    rows = re.findall(r"^\| (\d+) \| .* \| \[(.+)\]\((.+\.md)\) \|$", text, re.MULTILINE)
    wanted = [(str(n), numbered()[n], path.name) for n, path in enumerate(NOTES, 1)]
    assert rows == wanted


def test_every_experiment_that_is_cited_exists() -> None:
    """In code, tests and documents."""
    for path in [*SOURCES, *DOCUMENTS, *ROOT.glob("*.md")]:
        for numbers in CITED.findall(path.read_text("utf-8")):
            cited = set(map(int, re.findall(r"\d+", numbers)))
            assert cited <= set(numbered()), f"{name(path)}: {numbers}"


def test_citations_are_seen() -> None:
    """The pattern above finds one number, several, and those that a line break parts."""
    text = (
        "experiment 26; Experiments 30, 32 and 42. (experiments\n# 44 and 45), experiment 3 of 0.5"
    )
    assert CITED.findall(text) == ["26", "30, 32 and 42", "44 and 45", "3"]


def test_the_index_of_tables_has_every_file_once_with_its_rows() -> None:
    text = (TABLES / "README.md").read_text("utf-8")
    listed = re.findall(r"^\| \[[^]]+\]\(([^)]+\.csv)\) \|.*\| (\d+) \|$", text, re.MULTILINE)
    files = [path.relative_to(TABLES).as_posix() for path in TABLES.rglob("*.csv")]
    assert Counter(file for file, _ in listed) == Counter(files)
    wrong = {file: rows for file, rows in listed if int(rows) != rows_of(TABLES / file)}
    assert wrong == {}


def rows_of(path: Path) -> int:
    with path.open(newline="", encoding="utf-8") as file:
        return sum(1 for _ in csv.DictReader(file))
