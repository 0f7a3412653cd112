"""Reads for people: the whole pipeline in one picture, and what is served of one event. Changes nothing.

The structs are in `pipeline.snapshot`, the SQL in `pipeline.store.overview`; here one becomes the other.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from msgspec import Struct

from pipeline import drift, health, leases, schedule
from pipeline.errors import Envelope, PipelineError
from pipeline.snapshot import EventLine, GateLine, LapLine, LiveRun, LogLine, RaceLine, ResultLine, Snapshot, Totals
from pipeline.store import control, overview, workers
from pipeline.store import gate as gate_rows
from pipeline.store.control import ControlRow
from pipeline.store.database import Store

WARNINGS_SHOWN = 100
FAILURES_SHOWN = 50


class Status(Struct, frozen=True):
    """How the pipeline stands, for `mre status`."""

    taken_at: int  # UTC milliseconds
    totals: Totals
    running: tuple[LiveRun, ...]
    failed: tuple[EventLine, ...]  # newest first
    locks: tuple[leases.LockView, ...]
    warnings: tuple[LogLine, ...]  # not acknowledged yet
    control: ControlRow  # the global switch
    drift: drift.DriftPicture  # open cases, and the page types that they block

    @property
    def expired(self) -> tuple[leases.LockView, ...]:
        """As `Snapshot.expired`."""
        return tuple(lock for lock in self.locks if lock.expired)


def take_snapshot(
    store: Store, *, text: str, limit: int, after_log_id: int, log_limit: int, build: Callable[[], str]
) -> Snapshot:
    """One consistent picture of everything; `build` names the readers whose gate is in it. Raises StoreError."""
    with store.read():
        rows, matching = overview.event_lines(store, text=text, limit=limit)
        return Snapshot(
            taken_at=store.clock_ms(),
            totals=_totals(store),
            events=tuple(_event_line(row) for row in rows),
            events_matching=matching,
            live=_live(store),
            locks=leases.list_locks(store),
            warnings=_log_lines(overview.open_warnings(store, limit=WARNINGS_SHOWN)),
            log=_log_lines(overview.log_after(store, after_log_id, limit=log_limit)),
            control=control.read(store),
            workers=workers.list_workers(store),
            schedule=schedule.health(store),
            gate=_gate(store, build),
            drift=drift.picture(store),
            health=health.judge(health.gather(lambda: store, build)),
        )


def take_status(store: Store) -> Status:
    """How everything stands, in one consistent read. Raises StoreError."""
    with store.read():
        rows, _ = overview.event_lines(store, text="failed", limit=FAILURES_SHOWN)
        return Status(
            taken_at=store.clock_ms(),
            totals=_totals(store),
            running=_live(store),
            failed=tuple(line for line in map(_event_line, rows) if line.state == "failed"),
            locks=leases.list_locks(store),
            warnings=_log_lines(overview.open_warnings(store, limit=WARNINGS_SHOWN)),
            control=control.read(store),
            drift=drift.picture(store),
        )


def _gate(store: Store, build: Callable[[], str]) -> GateLine | None:
    """None where an accepted contract is damaged: the health says so, and everything else can still be looked at."""
    try:
        which = build()
    except PipelineError:
        return None
    return gate_line(store, which)


def gate_line(store: Store, build: str) -> GateLine:
    """Whether a build of the readers may be used, as it was last judged."""
    row = gate_rows.find(store, build)
    if row is None:
        return GateLine(build, "unknown")
    return GateLine(
        build,
        "green" if row.passed else "red",
        row.set_count,
        row.failing_set,
        row.failing_field,
        row.first_difference,
        row.changed_at,
        row.checked_at,
    )


def races(store: Store, event_id: int) -> tuple[RaceLine, ...]:
    """The races that are served of an event, in order of completion."""
    with store.read():
        return tuple(RaceLine(*row) for row in overview.served_races(store, event_id))


def results(store: Store, race_id: int) -> tuple[ResultLine, ...]:
    """The results of one served race, by position."""
    with store.read():
        return tuple(ResultLine(*row) for row in overview.results_of(store, race_id))


def laps(store: Store, result_id: int) -> tuple[LapLine, ...]:
    """The laps of one served result."""
    with store.read():
        return tuple(LapLine(*row) for row in overview.laps_of(store, result_id))


def run_log(store: Store, run_id: int, *, limit: int) -> tuple[LogLine, ...]:
    """The newest lines of one run's log, oldest first."""
    with store.read():
        return _log_lines(overview.log_of_run(store, run_id, limit=limit))


def _totals(store: Store) -> Totals:
    states = overview.events_by_state(store)
    served, race_count, result_count, lap_count = overview.served_totals(store)
    return Totals(
        events=sum(states.values()),
        events_by_state=states,
        served=served,
        races=race_count,
        results=result_count,
        laps=lap_count,
    )


def _event_line(row: overview.Row) -> EventLine:
    event_id, slug, source_event_id, held_reason, *facts, error, finished_at = row
    failed = facts[2] == "failed" and error is not None
    ending = (msgspec.json.decode(error, type=Envelope), finished_at) if failed else (None, None)
    return EventLine(event_id, f"{slug}/{source_event_id}", *(*facts, *ending, held_reason))


def _live(store: Store) -> tuple[LiveRun, ...]:
    return tuple(_live_run(row) for row in overview.live_runs(store))


def _live_run(row: overview.Row) -> LiveRun:
    run_id, event_id, slug, source_event_id, *facts, stage_ms = row
    facts.append(msgspec.json.decode(stage_ms, type=dict[str, int]))
    return LiveRun(run_id, event_id, f"{slug}/{source_event_id}", *facts)


def _log_lines(rows: list[overview.Row]) -> tuple[LogLine, ...]:
    return tuple(
        LogLine(id_, at, severity, name, message, f"{slug}/{source_event_id}" if slug else None, run_id)
        for id_, at, severity, name, message, slug, source_event_id, run_id in rows
    )
