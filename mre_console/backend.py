"""The pipeline as the console asks for it: `screens.ports.ConsoleService` over a `Service`.

Questions come from short-lived threads, so each gives its database connection back; runs say that the console started
them; the contact that is typed is kept in the configuration file and used from then on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import msgspec

from mre_console.backend_drift import TRIGGER, DriftBackend
from pipeline.observe import Bus
from pipeline.store.urls import parse_url

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.checks import CheckReport
    from pipeline.control import ControlState
    from pipeline.errors import PipelineError
    from pipeline.failures import FailureGroup
    from pipeline.ingest import IngestReport
    from pipeline.leases import LockView, Tick
    from pipeline.plans import Plan
    from pipeline.recovering import Recovered
    from pipeline.recovery import Action
    from pipeline.resources import Resources
    from pipeline.retrying import RetryPlan, RetryStep
    from pipeline.schedule import ScheduleLine
    from pipeline.service import Service
    from pipeline.snapshot import EventLine, LapLine, LogLine, RaceLine, ResultLine, Snapshot
    from pipeline.spans import Span
    from pipeline.store.runs import RunRow
    from pipeline.store.schedule import JobRunRow
    from pipeline.terminating import Termination

REAL_SITE = "liverc.com"


class ConsoleBackend(DriftBackend):
    """Stands between screens and a `Service`, which stays the caller's to close."""

    def __init__(self, service: Service, config_file: Path | None = None) -> None:
        """`config_file` is where a contact is kept; None: the platform's."""
        self._service = service
        self._config_file = config_file
        self.shown_database = parse_url(service.settings.db_url).shown
        self.shown_site = service.settings.site or REAL_SITE

    @property
    def bus(self) -> Bus:
        return self._service.bus

    @property
    def read_only(self) -> bool:
        return self._service.read_only

    @contextmanager
    def _asking(self) -> Iterator[Service]:
        """For calls from threads that end right after: their connection is closed with them."""
        with self._service.store.connection_scope():
            yield self._service

    # ------------------------------------------------------------------ looking

    def snapshot(self, *, text: str = "", limit: int = 500, after_log_id: int = 0, log_limit: int = 2_000) -> Snapshot:
        # Asked by one thread that lives as long as the console: it keeps its connection.
        return self._service.snapshot(text=text, limit=limit, after_log_id=after_log_id, log_limit=log_limit)

    def races(self, event_id: int) -> tuple[RaceLine, ...]:
        with self._asking() as service:
            return service.races(event_id)

    def results(self, race_id: int) -> tuple[ResultLine, ...]:
        with self._asking() as service:
            return service.results(race_id)

    def laps(self, result_id: int) -> tuple[LapLine, ...]:
        with self._asking() as service:
            return service.laps(result_id)

    def run_log(self, run_id: int, limit: int = 1_000) -> tuple[LogLine, ...]:
        with self._asking() as service:
            return service.run_log(run_id, limit)

    # ------------------------------------------------------------------ acting

    def add_event(self, event: str) -> object:
        with self._asking() as service:
            return service.add_event(event)

    def start_ingest(self, event: str, *, done: Callable[[IngestReport | PipelineError], None] | None = None) -> object:
        from pipeline.ingest import Options

        with self._asking() as service:
            return service.start_ingest(event, Options(trigger=TRIGGER), done=done)

    def follow(self, slug: str) -> object:
        with self._asking() as service:
            return service.follow(slug)

    def refresh_track(self, slug: str) -> tuple[object, ...]:
        with self._asking() as service:
            return service.refresh_track(slug)

    def needs_contact(self) -> bool:
        settings = self._service.settings
        return settings.site is None and settings.contact is None

    def save_contact(self, contact: str) -> None:
        """Keep the contact for every later start, and fetch with it from now on. Raises StateError USAGE."""
        from mre_console.settings import save_contact

        save_contact(contact, self._config_file)
        # The client is made at the first fetch, and nothing is fetched before there is a contact.
        self._service.settings = msgspec.structs.replace(self._service.settings, contact=contact)

    # ------------------------------------------------------------------ locks, the switch, the machine

    def tick(self) -> Tick:
        # As `snapshot`: asked by the same thread.
        return self._service.tick()

    def cancel(self, event: str) -> LockView:
        with self._asking() as service:
            return service.cancel(event)

    def wait_until_free(self, lock: LockView, seconds: float) -> bool:
        with self._asking() as service:
            return service.wait_until_free(lock, seconds)

    def clear_lock(self, event: str, *, reason: str, token: int, confirm: str | None = None) -> LockView:
        with self._asking() as service:
            return service.clear_lock(event, reason=reason, token=token, confirm=confirm)

    def terminate_holder(self, event: str, *, reason: str, token: int, confirm: str | None = None) -> Termination:
        with self._asking() as service:
            return service.terminate_holder(event, reason=reason, token=token, confirm=confirm)

    def control(self) -> ControlState:
        with self._asking() as service:
            return service.control()

    def disable(self, *, reason: str, protect: bool = False) -> ControlState:
        with self._asking() as service:
            return service.disable(reason=reason, protect=protect)

    def enable(self, *, reason: str = "") -> ControlState:
        with self._asking() as service:
            return service.enable(reason=reason)

    def resources(self) -> Resources:
        with self._asking() as service:
            return service.resources()

    # ------------------------------------------------------------------ ending

    def stop(self, message: str) -> None:
        self._service.stop(message)

    def running_here(self) -> int:
        return self._service.running_here()

    # ------------------------------------------------------------------ recovery

    def plan_cleanup(self, event: str, *, full: bool = False) -> Plan:
        with self._asking() as service:
            return service.plan_cleanup(event, full=full)

    def plan_reset(self, event: str) -> Plan:
        with self._asking() as service:
            return service.plan_reset(event)

    def plan_restore(self, event: str, run_id: int) -> Plan:
        with self._asking() as service:
            return service.plan_restore(event, run_id)

    def plan_undo(self, action_id: int) -> Plan:
        with self._asking() as service:
            return service.plan_undo(action_id)

    def act(self, plan: Plan, *, reason: str = "") -> Recovered:
        with self._asking() as service:
            if plan.undoes is not None:
                return service.undo(plan.undoes, plan=plan, reason=reason, trigger=TRIGGER)
            if plan.kind == "reset":
                done = service.reset_event_ingestion(plan.event, plan=plan, reason=reason, trigger=TRIGGER)
                if done is not None:
                    return done
            return service.act(plan, reason=reason, trigger=TRIGGER)

    def actions(self, event: str | None = None, *, limit: int = 50) -> tuple[Action, ...]:
        with self._asking() as service:
            return service.actions(event, limit=limit)

    def runs(self, event: str | None = None, *, limit: int = 50) -> tuple[RunRow, ...]:
        with self._asking() as service:
            return service.runs(event, limit=limit)

    def checks(self, event: str | None = None) -> CheckReport:
        with self._asking() as service:
            return service.checks(event)

    def plan_retry(self, events: Sequence[str] = (), *, among: Sequence[str] | None = None) -> RetryPlan:
        with self._asking() as service:
            return service.plan_retry(events, among=among)

    def retry(self, plan: RetryPlan, tell: Callable[[RetryStep], bool]) -> None:
        from pipeline.ingest import Options

        with self._asking() as service:
            for step in service.retry(plan, Options(trigger=TRIGGER)):
                if not tell(step):
                    return

    # ------------------------------------------------------------------ how everything is

    def failure_groups(self) -> tuple[FailureGroup, ...]:
        with self._asking() as service:
            return service.failure_groups()

    def event_line(self, event: str) -> EventLine | None:
        with self._asking() as service:
            found = service.snapshot(text=event, log_limit=0).events
        return next((line for line in found if line.event == event), None)

    def timeline(self, run_id: int) -> tuple[Span, ...]:
        with self._asking() as service:
            return service.timeline(run_id)

    def acknowledge(self, ids: Sequence[int]) -> int:
        with self._asking() as service:
            return service.acknowledge(ids)

    # ------------------------------------------------------------------ the schedule

    def schedules(self) -> tuple[ScheduleLine, ...]:
        with self._asking() as service:
            return service.schedules()

    def job_runs(self, name: str, *, limit: int = 50) -> tuple[JobRunRow, ...]:
        with self._asking() as service:
            return service.job_runs(name, limit=limit)

    def edit_schedule(
        self, name: str, *, when: str | None = None, options: Mapping[str, str] | None = None
    ) -> ScheduleLine:
        with self._asking() as service:
            return service.edit_schedule(name, when=when, options=options)

    def pause_schedule(self, name: str) -> ScheduleLine:
        with self._asking() as service:
            return service.pause_schedule(name)

    def resume_schedule(self, name: str) -> ScheduleLine:
        with self._asking() as service:
            return service.resume_schedule(name)

    def run_schedule_now(self, name: str) -> ScheduleLine:
        with self._asking() as service:
            return service.run_schedule_now(name)

    def start_schedule(self) -> None:
        with self._asking() as service:
            service.start_schedule(kind=TRIGGER)

    def stop_schedule(self) -> bool:
        return self._service.stop_schedule()

    def schedule_here(self) -> str:
        if self._service.stopping_schedule():
            return "stopping"
        return "running" if self._service.runs_schedule() else ""
