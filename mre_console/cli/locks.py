"""`mre locks`: who works on which event, and taking a lock from a holder that is gone."""

from __future__ import annotations

from typing import Annotated

import typer

from mre_console.cli.opening import open_service
from mre_console.cli.output import narrate, print_json, print_table

app = typer.Typer(help="Who works on which event, and how to clear a dead holder.", no_args_is_help=True)
JSON = Annotated[bool, typer.Option("--json", help="JSON on stdout.")]


@app.command("list")
def list_(ctx: typer.Context, as_json: JSON = False) -> None:
    """Every lock that is held, with what is known of its holder."""
    with open_service(ctx) as service:
        locks = service.locks()
    if as_json:
        print_json(locks)
        return
    print_table(
        [
            (
                lock.event, lock.run_id, lock.holder.shown() if lock.holder else None, str(lock.verdict), lock.evidence,
                None if lock.heartbeat_age_ms is None else f"{lock.heartbeat_age_ms / 1000:.0f} s ago",
                "expired" if lock.expired else "", lock.progress,
            )
            for lock in locks
        ],
        ("event", "run", "holder", "verdict", "evidence", "heartbeat", "lease", "progress"),
        empty="no event is locked",
    )  # fmt: skip


@app.command()
def clear(
    ctx: typer.Context,
    event: Annotated[str, typer.Argument(metavar="EVENT")],
    reason: Annotated[str, typer.Option(help="Why; kept in the journal with the warning.")],
    as_json: JSON = False,
) -> None:
    """Take an event's lock from its holder and end that run as `cleared`. What is served stays as it is.

    A holder that is still alive notices and stops; it can publish nothing any more.
    """
    with open_service(ctx) as service:
        lock = service.clear_lock(event, reason=reason)
    if as_json:
        print_json(lock)
    narrate(
        f"warning: cleared the lock of {lock.event}, run {lock.run_id}; its holder was {lock.verdict}: {lock.evidence}"
    )
    narrate(f"the event is failed now; ingest it again with `mre ingest {lock.event}`")
