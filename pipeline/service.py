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
from pipeline.liverc.errand import Clock
from pipeline.observe import Bus, Report, failure_fields
from pipeline.service_archive import ArchiveActions
from pipeline.service_catalogue import Catalogue
from pipeline.service_control import ControlActions
from pipeline.service_drift import DriftActions
from pipeline.service_gate import GateActions
from pipeline.service_locks import LockActions
from pipeline.service_looking import Looking
from pipeline.service_observe import Observation
from pipeline.service_recovery import RecoveryActions
from pipeline.service_repair import RepairActions
from pipeline.service_schedule import ScheduleActions
from pipeline.stopping import StopGroup
from pipeline.ways import Way, way_in

if TYPE_CHECKING:
    from pipeline.ingest import IngestReport, Options
    from pipeline.liverc.browser import Browser
    from pipeline.liverc.client import Client
    from pipeline.liverc.sources import Renderer, Sources
    from pipeline.store.archive import PageArchive
    from pipeline.store.database import Store
    from pipeline.store.events import EventRow
    from pipeline.store.journal import JournalRow
    from pipeline.store.runs import RunRow


logger = logging.getLogger("mre.pipeline")
CLOSING_S = 2.0  # how long closing waits for the schedule's work to end; it was asked to stop long before, if at all


class ServiceSettings(Struct, frozen=True):
    """What the pipeline needs to know, whoever asks."""

    db_url: str
    data: Path  # page archive, debug files
    site: str | None = None  # http://host:port that stands in for every *.liverc.com host
    crawl_delay: float = 1.0  # seconds
    contact: str | None = None
    release_dead: bool = True  # give the lease of a holder proven dead on this machine away without asking
    fixtures: Path | None = None  # the page sets that came with the program
    browser: str = "auto"  # auto, always, never: see `pipeline.liverc.sources.BrowserMode`
    browser_pages: frozenset[str] = frozenset()  # page types that always need it
    debug_browser: bool = False  # show it, with DevTools, and keep what it made of every page
    drift_webhook: str | None = None  # http(s) URL that is told of drift in a JSON POST; may hold a secret


class TrackIngestion(Struct, frozen=True):
    """One event of `ingest_track`: its report, or the failure that it ended with."""

    event: str  # slug/id
    report: IngestReport | None
    error: PipelineError | None


