"""A simulated season: weeks of events on many tracks, a clock that is wound on, and everything that goes wrong.

The pipeline is the real one, with the real client; its transport answers from a simulated site in this process. All
clocks are one: monotonic time only grows, the database's may jump.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import httpcore
import httpx
from msgspec.structs import replace
from peewee import SQL

from mre_console.simulator.generate import World
from mre_console.simulator.site import SimulatedSite
from mre_console.simulator.specs import ClassSpec, EventSpec, Failure
from pipeline import document
from pipeline.liverc.client import Client, ClientSettings
from pipeline.liverc.errand import Clock
from pipeline.liverc.shared_state import StoreState
from pipeline.service import Service, ServiceSettings
from pipeline.store import wanted
from pipeline.store.database import Store
from pipeline.worker import Worker

START = datetime(2026, 3, 1, tzinfo=UTC)
HOUR_S = 3600.0
DELAY_S = 1.0
TINY = EventSpec(
    preset="tiny",
    classes=(ClassSpec("Stock Buggy", 3, qualifier_seconds=60, main_seconds=60),),
    qualifier_rounds=1,
)


class SeasonClock(Clock):
    """Monotonic seconds that pass only where somebody waits, and the database's clock, which may be set."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.ahead_s = 0.0  # how wrong the database's clock is
        self._lock = threading.Lock()

    def now(self) -> float:
        return self.seconds

    def wall(self) -> float:
        return START.timestamp() + self.seconds

    def wait(self, seconds: float, stop: threading.Event | None) -> None:
        with self._lock:
            self.seconds += seconds

    def database_ms(self) -> int:
        return round((self.wall() + self.ahead_s) * 1000)


class SeasonStore(Store):
    """A database that takes its time from the season's clock."""

    season_clock: SeasonClock | None = None

    def now_ms(self) -> SQL:
        return super().now_ms() if self.season_clock is None else SQL(str(self.season_clock.database_ms()))


def season_store(url: str, clock: SeasonClock, *, busy_timeout_s: float = 5.0) -> Store:
    """A database opened on the season's clock."""
    store = SeasonStore.open(url, busy_timeout_s=busy_timeout_s)
    assert isinstance(store, SeasonStore)
    store.season_clock = clock
    if store.engine == "sqlite":
        store.sql("PRAGMA synchronous = OFF")  # nothing dies here; a month of heartbeats would take minutes
    return store


class SeasonTransport(httpx.BaseTransport):
    """Answers from the site, unless it is away or asks for patience. Remembers when each request began."""

    def __init__(self, site: SimulatedSite, clock: SeasonClock, rng: Random) -> None:
        self.site, self.clock, self._rng = site, clock, rng
        self.began: list[float] = []
        self.asked: Counter[str] = Counter()
        self.statuses: Counter[int] = Counter()
        self.away = False
        self.busy_share = 0.0  # answered with 429

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.began.append(self.clock.now())
        self.clock.wait(0.05, None)
        if self.away:
            self.statuses[0] += 1
            raise httpcore.ConnectError("the site is away")
        if self._rng.random() < self.busy_share:
            self.statuses[429] += 1
            return httpx.Response(
                429, headers={"Retry-After": "90", "Content-Type": "text/html"}, stream=httpx.ByteStream(b"")
            )
        target = request.url.raw_path.decode()
        self.asked[target] += 1
        answer = self.site.answer(request.headers["Host"], target)
        status = 404 if answer is None else answer.status
        self.statuses[status] += 1
        body = b"<html></html>" if answer is None else answer.body
        return httpx.Response(status, headers=answer.headers if answer else {}, stream=httpx.ByteStream(body))


class Change(NamedTuple):
    """Something that happens to the world at a moment."""

    at_s: float
    what: Callable[[], None]


