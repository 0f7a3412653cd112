"""The schedule: what is due when, as anybody may see it, as a person may change it, and as a tick takes it.

Schedules are rows, and a tick by whichever process comes first turns what is due into runs, by compare-and-set and with
one run for each moment at most. All times are the database's: the machines' own clocks do not matter. A tick that was
missed is made up for once. Where the clock went back, what now lies too far ahead is brought back within one period.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from pipeline.attempts import backoff_ms
from pipeline.errors import Kind, PipelineError, StateError
from pipeline.jobs import JOBS, options_from, read_options, require_job
from pipeline.observe import Bus, Report
from pipeline.store import control as control_rows
from pipeline.store import journal, wanted, workers
from pipeline.store import schedule as rows
from pipeline.store.database import Store
from pipeline.store.schedule import JobRunRow, ScheduleRow
from pipeline.store.workers import ScheduleHealth
from pipeline.timing import Timing, timing
from pipeline.ways import REFUSED

TICK_S = 5.0  # how often a worker looks whether anything is due
LATE_AFTER_S = 3 * TICK_S  # a last tick older than this is late
OVERDUE_AFTER_S = 900.0  # as is work that nobody took for so long
ATTEMPTS = 3  # a run over which so many workers vanished is given up
KEEP_DAYS = 90  # how long runs of schedules and vanished workers are remembered


class ScheduleLine(Struct, frozen=True):
    """One schedule as people see it. Times are UTC milliseconds."""

    name: str
    job: str
    summary: str  # what the job does
    timing: str
    words: str  # the timing as a person would say it
    options: dict[str, Any]  # all of them, defaults included
    paused: bool
    next_due_at: int | None  # None: it is paused, or the next tick works it out
    asked: bool  # somebody wants it now
    failures: int  # in a row
    last_run: JobRunRow | None


# ---------------------------------------------------------------- looking


def lines(store: Store) -> tuple[ScheduleLine, ...]:
    """Every schedule, by name."""
    with store.read():
        newest = rows.last_runs(store)
        now = store.clock_ms()
        return tuple(_line(row, newest.get(row.id), now) for row in rows.list_schedules(store))


def line(store: Store, name: str) -> ScheduleLine:
    """One schedule. Raises StateError UNKNOWN where there is none of that name."""
    with store.read():
        row = require(store, name)
        return _line(row, rows.last_runs(store).get(row.id), store.clock_ms())


def _line(row: ScheduleRow, last_run: JobRunRow | None, now: int) -> ScheduleLine:
    job = JOBS.get(row.job)
    options = msgspec.to_builtins(read_options(job, row.options)) if job else {}
    when = timing(row.timing)
    next_due = None if row.paused else (row.next_due_at if row.next_due_at is not None else when.next_after(now))
    return ScheduleLine(
        name=row.name,
        job=row.job,
        summary=job.summary if job else "a job of a newer version of the program",
        timing=row.timing,
        words=when.words(),
        options=options,
        paused=row.paused,
        next_due_at=next_due,
        asked=row.asked_at is not None,
        failures=row.failures,
        last_run=last_run,
    )


def health(store: Store) -> ScheduleHealth:
    """How the schedule is being run, on all machines together."""
    with store.read():
        now = store.clock_ms()
        age = workers.tick_age(store)
        running = sum(worker.state == "running" for worker in workers.list_workers(store))
        overdue = max((now - moment for moment in _waiting_since(store)), default=0)
        why = None
        if age is not None and age > LATE_AFTER_S * 1000:
            why = f"the schedule's last tick is {age / 1000:.0f} s old"
        elif age is not None and overdue > OVERDUE_AFTER_S * 1000:
            why = f"due work has been waiting for {overdue / 60_000:.0f} minutes"
        return ScheduleHealth(age, running, max(0, overdue), wanted.count(store), why is not None, why)


def _waiting_since(store: Store) -> list[int]:
    """The moments since when due work waits that nobody took; what the switch keeps waiting does not count."""
    refused = REFUSED[control_rows.read(store).mode]
    open_ = [row for row in rows.list_schedules(store) if row.job in JOBS and JOBS[row.job].way not in refused]
    due = [row.next_due_at for row in open_ if not row.paused and row.next_due_at is not None]
    untaken = rows.oldest_untaken(store)
    return [*due, *(row.asked_at for row in open_ if row.asked_at is not None), *([] if untaken is None else [untaken])]


def require(store: Store, name: str) -> ScheduleRow:
    row = rows.find_schedule(store, name)
    if row is None:
        known = ", ".join(one.name for one in rows.list_schedules(store))
        raise StateError(Kind.UNKNOWN, f"there is no schedule {name!r}; there are: {known or 'none'}", schedule=name)
    return row


# ---------------------------------------------------------------- what a person may change


def add(
    store: Store, *, name: str, job: str, when: str, options: Mapping[str, str], paused: bool, who: str
) -> ScheduleLine:
    """A new schedule. Raises StateError USAGE for a bad name, job, time or option, or a name that is taken."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,39}", name):
        raise StateError(
            Kind.USAGE, f"the name {name!r} is not accepted: lower-case letters, digits and dashes, up to 40"
        )
    text = Timing(when).text
    encoded = options_from(require_job(job), dict(options))
    with store.write():
        made = rows.add_schedule(store, name=name, job=job, timing=text, options=encoded, paused=paused, who=who)
        if not made:
            raise StateError(Kind.USAGE, f"there is a schedule {name!r} already; change it with `mre schedule edit`")
        _note(store, "schedule_added", f"schedule {name} added by {who}: {job}, {text}", who, name)
    return line(store, name)


