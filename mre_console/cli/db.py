"""`mre db`: describe the database, bring its schema up to date, or take the newest step back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mre_console.cli.asking import at_terminal, require_yes
from mre_console.cli.main import settings_of
from mre_console.cli.output import narrate, print_json, print_table, print_text
from mre_console.settings import masked_url
from pipeline.errors import Kind, StateError
from pipeline.ways import refuse_in_read_only

if TYPE_CHECKING:
    from mre_console.settings import Settings
    from pipeline.administration import SchemaChange

app = typer.Typer(help="Create, upgrade, downgrade and describe the database.", no_args_is_help=True)
JSON = Annotated[bool, typer.Option("--json", help="JSON on stdout.")]


YES = Annotated[bool, typer.Option("--yes", help="Do not ask. PostgreSQL: I have a backup.")]


@app.command()
def upgrade(ctx: typer.Context, yes: YES = False, as_json: JSON = False) -> None:
    """Create the database or bring its schema up to date; safe to run twice, or from two places at once.

    A SQLite file is copied first, to FILE.backup-SCHEMA-TIME beside it. For PostgreSQL you are told how to make a
    backup, and --yes says that there is one.
    """
    from pipeline.administration import upgrade_database

    settings = _writable(ctx)
    change = upgrade_database(settings.db, backed_up=yes)
    _tell(change, as_json=as_json)
    narrate(f"{masked_url(settings.db)} is up to date")


@app.command()
def downgrade(ctx: typer.Context, yes: YES = False, as_json: JSON = False) -> None:
    """Take the newest migration back, to return to the version of the program before it. What it held is lost.

    A copy is made first, as by `upgrade`. Stop every other program that uses the database before.
    """
    from pipeline.administration import database_info, downgrade_database

    settings = _writable(ctx)
    if not yes:
        if not at_terminal():
            raise StateError(Kind.USAGE, "Taking a migration back loses what it holds: say --yes.")
        applied = database_info(settings.db).applied
        require_yes(f"Take {applied[-1] if applied else 'nothing'} back, with everything that only it holds?")
    change = downgrade_database(settings.db, backed_up=yes)
    _tell(change, as_json=as_json)
    narrate("this version of the program refuses the database until `mre db upgrade`; use the version before it")


def _writable(ctx: typer.Context) -> Settings:
    settings = settings_of(ctx)
    refuse_in_read_only(settings.read_only, "changing the database's schema")
    return settings


def _tell(change: SchemaChange, *, as_json: bool) -> None:
    if as_json:
        print_json(change)
    if change.backup:
        narrate(f"the database as it was: {change.backup}")
    for name in change.applied:
        narrate(f"applied {name}")
    for name in change.reverted:
        narrate(f"took {name} back")


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
