"""`mre restore`: serve an older run of an event, or take back all that a bad parser build published."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mre_console.cli import confirming
from mre_console.cli.opening import open_service
from mre_console.cli.output import failure_text, narrate, print_json, print_text
from pipeline.errors import Kind, StateError

if TYPE_CHECKING:
    from pipeline.plans import Rollback
    from pipeline.service import Service


def command(
    ctx: typer.Context,
    event: Annotated[str | None, typer.Argument(metavar="EVENT")] = None,
    run: Annotated[
        int | None, typer.Option("--run", help="The run to serve; `mre events show EVENT` names them.")
    ] = None,
    parser_build: Annotated[
        str | None,
        typer.Option("--parser-build", metavar="BUILD", help="All events that this build published, or its beginning."),
    ] = None,
    reason: confirming.REASON = "",
    dry_run: confirming.DRY_RUN = False,
    yes: confirming.YES = False,
    as_json: confirming.JSON = False,
) -> int:
    """Serve an older published run of an event, or return every event that a bad parser build published to its run
    before; an event that has none serves nothing afterwards. Each event gets an action of its own, to be undone by."""
    if (event is None) == (parser_build is None) or (event is None) != (run is None):
        raise StateError(
            Kind.USAGE, "Name either EVENT --run N or --parser-build BUILD.", remedy="See `mre restore --help`."
        )
    confirming.may_ask(yes=yes, dry_run=dry_run)
    with open_service(ctx) as service:
        if parser_build is not None:
            return _roll_back(service, parser_build, reason, dry_run=dry_run, yes=yes, as_json=as_json)
        plan = service.plan_restore(event or "", run or 0)
        if dry_run:
            confirming.show_plan(plan, as_json=as_json)
            return 0
        recovered = None
        if plan.changes_anything:
            confirming.confirm(confirming.plan_text(plan), "Serve this run?", yes=yes)
            recovered = service.act(plan, reason=reason)
    return confirming.show_recovered(recovered, plan, as_json=as_json)


def _roll_back(service: Service, parser_build: str, reason: str, *, dry_run: bool, yes: bool, as_json: bool) -> int:
    rollback = service.plan_restore_build(parser_build)
    if dry_run:
        if as_json:
            print_json(rollback)
        else:
            print_text(_text(rollback))
        return 0
    if rollback.plans:
        confirming.confirm(_text(rollback), f"Roll {len(rollback.plans)} events back?", yes=yes)
    exit_code = 0
    for step in service.roll_back(rollback, reason=reason):
        if step.error is not None:
            exit_code = exit_code or step.error.rule.exit_code
            if as_json:
                print_json(step.error.with_details(event=step.event).envelope())
            else:
                narrate(f"{step.event}: {failure_text(step.error)}")
        elif step.recovered is not None:
            shown = confirming.show_recovered(step.recovered, step.recovered.action.plan, as_json=as_json)
            exit_code = exit_code or shown
    for refused in rollback.refused:
        exit_code = exit_code or 7
        narrate(f"{refused.event} was left as it is ({refused.kind}): {refused.message}")
    if not rollback.plans and not rollback.refused:
        narrate(f"nothing to do: no event serves a run of build {rollback.parser_build}")
    return exit_code


def _text(rollback: Rollback) -> str:
    lines = [f"roll back of parser build {rollback.parser_build}: {len(rollback.plans)} events"]
    lines += [confirming.plan_text(plan) for plan in rollback.plans]
    lines += [f"left as it is: {one.event} ({one.kind}): {one.message}" for one in rollback.refused]
    return "\n".join(lines)
