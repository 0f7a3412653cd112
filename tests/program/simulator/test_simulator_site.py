"""The simulated site: addresses, failing events, and what changes as time passes."""

from __future__ import annotations

import threading
from hashlib import sha256

import pytest

from mre_console.simulator import library
from mre_console.simulator.generate import World
from mre_console.simulator.site import SimulatedSite
from mre_console.simulator.specs import Failure
from mre_console.simulator.world import Page, Race, Script
from pipeline.errors import Kind
from pipeline.records import RacePage, TrackCatalogue
from tests.support.simulated import body, event_of, every_preset, host_of


@pytest.fixture
def site() -> SimulatedSite:
    return every_preset()


def a_race(site: SimulatedSite) -> tuple[str, Race]:
    event_id = event_of(site, "small")
    return event_id, site.world.races(event_id)[-1]


# ---------------------------------------------------------------- addresses


def test_the_query_is_parsed_and_the_host_is_not_case_sensitive(site: SimulatedSite) -> None:
    event_id = event_of(site, "small")
    host = host_of(site, event_id)
    expected = body(site, (host, f"/results/?p=view_event&id={event_id}"))
    assert body(site, (host.upper(), f"/results/?id={event_id}&p=view%5Fevent")) == expected
    assert site.answer("fastandloosetoys.liverc.com", "/") is not None, "a slug with capitals"


@pytest.mark.parametrize(
    ("host", "target"),
    [
        ("live.liverc.com", "/events/"),
        ("nowhere.liverc.com", "/"),
        ("dustden.example.org", "/"),
        ("dustden.liverc.com", "/practice/?p=session_list"),
        ("dustden.liverc.com", "/results/?p=view_event&id=1"),
        ("dustden.liverc.com", "/results/?p=view_event"),
        ("dustden.liverc.com", "/results/?p=view_race_result&id=abc"),
        ("dustden.liverc.com", "/results/?p=view_race_result&id=²"),
        ("dustden.liverc.com", "/results/?p=view_points&id=1"),
    ],
)
def test_unknown_addresses_have_no_page(site: SimulatedSite, host: str, target: str) -> None:
    assert site.answer(host, target) is None
    assert site.truth_of(host, target) is None


def test_an_event_belongs_to_its_own_host(site: SimulatedSite) -> None:
    event_id = event_of(site, "small")
    others = [slug for slug in site.world.real_slugs() if slug != site.world.events[event_id].track_slug]
    assert site.answer(f"{others[0]}.liverc.com", f"/results/?p=view_event&id={event_id}") is None


def test_unknown_ids_may_be_shells(site: SimulatedSite) -> None:
    site.unknown_is_shell = True
    for view in ("view_event", "view_race_result"):
        target = f"/results/?p={view}&id=1"
        page = body(site, ("dustden.liverc.com", target))
        assert page.endswith(b"</html>\n")
        assert b"racerLaps" not in page
        assert page == site.empty_shell("dustden.liverc.com", target)


def test_an_error_page_wears_the_frame(site: SimulatedSite) -> None:
    page = site.error_page()
    assert page.endswith(b"</html>\n")
    assert b'id="page-wrapper"' in page
    assert b"<table" not in page


# ---------------------------------------------------------------- failing events


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        (Failure.NO_RACES, Kind.NO_RACES),
        (Failure.EMPTY_SHELL, Kind.NO_RACES),
        (Failure.NO_SCRIPT, Kind.LAPS_MISSING),
        (Failure.NO_LAPS, Kind.LAPS_MISSING),
    ],
)
def test_a_failing_event_fails_and_can_be_repaired(site: SimulatedSite, failure: Failure, kind: Kind) -> None:
    event_id = event_of(site, failure.value)
    assert site.failure(event_id) is kind
    site.repair(event_id)
    assert site.failure(event_id) is None
    assert site.document(event_id).races
    assert all(site.answer(*address) for address in site.addresses(event_id))
    for address in site.addresses(event_id):
        assert b"racerLaps" in body(site, address) or b"view_race_result" not in address[1].encode()


# ---------------------------------------------------------------- time passes, things change


def test_new_events_appear_as_days_pass(site: SimulatedSite) -> None:
    before = body(site, ("dustden.liverc.com", "/events/"))
    assert site.advance(days=1) == []
    new = site.advance(days=7)
    assert {slug for slug, _ in new} == set(site.world.real_slugs())
    assert body(site, ("dustden.liverc.com", "/events/")) != before
    assert all(site.answer(*site.addresses(event_id)[0]) for _, event_id in new)


def test_quiet_tracks_leave_the_catalogue_and_so_do_dropped_ones(site: SimulatedSite) -> None:
    def slugs() -> set[str]:
        catalogue = site.truth_of("live.liverc.com", "/")
        assert isinstance(catalogue, TrackCatalogue)
        return {track.slug for track in catalogue.tracks}

    before = slugs()
    site.advance(days=7)
    assert before - slugs()
    assert "dustden" in slugs()
    site.drop_track("dustden")
    assert "dustden" not in slugs()
    assert b"//dustden.liverc.com/" not in body(site, ("live.liverc.com", "/"))


def test_the_build_marker_rises(site: SimulatedSite) -> None:
    build = site.frame.build
    assert b".css?%d" % build in body(site, ("live.liverc.com", "/"))
    assert site.raise_build() == build + 1
    page = body(site, ("live.liverc.com", "/"))
    assert b".css?%d" % (build + 1) in page
    assert b"?%d" % build not in page


