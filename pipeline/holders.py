"""Who holds a lease: the facts a process leaves about itself, and what can be said of it from here.

A heartbeat's age is only a hint. On the same machine and the same boot, the process id together with its start time
says for sure whether the holder still exists; of another machine nothing is claimed.
"""

from __future__ import annotations

import os
import platform
import threading
from enum import StrEnum
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import msgspec
import psutil
from msgspec import Struct

START_TOLERANCE_S = 1.0  # psutil rounds start times to clock ticks


class Verdict(StrEnum):
    """What is known of a lease's holder."""

    ALIVE = "ALIVE"
    STOPPED = "STOPPED"  # exists, but is suspended and cannot go on by itself
    DEAD = "DEAD"
    UNKNOWN = "UNKNOWN"


class Holder(Struct, frozen=True):
    """What a holder writes beside the lease it takes."""

    host: str
    boot_id: str
    pid: int
    process_started: float  # seconds since the epoch
    thread: str
    version: str

    def shown(self) -> str:
        """One phrase for people: `pid 4711 on raceserver (thread ingest-486677)`."""
        return f"pid {self.pid} on {self.host} (thread {self.thread})"


@lru_cache(maxsize=1)
def boot_id() -> str:
    """An id that changes at every boot: the kernel's own where there is one, else the boot time."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return f"boot-{int(psutil.boot_time())}"


@lru_cache(maxsize=1)
def program_version() -> str:
    try:
        return version("mre-console")
    except PackageNotFoundError:
        return "unknown"


def this_holder() -> Holder:
    """The facts of the calling thread's process."""
    return Holder(
        host=platform.node(),
        boot_id=boot_id(),
        pid=os.getpid(),
        process_started=psutil.Process().create_time(),
        thread=threading.current_thread().name,
        version=program_version(),
    )


def encode_holder(holder: Holder) -> str:
    return msgspec.json.encode(holder).decode()


def decode_holder(text: str | None) -> Holder | None:
    """The holder of a lease row, or None where nobody holds it or the row was written by hand."""
    if not text:
        return None
    try:
        return msgspec.json.decode(text, type=Holder)
    except msgspec.DecodeError:
        return None


def verdict(holder: Holder | None) -> tuple[Verdict, str]:
    """Judge a holder from this process: the verdict and the evidence for it, in words."""
    if holder is None:
        return Verdict.UNKNOWN, "the lease names no readable holder"
    if holder.host != platform.node():
        return Verdict.UNKNOWN, f"it runs on another machine ({holder.host})"
    if holder.boot_id != boot_id():
        return Verdict.DEAD, f"{holder.host} was restarted since"
    try:
        process = psutil.Process(holder.pid)
        if abs(process.create_time() - holder.process_started) > START_TOLERANCE_S:
            return Verdict.DEAD, f"process {holder.pid} is another one now"
        status = process.status()
    except psutil.NoSuchProcess:
        return Verdict.DEAD, f"process {holder.pid} does not exist any more"
    except psutil.AccessDenied:
        return Verdict.UNKNOWN, f"process {holder.pid} exists but may not be looked at"
    if status in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD):
        return Verdict.DEAD, f"process {holder.pid} has ended"
    if status in (psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP):
        return Verdict.STOPPED, f"process {holder.pid} is suspended"
    return Verdict.ALIVE, f"process {holder.pid} is running"
