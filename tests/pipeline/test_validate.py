"""The rules over pages and documents: silent on good data, loud on every corruption, refusing only what is certain."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from pipeline import document
from pipeline.errors import Kind, NormaliseError
from pipeline.records import Event, EventPage, RacePage, Result, ScriptLap
from pipeline.validate import Violation, check, check_event, check_race_page, check_shrink, require_valid
from tests.support.race_pages import ANNA, NOBODY, OLE, Driver, entry_list, event_page, race_page

SEEN = [
    Driver("11", "ANNA BERG", (40123, 39002, 38501, 38777, 39640, 40101)),
    Driver("12", "OLE DAHL", (41000, 39900, 39111, 42345, 39912)),
    Driver("13", "IDA LUND", (44210,)),
    Driver("14", "PIA FJELD"),
]


def with_row(page: RacePage, index: int, **changes: Any) -> RacePage:
    rows = list(page.rows)
    rows[index] = structs.replace(rows[index], **changes)
    return structs.replace(page, rows=tuple(rows))


def with_racer(page: RacePage, index: int, **changes: Any) -> RacePage:
    racers = list(page.racers)
    racers[index] = structs.replace(racers[index], **changes)
    return structs.replace(page, racers=tuple(racers))


def with_lap(page: RacePage, racer: int, lap_number: int, **changes: Any) -> RacePage:
    laps = list(page.racers[racer].laps)
    laps[lap_number] = structs.replace(laps[lap_number], **changes)
    return with_racer(page, racer, laps=tuple(laps))


def without(items: tuple[Any, ...], index: int) -> tuple[Any, ...]:
    return items[:index] + items[index + 1 :]


def rules(violations: Iterable[Violation]) -> set[tuple[str, str]]:
    return {(violation.rule, violation.severity) for violation in violations}


# ---------------------------------------------------------------- good data


_LAPS = st.lists(st.integers(1, 200_000), max_size=18).map(tuple)
_FIELDS = st.lists(_LAPS, max_size=5).map(
    lambda laps: [Driver(str(100 + i), f"DRIVER {i % 3}", times) for i, times in enumerate(laps)]
)


@settings(max_examples=150, deadline=None)
@given(_FIELDS.filter(bool), st.booleans())
def test_a_page_that_agrees_with_itself_is_not_complained_about(drivers: list[Driver], skip_first: bool) -> None:
    page = race_page(drivers, skip_first=skip_first)
    assert check_race_page(page) == ()
    listed = event_page([page])
    event = document.build_event(listed, {page.source_race_id: page})
    assert check_event(event, listed) == ()
    assert check(event, listed, {page.source_race_id: page}, None) == ()


def test_an_event_with_an_entry_list_is_not_complained_about() -> None:
    pages = [race_page(SEEN, race_id="7001"), race_page(SEEN[:2], race_id="7002")]
    entries = entry_list({"Buggy": [driver.name for driver in SEEN]})
    listed = event_page(pages, entries=4, drivers=4, has_entry_list=True)
    races = {page.source_race_id: page for page in pages}
    event = document.build_event(listed, races, entries)
    assert check(event, listed, races, entries) == ()


# ---------------------------------------------------------------- every corruption


def _other_digit(number: int, place: int, digit: int) -> int:
    text = str(number).zfill(place + 1)
    return int(text[:place] + str(digit) + text[place + 1 :])


@settings(max_examples=150, deadline=None)
@given(_FIELDS.filter(lambda drivers: any(d.laps for d in drivers)), st.booleans(), st.data())
def test_every_wrong_digit_of_a_lap_time_is_reported(
    drivers: list[Driver], skip_first: bool, data: st.DataObject
) -> None:
    page = race_page(drivers, skip_first=skip_first)
    racer = data.draw(st.sampled_from([i for i, racer in enumerate(page.racers) if racer.laps]))
    number = data.draw(st.integers(0, len(page.racers[racer].laps) - 1))
    time = page.racers[racer].laps[number].lap_time_ms
    wrong = _other_digit(time, data.draw(st.integers(0, len(str(time)) - 1)), data.draw(st.integers(0, 9)))
    violations = check_race_page(with_lap(page, racer, number, lap_time_ms=wrong))
    assert bool(violations) == (wrong != time)


@settings(max_examples=150, deadline=None)
@given(_FIELDS.filter(lambda drivers: any(d.laps for d in drivers)), st.booleans(), st.data())
def test_every_lap_that_is_cut_out_is_refused(drivers: list[Driver], skip_first: bool, data: st.DataObject) -> None:
    page = race_page(drivers, skip_first=skip_first)
    racer = data.draw(st.sampled_from([i for i, racer in enumerate(page.racers) if racer.laps]))
    laps = page.racers[racer].laps
    gone = data.draw(st.integers(1, len(laps) - 1))
    violations = check_race_page(with_racer(page, racer, laps=without(laps, gone)))
    with pytest.raises(NormaliseError) as refused:
        require_valid(violations)
    assert refused.value.kind is (Kind.LAPS_MISSING if len(laps) == 2 else Kind.INVALID_DOCUMENT)


@settings(max_examples=100, deadline=None)
@given(_FIELDS.filter(lambda drivers: len(drivers) > 1), st.data())
def test_every_row_or_block_that_is_cut_out_is_reported(drivers: list[Driver], data: st.DataObject) -> None:
    page = race_page(drivers)
    index = data.draw(st.integers(0, len(drivers) - 1))
    no_row = structs.replace(page, rows=without(page.rows, index))
    no_block = structs.replace(page, racers=without(page.racers, index))
    assert check_race_page(no_row)
    assert check_race_page(no_block)
    if index < len(drivers) - 1:  # the last driver cut out on both sides leaves no trace on this page
        assert check_race_page(structs.replace(no_row, racers=no_block.racers))


# ---------------------------------------------------------------- one race page, rule by rule


def _renumbered(page: RacePage) -> RacePage:
    laps = page.racers[0].laps
    return with_racer(
        page, 0, laps=(*laps[:2], *(structs.replace(lap, lap_number=lap.lap_number + 1) for lap in laps[2:]))
    )


def _extra_lap(page: RacePage) -> RacePage:
    return with_racer(page, 0, laps=(*page.racers[0].laps, ScriptLap(7, 40000, 1, None)))


BROKEN: list[tuple[Callable[[RacePage], RacePage], tuple[str, str]]] = [
    # certain
    (lambda p: structs.replace(p, racers=(), has_lap_script=False), ("laps-missing", "error")),
    (lambda p: with_racer(p, 0, laps=()), ("laps-missing", "error")),
    (lambda p: with_racer(p, 0, laps=p.racers[0].laps[:1]), ("laps-missing", "error")),
    (lambda p: with_racer(p, 0, source_driver_id="99"), ("laps-missing", "error")),
    (lambda p: with_racer(p, 0, source_driver_id="99"), ("racer-without-row", "error")),
    (lambda p: with_racer(p, 0, laps=p.racers[0].laps[:-1]), ("lap-count-short", "error")),
    (_renumbered, ("lap-numbers", "error")),
    (lambda p: with_racer(p, 0, laps=p.racers[0].laps[::-1]), ("lap-numbers", "error")),
    (lambda p: with_racer(p, 0, laps=(p.racers[0].laps[0], *p.racers[0].laps)), ("lap-numbers", "error")),
    (lambda p: with_row(p, 1, source_driver_id="11"), ("driver-id-duplicate", "error")),
    (lambda p: structs.replace(p, racers=(p.racers[0], *p.racers)), ("racer-duplicate", "error")),
    (lambda p: with_row(p, 0, position=0), ("position-range", "error")),
    (lambda p: with_lap(p, 0, 1, lap_time_ms=-5), ("lap-time-negative", "error")),
    (lambda p: with_row(p, 0, total_time_ms=2**31), ("number-range", "error")),
    (lambda p: with_row(p, 0, car_number=-1), ("number-range", "error")),
    (lambda p: with_row(p, 3, position=2**31), ("number-range", "error")),
    (lambda p: with_lap(p, 0, 1, lap_time_ms=2**31), ("number-range", "error")),
    (lambda p: with_lap(p, 0, 1, position=2**31), ("number-range", "error")),
    (lambda p: with_racer(p, 0, consistency=Decimal(-(2**31))), ("number-range", "error")),
    # worth a look
    (_extra_lap, ("lap-count-surplus", "warning")),
    (lambda p: with_lap(p, 0, 1, lap_time_ms=0), ("lap-time-zero", "warning")),
    (lambda p: with_lap(p, 0, 0, lap_time_ms=3), ("grid-lap-time", "warning")),
    (lambda p: with_row(p, 0, total_time_ms=1), ("lap-sum", "warning")),
    (lambda p: with_row(p, 0, fast_lap_number=9), ("fast-lap-number", "warning")),
    (lambda p: with_row(p, 0, fast_lap_number=1), ("fast-lap-time", "warning")),
    (lambda p: with_row(p, 0, position=2), ("position-duplicate", "warning")),
    (lambda p: with_row(p, 3, position=6), ("position-gap", "warning")),
    (lambda p: with_row(p, 0, driver_name="SOMEBODY"), ("driver-name", "warning")),
    (lambda p: with_row(p, 3, driver_name="SOMEBODY"), ("racer-without-row", "warning")),
    (lambda p: with_row(p, 0, hidden_mismatches=("avg_lap_ms",)), ("hidden-value", "warning")),
    (lambda p: structs.replace(p, racers=p.racers[:3]), ("row-count", "warning")),
    (lambda p: structs.replace(p, rows=(), racers=()), ("race-empty", "warning")),
    (lambda p: structs.replace(p, rows=p.rows[3:], racers=(), has_lap_script=False), ("lap-script-missing", "warning")),
    (lambda p: with_row(p, 0, avg_lap_ms=1), ("statistic-differs", "warning")),
    (lambda p: with_row(p, 0, top_3_consecutive_ms=1), ("statistic-differs", "warning")),
    (lambda p: with_row(p, 0, std_deviation=Decimal("9.99")), ("statistic-differs", "warning")),
    (lambda p: with_row(p, 0, consistency=Decimal("9.99")), ("statistic-differs", "warning")),
    (lambda p: with_racer(p, 0, top_2_consecutive_ms=1), ("statistic-recomputed", "warning")),
    (lambda p: with_racer(p, 0, consistency=Decimal("9.999")), ("statistic-recomputed", "warning")),
]  # fmt: skip


@pytest.mark.parametrize(("breaks", "expected"), BROKEN)
def test_each_rule_speaks_when_it_is_broken(breaks: Callable[[RacePage], RacePage], expected: tuple[str, str]) -> None:
    page = race_page(SEEN)
    assert check_race_page(page) == ()
    violations = check_race_page(breaks(page))
    assert expected in rules(violations)
    for violation in violations:
        assert (violation.race_id, violation.page_type) == ("7001", "race_result")
        assert violation.message.startswith("Race 7001: ")


def test_a_violation_names_the_driver_and_the_field() -> None:
    page = with_row(race_page(SEEN), 1, total_time_ms=202_000)
    assert check_race_page(page) == (
        Violation(
            rule="lap-sum",
            severity="warning",
            message="Race 7001: OLE DAHL took 202000 ms in all, the laps add up to 202268 ms",
            race_id="7001",
            driver="OLE DAHL",
            field="total_time_ms",
            page_type="race_result",
        ),
    )


@pytest.mark.parametrize("shown", ["96.38", "96.39"])
def test_either_side_of_an_exact_tie_is_a_fair_rounding(shown: str) -> None:
    page = with_racer(race_page(SEEN), 0, consistency=Decimal("96.385"))
    violations = check_race_page(with_row(page, 0, consistency=Decimal(shown)))
    assert "statistic-differs" not in {violation.rule for violation in violations}


def test_statistics_by_an_unknown_rule_are_one_warning_not_one_per_driver() -> None:
    page = race_page(SEEN)
    for index in range(3):
        page = with_racer(page, index, avg_lap_ms=90_000)
        page = with_row(page, index, avg_lap_ms=90_000)
    assert rules(check_race_page(page)) == {("statistics-unexplained", "warning")}


def test_the_fastest_lap_need_not_be_the_shortest() -> None:
    """Where the standing start is left out of the statistics, it may be faster than the lap the page names."""
    page = race_page([Driver("11", "ANNA BERG", (30000, 39002, 38501, 38777)), SEEN[1]], skip_first=True)
    assert page.rows[1].fast_lap_ms == 38501
    assert check_race_page(page) == ()


# ---------------------------------------------------------------- the whole event


def whole(*pages: RacePage, **changes: Any) -> tuple[Event, EventPage]:
    listed = event_page(pages, **changes)
    return document.build_event(listed, {page.source_race_id: page for page in pages}), listed


def with_result(event: Event, **changes: Any) -> Event:
    race = event.races[0]
    first: Result = structs.replace(race.results[0], **changes)
    return structs.replace(event, races=(structs.replace(race, results=(first, *race.results[1:])), *event.races[1:]))


DAMAGED: list[tuple[Callable[[Event], Event], tuple[str, str]]] = [
    (lambda e: structs.replace(e, races=e.races[:1]), ("race-set", "error")),
    (lambda e: structs.replace(e, races=(*e.races, structs.replace(e.races[0], source_race_id="1", race_order=3))),
     ("race-set", "error")),
    (lambda e: structs.replace(e, races=(e.races[0], structs.replace(e.races[0], race_order=2))),
     ("race-id-duplicate", "error")),
    (lambda e: structs.replace(e, races=e.races[::-1]), ("race-order", "error")),
    (lambda e: with_result(e, position=0), ("position-range", "error")),
    (lambda e: with_result(e, source_driver_id="12"), ("driver-id-duplicate", "error")),
    (lambda e: with_result(e, laps=()), ("laps-missing", "error")),
    (lambda e: with_result(e, laps=e.races[0].results[0].laps[1:]), ("lap-numbers", "error")),
    (lambda e: with_result(e, laps=e.races[0].results[0].laps[1:]), ("lap-elapsed", "error")),
    (lambda e: with_result(e, fast_lap_number=99), ("fast-lap-number", "warning")),
    (lambda e: structs.replace(e, races=(structs.replace(e.races[0], race_number=2**31), e.races[1])),
     ("number-range", "error")),
    (lambda e: structs.replace(e, entries=-1), ("number-range", "error")),
    (lambda e: structs.replace(e, races=(structs.replace(e.races[0], race_label="Truck"), e.races[1])),
     ("race-label", "warning")),
    (lambda e: structs.replace(e, races=(structs.replace(e.races[0], round="Q1"), e.races[1])), ("round", "warning")),
    (lambda e: structs.replace(e, races=(structs.replace(e.races[0], race_number=8), e.races[1])),
     ("race-number", "warning")),
]  # fmt: skip


@pytest.mark.parametrize(("damages", "expected"), DAMAGED)
def test_each_rule_of_the_document_speaks_when_it_is_broken(
    damages: Callable[[Event], Event], expected: tuple[str, str]
) -> None:
    event, listed = whole(race_page(SEEN, race_id="7001"), race_page(SEEN, race_id="7002"))
    assert check_event(event, listed) == ()
    assert expected in rules(check_event(damages(event), listed))


def test_labels_that_differ_in_white_space_agree() -> None:
    page = race_page(SEEN, race_label="Buggy (Heat 1/2)")
    listed = event_page([page])
    link = structs.replace(listed.races[0], race_label="Buggy  (Heat 1/2)", round=None)
    listed = structs.replace(listed, races=(link,))
    assert check_event(document.build_event(listed, {"7001": page}), listed) == ()


def test_the_totals_of_a_page_with_rows_cut_out_never_refuse() -> None:
    page = race_page(SEEN)
    entries = entry_list({"Buggy": [driver.name for driver in SEEN]})
    entries = structs.replace(entries, classes=(structs.replace(entries.classes[0], declared_entries=40),))
    listed = event_page([page], entries=71, drivers=60, total_race_laps=4129, has_entry_list=True)
    event = document.build_event(listed, {"7001": page}, entries)
    violations = check(event, listed, {"7001": page}, entries)
    assert rules(violations) == {
        ("total-laps", "warning"),
        ("total-entries", "warning"),
        ("total-drivers", "warning"),
        ("entry-count", "warning"),
    }
    require_valid(violations)


def test_without_an_entry_list_only_too_many_drivers_can_be_told() -> None:
    assert check_event(*whole(race_page(SEEN), drivers=60, entries=71)) == ()
    assert rules(check_event(*whole(race_page(SEEN), drivers=3))) == {("total-drivers", "warning")}


def test_the_entry_list_is_compared_with_who_raced() -> None:
    page = race_page([ANNA, OLE, NOBODY])
    listed = event_page([page], has_entry_list=True)

    def said(classes: dict[str, list[str]]) -> dict[str, str]:
        event = document.build_event(listed, {"7001": page}, entry_list(classes))
        return {violation.rule: violation.message for violation in check_event(event, listed)}

    assert said({"Buggy": ["Anna  Berg", "OLE DAHL", "PIA FJELD"]}) == {}, "case and blanks are no difference"
    assert said({"buggy 1/8": ["ANNA BERG", "OLE DAHL", "PIA FJELD"]}) == {}, "nor is a class spelt otherwise"
    assert "OLE DAHL (Buggy)" in said({"Buggy": ["ANNA BERG", "PIA FJELD"], "Truck": ["OLE DAHL"]})["entry-unlisted"]
    assert said({"Buggy": ["ANNA BERG", "OLE DAHL", "PIA FJELD"], "Truck": ["EVA RUUD"]}) == {
        "entry-absent": "1 drivers of the entry list stand in no result: EVA RUUD"
    }


def test_pages_of_another_event_are_named() -> None:
    page = race_page(SEEN, event_name="Another Cup")
    listed = event_page([page], has_entry_list=True)
    entries = entry_list({"Buggy": [driver.name for driver in SEEN]}, event_name="Third Cup")
    event = document.build_event(listed, {"7001": page}, entries)
    violations = check(event, listed, {"7001": page}, entries)
    assert [(violation.rule, violation.page_type) for violation in violations] == [
        ("event-name", "race_result"),
        ("event-name", "entry_list"),
    ]


def test_the_full_check_says_nothing_twice() -> None:
    page = with_row(with_racer(race_page(SEEN), 0, laps=()), 1, total_time_ms=1, avg_lap_ms=2)
    listed = event_page([page])
    event = document.build_event(listed, {"7001": page})
    violations = check(event, listed, {"7001": page}, None)
    assert len(violations) == len(set(violations))
    assert set(violations) == {*check_race_page(page), *check_event(event, listed)}


# ---------------------------------------------------------------- what follows


def test_warnings_refuse_nothing() -> None:
    require_valid(())
    require_valid([Violation("lap-sum", "warning", "off by one")])


def test_errors_refuse_and_the_missing_laps_come_first() -> None:
    numbers = Violation("lap-numbers", "error", "a gap", "7001", "OLE DAHL", "laps", "race_result")
    missing = Violation("laps-missing", "error", "no laps", "7002", "ANNA BERG", "laps", "race_result")
    warning = Violation("lap-sum", "warning", "off by one")
    with pytest.raises(NormaliseError) as refused:
        require_valid([warning, numbers, numbers])
    assert refused.value.kind is Kind.INVALID_DOCUMENT
    assert refused.value.message == "a gap"
    assert refused.value.details["violation_count"] == 1
    with pytest.raises(NormaliseError) as refused:
        require_valid([warning, numbers, missing])
    assert refused.value.kind is Kind.LAPS_MISSING
    assert refused.value.message == "no laps (and 1 more contradiction)"
    assert refused.value.details["race_id"] == "7002"
    assert refused.value.details["violations"][0] == {
        "rule": "laps-missing",
        "severity": "error",
        "message": "no laps",
        "race_id": "7002",
        "driver": "ANNA BERG",
        "field": "laps",
        "page_type": "race_result",
    }


def test_a_flood_of_errors_is_counted_but_not_listed_whole() -> None:
    with pytest.raises(NormaliseError) as refused:
        require_valid([Violation("lap-numbers", "error", f"gap {i}") for i in range(200)])
    assert len(refused.value.details["violations"]) == 50
    assert refused.value.details["violation_count"] == 200
    assert refused.value.message == "gap 0 (and 199 more contradictions)"


@pytest.mark.parametrize(
    ("races", "laps", "refuses"),
    [(10, 1000, False), (5, 500, False), (4, 500, True), (5, 499, True), (4, 2000, True), (0, 0, True)],
)
def test_losing_over_half_of_what_is_served_is_refused(races: int, laps: int, refuses: bool) -> None:
    check_shrink(races, laps, 10, 1000, allow=True)
    check_shrink(races, laps, 0, 0, allow=False)
    if not refuses:
        check_shrink(races, laps, 10, 1000, allow=False)
        return
    with pytest.raises(NormaliseError) as refused:
        check_shrink(races, laps, 10, 1000, allow=False)
    assert refused.value.kind is Kind.SHRUNK
    assert f"{races} races and {laps} laps" in refused.value.message
    assert "10 races and 1000 laps" in refused.value.message
