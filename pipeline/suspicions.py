"""What makes a page doubtful by itself, before any other page is known: it lacks what every page has, or contradicts
itself in a way that no official's edit explains.

Pure: records and coverage in, suspicions out. A suspicion fails the run that met it (a person may accept it), unlike a
warning of `validate`, which only speaks. So every rule here is one that all known pages keep, of every track and
build; what only most of them keep is for `pipeline.signals`, which looks at the pages before.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise

from msgspec import Struct

from pipeline import lap_positions, race_gaps
from pipeline.contradictions import TOTALS, doubtful
from pipeline.document import PAGE_TYPES, same_text
from pipeline.liverc.converters import date_range
from pipeline.liverc.coverage import Coverage
from pipeline.race_checks import check_race_page
from pipeline.records import (
    EntryListPage,
    EventPage,
    EventsListing,
    PageRecord,
    RaceLink,
    RacePage,
    TrackCatalogue,
    TrackDashboard,
)
from pipeline.violations import Violation

_MANY = 10  # tracks, of which one at least has held an event
_LETTERS = re.compile(r"[^\W\d_]{2}")
_TIMED = re.compile(r"[0-9]+ Laps?", re.IGNORECASE)


class Suspicion(Struct, frozen=True, kw_only=True):
    """One reason to doubt a page."""

    rule: str  # stable id
    kind: str  # coverage (a place is gone), shape (a value looks wrong), cross_check (it contradicts another)
    page_type: str
    field: str | None
    why: str  # one sentence with values
    race_id: str | None = None


def page_suspicions(record: PageRecord, seen: Coverage) -> tuple[Suspicion, ...]:
    """What is doubtful about one page that was read."""
    found: list[Suspicion] = [*_gone(record, seen), *_filled_later(record, seen)]
    match record:
        case RacePage():
            found += _race(record)
        case EventPage():
            found += _event(record, seen)
        case EntryListPage():
            found += _entry_list(record, seen)
        case EventsListing():
            found += _listing(record, seen)
        case TrackCatalogue():
            found += _catalogue(record)
        case TrackDashboard():
            pass
    return tuple(found)


def event_suspicions(
    event_page: EventPage, races: Mapping[str, RacePage], violations: Iterable[Violation], seen: Sequence[Coverage] = ()
) -> tuple[Suspicion, ...]:
    """What is doubtful about the pages of one event beside each other.

    `violations` are those of `validate.check`; `seen` the coverage of its pages, for the date that each of them shows.
    """
    found = [_from_violation(one) for one in doubtful(violations, races)]
    for link in event_page.races:
        if link.source_race_id in races:
            found += _link(link, races[link.source_race_id])
    return (*found, *_alike(races), *_dates(event_page, seen))


def totals_suspicions(violations: Iterable[Violation]) -> tuple[Suspicion, ...]:
    """Totals that do not hold, for a site whose totals have always held so far.

    Pages may be kept with rows cut out, so on their own these say nothing.
    """
    return tuple(_from_violation(one) for one in dict.fromkeys(violations) if one.rule in TOTALS)


def _from_violation(violation: Violation) -> Suspicion:
    return Suspicion(
        rule=violation.rule,
        kind="cross_check",
        page_type=violation.page_type or "",
        field=violation.field,
        why=violation.message,
        race_id=violation.race_id,
    )


# ---------------------------------------------------------------- what every page has


def _gone(record: PageRecord, seen: Coverage) -> Iterator[Suspicion]:
    """Places that stand on every known page, and on this one nowhere."""
    page_type = PAGE_TYPES[type(record)]
    race_id = record.source_race_id if isinstance(record, RacePage) else None
    if isinstance(record, EventPage) and not record.event_name:
        return  # the shell of an unknown event has nothing
    for name, reading in seen.items():
        scripted = name.startswith("script.")
        if not reading.usual or not reading.looked or reading.placed == reading.looked:
            continue
        if reading.placed and not scripted and not isinstance(record, EventPage):
            continue
        yield Suspicion(
            rule="field-gone",
            kind="coverage",
            page_type=page_type,
            field=name,
            why=f"{name} is gone: {reading.placed} of {reading.looked} places have {reading.selector}",
            race_id=race_id,
        )


def _filled_later(record: PageRecord, seen: Coverage) -> Iterator[Suspicion]:
    """Cells without a text that carry data: a script is to fill them."""
    cells = seen.get("filled_later")
    if cells is not None and cells.invalid:
        why = f"{cells.invalid} empty cells carry their values as data, such as {cells.sample}"
        yield _about(record, "filled-later", cells.sample or "", why, kind="coverage")


# ---------------------------------------------------------------- races


def _race(page: RacePage) -> Iterator[Suspicion]:
    yield from _values(page)
    yield from _order(page)
    for field, kind, why in race_gaps.wrong_gaps(page):
        yield _said(page, "gap-unread" if kind == "shape" else "gap-differs", field, why, kind=kind)
    yield from _length(page)
    for said in (*lap_positions.check_positions(page), *lap_positions.check_pace(page)):
        yield _said(page, "laps-contradict", said.field, said.why)


# How many laps a row must have before the field is certain to be there. The first lap may stand outside of statistics.
_FROM_LAPS = {
    "source_driver_id": 1,
    "fast_lap_ms": 2,
    "fast_lap_number": 2,
    "avg_lap_ms": 2,
    "std_deviation": 3,
    "consistency": 3,
    "top_3_consecutive_ms": 4,
    "avg_top_5_ms": 6,
    "avg_top_10_ms": 11,
    "avg_top_15_ms": 16,
    "car_number": 0,
}
_MAIN = re.compile(r"\bmain", re.IGNORECASE)  # rounds whose grid was qualified for


def _values(page: RacePage) -> Iterator[Suspicion]:
    for name, laps in _FROM_LAPS.items():
        able = [row for row in page.rows if row.laps_completed >= laps]
        lacking = [row for row in able if getattr(row, name) is None]
        if lacking:
            why = f"{name} is empty in {len(lacking)} of {len(able)} rows that must have it ({lacking[0].driver_name})"
            yield _said(page, "value-gone", name, why, kind="coverage")
    unqualified = [row for row in page.rows if row.qualifying_position is None]
    if unqualified and (len(unqualified) < len(page.rows) or _MAIN.search(page.round or "main")):
        why = f"qualifying_position is empty in {len(unqualified)} of {len(page.rows)} rows"
        yield _said(page, "value-gone", "qualifying_position", why, kind="coverage")
    behind = [row for row in page.rows[1:] if row.behind is None]
    if behind:
        why = f"behind is empty in {len(behind)} of {len(page.rows) - 1} rows after the first"
        yield _said(page, "value-gone", "behind", why, kind="coverage")


def _order(page: RacePage) -> Iterator[Suspicion]:
    positions = [row.position for row in page.rows]
    if positions != sorted(positions):
        yield _said(
            page, "row-order", "position", f"the rows do not stand in the order of their positions: {positions}"
        )
    for name in ("car_number", "qualifying_position"):
        yield from _agree(page, name)


def _agree(page: RacePage, name: str) -> Iterator[Suspicion]:
    """Grid slots are told several times; where nearly all rows agree, one that does not is wrong."""
    grids = lap_positions.grid(page)
    pairs = [(row, getattr(row, name), slot) for row, slot in zip(page.rows, grids, strict=True)]
    known = [(row, shown, slot) for row, shown, slot in pairs if shown is not None and slot is not None]
    wrong = [(row, shown, slot) for row, shown, slot in known if shown != slot]
    if wrong and 4 * len(wrong) <= len(known):
        row, shown, slot = wrong[0]
        yield _said(
            page, "grid-differs", name, f"{name} of {row.driver_name} is {shown}, the lap script starts at {slot}"
        )


def _length(page: RacePage) -> Iterator[Suspicion]:
    if page.length_text and page.length_seconds is None and not _TIMED.fullmatch(page.length_text):
        why = f"the length of the race reads {page.length_text[:40]!r}"
        yield _said(page, "length-unread", "length_text", why, kind="shape")


# ---------------------------------------------------------------- inside


def _said(page: RacePage, rule: str, field: str | None, why: str, kind: str = "cross_check") -> Suspicion:
    return Suspicion(
        rule=rule,
        kind=kind,
        page_type=PAGE_TYPES[RacePage],
        field=field,
        why=f"Race {page.source_race_id}: {why}",
        race_id=page.source_race_id,
    )


# ---------------------------------------------------------------- events


def _event(page: EventPage, seen: Coverage) -> Iterator[Suspicion]:
    yield from (one for link in page.races for one in _link(link))
    if _is_turned(page.races):
        yield _about(page, "race-order", "completed_at_local", "races of the same time do not stand newest first")
    clocks = {len(link.completed_at_local) > 10 for link in page.races if link.completed_at_local}
    cells = seen.get("cells")
    if False in clocks and cells is not None and set(cells.shapes) - {"2"}:
        why = f"races without a time of day, in rows of {', '.join(cells.shapes)} cells"
        yield _about(page, "time-of-day", "completed", why, kind="shape")
    if page.drivers is not None and page.entries is not None and page.drivers > page.entries:
        yield _about(page, "more-drivers", "drivers", f"{page.entries} entries of {page.drivers} drivers")
    unknown = seen.get("unknown_links")
    if unknown is not None and unknown.found:
        why = f"{unknown.found} links lead to no known page, such as {unknown.sample}"
        yield _about(page, "links-unknown", "links", why, kind="shape")
    foreign = seen.get("foreign_links")
    if foreign is not None and foreign.found:
        yield _about(page, "another-event", "source_event_id", f"its links name another event: {foreign.sample}")
    listed = seen.get("entry_list_rows")
    if listed is not None and listed.found and not page.has_entry_list:
        yield _about(page, "entry-list-link", "links", "a row leads to an entry list that no link names")


def _is_turned(races: Sequence[RaceLink]) -> bool:
    """Do races of one time stand in running order downwards? Then nobody can say which came first.

    Race numbers restart with every round, so without headings only their common direction tells.
    """
    rises = falls = 0
    for upper, lower in pairwise(races):
        if upper.completed_at_local != lower.completed_at_local or upper.round != lower.round:
            continue
        if upper.race_number is None or lower.race_number is None:
            continue
        rises += upper.race_number < lower.race_number
        falls += upper.race_number > lower.race_number
        if rises and upper.round is not None:
            return True
    return rises > falls


def _link(link: RaceLink, page: RacePage | None = None) -> Iterator[Suspicion]:
    """The class stands nowhere but in the label, so the label must have been taken apart rightly."""
    said: list[tuple[str, str]] = []
    if not same_text(link.race_label).startswith(same_text(link.class_name)):
        said.append(("class_name", f"the label {link.race_label!r} does not begin with its class {link.class_name!r}"))
    if link.race_number is None:
        said.append(("race_number", f"the label {link.race_label!r} names no race number"))
    elif page is not None and not same_text(page.race_label).startswith(same_text(link.class_name)):
        said.append(
            ("class_name", f"the page of {page.race_label!r} does not begin with the class {link.class_name!r}")
        )
    for field, why in said:
        yield Suspicion(
            rule="label-unread",
            kind="shape",
            page_type=PAGE_TYPES[EventPage],
            field=field,
            why=f"Race {link.source_race_id}: {why}",
            race_id=link.source_race_id,
        )


def _alike(races: Mapping[str, RacePage]) -> Iterator[Suspicion]:
    """Two races cannot have the same name, round and number, nor the same laps: one of the pages is another's."""
    known: dict[object, str] = {}
    for page in races.values():
        named = page.round is not None and page.race_number is not None
        names = (page.race_label, page.round, page.race_number) if named else None
        laps = tuple(racer.laps for racer in page.racers)
        for what, fact in (("name", names), ("laps", laps if any(laps) else None)):
            other = known.setdefault(fact, page.source_race_id) if fact is not None else page.source_race_id
            if other != page.source_race_id:
                yield _said(page, "pages-alike", "race_label", f"it has the {what} of race {other}")


