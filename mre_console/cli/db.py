"""`mre db`: describe the database and bring its schema up to date."""

from __future__ import annotations

from typing import Annotated

import typer

from mre_console.cli.main import settings_of
from mre_console.cli.output import narrate, print_json, print_table, print_text
from mre_console.settings import masked_url

app = typer.Typer(help="Create, upgrade and describe the database.", no_args_is_help=True)
JSON = Annotated[bool, typer.Option("--json", help="JSON on stdout.")]


@app.command()
def upgrade(ctx: typer.Context) -> None:
    """Create the database or bring its schema up to date; safe to run twice, or from two places at once."""
    from pipeline.administration import upgrade_database

    settings = settings_of(ctx)
    applied = upgrade_database(settings.db)
    for name in applied:
        narrate(f"applied {name}")
    narrate(f"{masked_url(settings.db)} is up to date")


@app.command()
def info(ctx: typer.Context, as_json: JSON = False) -> None:
    """Engine, schema version and how many rows of each kind there are. Changes nothing."""
    from pipeline.administration import database_info

    facts = database_info(settings_of(ctx).db)
    if as_json:
        print_json(facts)
        return
    print_text(f"{facts.url} ({facts.engine} {facts.engine_version})")
    print_text(f"size {facts.size_bytes:,} bytes")
    migrations = [(name, "applied") for name in facts.applied] + [(name, "pending") for name in facts.pending]
    print_table(migrations, ("migration", "state"), empty="no migrations known")
    for problem in facts.problems:
        narrate(f"this program must not touch it: {problem}")
    print_table(
        list(facts.rows.items()), ("table", "rows"), empty="its tables are not up to date; run `mre db upgrade`"
    )
