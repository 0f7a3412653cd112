"""`mre parse`: what one saved page says, as JSON. Touches no database and no network."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mre_console.cli.main import settings_of
from mre_console.cli.output import print_json
from pipeline.errors import Kind, StateError


def command(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A page as served.")],
    url: Annotated[
        str, typer.Option(help="The address it came from: it holds the slug and the id, the page does not.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Failures as JSON too.")] = False,
) -> None:
    """Read one saved page and print what it says as one JSON object, in the document's names."""
    del as_json  # read from the command line by the frame
    from pipeline.service import parse_page

    try:
        body = file.read_bytes()
    except OSError as error:
        raise StateError(Kind.USAGE, f"cannot read {file}: {error.strerror}") from error
    print_json(parse_page(body, url, settings_of(ctx).data))
