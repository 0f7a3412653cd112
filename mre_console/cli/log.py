"""`mre log`: what happened to an event, or in one run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mre_console.cli.opening import open_service
from mre_console.cli.output import narrate, one_line, print_json, print_text
from mre_console.cli.times import shown_time
from pipeline.errors import Kind, StateError

if TYPE_CHECKING:
    from pipeline.spans import Span


def command(
    ctx: typer.Context,
    event: Annotated[str | None, typer.Argument(metavar="EVENT")] = None,
    run: Annotated[int | None, typer.Option("--run", help="One run's log.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="The newest lines only.")] = 1_000,
    debug: Annotated[bool, typer.Option("--debug", help="Debug lines too.")] = False,
    timeline: Annotated[bool, typer.Option("--timeline", help="With --run: where its time went instead.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per line.")] = False,
) -> None:
    """The journal of an event or of one run, oldest line first."""
    if (event is None) == (run is None):
        raise StateError(Kind.USAGE, "Name either an EVENT or --run N.", remedy="See `mre log --help`.")
    if timeline and run is None:
        raise StateError(
            Kind.USAGE, "--timeline belongs to a run: name one with --run N.", remedy="See `mre log --help`."
        )
    with open_service(ctx) as service:
        if timeline and run is not None:
            service.run(run)
            _show_timeline(service.timeline(run), as_json=as_json)
            return
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


def _show_timeline(spans: tuple[Span, ...], *, as_json: bool) -> None:
    depth: dict[int | None, int] = {None: -1}
    for span in spans:
        depth[span.number] = depth[span.parent] + 1
        if as_json:
            print_json(span)
            continue
        facts = " ".join(f"{name}={one_line(str(value))}" for name, value in span.attributes.items() if name != "url")
        begins = (span.began_ns - spans[0].began_ns) / 1e6
        failed = f"  {span.error}" if span.error else ""
        name = "  " * depth[span.number] + span.name
        print_text(f"{begins:>10.1f} ms  {span.duration_ms:>10.1f} ms  {name:<22}{failed}  {facts}".rstrip())
    if not spans:
        narrate("no timeline: the run is under way, or it was ended from outside")
