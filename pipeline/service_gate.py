"""The front door's part for the readers, the gate, page sets and replay; `Service` inherits it.

Apart from its neighbours only because one file would be too long.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Protocol

from pipeline.ways import Way, way_in

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.fixtures import FixtureRoots
    from pipeline.gate import GateState
    from pipeline.liverc.contract_folder import ContractFolder
    from pipeline.liverc.readers import Readers
    from pipeline.observe import Bus
    from pipeline.store.database import Store


class _Settings(Protocol):
    @property
    def data(self) -> Path: ...
    @property
    def fixtures(self) -> Path | None: ...


class _House(Protocol):
    bus: Bus

    @property
    def settings(self) -> _Settings: ...
    @property
    def store(self) -> Store: ...
    @property
    def read_only(self) -> bool: ...
    @property
    def readers(self) -> Readers: ...
    @property
    def contracts(self) -> ContractFolder: ...
    @property
    def fixture_roots(self) -> FixtureRoots: ...


class GateActions:
    """What pages are read with, and what proves that they are read rightly."""

    # ------------------------------------------------------------------ the readers

    @cached_property
    def contracts(self: _House) -> ContractFolder:
        """Accepted additions to the shipped contracts."""
        from pipeline.liverc.contract_folder import FOLDER, ContractFolder

        return ContractFolder(self.settings.data / FOLDER)

    @property
    def readers(self: _House) -> Readers:
        """The readers as they are now: shipped contracts and what was accepted. A run keeps those it began with."""
        return self.contracts.current()

    @property
    def fixture_roots(self: _House) -> FixtureRoots:
        """Where page sets are."""
        from pipeline.fixtures import FOLDER, FixtureRoots

        return FixtureRoots(self.settings.fixtures, self.settings.data / FOLDER)

    # ------------------------------------------------------------------ the gate

    def gate(self: _House) -> GateState:
        """Whether ingestion may use the readers of now, and what every page set said."""
        from pipeline import gate

        return gate.show(self.store, self.readers, self.fixture_roots)

    @way_in(Way.RECOVERY)
    def run_gate(self: _House) -> GateState:
        """Replay every page set again and judge."""
        from pipeline import gate

        return gate.run(self.store, self.readers, self.fixture_roots, self.bus)
