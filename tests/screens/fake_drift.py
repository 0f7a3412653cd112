"""The part of the pipeline made of values that answers for drift: cases, two pages, repair, page sets, the gate.

The pages are the simulator's and their comparison is the real one; what is done with them is only remembered.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec

from mre_console.simulator.mutations import MUTATIONS
from pipeline.comparing import Comparison
from pipeline.differences import Difference
from pipeline.drift import Case, CaseEvent, Doubt, DriftPicture, ProbeResult
from pipeline.errors import Kind, PipelineError, StateError
from pipeline.fixture_check import FixtureCheck
from pipeline.fixture_view import FixtureDetail, FixtureLine, FixturePage
from pipeline.fixtures import Replay
from pipeline.gate import GateSet, GateState
from pipeline.ingest import IngestReport
from pipeline.liverc.contract_folder import ContractVersion
from pipeline.liverc.induction import KnownPage, propose
from pipeline.liverc.readers import SHIPPED
from pipeline.liverc.urls import parse_url
from pipeline.page_diff import DiffPage, Reparse, diff_pages, reparse
from pipeline.repair import Preview, Previewed, RepairProposal, digest_of, judge
from pipeline.replaying import Mode, ReplayReport
from pipeline.service_drift import CaseIngestion
from pipeline.service_repair import Accepted, Undone
from pipeline.snapshot import GateLine
from pipeline.store.gate import FixtureVersionRow
from tests.screens.fake_recovery import EVENT, MINUTE, NOW, FakeRecovery
from tests.support.simulated import body, event_of, every_preset

PAGE = "https://thornhill.liverc.com/results/?p=view_race_result&id=6304829"
BUILD = "e87a0acbabc7"
NO_ADDITION = "no selector can be added that would let the pages be read: this needs a new version of the program"


# ---------------------------------------------------------------- two pages


@lru_cache(maxsize=1)
def _pages() -> tuple[tuple[str, bytes, bytes], ...]:
    """(URL, page, the same page of the next build) of three races of one event."""
    site = every_preset()
    races = [one for one in site.addresses(event_of(site, "small")) if "view_race_result" in one[1]][:3]
    before = [body(site, race) for race in races]
    site.raise_build()
    after = [body(site, race) for race in races]
    urls = [f"https://{host}{target}" for host, target in races]
    return tuple(zip(urls, before, after, strict=True))


@lru_cache(maxsize=8)
def comparison(mutation: str) -> Comparison:
    """A page as it was read, and as it is after a mutation and a new build."""
    url, before, after = _pages()[0]
    old = DiffPage(url, before, "run 41, build 1272")
    new = DiffPage(url, MUTATIONS[mutation].apply(after), "run 57, build 1273")
    return Comparison(old, new, diff_pages(old, new))


@lru_cache(maxsize=8)
def proposal(mutation: str) -> RepairProposal:
    """What would repair it, learnt from one page and tried on two others."""
    change = MUTATIONS[mutation].apply
    known = [
        KnownPage(parse_url(url), change(after), SHIPPED.read(before, parse_url(url)))
        for url, before, after in _pages()
    ]
    found = propose("race_result", known[:1], known[1:], judge=judge)
    return RepairProposal(
        case=CONFIRMED,
        proposal=found,
        learnt_from=(known[0].ref.url,),
        held_out=tuple(page.ref.url for page in known[1:]),
        trials=(),
        diff=comparison(mutation).diff,
        digest=digest_of(found),
        objections=() if found.is_proven else (NO_ADDITION,),
    )


# ---------------------------------------------------------------- cases


def case(number: int, state: str, **facts: Any) -> Case:
    at = NOW - 20 * number * MINUTE
    whole: dict[str, Any] = {
        "id": number,
        "page_type": "race_result",
        "state": state,
        "opened_at": at,
        "changed_at": at + MINUTE,
        "event_id": 3,
        "event": EVENT,
        "run_id": 57,
        "field": "fast_lap_ms",
        "reason": "fast_lap_ms is gone: 0 of 12 places have column 'Fastest Lap' | 'Fast Lap'",
        "doubts": (
            Doubt(
                page_type="race_result", url=PAGE, field="fast_lap_ms", kind="coverage",
                why="fast_lap_ms is gone: 0 of 12 places have column 'Fastest Lap' | 'Fast Lap'",
            ),
        ),
        "probes": (),
        "verdict": None,
        "events": (CaseEvent(event_id=3, event=EVENT, role="failed", at=at, run_id=57, state="failed"),),
        "closed_at": None,
        "closed_by": None,
        "closed_why": None,
    }  # fmt: skip
    return Case(**{**whole, **facts})


def probe_result(number: int, verdict: str, message: str | None = None) -> ProbeResult:
    url = PAGE.replace("thornhill", f"track{number}").replace("6304829", f"630000{number}")
    return ProbeResult(url=url, event=f"track{number}/480{number}", verdict=verdict, message=message)


CONFIRMED = case(
    3,
    "confirmed",
    verdict="LiveRC has changed its race_result pages: track1/4801 lacks fast_lap_ms now, too (2 differs, 1 equal)",
    probes=(
        probe_result(1, "differs", "lacks fast_lap_ms now, too"),
        probe_result(2, "differs", "lacks fast_lap_ms now, too"),
        probe_result(3, "equal"),
    ),
    events=(
        CaseEvent(event_id=3, event=EVENT, role="failed", at=NOW - 60 * MINUTE, run_id=57, state="failed"),
        CaseEvent(event_id=5, event="thornhill/4865", role="refused", at=NOW - 9 * MINUTE, state="complete"),
    ),
)
SUSPECTED = case(4, "suspected", page_type="event", field=None, reason="the page lists no races at all")
CASES = (
    SUSPECTED,
    CONFIRMED,
    case(2, "event_only", field="length_text", verdict="three other events read as ever", event="bayrc/480"),
    case(1, "repaired", closed_at=NOW - 5 * MINUTE, closed_by="ann", closed_why="the column is called Best now"),
)
REPAIR = ContractVersion(
    page_type="race_result", version=1, action="accept", reason="the column is called Best now", case=3, who="ann",
    at=NOW - 2 * MINUTE, added={}, addition={},
)  # fmt: skip


# ---------------------------------------------------------------- page sets and the gate


def gate_set(event_id: str, origin: str = "shipped", **facts: Any) -> GateSet:
    whole: dict[str, Any] = {
        "event_id": event_id, "origin": origin, "version": 1, "sha256": "5e7" * 20, "passed": True, "took_ms": 31,
    }  # fmt: skip
    return GateSet(**{**whole, **facts})


SETS = (gate_set("900101"), gate_set("900102"), gate_set("4863", "captured"))
FIRST_DIFFERENCE = "races[6300001].results[2].fast_lap_ms: expected 37234, got nothing"
BROKEN_SETS = (
    *SETS[:2],
    gate_set(
        "4863", "captured", passed=False, field="fast_lap_ms", first_difference=FIRST_DIFFERENCE, differences=12,
    ),
)  # fmt: skip
GREEN = GateState(build=BUILD, state="green", sets=SETS, changed_at=NOW, checked_at=NOW)
RED = GateState(
    build=BUILD, state="red", sets=BROKEN_SETS, failing_set="4863 v1", failing_field="fast_lap_ms",
    first_difference=FIRST_DIFFERENCE, changed_at=NOW, checked_at=NOW,
)  # fmt: skip
DIFFERENCES = tuple(
    Difference(f"races[6300001].results[{place}].fast_lap_ms", str(37_234 + 11 * place), None) for place in range(1, 4)
)


def fixture_line(one: GateSet) -> FixtureLine:
    shipped = one.origin == "shipped"
    return FixtureLine(
        event_id=one.event_id,
        origin=one.origin,
        version=one.version,
        track="thornhill",
        captured_at="2025-11-16T17:00:00Z",
        how="http",
        made_from="simulator, preset small, seed 11" if shipped else "run 57 of the archive",
        build_marker="1272" if shipped else "1273",
        pages=8,
        races=6,
        laps=281,
        sha256=one.sha256,
        folder=Path("/home/ann/.local/share/mre/fixtures") / one.event_id,
        replay=one,
    )


HISTORY = (
    FixtureVersionRow(
        fixture_set="4863", fixture_version=1, set_sha256="5e7", how="captured", case_id=3, reason="a new title",
        who="ann", at=NOW,
    ),
)  # fmt: skip


# ---------------------------------------------------------------- the service


@dataclass
class FakeDrift(FakeRecovery):
    """Answers from its fields and remembers what it was asked to do."""

    cases: tuple[Case, ...] = ()
    mutation: str = "header_renamed"  # what moved on the pages
    compares: PipelineError | None = None  # why there are no two pages
    proposes: PipelineError | None = None  # why nothing can be proposed
    history: tuple[ContractVersion, ...] = ()
    gates: GateState = GREEN

    def _drift(self) -> dict[str, Any]:
        """What a snapshot says of drift and the gate."""
        open_ones = tuple(case for case in self.cases if case.closed_at is None)
        gate = self.gates
        line = GateLine(
            gate.build, gate.state, len(gate.sets), gate.failing_set, gate.failing_field, gate.first_difference
        )
        return {
            "drift": DriftPicture(open_ones, tuple(case.page_type for case in open_ones if case.blocks)),
            "gate": line,
        }

    def drift_cases(self, *, limit: int = 100) -> tuple[Case, ...]:
        self._act("drift_cases")
        return self.cases[:limit]

    def drift_case(self, case_id: int) -> Case:
        return next(case for case in self.cases if case.id == case_id)

    def probe(self, case_id: int) -> Case:
        self._act("probe", case_id)
        decided = msgspec.structs.replace(self.drift_case(case_id), state="confirmed", verdict="2 differs")
        self._replace(decided)
        return decided

    def close_drift_case(self, case_id: int, how: str, *, reason: str) -> Case:
        self._act("close_drift_case", case_id, how, reason)
        self._replace(
            msgspec.structs.replace(
                self.drift_case(case_id), state=how, closed_at=NOW, closed_by="ann", closed_why=reason
            )
        )
        return self.drift_case(case_id)

    def _replace(self, case: Case) -> None:
        self.cases = tuple(case if case.id == other.id else other for other in self.cases)

    def ingest_case(self, case_id: int, tell: Callable[[CaseIngestion], bool]) -> None:
        self._act("ingest_case", case_id)
        for number, one in enumerate(self.drift_case(case_id).events):
            error = StateError(Kind.NO_RACES, f"event {one.event} has no races on its page") if number else None
            report = IngestReport("published", one.event, "Spring Cup", 72, 17, 153, 5_128, "d0c", 0, 3.2)
            if not tell(CaseIngestion(one.event, None if error else report, error)):
                return

    # ---------------------------------------------------------------- two pages

    def _compare(self, *call: Any) -> Comparison:
        self._act(*call)
        if self.compares is not None:
            raise self.compares
        return comparison(self.mutation)

    def compare_event(self, event: str) -> Comparison:
        return self._compare("compare_event", event)

    def compare_case(self, case_id: int, *, url: str | None = None) -> Comparison:
        return self._compare("compare_case", case_id)

    def compare_fixture(self, event: str) -> Comparison:
        return self._compare("compare_fixture", event)

    def reparse_page(self, page: DiffPage) -> Reparse:
        self._act("reparse_page", page.url)
        return reparse(page)

    # ---------------------------------------------------------------- repair

    def repair_proposal(self, case_id: int) -> RepairProposal:
        if self.proposes is not None:
            raise self.proposes
        found = proposal(self.mutation)
        return msgspec.structs.replace(found, case=self.drift_case(case_id))

    def preview_repair(self, case_id: int) -> Preview:
        self._act("preview_repair", case_id)
        archived = [
            Previewed(PAGE.replace("6304829", f"63048{n}"), "archive", True, "reads as before") for n in range(30)
        ]
        return Preview(
            proposal(self.mutation).digest, (*archived, Previewed(PAGE, "case", True, "198 values as known"))
        )

    def accept_repair(self, case_id: int, *, reason: str, digest: str, live: bool) -> Accepted:
        self._act("accept_repair", case_id, reason, digest, live)
        self.history = (msgspec.structs.replace(REPAIR, case=case_id, reason=reason),)
        return Accepted("race_result", 1, self.gates, "4863 v1", None)

    def undo_repair(self, page_type: str, version: int, *, reason: str) -> Undone:
        self._act("undo_repair", page_type, version, reason)
        self.history = ()
        return Undone(page_type, 2, self.gates, ("4863",), None)

    def contract_history(self, page_type: str | None = None) -> tuple[ContractVersion, ...]:
        return self.history

    # ---------------------------------------------------------------- page sets and the gate

    def gate_state(self) -> GateState:
        return self.gates

    def run_gate(self) -> GateState:
        self._act("run_gate")
        self.gates = GREEN
        return self.gates

    def fixtures(self) -> tuple[FixtureLine, ...]:
        self._act("fixtures")
        return tuple(fixture_line(one) for one in self.gates.sets)

    def fixture(self, event: str, version: int | None = None) -> FixtureDetail:
        self._act("fixture", event, version)
        line = next(line for line in self.fixtures() if line.event_id == event)
        pages = tuple(FixturePage(f"race.{6_300_000 + n}.html", PAGE, 161_204, "5e7") for n in range(3))
        return FixtureDetail(line=line, pages=pages, notes="As served.", redacted={"emails": 2}, history=HISTORY)

    def check_fixture(self, event: str) -> FixtureCheck:
        return self._check("check_fixture", event)

    def check_fixture_live(self, event: str) -> FixtureCheck:
        return self._check("check_fixture_live", event)

    def _check(self, *call: str) -> FixtureCheck:
        self._act(*call)
        return FixtureCheck(
            event_id=call[1], version=1, origin="shipped", against="run 57 of the archive", moved=("page",),
            headline="the page moved: races[6300001].results[1].fast_lap_ms was 37245, is nothing and 2 more",
            replay=Replay(call[1], "d0c", None, ()), failure=None, field="fast_lap_ms", differences=DIFFERENCES,
        )  # fmt: skip

    def replay_fixture(self, event: str, mode: str) -> ReplayReport:
        self._act("replay_fixture", event, mode)
        failed = self.gates.state == "red"
        return ReplayReport(
            event=f"thornhill/{event}",
            source=f"page set {event} (version 1, captured)",
            mode=Mode(mode),
            into="a sandbox",
            runs=3,
            passed=not failed,
            deterministic=True,
            sha256="d0c5ea1" * 9,
            failure=None,
            field="fast_lap_ms" if failed else None,
            differences=DIFFERENCES if failed else (),
            unstable=(),
            seconds=0.4,
        )
