"""Page sets as people see them: shipped and captured ones in one list, with their history and how they read today."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from pipeline import fixtures
from pipeline.fixture_store import FixtureStore
from pipeline.fixtures import NOTES, SetInfo
from pipeline.gate import GateSet, set_line
from pipeline.store import gate as rows
from pipeline.store.gate import FixtureVersionRow


class FixtureLine(Struct, frozen=True, kw_only=True):
    """One page set as a row of a list."""

    event_id: str
    origin: str  # shipped, captured
    version: int
    track: str | None
    captured_at: str | None  # UTC, ISO 8601
    how: str  # http, browser, mixed
    made_from: str | None  # in words
    build_marker: str | None  # LiveRC's own
    pages: int
    races: int | None
    laps: int
    sha256: str
    folder: Path
    replay: GateSet  # how it reads with the readers of now, as far as that is known
    archived: tuple[int, ...] = ()  # earlier versions


class FixturePage(Struct, frozen=True):
    """One page of a set."""

    name: str
    url: str
    size: int  # bytes
    sha256: str


class FixtureDetail(Struct, frozen=True, kw_only=True):
    """One page set with everything that is kept of it."""

    line: FixtureLine
    pages: tuple[FixturePage, ...]
    notes: str
    redacted: dict[str, int]  # what was masked: emails, addresses
    history: tuple[FixtureVersionRow, ...]  # oldest first; of shipped sets there is none


def list_lines(house: FixtureStore) -> tuple[FixtureLine, ...]:
    """Every set: shipped ones, then captured ones."""
    known = rows.results(house.store, house.readers.build)
    return tuple(_line(house, info, set_line(info, known.get(info.sha256))) for info in fixtures.all_sets(house.roots))


def show(house: FixtureStore, event_id: str, version: int | None = None) -> FixtureDetail:
    """One set, or an earlier version of it. Raises StateError USAGE where there is none."""
    info = house.find(event_id, version)
    known = rows.results(house.store, house.readers.build)
    metadata = info.metadata
    return FixtureDetail(
        line=_line(house, info, set_line(info, known.get(info.sha256))),
        pages=_pages(info),
        notes=_text(info.folder / NOTES),
        redacted=metadata.redacted if metadata else {},
        history=rows.history(house.store, event_id) if info.origin == "captured" else (),
    )


def _line(house: FixtureStore, info: SetInfo, replay: GateSet) -> FixtureLine:
    metadata = info.metadata
    laps = metadata.laps_expected if metadata else {}
    captured = info.origin == "captured"
    return FixtureLine(
        event_id=info.event_id,
        origin=info.origin,
        version=info.version,
        track=metadata.track if metadata else None,
        captured_at=metadata.captured_at if metadata else None,
        how=metadata.how if metadata else "",
        made_from=metadata.origin if metadata else None,
        build_marker=metadata.build_marker if metadata else None,
        pages=len(metadata.urls) if metadata else 0,
        races=metadata.races_expected if metadata else None,
        laps=sum(sum(counts) for counts in laps.values()),
        sha256=info.sha256,
        folder=info.folder,
        replay=replay,
        archived=tuple(one.version for one in house.archived(info.event_id)) if captured else (),
    )


def _pages(info: SetInfo) -> tuple[FixturePage, ...]:
    if info.metadata is None:
        return ()
    hashes = info.metadata.sha256
    return tuple(
        FixturePage(name, url, _size(info.folder / name), hashes.get(name, ""))
        for name, url in info.metadata.urls.items()
    )


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
