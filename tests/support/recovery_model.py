"""What runs, locks, actions and the switch promise, without a row of SQL: a model for the real thing to be held to.

An event serves a generation or none, failed runs leave partial rows behind or not, an attempt holds the event until it
ends or somebody ends it, and an action remembers what was before it. Nothing here asks a database.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any

from pipeline.attempts import LOST_RUNS_HELD
from pipeline.errors import Kind
from pipeline.plans import Plan
from pipeline.runs import Run

GAVE_UP = f"{LOST_RUNS_HELD} runs in a row ended without saying how"
CHECKS_HOLD = "checks failed (partial-rows): "
RUN_ENDS = {
    "cleanup": "cleaned",
    "cleanup_full": "cleaned",
    "reset": "reset",
    "restore": "restored",
    "undo": "restored",
}


@dataclass(frozen=True)
class Condition:
    """What an action may change and an undo has to bring back."""

    served: int | None = None  # run id
    partial: frozenset[int] = frozenset()  # unsealed runs that left rows
    failed_attempts: int = 0
    lost_runs: int = 0
    due: bool = False  # a retry
    held: str | None = None  # why


def difference(before: Condition, after: Condition) -> dict[str, tuple[Any, Any]]:
    """What a plan comes to: field → before, after."""
    return {
        name: (getattr(before, name), getattr(after, name))
        for name in Condition.__dataclass_fields__
        if getattr(before, name) != getattr(after, name)
    }


@dataclass
class Attempt:
    """A run that holds its event, or did until somebody ended it."""

    run: Run
    life: str = "alive"  # alive, dead, far: what can be known of its holder
    late: bool = False  # its lease expired
    reported: bool = False  # and the journal says so
    cancelled: bool = False  # it was asked to stop


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


@dataclass
class MadePlan:
    """A plan, and what the event was when it was made."""

    plan: Plan
    event: ModelEvent
    version: int
    expected: dict[str, tuple[Any, Any]]
    undoes: ModelAction | None


@dataclass
class ModelEvent:
    """One event as the model sees it."""

    source_event_id: str
    event_id: int = 0
    state: str = "idle"
    now: Condition = field(default_factory=Condition)
    token: int = 0
    running: Attempt | None = None
    zombies: list[Attempt] = field(default_factory=list)  # whose lock was taken; they do not know it yet
    outcomes: dict[int, str | None] = field(default_factory=dict)  # every run, None while it is under way
    sealed: dict[int, tuple[int, str]] = field(default_factory=dict)  # run → generation, build
    purged: set[int] = field(default_factory=set)
    actions: list[ModelAction] = field(default_factory=list)
    effective: list[tuple[int, ModelAction | None]] = field(default_factory=list)  # runs that changed data
    warnings: Counter[str] = field(default_factory=Counter)
    version: int = 0  # raised by everything that any plan must notice

    def change(self, **changes: Any) -> None:
        self.now = replace(self.now, **changes)

    # ------------------------------------------------------------------ runs

    def begins(self, attempt: Attempt) -> None:
        """A run that was let pass; a person's ends a hold."""
        if self.now.held is not None:
            self.change(held=None, lost_runs=0)
        self.running, self.state = attempt, "running"
        self.token += 1
        self.outcomes[attempt.run.run_id] = None
        self.version += 1

    def publishes(self, number: int, build: str, *, again: bool) -> str:
        """The run under way succeeds; what it is called then."""
        run_id = self._ends("complete")
        outcome = "unchanged" if self.generation() == number and not again else "published"
        if outcome == "published":
            self.sealed[run_id] = (number, build)
            self.change(served=run_id)
        self.outcomes[run_id] = outcome
        self.effective.append((run_id, None))
        self.change(failed_attempts=0, lost_runs=0, due=False)
        return outcome

    def fails(self, kind: Kind, *, retryable: bool, partial: bool = False) -> None:
        """The run under way says how it failed; one that the switch stopped counts as no attempt."""
        run_id = self._ends("failed")
        self.outcomes[run_id] = "interrupted" if kind in (Kind.INTERRUPTED, Kind.DISABLED) else "failed"
        if partial:
            self.change(partial=self.now.partial | {run_id})
        if kind is Kind.DISABLED:
            self.change(due=self.now.held is None)
        else:
            due = retryable and self.now.held is None
            self.change(failed_attempts=self.now.failed_attempts + 1, lost_runs=0, due=due)

    def dies(self, warning: str) -> None:
        """Somebody ends the run under way, which says nothing any more. The third in a row holds the event."""
        assert self.running is not None
        self.zombies.append(self.running)
        self.outcomes[self._ends("failed")] = "cleared"
        self.token += 1
        self.warnings[warning] += 1
        lost = self.now.lost_runs + 1
        self.change(failed_attempts=self.now.failed_attempts + 1, lost_runs=lost, due=self.now.held is None)
        if lost >= LOST_RUNS_HELD:
            self.holds(GAVE_UP.replace(str(LOST_RUNS_HELD), str(lost), 1))

    def holds(self, reason: str) -> None:
        self.change(held=reason, due=False)
        self.warnings["event_held"] += 1

    def _ends(self, state: str) -> int:
        assert self.running is not None
        run_id, self.running, self.state = self.running.run.run_id, None, state
        self.version += 1
        return run_id

    def generation(self) -> int | None:
        """The number of the document that is served."""
        return None if self.now.served is None else self.sealed[self.now.served][0]

    # ------------------------------------------------------------------ actions

    def after(self, plan: Plan, undoes: ModelAction | None) -> Condition:
        """What an action comes to."""
        if plan.kind == "restore":
            return replace(self.now, served=plan.target_run_id)
        if undoes is not None:
            return self._undone(undoes)
        after = replace(self.now, partial=frozenset())
        if plan.kind in ("cleanup_full", "reset"):
            after = replace(after, served=None)
        if plan.kind == "reset":
            after = replace(after, failed_attempts=0, lost_runs=0, due=False, held=None)
        return after

    def _undone(self, action: ModelAction) -> Condition:
        """Only what the action changed goes back; nothing is due while the event is held."""
        changed = difference(action.before, action.after)
        back = {name: before for name, (before, _) in changed.items() if name != "partial"}
        after = replace(self.now, **back, partial=self.now.partial | (action.before.partial - action.after.partial))
        return after if after.held is None else replace(after, due=False)

    def acts(self, action: ModelAction) -> None:
        """An action was taken."""
        if action.undoes is not None:
            action.undoes.undone = True
        self.actions.append(action)
        self.effective.append((action.run_id, action))
        self.outcomes[action.run_id] = RUN_ENDS[action.kind]
        self.now = action.after
        self.state = self.rests()
        self.token += 1
        self.version += 1

    def rests(self) -> str:
        """The state that an action leaves it in."""
        return "complete" if self.now.served is not None else "idle"

    def changes_state(self, changes: dict[str, tuple[Any, Any]]) -> bool:
        """Whether an action that changes these walks the event to another state than it is in."""
        served = changes["served"][1] if "served" in changes else self.now.served
        return self.state != ("complete" if served is not None else "idle")

    def undoable(self, action: ModelAction) -> bool:
        newer = any(
            run_id > action.run_id and (by is None or (by.kind != "undo" and not by.undone))
            for run_id, by in self.effective
        )
        return action.open and action.before != action.after and not newer

    def before_build(self, build: str) -> int | None:
        """The run that takes the place of the served one where its build was bad."""
        assert self.now.served is not None
        others = [one for one, (_, made_by) in self.sealed.items() if made_by != build and one < self.now.served]
        return max((one for one in others if one not in self.purged), default=None)

    def superseded(self, *, keeps_undo: bool) -> set[int]:
        """What a purge of everything old may take."""
        there = sorted(set(self.sealed) - self.purged)
        needed = {action.before.served for action in self.actions if action.open and keeps_undo}
        return {run_id for run_id in there[:-2] if run_id != self.now.served and run_id not in needed}


@dataclass
class ModelSwitch:
    """The global switch, and what the checks allow of it. Moments are counted, newer is higher."""

    mode: str = "enabled"
    moment: int = 0
    turned: int = 0
    passed: int = 0  # when all events last passed the checks
    failed: int = 0  # when any check last failed

    def turn(self, mode: str) -> None:
        self.moment += 1
        self.mode, self.turned = mode, self.moment

    def checked(self, *, passed: bool, everything: bool) -> None:
        self.moment += 1
        if not passed:
            self.failed = self.moment
        elif everything:
            self.passed = self.moment

    @property
    def may_enable(self) -> bool:
        return self.mode == "enabled" or self.passed > max(self.failed, self.turned)
