"""The front door's part for seeing how everything is: health, causes of failure, warnings, metrics, timelines.

Apart from its neighbours only because one file would be too long.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from pipeline.errors import Kind, StateError
from pipeline.ways import Way, operator, way_in

if TYPE_CHECKING:
    from pipeline.failures import FailureGroup
    from pipeline.health import Health
    from pipeline.liverc.contract_folder import ContractFolder
    from pipeline.metrics import Gauge, Metrics
    from pipeline.observe import Bus
    from pipeline.spans import Span
    from pipeline.store.database import Store
    from pipeline.store.journal import JournalRow


class _House(Protocol):
    bus: Bus

    @property
    def store(self) -> Store: ...
    @property
    def contracts(self) -> ContractFolder: ...
    @property
    def read_only(self) -> bool: ...


class Observation:
    """Looking after the pipeline."""

    def health(self: _House) -> Health:
        """Healthy, degraded, failing or disabled, with the reasons. A database that does not answer is one of them."""
        from pipeline import health

        return health.judge(health.gather(lambda: self.store, lambda: self.contracts.build()))

    def failure_groups(self: _House, *, days: int = 30) -> tuple[FailureGroup, ...]:
        """Failed ingestions of the last days by cause, what still fails first."""
        from pipeline import failures

        return failures.failure_groups(self.store, days=days)

    def timeline(self: _House, run_id: int) -> tuple[Span, ...]:
        """Where a run's time went: its spans, the root first; empty for a run that is under way or kept none."""
        from pipeline import spans
        from pipeline.store import timelines

        kept = timelines.find(self.store, run_id)
        return () if kept is None else spans.decode(kept)

    def warnings(self: _House, *, limit: int = 1_000) -> tuple[JournalRow, ...]:
        """Warnings that wait for a person, newest first."""
        from pipeline.store import journal

        return journal.open_warnings(self.store, limit=limit)

    @way_in(Way.RECOVERY)
    def acknowledge(self: _House, ids: Sequence[int], *, who: str | None = None) -> int:
        """A person has seen these warnings (their journal ids); how many were open until now.

        Raises StateError USAGE for a number that is no warning; nothing is acknowledged then.
        """
        from pipeline.store import journal

        with self.store.write():
            unknown = sorted(set(ids) - journal.warning_ids(self.store, ids))
            if unknown:
                raise StateError(Kind.USAGE, f"there is no warning {unknown[0]}", remedy="See `mre warnings list`.")
            return sum(journal.acknowledge(self.store, one, who or operator()) for one in dict.fromkeys(ids))

    def metrics(self: _House) -> Metrics:
        """New counters that hear this service's bus, and ask its database at each scrape. One call per program."""
        from pipeline.metrics import Metrics, store_gauges

        made = Metrics()
        made.attach(self.bus)

        def gauges() -> tuple[Gauge, ...]:
            with self.store.connection_scope():  # scrapes come in short-lived threads
                return tuple(store_gauges(self.store))

        made.watch(gauges)
        return made
