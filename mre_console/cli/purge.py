"""`mre purge`: delete for good the generations that nobody needs any more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mre_console.cli import confirming
from mre_console.cli.opening import open_service
from mre_console.cli.output import narrate, print_json, print_text
from mre_console.cli.times import shown_time

if TYPE_CHECKING:
    from pipeline.purging import PurgePlan


def command(
    ctx: typer.Context,
    older_than: Annotated[
        float | None, typer.Option(metavar="DAYS", min=0, help="Superseded runs older than this (default 30).")
    ] = None,
    keep_undo: Annotated[
        float | None, typer.Option(metavar="DAYS", min=0, help="How long actions stay undoable (default 30).")
    ] = None,
    reason: confirming.REASON = "",
    dry_run: confirming.DRY_RUN = False,
    yes: confirming.YES = False,
    as_json: confirming.JSON = False,
) -> None:
    """Delete the rows of superseded runs for good. This cannot be undone.

    What is served, the newest two published runs of every event, and whatever a young enough action needs to be undone
    stay. Runs remain in the history without their rows. SQLite reuses the space; its file does not shrink.
    """
    confirming.may_ask(yes=yes, dry_run=dry_run)
    with open_service(ctx) as service:
        plan = service.plan_purge(older_than_days=older_than, keep_undo_days=keep_undo)
        if dry_run:
            if as_json:
                print_json(plan)
            else:
                print_text(_text(plan))
            return
        if plan.changes_anything:
            confirming.confirm(_text(plan), "Delete this for good?", yes=yes)
        report = service.purge(plan, reason=reason)
    if as_json:
        print_json(report)
        return
    if not plan.changes_anything:
        narrate(_text(plan))
        return
    print_text(f"deleted for good, of {len(report.runs)} runs: {confirming.counts_text(report.rows)}")
    if report.undos:
        print_text(f"cannot be undone any more: actions {', '.join(map(str, report.undos))}")
    for one in report.passed_over:
        what = f"run {one.run_id} of {one.event}" if one.run_id is not None else one.event
        narrate(f"{what} was passed over: {one.why}")


def _text(plan: PurgePlan) -> str:
    if not plan.changes_anything:
        return "nothing to purge: everything is served, young, or needed by an undo"
    lines = [f"purge of {len(plan.runs)} runs: {confirming.counts_text(plan.rows())}"]
    lines += [
        f"  run {run.run_id} of {run.event}, ended {shown_time(run.finished_at)}: {confirming.counts_text(run.rows)}"
        for run in plan.runs
    ]
    lines += [
        f"  action {one.action_id} ({one.kind} of {one.event}) can then not be undone any more" for one in plan.undos
    ]
    return "\n".join(lines)
