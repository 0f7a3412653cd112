"""The rest of the state machine: recovery actions and their undo, the purge, the checks and the global switch."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from pipeline import checks, control, purging, recovery
from pipeline.checks import Bench
from pipeline.errors import Kind
from pipeline.plans import Plan
from pipeline.ways import REFUSED, Way
from tests.support.recovery_machine import (
    GENERATIONS,
    WHO,
    Locks,
    a_build,
    a_generation,
    an_event,
    attempt_to,
    mostly,
)
from tests.support.recovery_model import CHECKS_HOLD, MadePlan, ModelAction, ModelEvent, difference

STALE = (Kind.PLAN_STALE, Kind.UNDO_REFUSED, Kind.USAGE)
a_cleaning = st.sampled_from(["reset", "cleanup", "reset", "cleanup_full"])


class RecoveryMachine(Locks):
    """Runs, deaths, locks, actions, undos, purges, checks and the switch on two events, in any order."""

    # ------------------------------------------------------------------ actions

    @rule(index=an_event, kind=a_cleaning, now=mostly)
    def clean(self, index: int, kind: str, now: bool) -> None:
        event, name = self.events[index], self._name(index)
        make = {
            "cleanup": lambda: self.service.plan_cleanup(name),
            "cleanup_full": lambda: self.service.plan_cleanup(name, full=True),
            "reset": lambda: self.service.plan_reset(name),
        }[kind]
        self._plan(event, make, now=now)

    @precondition(lambda self: self._any("sealed"))
    @rule(index=an_event, place=st.integers(0, 5), now=mostly)
    def restore(self, index: int, place: int, now: bool) -> None:
        event = self.events[index]
        if event.sealed:
            run_id = sorted(event.sealed)[place % len(event.sealed)]
            refused = Kind.USAGE if run_id in event.purged else None
            self._plan(event, lambda: self.service.plan_restore(self._name(index), run_id), expected=refused, now=now)

    @precondition(lambda self: self._any("actions"))
    @rule(index=an_event, place=st.integers(0, 2), sensible=mostly, now=mostly)
    def undo(self, index: int, place: int, sensible: bool, now: bool) -> None:
        """Mostly an action that can be undone."""
        event = self.events[index]
        actions = [action for action in event.actions if event.undoable(action) or not sensible]
        if actions:
            action = actions[-1 - place % len(actions)]
            refused = None if event.undoable(action) else Kind.UNDO_REFUSED
            self._plan(event, lambda: self.service.plan_undo(action.id), expected=refused, undoes=action, now=now)

    @rule(index=an_event, kind=a_cleaning, deaths=st.sampled_from([0, 1, 3]))
    def there_and_back(self, index: int, kind: str, deaths: int) -> None:
        """Whatever an action does, its undo leaves the event as it was: what is counted and held, too."""
        event = self.events[index]
        for _ in range(deaths):
            self.lose_touch(index, "dead", late=False)
            self.tick(release_dead=True)
        taken = len(event.actions)
        self.clean(index, kind, now=True)
        if len(event.actions) > taken and event.undoable(event.actions[-1]):
            before = event.actions[-1].before
            self.undo(index, 0, sensible=True, now=True)
            assert event.now == before

    @rule(index=an_event, deaths=st.booleans())
    def forgive(self, index: int, deaths: bool) -> None:
        """A reset forgets what went wrong, and ends a hold."""
        if deaths:
            self.die_again_and_again(index, 3)
        else:
            self.fail(index, Kind.TIMEOUT, partial=False)
        self.clean(index, "reset", now=True)

    @rule(index=an_event, kind=a_cleaning, published=st.booleans())
    def confirm_too_late(self, index: int, kind: str, published: bool) -> None:
        """Something happens to the event between the plan and its confirmation."""
        waiting = len(self.plans)
        self.clean(index, kind, now=False)
        if published:
            self.ingest(index, 2, "good", again=True)
        else:
            self.fail(index, Kind.TIMEOUT, partial=True)
        if len(self.plans) > waiting:
            self.act_late(0)

    @rule(index=an_event)
    def give_up_an_old_generation(self, index: int) -> None:
        """Serve the oldest of several and give it up: from then on only an undo keeps a purge from it."""
        for number in GENERATIONS:
            self.ingest(index, number, "good", again=False)
        self.restore(index, 0, now=True)
        self.clean(index, "cleanup_full", now=True)

    def _name(self, index: int) -> str:
        return self.events[index].source_event_id

    def _plan(
        self,
        event: ModelEvent,
        make: Callable[[], Plan],
        *,
        now: bool,
        expected: Kind | None = None,
        undoes: ModelAction | None = None,
    ) -> None:
        """Plan at the front door, which releases a dead holder first; carry it out now, or keep it for later."""
        if event.running is not None:
            if event.running.life == "dead":
                event.dies("lock_released")
            else:
                expected = Kind.LOCK_HELD
        plan, refused = attempt_to(make)
        assert refused == expected
        if plan is not None:
            made = self._made(event, plan, undoes)
            assert plan.changes_anything == (bool(made.expected) or event.changes_state(made.expected))
            if now:
                self._act(made)
            else:
                self.plans.append(made)

    def _made(self, event: ModelEvent, plan: Plan, undoes: ModelAction | None) -> MadePlan:
        return MadePlan(plan, event, event.version, difference(event.now, event.after(plan, undoes)), undoes)

    @precondition(lambda self: bool(getattr(self, "plans", ())))
    @rule(place=st.integers(0, 2))
    def act_late(self, place: int) -> None:
        """Carry out a plan that was made earlier; it may be out of date."""
        self._act(self.plans.pop(-1 - place % len(self.plans)))

    def _act(self, made: MadePlan) -> None:
        event, plan = made.event, made.plan
        after = event.after(plan, made.undoes)
        stale = made.version != event.version or made.expected != difference(event.now, after)
        gone = plan.target_run_id in event.purged or (made.undoes is not None and made.undoes.closed)
        action, refused = attempt_to(lambda: recovery.act(self.store, plan, who=WHO))
        if not plan.changes_anything:
            assert refused is Kind.USAGE
        elif event.running is not None:
            assert refused is Kind.LOCK_HELD
        elif stale or gone:
            assert refused in STALE
        else:
            assert refused is None
        if action is not None:
            taken = ModelAction(action.id, action.run_id, plan.kind, event.now, after, made.undoes)
            event.acts(taken)
            for other in event.actions[-3:]:
                assert (recovery.get_action(self.store, other.id).undo_refused is None) == event.undoable(other)

    @rule(build=a_build)
    def roll_back(self, build: str) -> None:
        """All that a build published goes back to what was before it."""
        expected, busy = {}, set()
        known = any(made_by == build for event in self.events for _, made_by in event.sealed.values())
        for event in self.events:
            if known and event.now.served is not None and event.sealed[event.now.served][1] == build:
                if event.running is not None and event.running.life != "dead":
                    busy.add(event.source_event_id)
                else:
                    expected[event.event_id] = event
        self._released_by_a_rollback(expected, busy)
        rollback, refused = attempt_to(lambda: self.service.plan_restore_build(build))
        assert (refused is Kind.USAGE) == (not known)
        if rollback is not None:
            assert {plan.event_id for plan in rollback.plans} == set(expected)
            assert {one.event.partition("/")[2] for one in rollback.refused} == busy
            for plan in rollback.plans:
                event = expected[plan.event_id]
                assert plan.target_run_id == event.before_build(build)
                self._act(self._made(event, plan, None))

    @rule(index=an_event)
    def roll_two_generations_back(self, index: int) -> None:
        """A bad build published twice: what it is taken back to is what the good one had published before."""
        for number, build in ((1, "good"), (2, "bad"), (3, "bad")):
            self.ingest(index, number, build, again=True)
        self.roll_back("bad")

    @rule(index=an_event)
    def check_what_another_one_left(self, index: int) -> None:
        """The checks of one event pass: that says nothing of the other, which failed them."""
        self.fail(1 - index, Kind.TIMEOUT, partial=True)
        self.disable(protect=False, closed=True)
        self.check(None)
        self.check(index)
        self.enable()
        self.mend_and_enable()

    def _released_by_a_rollback(self, expected: dict[int, ModelEvent], busy: set[str]) -> None:
        """Where the lock of a dead holder stands in the way, a tick is due: it looks at all events."""
        if any(event.running is not None for event in expected.values()) or busy:
            for event in self.events:
                attempt = event.running
                if attempt is not None and attempt.life == "dead":
                    event.dies("lock_released")
                elif attempt is not None and attempt.late and not attempt.reported:
                    attempt.reported = True
                    event.warnings["lease_expired"] += 1

    # ------------------------------------------------------------------ purge

    @rule(keep_undo=st.sampled_from([0, 30]))
    def purge(self, keep_undo: int) -> None:
        self._next_millisecond()
        plan = purging.plan_purge(self.store, older_than_days=0, keep_undo_days=keep_undo)
        report = purging.purge(self.store, plan, who=WHO)
        expected: set[int] = set()
        for event in self.events:
            if event.running is not None:
                continue
            if keep_undo == 0:
                for action in event.actions:
                    action.closed = action.closed or action.kind != "undo"
            gone = event.superseded(keeps_undo=keep_undo > 0)
            event.purged |= gone
            expected |= gone
        assert set(report.runs) == expected

    def _next_millisecond(self) -> None:
        """What happens from now on is later than what happened, by the database's clock too."""
        start = self.store.clock_ms()
        while self.store.clock_ms() == start:
            pass

    # ------------------------------------------------------------------ checks, switch

    @rule(index=st.sampled_from([0, 1, None, None]))
    def check(self, index: int | None) -> None:
        """Partial rows are all that can ever be wrong. Whoever has some is held; one that passes alone is freed."""
        scope = self.events if index is None else [self.events[index]]
        failing = {event.event_id: event for event in scope if event.now.partial}
        report = checks.check(Bench(self.store), None if index is None else scope[0].event_id, asked_by=WHO)
        errors = [finding for finding in report.findings if finding.severity == "error"]
        assert {(finding.event_id, finding.check) for finding in errors} == {(one, "partial-rows") for one in failing}
        assert report.passed == (not failing)
        self.switch.checked(passed=report.passed, everything=index is None)
        for finding in errors:
            event = failing.pop(finding.event_id or 0, None)
            if event is not None and event.now.held != CHECKS_HOLD + finding.message:
                event.holds(CHECKS_HOLD + finding.message)
        if index is not None and report.passed and (scope[0].now.held or "").startswith(CHECKS_HOLD):
            scope[0].change(held=None, lost_runs=0)

    @rule(index=an_event, alone=st.booleans(), end=st.sampled_from(["published", "failed", "died"]))
    def check_meanwhile(self, index: int, alone: bool, end: str) -> None:
        """What an earlier run left behind is found while the next one is under way."""
        self.fail(index, Kind.FIELD_MISSING, partial=True)
        self.begin(index, "cli", release_dead=True)
        self.check(index if alone else None)
        if end == "published":
            self.ingest(index, 1, "good", again=False)
        elif end == "failed":
            self.fail(index, Kind.TIMEOUT, partial=False)
        else:
            self.lose_touch(index, "dead", late=False)
            self.tick(release_dead=True)

    @rule(protect=st.booleans(), closed=mostly)
    def disable(self, protect: bool, closed: bool) -> None:
        """Mostly not for long: little happens then."""
        self._next_millisecond()
        control.disable(self.store, reason="tested", who=WHO, protect=protect)
        self.switch.turn("protected" if protect else "disabled")
        if not closed:
            self.mend_and_enable()

    @precondition(lambda self: getattr(self, "switch", None) is not None and self.switch.mode != "enabled")
    @rule()
    def enable(self) -> None:
        state, refused = attempt_to(lambda: control.enable(self.store, who=WHO))
        assert refused is (None if self.switch.may_enable else Kind.CHECKS_FAILED)
        if state is not None and self.switch.mode != "enabled":
            self.switch.turn("enabled")

    @precondition(lambda self: getattr(self, "switch", None) is not None and self.switch.mode != "enabled")
    @rule()
    def mend_and_enable(self) -> None:
        """Recovery works while ingestion is disabled; then the checks pass, and it is enabled."""
        for index, event in enumerate(self.events):
            if event.running is None and event.now.partial:
                self.clean(index, "cleanup", now=True)
        self.check(None)
        self.enable()

    @rule(index=an_event, alone=st.booleans())
    def spoil_what_was_passed(self, index: int, alone: bool) -> None:
        """The checks pass while it is disabled; then a run that was still under way leaves something behind."""
        if self._under_way(index) is not None:
            self.disable(protect=False, closed=True)
            self.check(None)
            self.fail(index, Kind.DISABLED, partial=True)
            self.check(index if alone else None)
            self.enable()
            self.mend_and_enable()

    @rule(way=st.sampled_from(Way), moment=st.sampled_from(control.Moment))
    def ask_the_switch(self, way: Way, moment: control.Moment) -> None:
        with self.store.write():
            _, refused = attempt_to(lambda: control.admit(self.store, way, moment))
        assert refused is (Kind.DISABLED if way in REFUSED[self.switch.mode] else None)
        state = control.show(self.store)
        assert (state.mode, state.may_enable) == (self.switch.mode, self.switch.may_enable)

    @rule(index=an_event, number=a_generation)
    def publish_through_the_switch(self, index: int, number: int) -> None:
        """It is turned off while a run is about to publish: nothing is published, and no attempt counted."""
        event = self._under_way(index)
        if event is not None:
            counted = (event.now.failed_attempts, event.now.lost_runs)
            self.disable(protect=False, closed=True)
            self.ingest(index, number, "good", again=True)
            assert (event.now.failed_attempts, event.now.lost_runs) == counted
            self.mend_and_enable()
