"""The rows of the schedule: what is due when, each run of it, and who runs it. SQL only; the clock is the database's.

What is due is made into a `job_run` by whoever ticks first, and done by whoever takes that row: both are a
compare-and-set, so any number of consoles and workers may run the schedule together.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from pipeline.store.database import Store
from pipeline.store.models import JobRun, Schedule

WORKER_GONE_MS = 60_000  # a worker that was not seen for this long has left its work to others


class ScheduleRow(Struct, frozen=True):
    """One schedule. Times are UTC milliseconds."""

    id: int
    name: str
    job: str
    timing: str
    options: str  # JSON
    paused: bool
    next_due_at: int | None  # None: the next tick works it out
    asked_at: int | None  # a person wants it now
    failures: int  # in a row
    changed_by: str | None
    changed_at: int | None


class JobRunRow(Struct, frozen=True):
    """One run of a schedule."""

    id: int
    schedule_id: int
    name: str  # of the schedule
    job: str
    options: str  # JSON, as the schedule has them now
    due_at: int
    made_at: int
    worker_id: int | None
    attempt: int
    taken_at: int | None
    finished_at: int | None
    outcome: str | None  # models.JOB_OUTCOMES
    said: str | None


_SCHEDULE = """
    SELECT id, name, job, timing, options, paused, next_due_at, asked_at, failures, changed_by, changed_at FROM schedule
"""
_JOB_RUN = """
    SELECT job_run.id, job_run.schedule_id, schedule.name, schedule.job, schedule.options, job_run.due_at,
           job_run.made_at, job_run.worker_id, job_run.attempt, job_run.taken_at, job_run.finished_at, job_run.outcome,
           job_run.said
    FROM job_run JOIN schedule ON schedule.id = job_run.schedule_id
