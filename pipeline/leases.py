"""Per-event leases as everybody else sees them: shown with what is known of the holder, ended by a person or by proof.

A lease that expired is reported, never taken. It ends before its holder lets go of it in two ways only: a person clears
it, or the holder is proven dead. Both raise the token, end the run, and leave a warning in the same transaction.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from shlex import quote

import msgspec
from msgspec import Struct

from pipeline import attempts, lockfiles
from pipeline.errors import Kind, StateError, StoreError, encode_envelope
from pipeline.holders import Holder, decode_holder
from pipeline.observe import Bus, Report
from pipeline.stopping import StopSignal
from pipeline.store import events as event_rows
from pipeline.store import journal, sessions
from pipeline.store import leases as rows
from pipeline.store import runs as run_rows
from pipeline.store.database import Store
from pipeline.verdicts import Heard, Verdict, judge, look

TTL_MS = 60_000  # without a heartbeat for this long a lease is reported as expired
CLEAR_PATIENCE_S = 5.0  # how long a person waits where the holder sits inside its write transaction
LOOK_EVERY_S = 0.1  # while a person waits
TICK_PATIENCE_S = 0.2  # a tick comes again


class LockPolicy(Struct, frozen=True):
    """How leases are kept here."""

    folder: Path | None = None  # where lock files go; None: other evidence has to do
    release_dead: bool = True  # give the lease of a holder proven dead on this machine away without asking


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
    run_kind: str | None = None  # ingest, cleanup, reset, restore
    cancel_requested_at: int | None = None
    session: str | None = None  # the holder's connection to a PostgreSQL server, in words

    @property
    def name_to_type(self) -> str:
        """What a person types to show that they know which event they are about to disturb: its name as a keyboard can
        write it, or slug/id where no name is known."""
        name = "".join(character if character.isprintable() else " " for character in self.event_name or "")
        return " ".join(name.split()) or self.event


class Tick(Struct, frozen=True):
    """What one look after all leases did."""

    released: tuple[LockView, ...] = ()  # their holders were proven dead
    expired: tuple[LockView, ...] = ()  # reported now, and only now
    blocked: tuple[LockView, ...] = ()  # somebody sits inside a transaction; the next tick tries again


# ---------------------------------------------------------------- looking


def list_locks(store: Store) -> tuple[LockView, ...]:
    """Every held lease, oldest first. Changes nothing."""
    with store.read():
        return _views(store, rows.list_leases(store))


def find_lock(store: Store, event_id: int) -> LockView | None:
    """An event's lease with what is known of its holder; None where nobody holds it."""
    with store.read():
        row = rows.get_lease(store, event_id)
        return None if row is None or row.run_id is None else _views(store, [row])[0]


def _views(store: Store, held: Iterable[rows.LeaseRow]) -> tuple[LockView, ...]:
    held = tuple(held)
    connected = sessions.of_leases(store, [(row.event_id, row.token) for row in held])
    return tuple(_view(store, row, connected.get(row.event_id)) for row in held)


def _view(store: Store, row: rows.LeaseRow, session: sessions.Session | None) -> LockView:
    holder = decode_holder(row.holder)
    heard = Heard(row.heartbeat_age_ms, row.expired, session, keeps_sessions=store.engine == "postgresql")
    verdict, evidence = judge(holder, look(holder) if holder else None, heard)
    return LockView(
        event_id=row.event_id,
        event=f"{row.track_slug}/{row.source_event_id}",
        event_name=row.event_name,
        run_id=row.run_id or 0,
        token=row.token,
        holder=holder,
        verdict=verdict,
        evidence=evidence,
        heartbeat_age_ms=row.heartbeat_age_ms,
        acquired_at=row.acquired_at,
        expired=row.expired,
        progress=row.progress,
        run_kind=row.run_kind,
        cancel_requested_at=row.cancel_requested_at,
        session=session.shown() if session else None,
    )


# ---------------------------------------------------------------- what a person may ask


def cancel(store: Store, event_id: int, *, who: str) -> LockView:
    """Ask the holder, wherever it runs, to stop; it sees it within a second or two and ends as interrupted.

    Raises:
        StateError: UNKNOWN, nobody works on the event. StoreError: DB_BUSY, the holder sits inside its transaction.
    """
    lock = require_lock(store, event_id)
    with patiently(store, lock, "asked to stop"), store.write():
        if not rows.request_cancel(store, event_id, lock.token):
            raise _not_locked()
        note(store, lock, "cancel_requested", f"{who} asked run {lock.run_id} of {lock.event} to stop", who=who)
    return lock


