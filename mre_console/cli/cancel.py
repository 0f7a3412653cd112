"""`mre cancel`: ask whoever works on an event to stop, and wait for it."""

from __future__ import annotations

from typing import Annotated

import typer

from mre_console.cli.opening import open_service
from mre_console.cli.output import narrate, print_json
from pipeline.errors import Kind, StateError

PATIENCE_S = 10.0


def command(
    ctx: typer.Context,
    event: Annotated[str, typer.Argument(metavar="EVENT")],
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait for the run to end; 0: only ask.")] = PATIENCE_S,
    as_json: Annotated[bool, typer.Option("--json", help="JSON on stdout.")] = False,
) -> None:
    """Ask the holder of an event's lock, wherever it runs, to stop; its run ends as interrupted.

    What is served stays as it is. Try this before `mre locks clear`.
    """
    with open_service(ctx) as service:
        lock = service.cancel(event)
        free = service.wait_until_free(lock, wait)
        outcome = service.run(lock.run_id).outcome if free else None
    if not free and wait:
        raise StateError(
            Kind.LOCK_HELD,
            f"run {lock.run_id} of {lock.event} was asked to stop and has not within {wait:g} s; "
            f"its holder is {lock.verdict}: {lock.evidence}",
            event=lock.event,
            run_id=lock.run_id,
            token=lock.token,
            verdict=lock.verdict,
            remedy=f"Wait, look again with `mre locks show {lock.event}`, or end it: "
            f"`mre locks terminate {lock.event} --reason …`.",
        )
    if as_json:
        print_json({"event": lock.event, "run_id": lock.run_id, "token": lock.token, "outcome": outcome})
    narrate(
        f"run {lock.run_id} of {lock.event} ended: {outcome}"
        if free
        else f"run {lock.run_id} of {lock.event} was asked to stop"
    )
