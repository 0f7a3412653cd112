"""One event through the stages: fetch, parse, normalise, validate, publish. The only orchestration there is.

Nothing is published unless every page of the event was fetched, read and found consistent: one missing or unreadable
race page fails the run, and what is served stays as it was. Every page a run used goes to the page archive, whatever
became of the run.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

from msgspec import Struct

from pipeline import control, document, drift, gate, probes, records, validate
from pipeline.collecting import Collected, Collector, Progress, Workplace
from pipeline.debugging import PageFolder
from pipeline.errors import Kind, PipelineError, Stage, StateError, StoreError
from pipeline.observe import Bus, Report, progress_report, refusal_report
from pipeline.probes import Site
from pipeline.runs import Run, reason_of
from pipeline.stopping import StopSignal
from pipeline.store import events as event_rows
from pipeline.store.archive import PageBatch, PageEntry
from pipeline.store.database import Store
from pipeline.violations import Violation, require_valid
from pipeline.watching import Watch
from pipeline.ways import Way

logger = logging.getLogger("mre.pipeline")
RUN_DEADLINE_S = 30 * 60.0


class Options(Struct, frozen=True):
    """How one ingestion is wanted."""

    trigger: str = "cli"  # who asked: cli, console, api, schedule
    dry_run: bool = False  # fetch, read and judge, but write nothing
    debug: bool = False  # keep pages and what was read from them beside the run
    allow_shrink: bool = False  # publish even if over half of the served races or laps would be lost
    deadline_s: float = RUN_DEADLINE_S


class IngestReport(Struct, frozen=True):
    """How an ingestion ended well."""

    outcome: str  # published, unchanged; in a dry run: would_publish, unchanged
    event: str  # slug/id
    event_name: str
    run_id: int | None  # None in a dry run
    races: int
    results: int
    laps: int
    document_sha256: str
    warnings: int
    seconds: float


def ingest_event(
    place: Workplace,
    slug: str,
    source_event_id: str,
    options: Options,
    *,
    claim: Callable[[], None] | None = None,
) -> IngestReport:
    """Ingest one event in the calling thread.

    `claim` is called inside the transaction that takes the lease; what it raises means that nothing was begun.

    Raises:
        PipelineError: recorded with the run, whose id is in the details; what is served is unchanged then.
    """
    try:
        place.client.require_contact()  # refused before there is an event or a run to show for it
        _admit(place.store, slug, source_event_id, listed=not options.dry_run)
        gate.admit_build(place.store, place.readers, place.fixtures, place.bus)
        if options.dry_run:
            return _dry_run(place, slug, source_event_id, options)
        known = event_rows.add_event(place.store, slug, source_event_id)
        run = Run.begin(
            place.store,
            place.bus,
            known,
            kind="ingest",
            trigger=options.trigger,
            policy=place.policy,
            claim=claim,
            build=place.readers.build,
        )
    except PipelineError as error:
        place.bus.publish(refusal_report(error, event=f"{slug}/{source_event_id}"))
        raise
    event = run.event
    place.stops.add(run.signal)
    folder = PageFolder(place.debug_root / f"run-{run.run_id}") if options.debug else None
    pages = PageBatch(place.archive)
    watch = place.watch(source_event_id)
    deadline = place.clock.now() + options.deadline_s
    collector = Collector(place, run, run.signal, deadline, folder, pages, watch=watch)
    try:
        collected = collector.collect(event.track_slug, source_event_id)
        judged = judge(collected, run, watch)
        validate.check_shrink(judged.races, judged.laps, event.race_count, event.lap_count, allow=options.allow_shrink)
        run.pages_manifest = pages.write_manifest(run.archive_key, collector.entries)
        collector.check()
        outcome = run.publish(judged.event, judged.sha256, archive=place.archive)
    except BaseException as error:
        reason = reason_of(error, run.signal)
        run.pages_manifest = _manifest_of_failure(run, pages, collector.entries)
        run.fail(reason)
        if isinstance(error, PipelineError):
            _follow_up(place, run, watch, reason, collector.entries)
            raise reason from (None if reason is error else error)
        raise
    finally:
        place.stops.discard(run.signal)
    if watch is not None and place.alarm is not None:
        try:
            watch.remember(run.run_id, place.alarm)
        except StoreError as error:  # what was published stays; there is less to compare the next pages with
            logger.warning("what the pages of run %d looked like could not be kept: %s", run.run_id, error.message)
    return _report(judged, outcome, run.name, run.run_id, run.started)


def _admit(store: Store, slug: str, source_event_id: str, *, listed: bool) -> None:
    """May an event be ingested now? One that a drift case stands in the way of is listed there, and stays as it is."""
    try:
        control.admit(store, Way.INGEST, pages=control.INGESTED)
    except StateError as error:
        if error.kind is Kind.PAGE_TYPE_BLOCKED and listed:
            drift.note_refused(store, error.details["case"], event_rows.add_event(store, slug, source_event_id).id)
        raise


def _follow_up(place: Workplace, run: Run, watch: Watch | None, error: PipelineError, entries: list[PageEntry]) -> None:
    """A run failed: where its pages are doubted, a drift case says so and probes decide it. Never hides the failure."""
    if watch is None or place.alarm is None or "not_recorded" in error.details:  # who lost the lease says nothing
        return
    site = Site(place.store, place.client, place.archive, place.stops, place.readers, place.alarm)
    try:
        if error.kind is Kind.PAGE_TYPE_BLOCKED:  # by a case that was confirmed meanwhile
            drift.note_refused(place.store, error.details["case"], run.event.id)
            return
        doubts = watch.doubts_about(error, {entry.url: entry.sha256 for entry in entries})
        case = probes.follow_up(site, doubts, event_id=run.event.id, run_id=run.run_id)
    except PipelineError as trouble:
        logger.warning("the drift of run %d could not be followed up: %s", run.run_id, trouble.message)
        return
    if case is not None:
        error.with_details(drift_case=case.id, drift_state=case.state, drift_verdict=case.verdict)


def _manifest_of_failure(run: Run, pages: PageBatch, entries: list[PageEntry]) -> str | None:
    """The pages of a failed run are kept too: somebody will look at them.

    Whatever goes wrong here, a full disk or an interpreter that is shutting down, must not keep the run from ending.
    """
    try:
        return pages.write_manifest(run.archive_key, entries)
    except Exception as error:  # noqa: BLE001
        run.log("archive_failed", f"the pages could not be kept: {error}"[:300], severity="error")
        return None


def _report(judged: Judged, outcome: str, name: str, run_id: int | None, started: float) -> IngestReport:
    return IngestReport(
        outcome=outcome,
        event=name,
        event_name=judged.event.event_name,
        run_id=run_id,
        races=judged.races,
        results=judged.results,
        laps=judged.laps,
        document_sha256=judged.sha256,
        warnings=len(judged.warnings),
        seconds=round(time.monotonic() - started, 3),
    )


class Narration:
    """The progress of a dry run: told to subscribers, recorded nowhere."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._stage: str | None = None

    def enter(self, stage: str) -> None:
        self._stage = stage

    def pages(self, done: int, total: int | None) -> None:
        self._bus.publish(progress_report(self._stage, done, total))

    def span(self, name: str, **attributes: object) -> AbstractContextManager[dict[str, object]]:
        """A dry run keeps no timeline."""
        return nullcontext({})

    def learn(self, page: records.EventPage) -> None:
        """A dry run writes no facts of the event."""

    def log(self, name: str, message: str, *, severity: str = "info", **fields: object) -> None:
        self._bus.publish(Report(name, message, severity, fields=fields))