def edit(store: Store, name: str, *, when: str | None, options: Mapping[str, str], who: str) -> ScheduleLine:
    """Another time, other options. Raises StateError USAGE, UNKNOWN."""
    with store.write():
        row = require(store, name)
        changed: dict[str, Any] = {}
        if when is not None:
            changed |= {"timing": Timing(when).text, "next_due_at": None}
        if options:
            changed["options"] = options_from(require_job(row.job), dict(options), row.options)
        if not changed:
            raise StateError(Kind.USAGE, "nothing to change was named", schedule=name)
        rows.change_schedule(store, row.id, who, **changed)
        said = ", ".join(f"{field} {value}" for field, value in changed.items() if value is not None)
        _note(store, "schedule_edited", f"schedule {name} changed by {who}: {said}", who, name)
    return line(store, name)


def pause(store: Store, name: str, *, paused: bool, who: str) -> ScheduleLine:
    """Pause a schedule, or resume it: what it missed meanwhile is not made up for."""
    with store.write():
        row = require(store, name)
        if row.paused != paused:
            rows.change_schedule(store, row.id, who, paused=paused, next_due_at=None)
            word = "paused" if paused else "resumed"
            _note(store, f"schedule_{word}", f"schedule {name} {word} by {who}", who, name)
    return line(store, name)


def run_now(store: Store, name: str, *, who: str) -> ScheduleLine:
    """Let the next tick of any worker run it, paused or not; when it is due next does not change."""
    with store.write():
        row = require(store, name)
        rows.change_schedule(store, row.id, who, asked_at=store.clock_ms())
        _note(store, "schedule_asked", f"schedule {name} wanted now by {who}", who, name)
    return line(store, name)


def _note(store: Store, name: str, message: str, who: str, schedule: str) -> None:
    fields = msgspec.json.encode({"who": who, "schedule": schedule}).decode()
    journal.append(store, [journal.JournalEntry(entry_kind="audit", name=name, message=message, fields=fields)])


# ---------------------------------------------------------------- what a tick does


class _Step(Struct, frozen=True):
    """What is to be done about one schedule now."""

    next_due_at: int | None
    due_at: int | None = None  # a run is to be made for this moment
    asked: bool = False


