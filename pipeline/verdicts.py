"""What follows from the facts about a lease's holder: ALIVE, STOPPED, DEAD or UNKNOWN, and why, in words.

Strongest evidence first: the kernel's lock on the run's lock file, the boot, the process and its start; of a holder on
another machine, the connection that it keeps to a PostgreSQL server. The heartbeat's age is only a hint. DEAD is said
only where it is certain, for a dead holder's lease may be given away.
"""

from __future__ import annotations

import platform
from enum import StrEnum

from msgspec import Struct

from pipeline.holders import Holder, Process, boot_id, find_process, pid_namespace, uptime_s
from pipeline.lockfiles import LockState, probe
from pipeline.store.sessions import Session


class Verdict(StrEnum):
    """What is known of a lease's holder."""

    ALIVE = "ALIVE"
    STOPPED = "STOPPED"  # exists, but is suspended and cannot go on by itself
    DEAD = "DEAD"
    UNKNOWN = "UNKNOWN"


class Heard(Struct, frozen=True):
    """What the database knows of a holder: its heartbeat, and on PostgreSQL the connection it keeps open."""

    heartbeat_age_ms: int | None
    expired: bool
    session: Session | None = None
    keeps_sessions: bool = False  # whether this database would show such a connection


class Seen(Struct, frozen=True):
    """What this machine can say about a holder, taken at one moment."""

    host: str
    boot_id: str
    pid_namespace: str
    uptime_s: float
    lock: LockState
    process: Process | None  # with the holder's process id


def look(holder: Holder) -> Seen:
    """Gather the facts that this machine has of a holder."""
    return Seen(
        host=platform.node(),
        boot_id=boot_id(),
        pid_namespace=pid_namespace(),
        uptime_s=uptime_s(),
        lock=probe(holder.lock_file, holder.lock_inode) if holder.lock_file else LockState.NONE,
        process=find_process(holder.pid),
    )


def is_here(holder: Holder, seen: Seen) -> bool:
    """Whether the holder's process id means a process of this machine, this boot and this container."""
    return (holder.host, holder.boot_id) == (seen.host, seen.boot_id) and (
        not holder.pid_namespace or not seen.pid_namespace or holder.pid_namespace == seen.pid_namespace
    )


def judge(holder: Holder | None, seen: Seen | None, heard: Heard) -> tuple[Verdict, str]:
    """The verdict on a holder and the evidence for it. `seen` may be None where the holder is."""
    verdict, evidence = _judge(holder, seen, heard)
    if heard.expired and verdict is not Verdict.DEAD and heard.heartbeat_age_ms is not None:
        evidence += f"; no heartbeat for {heard.heartbeat_age_ms / 1000:.0f} s"
    return verdict, evidence


def _judge(holder: Holder | None, seen: Seen | None, heard: Heard) -> tuple[Verdict, str]:
    if holder is None or seen is None:
        return _from_afar("the lease names no readable holder", heard)
    if holder.host != seen.host:
        return _from_afar(f"it runs on another machine ({holder.host})", heard)
    if holder.boot_id != seen.boot_id:
        if heard.heartbeat_age_ms is not None and heard.heartbeat_age_ms < seen.uptime_s * 1000:
            # It was heard after this machine booted, so it was not this machine that ran it.
            return _from_afar(f"it runs on another machine of the same name ({holder.host})", heard)
        return Verdict.DEAD, f"{holder.host} was restarted since"
    if seen.lock is LockState.FREE:
        return Verdict.DEAD, f"nobody holds its lock file any more; {_in_words(holder, seen)}"
    if seen.lock is LockState.HELD:
        return _with_lock_held(holder, seen)
    return _by_process(holder, seen, heard)


def _with_lock_held(holder: Holder, seen: Seen) -> tuple[Verdict, str]:
    words = _in_words(holder, seen)
    if not is_here(holder, seen):
        return Verdict.ALIVE, f"its lock file is held; {words}"
    own = seen.process is not None and seen.process.is_of(holder)
    if own is False:
        return Verdict.UNKNOWN, f"its lock file is held, although {words}"
    if seen.process is not None and seen.process.is_suspended:
        return Verdict.STOPPED, f"{words} and holds its lock file"
    return Verdict.ALIVE, f"its lock file is held; {words}"


def _by_process(holder: Holder, seen: Seen, heard: Heard) -> tuple[Verdict, str]:
    words = _in_words(holder, seen)
    if not is_here(holder, seen):
        return _from_afar(words, heard)
    if seen.process is None:
        return Verdict.DEAD, words
    own = seen.process.is_of(holder)
    if own is None:
        return Verdict.UNKNOWN, words
    if not own or seen.process.has_ended:
        return Verdict.DEAD, words
    return (Verdict.STOPPED if seen.process.is_suspended else Verdict.ALIVE), words


def _in_words(holder: Holder, seen: Seen) -> str:
    if not is_here(holder, seen):
        return f"process {holder.pid} runs in another container on {holder.host}"
    if seen.process is None:
        return f"process {holder.pid} does not exist any more"
    own = seen.process.is_of(holder)
    if own is None:
        return f"process {holder.pid} exists but may not be looked at"
    if not own:
        return f"process {holder.pid} is another one now"
    if seen.process.has_ended:
        return f"process {holder.pid} has ended"
    return f"process {holder.pid} is {'suspended' if seen.process.is_suspended else 'running'}"


def _from_afar(where: str, heard: Heard) -> tuple[Verdict, str]:
    """A holder whose process cannot be looked at: only its connection to the database speaks for it."""
    if not heard.keeps_sessions:
        return Verdict.UNKNOWN, where
    if heard.session is None:
        return Verdict.UNKNOWN, f"{where}; it has no connection to the database at the moment"
    connection = f"{where}; its connection to the database is open ({heard.session.shown()})"
    return (Verdict.UNKNOWN if heard.expired else Verdict.ALIVE), connection
