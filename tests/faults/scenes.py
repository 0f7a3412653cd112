"""A simulated site, an event on it, and a database: the stage on which processes die, stop and run out of room.

A `Scene` knows at every moment which documents may be served, and checks that what is served is one of them, whole.
"""

from __future__ import annotations

import threading
from datetime import date, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

from mre_console.simulator.faults import page_type_of
from mre_console.simulator.generate import World
from mre_console.simulator.server import Request, SimulatorServer
from mre_console.simulator.site import SimulatedSite
from mre_console.simulator.specs import ClassSpec, EventSpec
from pipeline import document
from pipeline.errors import Kind, PipelineError
from pipeline.observe import Report
from pipeline.service import Service, ServiceSettings
from pipeline.store.archive import PageArchive
from pipeline.store.database import Store
from pipeline.store.events import EventRow
from tests.faults.processes import Attempt, Launcher, Preparation

IMPATIENCE_S = 0.3  # how long the tests wait for a lock that a stopped process holds
ACTED = ("cleaned", "reset", "restored")  # how runs of recovery actions end
TABLES = ("event", "run", "lease", "transition", "journal", "event_header", "race", "result", "lap", "entry")
TINY = EventSpec(
    preset="tiny",
    classes=(ClassSpec("Stock Buggy", 3, qualifier_seconds=60, main_seconds=60),),
    qualifier_rounds=1,
)


def small_site(events: int = 1) -> SimulatedSite:
    """Events of six races and about 300 laps: a run of 50 ms."""
    return SimulatedSite(World(5, tracks=1, events=events, mix=("small",), catalogue_rows=5))


def tiny_site(events: int = 1) -> SimulatedSite:
    """Events of two races and a dozen laps."""
    world = World(5, tracks=1, events=0, catalogue_rows=5)
    for number in range(events):
        world.plan(world.real_slugs()[0], date.fromisoformat("2026-02-01") - timedelta(days=7 * number), TINY)
    return SimulatedSite(world)


