"""The lease rows: one per event, with a token that only grows. SQL only; who may clear one is decided elsewhere.

A `Fence` is what a holder carries. Every write of a run begins with `lock_fence` in its own transaction, so a holder
that was stopped, cleared and woken again can change nothing.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct
from peewee import JOIN

from pipeline.errors import Kind, StateError
from pipeline.store.database import Store
from pipeline.store.models import Event, Lease, Run, Track


class Fence(Struct, frozen=True):
    """What proves that a run still holds its event's lease."""

    event_id: int
    run_id: int
    token: int


class LeaseRow(Struct, frozen=True, kw_only=True):
    """A lease with what is known of its event and run. Ages are by the database's clock."""

    event_id: int
    source_event_id: str
    event_name: str | None
    track_slug: str
    token: int
    run_id: int | None  # None: nobody holds it
    holder: str | None  # JSON: host, boot id, pid, process start, thread, version
    acquired_at: int | None
    heartbeat_at: int | None
    expires_at: int | None
    progress: str | None
    cancel_requested_at: int | None
    heartbeat_age_ms: int | None
    expired: bool
    run_kind: str | None
    stage: str | None
    pages_done: int | None
    pages_total: int | None
    run_started_at: int | None


def line_up(store: Store, event_id: int) -> bool:
    """Lock a lease that nobody holds, before a run is inserted for it. False: it is held; that is not waited for.

    Runs so get their numbers in the order in which they get the lease: a higher number is later, as an undo relies on.
    On PostgreSQL two that begin at once could otherwise be numbered in one order and served in the other.
    """
    with store.write():
        _ensure_row(store, event_id)
        query = Lease.select(Lease.token).where(Lease.event == event_id, Lease.run_id.is_null())
        return store.fetch_one(query if store.engine == "sqlite" else query.for_update()) is not None


def acquire(store: Store, event_id: int, run_id: int, holder_json: str, ttl_ms: int) -> int | None:
    """Take the lease for a run that was just inserted; stamp it with the new token and make it the event's newest run.

    Always the lease before the event: two writers that lock them in opposite order would wait for each other.
    Returns the token, or None where another run holds the lease, expired or not: a late holder is reported, never
    robbed. The caller then rolls its transaction back.
    """
    now = store.now_ms()
    with store.write():
        _ensure_row(store, event_id)
        taken = store.change(
            Lease.update(
                token=Lease.token + 1,
                run_id=run_id,
                holder=holder_json,
                acquired_at=now,
                heartbeat_at=now,
                expires_at=now + ttl_ms,
                progress=None,
                cancel_requested_at=None,
            ).where(Lease.event == event_id, Lease.run_id.is_null())
        )
        if not taken:
            return None
        row = store.fetch_one(Lease.select(Lease.token).where(Lease.event == event_id))
        assert row is not None
        token = int(row["token"])
        store.change(Run.update(token=token).where(Run.id == run_id))
        store.change(Event.update(last_run_id=run_id).where(Event.id == event_id))
        return token


def touch(store: Store, fence: Fence, ttl_ms: int, progress: str | None = None) -> bool:
    """Heartbeat: the lease expires `ttl_ms` from now; `progress` None keeps the line shown. False: it is lost."""
    now = store.now_ms()
    values: dict[Any, Any] = {Lease.heartbeat_at: now, Lease.expires_at: now + ttl_ms}
    if progress is not None:
        values[Lease.progress] = progress
    return bool(store.change(Lease.update(values).where(*_held_by(fence))))


class Standing(Struct, frozen=True):
    """How a lease stands, as its holder asks."""

    held: bool  # False: it was cleared or taken over
    cancel_requested: bool


def standing(store: Store, fence: Fence) -> Standing:
    """Whether a run still holds its lease, and whether it is asked to stop. Only reads."""
    row = store.fetch_one(Lease.select(Lease.cancel_requested_at).where(*_held_by(fence)))
    return Standing(row is not None, row is not None and row["cancel_requested_at"] is not None)


def release(store: Store, fence: Fence) -> bool:
    """Give the lease back. False: it was no longer held with this token, and nothing was changed."""
    return bool(store.change(Lease.update(_EMPTY).where(*_held_by(fence))))


