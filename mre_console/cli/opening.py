"""How a command gets its `Service`: settings merged, the contact asked for once, runs ended cleanly by Ctrl-C."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

from mre_console.cli.main import settings_of
from mre_console.cli.output import narrate
from pipeline.errors import StateError

if TYPE_CHECKING:
    from mre_console.settings import Settings
    from pipeline.service import Service


@contextmanager
def open_service(ctx: typer.Context, *, fetches: bool = False) -> Iterator[Service]:
    """The service for one command. With `fetches`, the real site is only asked once a contact is known."""
    settings = settings_of(ctx)
    if fetches and settings.site is None and settings.contact is None:
        settings = _ask_contact(settings)
    with service_from(settings) as service, _stopping(service):
        yield service


def service_from(settings: Settings) -> Service:
    from mre_console.settings import shipped_fixtures
    from pipeline.service import Service, ServiceSettings

    try:
        fixtures = shipped_fixtures()
    except StateError:  # only the checks miss them, and they say so
        fixtures = None
    return Service(
        ServiceSettings(
            db_url=settings.db,
            data=settings.data,
            site=settings.site,
            crawl_delay=settings.crawl_delay,
            contact=settings.contact,
            release_dead=settings.release_dead,
            fixtures=fixtures,
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
        if hasattr(signal, name):
            number = getattr(signal, name)
            previous[number] = signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
