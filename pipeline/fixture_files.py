"""The files of a captured page set, and how they come into their place: whole, or not at all.

Page bytes are kept as served but for masked e-mail and IP addresses (`redaction`), which must leave the document as it
is. Only `fixture_store` writes sets; here is what it writes.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from pipeline import document, records
from pipeline.errors import Kind, PipelineError, StateError, StoreError
from pipeline.fixtures import ARCHIVE, EXPECTED, METADATA, NEXT, SITE, Acceptance, SetInfo
from pipeline.kept_pages import KeptPage
from pipeline.liverc.markup import page_facts
from pipeline.liverc.readers import Readers
from pipeline.liverc.urls import PageRef, PageType, parse_url
from pipeline.redaction import personal, redact
from pipeline.replay import read_pages
from pipeline.violations import require_valid

_EVENT_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_PAGES = (PageType.EVENT, PageType.RACE_RESULT, PageType.ENTRY_LIST)


class MadeSet(Struct, frozen=True):
    """A set's files, before its metadata."""

    event: records.Event
    event_id: str
    files: dict[str, bytes]  # pages and the expected document
    urls: dict[str, str]
    hashes: dict[str, str]
    markers: tuple[str, ...]  # LiveRC's own, of the pages
    hows: tuple[str, ...]
    fetched_at_ms: int
    redacted: dict[str, int]


def make(pages: Sequence[KeptPage], readers: Readers) -> MadeSet:
    """An event's pages, masked, and the document that they give.

    Raises ParseError, NormaliseError where they give no valid one; StateError USAGE for what cannot be a set.
    """
    event = _read(pages, readers)
    if not _EVENT_ID.fullmatch(event.source_event_id):
        raise StateError(Kind.USAGE, f"{event.source_event_id!r} cannot name a page set")
    bodies, redacted = _redacted(pages, readers, document.encode(event))
    urls, files = {}, {}
    for page in pages:
        name = _file_name(parse_url(page.url))
        urls[name], files[name] = page.url, bodies[page.url]
    files[EXPECTED] = document.encode(event)
    return MadeSet(
        event=event,
        event_id=event.source_event_id,
        files=files,
        urls=urls,
        hashes={name: hashlib.sha256(content).hexdigest() for name, content in sorted(files.items())},
        markers=tuple(sorted({marker for page in pages if (marker := page_facts(page.body).build_marker)})),
        hows=tuple(sorted({page.how for page in pages})),
        fetched_at_ms=max(page.fetched_at_ms for page in pages),
        redacted=redacted,
    )


def _read(pages: Sequence[KeptPage], readers: Readers) -> records.Event:
    said = read_pages([(page.url, page.body) for page in pages], readers)
    event = said.build()
    require_valid(said.check(event))
    return event


def _redacted(pages: Sequence[KeptPage], readers: Readers, expected: bytes) -> tuple[dict[str, bytes], dict[str, int]]:
    """Every page masked, and what was masked; the document must stay what it is, so its own values are kept."""
    for keep in (frozenset[bytes](), personal(expected)):
        masked = [redact(page.body, keep) for page in pages]
        covered = [msgspec.structs.replace(page, body=one.body) for page, one in zip(pages, masked, strict=True)]
        with suppress(PipelineError):
            if document.encode(_read(covered, readers)) == expected:
                counts = {
                    "emails": sum(one.emails for one in masked),
                    "addresses": sum(one.addresses for one in masked),
                }
                return {page.url: page.body for page in covered}, {k: v for k, v in counts.items() if v}
    raise StateError(Kind.USAGE, "Masking e-mail and IP addresses would change what these pages say; nothing was kept")


def _file_name(ref: PageRef) -> str:
    if ref.page_type not in _PAGES:
        raise StateError(Kind.USAGE, f"{ref.url} is no page of an event", url=ref.url)
    return f"race.{ref.id}.html" if ref.page_type is PageType.RACE_RESULT else f"{ref.page_type}.html"


