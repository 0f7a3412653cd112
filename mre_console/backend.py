"""The pipeline as the console asks for it: `screens.ports.ConsoleService` over a `Service`.

Questions come from short-lived threads, so each gives its database connection back; runs say that the console started
them; the contact that is typed is kept in the configuration file and used from then on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import msgspec

from pipeline.observe import Bus
from pipeline.store.urls import parse_url

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.errors import PipelineError
    from pipeline.ingest import IngestReport
    from pipeline.service import Service
    from pipeline.snapshot import LapLine, LogLine, RaceLine, ResultLine, Snapshot

REAL_SITE = "liverc.com"


class ConsoleBackend:
    """Stands between screens and a `Service`, which stays the caller's to close."""

    def __init__(self, service: Service, config_file: Path | None = None) -> None:
        """`config_file` is where a contact is kept; None: the platform's."""
        self._service = service
        self._config_file = config_file
        self.shown_database = parse_url(service.settings.db_url).shown
        self.shown_site = service.settings.site or REAL_SITE

    @property
    def bus(self) -> Bus:
        return self._service.bus

    @contextmanager
    def _asking(self) -> Iterator[Service]:
        """For calls from threads that end right after: their connection is closed with them."""
        with self._service.store.connection_scope():
            yield self._service

    # ------------------------------------------------------------------ looking

    def snapshot(self, *, text: str = "", limit: int = 500, after_log_id: int = 0, log_limit: int = 2_000) -> Snapshot:
        # Asked by one thread that lives as long as the console: it keeps its connection.
        return self._service.snapshot(text=text, limit=limit, after_log_id=after_log_id, log_limit=log_limit)

    def races(self, event_id: int) -> tuple[RaceLine, ...]:
        with self._asking() as service:
            return service.races(event_id)

    def results(self, race_id: int) -> tuple[ResultLine, ...]:
        with self._asking() as service:
            return service.results(race_id)

    def laps(self, result_id: int) -> tuple[LapLine, ...]:
        with self._asking() as service:
            return service.laps(result_id)

    def run_log(self, run_id: int, limit: int = 1_000) -> tuple[LogLine, ...]:
        with self._asking() as service:
            return service.run_log(run_id, limit)

    # ------------------------------------------------------------------ acting

    def add_event(self, event: str) -> object:
        with self._asking() as service:
            return service.add_event(event)

    def start_ingest(self, event: str, *, done: Callable[[IngestReport | PipelineError], None] | None = None) -> object:
        from pipeline.ingest import Options

        with self._asking() as service:
            return service.start_ingest(event, Options(trigger="console"), done=done)

    def follow(self, slug: str) -> object:
        with self._asking() as service:
            return service.follow(slug)

    def refresh_track(self, slug: str) -> tuple[object, ...]:
        with self._asking() as service:
            return service.refresh_track(slug)

    def needs_contact(self) -> bool:
        settings = self._service.settings
        return settings.site is None and settings.contact is None

    def save_contact(self, contact: str) -> None:
        """Keep the contact for every later start, and fetch with it from now on. Raises StateError USAGE."""
        from mre_console.settings import save_contact

        save_contact(contact, self._config_file)
        # The client is made at the first fetch, and nothing is fetched before there is a contact.
        self._service.settings = msgspec.structs.replace(self._service.settings, contact=contact)

    # ------------------------------------------------------------------ ending

    def stop(self, message: str) -> None:
        self._service.stop(message)

    def running_here(self) -> int:
        return self._service.running_here()
