"""`mre repair`: what would let changed pages be read again, tried before it is accepted, and how to take it back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mre_console.cli.diff import show as show_diff
from mre_console.cli.opening import open_service
from mre_console.cli.output import narrate, one_line, print_json, print_table, print_text
from mre_console.cli.times import shown_time

if TYPE_CHECKING:
    from pipeline.gate import GateState
    from pipeline.repair import RepairProposal

app = typer.Typer(help="Let changed pages be read again.", no_args_is_help=True)

JSON = Annotated[bool, typer.Option("--json", help="JSON on stdout.")]
CASE = Annotated[int, typer.Argument(metavar="CASE", help="The drift case's number.")]
PAGE_TYPE = Annotated[str, typer.Argument(metavar="PAGE_TYPE", help="E.g. race_result.")]
REASON = Annotated[str, typer.Option(help="Why; kept with the contract.")]
EXIT_CLOSED = 10


@app.callback()
def _noun() -> None:
    """What would let changed pages be read again, tried before it is accepted, and how to take it back."""


@app.command()
def propose(ctx: typer.Context, case: CASE, as_json: JSON = False) -> None:
    """Learn from the case's known pages where their values stand now, and try it on pages not learnt from."""
    with open_service(ctx) as service:
        found = service.repair_proposal(case)
    if as_json:
        print_json(found)
        return
    if found.diff is not None:
        show_diff(found.diff, unified=True)
        print_text("")
    _print(found)


def _print(found: RepairProposal) -> None:
    print_text(f"proposal {found.digest} for drift case {found.case.id}")
    rows = [
        (
            one.field,
            one.status,
            one_line(one.known)[:24],
            one.new or one.note or "",
            f"{one.support}/{one.of}",
            f"{one.runner_up} ({one.runner_up_support})" if one.runner_up else "",
        )
        for one in found.proposal.fields
        if one.status != "ok"
    ]
    headers = ("field", "status", "known value", "stands now at", "support", "runner-up")
    print_table(rows, headers, empty="every field stands where it stood")
    for check in found.proposal.checks:
        said = check.failure or "; ".join((*check.wrong, *check.doubts)) or f"{check.right} values as known"
        print_text(f"  {'learnt from' if check.learnt_from else 'held out   '}  {check.url}: {one_line(said)}")
    for trial in found.trials:
        print_text(f"  never read   {trial.url}: {one_line(trial.message)}")
    for objection in found.objections:
        print_text(f"  cannot be accepted: {one_line(objection)}")
    if found.acceptable:
        narrate(f"`mre repair preview {found.case.id}`, then `mre repair accept {found.case.id} --reason …`")


@app.command()
def preview(ctx: typer.Context, case: CASE, as_json: JSON = False) -> int:
    """Read archived pages with and without the proposal, in a sandbox. Exit code 1 where one reads otherwise."""
    with open_service(ctx) as service:
        found = service.preview_repair(case)
    if as_json:
        print_json(found)
    else:
        rows = [
            (page.origin, "ok" if page.same else "CHANGED", page.url, one_line(page.message)) for page in found.pages
        ]
        print_table(rows, ("from", "", "page", "how it reads"), empty="there is nothing to try")
    return 1 if found.changed else 0


@app.command()
def accept(
    ctx: typer.Context,
    case: CASE,
    reason: REASON,
    digest: Annotated[str | None, typer.Option(help="The proposal that was shown; another one is refused.")] = None,
    offline: Annotated[
        bool, typer.Option("--offline", help="Keep no page set where the failed run lacks pages, instead of fetching.")
    ] = False,
    as_json: JSON = False,
) -> int:
    """Accept the proposal: the contract grows, the failing pages become a page set, all of them are replayed."""
    with open_service(ctx, fetches=not offline) as service:
        done = service.accept_repair(case, reason=reason, digest=digest, live=not offline)
    if as_json:
        print_json(done)
    else:
        print_text(f"{done.page_type}: version {done.version} of the contract is in force")
        if done.fixture:
            print_text(f"  kept as page set {done.fixture}")
        elif done.fixture_note:
            print_text(f"  no page set was kept: {one_line(done.fixture_note)}")
        _print_gate(done.gate)
        narrate(f"`mre drift close {case} --repaired --ingest --reason …` lets these pages be read again")
        narrate(f"`mre repair undo {done.page_type} {done.version} --reason …` takes it back")
    return 0 if done.gate.state == "green" else EXIT_CLOSED


@app.command()
def undo(
    ctx: typer.Context,
    page_type: PAGE_TYPE,
    version: Annotated[int, typer.Argument(metavar="VERSION", help="As `mre repair history` shows it.")],
    reason: REASON,
    as_json: JSON = False,
) -> int:
    """Take back an accepted version, and only that; page sets that were kept for it are retired."""
    with open_service(ctx) as service:
        done = service.undo_repair(page_type, version, reason=reason)
    if as_json:
        print_json(done)
    else:
        print_text(f"{done.page_type}: version {done.version} takes back version {version}")
        for event_id in done.retired:
            print_text(f"  page set {event_id} is retired")
        if done.note:
            print_text(f"  {one_line(done.note)}")
        _print_gate(done.gate)
    return 0 if done.gate.state == "green" else EXIT_CLOSED


@app.command()
def export(ctx: typer.Context, page_type: PAGE_TYPE) -> None:
    """What was added to a shipped contract, as a patch for the next version of the program."""
    with open_service(ctx) as service:
        patch = service.export_contract(page_type)
    if patch:
        print_text(patch.rstrip("\n"))
    else:
        narrate(f"nothing was added to the contract of {page_type} pages")


@app.command()
def history(
    ctx: typer.Context,
    page_type: Annotated[str | None, typer.Argument(metavar="[PAGE_TYPE]")] = None,
    as_json: JSON = False,
) -> None:
    """Every accepted and withdrawn addition, oldest first."""
    with open_service(ctx) as service:
        steps = service.contract_history(page_type)
    if as_json:
        print_json(steps)
        return
    rows = [
        (one.page_type, one.version, one.action, one.case or "", shown_time(one.at), one.who, one.reason)
        for one in steps
    ]
    print_table(rows, ("page type", "version", "", "case", "when", "who", "why"), empty="nothing was ever added")


def _print_gate(state: GateState) -> None:
    failing = f": {state.failing_set} {one_line(state.first_difference or '')}" if state.failing_set else ""
    print_text(f"  gate {state.state}{failing}")
