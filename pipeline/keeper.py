"""The holder's side of a lease: kept alive from a thread of its own, and watched for a reason to stop.

The holder stops as soon as it learns that the lease is not its own any more, that it is asked to stop, or that it can
no longer be sure that others do not believe it dead.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress

from pipeline import control
from pipeline.errors import Kind, StateError, StoreError
from pipeline.leases import TTL_MS
from pipeline.lockfiles import LockFile
from pipeline.stopping import StopSignal
from pipeline.store import leases as rows
from pipeline.store import sessions
from pipeline.store.database import Store
from pipeline.ways import Way

RENEW_S = 5.0  # a heartbeat is a write, with its share of an fsync
LOOK_S = 1.0  # a look is a read, so it may be frequent: a cancelled run should not wait
VISIBLE_S = 1.0  # how long a run waits at its start for other machines to be able to see its connection
MARGIN_S = 15.0  # the holder stops this long before others may believe it dead


class Keeper:
    """Renews one lease until `stop`, and trips the run's signal when the run has to end.

    It also keeps what proves to others that the run is under way, as long as it is: the lock file, and on PostgreSQL a
    connection with the lease's advisory lock.
    """

    def __init__(
        self,
        store: Store,
        fence: rows.Fence,
        signal: StopSignal,
        progress: Callable[[], str],
        *,
        way: Way = Way.INGEST,
        lock: LockFile | None = None,
        look_s: float = LOOK_S,
        renew_s: float = RENEW_S,
        ttl_ms: int = TTL_MS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store, self._fence, self._signal, self._progress = store, fence, signal, progress
        self._way, self._lock = way, lock
        self._look_s, self._renew_s, self._ttl_ms, self._clock = look_s, renew_s, ttl_ms, clock
        self._last_good = clock()
        self._visible = threading.Event()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._keep, name=f"lease-{fence.event_id}", daemon=True)

    def start(self) -> None:
        self._thread.start()
        self._visible.wait(VISIBLE_S)

    def stop(self, *, given_back: bool = True) -> None:
        """End the heartbeat and let go of the lock file; returns when the thread is through with the database.

        Where the lease was not `given_back`, the file stays: free, it proves that the run is over.
        """
        self._done.set()
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join()
        if self._lock is not None:
            self._lock.drop(remove=given_back)

    def tend(self) -> bool:
        """Look after the lease once, with a heartbeat where one is due. False: there is no lease left to look after.

        What the run has to know is said through its signal.
        """
        try:
            due = self._clock() - self._last_good >= self._renew_s
            kept = self._renew() if due else self._look()
            self._ask_the_switch()  # here too: the run may be in the middle of a long wait for the site
            return kept
        except StoreError as error:
            if self._clock() - self._last_good <= self._ttl_ms / 1000 - MARGIN_S:
                return True
            self._signal.trip(Kind.LEASE_LOST, f"the lease could not be renewed in time: {error.message}")
            return False

    def _renew(self) -> bool:
        asked = self._clock()
        if not rows.touch(self._store, self._fence, self._ttl_ms, self._progress()):
            return self._lost()
        self._last_good = asked
        sessions.keep(self._store, self._fence.event_id, self._fence.token)
        return True

    def _look(self) -> bool:
        standing = rows.standing(self._store, self._fence)
        if not standing.held:
            return self._lost()
        if standing.cancel_requested:
            self._signal.trip(Kind.INTERRUPTED, "the run was cancelled on request")
        return True

    def _ask_the_switch(self) -> None:
        try:
            control.admit(self._store, self._way, control.Moment.REQUEST)
        except StateError as refusal:
            self._signal.trip(refusal.kind, refusal.message)

    def _lost(self) -> bool:
        self._signal.trip(Kind.LEASE_LOST, "the lease was cleared or taken over while the run was under way")
        return False

    def _keep(self) -> None:
        with self._store.connection_scope():
            with suppress(StoreError):  # it is evidence only, and every heartbeat tries again
                sessions.keep(self._store, self._fence.event_id, self._fence.token)
            self._visible.set()
            while not self._done.wait(self._look_s):
                if not self.tend():
                    return
