"""Serving an older generation: one event's, or all that a bad parser build published."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline import recovery
from pipeline.errors import Kind, StateError
from pipeline.fixtures import NO_FIXTURES
from pipeline.liverc.readers import SHIPPED
from pipeline.observe import Bus
from pipeline.plans import Rollback
from pipeline.recovering import Recoverer, RollbackStep
from pipeline.store import actions as action_rows
from pipeline.store import runs
from pipeline.store.archive import PageArchive
from pipeline.store.database import Store
from tests.support.generations import begin, fail
from tests.support.recovering import event_row, exported, leave_partial_rows, publish_generation

GOOD, BAD = "a1good", "b2bad"


def refusal(call: Callable[[], object]) -> StateError:
    with pytest.raises(StateError) as caught:
        call()
    return caught.value


def test_an_older_run_is_served_again_and_every_generation_can_be(store: Store) -> None:
    fences = [publish_generation(store, number) for number in (1, 2, 3)]
    event_id = fences[0].event_id
    documents = {}
    for fence in fences:
        plan = recovery.plan_restore(store, event_id, fence.run_id)
        if plan.changes_anything:
            recovery.act(store, plan, who="tester")
        documents[fence.run_id] = exported(store, event_id)
        row = event_row(store, event_id)
        assert (row.current_run_id, row.state) == (fence.run_id, "complete")
        run = runs.get_run(store, fence.run_id)
        assert run is not None
        assert row.last_ingested_at == run.finished_at
    assert len(set(documents.values())) == 3


def test_restoring_what_is_served_is_nothing_to_do(store: Store) -> None:
    fence = publish_generation(store, 1)
    assert not recovery.plan_restore(store, fence.event_id, fence.run_id).changes_anything


def test_what_cannot_be_served(store: Store) -> None:
    fence, other = publish_generation(store, 1), publish_generation(store, 1, "7001")
    unsealed = leave_partial_rows(store)
    for run_id, why in (
        (unsealed.run_id, "published nothing"),
        (other.run_id, "not a run of this event"),
        (999, "not a run of this event"),
    ):
        error = refusal(lambda run_id=run_id: recovery.plan_restore(store, fence.event_id, run_id))  # type: ignore[misc]
        assert error.kind is Kind.USAGE
        assert why in error.message


def roll_back(store: Store, rollback: Rollback, folder: Path) -> list[RollbackStep]:
    who = Recoverer(
        store, Bus(), PageArchive(folder), NO_FIXTURES, SHIPPED, "tester", "the build reads laps wrong", "cli"
    )
    return list(who.roll_back(rollback))


def scenario(store: Store) -> dict[str, int]:
    """Events by what a bad build did to them."""
    events = {}
    events["bad only"] = publish_generation(store, 1, "1", build=BAD).event_id
    publish_generation(store, 1, "2", build=GOOD)
    events["good then bad"] = publish_generation(store, 2, "2", build=BAD).event_id
    publish_generation(store, 1, "3", build=GOOD)
    publish_generation(store, 2, "3", build=BAD)
    events["good then bad twice"] = publish_generation(store, 3, "3", build=BAD).event_id
    publish_generation(store, 1, "4", build=BAD)
    events["bad then good"] = publish_generation(store, 2, "4", build=GOOD).event_id
    events["good"] = publish_generation(store, 2, "5", build=GOOD).event_id
    publish_generation(store, 1, "6", build=GOOD)
    fence = publish_generation(store, 2, "6", build=BAD)
    fail(store, begin(store, "6"))
    events["good then bad, failed since"] = fence.event_id
    return events


def test_a_bad_build_is_rolled_back(store: Store, tmp_path: Path) -> None:
    events = scenario(store)
    before = {name: (event_row(store, one), exported(store, one)) for name, one in events.items()}
    rollback = recovery.plan_restore_build(store, "b2")
    assert rollback.parser_build == BAD
    affected = {"bad only", "good then bad", "good then bad twice", "good then bad, failed since"}
    assert {plan.event_id for plan in rollback.plans} == {events[name] for name in affected}

    steps = roll_back(store, rollback, tmp_path)
    assert [(step.done, step.total, step.error) for step in steps] == [(n, 4, None) for n in (1, 2, 3, 4)]
    for name, event_id in events.items():
        row = event_row(store, event_id)
        if name not in affected:
            assert (row, exported(store, event_id)) == before[name]
        elif name == "bad only":
            assert (row.state, row.ingest_depth, row.current_run_id) == ("idle", "none", None)
        else:
            served = runs.get_run(store, row.current_run_id or 0)
            assert served is not None
            assert (row.state, served.parser_build) == ("complete", GOOD)
    actions = recovery.list_actions(store)
    assert len(actions) == 4
    assert len({action.batch for action in actions}) == 1
    for action in actions:
        recovery.undo(store, action.id, who="tester")
    for name, event_id in events.items():
        assert exported(store, event_id) == before[name][1], name


def test_an_event_at_work_is_left_out_of_a_rollback_and_named(store: Store, tmp_path: Path) -> None:
    events = scenario(store)
    begin(store, "2")
    rollback = recovery.plan_restore_build(store, BAD)
    assert [(one.event.rpartition("/")[2], one.kind) for one in rollback.refused] == [("2", "LOCK_HELD")]
    # another one starts to work between the plan and the action
    begin(store, "3")
    steps = roll_back(store, rollback, tmp_path)
    assert [step.error.kind for step in steps if step.error] == [Kind.LOCK_HELD]
    assert event_row(store, events["bad only"]).current_run_id is None


def test_a_build_has_to_be_one(store: Store) -> None:
    publish_generation(store, 1, "1", build="abc1")
    publish_generation(store, 1, "2", build="abc2")
    for given, why in (("abc", "there are 2"), ("x", "there is none"), ("", "there is none")):
        error = refusal(lambda given=given: recovery.plan_restore_build(store, given))  # type: ignore[misc]
        assert error.kind is Kind.USAGE
        assert why in error.message
    assert len(recovery.plan_restore_build(store, "abc1").plans) == 1


def test_the_run_of_a_rollback_says_what_it_restored(store: Store, tmp_path: Path) -> None:
    first = publish_generation(store, 1, build=GOOD)
    publish_generation(store, 2, build=BAD)
    (step,) = roll_back(store, recovery.plan_restore_build(store, BAD), tmp_path)
    assert step.recovered is not None
    run = runs.get_run(store, step.recovered.action.run_id)
    assert run is not None
    assert run.restored_run_id == first.run_id


def test_control_a_plan_that_points_elsewhere_is_seen(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison of before and after has teeth: a restore that serves the wrong run does not pass unseen."""
    first = publish_generation(store, 1)
    publish_generation(store, 2)
    plan = recovery.plan_restore(store, first.event_id, first.run_id)
    third = publish_generation(store, 3, "7001")
    real = action_rows.set_event
    monkeypatch.setattr(
        action_rows,
        "set_event",
        lambda store, event_id, **fields: real(store, event_id, **{**fields, "current_run_id": third.run_id}),
    )
    with pytest.raises(Exception, match="only a sealed run of its own"):
        recovery.act(store, plan, who="tester")
