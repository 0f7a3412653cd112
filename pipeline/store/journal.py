"""The journal: audit, warnings, actions and the runs' own log, in one append-only table.

A warning is open until a person acknowledges it. Entries of a run are appended under its fence, so a holder that lost
its lease cannot write on.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import asdict
from peewee import chunked

from pipeline.store.database import Store
from pipeline.store.leases import Fence, lock_fence
from pipeline.store.models import Journal


class JournalEntry(Struct, frozen=True, kw_only=True):
    """What is appended. Its time is the database's."""

    entry_kind: str = "log"  # log, audit, warning, action
    severity: str = "info"  # debug, info, warning, error
    name: str  # stable event name, e.g. ingestion_start
    message: str
    event_id: int | None = None
    run_id: int | None = None
    fields: str = "{}"  # JSON


class JournalRow(JournalEntry, frozen=True, kw_only=True):
    """What was appended."""

    id: int
    at: int  # UTC milliseconds
    acknowledged_at: int | None
    acknowledged_by: str | None


def append(store: Store, entries: Iterable[JournalEntry]) -> None:
    """Append entries, in the transaction that is open, or in one of their own."""
    with store.write():
        for batch in chunked(entries, 100):
            store.change(Journal.insert_many([{**asdict(entry), "at": store.now_ms()} for entry in batch]))


def append_fenced(store: Store, fence: Fence, entries: Iterable[JournalEntry]) -> None:
    """Append entries of a run while it still holds its lease. Raises StateError LEASE_LOST, and appends nothing."""
    with store.write():
        lock_fence(store, fence)
        append(store, entries)


def for_run(
    store: Store, run_id: int, *, after_id: int = 0, severities: Sequence[str] | None = None, limit: int = 10_000
) -> tuple[JournalRow, ...]:
    """A run's entries, oldest first; `after_id` continues where an earlier answer ended."""
    query = Journal.select().where(Journal.run_id == run_id, Journal.id > after_id).order_by(Journal.id)
    if severities is not None:
        query = query.where(Journal.severity.in_(severities))
    return _rows(store, query.limit(limit))


def for_event(store: Store, event_id: int, *, limit: int = 1000) -> tuple[JournalRow, ...]:
    """An event's newest entries, oldest of them first."""
    newest = Journal.select().where(Journal.event_id == event_id).order_by(Journal.id.desc())
    return _rows(store, newest.limit(limit))[::-1]


def recent(store: Store, *, after_id: int = 0, limit: int = 1000) -> tuple[JournalRow, ...]:
    """The newest entries of all, oldest of them first; with `after_id`, only those appended since."""
    newest = Journal.select().where(Journal.id > after_id).order_by(Journal.id.desc())
    return _rows(store, newest.limit(limit))[::-1]


def open_warnings(store: Store, *, limit: int = 1000) -> tuple[JournalRow, ...]:
    """Warnings that nobody acknowledged yet, newest first."""
    query = Journal.select().where(Journal.entry_kind == "warning", Journal.acknowledged_at.is_null())
    return _rows(store, query.order_by(Journal.id.desc()).limit(limit))


def warning_ids(store: Store, ids: Iterable[int]) -> set[int]:
    """Those of the ids that are warnings, acknowledged or not."""
    query = Journal.select(Journal.id).where(Journal.id.in_(list(ids)), Journal.entry_kind == "warning")
    return {row["id"] for row in store.fetch_all(query)}


def acknowledge(store: Store, entry_id: int, by: str) -> bool:
    """A person has seen a warning. False: it is none, or was acknowledged before."""
    seen = Journal.update(acknowledged_at=store.now_ms(), acknowledged_by=by).where(
        Journal.id == entry_id, Journal.entry_kind == "warning", Journal.acknowledged_at.is_null()
    )
    return bool(store.change(seen))


def _rows(store: Store, query: Any) -> tuple[JournalRow, ...]:
    return tuple(JournalRow(**row) for row in store.fetch_all(query))
