"""The processes that run the schedule, on every machine: one row each, kept fresh by a heartbeat. SQL only."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from pipeline.store.database import Store
from pipeline.store.models import Worker
from pipeline.store.schedule import WORKER_GONE_MS

SHOWN_AFTER_STOP_MS = 24 * 3_600_000  # a worker that ended or vanished is shown for a day


class WorkerRow(Struct, frozen=True):
    """A process that runs the schedule, or did. Times are UTC milliseconds, ages by the database's clock."""

    id: int
    kind: str  # worker, console
    host: str
    pid: int
    version: str
    started_at: int
    seen_at: int
    ticked_at: int | None  # when it last looked whether anything is due
    doing: str | None  # one phrase; None: it waits
    stopped_at: int | None  # when it ended by itself
    seen_age_ms: int
    state: str  # running, stopped; silent: not seen for a minute, and it did not say goodbye


class ScheduleHealth(Struct, frozen=True):
    """Whether the schedule is being run: by the age of its last tick, never by a flag."""

    tick_age_ms: int | None  # of the last tick of any process; None: nobody is meant to run it
    workers: int  # processes that run it now
    overdue_ms: int  # how long the oldest due work waits that nobody took; 0: none does
    wanted: int  # events that wait
    late: bool  # should run and does not
    why: str | None  # why it is late


def register(store: Store, *, kind: str, host: str, pid: int, version: str) -> int:
    """A new worker's number."""
    now = store.now_ms()
    return int(store.change(Worker.insert(kind=kind, host=host, pid=pid, version=version, started_at=now, seen_at=now)))


def tick(store: Store, worker_id: int, doing: str | None) -> bool:
    """Heartbeat. False: the row is gone, as after a restored backup."""
    now = store.now_ms()
    beat = Worker.update(seen_at=now, ticked_at=now, doing=doing, stopped_at=None).where(Worker.id == worker_id)
    return bool(store.change(beat))


def stop(store: Store, worker_id: int) -> None:
    """It ended by itself."""
    now = store.now_ms()
    store.change(Worker.update(seen_at=now, doing=None, stopped_at=now).where(Worker.id == worker_id))


def list_workers(store: Store) -> tuple[WorkerRow, ...]:
    """Those that run, and those that ended or fell silent within a day; newest first."""
    now = store.now_ms().sql
    with store.read():
        rows = store.sql(
            f"""
            SELECT id, kind, host, pid, version, started_at, seen_at, ticked_at, doing, stopped_at, {now} - seen_at
            FROM worker WHERE seen_at > {now} - {SHOWN_AFTER_STOP_MS} ORDER BY id DESC
            """
        )
        return tuple(WorkerRow(*(*row, _state(row[9], row[10]))) for row in rows)


def tick_age(store: Store) -> int | None:
    """Milliseconds since anybody ticked last; None where nobody has to: all that ever did have ended by themselves.

    A tick of the future is not believed: a clock was wrong.
    """
    now = store.now_ms().sql
    with store.read():
        ((somebody_should,),) = store.sql("SELECT COUNT(*) FROM worker WHERE stopped_at IS NULL")
        ((age,),) = store.sql(
            f"SELECT MIN({now} - COALESCE(ticked_at, started_at)) FROM worker "
            f"WHERE COALESCE(ticked_at, started_at) <= {now} + 1000"
        )
        return max(0, int(age)) if somebody_should and age is not None else None


def forget_old(store: Store, *, keep_days: int) -> None:
    """Drop workers that were not seen for so long and have no run of a schedule to their name."""
    before = store.now_ms().sql + f" - {keep_days * 86_400_000}"
    with store.write():
        store.sql(
            f"DELETE FROM worker WHERE seen_at < {before} "
            "AND NOT EXISTS (SELECT 1 FROM job_run WHERE job_run.worker_id = worker.id)"
        )


def _state(stopped_at: Any, seen_age_ms: int) -> str:
    if stopped_at is not None:
        return "stopped"
    return "silent" if seen_age_ms > WORKER_GONE_MS else "running"
