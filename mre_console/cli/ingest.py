"""`mre ingest`: fetch events with all their races and publish each as a whole, or not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import date
from typing import TYPE_CHECKING, Annotated

import typer

from mre_console.cli.main import EXIT_INTERRUPTED
from mre_console.cli.opening import open_service
from mre_console.cli.output import Progress, failure_text, narrate, one_line, print_json, print_text
from pipeline.errors import Kind, PipelineError, StateError

if TYPE_CHECKING:
    from pipeline.ingest import IngestReport, Options
    from pipeline.observe import Report
    from pipeline.service import Service


def command(
    ctx: typer.Context,
    events: Annotated[
        list[str] | None,
        typer.Argument(metavar="EVENT…", help="LiveRC event URL, SLUG/ID, or the id of a known event."),
    ] = None,
    track: Annotated[str | None, typer.Option(help="Ingest this track's events that are not served yet.")] = None,
    since: Annotated[str | None, typer.Option(metavar="DATE", help="With --track: events from this day on.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="With --track: at most this many events.")] = None,
    allow_shrink: Annotated[
        bool, typer.Option("--allow-shrink", help="Publish even if over half of the served races or laps would go.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Fetch, read and judge, but write nothing.")] = False,
    debug_browser: Annotated[
        bool,
        typer.Option("--debug-browser", help="Show the browser with DevTools, and keep what it made of each page."),
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Keep pages and what was read from them beside the run.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per event on stdout.")] = False,
) -> int:
    """Fetch events with all their races and publish each as a whole, or not at all.

    Running it again is always safe. Several events are ingested one after the other; one that fails does not stop them.
    """
    if bool(events) == bool(track):
        raise StateError(
            Kind.USAGE, "Name either events or --track SLUG --since DATE.", remedy="See `mre ingest --help`."
        )
    if (since or limit) and not track:
        raise StateError(Kind.USAGE, "--since and --limit go with --track.", remedy="See `mre ingest --help`.")
    if track and not since:
        raise StateError(
            Kind.USAGE, "--track needs --since DATE, e.g. --since 2025-11-01.", remedy="See `mre ingest --help`."
        )
    from pipeline.ingest import Options

    options = Options(dry_run=dry_run, debug=debug, allow_shrink=allow_shrink)
    with open_service(ctx, fetches=True, debug_browser=debug_browser) as service, Progress() as progress:
        service.bus.subscribe(narrator(progress))
        if track:
            attempts = _of_track(service, track, _iso_date(since or ""), limit, options)
        else:
            attempts = _of_names(service, events or [], options)
        exit_code = _tell(attempts, progress, as_json=as_json)
    if exit_code == EXIT_INTERRUPTED:  # returned, the frame would take it for a Ctrl-C that nobody has told of yet
        raise SystemExit(exit_code)
    return exit_code


Attempt = tuple[str, "IngestReport | None", PipelineError | None]


def _of_names(service: Service, names: Iterable[str], options: Options) -> Iterator[Attempt]:
    for name in names:
        try:
            yield name, service.ingest(name, options), None
        except PipelineError as error:
            yield name, None, error
            if error.kind is Kind.INTERRUPTED:
                return


def _of_track(service: Service, slug: str, since: str, limit: int | None, options: Options) -> Iterator[Attempt]:
    for attempt in service.ingest_track(slug, since=since, limit=limit, options=options):
        yield attempt.event, attempt.report, attempt.error


def _tell(attempts: Iterator[Attempt], progress: Progress, *, as_json: bool) -> int:
    """Show every outcome as it comes. The exit code is that of the first failure."""
    exit_code = count = failed = 0
    for name, report, error in attempts:
        progress.clear()
        count += 1
        if error is not None:
            failed += 1
            exit_code = exit_code or error.rule.exit_code
            if as_json:
                print_json(error.with_details(event=name).envelope())
            else:
                narrate(f"{name}: {failure_text(error)}")
        elif report is not None:
            if as_json:
                print_json(report)
            else:
                print_text(sentence(report))
    if count == 0:
        narrate("nothing to do: every listed event of that time is served already")
    elif count > 1:
        narrate(f"{count} events, {failed} failed")
    return exit_code


def sentence(report: IngestReport) -> str:
    """How an ingestion ended well, on one line."""
    run = f"run {report.run_id}: " if report.run_id is not None else ""
    warnings = "1 warning" if report.warnings == 1 else f"{report.warnings} warnings"
    warned = f", {warnings} (mre log --run {report.run_id})" if report.warnings and report.run_id else ""
    return (
        f"{run}{report.outcome} {report.event} {one_line(report.event_name)!r}: "
        f"{report.races} races, {report.results} results, "
        f"{report.laps} laps in {report.seconds:.1f} s{warned}; document {report.document_sha256[:12]}"
    )


def narrator(progress: Progress) -> Callable[[Report], None]:
    """Progress on one line; warnings and errors of a run are left to its log, which the outcome names."""

    def hear(report: Report) -> None:
        if report.name == "progress":
            progress.show(str(report.fields["stage"]), int(report.fields["done"]), report.fields["total"])

    return hear


def _iso_date(text: str) -> str:
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise StateError(Kind.USAGE, f"--since {text!r} is not a date like 2025-11-01.") from None
