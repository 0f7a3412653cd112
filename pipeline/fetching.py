"""The pages of one event, fetched for looking at them: nothing is recorded, judged or published.

What a page set is captured from or checked against. A person asks for it, so a block on a page type does not stand in
the way; the client's politeness always does.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from pipeline import records
from pipeline.errors import FetchError, Kind, NormaliseError
from pipeline.kept_pages import KeptPage
from pipeline.liverc import urls
from pipeline.liverc.page import Fetcher
from pipeline.liverc.readers import Readers
from pipeline.stopping import StopSignal

DEADLINE_S = 1800.0


def fetch_event(
    client: Fetcher,
    readers: Readers,
    slug: str,
    source_event_id: str,
    signal: StopSignal | None = None,
    admit: Callable[[], None] | None = None,
) -> tuple[KeptPage, ...]:
    """The event's page and every page of the event that it links, in the order of an ingestion.

    `admit` is asked before every request, as by `Client.fetch`.

    Raises FetchError; ParseError where the event page cannot be read; NormaliseError NO_RACES; StateError INTERRUPTED.
    """
    signal, deadline = signal or StopSignal(), time.monotonic() + DEADLINE_S

    def fetch(url: str) -> KeptPage:
        signal.check()
        page = client.fetch(url, urls.parse_url(url).page_type, stop=signal.event, deadline=deadline, admit=admit)
        return KeptPage(page.url, page.body, page.how, page.fetched_at_ms)

    first = fetch(urls.event_url(slug, source_event_id))
    event = readers.read(first.body, urls.parse_url(first.url))
    assert isinstance(event, records.EventPage)
    if not event.races:
        raise NormaliseError(Kind.NO_RACES, f"event {source_event_id} has no races on its page", url=first.url)
    pages = [first]
    if event.has_entry_list:
        try:
            pages.append(fetch(urls.entry_list_url(slug, source_event_id)))
        except FetchError as error:
            if error.kind is not Kind.NOT_FOUND:
                raise
    return (*pages, *(fetch(urls.race_url(slug, link.source_race_id)) for link in event.races))
