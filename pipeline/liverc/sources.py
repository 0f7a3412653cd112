"""Where a page comes from: over plain HTTP, or through the browser where it is nothing without its scripts.

HTTP is always tried first, except where a person marked the page type. The browser is started only for a page that
lacks its content *and* shows that scripts would bring it, so a site that is down never starts one.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import StrEnum
from threading import Event
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

from pipeline import records
from pipeline.errors import Kind, ParseError
from pipeline.liverc.page import Fetcher, Page, PageAddress

if TYPE_CHECKING:
    from pipeline.liverc.browser import Browser
    from pipeline.liverc.client import Client


class BrowserMode(StrEnum):
    """When the browser is used."""

    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"  # plain HTTP only


_SIGNS = (
    # an empty place that a script is to fill
    re.compile(rb"<(div|main|section|body)\b[^>]*\bid\s*=\s*[\"']?(app|root|__next|__nuxt|main-app|react-root|svelte)\b"
               rb"[^>]*>\s*(<noscript>.{0,400}?</noscript>\s*)?</", re.IGNORECASE | re.DOTALL),
    re.compile(rb"<noscript>(?:(?!</noscript>).){0,600}?(enable|requires?|needs?|turn on|without)"
               rb"(?:(?!</noscript>).){0,200}?javascript", re.IGNORECASE | re.DOTALL),
    re.compile(rb"<noscript>(?:(?!</noscript>).){0,600}?javascript(?:(?!</noscript>).){0,200}?"
               rb"(enable|required|needed|disabled)", re.IGNORECASE | re.DOTALL),
    re.compile(rb"\bdata-reactroot\b|\bng-app\s*=|\bng-version\s*=|\bdata-v-app\b|__NEXT_DATA__|__NUXT__|"
               rb"window\.__(INITIAL|PRELOADED)_STATE__", re.IGNORECASE),
)  # fmt: skip


def wants_scripts(body: bytes) -> bool:
    """Whether a page shows signs that its content is made by scripts in the browser."""
    return any(sign.search(body) for sign in _SIGNS)


def lacks_content(found: records.PageRecord | ParseError) -> bool:
    """Whether what came of reading a page is that its content is not there."""
    match found:
        case ParseError():
            return found.kind in (Kind.PAGE_UNRECOGNISED, Kind.FIELD_MISSING)
        case records.EventPage():
            return not found.races
        case records.RacePage():
            return not found.has_lap_script
        case records.EventsListing():
            return not found.events
        case records.TrackCatalogue():
            return not found.tracks
        case records.EntryListPage():
            return not found.classes
    return False


class How(Struct, frozen=True):
    """What a person chose."""

    mode: BrowserMode = BrowserMode.AUTO
    marked: frozenset[str] = frozenset()  # page types that always need the browser


class Sources:
    """Fetches pages by the way that suits them. `open_browser` is called when the first page needs one."""

    def __init__(
        self, client: Fetcher, how: How | None = None, open_browser: Callable[[], Renderer] | None = None
    ) -> None:
        self._client = client
        self._how = how if how is not None and open_browser is not None else How(BrowserMode.NEVER)
        self._open_browser = open_browser

    def fetch(
        self,
        page: PageAddress,
        *,
        stop: Event | None = None,
        deadline: float | None = None,
        admit: Callable[[], None] | None = None,
    ) -> Page:
        """As `Client.fetch`, through the browser where that was chosen for the page's type. Raises what both raise."""
        if self._always(page.page_type):
            return self.render(page, stop=stop, deadline=deadline, admit=admit)
        return self._client.fetch(page.url, str(page.page_type), stop=stop, deadline=deadline, admit=admit)

    def would_render(self, page: Page, found: records.PageRecord | ParseError) -> bool:
        """Whether the browser is the thing to try, now that this was read of the page."""
        useful = self._how.mode is BrowserMode.AUTO and page.how == "http"
        return useful and lacks_content(found) and wants_scripts(page.body)

    def render(
        self,
        page: PageAddress,
        *,
        stop: Event | None = None,
        deadline: float | None = None,
        admit: Callable[[], None] | None = None,
    ) -> Page:
        """The page as the browser makes it. Raises FetchError, StateError INTERRUPTED, and what `admit` raises."""
        assert self._open_browser is not None
        self._client.require_contact()
        return self._open_browser()(page, stop=stop, deadline=deadline, admit=admit)

    def _always(self, page_type: str) -> bool:
        if self._how.mode is BrowserMode.NEVER:
            return False
        return self._how.mode is BrowserMode.ALWAYS or page_type in self._how.marked


class Renderer(Protocol):
    """Makes a page in a browser."""

    def __call__(
        self,
        page: PageAddress,
        *,
        stop: Event | None = None,
        deadline: float | None = None,
        admit: Callable[[], None] | None = None,
    ) -> Page: ...


def renderer(client: Client, browser: Browser) -> Renderer:
    """A browser whose pages are fetched by that client."""

    def render(
        page: PageAddress,
        *,
        stop: Event | None = None,
        deadline: float | None = None,
        admit: Callable[[], None] | None = None,
    ) -> Page:
        errand = client.errand(page.url, str(page.page_type), stop=stop, deadline=deadline, admit=admit)
        return browser.render(errand, str(page.page_type))

    return render
