"""The canonical document: merging a race page's two sides, ordering an event, and bytes that never vary."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from pipeline import document
from pipeline.errors import Kind, NormaliseError
from pipeline.records import (
    Entry,
    Event,
    EventsListing,
    Lap,
    ListedEvent,
    ListedTrack,
    PageRecord,
    Race,
    RaceLink,
    RacePage,
    Result,
    ScriptLap,
    TrackCatalogue,
    TrackDashboard,
)
from tests.support.race_pages import ANNA, NOBODY, OLE, Driver, entry_list, event_page, race_page, small_pages

REPOSITORY = Path(__file__).parents[2]


def with_row(page: RacePage, index: int, **changes: Any) -> RacePage:
    rows = list(page.rows)
    rows[index] = structs.replace(rows[index], **changes)
    return structs.replace(page, rows=tuple(rows))


def with_racer(page: RacePage, index: int, **changes: Any) -> RacePage:
    racers = list(page.racers)
    racers[index] = structs.replace(racers[index], **changes)
    return structs.replace(page, racers=tuple(racers))


# ---------------------------------------------------------------- one race


def test_a_starter_has_the_values_of_both_sides() -> None:
    page = race_page([ANNA, OLE])
    page = with_row(page, 0, avg_lap_ms=39201, std_deviation=Decimal("0.67"), car_number=7)
    page = with_racer(page, 0, avg_lap_ms=39999, std_deviation_ms=668, consistency=Decimal("98.3"))
    anna = document.race_results(page)[0]
    assert (anna.position, anna.source_driver_id, anna.driver_name, anna.car_number) == (1, "11", "ANNA BERG", 7)
    assert (anna.laps_completed, anna.total_time_ms, anna.grid_position) == (3, 117600, 1)
    assert (anna.fast_lap_ms, anna.fast_lap_number, anna.top_3_consecutive_ms) == (38500, 3, 117600)
    assert anna.avg_lap_ms == 39201, "the table decides what both show"
    assert anna.top_2_consecutive_ms == 77500, "only the script has it"
    assert anna.std_deviation_ms == 668, "the script is finer"
    assert str(anna.consistency) == "98.300"
    assert [(lap.lap_number, lap.lap_time_ms, lap.elapsed_ms, lap.position) for lap in anna.laps] == [
        (1, 40100, 40100, 1),
        (2, 39000, 79100, 1),
        (3, 38500, 117600, 1),
    ]
    assert anna.laps[0].pace == "17/10:20.000"


def test_what_the_table_lacks_the_script_fills() -> None:
    page = with_row(race_page([ANNA]), 0, fast_lap_ms=None, avg_lap_ms=None, top_3_consecutive_ms=None)
    anna = document.race_results(page)[0]
    assert (anna.fast_lap_ms, anna.avg_lap_ms, anna.top_3_consecutive_ms) == (38500, 39200, 117600)


def test_what_the_script_lacks_the_table_fills() -> None:
    page = with_racer(race_page([ANNA]), 0, std_deviation_ms=None, consistency=None)
    page = with_row(page, 0, std_deviation=Decimal("1.39"), consistency=Decimal("96.4"))
    anna = document.race_results(page)[0]
    assert anna.std_deviation_ms == 1390
    assert str(anna.consistency) == "96.400"


def test_a_race_without_a_script_has_results_without_laps() -> None:
    page = race_page([ANNA, NOBODY], racers=(), has_lap_script=False)
    anna, nobody = document.race_results(page)
    assert (anna.laps, anna.grid_position, anna.top_2_consecutive_ms, anna.laps_completed) == ((), None, None, 3)
    assert (nobody.source_driver_id, nobody.laps) == (None, ())


def test_a_driver_without_lap_0_has_no_grid_position() -> None:
    page = race_page([ANNA])
    page = with_racer(page, 0, laps=page.racers[0].laps[1:])
    anna = document.race_results(page)[0]
    assert anna.grid_position is None
    assert len(anna.laps) == 3


def test_a_non_starter_takes_the_id_of_the_block_with_the_name() -> None:
    page = with_row(race_page([ANNA, NOBODY]), 1, driver_name=" PIA  FJELD ", total_time_ms=0)
    nobody = document.race_results(page)[1]
    assert nobody.source_driver_id == "13"
    assert nobody.total_time_ms is None, "0 is how the page shows that there is no time"


@pytest.mark.parametrize(
    ("drivers", "expected"),
    [
        ([("21", 3), ("22", 2)], [("21", 3), ("22", 2)]),  # both started
        ([("21", 3), ("22", 0)], [("21", 3), ("22", 0)]),
        ([("22", 3), ("21", 0)], [("22", 3), ("21", 0)]),
        ([("22", 0), ("21", 0)], [("22", 0), ("21", 0)]),  # neither: rows and blocks stand in one order
        ([("23", 3), ("22", 0), ("21", 0)], [("23", 3), ("22", 0), ("21", 0)]),
    ],
)
def test_drivers_of_one_name_keep_their_own(
    drivers: Sequence[tuple[str, int]], expected: list[tuple[str, int]]
) -> None:
    page = race_page([Driver(driver_id, "KIM VIK", (40000 + int(driver_id),) * laps) for driver_id, laps in drivers])
    results = document.race_results(page)
    assert [(result.source_driver_id, len(result.laps)) for result in results] == expected
    assert all(lap.lap_time_ms == 40000 + int(r.source_driver_id or 0) for r in results for lap in r.laps)


def test_a_block_that_a_row_names_by_id_is_not_given_away_by_name() -> None:
    page = race_page([ANNA, Driver("13", "ANNA BERG")])
    page = structs.replace(page, racers=page.racers[:1])
    assert [result.source_driver_id for result in document.race_results(page)] == ["11", None]


def test_results_are_sorted_by_position_and_ties_keep_the_page_order() -> None:
    page = race_page([ANNA, OLE, NOBODY])
    page = with_row(with_row(with_row(page, 0, position=2), 1, position=1), 2, position=1)
    assert [result.driver_name for result in document.race_results(page)] == ["OLE DAHL", "PIA FJELD", "ANNA BERG"]


@pytest.mark.parametrize("text", ["NaN", "Infinity", "1E+90"])
def test_a_value_that_is_no_percentage_is_refused(text: str) -> None:
    with pytest.raises(NormaliseError) as refused:
        document.race_results(with_racer(race_page([ANNA]), 0, consistency=Decimal(text)))
    assert refused.value.kind is Kind.INVALID_DOCUMENT


# ---------------------------------------------------------------- one event


def build(links: Sequence[tuple[str, str | None]], **changes: Any) -> Event:
    """An event from (race id, completed) in page order."""
    page = event_page(
        [], races=tuple(RaceLink(i, "Buggy", f"{i} on the event page", "Q1", 9, at) for i, at in links), **changes
    )
    return document.build_event(page, {race_id: race_page([ANNA], race_id=race_id) for race_id, _ in links})


def test_how_somebody_typed_the_tracks_name_makes_no_other_document() -> None:
    page = race_page([ANNA])
    documents = {
        document.encode(document.build_event(event_page([page], track_slug=slug), {"7001": page}))
        for slug in ("harbour", "Harbour", "HARBOUR")
    }
    assert len(documents) == 1


@pytest.mark.parametrize(
    ("links", "expected"),
    [
        ([("3", "2025-11-16T10:00:00"), ("1", "2025-11-16T09:00:00"), ("2", "2025-11-16T08:00:00")], "213"),
        ([("3", "2025-11-16T09:00:00"), ("1", "2025-11-16T09:00:00"), ("2", "2025-11-16T08:00:00")], "213"),  # tie
        ([("3", None), ("1", "2025-11-16T09:00:00"), ("2", None)], "123"),  # no time: last, page reversed
        ([("3", "2025-11-16"), ("1", "2025-11-16T00:00:00"), ("2", "2025-11-15T23:59:00")], "213"),  # bare date
        ([("3", "2025-11-16"), ("1", "2025-11-16"), ("2", "2025-11-16")], "213"),
        ([("3", "2025-11-16T00:01:00"), ("1", "2025-11-16")], "13"),
    ],
)
def test_races_are_numbered_by_completion(links: list[tuple[str, str | None]], expected: str) -> None:
    event = build(links)
    assert "".join(race.source_race_id for race in event.races) == expected
    assert [race.race_order for race in event.races] == list(range(1, len(links) + 1))


def test_each_page_says_what_it_knows_best() -> None:
    link = RaceLink("7001", "Nitro Buggy", "label there", "Q1", 9, "2025-11-16T17:30:00")
    page = event_page([], races=(link,), entries=71, drivers=60)
    race = document.build_event(page, {"7001": race_page([ANNA])}).races[0]
    assert (race.class_name, race.race_label, race.round, race.race_number, race.length_seconds) == (
        "Nitro Buggy",
        "Buggy A-Main",
        "Main Events",
        3,
        600,
    )
    bare = race_page([ANNA], race_label="", round=None, race_number=None, length_seconds=None)
    race = document.build_event(page, {"7001": bare}).races[0]
    assert (race.race_label, race.round, race.race_number, race.length_seconds) == ("label there", "Q1", 9, None)


def test_the_entry_list_is_flat_in_tab_order_or_null() -> None:
    page = race_page([ANNA])
    event = document.build_event(event_page([page]), {"7001": page}, entry_list({"Z": ["B", "A"], "A": ["C"]}))
    assert event.entry_list is not None
    assert [(entry.class_name, entry.number, entry.driver_name) for entry in event.entry_list] == [
        ("Z", 1, "B"),
        ("Z", 2, "A"),
        ("A", 1, "C"),
    ]
    assert document.build_event(event_page([page]), {"7001": page}).entry_list is None


def test_an_event_without_races_is_refused() -> None:
    with pytest.raises(NormaliseError) as refused:
        document.build_event(event_page([]), {})
    assert refused.value.kind is Kind.NO_RACES


def test_a_listed_race_without_its_page_is_refused() -> None:
    page = race_page([ANNA])
    with pytest.raises(NormaliseError) as refused:
        document.build_event(event_page([page]), {})
    assert refused.value.kind is Kind.INVALID_DOCUMENT
    assert refused.value.details["race_id"] == "7001"


# ---------------------------------------------------------------- bytes


def small_event(name: str = 'Børre\'s "Cup" 杯') -> Event:
    return document.build_event(*small_pages(name))


def test_the_canonical_form_is_fixed() -> None:
    lap = Lap(1, 40100, 40100, 1, "15/10:01.500")
    values: dict[str, Any] = {
        **dict.fromkeys(Result.__struct_fields__),
        "position": 1,
        "source_driver_id": "11",
        "driver_name": "ANNA BERG",
        "car_number": 2,
        "qualifying_position": 2,
        "laps_completed": 1,
        "total_time_ms": 40100,
        "std_deviation_ms": 0,
        "consistency": Decimal("100.000"),
        "grid_position": 2,
        "laps": (lap,),
    }
    result = Result(**values)
    race = Race("7001", "Buggy", "Buggy A-Main", "Main Events", 3, 1, "2025-11-16T17:30:00", 600, (result,))
    event = Event("liverc", "5001", "harbour", "Høst", "2025-11-16", "2025-11-16", 1, 1, (race,), None)
    expected = (
        '{"source":"liverc","source_event_id":"5001","track_slug":"harbour","event_name":"Høst",'
        '"start_date":"2025-11-16","end_date":"2025-11-16","entries":1,"drivers":1,"races":[{"source_race_id":"7001",'
        '"class_name":"Buggy","race_label":"Buggy A-Main","round":"Main Events","race_number":3,"race_order":1,'
        '"completed_at_local":"2025-11-16T17:30:00","length_seconds":600,"results":[{"position":1,'
        '"source_driver_id":"11","driver_name":"ANNA BERG","car_number":2,"qualifying_position":2,"laps_completed":1,'
        '"total_time_ms":40100,"behind":null,"fast_lap_ms":null,"fast_lap_number":null,"avg_lap_ms":null,'
        '"avg_top_5_ms":null,"avg_top_10_ms":null,"avg_top_15_ms":null,"top_2_consecutive_ms":null,'
        '"top_3_consecutive_ms":null,"std_deviation_ms":0,"consistency":100.000,"grid_position":2,'
        '"laps":[{"lap_number":1,"lap_time_ms":40100,"elapsed_ms":40100,"position":1,"pace":"15/10:01.500"}]}]}],'
        '"entry_list":null}\n'
    )
    assert document.encode(event) == expected.encode()
    assert document.sha256(event) == hashlib.sha256(expected.encode()).hexdigest()


def test_equal_decimals_give_equal_bytes() -> None:
    event = small_event()
    race = event.races[0]
    first = structs.replace(race.results[0], consistency=Decimal("96.400"))
    variants = {
        document.encode(
            structs.replace(
                event,
                races=(
                    structs.replace(
                        race, results=(structs.replace(first, consistency=Decimal(text)), *race.results[1:])
                    ),
                ),
            )
        )
        for text in ("96.4", "96.40", "96.400", "964E-1", "96.4000")
    }
    assert len(variants) == 1
    assert b'"consistency":96.400,' in variants.pop()


def test_text_that_is_not_unicode_is_refused() -> None:
    with pytest.raises(NormaliseError) as refused:
        document.encode(small_event("broken \ud800"))
    assert refused.value.kind is Kind.INVALID_DOCUMENT
    refused.value.message.encode()


_TEXT = st.text(st.characters(codec="utf-8"), max_size=12)
_NUMBER = st.none() | st.integers(0, 2**31 - 1)
_PERCENT = st.none() | st.decimals(-1000, 100, places=3)
_RESULT_PARTS: dict[str, st.SearchStrategy[Any]] = {
    **dict.fromkeys(Result.__struct_fields__, _NUMBER),
    "position": st.integers(1, 99),
    "laps_completed": st.integers(0, 99),
    "source_driver_id": st.none() | _TEXT,
    "driver_name": _TEXT,
    "behind": st.none() | _TEXT,
    "consistency": _PERCENT,
    "laps": st.lists(
        st.builds(Lap, st.integers(1), st.integers(0), st.integers(0), _NUMBER, st.none() | _TEXT), max_size=3
    ).map(tuple),
}
_RACES = st.builds(
    Race,
    _TEXT, _TEXT, _TEXT, st.none() | _TEXT, _NUMBER, st.integers(1), st.none() | _TEXT, _NUMBER,
    st.lists(st.builds(Result, **_RESULT_PARTS), max_size=3).map(tuple),
)  # fmt: skip
_ENTRIES = st.lists(st.builds(Entry, _TEXT, st.integers(0), _TEXT, st.none() | _TEXT), max_size=3).map(tuple)
_EVENTS = st.builds(
    Event,
    st.just("liverc"), _TEXT, _TEXT, _TEXT, st.none() | _TEXT, st.none() | _TEXT, _NUMBER, _NUMBER,
    st.lists(_RACES, max_size=3).map(tuple), st.none() | _ENTRIES,
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(_EVENTS)
def test_every_document_comes_back_as_it_was(event: Event) -> None:
    data = document.encode(event)
    again = document.decode(data)
    assert again == event
    assert document.encode(again) == data
    assert json.loads(data)["event_name"] == event.event_name
    assert data.endswith(b"}\n")
    assert data.count(b"\n") == 1


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_anything_else_is_no_document(data: bytes) -> None:
    with pytest.raises(NormaliseError) as refused:
        document.decode(data)
    assert refused.value.kind is Kind.INVALID_DOCUMENT


@pytest.mark.parametrize("depth", [100_000])
def test_deep_nesting_is_no_document(depth: int) -> None:
    with pytest.raises(NormaliseError):
        document.decode(b'{"races":' + b"[" * depth)


_BUILD_ELSEWHERE = """
import locale, sys, time
from decimal import ROUND_DOWN, getcontext
from pipeline import document
from tests.support.race_pages import small_pages
pages = small_pages()
locale.setlocale(locale.LC_ALL, "")
time.tzset()
getcontext().prec, getcontext().rounding = 3, ROUND_DOWN  # a document must not care
sys.stdout.buffer.write(document.encode(document.build_event(*pages)))
"""


@pytest.mark.parametrize(
    "environment",
    [
        {"PYTHONHASHSEED": "0", "TZ": "UTC", "LANG": "C", "LC_ALL": "C"},
        {"PYTHONHASHSEED": "4711", "TZ": "Australia/Canberra", "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"},
    ],
)
def test_the_bytes_are_the_same_in_any_process(environment: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _BUILD_ELSEWHERE],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), **environment},
        capture_output=True,
        check=True,
    )
    assert done.stdout == document.encode(small_event())


# ---------------------------------------------------------------- other forms


def parsed(record: PageRecord) -> Any:
    return json.loads(msgspec.json.Encoder(decimal_format="number").encode(document.parsed_as_json(record)))


def test_a_parsed_race_page_uses_the_documents_names() -> None:
    page = parsed(race_page([ANNA, NOBODY]))
    assert page["page_type"] == "race_result"
    assert (page["race_label"], page["round"], page["race_number"], page["length_seconds"]) == (
        "Buggy A-Main",
        "Main Events",
        3,
        600,
    )
    assert set(page["results"][0]) == set(Result.__struct_fields__)
    assert [lap["elapsed_ms"] for lap in page["results"][0]["laps"]] == [40100, 79100, 117600]
    assert page["results"][1]["source_driver_id"] == "13"
    assert page["results"][0]["consistency"] == 98.295, "a number, not a text"
    assert not {"rows", "racers"} & set(page)


def test_the_other_parsed_pages_show_their_fields() -> None:
    event = parsed(event_page([race_page([ANNA])], entries=71))
    assert (event["page_type"], event["source_event_id"], event["entries"]) == ("event", "5001", 71)
    assert event["races"][0]["class_name"] == "Buggy"
    entries = parsed(entry_list({"Buggy": ["ANNA BERG"]}))
    assert entries["page_type"] == "entry_list"
    assert entries["classes"][0]["entries"][0]["driver_name"] == "ANNA BERG"
    track = ListedTrack("harbour", "Harbour", None, 2, True, False, "1 minute ago")
    assert parsed(TrackCatalogue((track,))) == {"page_type": "track_catalogue", "tracks": [structs.asdict(track)]}
    listed = ListedEvent("5001", "Cup", "2025-11-16", "2025-11-16", None, 71, 60)
    listing = parsed(EventsListing("harbour", "Harbour", (listed,)))
    assert (listing["page_type"], listing["events"]) == ("events_listing", [structs.asdict(listed)])
    dashboard = TrackDashboard("harbour", "Harbour", ("Pier 1", "Norway"), None, None, "info@example.org", None)
    assert parsed(dashboard) == {
        "page_type": "track_dashboard",
        **structs.asdict(dashboard),
        "address_lines": ["Pier 1", "Norway"],
    }


def test_page_types_are_named_as_the_connector_names_them() -> None:
    urls = pytest.importorskip("pipeline.liverc.urls")
    assert set(document.PAGE_TYPES.values()) <= {str(page_type) for page_type in urls.PageType}


def tables_of(event: Event) -> dict[str, list[dict[str, str]]]:
    """Write and read back, as a spreadsheet would see it."""
    tables = {}
    for name, rows in document.flatten_csv(event).items():
        text = io.StringIO(newline="")
        csv.writer(text).writerows(rows)
        text.seek(0)
        tables[name] = list(csv.DictReader(text))
    return tables


def test_csv_tables_hold_the_whole_document() -> None:
    event = small_event('Cup, "the" last')
    tables = tables_of(event)
    assert list(tables) == ["races", "results", "laps", "entries"]
    assert tables["races"][0]["event_name"] == 'Cup, "the" last'
    assert tables["races"][0]["source_race_id"] == "7001"
    assert [row["driver_name"] for row in tables["results"]] == ["ANNA BERG", "OLE DAHL", "PIA FJELD"]
    assert tables["results"][2]["fast_lap_ms"] == ""
    assert tables["results"][0]["consistency"] == str(event.races[0].results[0].consistency)
    assert [(row["row_number"], row["lap_time_ms"]) for row in tables["laps"]] == [
        ("1", "40100"),
        ("1", "39000"),
        ("1", "38500"),
        ("2", "41000"),
        ("2", "39900"),
    ]
    assert tables["entries"][0]["class_name"] == "Buggy"


def test_csv_headers_are_stable() -> None:
    headers = {name: next(rows) for name, rows in document.flatten_csv(small_event()).items()}
    assert headers["races"] == (
        "source_event_id", "track_slug", "event_name", "source_race_id", "class_name", "race_label", "round",
        "race_number", "race_order", "completed_at_local", "length_seconds",
    )  # fmt: skip
    assert headers["results"][:4] == ("source_event_id", "source_race_id", "row_number", "position")
    assert headers["results"][-1] == "grid_position"
    assert headers["laps"] == (
        "source_event_id", "source_race_id", "row_number", "source_driver_id", "driver_name",
        "lap_number", "lap_time_ms", "elapsed_ms", "position", "pace",
    )  # fmt: skip
    assert headers["entries"] == ("source_event_id", "class_name", "number", "driver_name", "transponder")
    bare = structs.replace(small_event(), entry_list=None)
    assert "entries" not in document.flatten_csv(bare), "no entry list is not an empty one"


def test_lap_0_anywhere_is_not_a_lap() -> None:
    page = race_page([ANNA])
    page = with_racer(page, 0, laps=(*page.racers[0].laps[1:], ScriptLap(0, 0, 4, "0")))
    anna = document.race_results(page)[0]
    assert (len(anna.laps), anna.grid_position) == (3, 4)
