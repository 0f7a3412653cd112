"""What runs the schedule in a process: a ticker that looks whether anything is due, and one thread that does it.

APScheduler only ticks. Its job store is memory, and a tick that fails, as while somebody holds the database, is told
and made up for by the next one: nothing ends it silently, and its health is the age of the last tick that was written.
The work goes on event by event; one polite request per second leaves nothing to gain from doing more at once.
"""

from __future__ import annotations

import logging
import os
import platform
import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pipeline import jobs, schedule
from pipeline.errors import Kind, PipelineError, Stage, StateError
from pipeline.holders import program_version
from pipeline.ingest import Options
from pipeline.observe import Report
from pipeline.stopping import StopSignal
from pipeline.store import schedule as rows
from pipeline.store import wanted, workers
from pipeline.store.schedule import JobRunRow
from pipeline.store.wanted import WantedRow

if TYPE_CHECKING:
    from apscheduler.schedulers.background import BackgroundScheduler

    from pipeline.service import Service

logger = logging.getLogger("mre.pipeline")

IN_A_ROW = 3  # so many events that fail for the site's sake, one after the other: the others wait
SITE_AWAY_S = 300.0  # … for so long
REFUSED_S = 30.0  # how long the events wait where nothing may or can be done at the moment
TIDY_S = 24 * 3_600.0  # how often old runs of schedules and vanished workers are forgotten
WAKE_S = 60.0  # how long the work sleeps at most where no tick wakes it

# The event stays wanted: it is not its fault, or somebody has it.
_NOT_NOW = frozenset(
    {
        Kind.LOCK_HELD,
        Kind.DISABLED,
        Kind.GATE_CLOSED,
        Kind.PAGE_TYPE_BLOCKED,
        Kind.CONTACT_MISSING,
        Kind.READ_ONLY,
        Kind.INTERRUPTED,
        Kind.DB_UNREACHABLE,
        Kind.DB_BUSY,
        Kind.DB_FULL,
        Kind.DB_READONLY,
        Kind.DB_SCHEMA,
    }
)


