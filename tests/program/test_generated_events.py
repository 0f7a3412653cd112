"""Generated events through the whole pipeline: what is served equals what the simulator knows, or fails as it says.

30 events of every preset in `make test`, 200 with MRE_FAULTS=1. The truth comes from the simulator's model alone, never
from a reader; see `mre_console.simulator.truth`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from mre_console.simulator.generate import World
from mre_console.simulator.server import SimulatorServer
from mre_console.simulator.site import SimulatedSite
from mre_console.simulator.world import Page
from pipeline import document, records
from pipeline.errors import Kind, PipelineError
from pipeline.service import Service, ServiceSettings

ALL = os.environ.get("MRE_FAULTS") == "1"
SEEDS = (21, 22, 23, 24) if ALL else (21, 22)
TRACKS, EVENTS = (5, 10) if ALL else (3, 5)
MIX = (
    *("typical", "small", "oddities", "mains", "bare", "typical", "no_script", "no_laps", "no_races", "empty_shell"),
    *("typical", "oddities", "typical", "mains", "small"),
    *(("large",) if ALL else ()),
)
assert len(SEEDS) * TRACKS * EVENTS == (200 if ALL else 30)


@pytest.fixture(params=SEEDS, ids=[f"seed{seed}" for seed in SEEDS])
def site(request: pytest.FixtureRequest) -> SimulatedSite:
    return SimulatedSite(World(request.param, tracks=TRACKS, events=EVENTS, mix=MIX))


@pytest.fixture
def service(site: SimulatedSite, tmp_path: Path) -> Iterator[Service]:
    with SimulatorServer(site) as server:
        settings = ServiceSettings(
            db_url=str(tmp_path / "mre.sqlite3"), data=tmp_path / "data", site=server.url, crawl_delay=0
        )
        with Service(settings) as service:
            yield service


def break_two(site: SimulatedSite) -> dict[str, str]:
    """Two races of healthy events lose their pages: one answers 404, one with an empty frame. Event id → race id."""
    healthy = [event_id for _, event_id in site.events() if site.failure(event_id) is None]
    broken = {}
    for event_id, page in zip(healthy, (Page.GONE, Page.SHELL), strict=False):
        races = site.document(event_id).races
        broken[event_id] = races[len(races) // 2].source_race_id
        site.break_race(event_id, broken[event_id], page=page)
    return broken


def outcome(service: Service, name: str) -> Kind | None:
    """Ingest; how that failed, or None."""
    try:
        assert service.ingest(name).outcome == "published"
    except PipelineError as error:
        return error.kind
    return None


def test_every_event_is_served_as_generated_or_fails_as_it_must(site: SimulatedSite, service: Service) -> None:
    broken = break_two(site)
    expected = {f"{slug}/{event_id}": site.failure(event_id) for slug, event_id in site.events()}
    assert len(expected) == TRACKS * EVENTS
    assert {kind for kind in expected.values() if kind} == {
        Kind.NO_RACES, Kind.LAPS_MISSING, Kind.NOT_FOUND, Kind.FIELD_MISSING,
    }  # fmt: skip
    assert {name: outcome(service, name) for name in expected} == expected

    for name, failure in expected.items():
        event_id = name.partition("/")[2]
        if failure is None:
            assert_served(service, site, name)
            continue
        row = service.event(name)
        assert (row.state, row.ingest_depth, row.current_run_id) == ("failed", "none", None), name
        if event_id in broken:
            site.break_race(event_id, broken[event_id])  # whole again
        else:
            site.repair(event_id)
        assert outcome(service, name) is None, name
        assert_served(service, site, name)
    totals = service.status().totals
    assert (totals.events, totals.served) == (len(expected), len(expected))


def assert_served(service: Service, site: SimulatedSite, name: str) -> None:
    true = site.document(name.partition("/")[2])
    served = service.export(name)
    assert served == true, name
    assert document.encode(served) == document.encode(true), name
    row = service.event(name)
    assert (row.state, row.ingest_depth, row.document_sha256) == ("complete", "laps_full", document.sha256(true))
    assert (row.event_name, row.start_date, row.end_date, row.entries, row.drivers) == (
        true.event_name, true.start_date, true.end_date, true.entries, true.drivers,
    )  # fmt: skip


def test_entry_lists_are_served_as_generated(site: SimulatedSite, service: Service) -> None:
    """Linked, linked but gone, and not linked: the same as what the simulator knows, and all three occur."""
    seen = set()
    for slug, event_id in site.events():
        day = site.world.events[event_id]
        if site.failure(event_id) is None and (day.spec.entry_list, day.spec.oddities) not in seen:
            seen.add((day.spec.entry_list, day.spec.oddities))
            service.ingest(f"{slug}/{event_id}")
            assert service.export(f"{slug}/{event_id}").entry_list == site.document(event_id).entry_list, event_id
    assert {kind for kind, _ in seen} == {"linked", "gone", "unlinked"}


def test_the_catalogue_is_known_as_generated(site: SimulatedSite, service: Service) -> None:
    for age in range(2):  # as first read, and a week later, when tracks have vanished from it and others changed
        true = site.truth_of("live.liverc.com", "/")
        assert isinstance(true, records.TrackCatalogue)
        service.sync_tracks()
        known = {row.slug: row for row in service.tracks() if row.active}
        assert len(true.tracks) > 900
        assert known.keys() == {track.slug for track in true.tracks}
        for track in true.tracks:
            row = known[track.slug]
            for fact in track.__struct_fields__:
                assert getattr(row, fact) == getattr(track, fact), (age, track.slug, fact)
        site.drop_track(true.tracks[0].slug)
        site.advance(days=7)


def test_a_track_is_followed_under_the_name_on_its_dashboard(site: SimulatedSite, service: Service) -> None:
    for slug in site.world.real_slugs():
        true = site.truth_of(f"{slug.lower()}.liverc.com", "/")
        assert isinstance(true, records.TrackDashboard)
        row = service.follow(slug)
        assert (row.slug, row.name, row.followed) == (true.slug, true.track_name, True)
    assert {row.slug for row in service.tracks(followed=True)} == set(site.world.real_slugs())


def test_a_listing_makes_events_known_as_generated(site: SimulatedSite, service: Service) -> None:
    for _ in range(2):  # as first read, and two weeks later, when there are more
        for slug in site.world.real_slugs():
            true = site.truth_of(f"{slug.lower()}.liverc.com", "/events/")
            assert isinstance(true, records.EventsListing)
            rows = service.refresh_track(slug)
            assert [as_listed(row) for row in rows] == list(true.events)
            assert {row.track_slug for row in rows} == {slug}
            assert {row.source_event_id for row in service.events(track=slug)} == {
                e.source_event_id for e in true.events
            }
        site.advance(days=14)


def as_listed(row: object) -> records.ListedEvent:
    return records.ListedEvent(*(getattr(row, fact) for fact in records.ListedEvent.__struct_fields__))
