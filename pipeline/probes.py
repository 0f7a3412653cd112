"""Probes and canaries: known pages of other events, fetched again politely and compared with their archive.

They decide a drift case: where other events still read equal, the case concerns its own event only; where one fails or
differs, LiveRC has changed. A probe that cannot be fetched proves nothing. Probes are exempt from the block that they
decide about.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

import msgspec
from msgspec import Struct

from pipeline import drift
from pipeline.alerts import Alarm
from pipeline.drift import Case, Doubt, ProbeResult
from pipeline.errors import FetchError, Kind, ParseError, PipelineError, StateError, StoreError
from pipeline.liverc.page import Fetcher
from pipeline.liverc.readers import Readers
from pipeline.liverc.urls import parse_url
from pipeline.race_checks import check_race_page
from pipeline.records import EntryListPage, EventPage, PageRecord, RacePage
from pipeline.signals import PageReading
from pipeline.stopping import StopGroup, StopSignal
from pipeline.store import drift as rows
from pipeline.store.archive import PageArchive, PageEntry
from pipeline.store.database import Store
from pipeline.watching import load_history, read_signals

PROBES = 3  # pages, each of another event
EVENTS_LOOKED_AT = 12  # to find them
PAGES_LOOKED_AT = 4  # of one event, to find one that has what is doubted
CANARY_RACES = 3  # of one canary
PROBE_DEADLINE_S = 90.0  # of one page, its turn included
MAY_BE_CORRECTED = 0.2  # share of a known page's rows; if more say something else, the page has changed

READS = ("equal", "corrected")  # verdicts that speak against a change of LiveRC
CHANGED = ("failed", "differs")  # and those that prove one


@dataclass(frozen=True)
class Site:
    """What probing works with."""

    store: Store
    client: Fetcher
    archive: PageArchive
    stops: StopGroup
    readers: Readers
    alarm: Alarm


class KnownPage(Struct, frozen=True):
    """A page that was believed once."""

    url: str
    event: str  # slug/id, or what the page belongs to
    reading: PageReading | None  # None: only what it held is remembered, not its bytes
    record: PageRecord | None
    sha256: str | None
    present: frozenset[str]  # the fields that had a value


class CanaryResult(Struct, frozen=True):
    """How one canary event reads now."""

    event: str  # slug/id
    passed: bool | None  # None: nothing could be fetched, which proves nothing
    pages: tuple[ProbeResult, ...]
    case: int | None = None  # the drift case that its failure opened or joined

    @property
    def message(self) -> str:
        """One phrase for people."""
        bad = next((page for page in self.pages if page.verdict in CHANGED), None)
        if bad is not None:
            return f"{bad.url} {bad.verdict}: {bad.message}"
        return "reads equal" if self.passed else "could not be fetched"


# ---------------------------------------------------------------- a case


def run_probes(site: Site, case_id: int) -> Case:
    """Fetch known pages of other events again and decide the case; the case as it stands then.

    Raises StateError USAGE where there is no such open case, INTERRUPTED where it was stopped before it could decide.
    """
    case = drift.get_case(site.store, case_id)
    if case.state in drift.CLOSED:
        raise StateError(Kind.USAGE, f"Drift case {case_id} was closed as {case.state}", case=case_id)
    results: list[ProbeResult] = []
    stopped: PipelineError | None = None
    signal = StopSignal()
    site.stops.add(signal)
    try:
        for known in islice(_known_pages(site, case), PROBES):
            results.append(_probe(site, known, case.page_type, case.doubts, signal))  # noqa: PERF401  a stop keeps what there is
    except StateError as error:
        if error.kind is not Kind.INTERRUPTED:
            raise
        stopped = signal.error() if signal.tripped else error
    finally:
        site.stops.discard(signal)
    state, verdict = _decided(case, results)
    decided = drift.decide(site.store, case_id, state, verdict, tuple(results))
    if decided.state != case.state:
        site.alarm.case(decided)
    if stopped is not None and decided.state == drift.SUSPECTED:
        raise stopped
    return decided


def follow_up(
    site: Site, doubts: tuple[Doubt, ...], *, event_id: int | None = None, run_id: int | None = None
) -> Case | None:
    """Open or join a case for what a run doubted, and let probes decide it; None where nothing is doubted.

    Raises StoreError; StateError INTERRUPTED where the program stops meanwhile: the case stays suspected.
    """
    if not doubts:
        return None
    first = [doubt for doubt in doubts if doubt.page_type == doubts[0].page_type]
    case = drift.suspect(site.store, tuple(first), event_id=event_id, run_id=run_id, alarm=site.alarm)
    return case if case.blocks else run_probes(site, case.id)


def _decided(case: Case, results: list[ProbeResult]) -> tuple[str, str]:
    """What the probes come to: the state of the case, and why in words."""
    counts = {verdict: sum(one.verdict == verdict for one in results) for verdict in (*READS, *CHANGED, "unreachable")}
    said = ", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count)
    changed = next((one for one in results if one.verdict in CHANGED), None)
    if changed is not None:
        return (
            drift.CONFIRMED,
            f"LiveRC has changed its {case.page_type} pages: {changed.event} {changed.message} ({said})",
        )
    if any(one.verdict in READS for one in results):
        return drift.EVENT_ONLY, f"known pages of other events still read as they did ({said}): only this one changed"
    if results:
        return drift.SUSPECTED, f"no known page could be fetched, which proves nothing ({said})"
    return drift.SUSPECTED, "there is no known page of another event to compare with: a person has to look"


def _known_pages(site: Site, case: Case) -> Iterator[KnownPage]:
    """Believed pages of the case's type, one of each other event, the newest first."""
    if case.page_type not in ("event", "race_result", "entry_list"):
        yield from _remembered(site.store, case)
        return
    wanted = {doubt.field for doubt in case.doubts if doubt.field}
    doubted = rows.doubted_events(site.store, case.page_type)
    for _, event, manifest in rows.served_manifests(site.store, without=doubted, limit=EVENTS_LOOKED_AT):
        entries = _entries(site.archive, manifest)
        pages = (_archived(site, event, entry) for entry in entries if entry.page_type == case.page_type)
        readable = [page for page in islice(pages, PAGES_LOOKED_AT) if page is not None]
        # one that has what is doubted says most
        yield from sorted(readable, key=lambda page: len(wanted & page.present), reverse=True)[:1]