class Worker:
    """Runs the schedule of one database in this process. `tick` and `step` may also be called by hand."""

    def __init__(self, house: Service, *, kind: str = "worker", tick_s: float = schedule.TICK_S) -> None:
        """`kind` is what the process is: worker, console."""
        self._house = house
        self._kind = kind
        self._tick_s = tick_s
        self._clock = house.clock
        self._signal = StopSignal()
        self._wake = threading.Event()
        self._id: int | None = None
        self._doing: str | None = None
        self._away_in_a_row = 0
        self._pause_until = float("-inf")  # monotonic: no events before then
        self._paused_for_database = False  # … or before a tick could be written again
        self._last_tick: float | None = None  # monotonic: the last one that was written
        self._failing = False
        self._tidied = float("-inf")  # monotonic
        self._scheduler: BackgroundScheduler | None = None
        self._thread: threading.Thread | None = None

    # ------------------------------------------------------------------ life

    def start(self) -> None:
        """Tick and work, in threads of their own. Raises StoreError where the database cannot be written now."""
        from apscheduler.schedulers.background import BackgroundScheduler
        from apscheduler.triggers.interval import IntervalTrigger

        self.register()
        # It complains where a tick takes longer than the time to the next: that is said by the tick's own age.
        logging.getLogger("apscheduler").setLevel(logging.CRITICAL)
        self._scheduler = BackgroundScheduler(
            timezone="UTC", job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None}
        )
        every = IntervalTrigger(seconds=self._tick_s, timezone="UTC")
        self._scheduler.add_job(self._tick_in_thread, every, next_run_time=datetime.now(UTC))  # the first one at once
        self._thread = threading.Thread(target=self._work, name="schedule-work", daemon=True)
        self._scheduler.start()
        self._thread.start()

    def stop(self, message: str = "the schedule was asked to stop") -> None:
        """Take nothing new. What is under way ends by the service's own stop, or by itself. From any thread."""
        self._signal.trip(Kind.INTERRUPTED, message)
        self._wake.set()

    def join(self, timeout_s: float | None = None) -> bool:
        """Wait until the work has ended, at most so long. False: it has not."""
        if self._thread is not None:
            self._thread.join(timeout_s)
        return not self.alive

    @property
    def alive(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    @property
    def stop_asked(self) -> threading.Event:
        """Set as soon as the worker is asked to stop."""
        return self._signal.event

    def is_fresh(self) -> bool:
        """Whether this process wrote a tick lately: what a watchdog may be told."""
        return self._last_tick is not None and self._clock.now() - self._last_tick < schedule.LATE_AFTER_S

    def register(self) -> int:
        """Make the process known to all others; its number."""
        self._id = workers.register(
            self._house.store, kind=self._kind, host=platform.node(), pid=os.getpid(), version=program_version()
        )
        return self._id

    def leave(self) -> None:
        """Say that the process runs the schedule no more; what it left undone is taken by others."""
        if self._id is not None:
            try:
                workers.stop(self._house.store, self._id)
            except PipelineError as error:
                self._tell("worker_not_signed_off", f"the end could not be recorded: {error.message}", error)
            self._id = None

    # ------------------------------------------------------------------ ticking

    def tick(self) -> int:
        """Heartbeat, look after leases, and turn what is due into work; returns how much. Raises PipelineError."""
        store = self._house.store
        if self._id is None or not workers.tick(store, self._id, self._doing):
            workers.tick(store, self.register(), self._doing)
        self._last_tick = self._clock.now()
        if self._paused_for_database:
            self._paused_for_database, self._pause_until = False, float("-inf")
        self._house.tick()
        made = schedule.make_due(store)
        if self._clock.now() - self._tidied > TIDY_S:
            self._tidied = self._clock.now()
            rows.forget_old_runs(store, keep_days=schedule.KEEP_DAYS)
            workers.forget_old(store, keep_days=schedule.KEEP_DAYS)
        self._wake.set()
        return made

    def _tick_in_thread(self) -> None:
        """The body of the ticker's only job. Nothing leaves it: what fails now is made up for by the next tick."""
        if self._signal.tripped:
            return
        try:
            with self._house.store.connection_scope():
                self.tick()
            self._failing = False
        except PipelineError as error:
            if not self._failing:  # once, not every five seconds
                self._tell("tick_failed", f"the schedule could not be looked at: {error.message}", error)
            self._failing = True
        except Exception:
            logger.exception("a tick failed unexpectedly")

    # ------------------------------------------------------------------ working

    def _work(self) -> None:
        with self._house.store.connection_scope():
            try:
                while not self._signal.tripped:
                    if not self._step_safely():
                        self._wake.wait(WAKE_S)
                        self._wake.clear()
            finally:
                if self._scheduler is not None:
                    self._scheduler.shutdown(wait=False)
                self.leave()

    def _step_safely(self) -> bool:
        try:
            return self.step()
        except PipelineError as error:
            self._tell("worker_failed", f"the work could not go on: {error.message}", error)
            self._paused_for_database = error.stage == Stage.DB
        except Exception:
            logger.exception("the schedule's work failed unexpectedly")
        self._pause(REFUSED_S)
        self._signal.event.wait(1.0)
        return False

    def step(self) -> bool:
        """Do one thing that is due: a run of a schedule, else one event. False: there was nothing to do."""
        assert self._id is not None
        run = rows.take_run(self._house.store, self._id)
        if run is not None:
            self._perform(run)
            return True
        if self._clock.now() < self._pause_until:
            return False
        event = wanted.next_wanted(self._house.store)
        if event is None:
            return False
        return self._ingest(event)

    def run_until_idle(self) -> int:
        """Tick once and do all that is due, in the calling thread; how many things were done."""
        self.register()
        try:
            self.tick()
            done = 0
            while not self._signal.tripped and self.step():
                done += 1
                self.tick()
            return done
        finally:
            self.leave()

    def _perform(self, run: JobRunRow) -> None:
        """One run of a schedule, to its recorded end."""
        house = self._house
        if run.attempt > schedule.ATTEMPTS:
            rows.finish_run(house.store, run, "abandoned", f"{run.attempt - 1} workers vanished over it")
            self._tell("job_abandoned", f"scheduled {run.name} is given up: {run.attempt - 1} workers vanished over it")
            return
        self._doing = f"job {run.name}"
        try:
            job = jobs.require_job(run.job)
            options = jobs.read_options(job, run.options)
            if job.only_database:
                with house.store.write():  # done, and known to be done, or neither
                    if not schedule.succeeded(house.store, house.bus, run, job.work(house, options, self._signal)):
                        raise StateError(Kind.LEASE_LOST, f"scheduled {run.name} was taken over by another worker")
            else:
                schedule.succeeded(house.store, house.bus, run, job.work(house, options, self._signal))
        except PipelineError as error:
            if error.kind is not Kind.INTERRUPTED or not self._signal.tripped:
                schedule.failed(house.store, house.bus, run, error)
            # else this process ends, and the next worker takes the run from the beginning
        except Exception as error:
            logger.exception("scheduled %s failed unexpectedly", run.name)
            text = f"the program failed unexpectedly: {type(error).__name__}: {error}"[:300]
            schedule.failed(house.store, house.bus, run, PipelineError(Kind.INTERNAL, text))
        finally:
            self._doing = None

    def _ingest(self, event: WantedRow) -> bool:
        """One wanted event. False: nothing can be done at the moment."""
        store = self._house.store

        def claim() -> None:
            """Inside the transaction that takes the lease: whoever removes the row has the event."""
            if not wanted.remove(store, event.event_id):
                raise StateError(Kind.LOCK_HELD, f"{event.name} was done by another worker", event=event.name)

        self._doing = f"event {event.name}"
        try:
            self._house.ingest(event.name, Options(trigger=event.asked_by), claim=claim)
        except PipelineError as error:
            return self._after_failure(event, error)
        finally:
            self._doing = None
        self._away_in_a_row = 0
        return True

    def _after_failure(self, event: WantedRow, error: PipelineError) -> bool:
        began = "run_id" in error.details and error.kind is not Kind.LOCK_HELD
        if error.kind is Kind.LOCK_HELD:
            return True  # somebody has it; the next look passes it over
        if not began and error.kind in _NOT_NOW:
            self._tell("work_waits", f"wanted events wait: {error.message}", error)
            self._pause(REFUSED_S)
            self._paused_for_database = error.stage == Stage.DB
            return False
        if not began:  # held, or it cannot be begun at all
            wanted.remove(self._house.store, event.event_id)
            self._tell("wanted_dropped", f"{event.name} is not ingested: {error.message}", error)
        self._away_in_a_row = self._away_in_a_row + 1 if error.kind in jobs.SITE_IS_AWAY else 0
        if error.stage == Stage.DB:  # the next event would meet the same
            self._tell("work_waits", f"wanted events wait: {error.message}", error)
            self._pause(REFUSED_S)
            self._paused_for_database = True
        if self._away_in_a_row >= IN_A_ROW:
            self._tell("site_away", f"wanted events wait: {IN_A_ROW} in a row failed: {error.message}", error)
            self._pause(SITE_AWAY_S)
        return True

    def _pause(self, seconds: float) -> None:
        self._pause_until = self._clock.now() + seconds

    def _tell(self, name: str, message: str, error: PipelineError | None = None) -> None:
        fields: dict[str, Any] = {} if error is None else {"kind": str(error.kind), "stage": str(error.stage)}
        self._house.bus.publish(Report(name, message, "warning", fields=fields))
