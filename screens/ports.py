"""What the console asks of the pipeline, and of time. Screens see only these shapes, so a test can stand in for both.

Every call of a `ConsoleService` may block (it reads a database, some fetch a page) and raises `PipelineError` and
nothing else: none of them belongs on the user interface's own thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from screens.ports_drift import DriftService

if TYPE_CHECKING:
    from pipeline.checks import CheckReport
    from pipeline.control import ControlState
    from pipeline.errors import PipelineError
    from pipeline.failures import FailureGroup
    from pipeline.ingest import IngestReport
    from pipeline.leases import LockView
    from pipeline.observe import Report
    from pipeline.plans import Plan
    from pipeline.recovering import Recovered
    from pipeline.recovery import Action
    from pipeline.resources import Resources
    from pipeline.retrying import RetryPlan, RetryStep
    from pipeline.schedule import ScheduleLine
    from pipeline.snapshot import EventLine, LapLine, LogLine, RaceLine, ResultLine, Snapshot
    from pipeline.spans import Span
    from pipeline.store.runs import RunRow
    from pipeline.store.schedule import JobRunRow
    from pipeline.terminating import Termination


class ReportSource(Protocol):
    """Where the pipeline says what it does, at once, in its own threads."""

    def subscribe(self, subscriber: Callable[[Report], None], /) -> Callable[[], None]:
        """Add a subscriber; the returned function removes it again."""


class ConsoleService(DriftService, Protocol):
    """The pipeline as the console knows it."""

    @property
    def bus(self) -> ReportSource: ...

    @property
    def shown_database(self) -> str:
        """The database as it may be shown: without a password."""

    @property
    def shown_site(self) -> str:
        """`liverc.com`, or the site that stands in for it."""

    @property
    def read_only(self) -> bool:
        """True where every action is refused with READ_ONLY."""

    def needs_contact(self) -> bool:
        """True where the real site would be fetched and nobody has said yet who does it."""

    def save_contact(self, contact: str) -> None:
        """Keep an e-mail address or URL for the User-Agent. Raises PipelineError USAGE where it is not acceptable."""

    def snapshot(self, *, text: str = "", limit: int = 500, after_log_id: int = 0, log_limit: int = 2_000) -> Snapshot:
        """Everything at one moment; `text` filters events, `after_log_id` is the newest log line already seen."""

    def add_event(self, event: str) -> object:
        """Make an event known without fetching it. Raises PipelineError USAGE for a name that is none."""

    def start_ingest(self, event: str, *, done: Callable[[IngestReport | PipelineError], None] | None = None) -> object:
        """Ingest in a thread of its own; `done` hears there how it ended."""

    def follow(self, slug: str) -> object:
        """Follow a track; may fetch its page."""

    def refresh_track(self, slug: str) -> tuple[object, ...]:
        """Fetch a track's events listing; the events it lists are known afterwards."""

    def races(self, event_id: int) -> tuple[RaceLine, ...]: ...

    def results(self, race_id: int) -> tuple[ResultLine, ...]: ...

    def laps(self, result_id: int) -> tuple[LapLine, ...]: ...

    def run_log(self, run_id: int, limit: int = 1_000) -> tuple[LogLine, ...]: ...

    def tick(self) -> object:
        """Release the locks of holders that are proven dead, and report those that expired."""

    def cancel(self, event: str) -> LockView:
        """Ask the holder of an event's lock to stop. Raises PipelineError USAGE where nobody holds it."""

    def wait_until_free(self, lock: LockView, seconds: float) -> bool:
        """Wait until that lock is not held any more. False: it still is."""

    def clear_lock(self, event: str, *, reason: str, token: int, confirm: str | None = None) -> LockView:
        """Take the lock that was seen from its holder; see `pipeline.leases.clear`. Raises PipelineError."""

    def terminate_holder(self, event: str, *, reason: str, token: int, confirm: str | None = None) -> Termination:
        """End the holder of the lock that was seen by force, then clear the lock. Raises PipelineError."""

    def control(self) -> ControlState:
        """How the global switch stands, and what enabling needs."""

    def disable(self, *, reason: str, protect: bool = False) -> ControlState:
        """Stop all ingestion; with `protect`, refuse every write but recovery. Raises PipelineError."""

    def enable(self, *, reason: str = "") -> ControlState:
        """Allow ingestion again. Raises PipelineError CHECKS_FAILED where the checks have not passed since."""

    def resources(self) -> Resources:
        """What the pipeline takes of this machine."""

    def stop(self, message: str) -> None:
        """Ask every run and fetch of this process to end as interrupted."""

    def running_here(self) -> int:
        """How many runs and fetches of this process are under way."""

    # ------------------------------------------------------------------ recovery

    def plan_cleanup(self, event: str, *, full: bool = False) -> Plan: ...

    def plan_reset(self, event: str) -> Plan: ...

    def plan_restore(self, event: str, run_id: int) -> Plan: ...

    def plan_undo(self, action_id: int) -> Plan:
        """Raises PipelineError UNDO_REFUSED with the reason."""

    def act(self, plan: Plan, *, reason: str = "") -> Recovered:
        """Carry out a plan of any kind, whole or not at all; then check the event. Raises PipelineError PLAN_STALE."""

    def actions(self, event: str | None = None, *, limit: int = 50) -> tuple[Action, ...]:
        """Actions on one event or on all, newest first."""

    def runs(self, event: str | None = None, *, limit: int = 50) -> tuple[RunRow, ...]:
        """Runs of one event or of all, newest first."""

    def checks(self, event: str | None = None) -> CheckReport:
        """Check one event or everything; says how far it is as `progress` of the stage `checks`."""

    def plan_retry(self, events: Sequence[str] = (), *, among: Sequence[str] | None = None) -> RetryPlan:
        """How these events, or all failed ones (`among`: only these of them), would be ingested again."""

    def retry(self, plan: RetryPlan, tell: Callable[[RetryStep], bool]) -> None:
        """Ingest the events of a plan; `tell` hears each outcome in this thread, and says whether to go on."""

    # ------------------------------------------------------------------ how everything is

    def failure_groups(self) -> tuple[FailureGroup, ...]:
        """Failed ingestions by cause, what still fails first."""

    def event_line(self, event: str) -> EventLine | None:
        """One event (slug/id) as the list shows it; None where it is not known any more."""

    def timeline(self, run_id: int) -> tuple[Span, ...]:
        """Where a run's time went: its spans, the root first; empty where none were kept."""

    def acknowledge(self, ids: Sequence[int]) -> int:
        """A person has seen these warnings; how many were open until now."""

    # ------------------------------------------------------------------ the schedule

    def schedules(self) -> tuple[ScheduleLine, ...]:
        """Every schedule with when it is due next and how its last run went."""

    def job_runs(self, name: str, *, limit: int = 50) -> tuple[JobRunRow, ...]:
        """Runs of one schedule, newest first."""

    def edit_schedule(
        self, name: str, *, when: str | None = None, options: Mapping[str, str] | None = None
    ) -> ScheduleLine:
        """Another time, other options. Raises PipelineError USAGE, saying what is wrong."""

    def pause_schedule(self, name: str) -> ScheduleLine: ...

    def resume_schedule(self, name: str) -> ScheduleLine: ...

    def run_schedule_now(self, name: str) -> ScheduleLine:
        """Let the next tick of any process that runs the schedule do it."""

    def start_schedule(self) -> None:
        """Run the schedule in this process too."""

    def stop_schedule(self) -> bool:
        """Run it here no more. False: what is under way goes on to its end first."""

    def schedule_here(self) -> str:
        """Whether this process runs the schedule: `running`, `stopping`, or empty. Never blocks."""


class Clock(Protocol):
    """Seconds that only ever go forward."""

    def __call__(self) -> float: ...


def system_clock() -> float:
    return time.monotonic()
