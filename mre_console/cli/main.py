"""The command `mre`: global options, one lazily loaded module per noun, and the exit codes.

`COMMANDS` is the whole registry. Only the module of the command that was typed is imported, so `mre --help` costs no
database, network or terminal library. Global options may stand anywhere on the line; a command reads them, merged with
the environment and the configuration file, through `settings_of(ctx)`.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from mre_console.cli.output import guard, narrate, print_text

if TYPE_CHECKING:
    from pathlib import Path

    from mre_console.settings import Settings

EXIT_USAGE = 2
EXIT_INTERRUPTED = 130
CONSOLE = "mre_console.app:run_console"  # (settings: Settings) -> None; opened by `mre` without a command


class Command(NamedTuple):
    """Where a command lives and what `mre --help` says of it."""

    target: str  # "module:attribute"; the attribute is a typer.Typer (a noun with verbs) or a function (one command)
    summary: str


COMMANDS: dict[str, Command] = {
    "ingest": Command("mre_console.cli.ingest:command", "Fetch events with all their races and publish them."),
    "events": Command("mre_console.cli.events:app", "List and show events; read a track's listing again."),
    "tracks": Command("mre_console.cli.tracks:app", "The track catalogue, and which tracks are followed."),
    "status": Command("mre_console.cli.status:command", "What is running, what failed, what is served."),
    "warnings": Command(
        "mre_console.cli.warnings:app", "Warnings that wait for a person, and saying that they were seen."
    ),
    "failures": Command("mre_console.cli.failures:command", "What fails, grouped by cause."),
    "log": Command("mre_console.cli.log:command", "What happened to an event, or in one run."),
    "export": Command("mre_console.cli.export:command", "Write an event's served data as JSON or CSV."),
    "parse": Command("mre_console.cli.parse:command", "Read one saved page and print what it says as JSON."),
    "retry": Command("mre_console.cli.retry:command", "Ingest failed events again, carefully."),
    "cleanup": Command("mre_console.cli.cleanup:command", "Remove an event's partial rows; --full: all it serves."),
    "reset": Command("mre_console.cli.reset:command", "Bring an event back to where it was before any ingestion."),
    "restore": Command("mre_console.cli.restore:command", "Serve an older run, or roll back a parser build."),
    "undo": Command("mre_console.cli.undo:command", "Take a recovery action back."),
    "actions": Command("mre_console.cli.actions:app", "The recovery actions that were taken."),
    "purge": Command("mre_console.cli.purge:command", "Delete superseded runs for good."),
    "rebuild": Command("mre_console.cli.rebuild:command", "A lost database again, from the page archive."),
    "cancel": Command("mre_console.cli.cancel:command", "Ask whoever works on an event to stop."),
    "locks": Command("mre_console.cli.locks:app", "Who works on which event, and taking a lock from its holder."),
    "checks": Command("mre_console.cli.checks:command", "Is everything that is served as it must be?"),
    "drift": Command("mre_console.cli.drift:app", "Has LiveRC changed its pages? Cases, probes, canaries."),
    "diff": Command("mre_console.cli.diff:command", "What moved between two pages: in words, by field, in markup."),
    "repair": Command("mre_console.cli.repair:app", "Let changed pages be read again; accept, undo, export."),
    "disable": Command("mre_console.cli.control:disable", "Stop all ingestion, everywhere, until it is enabled."),
    "enable": Command("mre_console.cli.control:enable", "Allow ingestion again, once the checks have passed."),
    "control": Command("mre_console.cli.control:app", "Whether ingestion is enabled, and who disabled it."),
    "serve": Command("mre_console.cli.serve:command", "The same over HTTP, for other programs."),
    "tokens": Command("mre_console.cli.tokens:app", "Who may use the HTTP API."),
    "fixtures": Command("mre_console.cli.fixtures:app", "The page sets that prove the readers."),
    "replay": Command("mre_console.cli.replay:command", "Kept pages through an ingestion's stages, no network."),
    "gate": Command("mre_console.cli.gate:app", "Do the readers pass every page set? Ingestion needs it."),
    "config": Command("mre_console.cli.config:app", "The settings, and where each value came from."),
    "db": Command("mre_console.cli.db:app", "Create, upgrade, downgrade and describe the database."),
    "doctor": Command("mre_console.cli.doctor:command", "Check this machine and what the program needs on it."),
    "schedule": Command("mre_console.cli.schedule:app", "What is done when, by whoever runs the schedule."),
    "worker": Command("mre_console.cli.worker:command", "Run the schedule without a terminal."),
    "demo": Command("mre_console.cli.demo:command", "Watch ingestion, failure and recovery on a simulated LiveRC."),
    "simulator": Command("mre_console.cli.simulator:app", "Serve a LiveRC look-alike on this machine."),
}


@dataclass
class Invocation:
    """What the root of the command line knows: the global options as they were typed."""

    flags: dict[str, str | None] = field(default_factory=dict)


def settings_of(ctx: typer.Context) -> Settings:
    """The settings for this command. Raises StateError (USAGE) where one is not acceptable."""
    from mre_console.settings import load_settings

    return load_settings(ctx.ensure_object(Invocation).flags)


# ---------------------------------------------------------------- global options, wherever they stand

GLOBAL_VALUES = (
    "--db",
    "--data",
    "--site",
    "--crawl-delay",
    "--contact",
    "--release-dead",
    "--browser",
    "--browser-pages",
    "--drift-webhook",
)
GLOBAL_FLAGS = ("--version", "--read-only")


def hoist(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """Split a line into its global options and the rest, each in the order typed.

    Nothing after `--` is touched. A text that equals a global option but is meant as the value of another one must be
    joined to it (`--reason=--db`). Raises StateError (USAGE) where a value is missing.
    """
    hoisted: list[str] = []
    rest: list[str] = []
    words = iter(argv)
    for word in words:
        if word == "--":
            rest += [word, *words]
        elif word in GLOBAL_VALUES:
            value = next(words, None)
            if value is None or value.startswith("--"):
                raise _usage(f"Option '{word}' needs a value.", "mre")
            hoisted.append(f"{word}={value}")
        elif word in GLOBAL_FLAGS or word.partition("=")[0] in GLOBAL_VALUES:
            hoisted.append(word)
        else:
            rest.append(word)
    return hoisted, rest


def _has_flag(argv: Sequence[str], flag: str) -> bool:
    words = list(argv)
    return flag in (words[: words.index("--")] if "--" in words else words)


def _usage(message: str, command: str) -> Exception:
    from pipeline.errors import Kind, StateError

    return StateError(Kind.USAGE, message, remedy=f"See `{command} --help`.")


# ---------------------------------------------------------------- the root of the command line


def _show_version(wanted: bool) -> None:
    if wanted:
        from pipeline.holders import program_version

        print_text(f"mre {program_version()}")
        raise typer.Exit


def _root(
    ctx: typer.Context,
    db: Annotated[str | None, typer.Option(help="Database: a file, or postgresql://… (MRE_DB).")] = None,
    data: Annotated[str | None, typer.Option(help="Folder of the page archive and logs (MRE_DATA).")] = None,
    site: Annotated[
        str | None, typer.Option(help="http://host:port that stands in for every LiveRC host (MRE_SITE).")
    ] = None,
    crawl_delay: Annotated[
        str | None, typer.Option(help="Seconds between two requests, default 1.0 (MRE_CRAWL_DELAY).")
    ] = None,
    contact: Annotated[str | None, typer.Option(help="E-mail address or URL for the User-Agent (MRE_CONTACT).")] = None,
    release_dead: Annotated[
        str | None, typer.Option(help="Release locks of holders proven dead by itself: yes (default) or no.")
    ] = None,
    read_only: Annotated[
        bool, typer.Option("--read-only", help="Look only: refuse every action (MRE_READ_ONLY).")
    ] = False,
    browser: Annotated[
        str | None, typer.Option(help="Use a browser: auto (default), always or never (MRE_BROWSER).")
    ] = None,
    browser_pages: Annotated[
        str | None, typer.Option(help="Page types that always need the browser, with commas.")
    ] = None,
    drift_webhook: Annotated[
        str | None, typer.Option(help="http(s) URL that is told of drift in a JSON POST (MRE_DRIFT_WEBHOOK).")
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """Ingest LiveRC race results and keep the ingestion healthy. Without a command: the console.

    The options below may stand anywhere on the line.
    """
    ctx.obj = Invocation(
        {
            "db": db,
            "data": data,
            "site": site,
            "crawl_delay": crawl_delay,
            "contact": contact,
            "release_dead": release_dead,
            "read_only": "yes" if read_only else None,
            "browser": browser,
            "browser_pages": browser_pages,
            "drift_webhook": drift_webhook,
        }
    )
    if ctx.invoked_subcommand is None:
        _open_console(settings_of(ctx))


def _open_console(settings: Settings) -> None:
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise _usage("The console needs a terminal; without one, name a command.", "mre")
    _load(CONSOLE)(settings)


def _load(target: str) -> Any:
    module, _, attribute = target.partition(":")
    return getattr(import_module(module), attribute)


def _build(chosen: str | None) -> typer.Typer:
    """The command tree with only the chosen command real; the others are names with a summary."""
    root = typer.Typer(
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    root.callback(invoke_without_command=True)(_root)
    for name, command in COMMANDS.items():
        target: Callable[..., None] | typer.Typer = _load(command.target) if name == chosen else _placeholder
        if isinstance(target, typer.Typer):
            root.add_typer(target, name=name, short_help=command.summary)
        else:
            root.command(name, short_help=command.summary)(target)
    return root


def _placeholder() -> None:
    """Stands for a command whose module was not loaded: listed in the help, never run."""


# ---------------------------------------------------------------- running


def run(argv: Sequence[str]) -> int:
    """Run one command line and return its exit code; failures have been shown by then."""
    as_json, debug = _has_flag(argv, "--json"), _debugging(argv)
    try:
        with guard(as_json=as_json, debug=debug, log_folder=lambda: _log_folder(argv)):
            return _invoke(argv)
    except SystemExit as exit_:
        return exit_.code if isinstance(exit_.code, int) else 1


def _invoke(argv: Sequence[str]) -> int:
    hoisted, rest = hoist(argv)
    chosen = next((word for word in rest if not word.startswith("-")), None)
    try:
        result = _build(chosen)(args=[*hoisted, *rest], prog_name="mre", standalone_mode=False)
    except typer.TyperException as error:
        return _wrong_usage(error)
    except typer.Abort:
        raise KeyboardInterrupt from None
    except SystemExit as exit_:
        # The framework ends the process by itself when the reader of stdout has gone away.
        if isinstance(exit_.__context__, BrokenPipeError):
            raise exit_.__context__ from None
        raise
    if result == EXIT_INTERRUPTED:  # the framework's word for Ctrl-C
        raise KeyboardInterrupt
    return result if isinstance(result, int) else 0


def _wrong_usage(error: typer.TyperException) -> int:
    """A line the framework could not read: its help where a verb is missing, else a refusal naming the command."""
    context = getattr(error, "ctx", None)
    if context is not None and error.format_message() == context.get_help():
        narrate(error.format_message())
        return EXIT_USAGE
    raise _usage(error.format_message(), context.command_path if context is not None else "mre") from error


def _debugging(argv: Sequence[str]) -> bool:
    import os

    return _has_flag(argv, "--debug") or os.environ.get("MRE_DEBUG", "") not in ("", "0")


def _log_folder(argv: Sequence[str]) -> Path:
    """Where tracebacks are kept: the data folder as far as the line lets itself be read."""
    from mre_console.settings import load_settings

    hoisted, _ = hoist(argv)
    data = [word.partition("=")[2] for word in hoisted if word.startswith("--data=")]
    return load_settings({"data": data[-1] if data else None}, warn=lambda _: None).data


def spared(number: int) -> bool:
    """Whether `nohup` asked that a closed terminal must not end the program."""
    return signal.Signals(number).name == "SIGHUP" and signal.getsignal(number) is signal.SIG_IGN


def _interrupt(signum: int, _frame: object) -> None:
    raise KeyboardInterrupt(signal.Signals(signum).name)


def main() -> None:
    """The program's entry point: SIGTERM and a closed terminal end it like Ctrl-C does, in the background too."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and not spared(number):
            signal.signal(number, _interrupt)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    sys.exit(run(sys.argv[1:]))
