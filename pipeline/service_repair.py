"""The front door's part for repair: two pages beside each other, a proposal for a drift case, accepting and undoing it.

Apart from its neighbours only because one file would be too long.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

from pipeline.errors import Kind, PipelineError, StateError
from pipeline.ways import Way, operator, way_in

if TYPE_CHECKING:
    from pipeline.comparing import Comparison
    from pipeline.drift import Case
    from pipeline.fixture_store import FixtureStore
    from pipeline.fixtures import FixtureRoots
    from pipeline.gate import GateState
    from pipeline.liverc.contract_folder import ContractFolder, ContractVersion
    from pipeline.liverc.readers import Readers
    from pipeline.observe import Bus
    from pipeline.page_diff import DiffPage, PageDiff, Reparse
    from pipeline.repair import Preview, RepairProposal, Workshop
    from pipeline.service_gate import Captured
    from pipeline.store.archive import PageArchive
    from pipeline.store.database import Store
    from pipeline.store.events import EventRow
    from pipeline.store.runs import RunRow


class Accepted(Struct, frozen=True):
    """An accepted repair, and what followed from it."""

    page_type: str
    version: int  # of the page type's contract
    gate: GateState
    fixture: str | None  # the page set that was captured of the failing pages: EVENT vN
    fixture_note: str | None  # why there is none


class Undone(Struct, frozen=True):
    """A repair that was taken back."""

    page_type: str
    version: int  # that took it back
    gate: GateState
    retired: tuple[str, ...]  # page sets that were captured for it
    note: str | None


class _House(Protocol):
    bus: Bus

    @property
    def store(self) -> Store: ...
    @property
    def archive(self) -> PageArchive: ...
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
    @property
    def _workshop(self) -> Workshop: ...
    def event(self, event: str) -> EventRow: ...
    def run(self, run_id: int) -> RunRow: ...
    def diff_page(self, text: str, url: str | None = None) -> DiffPage: ...
    def reparse_page(self, page: DiffPage) -> Reparse: ...
    def diff_pages(self, old: str, new: str | None = None, *, url: str | None = None) -> tuple[DiffPage, DiffPage]: ...
    def capture_fixture(
        self, event: str, *, run_id: int | None, live: bool, case: int | None, reason: str, who: str | None
    ) -> Captured: ...


class RepairActions:
    """What moved on a page, and what to do about it."""

    @property
    def _workshop(self: _House) -> Workshop:
        from pipeline.repair import Workshop

        return Workshop(self.store, self.archive, self.readers, self.contracts)

    # ------------------------------------------------------------------ looking

    def diff_page(self: _House, text: str, url: str | None = None) -> DiffPage:
        """One side of a diff as people name it: a file, a page's sha256 in the archive, `RUN:URL`, or an EVENT.

        Args:
            url: the page's address, for a file or a sha256; of an event or a run, the page that is meant.
        Raises:
            StateError: USAGE where nothing is named so. StoreError.
        """
        from pipeline import page_names

        return page_names.find(self, text, url)

    def diff_pages(
        self: _House, old: str, new: str | None = None, *, url: str | None = None
    ) -> tuple[DiffPage, DiffPage]:
        """Both sides of a diff; without `new` those of an event, see `diff_event`."""
        from pipeline import page_names

        if new is None:
            return page_names.of_event(self, old, url)
        return page_names.find(self, old, url), page_names.find(self, new, url)

    def diff(self: _House, old: str, new: str, *, url: str | None = None) -> PageDiff:
        """Two pages beside each other, each named as `diff_page` takes it. Raises StateError USAGE, ParseError."""
        from pipeline import comparing

        return comparing.compare(self.readers, self.diff_pages(old, new, url=url)).diff

    def diff_event(self: _House, event: str, *, url: str | None = None) -> PageDiff:
        """An event's page as its served run read it, beside the page that its newest run failed at.

        Raises StateError USAGE where it serves nothing, or no page of the two runs differs.
        """
        from pipeline import comparing

        return comparing.compare(self.readers, self.diff_pages(event, url=url)).diff

    def compare_event(self: _House, event: str, *, url: str | None = None) -> Comparison:
        """As `diff_event`, with the pages themselves; an event that serves nothing is compared with another one.

        Raises as `diff_event`; ParseError where the good page cannot be read any more.
        """
        from pipeline import comparing

        return comparing.compare(self.readers, comparing.of_event(self, event, url))

    def compare_case(self: _House, case_id: int, *, url: str | None = None) -> Comparison:
        """A page of a drift case as it is known and as it is now. Raises StateError USAGE where none is known."""
        from pipeline import comparing

        return comparing.compare(self.readers, comparing.of_case(self, case_id, url))

    def compare_fixture(self: _House, event: str) -> Comparison:
        """A page of a set beside that of its event's newest run, or of its version before. Raises StateError USAGE."""
        from pipeline import comparing
        from pipeline.liverc.urls import parse_event_ref

        return comparing.compare(self.readers, comparing.of_fixture(self, parse_event_ref(event)[1]))

    def reparse(self: _House, page: str, *, url: str | None = None) -> Reparse:
        """Read a stored page again with the readers of now; nothing is fetched or written."""
        return self.reparse_page(self.diff_page(page, url))

    def reparse_page(self: _House, page: DiffPage) -> Reparse:
        """The same with a page at hand."""
        from pipeline.liverc.urls import parse_url
        from pipeline.page_diff import reparse

        return reparse(page, self.readers.contract(parse_url(page.url).page_type))

    def repair_proposal(self: _House, case_id: int) -> RepairProposal:
        """What would repair a drift case: learnt from its known pages, tried on others. Raises StateError USAGE."""
        from pipeline import repair

        return repair.propose_repair(self._workshop, case_id)

    def preview_repair(self: _House, case_id: int) -> Preview:
        """What the proposal makes of archived pages and of those of the case, in a sandbox. Raises as above."""
        from pipeline import repair

        shop = self._workshop
        return repair.preview_repair(shop, repair.propose_repair(shop, case_id))

    def contract_history(self: _House, page_type: str | None = None) -> tuple[ContractVersion, ...]:
        """Every accepted and withdrawn addition, oldest first."""
        return self.contracts.history(page_type)

    def export_contract(self: _House, page_type: str) -> str:
        """What was added to a shipped contract, as a unified diff; empty where nothing was."""
        return self.contracts.export_patch(page_type)

    # ------------------------------------------------------------------ deciding

    @way_in(Way.RECOVERY)
    def accept_repair(
        self: _House,
        case_id: int,
        *,
        reason: str,
        digest: str | None = None,
        live: bool = True,
        who: str | None = None,
    ) -> Accepted:
        """Accept a case's proposal: the contract grows, the failing pages become a page set, every set is replayed.

        The gate opens only if all of them are green. The case stays open until a person closes it.

        Args:
            digest: of the proposal that was shown; another one is refused.
            live: fetch the failing event's pages for the page set where the failed run has not got all of them.
        Raises:
            StateError: USAGE where the proposal cannot be accepted. StoreError. Nothing was changed then.
        """
        from pipeline import drift, gate, repair

        person = who or operator()
        version = repair.accept_repair(self._workshop, case_id, digest=digest, reason=reason, who=person)
        case = drift.get_case(self.store, case_id)
        captured, note = _capture(self, case, reason, person, live=live)
        state = gate.run(self.store, self.readers, self.fixture_roots, self.bus)
        return Accepted(case.page_type, version, state, captured, note)

    @way_in(Way.RECOVERY)
    def undo_repair(self: _House, page_type: str, version: int, *, reason: str, who: str | None = None) -> Undone:
        """Take back an accepted addition, and retire the page sets that were captured for its case.

        Raises StateError USAGE where that version is not in force.
        """
        from pipeline import contract_changes, gate

        person = who or operator()
        step = next((one for one in self.contracts.history(page_type) if one.version == version), None)
        if step is None:
            raise StateError(Kind.USAGE, f"There is no version {version} of the contract of {page_type} pages")
        made = contract_changes.withdraw_addition(
            self.store, self.contracts, page_type, version, reason=reason, who=person, case=step.case
        )
        retired, note = _retire(self, step.case, reason, person)
        state = gate.run(self.store, self.readers, self.fixture_roots, self.bus)
        return Undone(page_type, made, state, retired, note)


