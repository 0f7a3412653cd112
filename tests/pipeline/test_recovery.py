"""Plan, act, undo on both engines: what was planned is what happens, and what happened can be taken back."""

from __future__ import annotations

import threading
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import msgspec
import pytest

from pipeline import attempts, leases, planning, recovery
from pipeline.errors import TABLE, Kind, StateError
from pipeline.plans import Plan
from pipeline.store import attempts as attempt_rows
from pipeline.store import events, journal, runs
from pipeline.store.attempts import Attempts
from pipeline.store.database import Store
from tests.support.generations import EVENT_ID, SLUG, begin, fail
from tests.support.recovering import (
    DATA_TABLES,
    counts,
    event_row,
    exported,
    leave_partial_rows,
    orphan,
    publish_generation,
    rows_of_all,
    transitions,
)

OTHER = "7001"


def idle_and_empty(store: Store) -> int:
    event_id = begin_and_fail(store)
    runs.transition(store, event_id, "idle")
    return event_id


def begin_and_fail(store: Store) -> int:
    fence = begin(store)
    fail(store, fence)
    return fence.event_id


def complete(store: Store) -> int:
    publish_generation(store, 1)
    return publish_generation(store, 2).event_id


def failed_but_serving(store: Store) -> int:
    publish_generation(store, 1)
    return begin_and_fail(store)


def failed_with_partial_rows(store: Store) -> int:
    return leave_partial_rows(store).event_id


def serving_with_partial_rows(store: Store) -> int:
    publish_generation(store, 1)
    leave_partial_rows(store)
    leave_partial_rows(store)
    return publish_generation(store, 2).event_id


def held_and_serving(store: Store) -> int:
    event_id = failed_but_serving(store)
    attempt_rows.set_counts(store, event_id, Attempts(5, 3), retry_in_ms=60_000)
    attempts.hold(store, event_id, "three runs died")
    return event_id


CONDITIONS: list[Callable[[Store], int]] = [
    idle_and_empty,
    begin_and_fail,
    complete,
    failed_but_serving,
    failed_with_partial_rows,
    serving_with_partial_rows,
    held_and_serving,
]
WISHES: dict[str, Callable[[Store, int], Plan]] = {
    "cleanup": recovery.plan_cleanup,
    "cleanup_full": lambda store, event_id: recovery.plan_cleanup(store, event_id, full=True),
    "reset": recovery.plan_reset,
    "restore": lambda store, event_id: recovery.plan_restore(store, event_id, oldest_sealed(store, event_id)),
}


def oldest_sealed(store: Store, event_id: int) -> int:
    with store.read():
        rows = store.sql("SELECT MIN(id) FROM run WHERE event_id = ? AND sealed", event_id)
    return int(rows[0][0])


def act(store: Store, plan: Plan, **options: Any) -> recovery.Action:
    return recovery.act(store, plan, who="tester", **options)


