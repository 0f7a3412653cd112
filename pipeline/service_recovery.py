"""The front door's part for recovery: plans, actions, undo, retries and the purge; `Service` inherits it.

Apart from its neighbours only because one file would be too long.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Protocol, TypeVar

from pipeline.errors import Kind, StateError
from pipeline.ways import Way, operator, way_in

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.fixtures import FixtureRoots
    from pipeline.ingest import IngestReport, Options
    from pipeline.liverc.readers import Readers
    from pipeline.observe import Bus
    from pipeline.plans import Plan, Rollback
    from pipeline.purging import PurgePlan, PurgeReport
    from pipeline.recovering import Recovered, Recoverer, RollbackStep
    from pipeline.recovery import Action
    from pipeline.retrying import RetryPlan, RetryStep
    from pipeline.store.archive import PageArchive
    from pipeline.store.database import Store
    from pipeline.store.events import EventRow


class _Settings(Protocol):
    @property
    def release_dead(self) -> bool: ...


class _House(Protocol):
    bus: Bus

    @property
    def settings(self) -> _Settings: ...
    @property
    def fixture_roots(self) -> FixtureRoots: ...
    @property
    def readers(self) -> Readers: ...
    @property
    def archive(self) -> PageArchive: ...
    @property
    def store(self) -> Store: ...
    @property
    def read_only(self) -> bool: ...
    def resolve(self, event: str) -> tuple[str, str]: ...
    def event(self, event: str) -> EventRow: ...
    def events(self, *, state: str | None = None, limit: int = 500) -> tuple[EventRow, ...]: ...
    def ingest(self, event: str, options: Options | None = None) -> IngestReport: ...


class RecoveryActions:
    """Getting an event back to a known-good state. Every action is planned first; a plan changes no data.

    Planning does what the next tick would do anyway: a lease whose holder is proven dead is released, unless the
    settings say no or the program only looks.
    """

    # ------------------------------------------------------------------ plans

    def plan_cleanup(self: _House, event: str, *, full: bool = False) -> Plan:
        """Remove partial rows and orphans of an event; with `full`, give up all that it serves too."""
        from pipeline import recovery

        event_id = self.event(event).id
        return _planned(self, event_id, lambda: recovery.plan_cleanup(self.store, event_id, full=full))

    def plan_reset(self: _House, event: str) -> Plan:
        """A full cleanup that also clears retry counters and holds."""
        return _plan_reset(self, event)

    def plan_restore(self: _House, event: str, run_id: int) -> Plan:
        """Serve an older sealed run of the event. Raises StateError USAGE where it cannot be served."""
        from pipeline import recovery

        event_id = self.event(event).id
        return _planned(self, event_id, lambda: recovery.plan_restore(self.store, event_id, run_id))

    def plan_restore_build(self: _House, parser_build: str) -> Rollback:
        """Return every event that serves a run of a bad build to its run before. Raises StateError USAGE."""
        from pipeline import recovery

        rollback = recovery.plan_restore_build(self.store, parser_build)
        if any(refused.kind == Kind.LOCK_HELD for refused in rollback.refused) and _release_dead(self):
            rollback = recovery.plan_restore_build(self.store, parser_build)
        return rollback

    def plan_undo(self: _House, action_id: int) -> Plan:
        """Take an action back. Raises StateError UNDO_REFUSED, naming the newer run where the event changed since."""
        return _plan_undo(self, action_id)

    # ------------------------------------------------------------------ actions

    @way_in(Way.RECOVERY)
    def act(self: _House, plan: Plan, *, reason: str = "", who: str | None = None, trigger: str = "cli") -> Recovered:
        """Carry out a plan that was confirmed, whole or not at all; then check the event.

        Returns:
            The action, and what the checks found: an event that fails them is held.
        Raises:
            StateError: PLAN_STALE, the event changed since the plan; LOCK_HELD; USAGE, it changes nothing. StoreError.
                Nothing was changed then.
        """
        return _recoverer(self, who, reason, trigger).act(plan)

    @way_in(Way.RECOVERY)
    def roll_back(
        self: _House, rollback: Rollback, *, reason: str = "", who: str | None = None, trigger: str = "cli"
    ) -> Iterator[RollbackStep]:
        """Carry out all plans of a rollback, an action for each event; one that is refused does not stop the others."""
        return _recoverer(self, who, reason, trigger).roll_back(rollback)

    @way_in(Way.RECOVERY)
    def reset_event_ingestion(
        self: _House,
        event: str,
        *,
        plan: Plan | None = None,
        reason: str = "",
        who: str | None = None,
        trigger: str = "cli",
    ) -> Recovered | None:
        """Reset an event: nothing served, nothing partial, nothing counted or held; its metadata stays.

        Args:
            plan: the plan that was confirmed; without one, as things are now.
        Returns:
            The action and what the checks found, or None where there was nothing to reset.
        Raises:
            StateError: as `act`.
        """
        plan = plan or _plan_reset(self, event)
        if not plan.changes_anything:
            return None
        return _recoverer(self, who, reason, trigger).act(plan)

    @way_in(Way.RECOVERY)
    def undo(
        self: _House,
        action_id: int,
        *,
        plan: Plan | None = None,
        reason: str = "",
        who: str | None = None,
        trigger: str = "cli",
    ) -> Recovered:
        """Take an action back; what the event serves is then byte for byte what it served before it.

        Args:
            plan: the plan that was confirmed; without one, as things are now.
        Raises:
            StateError: UNDO_REFUSED; as `act`.
        """
        plan = plan or _plan_undo(self, action_id)
        return _recoverer(self, who, reason, trigger).act(plan)

    def actions(self: _House, event: str | None = None, *, limit: int = 50) -> tuple[Action, ...]:
        """Actions on one event or on all, newest first, each with why it cannot be undone where that is so."""
        from pipeline import recovery

        return recovery.list_actions(self.store, None if event is None else self.event(event).id, limit=limit)

    def action(self: _House, action_id: int) -> Action:
        """One action. Raises StateError UNKNOWN where there is none."""
        from pipeline import recovery

        return recovery.get_action(self.store, action_id)

    # ------------------------------------------------------------------ retries

    def plan_retry(
        self: _House,
        events: Sequence[str] = (),
        *,
        among: Sequence[str] | None = None,
        limit: int | None = None,
        failure_limit: float | None = None,
    ) -> RetryPlan:
        """The named events in that order, or all failed ones, the most promising first; `failure_limit` is a share.

        `among` (slug/id) leaves only these of the failed ones: what is held among them stays held, as nobody named it.

        Raises:
            StateError: USAGE, UNKNOWN_EVENT.
        """
        from pipeline import retrying

        share = retrying.FAILURE_LIMIT if failure_limit is None else failure_limit
        if events:
            return retrying.plan_named(["/".join(self.resolve(event)) for event in events], failure_limit=share)
        failed = self.events(state="failed", limit=1_000_000)
        if among is not None:
            chosen = frozenset(among)
            failed = tuple(row for row in failed if f"{row.track_slug}/{row.source_event_id}" in chosen)
        return retrying.plan_failed(failed, limit=limit, failure_limit=share)

    @way_in(Way.INGEST)
    def retry(self: _House, plan: RetryPlan, options: Options | None = None) -> Iterator[RetryStep]:
        """Ingest the events of a plan, one first, then ten, then the rest; stops when too many fail.

        Each event that succeeds is checked; one that does not pass is held, and counts as failed (CHECKS_FAILED).
        """
        from pipeline import checks, retrying

        bench = checks.Bench(self.store, self.archive, self.fixture_roots, self.readers)

        def attempt(event: str) -> IngestReport:
            report = self.ingest(event, options)
            if report.run_id is not None:
                checks.require(bench, self.event(event).id, asked_by=f"the retry in run {report.run_id}")
            return report

        return retrying.retry(plan, attempt)

    # ------------------------------------------------------------------ purge

    def plan_purge(
        self: _House, *, older_than_days: float | None = None, keep_undo_days: float | None = None
    ) -> PurgePlan:
        """What nobody needs any more. Raises StateError USAGE."""
        from pipeline import purging

        return purging.plan_purge(
            self.store,
            older_than_days=purging.KEEP_RUNS_DAYS if older_than_days is None else older_than_days,
            keep_undo_days=purging.KEEP_UNDO_DAYS if keep_undo_days is None else keep_undo_days,
        )

    @way_in(Way.RECOVERY)
    def purge(self: _House, plan: PurgePlan, *, reason: str = "", who: str | None = None) -> PurgeReport:
        """Delete for good what a plan says; what came into use since is passed over. Cannot be undone."""
        from pipeline import purging

        _release_dead(self)
        return purging.purge(self.store, plan, who=who or operator(), reason=reason)


_Planned = TypeVar("_Planned")


def _planned(house: _House, event_id: int, make: Callable[[], _Planned]) -> _Planned:
    """Plan; where all that stood in the way was a holder proven dead, once more without it."""
    try:
        return make()
    except StateError as error:
        if error.kind is not Kind.LOCK_HELD or not _release_dead(house, event_id):
            raise
        return make()


def _release_dead(house: _House, event_id: int | None = None) -> bool:
    """Do for one event, or for all, what the next tick would do. False: no lease was released."""
    from pipeline import leases

    if house.read_only or not house.settings.release_dead:
        return False
    if event_id is None:
        return bool(leases.tick(house.store, house.bus).released)
    return leases.release_dead(house.store, house.bus, event_id)


def _plan_reset(house: _House, event: str) -> Plan:
    from pipeline import recovery

    event_id = house.event(event).id
    return _planned(house, event_id, lambda: recovery.plan_reset(house.store, event_id))


def _plan_undo(house: _House, action_id: int) -> Plan:
    from pipeline import planning, recovery

    event_id = planning.require_action(house.store, action_id).event_id
    return _planned(house, event_id, lambda: recovery.plan_undo(house.store, action_id))


def _recoverer(house: _House, who: str | None, reason: str, trigger: str) -> Recoverer:
    from pipeline.recovering import Recoverer

    return Recoverer(
        store=house.store,
        bus=house.bus,
        archive=house.archive,
        fixtures=house.fixture_roots,
        readers=house.readers,
        who=who or operator(),
        reason=reason,
        trigger=trigger,
    )