def test_a_corrected_lap_changes_page_and_truth(site: SimulatedSite) -> None:
    event_id, race = a_race(site)
    winner = site.document(event_id).races[-1].results[0]
    assert winner.source_driver_id
    address = site.addresses(event_id)[-1]
    before = body(site, address)
    site.correct_lap(event_id, race.race_id, winner.source_driver_id, 2, 99_990)
    corrected = {r.source_driver_id: r for r in site.document(event_id).races[-1].results}[winner.source_driver_id]
    assert corrected.laps[1].lap_time_ms == 99_990
    assert corrected.total_time_ms == corrected.laps[-1].elapsed_ms != winner.total_time_ms
    assert b"'time' : '99.99'" in body(site, address) != before
    with pytest.raises(LookupError):
        site.correct_lap(event_id, race.race_id, winner.source_driver_id, 999, 1)
    with pytest.raises(LookupError):
        site.correct_lap(event_id, "1", winner.source_driver_id, 1, 1)


def test_a_driver_vanishes_a_main_is_renamed_a_race_is_removed(site: SimulatedSite) -> None:
    event_id, race = a_race(site)
    driver = race.entrants[0].driver
    site.remove_driver(event_id, race.race_id, driver.driver_id)
    assert driver.driver_id not in {r.source_driver_id for r in site.document(event_id).races[-1].results}
    assert driver.name.encode() not in body(site, site.addresses(event_id)[-1])
    site.rename_race(event_id, race.race_id, f"{race.class_name} C-Main")
    assert site.document(event_id).races[-1].race_label == f"{race.class_name} C-Main"
    count = len(site.document(event_id).races)
    address = site.addresses(event_id)[-1]
    site.remove_race(event_id, race.race_id)
    assert len(site.document(event_id).races) == count - 1
    assert site.answer(*address) is None
    with pytest.raises(LookupError):
        site.remove_driver(event_id, site.world.races(event_id)[0].race_id, "0")
    with pytest.raises(LookupError):
        site.remove_race(event_id, "0")
    with pytest.raises(LookupError):
        site.swap_race_ids(event_id, "0", "1")


def test_race_ids_are_reused(site: SimulatedSite) -> None:
    event_id, race = a_race(site)
    other = site.world.races(event_id)[0]
    site.swap_race_ids(event_id, race.race_id, other.race_id)
    labels = {r.source_race_id: r.race_label for r in site.document(event_id).races}
    assert labels[other.race_id] == " ".join(race.label.split())
    page = site.truth_of(host_of(site, event_id), f"/results/?p=view_race_result&id={other.race_id}")
    assert isinstance(page, RacePage)
    assert page.race_label == " ".join(race.label.split())


def test_a_broken_race_fails_its_event_until_it_is_whole_again(site: SimulatedSite) -> None:
    event_id, race = a_race(site)
    address = site.addresses(event_id)[-1]
    whole = body(site, address)
    site.break_race(event_id, race.race_id, page=Page.GONE)
    assert (site.answer(*address), site.failure(event_id)) == (None, Kind.NOT_FOUND)
    site.break_race(event_id, race.race_id, page=Page.SHELL)
    assert b"<table" not in body(site, address)
    assert site.failure(event_id) is Kind.FIELD_MISSING
    site.break_race(event_id, race.race_id, script=Script.EMPTY)
    assert site.failure(event_id) is Kind.LAPS_MISSING
    site.break_race(event_id, race.race_id)
    assert (body(site, address), site.failure(event_id)) == (whole, None)


def test_the_site_can_be_changed_while_it_is_served(site: SimulatedSite) -> None:
    """Every answer is a whole page of one state, whatever happens meanwhile."""
    event_id, race = a_race(site)
    driver = race.entrants[0].driver.driver_id
    address = site.addresses(event_id)[-1]
    known = {sha256(body(site, address)).digest()}
    for time_ms in (30_001, 30_002):
        site.correct_lap(event_id, race.race_id, driver, 1, time_ms)
        known.add(sha256(body(site, address)).digest())
    seen: set[bytes] = set()
    done = threading.Event()

    def fetch() -> None:
        while not done.is_set():
            seen.add(sha256(body(site, address)).digest())

    threads = [threading.Thread(target=fetch) for _ in range(4)]
    for thread in threads:
        thread.start()
    for round_ in range(60):
        site.correct_lap(event_id, race.race_id, driver, 1, 30_001 + round_ % 2)
    done.set()
    for thread in threads:
        thread.join()
    assert seen
    assert seen <= known


def test_pages_are_cached_within_bounds(site: SimulatedSite, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[library.Route] = []
    render = library.content

    def counting(world: World, asked: library.Route, *, unknown_is_shell: bool = False) -> library.Content | None:
        made.append(asked)
        return render(world, asked, unknown_is_shell=unknown_is_shell)

    monkeypatch.setattr(library, "content", counting)
    addresses = site.addresses(event_of(site, "small"))
    for address in addresses * 3:
        site.answer(*address)
    assert len(made) == len(addresses)
    monkeypatch.setattr("mre_console.simulator.site._CACHE_CHARACTERS", 10)
    site.advance(days=0)
    for address in addresses * 2:
        site.answer(*address)
    assert len(made) == 3 * len(addresses)
