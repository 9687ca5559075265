"""Examine what is built of a set: the ledger first, then the model, then its row."""

from __future__ import annotations

import json
import traceback
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

from inspector.clip.backbone import Backbone
from inspector.probes.loading import BUILT_IN
from tests.bench.baselines.paper import PROFILE
from tests.bench.ledger import LEDGER, ROOT, Refused, frozen, record
from tests.exam.draw import draw
from tests.exam.methods import METHODS, rule_of, say
from tests.exam.remembered import Remembering, remembered_probes
from tests.exam.rows import Key, Row, append, key_of, read
from tests.zoo import make
from tests.zoo.build import FINISHED
from tests.zoo.pictures import pictures, write
from tests.zoo.records import TABLE as RECORDS
from tests.zoo.records import name_of
from tests.zoo.records import read as read_records
from tests.zoo.sets import SETS, Model, Part

TABLES = ROOT / "tests" / "bench" / "tables"
PICTURES = Path("var/exam/pictures")
NUMBER = PROFILE.probes + PROFILE.held_out
"""Pictures of a task, as many as the dearest method wants; the others take some of them."""
Probes = Literal["own", "builtin"]


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What is to be examined, and how.

    Attributes:
        tag: where the rule is frozen.
        zoo: where models lie built.
        drawn: only a draw of so many (`tests.exam.draw`); None for all.
        share: which of how many parts of the work is this process's.
        out: the table; None for its usual name beside the others.
        pictures: where probes are kept.
        number: of pictures of each task that are made.
    """

    tag: str
    zoo: Path
    part: Part = "exam"
    backbones: tuple[str, ...] = ()
    method: str = METHODS[0]
    drawn: int | None = None
    share: tuple[int, int] = (1, 1)
    probes: Probes = "own"
    seed: int = 0
    device: str = "cpu"
    out: Path | None = None
    pictures: Path = PICTURES
    number: int = NUMBER
    ledger: Path = LEDGER
    root: Path = ROOT

    @property
    def table(self) -> Path:
        """Named after set and rule, or baseline, and after what is not usual."""
        method = self.method
        said = ["exam", self.part, rule_of(method)]
        said += [method] * (method not in (METHODS[0], rule_of(method)))
        said += [self.probes] * (self.probes != "own")
        said += [f"seed-{self.seed}"] * (self.seed != 0)
        return self.out or TABLES / f"{'-'.join(said)}.csv"


@dataclass(frozen=True)
class Work:
    """What is to do, in order, and what is not: rows that stand, models that are not built.

    waiting: places of a draw that an attack may yet take.
    """

    ready: list[Model]
    done: int
    unbuilt: int
    waiting: int


def is_built(zoo: Path, model: Model) -> bool:
    return (make.folder(zoo, model) / FINISHED).exists()


def truth_of(zoo: Path, model: Model) -> dict[str, Any]:
    truth: dict[str, Any] = json.loads((make.folder(zoo, model) / FINISHED).read_text())
    return truth


def known_to_take(zoo: Path, models: Iterable[Model], records: Path = RECORDS) -> dict[Key, bool]:
    """Of attacks that are built, or were and have a record: whether they took."""
    told, known = read_records(records), {}
    for model in models:
        if model.is_backdoored and is_built(zoo, model):
            known[key_of(model)] = bool(truth_of(zoo, model)["took"])
        elif model.is_backdoored and (record := told.get(name_of(model))):
            known[key_of(model)] = record["took"] == "True"
    return known


def plan(asked: Asked) -> Work:
    """This process's share; shares are cut from the plan, so that they stay what they are."""
    every = [model for model in SETS if model.part == asked.part]
    wanted, waiting = set(every), 0
    if asked.drawn is not None:
        drawn = draw(every, known_to_take(asked.zoo, every), asked.drawn)
        wanted, waiting = set(drawn.models), len(drawn.open)
    mine = [
        model
        for model in make.part(every, *asked.share)
        if model in wanted and (not asked.backbones or model.backbone in asked.backbones)
    ]
    done = {row.key for row in read(asked.table)}
    left = [model for model in mine if key_of(model) not in done]
    # Models of one task follow each other, so that its probes are read and encoded once.
    ready = sorted(
        (model for model in left if is_built(asked.zoo, model)), key=lambda m: (m.backbone, m.task)
    )
    return Work(ready, len(mine) - len(left), len(left) - len(ready), waiting)