class Service(
    Catalogue,
    ControlActions,
    LockActions,
    RecoveryActions,
    ArchiveActions,
    Looking,
    Observation,
    ScheduleActions,
    DriftActions,
    GateActions,
    RepairActions,
):
    """The pipeline behind every way in. Use as a context manager, or call `close`."""

    def __init__(
        self,
        settings: ServiceSettings,
        *,
        bus: Bus | None = None,
        client: Client | None = None,
        read_only: bool = False,
        clock: Clock | None = None,
    ) -> None:
        """`client` replaces the one that the settings describe; `read_only` refuses every method that is a way in.

        `clock` is what waits and deadlines are measured by; stored times are the database's.
        """
        self.settings = settings
        self.read_only = read_only
        self.bus = bus or Bus()
        self.clock = clock or Clock()
        self.stops = StopGroup()
        self._worker = None  # runs the schedule here
        self._workers: weakref.WeakSet[threading.Thread] = weakref.WeakSet()
        self._opening = threading.RLock()
        self._store: Store | None = None
        self._client = client
        self._browser: Browser | None = None

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
                self._store = Store.open(
                    self.settings.db_url, create=may_create, migrate=may_create, home=self.settings.data
                )
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
                    on_retry=self._tell_retry,
                    clock=self.clock,
                )
            return self._client

    @property
    def sources(self) -> Sources:
        """By which way pages come: plain HTTP, or the browser where they are nothing without it."""
        from pipeline.liverc.client import Client
        from pipeline.liverc.sources import BrowserMode, How, Sources

        settings, client = self.settings, self.client
        if settings.browser == BrowserMode.NEVER or not isinstance(client, Client):
            return Sources(client)
        return Sources(client, How(BrowserMode(settings.browser), settings.browser_pages), self._open_browser)

    def _open_browser(self) -> Renderer:
        from pipeline.liverc.browser import Browser, BrowserSettings
        from pipeline.liverc.client import user_agent
        from pipeline.liverc.sources import renderer

        with self._opening:
            if self._browser is None:
                settings = self.settings
                self._browser = Browser(
                    BrowserSettings(
                        agent=user_agent(program_version(), settings.contact),
                        folder=settings.data / "browser",
                        headed=settings.debug_browser,
                        keep=settings.debug_browser,
                    ),
                    self.client.resource,
                )
            return renderer(self.client, self._browser)

    def _tell_retry(self, error: PipelineError, seconds: float) -> None:
        message = f"{error.message} Trying again in {seconds:.1f} s."
        self.bus.publish(Report("fetch_retry", message, "warning", fields={**failure_fields(error), "wait_s": seconds}))

    def stop(self, message: str = "the program was asked to stop") -> None:
        """Ask every run under way in this process to end as interrupted, and run the schedule here no more."""
        if self._worker is not None:
            self._worker.stop(message)
        self.stops.stop_all(message)

    def running_here(self) -> int:
        """How many runs and fetches of this process are under way, or about to begin."""
        return max(len(self.stops), sum(worker.is_alive() for worker in tuple(self._workers)))

    def close(self) -> None:
        self.stop_schedule(timeout_s=CLOSING_S)
        with self._opening:
            if self._browser is not None:
                self._browser.close()
            if self._client is not None:
                self._client.close()
            if self._store is not None:
                self._store.close()

    # ------------------------------------------------------------------ ingestion

    @way_in(Way.INGEST)
    def ingest(
        self, event: str, options: Options | None = None, *, claim: Callable[[], None] | None = None
    ) -> IngestReport:
        """Ingest one event, now, in the calling thread.

        Args:
            event: a LiveRC event URL, `slug/event_id`, or the bare id of a known event.
            claim: called inside the transaction that takes the event's lease; what it raises undoes that.
        Raises:
            PipelineError: with the run's id in its details; what is served is unchanged then.
        """
        from pipeline.collecting import Workplace
        from pipeline.ingest import Options, ingest_event

        slug, source_event_id = self.resolve(event)
        place = Workplace(
            self.store,
            self.client,
            self.archive,
            self.bus,
            self.stops,
            self.settings.data / "debug",
            self.lock_policy,
            clock=self.clock,
            readers=self.readers,
            fixtures=self.fixture_roots,
            alarm=self.alarm,
            sources=self.sources,
        )
        return ingest_event(place, slug, source_event_id, options or Options(), claim=claim)

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
        return self.start(lambda: self.ingest(event, options), done, name=event.rsplit("/", 1)[-1])

    @way_in(Way.INGEST)
    def start(
        self,
        work: Callable[[], IngestReport],
        done: Callable[[IngestReport | PipelineError], None] | None = None,
        *,
        name: str,
    ) -> threading.Thread:
        """Do `work`, an ingestion, in a worker thread of its own; `done` hears how it ended, in that thread."""

        def run() -> None:
            outcome: IngestReport | PipelineError
            with self.store.connection_scope():
                try:
                    outcome = work()
                except PipelineError as error:
                    outcome = error
                except Exception as error:  # a fault of the program must reach whoever waits, not only its thread
                    logger.exception("ingestion of %s failed unexpectedly", name)
                    outcome = PipelineError(
                        Kind.INTERNAL, f"the program failed unexpectedly: {type(error).__name__}: {error}"[:300]
                    )
            if done is not None:
                done(outcome)

        thread = threading.Thread(target=run, name=f"ingest-{name}", daemon=True)
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
        program does, and whatever else every further event would meet too.
        """
        from pipeline import attempts
        from pipeline.retrying import HOPELESS

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
                if error.kind in HOPELESS:
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
        limit: int = 500, offset: int = 0,
    ) -> tuple[EventRow, ...]:  # fmt: skip
        """Known events, newest first."""
        from pipeline.store import events

        return events.list_events(
            self.store, track=track, state=state, since=since, text=text, limit=limit, offset=offset
        )

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

    # ------------------------------------------------------------------ runs, log

    def runs(self, event: str | None = None, *, limit: int = 50) -> tuple[RunRow, ...]:
        """Runs of one event or of all, newest first."""
        from pipeline.store import runs

        return runs.list_runs(self.store, None if event is None else self.event(event).id, limit=limit)

    def run(self, run_id: int) -> RunRow:
        from pipeline.store import runs

        row = runs.get_run(self.store, run_id)
        if row is None:
            raise StateError(Kind.UNKNOWN, f"there is no run {run_id}", run_id=run_id)
        return row

    def log(
        self, *, event: str | None = None, run_id: int | None = None, limit: int = 1_000, after_id: int | None = None
    ) -> tuple[JournalRow, ...]:
        """The newest lines of the journal of an event or of one run, oldest first; of a run with `after_id` the first
        ones after that."""
        from pipeline.store import journal

        if run_id is not None and after_id is not None:
            return journal.for_run(self.store, run_id, after_id=after_id, limit=limit)
        if run_id is not None:
            return journal.for_run(self.store, self.run(run_id).id)[-limit:]
        return journal.for_event(self.store, self.event(event or "").id, limit=limit)


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
