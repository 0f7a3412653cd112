"""The record of every run of the checks: when, over what, and what it found."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from pipeline.store.database import Store
from pipeline.store.models import CheckRun


class CheckRunRow(Struct, frozen=True, kw_only=True):
    """One run of the checks. Times are UTC milliseconds by the database's clock."""

    id: int
    event_id: int | None  # None: everything was checked
    asked_by: str
    started_at: int
    finished_at: int
    passed: bool
    error_count: int
    warning_count: int
    checks: str  # JSON: check → milliseconds
    findings: str  # JSON: the first of them
    parser_build: str


def insert(store: Store, row: CheckRunRow) -> int:
    """Record a run; its id, and the end by the database's clock, are made here."""
    facts: dict[str, Any] = msgspec.structs.asdict(row)
    del facts["id"], facts["finished_at"]
    return int(store.change(CheckRun.insert(**facts, finished_at=store.now_ms())))


def newest(store: Store, *, everything: bool | None = None, passed: bool | None = None) -> CheckRunRow | None:
    """The newest run; with `everything`, of those over the whole database; with `passed`, of those that ended so."""
    query = _select()
    if everything is not None:
        query = query.where(CheckRun.event.is_null(everything))
    if passed is not None:
        query = query.where(CheckRun.passed == passed)
    return _row(store.fetch_one(query.order_by(CheckRun.id.desc()).limit(1)))


def list_runs(store: Store, event_id: int | None = None, *, limit: int = 50) -> tuple[CheckRunRow, ...]:
    """Runs of the checks, newest first; with an event, only those that looked at it alone."""
    query = _select().order_by(CheckRun.id.desc()).limit(limit)
    if event_id is not None:
        query = query.where(CheckRun.event == event_id)
    return tuple(CheckRunRow(**row) for row in store.fetch_all(query))


def _select() -> Any:
    columns = [field.alias("event_id") if field is CheckRun.event else field for field in CheckRun._meta.sorted_fields]
    return CheckRun.select(*columns)


def _row(row: dict[str, Any] | None) -> CheckRunRow | None:
    return CheckRunRow(**{**row, "passed": bool(row["passed"])}) if row else None