def clear(
    store: Store, event_id: int, *, reason: str, who: str, token: int | None = None, confirm: str | None = None
) -> LockView:
    """Take the lease from its holder: raise the token, end the run as `cleared`, write the warning; one transaction.

    Args:
        token: what the person saw; refused where the lease has another one by now.
        confirm: the event's name, as typed; needed against a holder that is ALIVE.
    Returns:
        What was known of the lock.
    Raises:
        StateError: UNKNOWN, nobody holds the lease; USAGE, no reason, or the name is missing or wrong; LEASE_LOST, the
            lock is not the one that was seen. StoreError: DB_BUSY after 5 s, the holder sits inside its transaction.
    """
    lock = examine(store, event_id, reason=reason, token=token, confirm=confirm)
    cause = StateError(Kind.CLEARED, f"the lock was cleared by {who}: {reason}")
    warning = (
        f"lock of {lock.event} (run {lock.run_id}) cleared by {who}: {reason}; "
        f"holder was {lock.verdict}: {lock.evidence}"
    )
    with patiently(store, lock, "cleared"):
        end(store, lock, cause, "lock_cleared", warning, reason=reason, who=who)
    return lock


def examine(store: Store, event_id: int, *, reason: str, token: int | None, confirm: str | None) -> LockView:
    """The lock that a person is about to take, if they said what has to be said. Raises as `clear`; changes nothing."""
    if not reason.strip():
        raise StateError(Kind.USAGE, "taking a lock needs a reason: it is kept in the journal")
    lock = require_lock(store, event_id)
    if token is not None and token != lock.token:
        raise StateError(
            Kind.LEASE_LOST,
            f"the lock of {lock.event} changed hands since you looked: its token is {lock.token} now, not {token}",
            token=lock.token,
            seen=token,
            remedy=f"Look again with `mre locks show {lock.event}`.",
        )
    if lock.verdict is Verdict.ALIVE and " ".join((confirm or "").split()) != lock.name_to_type:
        raise StateError(
            Kind.USAGE,
            f"the holder is alive ({lock.evidence}): type the event's name, {lock.name_to_type!r}, to take its lock",
            verdict=lock.verdict,
            remedy=f"Try `mre cancel {lock.event}` first; to insist, add --confirm {quote(lock.name_to_type)}.",
        )
    return lock


def wait_until_free(store: Store, lock: LockView, seconds: float, signal: StopSignal) -> bool:
    """Wait until a lock is not held any more, by its holder's doing or anybody else's. False: it still is.

    Raises StateError INTERRUPTED where the signal is tripped meanwhile.
    """
    until = time.monotonic() + seconds
    fence = rows.Fence(lock.event_id, lock.run_id, lock.token)
    while rows.standing(store, fence).held:
        left = until - time.monotonic()
        if left <= 0:
            return False
        signal.event.wait(min(left, LOOK_EVERY_S))
        signal.check()
    return True


def require_lock(store: Store, event_id: int) -> LockView:
    """As `find_lock`. Raises StateError UNKNOWN where nobody holds the lease."""
    lock = find_lock(store, event_id)
    if lock is None:
        raise _not_locked()
    return lock


# ---------------------------------------------------------------- what needs no person


def tick(store: Store, bus: Bus, *, release_dead: bool = True) -> Tick:
    """Report what expired, once per lease; release what a holder proven dead on this machine left behind.

    Never waits long and never takes a lease for its age. Raises StoreError.
    """
    released, expired, blocked = [], [], []
    locks = [lock for lock in list_locks(store) if lock.expired or (release_dead and lock.verdict is Verdict.DEAD)]
    if not locks:
        return Tick()
    with store.patience(TICK_PATIENCE_S):
        for lock in locks:
            try:
                if release_dead and lock.verdict is Verdict.DEAD:
                    if _release(store, bus, lock):
                        released.append(lock)
                elif _report_expired(store, bus, lock):
                    expired.append(lock)
            except StoreError as error:
                if error.kind is not Kind.DB_BUSY:
                    raise
                blocked.append(lock)
    return Tick(tuple(released), tuple(expired), tuple(blocked))


def release_dead(store: Store, bus: Bus, event_id: int) -> bool:
    """Release one event's lease if its holder is proven dead. False: it is not, or nobody holds it."""
    lock = find_lock(store, event_id)
    return lock is not None and lock.verdict is Verdict.DEAD and _release(store, bus, lock)