def differences(before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
    return {table: after[table] - before[table] for table in before if after[table] != before[table]}


NEVER_SERVED = (idle_and_empty, begin_and_fail, failed_with_partial_rows)  # there is nothing to restore
PAIRS = [(kind, one) for kind in WISHES for one in CONDITIONS if kind != "restore" or one not in NEVER_SERVED]


@pytest.mark.parametrize(("kind", "condition"), PAIRS, ids=[f"{kind}-{one.__name__}" for kind, one in PAIRS])
def test_a_plan_is_what_happens_and_an_undo_takes_it_back(
    store: Store, kind: str, condition: Callable[[Store], int]
) -> None:
    publish_generation(store, 2, OTHER)
    leave_partial_rows(store, OTHER)
    other = events.find_event(store, OTHER)
    assert other is not None
    other_document = exported(store, other.id)
    event_id = condition(store)
    before, counted, served, data = (
        event_row(store, event_id), counts(store), exported(store, event_id), rows_of_all(store),
    )  # fmt: skip
    walked = len(transitions(store, event_id))

    plan = WISHES[kind](store, event_id)
    assert counts(store) == counted, "planning changed something"
    assert event_row(store, event_id) == before
    if not plan.changes_anything:
        assert plan.steps == ()
        with pytest.raises(StateError) as refused:
            act(store, plan)
        assert refused.value.kind is Kind.USAGE
        assert counts(store) == counted
        return
    action = act(store, plan)

    # rows
    expected = {table: -count for table, count in plan.removes.items()}
    expected |= {"run": 1, "action": 1, "journal": 1, "transition": len(plan.steps)}
    assert differences(counted, counts(store)) == expected
    # columns
    after = event_row(store, event_id)
    changed = {change.field: (change.before, change.after) for change in plan.changes}
    for field in (*planning.PLANNED_COLUMNS, "state"):
        was, now = changed.get(field, (getattr(before, field), getattr(before, field)))
        assert (getattr(before, field), getattr(after, field)) == (was, now), field
    assert after.last_run_id == action.run_id
    # what is served
    served_counts = {"race": after.race_count, "result": after.result_count, "lap": after.lap_count}
    assert {table: plan.served_after.get(table, 0) for table in served_counts} == served_counts
    # arrows, each of them legal, in this order
    states = [before.state, *plan.steps]
    assert transitions(store, event_id)[walked:] == list(pairwise(states))
    assert set(pairwise(states)) <= runs.ARROWS
    assert after.state == ("complete" if after.current_run_id is not None else "idle")
    # nobody else
    assert exported(store, other.id) == other_document
    assert event_row(store, other.id) == other
    assert leases.list_locks(store) == ()

    if not plan.removes and set(changed) == {"state"}:
        assert refusal(lambda: recovery.undo(store, action.id, who="tester")).kind is Kind.UNDO_REFUSED
        return
    undone = recovery.undo(store, action.id, who="tester")
    assert exported(store, event_id) == served
    assert rows_of_all(store) == data
    again = event_row(store, event_id)
    for field in planning.PLANNED_COLUMNS:
        assert getattr(again, field) == getattr(before, field), field
    assert recovery.get_action(store, action.id).undone_by == undone.id
    assert exported(store, other.id) == other_document


def test_what_each_action_does(store: Store) -> None:
    """The plans themselves, so that an action which changes too little or too much is noticed."""
    event_id = serving_with_partial_rows(store)
    partial = {"event_header": 2, "race": 6, "result": 12, "lap": 24, "entry": 4}
    served = {"race": 2, "result": 4, "lap": 8, "entry": 2}
    plan = recovery.plan_cleanup(store, event_id)
    assert plan.removes == partial
    assert plan.steps == ("running", "complete")
    assert plan.changes == ()
    assert (plan.served_before, plan.served_after) == (served, served)
    assert [(run.effect, run.rows["lap"]) for run in plan.runs] == [("removed", 12), ("removed", 12)]

    full = recovery.plan_cleanup(store, event_id, full=True)
    assert full.removes == partial
    assert full.steps == ("running", "failed", "idle")
    assert {change.field: change.after for change in full.changes} == {
        "state": "idle", "current_run_id": None, "ingest_depth": "none", "last_ingested_at": None,
    }  # fmt: skip
    assert (full.served_before, full.served_after) == (served, {})

    attempt_rows.set_counts(store, event_id, Attempts(2, 1), retry_in_ms=5)
    reset = recovery.plan_reset(store, event_id)
    assert {change.field for change in reset.changes} - {change.field for change in full.changes} == {
        "failed_attempts", "lost_runs", "retry_at",
    }  # fmt: skip


def test_a_reset_keeps_what_is_known_of_the_event(store: Store) -> None:
    event_id = held_and_serving(store)
    before = event_row(store, event_id)
    act(store, recovery.plan_reset(store, event_id))
    after = event_row(store, event_id)
    for name in ("event_name", "start_date", "end_date", "entries", "drivers", "track_slug", "added_at"):
        assert getattr(after, name) == getattr(before, name)
    assert (after.state, after.ingest_depth, after.held_at, after.failed_attempts) == ("idle", "none", None, 0)


def test_the_journal_says_who_did_what_and_why(store: Store) -> None:
    event_id = complete(store)
    action = act(store, recovery.plan_reset(store, event_id), reason="wrong track")
    (entry,) = [line for line in journal.for_event(store, event_id) if line.entry_kind == "action"]
    assert (entry.name, entry.run_id) == ("event_recovery", action.run_id)
    assert "tester" in entry.message
    assert "wrong track" in entry.message
    facts = msgspec.json.decode(entry.fields)
    assert (facts["action"], facts["kind"], facts["from_run_id"]) == (
        action.id,
        "reset",
        action.plan.based_on.current_run_id,
    )


def test_an_action_is_a_run_with_an_outcome_that_is_no_failure(store: Store) -> None:
    event_id = complete(store)
    first = oldest_sealed(store, event_id)
    for plan, kind, outcome in (
        (recovery.plan_restore(store, event_id, first), "restore", "restored"),
        (None, "cleanup", "cleaned"),
        (None, "reset", "reset"),
    ):
        if plan is None:
            leave_partial_rows(store)
            plan = recovery.plan_cleanup(store, event_id) if kind == "cleanup" else recovery.plan_reset(store, event_id)
        run = runs.get_run(store, act(store, plan).run_id)
        assert run is not None
        assert (run.kind, run.outcome, run.error, run.sealed) == (kind, outcome, None, False)
        assert run.finished_at is not None


# ---------------------------------------------------------------- orphans


def test_orphans_of_the_event_go_and_those_of_others_stay(store: Store) -> None:
    other = publish_generation(store, 2, OTHER)
    mine = leave_partial_rows(store)
    with store.read():
        ((race,),) = store.sql("SELECT MIN(id) FROM race WHERE run_id = ?", mine.run_id)
        ((result,),) = store.sql(
            "SELECT MAX(result.id) FROM result JOIN race ON race.id = race_id WHERE run_id = ?", mine.run_id
        )
        ((theirs,),) = store.sql(
            "SELECT MAX(result.id) FROM result JOIN race ON race.id = race_id WHERE run_id = ?", other.run_id
        )
    orphan(
        store,
        f"DELETE FROM race WHERE id = {race}",
        f"DELETE FROM result WHERE id = {result}",
        f"DELETE FROM result WHERE id = {theirs}",
    )
    plan = recovery.plan_cleanup(store, mine.event_id)
    assert plan.orphans == {"result": 2, "lap": 6}
    assert plan.removes == {"event_header": 1, "race": 2, "result": 5, "lap": 12, "entry": 2}
    before = counts(store)
    action = act(store, plan)
    assert {
        table: -count for table, count in differences(before, counts(store)).items() if table in DATA_TABLES
    } == plan.removes
    with store.read():
        assert store.sql("SELECT COUNT(*) FROM lap WHERE result_id = ?", theirs) == [(2,)]
    # The database takes no row without its parent: an undo returns the rest, and says so beforehand.
    undo = recovery.plan_undo(store, action.id)
    assert undo.puts_back == {"event_header": 1, "race": 2, "result": 3, "lap": 6, "entry": 2}
    act(store, undo)
    assert recovery.plan_cleanup(store, mine.event_id).orphans == {}
    assert recovery.plan_cleanup(store, other.event_id).orphans == {"lap": 2}


def test_rows_of_a_vanished_run_belong_to_the_event_that_the_journal_names(store: Store) -> None:
    mine, other = leave_partial_rows(store), leave_partial_rows(store, OTHER)
    for fence in (mine, other):
        journal.append(
            store, [journal.JournalEntry(name="x", message="x", event_id=fence.event_id, run_id=fence.run_id)]
        )
    orphan(store, f"DELETE FROM run WHERE id IN ({mine.run_id}, {other.run_id})")
    plan = recovery.plan_cleanup(store, mine.event_id)
    assert plan.orphans == plan.removes == {"event_header": 1, "race": 3, "result": 6, "lap": 12, "entry": 2}
    act(store, plan)
    assert recovery.plan_cleanup(store, mine.event_id).removes == {}
    assert recovery.plan_cleanup(store, other.event_id).removes == plan.removes


def test_rows_that_return_get_fresh_ids_where_theirs_were_taken(store: Store) -> None:
    """SQLite hands out the highest free id again, so another event may have taken those of removed rows."""
    fence = leave_partial_rows(store)
    action = act(store, recovery.plan_cleanup(store, fence.event_id))
    other = publish_generation(store, 3, OTHER)
    document = exported(store, other.event_id)
    recovery.undo(store, action.id, who="tester")
    assert exported(store, other.event_id) == document
    plan = recovery.plan_cleanup(store, fence.event_id)
    assert plan.removes == action.plan.removes
    assert plan.orphans == {}


# ---------------------------------------------------------------- refusals


def refusal(call: Callable[[], object]) -> StateError:
    with pytest.raises(StateError) as caught:
        call()
    return caught.value


def change_by_publishing(store: Store, event_id: int) -> None:
    publish_generation(store, 4)


def change_by_failing(store: Store, event_id: int) -> None:
    begin_and_fail(store)


def change_by_another_action(store: Store, event_id: int) -> None:
    act(store, recovery.plan_cleanup(store, event_id, full=True))


def change_by_clearing(store: Store, event_id: int) -> None:
    begin(store)
    leases.clear(store, event_id, reason="stuck", who="tester")


def change_by_hand(store: Store, event_id: int) -> None:
    """No run, no token: only the rows themselves tell."""
    orphan(store, "UPDATE lap SET lap_time_ms = lap_time_ms + 1 WHERE lap_number = 1")


@pytest.mark.parametrize(
    "change",
    [change_by_publishing, change_by_failing, change_by_another_action, change_by_clearing, change_by_hand],
    ids=lambda change: change.__name__,
)
def test_a_plan_is_refused_once_the_event_changed(store: Store, change: Callable[[Store, int], None]) -> None:
    event_id = serving_with_partial_rows(store)
    plan = recovery.plan_reset(store, event_id)
    change(store, event_id)
    before, served = counts(store), exported(store, event_id)
    error = refusal(lambda: act(store, plan))
    assert (error.kind, TABLE[error.kind].exit_code) == (Kind.PLAN_STALE, 7)
    assert counts(store) == before
    assert exported(store, event_id) == served
    assert leases.list_locks(store) == ()
    again = recovery.plan_reset(store, event_id)
    if again.changes_anything:
        act(store, again)  # a plan of now is carried out
    assert exported(store, event_id) is None


def test_a_running_event_is_refused(store: Store) -> None:
    event_id = complete(store)
    plan = recovery.plan_reset(store, event_id)
    cleaned = act(store, recovery.plan_restore(store, event_id, oldest_sealed(store, event_id)))
    begin(store)
    before = counts(store)
    for call in (
        lambda: act(store, plan),
        lambda: recovery.plan_reset(store, event_id),
        lambda: recovery.plan_cleanup(store, event_id),
        lambda: recovery.plan_undo(store, cleaned.id),
    ):
        assert refusal(call).kind is Kind.LOCK_HELD
    assert counts(store) == before
    assert event_row(store, event_id).state == "running"


def test_a_running_state_that_nobody_holds_is_walked_out_of(store: Store) -> None:
    """Only damage leaves an event like this; nothing else could bring it back."""
    fence = begin(store)
    orphan(store, f"UPDATE lease SET run_id = NULL WHERE event_id = {fence.event_id}")
    plan = recovery.plan_reset(store, fence.event_id)
    assert plan.steps == ("failed", "idle", "running", "failed", "idle")
    act(store, plan)
    assert event_row(store, fence.event_id).state == "idle"


@pytest.mark.parametrize("newer", [change_by_publishing, change_by_another_action], ids=lambda change: change.__name__)
def test_an_undo_is_refused_once_the_event_changed(store: Store, newer: Callable[[Store, int], None]) -> None:
    event_id = complete(store)
    action = act(store, recovery.plan_restore(store, event_id, oldest_sealed(store, event_id)))
    newer(store, event_id)
    changed = runs.list_runs(store, event_id)[0]
    before = counts(store)
    error = refusal(lambda: recovery.undo(store, action.id, who="tester"))
    assert (error.kind, error.details["newer_run_id"]) == (Kind.UNDO_REFUSED, changed.id)
    assert f"run {changed.id}" in error.message
    assert counts(store) == before
    assert recovery.get_action(store, action.id).undo_refused == error.message


def test_a_failure_since_does_not_stand_in_the_way_of_an_undo(store: Store) -> None:
    event_id = complete(store)
    served = exported(store, event_id)
    action = act(store, recovery.plan_reset(store, event_id))
    begin_and_fail(store)
    recovery.undo(store, action.id, who="tester")
    assert exported(store, event_id) == served
    assert event_row(store, event_id).state == "complete"


def test_actions_are_undone_in_reverse_order(store: Store) -> None:
    event_id = complete(store)
    served = exported(store, event_id)
    first = act(store, recovery.plan_restore(store, event_id, oldest_sealed(store, event_id)))
    between = exported(store, event_id)
    second = act(store, recovery.plan_reset(store, event_id))
    assert refusal(lambda: recovery.undo(store, first.id, who="tester")).kind is Kind.UNDO_REFUSED
    recovery.undo(store, second.id, who="tester")
    assert exported(store, event_id) == between
    recovery.undo(store, first.id, who="tester")
    assert exported(store, event_id) == served


def test_an_action_is_undone_once_and_an_undo_never(store: Store) -> None:
    event_id = complete(store)
    action = act(store, recovery.plan_reset(store, event_id))
    undone = recovery.undo(store, action.id, who="tester")
    for action_id in (action.id, undone.id):
        with pytest.raises(StateError) as caught:
            recovery.undo(store, action_id, who="tester")
        assert caught.value.kind is Kind.UNDO_REFUSED
    assert refusal(lambda: recovery.undo(store, 99, who="tester")).kind is Kind.UNKNOWN


def test_an_undo_that_was_planned_twice_happens_once(store: Store) -> None:
    event_id = complete(store)
    action = act(store, recovery.plan_reset(store, event_id))
    plans = [recovery.plan_undo(store, action.id), recovery.plan_undo(store, action.id)]
    act(store, plans[0])
    assert refusal(lambda: act(store, plans[1])).kind in (Kind.PLAN_STALE, Kind.UNDO_REFUSED)


def test_of_two_who_confirm_the_same_plan_at_once_one_acts(store: Store) -> None:
    event_id = serving_with_partial_rows(store)
    plan = recovery.plan_reset(store, event_id)
    ready = threading.Barrier(4)
    outcomes: list[recovery.Action | Kind] = []

    def confirm() -> None:
        with store.connection_scope():
            ready.wait()
            try:
                outcomes.append(act(store, plan))
            except StateError as error:
                outcomes.append(error.kind)

    threads = [threading.Thread(target=confirm) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(recovery.list_actions(store)) == 1
    assert sorted(map(str, (one for one in outcomes if isinstance(one, Kind)))) == [str(Kind.PLAN_STALE)] * 3


def test_an_unknown_event_is_refused(store: Store) -> None:
    assert refusal(lambda: recovery.plan_reset(store, 99)).kind is Kind.UNKNOWN_EVENT


def test_a_failure_inside_an_action_changes_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    event_id = serving_with_partial_rows(store)
    plan = recovery.plan_reset(store, event_id)
    before, served, data = counts(store), exported(store, event_id), rows_of_all(store)

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("power cut")

    for place in ("action_rows.set_event", "run_rows.finish_run", "journal.append", "lease_rows.release"):
        with monkeypatch.context() as patch:
            patch.setattr(f"pipeline.recovery.{place}", broken)
            with pytest.raises(RuntimeError):
                act(store, plan)
        assert (counts(store), exported(store, event_id), rows_of_all(store)) == (before, served, data)
        assert leases.list_locks(store) == ()
    act(store, plan)


def test_a_plan_survives_being_sent_as_json(store: Store) -> None:
    event_id = serving_with_partial_rows(store)
    plan = recovery.plan_reset(store, event_id)
    act(store, msgspec.json.decode(msgspec.json.encode(plan), type=Plan))


def test_actions_are_listed_newest_first(store: Store) -> None:
    event_id = complete(store)
    other = publish_generation(store, 1, OTHER)
    first = act(store, recovery.plan_reset(store, event_id))
    second = act(store, recovery.plan_reset(store, other.event_id))
    assert [action.id for action in recovery.list_actions(store)] == [second.id, first.id]
    (listed,) = recovery.list_actions(store, event_id)
    assert listed == recovery.get_action(store, first.id)
    assert (listed.event, listed.who, listed.undo_refused) == (f"{SLUG}/{EVENT_ID}", "tester", None)
