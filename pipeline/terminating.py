"""Ending a lease's holder by force, where asking did not help: its process here, or its database connections.

Nothing is signalled whose identity is not certain at that moment: a process id may belong to somebody else by now. The
lease is cleared afterwards, with a warning that says what was done.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress

import psutil
from msgspec import Struct

from pipeline import leases
from pipeline.errors import Kind, StateError, StoreError
from pipeline.holders import Holder, Process, find_process
from pipeline.store import sessions
from pipeline.store.database import Store, session_name
from pipeline.verdicts import Verdict, is_here, look

GRACE_S = 10.0  # between asking the process to end and ending it
KILL_PATIENCE_S = 10.0  # the system's, to take a killed process down
_LOOK_EVERY_S = 0.05
_KILL = getattr(signal, "SIGKILL", signal.SIGTERM)


class Termination(Struct, frozen=True):
    """What was done to a holder."""

    lock: leases.LockView  # as it was
    done: tuple[str, ...]  # in words, in order
    cleared: bool  # False: the holder gave its lease back by itself on the way
    with_it: tuple[str, ...]  # other events that the same process was working on


class Means(Struct, frozen=True):
    """How processes are found, signalled and waited for; tests put others in their place."""

    find: Callable[[int], Process | None] = find_process
    send: Callable[[int, int], None] = os.kill
    wait: Callable[[float], object] = threading.Event().wait
    clock: Callable[[], float] = time.monotonic


def terminate(
    store: Store,
    event_id: int,
    *,
    reason: str,
    who: str,
    token: int | None = None,
    confirm: str | None = None,
    grace_s: float = GRACE_S,
    means: Means | None = None,
) -> Termination:
    """End the holder of an event's lease, then clear the lease.

    On this machine the process gets SIGTERM and, once `grace_s` is over, SIGKILL; a suspended one cannot react, so it
    is killed at once. Elsewhere its connections to a PostgreSQL server are ended.
    Raises:
        StateError: as `leases.clear`; USAGE, the holder is this process or one that started it, cannot be reached from
            here, or may not be signalled. StoreError.
    """
    lock = leases.examine(store, event_id, reason=reason, token=token, confirm=confirm)
    means = means or Means()
    with_it: tuple[str, ...] = ()
    _announce(store, lock, reason=reason, who=who)
    if lock.verdict is Verdict.DEAD:
        done = ["nothing: the holder is dead"]
    elif lock.holder is not None and is_here(lock.holder, look(lock.holder)):
        with_it = _neighbours(store, lock)
        done = end_process(lock.holder, grace_s, means)
    else:
        done = _end_sessions(store, lock)
    cleared = _clear(store, lock, done, reason=reason, who=who)
    return Termination(lock, tuple(done), cleared, with_it)


def _announce(store: Store, lock: leases.LockView, *, reason: str, who: str) -> None:
    """Say it before it is done, where that is possible: a holder inside its transaction may keep everybody out."""
    message = f"{who} is about to terminate the holder of {lock.event} (run {lock.run_id}): {reason}"
    try:
        with store.patience(leases.TICK_PATIENCE_S), store.write():
            leases.note(store, lock, "termination_requested", message, reason=reason, who=who)
    except StoreError as error:
        if error.kind is not Kind.DB_BUSY:
            raise


def _clear(store: Store, lock: leases.LockView, done: list[str], *, reason: str, who: str) -> bool:
    what = "; ".join(done)
    message = f"holder of {lock.event} (run {lock.run_id}) terminated by {who}: {reason}; {what}"
    facts = {"reason": reason, "who": who, "done": done}
    cause = StateError(Kind.CLEARED, f"its holder was terminated by {who}: {reason}")
    with leases.patiently(store, lock, "cleared"):
        try:
            leases.end(store, lock, cause, "holder_terminated", message, **facts)
        except StateError as error:
            if error.kind is not Kind.LEASE_LOST:
                raise
            with store.write():
                leases.note(store, lock, "holder_terminated", message, warning=True, **facts)
            return False
    return True


def _neighbours(store: Store, lock: leases.LockView) -> tuple[str, ...]:
    """Other events that the holder's process is working on: they end with it."""
    return tuple(
        other.event
        for other in leases.list_locks(store)
        if other.event_id != lock.event_id
        and other.holder is not None
        and lock.holder is not None
        and (other.holder.boot_id, other.holder.pid) == (lock.holder.boot_id, lock.holder.pid)
    )


# ---------------------------------------------------------------- its process


