"""`mre simulator`: serve a LiveRC look-alike on this machine, with faults by rule."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mre_console.cli.output import narrate, print_text
from pipeline.errors import Kind, StateError

app = typer.Typer(help="Serve a LiveRC look-alike on this machine.", no_args_is_help=True)


@app.callback()
def _noun() -> None:
    """Serve a LiveRC look-alike on this machine."""


@app.command()
def serve(
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any free one.")] = 0,
    seed: Annotated[int, typer.Option(help="The same seed gives the same site.")] = 1,
    tracks: Annotated[int, typer.Option(min=1, max=200, help="Tracks that hold events.")] = 3,
    events: Annotated[int, typer.Option(min=0, max=200, help="Past events of each track.")] = 5,
    site_file: Annotated[
        Path | None, typer.Option("--site-file", help="Serve the pages of this host → path → file list instead.")
    ] = None,
    markup: Annotated[
        Path | None,
        typer.Option(help="A file that names changes of the markup, one a line; read again at every request."),
    ] = None,
    fault: Annotated[
        list[str] | None, typer.Option(help="KIND[:PAGE_TYPE][:NAME=VALUE]…, e.g. 503:event:retry_after=30:times=2.")
    ] = None,
) -> None:
    """Serve until Ctrl-C; the address is the first line on stdout. Give it to other commands as --site."""
    from mre_console.simulator.faults import Fault
    from mre_console.simulator.server import SimulatorServer, Site, SiteFile

    try:
        faults = [Fault.parse(text) for text in fault or ()]
    except ValueError as error:
        raise StateError(Kind.USAGE, str(error), remedy="See `mre simulator serve --help`.") from error
    site: Site
    if site_file is not None:
        try:
            site = SiteFile(site_file)
        except (OSError, ValueError, KeyError) as error:
            raise StateError(Kind.USAGE, f"{site_file} cannot be served: {error}") from error
    else:
        from mre_console.simulator.generate import World
        from mre_console.simulator.site import SimulatedSite

        simulated = SimulatedSite(World(seed, tracks=tracks, events=events))
        for slug, event_id in simulated.events():
            narrate(f"mre ingest {slug}/{event_id}")
        if markup is not None:
            from mre_console.simulator.markup_file import MarkupFile

            simulated.change_markup(MarkupFile(markup, narrate))
        site = simulated
    try:
        server = SimulatorServer(site, port=port, faults=faults)
    except OSError as error:
        raise StateError(Kind.USAGE, f"port {port} cannot be used: {error.strerror}") from error
    print_text(server.url)
    narrate("serving until Ctrl-C")
    server.serve_forever()