def metadata_of(made: MadeSet, version: int, accepted: Acceptance | None, origin: str, build: str) -> bytes:
    """`metadata.json`."""
    event = made.event
    at = datetime.fromtimestamp(made.fetched_at_ms / 1000, UTC) if made.fetched_at_ms else None
    facts: dict[str, Any] = {
        "event_id": made.event_id,
        "source": event.source,
        "fixture_version": version,
        "track": event.track_slug,
        "build_marker": ", ".join(made.markers) or None,
        "captured_at": at.strftime("%Y-%m-%dT%H:%M:%SZ") if at else None,
        "how": made.hows[0] if len(made.hows) == 1 else "mixed",
        "origin": origin,
        "parser_build": build,
        "races_expected": len(event.races),
        "laps_expected": {race.source_race_id: [len(one.laps) for one in race.results] for race in event.races},
        "redacted": made.redacted,
        "accepted": msgspec.to_builtins(accepted) if accepted else None,
        "urls": made.urls,
        "sha256": made.hashes,
    }
    return (json.dumps(facts, indent=2) + "\n").encode()


def notes_of(event: records.Event, notes: Sequence[str], who: str) -> bytes:
    """`notes.md`."""
    said = "\n\n".join(text.strip() for text in notes if text.strip()) or "Captured without a note."
    return f"# {event.source_event_id}: {event.event_name}\n\n{said}\n\nBy {who}.\n".encode()


# ---------------------------------------------------------------- folders


class Swap:
    """A new version into the place of the one before, which goes to the archive; or only that.

    The new one is written whole beside its place first. `fixtures.list_sets` finds it there in the moment between the
    two renames, and after a crash in that moment.
    """

    def __init__(self, root: Path, event_id: str, before: SetInfo | None) -> None:
        self.place = root / SITE / event_id
        self._next = root / SITE / f".{event_id}{NEXT}"
        self._here = before.folder if before else None
        self._retired: Path | None = None
        if before is not None:
            folder = root / ARCHIVE / SITE
            names = [f"{event_id}.v{before.version}", *(f"{event_id}.v{before.version}-{n}" for n in range(2, 100))]
            self._retired = next(folder / name for name in names if not (folder / name).exists())
        self._moved: list[tuple[Path, Path]] = []
        self._is_written = False

    def write(self, files: dict[str, bytes]) -> None:
        """The new version, its metadata last: without it nobody takes the folder for a set."""
        if self._here == self._next:  # an earlier one never reached its place
            self._rename(self._next, self.place)
            self._here, self._moved = self.place, []
        try:
            shutil.rmtree(self._next, ignore_errors=True)
            self._next.mkdir(parents=True)
            for name in (*(name for name in files if name != METADATA), METADATA):
                with (self._next / name).open("xb") as file:
                    file.write(files[name])
                    file.flush()
                    os.fsync(file.fileno())
        except OSError as error:
            raise _failed(self._next, error) from error
        self._is_written = True

    def make(self) -> None:
        """Move. Raises StoreError ARCHIVE_FAILED; `undo` then."""
        if self._here is not None and self._retired is not None:
            self._rename(self._here, self._retired)
        if self._is_written:
            self._rename(self._next, self.place)

    def undo(self) -> None:
        """Everything back to where it was; the new version is gone."""
        while self._moved:
            source, target = self._moved.pop()
            with suppress(OSError):
                target.rename(source)
        if self._is_written:
            shutil.rmtree(self._next, ignore_errors=True)

    def finish(self) -> None:
        """The moves survive a power cut from here on."""
        for folder in {self.place.parent, *(path.parent for _, path in self._moved)}:
            with suppress(OSError):
                descriptor = os.open(folder, os.O_RDONLY)
                try:
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)

    def _rename(self, source: Path, target: Path) -> None:
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            source.rename(target)
        except OSError as error:
            raise _failed(source, error) from error
        self._moved.append((source, target))


def _failed(path: Path, error: OSError) -> StoreError:
    reason = error.strerror or str(error)
    return StoreError(Kind.ARCHIVE_FAILED, f"The page set cannot be written: {reason} ({path})", path=str(path))
