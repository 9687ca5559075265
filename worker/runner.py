"""Takes jobs, one at a time; an attempt claims, takes in, inspects, records.

The same code under Celery and in the embedded service. Whatever kills this process leaves a row
whose lease runs out, and nothing else that counts: files are stored under the attempt's own keys
and become artifacts only in the final, fenced transaction. What store, database or disk do to an
attempt is not counted against the job (``worker.outage``).
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from app import keys, leftovers
from app.db.session import AWAY, Database
from app.inspections import lease
from app.models import Artifact
from app.settings import Settings
from app.storage import Store
from inspector.names import split_pin
from inspector.options import Options, specs
from worker import intake
from worker.child import ChildPool, InspectionChild
from worker.faults import DISK_FULL, ChildFault, Fault, classify
from worker.keeper import LeaseKeeper, ShuttingDown
from worker.outage import Patience, Surroundings
from worker.scratch import size_of
from worker.static import static_result
from worker.translate import FileToKeep, Translated, translate

logger = logging.getLogger("clipvet.worker")

_COMMIT_TRIES = 5
_COMMIT_PAUSE_S = 1.0
"""Shorter than a reaper watches a lapsed lease, so that after an outage a
result is not overtaken."""
_FETCH_PATIENCE_S = 120.0
"""Then another worker, which may have a better way to the store, gets the job."""
_RESULT_PATIENCE_S = 3600.0
"""Results are dearer than bytes that only lie there: an inspection may have taken hours."""


class Runner:
    """Runs one inspection at a time; ``shutdown`` makes it give the current one back."""

    def __init__(self, settings: Settings, database: Database, store: Store, owner: str) -> None:
        self.settings = settings
        self.database = database
        self.store = store
        self.owner = owner
        self.shutdown = threading.Event()
        self.current: str | None = None
        command = settings.inspector_command or [sys.executable, "-I", "-m", "inspector", "job"]
        self._pool = ChildPool(command, settings.scratch_dir / "child", settings.child_max_jobs)
        self._woken = threading.Event()
        self._looks = 0
        self._looked = threading.Condition()
        self._surroundings = Surroundings(
            database, store, settings.scratch_dir, settings.needed_free_bytes
        )

    def work(self) -> None:
        """Look for jobs every ``poll_s`` until ``shutdown``, so that none depends on a message.

        One thread does all of it: the kernel ends a child with the thread that started it.
        """
        while not self.shutdown.is_set():
            self._woken.clear()
            try:
                self._work_off()
            except Exception:
                logger.exception("a job could not be taken; looking again")
            with self._looked:
                self._looks += 1
                self._looked.notify_all()
            self._woken.wait(self.settings.poll_s)

    def wake(self) -> None:
        """Have :meth:`work` look now; returns when it has run all that was due."""
        with self._looked:
            looks = self._looks
            self._woken.set()
            while self._looks == looks and not self.shutdown.is_set():
                self._looked.wait(self.settings.poll_s)

    def _work_off(self) -> None:
        """Run one job after the other until none is due."""
        try:
            while self._surroundings.is_well() and self.run():
                pass
        except AWAY as error:
            logger.warning("taking no job: %s", classify(error).message)
            self._surroundings.doubt()

    def run(self) -> bool:
        """Take the next inspection and see it through; False if there was none."""
        if self.shutdown.is_set():
            return False
        held = lease.claim(self.database, self.owner, self.settings.lease_s)
        if held is None:
            return False
        self.current = held.inspection_id
        logger.info("%s attempt %d begins", held.inspection_id, held.attempt)
        try:
            self._attempt(held)
        finally:
            self.current = None
        return True

    def close(self) -> None:
        """Take no more jobs, end the child; whoever runs one has ended by then or loses it."""
        self.shutdown.set()
        self._pool.drop()

    def _attempt(self, held: lease.Claim) -> None:
        keeper = LeaseKeeper(
            self.database,
            held,
            lease_s=self.settings.lease_s,
            every_s=self.settings.keep_s,
            shutdown=self.shutdown,
            interrupt=self._pool.drop,
        )
        used_bytes = 0
        try:
            with leftovers.new_folder(self.settings.scratch_dir) as folder:
                try:
                    with keeper:
                        outcome = _Attempt(self, held, keeper, folder).run()
                    keeper.check()
                    self._commit(lambda: lease.finish(self.database, held, outcome))
                except Exception:
                    used_bytes = size_of(folder)
                    raise
            logger.info("%s: %s", held.inspection_id, outcome.verdict)
        except Exception as error:
            self._settle(held, keeper, error, used_bytes)

    def _settle(
        self, held: lease.Claim, keeper: LeaseKeeper, error: Exception, used_bytes: int
    ) -> None:
        """Record how an attempt ended that brought no verdict."""
        try:
            keeper.check()
            if self.shutdown.is_set():
                raise ShuttingDown
        except (lease.LeaseLost, lease.StopRequested, ShuttingDown) as reason:
            error = reason
        match error:
            case lease.LeaseLost():
                logger.warning("%s: the lease is lost, result dropped", held.inspection_id)
                return
            case lease.StopRequested() as request:
                self._record(held, lambda: lease.stop(self.database, held, request))
            case ShuttingDown():
                why = "the worker is shutting down; another one continues"
                self._record(held, lambda: lease.release(self.database, held, why))
            case _:
                self._give_up(held, error, used_bytes)

    def _give_up(self, held: lease.Claim, error: Exception, used_bytes: int) -> None:
        fault = classify(error)
        logger.error(
            "%s attempt %d: %s", held.inspection_id, held.attempt, fault.code, exc_info=error
        )
        delay_s = self.settings.retry_delay_s
        if fault.consequence == "wait" and not self._was_own_use(fault, used_bytes):
            self._surroundings.doubt()
            why = f"{fault.message} ({fault.code}); the attempt does not count"
            self._record(held, lambda: lease.release(self.database, held, why, after_s=delay_s))
            return
        after = None if fault.consequence == "fail" else delay_s
        self._record(
            held,
            lambda: lease.give_up(
                self.database, held, fault.code, fault.message, retry_after_s=after
            ),
        )

    def _was_own_use(self, fault: Fault, used_bytes: int) -> bool:
        """A disk that has room again, now that the job's many files are gone, was filled by it."""
        is_large = used_bytes >= self.settings.needed_free_bytes
        return fault == DISK_FULL and is_large and self._surroundings.has_room()

    def _record(self, held: lease.Claim, action: Callable[[], None]) -> None:
        try:
            self._commit(action)
        except (lease.LeaseLost, SQLAlchemyError):
            # The reaper of whoever reaches the database next puts this right.
            logger.warning("%s: could not record how it ended", held.inspection_id)

    def _commit(self, action: Callable[[], None]) -> None:
        """Try a final transaction until the database is there; the fence makes repeats harmless."""
        ends_at = time.monotonic() + _RESULT_PATIENCE_S
        tries = 0
        while True:
            tries += 1
            try:
                return action()
            except AWAY:
                is_late = self.shutdown.is_set() or time.monotonic() > ends_at
                if is_late and tries >= _COMMIT_TRIES:
                    raise
            time.sleep(_COMMIT_PAUSE_S)


