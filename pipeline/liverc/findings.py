"""What induction works with and what it finds: the pages to learn from, and for every field where it stands now."""

from __future__ import annotations

from typing import Any

from lxml import etree
from msgspec import Struct

from pipeline.liverc.contract import Contract
from pipeline.liverc.known import Answers, KnownPage
from pipeline.liverc.rows import RowPlace
from pipeline.liverc.trace import Trace

OK, MOVED, AMBIGUOUS, LOST = "ok", "moved", "ambiguous", "lost"
SURE = 0.9  # share of the places that a proposal must be right in


class FieldFinding(Struct, frozen=True):
    """One field: where it was, and where its known values stand now."""

    field: str
    part: str | None
    status: str  # ok, moved, ambiguous, lost
    old: str  # the selector in force
    new: str | None  # what is proposed; None: nothing
    known: str  # a known value
    found: str | None  # the text in which it stands now
    support: int  # places in which the proposal gives the known value
    of: int  # places that were looked at
    runner_up: str | None = None
    runner_up_support: int = 0
    note: str | None = None


class Sample(Struct, frozen=True):
    """One page to learn from, with what is known of it."""

    page: KnownPage
    seen: Trace
    answers: Answers

    @property
    def root(self) -> etree._Element:
        return self.seen.page.root


class Vote(Struct, frozen=True):
    """How a way to a value did over all places."""

    way: str
    right: int
    of: int
    found: str | None  # the text of the first place

    @property
    def sure(self) -> bool:
        return self.of > 0 and self.right >= SURE * self.of


class Finder:
    """Collects findings, and the addition that follows from them. Belongs to one call of `propose`."""

    def __init__(self, contract: Contract, samples: tuple[Sample, ...]) -> None:
        self.contract = contract
        self.samples = samples
        self.addition: dict[str, Any] = {}
        self.rows: dict[str, list[list[tuple[RowPlace, ...]]]] = {}  # part → per sample, per block
        self._findings: dict[str, FieldFinding] = {}

    def add(self, finding: FieldFinding, *path: str) -> None:
        """Note a finding; one that has moved goes into the addition at `path`, whose last name is a list's."""
        self._findings[finding.field] = finding
        if finding.status == MOVED and finding.new is not None and path:
            self.widen(finding.new, *path)

    def widen(self, alternative: str, *path: str) -> None:
        """One more alternative at a place of the contract."""
        place = self.addition
        for name in path[:-1]:
            place = place.setdefault(name, {})
        alternatives = place.setdefault(path[-1], [])
        if alternative not in alternatives:
            alternatives.append(alternative)

    def note(self, finding: FieldFinding) -> None:
        self._findings[finding.field] = finding

    def taken(self, part: str) -> frozenset[str]:
        """The ways that are proposed for fields of a part already."""
        return frozenset(one.new for one in self._findings.values() if one.part == part and one.new is not None)

    def findings(self) -> tuple[FieldFinding, ...]:
        return tuple(self._findings.values())