def _release(store: Store, bus: Bus, lock: LockView) -> bool:
    message = f"lock of {lock.event} (run {lock.run_id}) released: its holder is dead: {lock.evidence}"
    try:
        end(store, lock, StateError(Kind.HOLDER_DIED, f"its holder died: {lock.evidence}"), "lock_released", message)
    except StateError as error:
        if error.kind is not Kind.LEASE_LOST:
            raise
        return False  # somebody was faster
    _report(bus, lock, "lock_released", message)
    return True


def _report_expired(store: Store, bus: Bus, lock: LockView) -> bool:
    if _is_reported(store, lock):
        return False
    age = f"{(lock.heartbeat_age_ms or 0) / 1000:.0f} s"
    message = (
        f"lease of {lock.event} (run {lock.run_id}) expired: no heartbeat for {age}; "
        f"holder is {lock.verdict}: {lock.evidence}"
    )
    with store.write():
        if not rows.lock_seen(store, lock.event_id, lock.token) or _is_reported(store, lock):
            return False
        note(store, lock, "lease_expired", message, warning=True)
    _report(bus, lock, "lease_expired", message)
    return True


def _is_reported(store: Store, lock: LockView) -> bool:
    """A run has one lease with one token, so its own entries tell."""
    warnings = journal.for_run(store, lock.run_id, severities=("warning",))
    return any(entry.name == "lease_expired" for entry in warnings)


# ---------------------------------------------------------------- how a lease ends


def end(store: Store, lock: LockView, cause: StateError, name: str, warning: str, **facts: object) -> None:
    """End a lease that its holder did not give back: token, run, event and warning change together.

    Raises StateError LEASE_LOST where the lease is not the one that `lock` shows; nothing was changed then.
    """
    cause.with_details(run_id=lock.run_id, event=lock.event, verdict=lock.verdict)
    with store.write():
        if not rows.clear(store, lock.event_id, lock.token):
            raise StateError(
                Kind.LEASE_LOST,
                f"the lock of {lock.event} changed hands at this moment",
                remedy=f"Look again with `mre locks show {lock.event}`.",
            )
        run_rows.finish_run(store, lock.run_id, "cleared", error=encode_envelope(cause.envelope()))
        event = event_rows.get_event(store, lock.event_id)
        if event is not None and event.state == "running":
            run_rows.transition(store, lock.event_id, "failed")
        if lock.run_kind == "ingest":
            attempts.record_death(store, lock.event_id, lock.run_id, cause.envelope())
        note(store, lock, name, warning, warning=True, **facts)
    if lock.holder is not None and lock.holder.lock_file:
        lockfiles.remove(lock.holder.lock_file, lock.holder.lock_inode)


def note(store: Store, lock: LockView, name: str, message: str, *, warning: bool = False, **facts: object) -> None:
    facts = {
        **facts,
        "token": lock.token,
        "verdict": lock.verdict,
        "evidence": lock.evidence,
        "heartbeat_age_ms": lock.heartbeat_age_ms,
        "holder": lock.holder,
    }
    journal.append(
        store,
        [
            journal.JournalEntry(
                entry_kind="warning" if warning else "audit",
                severity="warning" if warning else "info",
                name=name,
                message=message,
                event_id=lock.event_id,
                run_id=lock.run_id,
                fields=msgspec.json.encode(facts).decode(),
            )
        ],
    )


def _report(bus: Bus, lock: LockView, name: str, message: str) -> None:
    bus.publish(Report(name, message, "warning", event_id=lock.event_id, run_id=lock.run_id))


def _not_locked() -> StateError:
    return StateError(Kind.UNKNOWN, "the event is not locked: nobody is working on it", remedy="See `mre locks list`.")


@contextmanager
def patiently(store: Store, lock: LockView, done: str) -> Iterator[None]:
    """Wait 5 s at most for a holder that sits inside its write transaction, then say so and what helps."""
    try:
        with store.patience(CLEAR_PATIENCE_S):
            yield
    except StoreError as error:
        if error.kind is not Kind.DB_BUSY:
            raise
        sitting = next(iter(sessions.sitting_on(store, lock.event_id)), None)
        raise StoreError(
            Kind.DB_BUSY,
            f"run {lock.run_id} of {lock.event} could not be {done} within {CLEAR_PATIENCE_S:.0f} s: "
            f"somebody is inside a write transaction{f', {sitting.shown()}' if sitting else ''}; "
            f"the holder is {lock.verdict}: {lock.evidence}",
            event=lock.event,
            run_id=lock.run_id,
            token=lock.token,
            verdict=lock.verdict,
            session=sitting.shown() if sitting else None,
            remedy=f"Try again; if it stays so, end the holder: `mre locks terminate {lock.event} --reason …`.",
        ) from error
