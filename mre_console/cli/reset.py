"""`mre reset`: bring an event back to where it was before it was ever ingested."""

from __future__ import annotations

import typer

from mre_console.cli import confirming
from mre_console.cli.opening import open_service


def command(
    ctx: typer.Context,
    event: confirming.EVENT,
    reason: confirming.REASON = "",
    dry_run: confirming.DRY_RUN = False,
    yes: confirming.YES = False,
    as_json: confirming.JSON = False,
) -> int:
    """Give up all that an event serves, and forget its failures, the retry that is due and a hold.

    What is known of the event itself stays: its name, its dates, its track. `mre undo` takes it back.
    """
    confirming.may_ask(yes=yes, dry_run=dry_run)
    with open_service(ctx) as service:
        plan = service.plan_reset(event)
        if dry_run:
            confirming.show_plan(plan, as_json=as_json)
            return 0
        if plan.changes_anything:
            confirming.confirm(confirming.plan_text(plan), "Reset this event?", yes=yes)
        recovered = service.reset_event_ingestion(event, plan=plan, reason=reason)
    return confirming.show_recovered(recovered, plan, as_json=as_json)
