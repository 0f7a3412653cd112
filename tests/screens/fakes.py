"""A pipeline made of values: a service that answers what a test gave it, a clock that stands still, frozen pictures."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from mre_console.app import ConsoleApp
from pipeline.control import ControlState
from pipeline.errors import Kind, PipelineError, StateError
from pipeline.health import Evidence, judge
from pipeline.holders import Holder
from pipeline.ingest import IngestReport
from pipeline.leases import LockView
from pipeline.resources import OldestRun, Resources
from pipeline.snapshot import EventLine, LapLine, LiveRun, LogLine, RaceLine, ResultLine, Snapshot, Totals
from pipeline.store.control import ControlRow
from pipeline.terminating import Termination
from pipeline.verdicts import Verdict
from screens.picture import Looker, Picture
from screens.ports import Clock, ConsoleService
from tests.screens.fake_drift import FakeDrift
from tests.screens.fake_watch import FakeWatch

NOW = 1_763_313_000_000  # 2025-11-16 17:10:00 UTC
MINUTE = 60_000


@dataclass
class StillClock:
    """Stands until it is moved."""

    now: float = 100.0

    def __call__(self) -> float:
        return self.now


class StillSource:
    """Makes a picture when asked to, in the caller's thread: at the start, for a filter, after a change made here."""

    def __init__(self, service: ConsoleService, clock: Clock, deliver: Callable[[Picture], object]) -> None:
        self._looker = Looker(service, clock)
        self._deliver = deliver
        self._text = ""
        self.stopped = False

    def start(self) -> None:
        self.look()

    def stop(self) -> None:
        self.stopped = True

    def look_for(self, text: str) -> None:
        self._text = text
        self.look()

    def nudge(self) -> None:
        self.look()

    def taken(self) -> None:
        """Nothing waits for that here."""

    def look(self) -> None:
        self._deliver(self._looker.look(self._text))