class Scene:
    """One event of a served site, ingested into one database."""

    def __init__(
        self, site: SimulatedSite, server: SimulatorServer, database_url: str, data: Path, launcher: Launcher
    ) -> None:
        self.site, self.server, self.database_url, self.data = site, server, database_url, data
        self._launcher = launcher
        self.turn_to(0)

    @cached_property
    def service(self) -> Service:
        """The pipeline in this process; it opens the database when it is first asked for."""
        settings = ServiceSettings(db_url=self.database_url, data=self.data, site=self.server.url, crawl_delay=0)
        service = Service(settings)
        service._store = Store.open(self.database_url, busy_timeout_s=IMPATIENCE_S)
        return service

    # ------------------------------------------------------------------ the site

    def turn_to(self, number: int) -> None:
        """From now on the scene is about another event of the site."""
        slug, self.event_id = self.site.events()[number]
        self.name = f"{slug}/{self.event_id}"

    @property
    def pages(self) -> int:
        """How many requests a whole run makes once robots.txt is known."""
        return len(self.site.addresses(self.event_id))

    def truth(self) -> bytes:
        """What ingesting the event now must publish."""
        return document.encode(self.site.document(self.event_id))

    def correct(self) -> None:
        """Change one lap at the source: old and new differ from now on."""
        race, result = next(
            (race, result)
            for race in self.site.document(self.event_id).races
            for result in race.results
            if result.laps and result.source_driver_id
        )
        lap = result.laps[-1]
        self.site.correct_lap(
            self.event_id, race.source_race_id, result.source_driver_id or "", lap.lap_number, lap.lap_time_ms + 7
        )

    def wait_for_page(self, before: int, number: int) -> None:
        """Wait until `number` pages were asked for since there were `before` requests in the log."""
        self.server.wait_for_request(_is_page, count=before + number, timeout=30)

    def requests(self) -> int:
        """How many pages were asked for so far."""
        return sum(map(_is_page, self.server.requests))

    # ------------------------------------------------------------------ runs

    def launch(
        self,
        *options: str,
        prepare: Preparation | None = None,
        database_url: str | None = None,
        crawl_delay: float = 0,
        cold: bool = False,
    ) -> Attempt:
        """`mre ingest EVENT --json` in a process of its own."""
        arguments = ["ingest", self.name, *options, *self.settings(database_url, crawl_delay), "--json"]
        if cold:
            return self._launcher.launch_cold(arguments)
        return self._launcher.launch(arguments, prepare=prepare)

    def order(self, *words: str, prepare: Preparation | None = None) -> Attempt:
        """`mre WORDS --json`, in a process of its own, without a question."""
        return self._launcher.launch([*words, *self.settings(), "--json"], prepare=prepare)

    def settings(self, database_url: str | None = None, crawl_delay: float = 0) -> list[str]:
        """The options that every command here needs."""
        return [
            *("--db", database_url or self.database_url),
            *("--data", str(self.data)),
            *("--site", self.server.url),
            *("--crawl-delay", str(crawl_delay)),
        ]

    def ingest(self) -> str:
        """A run in this process, which must make the truth what is served; its outcome."""
        report = self.service.ingest(self.name)
        assert self.served() == self.truth()
        return report.outcome

    def recover(self) -> bool:
        """What an operator does after a process died: clear the lock where one is left, and run again.

        Returns whether a lock was left.
        """
        held = bool(self.service.locks())
        if held:
            lock = self.service.clear_lock(self.name, reason="its holder was killed")
            assert lock.verdict == "DEAD", lock.evidence
        assert self.ingest() in ("published", "unchanged")
        assert not self.service.locks()
        return held

    # ------------------------------------------------------------------ what is served

    def served(self) -> bytes | None:
        """The exported document; None where nothing is served."""
        try:
            return document.encode(self.service.export(self.name))
        except PipelineError as error:
            if error.kind in (Kind.NOTHING_TO_EXPORT, Kind.UNKNOWN_EVENT):
                return None
            raise

    def check_whole(self, *allowed: bytes | None) -> int:
        """What is served is one of the documents, and everything said about it agrees. Returns which one."""
        served = self.served()
        assert served in allowed, "what is served is neither the old document nor the new one"
        known = [event for event in self.service.events() if event.source_event_id == self.event_id]
        if known:
            self._check_row(known[0], served)
        else:
            assert served is None
        return allowed.index(served)

    def _check_row(self, row: EventRow, served: bytes | None) -> None:
        assert row.ingest_depth == ("none" if served is None else "laps_full")
        held = {lock.event: lock.run_id for lock in self.service.locks()}
        newest = next((run for run in self.service.runs(self.name) if run.id == row.last_run_id), None)
        if row.state == "running":
            assert newest is not None
            assert newest.outcome is None
            assert held == {self.name: newest.id}
        else:
            assert not held
            assert newest is None or newest.outcome is not None
        if row.state == "idle":
            assert newest is None or newest.outcome in ACTED
        if row.state == "complete":
            assert served is not None
            assert newest is not None
            assert newest.outcome in ("published", "unchanged", *ACTED)
        if served is not None:
            self._check_served_run(row, served)
        with self.service.store.read():
            partial = self.service.store.sql(
                "SELECT race.id FROM race JOIN run ON run.id = run_id WHERE NOT run.sealed"
            )
        assert not partial, "rows of a run that is not sealed"

    def _check_served_run(self, row: EventRow, served: bytes) -> None:
        document_served = self.service.export(self.name)
        results = [result for race in document_served.races for result in race.results]
        assert row.document_sha256 == document.sha256(document_served)
        assert (row.race_count, row.result_count, row.lap_count) == (
            len(document_served.races), len(results), sum(len(result.laps) for result in results),
        )  # fmt: skip
        assert row.current_run_id is not None
        manifest = self.service.run(row.current_run_id).pages_manifest
        assert manifest is not None
        archive = PageArchive(self.data / "pages")
        for page in archive.read_manifest(manifest).pages:
            assert archive.get(page.sha256)

    def everything(self) -> dict[str, list[tuple[Any, ...]]]:
        """Every row that has to do with the event, to be compared with a later picture."""
        with self.service.store.read():
            return {table: sorted(self.service.store.sql(f"SELECT * FROM {table}"), key=repr) for table in TABLES}

    def close(self) -> None:
        if "service" in self.__dict__:
            self.service.close()


class Hold:
    """Keeps a run of this process from going on when it has fetched its second race page."""

    def __init__(self, service: Service) -> None:
        self.reached, self.go_on = threading.Event(), threading.Event()
        self._seen = 0
        self._unsubscribe = service.bus.subscribe(self._hear)

    def _hear(self, report: Report) -> None:
        self._seen += report.name == "race_page_fetched"
        if self._seen == 2:
            self._unsubscribe()
            self.reached.set()
            assert self.go_on.wait(30)


def _is_page(request: Request) -> bool:
    return page_type_of(request.host, request.target) != "robots"
