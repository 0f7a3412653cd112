"""`mre checks`: is everything as it must be?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mre_console.cli.opening import open_service
from mre_console.cli.output import Progress, narrate, one_line, print_json, print_text
from pipeline.errors import TABLE, Kind

if TYPE_CHECKING:
    from pipeline.checks import CheckReport
    from pipeline.observe import Report

SHOWN_PER_CHECK = 10


def command(
    ctx: typer.Context,
    event: Annotated[str | None, typer.Argument(metavar="EVENT", help="One event; without it, everything.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The report as JSON on stdout.")] = False,
) -> int:
    """Check what is served: against itself, its archived pages and the page sets that came with the program.

    An error holds the event that it is about and keeps a disabled ingestion disabled; warnings are only told. Exit code
    9 where anything failed.
    """
    with open_service(ctx) as service, Progress() as progress:

        def hear(report: Report) -> None:
            if report.name == "progress":
                progress.show("checks", int(report.fields["done"]), report.fields["total"])

        service.bus.subscribe(hear)
        report = service.checks(event)
    if as_json:
        print_json(report)
    else:
        _print(report)
    return 0 if report.passed else TABLE[Kind.CHECKS_FAILED].exit_code


def _print(report: CheckReport) -> None:
    shown: dict[str, int] = {}
    for finding in report.findings:
        shown[finding.check] = shown.get(finding.check, 0) + 1
        if shown[finding.check] <= SHOWN_PER_CHECK:
            about = f"{finding.event}: " if finding.event else ""
            print_text(f"{finding.severity:<7}  {finding.check}: {about}{one_line(finding.message)}")
    for check, count in shown.items():
        if count > SHOWN_PER_CHECK:
            print_text(f"         {check}: and {count - SHOWN_PER_CHECK} more (--json shows all)")
    for check, why in report.skipped.items():
        narrate(f"not made: {check} ({why})")
    for event in report.held:
        narrate(f"{event} is held until a person acts")
    verdict = "passed" if report.passed else "FAILED"
    number = f"run {report.id} of the checks" if report.id is not None else "the checks (not recorded)"
    print_text(
        f"{number} {verdict}: {len(report.checks)} checks over {report.event or 'everything'}, "
        f"{report.errors} errors, {report.warnings} warnings, {report.seconds:.1f} s"
    )
