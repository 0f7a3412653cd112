"""What the API answers with, where the service's own rows hold JSON as text: the same facts, decoded.

Everything else is answered as the service's own frozen structs; `openapi` describes both kinds.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from pipeline.errors import Envelope
from pipeline.store.check_runs import CheckRunRow
from pipeline.store.events import EventRow
from pipeline.store.journal import JournalRow
from pipeline.store.runs import RunRow


class EventView(Struct, frozen=True):
    """One event: how the last attempt stands, and what is served. Times are UTC milliseconds."""

    event_id: str  # LiveRC's
    event: str  # slug/id
    track_slug: str
    event_name: str | None
    start_date: str | None
    end_date: str | None
    entries: int | None
    drivers: int | None
    state: str  # idle, running, complete, failed
    ingest_depth: str  # none, laps_full
    current_run_id: int | None
    last_run_id: int | None
    last_ingested_at: int | None
    last_checked_at: int | None
    races: int  # served
    results: int
    laps: int
    document_sha256: str | None
    failed_attempts: int
    retry_at: int | None
    held_reason: str | None
    held_at: int | None
    last_outcome: str | None
    failure: Envelope | None  # how the newest run failed, where the event is failed


class RunView(Struct, frozen=True):
    """One run. Times are UTC milliseconds."""

    id: int
    event_id: str  # LiveRC's
    event: str  # slug/id
    event_name: str | None
    kind: str  # ingest, cleanup, reset, restore
    trigger: str
    outcome: str | None  # null while it runs
    sealed: bool
    started_at: int
    finished_at: int | None
    stage: str | None
    pages_done: int
    pages_total: int | None
    stage_ms: dict[str, int]
    error: Envelope | None
    document_sha256: str | None
    parser_build: str | None
    races: int
    results: int
    laps: int


class Started(Struct, frozen=True):
    """An ingestion that began; follow it at `/runs/{id}` or `/runs/{id}/events`."""

    run: RunView


class LogLineView(Struct, frozen=True):
    """One line of the journal."""

    id: int
    at: int
    severity: str
    name: str
    message: str
    run_id: int | None
    fields: dict[str, Any]
    acknowledged_at: int | None
    acknowledged_by: str | None


class CheckRunView(Struct, frozen=True):
    """One recorded run of the checks."""

    id: int
    asked_by: str
    started_at: int
    finished_at: int
    passed: bool
    errors: int
    warnings: int
    checks: dict[str, int]  # check → milliseconds
    findings: list[dict[str, Any]]  # the first of them
    parser_build: str


class Liveness(Struct, frozen=True):
    """Whether the program answers, and whether it can work."""

    live: bool
    ready: bool
    state: str  # healthy, degraded, failing, disabled


def event_view(row: EventRow) -> EventView:
    failed = row.state == "failed" and row.last_error is not None
    return EventView(
        event_id=row.source_event_id,
        event=f"{row.track_slug}/{row.source_event_id}",
        track_slug=row.track_slug,
        event_name=row.event_name,
        start_date=row.start_date,
        end_date=row.end_date,
        entries=row.entries,
        drivers=row.drivers,
        state=row.state,
        ingest_depth=row.ingest_depth,
        current_run_id=row.current_run_id,
        last_run_id=row.last_run_id,
        last_ingested_at=row.last_ingested_at,
        last_checked_at=row.last_checked_at,
        races=row.race_count,
        results=row.result_count,
        laps=row.lap_count,
        document_sha256=row.document_sha256,
        failed_attempts=row.failed_attempts,
        retry_at=row.retry_at,
        held_reason=row.held_reason,
        held_at=row.held_at,
        last_outcome=row.last_outcome,
        failure=_envelope(row.last_error) if failed else None,
    )


def run_view(row: RunRow) -> RunView:
    return RunView(
        id=row.id,
        event_id=row.source_event_id,
        event=f"{row.track_slug}/{row.source_event_id}",
        event_name=row.event_name,
        kind=row.kind,
        trigger=row.trigger,
        outcome=row.outcome,
        sealed=row.sealed,
        started_at=row.started_at,
        finished_at=row.finished_at,
        stage=row.stage,
        pages_done=row.pages_done,
        pages_total=row.pages_total,
        stage_ms=msgspec.json.decode(row.stage_ms, type=dict[str, int]),
        error=_envelope(row.error),
        document_sha256=row.document_sha256,
        parser_build=row.parser_build,
        races=row.race_count,
        results=row.result_count,
        laps=row.lap_count,
    )


def log_line_view(row: JournalRow) -> LogLineView:
    return LogLineView(
        id=row.id,
        at=row.at,
        severity=row.severity,
        name=row.name,
        message=row.message,
        run_id=row.run_id,
        fields=msgspec.json.decode(row.fields, type=dict[str, Any]),
        acknowledged_at=row.acknowledged_at,
        acknowledged_by=row.acknowledged_by,
    )


def check_run_view(row: CheckRunRow) -> CheckRunView:
    return CheckRunView(
        id=row.id,
        asked_by=row.asked_by,
        started_at=row.started_at,
        finished_at=row.finished_at,
        passed=row.passed,
        errors=row.error_count,
        warnings=row.warning_count,
        checks=msgspec.json.decode(row.checks, type=dict[str, int]),
        findings=msgspec.json.decode(row.findings, type=list[dict[str, Any]]),
        parser_build=row.parser_build,
    )


def _envelope(text: str | None) -> Envelope | None:
    return None if text is None else msgspec.json.decode(text, type=Envelope)
