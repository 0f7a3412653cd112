"""The front door's part for drift: cases, probes, canaries, and what is believed of pages of no event.

Apart from its neighbours only because one file would be too long.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

from pipeline.errors import Kind, PipelineError, StateError, StoreError
from pipeline.ways import Way, operator, way_in

if TYPE_CHECKING:
    from pipeline.alerts import Alarm
    from pipeline.drift import Case, CaseEvent, Doubt
    from pipeline.fixtures import FixtureRoots
    from pipeline.ingest import IngestReport, Options
    from pipeline.liverc.client import Client
    from pipeline.liverc.readers import Readers
    from pipeline.liverc.urls import PageRef
    from pipeline.observe import Bus
    from pipeline.probes import Canary, CanaryResult, Site
    from pipeline.records import PageRecord
    from pipeline.stopping import StopGroup
    from pipeline.store.archive import PageArchive
    from pipeline.store.database import Store
    from pipeline.store.events import EventRow

logger = logging.getLogger("mre.pipeline")


class _Settings(Protocol):
    @property
    def drift_webhook(self) -> str | None: ...


class _House(Protocol):
    bus: Bus
    stops: StopGroup

    @property
    def settings(self) -> _Settings: ...
    @property
    def store(self) -> Store: ...
    @property
    def client(self) -> Client: ...
    @property
    def archive(self) -> PageArchive: ...
    @property
    def readers(self) -> Readers: ...
    @property
    def fixture_roots(self) -> FixtureRoots: ...
    @property
    def read_only(self) -> bool: ...
    @property
    def alarm(self) -> Alarm: ...
    @property
    def _site(self) -> Site: ...
    def event(self, event: str) -> EventRow: ...
    def ingest(self, event: str, options: Options | None = None) -> IngestReport: ...


class DriftActions:
    """Has LiveRC changed? Looking at cases, deciding them, closing them."""

    @property
    def alarm(self: _House) -> Alarm:
        """Who is told that pages have changed."""
        from pipeline.alerts import Alarm

        return Alarm(self.bus, self.settings.drift_webhook)

    @property
    def _site(self: _House) -> Site:
        from pipeline.probes import Site

        return Site(self.store, self.client, self.archive, self.stops, self.readers, self.alarm)

    # ------------------------------------------------------------------ cases

    def drift_cases(self: _House, *, open_only: bool = False, limit: int = 100) -> tuple[Case, ...]:
        """Drift cases, newest first, each with its events and what the probes said."""
        from pipeline import drift

        return drift.list_cases(self.store, open_only=open_only, limit=limit)

    def drift_case(self: _House, case_id: int) -> Case:
        """One drift case. Raises StateError USAGE where there is none."""
        from pipeline import drift

        return drift.get_case(self.store, case_id)

    @way_in(Way.RECOVERY)
    def probe(self: _House, case_id: int) -> Case:
        """Fetch known pages of other events again and decide an open case; the case as it stands then.

        Raises StateError USAGE where there is no such open case; INTERRUPTED.
        """
        from pipeline import probes

        self.client.require_contact()
        return probes.run_probes(self._site, case_id)

    @way_in(Way.RECOVERY)
    def close_drift_case(self: _House, case_id: int, how: str, *, reason: str, who: str | None = None) -> Case:
        """Close a case as `repaired` or `dismissed`: the block ends, and its events may be ingested again.

        Raises StateError USAGE without a reason, or where the case cannot be closed so.
        """
        from pipeline import drift

        return drift.close(self.store, case_id, how, reason=reason, who=who or operator())

    @way_in(Way.INGEST)
    def ingest_case(self: _House, case_id: int, options: Options | None = None) -> Iterator[CaseIngestion]:
        """Ingest the events of a closed case again that nobody has since; those that fail stay on offer.

        Raises StateError USAGE while the case is open.
        """
        from pipeline import drift

        return _ingest_again(self, drift.to_ingest_again(drift.get_case(self.store, case_id)), case_id, options)

    # ------------------------------------------------------------------ canaries

    def canaries(self: _House) -> tuple[Canary, ...]:
        """The canary events, each with how it read when it was last looked at."""
        from pipeline import probes

        return probes.list_canaries(self.store)

    @way_in(Way.EDIT)
    def add_canary(self: _House, event: str, *, who: str | None = None) -> bool:
        """Let an event's pages be fetched again regularly, to see whether they still read equal. False: they are.

        Raises StateError NOTHING_TO_EXPORT where it serves nothing that could be compared.
        """
        from pipeline.store import drift as rows

        row = self.event(event)
        if row.current_run_id is None:
            raise StateError(Kind.NOTHING_TO_EXPORT, f"{event} serves nothing that could be compared", event=event)
        return rows.add_canary(self.store, row.id, who or operator())

    @way_in(Way.EDIT)
    def remove_canary(self: _House, event: str) -> bool:
        """False: it was none."""
        from pipeline.store import drift as rows

        return rows.remove_canary(self.store, self.event(event).id)

    @way_in(Way.CATALOGUE)
    def run_canaries(self: _House) -> tuple[CanaryResult, ...]:
        """Fetch pages of every canary event again; what does not read as its archive is suspected, and probed.

        Raises StateError INTERRUPTED, StoreError.
        """
        from pipeline import probes

        self.client.require_contact()
        return probes.run_canaries(self._site)

    # ------------------------------------------------------------------ pages of no event

    def _believed(self: _House, body: bytes, ref: PageRef) -> PageRecord:
        """Read a page of a track or the catalogue. One that is doubted fails as a page of an event does.

        Raises ParseError; the drift case that it opened or joined is in the details.
        """
        from pipeline import probes
        from pipeline.watching import Watch

        watch = Watch(self.store, self.readers, ref.slug or "catalogue")
        try:
            record = self.readers.read(body, ref)
            watch.observe_page(body, ref, record)
            watch.require_undoubted()
        except PipelineError as error:
            doubts: tuple[Doubt, ...] = ()
            if watch.knows(ref, error):
                doubts = watch.doubts_about(error, {ref.url: self.archive.put(body)})  # a repair learns from it
            try:
                case = probes.follow_up(self._site, doubts)
            except StoreError as trouble:
                logger.warning("the drift of %s could not be followed up: %s", ref.url, trouble.message)
                case = None
            if case is not None:
                error.with_details(drift_case=case.id, drift_state=case.state, drift_verdict=case.verdict)
            raise
        watch.remember(None, self.alarm)
        return record


class CaseIngestion:
    """One event of a closed case: its report, or the failure that it ended with."""

    def __init__(self, event: str, report: IngestReport | None, error: PipelineError | None) -> None:
        self.event = event  # slug/id
        self.report = report
        self.error = error


def _ingest_again(
    house: _House, events: tuple[CaseEvent, ...], case_id: int, options: Options | None
) -> Iterator[CaseIngestion]:
    from pipeline.store import drift as rows

    for one in events:
        try:
            report = house.ingest(one.event, options)
        except PipelineError as error:
            yield CaseIngestion(one.event, None, error)
            if error.kind is Kind.INTERRUPTED:
                return
            continue
        rows.release(house.store, case_id, one.event_id)
        yield CaseIngestion(one.event, report, None)