def _dry_run(place: Workplace, slug: str, source_event_id: str, options: Options) -> IngestReport:
    """As `ingest_event` up to the judgement; no event, run or lease is written."""
    progress, signal = Narration(place.bus), StopSignal()
    place.stops.add(signal)
    started = time.monotonic()
    folder = PageFolder(place.debug_root / f"dry-{source_event_id}") if options.debug else None
    watch = place.watch(source_event_id)
    collector = Collector(place, progress, signal, place.clock.now() + options.deadline_s, folder, watch=watch)
    try:
        collected = collector.collect(slug, source_event_id)
        judged = judge(collected, progress, watch)
    except PipelineError as error:
        if signal.tripped:
            raise signal.error() from error
        raise
    finally:
        place.stops.discard(signal)
    known = event_rows.find_event(place.store, source_event_id)
    if known is not None:
        validate.check_shrink(judged.races, judged.laps, known.race_count, known.lap_count, allow=options.allow_shrink)
    same = known is not None and known.document_sha256 == judged.sha256
    return _report(judged, "unchanged" if same else "would_publish", f"{slug}/{source_event_id}", None, started)


class Judged:
    """A document that passed validation, in its canonical bytes' hash, with what only warns."""

    def __init__(self, event: records.Event, warnings: tuple[Violation, ...]) -> None:
        self.event = event
        self.sha256 = document.sha256(event)
        self.warnings = warnings
        self.races = len(event.races)
        self.results = sum(len(race.results) for race in event.races)
        self.laps = sum(len(result.laps) for race in event.races for result in race.results)


def judge(collected: Collected, progress: Progress, watch: Watch | None = None) -> Judged:
    """Pages → canonical document → violations.

    Raises NormaliseError where the document must not be published, ParseError where `watch` doubts the pages.
    """
    if watch is not None:
        watch.require_undoubted()
    with progress.span("normalise"):
        return _judge(collected, progress, watch)


def _judge(collected: Collected, progress: Progress, watch: Watch | None) -> Judged:
    progress.enter(Stage.NORMALISE)
    event = document.build_event(collected.event_page, collected.races, collected.entry_list)
    progress.enter("validate")
    violations = validate.check(event, collected.event_page, collected.races, collected.entry_list)
    for violation in violations:
        progress.log(
            f"validation_{violation.rule.replace('-', '_')}",
            violation.message,
            severity=violation.severity,
            race_id=violation.race_id,
            driver=violation.driver,
            field=violation.field,
        )
    require_valid(violations)
    if watch is not None:
        watch.require_consistent(collected.event_page, collected.races, violations)
    return Judged(event, tuple(v for v in violations if v.severity == "warning"))
