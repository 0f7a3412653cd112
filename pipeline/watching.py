"""Watching the pages that are read for signs that LiveRC has changed them: one `Watch` per run.

It takes a reading of every page, compares them with what pages of other origins held lately, and remembers them once
they are believed. What it finds doubtful fails the run; what only looks new is told, once.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import msgspec

from pipeline import drift, fixtures, signals
from pipeline.alerts import Alarm
from pipeline.drift import Doubt
from pipeline.errors import Kind, NormaliseError, ParseError, PipelineError
from pipeline.liverc.contract import Contract
from pipeline.liverc.coverage import Coverage, Observation, observe
from pipeline.liverc.markup import page_facts
from pipeline.liverc.readers import Readers
from pipeline.liverc.structure import StructureChange
from pipeline.liverc.urls import PageRef, parse_url
from pipeline.observe import Bus
from pipeline.records import EventPage, PageRecord, RacePage
from pipeline.signals import History, Known, PageReading, Reading
from pipeline.store import journal
from pipeline.store import signals as rows
from pipeline.store.database import Store
from pipeline.store.signals import SignalRow
from pipeline.store.totals import totals_have_held
from pipeline.suspicions import Suspicion, event_suspicions, page_suspicions, totals_suspicions
from pipeline.violations import Violation

LOOK_AT_EVERY = 10  # of the pages of one run that are of one kind
# A run that failed so may have met a page that changed, or only a race that is not scored yet: the signals tell.
AMBIGUOUS = frozenset({Kind.LAPS_MISSING, Kind.NO_RACES, Kind.SHRUNK})

_fields = msgspec.json.Decoder(dict[str, Reading])


class Watch:
    """The pages of one run. Belongs to one thread."""

    def __init__(
        self,
        store: Store,
        readers: Readers,
        origin: str,
        *,
        shipped: Path | None = None,
        look_at_every: int = LOOK_AT_EVERY,
    ) -> None:
        """`origin`: what the pages belong to; `shipped`: page sets that teach a database which knows no page yet."""
        self._look_at_every = look_at_every
        self._store = store
        self._readers = readers
        self._origin = origin
        self._shipped = shipped
        self._pages: defaultdict[str, list[PageReading]] = defaultdict(list)
        self._histories: dict[str, History] = {}
        self._seen: Counter[tuple[str, str, bool]] = Counter()
        self._coverages: list[Coverage] = []
        self._suspected: list[Doubt] = []
        self._urls: dict[tuple[str, str | None], tuple[str, str | None]] = {}  # (page type, race) → (URL, sha256)
        self.doubted: tuple[Doubt, ...] = ()  # what `require_undoubted` or `require_consistent` raised for

    def observe_page(self, body: bytes, ref: PageRef, record: PageRecord, *, sha256: str | None = None) -> None:
        """Look at a page that was read; closely at the first of each kind and at samples.

        A close look takes longer than reading does, and most pages of an event are built alike.
        """
        page_type, race_id = str(ref.page_type), record.source_race_id if isinstance(record, RacePage) else None
        self._urls[page_type, race_id] = ref.url, sha256
        kind = (page_type, *signals.kind_of(record))
        self._seen[kind] += 1
        coverage: Coverage = {}
        if (self._seen[kind] - 1) % self._look_at_every == 0:
            seen = observe(body, ref, self._readers.contract(ref.page_type))
            coverage = seen.coverage
            self._coverages.append(coverage)
            self._pages[page_type].append(reading_of(seen, body, ref, record, origin=self._origin, sha256=sha256))
        self._suspected += map(self._doubt, page_suspicions(record, coverage))

    def doubts(self) -> tuple[Doubt, ...]:
        """What is doubted on the pages so far, and no person has dismissed before. Raises StoreError."""
        found = list(self._suspected)
        for page_type, pages in self._pages.items():
            found += signals.doubts(pages, self._history(page_type))
        return self._not_waived(found)

    def require_undoubted(self) -> None:
        """Pass if every page looks as pages of its type do.

        Raises ParseError FIELD_MISSING or FIELD_INVALID, NormaliseError INVALID_DOCUMENT, with page type, field,
        selector and URL; StoreError.
        """
        self._refuse(self.doubts())

    def require_consistent(
        self, event_page: EventPage, races: Mapping[str, RacePage], violations: Iterable[Violation]
    ) -> None:
        """Pass if the pages of an event do not contradict each other; raises as `require_undoubted`."""
        violations = tuple(violations)
        said = event_suspicions(event_page, races, violations, self._coverages)
        totals = totals_suspicions(violations)
        if totals and totals_have_held(self._store, event_page.source_event_id):
            said += totals
        self._refuse(self._not_waived([self._doubt(one) for one in said]))

    def doubts_about(self, error: PipelineError, bodies: Mapping[str, str]) -> tuple[Doubt, ...]:
        """What a run's failure means: doubts, each with its page in the archive, or nothing. Raises StoreError.

        Args:
            bodies: URL → sha256 of the pages that the run kept.
        """
        found = self.doubted or (self.doubts() if error.kind in AMBIGUOUS else drift.doubts_of(error))
        located = []
        for doubt in found:
            url = doubt.url or self._place(doubt.page_type, doubt.race_id)[0]
            located.append(msgspec.structs.replace(doubt, url=url, sha256=doubt.sha256 or bodies.get(url)))
        return tuple(located)

    def knows(self, ref: PageRef, error: PipelineError) -> bool:
        """Whether a failure speaks of a page of its type at all: a mistyped slug leads to one that never was."""
        if error.kind is not Kind.PAGE_UNRECOGNISED:
            return True
        return any(page.url == ref.url for page in load_history(self._store, str(ref.page_type)).pages)

    def remember(self, run_id: int | None, alarm: Alarm) -> None:
        """The pages were believed: they are what others are compared with from now on. Raises StoreError."""
        new: list[tuple[PageReading, str]] = []
        for page_type in self._pages:
            self._history(page_type)  # as it was before
        with self._store.write():
            rows.keep(self._store, (self._row(page, run_id) for pages in self._pages.values() for page in pages))
            for page_type, pages in self._pages.items():
                new += self._learn(page_type, pages, run_id)
        for page, message in new:
            alarm.structure(page, message)

    # ------------------------------------------------------------------ inside

    def _learn(self, page_type: str, pages: Sequence[PageReading], run_id: int | None) -> list[tuple[PageReading, str]]:
        """Remember structures; those worth an alert are warned of in the journal, in the same transaction."""
        history = self._history(page_type)
        known = {one.digest: one.lines for one in rows.structures(self._store, page_type)}
        told: list[tuple[PageReading, str]] = []
        for page in pages:
            lines = known.get(page.digest, ())
            if set(page.lines).issubset(lines):
                continue
            known[page.digest] = tuple(sorted({*lines, *page.lines}))
            change = signals.novelty(page, history)
            alert = bool(change) and history.witnesses >= signals.STRUCTURE_ORIGINS and not _told(page, told)
            rows.learn_structure(self._store, page_type, page.digest, known[page.digest], page.url, alerted=alert)
            if alert:
                told.append((page, _structure_message(page, change)))
        rows.saw_structures(self._store, page_type, {page.digest for page in pages})
        journal.append(self._store, (_warning(page, message, run_id) for page, message in told))
        return told

    def _doubt(self, said: Suspicion) -> Doubt:
        url, sha256 = self._place(said.page_type, said.race_id)
        return Doubt(
            page_type=said.page_type,
            url=url,
            field=said.field,
            why=said.why,
            kind=said.kind,
            race_id=said.race_id,
            sha256=sha256,
        )

    def _place(self, page_type: str, race_id: str | None) -> tuple[str, str | None]:
        """(URL, sha256) of the page that something was said about: the race's own, or the event's that names it."""
        return self._urls.get((page_type, race_id)) or self._urls.get((page_type, None), ("", None))

    def _history(self, page_type: str) -> History:
        """What pages of other origins held, as it was when this run first asked."""
        if page_type not in self._histories:
            if self._shipped is not None and rows.is_empty(self._store):
                with suppress(PipelineError):  # without them there is less to compare with, that is all
                    learn_from(self._store, self._readers, self._shipped)
            self._histories[page_type] = load_history(self._store, page_type).without(self._origin)
        return self._histories[page_type]

    def _not_waived(self, found: Sequence[Doubt]) -> tuple[Doubt, ...]:
        """What no person has dismissed, each with where its field is looked for."""
        by_type = {doubt.page_type for doubt in found}
        waived = {page_type: drift.waived(self._store, page_type) for page_type in by_type}
        places = {page_type: _places(self._readers.contract(page_type)) for page_type in by_type}
        return tuple(
            msgspec.structs.replace(doubt, selector=places[doubt.page_type].get(doubt.field or ""))
            for doubt in found
            if not {(doubt.url, doubt.field), (self._origin, doubt.field)} & waived[doubt.page_type]
        )

    def _refuse(self, found: tuple[Doubt, ...]) -> None:
        self.doubted = found
        if not found:
            return
        first = found[0]
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        details: dict[str, Any] = {
            "page_type": first.page_type,
            "field": first.field,
            "selector": first.selector,
            "url": first.url,
            "race_id": first.race_id,
            "doubts": len(found),
        }
        if first.kind == "cross_check":
            raise NormaliseError(Kind.INVALID_DOCUMENT, first.why + more, **details)
        kind = Kind.FIELD_MISSING if first.kind == "coverage" else Kind.FIELD_INVALID
        raise ParseError(kind, f"{first.url}: {first.why}{more}", **details)

    def _row(self, page: PageReading, run_id: int | None) -> SignalRow:
        return SignalRow(
            page_type=page.page_type,
            url=page.url,
            origin=page.origin,
            run_id=run_id,
            parser_build=self._readers.build,
            build_marker=page.build_marker,
            digest=page.digest,
            variant=page.variant,
            fields=msgspec.json.encode(page.fields).decode(),
        )


def _places(contract: Contract) -> dict[str, str]:
    """Field → where it is looked for, in words."""
    fields = [*contract.fields]
    for part in contract.parts:
        fields += (*part.fields, *part.row_fields)
    return {field.name: field.source for field in fields}


def _told(page: PageReading, told: Sequence[tuple[PageReading, str]]) -> bool:
    """Once for all pages of a run that look alike."""
    return any(page.digest == other.digest for other, _ in told)


def _structure_message(page: PageReading, change: StructureChange) -> str:
    build = f" (build {page.build_marker})" if page.build_marker else ""
    return f"{page.page_type} pages look new{build}, and read without doubt: {signals.shown_change(change)}"


def _warning(page: PageReading, message: str, run_id: int | None) -> journal.JournalEntry:
    facts = {"page_type": page.page_type, "url": page.url, "digest": page.digest}
    return journal.JournalEntry(
        entry_kind="warning",
        severity="warning",
        name="drift_structure_changed",
        message=message,
        run_id=run_id,
        fields=msgspec.json.encode(facts).decode(),
    )


def read_signals(body: bytes, ref: PageRef, record: PageRecord, readers: Readers, *, origin: str) -> PageReading:
    """The reading of one page that could be read."""
    return reading_of(observe(body, ref, readers.contract(ref.page_type)), body, ref, record, origin=origin)


def reading_of(
    seen: Observation, body: bytes, ref: PageRef, record: PageRecord, *, origin: str, sha256: str | None = None
) -> PageReading:
    """What signals need to know of a page that was looked at."""
    found = {name: Reading(one.looked, one.placed, one.found, dict(one.shapes)) for name, one in seen.coverage.items()}
    return PageReading(
        page_type=str(ref.page_type),
        url=ref.url,
        origin=origin,
        digest=seen.fingerprint.digest,
        lines=seen.fingerprint.lines,
        variant=signals.variant_of(record),
        fields=signals.applicable(record, found),
        build_marker=page_facts(body).build_marker,
        sha256=sha256,
        usual=frozenset(name for name, one in seen.coverage.items() if one.usual),
        race_id=record.source_race_id if isinstance(record, RacePage) else None,
    )


def load_history(store: Store, page_type: str) -> History:
    """What is remembered of a page type. Not inside a transaction that changes it. Raises StoreError."""
    with store.read():
        structures = {one.digest: one.lines for one in rows.structures(store, page_type)}
        ids = rows.ids(store, page_type)
        decoded = _decoded.setdefault(store, {}).get(page_type, {})
        known = {one: decoded[one] for one in ids if one in decoded}
        for row in rows.some(store, [one for one in ids if one not in known]):
            known[row.id] = Known(row.url, row.origin, row.digest, row.variant, _fields.decode(row.fields))
    _decoded[store][page_type] = known
    return History([known[one] for one in ids], structures)


# Pages as this process decoded them, by the id of their row: what stands under an id never changes.
_decoded: WeakKeyDictionary[Store, dict[str, dict[int, Known]]] = WeakKeyDictionary()


def learn_from(store: Store, readers: Readers, root: Path) -> None:
    """Teach a database that knows no page yet what the shipped page sets look like. Raises StoreError, ParseError."""
    for folder in fixtures.list_sets(root):
        shipped = fixtures.load_set(folder)
        watch = Watch(store, readers, f"{signals.FIXTURE}{shipped.event_id}", look_at_every=1)
        for url, body in shipped.pages:
            ref = parse_url(url)
            watch.observe_page(body, ref, readers.read(body, ref))
        watch.remember(None, Alarm(Bus()))
