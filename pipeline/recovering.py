"""An action and what has to follow it: the event is checked, and held where it is not as it must be.

The action is committed before the checks begin. Whatever they say, or if they cannot be made at all, it stays done.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from msgspec import Struct

from pipeline import checks, recovery
from pipeline.checks import CheckReport
from pipeline.errors import PipelineError, StateError
from pipeline.fixtures import FixtureRoots
from pipeline.liverc.readers import Readers
from pipeline.observe import Bus
from pipeline.plans import Plan, Rollback
from pipeline.recovery import Action
from pipeline.store.archive import PageArchive
from pipeline.store.database import Store


class Recovered(Struct, frozen=True):
    """An action that was taken, and what the checks said of the event afterwards."""

    action: Action
    checks: CheckReport | None
    unchecked: str | None = None  # why there is no report


class RollbackStep(Struct, frozen=True):
    """One event of a rollback: what was done, or why it was refused."""

    event: str  # slug/id
    done: int  # events so far, this one included
    total: int
    recovered: Recovered | None
    error: PipelineError | None


@dataclass(frozen=True)
class Recoverer:
    """Who recovers, and what the checks need."""

    store: Store
    bus: Bus
    archive: PageArchive
    fixtures: FixtureRoots
    readers: Readers
    who: str
    reason: str
    trigger: str

    def act(self, plan: Plan, *, batch: str | None = None, replay: bool = True) -> Recovered:
        """Carry a plan out, then check the event; without `replay` not the shipped page sets once more.

        Raises:
            StateError, StoreError: as `recovery.act`; nothing was changed then.
        """
        action = recovery.act(
            self.store, plan, who=self.who, reason=self.reason, trigger=self.trigger, batch=batch, bus=self.bus
        )
        try:
            report = checks.after_action(
                self.store,
                plan.event_id,
                archive=self.archive,
                fixtures=self.fixtures if replay else None,
                readers=self.readers,
                asked_by=f"action {action.id}",
            )
        except PipelineError as error:
            return Recovered(action, None, error.message)
        return Recovered(action, report)

    def roll_back(self, rollback: Rollback) -> Iterator[RollbackStep]:
        """Carry out the plans of a rollback, an action for each event, under one batch name.

        An event that changed since, or is being worked on, keeps what it has; the others go on. A broken database ends
        it: StoreError.
        """
        batch = f"rollback-{rollback.parser_build[:12]}-{self.store.clock_ms()}"
        for done, plan in enumerate(rollback.plans, 1):
            recovered, error = None, None
            try:
                recovered = self.act(plan, batch=batch, replay=done == 1)
            except StateError as refused:
                error = refused
            yield RollbackStep(plan.event, done, len(rollback.plans), recovered, error)
