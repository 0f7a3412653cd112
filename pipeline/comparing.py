"""Which two pages a person wants beside each other, given an event, a drift case or a page set: the good one first.

An event's page is compared with the one that it serves; where it serves nothing, with a page of the same type of
another event. A case's pages are those that its repair is learnt from. A page set stands beside the newest run of its
event, else beside its own version before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from msgspec import Struct

from pipeline import fixtures, kept_pages, page_names
from pipeline.errors import Kind, PipelineError, StateError
from pipeline.fixture_store import FixtureStore
from pipeline.fixtures import SetInfo
from pipeline.liverc.readers import Readers
from pipeline.liverc.urls import parse_url
from pipeline.page_diff import DiffPage, PageDiff, diff_pages
from pipeline.repair import Workshop, pages_known_before
from pipeline.store import drift as drift_rows
from pipeline.store import events as event_rows
from pipeline.store.archive import PageEntry
from pipeline.store.runs import RunRow

Sides = tuple[DiffPage, DiffPage]
_EVENTS_LOOKED_AT = 40  # for a good page of another event


class Comparison(Struct, frozen=True):
    """Two pages and what moved between them."""

    old: DiffPage
    new: DiffPage
    diff: PageDiff


class House(page_names.House, Protocol):
    """What a `Service` offers of this."""

    @property
    def readers(self) -> Readers: ...
    @property
    def fixture_store(self) -> FixtureStore: ...
    @property
    def _workshop(self) -> Workshop: ...


def compare(readers: Readers, sides: Sides) -> Comparison:
    """Two pages beside each other. Raises StateError USAGE for two types of page; ParseError, see `diff_pages`."""
    old, new = sides
    page_type = parse_url(old.url).page_type
    try:
        found = diff_pages(old, new, readers.contract(page_type), added=readers.additions.get(page_type))
    except ValueError as error:
        raise StateError(Kind.USAGE, str(error)) from error
    return Comparison(old, new, found)


def of_event(house: House, event: str, url: str | None) -> Sides:
    """(a good page, the page that the newest run failed at). Raises StateError USAGE where there is none, StoreError"""
    row = house.event(event)
    if row.current_run_id is not None or row.last_run_id is None:
        return page_names.of_event(house, event, url)
    failed = page_names.failing_page(house, house.run(row.last_run_id), url)
    wanted = parse_url(failed.url).page_type
    for _, name, manifest in drift_rows.served_manifests(
        house._workshop.store, without=(row.id,), limit=_EVENTS_LOOKED_AT
    ):
        for entry in _of_type(house, manifest, wanted):
            good = DiffPage(entry.url, house.archive.get(entry.sha256), f"{name}, as it is served")
            if _reads(house.readers, good):
                return good, failed
    raise StateError(Kind.USAGE, f"No event serves a {wanted} page that this one could be compared with", event=event)


def of_case(house: House, case_id: int, url: str | None) -> Sides:
    """(as known, as it is now): of the page that teaches most, or of `url`. Raises StateError USAGE."""
    pages = pages_known_before(house._workshop, case_id)
    # Of a page that is only remembered in the database there is nothing to hold the new one against.
    named = [(page.old, page.new) for page in pages if page.old is not None and url in (None, page.new.url)]
    if not named:
        raise StateError(Kind.USAGE, f"Drift case {case_id} knows nothing of {url} from before", case=case_id, url=url)
    return named[0]


def of_fixture(house: House, event_id: str) -> Sides:
    """(as it was kept, as the event's newest run found it), or the set's version before and its own page."""
    info = house.fixture_store.find(event_id)
    kept = _kept(info)
    row = event_rows.find_event(house._workshop.store, event_id)
    if row is not None and row.last_run_id is not None:
        run = house.run(row.last_run_id)
        found = _first_differing(kept, _fetched(house, run), first=page_names.failed_at(run))
        if found is not None:
            return found
    before = house.fixture_store.archived(event_id)
    found = _first_differing(_kept(before[-1]), kept.get) if before else None
    if found is None:
        raise StateError(
            Kind.USAGE,
            f"There is nothing to compare the page set {info.name} with: no run of its event is in the archive, and it "
            "has no version before",
            event=event_id,
        )
    return found


def _kept(info: SetInfo) -> dict[str, DiffPage]:
    name = f"page set {info.name}"
    return {page.url: DiffPage(page.url, page.body, name) for page in kept_pages.of_set(fixtures.load_set(info.folder))}


def _fetched(house: House, run: RunRow) -> Callable[[str], DiffPage | None]:
    entries = {entry.url: entry for entry in page_names.entries(house, run)} if run.pages_manifest else {}
    return lambda url: page_names.page(house, run, entries[url]) if url in entries else None


def _first_differing(
    kept: dict[str, DiffPage], other: Callable[[str], DiffPage | None], *, first: str | None = None
) -> Sides | None:
    for url in sorted(kept, key=lambda one: one != first):
        found = other(url)
        if found is not None and found.body != kept[url].body:
            return kept[url], found
    return None


def _of_type(house: House, manifest: str, page_type: str) -> Iterable[PageEntry]:
    try:
        pages = house.archive.read_manifest(manifest).pages
    except PipelineError:  # a damaged archive has its own check
        return ()
    return (page for page in pages if page.page_type == page_type)


def _reads(readers: Readers, page: DiffPage) -> bool:
    try:
        readers.read(page.body, parse_url(page.url))
    except PipelineError:
        return False
    return True
