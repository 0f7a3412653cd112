"""What the whole pipeline looks like at one moment: one frozen picture per tick, for a console or a status line.

The truth is the database, so runs of other processes and machines are in the picture too. A reader remembers the newest
log line that it has shown, and asks only for what came after it.
"""

from __future__ import annotations

from msgspec import Struct

from pipeline.drift import DriftPicture
from pipeline.errors import Envelope
from pipeline.health import Evidence, Health, judge
from pipeline.leases import LockView
from pipeline.store.control import ControlRow
from pipeline.store.workers import ScheduleHealth, WorkerRow


class EventLine(Struct, frozen=True):
    """One event as a row of a list: how the last attempt stands, and what is served."""

    event_id: int  # the database's id
    event: str  # slug/id, as every command takes it
    event_name: str | None  # None until its page was read once
    start_date: str | None
    state: str  # idle, running, complete, failed
    ingest_depth: str  # none, laps_full
    current_run_id: int | None  # the run whose rows are served
    last_ingested_at: int | None  # UTC milliseconds
    last_checked_at: int | None
    races: int  # served
    results: int
    laps: int
    failure: Envelope | None  # how the newest run failed, where state is failed
    failed_at: int | None
    held_reason: str | None = None  # why nothing happens to it until a person acts


class LiveRun(Struct, frozen=True):
    """One run under way, in this process or another one."""

    run_id: int
    event_id: int
    event: str
    event_name: str | None
    trigger: str  # cli, console, api, schedule
    stage: str | None
    pages_done: int
    pages_total: int | None
    elapsed_ms: int
    stage_ms: dict[str, int]  # milliseconds spent per stage so far


class LogLine(Struct, frozen=True):
    """One line of the journal."""

    id: int
    at: int  # UTC milliseconds
    severity: str  # debug, info, warning, error
    name: str  # stable event name, e.g. race_page_fetched
    message: str
    event: str | None  # slug/id
    run_id: int | None


class Totals(Struct, frozen=True):
    """Counts over everything, whatever the filter."""

    events: int
    events_by_state: dict[str, int]
    served: int  # events that serve a sealed run
    races: int
    results: int
    laps: int


class GateLine(Struct, frozen=True):
    """Whether ingestion may use the readers of now, as it was last judged."""

    build: str  # of the readers
    state: str  # green, red; unknown: not judged yet, the next ingestion does
    sets: int = 0  # page sets that were asked
    failing_set: str | None = None
    failing_field: str | None = None
    first_difference: str | None = None  # or the failure
    changed_at: int | None = None  # UTC milliseconds, when it last turned
    checked_at: int | None = None


class Snapshot(Struct, frozen=True):
    """Everything a home screen shows, read in one consistent transaction."""

    taken_at: int  # UTC milliseconds, the database's clock
    totals: Totals
    events: tuple[EventLine, ...]  # running, failed and held first, then newest; a window of the filtered list
    events_matching: int  # how many the filter matches in all
    live: tuple[LiveRun, ...]
    locks: tuple[LockView, ...]
    warnings: tuple[LogLine, ...]  # not acknowledged yet, newest first
    log: tuple[LogLine, ...]  # after the line the reader has seen, oldest first
    control: ControlRow = ControlRow()  # the global switch
    workers: tuple[WorkerRow, ...] = ()  # the processes that run the schedule, on all machines, newest first
    schedule: ScheduleHealth | None = None  # whether it is being run
    gate: GateLine | None = None
    drift: DriftPicture = DriftPicture()  # open cases, and the page types that they block
    health: Health = judge(Evidence())  # as `Service.health` says it

    @property
    def expired(self) -> tuple[LockView, ...]:
        """Leases whose holder is late, for a banner: nobody takes them, so somebody has to look at them. The journal
        has one warning (`lease_expired`) of each, as soon as anybody's `Service.tick` saw it."""
        return tuple(lock for lock in self.locks if lock.expired)


# ---------------------------------------------------------------- what is served, for looking into an event


class RaceLine(Struct, frozen=True):
    race_id: int
    source_race_id: str
    race_order: int
    class_name: str
    race_label: str
    round: str | None
    race_number: int | None
    completed_at_local: str | None
    length_seconds: int | None
    results: int
    laps: int
    winner: str | None


class ResultLine(Struct, frozen=True):
    result_id: int
    position: int
    driver_name: str
    car_number: int | None
    qualifying_position: int | None
    laps_completed: int
    total_time_ms: int | None
    behind: str | None
    fast_lap_ms: int | None
    fast_lap_number: int | None
    avg_lap_ms: int | None
    consistency_milli: int | None  # thousandths of a percent
    grid_position: int | None


class LapLine(Struct, frozen=True):
    lap_number: int
    lap_time_ms: int
    elapsed_ms: int
    position: int | None
    pace: str | None
