"""Where the pages of an event are had from: its page set, the page archive, or the site itself.

Page sets are captured from them, checked against them, and replayed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Protocol

from pipeline import control, document, fixtures, kept_pages
from pipeline.errors import Kind, PipelineError, StateError
from pipeline.fetching import fetch_event
from pipeline.fixtures import FixtureRoots, SetInfo
from pipeline.kept_pages import KeptPage
from pipeline.liverc.page import Fetcher
from pipeline.liverc.readers import Readers
from pipeline.liverc.urls import parse_event_ref
from pipeline.replaying import Source
from pipeline.stopping import StopGroup, StopSignal
from pipeline.store import events, export
from pipeline.store.archive import PageArchive
from pipeline.store.database import Store
from pipeline.store.events import EventRow
from pipeline.store.runs import RunRow
from pipeline.ways import Way


class House(Protocol):
    """What a `Service` offers of this."""

    stops: StopGroup

    @property
    def store(self) -> Store: ...
    @property
    def archive(self) -> PageArchive: ...
    @property
    def client(self) -> Fetcher: ...
    @property
    def readers(self) -> Readers: ...
    @property
    def fixture_roots(self) -> FixtureRoots: ...
    def resolve(self, event: str) -> tuple[str, str]: ...
    def event(self, event: str) -> EventRow: ...
    def run(self, run_id: int) -> RunRow: ...


def pages_of(house: House, event: str, run_id: int | None, *, live: bool) -> tuple[tuple[KeptPage, ...], str]:
    """An event's pages, and where they are from in words. Raises StateError USAGE; as `fetching.fetch_event`."""
    if live:
        slug, event_id = house.resolve(event)
        house.client.require_contact()
        control.admit(house.store, Way.CATALOGUE)
        with _stoppable(house) as signal:
            pages = fetch_event(house.client, house.readers, slug, event_id, signal, partial(_admit, house.store))
        return pages, "today's pages"
    manifest, words = _manifest(house, event, run_id)
    return kept_pages.of_run(house.archive, manifest), words


def _admit(store: Store) -> None:
    """Where ingestion is disabled nothing is fetched; a block on a page type does not stand in the way."""
    control.admit(store, Way.CATALOGUE, control.Moment.REQUEST)


@contextmanager
def _stoppable(house: House) -> Iterator[StopSignal]:
    signal = StopSignal()
    house.stops.add(signal)
    try:
        yield signal
    except PipelineError as error:
        if error.kind is Kind.INTERRUPTED and signal.tripped:
            raise signal.error() from error  # which says who stopped it
        raise
    finally:
        house.stops.discard(signal)


def _manifest(house: House, event: str, run_id: int | None) -> tuple[str, str]:
    """The archived pages of a run, or of what an event serves; a database that lost it asks the archive."""
    event_id = parse_event_ref(event)[1]
    if run_id is None:
        row = events.find_event(house.store, event_id)
        run_id = row.current_run_id if row else None
    if run_id is not None:
        run = house.run(run_id)
        if house.event(event_id).id != run.event_id:
            raise StateError(Kind.USAGE, f"Run {run_id} is not one of event {event_id}", run_id=run_id)
        if run.pages_manifest is not None:
            return run.pages_manifest, f"run {run_id} of the archive"
    served = next((one for one in house.archive.served() if one.source_event_id == event_id), None)
    if served is None:
        raise StateError(
            Kind.USAGE,
            f"No pages of event {event_id} are kept",
            event=event_id,
            remedy="Ingest the event first, name a run with --run, or fetch its pages with --live.",
        )
    return served.manifest, "what the archive serves"


def sources(house: House, event: str | None, *, archived: bool) -> tuple[Source, ...]:
    """What is replayed: page sets, or `archived` pages; of one event or of all. Raises StateError USAGE, StoreError."""
    sets = {} if archived else {info.event_id: info for info in fixtures.all_sets(house.fixture_roots)}
    if event is not None:
        info = sets.get(parse_event_ref(event)[1])
        return (_set_source(info) if info else _archive_source(house, event),)
    if not archived:
        return tuple(_set_source(info) for info in fixtures.all_sets(house.fixture_roots))
    return tuple(_archive_source(house, one.event) for one in house.archive.served())


def _set_source(info: SetInfo) -> Source:
    loaded = fixtures.load_set(info.folder)
    slug = document.decode(loaded.expected).track_slug
    return Source(
        event=f"{slug}/{info.event_id}",
        what=f"page set {info.name}",
        pages=kept_pages.of_set(loaded),
        expected=loaded.expected,
        expected_sha256=hashlib.sha256(loaded.expected).hexdigest(),
    )


def _archive_source(house: House, event: str) -> Source:
    event_id = parse_event_ref(event)[1]
    manifest, words = _manifest(house, event, None)
    served = next((one for one in house.archive.served() if one.source_event_id == event_id), None)
    row = events.find_event(house.store, event_id)
    expected = None
    if row is not None and row.current_run_id is not None:
        with suppress(ValueError):  # rows are missing that every document has: its hash is known
            expected = document.encode(export.load_event(house.store, row.id))
        slug, sha256 = row.track_slug, row.document_sha256 or ""
    else:
        assert served is not None
        slug, sha256 = served.track_slug, served.document_sha256
    return Source(
        event=f"{slug}/{event_id}",
        what=words,
        pages=kept_pages.of_run(house.archive, manifest),
        expected=expected,
        expected_sha256=sha256,
    )
