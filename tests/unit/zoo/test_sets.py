"""Design, bank and exam: that they share nothing, what only the exam has, and that sizes are met."""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Hashable, Iterable
from itertools import combinations

import pytest

from tests.zoo import plan
from tests.zoo.build import classnames
from tests.zoo.kinds import (
    ASIDE_RECIPES,
    ATTACKS,
    CONTROLS,
    FAMILIES,
    KINDS,
    MATCHED,
    QUANTISING,
    RECIPES,
    SPECTRAL,
)
from tests.zoo.photos import SHARED
from tests.zoo.plan import PHOTO_BACKBONE
from tests.zoo.sets import (
    ASIDE_ATTACKS,
    ASIDE_TASKS,
    BACKBONES,
    MINIMA,
    PARTS,
    SECONDS,
    SETS,
    TAKES,
    Model,
    Part,
    budget,
    classes_of,
    main,
)
from tests.zoo.subsets import MOST_CLASSES, SUBSETS
from tests.zoo.tasks import TASKS
from tests.zoo.train_pocket import POCKET, SECOND_POCKET

needs_photographs = pytest.mark.skipif(
    not (SHARED / "images").is_dir(), reason="photographs lie outside the repository"
)


def _of(part: Part) -> list[Model]:
    return [model for model in SETS if model.part == part]


def _photographs(model: Model) -> Iterable[Hashable]:
    if model.task in SUBSETS:
        for name in SUBSETS[model.task].classes:
            yield SUBSETS[model.task].folder, name


SHARED_BY_NONE: dict[str, Callable[[Model], Iterable[Hashable]]] = {
    "task": lambda model: [model.task],
    "seed": lambda model: [model.seed],
    "clean twin": lambda model: [model.twin],
    "class name": lambda model: [name.lower().replace("_", " ") for name in model.classes],
    "photographs of a class": _photographs,
}


@pytest.mark.parametrize("what", SHARED_BY_NONE)
@pytest.mark.parametrize(("one", "other"), list(combinations(PARTS, 2)))
def test_two_sets_share_nothing(one: Part, other: Part, what: str) -> None:
    ask = SHARED_BY_NONE[what]
    mine, theirs = ({thing for model in _of(part) for thing in ask(model)} for part in (one, other))
    assert mine and theirs and not mine & theirs


def test_no_model_is_planned_twice() -> None:
    assert len({(m.backbone, m.task, m.kind, m.seed) for m in SETS}) == len(SETS)
    # Folders of a zoo are named after these three alone.
    assert len({(m.task, m.kind, m.seed) for m in SETS}) == len(SETS)


def test_no_seed_was_used_before() -> None:
    assert not {m.seed for m in SETS} & ({e.seed for e in plan.PLAN} | set(plan.RESERVE_SEEDS))
    assert min(m.seed for m in SETS) > 10_000


def test_what_is_set_aside_is_in_the_exam_and_nowhere_else() -> None:
    aside, everywhere = {*ASIDE_ATTACKS, *ASIDE_RECIPES}, {*SPECTRAL, *QUANTISING, *ASIDE_RECIPES}
    assert {k for k in ATTACKS if FAMILIES[k] in ("frequency", "quantisation")} == {*ASIDE_ATTACKS}
    assert set(ASIDE_RECIPES) == {"mixup", "longtail", "stopped"}
    assert set(ASIDE_TASKS) == {"corners6", "things12", "sizes2", "myntra14", "pacs_sketch"}
    for part in ("design", "bank"):
        models = _of(part)
        assert not aside & {m.kind for m in models}
        assert not set(ASIDE_TASKS) & {m.task for m in models}
    # Its own bank is honest and needed to read the exam's models; nobody designs on it.
    assert SECOND_POCKET not in {m.backbone for m in _of("design")}
    exam = _of("exam")
    assert aside <= {m.kind for m in exam} and set(ASIDE_TASKS) <= {m.task for m in exam}
    for backbone in BACKBONES:
        assert everywhere <= {m.kind for m in exam if m.backbone == backbone}


