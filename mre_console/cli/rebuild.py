"""`mre rebuild`: a lost or damaged database from the page archive, without a network, proven by document hashes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mre_console.cli.asking import at_terminal, require_yes
from mre_console.cli.opening import open_service
from mre_console.cli.output import envelope_text, narrate, print_json, print_text
from pipeline.errors import TABLE, Kind, StateError

if TYPE_CHECKING:
    from pipeline.rebuild import Rebuilt


def command(
    ctx: typer.Context,
    event: Annotated[str | None, typer.Argument(metavar="EVENT")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every event that the archive holds.")] = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="Leave what is served alone, only compare it; fill in what is not there.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Compare only, write nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per event on stdout.")] = False,
) -> int:
    """Read archived pages again and publish what they say, into this database or an emptied one; no network.

    Every document must have the hash that was recorded when it was published, else the exit code is 9. Safe to run
    twice, or from two places at once.
    """
    if (event is None) is not everything:
        raise StateError(Kind.USAGE, "Name either an EVENT or --all.", remedy="See `mre rebuild --help`.")
    from pipeline.rebuild import Mode

    mode = Mode.DRY_RUN if dry_run else Mode.VERIFY if verify else Mode.REBUILD
    if mode is Mode.REBUILD and at_terminal() and not yes:
        require_yes(f"Publish what the archive says of {event or 'every event'}, in place of what is served?")
    exit_code = count = differ = 0
    with open_service(ctx) as service:
        for one in service.rebuild(event, mode=mode):
            count += 1
            _tell(one, as_json=as_json)
            if not one.equal:
                differ += 1
                exit_code = exit_code or _exit_code(one)
    narrate(f"{count} events, {count - differ} with equal hashes" + (f", {differ} NOT" if differ else ""))
    return exit_code


def _exit_code(one: Rebuilt) -> int:
    kind = Kind.CHECKS_FAILED if one.error is None else Kind(one.error.details["kind"])
    return TABLE[kind].exit_code


def _tell(one: Rebuilt, *, as_json: bool) -> None:
    if as_json:
        print_json(one)
    elif one.error is not None:
        narrate(f"{one.event}: {envelope_text(one.error)}")
    else:
        run = f"run {one.run_id}: " if one.run_id is not None else ""
        counts = f"{one.races} races, {one.results} results, {one.laps} laps"
        print_text(f"{run}{one.outcome} {one.event}: {counts}; {_comparison(one)}")


def _comparison(one: Rebuilt) -> str:
    if one.equal:
        return f"equal, document {one.recorded_sha256[:12]}"
    shown = {"recorded": one.recorded_sha256, "read": one.read_sha256, "served": one.served_sha256}
    hashes = ", ".join(f"{name} {sha256[:12]}" for name, sha256 in shown.items() if sha256)
    readers = f" (readers {one.recorded_build} then, {one.build} now)" if one.recorded_build != one.build else ""
    return f"NOT EQUAL: {hashes}{readers}"
