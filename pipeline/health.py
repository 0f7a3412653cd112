"""How the pipeline is: healthy, degraded, failing or disabled, each with its reasons. One judgement for everybody.

Header, `mre status` and `/health` show the same answer because all ask `judge`, which is pure: evidence in, state and
reasons out. A flag that says "running" is no evidence; ages and rates are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from msgspec import Struct

from pipeline.errors import PipelineError

if TYPE_CHECKING:
    from pipeline.snapshot import GateLine
    from pipeline.store.database import Store

HEALTHY, DEGRADED, FAILING, DISABLED = "healthy", "degraded", "failing", "disabled"
_WORSE = (HEALTHY, DEGRADED, FAILING)

WINDOW_MS = 24 * 3_600_000  # what failure rates look at
RUNS_JUDGED = 50  # the newest of that window
FEWEST_RUNS = 4  # fewer say nothing about a rate
RATE_DEGRADED = 0.1
RATE_FAILING = 0.5
LATE_TICKS = 3  # how many intervals a scheduler may be silent


class Reason(Struct, frozen=True):
    """One cause of a state that is not healthy."""

    code: str  # stable, e.g. lease_expired
    state: str  # what it makes of the whole: degraded, failing or disabled
    text: str  # one sentence


class Evidence(Struct, frozen=True, kw_only=True):
    """What is known at one moment. None: does not apply here."""

    at: int = 0  # UTC milliseconds, the database's clock
    database_error: str | None = None
    mode: str = "enabled"  # of the global switch
    mode_reason: str | None = None
    outcomes: tuple[str, ...] = ()  # of the newest ingestions, newest first
    last_success_age_ms: int | None = None
    expired_leases: tuple[str, ...] = ()  # slug/id
    held_events: int = 0
    open_warnings: int = 0
    gate_closed: str | None = None  # why live ingestion is closed, in words
    blocked_page_types: tuple[str, ...] = ()
    open_drift_cases: int = 0
    tick_age_ms: int | None = None  # of the scheduler's last tick, where one should run
    tick_interval_ms: int = 0


class Health(Struct, frozen=True):
    """The judgement."""

    state: str  # healthy, degraded, failing, disabled
    reasons: tuple[Reason, ...]  # worst first
    evidence: Evidence


def judge(evidence: Evidence) -> Health:
    """State and reasons of the evidence; the worst reason decides, and a switch that is off stands above all but a
    database that does not answer."""
    reasons = tuple(_reasons(evidence))
    worst = max((reason.state for reason in reasons if reason.state in _WORSE), key=_WORSE.index, default=HEALTHY)
    state = DISABLED if evidence.mode != "enabled" and evidence.database_error is None else worst
    order = (DISABLED, FAILING, DEGRADED)
    return Health(state, tuple(sorted(reasons, key=lambda reason: order.index(reason.state))), evidence)


def _reasons(evidence: Evidence) -> list[Reason]:
    e = evidence
    if e.database_error is not None:
        return [Reason("database_down", FAILING, f"the database does not answer: {e.database_error}")]
    found = []
    if e.mode != "enabled":
        found.append(Reason("switch_off", DISABLED, f"ingestion is {e.mode}: {e.mode_reason or 'no reason given'}"))
    if e.gate_closed is not None:
        found.append(Reason("gate_closed", FAILING, f"the gate is closed: {e.gate_closed}"))
    if e.blocked_page_types:
        found.append(Reason("page_type_blocked", FAILING, f"blocked page types: {', '.join(e.blocked_page_types)}"))
    elif e.open_drift_cases:
        found.append(Reason("drift_suspected", DEGRADED, f"{_count(e.open_drift_cases, 'drift case')} open"))
    found += _of_rate(e.outcomes)
    if e.tick_age_ms is not None and e.tick_age_ms > LATE_TICKS * e.tick_interval_ms:
        found.append(Reason("tick_late", FAILING, f"the schedule's last tick is {e.tick_age_ms / 1000:.0f} s old"))
    if e.expired_leases:
        found.append(Reason("lease_expired", DEGRADED, f"no heartbeat for {', '.join(e.expired_leases[:5])}"))
    if e.held_events:
        found.append(Reason("events_held", DEGRADED, f"{_count(e.held_events, 'event')} held until a person acts"))
    if e.open_warnings:
        found.append(Reason("warnings_open", DEGRADED, f"{_count(e.open_warnings, 'warning')} not acknowledged"))
    return found


def _of_rate(outcomes: Sequence[str]) -> list[Reason]:
    failed = sum(outcome in ("failed", "interrupted", "cleared") for outcome in outcomes)
    if len(outcomes) < FEWEST_RUNS or failed / len(outcomes) < RATE_DEGRADED:
        return []
    state = FAILING if failed / len(outcomes) >= RATE_FAILING else DEGRADED
    return [Reason("runs_failing", state, f"{failed} of the newest {len(outcomes)} ingestions failed")]


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def gather(open_store: Callable[[], Store], build: Callable[[], str] | None = None) -> Evidence:
    """The evidence as the database has it. Never raises PipelineError: that the database is silent is evidence too.

    `build` names the readers whose gate is asked for.
    """
    from pipeline import drift, leases
    from pipeline.looking import gate_line
    from pipeline.schedule import TICK_S
    from pipeline.store import control, failures, gauges, workers

    try:
        store = open_store()
        with store.read():
            now = store.clock_ms()
            counts = gauges.read(store)
            switch = control.read(store)
            outcomes = failures.newest_outcomes(store, since_ms=now - WINDOW_MS, limit=RUNS_JUDGED)
            success = failures.newest_success_at(store)
            expired = leases.list_locks(store) if counts.leases_expired else ()
            tick_age = workers.tick_age(store)
            changed = drift.picture(store)
            gate = None if build is None else gate_line(store, build())
    except PipelineError as error:
        return Evidence(database_error=error.message)
    return Evidence(
        at=now,
        mode=switch.mode,
        mode_reason=switch.reason,
        outcomes=tuple(outcome for outcome, _ in outcomes),
        last_success_age_ms=None if success is None else now - success,
        expired_leases=tuple(lock.event for lock in expired if lock.expired),
        held_events=counts.events_held,
        open_warnings=counts.warnings_open,
        gate_closed=_closed(gate),
        blocked_page_types=changed.blocked,
        open_drift_cases=len(changed.cases),
        tick_age_ms=tick_age,
        tick_interval_ms=round(TICK_S * 1000),
    )


def _closed(gate: GateLine | None) -> str | None:
    """Why the gate is closed, in words; a build that nobody judged yet is judged by the next ingestion."""
    if gate is None or gate.state != "red":
        return None
    place = f", {gate.failing_field}" if gate.failing_field else ""
    return f"page set {gate.failing_set}{place}: {gate.first_difference}"
