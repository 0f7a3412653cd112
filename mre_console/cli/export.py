"""`mre export`: what is served of an event, as the canonical document or as CSV files."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from mre_console.cli.opening import open_service
from mre_console.cli.output import narrate, print_bytes
from pipeline.errors import Kind, StateError


class Format(StrEnum):
    JSON = "json"
    CSV = "csv"


def command(
    ctx: typer.Context,
    event: Annotated[str, typer.Argument(metavar="EVENT")],
    format_: Annotated[
        Format, typer.Option("--format", help="json: the document; csv: one file per table.")
    ] = Format.JSON,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="json: this file instead of stdout; csv: the folder, default here."),
    ] = None,
) -> None:
    """Write what is served of an event: always one whole published run."""
    from pipeline import document

    with open_service(ctx) as service:
        exported = service.export(event)
    try:
        if format_ is Format.CSV:
            folder = output or Path()
            folder.mkdir(parents=True, exist_ok=True)
            for name, rows in document.flatten_csv(exported).items():
                _write_csv(folder / f"{exported.source_event_id}.{name}.csv", rows)
        elif output is not None:
            output.write_bytes(document.encode(exported))
    except OSError as error:
        raise StateError(Kind.USAGE, f"cannot write {error.filename or output}: {error.strerror}") from error
    if format_ is not Format.CSV and output is None:
        print_bytes(document.encode(exported))


def _write_csv(path: Path, rows: Iterable[Iterable[object]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream, lineterminator="\n").writerows(rows)
    narrate(f"wrote {path}")
