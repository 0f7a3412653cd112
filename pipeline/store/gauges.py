"""A few counts over everything, read at each scrape: how many events, leases, warnings, and what is due."""

from __future__ import annotations

from msgspec import Struct

from pipeline.store import control, overview
from pipeline.store.database import Store


class Counts(Struct, frozen=True):
    events_by_state: dict[str, int]
    events_served: int
    events_held: int
    retries_due: int
    leases_held: int
    leases_expired: int
    oldest_heartbeat_ms: int
    warnings_open: int
    mode: str  # of the global switch


def read(store: Store) -> Counts:
    """One consistent picture. Raises StoreError."""
    now = store.now_ms().sql
    with store.read():
        ((held, due),) = store.sql(
            f"""SELECT COUNT(held_at),
                       COALESCE(SUM(CASE WHEN retry_at <= {now} AND held_at IS NULL THEN 1 ELSE 0 END), 0)
                FROM event"""
        )
        ((leases, expired, oldest),) = store.sql(
            f"""SELECT COUNT(*), COALESCE(SUM(CASE WHEN expires_at < {now} THEN 1 ELSE 0 END), 0),
                       COALESCE(MAX({now} - heartbeat_at), 0)
                FROM lease WHERE run_id IS NOT NULL"""
        )
        ((warnings,),) = store.sql(
            "SELECT COUNT(*) FROM journal WHERE entry_kind = 'warning' AND acknowledged_at IS NULL"
        )
        return Counts(
            events_by_state=overview.events_by_state(store),
            events_served=overview.served_totals(store)[0],
            events_held=int(held),
            retries_due=int(due),
            leases_held=int(leases),
            leases_expired=int(expired),
            oldest_heartbeat_ms=int(oldest),
            warnings_open=int(warnings),
            mode=control.read(store).mode,
        )
