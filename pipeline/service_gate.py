"""The front door's part for the readers, the gate, page sets and replay; `Service` inherits it.

Apart from its neighbours only because one file would be too long.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

from pipeline.errors import PipelineError
from pipeline.ways import Way, operator, refuse_in_read_only, way_in

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from pipeline.fixture_check import FixtureCheck
    from pipeline.fixture_store import Change, FixtureStore
    from pipeline.fixture_view import FixtureDetail, FixtureLine
    from pipeline.fixtures import FixtureRoots, SetInfo
    from pipeline.gate import GateState
    from pipeline.kept_pages import KeptPage
    from pipeline.liverc.client import Client
    from pipeline.liverc.contract_folder import ContractFolder
    from pipeline.liverc.readers import Readers
    from pipeline.observe import Bus
    from pipeline.replaying import Mode, ReplayReport
    from pipeline.stopping import StopGroup
    from pipeline.store.archive import PageArchive
    from pipeline.store.database import Store
    from pipeline.store.events import EventRow
    from pipeline.store.runs import RunRow


class Captured(Struct, frozen=True):
    """A page set that was captured, accepted or retired, and what the gate says now."""

    event_id: str
    version: int
    gate: GateState


class _Settings(Protocol):
    @property
    def data(self) -> Path: ...
    @property
    def fixtures(self) -> Path | None: ...


class _House(Protocol):
    bus: Bus
    stops: StopGroup

    @property
    def settings(self) -> _Settings: ...
    @property
    def store(self) -> Store: ...
    @property
    def archive(self) -> PageArchive: ...
    @property
    def client(self) -> Client: ...
    @property
    def read_only(self) -> bool: ...
    @property
    def readers(self) -> Readers: ...
    @property
    def contracts(self) -> ContractFolder: ...
    @property
    def fixture_roots(self) -> FixtureRoots: ...
    @property
    def fixture_store(self) -> FixtureStore: ...
    def resolve(self, event: str) -> tuple[str, str]: ...
    def event(self, event: str) -> EventRow: ...
    def run(self, run_id: int) -> RunRow: ...


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

    # ------------------------------------------------------------------ page sets

    @property
    def fixture_store(self: _House) -> FixtureStore:
        """Shipped and captured page sets, with the history of the captured ones."""
        from pipeline.fixture_store import FixtureStore

        return FixtureStore(self.store, self.fixture_roots, self.readers)

    def fixtures(self: _House) -> tuple[FixtureLine, ...]:
        """Every page set, shipped and captured, and how it reads today as far as that is known."""
        from pipeline import fixture_view

        return fixture_view.list_lines(self.fixture_store)

    def fixture(self: _House, event: str, version: int | None = None) -> FixtureDetail:
        """One page set, or an earlier version of it. Raises StateError USAGE where there is none."""
        from pipeline import fixture_view

        return fixture_view.show(self.fixture_store, _event_id(event), version)

    @way_in(Way.RECOVERY)
    def capture_fixture(
        self: _House,
        event: str,
        *,
        run_id: int | None = None,
        live: bool = False,
        case: int | None = None,
        reason: str = "",
        who: str | None = None,
    ) -> Captured:
        """Keep an event's pages and their document as a page set, which the readers must pass from now on.

        Args:
            run_id: the run whose archived pages are taken; without one, those of the run that is served.
            live: fetch the pages now, politely.
            case: the confirmed drift case that allows a new version where the event has a set already.
        Raises:
            ParseError, NormaliseError: the pages give no valid document. StateError USAGE. FetchError. StoreError.
        """
        from pipeline.page_sources import pages_of

        change, sets = _change(who, reason, case), self.fixture_store
        sets.require_leave(_event_id(event), change)
        pages, origin = pages_of(self, event, run_id, live=live)
        info = sets.capture(pages, change, origin=origin)
        return _captured(self, info.event_id, info.version)

    @way_in(Way.RECOVERY)
    def accept_fixture(
        self: _House,
        event: str,
        *,
        case: int | None,
        reason: str,
        run_id: int | None = None,
        live: bool = False,
        who: str | None = None,
    ) -> Captured:
        """A new version of a captured page set: its own pages as today's readers read them, or other pages.

        Args as `capture_fixture`. Raises StateError USAGE without a confirmed drift case and a reason; as
        `capture_fixture`.
        """
        from pipeline.page_sources import pages_of

        change, event_id = _change(who, reason, case), _event_id(event)
        self.fixture_store.require_leave(event_id, change, known=True)
        pages, origin = pages_of(self, event, run_id, live=live) if live or run_id is not None else (None, "")
        info = self.fixture_store.accept(event_id, change, pages, origin)
        return _captured(self, event_id, info.version)

    @way_in(Way.RECOVERY)
    def archive_fixture(self: _House, event: str, *, case: int | None, reason: str, who: str | None = None) -> Captured:
        """Retire a captured page set. Raises StateError USAGE without a confirmed drift case and a reason."""
        event_id = _event_id(event)
        before = self.fixture_store.archive(event_id, _change(who, reason, case))
        return _captured(self, event_id, before.version if before else 0)

    def check_fixture(self: _House, event: str, *, run_id: int | None = None) -> FixtureCheck:
        """Which side moved: page, expectation or reader? Against archived pages; nothing is fetched or recorded."""
        from pipeline.page_sources import pages_of

        info = self.fixture_store.find(_event_id(event))
        return _check(self, info, lambda: pages_of(self, event, run_id, live=False))

    @way_in(Way.CATALOGUE)
    def check_fixture_live(self: _House, event: str) -> FixtureCheck:
        """The same against today's pages, fetched politely; a block on a page type does not stand in the way."""
        from pipeline.page_sources import pages_of

        info = self.fixture_store.find(_event_id(event))
        name = f"{info.metadata.track}/{info.event_id}" if info.metadata and info.metadata.track else event
        return _check(self, info, lambda: pages_of(self, name, None, live=True))

    # ------------------------------------------------------------------ replay

    def replay(
        self: _House,
        event: str | None = None,
        mode: Mode | None = None,
        *,
        archived: bool = False,
        into: str | None = None,
    ) -> Iterator[ReplayReport]:
        """Let kept pages go through one stage or all of them, three times, without a network.

        Args:
            event: one event, by its page set where it has one, else by the archived pages of the run that is served;
                None: every page set.
            mode: None: full.
            archived: archived pages even where there is a page set; without an event, of everything served.
            into: the URL of the database that is written; None: a new one each time, which is thrown away.
        Raises:
            StateError: USAGE where there is nothing to replay. StoreError.
        """
        from pipeline import replaying
        from pipeline.page_sources import sources
        from pipeline.store.database import Store

        wanted, readers = mode or replaying.Mode.FULL, self.readers
        if into is not None:
            refuse_in_read_only(self.read_only, "replay into a database")
        found = sources(self, event, archived=archived)

        def reports() -> Iterator[ReplayReport]:
            store = None if into is None else Store.open(into)
            try:
                for source in found:
                    yield replaying.replay(source, wanted, readers, into=store)
            finally:
                if store is not None:
                    store.close()

        return reports()


def _event_id(event: str) -> str:
    from pipeline.liverc.urls import parse_event_ref

    return parse_event_ref(event)[1]


def _change(who: str | None, reason: str, case: int | None) -> Change:
    from pipeline.fixture_store import Change

    return Change(who=who or operator(), reason=reason, case=case)


def _captured(house: _House, event_id: str, version: int) -> Captured:
    from pipeline import gate

    return Captured(event_id, version, gate.judge(house.store, house.readers, house.fixture_roots, house.bus))


def _check(house: _House, info: SetInfo, other: Callable[[], tuple[Sequence[KeptPage], str]]) -> FixtureCheck:
    from pipeline import fixture_check

    pages: Sequence[KeptPage] | PipelineError
    try:
        pages, against = other()
    except PipelineError as error:
        if error.stage not in ("parse", "normalise"):
            raise
        pages, against = error, "today's page"
    return fixture_check.check(house.store, info, house.readers, pages, against)
