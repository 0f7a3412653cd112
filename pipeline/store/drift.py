"""Drift cases: the rows of `drift_case` and of the events on them. SQL only; `pipeline.drift` decides."""

from __future__ import annotations

from pipeline.store.database import Store


def blocked(store: Store) -> dict[str, int]:
    """Page type → the confirmed case that blocks it."""
    with store.read():
        return dict(store.sql("SELECT page_type, id FROM drift_case WHERE state = 'confirmed'"))