def _remembered(store: Store, case: Case) -> Iterator[KnownPage]:
    """Pages of tracks are not archived; what they held is remembered."""
    urls = {doubt.url for doubt in case.doubts}
    for page in load_history(store, case.page_type).pages:
        if page.url not in urls:
            present = frozenset(name for name, reading in page.fields.items() if reading.present)
            yield KnownPage(page.url, page.origin, None, None, None, present)


def _entries(archive: PageArchive, manifest: str) -> tuple[PageEntry, ...]:
    try:
        return archive.read_manifest(manifest).pages
    except StoreError:  # a damaged archive has its own check; here there is just nothing to compare with
        return ()


def _archived(site: Site, event: str, entry: PageEntry) -> KnownPage | None:
    """A page of the archive, or None where it cannot be read now: then the readers changed, not the page."""
    try:
        body = site.archive.get(entry.sha256)
        ref = parse_url(entry.url)
        record = site.readers.read(body, ref)
    except PipelineError:
        return None
    reading = read_signals(body, ref, record, site.readers, origin=event)
    present = frozenset(name for name, one in reading.fields.items() if one.present)
    return KnownPage(entry.url, event, reading, record, entry.sha256, present)


# ---------------------------------------------------------------- one page


def _probe(site: Site, known: KnownPage, page_type: str, doubts: tuple[Doubt, ...], signal: StopSignal) -> ProbeResult:
    """Fetch a known page again and compare. Raises StateError INTERRUPTED."""
    result = ProbeResult(url=known.url, event=known.event, verdict="unreachable", known_sha256=known.sha256)
    change: Callable[..., ProbeResult] = lambda **facts: msgspec.structs.replace(result, **facts)  # noqa: E731
    ref = parse_url(known.url)
    deadline = time.monotonic() + PROBE_DEADLINE_S
    try:
        page = site.client.fetch(known.url, page_type, stop=signal.event, deadline=deadline)
    except FetchError as error:
        unlike = error.kind is Kind.PAGE_UNRECOGNISED
        return change(verdict="failed" if unlike else "unreachable", message=f"{error.kind}: {error.message}")
    new_sha256 = site.archive.put(page.body, page.gzipped)
    try:
        record = site.readers.read(page.body, ref)
    except ParseError as error:
        said = f"cannot be read any more: {error.message}"
        return change(verdict="failed", message=said, field=error.details.get("field"), new_sha256=new_sha256)
    reading = read_signals(page.body, ref, record, site.readers, origin=known.event)
    verdict, message, field = _compared(known, record, reading, doubts)
    return change(verdict=verdict, message=message, field=field, new_sha256=new_sha256)