"""


# ---------------------------------------------------------------- schedules


def list_schedules(store: Store) -> tuple[ScheduleRow, ...]:
    with store.read():
        return tuple(_schedule(row) for row in store.sql(f"{_SCHEDULE} ORDER BY name"))


def find_schedule(store: Store, name: str) -> ScheduleRow | None:
    with store.read():
        rows = store.sql(f"{_SCHEDULE} WHERE name = ?", name)
        return _schedule(rows[0]) if rows else None


def lock_schedule(store: Store, schedule_id: int) -> ScheduleRow | None:
    """The schedule, held until the end of this transaction; None where another tick holds it at this moment."""
    lock = " FOR UPDATE SKIP LOCKED" if store.engine == "postgresql" else ""  # SQLite has locked everything already
    rows = store.sql(f"{_SCHEDULE} WHERE id = ?{lock}", schedule_id)
    return _schedule(rows[0]) if rows else None


def add_schedule(store: Store, *, name: str, job: str, timing: str, options: str, paused: bool, who: str) -> bool:
    """False: there is one of that name."""
    with store.write():
        if find_schedule(store, name) is not None:
            return False
        made = Schedule.insert(
            name=name, job=job, timing=timing, options=options, paused=paused, failures=0, changed_by=who,
            changed_at=store.now_ms(),
        )  # fmt: skip
        store.change(made)
        return True


def change_schedule(store: Store, schedule_id: int, who: str, **values: Any) -> None:
    """Change what a person may change; where that is when it is due, the next tick works that out anew."""
    values = {**values, "changed_by": who, "changed_at": store.now_ms()}
    store.change(Schedule.update(**values).where(Schedule.id == schedule_id))


def set_next(store: Store, row: ScheduleRow, next_due_at: int | None, *, asked_at: int | None) -> bool:
    """The compare-and-set of a tick: False where the row is not what was seen, and nothing was changed."""
    changed = Schedule.update(next_due_at=next_due_at, asked_at=asked_at).where(
        Schedule.id == row.id, _same(Schedule.next_due_at, row.next_due_at), _same(Schedule.asked_at, row.asked_at)
    )
    return bool(store.change(changed))


def count_failure(store: Store, schedule_id: int, *, again_at: int | None) -> None:
    """It failed once more; due again at `again_at` where that is sooner than it would be anyway."""
    values: dict[Any, Any] = {Schedule.failures: Schedule.failures + 1}
    mine = Schedule.id == schedule_id
    store.change(Schedule.update(values).where(mine))
    if again_at is not None:
        later = Schedule.next_due_at.is_null() | (Schedule.next_due_at > again_at)
        store.change(Schedule.update(next_due_at=again_at).where(mine, later))


def forget_failures(store: Store, schedule_id: int) -> None:
    store.change(Schedule.update(failures=0).where(Schedule.id == schedule_id, Schedule.failures > 0))


# ---------------------------------------------------------------- their runs


def was_made(store: Store, schedule_id: int, due_at: int) -> bool:
    """Whether that moment was seen before, whatever became of it."""
    return bool(store.sql("SELECT 1 FROM job_run WHERE schedule_id = ? AND due_at = ?", schedule_id, due_at))


def is_under_way(store: Store, schedule_id: int) -> bool:
    """Whether a run of the schedule waits or is being done."""
    return bool(store.sql("SELECT 1 FROM job_run WHERE schedule_id = ? AND finished_at IS NULL", schedule_id))


def make_run(store: Store, schedule_id: int, due_at: int) -> None:
    """The run of one due moment, to be taken by anybody. The database refuses a second one."""
    made = JobRun.insert(schedule=schedule_id, due_at=due_at, made_at=store.now_ms(), attempt=0)
    store.change(made)


def take_run(store: Store, worker_id: int) -> JobRunRow | None:
    """Take the oldest run that waits, or that a worker left behind when it vanished; None where there is none.

    Two workers that ask at once get two different ones.
    """
    now = store.now_ms().sql
    open_ = f"""
        job_run.finished_at IS NULL AND (job_run.worker_id IS NULL OR job_run.worker_id IN (
            SELECT worker.id FROM worker
            WHERE worker.id <> ? AND (worker.stopped_at IS NOT NULL
                OR worker.seen_at NOT BETWEEN {now} - {WORKER_GONE_MS} AND {now} + {WORKER_GONE_MS})))
    """
    with store.read():
        if not store.sql(f"SELECT 1 FROM job_run WHERE {open_} LIMIT 1", worker_id):
            return None  # most often: and then nothing is written
    lock = " FOR UPDATE OF job_run SKIP LOCKED" if store.engine == "postgresql" else ""
    with store.write():
        rows = store.sql(f"{_JOB_RUN} WHERE {open_} ORDER BY job_run.due_at, job_run.id LIMIT 1{lock}", worker_id)
        if not rows:
            return None
        values: dict[Any, Any] = {
            JobRun.worker: worker_id,
            JobRun.taken_at: store.now_ms(),
            JobRun.attempt: JobRun.attempt + 1,
        }
        run_id = rows[0][0]
        store.change(JobRun.update(values).where(JobRun.id == run_id))
        return _job_run(store.sql(f"{_JOB_RUN} WHERE job_run.id = ?", run_id)[0])


def oldest_untaken(store: Store) -> int | None:
    """Since when the oldest run that nobody took is due; None where each was taken."""
    with store.read():
        ((due_at,),) = store.sql("SELECT MIN(due_at) FROM job_run WHERE finished_at IS NULL AND worker_id IS NULL")
        return None if due_at is None else int(due_at)


def finish_run(store: Store, run: JobRunRow, outcome: str, said: str) -> bool:
    """Say how it ended. False: somebody else took it over meanwhile, and nothing was changed."""
    ended = JobRun.update(finished_at=store.now_ms(), outcome=outcome, said=said).where(
        JobRun.id == run.id, JobRun.worker == run.worker_id, JobRun.attempt == run.attempt, JobRun.finished_at.is_null()
    )
    return bool(store.change(ended))


def list_runs(store: Store, schedule_id: int | None = None, *, limit: int = 50) -> tuple[JobRunRow, ...]:
    """Runs of one schedule or of all, newest first."""
    condition, parameters = ("", ()) if schedule_id is None else ("WHERE schedule_id = ?", (schedule_id,))
    with store.read():
        rows = store.sql(f"{_JOB_RUN} {condition} ORDER BY job_run.id DESC LIMIT ?", *parameters, limit)
        return tuple(map(_job_run, rows))


def last_runs(store: Store) -> dict[int, JobRunRow]:
    """The newest run of each schedule."""
    newest = "WHERE job_run.id IN (SELECT MAX(id) FROM job_run GROUP BY schedule_id)"
    with store.read():
        return {row[1]: _job_run(row) for row in store.sql(f"{_JOB_RUN} {newest}")}


def forget_old_runs(store: Store, *, keep_days: int) -> None:
    """Drop finished runs that are older, but never the newest of a schedule."""
    before = store.now_ms().sql + f" - {keep_days * 86_400_000}"
    with store.write():
        store.sql(
            f"DELETE FROM job_run WHERE finished_at < {before} "
            "AND id NOT IN (SELECT MAX(id) FROM job_run GROUP BY schedule_id)"
        )


def _same(field: Any, value: int | None) -> Any:
    return field.is_null() if value is None else field == value


def _schedule(row: tuple[Any, ...]) -> ScheduleRow:
    values = list(row)
    values[5] = bool(values[5])
    return ScheduleRow(*values)


def _job_run(row: tuple[Any, ...]) -> JobRunRow:
    return JobRunRow(*row)
