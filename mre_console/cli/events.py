"""`mre events`: what is known, how it stands, and reading a track's listing again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from mre_console.cli.opening import open_service
from mre_console.cli.output import envelope_text, narrate, one_line, print_json, print_table, print_text
from mre_console.cli.times import shown_time
from pipeline.errors import Envelope

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.store.events import EventRow

app = typer.Typer(help="List and show events; read a track's listing again.", no_args_is_help=True)
JSON = Annotated[bool, typer.Option("--json", help="JSON on stdout.")]


@app.command("list")
def list_(
    ctx: typer.Context,
    track: Annotated[str | None, typer.Option(help="Only this track's events.")] = None,
    state: Annotated[str | None, typer.Option(help="idle, running, complete or failed.")] = None,
    since: Annotated[str | None, typer.Option(metavar="DATE", help="Events from this day on.")] = None,
    find: Annotated[str | None, typer.Option(metavar="TEXT", help="Only events whose name holds TEXT.")] = None,
    limit: Annotated[int, typer.Option(min=1)] = 500,
    as_json: JSON = False,
) -> None:
    """Known events, newest first: how the last attempt stands and what is served."""
    with open_service(ctx) as service:
        rows = service.events(track=track, state=state, since=since, text=find, limit=limit)
    if as_json:
        print_json(rows)
    else:
        _print_events(rows)


@app.command()
def show(ctx: typer.Context, event: Annotated[str, typer.Argument(metavar="EVENT")], as_json: JSON = False) -> None:
    """One event: its facts, what is served, its runs, and how the last failure came about."""
    with open_service(ctx) as service:
        row = service.event(event)
        runs = service.runs(event, limit=10)
    if as_json:
        print_json({"event": row, "runs": runs})
        return
    print_text(f"{row.track_slug}/{row.source_event_id}  {row.event_name or '(name not known yet)'}")
    dates = row.start_date if row.start_date == row.end_date else f"{row.start_date} to {row.end_date}"
    print_text(f"  {dates or 'date unknown'}; {row.entries or '?'} entries, {row.drivers or '?'} drivers")
    print_text(f"  state {row.state}; depth {row.ingest_depth}; {served(row)}")
    print_text(f"  last ingested {shown_time(row.last_ingested_at)}, last checked {shown_time(row.last_checked_at)}")
    if row.failed_attempts:
        due = f"; retry due {shown_time(row.retry_at)}" if row.retry_at is not None else "; no automatic retry"
        print_text(f"  {row.failed_attempts} attempts failed since the last success{due}")
    if row.held_at is not None:
        print_text(f"  HELD since {shown_time(row.held_at)}: {one_line(row.held_reason or '')}")
    print_table(
        [
            (r.id, r.kind, r.outcome or "running", shown_time(r.started_at), r.race_count, r.lap_count, r.trigger)
            for r in runs
        ],
        ("run", "kind", "outcome", "started", "races", "laps", "asked by"),
        empty="no run yet",
    )  # fmt: skip
    if row.state == "failed" and runs and runs[0].error:
        print_text(envelope_text(msgspec.json.decode(runs[0].error, type=Envelope)))


@app.command()
def refresh(ctx: typer.Context, track: Annotated[str, typer.Argument(metavar="TRACK")], as_json: JSON = False) -> None:
    """Read a track's events listing again and add what is new to the known events."""
    with open_service(ctx, fetches=True) as service:
        rows = service.refresh_track(track)
    if as_json:
        print_json(rows)
    else:
        _print_events(rows)
        narrate(f"{len(rows)} events listed at {track}")


def served(row: EventRow) -> str:
    """What readers get of the event, in words."""
    if row.current_run_id is None:
        return "nothing served"
    return f"serving run {row.current_run_id}: {row.race_count} races, {row.result_count} results, {row.lap_count} laps"


def _print_events(rows: Sequence[EventRow]) -> None:
    print_table(
        [
            (f"{r.track_slug}/{r.source_event_id}", r.event_name, r.start_date, r.state, r.ingest_depth,
             r.current_run_id, r.race_count, r.lap_count)
            for r in rows
        ],
        ("event", "name", "date", "state", "depth", "serves run", "races", "laps"),
        empty="no events known; add one with `mre ingest EVENT` or `mre events refresh TRACK`",
    )  # fmt: skip