class _Attempt:
    """The steps of one attempt, in order."""

    def __init__(
        self, runner: Runner, held: lease.Claim, keeper: LeaseKeeper, folder: Path
    ) -> None:
        self._runner = runner
        self._held = held
        self._keeper = keeper
        self._folder = folder
        self._patience = Patience(keeper, self._tell_of_waiting)
        self._last_event = ("", 0.0)
        self._is_running = False

    def run(self) -> lease.Outcome:
        runner, held = self._runner, self._held
        self._show(lease.Progress("read", 0.0, None, "reading the artifact"))
        floor = runner.settings.sandbox_floor
        artifact = self._patience.with_step(
            lambda: intake.fetch_artifact(runner.database, runner.store, held, self._folder),
            _FETCH_PATIENCE_S,
        )
        taken = intake.take_in(artifact, held, self._folder, floor)
        self._keeper.check()
        if taken.models[0].canonical is None:
            reading = taken.models[0].reading
            found = static_result(reading, self._request(taken, {}), self._folder)
        else:
            found = self._inspect(taken)
        self._keeper.check()
        files = found.files + self._vendor_container(taken, found)
        artifacts = [self._store(file) for file in files]
        return lease.Outcome(found.verdict, found.body, found.sha256, found.summary, artifacts)

    def _inspect(self, taken: intake.Intake) -> Translated:
        runner, held = self._runner, self._held
        out = self._folder / "out"
        out.mkdir()
        pictures = self._patience.with_step(
            lambda: intake.fetch_pictures(runner.database, runner.store, held, self._folder),
            _FETCH_PATIENCE_S,
        )
        child = runner._pool.child_for(held.tenant)
        self._keeper.check()
        self._is_running = True
        self._show(lease.Progress("start", 0.0, None, "starting the inspection"))
        request = self._request(taken, pictures)
        try:
            return self._answer_of(child, request, out)
        except Exception:
            # Whatever it says from now on would be taken for the next job's.
            runner._pool.drop()
            raise

    def _answer_of(self, child: InspectionChild, request: dict[str, Any], out: Path) -> Translated:
        for reply in child.ask(request, self._runner.settings.child_silence_s):
            match reply["event"]:
                case "progress" | "estimate":
                    self._show(_progress_of(reply))
                case "error":
                    raise _child_error(reply)
                case "done":
                    return translate(out, str(reply.get("report")))
        raise ChildFault("inspection_protocol", "the inspection ended without a report")

    def _request(self, taken: intake.Intake, pictures: dict[str, str]) -> dict[str, Any]:
        settings, asked = self._runner.settings, self._held.request
        backbone = str(asked["backbone"])
        # What was asked for before there was some option has its default.
        options = {spec.name: asked.get(spec.name, spec.default) for spec in specs(Options)}
        return (options | pictures) | {
            "manifest": asked["manifest"],
            "id": self._held.inspection_id,
            **taken.paths(),
            "backbone": backbone,
            "backbone_at": settings.backbones.get(split_pin(backbone).name),
            "device": settings.device,
            "out": str(self._folder / "out"),
            "calibrations": settings.calibrations and str(settings.calibrations.absolute()),
        }

    def _show(self, progress: lease.Progress) -> None:
        """Write progress to the row; to the history on a new stage, else now and then."""
        stage, shown_at = self._last_event
        now = time.monotonic()
        as_event = (
            progress.stage != stage or now - shown_at >= self._runner.settings.event_interval_s
        )
        if not as_event and now - shown_at < self._runner.settings.poll_s:
            return
        if as_event:
            self._last_event = (progress.stage, now)
        try:
            lease.report_progress(
                self._runner.database,
                self._held,
                progress,
                running=self._is_running,
                as_event=as_event,
            )
        except SQLAlchemyError:
            logger.warning("progress could not be written")

    def _tell_of_waiting(self, message: str) -> None:
        self._show(lease.Progress("waiting", 0.0, None, message))

    def _vendor_container(self, taken: intake.Intake, found: Translated) -> list[FileToKeep]:
        repaired = next((f for f in found.files if f.name == "repaired.safetensors"), None)
        if repaired is None:
            return []
        target = self._folder / "repaired"
        why_not = intake.into_vendor_container(taken, found.model, repaired.path, target)
        if why_not is not None:
            text = f"no repaired file in the vendor's own container: {why_not}"
            self._show(lease.Progress("rewrite", 1.0, None, text))
            return []
        return [FileToKeep.at("repaired", target)]

    def _store(self, file: FileToKeep) -> Artifact:
        held = self._held
        key = keys.of_artifact(held.tenant, held.inspection_id, held.attempt, file.name)
        self._patience.with_step(lambda: self._runner.store.put(key, file.path), _RESULT_PATIENCE_S)
        return Artifact(
            inspection_id=held.inspection_id,
            name=file.name,
            storage_key=key,
            sha256=file.sha256,
            size=file.size,
            media_type=file.media_type,
        )


def _progress_of(reply: dict[str, Any]) -> lease.Progress:
    if reply["event"] == "estimate":
        seconds = reply.get("seconds")
        eta = float(seconds) if isinstance(seconds, int | float) else None
        text = f"estimated to take {eta:.0f} s" if eta is not None else "no estimate"
        return lease.Progress("estimate", 0.0, eta, text)
    fraction, eta_s = reply.get("fraction"), reply.get("eta_s")
    return lease.Progress(
        stage=str(reply.get("stage") or "inspect"),
        fraction=float(fraction) if isinstance(fraction, int | float) else 0.0,
        eta_s=float(eta_s) if isinstance(eta_s, int | float) else None,
        message=str(reply.get("message") or ""),
    )


def _child_error(reply: dict[str, Any]) -> ChildFault:
    code = str(reply.get("code") or "inspection_error")
    message = str(reply.get("message") or "the inspection gave no reason")
    return ChildFault(code, message, is_final=reply.get("kind") != "retry")