def _dates(event_page: EventPage, seen: Sequence[Coverage]) -> Iterator[Suspicion]:
    """Every page of an event shows its date."""
    for coverage in seen:
        shown = coverage.get("event_dates")
        if shown is None or not shown.sample:
            continue
        try:
            days = date_range(shown.sample)
        except ValueError:
            days = None
        if days is not None and days != (event_page.start_date, event_page.end_date):
            why = f"another page of the event is dated {shown.sample!r}, the event page {event_page.start_date}"
            yield _about(event_page, "event-date", "dates", why)
            return


def _about(page: PageRecord, rule: str, field: str, why: str, kind: str = "cross_check") -> Suspicion:
    return Suspicion(rule=rule, kind=kind, page_type=PAGE_TYPES[type(page)], field=field, why=why[0].upper() + why[1:])


# ---------------------------------------------------------------- listings


def _entry_list(page: EntryListPage, seen: Coverage) -> Iterator[Suspicion]:
    entries = [entry for entry_class in page.classes for entry in entry_class.entries]
    nameless = [entry for entry in entries if not _LETTERS.search(entry.driver_name)]
    if 2 * len(nameless) > len(entries):
        why = f"{len(nameless)} of {len(entries)} drivers have no name, such as {nameless[0].driver_name!r}"
        yield _about(page, "name-shape", "driver_name", why, kind="shape")
    marked = [entry.transponder for entry in entries if entry.transponder]
    strange = [text for text in marked if _LETTERS.search(text)]
    if strange and 2 * len(strange) > len(marked):
        why = f"{len(strange)} of {len(marked)} transponders are words, such as {strange[0]!r}"
        yield _about(page, "transponder-shape", "transponder", why, kind="shape")
    for entry_class in page.classes:
        numbers = [entry.number for entry in entry_class.entries]
        if numbers != sorted(set(numbers)):
            why = f"the numbers in class {entry_class.class_name} do not rise from row to row"
            yield _about(page, "entry-numbers", "number", why)
        declared = entry_class.declared_entries
        if declared and not numbers:
            why = f"class {entry_class.class_name} counts {declared} entries and holds none"
            yield _about(page, "entries-gone", "number", why, kind="coverage")
        if declared is not None and (len(numbers) > declared or max(numbers, default=0) > declared):
            why = f"class {entry_class.class_name} counts {declared} entries and holds number {max(numbers)}"
            yield _about(page, "entry-numbers", "number", why)
    keys = seen.get("name_keys")
    if keys is not None and keys.invalid:
        why = f"{keys.invalid} of {keys.looked} names are not those they are sorted by, such as {keys.sample}"
        yield _about(page, "name-key", "driver_name", why)
    names = seen.get("tab_names")
    if names is not None and names.invalid:
        yield _about(page, "tabs", "class_name", f"{names.invalid} tabs and classes differ: {names.sample}")
    tabs = seen.get("tabs")
    if tabs is not None and tabs.found and tabs.found != len(page.classes):
        why = f"there are {tabs.found} tabs and {len(page.classes)} classes"
        yield _about(page, "tabs", "tabs", why)


