"""Each run's spans, written once, in the transaction that ends the run."""

from __future__ import annotations

from pipeline.store.database import Store


def insert(store: Store, run_id: int, spans: str) -> None:
    """`spans` is JSON, as `pipeline.spans.encode` gives it."""
    store.sql("INSERT INTO run_timeline (run_id, spans) VALUES (?, ?)", run_id, spans)


def find(store: Store, run_id: int) -> str | None:
    """A run's spans as they were written; None where there are none."""
    with store.read():
        rows = store.sql("SELECT spans FROM run_timeline WHERE run_id = ?", run_id)
    return rows[0][0] if rows else None
