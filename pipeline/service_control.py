"""The front door's part for the global switch, the checks, and what the machine has left; `Service` inherits it.

Apart from its neighbours only because one file would be too long.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from pipeline.ways import Way, operator, way_in

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.checks import CheckReport
    from pipeline.control import ControlState
    from pipeline.fixtures import FixtureRoots
    from pipeline.liverc.readers import Readers
    from pipeline.observe import Bus
    from pipeline.resources import Resources
    from pipeline.stopping import StopGroup
    from pipeline.store.archive import PageArchive
    from pipeline.store.check_runs import CheckRunRow
    from pipeline.store.database import Store
    from pipeline.store.events import EventRow


class _Settings(Protocol):
    @property
    def data(self) -> Path: ...


class _House(Protocol):
    bus: Bus
    stops: StopGroup

    @property
    def settings(self) -> _Settings: ...
    @property
    def fixture_roots(self) -> FixtureRoots: ...
    @property
    def readers(self) -> Readers: ...
    @property
    def store(self) -> Store: ...
    @property
    def archive(self) -> PageArchive: ...
    @property
    def read_only(self) -> bool: ...
    def event(self, event: str) -> EventRow: ...


class ControlActions:
    """Disabling and enabling ingestion, the checks that enabling needs, the machine's resources."""

    def control(self: _House) -> ControlState:
        """How the global switch stands, and what enabling would need."""
        from pipeline import control

        return control.show(self.store)

    @way_in(Way.RECOVERY)
    def disable(self: _House, *, reason: str, protect: bool = False, who: str | None = None) -> ControlState:
        """Refuse every ingestion from now on, and stop what is under way; with `protect`, every write but recovery.

        Raises StateError USAGE without a reason.
        """
        from pipeline import control

        return control.disable(self.store, reason=reason, who=who or operator(), protect=protect)

    @way_in(Way.RECOVERY)
    def enable(self: _House, *, reason: str = "", who: str | None = None) -> ControlState:
        """Allow ingestion again. Raises StateError CHECKS_FAILED where the checks have not passed since."""
        from pipeline import control

        return control.enable(self.store, reason=reason, who=who or operator())

    def checks(self: _House, event: str | None = None, *, asked_by: str | None = None) -> CheckReport:
        """Check one event or everything, record the answer, and hold each event that has an error.

        A read-only service checks too, and records and holds nothing.
        """
        from pipeline import checks
        from pipeline.stopping import StopSignal

        bench = checks.Bench(self.store, self.archive, self.fixture_roots, self.readers)
        event_id = None if event is None else self.event(event).id
        signal = StopSignal()
        self.stops.add(signal)
        try:
            return checks.check(
                bench,
                event_id,
                asked_by=asked_by or operator(),
                record=not self.read_only,
                signal=signal,
                bus=self.bus,
            )
        finally:
            self.stops.discard(signal)

    def check_runs(self: _House, event: str | None = None, *, limit: int = 50) -> tuple[CheckRunRow, ...]:
        """Earlier runs of the checks, newest first; with an event, those that looked at it alone."""
        from pipeline.store import check_runs

        return check_runs.list_runs(self.store, None if event is None else self.event(event).id, limit=limit)

    def resources(self: _House) -> Resources:
        """What database, disk, memory and open files come to on this machine, and the run that has taken longest."""
        from pipeline import resources

        return resources.take(self.store, self.settings.data)
