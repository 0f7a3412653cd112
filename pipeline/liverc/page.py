"""One fetched page, as every other room sees it: its bytes and how they were come by. Holds no HTTP library."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event
from typing import Protocol

from msgspec import Struct, field

from pipeline.liverc.urls import PageType


class Page(Struct, frozen=True):
    """A page that arrived whole. Made by `pipeline.liverc.client` and by the browser fallback."""

    url: str  # the address asked for, as LiveRC writes it, whatever server stood in for the site
    page_type: str  # a `pipeline.liverc.urls.PageType`
    body: bytes  # decoded, byte for byte
    status: int
    fetched_at_ms: int  # UTC, this machine's clock
    how: str = "http"  # or "browser"
    attempts: int = 1  # requests it took, retries and redirects included
    wire_bytes: int = 0  # of the body as sent, before decompression
    gzipped: bytes | None = None  # the body as sent, where it came compressed: the page archive keeps it like that
    duration_ms: int = 0  # of the last request, without the wait for its turn
    headers_kept: dict[str, str] = field(default_factory=dict)  # lower-case names: date, server, etag, last-modified …
    final_url: str = ""  # where redirects led; empty: there were none


class PageAddress(Protocol):
    """Anything that knows its page's URL and type, as `pipeline.liverc.urls.PageRef`."""

    @property
    def url(self) -> str: ...

    @property
    def page_type(self) -> PageType: ...


class Fetcher(Protocol):
    """Whoever pages can be had from: `pipeline.liverc.client.Client`, or pages that were kept."""

    def require_contact(self) -> None:
        """Refuse work that would end at the first fetch. Raises StateError CONTACT_MISSING."""

    def fetch(
        self,
        page: PageAddress | str,
        page_type: str | None = None,
        *,
        stop: Event | None = None,
        deadline: float | None = None,
        admit: Callable[[], None] | None = None,
    ) -> Page:
        """One page, whole; see `Client.fetch`."""


class Resource(Struct, frozen=True):
    """Anything else of the site, for a page that is put together in a browser."""

    status: int
    content_type: str
    body: bytes
    url: str  # where redirects led
