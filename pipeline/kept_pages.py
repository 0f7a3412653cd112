"""Pages that were kept, as a source that an ingestion can fetch from: the page archive or a page set instead of a site.

Nothing here asks the network: what was not kept is NOT_FOUND, as a page that a site does not have.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable

from msgspec import Struct

from pipeline.errors import FetchError, Kind
from pipeline.fixtures import FixtureSet
from pipeline.liverc.page import Page, PageAddress
from pipeline.liverc.urls import parse_url
from pipeline.store.archive import PageArchive


class KeptPage(Struct, frozen=True):
    """One page with where it came from."""

    url: str
    body: bytes
    how: str = "http"  # or browser
    fetched_at_ms: int = 0  # UTC; 0: nobody knows


def of_run(archive: PageArchive, manifest_sha256: str) -> tuple[KeptPage, ...]:
    """The pages of one run, in the order they were fetched. Raises StoreError ARCHIVE_FAILED."""
    manifest = archive.read_manifest(manifest_sha256)
    return tuple(KeptPage(page.url, archive.get(page.sha256), page.how, page.fetched_at_ms) for page in manifest.pages)


def of_set(fixtures: FixtureSet) -> tuple[KeptPage, ...]:
    """The pages of a page set."""
    return tuple(KeptPage(url, body, fixtures.metadata.how) for url, body in fixtures.pages)


class KeptPages:
    """Fetches from kept pages: what `pipeline.liverc.client.Client` is to the network. Threads may share it."""

    def __init__(self, pages: Iterable[KeptPage]) -> None:
        self._pages = {page.url: page for page in pages}

    def require_contact(self) -> None:
        """Nobody is asked for anything."""

    def fetch(
        self,
        page: PageAddress | str,
        page_type: str | None = None,
        *,
        stop: threading.Event | None = None,
        deadline: float | None = None,
        admit: Callable[[], None] | None = None,
    ) -> Page:
        """As `Client.fetch`. Raises FetchError NOT_FOUND for a page that was not kept."""
        ref = parse_url(page) if isinstance(page, str) else page
        if admit is not None:
            admit()
        kept = self._pages.get(ref.url)
        if kept is None:
            raise FetchError(Kind.NOT_FOUND, f"{ref.url} is not among the pages that were kept", url=ref.url)
        return Page(
            url=kept.url,
            page_type=page_type or str(ref.page_type),
            body=kept.body,
            status=200,
            fetched_at_ms=kept.fetched_at_ms,
            how=kept.how,
        )
