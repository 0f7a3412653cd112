"""`mre drift`: has LiveRC changed its pages? Cases, the probes that decide them, and canary events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mre_console.cli.ingest import narrator, sentence
from mre_console.cli.opening import open_service
from mre_console.cli.output import Progress, failure_text, narrate, one_line, print_json, print_table, print_text
from mre_console.cli.times import shown_time
from pipeline.errors import Kind, StateError

if TYPE_CHECKING:
    from pipeline.drift import Case
    from pipeline.probes import CanaryResult
    from pipeline.service import Service

app = typer.Typer(help="Has LiveRC changed its pages?", no_args_is_help=True)
canary = typer.Typer(help="Events that are fetched again only to see whether they still read equal.")
app.add_typer(canary, name="canary", no_args_is_help=True)

JSON = Annotated[bool, typer.Option("--json", help="JSON on stdout.")]
CASE = Annotated[int, typer.Argument(metavar="CASE", help="The case's number, as `mre drift list` shows it.")]
EVENT = Annotated[str, typer.Argument(metavar="EVENT")]


@app.callback()
def _noun() -> None:
    """Has LiveRC changed its pages? Cases, the probes that decide them, and canary events."""


@app.command("list")
def list_(
    ctx: typer.Context,
    open_only: Annotated[bool, typer.Option("--open", help="Only cases that nobody has closed.")] = False,
    as_json: JSON = False,
) -> None:
    """Drift cases, newest first."""
    with open_service(ctx) as service:
        cases = service.drift_cases(open_only=open_only)
    if as_json:
        print_json(cases)
        return
    rows = [
        (case.id, case.state, case.page_type, case.field, len(case.events), shown_time(case.opened_at), case.reason)
        for case in cases
    ]
    headers = ("case", "state", "page type", "field", "events", "opened", "why")
    print_table(rows, headers, empty="no drift case: every page looks as pages of its type do")


@app.command()
def show(ctx: typer.Context, case: CASE, as_json: JSON = False) -> None:
    """One case: what is doubted, what the probes said, and which events it is about."""
    with open_service(ctx) as service:
        found = service.drift_case(case)
    _print(found, as_json=as_json)


@app.command()
def probe(ctx: typer.Context, case: CASE, as_json: JSON = False) -> None:
    """Fetch known pages of other events again, and decide the case by whether they still read equal."""
    with open_service(ctx, fetches=True) as service:
        found = service.probe(case)
    _print(found, as_json=as_json)


@app.command()
def close(
    ctx: typer.Context,
    case: CASE,
    reason: Annotated[str, typer.Option(help="Why; kept with the case.")],
    repaired: Annotated[bool, typer.Option("--repaired", help="The pages can be read again.")] = False,
    dismissed: Annotated[bool, typer.Option("--dismissed", help="It is no drift: the pages are as they are.")] = False,
    ingest: Annotated[bool, typer.Option("--ingest", help="Then ingest the events of the case again.")] = False,
    as_json: JSON = False,
) -> int:
    """Close a case: the page type is read again, and what was doubted is believed if the case is dismissed."""
    if repaired == dismissed:
        raise StateError(Kind.USAGE, "Say either --repaired or --dismissed.", remedy="See `mre drift close --help`.")
    with open_service(ctx, fetches=ingest) as service:
        found = service.close_drift_case(case, "repaired" if repaired else "dismissed", reason=reason)
        if not ingest:
            _print(found, as_json=as_json)
            return 0
        return _ingest(service, case, as_json=as_json)


@app.command("ingest")
def ingest_(ctx: typer.Context, case: CASE, as_json: JSON = False) -> int:
    """Ingest the events of a closed case again: those that failed on it and those that were refused."""
    with open_service(ctx, fetches=True) as service:
        return _ingest(service, case, as_json=as_json)


def _ingest(service: Service, case: int, *, as_json: bool) -> int:
    """Show every outcome as it comes. The exit code is that of the first failure."""
    exit_code = 0
    with Progress() as progress:
        service.bus.subscribe(narrator(progress))
        for step in service.ingest_case(case):
            progress.clear()
            if step.error is not None:
                exit_code = exit_code or step.error.rule.exit_code
                if as_json:
                    print_json(step.error.with_details(event=step.event).envelope())
                else:
                    narrate(f"{step.event}: {failure_text(step.error)}")
            elif step.report is not None:
                if as_json:
                    print_json(step.report)
                else:
                    print_text(sentence(step.report))
    return exit_code


def _print(case: Case, *, as_json: bool) -> None:
    if as_json:
        print_json(case)
        return
    blocks = ": these pages are read nowhere" if case.blocks else ""
    print_text(f"drift case {case.id}: {case.page_type} pages, {case.state}{blocks}")
    facts = {
        "opened": f"{shown_time(case.opened_at)}" + (f" by {case.event}, run {case.run_id}" if case.event else ""),
        "why": case.reason,
        "field": case.field,
        "selector": next((doubt.selector for doubt in case.doubts if doubt.selector), None),
        "verdict": case.verdict or "not probed yet",
        "closed": f"{shown_time(case.closed_at)} by {case.closed_by}: {case.closed_why}" if case.closed_at else None,
    }
    for name, value in facts.items():
        if value:
            print_text(f"  {name:<9} {one_line(value)}")
    for doubt in case.doubts[1:]:
        print_text(f"  doubted   {one_line(doubt.why)}")
    for one in case.probes:
        print_text(
            f"  probe     {one.event} {one.verdict} {one.url}{f': {one_line(one.message)}' if one.message else ''}"
        )
    for event in case.events:
        again = f", ingested again {shown_time(event.released_at)}" if event.released_at else ""
        print_text(f"  event     {event.event} {event.role}, now {event.state}{again}")
    if case.closed_at is not None and any(event.released_at is None for event in case.events):
        narrate(f"`mre drift ingest {case.id}` ingests its events again")


# ---------------------------------------------------------------- canaries


@canary.command("add")
def canary_add(ctx: typer.Context, event: EVENT) -> None:
    """Watch an event that is served."""
    with open_service(ctx) as service:
        added = service.add_canary(event)
    narrate(f"{event} is a canary now" if added else f"{event} is a canary already")


@canary.command("remove")
def canary_remove(ctx: typer.Context, event: EVENT) -> None:
    """Watch an event no longer."""
    with open_service(ctx) as service:
        removed = service.remove_canary(event)
    narrate(f"{event} is no canary any more" if removed else f"{event} is no canary")


@canary.command("list")
def canary_list(ctx: typer.Context, as_json: JSON = False) -> None:
    """The canary events, and how each read when it was last looked at."""
    with open_service(ctx) as service:
        found = service.canaries()
    if as_json:
        print_json(found)
        return
    rows = [
        (one.event, shown_time(one.added_at), one.added_by, shown_time(one.checked_at), _outcome(one.result))
        for one in found
    ]
    headers = ("event", "added", "by", "looked at", "outcome")
    print_table(rows, headers, empty="no canary: `mre drift canary add EVENT` makes one")


@canary.command("run")
def canary_run(ctx: typer.Context, as_json: JSON = False) -> int:
    """Fetch the canaries' pages again now. Exit code 9 where one does not read as its archive."""
    with open_service(ctx, fetches=True) as service:
        results = service.run_canaries()
    if as_json:
        print_json(results)
    else:
        rows = [(one.event, _outcome(one), one.case) for one in results]
        print_table(rows, ("event", "outcome", "case"), empty="no canary: `mre drift canary add EVENT` makes one")
    return 9 if any(one.passed is False for one in results) else 0


def _outcome(result: CanaryResult | None) -> str | None:
    return None if result is None else one_line(result.message)