def _compared(
    known: KnownPage, record: PageRecord, reading: PageReading, doubts: tuple[Doubt, ...]
) -> tuple[str, str | None, str | None]:
    """(verdict, message, field): does a page still say what it said, and above all where it is doubted?"""
    if record == known.record:
        return "equal", None, None
    for name in dict.fromkeys(doubt.field for doubt in doubts if doubt.field):
        now = reading.fields.get(name)
        if name in known.present and now is not None and not now.present:
            return "differs", f"lacks {name} now, too", name
    if known.record is None or known.reading is None:
        return "equal", None, None
    for doubt in doubts:
        if doubt.kind == "shape" and (shape := _new_shape(known.reading, reading, doubt.field)):
            return "differs", f"shows {doubt.field} as {shape!r} now, too", doubt.field
    if isinstance(record, RacePage) and isinstance(known.record, RacePage):
        before = {(one.rule, one.driver, one.field) for one in check_race_page(known.record)}
        for broken in check_race_page(record):
            if (broken.rule, broken.driver, broken.field) not in before:
                return "differs", broken.message, broken.field
    rows_before = _rows(known.record)
    lost = len(rows_before - _rows(record))
    if lost > MAY_BE_CORRECTED * len(rows_before):
        return "differs", f"{lost} of {len(rows_before)} rows say something else now", None
    return "corrected", f"{lost} of {len(rows_before)} rows were corrected since", None


def _new_shape(known: PageReading, now: PageReading, field: str | None) -> str | None:
    if field is None or field not in now.fields or field not in known.fields:
        return None
    shapes = now.fields[field].shapes
    new = shapes.keys() - known.fields[field].shapes.keys()
    return min(new) if len(new) * 2 > len(shapes) else None


def _rows(record: PageRecord) -> set[object]:
    match record:
        case RacePage():
            return {*record.rows, *record.racers}
        case EventPage():
            return set(record.races)
        case EntryListPage():
            return {entry for one in record.classes for entry in one.entries}
        case _:
            return {record}


# ---------------------------------------------------------------- canaries


class Canary(Struct, frozen=True):
    """One canary event, and how it read when it was last looked at."""

    event: str  # slug/id
    added_at: int  # UTC milliseconds
    added_by: str
    checked_at: int | None
    result: CanaryResult | None


def list_canaries(store: Store) -> tuple[Canary, ...]:
    """The canary events, the oldest first."""
    return tuple(
        Canary(
            event=row.event,
            added_at=row.added_at,
            added_by=row.added_by,
            checked_at=row.checked_at,
            result=None if row.result is None else msgspec.json.decode(row.result, type=CanaryResult),
        )
        for row in rows.canaries(store)
    )


def run_canaries(site: Site) -> tuple[CanaryResult, ...]:
    """Fetch pages of every canary event again, and suspect what does not read as its archive; probes decide then.

    Raises StateError INTERRUPTED, StoreError.
    """
    return tuple(_run_canary(site, row) for row in rows.canaries(site.store))


def _run_canary(site: Site, row: rows.CanaryRow) -> CanaryResult:
    entries = _entries(site.archive, row.pages_manifest) if row.pages_manifest else ()
    races = [entry for entry in entries if entry.page_type == "race_result"]
    chosen = [entry for entry in entries if entry.page_type != "race_result"]
    step = max(len(races) // CANARY_RACES, 1)
    chosen += races[::step][:CANARY_RACES]
    known = [page for entry in chosen if (page := _archived(site, row.event, entry)) is not None]
    signal = StopSignal()
    site.stops.add(signal)
    try:
        pages = tuple(_probe(site, page, str(parse_url(page.url).page_type), (), signal) for page in known)
    finally:
        site.stops.discard(signal)
    changed = any(page.verdict in CHANGED for page in pages)
    passed = False if changed else True if any(page.verdict in READS for page in pages) else None
    result = CanaryResult(row.event, passed, pages)
    if changed:
        result = msgspec.structs.replace(result, case=_suspect(site, row, result))
        site.alarm.canary(row.event, result.message)
    rows.record_canary(site.store, row.event_id, passed=passed, result=msgspec.json.encode(result).decode())
    return result


def _suspect(site: Site, row: rows.CanaryRow, result: CanaryResult) -> int:
    """A case for what a canary does not say any more, decided by probes of other events."""
    bad = [page for page in result.pages if page.verdict in CHANGED]
    page_type = str(parse_url(bad[0].url).page_type)
    doubts = tuple(
        Doubt(
            page_type=page_type,
            url=page.url,
            field=page.field,
            why=f"the canary {row.event} {page.message}",
            kind="canary",
            sha256=page.new_sha256,
        )
        for page in bad
        if str(parse_url(page.url).page_type) == page_type
    )
    case = drift.suspect(site.store, doubts, event_id=row.event_id, alarm=site.alarm, hold=False)
    return case.id if case.blocks else run_probes(site, case.id).id
