"""`mre log`: what happened to an event, or in one run."""

from __future__ import annotations

from typing import Annotated

import typer

from mre_console.cli.opening import open_service
from mre_console.cli.output import narrate, one_line, print_json, print_text
from mre_console.cli.times import shown_time
from pipeline.errors import Kind, StateError


def command(
    ctx: typer.Context,
    event: Annotated[str | None, typer.Argument(metavar="EVENT")] = None,
    run: Annotated[int | None, typer.Option("--run", help="One run's log.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="The newest lines only.")] = 1_000,
    debug: Annotated[bool, typer.Option("--debug", help="Debug lines too.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per line.")] = False,
) -> None:
    """The journal of an event or of one run, oldest line first."""
    if (event is None) == (run is None):
        raise StateError(Kind.USAGE, "Name either an EVENT or --run N.", remedy="See `mre log --help`.")
    with open_service(ctx) as service:
        lines = service.log(event=event, run_id=run, limit=limit)
    shown = [line for line in lines if debug or line.severity != "debug"]
    for line in shown:
        if as_json:
            print_json(line)
        else:
            print_text(
                f"{shown_time(line.at)}  {line.severity:<7}  run {line.run_id or '-'}  "
                f"{line.name}: {one_line(line.message)}"
            )
    if not shown:
        narrate("nothing logged yet")
