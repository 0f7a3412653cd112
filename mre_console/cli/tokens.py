"""`mre tokens add|list|revoke`: who may use the HTTP API, and for what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mre_console.cli.main import settings_of
from mre_console.cli.output import narrate, print_json, print_table, print_text
from mre_console.cli.times import shown_time
from pipeline.errors import Kind, StateError

if TYPE_CHECKING:
    from mre_console.api.access import TokenFile

app = typer.Typer(help="Who may use the HTTP API.", no_args_is_help=True)
JSON = Annotated[bool, typer.Option("--json", help="JSON on stdout.")]
NAME = Annotated[str, typer.Argument(metavar="NAME", help="What the token is for; the audit names it.")]


@app.command()
def add(
    ctx: typer.Context,
    name: NAME,
    scope: Annotated[str, typer.Option(help="read: look only; operate: act, too.")] = "read",
    as_json: JSON = False,
) -> None:
    """Make a token. It is shown now and never again; only its hash is kept."""
    if scope not in ("read", "operate"):
        raise StateError(Kind.USAGE, f"There is no scope {scope!r}: read or operate.")
    secret = _file(ctx).add(name, scope)
    if as_json:
        print_json({"name": name, "scope": scope, "token": secret})
    else:
        narrate(f"the token {name} may {scope}; keep it, it is not shown again:")
        print_text(secret)


@app.command("list")
def list_(ctx: typer.Context, as_json: JSON = False) -> None:
    """The tokens, without what their bearers send."""
    tokens = _file(ctx).tokens()
    if as_json:
        print_json([{"name": one.name, "scope": one.scope, "made_at": one.made_at} for one in tokens])
        return
    print_table(
        [(one.name, one.scope, shown_time(one.made_at)) for one in tokens],
        ("token", "scope", "made"),
        empty="no token was made: the API answers on loopback addresses only, to everybody there",
    )


@app.command()
def revoke(ctx: typer.Context, name: NAME) -> None:
    """Take a token's access away at once, also from programs that are running."""
    _file(ctx).revoke(name)
    narrate(f"the token {name} is refused from now on")


def _file(ctx: typer.Context) -> TokenFile:
    from mre_console.api.access import FILE_NAME, TokenFile

    return TokenFile(settings_of(ctx).data / FILE_NAME)
