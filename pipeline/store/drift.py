"""Drift cases and the events on them, and the canary events. SQL only; `pipeline.drift` and `probes` decide."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from pipeline.store.database import Store
from pipeline.store.models import CanaryEvent, DriftCase, DriftCaseEvent

_NAMED = "track.slug || '/' || event.source_event_id"
_CASE = f"""
    SELECT drift_case.id, drift_case.page_type, drift_case.state, drift_case.opened_at, drift_case.changed_at,
           drift_case.event_id, {_NAMED}, drift_case.run_id, drift_case.field, drift_case.reason, drift_case.doubts,
           drift_case.probes, drift_case.verdict, drift_case.closed_at, drift_case.closed_by, drift_case.closed_why
    FROM drift_case
    LEFT JOIN event ON event.id = drift_case.event_id
    LEFT JOIN track ON track.id = event.track_id
"""


class CaseRow(Struct, frozen=True):
    """One case as it is stored. Times are UTC milliseconds by the database's clock."""

    id: int
    page_type: str
    state: str  # models.CASE_STATES
    opened_at: int
    changed_at: int
    event_id: int | None
    event: str | None  # slug/id
    run_id: int | None
    field: str | None
    reason: str
    doubts: str  # JSON
    probes: str  # JSON
    verdict: str | None
    closed_at: int | None
    closed_by: str | None
    closed_why: str | None


class CaseEventRow(Struct, frozen=True):
    """One event on a case."""

    case_id: int
    event_id: int
    event: str  # slug/id
    role: str  # failed, refused
    at: int
    run_id: int | None
    state: str  # of the event, now
    released_at: int | None


class CanaryRow(Struct, frozen=True):
    """One canary event."""

    event_id: int
    event: str  # slug/id
    added_at: int
    added_by: str
    checked_at: int | None
    passed: bool | None  # SQLite says 0 and 1
    result: str | None  # JSON
    pages_manifest: str | None  # of the run that it serves


# ---------------------------------------------------------------- cases


def blocked(store: Store) -> dict[str, int]:
    """Page type → the confirmed case that blocks it."""
    with store.read():
        return dict(store.sql("SELECT page_type, id FROM drift_case WHERE state = 'confirmed'"))


def get(store: Store, case_id: int) -> CaseRow | None:
    with store.read():
        rows = store.sql(f"{_CASE} WHERE drift_case.id = ?", case_id)
        return CaseRow(*rows[0]) if rows else None


def newest(store: Store, *, open_only: bool, limit: int) -> tuple[CaseRow, ...]:
    """Cases, newest first."""
    condition = "WHERE drift_case.closed_at IS NULL" if open_only else ""
    with store.read():
        found = store.sql(f"{_CASE} {condition} ORDER BY drift_case.id DESC LIMIT ?", limit)
        return tuple(CaseRow(*row) for row in found)


def to_join(store: Store, page_type: str, event_id: int | None) -> CaseRow | None:
    """The open case that a doubt belongs to: what is undecided or blocks the page type, else the event's own."""
    with store.read():
        rows = store.sql(
            f"""{_CASE} WHERE drift_case.page_type = ? AND drift_case.closed_at IS NULL
                AND (drift_case.state <> 'event_only' OR EXISTS (
                    SELECT 1 FROM drift_case_event
                    WHERE case_id = drift_case.id AND drift_case_event.event_id = ? AND role = 'failed'))
                ORDER BY CASE drift_case.state WHEN 'event_only' THEN 1 ELSE 0 END, drift_case.id DESC LIMIT 1""",
            page_type,
            event_id or 0,
        )
        return CaseRow(*rows[0]) if rows else None


def insert(
    store: Store,
    *,
    page_type: str,
    event_id: int | None,
    run_id: int | None,
    field: str | None,
    reason: str,
    doubts: str,
) -> int:
    """A new case, suspected; its id."""
    now = store.now_ms()
    facts = {"page_type": page_type, "event": event_id, "run_id": run_id, "field": field, "reason": reason}
    return int(store.change(DriftCase.insert(**facts, doubts=doubts, opened_at=now, changed_at=now)))


def update(store: Store, case_id: int, **columns: Any) -> None:
    """Change what may change of an open case; the database refuses any other step."""
    store.change(DriftCase.update(**columns, changed_at=store.now_ms()).where(DriftCase.id == case_id))


def finish(store: Store, case_id: int, state: str, *, who: str, why: str) -> None:
    """Close a case."""
    update(store, case_id, state=state, closed_at=store.now_ms(), closed_by=who, closed_why=why)


