"""The part of the pipeline made of values that answers recovery: plans, actions, runs, retries, checks."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.checks import CHECKS, CheckReport
from pipeline.errors import Kind, PipelineError, StateError
from pipeline.findings import Finding
from pipeline.ingest import IngestReport
from pipeline.observe import Bus, Report, progress_report
from pipeline.plans import Change, Fingerprint, Plan, RunEffect
from pipeline.recovering import Recovered
from pipeline.recovery import Action
from pipeline.retrying import HeldEvent, RetryPlan, RetryStep
from pipeline.store.runs import RunRow

NOW = 1_763_313_000_000  # 2025-11-16 17:10:00 UTC
MINUTE = 60_000
SERVED = {"race": 17, "result": 153, "lap": 5_128}
EVENT = "thornhill/4863"
FAR = Fingerprint(state="failed", current_run_id=41, token=7, newest_run_id=57)


def plan(kind: str = "cleanup_full", **facts: Any) -> Plan:
    """A plan on an event that failed in run 57, which left rows, and that still serves run 41."""
    whole: dict[str, Any] = {
        "kind": kind,
        "event_id": 3,
        "event": EVENT,
        "event_name": "Spring Cup",
        "based_on": FAR,
        "steps": ("idle", "running", "failed", "idle"),
        "changes": (
            Change("state", "failed", "idle"),
            Change("current_run_id", 41, None),
            Change("ingest_depth", "laps_full", "none"),
            Change("last_ingested_at", NOW - 50 * 60 * MINUTE, None),
        ),
        "runs": (
            RunEffect(57, "removed", {"race": 3, "result": 27}),
            RunEffect(None, "removed", {"lap": 2}),
            RunEffect(41, "given up", SERVED),
        ),
        "removes": {"race": 3, "result": 27, "lap": 2},
        "orphans": {"lap": 2},
        "puts_back": {},
        "served_before": SERVED,
        "served_after": {},
        "rows_sha256": "5eed",
    }
    return Plan(**{**whole, **facts})


PARTIAL_ONLY = plan(
    "cleanup",
    changes=(Change("state", "failed", "complete"),),
    steps=("idle", "running", "complete"),
    runs=(RunEffect(57, "removed", {"race": 3, "result": 27}),),
    removes={"race": 3, "result": 27},
    orphans={},
    served_after=SERVED,
)
RESET = plan("reset", changes=(*plan().changes, Change("failed_attempts", 3, 0), Change("held_reason", "died", None)))
UNDO = plan(
    "undo",
    undoes=12,
    based_on=Fingerprint(state="idle", current_run_id=None, token=8, newest_run_id=72),
    changes=(Change("state", "idle", "complete"), Change("current_run_id", None, 41)),
    steps=("running", "complete"),
    runs=(RunEffect(57, "put back", {"race": 3, "result": 27}), RunEffect(41, "served", SERVED)),
    removes={},
    orphans={},
    puts_back={"race": 3, "result": 27},
    served_before={},
    served_after=SERVED,
)
RESTORE = plan(
    "restore",
    target_run_id=33,
    changes=(Change("current_run_id", 41, 33),),
    steps=("idle", "running", "complete"),
    runs=(RunEffect(41, "given up", SERVED), RunEffect(33, "served", {**SERVED, "lap": 5_100})),
    removes={},
    orphans={},
    served_after={**SERVED, "lap": 5_100},
    rows_sha256=None,
)
NOTHING = plan("cleanup", changes=(), steps=(), runs=(), removes={}, orphans={}, served_after=SERVED, rows_sha256=None)


def action(number: int, carried: Plan, minutes_ago: int, **facts: Any) -> Action:
    whole: dict[str, Any] = {
        "id": number,
        "kind": carried.kind,
        "event": carried.event,
        "event_name": carried.event_name,
        "run_id": 60 + number,
        "who": "ann",
        "reason": "",
        "at": NOW - minutes_ago * MINUTE,
        "batch": None,
        "undoes": carried.undoes,
        "undone_by": None,
        "undo_refused": None,
        "plan": carried,
    }
    return Action(**{**whole, **facts})


ACTIONS = (
    action(12, plan(), 2, reason="the site showed half of the races"),
    action(
        11,
        RESTORE,
        60 * 5,
        undo_refused=f"action 11 (restore of {EVENT}) cannot be undone: {EVENT} changed since: run 72 cleaned it",
    ),
    action(
        10,
        plan("reset", event="canberraoffroad/486677", event_name="Nitro Challenge"),
        60 * 26,
        undone_by=11,
        undo_refused="action 10 (reset of canberraoffroad/486677) cannot be undone: action 11 already did",
        who="schedule",
    ),
)


def run(number: int, hours_ago: int, **facts: Any) -> RunRow:
    at = NOW - hours_ago * 60 * MINUTE
    whole: dict[str, Any] = {
        "id": number, "event_id": 3, "source_event_id": "4863", "event_name": "Spring Cup", "track_slug": "thornhill",
        "kind": "ingest", "token": 1, "trigger": "console", "outcome": "published", "sealed": True, "purged_at": None,
        "started_at": at - MINUTE, "finished_at": at, "stage": None, "pages_done": 20, "pages_total": 20,
        "stage_ms": "{}", "error": None, "document_sha256": "d0c", "parser_build": "b1946ac92492d2347c",
        "pages_manifest": None, "holder": "{}", "restored_run_id": None, "race_count": 17, "result_count": 153,
        "lap_count": 5_128, "lap_ms_sum": 1, "entry_count": 60,
    }  # fmt: skip
    return RunRow(**{**whole, **facts})


NO_ROWS = {"sealed": False, "race_count": 0, "result_count": 0, "lap_count": 0}
RUNS = (
    run(57, 0, outcome="failed", **NO_ROWS),
    run(50, 20, kind="cleanup", outcome="cleaned", **NO_ROWS),
    run(41, 50),
    run(33, 24 * 8, lap_count=5_100),
    run(21, 24 * 60, purged_at=NOW),
)


def check_report(*findings: Finding, event: str | None = EVENT, **facts: Any) -> CheckReport:
    errors = sum(one.severity == "error" for one in findings)
    whole: dict[str, Any] = {
        "id": 7,
        "event": event,
        "passed": not errors,
        "errors": errors,
        "warnings": len(findings) - errors,
        "seconds": 1.8,
        "checks": {name: 3 + number for number, name in enumerate(CHECKS)},
        "skipped": {},
        "findings": findings,
        "held": (EVENT,) if errors else (),
    }
    return CheckReport(**{**whole, **facts})


HASH = Finding(
    check="document-hash",
    message="run 41: its rows give another document than the one that was published",
    event=EVENT,
    event_id=3,
    run_id=41,
    facts={"published": "d0c5ea1", "found": "bad5eed"},
)
SLOW = Finding(
    check="durations", severity="warning", message="run 57 took 95.0 s, five times as long as those before it",
    event=EVENT, event_id=3, run_id=57,
)  # fmt: skip
GUARD = Finding(check="guards", message="the guard lap_no_update is missing")

RETRY = RetryPlan(
    stages=(
        ("thornhill/4863",),
        tuple(f"canberraoffroad/{486600 + number}" for number in range(10)),
        ("bayrc/1", "bayrc/2"),
    ),
    held=(HeldEvent("thornhill/4864", "its runs died three times without a verdict"),),
    failure_limit=0.5,
)


def report(event: str, run_id: int) -> IngestReport:
    return IngestReport("published", event, "Spring Cup", run_id, 17, 153, 5_128, "d0c", 0, 3.2)


@dataclass
class FakeRecovery:
    """Answers from its fields and remembers what it was asked to do."""

    called: list[tuple[Any, ...]] = field(default_factory=list)
    refusal: PipelineError | None = None  # what acting and asking answer
    bus: Bus = field(default_factory=Bus)
    plans: dict[str, Plan | PipelineError] = field(
        default_factory=lambda: {
            "cleanup": PARTIAL_ONLY, "cleanup_full": plan(), "reset": RESET, "restore": RESTORE, "undo": UNDO
        }
    )  # fmt: skip
    acts: Recovered | PipelineError | None = None  # what carrying out answers; None: it works, and the checks pass
    stale: int = 0  # how many times carrying out says first that the plan is out of date
    taken: tuple[Action, ...] = ACTIONS
    event_runs: tuple[RunRow, ...] = RUNS
    checked: CheckReport | PipelineError | None = None  # what the checks answer; None: all is well
    enable_needs: str | None = None  # what the switch waits for
    retry_plan: RetryPlan = RETRY
    outcomes: dict[str, PipelineError] = field(default_factory=dict)  # event → how its retry fails
    gate: threading.Event | None = None  # what is asked waits for it, so that a test can look meanwhile

    def _act(self, *call: Any) -> None:
        self.called.append(call)
        if self.refusal is not None:
            raise self.refusal

    def _plan(self, kind: str, *named: Any) -> Plan:
        self.called.append((f"plan_{kind}", *named))
        answer = self.plans[kind]
        if isinstance(answer, PipelineError):
            raise answer
        return answer

    def plan_cleanup(self, event: str, *, full: bool = False) -> Plan:
        return self._plan("cleanup_full" if full else "cleanup", event)

    def plan_reset(self, event: str) -> Plan:
        return self._plan("reset", event)

    def plan_restore(self, event: str, run_id: int) -> Plan:
        return self._plan("restore", event, run_id)

    def plan_undo(self, action_id: int) -> Plan:
        return self._plan("undo", action_id)

    def act(self, plan: Plan, *, reason: str = "") -> Recovered:
        self._act("act", plan.kind, reason)
        if self.stale:
            self.stale -= 1
            raise StateError(Kind.PLAN_STALE, f"{plan.event} changed since the {plan.kind} was planned")
        if isinstance(self.acts, PipelineError):
            raise self.acts
        self.bus.publish(Report("event_recovery", "done", event_id=plan.event_id, run_id=72))
        if self.gate is not None:
            self.gate.wait()
        undone = "it is an undo itself; take the action again instead" if plan.kind == "undo" else None
        return self.acts or Recovered(action(12, plan, 0, undo_refused=undone, reason=reason), check_report())

    def actions(self, event: str | None = None, *, limit: int = 50) -> tuple[Action, ...]:
        self._act("actions", event)
        return tuple(one for one in self.taken if event in (None, one.event))[:limit]

    def runs(self, event: str | None = None, *, limit: int = 50) -> tuple[RunRow, ...]:
        self._act("runs", event)
        return self.event_runs[:limit]

    def checks(self, event: str | None = None) -> CheckReport:
        self._act("checks", event)
        self.bus.publish(progress_report("checks", 12, 40))
        if self.gate is not None:
            self.gate.wait()
        if isinstance(self.checked, PipelineError):
            raise self.checked
        answer = self.checked or check_report(event=event)
        if answer.passed:
            self.enable_needs = None
        return answer

    def plan_retry(self, events: Sequence[str] = (), *, among: Sequence[str] | None = None) -> RetryPlan:
        if among is None:
            self._act("plan_retry")
            return self.retry_plan
        self._act("plan_retry", tuple(among))
        return RetryPlan((tuple(among),), (), 0.5)

    def retry(self, plan: RetryPlan, tell: Callable[[RetryStep], bool]) -> None:
        self._act("retry")
        names, failed = plan.events(), 0
        for done, event in enumerate(names, 1):
            error = self.outcomes.get(event)
            failed += error is not None
            told = report(event, 100 + done) if error is None else None
            stopped = "2 of 2 failed, which is more than 50%" if failed == 2 else None
            if not tell(RetryStep(event, 1, done, len(names), failed, told, error, stopped)) or stopped:
                return
            if self.gate is not None:
                self.gate.wait()
