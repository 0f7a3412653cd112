"""Faults to seed into the real thing, each a slip that a person could make. The state machine must find them all.

Each takes the product's own function out, or puts one beside it that forgets, overlooks or does too much.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from pipeline import attempts, checks, control, leases, planning, plans, recovery, service_recovery, verdicts, ways
from pipeline.errors import Kind, StateError
from pipeline.leases import LockPolicy
from pipeline.runs import Run
from pipeline.store import actions as action_rows
from pipeline.store import attempts as attempt_rows
from pipeline.store import check_runs, consistency, partial_rows, runs, superseded
from pipeline.store import leases as lease_rows
from pipeline.store.database import Store
from pipeline.store.models import Event, Lease
from pipeline.verdicts import Verdict

Mutant = Callable[[pytest.MonkeyPatch], None]

# ---------------------------------------------------------------- who may write


def no_fence(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(lease_rows, "lock_fence", lambda store, fence: None)


def a_held_lease_is_taken(patch: pytest.MonkeyPatch) -> None:
    real = lease_rows.line_up

    def robs(store: Store, event_id: int) -> bool:
        store.change(Lease.update(run_id=None).where(Lease.event == event_id))
        return real(store, event_id)

    patch.setattr(lease_rows, "line_up", robs)


def a_lease_is_kept(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(lease_rows, "release", lambda store, fence: True)


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


def a_success_forgets_nothing(patch: pytest.MonkeyPatch) -> None:
    real = attempts.record
    patch.setattr(attempts, "record", lambda store, event_id, error: error and real(store, event_id, error))


def a_stop_by_the_switch_counts(patch: pytest.MonkeyPatch) -> None:
    real = attempts.record

    def counts(store: Store, event_id: int, error: Any) -> None:
        real(store, event_id, error and msgspec.structs.replace(error, details={**error.details, "kind": "TIMEOUT"}))

    patch.setattr(attempts, "record", counts)


def a_held_event_is_due(patch: pytest.MonkeyPatch) -> None:
    def due(store: Store, event_id: int, counts: attempt_rows.Attempts, *, retry_in_ms: int | None) -> None:
        retry_at = None if retry_in_ms is None else store.now_ms() + retry_in_ms
        values = {"failed_attempts": counts.failed_attempts, "lost_runs": counts.lost_runs, "retry_at": retry_at}
        store.change(Event.update(values).where(Event.id == event_id))

    patch.setattr(attempt_rows, "set_counts", due)


def the_same_document_is_published_again(patch: pytest.MonkeyPatch) -> None:
    real = Run.publish
    patch.setattr(
        Run, "publish", lambda run, *arguments, **options: real(run, *arguments, **{**options, "again": True})
    )


# ---------------------------------------------------------------- locks


def an_expired_lease_is_taken(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(leases, "_report_expired", leases._release)


def an_expired_lease_is_reported_at_each_tick(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(leases, "_is_reported", lambda store, lock: False)


def an_expired_lease_is_never_reported(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(leases, "_is_reported", lambda store, lock: True)


def judging(name: str, taken_for: dict[Verdict, Verdict]) -> Mutant:
    def mutate(patch: pytest.MonkeyPatch) -> None:
        def judge(*facts: Any) -> tuple[Verdict, str]:
            verdict, evidence = verdicts.judge(*facts)
            return taken_for.get(verdict, verdict), evidence

        patch.setattr(leases, "judge", judge)

    mutate.__name__ = name
    return mutate


def the_token_that_was_seen_does_not_matter(patch: pytest.MonkeyPatch) -> None:
    real = leases.examine
    patch.setattr(leases, "examine", lambda *arguments, **options: real(*arguments, **{**options, "token": None}))


def a_living_holder_needs_no_name(patch: pytest.MonkeyPatch) -> None:
    real = leases.examine

    def lenient(store: Store, event_id: int, **options: Any) -> Any:
        lock = leases.find_lock(store, event_id)
        return real(store, event_id, **{**options, "confirm": lock.name_to_type if lock else None})

    patch.setattr(leases, "examine", lenient)


def clearing_leaves_the_token(patch: pytest.MonkeyPatch) -> None:
    def clear(store: Store, event_id: int, token: int) -> bool:
        return bool(store.change(Lease.update(lease_rows._EMPTY).where(*lease_rows._seen(event_id, token))))

    patch.setattr(lease_rows, "clear", clear)


def a_heartbeat_needs_no_token(patch: pytest.MonkeyPatch) -> None:
    def touch(store: Store, fence: lease_rows.Fence, ttl_ms: int, progress: str | None = None) -> bool:
        now = store.now_ms()
        late = {Lease.heartbeat_at: now, Lease.expires_at: now + ttl_ms}
        return bool(store.change(Lease.update(late).where(Lease.event == fence.event_id)))

    patch.setattr(lease_rows, "touch", touch)


def a_heartbeat_does_nothing(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(lease_rows, "touch", lambda store, fence, *_: lease_rows.standing(store, fence).held)


def nobody_hears_a_cancellation(patch: pytest.MonkeyPatch) -> None:
    real = lease_rows.standing
    patch.setattr(lease_rows, "standing", lambda *asked: msgspec.structs.replace(real(*asked), cancel_requested=False))


def a_run_that_begins_releases_against_the_setting(patch: pytest.MonkeyPatch) -> None:
    real = Run.begin.__func__  # type: ignore[attr-defined]

    def begin(cls: type[Run], /, *arguments: Any, policy: LockPolicy, **options: Any) -> Any:
        return real(cls, *arguments, policy=msgspec.structs.replace(policy, release_dead=True), **options)

    patch.setattr(Run, "begin", classmethod(begin))


def a_tick_releases_against_the_setting(patch: pytest.MonkeyPatch) -> None:
    real = leases.tick
    patch.setattr(leases, "tick", lambda store, bus, **_: real(store, bus, release_dead=True))


def a_dead_holder_stands_in_the_way_of_recovery(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(service_recovery, "_release_dead", lambda *_: False)


def a_death_is_not_counted(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(attempts, "record_death", lambda *_: None)


# ---------------------------------------------------------------- the switch and the checks


def the_switch_is_asked_at_the_beginning_only(patch: pytest.MonkeyPatch) -> None:
    real = control.admit

    def once(store: Store, way: Any, moment: control.Moment = control.Moment.BEGIN) -> None:
        if moment is control.Moment.BEGIN:
            real(store, way, moment)

    patch.setattr(control, "admit", once)


def protecting_only_disables(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(control, "PROTECTED", ways.DISABLED)


def enabling_needs_no_checks(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(control, "_enable_needs", lambda *_: None)


def checks_of_long_ago_allow_it(patch: pytest.MonkeyPatch) -> None:
    real = control._enable_needs
    patch.setattr(
        control,
        "_enable_needs",
        lambda switch, passed, failed: real(msgspec.structs.replace(switch, changed_at=None), passed, failed),
    )


def a_failed_check_is_overlooked(patch: pytest.MonkeyPatch) -> None:
    real = control._enable_needs
    patch.setattr(control, "_enable_needs", lambda switch, passed, failed: real(switch, passed, None))


def checks_of_one_event_allow_it(patch: pytest.MonkeyPatch) -> None:
    real = check_runs.newest
    patch.setattr(check_runs, "newest", lambda store, *, passed, **_: real(store, passed=passed))


def findings_hold_nobody(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(checks, "_hold", lambda *_: ())


def passing_checks_end_any_hold(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(checks, "_release", lambda store, event_id, run_id: attempt_rows.release(store, event_id))


def the_checks_overlook_partial_rows(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(consistency, "partial_rows", lambda *_: [])


# ---------------------------------------------------------------- rollbacks


def a_rollback_keeps_to_the_bad_build(patch: pytest.MonkeyPatch) -> None:
    def before(store: Store, event_id: int, parser_build: str) -> int | None:
        rows = store.sql(
            """SELECT MAX(run.id) FROM run JOIN event ON event.id = run.event_id
               WHERE event.id = ? AND run.id < event.current_run_id AND run.sealed AND run.purged_at IS NULL""",
            event_id,
        )
        return rows[0][0]  # type: ignore[no-any-return]

    patch.setattr(action_rows, "run_before_build", before)


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
    a_success_forgets_nothing,
    a_stop_by_the_switch_counts,
    a_held_event_is_due,
    the_same_document_is_published_again,
    an_expired_lease_is_taken,
    an_expired_lease_is_reported_at_each_tick,
    an_expired_lease_is_never_reported,
    judging("a_living_holder_is_taken_for_dead", {Verdict.ALIVE: Verdict.DEAD}),
    judging("a_far_holder_is_taken_for_dead", {Verdict.UNKNOWN: Verdict.DEAD}),
    judging("a_dead_holder_is_taken_for_unknown", {Verdict.DEAD: Verdict.UNKNOWN}),
    the_token_that_was_seen_does_not_matter,
    a_living_holder_needs_no_name,
    clearing_leaves_the_token,
    a_heartbeat_needs_no_token,
    a_heartbeat_does_nothing,
    nobody_hears_a_cancellation,
    a_run_that_begins_releases_against_the_setting,
    a_tick_releases_against_the_setting,
    a_dead_holder_stands_in_the_way_of_recovery,
    a_death_is_not_counted,
    the_switch_is_asked_at_the_beginning_only,
    protecting_only_disables,
    enabling_needs_no_checks,
    checks_of_long_ago_allow_it,
    a_failed_check_is_overlooked,
    checks_of_one_event_allow_it,
    findings_hold_nobody,
    passing_checks_end_any_hold,
    the_checks_overlook_partial_rows,
    a_rollback_keeps_to_the_bad_build,
]
