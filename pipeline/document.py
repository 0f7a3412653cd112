"""Pages become one canonical document: what an event is, in one form, whoever asks and on whatever machine.

Everything here is pure: the same page records give the same `Event`, the same bytes and the same sha256 in any process,
locale and time zone. Table and lap script of a race page are merged here and nowhere else; whether they agree is for
`pipeline.validate` to say.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping
from decimal import ROUND_HALF_UP, Context, Decimal, InvalidOperation
from typing import Any, NamedTuple

import msgspec
from msgspec import structs

from pipeline.errors import Kind, NormaliseError
from pipeline.records import (
    Entry,
    EntryListPage,
    Event,
    EventPage,
    EventsListing,
    Lap,
    PageRecord,
    Race,
    RaceLink,
    RacePage,
    Racer,
    Result,
    TableRow,
    TrackCatalogue,
    TrackDashboard,
)

SOURCE = "liverc"

PAGE_TYPES: dict[type, str] = {
    TrackCatalogue: "track_catalogue",
    TrackDashboard: "track_dashboard",
    EventsListing: "events_listing",
    EventPage: "event",
    RacePage: "race_result",
    EntryListPage: "entry_list",
}
"""Record type → the page type's name in output, violations and error details."""

_MILLI = Decimal("0.001")
_DECIMALS = Context(prec=40)  # our own, so that a changed thread context cannot change a document
_ENCODER = msgspec.json.Encoder(decimal_format="number")
_DECODER = msgspec.json.Decoder(Event)


# ---------------------------------------------------------------- one race


class Pairing(NamedTuple):
    """Which block of the lap script belongs to which row of the result table."""

    racers: tuple[Racer | None, ...]  # one per table row
    unclaimed: tuple[Racer, ...]  # blocks whose driver has no row


def same_text(text: str) -> str:
    """The form in which names and labels of two places are compared: trimmed, runs of white space as one blank."""
    return " ".join(text.split())


def pair_racers(page: RacePage) -> Pairing:
    """Give every table row its lap-script block.

    A row with a driver id takes the block of that id. A row without one (a non-starter) takes the first block of the
    same name that no row names by id: rows and blocks stand in the same order (PAGES.md 5.1), so drivers of one name
    keep their own.
    """
    by_id: dict[str, Racer] = {}
    for racer in page.racers:
        by_id.setdefault(racer.source_driver_id, racer)
    named_by_id = {row.source_driver_id for row in page.rows}
    free: defaultdict[str, deque[Racer]] = defaultdict(deque)
    for racer in page.racers:
        if racer.source_driver_id not in named_by_id:
            free[same_text(racer.driver_name)].append(racer)
    racers: list[Racer | None] = []
    for row in page.rows:
        if row.source_driver_id is not None:
            racers.append(by_id.get(row.source_driver_id))
        else:
            namesakes = free[same_text(row.driver_name)]
            racers.append(namesakes.popleft() if namesakes else None)
    return Pairing(tuple(racers), tuple(racer for namesakes in free.values() for racer in namesakes))


def race_results(page: RacePage) -> tuple[Result, ...]:
    """Merge a race page's table and lap script into results, by position.

    The table decides what both show; the script gives laps, grid position, top 2 consecutive and the finer standard
    deviation and consistency; what one side lacks is taken from the other. Rows of equal position keep the page's
    order. A row without a script block gets no laps.
    """
    pairing = pair_racers(page)
    merged = [_result(row, racer) for row, racer in zip(page.rows, pairing.racers, strict=True)]
    return tuple(sorted(merged, key=lambda result: result.position))


def _result(row: TableRow, racer: Racer | None) -> Result:
    std_deviation_ms = racer.std_deviation_ms if racer else None
    if std_deviation_ms is None and row.std_deviation is not None:
        std_deviation_ms = int(_thousandths(row.std_deviation).scaleb(3, context=_DECIMALS))
    consistency = racer.consistency if racer and racer.consistency is not None else row.consistency
    return Result(
        position=row.position,
        source_driver_id=row.source_driver_id or (racer.source_driver_id if racer else None),
        driver_name=row.driver_name,
        car_number=row.car_number,
        qualifying_position=row.qualifying_position,
        laps_completed=row.laps_completed,
        total_time_ms=None if row.laps_completed == 0 and row.total_time_ms == 0 else row.total_time_ms,
        behind=row.behind,
        fast_lap_ms=_either(row, racer, "fast_lap_ms"),
        fast_lap_number=row.fast_lap_number,
        avg_lap_ms=_either(row, racer, "avg_lap_ms"),
        avg_top_5_ms=_either(row, racer, "avg_top_5_ms"),
        avg_top_10_ms=_either(row, racer, "avg_top_10_ms"),
        avg_top_15_ms=_either(row, racer, "avg_top_15_ms"),
        top_2_consecutive_ms=racer.top_2_consecutive_ms if racer else None,
        top_3_consecutive_ms=_either(row, racer, "top_3_consecutive_ms"),
        std_deviation_ms=std_deviation_ms,
        consistency=None if consistency is None else _thousandths(consistency),
        grid_position=next((lap.position for lap in racer.laps if lap.lap_number == 0), None) if racer else None,
        laps=_laps(racer) if racer else (),
    )


