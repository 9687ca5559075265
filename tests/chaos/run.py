"""One run from its beginning to its table."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import httpx2

from tests.chaos import clocks
from tests.chaos.client import Patient
from tests.chaos.conductor import Conductor, draw_schedule
from tests.chaos.faults import Kind
from tests.chaos.findings import Finding, none_of
from tests.chaos.invariants import judge
from tests.chaos.kinds import KINDS
from tests.chaos.load import Load
from tests.chaos.members import ROOT
from tests.chaos.record import Record
from tests.chaos.watch import Watch
from tests.chaos.wishes import Materials, Plan, draw_plan
from tests.chaos.world import World
from tests.support.processes import descendants

_SUBREAPER = 36
_MARGIN_S = 60.0
"""Beyond one lease, from the last recovery until nothing lies about any more."""

_AGAIN_S = 60.0
"""For faults that found nothing to hit."""


@dataclass(frozen=True)
class Size:
    """How much of everything. ``settings`` are the service's; the large run softens none."""

    inspections: int
    faults: int
    real: int
    big: int
    workers: int
    gap_s: float
    scale: float
    lease_s: float
    settings: dict[str, str]
    longest_s: float
    patience_s: float
    hooks_s: float

    @property
    def lasts_s(self) -> float:
        return self.gap_s * self.faults


