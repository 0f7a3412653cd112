"""What is known of a page before it is looked at: the answers that its archived record gives, field by field.

A known answer is a test on a text: would this text, read as the field is read, give what the archive says? So formats
and patterns are the contract's, and a value is found wherever it stands now.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from msgspec import Struct

from pipeline.liverc.contract import Contract, Field
from pipeline.liverc.converters import local_time
from pipeline.liverc.readers import split_label
from pipeline.liverc.urls import PageRef, resolve_href
from pipeline.records import (
    EntryListPage,
    EventPage,
    EventsListing,
    PageRecord,
    RacePage,
    TableRow,
    TrackCatalogue,
    TrackDashboard,
)

KEYS = ("driver_name", "href")  # the field by which a row is recognised, the first that the contract has
_VOLATILE = frozenset({"updated_text", "status", "live_video", "featured", "latest_event"})  # true only at its time


class KnownPage(Struct, frozen=True):
    """A page as it is served now, and what it said when it could still be read."""

    ref: PageRef
    body: bytes
    record: PageRecord


class Wanted(Struct, frozen=True):
    """One known answer."""

    field: Field
    value: Any  # None: the page has nothing there
    shown: str  # for people
    test: Callable[[str], bool]  # does a text say so?
    raw: str | None = None  # the text itself, where the value is one


class BlockAnswers(Struct, frozen=True):
    """One block of a part."""

    fields: dict[str, Wanted]
    rows: tuple[dict[str, Wanted], ...]


class Answers(Struct, frozen=True):
    """All that is known of one page, by the names of its contract."""

    fields: dict[str, Wanted]
    parts: dict[str, tuple[BlockAnswers, ...]]


def answers(page: KnownPage, contract: Contract) -> Answers:
    """The known answers of a page in the words of its contract."""
    fields = {field.name: field for field in contract.fields}
    own = {name: _wanted(fields[name], value, page.ref) for name, value in _own(page.record) if name in fields}
    parts: dict[str, tuple[BlockAnswers, ...]] = {}
    for part in contract.parts:
        block_fields = {field.name: field for field in part.fields}
        row_fields = {field.name: field for field in part.row_fields}
        parts[part.name] = tuple(
            BlockAnswers(
                {
                    name: _wanted(block_fields[name], value, page.ref)
                    for name, value in said.items()
                    if name in block_fields
                },
                tuple(
                    {
                        name: _wanted(row_fields[name], value, page.ref)
                        for name, value in row.items()
                        if name in row_fields
                    }
                    for row in rows
                ),
            )
            for said, rows in _blocks(page.record)
        )
    return Answers(own, parts)


def is_steady(field: Field) -> bool:
    """Is a field's value still true when the page is fetched again?"""
    return field.name not in _VOLATILE


# ---------------------------------------------------------------- records as answers


def _own(record: PageRecord) -> Iterator[tuple[str, Any]]:
    match record:
        case EventPage():
            days = None if record.start_date is None else (record.start_date, record.end_date)
            yield from (("track_name", record.track_name), ("event_name", record.event_name), ("dates", days))
            yield from ((name, getattr(record, name)) for name in ("entries", "drivers", "total_race_laps"))
        case RacePage() | EntryListPage():
            yield from (("track_name", record.track_name), ("event_name", record.event_name))
        case EventsListing():
            yield "track_name", record.track_name
        case TrackDashboard():
            names = ("track_name", "phone", "website", "email", "description")
            yield from ((name, getattr(record, name)) for name in names)
        case TrackCatalogue():
            pass


def _blocks(record: PageRecord) -> Iterator[tuple[dict[str, Any], list[dict[str, Any]]]]:
    match record:
        case RacePage():
            own_names = ("race_label", "race_number", "round", "length_text")
            yield {name: getattr(record, name) for name in own_names}, [_table_row(row) for row in record.rows]
        case EventPage():
            yield {}, [{"href": link, "label": link, "completed": link.completed_at_local} for link in record.races]
        case EntryListPage():
            for one in record.classes:
                own = {"class_name": one.class_name, "declared_entries": one.declared_entries}
                rows = [
                    {"number": e.number, "driver_name": e.driver_name, "transponder": e.transponder}
                    for e in one.entries
                ]
                yield own, rows
        case EventsListing():
            yield (
                {},
                [
                    {
                        "href": event,
                        "event_name": event.event_name,
                        "dates": None if event.start_date is None else (event.start_date, event.end_date),
                        "starts_at_local": event.starts_at_local,
                        "entries": event.entries,
                        "drivers": event.drivers,
                    }
                    for event in record.events
                ],
            )
        case TrackCatalogue():
            names = ("name", "latest_event", "status", "live_video", "featured", "updated_text")
            yield {}, [{"href": track, **{name: getattr(track, name) for name in names}} for track in record.tracks]
        case TrackDashboard():
            pass


def _table_row(row: TableRow) -> dict[str, Any]:
    values = {name: getattr(row, name) for name in row.__struct_fields__}
    return {**values, "laps_and_time": (row.laps_completed, row.total_time_ms)}


# ---------------------------------------------------------------- tests


def _wanted(field: Field, value: Any, ref: PageRef) -> Wanted:
    if field.name == "href":
        page_id = value.slug if hasattr(value, "slug") else getattr(value, "source_race_id", None)
        page_id = page_id or getattr(value, "source_event_id", None)
        return Wanted(field, page_id, str(page_id), lambda text: _leads_to(text, ref, str(page_id)))
    if field.name == "label":
        said = (value.race_number, value.class_name, value.race_label)
        return Wanted(field, said, value.race_label, lambda text: bool(text) and split_label(text) == said)
    if field.name == "completed":
        return Wanted(field, value, str(value or ""), lambda text: _read(local_time, text) == value)
    if value is False:  # a flag that is not there
        value = None
    shown = "" if value is None else _shown(value)
    raw = value if isinstance(value, str) and field.convert.__name__ in ("text", "name", "shown") else None
    return Wanted(field, value, shown, lambda text: read_as(field, text) == value, raw)


def _shown(value: Any) -> str:
    return " · ".join(str(item) for item in value if item is not None) if isinstance(value, tuple) else str(value)


def _leads_to(text: str, ref: PageRef, page_id: str) -> bool:
    target = resolve_href(text, ref) if text else None
    return target is not None and page_id in (target.id, target.slug if target.id is None else None)


def read_as(field: Field, text: str) -> Any:
    """What a text says when it is read as a field; None where it says nothing, and where it cannot be understood."""
    if field.patterns:
        match = next(filter(None, (pattern.search(text) for pattern in field.patterns)), None)
        if match is None:
            return None
        text = match[1].strip()
    return _read(field.convert, text)


def wanted_as(field: Field, known: Wanted) -> Wanted:
    """The same answer, where its text is read as another field."""
    return Wanted(field, known.value, known.shown, lambda text: bool(read_as(field, text) == known.value), known.raw)


def says_nothing(field: Field, text: str) -> bool:
    """Would a text be read as nothing, without an error? So an empty cell, `N/A`, a midnight."""
    if field.patterns:
        match = next(filter(None, (pattern.search(text) for pattern in field.patterns)), None)
        text = match[1].strip() if match else ""
    try:
        return field.convert(text) in (None, "")
    except ValueError:
        return False


def _read(convert: Callable[[str], Any], text: str) -> Any:
    try:
        value = convert(text)
    except ValueError:
        return None
    return None if value == "" else value
