"""The recovery actions that were taken. SQL only: what one does, and whether it may be undone, is decided elsewhere.

Rows are history. The one thing that may change is that a purge drops what an undo would need, and says when.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct
from peewee import JOIN

from pipeline.store.database import Store
from pipeline.store.models import Action, Event, Run, Track
from pipeline.store.partial_rows import RowSet

CHANGES_NOTHING = ("failed", "interrupted", "cleared")  # outcomes of runs that left an event's data as it was


class ActionRow(Struct, frozen=True, kw_only=True):
    """An action with the names of its event. Times are UTC milliseconds by the database's clock."""

    id: int
    event_id: int
    source_event_id: str
    event_name: str | None
    track_slug: str
    run_id: int
    kind: str
    outcome: str  # of its run
    who: str
    reason: str
    at: int
    batch: str | None  # the same for actions that were confirmed together
    undoes: int | None  # the action that this one takes back
    undone_by: int | None
    from_run_id: int | None
    to_run_id: int | None
    plan: str  # JSON: plans.Plan
    undo_closed_at: int | None


class Kept(Struct, frozen=True):
    """The rows that an action removed."""

    partial: RowSet  # of unsealed runs: an undo puts them back
    orphans: RowSet  # without a parent: the database takes them never again, they are only on record


class NewerRun(Struct, frozen=True):
    """A run that changed an event after an action."""

    id: int
    kind: str
    outcome: str


def insert_action(store: Store, *, event_id: int, run_id: int, **fields: Any) -> int:
    """Record an action in the transaction that carries it out; its id. `kept` is JSON, or None for no rows."""
    return int(store.change(Action.insert(event=event_id, run=run_id, at=store.now_ms(), **fields)))


def get_action(store: Store, action_id: int) -> ActionRow | None:
    row = store.fetch_one(_select().where(Action.id == action_id))
    return ActionRow(**row) if row else None


def list_actions(store: Store, event_id: int | None = None, *, limit: int = 50) -> tuple[ActionRow, ...]:
    """Actions on one event or on all, newest first."""
    query = _select().order_by(Action.id.desc()).limit(limit)
    if event_id is not None:
        query = query.where(Action.event == event_id)
    return tuple(ActionRow(**row) for row in store.fetch_all(query))


def kept(store: Store, action_id: int) -> str | None:
    """The rows that an action removed, as JSON; None where it removed none, or a purge dropped them."""
    row = store.fetch_one(Action.select(Action.kept).where(Action.id == action_id))
    return row["kept"] if row else None


def newer_change(store: Store, event_id: int, run_id: int) -> NewerRun | None:
    """The newest run after `run_id` that changed the event and was not taken back itself."""
    undoing = Action.alias("undoing")
    row = store.fetch_one(
        Run.select(Run.id, Run.kind, Run.outcome)
        .join(Action, JOIN.LEFT_OUTER, on=(Action.run == Run.id))
        .join(undoing, JOIN.LEFT_OUTER, on=(undoing.undoes == Action.id))
        .where(
            Run.event == event_id,
            Run.id > run_id,
            Run.outcome.is_null(False),
            Run.outcome.not_in(CHANGES_NOTHING),
            Action.undoes.is_null(),
            undoing.id.is_null(),
        )
        .order_by(Run.id.desc())
        .limit(1)
    )
    return NewerRun(**row) if row else None


def newest_run(store: Store, event_id: int, *, but: int | None = None) -> int | None:
    """The event's newest run, apart from the one that asks."""
    query = Run.select(Run.id).where(Run.event == event_id).order_by(Run.id.desc()).limit(1)
    row = store.fetch_one(query if but is None else query.where(Run.id != but))
    return row["id"] if row else None


def builds(store: Store) -> dict[str, int]:
    """Parser build → how many events serve a run that it published."""
    rows = store.sql(
        """
        SELECT run.parser_build, COUNT(event.id)
        FROM run LEFT JOIN event ON event.current_run_id = run.id
        WHERE run.sealed AND run.parser_build IS NOT NULL
        GROUP BY run.parser_build ORDER BY run.parser_build
        """
    )
    return {build: int(count) for build, count in rows}


def events_of_build(store: Store, parser_build: str) -> tuple[int, ...]:
    """Events that serve a run of this build, in the order in which they became known."""
    rows = store.sql(
        "SELECT event.id FROM event JOIN run ON run.id = event.current_run_id WHERE run.parser_build = ? "
        "ORDER BY event.id",
        parser_build,
    )
    return tuple(event_id for (event_id,) in rows)


def run_before_build(store: Store, event_id: int, parser_build: str) -> int | None:
    """The newest run older than the served one that can be served and was made by another build."""
    rows = store.sql(
        """
        SELECT MAX(run.id) FROM run JOIN event ON event.id = run.event_id
        WHERE event.id = ? AND run.id < event.current_run_id AND run.sealed AND run.purged_at IS NULL
        AND (run.parser_build IS NULL OR run.parser_build <> ?)
        """,
        event_id,
        parser_build,
    )
    return rows[0][0]  # type: ignore[no-any-return]


def set_event(store: Store, event_id: int, **fields: Any) -> None:
    """Give an event's own columns the values that a plan says."""
    store.change(Event.update(**fields).where(Event.id == event_id))


def _select() -> Any:
    undone = Action.alias("undone")
    return (
        Action.select(
            Action.id,
            Action.event.alias("event_id"),
            Event.source_event_id,
            Event.event_name,
            Track.slug.alias("track_slug"),
            Action.run.alias("run_id"),
            Action.kind,
            Run.outcome,
            Action.who,
            Action.reason,
            Action.at,
            Action.batch,
            Action.undoes,
            undone.id.alias("undone_by"),
            Action.from_run_id,
            Action.to_run_id,
            Action.plan,
            Action.undo_closed_at,
        )
        .join(Event, on=(Action.event == Event.id))
        .join(Track, on=(Event.track == Track.id))
        .join(Run, on=(Action.run == Run.id))
        .join(undone, JOIN.LEFT_OUTER, on=(undone.undoes == Action.id))
    )
