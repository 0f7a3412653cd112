"""`mre tracks`: the track catalogue, and which tracks are followed."""

from __future__ import annotations

from typing import Annotated

import typer

from mre_console.cli.opening import open_service
from mre_console.cli.output import narrate, print_json, print_table, print_text

app = typer.Typer(help="The track catalogue, and which tracks are followed.", no_args_is_help=True)
JSON = Annotated[bool, typer.Option("--json", help="JSON on stdout.")]
SLUG = Annotated[str, typer.Argument(metavar="TRACK", help="The track's name in its address: SLUG.liverc.com.")]


@app.command()
def sync(ctx: typer.Context, as_json: JSON = False) -> None:
    """Read LiveRC's catalogue. A track that vanished from it becomes inactive, never deleted."""
    with open_service(ctx, fetches=True) as service:
        change = service.sync_tracks()
    if as_json:
        print_json(change)
    else:
        print_text(f"{change.new} new tracks, {change.updated} updated, {change.inactive} not listed any more")


@app.command("list")
def list_(
    ctx: typer.Context,
    followed: Annotated[bool, typer.Option("--followed", help="Only followed tracks.")] = False,
    find: Annotated[str | None, typer.Option(metavar="TEXT", help="Only tracks whose name or slug holds TEXT.")] = None,
    as_json: JSON = False,
) -> None:
    """Known tracks, followed ones first."""
    with open_service(ctx) as service:
        rows = service.tracks(followed=True if followed else None, text=find)
    if as_json:
        print_json(rows)
        return
    print_table(
        [
            (r.slug, r.name, "followed" if r.followed else "", "" if r.active else "inactive", r.latest_event)
            for r in rows
        ],
        ("track", "name", "followed", "catalogue", "latest event"),
        empty="no tracks known; read the catalogue with `mre tracks sync`",
    )


@app.command()
def follow(ctx: typer.Context, track: SLUG) -> None:
    """Follow a track: its listing is what `events refresh` and the schedule look at."""
    with open_service(ctx, fetches=True) as service:
        row = service.follow(track)
    narrate(
        f"following {row.slug} ({row.name or 'name not known yet'}); "
        f"read its events with `mre events refresh {row.slug}`"
    )


@app.command()
def unfollow(ctx: typer.Context, track: SLUG) -> None:
    """Stop following a track; what was ingested stays."""
    with open_service(ctx) as service:
        row = service.follow(track, followed=False)
    narrate(f"not following {row.slug} any more; its events stay as they are")
