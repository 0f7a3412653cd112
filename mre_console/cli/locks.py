"""`mre locks`: who works on which event, and taking a lock from a holder that is gone, stuck, or not wanted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from mre_console.cli.asking import ask, at_terminal, require_yes
from mre_console.cli.opening import open_service
from mre_console.cli.output import narrate, one_line, print_json, print_table, print_text
from mre_console.cli.times import shown_time
from pipeline.errors import Kind, StateError

if TYPE_CHECKING:
    from pipeline.leases import LockView
    from pipeline.service import Service

app = typer.Typer(help="Who works on which event, and taking a lock from its holder.", no_args_is_help=True)
EVENT = Annotated[str, typer.Argument(metavar="EVENT")]
JSON = Annotated[bool, typer.Option("--json", help="JSON on stdout.")]
REASON = Annotated[str | None, typer.Option(help="Why; kept in the journal with the warning.")]
TOKEN = Annotated[int | None, typer.Option(help="The lock you saw; refused if it changed since.")]
CONFIRM = Annotated[str | None, typer.Option(metavar="NAME", help="The name that `show` gives: needed if ALIVE.")]
YES = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


@app.command("list")
def list_(ctx: typer.Context, as_json: JSON = False) -> None:
    """Every lock that is held, with what is known of its holder. Changes nothing."""
    with open_service(ctx) as service:
        locks = service.locks()
    if as_json:
        print_json(locks)
        return
    print_table(
        [
            (
                lock.event, lock.run_id, lock.token, lock.holder.shown() if lock.holder else None, str(lock.verdict),
                lock.evidence, _age(lock), _lease(lock), lock.progress,
            )
            for lock in locks
        ],
        ("event", "run", "token", "holder", "verdict", "evidence", "heartbeat", "lease", "progress"),
        empty="no event is locked",
    )  # fmt: skip


@app.command()
def show(ctx: typer.Context, event: EVENT, as_json: JSON = False) -> None:
    """One event's lock: its holder, the verdict on it and the evidence. Changes nothing."""
    with open_service(ctx) as service:
        lock = service.lock(event)
    if as_json:
        print_json(lock)
    else:
        print_text(_described(lock))


@app.command()
def clear(
    ctx: typer.Context,
    event: EVENT,
    reason: REASON = None,
    token: TOKEN = None,
    confirm: CONFIRM = None,
    yes: YES = False,
    as_json: JSON = False,
) -> None:
    """Take an event's lock from its holder and end that run as `cleared`. What is served stays as it is.

    A holder that is still alive notices and stops; it can publish nothing any more. Try `mre cancel` first.
    """
    with open_service(ctx) as service:
        said = _agree(service, event, Said(reason, token, confirm), "Clear this lock?", yes=yes)
        lock = service.clear_lock(event, reason=said.reason or "", token=said.token, confirm=said.confirm)
    if as_json:
        print_json(lock)
    narrate(
        f"warning: cleared the lock of {lock.event}, run {lock.run_id}; its holder was {lock.verdict}: {lock.evidence}"
    )
    narrate(f"the event is failed now; ingest it again with `mre ingest {lock.event}`")


@app.command()
def terminate(
    ctx: typer.Context,
    event: EVENT,
    reason: REASON = None,
    token: TOKEN = None,
    confirm: CONFIRM = None,
    grace: Annotated[float | None, typer.Option(min=0, help="Seconds between SIGTERM and SIGKILL.")] = None,
    yes: YES = False,
    as_json: JSON = False,
) -> None:
    """End the holder of an event's lock by force, then clear the lock: for holders that hang inside their transaction.

    On this machine its process gets SIGTERM, then SIGKILL; everything else that process does ends with it. On another
    machine its connections to a PostgreSQL database are ended.
    """
    with open_service(ctx) as service:
        said = _agree(service, event, Said(reason, token, confirm), "End this holder?", yes=yes)
        ended = service.terminate_holder(
            event, reason=said.reason or "", token=said.token, confirm=said.confirm, grace_s=grace
        )
    if as_json:
        print_json(ended)
    lock = ended.lock
    narrate(f"warning: terminated the holder of {lock.event}, run {lock.run_id}: {'; '.join(ended.done)}")
    for other in ended.with_it:
        narrate(f"the same process worked on {other}")
    narrate("its lock is cleared" if ended.cleared else "it gave its lock back by itself")
    narrate(f"ingest the event again with `mre ingest {lock.event}`")


class Said(NamedTuple):
    """What the person said so far."""

    reason: str | None
    token: int | None
    confirm: str | None


def _agree(service: Service, event: str, said: Said, question: str, *, yes: bool) -> Said:
    """At a terminal: show the lock and ask for what was not said yet. Elsewhere a reason is all that can be asked.

    Whatever is done then is done to the lock that was looked at here, and to no later one.
    """
    lock = service.lock(event)
    if said.token is None:
        said = said._replace(token=lock.token)
    if at_terminal():
        narrate(_described(lock))
        if said.reason is None:
            said = said._replace(reason=ask("Reason"))
        if lock.verdict == "ALIVE" and said.confirm is None:
            said = said._replace(confirm=ask(f"The holder is alive. Type the event's name ({lock.name_to_type})"))
        elif not yes:
            require_yes(question)
    if not said.reason:
        raise StateError(Kind.USAGE, "Say why with --reason: it is kept in the journal.")
    return said


def _described(lock: LockView) -> str:
    facts = {
        "name": lock.name_to_type,
        "run": f"{lock.run_id} ({lock.run_kind or 'unknown'}), token {lock.token}",
        "holder": lock.holder.shown() if lock.holder else None,
        "verdict": f"{lock.verdict}: {lock.evidence}",
        "since": shown_time(lock.acquired_at),
        "heartbeat": _age(lock),
        "lease": _lease(lock),
        "progress": lock.progress,
        "connection": lock.session,
    }
    lines = [f"  {name:<10} {one_line(str(value))}" for name, value in facts.items() if value]
    return "\n".join([lock.event, *lines])


def _age(lock: LockView) -> str | None:
    return None if lock.heartbeat_age_ms is None else f"{lock.heartbeat_age_ms / 1000:.0f} s ago"


def _lease(lock: LockView) -> str:
    asked = "asked to stop" if lock.cancel_requested_at is not None else ""
    return ", ".join(word for word in ("expired" if lock.expired else "", asked) if word)
