"""The schedule in words: its jobs and their runs, the processes that run it, and whether anybody does.

Pure functions from the pipeline's structs to rows and lines.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from typing import TYPE_CHECKING

from screens.telling import Line
from screens.widgets.header import RUNNING, STOPPING
from screens.widgets.table import Column, Row
from screens.words import Phrase, Tone, ago, ahead, clean, count, moment, span

if TYPE_CHECKING:
    from pipeline.schedule import ScheduleLine
    from pipeline.snapshot import Snapshot
    from pipeline.store.schedule import JobRunRow
    from pipeline.store.workers import WorkerRow

LATE_MS = 30_000  # due for longer than this and not begun: nobody does it
JOB_COLUMNS = (
    Column("Job", 10),
    Column("When", 20, flex=1, rank=2),
    Column("Next", 14),
    Column("Last run", 10),
    Column("How", 10),
    Column("What it said", 20, flex=4),
)
WORKER_COLUMNS = (
    Column("State", 9),
    Column("Process", 16),
    Column("Machine", 14, flex=1, keep_end=True),
    Column("Ticked", 10),
    Column("Begun", 10, rank=2),
    Column("Version", 8, rank=3),
    Column("What it does", 16, flex=2),
)
_OUTCOMES = {
    "done": Phrase("● done", Tone.GOOD),
    "failed": Phrase("✗ failed", Tone.BAD),
    "abandoned": Phrase("✗ given up", Tone.BAD),
}
_STATES = {
    "running": Phrase("● running", Tone.GOOD),
    "stopped": Phrase("○ ended", Tone.QUIET),
    "silent": Phrase("✗ silent", Tone.BAD),
}


def job_row(line: ScheduleLine, now: int) -> Row:
    """A schedule at the moment `now` (UTC ms)."""
    run = line.last_run
    when, how, said = _last(run, now)
    name = Tone.QUIET if line.paused and not line.asked else Tone.PLAIN
    cells = (
        Phrase(clean(line.name), name),
        Phrase(clean(line.words), Tone.QUIET),
        next_due(line, now),
        when,
        how,
        said,
    )
    return Row(line.name, cells)


def next_due(line: ScheduleLine, now: int) -> Phrase:
    """When it is done next."""
    if line.asked:
        return Phrase("◐ now, asked", Tone.BUSY)
    if line.paused:
        return Phrase("‖ paused", Tone.WARN)
    if line.next_due_at is None:
        return Phrase("–", Tone.QUIET)
    if now - line.next_due_at > LATE_MS:
        return Phrase(f"▲ {span((now - line.next_due_at) / 1_000)} late", Tone.WARN)
    return Phrase(ahead(line.next_due_at, now))


def _last(run: JobRunRow | None, now: int) -> tuple[Phrase, Phrase, Phrase]:
    if run is None:
        return Phrase("never", Tone.QUIET), Phrase("–", Tone.QUIET), Phrase("", Tone.QUIET)
    if run.finished_at is None:
        begun = run.taken_at if run.taken_at is not None else run.made_at
        how = Phrase("○ waits", Tone.WARN) if run.worker_id is None else Phrase("◐ works", Tone.BUSY)
        return Phrase(ago(begun, max(now, begun))), how, Phrase("", Tone.QUIET)
    how = _OUTCOMES.get(run.outcome or "", Phrase(f"? {clean(run.outcome)}", Tone.WARN))
    tone = Tone.PLAIN if run.outcome == "done" else Tone.BAD
    return Phrase(ago(run.finished_at, max(now, run.finished_at))), how, Phrase(clean(run.said), tone)


def job_lines(line: ScheduleLine, now: int) -> list[Line]:
    """One schedule at length: what it does, when, with which options, and what its last run said."""
    due = "paused: only run-now does it" if line.paused else f"next {moment(line.next_due_at)}"
    options = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in line.options.items())
    _, how, said = _last(line.last_run, now)
    lines: list[Line] = [
        [Phrase(clean(line.name), Tone.BUSY), Phrase(f": {clean(line.summary)}")],
        [Phrase(f"{clean(line.words)}; {due}" + (f"; {options}" if options else ""), Tone.QUIET)],
    ]
    if line.failures:
        lines.append([Phrase(f"▲ failed {count(line.failures, 'time')} in a row", Tone.WARN)])
    if line.last_run is not None:
        lines.append([how, Phrase(f"  {said.text}", said.tone)])
    return lines


def run_lines(runs: Sequence[JobRunRow], now: int) -> list[Line]:
    """The runs of one schedule, newest first."""
    if not runs:
        return [[Phrase("It never ran.", Tone.QUIET)]]
    lines: list[Line] = []
    for run in runs:
        _, how, said = _last(run, now)
        took = ""
        if run.finished_at is not None and run.taken_at is not None:
            took = f", took {span((run.finished_at - run.taken_at) / 1_000)}"
        tries = f", attempt {run.attempt}" if run.attempt > 1 else ""
        lines.append(
            [Phrase(f"{how.text:<11}", how.tone), Phrase(f"due {moment(run.due_at)}{took}{tries}", Tone.QUIET)]
        )
        lines.append([Phrase(f"  {said.text}", said.tone)])
    return lines


def worker_row(worker: WorkerRow, now: int) -> Row:
    """A process that runs the schedule, or did within a day."""
    running = worker.state == "running"
    here = (worker.host, worker.pid) == (platform.node(), os.getpid())
    doing = clean(worker.doing) or "waits"
    if not running:
        doing = f"last seen {ago(worker.seen_at, max(now, worker.seen_at))}"
    tone = Tone.PLAIN if running else Tone.QUIET
    return Row(
        str(worker.id),
        (
            _STATES.get(worker.state, Phrase(f"? {clean(worker.state)}", Tone.WARN)),
            Phrase(f"{clean(worker.kind)} {worker.pid}", tone),
            Phrase("this console" if here else clean(worker.host), tone),
            Phrase("never" if worker.ticked_at is None else ago(worker.ticked_at, max(now, worker.ticked_at)), tone),
            Phrase(ago(worker.started_at, max(now, worker.started_at)), Tone.QUIET),
            Phrase(clean(worker.version), Tone.QUIET),
            Phrase(doing, tone),
        ),
    )


def about_lines(snapshot: Snapshot | None, here: str) -> list[Line]:
    """Whether this console runs the schedule, and whether anybody does."""
    own = {
        RUNNING: Phrase("◐ This console runs the schedule", Tone.BUSY),
        STOPPING: Phrase("◐ This console ends what it has begun, and runs the schedule no more", Tone.BUSY),
    }.get(here, Phrase("○ This console does not run the schedule"))
    key = Phrase({RUNNING: "  (h ends it)", STOPPING: ""}.get(here, "  (h runs it here)"), Tone.QUIET)
    health = snapshot.schedule if snapshot is not None else None
    if health is None:
        return [[own, key], [Phrase("◐ Reading …", Tone.BUSY)]]
    facts = []
    if health.late:
        facts.append(Phrase(f"✗ {clean(health.why)}", Tone.BAD))
    elif health.workers:
        facts.append(Phrase(f"● {_processes(health.workers)}", Tone.GOOD))
        if health.tick_age_ms is not None:
            facts.append(Phrase(f" · last tick {health.tick_age_ms // 1_000} s ago"))
    else:
        facts.append(Phrase("▲ Nobody runs the schedule: nothing is done by itself", Tone.WARN))
    waits = f" · {count(health.wanted, 'event')} wanted" if health.wanted else ""
    return [[own, key], [*facts, Phrase(waits)]]


def _processes(number: int) -> str:
    return "one process runs it" if number == 1 else f"{number} processes run it"