def make_due(store: Store) -> int:
    """Turn what is due into runs, to be taken by any worker; returns how many. Any number may call it at once.

    A schedule whose last run is not over yet stays due; so does one that the global switch refuses.
    """
    with store.read():
        pending = [row.id for row in rows.list_schedules(store) if _step(store, row) is not None]
    made = 0
    for schedule_id in pending:
        with store.write():
            row = rows.lock_schedule(store, schedule_id)  # and look again, now that nobody else can change it
            step = None if row is None else _step(store, row)
            if row is None or step is None:
                continue
            taken = rows.set_next(store, row, step.next_due_at, asked_at=None if step.asked else row.asked_at)
            if taken and step.due_at is not None:
                rows.make_run(store, row.id, step.due_at)
                made += 1
    return made


def _step(store: Store, row: ScheduleRow) -> _Step | None:
    """None where nothing is to be done."""
    job = JOBS.get(row.job)
    if job is None:
        return None
    now = store.clock_ms()
    upcoming = _upcoming(store, row, now)
    may_run = not (job.way in REFUSED[control_rows.read(store).mode] or rows.is_under_way(store, row.id))
    if row.asked_at is not None and may_run:
        return _Step(row.next_due_at, _free_moment(store, row.id, row.asked_at), asked=True)
    if row.paused:
        return None
    if row.next_due_at is None or (upcoming is not None and row.next_due_at > upcoming):
        return None if row.next_due_at == upcoming else _Step(upcoming)
    if row.next_due_at <= now and may_run:
        return _Step(upcoming, _free_moment(store, row.id, row.next_due_at))
    return None


def _upcoming(store: Store, row: ScheduleRow, now: int) -> int | None:
    """The first moment after `now` at which it is due and was not yet: the clock may have been ahead before."""
    when = timing(row.timing)
    moment = when.next_after(now)
    while when.period_ms is None and moment is not None and rows.was_made(store, row.id, moment):
        moment = when.next_after(moment)
    return moment


def _free_moment(store: Store, schedule_id: int, due_at: int) -> int:
    """A clock that went back may bring the same millisecond twice."""
    while rows.was_made(store, schedule_id, due_at):
        due_at += 1
    return due_at


# ---------------------------------------------------------------- how a run ends


def succeeded(store: Store, bus: Bus, run: JobRunRow, said: str) -> bool:
    """Record that a run is done. False: another worker took it over meanwhile, and nothing was recorded."""
    with store.write():
        if not rows.finish_run(store, run, "done", said):
            return False
        rows.forget_failures(store, run.schedule_id)
    bus.publish(Report("job_finish", f"{run.name}: {said}", fields=_facts(run)))
    return True


def failed(store: Store, bus: Bus, run: JobRunRow, error: PipelineError) -> None:
    """Record that a run failed. Where waiting may help it is due again before its time, after ever longer waits."""
    fields = {**_facts(run), "kind": str(error.kind), "stage": str(error.stage)}
    message = f"scheduled {run.name} failed: {error.message}"
    with store.write():
        if not rows.finish_run(store, run, "failed", f"{error.kind}: {error.message}"[:500]):
            return
        row = rows.find_schedule(store, run.name)
        again = None
        if row is not None and error.retryable:
            again = store.clock_ms() + backoff_ms(row.failures + 1)
        rows.count_failure(store, run.schedule_id, again_at=again)
        encoded = msgspec.json.encode(fields).decode()
        entry = journal.JournalEntry(severity="error", name="job_failed", message=message, fields=encoded)
        journal.append(store, [entry])
    bus.publish(Report("job_failed", message, "error", fields=fields))


def _facts(run: JobRunRow) -> dict[str, object]:
    return {"schedule": run.name, "job": run.job, "due_at": run.due_at, "attempt": run.attempt}
