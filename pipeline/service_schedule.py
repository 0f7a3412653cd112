"""The front door's part for the schedule and the workers; `Service` inherits it.

Apart from its neighbours only because one file would be too long.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol, cast

from pipeline.ways import Way, operator, way_in

if TYPE_CHECKING:
    from pipeline.schedule import ScheduleLine
    from pipeline.service import Service
    from pipeline.store.database import Store
    from pipeline.store.events import EventRow
    from pipeline.store.schedule import JobRunRow
    from pipeline.store.wanted import WantedRow
    from pipeline.store.workers import ScheduleHealth, WorkerRow
    from pipeline.worker import Worker


class _House(Protocol):
    _worker: Worker | None  # runs the schedule in this process

    @property
    def store(self) -> Store: ...
    @property
    def read_only(self) -> bool: ...
    def event(self, event: str) -> EventRow: ...
    def add_event(self, event: str) -> EventRow: ...


class ScheduleActions:
    """What is due when, who does it, and asking for it."""

    _worker: Worker | None

    # ------------------------------------------------------------------ looking

    def schedules(self: _House) -> tuple[ScheduleLine, ...]:
        """Every schedule with when it is due next and how its last run went."""
        from pipeline import schedule

        return schedule.lines(self.store)

    def job_runs(self: _House, name: str | None = None, *, limit: int = 50) -> tuple[JobRunRow, ...]:
        """Runs of one schedule or of all, newest first. Raises StateError UNKNOWN for a name that does not exist."""
        from pipeline import schedule
        from pipeline.store import schedule as rows

        return rows.list_runs(self.store, None if name is None else schedule.require(self.store, name).id, limit=limit)

    def wanted(self: _House, *, limit: int = 1_000) -> tuple[WantedRow, ...]:
        """The events that wait to be ingested, the most urgent first."""
        from pipeline.store import wanted

        return wanted.list_wanted(self.store, limit=limit)

    def workers(self: _House) -> tuple[WorkerRow, ...]:
        """The processes that run the schedule, on all machines: what each does, and when it was last seen."""
        from pipeline.store import workers

        return workers.list_workers(self.store)

    def schedule_health(self: _House) -> ScheduleHealth:
        """Whether the schedule is being run, by the age of its last tick."""
        from pipeline import schedule

        return schedule.health(self.store)

    # ------------------------------------------------------------------ changing

    @way_in(Way.EDIT)
    def add_schedule(
        self: _House,
        name: str,
        job: str,
        when: str,
        *,
        options: Mapping[str, str] | None = None,
        paused: bool = False,
        who: str | None = None,
    ) -> ScheduleLine:
        """A new schedule. `when`: `every 6h` or five cron fields, UTC; `options`: name → whole number, as text.

        Raises StateError USAGE for a bad name, job, time or option, or a name that is taken.
        """
        from pipeline import schedule

        given = options or {}
        return schedule.add(
            self.store, name=name, job=job, when=when, options=given, paused=paused, who=who or operator()
        )

    @way_in(Way.EDIT)
    def edit_schedule(
        self: _House,
        name: str,
        *,
        when: str | None = None,
        options: Mapping[str, str] | None = None,
        who: str | None = None,
    ) -> ScheduleLine:
        """Another time, other options; what is not named stays. Raises StateError USAGE, UNKNOWN."""
        from pipeline import schedule

        return schedule.edit(self.store, name, when=when, options=options or {}, who=who or operator())

    @way_in(Way.EDIT)
    def pause_schedule(self: _House, name: str, *, who: str | None = None) -> ScheduleLine:
        """It is not due any more until it is resumed. Raises StateError UNKNOWN."""
        from pipeline import schedule

        return schedule.pause(self.store, name, paused=True, who=who or operator())

    @way_in(Way.EDIT)
    def resume_schedule(self: _House, name: str, *, who: str | None = None) -> ScheduleLine:
        """It is due again, at its next time. Raises StateError UNKNOWN."""
        from pipeline import schedule

        return schedule.pause(self.store, name, paused=False, who=who or operator())

    @way_in(Way.EDIT)
    def run_schedule_now(self: _House, name: str, *, who: str | None = None) -> ScheduleLine:
        """Let the next tick of any worker run it, paused or not. Raises StateError UNKNOWN."""
        from pipeline import schedule

        return schedule.run_now(self.store, name, who=who or operator())

    @way_in(Way.INGEST)
    def request_ingest(self: _House, event: str, *, trigger: str = "cli", who: str | None = None) -> EventRow:
        """Want an event: whichever worker is free ingests it, before all that the schedule found by itself.

        Raises StateError USAGE, UNKNOWN_EVENT for a bare id that is not known.
        """
        from pipeline.store import wanted

        row = self.add_event(event)
        wanted.add(self.store, [row.id], why="asked", asked_by=trigger, who=who or operator())
        return row

    # ------------------------------------------------------------------ running it here

    @way_in(Way.RECOVERY)
    def start_schedule(self: _House, *, kind: str = "console", tick_s: float | None = None) -> Worker:
        """Run the schedule in this process too, in threads of its own, until `stop_schedule` or `close`.

        It may be run by any number of processes. Where it is under way here already, nothing changes.
        Raises StoreError.
        """
        from pipeline.schedule import TICK_S
        from pipeline.worker import Worker

        worker = self._worker
        if worker is None or not worker.alive:
            worker = Worker(cast("Service", self), kind=kind, tick_s=TICK_S if tick_s is None else tick_s)
            worker.start()
            self._worker = worker
        return worker

    def stop_schedule(self: _House, *, timeout_s: float | None = 0.0) -> bool:
        """Run it here no more: nothing new is begun, what is under way goes on to its end. False: it still does."""
        if self._worker is None:
            return True
        self._worker.stop()
        return self._worker.join(timeout_s)

    def use_worker(self: _House, worker: Worker) -> None:
        """Let stopping and closing the service reach a worker that somebody else drives."""
        self._worker = worker

    def runs_schedule(self: _House) -> bool:
        """Whether this process runs the schedule."""
        return self._worker is not None and self._worker.alive

    def stopping_schedule(self: _House) -> bool:
        """Whether this process was asked to run it no more and still does what it had begun."""
        return self._worker is not None and self._worker.alive and self._worker.stop_asked.is_set()