class Season:
    """The world, its trouble, and the pipeline that has to cope. `play` runs it and checks at every step."""

    def __init__(
        self, database_url: str, data: Path, *, tracks: int, days: int, every_days: int, seed: int = 1
    ) -> None:
        self.rng = Random(seed)
        self.days = days
        self.clock = SeasonClock()
        world = World(seed, tracks=tracks, events=0, catalogue_rows=tracks, now=START.replace(tzinfo=None))
        self.site = SimulatedSite(world, frozen_frame=True)
        self.transport = SeasonTransport(self.site, self.clock, self.rng)
        store = season_store(database_url, self.clock)
        self.store = store
        settings = ServiceSettings(db_url=database_url, data=data, site="http://127.0.0.1:9", crawl_delay=DELAY_S)
        client_settings = ClientSettings(version="1", stand_in="http://127.0.0.1:9", crawl_delay_s=DELAY_S)
        client = Client(client_settings, StoreState(store), clock=self.clock)
        client._transport = self.transport  # type: ignore[assignment]
        self.service = Service(settings, client=client, clock=self.clock)
        self.service._store = store
        self.worker = self._new_worker()
        self.versions: Counter[str] = Counter()  # event → how often its data changed, its first version included
        self.events: list[str] = []
        self.changes: list[Change] = []
        self.most_wanted = 0
        self.most_of_a_track = 0
        self._plan_events(every_days)

    def _new_worker(self) -> Worker:
        worker = Worker(self.service)
        worker.register()
        return worker

    # ------------------------------------------------------------------ what will happen

    def _plan_events(self, every_days: int) -> None:
        world = self.site.world
        for track, slug in enumerate(world.real_slugs()):
            first = 1 + track % every_days
            for day in range(first, self.days, every_days):
                spec = replace(TINY, failure=Failure.NO_SCRIPT) if self.rng.random() < 0.1 else TINY
                starts_on = (START + timedelta(days=day)).date()
                event_id = world.plan(slug, starts_on, spec).event_id
                self.events.append(event_id)
                self._plan_changes(event_id, starts_on, spec)

    def _plan_changes(self, event_id: str, starts_on: date, spec: EventSpec) -> None:
        """Corrections at the source fall inside the window, whose end no look may miss."""
        self.versions[event_id] = 1
        day_s = (datetime(starts_on.year, starts_on.month, starts_on.day, tzinfo=UTC) - START).total_seconds()
        if spec.failure is not None:
            self.at(day_s + 72 * HOUR_S, lambda: self.site.repair(event_id))
            return
        for _ in range(self.rng.choice((0, 0, 1, 2))):
            self.at(day_s + self.rng.uniform(30, 200) * HOUR_S, lambda: self._correct(event_id))

    def _correct(self, event_id: str) -> None:
        race, result = next(
            (race, result)
            for race in self.site.document(event_id).races
            for result in race.results
            if result.laps and result.source_driver_id
        )
        lap = result.laps[-1]
        self.site.correct_lap(
            event_id, race.source_race_id, result.source_driver_id or "", lap.lap_number, lap.lap_time_ms + 7
        )
        self.versions[event_id] += 1

    def at(self, seconds: float, what: Callable[[], None]) -> None:
        self.changes.append(Change(seconds, what))

    def set(self, thing: Any, name: str, value: object, *, hour: float, hours: float) -> None:
        """Something is so from an hour on, for some hours; then it is what it was."""
        before = getattr(thing, name)
        self.at(hour * HOUR_S, lambda: setattr(thing, name, value))
        self.at((hour + hours) * HOUR_S, lambda: setattr(thing, name, before))

    def worker_dies(self, hour: float) -> None:
        """Another one takes its place; nobody says goodbye."""

        def die() -> None:
            self.worker = self._new_worker()

        self.at(hour * HOUR_S, die)

    # ------------------------------------------------------------------ playing

    def play(self, *, tick_s: float = 600.0, days_after: int = 10) -> None:
        """From the first day until every window is closed."""
        for slug in self.site.world.real_slugs():
            self.service.follow(slug)
        self.service.resume_schedule("recent")
        self.changes.sort(key=lambda change: change.at_s)
        end_s = (self.days + days_after) * 24 * HOUR_S
        next_tick = 0.0
        while next_tick < end_s:
            self.clock.seconds = max(self.clock.seconds, next_tick)
            next_tick = self.clock.seconds + tick_s
            self._let_things_happen()
            self.worker.tick()
            while self.worker.step():
                self._watch_caps()

    def _let_things_happen(self) -> None:
        while self.changes and self.changes[0].at_s <= self.clock.seconds:
            self.changes.pop(0).what()
        with self.site._lock:
            self.site.world.now = datetime.fromtimestamp(self.clock.wall(), UTC).replace(tzinfo=None)
            self.site._forget()

    def _watch_caps(self) -> None:
        by_track = wanted.pending_by_track(self.store)
        self.most_wanted = max(self.most_wanted, sum(by_track.values()))
        self.most_of_a_track = max(self.most_of_a_track, *by_track.values(), 0)

    # ------------------------------------------------------------------ what became of it

    def published(self) -> Counter[str]:
        """Event → how often it was published."""
        with self.store.read():
            rows = self.store.sql(
                "SELECT event.source_event_id FROM run JOIN event ON event.id = run.event_id "
                "WHERE run.outcome = 'published'"
            )
        return Counter(event_id for (event_id,) in rows)

    def wrong(self) -> dict[str, str]:
        """Events that do not serve the truth → what is wrong."""
        found: dict[str, str] = {}
        for event_id in self.events:
            row = next((row for row in self.service.events(text=event_id) if row.source_event_id == event_id), None)
            if row is None or row.ingest_depth == "none":
                found[event_id] = f"not served: {row}"
            elif document.encode(self.service.export(event_id)) != document.encode(self.site.document(event_id)):
                found[event_id] = f"another version is served, state {row.state}"
        return found

    def looks(self) -> Counter[str]:
        """Event → how often it was ingested without a failure."""
        with self.store.read():
            rows = self.store.sql(
                "SELECT event.source_event_id FROM run JOIN event ON event.id = run.event_id "
                "WHERE run.outcome IN ('published', 'unchanged')"
            )
        return Counter(event_id for (event_id,) in rows)

    def runs(self) -> int:
        """How many ingestions there were in all."""
        with self.store.read():
            return int(self.store.sql("SELECT COUNT(*) FROM run")[0][0])

    def shortest_gap_s(self) -> float:
        """Between two requests at the site, by monotonic time."""
        began = self.transport.began
        return min(later - earlier for earlier, later in pairwise(began))

    def close(self) -> None:
        self.service.close()
