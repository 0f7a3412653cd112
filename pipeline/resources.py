"""What the pipeline takes of the machine it runs on: disk, memory, open files, and the run that has taken longest.

Looked at when somebody asks; nothing here is stored, and nothing is changed.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from msgspec import Struct

from pipeline.store import overview
from pipeline.store.database import Store

MIB = 1024 * 1024
DISK_FAIL_BYTES = 100 * MIB  # less free space than this will not take the next events
DISK_WARN_BYTES = 1024 * MIB
MEMORY_WARN_SHARE = 0.1  # of the machine's memory still available
FILES_WARN_SHARE = 0.8  # of the open files that a process may have


class OldestRun(Struct, frozen=True):
    """The run under way that began first."""

    run_id: int
    event: str  # slug/id
    elapsed_ms: int


class Resources(Struct, frozen=True):
    """One look at the machine. Sizes in bytes; None where this platform cannot tell."""

    engine: str  # sqlite, postgresql
    database_bytes: int
    folder: str  # the data folder, or the nearest one above it that exists
    disk_free: int  # where the data folder lies
    disk_total: int
    process_memory: int  # resident, of this process
    memory_available: int  # of the machine
    memory_total: int
    open_files: int | None  # of this process: files, sockets, pipes
    open_files_limit: int | None
    runs: int  # under way, of all processes
    oldest_run: OldestRun | None


def take(store: Store, data: Path) -> Resources:
    """Look at the database, the data folder's disk and this process. Raises StoreError."""
    import psutil

    process, memory = psutil.Process(), psutil.virtual_memory()
    with store.read():
        size, live = overview.size_bytes(store), overview.live_runs(store)
    folder = _nearest(data)
    disk = shutil.disk_usage(folder)
    return Resources(
        engine=store.engine,
        database_bytes=size,
        folder=str(folder),
        disk_free=disk.free,
        disk_total=disk.total,
        process_memory=process.memory_info().rss,
        memory_available=memory.available,
        memory_total=memory.total,
        open_files=None if sys.platform == "win32" else process.num_fds(),
        open_files_limit=_open_files_limit(),
        runs=len(live),
        oldest_run=_oldest(live),
    )


def _oldest(live: list[overview.Row]) -> OldestRun | None:
    if not live:
        return None
    run_id, _, slug, source_event_id, *_, elapsed_ms, _ = max(live, key=lambda row: int(row[-2]))
    return OldestRun(run_id, f"{slug}/{source_event_id}", elapsed_ms)


def _open_files_limit() -> int | None:
    if sys.platform == "win32":
        return None
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if soft == resource.RLIM_INFINITY else soft


def _nearest(folder: Path) -> Path:
    while not folder.exists():
        folder = folder.parent
    return folder
