"""The front door: events by any of their names, tracks worked through, reads that can be stopped."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mre_console.simulator.faults import Fault
from mre_console.simulator.generate import World
from mre_console.simulator.server import SimulatorServer
from mre_console.simulator.site import SimulatedSite
from pipeline.errors import Kind, PipelineError, StateError
from pipeline.service import Service, ServiceSettings

MIX = ("small", "no_script", "small", "no_races", "small")
LONG_AGO = "2000-01-01"


@pytest.fixture
def site() -> SimulatedSite:
    return SimulatedSite(World(5, tracks=2, events=5, mix=MIX, catalogue_rows=5))


@pytest.fixture
def server(site: SimulatedSite) -> Iterator[SimulatorServer]:
    with SimulatorServer(site) as server:
        yield server


@pytest.fixture
def service(server: SimulatorServer, database_url: str, tmp_path: Path) -> Iterator[Service]:
    with Service(ServiceSettings(db_url=database_url, data=tmp_path, site=server.url, crawl_delay=0)) as service:
        yield service


@pytest.fixture
def slug(site: SimulatedSite) -> str:
    return site.world.real_slugs()[0]


def names(site: SimulatedSite, slug: str) -> list[str]:
    """A track's events, newest first."""
    return [f"{slug}/{event_id}" for _, event_id in site.events(slug)]


def work(service: Service, slug: str, *, since: str = LONG_AGO, limit: int | None = None) -> dict[str, Kind | None]:
    """What `ingest_track` did: event → how it failed, or None."""
    attempts = service.ingest_track(slug, since=since, limit=limit)
    return {attempt.event: attempt.error.kind if attempt.error else None for attempt in attempts}


def test_a_track_is_worked_through_newest_first_and_what_is_served_is_passed_over(
    service: Service, site: SimulatedSite, slug: str
) -> None:
    expected = {name: site.failure(name.partition("/")[2]) for name in names(site, slug)}
    failing = [name for name, kind in expected.items() if kind]
    assert 0 < len(failing) < len(expected)
    assert list(work(service, slug, limit=2)) == list(expected)[:2]
    rest = work(service, slug)
    assert rest.items() <= expected.items()
    assert set(rest) == set(list(expected)[2:]) | set(failing)
    assert set(work(service, slug)) == set(failing)
    for name in failing:
        site.repair(name.partition("/")[2])
    assert set(work(service, slug)) == set(failing)
    assert work(service, slug) == {}


def test_only_events_since_a_day_are_worked_through(service: Service, slug: str) -> None:
    dates = sorted((row.start_date or "" for row in service.refresh_track(slug)), reverse=True)
    done = work(service, slug, since=dates[1])
    assert sorted((service.event(name).start_date or "" for name in done), reverse=True) == dates[:2]


def test_an_event_that_fails_each_time_does_not_hold_up_the_others(
    service: Service, site: SimulatedSite, slug: str
) -> None:
    wanted = names(site, slug)
    assert site.failure(wanted[0].partition("/")[2]) is not None
    assert [name for _ in wanted for name in work(service, slug, limit=1)] == wanted


def test_a_stop_ends_the_work_on_a_track(service: Service, slug: str) -> None:
    attempts = service.ingest_track(slug, since=LONG_AGO)
    next(attempts)
    service.stop("enough")
    (last,) = attempts
    assert last.error is not None
    assert (last.error.kind, last.error.message) == (Kind.INTERRUPTED, "enough")


@pytest.mark.parametrize("page_type", ["track_catalogue", "track_dashboard", "events_listing"])
def test_reading_a_page_can_be_stopped_and_says_by_whom(
    service: Service, server: SimulatorServer, slug: str, page_type: str
) -> None:
    server.faults.add(Fault("slow", page_type, seconds=60))
    read: Callable[[], object] = {
        "track_catalogue": lambda: service.sync_tracks(),
        "track_dashboard": lambda: service.follow(slug),
        "events_listing": lambda: service.refresh_track(slug),
    }[page_type]
    ended: list[PipelineError] = []

    def reading() -> None:
        with service.store.connection_scope():
            try:
                read()
            except PipelineError as error:
                ended.append(error)

    thread = threading.Thread(target=reading)
    thread.start()
    server.wait_for_request(lambda request: request.target != "/robots.txt")
    assert service.running_here() == 1
    service.stop("quitting")
    thread.join(5)
    assert not thread.is_alive()
    assert [(error.kind, error.message) for error in ended] == [(Kind.INTERRUPTED, "quitting")]
    assert service.running_here() == 0


def test_an_event_is_named_by_address_pair_or_number(service: Service, site: SimulatedSite, slug: str) -> None:
    name = names(site, slug)[0]
    event_id = name.partition("/")[2]
    with pytest.raises(StateError) as unknown:
        service.ingest(event_id)
    assert unknown.value.kind is Kind.UNKNOWN_EVENT
    added = service.add_event(f"https://{slug}.liverc.com/results/?id={event_id}&p=view_event")
    assert service.resolve(event_id) == service.resolve(name) == (slug, event_id)
    assert service.event(event_id) == service.event(name) == added == service.add_event(name)


def test_an_event_of_another_track_is_refused(service: Service, site: SimulatedSite, slug: str) -> None:
    event_id = names(site, slug)[0].partition("/")[2]
    other = site.world.real_slugs()[1]
    service.add_event(f"{slug}/{event_id}")
    with pytest.raises(StateError) as refused:
        service.ingest(f"{other}/{event_id}")
    assert refused.value.kind is Kind.USAGE
    assert slug in refused.value.message
    assert service.runs() == ()
