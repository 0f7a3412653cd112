"""Events: adding, finding, listing, and the facts that LiveRC's pages give about them.

What an event serves and how its last attempt stands changes only through runs; nothing here touches that.
"""

from __future__ import annotations

from functools import reduce
from operator import or_
from typing import Any

from msgspec import Struct
from peewee import JOIN, chunked, fn

from pipeline import records
from pipeline.errors import Kind, StateError
from pipeline.store.database import Store
from pipeline.store.models import Event, Run, Track
from pipeline.store.tracks import require_track

SOURCE = "liverc"


class EventRow(Struct, frozen=True, kw_only=True):
    """An event, its track's slug, and what the run that it serves holds (zeros where it serves none)."""

    id: int
    source: str
    source_event_id: str
    track_id: int
    track_slug: str
    event_name: str | None
    start_date: str | None
    end_date: str | None
    starts_at_local: str | None
    entries: int | None
    drivers: int | None
    state: str
    ingest_depth: str
    current_run_id: int | None
    last_run_id: int | None
    last_ingested_at: int | None
    last_checked_at: int | None
    added_at: int
    failed_attempts: int  # since the last success
    lost_runs: int  # of the newest, in a row: died without a verdict
    retry_at: int | None  # when an automatic attempt is due
    held_reason: str | None  # why none is made until a person acts
    held_at: int | None
    race_count: int
    result_count: int
    lap_count: int
    document_sha256: str | None  # of what is served
    last_outcome: str | None  # how the newest run ended; None while it runs
    last_error: str | None  # JSON: its envelope


def add_event(store: Store, slug: str, source_event_id: str) -> EventRow:
    """Make an event known, and its track where that is new. Idempotent.

    Raises StateError USAGE where the id is known under another track.
    """
    with store.write():
        track_id = require_track(store, slug)
        if find_event(store, source_event_id) is None:
            # Two machines may add it at once; the second finds it below.
            store.change(
                Event.insert(
                    source=SOURCE, source_event_id=source_event_id, track=track_id, added_at=store.now_ms()
                ).on_conflict_ignore()
            )
        event = find_event(store, source_event_id)
        assert event is not None
        if event.track_id != track_id:
            raise StateError(
                Kind.USAGE,
                f"Event {source_event_id} belongs to the track {event.track_slug}, not to {slug}",
                source_event_id=source_event_id,
            )
        return event


def find_event(store: Store, source_event_id: str) -> EventRow | None:
    """An event by LiveRC's id."""
    return _one(store, (Event.source == SOURCE) & (Event.source_event_id == source_event_id))


def get_event(store: Store, event_id: int) -> EventRow | None:
    """An event by our own number."""
    return _one(store, Event.id == event_id)


def list_events(
    store: Store,
    *,
    track: str | None = None,
    state: str | None = None,
    since: str | None = None,
    text: str | None = None,
    limit: int = 500,
    offset: int = 0,
) -> tuple[EventRow, ...]:
    """Events, newest start date first, those without a date last.

    `track` is a slug, `since` an ISO date (events that start on it or later), `text` a part of the name, id or slug.
    """
    query = _select()
    if track is not None:
        query = query.where(fn.LOWER(Track.slug) == track.lower())
    if state is not None:
        query = query.where(Event.state == state)
    if since is not None:
        query = query.where(Event.start_date >= since)
    if text is not None:
        named = (Event.event_name.contains(text), Event.source_event_id.contains(text), Track.slug.contains(text))
        query = query.where(reduce(or_, named))
    newest_first = (Event.start_date.is_null(), Event.start_date.desc(), Event.id.desc())
    return tuple(EventRow(**row) for row in store.fetch_all(query.order_by(*newest_first).limit(limit).offset(offset)))


class ListingCounts(Struct, frozen=True):
    """What reading a track's listing changed."""

    new: int
    updated: int
    elsewhere: int  # ids that are known under another track: left as they are


def record_listing(store: Store, listing: records.EventsListing) -> ListingCounts:
    """Make the events of a track's listing known, with the facts that it gives. Nothing is fetched or removed."""
    new = updated = elsewhere = 0
    with store.write():
        track_id = require_track(store, listing.track_slug)
        store.change(Track.update(name=listing.track_name, listed_at=store.now_ms()).where(Track.id == track_id))
        known = _known_facts(store, [listed.source_event_id for listed in listing.events])
        for listed in listing.events:
            facts = _facts(listed)
            before = known.get(listed.source_event_id)
            if before is None:
                added = {"source": SOURCE, "source_event_id": listed.source_event_id, "track": track_id}
                store.change(Event.insert(**added, **facts, added_at=store.now_ms()).on_conflict_ignore())
                new += 1
            elif before["track"] != track_id:
                elsewhere += 1
            elif any(before[name] != value for name, value in facts.items()):
                store.change(Event.update(**facts).where(Event.id == before["id"]))
                updated += 1
    return ListingCounts(new, updated, elsewhere)


def update_event_facts(store: Store, event_id: int, page: records.EventPage) -> None:
    """Keep what the event page says of the event and its track; a fact that the page lacks keeps its old value."""
    with store.write():
        # The track before the event, as everywhere: writers that lock them in opposite order would wait for each other.
        track = Event.select(Event.track).where(Event.id == event_id)
        renamed = Track.name.is_null() | (Track.name != page.track_name)
        store.change(Track.update(name=page.track_name).where(Track.id.in_(track), renamed))
        facts = _facts(page)
        if facts:
            store.change(Event.update(**facts).where(Event.id == event_id))


_FACTS = ("event_name", "start_date", "end_date", "starts_at_local", "entries", "drivers")


def _facts(page: records.ListedEvent | records.EventPage) -> dict[str, Any]:
    facts = {name: getattr(page, name, None) for name in _FACTS}
    return {name: value for name, value in facts.items() if value is not None}


def _known_facts(store: Store, source_event_ids: list[str]) -> dict[str, dict[str, Any]]:
    columns = [Event.id, Event.source_event_id, Event.track, *(getattr(Event, name) for name in _FACTS)]
    known = {}
    for batch in chunked(source_event_ids, 500):  # a statement takes a limited number of parameters
        query = Event.select(*columns).where(Event.source == SOURCE, Event.source_event_id.in_(batch))
        known.update({row["source_event_id"]: row for row in store.fetch_all(query)})
    return known


def _one(store: Store, condition: Any) -> EventRow | None:
    row = store.fetch_one(_select().where(condition))
    return EventRow(**row) if row else None


def _select() -> Any:
    served, last = Run.alias("served"), Run.alias("last")
    columns = [field.alias("track_id") if field is Event.track else field for field in Event._meta.sorted_fields]
    return (
        Event.select(
            *columns,
            Track.slug.alias("track_slug"),
            fn.COALESCE(served.race_count, 0).alias("race_count"),
            fn.COALESCE(served.result_count, 0).alias("result_count"),
            fn.COALESCE(served.lap_count, 0).alias("lap_count"),
            served.document_sha256,
            last.outcome.alias("last_outcome"),
            last.error.alias("last_error"),
        )
        .join(Track, on=(Event.track == Track.id))
        .join(served, JOIN.LEFT_OUTER, on=(Event.current_run_id == served.id))
        .join(last, JOIN.LEFT_OUTER, on=(Event.last_run_id == last.id))
    )
