"""`mre retry`: ingest failed events again, one first, then ten, then the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mre_console.cli import confirming
from mre_console.cli.ingest import narrator, sentence
from mre_console.cli.opening import open_service
from mre_console.cli.output import Progress, failure_text, narrate, one_line, print_json, print_text
from pipeline.errors import Kind, StateError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.retrying import RetryPlan, RetryStep


def command(
    ctx: typer.Context,
    events: Annotated[
        list[str] | None,
        typer.Argument(metavar="EVENT…", help="LiveRC event URL, SLUG/ID, or the id of a known event."),
    ] = None,
    failed: Annotated[bool, typer.Option("--failed", help="All failed events that are not held.")] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="With --failed: at most this many events.")] = None,
    max_failures: Annotated[
        int, typer.Option(min=0, max=100, metavar="PERCENT", help="Stop when more of the tried events failed.")
    ] = 50,
    dry_run: confirming.DRY_RUN = False,
    yes: confirming.YES = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object per event on stdout; the plan with --dry-run.")
    ] = False,
) -> int:
    """Ingest failed events again: the one most likely to succeed first, then ten, then the rest.

    Stops when too many fail, so that a site that is down or has changed is not asked a thousand times. To name an
    event is to act on it: a hold ends. --failed leaves held events out.
    """
    if bool(events) == failed:
        raise StateError(Kind.USAGE, "Name either events or --failed.", remedy="See `mre retry --help`.")
    if limit and not failed:
        raise StateError(Kind.USAGE, "--limit goes with --failed.", remedy="See `mre retry --help`.")
    confirming.may_ask(yes=yes, dry_run=dry_run)
    with open_service(ctx, fetches=not dry_run) as service, Progress() as progress:
        plan = service.plan_retry(events or (), limit=limit, failure_limit=max_failures / 100)
        if dry_run:
            if as_json:
                print_json(plan)
            else:
                print_text(_text(plan))
            return 0
        if not plan.stages:
            narrate(_text(plan))
            return 0
        confirming.confirm(_text(plan), f"Retry {len(plan.events())} events?", yes=yes)
        service.bus.subscribe(narrator(progress))
        return _tell(service.retry(plan), progress, as_json=as_json)


def _tell(steps: Iterator[RetryStep], progress: Progress, *, as_json: bool) -> int:
    """Show every outcome as it comes. The exit code is that of the first failure."""
    exit_code = 0
    for step in steps:
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
        narrate(f"{step.done} of {step.total} tried, {step.failed} failed")
        if step.stopped is not None:
            narrate(f"stopped after {step.done} of {step.total} events: {one_line(step.stopped)}")
    return exit_code


def _text(plan: RetryPlan) -> str:
    if plan.stages:
        lines = [f"retry of {len(plan.events())} events, stopping when more than {plan.failure_limit:.0%} fail"]
    else:
        lines = ["nothing to retry: no event is failed" + (" and free of a hold" if plan.held else "")]
    lines += [f"  {number}. {', '.join(stage)}" for number, stage in enumerate(plan.stages, 1)]
    lines += [f"  held, retried only by name: {one.event} ({one_line(one.reason)})" for one in plan.held]
    return "\n".join(lines)
