"""Is a mutation noticed? A changed page is read, its event is judged as an ingestion judges it, and what would be
published is compared with the truth."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

from benchmarks.drift.corpus import EventPages, Source
from benchmarks.drift.kinds import Kind
from pipeline.errors import FetchError, PipelineError
from pipeline.liverc.body import require_html
from pipeline.liverc.contract import load_contract
from pipeline.liverc.coverage import Coverage, coverage
from pipeline.liverc.readers import read_page
from pipeline.records import PageRecord, RacePage
from pipeline.suspicions import event_suspicions, page_suspicions, race_page_suspicions, totals_suspicions
from pipeline.violations import require_valid


class Fate(StrEnum):
    """What became of a changed page."""

    READ_RIGHT = "right"  # it would be published, and is what the truth says
    REFUSED = "refused"  # an error, or a suspicion: nothing is published
    WRONG = "WRONG"  # it would be published, and is not what the truth says


class Noticed(NamedTuple):
    fate: Fate
    why: str  # the rule, kind and field that noticed; for WRONG the first difference


def notice(kind: Kind, source: Source, event: EventPages | None, seed: str) -> Noticed | None:
    """The fate of one mutated page, within its event if it belongs to one; None where it holds nothing to change."""
    body = kind.apply(source.page_type, source.body, seed)
    return None if body is None else judge({source.ref.url: body}, [source], event)


def notice_all(kind: Kind, event: EventPages, page_type: str, seed: str, most: int = 3) -> Noticed | None:
    """As `notice`, where all pages of the type have changed: the first ones are read, the others believed unread."""
    changed = {}
    for source in _telling(event.of(page_type), most):
        body = kind.apply(page_type, source.body, seed)
        if body is not None:
            changed[source.ref.url] = body
    return judge(changed, event.of(page_type), event) if changed else None


def _telling(sources: Sequence[Source], most: int) -> Sequence[Source]:
    return [*sources[:1], *sources[len(sources) // 2 :][: most - 1]] if len(sources) > most else sources


def judge(bodies: dict[str, bytes], sources: Sequence[Source], event: EventPages | None) -> Noticed:
    """What an ingestion makes of changed bodies."""
    records: dict[str, PageRecord] = {}
    coverages: list[Coverage] = []
    try:
        for source in sources:
            body = bodies.get(source.ref.url)
            if body is None:
                continue
            require_html(body, "text/html")
            record = read_page(body, source.ref)
            seen = coverage(body, source.ref, load_contract(source.ref.page_type))
            if event is None and isinstance(record, RacePage):
                doubts = race_page_suspicions(record, seen)
            else:
                doubts = page_suspicions(record, seen)
            if doubts:
                return Noticed(Fate.REFUSED, f"{doubts[0].rule} {doubts[0].field}")
            records[source.ref.url] = record
            coverages.append(seen)
        if event is not None:
            return _judge_event(event, records, coverages)
    except (PipelineError, FetchError) as error:
        return Noticed(Fate.REFUSED, f"{error.kind} {error.details.get('field', '')}".strip())
    for source in sources:
        if source.ref.url in records and records[source.ref.url] != source.record:
            return Noticed(Fate.WRONG, difference(source.record, records[source.ref.url]))
    return Noticed(Fate.READ_RIGHT, "")


def _judge_event(event: EventPages, records: dict[str, PageRecord], coverages: list[Coverage]) -> Noticed:
    pages = event.pages(records)
    got = pages.build()
    violations = pages.check(got)
    require_valid(violations)
    assert pages.event is not None
    doubts = event_suspicions(pages.event, pages.races, violations, coverages)
    if not event.real:  # the real event page is kept with rows cut out, so there its totals say nothing
        doubts += totals_suspicions(violations)
    if doubts:
        return Noticed(Fate.REFUSED, f"{doubts[0].rule} {doubts[0].field}")
    true = event.pages().build()
    if got != true:
        return Noticed(Fate.WRONG, difference(true, got))
    return Noticed(Fate.READ_RIGHT, "")


def difference(true: object, got: object, where: str = "") -> str:
    """The first place where two records differ."""
    names = getattr(true, "__struct_fields__", None)
    if names and type(true) is type(got):
        found = (difference(getattr(true, name), getattr(got, name), f"{where}.{name}") for name in names)
        return next(filter(None, found), "")
    if isinstance(true, tuple) and isinstance(got, tuple) and len(true) == len(got):
        pairs = enumerate(zip(true, got, strict=True))
        return next(filter(None, (difference(a, b, f"{where}[{i}]") for i, (a, b) in pairs)), "")
    if isinstance(true, tuple) and isinstance(got, tuple):
        return f"{where}: {len(true)} → {len(got)}"
    return "" if true == got else f"{where}: {str(true)[:40]} → {str(got)[:40]}"


__all__ = ["Fate", "Noticed", "difference", "judge", "notice", "notice_all"]
