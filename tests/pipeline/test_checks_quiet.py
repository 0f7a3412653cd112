"""The checks find nothing in good data: shipped page sets, simulated events of every kind, and what recovery leaves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mre_console.settings import shipped_fixtures
from mre_console.simulator.generate import World
from mre_console.simulator.site import SimulatedSite
from pipeline.errors import FetchError, Kind, PipelineError
from pipeline.fixtures import list_sets, load_set
from pipeline.liverc.page import Page
from pipeline.service import Service, ServiceSettings
from tests.support.quiet import ingest_all, service_of, simulated
from tests.support.site_client import SiteClient


@pytest.fixture
def site() -> SimulatedSite:
    return SimulatedSite(World(5, tracks=1, events=1, mix=("small",), catalogue_rows=5), frozen_frame=True)


@pytest.fixture
def client(site: SimulatedSite) -> SiteClient:
    return SiteClient(site)


@pytest.fixture
def service(client: SiteClient, database_url: str, tmp_path: Path) -> Iterator[Service]:
    settings = ServiceSettings(db_url=database_url, data=tmp_path / "data", fixtures=shipped_fixtures())
    with Service(settings, client=client) as service:
        yield service


@pytest.fixture
def name(site: SimulatedSite) -> str:
    return "/".join(site.events()[0])


def is_quiet(service: Service) -> None:
    """Nothing is found, warnings included: over everything, and over each event alone."""
    report = service.checks()
    assert report.findings == ()
    assert report.passed
    assert report.skipped == {}
    for row in service.events():
        assert service.checks(f"{row.track_slug}/{row.source_event_id}").findings == ()
        assert row.held_at is None


def test_on_an_empty_database(service: Service) -> None:
    is_quiet(service)


def test_on_events_of_every_kind(database_url: str, tmp_path: Path) -> None:
    site = simulated(7, 27)
    with service_of(site, database_url, tmp_path / "data") as service:
        assert ingest_all(service, site) >= 15
        is_quiet(service)


class SetClient(SiteClient):
    """Serves the pages of one set."""

    def __init__(self, pages: dict[str, bytes]) -> None:
        self.pages = pages

    def fetch(self, page: object, page_type: str | None = None, **_: object) -> Page:
        body = self.pages.get(str(page))
        if body is None:
            raise FetchError(Kind.NOT_FOUND, "there is no such page")
        return Page(url=str(page), page_type=page_type or "", body=body, status=200, fetched_at_ms=0)


def test_on_every_shipped_page_set(database_url: str, tmp_path: Path) -> None:
    client = SetClient({})
    settings = ServiceSettings(db_url=database_url, data=tmp_path / "data", fixtures=shipped_fixtures())
    with Service(settings, client=client) as service:
        for folder in list_sets(shipped_fixtures()):
            page_set = load_set(folder)
            client.pages = dict(page_set.pages)
            assert service.ingest(next(iter(client.pages))).outcome == "published"
        is_quiet(service)


# ---------------------------------------------------------------- whatever became of the runs


def unchanged(service: Service, client: SiteClient, site: SimulatedSite, name: str) -> None:
    assert service.ingest(name).outcome == "unchanged"


def second_generation(service: Service, client: SiteClient, site: SimulatedSite, name: str) -> None:
    event_id = name.partition("/")[2]
    race = site.document(event_id).races[0]
    site.rename_race(event_id, race.source_race_id, f"{race.class_name} C-Main")
    assert service.ingest(name).outcome == "published"


def failed(service: Service, client: SiteClient, site: SimulatedSite, name: str) -> None:
    def fail(url: str) -> None:
        raise FetchError(Kind.TIMEOUT, "too slow", url=url)

    client.before = fail
    with pytest.raises(PipelineError):
        service.ingest(name)


def disabled(service: Service, client: SiteClient, site: SimulatedSite, name: str) -> None:
    client.before = lambda url: void(service.disable(reason="stop"))
    with pytest.raises(PipelineError):
        service.ingest(name)


def cleaned_up(service: Service, client: SiteClient, site: SimulatedSite, name: str) -> None:
    service.act(service.plan_cleanup(name, full=True))


def reset(service: Service, client: SiteClient, site: SimulatedSite, name: str) -> None:
    service.reset_event_ingestion(name)


def undone(service: Service, client: SiteClient, site: SimulatedSite, name: str) -> None:
    service.reset_event_ingestion(name)
    service.undo(service.actions()[0].id)


def restored(service: Service, client: SiteClient, site: SimulatedSite, name: str) -> None:
    first = service.event(name).current_run_id
    second_generation(service, client, site, name)
    assert first is not None
    service.act(service.plan_restore(name, first))


def failed_then_reset(service: Service, client: SiteClient, site: SimulatedSite, name: str) -> None:
    failed(service, client, site, name)
    service.reset_event_ingestion(name)


def void(_: object) -> None:
    """Nothing is returned."""


Step = Callable[[Service, SiteClient, SimulatedSite, str], None]


@pytest.mark.parametrize(
    "step",
    [unchanged, second_generation, failed, disabled, cleaned_up, reset, undone, restored, failed_then_reset],
    ids=lambda step: step.__name__,
)
def test_after(step: Step, service: Service, client: SiteClient, site: SimulatedSite, name: str) -> None:
    service.ingest(name)
    step(service, client, site, name)
    is_quiet(service)


def test_while_a_run_is_under_way(service: Service, client: SiteClient, name: str) -> None:
    service.ingest(name)
    looked: list[str] = []

    def look(url: str) -> None:
        if not looked:
            looked.append(url)
            assert service.event(name).state == "running"
            is_quiet(service)

    client.before = look
    service.ingest(name)
    assert looked
