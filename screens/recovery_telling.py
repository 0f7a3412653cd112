"""Recovery told at length: a plan, an action that was taken, what the checks said of it, a retry of many events.

Pure functions from the pipeline's structs to lines of phrases, as in `screens.telling`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.plans import said
from screens.telling import Line
from screens.words import Phrase, Tone, clean, count, moment

if TYPE_CHECKING:
    from pipeline.checks import CheckReport
    from pipeline.plans import Change, Counts, Plan, RunEffect
    from pipeline.recovering import Recovered
    from pipeline.recovery import Action

# What helps an event that does not pass its checks; ingesting it alone finds the document unchanged.
WAYS_OUT = "o serves an older run; x gives up what is served, then r ingests it again."
LABEL_WIDTH = 17  # cells
_COLUMNS = {
    "state": "state",
    "current_run_id": "serves run",
    "ingest_depth": "depth",
    "last_ingested_at": "last ingested",
    "failed_attempts": "failed attempts",
    "lost_runs": "lost runs",
    "retry_at": "retry due",
    "held_reason": "held because",
    "held_at": "held since",
}
_TIMES = ("last_ingested_at", "retry_at", "held_at")
_PLURALS = {"event_header": "event headers", "race": "races", "result": "results", "lap": "laps", "entry": "entries"}
_EFFECTS = {
    "removed": Phrase("− removed", Tone.WARN),
    "put back": Phrase("+ put back", Tone.GOOD),
    "given up": Phrase("○ given up", Tone.WARN),
    "served": Phrase("● served", Tone.GOOD),
}


def plan_title(plan: Plan) -> str:
    """`full cleanup of harbour/7000 Harbour Cup`."""
    name = f" {clean(plan.event_name)}" if plan.event_name else ""
    return f"{said(plan)} {'for' if plan.kind == 'restore' else 'of'} {clean(plan.event)}{name}"


def counts_text(counts: Counts) -> str:
    """`2 races, 4 results, 1 lap`; `nothing` for no rows."""
    return ", ".join(_counted(table, number) for table, number in counts.items()) or "nothing"


def _counted(table: str, number: int) -> str:
    return f"{number:,} {table.replace('_', ' ') if number == 1 else _PLURALS.get(table, table)}"


def plan_lines(plan: Plan) -> list[Line]:
    """The whole plan: columns, runs, rows and states that change."""
    title = plan_title(plan)
    lines: list[Line] = [[Phrase(title[0].upper() + title[1:], Tone.BUSY)], []]
    if not plan.changes_anything:
        return [*lines, [Phrase(f"There is nothing to do: {clean(plan.event)} is as this would leave it.")]]
    lines += [_labelled(_COLUMNS.get(one.field, one.field), *_change(one)) for one in plan.changes]
    lines += [_labelled(_whose(run), *_effect(run)) for run in plan.runs]
    if plan.orphans:
        text = f"▲ {counts_text(plan.orphans)} without a parent: no undo can bring these back"
        lines.append(_labelled("for good", Phrase(text, Tone.BAD)))
    served = f"{counts_text(plan.served_before)} → {counts_text(plan.served_after)}"
    lines.append(_labelled("what is served", Phrase(served)))
    lines.append(_labelled("steps", Phrase(" → ".join((plan.based_on.state, *plan.steps)), Tone.QUIET)))
    if any(run.effect in ("given up", "removed") and run.run_id is not None for run in plan.runs):
        kept = "The rows of these runs are kept until a purge, so that they can return."
        lines += [[], [Phrase(kept, Tone.QUIET)]]
    return lines


def _labelled(label: str, *phrases: Phrase) -> Line:
    return [Phrase(f"{label:<{LABEL_WIDTH}}", Tone.QUIET), *phrases]


def _change(change: Change) -> tuple[Phrase, ...]:
    return (Phrase(f"{_value(change, change.before)} → "), Phrase(_value(change, change.after), Tone.BUSY))


def _value(change: Change, value: str | int | None) -> str:
    if value is None:
        return "none"
    return moment(int(value)) if change.field in _TIMES else clean(str(value))


def _whose(run: RunEffect) -> str:
    return f"run {run.run_id}" if run.run_id is not None else "orphans"


def _effect(run: RunEffect) -> tuple[Phrase, ...]:
    return (_EFFECTS.get(run.effect, Phrase(run.effect)), Phrase(f"  {counts_text(run.rows)}"))


# ---------------------------------------------------------------- what was done


def recovered_lines(recovered: Recovered) -> list[Line]:
    """How an action ended, and what the checks said of the event afterwards."""
    action, report = recovered.action, recovered.checks
    done = f"● Done: {said(action.plan)} of {clean(action.event)}"
    lines: list[Line] = [[Phrase(done, Tone.GOOD), Phrase(f"  (action {action.id}, run {action.run_id})", Tone.QUIET)]]
    if report is None:
        return [*lines, [Phrase(f"▲ Nobody could check the event: {clean(recovered.unchecked)}", Tone.WARN)]]
    return [*lines, verdict_line(report), *finding_lines(report)]


def verdict_line(report: CheckReport) -> Line:
    """How a run of the checks ended, in one line."""
    number = f"run {report.id}" if report.id is not None else "not recorded: read-only"
    facts = f"{count(len(report.checks), 'check')} in {report.seconds:.1f} s ({number})"
    warned = f", {count(report.warnings, 'warning')}" if report.warnings else ""
    if report.passed:
        return [Phrase(f"● The checks passed{warned}: ", Tone.WARN if warned else Tone.GOOD), Phrase(facts, Tone.QUIET)]
    held = f"; held: {', '.join(map(clean, report.held))}" if report.held else ""
    found = f"✗ The checks failed: {count(report.errors, 'error')}{warned}{held}. "
    return [Phrase(found, Tone.BAD), Phrase(facts, Tone.QUIET)]


def finding_lines(report: CheckReport) -> list[Line]:
    """What the checks found, errors first."""
    marks = {"error": ("✗", Tone.BAD), "warning": ("▲", Tone.WARN)}
    return [
        [Phrase(f"  {mark} {finding.check}: ", tone), Phrase(clean(finding.message))]
        for finding in report.findings
        for mark, tone in (marks.get(finding.severity, ("?", Tone.WARN)),)
    ]


def action_lines(action: Action) -> list[Line]:
    """One action: who took it, what it changed, whether it can be undone."""
    lines: list[Line] = [
        [
            Phrase(f"Action {action.id}, run {action.run_id}, {moment(action.at)}"),
            Phrase(f"  by {clean(action.who)}", Tone.QUIET),
        ]
    ]
    if action.reason:
        lines.append([Phrase("Reason: ", Tone.QUIET), Phrase(clean(action.reason))])
    return [*lines, [], *plan_lines(action.plan), [], undo_line(action)]


def undo_line(action: Action) -> Line:
    """Can it be undone, and if not, why not."""
    if action.undo_refused is None:
        return [Phrase("z takes it back", Tone.GOOD), Phrase(", until a purge closes the undo.", Tone.QUIET)]
    return [Phrase("No undo: ", Tone.WARN), Phrase(clean(action.undo_refused))]
