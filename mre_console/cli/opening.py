"""How a command gets its `Service`: settings merged, the contact asked for once, runs ended cleanly by Ctrl-C."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections.abc import Container, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

from mre_console.cli.main import EXIT_INTERRUPTED, settings_of, spared
from mre_console.cli.output import narrate
from pipeline.errors import StateError

if TYPE_CHECKING:
    from mre_console.settings import Settings
    from pipeline.service import Service

GRACE_S = 0.5  # after a second Ctrl-C


@contextmanager
def open_service(ctx: typer.Context, *, fetches: bool = False, debug_browser: bool = False) -> Iterator[Service]:
    """The service for one command. With `fetches`, the real site is only asked once a contact is known."""
    settings = settings_of(ctx)
    if fetches and settings.site is None and settings.contact is None:
        settings = _ask_contact(settings)
    with service_from(settings, debug_browser=debug_browser) as service, observed(service), _stopping(service):
        yield service


@contextmanager
def observed(service: Service) -> Iterator[None]:
    """While a program runs: its reports as JSON lines in the data folder, its runs' spans where they are wanted."""
    from pipeline.holders import program_version
    from pipeline.logs import configure_json
    from pipeline.tracing import trace_to_environment

    end_log = configure_json(service.bus, folder=service.settings.data / "logs")
    try:
        end_traces = trace_to_environment(service.bus, program_version())
    except StateError as error:  # somebody else's variable must not keep a recovery from being done
        narrate(f"warning: {error.message} {error.details['remedy']}")
        end_traces = lambda: None  # noqa: E731
    try:
        yield
    finally:
        end_traces()
        end_log()


def service_from(settings: Settings, *, debug_browser: bool = False) -> Service:
    from mre_console.settings import shipped_fixtures
    from pipeline.service import Service, ServiceSettings

    try:
        fixtures = shipped_fixtures()
    except StateError:  # without them the gate stays closed, and says so
        fixtures = settings.data / "no-fixtures"
    return Service(
        ServiceSettings(
            db_url=settings.db,
            data=settings.data,
            site=settings.site,
            crawl_delay=settings.crawl_delay,
            contact=settings.contact,
            release_dead=settings.release_dead,
            fixtures=fixtures,
            browser=settings.browser,
            browser_pages=frozenset((settings.browser_pages or "").split(",")) - {""},
            debug_browser=debug_browser,
            drift_webhook=settings.drift_webhook,
        ),
        read_only=settings.read_only,
    )


def _ask_contact(settings: Settings) -> Settings:
    """Ask for the contact at a terminal and keep it; elsewhere the connector refuses with CONTACT_MISSING."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return settings
    from mre_console.settings import save_contact, with_contact

    narrate("LiveRC's operators must be able to reach whoever fetches their pages. It is asked once.")
    while True:
        contact = typer.prompt("Your e-mail address or web page", err=True)
        try:
            changed = with_contact(settings, contact)
        except StateError as error:
            narrate(error.message)
            continue
        save_contact(contact)
        return changed


@contextmanager
def _stopping(service: Service) -> Iterator[None]:
    """The first Ctrl-C or SIGTERM lets runs end as interrupted and give their leases back; the second ends at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous: dict[int, Any] = {}

    def stop(signum: int, _frame: object) -> None:
        for number, handler in previous.items():
            signal.signal(number, handler)
        service.stop(f"stopped by {signal.Signals(signum).name}")

    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and not spared(number):
            previous[number] = signal.signal(number, stop)
    try:
        with _second_ends_at_once(previous):
            yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


@contextmanager
def _second_ends_at_once(numbers: Container[int]) -> Iterator[None]:
    """Count these signals; the second leaves the process a moment to end by itself, then ends it.

    Python runs a signal's handler only between two steps of its own, and a database that somebody else holds keeps the
    program inside one step for seconds. The system writes to the pipe whatever the program is doing.
    """
    reading, writing = socket.socketpair()
    writing.setblocking(False)
    ended = threading.Event()

    def watch() -> None:
        seen = 0
        while received := reading.recv(64):
            seen += sum(number in numbers for number in received)
            if seen > 1 and not ended.wait(GRACE_S):
                os.write(2, b"ended at once; `mre locks list` shows whether a lock was left\n")
                os._exit(EXIT_INTERRUPTED)
        reading.close()

    before = signal.set_wakeup_fd(writing.fileno(), warn_on_full_buffer=False)
    threading.Thread(target=watch, name="signals", daemon=True).start()
    try:
        yield
    finally:
        ended.set()
        signal.set_wakeup_fd(before)
        writing.close()