def _capture(house: _House, case: Case, reason: str, who: str, *, live: bool) -> tuple[str | None, str | None]:
    """Keep the failing pages as a page set: (its name, or None; why there is none)."""
    failed = [event for event in case.events if event.run_id is not None]
    note: str | None = "no run of the case has its pages in the archive"
    for event in failed:
        for from_site in (False, True) if live else (False,):
            run_id = None if from_site else event.run_id
            try:
                made = house.capture_fixture(
                    event.event, run_id=run_id, live=from_site, case=case.id, reason=reason, who=who
                )
            except PipelineError as error:
                note = f"{event.event}: {error.message}"
                continue
            return f"{made.event_id} v{made.version}", None
    return None, note


def _retire(house: _House, case_id: int | None, reason: str, who: str) -> tuple[tuple[str, ...], str | None]:
    """Retire what was captured for a case: without the addition it cannot be read any more."""
    from pipeline.fixture_store import Change
    from pipeline.fixtures import FixtureRoots, all_sets
    from pipeline.store import gate as rows

    if case_id is None:
        return (), None
    store = house.fixture_store
    known = rows.versions(house.store)
    mine = [
        info.event_id
        for info in all_sets(FixtureRoots(captured=store.root))
        if info.event_id in known and known[info.event_id].case_id == case_id
    ]
    retired: list[str] = []
    for event_id in mine:
        try:
            store.archive(event_id, Change(who=who, reason=reason, case=case_id))
        except PipelineError as error:  # the case is closed: then a person has to decide about the page set
            note = f"page set {event_id} stays, and keeps the gate closed until a confirmed case lets it be archived"
            return tuple(retired), f"{note}: {error.message}"
        retired.append(event_id)
    return tuple(retired), None
