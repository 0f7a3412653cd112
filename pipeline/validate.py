"""Is this document fit to be served? Rules over a whole event and the pages it came from.

Pure: records in, violations out. Only errors refuse a document (`require_valid`); everything else is said and served.
The totals that a page states about itself never refuse anything: captured pages may have rows cut out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping

from pipeline.document import PAGE_TYPES, same_text
from pipeline.errors import Kind, NormaliseError
from pipeline.race_checks import LARGEST_NUMBER, RaceReport, check_race_page, check_results, compare_sides
from pipeline.records import EntryListPage, Event, EventPage, Race, RaceLink, RacePage
from pipeline.violations import Severity, Violation, repeated, require_valid, some

__all__ = ["Violation", "check", "check_event", "check_race_page", "check_shrink", "require_valid"]

_EVENT_PAGE = PAGE_TYPES[EventPage]
_ENTRY_LIST = PAGE_TYPES[EntryListPage]


def check(
    event: Event, event_page: EventPage, races: Mapping[str, RacePage], entry_list: EntryListPage | None
) -> tuple[Violation, ...]:
    """Every rule at once, over a document and all pages it was built from; nothing is reported twice."""
    return (
        *check_event(event, event_page),
        *(violation for page in races.values() for violation in compare_sides(page)),
        *_event_names(event, races, entry_list),
        *(_declared_entries(entry_list) if entry_list is not None else ()),
    )


def check_event(event: Event, event_page: EventPage) -> tuple[Violation, ...]:
    """The rules that the document keeps by itself, and where it differs from what the event page says."""
    violations = [*_race_set(event, event_page), *_sizes(event)]
    links = {link.source_race_id: link for link in event_page.races}
    for race in event.races:
        violations.extend(check_results(race.source_race_id, race.results))
        link = links.get(race.source_race_id)
        if link is not None:
            violations.extend(_race_against_link(race, link))
    violations.extend(_totals(event, event_page))
    violations.extend(_entries_against_results(event))
    return tuple(violations)


def check_shrink(races: int, laps: int, served_races: int, served_laps: int, *, allow: bool) -> None:
    """Refuse a document that would lose over half of the served races or laps, unless the operator allows it.

    Raises `NormaliseError` SHRUNK with both counts. With nothing served (0, 0) everything passes.
    """
    if allow or (2 * races >= served_races and 2 * laps >= served_laps):
        return
    raise NormaliseError(
        Kind.SHRUNK,
        f"The new document holds {races} races and {laps} laps, "
        f"{served_races} races and {served_laps} laps are served: over half would be lost",
        races=races,
        laps=laps,
        served_races=served_races,
        served_laps=served_laps,
    )


# ---------------------------------------------------------------- the event's races


def _race_set(event: Event, event_page: EventPage) -> Iterator[Violation]:
    ids = [race.source_race_id for race in event.races]
    for race_id in repeated(ids):
        yield RaceReport(race_id).error("race-id-duplicate", "the event holds it twice", field="source_race_id")
    if [race.race_order for race in event.races] != list(range(1, len(ids) + 1)):
        yield _event_violation("race-order", "error", f"the races are not numbered 1 to {len(ids)}", "race_order")
    listed = {link.source_race_id for link in event_page.races}
    for race_id in sorted(listed.symmetric_difference(ids)):
        text = "the event page lists it, the document lacks it"
        if race_id not in listed:
            text = "the document holds it, the event page does not list it"
        yield RaceReport(race_id).error("race-set", text, field="source_race_id")


def _race_against_link(race: Race, link: RaceLink) -> Iterator[Violation]:
    report = RaceReport(race.source_race_id)
    facts: tuple[tuple[str, str | int | None, str | int | None], ...] = (
        ("race_label", race.race_label, link.race_label),
        ("round", race.round, link.round),
        ("race_number", race.race_number, link.race_number),
    )
    for name, on_race_page, on_event_page in facts:
        if on_race_page is None or on_event_page is None:
            continue
        if same_text(str(on_race_page)) != same_text(str(on_event_page)):
            yield report.warning(
                name.replace("_", "-"),
                f"{name} is “{on_race_page}” on the race page and “{on_event_page}” on the event page",
                field=name,
            )


def _sizes(event: Event) -> Iterator[Violation]:
    facts = [(_EVENT_PAGE, "entries", event.entries), (_EVENT_PAGE, "drivers", event.drivers)]
    facts += [(_ENTRY_LIST, "number", entry.number) for entry in event.entry_list or ()]
    for page_type, name, value in facts:
        if not _storable(value):
            yield _event_violation("number-range", "error", f"the {name} {value} cannot be", name, page_type)
    for race in event.races:
        for name, value in (("race_number", race.race_number), ("length_seconds", race.length_seconds)):
            if not _storable(value):
                yield RaceReport(race.source_race_id).error("number-range", f"{name} is {value}", field=name)


def _storable(value: int | None) -> bool:
    return value is None or 0 <= value <= LARGEST_NUMBER


def _event_names(event: Event, races: Mapping[str, RacePage], entry_list: EntryListPage | None) -> Iterator[Violation]:
    name = same_text(event.event_name)
    others = [page for page in races.values() if same_text(page.event_name) != name]
    if others:
        yield RaceReport(others[0].source_race_id).warning(
            "event-name",
            f"its page names the event “{others[0].event_name}”, the event page “{event.event_name}” "
            f"({len(others)} of {len(races)} races)",
            field="event_name",
        )
    if entry_list is not None and same_text(entry_list.event_name) != name:
        yield _event_violation(
            "event-name",
            "warning",
            f"the entry list names the event “{entry_list.event_name}”",
            "event_name",
            _ENTRY_LIST,
        )


# ---------------------------------------------------------------- totals and entry list


def _totals(event: Event, event_page: EventPage) -> Iterator[Violation]:
    laps = sum(result.laps_completed for race in event.races for result in race.results)
    if event_page.total_race_laps is not None and event_page.total_race_laps != laps:
        yield _event_violation(
            "total-laps",
            "warning",
            f"the event page counts {event_page.total_race_laps} race laps, the races hold {laps}",
        )
    raced = {_person(result.driver_name) for race in event.races for result in race.results}
    if event.entry_list is None:
        # Without an entry list only too many can be told: who entered and never raced stands nowhere.
        if event.drivers is not None and len(raced) > event.drivers:
            text = f"the event page counts {event.drivers} drivers, the races hold {len(raced)}"
            yield _event_violation("total-drivers", "warning", text, "drivers")
        return
    entered = {_person(entry.driver_name) for entry in event.entry_list}
    for name, stated, found in (
        ("entries", event.entries, len(event.entry_list)),
        ("drivers", event.drivers, len(entered)),
    ):
        if stated is not None and stated != found:
            text = f"the event page counts {stated} {name}, the entry list holds {found}"
            yield _event_violation(f"total-{name}", "warning", text, name)


def _declared_entries(entry_list: EntryListPage) -> Iterator[Violation]:
    for entry_class in entry_list.classes:
        declared, found = entry_class.declared_entries, len(entry_class.entries)
        if declared is not None and declared != found:
            text = f"class {entry_class.class_name} states {declared} entries and holds {found}"
            yield _event_violation("entry-count", "warning", text, "entries", _ENTRY_LIST)


def _entries_against_results(event: Event) -> Iterator[Violation]:
    """Who raced without an entry, and who entered and never raced: one warning each, since both are ordinary."""
    if event.entry_list is None:
        return
    by_class: defaultdict[str, set[str]] = defaultdict(set)
    for entry in event.entry_list:
        by_class[_person(entry.class_name)].add(_person(entry.driver_name))
    everybody = set().union(*by_class.values())
    raced: dict[str, None] = {}
    unlisted: dict[str, None] = {}
    for race in event.races:
        # Class names may be spelt differently on the two pages; then only the driver can be looked for.
        entered = by_class.get(_person(race.class_name), everybody)
        for result in race.results:
            raced[_person(result.driver_name)] = None
            if _person(result.driver_name) not in entered:
                unlisted[f"{result.driver_name} ({race.class_name})"] = None
    if unlisted:
        text = f"{len(unlisted)} drivers raced without standing in the entry list: {some(list(unlisted))}"
        yield _event_violation("entry-unlisted", "warning", text, "entry_list", _ENTRY_LIST)
    absent = {entry.driver_name: None for entry in event.entry_list if _person(entry.driver_name) not in raced}
    if absent:
        text = f"{len(absent)} drivers of the entry list stand in no result: {some(list(absent))}"
        yield _event_violation("entry-absent", "warning", text, "entry_list", _ENTRY_LIST)


def _person(name: str) -> str:
    return same_text(name).casefold()


def _event_violation(
    rule: str, severity: Severity, text: str, field: str | None = None, page_type: str = _EVENT_PAGE
) -> Violation:
    return Violation(rule, severity, text[0].upper() + text[1:], field=field, page_type=page_type)
