"""`mre actions`: the recovery actions that were taken, and whether they can be undone."""

from __future__ import annotations

from typing import Annotated

import typer

from mre_console.cli import confirming
from mre_console.cli.opening import open_service
from mre_console.cli.output import one_line, print_json, print_table, print_text
from mre_console.cli.times import shown_time

app = typer.Typer(help="The recovery actions that were taken.", no_args_is_help=True)
JSON = Annotated[bool, typer.Option("--json", help="JSON on stdout.")]


@app.command("list")
def list_(
    ctx: typer.Context,
    event: Annotated[str | None, typer.Argument(metavar="EVENT")] = None,
    limit: Annotated[int, typer.Option(min=1, help="The newest only.")] = 50,
    as_json: JSON = False,
) -> None:
    """Actions on one event or on all, newest first."""
    with open_service(ctx) as service:
        actions = service.actions(event, limit=limit)
    if as_json:
        print_json(actions)
        return
    print_table(
        [
            (one.id, shown_time(one.at), one.event, one.kind.replace("_", " "), one.run_id, one.who, one.reason,
             _undo(one.undone_by, one.undo_refused))
            for one in actions
        ],
        ("action", "when", "event", "what", "run", "who", "reason", "undo"),
        empty="no action was taken yet",
    )  # fmt: skip


@app.command()
def show(ctx: typer.Context, action: Annotated[int, typer.Argument(metavar="ACTION")], as_json: JSON = False) -> None:
    """One action: exactly what it changed, and whether it can be undone."""
    with open_service(ctx) as service:
        one = service.action(action)
    if as_json:
        print_json(one)
        return
    print_text(f"action {one.id}, run {one.run_id}, {shown_time(one.at)} by {one.who}")
    if one.reason:
        print_text(f"reason: {one_line(one.reason)}")
    print_text(confirming.plan_text(one.plan))
    print_text(f"undo: {one.undo_refused or f'`mre undo {one.id}`'}")


def _undo(undone_by: int | None, refused: str | None) -> str:
    if undone_by is not None:
        return f"undone by {undone_by}"
    return "possible" if refused is None else "no"