def _catalogue(page: TrackCatalogue) -> Iterator[Suspicion]:
    if not page.tracks:
        yield _about(page, "catalogue-empty", "tracks", "the catalogue lists no track")
    if len(page.tracks) >= _MANY and not any(track.latest_event for track in page.tracks):
        why = f"none of {len(page.tracks)} tracks has a latest event"
        yield _about(page, "value-gone", "latest_event", why, kind="coverage")


def _listing(page: EventsListing, seen: Coverage) -> Iterator[Suspicion]:
    for event in page.events:
        if event.starts_at_local and event.start_date and not event.starts_at_local.startswith(event.start_date):
            why = f"event {event.source_event_id} starts on {event.start_date} and at {event.starts_at_local}"
            yield _about(page, "listing-date", "starts_at_local", why)
            break
    named = seen.get("name_links")
    if named is not None and named.invalid:
        why = f"{named.invalid} of {named.looked} cells hold more than the event's name, such as {named.sample!r}"
        yield _about(page, "name-cell", "event_name", why, kind="shape")
    keys = seen.get("starts_at_local")
    if keys is not None and keys.looked and not keys.filled:
        why = f"no event of {keys.looked} has a hidden date"
        yield _about(page, "value-gone", "starts_at_local", why, kind="coverage")
    more = [
        one for one in page.events if one.drivers is not None and one.entries is not None and one.drivers > one.entries
    ]
    if more:
        why = f"event {more[0].source_event_id} has {more[0].entries} entries of {more[0].drivers} drivers"
        yield _about(page, "more-drivers", "drivers", why)


def race_page_suspicions(page: RacePage, seen: Coverage) -> tuple[Suspicion, ...]:
    """All that is doubtful about a race page on its own: `page_suspicions` and its contradictions."""
    broken = check_race_page(page)
    certain = [one for one in broken if one.severity == "error"]
    said = [*certain, *doubtful(broken, {page.source_race_id: page})]
    return (*page_suspicions(page, seen), *map(_from_violation, dict.fromkeys(said)))
