"""The part of the pipeline made of values that answers for the whole: health, schedule, workers, causes, timelines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from pipeline.errors import Kind, StateError
from pipeline.failures import FailureGroup
from pipeline.health import Evidence
from pipeline.schedule import ScheduleLine
from pipeline.snapshot import EventLine, LogLine
from pipeline.spans import Span
from pipeline.store.schedule import JobRunRow
from pipeline.store.workers import ScheduleHealth, WorkerRow
from tests.screens.fake_recovery import MINUTE, NOW, FakeRecovery

HOUR = 60 * MINUTE


def job_run(name: str, minutes_ago: int, said: str | None, **facts: Any) -> JobRunRow:
    at = NOW - minutes_ago * MINUTE
    whole: dict[str, Any] = {
        "id": minutes_ago, "schedule_id": 1, "name": name, "job": name, "options": "{}", "due_at": at - 14_000,
        "made_at": at - 13_000, "worker_id": 3, "attempt": 1, "taken_at": at - 12_000, "finished_at": at,
        "outcome": "done", "said": said,
    }  # fmt: skip
    return JobRunRow(**{**whole, **facts})


def schedule_line(name: str, timing: str, words: str, summary: str, due_in: int | None, **facts: Any) -> ScheduleLine:
    """`due_in` minutes from now; None: it is paused."""
    whole: dict[str, Any] = {
        "name": name,
        "job": name,
        "summary": summary,
        "timing": timing,
        "words": words,
        "options": {},
        "paused": due_in is None,
        "next_due_at": None if due_in is None else NOW + due_in * MINUTE,
        "asked": False,
        "failures": 0,
        "last_run": None,
    }
    return ScheduleLine(**{**whole, **facts})


AWAY = "UNREACHABLE: 3 of 12 listings failed; the last said: liverc.com does not answer"
SCHEDULES = (
    schedule_line(
        "catalogue", "20 3 * * *", "daily at 03:20 UTC", "read the track catalogue", 610,
        last_run=job_run("catalogue", 830, "2 new tracks, 0 updated, 1 not listed any more"),
    ),
    schedule_line(
        "checks", "40 4 * * *", "daily at 04:40 UTC", "run all checks", 690,
        last_run=job_run("checks", 750, "passed: 0 errors, 0 warnings"),
    ),
    schedule_line(
        "listings", "every 6h", "every 6 hours", "read the events listings of followed tracks", 4,
        options={"fresh_minutes": 60}, failures=2, last_run=job_run("listings", 6, AWAY, outcome="failed"),
    ),
    schedule_line(
        "purge", "10 5 * * sun", "every Sunday at 05:10 UTC", "delete superseded runs for good", None,
        options={"older_than_days": 30, "keep_undo_days": 30},
    ),
    schedule_line(
        "recent", "every 1h", "every hour", "ingest new events of followed tracks, and look at them again for a week",
        17, options={"window_days": 7, "per_run": 20, "per_track": 5},
        last_run=job_run("recent", 43, "4 events wanted: 1 new, 3 looked at again"),
    ),
    schedule_line(
        "retries", "every 5m", "every 5 minutes", "try failed events again when that is due", 0,
        last_run=job_run("retries", 0, None, finished_at=None, outcome=None),
    ),
)  # fmt: skip


def worker(number: int, **facts: Any) -> WorkerRow:
    whole: dict[str, Any] = {
        "id": number, "kind": "worker", "host": "raceserver", "pid": 4711, "version": "0.1.0",
        "started_at": NOW - 9 * HOUR, "seen_at": NOW - 2_000, "ticked_at": NOW - 2_000, "doing": None,
        "stopped_at": None, "seen_age_ms": 2_000, "state": "running",
    }  # fmt: skip
    return WorkerRow(**{**whole, **facts})


WORKERS = (
    worker(3, doing="job retries"),
    worker(2, host="pits", pid=212, seen_at=NOW - 7 * MINUTE, ticked_at=NOW - 7 * MINUTE, state="silent"),
    worker(1, kind="console", pid=3_977, stopped_at=NOW - HOUR, seen_at=NOW - HOUR, state="stopped"),
)
TICKING = ScheduleHealth(2_000, 1, 0, 3, False, None)
ENDING = ScheduleHealth(3_000, 1, 0, 3, False, None)
LATE = ScheduleHealth(95_000, 0, 4 * MINUTE, 3, True, "the schedule's last tick is 95 s old")
NOBODY = ScheduleHealth(None, 0, 0, 0, False, None)

ILL = Evidence(
    at=NOW,
    outcomes=("failed", "published", "published", "failed", "unchanged", "published"),
    last_success_age_ms=12 * MINUTE,
    expired_leases=("canberraoffroad/486677",),
    held_events=2,
    open_warnings=1,
    tick_age_ms=95_000,
    tick_interval_ms=5_000,
)


def cause(kind: Kind, count: int, open_events: Sequence[str], minutes_ago: int, **facts: Any) -> FailureGroup:
    whole: dict[str, Any] = {
        "stage": "fetch", "kind": str(kind), "page_type": "race_result", "field": None, "count": count,
        "first_seen": NOW - 26 * HOUR, "last_seen": NOW - minutes_ago * MINUTE, "events": tuple(open_events),
        "event_count": len(open_events), "open_count": len(open_events), "open_events": tuple(open_events),
        "message": f"{kind}: it did not work", "remedy": "Wait, then retry.", "newest_run_id": 57,
    }  # fmt: skip
    return FailureGroup(**{**whole, **facts})


CAUSES = (
    cause(
        Kind.FIELD_MISSING, 14, ("thornhill/4863", "thornhill/4864"), 4, stage="parse", field="fast_lap",
        message="the race result page 6304829 has no column “Fastest Lap”",
        remedy="LiveRC may have changed its pages: see `mre drift list`.",
        events=("thornhill/4863", "thornhill/4864", "thornhill/4865"), event_count=3,
    ),
    cause(
        Kind.TIMEOUT, 3, (), 60 * 9, events=("canberraoffroad/486677",), event_count=1,
        message="the race result page did not come within 30 s",
    ),
)  # fmt: skip


def span(number: int, name: str, parent: int | None, began_ms: float, took_ms: float, **attributes: Any) -> Span:
    began = int(NOW * 1_000_000 + began_ms * 1e6)
    error = attributes.pop("error", None)
    return Span(number, name, parent, began, int(began + took_ms * 1e6), error, attributes)


def spans(races: int = 6, *, fails: bool = True) -> tuple[Span, ...]:
    """A run that reads a race page every second; where it fails, the last race cannot be read."""
    made = [
        span(2, "event_page_fetch", 1, 3, 412, page_type="event", request_ms=409, bytes=22_118, attempts=1),
        span(3, "page_read", 1, 416, 3, page_type="event"),
    ]
    for race in range(races):
        began, place = 1_000.0 * (race + 1), {"page_type": "race_result", "race_id": str(6_304_821 + race)}
        url = f"https://thornhill.liverc.com/results/?p=view_race_result&id={6_304_821 + race}"
        more = {"url": url, "request_ms": 320 + 40 * (race % 6), "bytes": 161_204, "attempts": 1, "method": "http"}
        broken = {"error": "FIELD_MISSING"} if fails and race == races - 1 else {}
        made.append(
            span(len(made) + 2, "race_page_fetch", 1, began - 570, 570 + 320 + 40 * (race % 6), **place, **more)
        )
        made.append(span(len(made) + 2, "lap_extraction", 1, began + 320 + 40 * (race % 6), 2.4, **place, **broken))
    end = 1_000.0 * races + 700
    if not fails:
        made.append(span(len(made) + 2, "normalise", 1, end, 41))
        made.append(span(len(made) + 2, "db_persistence", 1, end + 42, 88))
        end += 131
    outcome = {"outcome": "failed", "error": "FIELD_MISSING"} if fails else {"outcome": "published"}
    root = span(1, "event_ingestion", None, 0, end, event="thornhill/4863", run_id=57, **outcome)
    return (root, *made)


@dataclass
class FakeWatch(FakeRecovery):
    """Answers from its fields and remembers what it was asked to do."""

    taken_at: int = NOW
    events: tuple[EventLine, ...] = ()
    warnings: tuple[LogLine, ...] = ()
    evidence: Evidence | None = None  # None: what follows from the rest
    lines: tuple[ScheduleLine, ...] = SCHEDULES
    workers: tuple[WorkerRow, ...] = ()
    schedule: ScheduleHealth | None = NOBODY
    causes: tuple[FailureGroup, ...] = CAUSES
    run_spans: tuple[Span, ...] = field(default_factory=spans)
    here: str = ""  # whether this console runs the schedule
    ends_at_once: bool = True  # whether it stops as soon as it is asked to

    def failure_groups(self) -> tuple[FailureGroup, ...]:
        self._act("failure_groups")
        return self.causes

    def event_line(self, event: str) -> EventLine | None:
        self._act("event_line", event)
        return next((line for line in self.events if line.event == event), None)

    def timeline(self, run_id: int) -> tuple[Span, ...]:
        self._act("timeline", run_id)
        return self.run_spans

    def acknowledge(self, ids: Sequence[int]) -> int:
        self._act("acknowledge", tuple(ids))
        before = len(self.warnings)
        self.warnings = tuple(warning for warning in self.warnings if warning.id not in ids)
        return before - len(self.warnings)

    # ---------------------------------------------------------------- the schedule

    def schedules(self) -> tuple[ScheduleLine, ...]:
        self._act("schedules")
        return self.lines

    def job_runs(self, name: str, *, limit: int = 50) -> tuple[JobRunRow, ...]:
        self._act("job_runs", name)
        newest = self._line(name).last_run
        return () if newest is None else (newest, job_run(name, 366, "2 listings read, 10 were fresh"))

    def _line(self, name: str) -> ScheduleLine:
        return next(line for line in self.lines if line.name == name)

    def _changed(self, name: str, **facts: Any) -> ScheduleLine:
        line = msgspec.structs.replace(self._line(name), **facts)
        self.lines = tuple(line if one.name == name else one for one in self.lines)
        return line

    def edit_schedule(
        self, name: str, *, when: str | None = None, options: Mapping[str, str] | None = None
    ) -> ScheduleLine:
        self._act("edit_schedule", name, when, dict(options or {}))
        if when == "sometimes":
            raise StateError(
                Kind.USAGE,
                "the time 'sometimes' is not accepted: a cron line has five fields",
                remedy="Say `every 6h`.",
            )
        return self._changed(name, **({} if when is None else {"timing": when, "words": when}))

    def pause_schedule(self, name: str) -> ScheduleLine:
        self._act("pause_schedule", name)
        return self._changed(name, paused=True, next_due_at=None)

    def resume_schedule(self, name: str) -> ScheduleLine:
        self._act("resume_schedule", name)
        return self._changed(name, paused=False, next_due_at=NOW + HOUR)

    def run_schedule_now(self, name: str) -> ScheduleLine:
        self._act("run_schedule_now", name)
        return self._changed(name, asked=True)

    def start_schedule(self) -> None:
        self._act("start_schedule")
        self.here, self.schedule = "running", TICKING

    def stop_schedule(self) -> bool:
        self._act("stop_schedule")
        self.here, self.schedule = ("", NOBODY) if self.ends_at_once else ("stopping", ENDING)
        return self.ends_at_once

    def schedule_here(self) -> str:
        return self.here
