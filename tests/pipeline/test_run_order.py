"""Runs of an event are numbered in the order in which they had its lease: a higher number is later."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from pipeline import recovery
from pipeline.errors import Kind, PipelineError, StateError
from pipeline.observe import Bus
from pipeline.runs import Run
from pipeline.store import events, runs
from pipeline.store.database import Store
from tests.support.generations import EVENT_ID, SLUG, begin
from tests.support.recovering import publish_generation

WAITING = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)  # SQLite has one writer
def test_two_that_begin_at_once(store: Store, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    publish_generation(store, 1)
    event = events.add_event(store, SLUG, EVENT_ID)
    reset = recovery.plan_reset(store, event.id)
    real, looker, refusals = runs.insert_run, Store.open(database_url), []

    def act() -> None:
        with looker.connection_scope():
            try:
                recovery.act(looker, reset, who="tester")
            except PipelineError as error:
                refusals.append(error.kind)

    acting = threading.Thread(target=act)

    def insert_and_let_another_come(*arguments: Any, **options: Any) -> int:
        run_id = real(*arguments, **options)
        if threading.current_thread() is not acting:
            acting.start()
            while acting.is_alive() and not _waits(looker):
                acting.join(0.01)
        return run_id

    monkeypatch.setattr(runs, "insert_run", insert_and_let_another_come)
    run = Run.begin(store, Bus(), event, kind="ingest", trigger="test")
    run.fail(PipelineError(Kind.TIMEOUT, "made to fail"))
    acting.join()
    # It waited for the run that was first, found the event taken and left it alone.
    assert refusals == [Kind.LOCK_HELD]
    numbered = [(row.id, row.token) for row in runs.list_runs(store, event.id)]
    assert sorted(numbered) == sorted(numbered, key=lambda pair: pair[1])
    looker.close()


def _waits(looker: Store) -> bool:
    with looker.read():
        return bool(looker.sql(WAITING))


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
def test_a_lease_that_is_held_is_not_waited_for(store: Store, database_url: str) -> None:
    """Even where its holder sits inside a transaction: who that is can be said at once."""
    fence = begin(store)
    other = Store.open(database_url, busy_timeout_s=0.2)
    with store.write():
        store.sql("UPDATE lease SET token = token WHERE event_id = ?", fence.event_id)
        with pytest.raises(StateError) as refusal:
            Run.begin(other, Bus(), events.add_event(other, SLUG, EVENT_ID), kind="ingest", trigger="test")
    assert refusal.value.kind is Kind.LOCK_HELD
    other.close()
