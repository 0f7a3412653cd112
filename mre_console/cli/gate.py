"""`mre gate`: may ingestion use the readers of now, and what did every page set say?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mre_console.cli.opening import open_service
from mre_console.cli.output import Progress, narrate, one_line, print_json, print_table
from mre_console.cli.times import shown_time
from pipeline.errors import TABLE, Kind

if TYPE_CHECKING:
    from pipeline.gate import GateSet, GateState
    from pipeline.observe import Report

app = typer.Typer(help="Whether the readers pass every page set, which ingestion needs.", no_args_is_help=True)
JSON = Annotated[bool, typer.Option("--json", help="JSON on stdout.")]
SAID = {True: "passes", False: "FAILS", None: "not asked"}


@app.command()
def show(ctx: typer.Context, as_json: JSON = False) -> int:
    """How the gate stands for the readers of now. Changes nothing; exit code 10 where it is closed."""
    with open_service(ctx) as service:
        return tell(service.gate(), as_json=as_json)


@app.command()
def run(ctx: typer.Context, as_json: JSON = False) -> int:
    """Replay every page set again and judge; exit code 10 where the gate is closed then."""
    with open_service(ctx) as service, Progress() as progress:

        def hear(report: Report) -> None:
            if report.name == "progress":
                progress.show("gate", int(report.fields["done"]), report.fields["total"])

        service.bus.subscribe(hear)
        state = service.run_gate()
    return tell(state, as_json=as_json)


def tell(state: GateState, *, as_json: bool) -> int:
    """Print a gate and return the exit code that belongs to it."""
    if as_json:
        print_json(state)
    else:
        rows = [_row(one) for one in state.sets]
        print_table(rows, ("set", "version", "origin", "readers", "first difference"), empty="there are no page sets")
        narrate(gate_line(state))
    return TABLE[Kind.GATE_CLOSED].exit_code if state.state == "red" else 0


def gate_line(state: GateState) -> str:
    """One sentence on a gate."""
    if state.state == "unknown":
        return f"the gate was not asked for these readers (build {state.build}) yet; the next ingestion does"
    since = f" since {shown_time(state.changed_at)}" if state.changed_at else ""
    if state.state == "green":
        return f"the gate is open for build {state.build}{since}"
    what = one_line(state.first_difference or "")
    about = f"{state.failing_set}: {what}" if state.failing_set else what
    return f"the gate is CLOSED for build {state.build}{since}: {about}"


def _row(one: GateSet) -> tuple[object, ...]:
    return one.event_id, one.version, one.origin, SAID[one.passed], one.first_difference