def full(inspections: int, faults: int) -> Size:
    return Size(
        inspections=inspections,
        faults=faults,
        real=max(20, inspections // 25),
        big=max(1, inspections // 100),
        workers=3,
        gap_s=7.5,
        scale=1.0,
        lease_s=90,
        settings={},
        longest_s=3,
        patience_s=900,
        # Two failed attempts in a row are followed by one after five minutes and a jitter.
        hooks_s=480,
    )


def small(inspections: int = 20, faults: int = 12) -> Size:
    """For the default suite: a minute leaves no room for leases of a minute and a half."""
    return Size(
        inspections=inspections,
        faults=faults,
        real=0,
        big=1,
        workers=2,
        gap_s=0.8,
        scale=0.1,
        lease_s=4,
        settings={"CLIPVET_LEASE_S": "4"},
        longest_s=0.8,
        patience_s=40,
        hooks_s=30,
    )


def offered() -> tuple[list[Kind], list[str]]:
    """The kinds that this machine can do, and why not the others."""
    missing = {}
    if clocks.library() is None:
        missing["clock"] = f"no faults of clocks: Debian's {clocks.PACKAGE} is not installed"
    return [kind for kind in KINDS if kind.needs not in missing], list(missing.values())


class Run:
    """Use ``perform`` once."""

    def __init__(self, size: Size, seed: int, record: Record, folder: Path) -> None:
        self.size = size
        self.seed = seed
        self.record = record
        self._folder = folder
        self._before = set(descendants(os.getpid()))
        # Whatever the service leaves behind becomes a child of ours, and is seen at the end.
        ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)

    def perform(self) -> Iterator[Finding]:
        """Everything, then what came of it, one finding after the other."""
        size, record = self.size, self.record
        plan = draw_plan(
            Materials(self._folder / "materials"),
            Random(f"{self.seed}/plan"),
            count=size.inspections,
            real=size.real,
            big=size.big,
            over_s=size.lasts_s,
            longest_s=size.longest_s,
        )
        kinds, excuses = offered()
        record.write("begun", seed=self.seed, size=size.__dict__, excuses=excuses)
        with World(self._folder, record, workers=size.workers, settings=size.settings) as world:
            if not all(member.room.can_be_filled for member in world.members):
                kinds = [kind for kind in kinds if kind.needs != "disk"]
                excuses.append("no faults of disks: namespaces are not allowed here")
            # Told, and no failure: how many kinds there must be at least is a finding of its own.
            yield from (Finding(excuse, "", None) for excuse in excuses)
            yield from self._in(world, kinds, plan)

    def _in(self, world: World, kinds: list[Kind], plan: Plan) -> Iterator[Finding]:
        made = httpx2.post(
            f"{world.url}/v1/webhook_endpoints",
            json={"url": f"{world.sink.url}/standing"},
            timeout=30,
        )
        made.raise_for_status()
        watch = Watch(world)
        watch.start()
        conductor, load = self._faults_under_load(world, kinds, plan)
        watch.everything_is_mended()
        self.record.write("phase", name="everything is mended", ended=watch.ended)
        mended_at = time.monotonic()
        load.join()
        self._await_ends(watch, len(plan.wishes))
        took_s = watch.last_end_at - mended_at
        self._await_hooks(world)
        self._leave_something(world, plan)
        purged = list(self._purge(world))
        watch.stop()
        yield Finding("seed", str(self.seed), None)
        yield from self._about_faults(world, conductor)
        yield from self._about_time(watch, took_s)
        yield from purged
        yield from judge(world, len(plan.wishes))
        yield from self._about_answers(load)
        yield from self._about_processes(world)

    def _faults_under_load(
        self, world: World, kinds: list[Kind], plan: Plan
    ) -> tuple[Conductor, Load]:
        size = self.size
        schedule = draw_schedule(
            kinds,
            Random(f"{self.seed}/schedule"),
            count=size.faults,
            gap_s=size.gap_s,
            lease_s=size.lease_s,
            scale=size.scale,
        )
        conductor = Conductor(world, schedule, self.seed)
        load = Load(plan, world.url, world.sink.url, self.record, size.patience_s)
        load.start()
        conductor.run(until=time.monotonic() + 2 * size.lasts_s + _AGAIN_S)
        return conductor, load

    def _await_ends(self, watch: Watch, count: int) -> None:
        """Until all have ended, or none has for a lease and a minute and a half."""
        stalled_s = self.size.lease_s + _MARGIN_S + 30
        while watch.ended < min(count, watch.total) or watch.total < count:
            if time.monotonic() - watch.last_end_at > stalled_s:
                break
            time.sleep(1)
        self.record.write("phase", name="ended or stalled", ended=watch.ended, of=count)

    def _await_hooks(self, world: World) -> None:
        query = "SELECT count(*) AS n FROM webhook_deliveries WHERE status = 'pending'"
        ends_at = time.monotonic() + self.size.hooks_s
        while time.monotonic() < ends_at and world.rows(query)[0]["n"]:
            time.sleep(1)
        self.record.write(
            "phase", name="webhooks delivered or late", left=world.rows(query)[0]["n"]
        )

    def _leave_something(self, world: World, plan: Plan) -> None:
        """For the purge, which must not live on what faults happened to leave."""
        client = Patient(world.url, self.record, time.monotonic() + 60)
        for form in ("begun", "part", "half"):
            client.begin_and_leave(plan.strays[0].artifact, form)
        client.close()

    def _purge(self, world: World) -> Iterator[Finding]:
        """A day later, as far as rows can tell: what nobody finished has expired."""
        expired = "status <> 'stored' AND expires_at <= clock_timestamp()"
        made_late = world.rows(
            "UPDATE uploads SET expires_at = clock_timestamp() WHERE status <> 'stored' RETURNING id"
        )
        command = [sys.executable, "-m", "app", "purge", "--older-than", "0"]
        done = subprocess.run(
            command, env=world.environment(), cwd=ROOT, capture_output=True, text=True, check=False
        )
        said = (done.stdout + done.stderr).strip().replace("\n", " ")[-400:]
        yield Finding("the purge", f"exit {done.returncode}", done.returncode == 0, said)
        left = world.rows(f"SELECT id FROM uploads WHERE {expired}")
        yield none_of(
            "unfinished uploads that outlived it", [row["id"] for row in left], len(made_late)
        )

    def _about_faults(self, world: World, conductor: Conductor) -> Iterator[Finding]:
        size, done = self.size, conductor.done
        figure = f"{done.total()} of {len(done)} kinds"
        yield Finding(
            "faults that hit something", figure, done.total() >= size.faults and len(done) >= 10
        )
        listed = ", ".join(f"{count} {name}" for name, count in sorted(done.items()))
        yield Finding("which", "", None, listed)
        yield none_of(
            "faults that the harness could not do or mend", self.record.of("harness_error")
        )
        once = sum(1 for count in world.hits.values() if count == 1)
        yield Finding(
            "inspections hit by us in one attempt, and in more",
            f"{once}, {len(world.hits) - once}",
            None,
        )

    def _about_time(self, watch: Watch, took_s: float) -> Iterator[Finding]:
        limit = self.size.lease_s + _MARGIN_S
        for name, spell in (
            (
                "seconds that a lease had run out, at most, after the last recovery",
                watch.unattended_s,
            ),
            ("seconds that a worker was idle while one waited, at most, after it", watch.idle_s),
        ):
            yield Finding(name, f"{spell:.0f} <= {limit:.0f}", spell <= limit)
        yield Finding("seconds from the last recovery to the last end", f"{took_s:.0f}", None)

    def _about_answers(self, load: Load) -> Iterator[Finding]:
        listed = ", ".join(f"{count} {name}" for name, count in sorted(load.answers.items()))
        yield Finding("answers that clients got", "", None, listed)
        wrong = self.record.of("answer_500")
        yield Finding(
            "of these 500", str(len(wrong)), None, "; ".join(str(row) for row in wrong[:3])
        )
        ended = self.record.of("ended_by_itself")
        yield Finding(
            "processes of the service that ended unasked", str(len(ended)), None,
            "; ".join(f"{row['member']} with {row['status']}" for row in ended[:8]),
        )  # fmt: skip

    def _about_processes(self, world: World) -> Iterator[Finding]:
        late = [member.name for member in world.members if not member.stop()]
        yield none_of("processes that do not end in good order", late)
        scratch = [
            f"{member.name}: {folder}"
            for member in world.members
            for folder in (*member.room.folders_in("scratch"), *member.room.folders_in("spool"))
            if folder != "child"
        ]
        yield none_of("things left in scratch and spool folders", scratch)
        time.sleep(2)
        ours = world.pids()
        left = {
            pid: command
            for pid, command in descendants(os.getpid()).items()
            if pid not in ours and pid not in self._before
        }
        yield none_of("processes left over", [f"{pid} {line[:200]}" for pid, line in left.items()])
