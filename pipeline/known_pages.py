"""Pages above the events that nobody archives, as the database remembers what they said: listings and the catalogue.

Only what the page still names is taken, since rows come and go between two fetches.
"""

from __future__ import annotations

from pipeline.liverc.induction import KnownPage
from pipeline.liverc.urls import PageRef, PageType
from pipeline.records import EventsListing, ListedEvent, ListedTrack, TrackCatalogue
from pipeline.store import events, tracks
from pipeline.store.database import Store

LISTED = 1_000  # events of a track that are looked at


def remembered(store: Store, ref: PageRef, body: bytes) -> tuple[KnownPage, ...]:
    """What is known of a page of a track or of the catalogue: none, one, or the two halves of the only one there is."""
    if ref.page_type is PageType.EVENTS_LISTING and ref.slug is not None:
        listing = _listing(store, ref.slug, body)
        return (KnownPage(ref, body, listing),) if listing is not None else ()
    if ref.page_type is PageType.TRACK_CATALOGUE:
        rows = _tracks(store, body)
        # There is no second catalogue to try a proposal on: one half of its rows teaches, the other one tells.
        halves = (TrackCatalogue(rows[0::2]), TrackCatalogue(rows[1::2]))
        return tuple(KnownPage(ref, body, half) for half in halves if half.tracks)
    return ()


def _listing(store: Store, slug: str, body: bytes) -> EventsListing | None:
    track = tracks.find_track(store, slug)
    found = [
        ListedEvent(
            source_event_id=row.source_event_id,
            event_name=row.event_name,
            start_date=row.start_date,
            end_date=row.end_date,
            starts_at_local=row.starts_at_local,
            entries=row.entries,
            drivers=row.drivers,
        )
        for row in events.list_events(store, track=slug, limit=LISTED)
        if row.event_name is not None and row.source_event_id.encode() in body
    ]
    return EventsListing(slug, track.name, tuple(found)) if track is not None and track.name and found else None


def _tracks(store: Store, body: bytes) -> tuple[ListedTrack, ...]:
    return tuple(
        ListedTrack(
            slug=row.slug,
            name=row.name,
            latest_event=row.latest_event,
            status=row.status or 0,
            live_video=row.live_video,
            featured=row.featured,
            updated_text=row.updated_text,
        )
        for row in tracks.list_tracks(store, limit=10_000)
        if row.active and row.name and f"//{row.slug}.".encode() in body
    )
