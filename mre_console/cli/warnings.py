"""`mre warnings list|ack`: what waits for a person, until a person says that it was seen."""

from __future__ import annotations

from typing import Annotated

import typer

from mre_console.cli.opening import open_service
from mre_console.cli.output import narrate, one_line, print_json, print_text
from mre_console.cli.times import shown_time
from pipeline.errors import Kind, StateError

app = typer.Typer(help="Warnings that wait for a person.", no_args_is_help=True)

JSON = Annotated[bool, typer.Option("--json", help="JSON on stdout.")]


@app.command("list")
def list_(ctx: typer.Context, as_json: JSON = False) -> None:
    """Warnings that nobody has acknowledged, newest first; with --json one object per line."""
    with open_service(ctx) as service:
        lines = service.warnings()
    for line in lines:
        if as_json:
            print_json(line)
        else:
            print_text(f"{line.id:>6}  {shown_time(line.at)}  {line.name}: {one_line(line.message)}")
    if not lines:
        narrate("no warning waits")


@app.command()
def ack(
    ctx: typer.Context,
    ids: Annotated[list[int] | None, typer.Argument(metavar="ID…", help="Their numbers, from `list`.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every warning that is open now.")] = False,
    as_json: JSON = False,
) -> None:
    """Say that warnings were seen. They stay in the journal, with who saw them."""
    if bool(ids) == everything:
        raise StateError(Kind.USAGE, "Name warnings by their numbers, or say --all.", remedy="See `mre warnings list`.")
    with open_service(ctx) as service:
        seen = service.acknowledge(ids or [line.id for line in service.warnings()])
    if as_json:
        print_json({"acknowledged": seen})
    else:
        narrate(f"{seen} acknowledged" if seen else "none of them was open")
