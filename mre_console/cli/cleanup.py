"""`mre cleanup`: remove what no published run holds; with --full, give up all that an event serves."""

from __future__ import annotations

from typing import Annotated

import typer

from mre_console.cli import confirming
from mre_console.cli.opening import open_service


def command(
    ctx: typer.Context,
    event: confirming.EVENT,
    full: Annotated[bool, typer.Option("--full", help="Give up all served races, results and laps too.")] = False,
    reason: confirming.REASON = "",
    dry_run: confirming.DRY_RUN = False,
    yes: confirming.YES = False,
    as_json: confirming.JSON = False,
) -> int:
    """Remove an event's partial rows and orphans: rows of runs that published nothing, rows without their parent.

    Complete older runs and every other event stay as they are. What is removed is kept with the action, so that
    `mre undo` can return it. With --full the event serves nothing afterwards; its published runs stay until a purge.
    """
    confirming.may_ask(yes=yes, dry_run=dry_run)
    with open_service(ctx) as service:
        plan = service.plan_cleanup(event, full=full)
        if dry_run:
            confirming.show_plan(plan, as_json=as_json)
            return 0
        recovered = None
        if plan.changes_anything:
            confirming.confirm(confirming.plan_text(plan), "Clean up this event?", yes=yes)
            recovered = service.act(plan, reason=reason)
    return confirming.show_recovered(recovered, plan, as_json=as_json)
