"""The front door's part for LiveRC's lists: the catalogue, tracks, and the events of a track; `Service` inherits it.

Apart from its neighbours only because one file would be too long.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from pipeline import records
from pipeline.errors import Kind, ParseError, PipelineError
from pipeline.observe import Bus, refusal_report
from pipeline.ways import Way, way_in

if TYPE_CHECKING:
    from pipeline.liverc.readers import Readers
    from pipeline.liverc.sources import Sources
    from pipeline.liverc.urls import PageRef
    from pipeline.stopping import StopGroup
    from pipeline.store.database import Store
    from pipeline.store.events import EventRow
    from pipeline.store.tracks import CatalogueCounts, TrackRow


class _House(Protocol):
    bus: Bus
    stops: StopGroup

    @property
    def store(self) -> Store: ...
    @property
    def readers(self) -> Readers: ...
    @property
    def sources(self) -> Sources: ...
    @property
    def read_only(self) -> bool: ...
    def _read(self, url: str) -> records.PageRecord: ...
    def _believed(self, body: bytes, ref: PageRef) -> records.PageRecord: ...


class Catalogue:
    """What LiveRC lists: tracks, and their events."""

    @way_in(Way.CATALOGUE)
    def sync_tracks(self: _House) -> CatalogueCounts:
        """Read LiveRC's track catalogue; a track that vanished from it becomes inactive, never deleted."""
        from pipeline.liverc import urls
        from pipeline.store import tracks

        catalogue = self._read(urls.catalogue_url())
        assert isinstance(catalogue, records.TrackCatalogue)
        return tracks.sync_catalogue(self.store, catalogue)

    def tracks(
        self: _House, *, followed: bool | None = None, text: str | None = None, limit: int = 5_000
    ) -> tuple[TrackRow, ...]:
        from pipeline.store import tracks

        return tracks.list_tracks(self.store, followed=followed, text=text, limit=limit)

    @way_in(Way.EDIT)
    def follow(self: _House, slug: str, *, followed: bool = True) -> TrackRow:
        """Follow a track, or stop to. A track that is not known yet is looked up at its dashboard first."""
        from pipeline.liverc import urls
        from pipeline.store import tracks

        if followed and tracks.find_track(self.store, slug) is None:
            dashboard = self._read(urls.dashboard_url(slug))
            assert isinstance(dashboard, records.TrackDashboard)
            tracks.add_track(self.store, slug, dashboard.track_name)
        tracks.set_followed(self.store, slug, followed)
        row = tracks.find_track(self.store, slug)
        assert row is not None
        return row

    @way_in(Way.CATALOGUE)
    def refresh_track(self: _House, slug: str) -> tuple[EventRow, ...]:
        """Read a track's events listing; returns its listed events, newest first."""
        from pipeline.liverc import urls
        from pipeline.store import events

        listing = self._read(urls.events_url(slug))
        assert isinstance(listing, records.EventsListing)
        with self.store.write():
            events.record_listing(self.store, listing)
            rows = [events.find_event(self.store, listed.source_event_id) for listed in listing.events]
        return tuple(row for row in rows if row is not None)

    def _read(self: _House, url: str) -> records.PageRecord:
        """A page of no event, read and believed."""
        from pipeline import control
        from pipeline.liverc.urls import parse_url
        from pipeline.stopping import StopSignal

        ref = parse_url(url)

        def admit() -> None:
            control.admit(self.store, Way.CATALOGUE, control.Moment.REQUEST, pages=(str(ref.page_type),))

        signal = StopSignal()
        self.stops.add(signal)
        try:
            page = self.sources.fetch(ref, stop=signal.event, admit=admit)
            try:
                found: records.PageRecord | ParseError = self.readers.read(page.body, ref)
            except ParseError as error:
                found = error
            if self.sources.would_render(page, found):
                page = self.sources.render(ref, stop=signal.event, admit=admit)
            return self._believed(page.body, ref)
        except PipelineError as error:
            if error.kind is Kind.INTERRUPTED and signal.tripped:
                raise signal.error() from error  # which says who stopped it
            self.bus.publish(refusal_report(error))
            raise
        finally:
            self.stops.discard(signal)