def end_process(holder: Holder, grace_s: float, means: Means) -> list[str]:
    """SIGTERM, then SIGKILL. Returns what was done, in words.

    Raises StateError USAGE where it must not be signalled, cannot be, or does not end.
    """
    _refuse_own(holder)
    done: list[str] = []
    for number in (signal.SIGTERM, _KILL):
        if not _signal(holder, number, means):
            return [*done, "it had ended by then"]
        done.append(f"{number.name} to process {holder.pid}")
        if _ends_within(grace_s if number is signal.SIGTERM else KILL_PATIENCE_S, holder, number, means):
            return [*done, "it ended"]
    raise StateError(
        Kind.USAGE,
        f"process {holder.pid} did not end after {_KILL.name}: it hangs inside the operating system",
        remedy="Look at it with the system's own tools; its lock can be cleared as soon as it is gone.",
    )


def _refuse_own(holder: Holder) -> None:
    own = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    if holder.pid in own or holder.pid <= 1:
        raise StateError(
            Kind.USAGE,
            f"the holder, process {holder.pid}, is this program itself or one that started it: it is not terminated",
            remedy="Use `mre cancel EVENT`, or end that program yourself.",
        )


def _running(holder: Holder, means: Means) -> Process | None:
    """The holder's process, if it certainly is that, and runs. None: it is gone."""
    process = means.find(holder.pid)
    own = process is not None and process.is_of(holder)
    if own is None:
        raise StateError(Kind.USAGE, f"process {holder.pid} may not be looked at, so it is not signalled")
    return process if own and process is not None and not process.has_ended else None


def _signal(holder: Holder, number: signal.Signals, means: Means) -> bool:
    """Send a signal to the holder and nobody else. False: it is gone."""
    handle = _handle(holder.pid)
    try:
        if _running(holder, means) is None:  # asked again now that the handle pins down who is meant
            return False
        if handle is not None and means.send is os.kill:
            signal.pidfd_send_signal(handle, number)
        else:
            means.send(holder.pid, number)
    except ProcessLookupError:
        return False
    except PermissionError as error:
        raise StateError(
            Kind.USAGE,
            f"process {holder.pid} belongs to another user and cannot be signalled from here",
            remedy="Run the command as that user.",
        ) from error
    finally:
        if handle is not None:
            os.close(handle)
    return True


def _handle(pid: int) -> int | None:
    """Linux: a descriptor that stays this very process, whoever gets its id later."""
    if not (hasattr(os, "pidfd_open") and hasattr(signal, "pidfd_send_signal")):
        return None
    with suppress(OSError):
        return os.pidfd_open(pid)
    return None


def _ends_within(seconds: float, holder: Holder, number: signal.Signals, means: Means) -> bool:
    """Whether it ended in time. A suspended process is not waited for after SIGTERM: it cannot react."""
    until = means.clock() + seconds
    while (process := _running(holder, means)) is not None:
        if means.clock() >= until or (process.is_suspended and number is not _KILL):
            return False
        means.wait(_LOOK_EVERY_S)
    return True


# ---------------------------------------------------------------- its connections


def _end_sessions(store: Store, lock: leases.LockView) -> list[str]:
    """End the connection that the holder keeps, and any of its own that sits on the lease."""
    kept = sessions.of_leases(store, [(lock.event_id, lock.token)]).get(lock.event_id)
    sitting = sessions.sitting_on(store, lock.event_id)
    own = [session for session in sitting if _is_of(session, kept, lock.holder)]
    if sitting and not own:
        raise StateError(
            Kind.USAGE,
            f"the lease is held inside the transaction of {sitting[0].shown()} "
            f"({sitting[0].application or 'no name'}), which is not known to be the holder's: it is not ended",
            remedy="See who that is, and end that session yourself: SELECT pg_terminate_backend(PID).",
        )
    if kept is None and not own:
        raise StateError(
            Kind.USAGE,
            f"the holder cannot be reached from here: {lock.evidence}",
            remedy=f"End it on its own machine, or clear its lock: `mre locks clear {lock.event} --reason …`.",
        )
    known = own if kept is None else [kept, *own]
    ended = {session.pid: session for session in known if sessions.terminate(store, session)}
    return [f"ended {session.shown()}" for session in ended.values()] or ["nothing: its connections were gone"]


def _is_of(session: sessions.Session, kept: sessions.Session | None, holder: Holder | None) -> bool:
    if holder is not None and session.application == session_name(holder.host, holder.pid):
        return True
    return kept is not None and (session.application, session.client) == (kept.application, kept.client)
