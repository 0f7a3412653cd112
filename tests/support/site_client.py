"""A client that asks a simulated site directly: ingestion without sockets, for tests of what comes after fetching."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from mre_console.simulator.site import SimulatedSite
from pipeline.errors import FetchError, Kind
from pipeline.liverc.client import Client
from pipeline.liverc.page import Page


class SiteClient(Client):
    """Answers from the site. `before` is called with each URL, in the fetching thread, when it may be requested."""

    def __init__(self, site: SimulatedSite, before: Callable[[str], None] | None = None) -> None:
        self.site = site
        self.before = before
        self.requests: list[str] = []

    def close(self) -> None:
        """Nothing is open."""

    def require_contact(self) -> None:
        """A simulated site has nobody to write to."""

    def fetch(
        self,
        page: Any,
        page_type: str | None = None,
        *,
        stop: threading.Event | None = None,
        deadline: float | None = None,
        admit: Callable[[], None] | None = None,
    ) -> Page:
        url = str(page)
        if admit is not None:
            admit()
        self.requests.append(url)
        if self.before is not None:
            self.before(url)
        parts = urlsplit(url)
        answer = self.site.answer(parts.netloc, parts._replace(scheme="", netloc="").geturl() or "/")
        if answer is None:
            raise FetchError(Kind.NOT_FOUND, "there is no such page", url=url)
        return Page(url=url, page_type=page_type or "", body=answer.body, status=200, fetched_at_ms=0)
