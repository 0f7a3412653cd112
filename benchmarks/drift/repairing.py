"""Is the right thing proposed? The changed pages of some races teach, those of others hold out, those of yet others say
whether a proposal that called itself proven is right."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple

from benchmarks.drift.corpus import EventPages, Source
from benchmarks.drift.kinds import Kind
from pipeline.errors import PipelineError
from pipeline.liverc.contract import Contract, Field, load_contract
from pipeline.liverc.coverage import Coverage
from pipeline.liverc.induction import KnownPage, Proposal, propose
from pipeline.liverc.induction_fields import is_steady
from pipeline.liverc.known import Answers, answers
from pipeline.liverc.readers import read_page
from pipeline.liverc.urls import PageType
from pipeline.records import PageRecord, RacePage
from pipeline.suspicions import page_suspicions, race_page_suspicions

LEARN, HOLD_OUT, FRESH = 3, 2, 3


class Repaired(NamedTuple):
    """How a proposal did on pages that it had never seen."""

    fields: int  # that can be brought back
    right: int  # of them read as they are
    missed: tuple[str, ...]
    wrong: str  # what a proven proposal reads wrongly; empty: nothing
    seconds: float


def judge(record: PageRecord, seen: Coverage) -> list[str]:
    """What repair asks about every page that it tries."""
    doubts = race_page_suspicions(record, seen) if isinstance(record, RacePage) else page_suspicions(record, seen)
    return [one.why for one in doubts]


def repair(kind: Kind, page_type: str, sources: Sequence[Source]) -> Repaired | None:
    """Propose from changed pages, and try the proposal on others; None where no page holds what the kind changes."""
    changed = []
    for source in sources:
        body = kind.apply(page_type, source.body, source.ref.url)
        if body is not None:
            changed.append(KnownPage(source.ref, body, source.record))
    if not changed:
        return None
    learn, hold_out, fresh = _parts(changed)
    started = time.perf_counter()
    proposal = propose(page_type, learn, hold_out, judge=judge)
    seconds = time.perf_counter() - started
    wanted = kind.moves.get(page_type, ())
    missed = tuple(name for name in wanted if not _brought_back(proposal, name, page_type, fresh))
    return Repaired(len(wanted), len(wanted) - len(missed), missed, _wrong(proposal, page_type, fresh), seconds)


def _parts(pages: list[KnownPage]) -> tuple[list[KnownPage], list[KnownPage], list[KnownPage]]:
    """(to learn from, held out, never seen); of few pages some serve twice, but none teaches and tells."""
    if len(pages) < 3:
        pages = sorted(pages, key=lambda page: str(page.record).count("None"))  # what holds most teaches most
        return pages[:1], pages[1:], pages[1:] or pages
    learn = pages[: min(LEARN, len(pages) - 2)]
    rest = pages[len(learn) :]
    hold_out = rest[: min(HOLD_OUT, len(rest) - 1)]
    return learn, hold_out, rest[len(hold_out) :][:FRESH]


def _brought_back(proposal: Proposal, name: str, page_type: str, fresh: Sequence[KnownPage]) -> bool:
    return all(_field_right(proposal, name, page_type, page) for page in fresh)


def _field_right(proposal: Proposal, name: str, page_type: str, page: KnownPage) -> bool:
    try:
        record = _read(proposal, page_type, page)
    except PipelineError:
        return False
    if name == "title":
        return True
    if name.startswith("script"):
        return getattr(record, "racers", None) == getattr(page.record, "racers", None)
    contract = load_contract(PageType(page_type))
    known = _values(answers(page, contract), name)
    return known == _values(answers(KnownPage(page.ref, page.body, record), contract), name)


def _read(proposal: Proposal, page_type: str, page: KnownPage) -> PageRecord:
    contract = load_contract(PageType(page_type), proposal.addition or None)
    return read_page(page.body, page.ref, contract)


def _values(of: Answers, name: str) -> list[str]:
    found = [of.fields[name].shown] if name in of.fields else []
    for blocks in of.parts.values():
        for block in blocks:
            found += [block.fields[name].shown] if name in block.fields else []
            found += [row[name].shown for row in block.rows if name in row]
    return found


def _wrong(proposal: Proposal, page_type: str, fresh: Sequence[KnownPage]) -> str:
    """What a proposal that holds itself for proven reads wrongly, and no cross-check notices."""
    if not proposal.is_proven:
        return ""
    contract = load_contract(PageType(page_type))
    for page in fresh:
        try:
            record = _read(proposal, page_type, page)
        except PipelineError:
            continue  # refused, not wrong
        known = answers(page, contract)
        read = answers(KnownPage(page.ref, page.body, record), contract)
        for field in _fields(contract):
            if is_steady(field) and _values(known, field.name) != _values(read, field.name):
                return f"{field.name} of {page.ref.url}"
    return ""


def _fields(contract: Contract) -> list[Field]:
    return [*contract.fields, *(one for part in contract.parts for one in (*part.fields, *part.row_fields))]


def _tells(source: Source) -> bool:
    """Does a race page have drivers and laps enough to state every statistic? Other pages always tell."""
    if not isinstance(source.record, RacePage):
        return True
    return sum(row.laps_completed > 15 for row in source.record.rows) > 2


def sources_of(page_type: str, events: Sequence[EventPages], above: Sequence[Source]) -> list[Source]:
    """Pages to learn from: those with rows enough, of several events by turns."""
    of_events = [event.of(page_type) for event in events]
    mixed = [
        pages[turn] for turn in range(max(map(len, of_events), default=0)) for pages in of_events if turn < len(pages)
    ]
    mixed += [source for source in above if source.page_type == page_type]
    return sorted(mixed, key=_tells, reverse=True)[: LEARN + HOLD_OUT + FRESH]
