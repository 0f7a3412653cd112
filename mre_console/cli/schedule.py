"""`mre schedule`: what is done when by whoever runs the schedule (`mre worker`, or a console)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mre_console.cli.opening import open_service
from mre_console.cli.output import narrate, one_line, print_json, print_table, print_text
from mre_console.cli.times import shown_time

if TYPE_CHECKING:
    from pipeline.schedule import ScheduleLine

app = typer.Typer(help="What is done when, by `mre worker` or a console.", no_args_is_help=True)
JSON = Annotated[bool, typer.Option("--json", help="JSON on stdout.")]
NAME = Annotated[str, typer.Argument(metavar="NAME", help="The schedule's name; `mre schedule list` shows them.")]
OPTIONS = Annotated[
    list[str] | None, typer.Option("--set", metavar="OPTION=NUMBER", help="An option of the job; may be repeated.")
]
WHEN = "`every 15m`, `every 6h`, `every 2d`, or five cron fields in UTC (`20 3 * * *`)."


@app.command("list")
def list_(ctx: typer.Context, as_json: JSON = False) -> None:
    """Every schedule: when it is due, and how its last run went."""
    with open_service(ctx) as service:
        lines, workers, health = service.schedules(), service.workers(), service.schedule_health()
    if as_json:
        print_json({"schedules": lines, "workers": workers, "health": health})
        return
    print_table(
        [(line.name, line.words, _next(line), _last(line), line.summary) for line in lines],
        ("schedule", "when", "next", "last run", "what"),
        empty="there are no schedules",
    )
    for worker in workers:
        doing = one_line(worker.doing) if worker.doing else "waits"
        seen = "" if worker.state == "running" else f", last seen {shown_time(worker.seen_at)}"
        state = doing if worker.state == "running" else worker.state
        print_text(f"{worker.kind} pid {worker.pid} on {worker.host}: {state}{seen}")
    if health.why is not None:
        narrate(f"warning: {health.why}")
    elif not health.workers:
        narrate("nobody runs the schedule now; `mre worker` does")


@app.command()
def add(
    ctx: typer.Context,
    name: NAME,
    job: Annotated[str, typer.Argument(metavar="JOB", help="catalogue, listings, recent, retries, checks, purge.")],
    when: Annotated[str, typer.Argument(metavar="WHEN", help=WHEN)],
    options: OPTIONS = None,
    paused: Annotated[bool, typer.Option("--paused", help="Not due until it is resumed.")] = False,
    as_json: JSON = False,
) -> None:
    """A new schedule for one of the jobs."""
    with open_service(ctx) as service:
        line = service.add_schedule(name, job, when, options=_options(options), paused=paused)
    _print(line, as_json=as_json)


@app.command()
def edit(
    ctx: typer.Context,
    name: NAME,
    when: Annotated[str | None, typer.Option(metavar="WHEN", help=WHEN)] = None,
    options: OPTIONS = None,
    as_json: JSON = False,
) -> None:
    """Another time, other options; what is not named stays."""
    with open_service(ctx) as service:
        line = service.edit_schedule(name, when=when, options=_options(options))
    _print(line, as_json=as_json)


@app.command()
def pause(ctx: typer.Context, name: NAME, as_json: JSON = False) -> None:
    """It is not due any more, until it is resumed. A run under way goes on."""
    with open_service(ctx) as service:
        line = service.pause_schedule(name)
    _print(line, as_json=as_json)


@app.command()
def resume(ctx: typer.Context, name: NAME, as_json: JSON = False) -> None:
    """It is due again, from its next time on."""
    with open_service(ctx) as service:
        line = service.resume_schedule(name)
    _print(line, as_json=as_json)


@app.command("run-now")
def run_now(ctx: typer.Context, name: NAME, as_json: JSON = False) -> None:
    """Whoever runs the schedule does it at once, paused or not."""
    with open_service(ctx) as service:
        line = service.run_schedule_now(name)
        running = service.schedule_health().workers
    _print(line, as_json=as_json)
    if not running:
        narrate("nobody runs the schedule now: it begins with the next `mre worker`")


def _options(given: list[str] | None) -> dict[str, str]:
    from pipeline.errors import Kind, StateError

    chosen: dict[str, str] = {}
    for text in given or []:
        name, equals, value = text.partition("=")
        if not equals:
            raise StateError(Kind.USAGE, f"--set takes OPTION=NUMBER, not {text!r}")
        chosen[name.strip().replace("-", "_")] = value.strip()
    return chosen


def _print(line: ScheduleLine, *, as_json: bool) -> None:
    if as_json:
        print_json(line)
        return
    print_text(f"{line.name}: {line.summary}")
    print_text(f"  when: {line.words}; next: {_next(line)}")
    for name, value in line.options.items():
        print_text(f"  {name.replace('_', ' ')}: {value}")


def _next(line: ScheduleLine) -> str:
    if line.asked:
        return "now, on request"
    return "paused" if line.paused else shown_time(line.next_due_at)


def _last(line: ScheduleLine) -> str:
    run = line.last_run
    if run is None:
        return "never"
    if run.finished_at is None:
        return "waits for a worker" if run.worker_id is None else f"since {shown_time(run.taken_at)}"
    return f"{shown_time(run.finished_at)} {run.outcome}: {run.said}"
