"""The front door's part for the locks; `Service` inherits it.

Apart from its neighbours only because one file would be too long.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from pipeline.ways import Way, operator, way_in

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.leases import LockPolicy, LockView, Tick
    from pipeline.observe import Bus
    from pipeline.stopping import StopGroup
    from pipeline.store.database import Store
    from pipeline.store.events import EventRow
    from pipeline.terminating import Termination


class _Settings(Protocol):
    @property
    def data(self) -> Path: ...
    @property
    def release_dead(self) -> bool: ...


class _House(Protocol):
    bus: Bus
    stops: StopGroup

    @property
    def settings(self) -> _Settings: ...
    @property
    def store(self) -> Store: ...
    @property
    def read_only(self) -> bool: ...
    def event(self, event: str) -> EventRow: ...


class LockActions:
    """Looking at locks, and ending them."""

    @property
    def lock_policy(self: _House) -> LockPolicy:
        """How this program keeps the leases that it takes, and what it may release by itself."""
        from pipeline.leases import LockPolicy

        return LockPolicy(self.settings.data / "locks", self.settings.release_dead)

    def locks(self: _House) -> tuple[LockView, ...]:
        """Every held lease with what is known of its holder. Changes nothing."""
        from pipeline import leases

        return leases.list_locks(self.store)

    def lock(self: _House, event: str) -> LockView:
        """One event's lease. Raises StateError UNKNOWN where nobody holds it."""
        from pipeline import leases

        return leases.require_lock(self.store, self.event(event).id)

    @way_in(Way.RECOVERY)
    def tick(self: _House) -> Tick:
        """Report leases that expired, once each; release those of holders proven dead. Call it every few seconds."""
        from pipeline import leases

        return leases.tick(self.store, self.bus, release_dead=self.settings.release_dead)

    @way_in(Way.RECOVERY)
    def cancel(self: _House, event: str, *, who: str | None = None) -> LockView:
        """Ask whoever works on an event to stop; the run ends as interrupted. Returns the lock as it was.

        Raises StateError UNKNOWN where nobody works on it; StoreError DB_BUSY.
        """
        from pipeline import leases

        return leases.cancel(self.store, self.event(event).id, who=who or operator())

    def wait_until_free(self: _House, lock: LockView, seconds: float) -> bool:
        """Wait until that lock is not held any more. False: it still is. Raises StateError INTERRUPTED."""
        from pipeline import leases
        from pipeline.stopping import StopSignal

        signal = StopSignal()
        self.stops.add(signal)
        try:
            return leases.wait_until_free(self.store, lock, seconds, signal)
        finally:
            self.stops.discard(signal)

    @way_in(Way.RECOVERY)
    def clear_lock(
        self: _House,
        event: str,
        *,
        reason: str,
        who: str | None = None,
        token: int | None = None,
        confirm: str | None = None,
    ) -> LockView:
        """Take an event's lock from its holder, with a warning in the journal; see `leases.clear`."""
        from pipeline import leases

        event_id = self.event(event).id
        return leases.clear(self.store, event_id, reason=reason, who=who or operator(), token=token, confirm=confirm)

    @way_in(Way.RECOVERY)
    def terminate_holder(
        self: _House,
        event: str,
        *,
        reason: str,
        who: str | None = None,
        token: int | None = None,
        confirm: str | None = None,
        grace_s: float | None = None,
    ) -> Termination:
        """End the process or the database connections of a lock's holder, then clear it; see `terminating`."""
        from pipeline import terminating

        return terminating.terminate(
            self.store,
            self.event(event).id,
            reason=reason,
            who=who or operator(),
            token=token,
            confirm=confirm,
            grace_s=terminating.GRACE_S if grace_s is None else grace_s,
        )
