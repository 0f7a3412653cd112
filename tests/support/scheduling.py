"""A service whose database's clock is wound by hand, over a simulated site that is asked directly."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from mre_console.simulator.generate import World
from mre_console.simulator.site import SimulatedSite
from mre_console.simulator.specs import ClassSpec, EventSpec
from pipeline.observe import Report
from pipeline.service import Service, ServiceSettings
from pipeline.store.database import Store
from pipeline.worker import Worker
from tests.support.season import START, SeasonClock, season_store
from tests.support.site_client import SiteClient

MINUTE_S, HOUR_S, DAY_S = 60.0, 3600.0, 86_400.0
TINY = EventSpec(
    preset="tiny", classes=(ClassSpec("Stock Buggy", 3, qualifier_seconds=60, main_seconds=60),), qualifier_rounds=1
)


class Bench:
    """A service, its site and its clock; `worker` is registered and driven by hand."""

    def __init__(self, database_url: str, data: Path, *, tracks: int = 1) -> None:
        self.url, self.data = database_url, data
        self.site = SimulatedSite(World(5, tracks=tracks, events=0, catalogue_rows=tracks + 2), frozen_frame=True)
        self.client = SiteClient(self.site)
        self.clock = SeasonClock()
        self._services: list[Service] = []
        self.service = self.another_service()
        self.worker = self.another_worker()
        self.reports: list[Report] = []
        self.service.bus.subscribe(self.reports.append)

    @property
    def store(self) -> Store:
        return self.service.store

    def another_service(self, *, busy_timeout_s: float = 5.0) -> Service:
        """The same pipeline as another process has it."""
        settings = ServiceSettings(db_url=self.url, data=self.data)
        service = Service(settings, client=self.client, clock=self.clock)
        service._store = season_store(self.url, self.clock, busy_timeout_s=busy_timeout_s)
        self._services.append(service)
        return service

    def another_worker(self, service: Service | None = None) -> Worker:
        worker = Worker(service or self.service)
        worker.register()
        return worker

    def events(self, count: int = 1, *, day: str = "2026-02-25") -> list[str]:
        """Plan events on the first track and make them known; their names, newest first."""
        slug = self.site.world.real_slugs()[0]
        for _ in range(count):
            self.site.world.plan(slug, date.fromisoformat(day), TINY)
        self.site._forget()
        self.service.follow(slug)
        return [f"{row.track_slug}/{row.source_event_id}" for row in self.service.refresh_track(slug)][:count]

    def wind(self, seconds: float) -> None:
        self.clock.seconds += seconds

    def wind_to(self, text: str) -> None:
        """To a moment, UTC."""
        moment = datetime.fromisoformat(text).replace(tzinfo=UTC)
        self.clock.seconds = (moment - START).total_seconds()

    def work(self) -> int:
        """Tick, and do all that is due; how many things."""
        self.worker.tick()
        done = 0
        while self.worker.step():
            done += 1
            assert done < 500, "the work does not end"
        return done

    def only(self, *names: str) -> None:
        """Pause every other schedule, and resume these."""
        for line in self.service.schedules():
            change = self.service.resume_schedule if line.name in names else self.service.pause_schedule
            change(line.name)

    def runs_of(self, name: str) -> list[tuple[int, str | None]]:
        """(due_at, outcome) of a schedule's runs, oldest first."""
        return [(run.due_at, run.outcome) for run in self.service.job_runs(name)][::-1]

    def close(self) -> None:
        for service in self._services:
            service.close()


@pytest.fixture
def bench(database_url: str, tmp_path: Path) -> Iterator[Bench]:
    made = Bench(database_url, tmp_path / "data")
    yield made
    made.close()
