"""The front door: what command line, console, API and scheduler call. One function per thing a person can ask for.

A `Service` owns the open database, the page archive, the connector's client and the bus of reports; each opens when it
is first needed. Every function raises `PipelineError` and nothing else, and may be called from any thread.
"""

from __future__ import annotations

import logging
import threading
import weakref
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from pipeline import records
from pipeline.errors import Kind, PipelineError, StateError
from pipeline.holders import program_version
from pipeline.observe import Bus
from pipeline.service_archive import ArchiveActions
from pipeline.service_control import ControlActions
from pipeline.service_drift import DriftActions
from pipeline.service_gate import GateActions
from pipeline.service_locks import LockActions
from pipeline.service_recovery import RecoveryActions
from pipeline.service_repair import RepairActions
from pipeline.stopping import StopGroup
from pipeline.ways import Way, way_in

if TYPE_CHECKING:
    from pipeline.ingest import IngestReport, Options
    from pipeline.liverc.client import Client
    from pipeline.looking import Status
    from pipeline.snapshot import LapLine, LogLine, RaceLine, ResultLine, Snapshot
    from pipeline.store.archive import PageArchive
    from pipeline.store.database import Store
    from pipeline.store.events import EventRow
    from pipeline.store.journal import JournalRow
    from pipeline.store.runs import RunRow
    from pipeline.store.tracks import CatalogueCounts, TrackRow


logger = logging.getLogger("mre.pipeline")


class ServiceSettings(Struct, frozen=True):
    """What the pipeline needs to know, whoever asks."""

    db_url: str
    data: Path  # page archive, debug files
    site: str | None = None  # http://host:port that stands in for every *.liverc.com host
    crawl_delay: float = 1.0  # seconds
    contact: str | None = None
    release_dead: bool = True  # give the lease of a holder proven dead on this machine away without asking
    fixtures: Path | None = None  # the page sets that came with the program
    drift_webhook: str | None = None  # http(s) URL that is told of drift in a JSON POST; may hold a secret


class TrackIngestion(Struct, frozen=True):
    """One event of `ingest_track`: its report, or the failure that it ended with."""

    event: str  # slug/id
    report: IngestReport | None
    error: PipelineError | None


