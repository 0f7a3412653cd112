"""Actions are history: whoever writes, they are never changed, replaced or deleted; a purge closes an undo once."""

from __future__ import annotations

import pytest

from pipeline import recovery
from pipeline.errors import Kind, StoreError
from pipeline.store import actions, attempts, superseded
from pipeline.store.database import Store
from tests.support.recovering import leave_partial_rows


@pytest.fixture
def action(store: Store) -> recovery.Action:
    fence = leave_partial_rows(store)
    return recovery.act(store, recovery.plan_cleanup(store, fence.event_id), who="tester")


_COPY = "SELECT {id}, event_id, {run}, kind, who, reason, at, {undoes}, plan FROM action"
_INSERT = "INTO action (id, event_id, run_id, kind, who, reason, at, undoes, plan)"


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM action",
        "UPDATE action SET who = 'somebody else'",
        "UPDATE action SET kept = NULL",
        "UPDATE action SET kept = '{}'",
        "UPDATE action SET plan = '{}', undo_closed_at = 1",
        "UPDATE action SET undo_closed_at = 1",  # without dropping what was kept
        f"INSERT {_INSERT} {_COPY.format(id='99', run='run_id', undoes='NULL')}",
        f"INSERT {_INSERT} {_COPY.format(id='99', run='run_id - 1', undoes='id')}",  # names what it undoes, is no undo
    ],
)
def test_an_action_is_history(store: Store, action: recovery.Action, statement: str) -> None:
    before = actions.get_action(store, action.id), actions.kept(store, action.id)
    with pytest.raises(StoreError) as refused, store.write():
        store.sql(statement)
    assert refused.value.kind is Kind.DB_REFUSED
    assert (actions.get_action(store, action.id), actions.kept(store, action.id)) == before


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
@pytest.mark.parametrize(("id", "run"), [("id", "run_id"), ("99", "run_id"), ("id", "run_id - 1")])
def test_replace_does_not_slip_past(store: Store, action: recovery.Action, id: str, run: str) -> None:
    with pytest.raises(StoreError, match="never replaced"), store.write():
        store.sql(f"REPLACE {_INSERT} {_COPY.format(id=id, run=run, undoes='NULL')}")


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
def test_truncate_is_refused(store: Store, action: recovery.Action) -> None:
    with pytest.raises(StoreError, match="never truncated"), store.write():
        store.sql("TRUNCATE action CASCADE")


def test_an_undo_is_closed_once_and_for_good(store: Store, action: recovery.Action) -> None:
    superseded.close_undo(store, action.id)
    for statement in ("UPDATE action SET undo_closed_at = NULL", "UPDATE action SET undo_closed_at = 1, kept = NULL"):
        with pytest.raises(StoreError, match="history"), store.write():
            store.sql(statement)


def test_an_action_begins_with_its_undo_open(store: Store, action: recovery.Action) -> None:
    fence = leave_partial_rows(store)
    with pytest.raises(StoreError, match="undo open"):
        actions.insert_action(
            store, event_id=fence.event_id, run_id=fence.run_id, kind="reset", who="x", reason="", plan="{}",
            undo_closed_at=1,
        )  # fmt: skip


@pytest.mark.parametrize("change", ["held_at = 1", "held_reason = 'x'", "failed_attempts = -1", "lost_runs = -1"])
def test_counts_and_holds_make_sense(store: Store, action: recovery.Action, change: str) -> None:
    with pytest.raises(StoreError) as refused, store.write():
        store.sql(f"UPDATE event SET {change}")
    assert refused.value.kind is Kind.DB_REFUSED
    assert attempts.count(store, 1).lost_runs == 0
