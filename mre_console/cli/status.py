"""`mre status`: what is running, what failed, what is served, what waits for a person."""

from __future__ import annotations

from typing import Annotated

import typer

from mre_console.cli.opening import open_service
from mre_console.cli.output import one_line, print_json, print_text
from mre_console.cli.times import shown_time


def command(
    ctx: typer.Context, as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False
) -> None:
    """What is running, what failed, what is served, what waits for a person."""
    with open_service(ctx) as service:
        status = service.status()
        health = service.health()
    if as_json:
        import msgspec

        print_json({**msgspec.to_builtins(status), "health": health})
        return
    print_text(f"health: {health.state.upper()}")
    for reason in health.reasons:
        print_text(f"  {one_line(reason.text)}")
    if status.control.mode != "enabled":
        print_text(
            f"ingestion is {status.control.mode.upper()} since {shown_time(status.control.changed_at)} by "
            f"{status.control.changed_by}: {one_line(status.control.reason or '')}"
        )
    totals = status.totals
    states = ", ".join(f"{count} {state}" for state, count in totals.events_by_state.items())
    print_text(f"events: {totals.events} ({states or 'none yet'}); {totals.served} served")
    print_text(f"served: {totals.races:,} races, {totals.results:,} results, {totals.laps:,} laps")
    for lock in status.locks:
        expired = "EXPIRED, " if lock.expired else ""
        print_text(
            f"running: {lock.event} run {lock.run_id}, {lock.progress or 'begins'}; "
            f"{expired}holder {lock.verdict}: {lock.evidence}"
        )
    for line in status.failed:
        print_text(f"failed: {line.event} since {shown_time(line.failed_at)}")
        if line.failure is not None:
            print_text(f"  {line.failure.stage} ({line.failure.details.get('kind')}): {one_line(line.failure.message)}")
            print_text(f"  what to do: {line.failure.details.get('remedy')}")
    for warning in status.warnings:
        print_text(f"warning since {shown_time(warning.at)}: {one_line(warning.message)}")
