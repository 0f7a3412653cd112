"""`mre diff`: two pages beside each other, in words, by field, and as skeletons."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mre_console.cli.opening import open_service
from mre_console.cli.output import one_line, print_json, print_table, print_text

if TYPE_CHECKING:
    from pipeline.page_diff import PageDiff


def command(
    ctx: typer.Context,
    old: Annotated[
        str,
        typer.Argument(metavar="A", help="The good page: a file, a sha256, RUN:URL, or an event (its served page)."),
    ],
    new: Annotated[
        str | None,
        typer.Argument(metavar="[B]", help="The other page. Without it A is an event: its served and its newest run."),
    ] = None,
    url: Annotated[
        str | None,
        typer.Option(help="The page's address, which no page holds itself; a number is a race of the event."),
    ] = None,
    raw: Annotated[bool, typer.Option("--raw", help="The bytes themselves, line by line.")] = False,
    unified: Annotated[bool, typer.Option("--unified", help="The skeletons as one unified diff.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="JSON on stdout.")] = False,
) -> None:
    """What moved between two pages of one type: in one line, field by field, and in their markup."""
    with open_service(ctx) as service:
        if raw:
            from pipeline.page_diff import raw_diff

            for line in raw_diff(*service.diff_pages(old, new, url=url)):
                print_text(line)
            return
        found = service.diff_event(old, url=url) if new is None else service.diff(old, new, url=url)
    if as_json:
        print_json(found)
    else:
        show(found, unified=unified)


def show(found: PageDiff, *, unified: bool = False) -> None:
    """A diff as text: headline, fields that are not as they were, skeletons."""
    print_text(found.headline)
    print_text(f"  - {found.old_name}")
    print_text(f"  + {found.new_name}")
    if found.failure:
        print_text(f"  {one_line(found.failure)}")
    for doubt in found.doubts[:5]:
        print_text(f"  doubted: {one_line(doubt)}")
    rows = [
        (
            line.field,
            line.status,
            one_line(line.known)[:24],
            line.now or line.note or "",
            f"{line.support}/{line.of}",
            f"{line.runner_up} ({line.runner_up_support})" if line.runner_up else "",
        )
        for line in found.fields
        if line.status != "ok"
    ]
    if rows:
        print_text("")
    headers = ("field", "status", "known value", "stands now at", "support", "runner-up")
    print_table(rows, headers, empty="  every field stands where it stood")
    if not found.changes:
        return
    print_text("")
    if unified:
        for text in found.unified():
            print_text(text)
        return
    sides = [row for row in found.side_by_side() if row[0] != "same"]
    width = min(max((len(left) for _, left, _ in sides), default=0), 60)
    marks = {"gone": "<", "new": ">", "changed": "|"}
    for kind, left, right in sides:
        print_text(f"{left[:width]:<{width}} {marks[kind]} {right[:60]}".rstrip())
