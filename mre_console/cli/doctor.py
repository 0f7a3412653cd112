"""`mre doctor`: the checks of `mre_console.doctor`, one line each, with what to do below the bad ones."""

from __future__ import annotations

from typing import Annotated

import typer

from mre_console.cli.main import settings_of
from mre_console.cli.output import one_line, print_json, print_text
from pipeline.errors import TABLE, Kind


def command(
    ctx: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Check this machine and what the program needs on it. Exit code 9 if a check failed; warnings do not count."""
    from mre_console.doctor import examine

    settings = settings_of(ctx)
    failed = False
    findings = []
    for check in examine(settings):
        failed = failed or check.level == "fail"
        findings.append(check)
        if not as_json:
            print_text(f"{check.level:<4}  {check.name:<17}  {one_line(check.found)}")
            if check.remedy:
                print_text(f"{'':<25}→ {check.remedy}")
    if as_json:
        print_json({"ok": not failed, "checks": findings})
    if failed:
        raise typer.Exit(TABLE[Kind.CHECKS_FAILED].exit_code)
