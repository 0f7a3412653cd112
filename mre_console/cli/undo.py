"""`mre undo`: take a recovery action back."""

from __future__ import annotations

from typing import Annotated

import typer

from mre_console.cli import confirming
from mre_console.cli.opening import open_service


def command(
    ctx: typer.Context,
    action: Annotated[int, typer.Argument(metavar="ACTION", help="Its number, from `mre actions list`.")],
    reason: confirming.REASON = "",
    dry_run: confirming.DRY_RUN = False,
    yes: confirming.YES = False,
    as_json: confirming.JSON = False,
) -> int:
    """Take an action back: the event serves again exactly what it served before, and removed rows return.

    Refused where the event changed since; `mre restore EVENT --run N` serves any run that was not purged.
    """
    confirming.may_ask(yes=yes, dry_run=dry_run)
    with open_service(ctx) as service:
        plan = service.plan_undo(action)
        if dry_run:
            confirming.show_plan(plan, as_json=as_json)
            return 0
        confirming.confirm(confirming.plan_text(plan), "Undo this action?", yes=yes)
        recovered = service.undo(action, plan=plan, reason=reason)
    return confirming.show_recovered(recovered, plan, as_json=as_json)
