"""`mre control`, `mre disable`, `mre enable`: the global switch of ingestion."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mre_console.cli.opening import open_service
from mre_console.cli.output import narrate, one_line, print_json, print_text
from mre_console.cli.times import shown_time

if TYPE_CHECKING:
    from pipeline.control import ControlState

app = typer.Typer(help="The global switch of ingestion.", no_args_is_help=True)
JSON = Annotated[bool, typer.Option("--json", help="JSON on stdout.")]


@app.callback()
def _noun() -> None:
    """The global switch of ingestion."""


@app.command()
def show(ctx: typer.Context, as_json: JSON = False) -> None:
    """Whether ingestion is enabled, who disabled it and why, and what enabling it needs."""
    with open_service(ctx) as service:
        state = service.control()
    _print(state, as_json=as_json)


def disable(
    ctx: typer.Context,
    reason: Annotated[str, typer.Option(help="Why; whoever finds ingestion disabled reads it.")],
    protect: Annotated[bool, typer.Option("--protect", help="Refuse every write but recovery, too.")] = False,
    as_json: JSON = False,
) -> None:
    """Disable ingestion everywhere: nothing is fetched or published, and runs under way stop. What is served stays."""
    with open_service(ctx) as service:
        state = service.disable(reason=reason, protect=protect)
    _print(state, as_json=as_json)
    if state.publishing:
        narrate(
            "warning: somebody was inside a publishing transaction and still hangs there; what it publishes was begun "
            "before ingestion was disabled. `mre locks list` shows who it is."
        )


def enable(
    ctx: typer.Context,
    reason: Annotated[str, typer.Option(help="Why; kept in the journal.")] = "",
    as_json: JSON = False,
) -> None:
    """Enable ingestion again, once all checks have passed since it was disabled (`mre checks`)."""
    with open_service(ctx) as service:
        state = service.enable(reason=reason)
    _print(state, as_json=as_json)


def _print(state: ControlState, *, as_json: bool) -> None:
    if as_json:
        print_json(state)
        return
    what = {
        "enabled": "ingestion is enabled",
        "disabled": "ingestion is DISABLED: nothing is fetched or published",
        "protected": "the database is PROTECTED: ingestion is disabled, and only recovery may write",
    }[state.mode]
    print_text(what)
    if state.changed_at is not None:
        print_text(f"since {shown_time(state.changed_at)} by {state.changed_by}")
    if state.reason:
        print_text(f"reason: {one_line(state.reason)}")
    if state.mode != "enabled":
        print_text(
            "`mre enable` may be given"
            if state.may_enable
            else f"enabling needs a passed `mre checks`: {state.enable_needs}"
        )
