"""How a recovery plan is made: from what is wished and what the database holds, in one consistent read.

The same wish is planned twice: for the person who confirms it, and again inside the transaction that carries it out.
Only where both are equal does anything happen.
"""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec
from msgspec import Struct

from pipeline.errors import Kind, StateError
from pipeline.plans import Change, Counts, Fingerprint, Plan, RunEffect, steps
from pipeline.runs import held
from pipeline.store import actions as action_rows
from pipeline.store import attempts, partial_rows
from pipeline.store import events as event_rows
from pipeline.store import leases as lease_rows
from pipeline.store import runs as run_rows
from pipeline.store.actions import ActionRow, Kept
from pipeline.store.database import Store
from pipeline.store.events import EventRow
from pipeline.store.partial_rows import COLUMNS, TABLES, PartialRows, RowSet

NOTHING_SERVED: dict[str, Any] = {"current_run_id": None, "ingest_depth": "none", "last_ingested_at": None}
PLANNED_COLUMNS = (*NOTHING_SERVED, *attempts.CLEARED)
NO_ROWS = RowSet(COLUMNS, {table: [] for table in TABLES})


class Wish(Struct, frozen=True, kw_only=True):
    """What a plan is made from."""

    kind: str  # cleanup, cleanup_full, reset, restore, undo
    event_id: int
    target_run_id: int | None = None
    parser_build: str | None = None
    undoes: int | None = None


class Draft(Struct, frozen=True):
    """A plan with the rows that it speaks of."""

    plan: Plan
    removed: Kept
    returned: RowSet


class _Effects(Struct, kw_only=True):
    """What a wish comes to: the event's columns afterwards, and the rows that leave or return."""

    after: dict[str, Any]
    partial: PartialRows = PartialRows(NO_ROWS, {})
    orphans: RowSet = NO_ROWS
    returned: PartialRows = PartialRows(NO_ROWS, {})


def make(store: Store, wish: Wish, *, own_run: int | None = None) -> Draft:
    """The plan as things are now. `own_run` is the run that is about to carry it out and already holds the lease.

    Raises:
        StateError: LOCK_HELD, UNKNOWN_EVENT; USAGE, the run cannot be served; UNDO_REFUSED. StoreError.
    """
    with store.read():
        event = require_event(store, wish.event_id)
        based_on = _fingerprint(store, event, own_run)
        if wish.kind == "restore":
            wish, effects = _restoring(store, event, wish)
        elif wish.kind == "undo":
            effects = _undoing(store, event, wish)
        else:
            effects = _cleaning(store, event, wish.kind)
        plan = _plan(store, event, wish, based_on, effects)
    return Draft(plan, Kept(effects.partial.rows, effects.orphans), effects.returned.rows)


def require_event(store: Store, event_id: int) -> EventRow:
    event = event_rows.get_event(store, event_id)
    if event is None:
        raise StateError(Kind.UNKNOWN_EVENT, f"there is no event with the number {event_id}")
    return event


def require_action(store: Store, action_id: int | None) -> ActionRow:
    row = None if action_id is None else action_rows.get_action(store, action_id)
    if row is None:
        raise StateError(Kind.UNKNOWN, f"there is no action {action_id}", remedy="See `mre actions list`.")
    return row


def undo_obstacle(store: Store, action: ActionRow) -> StateError | None:
    """Why an action cannot be undone (any more)."""
    newer = action_rows.newer_change(store, action.event_id, action.run_id)
    name = f"{action.track_slug}/{action.source_event_id}"
    if action.kind == "undo":
        why = "it is an undo itself; take the action again instead"
    elif action.undone_by is not None:
        why = f"action {action.undone_by} already did"
    elif action.undo_closed_at is not None:
        why = "a purge gave up what its undo needs"
    elif not _leaves_something_to_undo(action):
        why = "all that it changed is the state, which tells how the last attempt ended and is not brought back"
    elif newer is not None:
        why = f"{name} changed since: run {newer.id} ({newer.kind}) {newer.outcome}"
    else:
        return None
    return StateError(
        Kind.UNDO_REFUSED,
        f"action {action.id} ({action.kind} of {name}) cannot be undone: {why}",
        action_id=action.id,
        event=name,
        newer_run_id=newer.id if newer else None,
    )


def _leaves_something_to_undo(action: ActionRow) -> bool:
    plan = msgspec.json.decode(action.plan, type=Plan)
    return bool(plan.removes) or any(change.field in PLANNED_COLUMNS for change in plan.changes)


# ---------------------------------------------------------------- what each wish comes to


def _cleaning(store: Store, event: EventRow, kind: str) -> _Effects:
    after = _columns(event)
    if kind in ("cleanup_full", "reset"):
        after |= NOTHING_SERVED
    if kind == "reset":
        after |= attempts.CLEARED
    return _Effects(
        after=after,
        partial=partial_rows.of_unsealed_runs(store, event.id),
        orphans=partial_rows.orphans(store, event.id),
    )


