"""`mre config`: what is set, and which of the four sources said so."""

from __future__ import annotations

from typing import Annotated

import typer

from mre_console.cli.main import settings_of
from mre_console.cli.output import narrate, print_json, print_table

app = typer.Typer(help="The settings, and where each value came from.", no_args_is_help=True)


@app.callback()
def _noun() -> None:
    """The settings, and where each value came from."""


@app.command()
def show(
    ctx: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Print every setting with its value and source; passwords are masked."""
    settings = settings_of(ctx)
    if as_json:
        shown = {setting.name: {"value": setting.value, "source": setting.source} for setting in settings.shown()}
        print_json({"config_file": str(settings.config_file), "settings": shown})
        return
    print_table([(s.name, s.value, s.source) for s in settings.shown()], ("setting", "value", "source"), empty="")
    exists = "" if settings.config_file.exists() else " (not there yet)"
    narrate(f"configuration file: {settings.config_file}{exists}")
