"""Plan → confirm → act on the command line, the same for every recovery command.

`--dry-run` prints the plan on stdout and ends there. At a terminal the plan is shown and asked about, no being the
default; without a terminal nothing happens unless `--yes` was said.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from mre_console.cli.asking import at_terminal, require_yes
from mre_console.cli.output import narrate, one_line, print_json, print_text
from mre_console.cli.times import shown_time
from pipeline.errors import TABLE, Kind, StateError

if TYPE_CHECKING:
    from pipeline.plans import Change, Counts, Plan
    from pipeline.recovering import Recovered

DRY_RUN = Annotated[bool, typer.Option("--dry-run", help="Show the plan and change nothing.")]
YES = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
JSON = Annotated[bool, typer.Option("--json", help="JSON on stdout: the plan with --dry-run, else what was done.")]
REASON = Annotated[str, typer.Option(help="Why; kept with the action and in the journal.")]
EVENT = Annotated[str, typer.Argument(metavar="EVENT", help="LiveRC event URL, SLUG/ID, or the id of a known event.")]

FINDINGS_SHOWN = 5

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
_PLURALS = {"event_header": "event headers", "race": "races", "result": "results", "lap": "laps", "entry": "entries"}


def may_ask(*, yes: bool, dry_run: bool) -> None:
    """Raise StateError USAGE where nobody could answer the question that will come."""
    if not (yes or dry_run or at_terminal()):
        raise StateError(
            Kind.USAGE,
            "Nobody is there to confirm this: say --yes, or look first with --dry-run.",
            remedy="Add --yes or --dry-run.",
        )


def confirm(plan_text: str, question: str, *, yes: bool) -> None:
    """Show the plan and go on only if the answer is yes. Raises StateError INTERRUPTED."""
    if not yes:
        narrate(plan_text)
        require_yes(question)


def show_plan(plan: Plan, *, as_json: bool) -> None:
    """The plan as the result of a dry run."""
    if as_json:
        print_json(plan)
    else:
        print_text(plan_text(plan))


def show_recovered(recovered: Recovered | None, plan: Plan, *, as_json: bool) -> int:
    """What was done and what the checks said of it; the exit code. None: there was nothing to do."""
    if recovered is None:
        narrate(nothing_to_do(plan))
        if as_json:
            print_json(None)
        return 0
    if as_json:
        print_json(recovered)
    else:
        action = recovered.action
        print_text(f"action {action.id}, run {action.run_id}: {plan_title(action.plan)}")
        for line in _lines(action.plan):
            print_text(f"  {line}")
        if action.undo_refused is None:
            narrate(f"take it back with `mre undo {action.id}`")
    return _tell_checks(recovered)


def _tell_checks(recovered: Recovered) -> int:
    """How the checks after the action ended, and the exit code that this means."""
    report = recovered.checks
    if report is None:
        narrate(f"the action was taken, but the event could not be checked: {recovered.unchecked}")
        return TABLE[Kind.CHECKS_FAILED].exit_code
    if report.passed:
        return 0
    narrate(f"the checks failed (run {report.id}), so {recovered.action.event} is held:")
    for finding in report.findings[:FINDINGS_SHOWN]:
        narrate(f"  {finding.check}: {one_line(finding.message)}")
    narrate(f"see `mre checks {recovered.action.event}`")
    return TABLE[Kind.CHECKS_FAILED].exit_code


def nothing_to_do(plan: Plan) -> str:
    return f"nothing to do: {plan.event} is as {_title(plan)} would leave it"


def plan_title(plan: Plan) -> str:
    """`full cleanup of harbour/7000 'Harbour Cup'`."""
    name = f" {one_line(plan.event_name)!r}" if plan.event_name else ""
    return (
        f"{_title(plan)} of {plan.event}{name}" if plan.kind != "restore" else f"{_title(plan)} for {plan.event}{name}"
    )


def plan_text(plan: Plan) -> str:
    """The whole plan, a line each for what changes."""
    if not plan.changes_anything:
        return nothing_to_do(plan)
    return "\n".join([plan_title(plan), *(f"  {line}" for line in _lines(plan))])


def counts_text(counts: Counts) -> str:
    """`2 races, 4 results, 1 lap`; `none` for no rows."""
    return ", ".join(_counted(table, count) for table, count in counts.items()) or "none"


def _counted(table: str, count: int) -> str:
    return f"{count:,} {table.replace('_', ' ') if count == 1 else _PLURALS[table]}"


def _title(plan: Plan) -> str:
    from pipeline.plans import said

    return said(plan)


def _lines(plan: Plan) -> Iterator[str]:
    for change in plan.changes:
        yield f"{_COLUMNS[change.field]}: {_value(change, change.before)} → {_value(change, change.after)}"
    for run in plan.runs:
        whose = f"run {run.run_id}" if run.run_id is not None else "orphans"
        yield f"{whose} {run.effect}: {counts_text(run.rows)}"
    if plan.removes:
        yield f"rows removed from the tables: {counts_text(plan.removes)}"
    if plan.orphans:
        yield f"of these, no undo can bring back orphans: {counts_text(plan.orphans)}"
    if plan.puts_back:
        yield f"rows put back into the tables: {counts_text(plan.puts_back)}"
    yield f"steps: {' → '.join((plan.based_on.state, *plan.steps))}"


def _value(change: Change, value: str | int | None) -> str:
    if value is None:
        return "none"
    if change.field in ("last_ingested_at", "retry_at", "held_at"):
        return shown_time(int(value))
    return one_line(str(value))
