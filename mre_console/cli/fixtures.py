"""`mre fixtures`: the page sets that prove the readers; capturing them, and changing them where LiveRC changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mre_console.cli.gate import SAID, gate_line
from mre_console.cli.opening import open_service
from mre_console.cli.output import narrate, one_line, print_json, print_table, print_text
from mre_console.cli.times import shown_time
from pipeline.errors import TABLE, Kind, StateError

if TYPE_CHECKING:
    from pipeline.fixture_check import FixtureCheck
    from pipeline.fixture_view import FixtureDetail
    from pipeline.service_gate import Captured

app = typer.Typer(help="The page sets that prove the readers.", no_args_is_help=True)
EVENT = Annotated[str, typer.Argument(metavar="EVENT")]
JSON = Annotated[bool, typer.Option("--json", help="JSON on stdout.")]
RUN = Annotated[int | None, typer.Option(metavar="N", help="The run whose archived pages are taken.")]
LIVE = Annotated[bool, typer.Option("--live", help="Fetch the pages now.")]
CASE = Annotated[int | None, typer.Option(metavar="N", help="The confirmed drift case that allows it.")]
REASON = Annotated[str, typer.Option(help="Why; kept with the set and in the journal.")]
SHOWN_DIFFERENCES = 10


@app.command("list")
def list_(ctx: typer.Context, as_json: JSON = False) -> None:
    """Every page set, shipped and captured, and how it reads with the readers of now."""
    with open_service(ctx) as service:
        lines = service.fixtures()
    if as_json:
        print_json(lines)
        return
    print_table(
        [
            (
                line.event_id, line.origin, line.version, line.track, line.captured_at, line.how, line.build_marker,
                line.pages, line.races, line.laps, SAID[line.replay.passed],
            )
            for line in lines
        ],
        ("set", "origin", "version", "track", "captured", "how", "build", "pages", "races", "laps", "readers"),
        empty="there are no page sets",
    )  # fmt: skip


@app.command()
def show(
    ctx: typer.Context,
    event: EVENT,
    version: Annotated[int | None, typer.Option(metavar="N", help="An earlier version, from the archive.")] = None,
    as_json: JSON = False,
) -> None:
    """One page set: its pages, notes, history, and how it reads."""
    with open_service(ctx) as service:
        detail = service.fixture(event, version)
    if as_json:
        print_json(detail)
    else:
        print_text(_described(detail))


@app.command()
def capture(
    ctx: typer.Context,
    event: EVENT,
    run: RUN = None,
    live: LIVE = False,
    case: CASE = None,
    reason: REASON = "",
    as_json: JSON = False,
) -> int:
    """Keep an event's pages as a page set: those that the archive serves, or of a run, or fetched now.

    Where the event has a captured set already, that is a new version of it and needs a confirmed drift case and a
    reason. E-mail and IP addresses are masked.
    """
    _one_of(run, live=live)
    with open_service(ctx, fetches=live) as service:
        done = service.capture_fixture(event, run_id=run, live=live, case=case, reason=reason)
    return _tell(done, "captured", as_json=as_json)


@app.command()
def accept(
    ctx: typer.Context,
    event: EVENT,
    case: CASE = None,
    reason: REASON = "",
    run: RUN = None,
    live: LIVE = False,
    as_json: JSON = False,
) -> int:
    """A new version of a captured page set, as today's readers read its pages, or other pages of the event.

    Needs a confirmed drift case and a reason. The version before moves to the archive.
    """
    _one_of(run, live=live)
    with open_service(ctx, fetches=live) as service:
        done = service.accept_fixture(event, case=case, reason=reason, run_id=run, live=live)
    return _tell(done, "accepted", as_json=as_json)


@app.command()
def archive(ctx: typer.Context, event: EVENT, case: CASE = None, reason: REASON = "", as_json: JSON = False) -> int:
    """Retire a captured page set: the gate asks it no longer. Needs a confirmed drift case and a reason."""
    with open_service(ctx) as service:
        done = service.archive_fixture(event, case=case, reason=reason)
    return _tell(done, "archived", as_json=as_json)


@app.command()
def check(ctx: typer.Context, event: EVENT, run: RUN = None, live: LIVE = False, as_json: JSON = False) -> int:
    """Which side moved: page, expectation or reader? Against archived pages, or today's with --live.

    Exit code 9 where any did.
    """
    _one_of(run, live=live)
    with open_service(ctx, fetches=live) as service:
        found = service.check_fixture_live(event) if live else service.check_fixture(event, run_id=run)
    if as_json:
        print_json(found)
    else:
        _tell_check(found)
    return TABLE[Kind.CHECKS_FAILED].exit_code if found.moved else 0


def _one_of(run: int | None, *, live: bool) -> None:
    if live and run is not None:
        raise StateError(Kind.USAGE, "Either --run or --live: pages come from one place.")


def _tell(done: Captured, what: str, *, as_json: bool) -> int:
    if as_json:
        print_json(done)
    else:
        print_text(f"page set {done.event_id}: version {done.version} {what}")
        narrate(gate_line(done.gate))
    return TABLE[Kind.GATE_CLOSED].exit_code if done.gate.state == "red" else 0


def _tell_check(found: FixtureCheck) -> None:
    moved = " and ".join(found.moved) or "nothing"
    print_text(f"page set {found.event_id} (version {found.version}, {found.origin}): {moved} moved")
    print_text(f"  {one_line(found.headline)}")
    for heading, differences in (("page", found.differences), ("set", found.replay.differences)):
        for difference in differences[:SHOWN_DIFFERENCES]:
            print_text(f"  {heading}: {one_line(difference.shown())}")
        if len(differences) > SHOWN_DIFFERENCES:
            print_text(f"  {heading}: and {len(differences) - SHOWN_DIFFERENCES} more (--json shows them)")


def _described(detail: FixtureDetail) -> str:
    line = detail.line
    facts = {
        "track": line.track,
        "captured": line.captured_at,
        "how": line.how,
        "from": line.made_from,
        "LiveRC build": line.build_marker,
        "races, laps": f"{line.races}, {line.laps}",
        "masked": ", ".join(f"{count} {what}" for what, count in detail.redacted.items()) or "nothing",
        "earlier versions": ", ".join(map(str, line.archived)) or None,
        "sha256": line.sha256,
        "folder": line.folder,
        "readers": " ".join(filter(None, (SAID[line.replay.passed], line.replay.first_difference))),
    }
    lines = [f"page set {line.event_id}, version {line.version}, {line.origin}"]
    lines += [f"  {name + ':':<18}{one_line(str(value))}" for name, value in facts.items() if value is not None]
    lines += ["  pages:", *(f"    {page.name:<24}{page.size:>9}  {page.url}" for page in detail.pages)]
    if detail.history:
        lines.append("  history:")
        for step in detail.history:
            case = f" (drift case {step.case_id})" if step.case_id is not None else ""
            lines.append(
                f"    {shown_time(step.at)}  version {step.fixture_version} {step.how} by {step.who}{case}: "
                f"{one_line(step.reason)}"
            )
    if detail.notes.strip():
        lines += ["  notes:", *(f"    {one_line(text)}" for text in detail.notes.strip().splitlines())]
    return "\n".join(lines)