def dismissed_doubts(store: Store, page_type: str) -> list[tuple[str | None, str]]:
    """(source id of an event that failed on it, or None; doubts as JSON) of the dismissed cases of a page type."""
    with store.read():
        return store.sql(
            """SELECT event.source_event_id, drift_case.doubts FROM drift_case
               LEFT JOIN drift_case_event ON case_id = drift_case.id AND role = 'failed'
               LEFT JOIN event ON event.id = drift_case_event.event_id
               WHERE page_type = ? AND drift_case.state = 'dismissed'""",
            page_type,
        )


# ---------------------------------------------------------------- events on a case


def add_event(store: Store, case_id: int, event_id: int, role: str, run_id: int | None) -> None:
    """Put an event on a case, once; a run that failed says more than a refusal."""
    with store.write():
        here = (DriftCaseEvent.case == case_id) & (DriftCaseEvent.event == event_id)
        known = store.fetch_one(DriftCaseEvent.select(DriftCaseEvent.role).where(here))
        if known is None:
            facts = {"case": case_id, "event": event_id, "role": role, "run_id": run_id, "at": store.now_ms()}
            store.change(DriftCaseEvent.insert(**facts))
        elif role == "failed":
            store.change(DriftCaseEvent.update(role=role, run_id=run_id).where(here))


def events_of(store: Store, case_id: int) -> tuple[CaseEventRow, ...]:
    """The events on a case, in the order they came."""
    with store.read():
        rows = store.sql(
            f"""SELECT case_id, event.id, {_NAMED}, role, at, drift_case_event.run_id, event.state, released_at
                FROM drift_case_event JOIN event ON event.id = drift_case_event.event_id
                JOIN track ON track.id = event.track_id
                WHERE case_id = ? ORDER BY at, event.id""",
            case_id,
        )
        return tuple(CaseEventRow(*row) for row in rows)


def release(store: Store, case_id: int, event_id: int) -> None:
    """An event of a closed case was ingested again."""
    here = (DriftCaseEvent.case == case_id) & (DriftCaseEvent.event == event_id)
    store.change(DriftCaseEvent.update(released_at=store.now_ms()).where(here))


# ---------------------------------------------------------------- known pages


def doubted_events(store: Store, page_type: str) -> tuple[int, ...]:
    """The events that are doubted themselves in an open case of a page type: they are no witnesses."""
    with store.read():
        found = store.sql(
            """SELECT DISTINCT drift_case_event.event_id FROM drift_case_event
               JOIN drift_case ON drift_case.id = drift_case_event.case_id
               WHERE page_type = ? AND closed_at IS NULL AND role = 'failed'""",
            page_type,
        )
        return tuple(event_id for (event_id,) in found)


def served_manifests(store: Store, *, without: tuple[int, ...], limit: int) -> list[tuple[int, str, str]]:
    """(event id, slug/id, manifest of the pages it serves) of other events, the newest first."""
    marks = ", ".join("?" * len(without)) or "0"
    with store.read():
        return store.sql(
            f"""SELECT event.id, {_NAMED}, run.pages_manifest
                FROM event JOIN run ON run.id = event.current_run_id JOIN track ON track.id = event.track_id
                WHERE run.pages_manifest IS NOT NULL AND event.id NOT IN ({marks})
                ORDER BY event.last_checked_at DESC, event.id DESC LIMIT ?""",
            *without,
            limit,
        )


# ---------------------------------------------------------------- canaries


def add_canary(store: Store, event_id: int, who: str) -> bool:
    """False: it is one already."""
    with store.write():
        if store.fetch_one(CanaryEvent.select(CanaryEvent.added_by).where(CanaryEvent.event == event_id)):
            return False
        store.change(CanaryEvent.insert(event=event_id, added_at=store.now_ms(), added_by=who))
        return True


def remove_canary(store: Store, event_id: int) -> bool:
    """False: it is none."""
    return bool(store.change(CanaryEvent.delete().where(CanaryEvent.event == event_id)))


def canaries(store: Store) -> tuple[CanaryRow, ...]:
    with store.read():
        rows = store.sql(
            f"""SELECT event.id, {_NAMED}, canary_event.added_at, added_by, checked_at, passed, result,
                       run.pages_manifest
                FROM canary_event JOIN event ON event.id = canary_event.event_id
                JOIN track ON track.id = event.track_id LEFT JOIN run ON run.id = event.current_run_id
                ORDER BY canary_event.added_at, event.id"""
        )
        return tuple(CanaryRow(*row) for row in rows)


def record_canary(store: Store, event_id: int, *, passed: bool | None, result: str) -> None:
    changed = CanaryEvent.update(checked_at=store.now_ms(), passed=passed, result=result)
    store.change(changed.where(CanaryEvent.event == event_id))