def test_the_bank_is_honest() -> None:
    assert {m.kind for m in _of("bank")} <= {"clean", *CONTROLS}
    assert {m.kind for m in _of("bank")} >= {"clean", *RECIPES, *MATCHED, "permuted"}


def test_every_attack_has_its_clean_twin_in_the_same_set() -> None:
    twins = {(m.part, *m.twin) for m in SETS if m.kind == "clean"}
    assert {(m.part, *m.twin) for m in SETS if m.is_backdoored} <= twins


@pytest.mark.parametrize(("part", "backbone"), MINIMA)
def test_sizes_are_met_by_what_took_so_far(part: Part, backbone: str) -> None:
    attacks, honest = MINIMA[part, backbone]
    planned = budget(part, backbone)
    assert planned.takes >= 1.25 * attacks and planned.honest >= honest
    assert planned.takes <= planned.attacks


def test_what_nobody_measured_is_not_counted_on() -> None:
    exam = [m for m in SETS if m.part == "exam"]
    assert all(m.takes == 0 for m in exam if m.kind in ASIDE_ATTACKS)
    assert set(TAKES) <= set(ATTACKS)


def test_photograph_tasks_are_small_and_the_exam_has_eight() -> None:
    tasks = {m.task for m in _of("exam") if m.backbone == PHOTO_BACKBONE}
    assert len(tasks) >= 8
    photographs = {m.task for m in SETS if m.backbone == PHOTO_BACKBONE}
    assert photographs == set(SUBSETS)
    assert all(len(classes_of(task)) <= MOST_CLASSES for task in photographs)


def test_classes_reach_from_two_to_a_hundred() -> None:
    numbers = {len(m.classes) for m in _of("exam") if m.backbone == POCKET}
    assert min(numbers) == 2 and max(numbers) == 100


def test_tasks_and_kinds_can_be_built() -> None:
    for model in SETS:
        assert model.kind in KINDS
        assert (model.task in TASKS) != (model.task in SUBSETS)
        assert (model.task in SUBSETS) == (model.backbone == PHOTO_BACKBONE)
        assert not (model.kind == "source" and len(model.classes) == 2)


def test_a_dear_kind_costs_ten_usual_ones() -> None:
    dear, usual = (Model("exam", POCKET, "things6", kind, 1).hours for kind in ("badclip", "clean"))
    assert dear == pytest.approx(10 * usual)
    assert usual == pytest.approx(6 * SECONDS[POCKET] / 3600)


def test_budget_and_list_are_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["sets", "--list"])
    main()
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert lines == [[m.part, m.backbone, m.task, m.kind, str(m.seed)] for m in SETS]
    monkeypatch.setattr(sys, "argv", ["sets"])
    main()
    printed = capsys.readouterr().out
    assert f"{len(SETS)} models, {sum(m.hours for m in SETS):.0f} hours" in printed


@needs_photographs
@pytest.mark.parametrize("task", SUBSETS)
def test_a_subset_is_classes_of_its_folder(task: str) -> None:
    subset = SUBSETS[task]
    every = (SHARED / "images" / subset.folder / "classes.txt").read_text().split()
    assert [name for name in every if name in subset.classes] == list(subset.classes)
    assert len(classnames(task)) == len(subset.classes)


@needs_photographs
def test_no_photograph_is_in_two_sets_under_two_names() -> None:
    blobs: dict[Part, set[str]] = {}
    for part in PARTS:
        tasks = {m.task for m in _of(part) if m.task in SUBSETS}
        blobs[part] = set().union(*(_blobs(task) for task in tasks))
    for one, other in combinations(PARTS, 2):
        assert blobs[one] and not blobs[one] & blobs[other]


def _blobs(task: str) -> set[str]:
    """What tells a photograph apart wherever it was copied to, of all classes of a task."""
    subset = SUBSETS[task]
    with (SHARED / "images" / subset.folder / "index.tsv").open() as file:
        rows = [
            row for row in csv.DictReader(file, delimiter="\t") if row["class"] in subset.classes
        ]
    assert {row["class"] for row in rows} == set(subset.classes)
    return {row.get("source_blob") or f"{subset.folder}/{row['file']}" for row in rows}