def lock_fence(store: Store, fence: Fence) -> None:
    """Lock the lease row for the rest of this transaction. First statement of every write that a run makes.

    Raises StateError LEASE_LOST where the lease has another token or holder.
    """
    # An UPDATE, not a SELECT: both engines then hold the row until the commit; nobody can clear the lease in between.
    if not store.change(Lease.update(token=Lease.token).where(*_held_by(fence))):
        raise StateError(
            Kind.LEASE_LOST,
            f"Run {fence.run_id} no longer holds the lease of its event (token {fence.token})",
            run_id=fence.run_id,
        )


def lock_seen(store: Store, event_id: int, token: int) -> bool:
    """Lock a lease that somebody else holds for the rest of this transaction. False: it is not what was seen."""
    return bool(store.change(Lease.update(token=Lease.token).where(*_seen(event_id, token))))


def clear(store: Store, event_id: int, expected_token: int) -> bool:
    """Take the lease away from its holder: raise the token and empty the row. False where the token has moved on."""
    emptied = {**_EMPTY, Lease.token: Lease.token + 1}
    return bool(store.change(Lease.update(emptied).where(*_seen(event_id, expected_token))))


def request_cancel(store: Store, event_id: int, token: int) -> bool:
    """Ask the holder of the lease that was seen, wherever it runs, to stop. False: that lease is not held any more."""
    asked = Lease.update(cancel_requested_at=store.now_ms())
    return bool(store.change(asked.where(*_seen(event_id, token))))


def list_leases(store: Store) -> tuple[LeaseRow, ...]:
    """The leases that are held, oldest first."""
    rows = store.fetch_all(_select(store).where(Lease.run_id.is_null(False)).order_by(Lease.acquired_at, Lease.event))
    return tuple(_row(row) for row in rows)


def get_lease(store: Store, event_id: int) -> LeaseRow | None:
    """An event's lease, held or not; None where the event was never worked on."""
    row = store.fetch_one(_select(store).where(Lease.event == event_id))
    return _row(row) if row else None


_EMPTY: dict[Any, Any] = {
    Lease.run_id: None,
    Lease.holder: None,
    Lease.acquired_at: None,
    Lease.heartbeat_at: None,
    Lease.expires_at: None,
    Lease.progress: None,
    Lease.cancel_requested_at: None,
}


def _held_by(fence: Fence) -> tuple[Any, ...]:
    return (Lease.event == fence.event_id, Lease.token == fence.token, Lease.run_id == fence.run_id)


def _seen(event_id: int, token: int) -> tuple[Any, ...]:
    return (Lease.event == event_id, Lease.token == token, Lease.run_id.is_null(False))


def _ensure_row(store: Store, event_id: int) -> None:
    if store.fetch_one(Lease.select(Lease.token).where(Lease.event == event_id)) is None:
        store.change(Lease.insert(event=event_id, token=0).on_conflict_ignore())


def _select(store: Store) -> Any:
    return (
        Lease.select(
            Lease.event.alias("event_id"),
            Event.source_event_id,
            Event.event_name,
            Track.slug.alias("track_slug"),
            Lease.token,
            Lease.run_id,
            Lease.holder,
            Lease.acquired_at,
            Lease.heartbeat_at,
            Lease.expires_at,
            Lease.progress,
            Lease.cancel_requested_at,
            (store.now_ms() - Lease.heartbeat_at).alias("heartbeat_age_ms"),
            (store.now_ms() > Lease.expires_at).alias("expired"),
            Run.kind.alias("run_kind"),
            Run.stage,
            Run.pages_done,
            Run.pages_total,
            Run.started_at.alias("run_started_at"),
        )
        .join(Event, on=(Lease.event == Event.id))
        .join(Track, on=(Event.track == Track.id))
        .join(Run, JOIN.LEFT_OUTER, on=(Lease.run_id == Run.id))
    )


def _row(row: dict[str, Any]) -> LeaseRow:
    return LeaseRow(**{**row, "expired": bool(row["expired"])})
