"""Known-answer induction: where do the values that the archive already knows stand on the changed page?

The changed pages of races that were read before are searched for those races' own values. Rows are the repeated
elements that hold one known key each; every field is then voted on, over rows and pages, column titles before XPaths.
What comes out is an addition to a contract, tried on pages that were not learnt from. Nothing here heals anything: a
person accepts a proposal, or does not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import zip_longest
from typing import Any

from msgspec import Struct

from pipeline.errors import PipelineError
from pipeline.liverc import induction_fields, induction_parts, induction_script
from pipeline.liverc.contract import Contract, ContractError, load_contract
from pipeline.liverc.coverage import Coverage, coverage
from pipeline.liverc.findings import FieldFinding, Finder, Sample
from pipeline.liverc.known import Answers, BlockAnswers, KnownPage, Wanted, answers
from pipeline.liverc.readers import read_page
from pipeline.liverc.trace import trace
from pipeline.liverc.urls import PageType
from pipeline.records import PageRecord

__all__ = ["Check", "FieldFinding", "Judge", "KnownPage", "Proposal", "merged", "propose"]


Judge = Callable[[PageRecord, Coverage], Sequence[str]]  # what is doubtful about a page, in sentences


class Check(Struct, frozen=True):
    """One page read with the proposed addition, against what is known of it."""

    url: str
    learnt_from: bool
    failure: str | None  # why it could not be read
    right: int  # values that are as known
    wrong: tuple[str, ...]  # field: known → read, the first few
    doubts: tuple[str, ...] = ()  # what its cross-checks say

    @property
    def passed(self) -> bool:
        return self.failure is None and not self.wrong and not self.doubts


class Proposal(Struct, frozen=True):
    """What would let the changed pages be read, and how sure that is."""

    page_type: str
    fields: tuple[FieldFinding, ...]  # every field of the contract, in its order
    addition: dict[str, Any]  # mergeable into the contract; empty where nothing can or need be added
    checks: tuple[Check, ...]  # the pages that were learnt from, then those that were held out

    @property
    def held_out(self) -> tuple[Check, ...]:
        return tuple(check for check in self.checks if not check.learnt_from)

    @property
    def is_proven(self) -> bool:
        """Does every page read as known, and at least one of them that was not learnt from?"""
        return bool(self.addition) and bool(self.held_out) and all(check.passed for check in self.checks)

    def of(self, status: str) -> tuple[FieldFinding, ...]:
        """The fields with a status: ok, moved, ambiguous, lost."""
        return tuple(field for field in self.fields if field.status == status)


def propose(
    page_type: str,
    learn: Sequence[KnownPage],
    hold_out: Sequence[KnownPage],
    contract: Contract | None = None,
    *,
    added: dict[str, Any] | None = None,
    judge: Judge | None = None,
) -> Proposal:
    """Find the known values on changed pages and propose what to add to the contract.

    `contract` is the one in force, `added` what it was widened by before, `judge` says what is doubtful about a page
    that was read. Raises `ValueError` without pages to learn
    from; `ParseError(PAGE_UNRECOGNISED)` where one of them is no HTML page.
    """
    if not learn:
        raise ValueError("no page to learn from")
    of = PageType(page_type)
    contract = contract or load_contract(of, added)
    samples = [Sample(page, trace(page.body, page.ref, contract), answers(page, contract)) for page in learn]
    finder = Finder(contract, tuple(samples))
    induction_fields.identity(finder)
    for part in contract.parts:
        induction_parts.part(finder, part)
    induction_fields.page_fields(finder)
    if contract.script is not None:
        induction_script.script(finder)
    addition = finder.addition
    checks: tuple[Check, ...] = ()
    try:
        widened = load_contract(of, merged(added or {}, addition)) if addition else contract
    except ContractError:  # an XPath that a page's own names made unsound
        widened, addition = contract, {}
    checks = tuple(
        _check(page, widened, judge, learnt_from=learnt)
        for learnt, pages in ((True, learn), (False, hold_out))
        for page in pages
    )
    return Proposal(str(of), finder.findings(), addition, checks)


def merged(base: dict[str, Any], extra: dict[str, Any]) -> dict[str, Any]:
    """Two additions as one."""
    both = dict(base)
    for key, value in extra.items():
        known = both.get(key)
        if isinstance(known, dict) and isinstance(value, dict):
            both[key] = merged(known, value)
        elif isinstance(known, list):
            both[key] = [*known, *(item for item in value if item not in known)]
        else:
            both[key] = value
    return both


def _check(page: KnownPage, contract: Contract, judge: Judge | None, *, learnt_from: bool) -> Check:
    try:
        record = read_page(page.body, page.ref, contract)
    except PipelineError as error:
        return Check(page.ref.url, learnt_from, error.message, 0, ())
    right, wrong = _compare(answers(page, contract), answers(KnownPage(page.ref, page.body, record), contract))
    doubts = judge(record, coverage(page.body, page.ref, contract)) if judge else ()
    if _unread(page.record, record):
        wrong = (*wrong, "laps: the lap script is not what it was")
    return Check(page.ref.url, learnt_from, None, right, wrong[:8], tuple(doubts[:4]))


def _unread(known: PageRecord, read: PageRecord) -> bool:
    return getattr(known, "racers", ()) != getattr(read, "racers", ())


def _compare(known: Answers, read: Answers) -> tuple[int, tuple[str, ...]]:
    pairs: list[tuple[str, Wanted, Wanted | None]] = [
        (name, known.fields[name], read.fields.get(name)) for name in known.fields
    ]
    for part, blocks in known.parts.items():
        others = read.parts.get(part, ())
        for block, other in zip_longest(blocks, others):
            if block is None or other is None:
                return 0, (f"{part}: {len(blocks)} → {len(others)}",)
            pairs += [(name, wanted, other.fields.get(name)) for name, wanted in block.fields.items()]
            rows = _rows(block, other)
            if rows is None:
                return 0, (f"{part}: {len(block.rows)} rows → {len(other.rows)} rows",)
            pairs += [(name, wanted, theirs.get(name)) for mine, theirs in rows for name, wanted in mine.items()]
    steady = [pair for pair in pairs if induction_fields.is_steady(pair[1].field)]
    wrong = [
        f"{name}: {mine.shown or '–'} → {(theirs.shown if theirs else '') or '–'}"
        for name, mine, theirs in steady
        if theirs is None or mine.shown != theirs.shown
    ]
    return len(steady) - len(wrong), tuple(wrong)


Row = dict[str, Wanted]


def _rows(known: BlockAnswers, read: BlockAnswers) -> list[tuple[Row, Row]] | None:
    """Known rows beside those that were read; None where they are not the same ones.

    Rows that name a page are matched by it, and new ones may have come; others must be as many, in their order.
    """
    if known.rows and "href" in known.rows[0]:
        by_link = {row["href"].shown: row for row in read.rows}
        pairs = [(row, by_link.get(row["href"].shown)) for row in known.rows]
        found = [(mine, theirs) for mine, theirs in pairs if theirs is not None]
        return found if len(found) == len(pairs) else None
    return list(zip(known.rows, read.rows, strict=True)) if len(known.rows) == len(read.rows) else None
