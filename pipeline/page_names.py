"""Pages as people name them for a diff: a file, a body of the archive, a run's page, an event's page then and now."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Protocol

from pipeline.errors import Kind, StateError
from pipeline.liverc.urls import parse_url, race_url
from pipeline.page_diff import DiffPage
from pipeline.store.archive import PageArchive, PageEntry
from pipeline.store.events import EventRow
from pipeline.store.runs import RunRow

ACCEPTED = "accepted are a file, a page's sha256 in the archive, RUN:URL, or an event (its served page)"
_SHA256 = re.compile(r"[0-9a-f]{64}")
_RUN = re.compile(r"([0-9]{1,9}):(.+)", re.DOTALL)


class House(Protocol):
    """What a `Service` offers of this."""

    @property
    def archive(self) -> PageArchive: ...
    def event(self, event: str) -> EventRow: ...
    def run(self, run_id: int) -> RunRow: ...


def find(house: House, text: str, url: str | None) -> DiffPage:
    """A page by its name. Raises StateError USAGE, UNKNOWN_EVENT; StoreError ARCHIVE_FAILED."""
    path = Path(text)
    if path.is_file():
        return DiffPage(_address(url, text), path.read_bytes(), text)
    if _SHA256.fullmatch(text):
        return DiffPage(_address(url, text), house.archive.get(text), text[:12])
    named = _RUN.fullmatch(text)
    if named:
        run = house.run(int(named[1]))
        return page(house, run, _entry(house, run, _full(run, named[2])))
    row = house.event(text)
    return page(house, *_served(house, row, url))


def of_event(house: House, event: str, url: str | None) -> tuple[DiffPage, DiffPage]:
    """(the page as it is served, the page of the newest run): the one that it failed at, or the first that differs."""
    row = house.event(event)
    if row.current_run_id is None or row.last_run_id is None:
        raise StateError(Kind.USAGE, f"{event} serves nothing, so there is no good page to compare with", event=event)
    served, newest = house.run(row.current_run_id), house.run(row.last_run_id)
    before = {entry.url: entry for entry in entries(house, served)}
    after = {entry.url: entry for entry in entries(house, newest)}
    wanted = _full(newest, url) if url else failed_at(newest)
    if wanted not in before or wanted not in after:
        wanted = next((one for one in after if one in before and after[one].sha256 != before[one].sha256), None)
    if wanted is None:
        raise StateError(Kind.USAGE, f"No page of {event} differs between run {served.id} and {newest.id}", event=event)
    return page(house, served, before[wanted]), page(house, newest, after[wanted])


def failing_page(house: House, run: RunRow, url: str | None) -> DiffPage:
    """The page that a run failed at, or the one that is named. Raises StateError USAGE where it is not kept."""
    wanted = _full(run, url) if url else failed_at(run)
    if wanted is None:
        raise StateError(Kind.USAGE, f"Run {run.id} did not fail at a page", run_id=run.id)
    return page(house, run, _entry(house, run, wanted))


def failed_at(run: RunRow) -> str | None:
    """The address of the page that a run failed at."""
    details = json.loads(run.error).get("details", {}) if run.error else {}
    url = details.get("url")
    return url if isinstance(url, str) else None


def _served(house: House, row: EventRow, url: str | None) -> tuple[RunRow, PageEntry]:
    if row.current_run_id is None:
        raise StateError(Kind.USAGE, f"{row.track_slug}/{row.source_event_id} serves nothing")
    run = house.run(row.current_run_id)
    known = entries(house, run)
    return run, _entry(house, run, _full(run, url)) if url else known[0]


def _full(run: RunRow, text: str) -> str:
    """A page's address; a bare number is a race of the run's event."""
    return race_url(run.track_slug, text) if text.isdecimal() else parse_url(text).url


def _entry(house: House, run: RunRow, url: str) -> PageEntry:
    for entry in entries(house, run):
        if entry.url == url:
            return entry
    raise StateError(Kind.USAGE, f"Run {run.id} used no page {url}", run_id=run.id, url=url)


def entries(house: House, run: RunRow) -> tuple[PageEntry, ...]:
    """The pages that a run used. Raises StateError USAGE where none is kept; StoreError."""
    if run.pages_manifest is None:
        raise StateError(Kind.USAGE, f"Run {run.id} has no pages in the archive", run_id=run.id)
    return house.archive.read_manifest(run.pages_manifest).pages


def page(house: House, run: RunRow, entry: PageEntry) -> DiffPage:
    """One of them, named after its run."""
    build = f", build {entry.build_marker}" if entry.build_marker else ""
    return DiffPage(entry.url, house.archive.get(entry.sha256), f"run {run.id}{build}")


def _address(url: str | None, text: str) -> str:
    if url is None:
        raise StateError(Kind.USAGE, f"No page holds its own address: name that of {text[:60]!r} with --url")
    return parse_url(url).url
