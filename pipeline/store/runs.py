"""The run rows and the events' states. SQL only: the arrows are checked here and again by the database's own guards.

Writes of a run in progress carry its fence; what a run did to an event's data is in `publish`.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from pipeline.errors import Kind, StateError
from pipeline.store.database import Store
from pipeline.store.leases import Fence, lock_fence
from pipeline.store.models import Event, Run, Track

ARROWS = frozenset(
    {("idle", "running"), ("running", "complete"), ("running", "failed"), ("failed", "idle"), ("complete", "running")}
)
UPDATABLE = frozenset({"stage", "pages_done", "pages_total", "stage_ms", "parser_build", "pages_manifest"})


class RunRow(Struct, frozen=True, kw_only=True):
    """A run, with the names of its event. Times are UTC milliseconds by the database's clock."""

    id: int
    event_id: int
    source_event_id: str
    event_name: str | None
    track_slug: str
    kind: str
    token: int
    trigger: str
    outcome: str | None
    sealed: bool
    purged_at: int | None
    started_at: int
    finished_at: int | None
    stage: str | None
    pages_done: int
    pages_total: int | None
    stage_ms: str  # JSON: stage → milliseconds
    error: str | None  # JSON: the envelope
    document_sha256: str | None
    parser_build: str | None
    pages_manifest: str | None
    holder: str  # JSON
    restored_run_id: int | None
    race_count: int
    result_count: int
    lap_count: int
    lap_ms_sum: int
    entry_count: int


def insert_run(
    store: Store,
    event_id: int,
    *,
    kind: str = "ingest",
    trigger: str,
    holder_json: str = "{}",
    parser_build: str | None = None,
    restored_run_id: int | None = None,
) -> int:
    """Insert a run and return its id. `leases.acquire` then stamps its token and makes it the event's newest run."""
    return int(
        store.change(
            Run.insert(
                event=event_id,
                kind=kind,
                trigger=trigger,
                holder=holder_json,
                parser_build=parser_build,
                restored_run_id=restored_run_id,
                started_at=store.now_ms(),
            )
        )
    )


def transition(store: Store, event_id: int, to_state: str, expected_from: str | None = None) -> None:
    """Walk one arrow. Raises StateError ILLEGAL_TRANSITION naming both states, or UNKNOWN_EVENT."""
    sources = [source for source, target in ARROWS if target == to_state and expected_from in (None, source)]
    with store.write():
        if sources and store.change(Event.update(state=to_state).where(Event.id == event_id, Event.state.in_(sources))):
            return
        row = store.fetch_one(Event.select(Event.state, Event.source_event_id).where(Event.id == event_id))
    if row is None:
        raise StateError(Kind.UNKNOWN_EVENT, f"There is no event with the number {event_id}")
    wanted = f" (expected it to be {expected_from})" if expected_from not in (None, row["state"]) else ""
    raise StateError(
        Kind.ILLEGAL_TRANSITION,
        f"Event {row['source_event_id']} is {row['state']} and cannot become {to_state}{wanted}",
        from_state=row["state"],
        to_state=to_state,
    )


def update_run(store: Store, fence: Fence, **fields: Any) -> None:
    """Change fields of a running run (UPDATABLE), fenced. Raises StateError LEASE_LOST."""
    unknown = set(fields) - UPDATABLE
    if unknown:
        raise ValueError(f"not a field of a running run: {', '.join(sorted(unknown))}")
    with store.write():
        lock_fence(store, fence)
        store.change(Run.update(**fields).where(Run.id == fence.run_id))


def finish_run(
    store: Store, run_id: int, outcome: str, *, error: str | None = None, stage_ms: str | None = None
) -> bool:
    """Write how a run ended, and when. `error` is the envelope as JSON. False: it had already ended, nothing changed.

    Call it in a transaction that holds the fence, or that has just cleared the lease.
    """
    values: dict[Any, Any] = {Run.outcome: outcome, Run.finished_at: store.now_ms(), Run.error: error}
    if stage_ms is not None:
        values[Run.stage_ms] = stage_ms
    return bool(store.change(Run.update(values).where(Run.id == run_id, Run.outcome.is_null())))


def get_run(store: Store, run_id: int) -> RunRow | None:
    row = store.fetch_one(_select().where(Run.id == run_id))
    return RunRow(**row) if row else None


def list_runs(store: Store, event_id: int | None = None, *, limit: int = 50) -> tuple[RunRow, ...]:
    """Runs of one event, or of all, newest first."""
    query = _select().order_by(Run.id.desc()).limit(limit)
    if event_id is not None:
        query = query.where(Run.event == event_id)
    return tuple(RunRow(**row) for row in store.fetch_all(query))


def _select() -> Any:
    columns = [field.alias("event_id") if field is Run.event else field for field in Run._meta.sorted_fields]
    return (
        Run.select(*columns, Event.source_event_id, Event.event_name, Track.slug.alias("track_slug"))
        .join(Event, on=(Run.event == Event.id))
        .join(Track, on=(Event.track == Track.id))
    )
