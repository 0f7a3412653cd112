"""Tracks: the catalogue as last read, and which of them are followed.

A track that vanishes from the catalogue becomes inactive and is never deleted; one that only an event named was never
in the catalogue, so it cannot vanish from it. Slugs keep LiveRC's spelling and are compared in lower case.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct
from peewee import chunked, fn

from pipeline import records
from pipeline.errors import Kind, StateError
from pipeline.store.database import Store
from pipeline.store.models import Event, Track


class TrackRow(Struct, frozen=True, kw_only=True):
    """A track, and how many of its events are known."""

    id: int
    slug: str
    name: str | None
    latest_event: str | None
    status: int | None
    live_video: bool
    featured: bool
    updated_text: str | None
    followed: bool
    active: bool
    listed_at: int | None
    seen_at: int | None
    event_count: int


class CatalogueCounts(Struct, frozen=True):
    """What reading the catalogue changed."""

    new: int
    updated: int
    inactive: int  # tracks that were in the catalogue before and are not now


_LISTED = ("name", "latest_event", "status", "live_video", "featured", "updated_text")


def sync_catalogue(store: Store, catalogue: records.TrackCatalogue) -> CatalogueCounts:
    """Bring the tracks in step with the catalogue. An empty catalogue says nothing, so it changes nothing."""
    if not catalogue.tracks:
        return CatalogueCounts(0, 0, 0)
    new = updated = 0
    listed = {track.slug.lower(): track for track in catalogue.tracks}
    with store.write():
        if store.engine == "postgresql":
            store.sql("LOCK TABLE track IN SHARE ROW EXCLUSIVE MODE")  # two catalogues at once would cross each other
        known = {row["slug"].lower(): row for row in store.fetch_all(Track.select())}
        now = store.clock_ms()
        for key, track in listed.items():
            facts = {name: getattr(track, name) for name in _LISTED}
            if key not in known:
                store.change(Track.insert(slug=track.slug, **facts, seen_at=now))
                new += 1
            elif not known[key]["active"] or any(known[key][name] != value for name, value in facts.items()):
                store.change(Track.update(**facts, active=True).where(Track.id == known[key]["id"]))
                updated += 1
        for batch in chunked([row["id"] for key, row in known.items() if key in listed], 500):
            store.change(Track.update(seen_at=now).where(Track.id.in_(batch)))
        gone = [
            row["id"]
            for key, row in known.items()
            if key not in listed and row["active"] and row["seen_at"] is not None
        ]
        for batch in chunked(gone, 500):
            store.change(Track.update(active=False).where(Track.id.in_(batch)))
    return CatalogueCounts(new, updated, len(gone))


def list_tracks(
    store: Store,
    *,
    followed: bool | None = None,
    active: bool | None = None,
    text: str | None = None,
    limit: int = 5000,
) -> tuple[TrackRow, ...]:
    """Tracks by slug. `text` is a part of the slug or name."""
    query = _select()
    if followed is not None:
        query = query.where(Track.followed == followed)
    if active is not None:
        query = query.where(Track.active == active)
    if text is not None:
        query = query.where(Track.slug.contains(text) | Track.name.contains(text))
    return tuple(TrackRow(**row) for row in store.fetch_all(query.order_by(fn.LOWER(Track.slug)).limit(limit)))


def find_track(store: Store, slug: str) -> TrackRow | None:
    row = store.fetch_one(_select().where(_is(slug)))
    return TrackRow(**row) if row else None


def require_track(store: Store, slug: str) -> int:
    """The id of a track, which is made known where it is new in small letters, as any host's name."""
    with store.write():
        find = Track.select(Track.id).where(_is(slug))
        row = store.fetch_one(find)
        if row is None:
            store.change(Track.insert(slug=slug.lower()).on_conflict_ignore())  # another machine may be quicker
            row = store.fetch_one(find)
        assert row is not None
        return int(row["id"])


def add_track(store: Store, slug: str, name: str | None) -> None:
    """Make a track known under the name its dashboard gives."""
    with store.write():
        track_id = require_track(store, slug)
        store.change(Track.update(name=name).where(Track.id == track_id))


def set_followed(store: Store, slug: str, followed: bool) -> None:
    """Follow a track or stop following it. Raises StateError USAGE for a track that is not known."""
    if not store.change(Track.update(followed=followed).where(_is(slug))):
        raise StateError(Kind.USAGE, f"No track is called {slug}; `mre tracks list` shows those that are known")


def touch(store: Store, slug: str) -> None:
    """The track's events listing was read just now."""
    store.change(Track.update(listed_at=store.now_ms()).where(_is(slug)))


def _is(slug: str) -> Any:
    return fn.LOWER(Track.slug) == slug.lower()


def _select() -> Any:
    event_count = Event.select(fn.COUNT(Event.id)).where(Event.track == Track.id)
    return Track.select(Track, event_count.alias("event_count"))
