"""Connections to a PostgreSQL server, as evidence: which one is the holder's, which one sits on the lease's row.

A run's heartbeat keeps a connection of its own with an advisory lock on it, for as long as the run lasts. The lock
guards nothing; it lets every machine see whether a holder is still connected. SQLite has no sessions: nothing is found.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

from msgspec import Struct

from pipeline.errors import Kind, StateError, StoreError
from pipeline.store.database import Store

_COLUMNS = """a.pid, a.backend_start::text, COALESCE(a.application_name, ''), a.client_addr::text, a.state,
    CAST(EXTRACT(EPOCH FROM clock_timestamp() - a.xact_start) * 1000 AS BIGINT)"""
# PostgreSQL shows a 64-bit advisory lock in two halves.
_LOCK_ID = "((l.classid::bigint << 32) | l.objid::bigint)"


class Session(Struct, frozen=True):
    """One connection, as the server sees it."""

    pid: int  # of the server's process, not of the client's
    started: str  # with pid: tells it from a later one
    application: str  # ours is `database.session_name`
    client: str | None  # its address; None: a local socket, or not ours to know
    state: str | None  # e.g. active, idle in transaction
    in_transaction_ms: int | None

    def shown(self) -> str:
        """One phrase for people: `session 4711 from 10.0.0.7, idle in transaction for 12 s`."""
        where = f" from {self.client}" if self.client else ""
        since = f" for {self.in_transaction_ms / 1000:.0f} s" if self.in_transaction_ms is not None else ""
        return f"session {self.pid}{where}, {self.state or 'state unknown'}{since}"


def keep(store: Store, event_id: int, token: int) -> None:
    """Hold the lease's advisory lock on this thread's connection until that is closed. Cheap to repeat."""
    if store.engine != "postgresql":
        return
    key = _key(event_id, token)
    with store.read():
        if not store.sql(
            f"""SELECT 1 FROM pg_locks l
                WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND l.pid = pg_backend_pid() AND {_LOCK_ID} = ?""",
            key,
        ):
            store.sql("SELECT pg_try_advisory_lock(?)", key)


def of_leases(store: Store, leases: Iterable[tuple[int, int]]) -> dict[int, Session]:
    """Event id → the connection that its holder keeps, for leases given as (event id, token)."""
    keys = {_key(event_id, token): event_id for event_id, token in leases}
    if store.engine != "postgresql" or not keys:
        return {}
    with store.read():
        rows = store.sql(
            f"""SELECT {_LOCK_ID}, {_COLUMNS}
                FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
                WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND l.granted AND l.database = (
                    SELECT oid FROM pg_database WHERE datname = current_database())
                AND {_LOCK_ID} IN ({", ".join("?" * len(keys))})""",
            *keys,
        )
    return {keys[key]: _session(row) for key, *row in rows}


def sitting_on(store: Store, event_id: int) -> tuple[Session, ...]:
    """The connections that may be why an event's lease row cannot be changed, the longest transaction first.

    Empty where the row can be changed. The server does not say which row a transaction changed, so these are all that
    have changed some lease and not ended yet: as a rule one, for a moment now and then a few.
    """
    if store.engine != "postgresql":
        return ()
    with store.write():
        if store.sql("SELECT 1 FROM lease WHERE event_id = ? FOR UPDATE SKIP LOCKED", event_id):
            return ()
        rows = store.sql(
            f"""SELECT {_COLUMNS}
                FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
                WHERE l.locktype = 'relation' AND l.relation = 'lease'::regclass AND l.mode = 'RowExclusiveLock'
                AND l.granted AND l.pid <> pg_backend_pid()
                ORDER BY a.xact_start"""
        )
    return tuple(_session(row) for row in rows)


def terminate(store: Store, session: Session) -> bool:
    """End a connection, if it is still the one that was seen: its transaction is rolled back. False: it was gone.

    Raises StateError USAGE where the server does not let this user do that.
    """
    try:
        with store.write():
            rows = store.sql(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
                "WHERE pid = ? AND backend_start::text = ?",
                session.pid,
                session.started,
            )
    except StoreError as error:
        if error.kind is not Kind.DB_READONLY:
            raise
        raise StateError(
            Kind.USAGE,
            f"the database does not allow this user to end {session.shown()}: {error.details.get('said')}",
            remedy="Connect as the same database user, or as one with the role pg_signal_backend.",
        ) from error
    return bool(rows and rows[0][0])


def _key(event_id: int, token: int) -> int:
    digest = hashlib.sha256(f"mre lease {event_id} {token}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


def _session(row: Iterable[Any]) -> Session:
    pid, started, application, client, state, in_transaction_ms = row
    return Session(int(pid), started or "", application, client, state, in_transaction_ms)
