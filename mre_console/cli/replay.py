"""`mre replay`: kept pages through one stage of an ingestion, or through all of them, without a network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mre_console.cli.opening import open_service
from mre_console.cli.output import narrate, one_line, print_json, print_text
from pipeline.errors import TABLE, Kind, StateError

if TYPE_CHECKING:
    from pipeline.replaying import ReplayReport

SHOWN_DIFFERENCES = 10


def command(
    ctx: typer.Context,
    event: Annotated[str | None, typer.Argument(metavar="EVENT")] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Every page set; with --archive, all that is served.")
    ] = False,
    mode: Annotated[
        str, typer.Option(metavar="MODE", help="full, fetch, parse, normalise or persist.", show_default=True)
    ] = "full",
    archived: Annotated[
        bool, typer.Option("--archive", help="Archived pages, even where there is a page set.")
    ] = False,
    into: Annotated[
        str | None, typer.Option(metavar="URL", help="The database to write; without it, one that is thrown away.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per event on stdout.")] = False,
) -> int:
    """Replay an event three times from its page set or its archived pages, and compare what comes out.

    Every difference is named, to what was expected and between the runs. Exit code 9 where there is any.
    """
    if (event is None) is not everything:
        raise StateError(Kind.USAGE, "Name either an EVENT or --all.", remedy="See `mre replay --help`.")
    from pipeline.replaying import Mode

    try:
        wanted = Mode(mode)
    except ValueError:
        modes = ", ".join(Mode)
        raise StateError(Kind.USAGE, f"There is no mode {mode!r}; there are {modes}.") from None
    count = failed = 0
    with open_service(ctx) as service:
        for report in service.replay(event, wanted, archived=archived, into=into):
            count += 1
            failed += not report.passed
            if as_json:
                print_json(report)
            else:
                _tell(report)
    narrate(f"{count} replayed, {count - failed} as expected" + (f", {failed} NOT" if failed else ""))
    return TABLE[Kind.CHECKS_FAILED].exit_code if failed else 0


def _tell(report: ReplayReport) -> None:
    into = f" into {report.into}" if report.into else ""
    verdict = "as expected" if report.passed else "NOT as expected"
    name = f", {report.sha256[:12]}" if report.sha256 else ""
    print_text(
        f"{report.event}: {report.mode} from {report.source}{into}: {verdict}, {report.runs} runs, "
        f"{report.seconds:.1f} s{name}"
    )
    if report.failure:
        print_text(f"  {one_line(report.failure)}")
    for heading, differences in (("", report.differences), ("from run to run: ", report.unstable)):
        for difference in differences[:SHOWN_DIFFERENCES]:
            print_text(f"  {heading}{one_line(difference.shown())}")
        if len(differences) > SHOWN_DIFFERENCES:
            print_text(f"  {heading}and {len(differences) - SHOWN_DIFFERENCES} more (--json shows them)")
