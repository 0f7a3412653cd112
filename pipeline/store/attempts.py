"""Each event's count of failed attempts, when the next automatic one is due, and the hold. SQL only.

Written inside the transaction that ends a run or begins one, so the counts are never behind the runs.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct
from peewee import Case

from pipeline.store.database import Store
from pipeline.store.models import Event

CLEARED: dict[str, Any] = {
    "failed_attempts": 0,
    "lost_runs": 0,
    "retry_at": None,
    "held_reason": None,
    "held_at": None,
}


class Attempts(Struct, frozen=True):
    """How an event's attempts went since its last success."""

    failed_attempts: int
    lost_runs: int


def count(store: Store, event_id: int) -> Attempts:
    row = store.fetch_one(Event.select(Event.failed_attempts, Event.lost_runs).where(Event.id == event_id))
    assert row is not None
    return Attempts(**row)


def set_counts(store: Store, event_id: int, attempts: Attempts, *, retry_in_ms: int | None) -> None:
    """The new counts; the next automatic attempt is due `retry_in_ms` from now, or never: also while it is held."""
    retry_at = None
    if retry_in_ms is not None:
        retry_at = Case(None, [(Event.held_at.is_null(), store.now_ms() + retry_in_ms)], None)
    store.change(
        Event.update(failed_attempts=attempts.failed_attempts, lost_runs=attempts.lost_runs, retry_at=retry_at).where(
            Event.id == event_id
        )
    )


def hold(store: Store, event_id: int, reason: str) -> None:
    """Nothing happens to the event automatically from now on. The reason replaces an older one."""
    held = {Event.held_reason: reason, Event.held_at: store.now_ms(), Event.retry_at: None}
    store.change(Event.update(held).where(Event.id == event_id))


def release(store: Store, event_id: int) -> None:
    """The hold ends, and the runs that were lost are forgotten: the next three may die before it is held again."""
    store.change(Event.update(held_reason=None, held_at=None, lost_runs=0).where(Event.id == event_id))
