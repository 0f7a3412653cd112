"""Recovery: plan → confirm → act → undo. Each action is a run of its own, and one leased, fenced transaction.

A plan says exactly which rows, runs and columns change, and touches nothing. `act` takes the event's lease, makes the
plan again and refuses where the event is not what was planned on; then it walks the legal arrows, changes what the plan
says and records the action with all that its undo needs. Other events are never touched.
"""

from __future__ import annotations

import msgspec
from msgspec import Struct

from pipeline import leases, planning
from pipeline.errors import Kind, StateError
from pipeline.holders import encode_holder, this_holder
from pipeline.observe import Bus, Report
from pipeline.planning import Draft, Wish
from pipeline.plans import Plan, RefusedPlan, Rollback, said
from pipeline.runs import held
from pipeline.store import actions as action_rows
from pipeline.store import journal, partial_rows
from pipeline.store import leases as lease_rows
from pipeline.store import runs as run_rows
from pipeline.store.actions import ActionRow
from pipeline.store.database import Store

RUN_KINDS = {"cleanup": "cleanup", "cleanup_full": "cleanup", "reset": "reset", "restore": "restore", "undo": "restore"}
OUTCOMES = {"cleanup": "cleaned", "reset": "reset", "restore": "restored"}  # by the run's kind


class Action(Struct, frozen=True, kw_only=True):
    """A recovery action that was taken."""

    id: int
    kind: str  # cleanup, cleanup_full, reset, restore, undo
    event: str  # slug/id
    event_name: str | None
    run_id: int  # the run that carried it out
    who: str
    reason: str
    at: int  # UTC milliseconds
    batch: str | None  # the same for actions that were confirmed together
    undoes: int | None
    undone_by: int | None
    undo_refused: str | None  # why it cannot be undone (any more); None: it can
    plan: Plan  # as it was carried out


# ---------------------------------------------------------------- plan


def plan_cleanup(store: Store, event_id: int, *, full: bool = False) -> Plan:
    """Remove rows of the event's unsealed runs, and its orphans; with `full`, give up all that it serves too.

    Raises:
        StateError: LOCK_HELD, the event is being worked on; UNKNOWN_EVENT. StoreError.
    """
    return planning.make(store, Wish(kind="cleanup_full" if full else "cleanup", event_id=event_id)).plan


def plan_reset(store: Store, event_id: int) -> Plan:
    """A full cleanup that also clears the count of failed attempts, the retry that is due and the hold.

    Raises:
        StateError: LOCK_HELD, UNKNOWN_EVENT. StoreError.
    """
    return planning.make(store, Wish(kind="reset", event_id=event_id)).plan


def plan_restore(store: Store, event_id: int, run_id: int) -> Plan:
    """Serve an older sealed run of the event.

    Raises:
        StateError: USAGE, the run cannot be served; LOCK_HELD, UNKNOWN_EVENT. StoreError.
    """
    return planning.make(store, Wish(kind="restore", event_id=event_id, target_run_id=run_id)).plan


def plan_restore_build(store: Store, parser_build: str) -> Rollback:
    """Every event that serves a run of this build goes back to its newest run before it, of another build, or to none.

    Args:
        parser_build: the build, or the beginning of one.
    Raises:
        StateError: USAGE, there is no such build, or several. StoreError.
    """
    plans: list[Plan] = []
    refused: list[RefusedPlan] = []
    with store.read():
        build = _known_build(store, parser_build)
        for event_id in action_rows.events_of_build(store, build):
            try:
                plans.append(planning.make(store, Wish(kind="restore", event_id=event_id, parser_build=build)).plan)
            except StateError as error:
                refused.append(RefusedPlan(str(error.details.get("event", event_id)), str(error.kind), error.message))
    return Rollback(build, tuple(plans), tuple(refused))


def plan_undo(store: Store, action_id: int) -> Plan:
    """Take an action back: the columns that it changed get their old values, the rows that it removed return.

    Raises:
        StateError: UNDO_REFUSED, saying why and naming the newer run; UNKNOWN, no such action; LOCK_HELD. StoreError.
    """
    row = planning.require_action(store, action_id)
    return planning.make(store, Wish(kind="undo", event_id=row.event_id, undoes=action_id)).plan


# ---------------------------------------------------------------- act, undo


def act(
    store: Store,
    plan: Plan,
    *,
    who: str,
    reason: str = "",
    trigger: str = "cli",
    batch: str | None = None,
    bus: Bus | None = None,
) -> Action:
    """Carry a plan out, whole or not at all; subscribers of `bus` hear of it once it is committed.

    Raises:
        StateError: PLAN_STALE, the event changed since the plan; LOCK_HELD; USAGE, the plan changes nothing; and what
            planning raises. StoreError. Nothing was changed then.
    """
    if not plan.changes_anything:
        raise StateError(Kind.USAGE, f"there is nothing to do for {plan.event}", event=plan.event)
    holder = encode_holder(this_holder())
    run_kind = RUN_KINDS[plan.kind]
    from_run_id, to_run_id = served_runs(plan)
    with store.write():
        if not lease_rows.line_up(store, plan.event_id):
            raise held(store, planning.require_event(store, plan.event_id))
        run_id = run_rows.insert_run(
            store,
            plan.event_id,
            kind=run_kind,
            trigger=trigger,
            holder_json=holder,
            restored_run_id=to_run_id if run_kind == "restore" else None,
        )
        token = lease_rows.acquire(store, plan.event_id, run_id, holder, leases.TTL_MS)
        assert token is not None  # locked since it was seen to be free
        draft = _plan_again(store, plan, run_id)
        _change(store, draft)
        run_rows.finish_run(store, run_id, OUTCOMES[run_kind])
        action_id = action_rows.insert_action(
            store,
            event_id=plan.event_id,
            run_id=run_id,
            kind=plan.kind,
            who=who,
            reason=reason.strip(),
            batch=batch,
            undoes=plan.undoes,
            from_run_id=from_run_id,
            to_run_id=to_run_id,
            plan=msgspec.json.encode(plan).decode(),
            kept=msgspec.json.encode(draft.removed).decode() if plan.removes else None,
        )
        row = planning.require_action(store, action_id)
        entry = _entry(row, plan)
        journal.append(store, [entry])
        lease_rows.release(store, lease_rows.Fence(plan.event_id, run_id, token))
        action = _action(store, row)
    if bus is not None:
        bus.publish(Report(entry.name, entry.message, event_id=plan.event_id, run_id=run_id))
    return action