@dataclass
class FakeService(FakeWatch, FakeDrift):
    """Answers from its fields and remembers what it was asked to do."""

    shown_database: str = "~/.local/share/mre/mre.sqlite3"
    shown_site: str = "liverc.com"
    live: tuple[LiveRun, ...] = ()
    locks: tuple[LockView, ...] = ()
    log: tuple[LogLine, ...] = ()
    event_races: tuple[RaceLine, ...] = ()
    race_results: tuple[ResultLine, ...] = ()
    result_laps: tuple[LapLine, ...] = ()
    log_of_run: tuple[LogLine, ...] = ()
    contact: str | None = "ops@example.org"
    broken: PipelineError | None = None  # every look fails with it
    running: int = 0
    read_only: bool = False
    switch: ControlRow = field(default_factory=ControlRow)
    frees_itself: bool = True  # whether a holder stops when it is asked to
    tick_fails: Exception | None = None
    ticks: int = 0
    machine: Resources | None = None
    done: Callable[[Any], None] | None = None
    stopped: threading.Event = field(default_factory=threading.Event)

    def snapshot(self, *, text: str = "", limit: int = 500, after_log_id: int = 0, log_limit: int = 2_000) -> Snapshot:
        if self.broken is not None:
            raise self.broken
        matching = tuple(line for line in self.events if text in f"{line.event_name} {line.event} {line.state}".lower())
        states = sorted({line.state for line in self.events})
        served = [line for line in self.events if line.current_run_id is not None]
        return Snapshot(
            taken_at=self.taken_at,
            totals=Totals(
                events=len(self.events),
                events_by_state={state: sum(line.state == state for line in self.events) for state in states},
                served=len(served),
                races=sum(line.races for line in served),
                results=sum(line.results for line in served),
                laps=sum(line.laps for line in served),
            ),
            events=matching[:limit],
            events_matching=len(matching),
            live=self.live,
            locks=self.locks,
            warnings=self.warnings,
            log=tuple(line for line in self.log if line.id > after_log_id)[-log_limit:],
            control=self.switch,
            workers=self.workers,
            schedule=self.schedule,
            health=judge(self.evidence or self._evidence()),
            **self._drift(),
        )

    def _evidence(self) -> Evidence:
        """What follows from the fields."""
        return Evidence(
            at=self.taken_at,
            mode=self.switch.mode,
            mode_reason=self.switch.reason,
            expired_leases=tuple(lock.event for lock in self.locks if lock.expired),
            open_warnings=len(self.warnings),
        )

    def add_event(self, event: str) -> object:
        self._act("add_event", event)
        return None

    def start_ingest(self, event: str, *, done: Callable[[IngestReport | PipelineError], None] | None = None) -> object:
        self._act("start_ingest", event)
        self.done = done
        return None

    def follow(self, slug: str) -> object:
        self._act("follow", slug)
        return None

    def refresh_track(self, slug: str) -> tuple[object, ...]:
        self._act("refresh_track", slug)
        return ("one", "two")

    def needs_contact(self) -> bool:
        return self.contact is None

    def save_contact(self, contact: str) -> None:
        if "@" not in contact:
            raise StateError(
                Kind.USAGE, f"contact = '{contact}' is not accepted", remedy="Give an e-mail address or an http(s) URL."
            )
        self.contact = contact

    def races(self, event_id: int) -> tuple[RaceLine, ...]:
        self._act("races", event_id)
        return self.event_races

    def results(self, race_id: int) -> tuple[ResultLine, ...]:
        self._act("results", race_id)
        return self.race_results

    def laps(self, result_id: int) -> tuple[LapLine, ...]:
        self._act("laps", result_id)
        return self.result_laps

    def run_log(self, run_id: int, limit: int = 1_000) -> tuple[LogLine, ...]:
        self._act("run_log", run_id)
        return self.log_of_run

    # ---------------------------------------------------------------- locks, the switch, the machine

    def tick(self) -> object:
        self.ticks += 1
        if self.tick_fails is not None:
            raise self.tick_fails
        return None

    def _lock(self, event: str) -> LockView:
        found = next((lock for lock in self.locks if lock.event == event), None)
        if found is None:
            raise StateError(Kind.USAGE, "the event is not locked: nobody is working on it")
        return found

    def cancel(self, event: str) -> LockView:
        self._act("cancel", event)
        return self._lock(event)

    def wait_until_free(self, lock: LockView, seconds: float) -> bool:
        if self.frees_itself:
            self._free(lock)
        return self.frees_itself

    def _free(self, lock: LockView) -> None:
        self.locks = tuple(other for other in self.locks if other.event_id != lock.event_id)

    def clear_lock(self, event: str, *, reason: str, token: int, confirm: str | None = None) -> LockView:
        self._act("clear_lock", event, reason, token, confirm)
        lock = self._lock(event)
        self._free(lock)
        return lock

    def terminate_holder(self, event: str, *, reason: str, token: int, confirm: str | None = None) -> Termination:
        self.called.append(("terminate_holder", event, reason, token, confirm))
        lock = self._lock(event)
        self._free(lock)
        return Termination(lock, ("SIGTERM to process 4711", "it ended"), cleared=True, with_it=())

    def control(self) -> ControlState:
        switch, needs = self.switch, self.enable_needs
        return ControlState(
            switch.mode, switch.reason, switch.changed_by, switch.changed_at, None, None, needs is None, needs
        )

    def disable(self, *, reason: str, protect: bool = False) -> ControlState:
        self._act("disable", reason, protect)
        self.switch = ControlRow("protected" if protect else "disabled", reason, "ann", self.taken_at)
        return self.control()

    def enable(self, *, reason: str = "") -> ControlState:
        self._act("enable", reason)
        self.switch = ControlRow("enabled", None, "ann", self.taken_at)
        return self.control()

    def resources(self) -> Resources:
        self._act("resources")
        return self.machine or MACHINE

    # ---------------------------------------------------------------- ending

    def stop(self, message: str) -> None:
        self.called.append(("stop", message))
        self.stopped.set()

    def running_here(self) -> int:
        return self.running


def console(service: FakeService, clock: StillClock | None = None) -> ConsoleApp:
    return ConsoleApp(service, clock=clock or StillClock(), make_source=StillSource)


# ---------------------------------------------------------------- an invented pipeline in every state


def failure(kind: Kind, message: str, **details: Any) -> PipelineError:
    return PipelineError(kind, message, **details)


