"""`mre demo`: ingestion, failure and recovery on a simulated LiveRC, in a folder of its own."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from mre_console.cli.output import narrate, print_text
from pipeline.errors import Kind, PipelineError


def command(
    headless: Annotated[
        bool, typer.Option("--headless", help="Without a terminal: tell the story, check every step, end.")
    ] = False,
    folder: Annotated[
        Path | None, typer.Option(help="Keep database and pages here instead of a new temporary folder.")
    ] = None,
) -> None:
    """Watch ingestion, failure and recovery on a simulated LiveRC. Touches nothing of yours."""
    from mre_console.demo import DemoFailed, tell

    place = folder or Path(tempfile.mkdtemp(prefix="mre-demo-"))
    if not headless:
        from mre_console.app import run_demo

        run_demo(place)
        narrate(f"the demo's database and pages are in {place}")
        return
    try:
        tell(place, print_text)
    except DemoFailed as error:
        raise PipelineError(Kind.INTERNAL, f"the demo did not come out right: {error}", folder=str(place)) from error
