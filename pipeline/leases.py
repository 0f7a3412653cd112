"""Per-event leases: kept alive from a thread of their own, reported when they expire, cleared only by a person.

A lease that expired is never taken: it is shown with what is known of its holder, and somebody decides. The holder for
its part stops as soon as it learns that the lease is not its own any more, or can no longer be sure that it is.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import msgspec
from msgspec import Struct

from pipeline.errors import Kind, StateError, StoreError, encode_envelope
from pipeline.holders import Holder, Verdict, decode_holder, verdict
from pipeline.stopping import StopSignal
from pipeline.store import journal
from pipeline.store import leases as rows
from pipeline.store import runs as run_rows
from pipeline.store.database import Store

TTL_MS = 60_000  # without a heartbeat for this long a lease is reported as expired
HEARTBEAT_S = 5.0
MARGIN_S = 15.0  # the holder stops this long before others may believe it dead


class Keeper:
    """Renews one lease until `stop`. Trips the run's signal when the lease is lost, or cannot be renewed in time."""

    def __init__(
        self,
        store: Store,
        fence: rows.Fence,
        signal: StopSignal,
        progress: Callable[[], str],
        *,
        interval_s: float = HEARTBEAT_S,
        ttl_ms: int = TTL_MS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store, self._fence, self._signal, self._progress = store, fence, signal, progress
        self._interval_s, self._ttl_ms, self._clock = interval_s, ttl_ms, clock
        self._last_good = clock()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._keep, name=f"lease-{fence.event_id}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End the heartbeat; returns when its thread is through with the database."""
        self._done.set()
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join()

    def beat(self) -> bool:
        """One renewal. False when the run has to stop: the signal then says why."""
        try:
            renewed = rows.touch(self._store, self._fence, self._ttl_ms, self._progress())
        except StoreError as error:
            if self._clock() - self._last_good > self._ttl_ms / 1000 - MARGIN_S:
                self._signal.trip(Kind.LEASE_LOST, f"the lease could not be renewed in time: {error.message}")
                return False
            return True
        if not renewed:
            self._signal.trip(Kind.LEASE_LOST, "the lease was cleared or taken over while the run was under way")
            return False
        self._last_good = self._clock()
        return True

    def _keep(self) -> None:
        with self._store.connection_scope():
            while not self._done.wait(self._interval_s):
                if not self.beat():
                    return


class LockView(Struct, frozen=True):
    """One held lease as people see it."""

    event_id: int
    event: str  # slug/id
    event_name: str | None
    run_id: int
    token: int
    holder: Holder | None
    verdict: Verdict
    evidence: str
    heartbeat_age_ms: int | None
    acquired_at: int | None  # UTC milliseconds
    expired: bool
    progress: str | None


def view(row: rows.LeaseRow) -> LockView:
    holder = decode_holder(row.holder)
    judged, evidence = verdict(holder)
    return LockView(
        event_id=row.event_id,
        event=f"{row.track_slug}/{row.source_event_id}",
        event_name=row.event_name,
        run_id=row.run_id or 0,
        token=row.token,
        holder=holder,
        verdict=judged,
        evidence=evidence,
        heartbeat_age_ms=row.heartbeat_age_ms,
        acquired_at=row.acquired_at,
        expired=row.expired,
        progress=row.progress,
    )


def list_locks(store: Store) -> tuple[LockView, ...]:
    """Every held lease, oldest first."""
    return tuple(view(row) for row in rows.list_leases(store))


def clear(store: Store, event_id: int, *, reason: str, who: str) -> LockView:
    """Take the lease from its holder: raise the token, end the run as `cleared`, write the warning; one transaction.

    Raises:
        StateError: USAGE, nobody holds the lease, or no reason was given. StoreError.
    """
    if not reason.strip():
        raise StateError(Kind.USAGE, "clearing a lock needs a reason: it is kept in the journal")
    with store.write():
        row = rows.get_lease(store, event_id)
        if row is None or row.run_id is None:
            raise StateError(Kind.USAGE, "the event is not locked: nothing to clear")
        lock = view(row)
        if not rows.clear(store, event_id, row.token):
            raise StateError(Kind.LEASE_LOST, "the lock changed hands at this moment; look again before clearing it")
        cause = StateError(
            Kind.CLEARED, f"the lock was cleared by {who}: {reason}", run_id=row.run_id, event=lock.event
        )
        run_rows.finish_run(store, row.run_id, "cleared", error=encode_envelope(cause.envelope()))
        run_rows.transition(store, event_id, "failed")
        warning = (
            f"lock of {lock.event} (run {row.run_id}) cleared by {who}: {reason}; "
            f"holder was {lock.verdict}: {lock.evidence}"
        )
        facts = {"reason": reason, "who": who, "token": row.token, "verdict": lock.verdict, "evidence": lock.evidence}
        journal.append(
            store,
            [
                journal.JournalEntry(
                    entry_kind="warning",
                    severity="warning",
                    name="lock_cleared",
                    message=warning,
                    event_id=event_id,
                    run_id=row.run_id,
                    fields=msgspec.json.encode(facts).decode(),
                )
            ],
        )
    return lock
