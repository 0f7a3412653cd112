"""A simple model of what recovery promises, and a state machine that holds the real thing to it, step by step.

The model knows nothing of rows, leases or SQL: an event serves a generation or none, failed runs leave partial rows
behind or not, and an action remembers what was before it. After each step it is compared with all the database says.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pipeline import attempts, control, leases, purging, recovery
from pipeline import document as documents
from pipeline.errors import FetchError, Kind, ParseError, StateError
from pipeline.plans import Plan
from pipeline.store import control as switch
from pipeline.store import events, publish, runs
from pipeline.store import leases as lease_rows
from pipeline.store.database import Store
from pipeline.store.leases import Fence
from pipeline.store.partial_rows import of_unsealed_runs
from tests.support.generations import HOLDER, SLUG, TTL_MS
from tests.support.recovering import exported, generation

GENERATIONS = (1, 2, 3)
BUILDS = ("good", "bad")
EVENTS = (0, 1)
an_event, a_generation, a_build = st.sampled_from(EVENTS), st.sampled_from(GENERATIONS), st.sampled_from(BUILDS)
mostly = st.sampled_from([True, True, False])
REFUSALS = (Kind.PLAN_STALE, Kind.UNDO_REFUSED, Kind.USAGE)


@lru_cache(maxsize=64)
def expected_export(number: int, event_id: str) -> bytes:
    return documents.encode(generation(number, event_id))


@dataclass
class Condition:
    """What an action may change and an undo has to bring back."""

    served: int | None = None  # run id
    partial: frozenset[int] = frozenset()  # unsealed runs that left rows
    failed_attempts: int = 0
    lost_runs: int = 0
    due: bool = False  # a retry
    held: bool = False

    def counts(self) -> tuple[int, int, bool, bool]:
        return (self.failed_attempts, self.lost_runs, self.due, self.held)


@dataclass
class ModelAction:
    """An action that was taken."""

    id: int
    run_id: int
    kind: str
    before: Condition
    after: Condition
    undoes: ModelAction | None = None
    undone: bool = False
    closed: bool = False

    @property
    def open(self) -> bool:
        return self.kind != "undo" and not self.undone and not self.closed

    @property
    def has_something_to_undo(self) -> bool:
        return self.before != self.after


@dataclass
class ModelEvent:
    """One event as the model sees it."""

    source_event_id: str
    event_id: int = 0
    state: str = "idle"
    now: Condition = field(default_factory=Condition)
    running: Fence | None = None
    lost: list[Fence] = field(default_factory=list)  # fences of runs whose lock was cleared
    sealed: dict[int, tuple[int, str]] = field(default_factory=dict)  # run → generation, build
    purged: set[int] = field(default_factory=set)
    actions: list[ModelAction] = field(default_factory=list)
    effective: list[tuple[int, ModelAction | None]] = field(default_factory=list)  # runs that changed data
    version: int = 0  # raised by everything that a plan must notice

    def ends(self) -> str:
        return "complete" if self.now.served is not None else "idle"

    def newer_change(self, action: ModelAction) -> bool:
        return any(
            run_id > action.run_id and (by is None or (by.kind != "undo" and not by.undone))
            for run_id, by in self.effective
        )

    def undoable(self, action: ModelAction) -> bool:
        return action.open and action.has_something_to_undo and not self.newer_change(action)


@dataclass
class MadePlan:
    """A plan that was made earlier, and on what."""

    plan: Plan
    event: ModelEvent
    version: int
    undoes: ModelAction | None


class RecoveryMachine(RuleBasedStateMachine):
    """Runs, deaths, actions, undos, purges and the switch on two events, in any order."""

    open_store: Callable[[], Store]
    close_store: Callable[[Store], None]
    next_event_id = 1

    @initialize()
    def start(self) -> None:
        self.store = type(self).open_store()
        self.plans: list[MadePlan] = []
        self.disabled = False
        switch.change(self.store, control.ENABLED, None, "tester")
        self.events = [ModelEvent(self._fresh_id()) for _ in EVENTS]
        for event in self.events:
            event.event_id = events.add_event(self.store, SLUG, event.source_event_id).id

    @classmethod
    def _fresh_id(cls) -> str:
        RecoveryMachine.next_event_id += 1
        return str(RecoveryMachine.next_event_id)

    def teardown(self) -> None:
        if hasattr(self, "store"):
            for event in self.events:
                if event.running is not None:
                    leases.clear(self.store, event.event_id, reason="the example ends", who="tester")
            type(self).close_store(self.store)

    # ------------------------------------------------------------------ runs

    @rule(index=an_event, trigger=st.sampled_from(["cli", "schedule"]))
    def begin(self, index: int, trigger: str) -> None:
        event = self.events[index]
        fence, refused = _try(lambda: self._begin(event, trigger))
        assert refused == self._begin_refused(event, trigger)
        if fence is None:
            return
        if event.now.held:
            event.now = _changed(event, held=False, lost_runs=0)
        event.running, event.state = fence, "running"
        event.version += 1

    def _begin_refused(self, event: ModelEvent, trigger: str) -> Kind | None:
        if self.disabled:
            return Kind.DISABLED
        if event.running is not None:
            return Kind.LOCK_HELD
        return Kind.EVENT_HELD if event.now.held and trigger == "schedule" else None

    def _begin(self, event: ModelEvent, trigger: str) -> Fence:
        store = self.store
        with store.write():
            control.admit(store, control.run_way("ingest"))
            run_id = runs.insert_run(store, event.event_id, trigger=trigger, holder_json=HOLDER)
            token = lease_rows.acquire(store, event.event_id, run_id, HOLDER, TTL_MS)
            if token is None:
                raise StateError(Kind.LOCK_HELD, "held")
            row = events.get_event(store, event.event_id)
            assert row is not None
            attempts.pass_hold(store, row, run_id, trigger=trigger)
            if row.state == "failed":
                runs.transition(store, event.event_id, "idle")
            runs.transition(store, event.event_id, "running")
        return Fence(event.event_id, run_id, token)

    @rule(index=an_event, number=a_generation, build=a_build)
    def ingest(self, index: int, number: int, build: str) -> None:
        """A whole ingestion; where one is under way, that one publishes."""
        if self.events[index].running is None:
            self.begin(index, "cli")
        event = self.events[index]
        fence, event.running = event.running, None
        if fence is None:
            return  # the switch refused it
        self._publish(event, fence, number, build)
        event.sealed[fence.run_id] = (number, build)
        event.effective.append((fence.run_id, None))
        event.now = _changed(event, served=fence.run_id, failed_attempts=0, lost_runs=0, due=False)
        event.state = "complete"
        event.version += 1

    def _publish(self, event: ModelEvent, fence: Fence, number: int, build: str) -> None:
        document = generation(number, event.source_event_id)
        with self.store.write():
            lease_rows.lock_fence(self.store, fence)
            manifest = publish.insert_rows(self.store, fence.run_id, document)
            publish.seal(self.store, fence.run_id, manifest, documents.sha256(document), build)
            publish.serve(self.store, fence.event_id, fence.run_id)
            runs.transition(self.store, fence.event_id, "complete")
            attempts.record(self.store, fence.event_id, None)
            runs.finish_run(self.store, fence.run_id, "published")
            lease_rows.release(self.store, fence)

    @rule(index=an_event, partial=st.booleans(), retryable=st.booleans())
    def fail(self, index: int, partial: bool, retryable: bool) -> None:
        """A run fails, and may leave rows against the rules."""
        if self.events[index].running is None:
            self.begin(index, "cli")
        event = self.events[index]
        fence, event.running = event.running, None
        if fence is None:
            return
        error = FetchError(Kind.TIMEOUT, "slow") if retryable else ParseError(Kind.FIELD_MISSING, "gone")
        if partial:
            publish.insert_rows(self.store, fence.run_id, generation(1, event.source_event_id))
        with self.store.write():
            lease_rows.lock_fence(self.store, fence)
            runs.transition(self.store, fence.event_id, "failed")
            attempts.record(self.store, fence.event_id, error.envelope())
            runs.finish_run(self.store, fence.run_id, "failed")
            lease_rows.release(self.store, fence)
        event.now = _changed(
            event,
            partial=event.now.partial | ({fence.run_id} if partial else set()),
            failed_attempts=event.now.failed_attempts + 1,
            lost_runs=0,
            due=retryable,
        )
        event.state = "failed"
        event.version += 1

    @rule(index=an_event)
    def die(self, index: int) -> None:
        """The holder is gone; somebody clears its lock."""
        if self.events[index].running is None:
            self.begin(index, "schedule")
        event = self.events[index]
        fence, event.running = event.running, None
        if fence is None:
            return
        leases.clear(self.store, event.event_id, reason="gone", who="tester")
        event.lost.append(fence)
        lost = event.now.lost_runs + 1
        held = event.now.held or lost >= attempts.LOST_RUNS_HELD
        event.now = _changed(
            event, failed_attempts=event.now.failed_attempts + 1, lost_runs=lost, due=not held, held=held
        )
        event.state = "failed"
        event.version += 1

    @rule(index=an_event, times=st.integers(2, 3))
    def die_again_and_again(self, index: int, times: int) -> None:
        for _ in range(times):
            self.die(index)

    @precondition(lambda self: any(event.lost for event in getattr(self, "events", ())))
    @rule(index=an_event, number=a_generation)
    def wake_a_zombie(self, index: int, number: int) -> None:
        """A run whose lock was cleared goes on, and changes nothing."""
        event = self.events[index]
        for fence in event.lost:
            assert _try(lambda fence=fence: self._publish(event, fence, number, "zombie"))[1] is Kind.LEASE_LOST  # type: ignore[misc]

    # ------------------------------------------------------------------ actions

    @rule(index=an_event, kind=st.sampled_from(["cleanup", "cleanup_full", "reset"]), now=mostly)
    def clean(self, index: int, kind: str, now: bool) -> None:
        event_id = self.events[index].event_id
        make = {
            "cleanup": lambda: recovery.plan_cleanup(self.store, event_id),
            "cleanup_full": lambda: recovery.plan_cleanup(self.store, event_id, full=True),
            "reset": lambda: recovery.plan_reset(self.store, event_id),
        }[kind]
        self._plan(self.events[index], make, now=now)

    @precondition(lambda self: any(event.sealed for event in getattr(self, "events", ())))
    @rule(index=an_event, place=st.integers(0, 5), now=mostly)
    def restore(self, index: int, place: int, now: bool) -> None:
        event = self.events[index]
        if not event.sealed:
            return
        run_id = sorted(event.sealed)[place % len(event.sealed)]
        refused = run_id in event.purged and event.running is None
        self._plan(
            event,
            lambda: recovery.plan_restore(self.store, event.event_id, run_id),
            expected=Kind.USAGE if refused else None,
            now=now,
        )

    @precondition(lambda self: any(event.actions for event in getattr(self, "events", ())))
    @rule(index=an_event, place=st.integers(0, 2), sensible=mostly, now=mostly)
    def undo(self, index: int, place: int, sensible: bool, now: bool) -> None:
        """Mostly an action that can be undone."""
        event = self.events[index]
        actions = [action for action in event.actions if event.undoable(action) or not sensible]
        if not actions:
            return
        action = actions[-1 - place % len(actions)]
        refused = event.running is None and not event.undoable(action)
        self._plan(
            event,
            lambda: recovery.plan_undo(self.store, action.id),
            expected=Kind.UNDO_REFUSED if refused else None,
            undoes=action,
            now=now,
        )

    @rule(index=an_event, kind=st.sampled_from(["cleanup", "cleanup_full", "reset"]))
    def there_and_back(self, index: int, kind: str) -> None:
        """Whatever an action does, its undo leaves the event as it was."""
        event = self.events[index]
        before, taken = event.now, len(event.actions)
        self.clean(index, kind, now=True)
        if len(event.actions) > taken and event.undoable(event.actions[-1]):
            self.undo(index, 0, sensible=True, now=True)
            assert event.now == before

    @rule(index=an_event, kind=st.sampled_from(["cleanup", "cleanup_full", "reset"]), published=st.booleans())
    def confirm_too_late(self, index: int, kind: str, published: bool) -> None:
        """Something happens to the event between the plan and its confirmation."""
        waiting = len(self.plans)
        self.clean(index, kind, now=False)
        if published:
            self.ingest(index, 2, "good")
        else:
            self.fail(index, partial=True, retryable=True)
        if len(self.plans) > waiting:
            self.act_late(0)

    @rule(index=an_event)
    def give_up_an_old_generation(self, index: int) -> None:
        """Serve the oldest of several and give it up: from then on only an undo keeps a purge from it."""
        for number in GENERATIONS:
            self.ingest(index, number, "good")
        self.restore(index, 0, now=True)
        self.clean(index, "cleanup_full", now=True)

    def _plan(
        self,
        event: ModelEvent,
        make: Callable[[], Plan],
        *,
        now: bool,
        expected: Kind | None = None,
        undoes: ModelAction | None = None,
    ) -> None:
        if event.running is not None:
            expected = Kind.LOCK_HELD
        plan, refused = _try(make)
        assert refused == expected
        if plan is not None:
            made = MadePlan(plan, event, event.version, undoes)
            if now:
                self._act(made)
            else:
                self.plans.append(made)

    @precondition(lambda self: bool(getattr(self, "plans", ())))
    @rule(place=st.integers(0, 2))
    def act_late(self, place: int) -> None:
        """Carry out a plan that was made earlier; it may be out of date."""
        self._act(self.plans.pop(-1 - place % len(self.plans)))

    def _act(self, made: MadePlan) -> None:
        event, plan = made.event, made.plan
        purged = plan.target_run_id in event.purged or (made.undoes is not None and made.undoes.closed)
        stale = purged or made.version != event.version
        after = self._after(made)
        action, refused = _try(lambda: recovery.act(self.store, plan, who="tester"))
        if action is None:
            if not plan.changes_anything:
                assert refused is Kind.USAGE
                assert stale or (after == event.now and event.state == event.ends())
            elif event.running is not None:
                assert refused is Kind.LOCK_HELD
            else:
                assert stale
                assert refused in REFUSALS
            return
        assert not stale
        assert event.running is None
        taken = ModelAction(action.id, action.run_id, plan.kind, event.now, after, made.undoes)
        if made.undoes is not None:
            assert event.undoable(made.undoes)
            made.undoes.undone = True
        event.actions.append(taken)
        event.effective.append((action.run_id, taken))
        event.now = after
        event.state = event.ends()
        event.version += 1
        for other in event.actions[-3:]:
            other_action = recovery.get_action(self.store, other.id)
            assert (other_action.undo_refused is None) == event.undoable(other)

    def _after(self, made: MadePlan) -> Condition:
        """What the model says that the action comes to."""
        now, plan = made.event.now, made.plan
        if plan.kind == "restore":
            return _changed(made.event, served=plan.target_run_id)
        if plan.kind == "undo":
            assert made.undoes is not None
            return _undone(now, made.undoes)
        after = replace(now)
        after.partial = frozenset()
        if plan.kind in ("cleanup_full", "reset"):
            after.served = None
        if plan.kind == "reset":
            after.failed_attempts, after.lost_runs, after.due, after.held = 0, 0, False, False
        return after

    # ------------------------------------------------------------------ purge, switch

    @rule(keep_undo=st.sampled_from([0, 30]))
    def purge(self, keep_undo: int) -> None:
        start = self.store.clock_ms()
        while self.store.clock_ms() == start:
            pass
        plan = purging.plan_purge(self.store, older_than_days=0, keep_undo_days=keep_undo)
        report = purging.purge(self.store, plan, who="tester")
        for event in self.events:
            if event.running is None and keep_undo == 0:
                for action in event.actions:
                    action.closed = action.closed or action.kind != "undo"
            expected = self._superseded(event, keep_undo)
            gone = {run_id for run_id in report.runs if run_id in event.sealed}
            assert gone == (set() if event.running else expected)
            event.purged |= gone

    def _superseded(self, event: ModelEvent, keep_undo: int) -> set[int]:
        there = sorted(set(event.sealed) - event.purged)
        needed = {action.before.served for action in event.actions if action.open and keep_undo}
        return {run_id for run_id in there[:-2] if run_id != event.now.served and run_id not in needed}

    @rule(disabled=st.sampled_from([False, False, False, True]))
    def switch(self, disabled: bool) -> None:
        mode = control.DISABLED if disabled else control.ENABLED
        switch.change(self.store, mode, "tested" if disabled else None, "tester")
        self.disabled = disabled

    # ------------------------------------------------------------------ what must hold

    @invariant()
    def the_database_is_what_the_model_says(self) -> None:
        for event in getattr(self, "events", []):
            row = events.get_event(self.store, event.event_id)
            assert row is not None
            now = event.now
            assert row.state == event.state
            assert row.current_run_id == now.served
            assert row.ingest_depth == ("none" if now.served is None else "laps_full")
            assert (
                row.failed_attempts,
                row.lost_runs,
                row.retry_at is not None,
                row.held_at is not None,
            ) == now.counts()
            document = exported(self.store, event.event_id)
            if now.served is None:
                assert document is None
            else:
                assert document == expected_export(event.sealed[now.served][0], event.source_event_id)
            there = of_unsealed_runs(self.store, event.event_id)
            assert set(there.by_run) == set(now.partial)
            lease = lease_rows.get_lease(self.store, event.event_id)
            assert (lease is not None and lease.run_id is not None) == (event.running is not None)


Result = TypeVar("Result")


def _try(call: Callable[[], Result]) -> tuple[Result | None, Kind | None]:
    """The result of a call, or what it was refused with."""
    try:
        return call(), None
    except StateError as error:
        return None, error.kind


def _changed(event: ModelEvent, **changes: Any) -> Condition:
    return replace(event.now, **changes)


def _undone(now: Condition, action: ModelAction) -> Condition:
    """Only what the action changed goes back."""
    after = replace(now)
    for name in ("served", "failed_attempts", "lost_runs", "due", "held"):
        if getattr(action.before, name) != getattr(action.after, name):
            setattr(after, name, getattr(action.before, name))
    if after.held:
        after.due = False
    after.partial = now.partial | (action.before.partial - action.after.partial)
    return after
