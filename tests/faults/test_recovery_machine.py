"""Runs, deaths, zombies, actions, undos, purges and the switch in any order, against a model that knows no SQL.

`make faults` takes a thousand examples on each engine, and shows that seeded faults of the real thing are found.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from pipeline import attempts, control, planning, plans, recovery
from pipeline.errors import Kind, StateError, StoreError
from pipeline.store import actions as action_rows
from pipeline.store import attempts as attempt_rows
from pipeline.store import leases, partial_rows, runs, superseded
from pipeline.store.database import Store
from pipeline.store.models import Lease
from tests.conftest import NewDatabase
from tests.support.databases import SqliteFiles
from tests.support.recovery_model import RecoveryMachine

FAULTS = os.environ.get("MRE_FAULTS") == "1"
EXAMPLES = 1_000 if FAULTS else 15
STEPS = 40


def machine(open_store: Callable[[], Store], close_store: Callable[[Store], None]) -> type[RecoveryMachine]:
    members = {"open_store": staticmethod(open_store), "close_store": staticmethod(close_store)}
    return type("Machine", (RecoveryMachine,), members)


def run(made: type[RecoveryMachine], examples: int, **options: Any) -> None:
    run_state_machine_as_test(
        made,
        settings=settings(
            max_examples=examples,
            stateful_step_count=STEPS,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
            **options,
        ),
    )


def on_sqlite(files: SqliteFiles) -> type[RecoveryMachine]:
    """Every example has a database of its own."""
    urls: list[str] = []

    def open_store() -> Store:
        urls.append(files.url())
        return Store.open(urls[-1])

    def close_store(store: Store) -> None:
        store.close()
        files.drop(urls.pop())

    return machine(open_store, close_store)


def test_any_order_of_things_on_sqlite(sqlite_files: SqliteFiles) -> None:
    run(on_sqlite(sqlite_files), EXAMPLES)


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
def test_any_order_of_things_on_postgresql(new_database: NewDatabase) -> None:
    """All examples share a database, each with events of its own: other events are never touched."""
    store = Store.open(new_database())
    try:
        run(machine(lambda: store, lambda _: None), EXAMPLES)
    finally:
        store.close()


# ---------------------------------------------------------------- the machine has teeth

Mutant = Callable[[pytest.MonkeyPatch], None]


def no_fence(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(leases, "lock_fence", lambda store, fence: None)


def a_held_lease_is_taken(patch: pytest.MonkeyPatch) -> None:
    real = leases.acquire

    def robs(store: Store, event_id: int, *arguments: Any) -> int | None:
        store.change(Lease.update(run_id=None).where(Lease.event == event_id))
        return real(store, event_id, *arguments)

    patch.setattr(leases, "acquire", robs)


def a_lease_is_kept(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(leases, "release", lambda store, fence: True)


def stale_plans_are_carried_out(patch: pytest.MonkeyPatch) -> None:
    def remade(store: Store, plan: Any, run_id: int) -> Any:
        wish = planning.Wish(
            kind=plan.kind, event_id=plan.event_id, target_run_id=plan.target_run_id, undoes=plan.undoes
        )
        draft = planning.make(store, wish, own_run=run_id)
        if not draft.plan.changes_anything:
            raise StateError(Kind.PLAN_STALE, "nothing is left to do")
        return draft

    patch.setattr(recovery, "_plan_again", remade)


def an_undo_overlooks_what_came_after(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(action_rows, "newer_change", lambda *_: None)


def an_undone_action_stands_in_the_way(patch: pytest.MonkeyPatch) -> None:
    real = action_rows.newest_run

    def newer(store: Store, event_id: int, run_id: int) -> Any:
        newest = real(store, event_id)
        return action_rows.NewerRun(newest or 0, "ingest", "published") if newest != run_id else None

    patch.setattr(action_rows, "newer_change", newer)


def partial_rows_stay(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(partial_rows, "remove", lambda store, rows: rows.counts())


def removed_rows_do_not_return(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(partial_rows, "put_back", lambda store, rows: None)


def a_cleanup_takes_the_neighbours_rows_too(patch: pytest.MonkeyPatch) -> None:
    real = partial_rows.of_unsealed_runs

    def of_all(store: Store, event_id: int) -> Any:
        with store.read():
            ids = [one for (one,) in store.sql("SELECT id FROM event ORDER BY id")]
        found = [real(store, one) for one in ids]
        rows = {table: [row for one in found for row in one.rows.rows[table]] for table in partial_rows.TABLES}
        by_run = {run_id: counts for one in found for run_id, counts in one.by_run.items()}
        return partial_rows.PartialRows(partial_rows.RowSet(partial_rows.COLUMNS, rows), by_run)

    patch.setattr(partial_rows, "of_unsealed_runs", of_all)


def without(*columns: str) -> Mutant:
    def mutate(patch: pytest.MonkeyPatch) -> None:
        real = action_rows.set_event

        def forgets(store: Store, event_id: int, **fields: Any) -> None:
            fields = {name: value for name, value in fields.items() if name not in columns}
            if fields:
                real(store, event_id, **fields)

        patch.setattr(action_rows, "set_event", forgets)

    mutate.__name__ = f"an_action_forgets_{columns[0]}"
    return mutate


def an_action_ends_idle_whatever_is_served(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("pipeline.planning.steps", lambda state, *, serves: plans.steps(state, serves=False))


def a_purge_keeps_one_generation_only(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(superseded, "KEPT_RUNS", 1)


def a_purge_takes_what_an_undo_needs(patch: pytest.MonkeyPatch) -> None:
    real = superseded.superseded_runs

    def greedy(store: Store, *, finished_before: int, undo_since: int, event_id: int | None = None) -> Any:
        return real(store, finished_before=finished_before, undo_since=finished_before, event_id=event_id)

    patch.setattr(superseded, "superseded_runs", greedy)


def a_purge_forgets_to_close_undos(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(superseded, "close_undo", lambda store, action_id: None)


def three_deaths_hold_nothing(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(attempt_rows, "hold", lambda store, event_id, reason: None)


def a_held_event_is_ingested_automatically(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(attempts, "AUTOMATIC", ())


def parse_errors_are_retried(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(attempts, "retry_delay_ms", lambda error, failed: attempts.backoff_ms(failed))


def the_switch_is_not_asked(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(control, "admit", lambda *_, **__: None)


def a_run_never_ends(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(runs, "finish_run", lambda *_, **__: True)


MUTANTS: list[Mutant] = [
    no_fence,
    a_held_lease_is_taken,
    a_lease_is_kept,
    stale_plans_are_carried_out,
    an_undo_overlooks_what_came_after,
    an_undone_action_stands_in_the_way,
    partial_rows_stay,
    removed_rows_do_not_return,
    a_cleanup_takes_the_neighbours_rows_too,
    without("current_run_id", "ingest_depth", "last_ingested_at"),
    without("failed_attempts"),
    without("held_at", "held_reason"),
    an_action_ends_idle_whatever_is_served,
    a_purge_keeps_one_generation_only,
    a_purge_takes_what_an_undo_needs,
    a_purge_forgets_to_close_undos,
    three_deaths_hold_nothing,
    a_held_event_is_ingested_automatically,
    parse_errors_are_retried,
    the_switch_is_not_asked,
    a_run_never_ends,
]
QUICKLY_FOUND = [
    a_held_lease_is_taken,
    a_lease_is_kept,
    parse_errors_are_retried,
    an_action_ends_idle_whatever_is_served,
]


@pytest.mark.parametrize("mutant", MUTANTS if FAULTS else QUICKLY_FOUND, ids=lambda mutant: mutant.__name__)
def test_a_seeded_fault_is_found(sqlite_files: SqliteFiles, mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    mutant(monkeypatch)
    with pytest.raises((AssertionError, StateError, StoreError)):
        run(on_sqlite(sqlite_files), 400, derandomize=True, phases=[Phase.generate], report_multiple_bugs=False)