def undo(store: Store, action_id: int, *, who: str, reason: str = "", trigger: str = "cli") -> Action:
    """Plan an undo and carry it out. Raises as `plan_undo` and `act`."""
    return act(store, plan_undo(store, action_id), who=who, reason=reason, trigger=trigger)


def served_runs(plan: Plan) -> tuple[int | None, int | None]:
    """The runs that a plan's event serves before and after it."""
    pointer = next((change for change in plan.changes if change.field == "current_run_id"), None)
    if pointer is None:
        return plan.based_on.current_run_id, plan.based_on.current_run_id
    return plan.based_on.current_run_id, None if pointer.after is None else int(pointer.after)


# ---------------------------------------------------------------- what was done


def get_action(store: Store, action_id: int) -> Action:
    """One action. Raises StateError UNKNOWN where there is none."""
    with store.read():
        return _action(store, planning.require_action(store, action_id))


def list_actions(store: Store, event_id: int | None = None, *, limit: int = 50) -> tuple[Action, ...]:
    """Actions on one event or on all, newest first."""
    with store.read():
        return tuple(_action(store, row) for row in action_rows.list_actions(store, event_id, limit=limit))


# ---------------------------------------------------------------- inside the transaction


def _plan_again(store: Store, plan: Plan, run_id: int) -> Draft:
    """The plan as it would be made now. Raises StateError PLAN_STALE where it is not the one that was confirmed."""
    wish = Wish(
        kind=plan.kind,
        event_id=plan.event_id,
        target_run_id=plan.target_run_id,
        parser_build=plan.parser_build,
        undoes=plan.undoes,
    )
    draft = planning.make(store, wish, own_run=run_id)
    if draft.plan != plan:
        was, found = plan.based_on, draft.plan.based_on
        raise StateError(
            Kind.PLAN_STALE,
            f"{plan.event} changed since the {plan.kind.replace('_', ' ')} was planned",
            event=plan.event,
            planned_on=None if was == found else msgspec.to_builtins(was),
            found=None if was == found else msgspec.to_builtins(found),
        )
    return draft


def _change(store: Store, draft: Draft) -> None:
    plan = draft.plan
    before, after = plan.steps[: plan.steps.index("running") + 1], plan.steps[plan.steps.index("running") + 1 :]
    for state in before:
        run_rows.transition(store, plan.event_id, state)
    for rows in (draft.removed.orphans, draft.removed.partial):
        gone = partial_rows.remove(store, rows)
        if gone != rows.counts():
            raise StateError(Kind.PLAN_STALE, f"rows of {plan.event} changed at this moment", event=plan.event)
    partial_rows.put_back(store, draft.returned)
    fields = {change.field: change.after for change in plan.changes if change.field != "state"}
    if fields:
        action_rows.set_event(store, plan.event_id, **fields)
    for state in after:
        run_rows.transition(store, plan.event_id, state)


def _entry(row: ActionRow, plan: Plan) -> journal.JournalEntry:
    reason = f": {row.reason}" if row.reason else ""
    facts = {
        "action": row.id,
        "kind": row.kind,
        "who": row.who,
        "reason": row.reason,
        "undoes": row.undoes,
        "batch": row.batch,
        "from_run_id": row.from_run_id,
        "to_run_id": row.to_run_id,
        "removes": plan.removes,
        "puts_back": plan.puts_back,
    }
    return journal.JournalEntry(
        entry_kind="action",
        name="event_recovery",
        message=f"{said(plan)} of {plan.event} by {row.who}{reason} (action {row.id})",
        event_id=row.event_id,
        run_id=row.run_id,
        fields=msgspec.json.encode(facts).decode(),
    )


def _known_build(store: Store, parser_build: str) -> str:
    """The one build that is, or begins with, what was given."""
    known = action_rows.builds(store)
    if parser_build in known:
        return parser_build
    matching = [build for build in known if parser_build and build.startswith(parser_build)]
    if len(matching) == 1:
        return matching[0]
    found = "there is none" if not matching else f"there are {len(matching)}"
    raise StateError(
        Kind.USAGE,
        f"a parser build was expected, or the beginning of one: of {parser_build!r} {found}",
        builds=[f"{build}: {count} events serve its runs" for build, count in known.items()],
    )


def _action(store: Store, row: ActionRow) -> Action:
    obstacle = planning.undo_obstacle(store, row)
    return Action(
        id=row.id,
        kind=row.kind,
        event=f"{row.track_slug}/{row.source_event_id}",
        event_name=row.event_name,
        run_id=row.run_id,
        who=row.who,
        reason=row.reason,
        at=row.at,
        batch=row.batch,
        undoes=row.undoes,
        undone_by=row.undone_by,
        undo_refused=None if obstacle is None else obstacle.message,
        plan=msgspec.json.decode(row.plan, type=Plan),
    )
