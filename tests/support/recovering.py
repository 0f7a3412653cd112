"""Events in every condition that recovery may find them in, and all that a database says of one."""

from __future__ import annotations

from typing import Any

from msgspec import structs

from pipeline import document as documents
from pipeline.errors import StateError
from pipeline.records import Event
from pipeline.store import events, export, leases, publish, runs
from pipeline.store.database import Store
from pipeline.store.leases import Fence
from pipeline.store.partial_rows import COLUMNS
from pipeline.store.translate import sqlite3
from tests.support.generations import EVENT_ID, begin, document, fail

DATA_TABLES = ("event_header", "race", "result", "lap", "entry")
COUNTED = (*DATA_TABLES, "run", "action", "journal", "transition")


def generation(number: int, event_id: str = EVENT_ID) -> Event:
    """Documents of one event that all differ: another size, and another name."""
    return structs.replace(document(races=number, drivers=2, event_id=event_id), event_name=f"Harbour Cup {number}")


def publish_generation(store: Store, number: int, event_id: str = EVENT_ID, *, build: str = "build") -> Fence:
    """One more run that publishes a generation."""
    event = generation(number, event_id)
    fence = begin(store, event_id)
    with store.write():
        leases.lock_fence(store, fence)
        manifest = publish.insert_rows(store, fence.run_id, event)
        publish.seal(store, fence.run_id, manifest, documents.sha256(event), build)
        publish.serve(store, fence.event_id, fence.run_id)
        runs.transition(store, fence.event_id, "complete")
        runs.finish_run(store, fence.run_id, "published")
        leases.release(store, fence)
    return fence


def leave_partial_rows(store: Store, event_id: str = EVENT_ID) -> Fence:
    """A run that failed and, against the rules, left its rows behind."""
    fence = begin(store, event_id)
    publish.insert_rows(store, fence.run_id, generation(3, event_id))
    fail(store, fence)
    return fence


def orphan(store: Store, *statements: str) -> None:
    """Execute statements as somebody who goes around keys and guards."""
    if store.engine == "sqlite":
        assert store.target.path is not None
        connection: Any = sqlite3.connect(store.target.path, isolation_level=None)
        guards = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
        for name, _ in guards:
            connection.execute(f"DROP TRIGGER {name}")
        for statement in statements:
            connection.execute(statement)
        for _, guard in guards:
            connection.execute(guard)
    else:
        import psycopg

        connection = psycopg.connect(store.target.conninfo, autocommit=True)
        connection.execute("SET session_replication_role = replica")
        for statement in statements:
            connection.execute(statement)
    connection.close()


def make_older(store: Store, days: float) -> None:
    """As if everything so far had happened that many days ago."""
    shift = round(days * 86_400_000)
    orphan(
        store,
        f"UPDATE run SET started_at = started_at - {shift}, finished_at = finished_at - {shift}",
        f"UPDATE action SET at = at - {shift}",
    )


def counts(store: Store) -> dict[str, int]:
    """Table → rows, over all events."""
    with store.read():
        return {table: int(store.sql(f"SELECT COUNT(*) FROM {table}")[0][0]) for table in COUNTED}


def rows_of_all(store: Store) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of data of every event."""
    with store.read():
        return {
            table: sorted(store.sql(f"SELECT {', '.join(COLUMNS[table])} FROM {table}"), key=repr)
            for table in DATA_TABLES
        }


def exported(store: Store, event_id: int) -> bytes | None:
    """The canonical document that an event serves, or None."""
    try:
        return documents.encode(export.load_event(store, event_id))
    except StateError:
        return None


def event_row(store: Store, event_id: int) -> events.EventRow:
    row = events.get_event(store, event_id)
    assert row is not None
    return row


def transitions(store: Store, event_id: int) -> list[tuple[str, str]]:
    with store.read():
        rows = store.sql("SELECT from_state, to_state FROM transition WHERE event_id = ? ORDER BY id", event_id)
    return [(source, target) for source, target in rows]
