"""Event pages and entry lists: which rows are races, what their labels say, and pages that hold nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import Kind, ParseError
from pipeline.liverc.readers import read_page, split_label
from pipeline.liverc.urls import entry_list_url, event_url, parse_url
from pipeline.records import Entry, EntryListPage, EventPage, RaceLink
from tests.support.liverc_pages import (
    EVENT,
    LINEUPS,
    STATS,
    TRACK,
    breadcrumb,
    entry_list_page,
    entry_row,
    event_page,
    page,
    race_row,
    round_row,
)

REF = parse_url(event_url("nordhall", "500"))
RACE = "/results/?p=view_race_result&id="


def read(body: bytes) -> EventPage:
    record = read_page(body, REF)
    assert isinstance(record, EventPage)
    return record


def failure_of(body: bytes) -> ParseError:
    with pytest.raises(ParseError) as failure:
        read_page(body, REF)
    return failure.value


def test_an_event_page() -> None:
    record = read(
        event_page(
            round_row("Main Events")
            + race_row(f"{RACE}81", "Race 2: 1/8 Buggy (1/8 Buggy A1-Main)", "Feb 8, 2026 at 5:30pm")
            + race_row(f"{RACE}95", "Race 1: Junior+ (Junior+ A-Main)", "Feb 8, 2026 at 12:02pm")
            + round_row("Practice  Round 1")
            + race_row(f"{RACE}73", "Race 2: 1/8 Buggy (1/8 Buggy  (Heat 2/2))", "Feb 7, 2026")
            + race_row(f"{RACE}77", "Race 1: 1/8 Buggy  (Heat 1/2)", "")
        )
    )
    assert (record.source_event_id, record.track_slug) == ("500", "nordhall")
    assert (record.track_name, record.event_name) == (TRACK, EVENT)
    assert (record.start_date, record.end_date) == ("2026-02-07", "2026-02-08")
    assert (record.entries, record.drivers, record.total_race_laps) == (1071, 60, 4129)
    assert record.has_entry_list
    assert record.races == (
        RaceLink("81", "1/8 Buggy", "1/8 Buggy A1-Main", "Main Events", 2, "2026-02-08T17:30:00"),
        RaceLink("95", "Junior+", "Junior+ A-Main", "Main Events", 1, "2026-02-08T12:02:00"),
        RaceLink("73", "1/8 Buggy", "1/8 Buggy (Heat 2/2)", "Practice Round 1", 2, "2026-02-07"),
        RaceLink("77", "1/8 Buggy", "1/8 Buggy (Heat 1/2)", "Practice Round 1", 1, None),
    )


def test_a_list_may_have_no_headings() -> None:
    races = read(event_page(race_row(f"{RACE}81", "Race 2: Truck (Truck A-Main)", "Feb 8, 2026"))).races
    assert [race.round for race in races] == [None]


@pytest.mark.parametrize(
    "href",
    [
        "/results/?p=view%5Frace%5Fresult&id=81",
        "/results/?id=81&p=view_race_result",
        "/results/?p=view_race_result&amp;id=81",
        "//nordhall.liverc.com/results/?p=view_race_result&id=81",
        "https://nordhall.liverc.com/results/?p=view_race_result&id=81",
    ],
)
def test_a_race_link_in_any_spelling(href: str) -> None:
    races = read(event_page(race_row(href, "Race 1: Truck (Truck A-Main)", "Feb 8, 2026"))).races
    assert [race.source_race_id for race in races] == ["81"]


@pytest.mark.parametrize("href", [f"{RACE}x1", "/results/?p=view_result&id=81", "https://example.com/?id=81"])
def test_a_race_whose_link_leads_nowhere_is_refused(href: str) -> None:
    """Skipping it would lose a race without a word."""
    rows = race_row(f"{RACE}80", "Race 2: Truck (Truck A-Main)", "") + race_row(
        href, "Race 1: Truck (Truck B-Main)", ""
    )
    error = failure_of(event_page(rows))
    assert (error.kind, error.details["field"]) == (Kind.FIELD_INVALID, "source_race_id")


def test_rows_that_are_no_race_are_left_out() -> None:
    rows = (
        race_row("/results/?p=view_something_new&id=1", "A new kind of page", "5 of 7")
        + "<tr><td>Race 9: not run yet</td></tr>"
    )
    commented = f"<!-- {race_row(f'{RACE}66', 'Race 1: Truck (Truck A-Main)', 'Feb 8, 2026')} -->"
    assert read(event_page(rows + commented)).races == ()


def test_an_invalid_time_names_its_field() -> None:
    error = failure_of(event_page(race_row(f"{RACE}81", "Race 1: Truck (Truck A-Main)", "yesterday")))
    assert (error.kind, error.details["field"], error.details["value"]) == (
        Kind.FIELD_INVALID,
        "completed_at_local",
        "yesterday",
    )


def test_the_entry_list_may_not_be_linked() -> None:
    assert not read(event_page("", lineups="")).has_entry_list
    commented = f"<!-- {LINEUPS} -->"
    assert not read(event_page("", lineups=commented)).has_entry_list


@pytest.mark.parametrize("date", ["", "Nov 30, -0001"])
def test_the_empty_shell_of_an_unknown_event_is_an_event_without_races(date: str) -> None:
    record = read(event_page("", lineups="", event="", date=date))
    assert (record.event_name, record.races, record.start_date) == ("", (), None)
    bare = page(f"{TRACK} ::  :: LiveRC", breadcrumb(TRACK, "", date))
    assert read(bare).races == ()


def test_an_event_with_races_needs_its_name() -> None:
    error = failure_of(event_page(race_row(f"{RACE}81", "Race 1: Truck (Truck A-Main)", ""), event=""))
    assert (error.kind, error.details["field"]) == (Kind.FIELD_MISSING, "event_name")


@pytest.mark.parametrize(
    "body",
    [
        b"<html><head><title>502 Bad Gateway</title></head><body><h3>nginx</h3></body></html>",
        page("LiveRC", "<p>Something else</p>"),
        page(f"{TRACK} :: Broadcast and Results :: LiveRC", breadcrumb(f"{TRACK}'s Dashboard") + "<address></address>"),
    ],
)
def test_what_is_no_event_page_is_not_recognised(body: bytes) -> None:
    assert failure_of(body).kind is Kind.PAGE_UNRECOGNISED


# ---------------------------------------------------------------- labels


@pytest.mark.parametrize(
    ("text", "number", "class_name", "label"),
    [
        ("Race 14: 1/8 Nitro (1/8 Nitro A-Main)", 14, "1/8 Nitro", "1/8 Nitro A-Main"),
        ("Race 6: 1/8 Nitro (1/8 Nitro (Heat 3/3))", 6, "1/8 Nitro", "1/8 Nitro (Heat 3/3)"),
        ("Race 3: Buggy (Stock) (Buggy (Stock) B-Main)", 3, "Buggy (Stock)", "Buggy (Stock) B-Main"),
        ("Race 3: Buggy (Stock) (Buggy (Stock) (Heat 1/2))", 3, "Buggy (Stock)", "Buggy (Stock) (Heat 1/2)"),
        ("Race 11: ISTC - 21.5T A3-Main", 11, "ISTC - 21.5T", "ISTC - 21.5T A3-Main"),
        ("Race 4: ISTC - 21.5T (Heat 2/2)", 4, "ISTC - 21.5T", "ISTC - 21.5T (Heat 2/2)"),
        ("Race 4: Buggy (Stock) A-Main", 4, "Buggy (Stock)", "Buggy (Stock) A-Main"),
        ("Race 7: 40+ Buggy (Masters A-Main)", 7, "40+ Buggy", "Masters A-Main"),
        ("Race 2: Novice", 2, "Novice", "Novice"),
        ("Mod Truck (Mod Truck A-Main)", None, "Mod Truck", "Mod Truck A-Main"),
        ("Novice", None, "Novice", "Novice"),
    ],
)
def test_both_grammars_of_labels(text: str, number: int | None, class_name: str, label: str) -> None:
    assert split_label(text) == (number, class_name, label)


CLASSES = st.from_regex(r"[A-Za-z0-9/+.\-]{1,8}( [A-Za-z0-9/+.\-]{1,8}){0,2}( \([A-Z][a-z]{1,6}\))?", fullmatch=True)
SUFFIXES = st.sampled_from(["A-Main", "B2-Main", "(Heat 1/3)", "(Heat 10/12)"])


@given(st.integers(1, 999), CLASSES, SUFFIXES)
def test_a_label_is_taken_apart_as_it_was_made(number: int, class_name: str, suffix: str) -> None:
    label = f"{class_name} {suffix}"
    assert split_label(f"Race {number}: {class_name} ({label})") == (number, class_name, label)
    assert split_label(f"Race {number}: {label}") == (number, class_name, label)


@given(st.text())
def test_any_label_is_taken_apart(text: str) -> None:
    split_label(text)


# ---------------------------------------------------------------- entry lists

ENTRIES = parse_url(entry_list_url("nordhall", "500"))


def read_entries(body: bytes) -> EntryListPage:
    record = read_page(body, ENTRIES)
    assert isinstance(record, EntryListPage)
    return record


def test_an_entry_list() -> None:
    record = read_entries(
        entry_list_page(
            [
                ("40+ Buggy", 3, entry_row(1, "BRU JR.", "EMIL", "1234567") + entry_row(2, "D'ARC", "KARI", "")),
                ("Int. Buggy", 1, entry_row(1, "BRU JR.", "EMIL", "2222363/2")),
                ("Empty", 0, ""),
            ]
        )
    )
    assert (record.source_event_id, record.track_slug) == ("500", "nordhall")
    assert (record.track_name, record.event_name) == (TRACK, EVENT)
    assert [(entries.class_name, entries.declared_entries) for entries in record.classes] == [
        ("40+ Buggy", 3),
        ("Int. Buggy", 1),
        ("Empty", 0),
    ]
    assert record.classes[0].entries == (
        Entry("40+ Buggy", 1, "EMIL BRU JR.", "1234567"),
        Entry("40+ Buggy", 2, "KARI D'ARC", None),
    )
    assert record.classes[1].entries[0].transponder == "2222363/2"
    assert record.classes[2].entries == ()


def test_an_entry_list_without_classes_is_empty() -> None:
    body = page(f"{TRACK} :: {EVENT} :: Entry List :: LiveRC", breadcrumb(TRACK, EVENT, "Feb 7, 2026"))
    assert read_entries(body).classes == ()


def test_tabs_without_tables_are_a_changed_page() -> None:
    body = entry_list_page([("Truck", 1, entry_row(1, "BRU", "EMIL", "1"))]).replace(
        b"class_header", b"header_of_class"
    )
    with pytest.raises(ParseError) as failure:
        read_entries(body)
    assert (failure.value.kind, failure.value.details["field"]) == (Kind.FIELD_MISSING, "classes")


def test_an_entry_without_name_or_with_an_odd_number_is_refused() -> None:
    for row, kind in (
        (entry_row(1, "", "", "1"), Kind.FIELD_MISSING),
        (entry_row(1, "A", "B", "1"), Kind.FIELD_INVALID),
    ):
        row = (
            row.replace("<td>1</td>", "<td>one</td>", 1)
            if kind is Kind.FIELD_INVALID
            else row.replace("> ", ">").replace(", ", "")
        )
        with pytest.raises(ParseError) as failure:
            read_entries(entry_list_page([("Truck", 1, row)]))
        assert failure.value.kind is kind


def test_another_page_of_the_event_is_no_entry_list() -> None:
    body = page(f"{TRACK} :: {EVENT} :: LiveRC", breadcrumb(TRACK, EVENT) + STATS)
    with pytest.raises(ParseError) as failure:
        read_entries(body)
    assert failure.value.kind is Kind.PAGE_UNRECOGNISED