def _either(row: TableRow, racer: Racer | None, name: str) -> int | None:
    shown: int | None = getattr(row, name)
    if shown is None and racer is not None:
        shown = getattr(racer, name)
    return shown


def _laps(racer: Racer) -> tuple[Lap, ...]:
    laps = []
    elapsed = 0
    for lap in racer.laps:
        if lap.lap_number == 0:  # the grid, not a lap
            continue
        elapsed += lap.lap_time_ms
        laps.append(Lap(lap.lap_number, lap.lap_time_ms, elapsed, lap.position, lap.pace))
    return tuple(laps)


def _thousandths(value: Decimal) -> Decimal:
    """`value` with exactly three decimals, half-up as LiveRC rounds."""
    try:
        rounded = value.quantize(_MILLI, rounding=ROUND_HALF_UP, context=_DECIMALS)
    except InvalidOperation:
        rounded = Decimal("NaN")
    if not rounded.is_finite():
        raise NormaliseError(Kind.INVALID_DOCUMENT, f"{value} is not a value that a document can hold")
    return rounded


# ---------------------------------------------------------------- one event


def build_event(event_page: EventPage, races: Mapping[str, RacePage], entry_list: EntryListPage | None = None) -> Event:
    """Make the canonical document of an event.

    `races` maps the id of every race that the event page lists to its page. `entry_list` is None where the event page
    links none or its page does not exist. Raises `NormaliseError` NO_RACES for an event page without races, and
    INVALID_DOCUMENT where a listed race has no page.
    """
    if not event_page.races:
        raise NormaliseError(
            Kind.NO_RACES,
            f"Event {event_page.source_event_id} of {event_page.track_slug} lists no races",
            page_type=PAGE_TYPES[EventPage],
        )
    entries = None
    if entry_list is not None:
        entries = tuple(entry for entry_class in entry_list.classes for entry in entry_class.entries)
    return Event(
        source=SOURCE,
        source_event_id=event_page.source_event_id,
        track_slug=event_page.track_slug.lower(),  # a host's name: however it was typed, the document is the same
        event_name=event_page.event_name,
        start_date=event_page.start_date,
        end_date=event_page.end_date,
        entries=event_page.entries,
        drivers=event_page.drivers,
        races=tuple(_race(link, races, order) for order, link in enumerate(_by_completion(event_page.races), 1)),
        entry_list=entries,
    )


def _by_completion(links: tuple[RaceLink, ...]) -> list[RaceLink]:
    """Oldest first. The page is newest first, so reversing it settles ties; races without a time are last."""

    def completed(link: RaceLink) -> tuple[bool, str]:
        at = link.completed_at_local
        if at is None:
            return True, ""
        return False, at if "T" in at else f"{at}T00:00:00"

    oldest_first = list(reversed(links))
    oldest_first.sort(key=completed)
    return oldest_first


def _race(link: RaceLink, races: Mapping[str, RacePage], order: int) -> Race:
    page = races.get(link.source_race_id)
    if page is None:
        raise NormaliseError(
            Kind.INVALID_DOCUMENT,
            f"Race {link.source_race_id} is listed by the event but its page was not read",
            race_id=link.source_race_id,
            page_type=PAGE_TYPES[RacePage],
        )
    return Race(
        source_race_id=link.source_race_id,
        class_name=link.class_name,
        race_label=page.race_label or link.race_label,
        round=page.round or link.round,
        race_number=link.race_number if page.race_number is None else page.race_number,
        race_order=order,
        completed_at_local=link.completed_at_local,
        length_seconds=page.length_seconds,
        results=race_results(page),
    )


# ---------------------------------------------------------------- bytes