class Service(ControlActions, LockActions, RecoveryActions, ArchiveActions, DriftActions, GateActions, RepairActions):
    """The pipeline behind every way in. Use as a context manager, or call `close`."""

    def __init__(
        self,
        settings: ServiceSettings,
        *,
        bus: Bus | None = None,
        client: Client | None = None,
        read_only: bool = False,
    ) -> None:
        """`client` replaces the one that the settings describe; `read_only` refuses every method that is a way in."""
        self.settings = settings
        self.read_only = read_only
        self.bus = bus or Bus()
        self.stops = StopGroup()
        self._workers: weakref.WeakSet[threading.Thread] = weakref.WeakSet()
        self._opening = threading.RLock()
        self._store: Store | None = None
        self._client = client

    def __enter__(self) -> Service:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ------------------------------------------------------------------ what it stands on

    @property
    def store(self) -> Store:
        """The open database; a new one is created, an old one is refused until it is upgraded."""
        with self._opening:
            if self._store is None:
                from pipeline.store.database import Store

                may_create = not self.read_only
                self._store = Store.open(self.settings.db_url, create=may_create, migrate=may_create)
            return self._store

    @cached_property
    def archive(self) -> PageArchive:
        from pipeline.store.archive import PageArchive

        return PageArchive(self.settings.data / "pages")

    @property
    def client(self) -> Client:
        with self._opening:
            if self._client is None:
                from pipeline.liverc.client import Client, ClientSettings
                from pipeline.liverc.shared_state import StoreState

                self._client = Client(
                    ClientSettings(
                        version=program_version(),
                        crawl_delay_s=self.settings.crawl_delay,
                        contact=self.settings.contact,
                        stand_in=self.settings.site,
                    ),
                    StoreState(self.store),
                )
            return self._client

    def stop(self, message: str = "the program was asked to stop") -> None:
        """Ask every run under way in this process to end as interrupted."""
        self.stops.stop_all(message)

    def running_here(self) -> int:
        """How many runs and fetches of this process are under way, or about to begin."""
        return max(len(self.stops), sum(worker.is_alive() for worker in tuple(self._workers)))

    def close(self) -> None:
        with self._opening:
            if self._client is not None:
                self._client.close()
            if self._store is not None:
                self._store.close()

    # ------------------------------------------------------------------ ingestion

    @way_in(Way.INGEST)
    def ingest(self, event: str, options: Options | None = None) -> IngestReport:
        """Ingest one event, now, in the calling thread.

        Args:
            event: a LiveRC event URL, `slug/event_id`, or the bare id of a known event.
        Raises:
            PipelineError: with the run's id in its details; what is served is unchanged then.
        """
        from pipeline.ingest import Options, Workplace, ingest_event

        slug, source_event_id = self.resolve(event)
        place = Workplace(
            self.store,
            self.client,
            self.archive,
            self.bus,
            self.stops,
            self.settings.data / "debug",
            self.lock_policy,
            self.readers,
            self.fixture_roots,
            self.alarm,
        )
        return ingest_event(place, slug, source_event_id, options or Options())

    @way_in(Way.INGEST)
    def start_ingest(
        self,
        event: str,
        options: Options | None = None,
        *,
        done: Callable[[IngestReport | PipelineError], None] | None = None,
    ) -> threading.Thread:
        """Ingest one event in a worker thread of its own; `done` hears how it ended, in that thread."""
        self.resolve(event)  # a bad name is the caller's to hear, at once

        def work() -> None:
            outcome: IngestReport | PipelineError
            with self.store.connection_scope():
                try:
                    outcome = self.ingest(event, options)
                except PipelineError as error:
                    outcome = error
                except Exception as error:  # a fault of the program must reach whoever waits, not only its thread
                    logger.exception("ingestion of %s failed unexpectedly", event)
                    outcome = PipelineError(
                        Kind.INTERNAL, f"the program failed unexpectedly: {type(error).__name__}: {error}"[:300]
                    )
            if done is not None:
                done(outcome)

        thread = threading.Thread(target=work, name=f"ingest-{event.rsplit('/', 1)[-1]}", daemon=True)
        self._workers.add(thread)
        thread.start()
        return thread

    @way_in(Way.INGEST)
    def ingest_track(
        self, slug: str, *, since: str, limit: int | None = None, options: Options | None = None
    ) -> Iterator[TrackIngestion]:
        """Ingest a track's events that began on or after `since` (ISO date) and are not served yet, newest first.

        Resumable: what was published before is passed over, and what failed before comes last, so the same call goes on
        where the last one ended. An event that fails does not stop the others, nor does one that is held; a stop of the
        program does.
        """
        from pipeline import attempts

        rows = self.refresh_track(slug)
        due = [row for row in rows if (row.start_date or "") >= since and row.ingest_depth == "none"]
        due.sort(key=lambda row: row.state == "failed")
        for row in due[:limit]:
            name = f"{row.track_slug}/{row.source_event_id}"
            if row.held_at is not None:  # nobody asked for this very event
                yield TrackIngestion(name, None, attempts.held(row))
                continue
            try:
                yield TrackIngestion(name, self.ingest(name, options), None)
            except PipelineError as error:
                yield TrackIngestion(name, None, error)
                if error.kind is Kind.INTERRUPTED:
                    return

    # ------------------------------------------------------------------ events

    def resolve(self, event: str) -> tuple[str, str]:
        """EVENT as people write it → (slug, source_event_id). Raises StateError USAGE or UNKNOWN_EVENT."""
        from pipeline.liverc.urls import parse_event_ref

        slug, source_event_id = parse_event_ref(event)
        return (slug or self.event(event).track_slug), source_event_id

    def event(self, event: str) -> EventRow:
        """The row of a known event. Raises StateError UNKNOWN_EVENT."""
        from pipeline.liverc.urls import parse_event_ref
        from pipeline.store import events

        _, source_event_id = parse_event_ref(event)
        row = events.find_event(self.store, source_event_id)
        if row is None:
            raise StateError(Kind.UNKNOWN_EVENT, f"event {source_event_id} is not known here", event=event)
        return row

    @way_in(Way.EDIT)
    def add_event(self, event: str) -> EventRow:
        """Make an event known without fetching anything. Raises StateError USAGE."""
        from pipeline.store import events

        slug, source_event_id = self.resolve(event)
        return events.add_event(self.store, slug, source_event_id)

    def events(
        self, *, track: str | None = None, state: str | None = None, since: str | None = None, text: str | None = None,
        limit: int = 500,
    ) -> tuple[EventRow, ...]:  # fmt: skip
        """Known events, newest first."""
        from pipeline.store import events

        return events.list_events(self.store, track=track, state=state, since=since, text=text, limit=limit)

    def export(self, event: str, *, run_id: int | None = None) -> records.Event:
        """The canonical document of what is served. Raises StateError NOTHING_TO_EXPORT."""
        from pipeline.store import export

        row = self.event(event)
        if row.current_run_id is None and run_id is None:
            raise StateError(
                Kind.NOTHING_TO_EXPORT,
                f"{event} has no published data (state {row.state})",
                event=event,
                state=row.state,
            )
        return export.load_event(self.store, row.id, run_id)

    # ------------------------------------------------------------------ tracks

    @way_in(Way.CATALOGUE)
    def sync_tracks(self) -> CatalogueCounts:
        """Read LiveRC's track catalogue; a track that vanished from it becomes inactive, never deleted."""
        from pipeline.liverc import urls
        from pipeline.store import tracks

        catalogue = self._read(urls.catalogue_url())
        assert isinstance(catalogue, records.TrackCatalogue)
        return tracks.sync_catalogue(self.store, catalogue)

    def tracks(
        self, *, followed: bool | None = None, text: str | None = None, limit: int = 5_000
    ) -> tuple[TrackRow, ...]:
        from pipeline.store import tracks

        return tracks.list_tracks(self.store, followed=followed, text=text, limit=limit)

    @way_in(Way.EDIT)
    def follow(self, slug: str, *, followed: bool = True) -> TrackRow:
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
    def refresh_track(self, slug: str) -> tuple[EventRow, ...]:
        """Read a track's events listing; returns its listed events, newest first."""
        from pipeline.liverc import urls
        from pipeline.store import events

        listing = self._read(urls.events_url(slug))
        assert isinstance(listing, records.EventsListing)
        with self.store.write():
            events.record_listing(self.store, listing)
            rows = [events.find_event(self.store, listed.source_event_id) for listed in listing.events]
        return tuple(row for row in rows if row is not None)

    def _read(self, url: str) -> records.PageRecord:
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
            page = self.client.fetch(url, ref.page_type, stop=signal.event, deadline=None, admit=admit)
            return self._believed(page.body, ref)
        except PipelineError as error:
            if error.kind is Kind.INTERRUPTED and signal.tripped:
                raise signal.error() from error  # which says who stopped it
            raise
        finally:
            self.stops.discard(signal)

    # ------------------------------------------------------------------ runs, log

    def runs(self, event: str | None = None, *, limit: int = 50) -> tuple[RunRow, ...]:
        """Runs of one event or of all, newest first."""
        from pipeline.store import runs

        return runs.list_runs(self.store, None if event is None else self.event(event).id, limit=limit)

    def run(self, run_id: int) -> RunRow:
        from pipeline.store import runs

        row = runs.get_run(self.store, run_id)
        if row is None:
            raise StateError(Kind.USAGE, f"there is no run {run_id}", run_id=run_id)
        return row

    def log(self, *, event: str | None = None, run_id: int | None = None, limit: int = 1_000) -> tuple[JournalRow, ...]:
        """The journal of an event or of one run, oldest first."""
        from pipeline.store import journal

        if run_id is not None:
            return journal.for_run(self.store, self.run(run_id).id)[-limit:]
        return journal.for_event(self.store, self.event(event or "").id, limit=limit)

    # ------------------------------------------------------------------ pictures for people

    def snapshot(self, *, text: str = "", limit: int = 500, after_log_id: int = 0, log_limit: int = 2_000) -> Snapshot:
        """Everything at one moment; `text` filters events by name, slug/id or state. It reads: not for a UI loop."""
        from pipeline import looking

        return looking.take_snapshot(
            self.store,
            text=text,
            limit=limit,
            after_log_id=after_log_id,
            log_limit=log_limit,
            build=self.contracts.build(),
        )

    def races(self, event_id: int) -> tuple[RaceLine, ...]:
        """The races that are served of an event (the database's id), in order of completion."""
        from pipeline import looking

        return looking.races(self.store, event_id)

    def results(self, race_id: int) -> tuple[ResultLine, ...]:
        """The results of one served race, by position."""
        from pipeline import looking

        return looking.results(self.store, race_id)

    def laps(self, result_id: int) -> tuple[LapLine, ...]:
        """The laps of one served result."""
        from pipeline import looking

        return looking.laps(self.store, result_id)

    def run_log(self, run_id: int, limit: int = 1_000) -> tuple[LogLine, ...]:
        """The newest lines of one run's log, oldest first."""
        from pipeline import looking

        return looking.run_log(self.store, run_id, limit=limit)

    def status(self) -> Status:
        """How everything stands: totals, runs under way, failures, locks, open warnings."""
        from pipeline import looking

        return looking.take_status(self.store)


def parse_page(body: bytes, url: str, data: Path | None = None) -> dict[str, object]:
    """What one saved page says, in the canonical document's names. Touches no database and no network.

    `data`: the data folder, whose accepted contracts are used too.
    """
    from pipeline.document import parsed_as_json
    from pipeline.liverc.contract_folder import FOLDER, ContractFolder
    from pipeline.liverc.readers import SHIPPED
    from pipeline.liverc.urls import parse_url

    readers = SHIPPED if data is None else ContractFolder(data / FOLDER).current()
    return parsed_as_json(readers.read(body, parse_url(url)))
