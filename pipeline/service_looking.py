"""The front door's part for people who look: pictures of everything, and what is served of one event.

Apart from its neighbours only because one file would be too long.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pipeline.liverc.contract_folder import ContractFolder
    from pipeline.looking import Status
    from pipeline.snapshot import LapLine, LogLine, RaceLine, ResultLine, Snapshot
    from pipeline.store.database import Store


class _House(Protocol):
    @property
    def store(self) -> Store: ...
    @property
    def contracts(self) -> ContractFolder: ...


class Looking:
    """Reads for screens and status lines. They change nothing."""

    def snapshot(
        self: _House, *, text: str = "", limit: int = 500, after_log_id: int = 0, log_limit: int = 2_000
    ) -> Snapshot:
        """Everything at one moment; `text` filters events by name, slug/id or state. It reads: not for a UI loop."""
        from pipeline import looking

        return looking.take_snapshot(
            self.store, text=text, limit=limit, after_log_id=after_log_id, log_limit=log_limit,
            build=self.contracts.build,
        )  # fmt: skip

    def races(self: _House, event_id: int) -> tuple[RaceLine, ...]:
        """The races that are served of an event (the database's id), in order of completion."""
        from pipeline import looking

        return looking.races(self.store, event_id)

    def results(self: _House, race_id: int) -> tuple[ResultLine, ...]:
        """The results of one served race, by position."""
        from pipeline import looking

        return looking.results(self.store, race_id)

    def laps(self: _House, result_id: int) -> tuple[LapLine, ...]:
        """The laps of one served result."""
        from pipeline import looking

        return looking.laps(self.store, result_id)

    def run_log(self: _House, run_id: int, limit: int = 1_000) -> tuple[LogLine, ...]:
        """The newest lines of one run's log, oldest first."""
        from pipeline import looking

        return looking.run_log(self.store, run_id, limit=limit)

    def status(self: _House) -> Status:
        """How everything stands: totals, runs under way, failures, locks, open warnings."""
        from pipeline import looking

        return looking.take_status(self.store)
