"""Pages that were kept become the document again: no network, no database, the same readers and rules.

Fixture sets, the page archive, checks and rebuilding all replay through here, so that what they prove is what an
ingestion does.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from pipeline import document, records, validate
from pipeline.errors import Kind, NormaliseError
from pipeline.liverc.readers import SHIPPED, Readers
from pipeline.liverc.urls import parse_url
from pipeline.store.archive import PageArchive
from pipeline.violations import Violation


@dataclass
class Pages:
    """What the pages of one event say."""

    event: records.EventPage | None = None
    races: dict[str, records.RacePage] = field(default_factory=dict)
    entry_list: records.EntryListPage | None = None

    def build(self) -> records.Event:
        """The canonical document. Raises NormaliseError where there is no event page, a race page lacks, or no race."""
        if self.event is None:
            raise NormaliseError(Kind.INVALID_DOCUMENT, "There is no event page among the pages that were kept")
        return document.build_event(self.event, self.races, self.entry_list)

    def check(self, event: records.Event) -> tuple[Violation, ...]:
        """Every rule that an ingestion holds the document to."""
        assert self.event is not None
        return validate.check(event, self.event, self.races, self.entry_list)


def read_pages(pages: Iterable[tuple[str, bytes]], readers: Readers = SHIPPED) -> Pages:
    """Read pages, given as (URL, body) in any order.

    Raises ParseError, StateError USAGE for a URL that is no page's.
    """
    said = Pages()
    for url, body in pages:
        record = readers.read(body, parse_url(url))
        match record:
            case records.EventPage():
                said.event = record
            case records.RacePage():
                said.races[record.source_race_id] = record
            case records.EntryListPage():
                said.entry_list = record
            case _:
                raise NormaliseError(Kind.INVALID_DOCUMENT, f"{url} is no page of an event")
    return said


def archived_pages(archive: PageArchive, manifest_sha256: str) -> list[tuple[str, bytes]]:
    """The pages of one run, as (URL, body) in the order they were fetched.

    Raises StoreError ARCHIVE_FAILED where the manifest or one of its pages is missing or damaged.
    """
    manifest = archive.read_manifest(manifest_sha256)
    return [(page.url, archive.get(page.sha256)) for page in manifest.pages]
