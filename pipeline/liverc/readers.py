"""Page readers: from a page's bytes to the record of what it says, for the six page types that are read.

`Readers.read` is the door, `read_page` that of the shipped contracts. What a page holds is found by its contract
(`contracts/*.toml` with what was added to it, applied by `extract`), the laps of a race by `lapscript`; here the values
become records, as shown and unjudged. Slug and ids come from the URL.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.errors import Kind, ParseError
from pipeline.liverc.build import build_of, parser_build
from pipeline.liverc.contract import READABLE, Contract, ContractError, load_contract
from pipeline.liverc.converters import length_seconds, local_time
from pipeline.liverc.extract import PageValues, Values, extract, invalid, missing
from pipeline.liverc.lapscript import read_lap_script, script_names
from pipeline.liverc.markup import CutPage, cut_page, page_facts
from pipeline.liverc.urls import PageRef, PageType, resolve_href
from pipeline.records import (
    Entry,
    EntryClass,
    EntryListPage,
    EventPage,
    EventsListing,
    ListedEvent,
    ListedTrack,
    PageRecord,
    RaceLink,
    RacePage,
    TableRow,
    TrackCatalogue,
    TrackDashboard,
)

__all__ = ["SHIPPED", "Readers", "page_facts", "parser_build", "read_page"]


def read_page(body: bytes, ref: PageRef, contract: Contract | None = None) -> PageRecord:
    """Read one page as the type that `ref` names, by its shipped contract unless another is given.

    Raises only `ParseError`: PAGE_TYPE_UNSUPPORTED; PAGE_UNRECOGNISED for what is no such page (empty, binary, an error
    page, another type, a browser's shortened copy); FIELD_MISSING, FIELD_INVALID and SCRIPT_UNREADABLE with field,
    selector and URL. An event without races and a race without lap script are read, not judged.
    """
    reader = _READERS.get(ref.page_type)
    if reader is None:
        raise ParseError(
            Kind.PAGE_TYPE_UNSUPPORTED,
            f"{ref.url} is a {ref.page_type} page, which is not read yet; read are: {', '.join(READABLE)}.",
            page_type=str(ref.page_type),
            url=ref.url,
        )
    contract = contract or load_contract(ref.page_type)
    page = cut_page(body, ref, script_names(contract.script))
    return reader(page, extract(page, contract), contract)


@dataclass(frozen=True)
class Readers:
    """The readers of every page type, compiled from the shipped contracts and the additions that were accepted.

    Immutable and safe to share between threads. Whoever reads pages is given one, so that a run reads all of its pages
    alike and its record says with what.
    """

    additions: Mapping[str, Mapping[str, Any]]  # page type → further alternatives, in the shape of its contract
    widened: Mapping[PageType, Contract]  # the contracts that they make

    @classmethod
    def of(cls, additions: Mapping[str, Mapping[str, Any]]) -> Readers:
        """Compile. Raises `ContractError` for an addition that is no valid one, or to an unknown page type."""
        given = {name: addition for name, addition in sorted(additions.items()) if addition}
        unknown = sorted(set(given) - {str(page_type) for page_type in READABLE})
        if unknown:
            raise ContractError(f"{', '.join(unknown)}: no such contract")
        return cls(given, {PageType(name): load_contract(PageType(name), added) for name, added in given.items()})

    @property
    def build(self) -> str:
        """What runs and fixture results record: `parser_build()` without additions, another one with them."""
        return build_of(self.additions)

    def contract(self, page_type: str) -> Contract:
        """The contract that a page of this type is read by."""
        of = PageType(page_type)
        return self.widened.get(of) or load_contract(of)

    def read(self, body: bytes, ref: PageRef) -> PageRecord:
        """Read one page; as `read_page`, by these readers' contracts."""
        return read_page(body, ref, self.widened.get(ref.page_type))


SHIPPED = Readers.of({})


# ---------------------------------------------------------------- tracks


def _read_catalogue(page: CutPage, values: PageValues, contract: Contract) -> TrackCatalogue:
    return TrackCatalogue(tuple(_listed_track(row, page.ref) for part in values.parts["tracks"] for row in part.rows))


def _listed_track(row: Values, ref: PageRef) -> ListedTrack:
    track = resolve_href(row["href"], ref)
    if track is None or track.slug is None:
        raise invalid(ref, "slug", "td/a/@href", row["href"], "not a track's address")
    return ListedTrack(
        slug=track.slug,
        name=row["name"],
        latest_event=row["latest_event"],
        status=row["status"],
        live_video=bool(row["live_video"]),
        featured=bool(row["featured"]),
        updated_text=row["updated_text"],
    )


def _read_dashboard(page: CutPage, values: PageValues, contract: Contract) -> TrackDashboard:
    fields = values.fields
    return TrackDashboard(
        slug=page.ref.slug or "",
        track_name=fields["track_name"],
        address_lines=fields["address_lines"],
        phone=fields["phone"],
        website=fields["website"],
        email=fields["email"],
        description=fields["description"],
    )


# ---------------------------------------------------------------- events


def _read_events(page: CutPage, values: PageValues, contract: Contract) -> EventsListing:
    return EventsListing(
        track_slug=page.ref.slug or "",
        track_name=values.fields["track_name"],
        events=tuple(_listed_event(row, page.ref) for part in values.parts["events"] for row in part.rows),
    )


def _listed_event(row: Values, ref: PageRef) -> ListedEvent:
    event = resolve_href(row["href"], ref)
    if event is None or event.page_type is not PageType.EVENT or event.id is None:
        raise invalid(ref, "source_event_id", "td/a/@href", row["href"], "not an event's address")
    start, end = row["dates"] or (None, None)
    return ListedEvent(
        source_event_id=event.id,
        event_name=row["event_name"],
        start_date=start,
        end_date=end,
        starts_at_local=row["starts_at_local"],
        entries=row["entries"],
        drivers=row["drivers"],
    )


def _read_event(page: CutPage, values: PageValues, contract: Contract) -> EventPage:
    fields = values.fields
    links = [
        link for link in (_race_link(row, page.ref) for part in values.parts["races"] for row in part.rows) if link
    ]
    if links and not fields["event_name"]:  # only the empty shell of an unknown id has no name
        raise missing(page.ref, "event_name", "//h3")
    start, end = fields["dates"] or (None, None)
    linked = (resolve_href(href, page.ref) for href in fields["links"])
    return EventPage(
        source_event_id=page.ref.id or "",
        track_slug=page.ref.slug or "",
        track_name=fields["track_name"],
        event_name=fields["event_name"] or "",
        start_date=start,
        end_date=end,
        entries=fields["entries"],
        drivers=fields["drivers"],
        total_race_laps=fields["total_race_laps"],
        has_entry_list=any(link is not None and link.page_type is PageType.ENTRY_LIST for link in linked),
        races=tuple(links),
    )


def _race_link(row: Values, ref: PageRef) -> RaceLink | None:
    """A row of the event page's tables as a race; None for the rows that lead elsewhere (heat sheets, rankings)."""
    label = row["label"]
    if not label or not row["href"]:
        return None
    race = resolve_href(row["href"], ref)
    number, class_name, race_label = split_label(label)
    if race is None and number is not None:
        raise invalid(ref, "source_race_id", "td/a/@href", row["href"], "not a race's address")
    if race is None or race.page_type is not PageType.RACE_RESULT or race.id is None:
        return None
    try:
        completed = local_time(row["completed"] or "")
    except ValueError as error:
        raise invalid(ref, "completed_at_local", "td[2]", row["completed"], str(error)) from None
    return RaceLink(
        source_race_id=race.id,
        class_name=class_name,
        race_label=race_label,
        round=row["heading"],
        race_number=number,
        completed_at_local=completed,
    )


_NUMBERED = re.compile(r"Race ([0-9]{1,6}) ?: ?(.*)", re.IGNORECASE)
_BARE = re.compile(r"(.+?) ?(?:\(Heat [0-9]+/[0-9]+\)|[A-Z]{1,2}[0-9]{0,2}[- ]Main)")


def split_label(text: str) -> tuple[int | None, str, str]:
    """A race as the event page labels it → (race number, class, label).

    Two grammars occur: `Race 6: CLASS (CLASS (Heat 3/3))`, the label wrapped and beginning with its class, and
    `Race 4: CLASS (Heat 2/2)` or `Race 11: CLASS A3-Main` without the wrapper.
    """
    numbered = _NUMBERED.fullmatch(text)
    number, rest = (int(numbered[1]), numbered[2]) if numbered else (None, text)
    first = rest.find(" (")
    if first > 0 and rest.endswith(")"):
        at = first
        while at > 0:
            # Classes may hold parentheses themselves, and one may begin as another does.
            if rest[at + 2 :].startswith(rest[:at]) and not rest[2 * at + 2 : 2 * at + 3].isalnum():
                return number, rest[:at], rest[at + 2 : -1].strip()
            at = rest.find(" (", at + 1)
    bare = _BARE.fullmatch(rest)
    if bare:
        return number, bare[1], rest
    if first > 0 and rest.endswith(")"):
        return number, rest[:first], rest[first + 2 : -1].strip()
    return number, rest, rest


# ---------------------------------------------------------------- races


def _read_race(page: CutPage, values: PageValues, contract: Contract) -> RacePage:
    table = values.parts["results"][0]
    racers = read_lap_script(page.script, page.ref, contract.script) if page.script is not None else None
    length_text = table.fields["length_text"]
    return RacePage(
        source_race_id=page.ref.id or "",
        track_name=values.fields["track_name"],
        event_name=values.fields["event_name"],
        race_label=table.fields["race_label"],
        round=table.fields["round"],
        race_number=table.fields["race_number"],
        length_text=length_text,
        length_seconds=length_seconds(length_text) if length_text else None,
        rows=tuple(_table_row(row) for row in table.rows),
        has_lap_script=racers is not None,
        racers=racers or (),
    )


def _table_row(row: Values) -> TableRow:
    laps, total = row.pop("laps_and_time")
    del row["heading"]
    return TableRow(laps_completed=laps, total_time_ms=total, **row)


# ---------------------------------------------------------------- entry lists


def _read_entry_list(page: CutPage, values: PageValues, contract: Contract) -> EntryListPage:
    classes = values.parts["classes"]
    if not classes and values.fields["tabs"]:
        raise missing(page.ref, "classes", "//table")
    return EntryListPage(
        source_event_id=page.ref.id or "",
        track_slug=page.ref.slug or "",
        track_name=values.fields["track_name"],
        event_name=values.fields["event_name"],
        classes=tuple(
            EntryClass(
                part.fields["class_name"],
                part.fields["declared_entries"],
                tuple(_entry(row, part.fields) for row in part.rows),
            )
            for part in classes
        ),
    )


def _entry(row: Values, of: Values) -> Entry:
    return Entry(of["class_name"], row["number"], row["driver_name"], row["transponder"])


_READERS: dict[PageType, Callable[[CutPage, PageValues, Contract], PageRecord]] = {
    PageType.TRACK_CATALOGUE: _read_catalogue,
    PageType.TRACK_DASHBOARD: _read_dashboard,
    PageType.EVENTS_LISTING: _read_events,
    PageType.EVENT: _read_event,
    PageType.RACE_RESULT: _read_race,
    PageType.ENTRY_LIST: _read_entry_list,
}
