"""The console's backend for drift, repair and page sets: `screens.ports_drift.DriftService` over a `Service`.

Apart from its neighbour only because one file would be too long.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
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
    from pipeline.service import Service
    from pipeline.service_drift import CaseIngestion
    from pipeline.service_repair import Accepted, Undone


TRIGGER = "console"  # who asked, as runs remember it


class _Asking(Protocol):
    def _asking(self) -> AbstractContextManager[Service]: ...


class DriftBackend:
    """Questions about drift, each from a thread that ends right after."""

    # ------------------------------------------------------------------ cases

    def drift_cases(self: _Asking, *, limit: int = 100) -> tuple[Case, ...]:
        with self._asking() as service:
            return service.drift_cases(limit=limit)

    def drift_case(self: _Asking, case_id: int) -> Case:
        with self._asking() as service:
            return service.drift_case(case_id)

    def probe(self: _Asking, case_id: int) -> Case:
        with self._asking() as service:
            return service.probe(case_id)

    def close_drift_case(self: _Asking, case_id: int, how: str, *, reason: str) -> Case:
        with self._asking() as service:
            return service.close_drift_case(case_id, how, reason=reason)

    def ingest_case(self: _Asking, case_id: int, tell: Callable[[CaseIngestion], bool]) -> None:
        from pipeline.ingest import Options

        with self._asking() as service:
            for step in service.ingest_case(case_id, Options(trigger=TRIGGER)):
                if not tell(step):
                    return

    # ------------------------------------------------------------------ two pages

    def compare_event(self: _Asking, event: str) -> Comparison:
        with self._asking() as service:
            return service.compare_event(event)

    def compare_case(self: _Asking, case_id: int, *, url: str | None = None) -> Comparison:
        with self._asking() as service:
            return service.compare_case(case_id, url=url)

    def compare_fixture(self: _Asking, event: str) -> Comparison:
        with self._asking() as service:
            return service.compare_fixture(event)

    def reparse_page(self: _Asking, page: DiffPage) -> Reparse:
        with self._asking() as service:
            return service.reparse_page(page)

    # ------------------------------------------------------------------ repair

    def repair_proposal(self: _Asking, case_id: int) -> RepairProposal:
        with self._asking() as service:
            return service.repair_proposal(case_id)

    def preview_repair(self: _Asking, case_id: int) -> Preview:
        with self._asking() as service:
            return service.preview_repair(case_id)

    def accept_repair(self: _Asking, case_id: int, *, reason: str, digest: str, live: bool) -> Accepted:
        with self._asking() as service:
            return service.accept_repair(case_id, reason=reason, digest=digest, live=live)

    def undo_repair(self: _Asking, page_type: str, version: int, *, reason: str) -> Undone:
        with self._asking() as service:
            return service.undo_repair(page_type, version, reason=reason)

    def contract_history(self: _Asking, page_type: str | None = None) -> tuple[ContractVersion, ...]:
        with self._asking() as service:
            return service.contract_history(page_type)

    # ------------------------------------------------------------------ the gate and its page sets

    def gate_state(self: _Asking) -> GateState:
        with self._asking() as service:
            return service.gate()

    def run_gate(self: _Asking) -> GateState:
        with self._asking() as service:
            return service.run_gate()

    def fixtures(self: _Asking) -> tuple[FixtureLine, ...]:
        with self._asking() as service:
            return service.fixtures()

    def fixture(self: _Asking, event: str, version: int | None = None) -> FixtureDetail:
        with self._asking() as service:
            return service.fixture(event, version)

    def check_fixture(self: _Asking, event: str) -> FixtureCheck:
        with self._asking() as service:
            return service.check_fixture(event)

    def check_fixture_live(self: _Asking, event: str) -> FixtureCheck:
        with self._asking() as service:
            return service.check_fixture_live(event)

    def replay_fixture(self: _Asking, event: str, mode: str) -> ReplayReport:
        from pipeline.replaying import Mode

        with self._asking() as service:
            return next(iter(service.replay(event, Mode(mode))))
