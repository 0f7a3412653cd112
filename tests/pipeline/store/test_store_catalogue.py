"""Tracks and events: what the catalogue, the listings and the event pages make known."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from msgspec import structs

from pipeline.errors import Kind, StateError
from pipeline.records import EventPage, EventsListing, ListedEvent, ListedTrack, TrackCatalogue
from pipeline.store import events, tracks
from pipeline.store.database import Store
from tests.support.generations import SLUG, published

HARBOUR = ListedTrack("HarbourRaceway", "Harbour Raceway", "Harbour Cup", 2, False, True, "1 minute ago")
HILLTOP = ListedTrack("hilltop", "Hilltop_100%", None, 0, True, False, "last year")


def catalogue(*listed: ListedTrack) -> TrackCatalogue:
    return TrackCatalogue(tracks=listed)


def listing(*listed: ListedEvent, slug: str = SLUG) -> EventsListing:
    return EventsListing(track_slug=slug, track_name="Harbour Raceway", events=listed)


def listed(number: int, **changes: object) -> ListedEvent:
    event = ListedEvent(
        source_event_id=str(7000 + number),
        event_name=f"Harbour Cup {number}",
        start_date=f"2025-11-{number:02}",
        end_date=f"2025-11-{number:02}",
        starts_at_local=None,
        entries=20,
        drivers=15,
    )
    return structs.replace(event, **changes)


# ---------------------------------------------------------------- tracks


def test_a_catalogue_makes_tracks_known(store: Store) -> None:
    assert tracks.sync_catalogue(store, catalogue(HARBOUR, HILLTOP)) == tracks.CatalogueCounts(2, 0, 0)
    assert tracks.sync_catalogue(store, catalogue(HARBOUR, HILLTOP)) == tracks.CatalogueCounts(0, 0, 0)
    changed = structs.replace(HILLTOP, updated_text="1 hour ago")
    assert tracks.sync_catalogue(store, catalogue(HARBOUR, changed)) == tracks.CatalogueCounts(0, 1, 0)
    harbour, hilltop = tracks.list_tracks(store)
    assert (harbour.slug, harbour.name, harbour.featured, harbour.live_video) == (
        "HarbourRaceway", "Harbour Raceway", True, False,
    )  # fmt: skip
    assert hilltop.updated_text == "1 hour ago"
    assert harbour.seen_at is not None


def test_a_track_that_vanishes_becomes_inactive_and_may_come_back(store: Store) -> None:
    tracks.sync_catalogue(store, catalogue(HARBOUR, HILLTOP))
    tracks.set_followed(store, "hilltop", True)
    tracks.require_track(store, "only-in-an-event")
    assert tracks.sync_catalogue(store, catalogue(HARBOUR)) == tracks.CatalogueCounts(0, 0, 1)
    (gone,) = tracks.list_tracks(store, active=False)
    assert (gone.slug, gone.followed) == ("hilltop", True)
    assert tracks.sync_catalogue(store, catalogue()) == tracks.CatalogueCounts(0, 0, 0)
    assert tracks.sync_catalogue(store, catalogue(HARBOUR, HILLTOP)) == tracks.CatalogueCounts(0, 1, 0)
    assert tracks.list_tracks(store, active=False) == ()


def test_slugs_are_compared_in_lower_case(store: Store) -> None:
    tracks.sync_catalogue(store, catalogue(HARBOUR))
    tracks.set_followed(store, "HARBOURraceway", True)
    followed = tracks.find_track(store, "harbourraceway")
    assert followed is not None
    assert followed.followed
    assert tracks.require_track(store, "harbourRACEWAY") == followed.id
    assert len(tracks.list_tracks(store)) == 1
    tracks.sync_catalogue(store, catalogue(structs.replace(HARBOUR, slug="harbourraceway")))
    assert len(tracks.list_tracks(store)) == 1


def test_finding_tracks(store: Store) -> None:
    tracks.sync_catalogue(store, catalogue(HARBOUR, HILLTOP))
    tracks.set_followed(store, "hilltop", True)
    events.add_event(store, "hilltop", "1")
    assert [track.slug for track in tracks.list_tracks(store, text="100%")] == ["hilltop"]
    assert [track.slug for track in tracks.list_tracks(store, text="BOUR r")] == ["HarbourRaceway"]
    assert tracks.list_tracks(store, text="_") == tracks.list_tracks(store, text="hilltop")
    assert [(track.slug, track.event_count) for track in tracks.list_tracks(store, followed=True)] == [("hilltop", 1)]
    assert [track.slug for track in tracks.list_tracks(store, limit=1)] == ["HarbourRaceway"]
    assert tracks.find_track(store, "nowhere") is None
    tracks.touch(store, "Hilltop")
    touched = tracks.find_track(store, "hilltop")
    assert touched is not None
    assert touched.listed_at is not None


def test_an_unknown_track_cannot_be_followed(store: Store) -> None:
    with pytest.raises(StateError) as refused:
        tracks.set_followed(store, "nowhere", True)
    assert refused.value.kind is Kind.USAGE


def test_several_catalogues_and_listings_at_once(store: Store) -> None:
    ready = threading.Barrier(4)

    def read(number: int) -> None:
        with store.connection_scope():
            ready.wait()
            for round_ in range(5):
                newer = structs.replace(HARBOUR, updated_text=f"{number} {round_}")
                tracks.sync_catalogue(store, catalogue(newer, structs.replace(HILLTOP, updated_text=f"{number}")))
                events.record_listing(store, listing(listed(1, entries=number), listed(2, entries=round_)))

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(read, range(4)))
    assert len(tracks.list_tracks(store)) == 2
    assert len(events.list_events(store)) == 2


# ---------------------------------------------------------------- events


def test_adding_an_event_twice_is_adding_it_once(store: Store) -> None:
    added = events.add_event(store, "HarbourRaceway", "7000")
    assert (added.track_slug, added.state, added.ingest_depth, added.lap_count) == ("harbourraceway", "idle", "none", 0)
    assert events.add_event(store, "harbourraceway", "7000") == added
    assert events.find_event(store, "7000") == added == events.get_event(store, added.id)


def test_an_event_belongs_to_one_track(store: Store) -> None:
    events.add_event(store, SLUG, "7000")
    with pytest.raises(StateError) as refused:
        events.add_event(store, "hilltop", "7000")
    assert refused.value.kind is Kind.USAGE
    assert SLUG in refused.value.message
    assert tracks.find_track(store, "hilltop") is None  # nothing was kept of it


def test_the_same_event_added_by_many_at_once(store: Store) -> None:
    ready = threading.Barrier(6)

    def add(_: int) -> int:
        with store.connection_scope():
            ready.wait()
            return events.add_event(store, SLUG, "7000").id

    with ThreadPoolExecutor(6) as threads:
        assert len(set(threads.map(add, range(6)))) == 1


def test_a_listing_makes_events_known(store: Store) -> None:
    assert events.record_listing(store, listing(listed(1), listed(2))) == events.ListingCounts(2, 0, 0)
    assert events.record_listing(store, listing(listed(1), listed(2))) == events.ListingCounts(0, 0, 0)
    later = listed(2, entries=33, end_date=None)
    assert events.record_listing(store, listing(later, listed(3))) == events.ListingCounts(1, 1, 0)
    event = events.find_event(store, "7002")
    assert event is not None
    assert (event.entries, event.end_date) == (33, "2025-11-02")  # what a page lacks is not forgotten
    assert events.record_listing(store, listing(listed(1), slug="hilltop")) == events.ListingCounts(0, 0, 1)
    track = tracks.find_track(store, SLUG)
    assert track is not None
    assert track.name == "Harbour Raceway"
    assert track.listed_at is not None


def test_a_listing_of_many_events(store: Store) -> None:
    many = [listed(1, source_event_id=str(number)) for number in range(1201)]
    assert events.record_listing(store, listing(*many)).new == 1201
    assert events.record_listing(store, listing(*many)) == events.ListingCounts(0, 0, 0)


def test_an_event_page_tells_more(store: Store) -> None:
    event = events.add_event(store, SLUG, "7000")
    page = EventPage(
        source_event_id="7000",
        track_slug=SLUG,
        track_name="Harbour Raceway",
        event_name="Harbour Cup",
        start_date="2025-11-15",
        end_date=None,
        entries=40,
        drivers=None,
        total_race_laps=900,
        has_entry_list=True,
        races=(),
    )
    events.update_event_facts(store, event.id, page)
    known = events.find_event(store, "7000")
    assert known is not None
    assert (known.event_name, known.start_date, known.entries, known.drivers) == ("Harbour Cup", "2025-11-15", 40, None)
    track = tracks.find_track(store, SLUG)
    assert track is not None
    assert track.name == "Harbour Raceway"


def test_finding_events(store: Store) -> None:
    events.record_listing(store, listing(*(listed(number) for number in range(1, 6))))
    events.add_event(store, "hilltop", "9999")  # of unknown date: last
    published(store, "7003")
    newest_first = ["7005", "7004", "7003", "7002", "7001", "9999"]

    def found(**asked: object) -> list[str]:
        return [event.source_event_id for event in events.list_events(store, **asked)]  # type: ignore[arg-type]

    assert found() == newest_first
    assert found(limit=2) == newest_first[:2]
    assert found(limit=2, offset=2) == newest_first[2:4]
    assert found(track="HILLTOP") == ["9999"]
    assert found(state="complete") == ["7003"]
    assert found(since="2025-11-04") == ["7005", "7004"]
    assert found(text="cup 4") == ["7004"]
    assert found(text="999") == ["9999"]
    assert found(text="HILL") == ["9999"]
    assert found(text="%") == []
    assert found(text="harbour", state="idle", since="2025-11-02", limit=2) == ["7005", "7004"]