def event(number: int, **facts: Any) -> EventLine:
    line = EventLine(
        event_id=number,
        event=f"thornhill/{4860 + number}",
        event_name=f"Club Day {number}",
        start_date="2025-11-16",
        state="idle",
        ingest_depth="none",
        current_run_id=None,
        last_ingested_at=None,
        last_checked_at=None,
        races=0,
        results=0,
        laps=0,
        failure=None,
        failed_at=None,
    )
    return msgspec.structs.replace(line, **facts)


def served(number: int, run_id: int, minutes_ago: int, **facts: Any) -> EventLine:
    at = NOW - minutes_ago * MINUTE
    whole = {
        "state": "complete",
        "ingest_depth": "laps_full",
        "current_run_id": run_id,
        "last_ingested_at": at,
        "last_checked_at": at,
        "races": 14 + number,
        "results": 126 + 9 * number,
        "laps": 4_129 + 333 * number,
    }
    return event(number, **{**whole, **facts})


BROKEN_RACE = failure(
    Kind.PAGE_UNRECOGNISED,
    "the answer for race 6304829 is not a race result page",
    url="https://thornhill.liverc.com/results/?p=view_race_result&id=6304829",
    page_type="race_result",
    race_id="6304829",
    race_label="1/8 Nitro Buggy A-Main",
    run_id=57,
    event="thornhill/4863",
)

EVENTS = (
    event(1, state="running", event_name="Winter Series Round 3", start_date="2025-11-23"),
    served(
        2,
        41,
        60 * 26,
        state="running",
        event_name="Nitro Challenge",
        start_date="2025-11-22",
        event="canberraoffroad/486677",
    ),
    served(
        3,
        41,
        60 * 50,
        state="failed",
        event_name="Spring Cup",
        failure=BROKEN_RACE.envelope(),
        failed_at=NOW - 4 * MINUTE,
    ),
    event(
        4,
        state="failed",
        event_name="Thunder “Off-Road” & Friends",
        failure=failure(Kind.NO_RACES, "event 4864 has no races on its page", run_id=58).envelope(),
        failed_at=NOW - 90 * MINUTE,
    ),
    served(5, 33, 3, event_name="Club Day 5"),
    served(6, 29, 60 * 24 * 12, last_checked_at=NOW - 7 * MINUTE, event_name="試合 第6回", start_date="2025-10-31"),
    event(7, event_name=None, start_date=None),
)

LIVE = (
    LiveRun(
        run_id=60, event_id=1, event="thornhill/4861", event_name="Winter Series Round 3", trigger="console",
        stage="fetch", pages_done=12, pages_total=34, elapsed_ms=14_200, stage_ms={"fetch": 12_900, "parse": 640},
    ),
    LiveRun(
        run_id=59, event_id=2, event="canberraoffroad/486677", event_name="Nitro Challenge", trigger="schedule",
        stage="publish", pages_done=33, pages_total=33, elapsed_ms=41_000,
        stage_ms={"fetch": 36_000, "parse": 2_100, "normalise": 310},
    ),
)  # fmt: skip

HOLDER = Holder(host="raceserver", boot_id="b", pid=4711, process_started=0.0, thread="ingest-4861", version="0.1.0")


def lock(number: int, run_id: int, verdict: Verdict, evidence: str, **facts: Any) -> LockView:
    whole: dict[str, Any] = {
        "event_id": number,
        "event": f"thornhill/{4860 + number}",
        "event_name": None,
        "run_id": run_id,
        "token": 7,
        "holder": HOLDER,
        "verdict": verdict,
        "evidence": evidence,
        "heartbeat_age_ms": 2_000,
        "acquired_at": NOW - 14_000,
        "expired": False,
        "progress": "fetch 12/34",
    }
    return LockView(**{**whole, **facts})


LOCKS = (
    lock(1, 60, Verdict.ALIVE, "process 4711 is running"),
    lock(
        2, 59, Verdict.DEAD, "process 4690 does not exist any more", event="canberraoffroad/486677",
        heartbeat_age_ms=95_000, acquired_at=NOW - 140_000, expired=True, progress="publish 33/33",
    ),
)  # fmt: skip

_MESSAGES = (
    ("info", "ingestion_start", "run 60 of thornhill/4861 begins"),
    (
        "debug",
        "race_page_fetched",
        "https://thornhill.liverc.com/results/?p=view_race_result&id=7001: 161,204 bytes in 412 ms",
    ),
    ("info", "event_page_read", "Winter Series Round 3: 32 races, 71 entries"),
    ("warning", "validation_laps_shown", "race 7003, A. DRIVER: the table shows 17 laps, the lap script holds 16"),
    ("error", "ingestion_failed", "the answer for race 6304829 is not a race result page"),
)