def _restoring(store: Store, event: EventRow, wish: Wish) -> tuple[Wish, _Effects]:
    if wish.parser_build is not None:
        target = action_rows.run_before_build(store, event.id, wish.parser_build)
        wish = msgspec.structs.replace(wish, target_run_id=target)
    if wish.target_run_id is None:
        return wish, _Effects(after=_columns(event) | NOTHING_SERVED)
    run = run_rows.get_run(store, wish.target_run_id)
    why = None
    if run is None or run.event_id != event.id:
        why = "it is not a run of this event"
    elif not run.sealed:
        why = f"it published nothing ({run.kind}, {run.outcome or 'still running'})"
    elif run.purged_at is not None:
        why = "its rows were purged"
    if run is None or why is not None:
        name = f"{event.track_slug}/{event.source_event_id}"
        raise StateError(
            Kind.USAGE,
            f"run {wish.target_run_id} cannot be served for {name}: {why}",
            run_id=wish.target_run_id,
            event=name,
            remedy="`mre events show EVENT` names the event's runs.",
        )
    if run.id == event.current_run_id:
        return wish, _Effects(after=_columns(event))
    served = {"current_run_id": run.id, "ingest_depth": "laps_full", "last_ingested_at": run.finished_at}
    return wish, _Effects(after=_columns(event) | served)


def _undoing(store: Store, event: EventRow, wish: Wish) -> _Effects:
    action = require_action(store, wish.undoes)
    obstacle = undo_obstacle(store, action)
    if obstacle is not None:
        raise obstacle
    plan = msgspec.json.decode(action.plan, type=Plan)
    after = _columns(event) | {one.field: one.before for one in plan.changes if one.field in PLANNED_COLUMNS}
    if after["held_at"] is not None:
        after["retry_at"] = None  # held since, or again
    kept = action_rows.kept(store, action.id)
    if kept is None:
        return _Effects(after=after)
    by_run = {one.run_id: one.rows for one in plan.runs if one.effect == "removed" and one.run_id is not None}
    return _Effects(after=after, returned=PartialRows(msgspec.json.decode(kept, type=Kept).partial, by_run))


# ---------------------------------------------------------------- putting it together


def _columns(event: EventRow) -> dict[str, Any]:
    return {name: getattr(event, name) for name in PLANNED_COLUMNS}


def _fingerprint(store: Store, event: EventRow, own_run: int | None) -> Fingerprint:
    """Raises StateError LOCK_HELD where another run than `own_run` holds the lease."""
    lease = lease_rows.get_lease(store, event.id)
    if lease is not None and lease.run_id not in (None, own_run):
        raise held(store, event)
    token = lease.token if lease is not None else 0
    return Fingerprint(
        state=event.state,
        current_run_id=event.current_run_id,
        token=token if own_run is None else token - 1,  # its own acquiring raised it by one
        newest_run_id=action_rows.newest_run(store, event.id, but=own_run),
    )


def _plan(store: Store, event: EventRow, wish: Wish, based_on: Fingerprint, effects: _Effects) -> Plan:
    before = _columns(event)
    now, then = before["current_run_id"], effects.after["current_run_id"]
    served_before, served_after = _served(store, now), _served(store, then)
    removes = _sum(effects.partial.rows.counts(), effects.orphans.counts())
    puts_back = effects.returned.rows.counts()
    changes = [Change(name, before[name], effects.after[name]) for name in PLANNED_COLUMNS]
    changes.insert(0, Change("state", event.state, "complete" if then is not None else "idle"))
    changes = [change for change in changes if change.before != change.after]
    return Plan(
        kind=wish.kind,
        event_id=event.id,
        event=f"{event.track_slug}/{event.source_event_id}",
        event_name=event.event_name,
        based_on=based_on,
        steps=steps(event.state, serves=then is not None) if changes or removes or puts_back else (),
        changes=tuple(changes),
        runs=(
            *(RunEffect(run_id, "removed", counts) for run_id, counts in effects.partial.by_run.items()),
            *((RunEffect(None, "removed", effects.orphans.counts()),) if effects.orphans.counts() else ()),
            *(RunEffect(run_id, "put back", counts) for run_id, counts in effects.returned.by_run.items()),
            *((RunEffect(now, "given up", served_before),) if now is not None and now != then else ()),
            *((RunEffect(then, "served", served_after),) if then is not None and now != then else ()),
        ),
        removes=removes,
        orphans=effects.orphans.counts(),
        puts_back=puts_back,
        served_before=served_before,
        served_after=served_after,
        rows_sha256=_digest(effects) if removes or puts_back else None,
        target_run_id=wish.target_run_id,
        parser_build=wish.parser_build,
        undoes=wish.undoes,
    )


def _served(store: Store, run_id: int | None) -> Counts:
    run = None if run_id is None else run_rows.get_run(store, run_id)
    if run is None:
        return {}
    counts = {"race": run.race_count, "result": run.result_count, "lap": run.lap_count, "entry": run.entry_count}
    return {table: count for table, count in counts.items() if count}


def _sum(*parts: Counts) -> Counts:
    total: Counts = {}
    for part in parts:
        for table, count in part.items():
            total[table] = total.get(table, 0) + count
    return total


def _digest(effects: _Effects) -> str:
    """Of every row that leaves or returns: two plans that are equal speak of the same rows, not only of as many."""
    rows = (effects.partial.rows.rows, effects.orphans.rows, effects.returned.rows.rows)
    return hashlib.sha256(msgspec.json.encode(rows)).hexdigest()
