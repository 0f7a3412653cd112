"""The newest failed ingestions with what they failed of, and how the newest ended at all."""

from __future__ import annotations

from typing import Any

from pipeline.store.database import Store

FAILED = ("failed", "interrupted", "cleared")  # the outcomes that count as failures anywhere


def newest_failures(store: Store, *, since_ms: int, limit: int) -> list[tuple[Any, ...]]:
    """Failed ingestions, newest first: slug, source_event_id, run id, finished_at, error (JSON), and whether the event
    is still failed by this very run."""
    with store.read():
        return store.sql(
            """
            SELECT track.slug, event.source_event_id, run.id, run.finished_at, run.error,
                   event.state = 'failed' AND event.last_run_id = run.id
            FROM run JOIN event ON event.id = run.event_id JOIN track ON track.id = event.track_id
            WHERE run.kind = 'ingest' AND run.outcome IN (?, ?, ?) AND run.finished_at >= ? AND run.error IS NOT NULL
            ORDER BY run.id DESC LIMIT ?
            """,
            *FAILED, since_ms, limit,
        )  # fmt: skip


def newest_outcomes(store: Store, *, since_ms: int, limit: int) -> list[tuple[str, int]]:
    """Outcome and finished_at of the newest ingestions that ended, newest first."""
    with store.read():
        rows = store.sql(
            """SELECT outcome, finished_at FROM run
               WHERE kind = 'ingest' AND outcome IS NOT NULL AND finished_at >= ? ORDER BY id DESC LIMIT ?""",
            since_ms,
            limit,
        )
    return [(str(outcome), int(at)) for outcome, at in rows]


def newest_success_at(store: Store) -> int | None:
    """When an ingestion last ended well; UTC milliseconds."""
    with store.read():
        ((at,),) = store.sql("SELECT MAX(last_checked_at) FROM event")
    return None if at is None else int(at)
