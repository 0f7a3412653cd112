"""The demo: the whole program against the built-in LiveRC look-alike, in a folder of its own.

Tracks are followed, events arrive and are ingested; one event fails by design at its first attempt and is fine at the
next. Without a terminal the same story is told to its end and checked against what the simulator knows to be true.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from mre_console.settings import shipped_fixtures
from mre_console.simulator.faults import Fault
from mre_console.simulator.generate import World
from mre_console.simulator.server import SimulatorServer
from mre_console.simulator.site import SimulatedSite
from pipeline import document
from pipeline.errors import Kind, PipelineError
from pipeline.ingest import IngestReport, Options
from pipeline.observe import Bus
from pipeline.service import Service, ServiceSettings

SEED = 7
TRACKS = 3
EVENTS_PER_TRACK = 3
CATALOGUE_ROWS = 60
LIVE_CRAWL_DELAY_S = 0.25  # slow enough to watch
PAUSE_BETWEEN_EVENTS_S = 2.0
PAUSE_BETWEEN_WEEKS_S = 20.0


class DemoFailed(Exception):
    """The demo did not end as it must: a fault of the program."""


class Demo:
    """A simulated LiveRC on loopback, and the settings of a service that ingests it. Use as a context manager."""

    def __init__(self, folder: Path, *, crawl_delay: float = LIVE_CRAWL_DELAY_S) -> None:
        self.site = SimulatedSite(World(SEED, tracks=TRACKS, events=EVENTS_PER_TRACK, catalogue_rows=CATALOGUE_ROWS))
        self.victim, self.broken_race = self._choose_victim()
        # Once: the first attempt meets an error page in the middle of the event, the second one does not.
        self.server = SimulatorServer(
            self.site, faults=[Fault("error_page", "race_result", id=self.broken_race, times=1)]
        )
        self.settings = ServiceSettings(
            db_url=str(folder / "demo.sqlite3"),
            data=folder / "data",
            site=self.server.url,
            crawl_delay=crawl_delay,
            fixtures=shipped_fixtures(),
        )

    def __enter__(self) -> Demo:
        self.settings.data.mkdir(parents=True, exist_ok=True)  # and with it the folder that the database is in
        self.server.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.server.close()

    def _choose_victim(self) -> tuple[str, str]:
        """The newest healthy event, as slug/id, and one of its races somewhere in the middle."""
        for slug, event_id in self.site.events():
            if self.site.failure(event_id) is None:
                races = self.site.document(event_id).races
                return f"{slug}/{event_id}", races[len(races) // 2].source_race_id
        raise DemoFailed("the simulated site has no healthy event")


class Director(threading.Thread):
    """Plays the demo live: follows the tracks, ingests what arrives, lets weeks pass. Stops when told to."""

    def __init__(self, demo: Demo, service: Service) -> None:
        super().__init__(name="demo-director", daemon=True)
        self._demo = demo
        self._service = service
        self._stop = threading.Event()

    def stop(self) -> None:
        self._stop.set()

    def run(self) -> None:
        try:
            with self._service.store.connection_scope():
                self._play()
        except PipelineError:
            return  # the program is closing; failures of single events were recorded with their runs

    def _play(self) -> None:
        service, site = self._service, self._demo.site
        service.sync_tracks()
        slugs = list(dict.fromkeys(slug for slug, _ in site.events()))
        for slug in slugs:
            service.follow(slug)
        while not self._stop.is_set():
            for slug in slugs:
                service.refresh_track(slug)
            due = [name for slug, event_id in site.events() if not self._is_known_well(name := f"{slug}/{event_id}")]
            for name in sorted(due, key=lambda name: name != self._demo.victim):
                if self._stop.is_set():
                    return
                self._ingest(name)
                self._stop.wait(PAUSE_BETWEEN_EVENTS_S)
            self._stop.wait(PAUSE_BETWEEN_WEEKS_S)
            site.advance(days=7)

    def _is_known_well(self, name: str) -> bool:
        """Served, or failed before: what failed waits for the person who watches."""
        row = self._service.event(name)
        return row.ingest_depth != "none" or row.state == "failed"

    def _ingest(self, name: str) -> None:
        try:
            self._service.ingest(name, Options(trigger="schedule"))
        except PipelineError as error:
            if error.kind is Kind.INTERRUPTED:
                raise


def tell(folder: Path, say: Callable[[str], None]) -> None:
    """Play the demo without a terminal, faster than life: ingest, fail, recover, correct; every step is checked.

    Raises:
        DemoFailed: something did not come out as the simulator knows it must.
    """
    with Demo(folder, crawl_delay=0.0) as demo, Service(demo.settings, bus=Bus()) as service:
        story = _Story(demo, service, say)
        story.follow()
        story.fail_and_recover()
        story.ingest_the_rest()
        story.nothing_new()
        story.correction_upstream()
        say("")
        totals = service.status().totals
        served = f"{totals.races} races, {totals.results} results, {totals.laps:,} laps"
        say(f"Served now: {totals.served} events, {served}.")
        say("Every served event equals what the simulator knows to be true.")


class _Story:
    """The chapters of the demo without a terminal."""

    def __init__(self, demo: Demo, service: Service, say: Callable[[str], None]) -> None:
        self.demo, self.service, self.say = demo, service, say

    def follow(self) -> None:
        counts = self.service.sync_tracks()
        self.say(f"Read the track catalogue: {counts.new} tracks.")
        for slug in dict.fromkeys(slug for slug, _ in self.demo.site.events()):
            self.service.follow(slug)
            rows = self.service.refresh_track(slug)
            self.say(f"Following {slug}: {len(rows)} events listed.")

    def fail_and_recover(self) -> None:
        victim = self.demo.victim
        self.say(f"\nIngesting {victim}, one of whose race pages answers with an error page:")
        error = self._must_fail(victim)
        self.say(f"  failed in stage {error.stage} ({error.kind}): {error.message}")
        row = self.service.event(victim)
        if row.state != "failed" or row.ingest_depth != "none":
            raise DemoFailed(f"{victim} shows {row.state}/{row.ingest_depth} after a failed run")
        self.say("  nothing of it is served: an event is published whole, or not at all.")
        self.say("Retrying it:")
        self._must_publish(victim)

    def ingest_the_rest(self) -> None:
        self.say("\nIngesting every other event:")
        for slug, event_id in self.demo.site.events():
            name = f"{slug}/{event_id}"
            expected = self.demo.site.failure(event_id)
            if name == self.demo.victim:
                continue
            if expected is None:
                self._must_publish(name)
                continue
            error = self._must_fail(name)
            if error.kind is not expected:
                raise DemoFailed(f"{name} failed with {error.kind}, and should have with {expected}")
            self.say(f"  {name} failed, rightly ({error.kind}): {error.message}")

    def nothing_new(self) -> None:
        report = self.service.ingest(self.demo.victim)
        if report.outcome != "unchanged":
            raise DemoFailed(f"an unchanged event came out as {report.outcome}")
        self.say(f"\nIngesting {self.demo.victim} again: unchanged, no row written (run {report.run_id}).")

    def correction_upstream(self) -> None:
        event_id = self.demo.victim.rpartition("/")[2]
        race = next(race for race in self.demo.site.document(event_id).races if any(r.laps for r in race.results))
        result = next(result for result in race.results if result.laps and result.source_driver_id)
        lap = result.laps[-1]
        self.demo.site.correct_lap(
            event_id, race.source_race_id, result.source_driver_id or "", lap.lap_number, lap.lap_time_ms + 1_000
        )
        self.say("\nThe race director corrects a lap at the source; ingesting once more:")
        self._must_publish(self.demo.victim)

    def _must_publish(self, name: str) -> IngestReport:
        report = self.service.ingest(name)
        truth = self.demo.site.document(name.rpartition("/")[2])
        if report.outcome != "published" or document.encode(self.service.export(name)) != document.encode(truth):
            raise DemoFailed(f"{name} came out as {report.outcome}, unlike what the simulator generated")
        self.say(
            f"  {name} published by run {report.run_id}: {report.races} races, {report.results} results, "
            f"{report.laps} laps in {report.seconds:.1f} s"
        )
        return report

    def _must_fail(self, name: str) -> PipelineError:
        try:
            self.service.ingest(name)
        except PipelineError as error:
            return error
        raise DemoFailed(f"{name} was published, although its pages are broken")
