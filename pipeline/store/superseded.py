"""Generations that nobody needs any more, and the one way in which a sealed run's rows leave the database.

SQL only: how long runs and undos are kept is decided elsewhere. A run's own record stays; only its rows go.
"""

from __future__ import annotations

from msgspec import Struct

from pipeline.plans import Counts
from pipeline.store.database import Store
from pipeline.store.models import Action, Entry, EventHeader, Lap, Lease, PurgePermit, Race, Result

KEPT_RUNS = 2  # the newest sealed runs of every event stay, served or not


class SupersededRun(Struct, frozen=True):
    """A sealed run whose rows may go."""

    run_id: int
    event_id: int
    event: str  # slug/id
    finished_at: int | None  # UTC milliseconds
    rows: Counts


class ClosingUndo(Struct, frozen=True):
    """An action that is too old to stay undoable."""

    action_id: int
    event_id: int
    event: str
    kind: str
    at: int


def superseded_runs(
    store: Store, *, finished_before: int, undo_since: int, event_id: int | None = None
) -> tuple[SupersededRun, ...]:
    """Sealed runs that are neither served, nor among an event's newest, nor needed by an undo since `undo_since`.

    Times are UTC milliseconds.
    """
    rows = store.sql(
        f"""
        SELECT old.id, old.event_id, track.slug, event.source_event_id, old.finished_at,
               old.race_count, old.result_count, old.lap_count, old.entry_count
        FROM (
            SELECT run.*, ROW_NUMBER() OVER (PARTITION BY run.event_id ORDER BY run.id DESC) AS age
            FROM run WHERE run.sealed AND run.purged_at IS NULL
        ) AS old
        JOIN event ON event.id = old.event_id
        JOIN track ON track.id = event.track_id
        WHERE old.age > {KEPT_RUNS} AND old.finished_at < ?
        AND (event.current_run_id IS NULL OR event.current_run_id <> old.id)
        AND NOT EXISTS (
            SELECT 1 FROM action
            WHERE action.from_run_id = old.id AND action.kind <> 'undo' AND action.undo_closed_at IS NULL
            AND action.at >= ?
            AND NOT EXISTS (SELECT 1 FROM action AS undone WHERE undone.undoes = action.id)
        ) {_of_event(event_id)}
        ORDER BY old.id
        """,
        finished_before,
        undo_since,
    )
    return tuple(
        SupersededRun(run_id, of_event, f"{slug}/{source_event_id}", finished_at, _counts(*counts))
        for run_id, of_event, slug, source_event_id, finished_at, *counts in rows
    )


def closing_undos(store: Store, *, undo_since: int, event_id: int | None = None) -> tuple[ClosingUndo, ...]:
    """Actions older than `undo_since` that could still be undone, or still keep the rows that they removed."""
    rows = store.sql(
        f"""
        SELECT action.id, action.event_id, track.slug, event.source_event_id, action.kind, action.at
        FROM action
        JOIN event ON event.id = action.event_id
        JOIN track ON track.id = event.track_id
        WHERE action.kind <> 'undo' AND action.undo_closed_at IS NULL AND action.at < ? {_of_event(event_id)}
        ORDER BY action.id
        """,
        undo_since,
    )
    return tuple(
        ClosingUndo(action_id, of_event, f"{slug}/{source_event_id}", kind, at)
        for action_id, of_event, slug, source_event_id, kind, at in rows
    )


def lock_unheld(store: Store, event_id: int) -> bool:
    """Lock the event's lease for the rest of this transaction. False: a run holds it."""
    return bool(store.change(Lease.update(token=Lease.token).where(Lease.event == event_id, Lease.run_id.is_null())))


def close_undo(store: Store, action_id: int) -> None:
    """Give up what an action's undo needs; it cannot be undone from now on."""
    store.change(Action.update(kept=None, undo_closed_at=store.now_ms()).where(Action.id == action_id))


def delete_rows(store: Store, run_id: int, reason: str) -> Counts:
    """Delete every row of a sealed run, under a permit that ends with this transaction; what was deleted."""
    races = Race.select(Race.id).where(Race.run == run_id)
    results = Result.select(Result.id).where(Result.race.in_(races))
    with store.write():
        store.change(PurgePermit.insert(run_id=run_id, reason=reason))
        gone = {
            "lap": store.change(Lap.delete().where(Lap.result.in_(results))),
            "result": store.change(Result.delete().where(Result.race.in_(races))),
            "race": store.change(Race.delete().where(Race.run == run_id)),
            "entry": store.change(Entry.delete().where(Entry.run == run_id)),
            "event_header": store.change(EventHeader.delete().where(EventHeader.run == run_id)),
        }
        store.change(PurgePermit.delete().where(PurgePermit.run_id == run_id))
    return {table: count for table, count in gone.items() if count}


def _of_event(event_id: int | None) -> str:
    return "" if event_id is None else f"AND event.id = {int(event_id)}"


def _counts(races: int, results: int, laps: int, entries: int) -> Counts:
    counts = {"event_header": 1, "race": races, "result": results, "lap": laps, "entry": entries}
    return {table: count for table, count in counts.items() if count}
