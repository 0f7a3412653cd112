"""Who holds a lease: the facts a process leaves about itself, and those that this machine has of a process.

Nothing is judged here; what follows from the facts is in `pipeline.verdicts`.
"""

from __future__ import annotations

import os
import platform
import threading
import time
from contextlib import suppress
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import msgspec
import psutil
from msgspec import Struct

from pipeline.lockfiles import LockFile

START_TOLERANCE_S = 1.0  # psutil rounds start times to clock ticks
_START_TICKS = 19  # place of the start time in /proc/PID/stat, counted from the state letter


class Holder(Struct, frozen=True):
    """What a holder writes beside the lease it takes. Fields with a default are evidence not every machine has."""

    host: str
    boot_id: str
    pid: int
    process_started: float  # seconds since the epoch
    thread: str
    version: str
    start_ticks: int | None = None  # the process's start since boot: unlike the above, no clock change moves it
    pid_namespace: str = ""  # a pid means something only inside its own
    lock_file: str = ""  # absolute path of the file whose kernel lock is held as long as the run lasts
    lock_inode: str = ""  # which file that is: a copy of it at the same path proves nothing

    def shown(self) -> str:
        """One phrase for people: `pid 4711 on raceserver (thread ingest-486677)`."""
        return f"pid {self.pid} on {self.host} (thread {self.thread})"


class Process(Struct, frozen=True):
    """What this machine says of a process id now."""

    started: float | None  # None: it exists, but may not be looked at
    start_ticks: int | None = None
    status: str = ""  # psutil's word

    @property
    def has_ended(self) -> bool:
        """A zombie: it runs no more, only its parent has not taken notice yet."""
        return self.status in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)

    @property
    def is_suspended(self) -> bool:
        return self.status in (psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP)

    def is_of(self, holder: Holder) -> bool | None:
        """Whether this is the holder's own process and not a later one with its id; None: it cannot be told."""
        if self.started is None:
            return None
        if self.start_ticks is not None and holder.start_ticks is not None:
            return self.start_ticks == holder.start_ticks
        return abs(self.started - holder.process_started) <= START_TOLERANCE_S


@lru_cache(maxsize=1)
def boot_id() -> str:
    """An id that changes at every boot: the kernel's own where there is one, else the boot time."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return f"boot-{int(psutil.boot_time())}"


def uptime_s() -> float:
    """Seconds since this machine booted, time asleep included."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.time() - psutil.boot_time()


def pid_namespace() -> str:
    """Which process ids this process sees: the same on one machine, another one in each container; empty: unknown."""
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""


@lru_cache(maxsize=1)
def program_version() -> str:
    try:
        return version("mre-console")
    except PackageNotFoundError:
        return "unknown"


def this_holder(lock: LockFile | None = None) -> Holder:
    """The facts of the calling thread's process, and of the lock file that it holds for the run."""
    pid = os.getpid()
    return Holder(
        host=platform.node(),
        boot_id=boot_id(),
        pid=pid,
        process_started=psutil.Process().create_time(),
        thread=threading.current_thread().name,
        version=program_version(),
        start_ticks=_start_ticks(pid),
        pid_namespace=pid_namespace(),
        lock_file=str(lock.path) if lock else "",
        lock_inode=lock.inode if lock else "",
    )


def find_process(pid: int) -> Process | None:
    """What this machine knows of a process id; None where there is no such process."""
    try:
        process = psutil.Process(pid)
        return Process(process.create_time(), _start_ticks(pid), process.status())
    except psutil.AccessDenied:
        return Process(None)
    except (psutil.NoSuchProcess, ValueError, OverflowError):  # the last two: an id that no process can have
        return None


def _start_ticks(pid: int) -> int | None:
    with suppress(OSError, ValueError, IndexError):
        stat = Path(f"/proc/{pid}/stat").read_bytes()
        return int(stat[stat.rindex(b")") + 2 :].split()[_START_TICKS])  # the name before it may hold anything
    return None


def encode_holder(holder: Holder) -> str:
    return msgspec.json.encode(holder).decode()


def decode_holder(text: str | None) -> Holder | None:
    """The holder of a lease row, or None where nobody holds it or the row was written by hand."""
    if not text:
        return None
    try:
        return msgspec.json.decode(text, type=Holder)
    except (msgspec.DecodeError, UnicodeEncodeError):
        return None
