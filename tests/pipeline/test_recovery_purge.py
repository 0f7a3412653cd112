"""The purge: what is served, the newest two generations and whatever an undo needs stay; the rest goes for good."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pipeline import purging, recovery
from pipeline.errors import Kind, StateError, StoreError
from pipeline.store import actions as action_rows
from pipeline.store import journal, runs, superseded
from pipeline.store.database import Store
from tests.support.generations import begin
from tests.support.recovering import (
    DATA_TABLES,
    counts,
    event_row,
    exported,
    leave_partial_rows,
    make_older,
    publish_generation,
    rows_of_all,
)

NOW = {"older_than_days": 0, "keep_undo_days": 30}


def purge_now(store: Store, **days: float) -> purging.PurgeReport:
    _let_time_pass(store)
    return purging.purge(store, purging.plan_purge(store, **{**NOW, **days}), who="tester", reason="disk")


def _let_time_pass(store: Store) -> None:
    """A purge looks at what ended before this millisecond."""
    start = store.clock_ms()
    while store.clock_ms() == start:
        pass


def refusal(call: Callable[[], object]) -> StateError:
    with pytest.raises(StateError) as caught:
        call()
    return caught.value


def purged(store: Store) -> set[int]:
    with store.read():
        return {run_id for (run_id,) in store.sql("SELECT id FROM run WHERE purged_at IS NOT NULL")}


def test_old_generations_go_and_what_is_served_and_the_newest_two_stay(store: Store) -> None:
    fences = [publish_generation(store, number) for number in (1, 2, 3, 4)]
    event_id = fences[0].event_id
    recovery.act(store, recovery.plan_restore(store, event_id, fences[1].run_id), who="tester")
    other = publish_generation(store, 2, "7001")
    served, before = exported(store, event_id), counts(store)
    _let_time_pass(store)
    plan = purging.plan_purge(store, **NOW)
    assert [run.run_id for run in plan.runs] == [fences[0].run_id]
    assert counts(store) == before
    report = purging.purge(store, plan, who="tester", reason="disk")
    assert (report.runs, report.passed_over) == ((fences[0].run_id,), ())
    after = counts(store)
    assert (
        {table: before[table] - after[table] for table in DATA_TABLES if before[table] != after[table]}
        == plan.rows()
        == report.rows
    )
    assert purged(store) == {fences[0].run_id}
    assert exported(store, event_id) == served
    assert exported(store, other.event_id) is not None
    with store.read():
        assert store.sql("SELECT COUNT(*) FROM purge_permit") == [(0,)]
    entry = journal.for_run(store, fences[0].run_id)[-1]
    assert (entry.entry_kind, entry.name) == ("audit", "run_purged")
    assert "disk" in entry.message
    assert refusal(lambda: recovery.plan_restore(store, event_id, fences[0].run_id)).kind is Kind.USAGE
    assert not purge_now(store).runs


def test_young_generations_stay(store: Store) -> None:
    for number in (1, 2, 3):
        publish_generation(store, number)
    assert not purge_now(store, older_than_days=1).runs
    make_older(store, 2)
    assert len(purge_now(store, older_than_days=1).runs) == 1


def test_a_purge_keeps_what_an_undo_needs(store: Store) -> None:
    fences = [publish_generation(store, number) for number in (1, 2, 3)]
    event_id = fences[0].event_id
    recovery.act(store, recovery.plan_restore(store, event_id, fences[0].run_id), who="tester")
    served = exported(store, event_id)
    action = recovery.act(store, recovery.plan_reset(store, event_id), who="tester")
    assert not purge_now(store).runs  # the oldest of three is what the undo goes back to
    recovery.undo(store, action.id, who="tester")
    assert exported(store, event_id) == served
    # undone, it is needed by that action no more; but it is served again
    assert not purge_now(store).runs
    recovery.act(store, recovery.plan_restore(store, event_id, fences[2].run_id), who="tester")
    make_older(store, 40)
    assert purge_now(store).runs == (fences[0].run_id,)


def test_even_a_hand_written_permit_cannot_take_what_an_undo_needs(store: Store) -> None:
    fences = [publish_generation(store, number) for number in (1, 2, 3)]
    recovery.act(store, recovery.plan_restore(store, fences[0].event_id, fences[0].run_id), who="tester")
    recovery.act(store, recovery.plan_cleanup(store, fences[0].event_id, full=True), who="tester")
    with pytest.raises(StoreError, match="open undo"):
        superseded.delete_rows(store, fences[0].run_id, "by hand")


def test_after_the_undo_window_a_purge_closes_undos_and_drops_what_they_kept(store: Store) -> None:
    publish_generation(store, 1)
    fence = leave_partial_rows(store)
    action = recovery.act(store, recovery.plan_cleanup(store, fence.event_id), who="tester")
    make_older(store, 31)
    _let_time_pass(store)
    plan = purging.plan_purge(store)
    assert [undo.action_id for undo in plan.undos] == [action.id]
    assert recovery.plan_undo(store, action.id).puts_back  # until then it can be undone
    report = purging.purge(store, plan, who="tester")
    assert report.undos == (action.id,)
    error = refusal(lambda: recovery.undo(store, action.id, who="tester"))
    assert error.kind is Kind.UNDO_REFUSED
    assert "purge" in error.message
    assert action_rows.kept(store, action.id) is None
    assert not purging.plan_purge(store).undos
    assert [line.name for line in journal.for_event(store, fence.event_id) if line.entry_kind == "audit"] == [
        "undo_closed"
    ]


def test_an_event_at_work_is_passed_over(store: Store) -> None:
    for number in (1, 2, 3):
        publish_generation(store, number)
    other = [publish_generation(store, number, "7001") for number in (1, 2, 3)]
    _let_time_pass(store)
    plan = purging.plan_purge(store, **NOW)
    begin(store)
    report = purging.purge(store, plan, who="tester")
    assert report.runs == (other[0].run_id,)
    assert [one.why for one in report.passed_over] == [purging.BUSY]


def test_what_came_into_use_since_the_plan_is_passed_over(store: Store) -> None:
    fences = [publish_generation(store, number) for number in (1, 2, 3)]
    event_id = fences[0].event_id
    _let_time_pass(store)
    plan = purging.plan_purge(store, **NOW)
    recovery.act(store, recovery.plan_restore(store, event_id, fences[0].run_id), who="tester")
    before = rows_of_all(store)
    report = purging.purge(store, plan, who="tester")
    assert report.runs == ()
    assert report.passed_over[0].run_id == fences[0].run_id
    assert rows_of_all(store) == before
    assert event_row(store, event_id).current_run_id == fences[0].run_id


def test_a_purge_that_breaks_has_deleted_whole_generations_only(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    fences = [publish_generation(store, number) for number in (1, 2, 3, 4)]
    _let_time_pass(store)
    plan = purging.plan_purge(store, **NOW)
    real = superseded.delete_rows

    def second_breaks(store: Store, run_id: int, reason: str) -> dict[str, int]:
        deleted = real(store, run_id, reason)
        if run_id == fences[1].run_id:
            raise RuntimeError("power cut")
        return deleted

    monkeypatch.setattr(superseded, "delete_rows", second_breaks)
    with pytest.raises(RuntimeError):
        purging.purge(store, plan, who="tester")
    assert purged(store) == {fences[0].run_id}
    run = runs.get_run(store, fences[1].run_id)
    assert run is not None
    with store.read():
        assert store.sql("SELECT COUNT(*) FROM race WHERE run_id = ?", run.id) == [(run.race_count,)]
    recovery.act(store, recovery.plan_restore(store, run.event_id, run.id), who="tester")


def test_negative_days_are_refused(store: Store) -> None:
    for days in ({"older_than_days": -1.0}, {"keep_undo_days": -0.5}):
        assert refusal(lambda days=days: purging.plan_purge(store, **days)).kind is Kind.USAGE  # type: ignore[misc]
