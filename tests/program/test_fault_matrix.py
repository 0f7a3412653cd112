"""Every fault of the simulator on every page type: the right name for it, nothing changed, and the next run is fine.

Event, race and entry-list pages are met by an ingestion; catalogue, dashboard and events listing by the commands that
read them. What the database holds is older than what the site now says, so a page wrongly taken would show.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import asdict, replace

from mre_console.simulator.faults import KINDS, Fault
from mre_console.simulator.generate import World
from mre_console.simulator.server import SimulatorServer
from mre_console.simulator.site import SimulatedSite
from pipeline import document, records
from pipeline.errors import Kind, PipelineError
from pipeline.liverc.client import Client, ClientSettings
from pipeline.service import Service, ServiceSettings

BYTE_CAP = 2 * 1024 * 1024
TOO_MUCH = 2 * BYTE_CAP
SHORT_DEADLINE_S = 0.4
SLOW = ("slow", "drip")

PAGES = ("event", "race_result", "entry_list", "track_catalogue", "track_dashboard", "events_listing")
FINE = None

# Fault rule → what it must lead to on each of PAGES; one name stands for all six. FINE: the page is whole all the same.
EXPECTED: dict[str, Kind | tuple[Kind | None, ...] | None] = {
    "slow": Kind.TIMEOUT,
    "drip": Kind.TIMEOUT,
    # An entry list that is linked but gone is no failure: the document then has none.
    "404": (Kind.NOT_FOUND, Kind.NOT_FOUND, FINE, Kind.NOT_FOUND, Kind.NOT_FOUND, Kind.NOT_FOUND),
    "missing_race": (Kind.NOT_FOUND, Kind.NOT_FOUND, FINE, Kind.NOT_FOUND, Kind.NOT_FOUND, Kind.NOT_FOUND),
    "500": Kind.SERVER_ERROR,
    "503": Kind.SERVER_ERROR,
    "503:retry_after=3600": Kind.SERVER_ERROR,
    "429": Kind.RATE_LIMITED,
    "429:retry_after=3600:form=date": Kind.RATE_LIMITED,
    "reset": Kind.CONNECTION_LOST,
    "reset:at=-1": Kind.CONNECTION_LOST,
    "cut": Kind.TRUNCATED,
    "cut:how=close": Kind.TRUNCATED,
    "cut:how=chunked": Kind.TRUNCATED,
    "cut:how=gzip": Kind.TRUNCATED,
    "error_page": Kind.PAGE_UNRECOGNISED,
    "empty_shell": (
        Kind.NO_RACES, Kind.FIELD_MISSING, Kind.PAGE_UNRECOGNISED,
        Kind.FIELD_MISSING, Kind.PAGE_UNRECOGNISED, Kind.FIELD_MISSING,
    ),
    "redirect": Kind.REDIRECT_REFUSED,
    "redirect_loop": Kind.REDIRECT_REFUSED,
    "changed_markup": (
        Kind.FIELD_INVALID, Kind.FIELD_MISSING, Kind.FIELD_MISSING,
        Kind.FIELD_MISSING, Kind.FIELD_MISSING, Kind.FIELD_MISSING,
    ),
    f"huge:bytes={TOO_MUCH}": Kind.TOO_LARGE,
    f"bomb:bytes={TOO_MUCH}": Kind.TOO_LARGE,
    "content_type": FINE,  # a page that is whole is believed more than the label that a proxy put on it
    "binary": Kind.PAGE_UNRECOGNISED,
}  # fmt: skip


# How each page changes, so that something it needs is not where it was: races' links, a table's class or id, a heading.
CHANGES = {
    "event": ("p=view_race_result", "p=show_race"),
    "race_result": ("race_result", "results_grid"),
    "entry_list": ("<th>Driver</th>", "<th>Who</th>"),
    "track_catalogue": ("track_list", "tracks"),
    "track_dashboard": ("<h1", "<h2"),
    "events_listing": ('id="events"', 'id="archive"'),
}


def the_fault(rule: str, page_type: str) -> Fault:
    kind, _, parameters = rule.partition(":")
    if kind == "changed_markup":
        find, put = CHANGES[page_type]
        return Fault(kind, page_type, find=find, replace=put)
    return Fault.parse(":".join(filter(None, (kind, page_type, parameters))))


def expected(rule: str, page_type: str) -> Kind | None:
    kinds = EXPECTED[rule]
    return kinds[PAGES.index(page_type)] if isinstance(kinds, tuple) else kinds


def test_every_kind_of_fault_is_in_the_table() -> None:
    assert {rule.partition(":")[0] for rule in EXPECTED} == set(KINDS)


@dataclass
class Stage:
    """A served site that has moved on since the database `served` was filled from it."""

    site: SimulatedSite
    server: SimulatorServer
    served: Path
    name: str  # the event that is served, slug/id
    stranger: str  # a track that is not known

    def client(self, *, deadline_s: float = 20.0) -> Client:
        """One attempt at each page, and no memory of earlier pauses and robots.txt."""
        return Client(
            ClientSettings(
                version="test",
                stand_in=self.server.url,
                crawl_delay_s=0,
                request_deadline_s=deadline_s,
                byte_cap=BYTE_CAP,
                attempts=1,
            )
        )


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    site = SimulatedSite(World(5, tracks=2, events=1, mix=("small",), catalogue_rows=8))
    (slug, event_id), (stranger, _) = site.events()
    folder = tmp_path_factory.mktemp("served")
    with SimulatorServer(site) as server:
        stage = Stage(site, server, folder / "served.sqlite3", f"{slug}/{event_id}", stranger)
        settings = ServiceSettings(db_url=str(stage.served), data=folder, site=server.url)
        with Service(settings, client=stage.client()) as service:
            service.refresh_track(slug)
            service.ingest(stage.name)
        site.advance(days=7)
        race = site.document(event_id).races[0]
        result = next(result for result in race.results if result.laps and result.source_driver_id)
        site.correct_lap(event_id, race.source_race_id, result.source_driver_id or "", 1, 77_777)
        yield stage


@pytest.fixture
def service(stage: Stage, tmp_path: Path) -> Iterator[Service]:
    """A service of its own for each test, over a copy of what is served."""
    database = shutil.copy(stage.served, tmp_path / "mre.sqlite3")
    settings = ServiceSettings(db_url=str(database), data=tmp_path / "data", site=stage.server.url)
    with Service(settings, client=stage.client()) as service:
        yield service


def under(
    rule: str, page_type: str, stage: Stage, service: Service, work: Callable[[], object]
) -> PipelineError | None:
    """Do the work while the rule is in force for all pages of that type; the error that it ended with."""
    fault = stage.server.faults.add(the_fault(rule, page_type))
    replace_client(service, stage.client(deadline_s=SHORT_DEADLINE_S if rule in SLOW else 20.0))
    try:
        work()
    except PipelineError as error:
        return error
    finally:
        stage.server.faults.remove(fault)
        replace_client(service, stage.client())
    return None


def replace_client(service: Service, client: Client) -> None:
    service.client.close()
    service._client = client


def kept(service: Service, stage: Stage) -> tuple[Any, ...]:
    """All that may be shown of events and tracks, but for how the last attempt ended."""
    facts = ("event_name", "start_date", "entries", "ingest_depth", "current_run_id", "last_ingested_at",
             "last_checked_at", "document_sha256")  # fmt: skip
    events = [tuple(getattr(row, fact) for fact in facts) for row in service.events()]
    return events, service.tracks(), document.encode(service.export(stage.name))


def check_error(error: PipelineError | None, rule: str, page_type: str) -> None:
    assert (error.kind if error else None) is expected(rule, page_type), error
    if error is not None:
        assert error.details.get("page_type", page_type) == page_type
        assert ".liverc.com/" in error.details["url"]
        assert error.rule.remedy
        assert "<" not in error.message.replace("</html>", "")


@pytest.mark.parametrize("page_type", PAGES[:3])
@pytest.mark.parametrize("rule", EXPECTED)
def test_a_fault_on_a_page_of_an_event(service: Service, stage: Stage, rule: str, page_type: str) -> None:
    before = kept(service, stage)
    error = under(rule, page_type, stage, service, lambda: service.ingest(stage.name))
    check_error(error, rule, page_type)
    true = stage.site.document(stage.name.partition("/")[2])
    if error is None:
        without_list = rule in ("404", "missing_race")
        assert service.export(stage.name) == (replace(true, entry_list=None) if without_list else true)
    else:
        assert kept(service, stage) == before
        assert service.event(stage.name).state == "failed"
        run = service.runs(stage.name)[0]
        assert (run.outcome, run.id) == ("failed", error.details["run_id"])
        assert f'"{error.kind}"' in (run.error or "")
        assert not service.locks()
    service.ingest(stage.name)
    assert service.event(stage.name).state == "complete"
    assert service.export(stage.name) == true


def read_catalogue(service: Service, stage: Stage) -> None:
    service.sync_tracks()
    true = stage.site.truth_of("live.liverc.com", "/")
    assert isinstance(true, records.TrackCatalogue)
    known = {row.slug: row for row in service.tracks() if row.active}
    assert known.keys() == {track.slug for track in true.tracks}
    for track in true.tracks:
        row = known[track.slug]
        assert {fact: getattr(row, fact) for fact in track.__struct_fields__} == asdict(track)


def read_dashboard(service: Service, stage: Stage) -> None:
    row = service.follow(stage.stranger)
    true = stage.site.truth_of(f"{stage.stranger}.liverc.com", "/")
    assert isinstance(true, records.TrackDashboard)
    assert (row.slug, row.name, row.followed) == (stage.stranger, true.track_name, True)


def read_listing(service: Service, stage: Stage) -> None:
    slug = stage.name.partition("/")[0]
    true = stage.site.truth_of(f"{slug}.liverc.com", "/events/")
    assert isinstance(true, records.EventsListing)
    assert [row.source_event_id for row in service.refresh_track(slug)] == [e.source_event_id for e in true.events]


READINGS = dict(zip(PAGES[3:], (read_catalogue, read_dashboard, read_listing), strict=True))


@pytest.mark.parametrize("page_type", READINGS)
@pytest.mark.parametrize("rule", EXPECTED)
def test_a_fault_on_a_page_of_a_track(service: Service, stage: Stage, rule: str, page_type: str) -> None:
    before = kept(service, stage)
    error = under(rule, page_type, stage, service, lambda: READINGS[page_type](service, stage))
    check_error(error, rule, page_type)
    if error is not None:
        assert kept(service, stage) == before
        assert service.event(stage.name).state == "complete"
    READINGS[page_type](service, stage)