def encode(event: Event) -> bytes:
    """The canonical bytes: one line of UTF-8 JSON in the order of the records' fields, ended by a newline.

    `consistency` is a number with exactly three decimals, however many zeros the given one carries. Raises
    `NormaliseError` INVALID_DOCUMENT for text that is not Unicode (a lone surrogate from a broken escape).
    """
    try:
        return _ENCODER.encode(_canonical(event)) + b"\n"
    except UnicodeEncodeError as broken:
        raise NormaliseError(
            Kind.INVALID_DOCUMENT,
            f"Event {event.source_event_id} holds a text that is not Unicode: {ascii(broken.object)[:80]}",
        ) from None


def sha256(event: Event) -> str:
    """Hexadecimal sha256 of the canonical bytes, newline included: `mre export … | sha256sum` gives the same."""
    return hashlib.sha256(encode(event)).hexdigest()


def decode(data: bytes) -> Event:
    """The inverse of `encode`. Raises `NormaliseError` INVALID_DOCUMENT for anything that is not a document."""
    try:
        return _DECODER.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as unreadable:
        raise NormaliseError(Kind.INVALID_DOCUMENT, f"Not a canonical event document: {unreadable}") from None


def _canonical(event: Event) -> Event:
    """`event` itself, or with its decimals brought to the one form that equal values must share."""
    if all(_is_canonical(result) for race in event.races for result in race.results):
        return event
    return structs.replace(
        event,
        races=tuple(structs.replace(race, results=tuple(map(_canonical_result, race.results))) for race in event.races),
    )


def _is_canonical(result: Result) -> bool:
    return result.consistency is None or result.consistency.as_tuple().exponent == -3


def _canonical_result(result: Result) -> Result:
    if result.consistency is None:
        return result
    return structs.replace(result, consistency=_thousandths(result.consistency))


# ---------------------------------------------------------------- other forms


def parsed_as_json(record: PageRecord) -> dict[str, Any]:
    """What one page says, as one JSON object: `page_type`, then the record's fields.

    Event and race pages use the canonical document's names; a race page's table and script appear merged, as
    `results[]` with `laps[]`. Plain dicts, lists and scalars; percentages stay `Decimal`, to be written as numbers.
    """
    fields: dict[str, Any] = {"page_type": PAGE_TYPES[type(record)], **structs.asdict(record)}
    if isinstance(record, RacePage):
        del fields["rows"], fields["racers"]
        fields["results"] = race_results(record)
    plain: dict[str, Any] = msgspec.to_builtins(fields, builtin_types=(Decimal,))
    return plain


_RACE_KEYS = ("source_event_id", "source_race_id")
_RESULT_KEYS = (*_RACE_KEYS, "row_number")


def flatten_csv(event: Event) -> dict[str, Iterator[tuple[Any, ...]]]:
    """The document as flat tables, by file name without suffix; the first row of each is its header.

    `races`, `results`, `laps`, and `entries` where the event has an entry list. `row_number` (1…n within the race)
    joins laps to results, since positions may tie and a driver id may be missing. Values are plain; the caller's csv
    writer quotes them.
    """
    tables = {"races": _csv_races(event), "results": _csv_results(event), "laps": _csv_laps(event)}
    if event.entry_list is not None:
        tables["entries"] = _csv_entries(event)
    return tables


def _csv_races(event: Event) -> Iterator[tuple[Any, ...]]:
    yield ("source_event_id", "track_slug", "event_name", *Race.__struct_fields__[:-1])  # all but `results`
    for race in event.races:
        yield (event.source_event_id, event.track_slug, event.event_name, *structs.astuple(race)[:-1])


def _csv_results(event: Event) -> Iterator[tuple[Any, ...]]:
    yield (*_RESULT_KEYS, *Result.__struct_fields__[:-1])  # all but `laps`
    for race in event.races:
        for row_number, result in enumerate(race.results, 1):
            yield (event.source_event_id, race.source_race_id, row_number, *structs.astuple(result)[:-1])


def _csv_laps(event: Event) -> Iterator[tuple[Any, ...]]:
    yield (*_RESULT_KEYS, "source_driver_id", "driver_name", *Lap.__struct_fields__)
    for race in event.races:
        for row_number, result in enumerate(race.results, 1):
            owner = (
                event.source_event_id,
                race.source_race_id,
                row_number,
                result.source_driver_id,
                result.driver_name,
            )
            for lap in result.laps:
                yield (*owner, *structs.astuple(lap))


def _csv_entries(event: Event) -> Iterator[tuple[Any, ...]]:
    yield ("source_event_id", *Entry.__struct_fields__)
    for entry in event.entry_list or ():
        yield (event.source_event_id, *structs.astuple(entry))
