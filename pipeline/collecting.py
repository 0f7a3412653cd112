"""The pages of one event: fetched politely and in a fixed order, read, and kept, whatever becomes of the run.

A page comes over plain HTTP; one that is an empty shell there, and shows that scripts would fill it, is made by the
browser instead (`pipeline.liverc.sources` decides). The bytes that were read are the bytes that go to the archive.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from pipeline import control, drift, records
from pipeline.alerts import Alarm
from pipeline.debugging import PageFolder
from pipeline.errors import FetchError, Kind, NormaliseError, ParseError, PipelineError, Stage
from pipeline.fixtures import NO_FIXTURES, FixtureRoots
from pipeline.leases import LockPolicy
from pipeline.liverc import urls
from pipeline.liverc.errand import Clock
from pipeline.liverc.markup import page_facts
from pipeline.liverc.page import Fetcher, Page
from pipeline.liverc.readers import SHIPPED, Readers
from pipeline.liverc.sources import Sources
from pipeline.observe import Bus
from pipeline.runs import DEFAULT_POLICY
from pipeline.stopping import StopGroup, StopSignal
from pipeline.store.archive import PageArchive, PageBatch, PageEntry
from pipeline.store.database import Store
from pipeline.watching import Watch
from pipeline.ways import Way


@dataclass(frozen=True)
class Workplace:
    """What an ingestion works with."""

    store: Store
    client: Fetcher
    archive: PageArchive
    bus: Bus
    stops: StopGroup
    debug_root: Path
    policy: LockPolicy = DEFAULT_POLICY
    sources: Sources | None = None  # by which way pages come; None: plain HTTP
    clock: Clock = field(default_factory=Clock)  # what deadlines are measured by; the client's own
    readers: Readers = SHIPPED
    fixtures: FixtureRoots = NO_FIXTURES  # the page sets that the readers must pass first
    alarm: Alarm | None = None  # who hears that pages have changed; None: nobody watches them, as in a sandbox

    def watch(self, source_event_id: str) -> Watch | None:
        """Looks for signs of drift on the pages of one run."""
        if self.alarm is None:
            return None
        return Watch(self.store, self.readers, drift.origin_of(source_event_id), shipped=self.fixtures.shipped)


class Progress(Protocol):
    """What the stages report to: a recorded run, or a dry run that only narrates."""

    def enter(self, stage: str) -> None: ...
    def pages(self, done: int, total: int | None) -> None: ...
    def learn(self, page: records.EventPage) -> None: ...
    def span(self, name: str, **attributes: object) -> AbstractContextManager[dict[str, object]]: ...
    def log(self, name: str, message: str, *, severity: str = "info", **fields: object) -> None: ...


@dataclass
class Collected:
    """What the pages of one event say, and the archive entries of the pages that said it."""

    event_page: records.EventPage
    races: dict[str, records.RacePage] = field(default_factory=dict)
    entry_list: records.EntryListPage | None = None


@dataclass
class Collector:
    """Fetches and reads the pages of one event, politely and in a fixed order."""

    place: Workplace
    progress: Progress
    signal: StopSignal
    deadline: float  # monotonic seconds, by the workplace's clock
    folder: PageFolder | None = None  # where --debug keeps what was fetched and read
    batch: PageBatch | None = None  # where pages go to the archive; None: nowhere
    entries: list[PageEntry] = field(default_factory=list)  # what went there
    fetched: int = 0
    watch: Watch | None = None  # who looks for signs of drift on every page

    def __post_init__(self) -> None:
        self._sources = self.place.sources or Sources(self.place.client)

    def collect(self, slug: str, source_event_id: str) -> Collected:
        """All pages of the event.

        Raises:
            FetchError: a page could not be had. ParseError: a page could not be read. NormaliseError: it has no races.
        """
        page = self._read(urls.event_url(slug, source_event_id))
        assert isinstance(page, records.EventPage)
        if page.event_name:  # the empty shell of an unknown id has none, and would wipe out what is known
            self.progress.learn(page)
        collected = Collected(page)
        if not page.races:
            raise NormaliseError(
                Kind.NO_RACES,
                f"event {source_event_id} has no races on its page",
                url=urls.event_url(slug, source_event_id),
            )
        total = 1 + len(page.races) + page.has_entry_list
        self.progress.pages(1, total)
        if page.has_entry_list:
            collected.entry_list = self._entry_list(slug, source_event_id)
            self.progress.pages(2, total)
        for link in page.races:
            collected.races[link.source_race_id] = self._race(slug, link)
            self.progress.pages(total - len(page.races) + len(collected.races), total)
        return collected

    def _race(self, slug: str, link: records.RaceLink) -> records.RacePage:
        try:
            page = self._read(urls.race_url(slug, link.source_race_id))
        except PipelineError as error:
            raise error.with_details(race_id=link.source_race_id, race_label=link.race_label) from error
        assert isinstance(page, records.RacePage)
        return page

    def _entry_list(self, slug: str, source_event_id: str) -> records.EntryListPage | None:
        try:
            page = self._read(urls.entry_list_url(slug, source_event_id))
        except FetchError as error:
            if error.kind is not Kind.NOT_FOUND:
                raise
            self.progress.log(
                "entry_list_missing",
                "the event page links an entry list, but there is no such page",
                severity="warning",
            )
            return None
        assert isinstance(page, records.EntryListPage)
        return page

    def _read(self, url: str) -> records.PageRecord:
        """A page's record; the bytes that it was read from, or that could not be read, go to the archive."""
        self.check()
        ref = urls.parse_url(url)
        page = self._fetch(ref)
        self.progress.enter(Stage.PARSE)
        found: records.PageRecord | ParseError
        try:
            found = self._parse(page, ref)
            if (rendered := self._rendered(page, ref, found)) is not None:
                page, found = rendered
        finally:
            sha256 = self._keep(page)
            if self.folder is not None:
                self.folder.keep_page(page.body, ref)
        if isinstance(found, ParseError):
            raise found
        if self.folder is not None:
            self.folder.keep_record(found, ref)
        if self.watch is not None:
            self.watch.observe_page(page.body, ref, found, sha256=sha256)
        return found

    def _fetch(self, ref: urls.PageRef) -> Page:
        with self._fetching(ref) as facts:
            page = self._sources.fetch(ref, stop=self.signal.event, deadline=self.deadline, admit=self._admit)
            self._tell_fetched(page, ref, facts)
        return page

    def _rendered(
        self, page: Page, ref: urls.PageRef, found: records.PageRecord | ParseError
    ) -> tuple[Page, records.PageRecord | ParseError] | None:
        """The page as a browser makes it, where plain HTTP brought a shell that scripts would fill."""
        if not self._sources.would_render(page, found):
            return None
        with self._fetching(ref) as facts:
            made = self._sources.render(ref, stop=self.signal.event, deadline=self.deadline, admit=self._admit)
            self._tell_fetched(made, ref, facts)
        self.progress.enter(Stage.PARSE)
        return made, self._parse(made, ref)

    @contextmanager
    def _fetching(self, ref: urls.PageRef) -> Iterator[dict[str, object]]:
        self.progress.enter(Stage.FETCH)
        place = {"url": ref.url, "page_type": str(ref.page_type), **_race_id(ref)}
        with self.progress.span(f"{_name(ref)}_page_fetch", **place) as facts:
            yield facts

    def _tell_fetched(self, page: Page, ref: urls.PageRef, facts: dict[str, object]) -> None:
        facts.update(method=page.how, attempts=page.attempts, bytes=len(page.body), request_ms=page.duration_ms)
        self.fetched += 1
        self.progress.log(
            f"{_name(ref)}_page_fetched",
            f"{page.url}: {len(page.body):,} bytes in {page.duration_ms} ms",
            severity="debug",
            url=page.url,
            page_type=str(ref.page_type),
            method=page.how,
            duration_ms=page.duration_ms,
            attempt=page.attempts,
            sha256=hashlib.sha256(page.body).hexdigest(),
        )

    def _parse(self, page: Page, ref: urls.PageRef) -> records.PageRecord | ParseError:
        """What the page says, or why it cannot be read: that may yet be a matter for the browser."""
        race, began = _race_id(ref), time.perf_counter()
        try:
            with self.progress.span("lap_extraction" if race else "page_read", page_type=str(ref.page_type), **race):
                record = self.place.readers.read(page.body, ref)
        except ParseError as error:
            return error
        if isinstance(record, records.RacePage):
            laps = sum(len(racer.laps) for racer in record.racers)
            self.progress.log(
                "laps_extracted",
                f"race {ref.id}: {laps:,} laps of {len(record.rows)} drivers",
                severity="debug",
                race_id=ref.id,
                drivers=len(record.rows),
                laps=laps,
                duration_ms=round((time.perf_counter() - began) * 1000, 3),
            )
        return record

    def _admit(self) -> None:
        control.admit(self.place.store, Way.INGEST, control.Moment.REQUEST, pages=control.INGESTED)

    def _keep(self, page: Page) -> str | None:
        """The name of the page's bytes in the archive, where they are kept."""
        if self.batch is None:
            return None
        sha256 = self.batch.put(page.body, page.gzipped)
        self.entries.append(
            PageEntry(
                url=page.url,
                page_type=page.page_type,
                fetched_at_ms=page.fetched_at_ms,
                how=page.how,
                sha256=sha256,
                build_marker=page_facts(page.body).build_marker,
                status=page.status,
            )
        )
        return sha256

    def check(self) -> None:
        """Between pages: stop when asked to, and when the run has had its time."""
        self.signal.check()
        if self.place.clock.now() >= self.deadline:
            raise FetchError(Kind.TIMEOUT, "the run passed its deadline and was ended", pages_done=self.fetched)


def _name(ref: urls.PageRef) -> str:
    """How log lines and spans call the page."""
    return "race" if ref.page_type is urls.PageType.RACE_RESULT else str(ref.page_type)


def _race_id(ref: urls.PageRef) -> dict[str, str | None]:
    return {"race_id": ref.id} if ref.page_type is urls.PageType.RACE_RESULT else {}
