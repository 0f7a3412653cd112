"""Has LiveRC changed? Drift cases: opened by a doubtful page, decided by probes, closed by a person.

A case belongs to one page type. While it is *suspected*, only the event that raised it is held; once it is *confirmed*,
the page type is blocked everywhere until a person closes the case as repaired or dismissed. What makes a page doubtful
is said in `signals`, how probes decide in `probes`.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import msgspec
from msgspec import Struct

from pipeline import attempts
from pipeline.alerts import Alarm
from pipeline.errors import Kind, PipelineError, StateError, StoreError
from pipeline.store import attempts as attempt_rows
from pipeline.store import control as control_rows
from pipeline.store import drift as rows
from pipeline.store import events as event_rows
from pipeline.store import journal
from pipeline.store.database import Store

SUSPECTED, CONFIRMED, EVENT_ONLY, REPAIRED, DISMISSED = "suspected", "confirmed", "event_only", "repaired", "dismissed"
OPEN = (SUSPECTED, CONFIRMED, EVENT_ONLY)
CLOSED = (REPAIRED, DISMISSED)

# Failures that say that a page does not look as it should. What else may be one, `signals` finds out by comparing.
DOUBTFUL = frozenset(
    {
        Kind.PAGE_UNRECOGNISED,
        Kind.FIELD_MISSING,
        Kind.FIELD_INVALID,
        Kind.SCRIPT_UNREADABLE,
        Kind.INVALID_DOCUMENT,
    }
)
DOUBTS_KEPT = 50  # of one case
_HOLD = "drift case {}"  # how the reason of a hold begins


class Doubt(Struct, frozen=True, kw_only=True):
    """Why a page is not believed: one place of it, and what was expected there."""

    page_type: str
    url: str
    field: str | None  # as in the contract; None: the page as a whole
    why: str  # one sentence with numbers
    kind: str  # the failure's kind, or coverage, shape, cross_check
    selector: str | None = None
    race_id: str | None = None
    sha256: str | None = None  # the page's body in the page archive


class ProbeResult(Struct, frozen=True, kw_only=True):
    """One known page, fetched again and compared with its archive."""

    url: str
    event: str  # slug/id of the other event
    verdict: str  # equal, corrected (some rows), differs, failed (it cannot be read), unreachable (proves nothing)
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


class DriftPicture(Struct, frozen=True):
    """How drift stands: what a banner shows."""

    cases: tuple[Case, ...] = ()  # open ones, newest first
    blocked: tuple[str, ...] = ()  # page types


# ---------------------------------------------------------------- the question: may this page type be believed?


def blocked(store: Store, page_type: str) -> int | None:
    """The confirmed case that blocks a page type, or None."""
    return rows.blocked(store).get(page_type)


def refusal(page_type: str, case_id: int) -> StateError:
    """What whoever asks for a blocked page type hears."""
    return StateError(
        Kind.PAGE_TYPE_BLOCKED,
        f"LiveRC has changed its {page_type} pages (drift case {case_id}): none of them is read until a person has "
        "looked at it",
        page_type=page_type,
        case=case_id,
        remedy=f"See `mre drift show {case_id}`; `mre drift close {case_id} --repaired|--dismissed` ends the block.",
    )


def require_confirmed(store: Store, case_id: int) -> Case:
    """The case, if it is confirmed and open. Raises StateError USAGE otherwise."""
    case = get_case(store, case_id)
    if case.state != CONFIRMED:
        text = f"Drift case {case_id} is {case.state}; this needs a confirmed one"
        raise StateError(Kind.USAGE, text, case=case_id, state=case.state)
    return case


def get_case(store: Store, case_id: int) -> Case:
    """One case. Raises StateError USAGE where there is none."""
    with store.read():
        row = rows.get(store, case_id)
        if row is None:
            raise StateError(Kind.UNKNOWN, f"there is no drift case {case_id}", case=case_id)
        return _case(store, row)


def list_cases(store: Store, *, open_only: bool = False, limit: int = 100) -> tuple[Case, ...]:
    """Cases, newest first."""
    with store.read():
        return tuple(_case(store, row) for row in rows.newest(store, open_only=open_only, limit=limit))


def picture(store: Store) -> DriftPicture:
    """How drift stands, for a snapshot. Cheap where no case is open."""
    with store.read():
        cases = list_cases(store, open_only=True)
    return DriftPicture(cases, tuple(sorted(case.page_type for case in cases if case.blocks)))


def origin_of(source_event_id: str) -> str:
    """What the pages of an event belong to, as signals name it."""
    return f"event {source_event_id}"


def waived(store: Store, page_type: str) -> frozenset[tuple[str, str | None]]:
    """(URL or event, field) of what a person has dismissed: those pages are as they are, and are believed."""
    found: set[tuple[str, str | None]] = set()
    for source_event_id, said in rows.dismissed_doubts(store, page_type):
        for doubt in _doubts.decode(said):
            found.add((doubt.url, doubt.field))
            if source_event_id is not None:
                found.add((origin_of(source_event_id), doubt.field))
    return frozenset(found)


# ---------------------------------------------------------------- opening and joining


def suspect(
    store: Store,
    doubts: tuple[Doubt, ...],
    *,
    event_id: int | None = None,
    run_id: int | None = None,
    alarm: Alarm | None = None,
    hold: bool = True,
) -> Case:
    """Open a case for what is doubted on pages of one type, or join the one that is open. Raises StoreError."""
    try:
        case, is_new = _suspect(store, doubts, event_id, run_id, hold=hold)
    except StoreError as refused:
        if refused.kind is not Kind.DB_REFUSED:
            raise
        case, is_new = _suspect(store, doubts, event_id, run_id, hold=hold)  # somebody opened one meanwhile: join it
    if is_new and alarm is not None:
        alarm.case(case)
    return case


def doubts_of(error: PipelineError) -> tuple[Doubt, ...]:
    """What a failure says of the page that it names."""
    page_type = error.details.get("page_type")
    if error.kind not in DOUBTFUL or page_type is None:
        return ()
    doubt = Doubt(
        page_type=page_type,
        url=error.details.get("url", ""),
        field=error.details.get("field"),
        why=error.message,
        kind=str(error.kind),
        selector=error.details.get("selector"),
        race_id=error.details.get("race_id"),
    )
    return (doubt,)


def _suspect(
    store: Store, doubts: tuple[Doubt, ...], event_id: int | None, run_id: int | None, *, hold: bool
) -> tuple[Case, bool]:
    """(the case, is it new?)"""
    first = doubts[0]
    with store.write():
        found = rows.to_join(store, first.page_type, event_id)
        if found is None:
            case_id = rows.insert(
                store,
                page_type=first.page_type,
                event_id=event_id,
                run_id=run_id,
                field=first.field,
                reason=first.why,
                doubts=_encoded(doubts[:DOUBTS_KEPT]),
            )
            _note(
                store, "warning", f"drift_{SUSPECTED}", _suspicion(case_id, first), case_id, first.page_type, event_id
            )
        else:
            case_id = found.id
            kept = _doubts.decode(found.doubts)
            new = tuple(doubt for doubt in doubts if doubt not in kept)
            rows.update(store, case_id, doubts=_encoded((*kept, *new)[:DOUBTS_KEPT]))
        if event_id is not None:
            rows.add_event(store, case_id, event_id, "failed", run_id)
            if hold and (found is None or found.state != CONFIRMED):
                attempts.hold(store, event_id, f"{_HOLD.format(case_id)}: {first.why}", run_id=run_id)
        return get_case(store, case_id), found is None


def _suspicion(case_id: int, doubt: Doubt) -> str:
    return f"drift case {case_id}: a {doubt.page_type} page is doubted: {doubt.why}"


def note_refused(store: Store, case_id: int, event_id: int) -> None:
    """An event was asked for while the case blocks it: it is listed there, and stays as it is."""
    with store.write():
        rows.add_event(store, case_id, event_id, "refused", None)


# ---------------------------------------------------------------- deciding and closing


def decide(store: Store, case_id: int, state: str, verdict: str, probes: tuple[ProbeResult, ...]) -> Case:
    """What the probes said: `confirmed`, `event_only`, or as it is. Once it returns, nobody publishes a blocked page.

    Raises StateError USAGE where the case is closed, or where another one is undecided or blocks the page type.
    """
    with store.write():
        row = _open_row(store, case_id)
        other = next((c for c in rows.newest(store, open_only=True, limit=1_000) if _rivals(c, row)), None)
        if state == CONFIRMED and other is not None:
            text = f"Drift case {other.id} is about the same page type, {row.page_type}, and is {other.state}"
            raise StateError(Kind.USAGE, text, case=case_id, other=other.id)
        if row.state == CONFIRMED:  # only a person ends a block
            state = CONFIRMED
        rows.update(store, case_id, state=state, verdict=verdict, probes=_encoded(probes))
        if state != row.state:
            severity = "warning" if state == CONFIRMED else "info"
            _note(
                store,
                severity,
                f"drift_{state}",
                f"drift case {case_id}: {verdict}",
                case_id,
                row.page_type,
                row.event_id,
            )
    if state == CONFIRMED:
        with suppress(StoreError):  # somebody hangs inside a publishing transaction: it began before this
            control_rows.wait_for_publishers(store)
    return get_case(store, case_id)


def _rivals(one: rows.CaseRow, other: rows.CaseRow) -> bool:
    return one.page_type == other.page_type and one.id != other.id and one.state in (SUSPECTED, CONFIRMED)


def close(store: Store, case_id: int, how: str, *, reason: str, who: str) -> Case:
    """Close a case as `repaired` or `dismissed`: the block and the holds end, its events are offered for re-ingestion.

    To dismiss is to say that the pages are as they are: what was doubted on them is believed from now on.
    Raises StateError USAGE without a reason, where it is closed, or where an undecided case is said to be repaired.
    """
    if how not in CLOSED:
        raise StateError(Kind.USAGE, f"A drift case is closed as {' or '.join(CLOSED)}, not as {how!r}")
    if not reason.strip():
        raise StateError(Kind.USAGE, "Closing a drift case needs a reason: it is kept with the case")
    with store.write():
        row = _open_row(store, case_id)
        if how == REPAIRED and row.state == SUSPECTED:
            text = (
                f"Drift case {case_id} is not decided yet: probe it first (`mre drift probe {case_id}`), or dismiss it"
            )
            raise StateError(Kind.USAGE, text, case=case_id)
        rows.finish(store, case_id, how, who=who, why=reason.strip())
        for line in rows.events_of(store, case_id):
            event = event_rows.get_event(store, line.event_id)
            if event is not None and (event.held_reason or "").startswith(_HOLD.format(case_id)):
                attempt_rows.release(store, event.id)
        text = f"drift case {case_id} ({row.page_type}) was closed as {how} by {who}: {reason.strip()}"
        _note(store, "info", f"drift_{how}", text, case_id, row.page_type, row.event_id)
    return get_case(store, case_id)


def to_ingest_again(case: Case) -> tuple[CaseEvent, ...]:
    """The events of a closed case that nobody has asked for since. Raises StateError USAGE while it is open."""
    if case.state in OPEN:
        raise StateError(Kind.USAGE, f"Drift case {case.id} is {case.state}: close it first", case=case.id)
    return tuple(event for event in case.events if event.released_at is None)


def _open_row(store: Store, case_id: int) -> rows.CaseRow:
    case = get_case(store, case_id)
    if case.state in CLOSED:
        raise StateError(Kind.USAGE, f"Drift case {case_id} was closed as {case.state}", case=case_id, state=case.state)
    row = rows.get(store, case_id)
    assert row is not None
    return row


# ---------------------------------------------------------------- inside

_doubts = msgspec.json.Decoder(tuple[Doubt, ...])
_probes = msgspec.json.Decoder(tuple[ProbeResult, ...])


def _encoded(said: tuple[Struct, ...]) -> str:
    return msgspec.json.encode(said).decode()


def _case(store: Store, row: rows.CaseRow) -> Case:
    facts: dict[str, Any] = msgspec.structs.asdict(row)
    facts["doubts"] = _doubts.decode(row.doubts)
    facts["probes"] = _probes.decode(row.probes)
    events = tuple(
        CaseEvent(
            event_id=line.event_id,
            event=line.event,
            role=line.role,
            at=line.at,
            run_id=line.run_id,
            state=line.state,
            released_at=line.released_at,
        )
        for line in rows.events_of(store, row.id)
    )
    return Case(**facts, events=events)


def _note(
    store: Store, severity: str, name: str, message: str, case_id: int, page_type: str, event_id: int | None
) -> None:
    """A line of the journal, in the transaction that causes it; a warning is open until a person says so."""
    entry = journal.JournalEntry(
        entry_kind="warning" if severity == "warning" else "audit",
        severity=severity,
        name=name,
        message=message,
        event_id=event_id,
        fields=msgspec.json.encode({"case": case_id, "page_type": page_type}).decode(),
    )
    journal.append(store, [entry])