def log_lines(count: int, *, first: int = 1) -> tuple[LogLine, ...]:
    """Lines that go round through every severity, a second apart."""
    return tuple(
        LogLine(
            id=number,
            at=NOW - 60_000 + number * 1_000,
            severity=severity,
            name=name,
            message=f"{message} [{number}]",
            event="thornhill/4861",
            run_id=60,
        )
        for number in range(first, first + count)
        for severity, name, message in (_MESSAGES[number % len(_MESSAGES)],)
    )


WARNINGS = (
    LogLine(
        id=3, at=NOW - 30 * MINUTE, severity="warning", name="lock_cleared",
        message="lock of thornhill/4863 (run 55) cleared by operator: new machine; holder was DEAD: restarted since",
        event="thornhill/4863", run_id=55,
    ),
)  # fmt: skip

DISABLED = ControlRow("disabled", "LiveRC changed its pages", "ann", NOW - 12 * MINUTE)

GIB = 1024**3
MACHINE = Resources(
    engine="sqlite",
    database_bytes=412 * 1024**2,
    folder="/home/ann/.local/share/mre",
    disk_free=38 * GIB,
    disk_total=119 * GIB,
    process_memory=86 * 1024**2,
    memory_available=5 * GIB,
    memory_total=16 * GIB,
    open_files=27,
    open_files_limit=1_024,
    runs=2,
    oldest_run=OldestRun(59, "canberraoffroad/486677", 41_000),
)

RACES = tuple(
    RaceLine(
        race_id=100 + number,
        source_race_id=str(7000 + number),
        race_order=number,
        class_name="1/8 Nitro Buggy" if number % 2 else "1/8 Electric Buggy",
        race_label=f"1/8 {'Nitro' if number % 2 else 'Electric'} Buggy {'ABCD'[number % 4]}-Main",
        round="Main Events" if number > 4 else "Qualifier Round 1",
        race_number=number,
        completed_at_local=f"2025-11-16T{8 + number:02}:30:00",
        length_seconds=1_800 if number > 4 else 420,
        results=8 + number % 3,
        laps=150 + number,
        winner="RICHARD BRATTON" if number % 2 else "CONOR MERRIGAN",
    )
    for number in range(1, 9)
)
RESULTS = tuple(
    ResultLine(
        result_id=900 + position,
        position=position,
        driver_name=("RICHARD BRATTON", "CONOR MERRIGAN", "ÅSA LINDQVIST", "JO O'NEIL", "D. N. START")[position - 1],
        car_number=position + 3,
        qualifying_position=6 - position,
        laps_completed=47 - position if position < 5 else 0,
        total_time_ms=1_802_345 + 4_321 * position if position < 5 else None,
        behind=None if position == 1 else f"{position * 3.2:.3f}" if position < 5 else "DNS",
        fast_lap_ms=37_234 + 120 * position if position < 5 else None,
        fast_lap_number=10 + position if position < 5 else None,
        avg_lap_ms=38_405 + 150 * position if position < 5 else None,
        consistency_milli=96_120 - 700 * position if position < 5 else None,
        grid_position=position,
    )
    for position in range(1, 6)
)


def laps() -> tuple[LapLine, ...]:
    """46 laps with a slow start, one crash and a fastest lap."""
    lines, elapsed = [], 0
    for number in range(1, 47):
        time = 38_400 + (number * 7_919) % 1_600 - 800 + (6_000 if number == 1 else 0) + (41_000 if number == 23 else 0)
        time = 37_234 if number == 11 else time
        elapsed += time
        lines.append(LapLine(number, time, elapsed, 1 + number % 3, f"{47}/30:{number:02}.5"))
    return tuple(lines)


def busy_service(**facts: Any) -> FakeService:
    """A pipeline in which everything happens at once."""
    service = FakeService(
        events=EVENTS,
        live=LIVE,
        locks=LOCKS,
        warnings=WARNINGS,
        log=log_lines(60),
        event_races=RACES,
        race_results=RESULTS,
        result_laps=laps(),
        log_of_run=log_lines(12),
    )
    return replace(service, **facts)
