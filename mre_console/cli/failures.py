"""`mre failures`: what fails, grouped by cause: forty events with one reason are one thing to mend."""

from __future__ import annotations

from typing import Annotated

import typer

from mre_console.cli.opening import open_service
from mre_console.cli.output import narrate, one_line, print_json, print_text
from mre_console.cli.times import shown_time


def command(
    ctx: typer.Context,
    days: Annotated[int, typer.Option(min=1, max=3_650, help="How far to look back.")] = 30,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per cause and line.")] = False,
) -> None:
    """Failed ingestions by cause (stage, kind, page type, field); what events still fail of comes first."""
    with open_service(ctx) as service:
        groups = service.failure_groups(days=days)
    for group in groups:
        if as_json:
            print_json(group)
            continue
        place = " · ".join(part for part in (group.page_type, group.field) if part)
        print_text(f"{group.stage} failed ({group.kind}){f' · {place}' if place else ''}")
        print_text(
            f"  {group.count} times, {group.open_count} of {group.event_count} events still failed; "
            f"first {shown_time(group.first_seen)}, last {shown_time(group.last_seen)}"
        )
        print_text(f"  newest (run {group.newest_run_id}): {one_line(group.message)}")
        print_text(f"  events: {', '.join(group.events)}{' …' if group.event_count > len(group.events) else ''}")
        print_text(f"  what to do: {group.remedy}")
    if not groups:
        narrate(f"nothing failed in the last {days} days")
