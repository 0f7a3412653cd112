"""What the console asks of the pipeline when LiveRC has changed: cases, two pages beside each other, repair, page sets.

A part of `screens.ports.ConsoleService`, apart only because one file would be too long.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pipeline.comparing import Comparison
    from pipeline.drift import Case
    from pipeline.fixture_check import FixtureCheck
    from pipeline.fixture_view import FixtureDetail, FixtureLine
    from pipeline.gate import GateState
    from pipeline.liverc.contract_folder import ContractVersion
    from pipeline.page_diff import DiffPage, Reparse
    from pipeline.repair import Preview, RepairProposal
    from pipeline.replaying import ReplayReport
    from pipeline.service_drift import CaseIngestion
    from pipeline.service_repair import Accepted, Undone


class DriftService(Protocol):
    """Every call may block and raises `PipelineError` and nothing else."""

    def drift_cases(self, *, limit: int = 100) -> tuple[Case, ...]:
        """Drift cases, newest first."""

    def drift_case(self, case_id: int) -> Case: ...

    def probe(self, case_id: int) -> Case:
        """Fetch known pages of other events again and decide an open case."""

    def close_drift_case(self, case_id: int, how: str, *, reason: str) -> Case:
        """Close a case as `repaired` or `dismissed`."""

    def ingest_case(self, case_id: int, tell: Callable[[CaseIngestion], bool]) -> None:
        """Ingest the events of a closed case; `tell` hears each outcome in this thread, and says whether to go on."""

    def compare_event(self, event: str) -> Comparison:
        """A good page beside the one that the event's newest run failed at."""

    def compare_case(self, case_id: int, *, url: str | None = None) -> Comparison:
        """A page of a case as it is known and as it is now."""

    def compare_fixture(self, event: str) -> Comparison:
        """A page of a set beside that of its event's newest run, or of its version before."""

    def reparse_page(self, page: DiffPage) -> Reparse:
        """Read a stored page again; nothing is fetched or written."""

    def repair_proposal(self, case_id: int) -> RepairProposal: ...

    def preview_repair(self, case_id: int) -> Preview:
        """What the proposal makes of archived pages and of those of the case, in a sandbox."""

    def accept_repair(self, case_id: int, *, reason: str, digest: str, live: bool) -> Accepted:
        """Accept the proposal of that digest, keep the failing pages as a page set, replay every set."""

    def undo_repair(self, page_type: str, version: int, *, reason: str) -> Undone: ...

    def contract_history(self, page_type: str | None = None) -> tuple[ContractVersion, ...]:
        """Every accepted and withdrawn addition, oldest first."""

    def gate_state(self) -> GateState: ...

    def run_gate(self) -> GateState:
        """Replay every page set again and judge."""

    def fixtures(self) -> tuple[FixtureLine, ...]: ...

    def fixture(self, event: str, version: int | None = None) -> FixtureDetail: ...

    def check_fixture(self, event: str) -> FixtureCheck:
        """Which side moved: page, expectation or reader? Against archived pages."""

    def check_fixture_live(self, event: str) -> FixtureCheck:
        """The same against today's pages, which are fetched."""

    def replay_fixture(self, event: str, mode: str) -> ReplayReport:
        """One page set through an ingestion, or one stage of it, three times, without a network."""
