"""The one frozen picture that everything on the home screen is drawn from, and how the next one is made.

A `Looker` polls the service and listens to its reports; what it hears between two polls is laid over the last snapshot,
so that runs of this process move at once and runs of other processes about once a second. Nothing here knows a widget.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from pipeline.errors import Envelope, PipelineError
from screens.background import unexpected
from screens.ports import Clock, ConsoleService

if TYPE_CHECKING:
    from pipeline.observe import Report
    from pipeline.snapshot import LiveRun, LogLine, Snapshot

EVENTS_SHOWN = 500  # rows of the window over all events
LOG_LINES_PER_LOOK = 2_000
TICK_EVERY_S = 2.0  # between two tries to release the locks of dead holders
RATE_WINDOW_S = 10.0
RATE_NEEDS_S = 0.5  # a shorter time says nothing about speed

NO_RATES: Mapping[int, float] = MappingProxyType({})


@dataclass(frozen=True)
class Picture:
    """What is known at one tick."""

    snapshot: Snapshot | None = None  # None until the first look succeeded
    seen_at: float | None = None  # when that snapshot was taken, in the console's clock
    text: str = ""  # the filter by which its events were chosen
    lines: tuple[LogLine, ...] = ()  # log lines that no picture before this one held
    rates: Mapping[int, float] = field(default_factory=lambda: NO_RATES)  # run id → pages per second
    trouble: Envelope | None = None  # why the last look failed; the snapshot is an older one then
    untidied: Envelope | None = None  # why the locks of dead holders could not be released


class Progress(NamedTuple):
    """How far a run of this process said it is."""

    stage: str | None
    done: int
    total: int | None


class RateMeter:
    """Pages per second of each run under way, over the last seconds."""

    def __init__(self) -> None:
        self._samples: dict[int, deque[tuple[float, int]]] = {}

    def note(self, runs: Mapping[int, int], now: float) -> Mapping[int, float]:
        """Take the pages done of every run under way; returns the rates that can be told."""
        self._samples = {run_id: self._samples.get(run_id, deque()) for run_id in runs}
        for run_id, done in runs.items():
            samples = self._samples[run_id]
            samples.append((now, done))
            while now - samples[0][0] > RATE_WINDOW_S:
                samples.popleft()
        rates = {run_id: rate for run_id in runs if (rate := self._rate(run_id)) is not None}
        return MappingProxyType(rates)

    def _rate(self, run_id: int) -> float | None:
        (began, before), (now, done) = self._samples[run_id][0], self._samples[run_id][-1]
        return (done - before) / (now - began) if now - began >= RATE_NEEDS_S else None


class Looker:
    """Makes pictures. `look` and `touch_up` belong to one thread; `hear` may be called from any."""

    def __init__(self, service: ConsoleService, clock: Clock) -> None:
        self._service = service
        self._clock = clock
        self._lock = threading.Lock()
        self._progress: dict[int, Progress] = {}
        self._meter = RateMeter()
        self._last_log_id = 0
        self._base = Picture()  # the newest snapshot as it came, without what was heard since
        self._next_tick = clock()
        self._untidied: Envelope | None = None

    def hear(self, report: Report) -> bool:
        """Take a report. True where it changes more than progress, so that a look is worth while now."""
        if report.name == "progress" and report.run_id is not None:
            fields = report.fields
            with self._lock:
                self._progress[report.run_id] = Progress(
                    fields.get("stage"), fields.get("done", 0), fields.get("total")
                )
        return report.severity != "debug"

    def look(self, text: str) -> Picture:
        """Ask the service; where that fails, the last picture with the reason. Never raises."""
        try:
            snapshot = self._service.snapshot(
                text=text, limit=EVENTS_SHOWN, after_log_id=self._last_log_id, log_limit=LOG_LINES_PER_LOOK
            )
        except PipelineError as error:
            self._base = replace(self._base, lines=(), trouble=error.envelope())
        except Exception as error:  # noqa: BLE001 - the console must say that it sees nothing, not die of it
            self._base = replace(self._base, lines=(), trouble=unexpected(error).envelope())
        else:
            if snapshot.log:
                self._last_log_id = snapshot.log[-1].id
            self._tidy(snapshot)
            self._base = Picture(snapshot, self._clock(), text, snapshot.log, untidied=self._untidied)
            self._forget_ended(snapshot)
        return self.touch_up(lines=self._base.lines)

    def touch_up(self, lines: tuple[LogLine, ...] = ()) -> Picture:
        """The last snapshot with the newest progress and rates; no log line comes twice."""
        snapshot = self._base.snapshot
        if snapshot is None:
            return self._base
        with self._lock:
            progress = dict(self._progress)
        live = tuple(_advanced(run, progress.get(run.run_id)) for run in snapshot.live)
        rates = self._meter.note({run.run_id: run.pages_done for run in live}, self._clock())
        return replace(self._base, snapshot=msgspec.structs.replace(snapshot, live=live), rates=rates, lines=lines)

    def _tidy(self, snapshot: Snapshot) -> None:
        """Let the service release what proven dead holders left behind; what comes of it is in a later picture."""
        left = any(lock.expired or lock.verdict == "DEAD" for lock in snapshot.locks)
        now = self._clock()
        if self._service.read_only or not left or now < self._next_tick:
            self._untidied = self._untidied if left else None
            return
        self._next_tick = now + TICK_EVERY_S
        self._untidied = None
        try:
            self._service.tick()
        except PipelineError as error:
            self._untidied = error.envelope()
        except Exception as error:  # noqa: BLE001 - as in `look`
            self._untidied = unexpected(error).envelope()

    def _forget_ended(self, snapshot: Snapshot) -> None:
        """Drop what runs said that are over; the newest run may be too new to be in the snapshot."""
        live = {run.run_id for run in snapshot.live}
        with self._lock:
            newest = max(self._progress, default=0)
            self._progress = {run: told for run, told in self._progress.items() if run in live or run == newest}


def _advanced(run: LiveRun, told: Progress | None) -> LiveRun:
    """The run with what it said last; the database is a little behind, but never ahead."""
    if told is None or told.done < run.pages_done:
        return run
    return msgspec.structs.replace(
        run, stage=told.stage or run.stage, pages_done=told.done, pages_total=told.total or run.pages_total
    )