def probes_for(asked: Asked, model: Model, size: int) -> str:
    """Pictures of the task at the backbone's size, made where they are missing."""
    if asked.probes == "builtin":
        return BUILT_IN
    folder = asked.pictures / f"{model.task}-{size}"
    if not folder.exists():
        asked.pictures.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=asked.pictures) as scratch:
            write(pictures(model.task, asked.number, size), Path(scratch) / "all")
            try:
                (Path(scratch) / "all").rename(folder)
            except OSError:
                if not folder.exists():  # Else another process was faster.
                    raise
    return str(folder)


def examined(asked: Asked, model: Model, backbone: Backbone, rule: tuple[str, str]) -> Row:
    """Inspect one model; its row.

    Args:
        rule: commit and digest, as `tests.bench.ledger.frozen` gives them.
    """
    folder, truth = make.folder(asked.zoo, model), truth_of(asked.zoo, model)
    probes = probes_for(asked, model, backbone.image_size)
    said = say(asked.method, folder, backbone, probes, asked.seed)
    known: dict[str, Any] = {
        name: truth.get(name) for name in ("target", "accuracy", "asr", "base", "excess", "took")
    }
    if not model.is_backdoored:
        known |= {"target": None, "asr": None, "base": None}  # Of a class that nobody attacks.
    return Row(
        part=model.part,
        backbone=model.backbone,
        family=model.family,
        task=model.task,
        seed=model.seed,
        kind=model.kind,
        classes=len(model.classes),
        is_backdoored=model.is_backdoored,
        targets=tuple(truth.get("targets") or ()),
        method=asked.method,
        rule=rule_of(asked.method),
        digest=rule[1],
        commit=rule[0],
        probes=asked.probes,
        inspection_seed=asked.seed,
        **known,
        **said,
    )


def look(asked: Asked) -> int:
    """Examine what is ready; how many could not be.

    Raises:
        Refused: the rule is not the tag's, or the table holds rows of another one.
    """
    rule, work = frozen(asked.tag, asked.root), plan(asked)
    if others := {row.digest for row in read(asked.table)} - {rule[1]}:
        raise Refused(f"{asked.table} holds rows of another rule: {', '.join(sorted(others))}")
    print(told(work), flush=True)
    failed = 0
    backbone: Remembering | None = None
    name = ""
    with remembered_probes():
        for model in work.ready:
            if key_of(model) in {row.key for row in read(asked.table)}:
                continue  # By another process, meanwhile.
            if backbone is None or name != model.backbone:
                name = model.backbone
                backbone = Remembering.of(make.backbone_named(name, asked.device))
            record(
                asked.tag, [name_of(model)],
                asked.ledger, asked.root, rule_of(asked.method),
            )  # fmt: skip
            failed += not _try(asked, model, backbone, rule)
    print(f"{told(plan(asked))}: {asked.table}")
    return failed


def _try(asked: Asked, model: Model, backbone: Backbone, rule: tuple[str, str]) -> bool:
    """One model that breaks an inspection does not end a night's exam."""
    try:
        row = examined(asked, model, backbone, rule)
    except Exception:
        traceback.print_exc()
        print(f"{name_of(model)}: no row", flush=True)
        return False
    append(asked.table, row)
    took = {None: "honest", True: "took", False: "did not take"}[row.took]
    shown = "–" if row.score is None else f"{row.score:.2f}"
    print(
        f"{model.backbone:<20} {name_of(model):<34} {took:<13} {row.verdict:<13}"
        f"score {shown:<7} found {row.found} of {row.targets}  {row.seconds:.1f} s",
        flush=True,
    )
    return True


def told(work: Work) -> str:
    text = (
        f"{work.done} rows stand, {len(work.ready)} models to examine, {work.unbuilt} not built yet"
    )
    return text + f", {work.waiting} places of the draw open" * bool(work.waiting)
