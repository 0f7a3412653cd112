"""Has LiveRC changed? Drift cases: opened by a doubtful page, decided by probes, closed by a person.

A case belongs to one page type. While it is *suspected*, only the event that raised it is held; once it is *confirmed*,
the page type is blocked everywhere until a person closes the case as repaired or dismissed. What makes a page doubtful
is said in `signals`, how probes decide in `probes`.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from pipeline.errors import Kind, PipelineError, StateError
from pipeline.store import drift as rows
from pipeline.store.database import Store

SUSPECTED, CONFIRMED, EVENT_ONLY, REPAIRED, DISMISSED = "suspected", "confirmed", "event_only", "repaired", "dismissed"
OPEN = (SUSPECTED, CONFIRMED, EVENT_ONLY)
CLOSED = (REPAIRED, DISMISSED)


class Doubt(Struct, frozen=True, kw_only=True):
    """Why a page is not believed: one place of it, and what was expected there."""

    page_type: str
    url: str
    field: str | None  # as in the contract; None: the page as a whole
    why: str  # one sentence with numbers
    kind: str  # the failure's kind, or coverage, shape, cross_check
    selector: str | None = None
    sha256: str | None = None  # the page's body in the page archive


class ProbeResult(Struct, frozen=True, kw_only=True):
    """One known page, fetched again and compared with its archive."""

    url: str
    event: str  # slug/id of the other event
    verdict: str  # equal, differs, failed (it cannot be read any more), unreachable (proves nothing)
    message: str | None = None  # the first difference, or the failure
    field: str | None = None
    known_sha256: str | None = None  # the body in the archive that it was compared with
    new_sha256: str | None = None  # the body that was fetched, kept in the archive


class CaseEvent(Struct, frozen=True, kw_only=True):
    """One event on a case."""

    event_id: int
    event: str  # slug/id
    role: str  # failed (its run raised or joined the case), refused (asked for while the page type was blocked)
    at: int  # UTC milliseconds
    run_id: int | None = None
    state: str = "idle"  # how the event stands now
    released_at: int | None = None  # when it was ingested again after the case was closed


class Case(Struct, frozen=True, kw_only=True):
    """One suspicion, with all that is known of it."""

    id: int
    page_type: str
    state: str  # suspected, confirmed, event_only, repaired, dismissed
    opened_at: int  # UTC milliseconds
    changed_at: int
    event_id: int | None  # the event that raised it; None: a page of no event
    event: str | None  # slug/id
    run_id: int | None
    field: str | None  # the first field that was doubted
    reason: str  # one sentence: what is doubted
    doubts: tuple[Doubt, ...]
    probes: tuple[ProbeResult, ...]
    verdict: str | None  # what the probes said, in words; None: not asked yet
    events: tuple[CaseEvent, ...]
    closed_at: int | None
    closed_by: str | None
    closed_why: str | None

    @property
    def blocks(self) -> bool:
        """Whether it blocks its page type everywhere."""
        return self.state == CONFIRMED


def blocked(store: Store, page_type: str) -> int | None:
    """The confirmed case that blocks a page type, or None."""
    return rows.blocked(store).get(page_type)


def require_confirmed(store: Store, case_id: int) -> Case:
    """The case, if it is confirmed and open. Raises StateError USAGE otherwise."""
    case = get_case(store, case_id)
    if case.state != CONFIRMED:
        raise StateError(
            Kind.USAGE, f"Drift case {case_id} is {case.state}; this needs a confirmed one", case=case_id, state=case.state
        )
    return case


def get_case(store: Store, case_id: int) -> Case:
    """One case. Raises StateError USAGE where there is none."""
    raise NotImplementedError


def list_cases(store: Store, *, open_only: bool = False, limit: int = 100) -> tuple[Case, ...]:
    """Cases, newest first."""
    raise NotImplementedError


def on_failure(
    store: Store, error: PipelineError, *, event_id: int | None, run_id: int | None, doubts: tuple[Doubt, ...] = ()
) -> Case | None:
    """A run failed: open a case, or join the open one, where the failure is a doubtful value. None where it is not."""
    raise NotImplementedError


def close(store: Store, case_id: int, how: str, *, reason: str, who: str) -> Case:
    """Close a case as `repaired` or `dismissed`. Raises StateError USAGE without a reason, or where it is closed."""
    raise NotImplementedError
