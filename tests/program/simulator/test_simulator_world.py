"""The invented world: same seed, same bytes; LiveRC's arithmetic; every oddity; a truth that agrees with itself."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from decimal import ROUND_HALF_UP, Decimal, localcontext
from itertools import accumulate
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mre_console.simulator.figures import figures, hundredths, pace
from mre_console.simulator.generate import World
from mre_console.simulator.site import SimulatedSite
from mre_console.simulator.specs import PRESETS, race_count
from mre_console.simulator.world import Race
from pipeline.records import Event, EventPage, EventsListing, RacePage, Result, TrackCatalogue
from tests.support.real_pages import REAL, needs_real_pages
from tests.support.simulated import body, event_of, every_preset


@pytest.fixture
def site() -> SimulatedSite:
    return every_preset()


# ---------------------------------------------------------------- determinism

_FINGERPRINT = """
from hashlib import sha256
from mre_console.simulator.generate import World
from mre_console.simulator.site import SimulatedSite
site = SimulatedSite(World(5, tracks=2, events=2, mix=("oddities", "typical")), frozen_frame=True)
digest = sha256(site.answer("live.liverc.com", "/").body)
for _, event in site.events():
    for address in site.addresses(event):
        answer = site.answer(*address)
        digest.update(answer.body if answer else b"404")
print(digest.hexdigest())
"""


def test_the_same_seed_gives_the_same_bytes_in_every_process() -> None:
    def digest(hash_seed: str, zone: str) -> str:
        environment = {"PYTHONHASHSEED": hash_seed, "TZ": zone, "LC_ALL": "C"}
        root = Path(__file__).parents[3]
        run = subprocess.run(
            [sys.executable, "-c", _FINGERPRINT], cwd=root, env=environment, capture_output=True, text=True, check=True
        )
        return run.stdout

    assert digest("1", "UTC") == digest("77", "Australia/Sydney")


def test_another_seed_gives_another_world() -> None:
    first, second = World(1, tracks=1, events=1), World(2, tracks=1, events=1)
    assert list(first.tracks) != list(second.tracks) or first.events.keys() != second.events.keys()


def test_fetching_twice_changes_only_the_fly_in_flag(site: SimulatedSite) -> None:
    site.frozen_frame = False
    address = site.addresses(event_of(site, "small"))[-1]
    first, second, third = (body(site, address) for _ in range(3))
    assert first != second
    assert first == third
    assert first.replace(b"showFlyInBox = true", b"showFlyInBox = false") == second


# ---------------------------------------------------------------- arithmetic


@needs_real_pages
@pytest.mark.parametrize(("name", "skip_lap_1"), [("race.6304822", False), ("race.6304829", True)])
def test_the_arithmetic_reproduces_real_pages(name: str, skip_lap_1: bool) -> None:
    """Every statistic of every starter, exactly; the projection up to the site's own ±1 ms."""
    page = json.loads((REAL / "truth" / f"{name}.json").read_text(encoding="utf-8"))
    starters = [row for row in page["results"] if row["laps"]]
    assert starters
    for row in starters:
        laps = page["laps"][row["driver_id"]]
        found = figures([lap[1] for lap in laps], skip_lap_1=skip_lap_1)
        stated = (
            *(row[key] for key in ("fastest_lap_ms", "fastest_lap_no", "avg_lap_ms", "avg_top5_ms", "avg_top10_ms")),
            *(row[key] for key in ("avg_top15_ms", "top2_consecutive_ms", "top3_consecutive_ms", "std_dev_ms")),
            int(Decimal(row["consistency_js"]) * 1000),
        )
        assert tuple(getattr(found, name) for name in found.__struct_fields__) == stated, row["position"]
        assert found.std_deviation_ms is not None
        assert found.consistency_milli is not None
        assert hundredths(found.std_deviation_ms) == int(Decimal(row["std_dev_table"]) * 100)
        assert hundredths(found.consistency_milli) == int(Decimal(row["consistency_table"].rstrip("%")) * 100)
        for lap, elapsed in zip(laps, accumulate(lap[1] for lap in laps), strict=True):
            count, time_ms = pace(lap[0], elapsed, 1000 * page["length_seconds"])
            shown_count, _, shown_time = lap[3].partition("/")
            minutes, _, rest = shown_time.partition(":")
            assert count == int(shown_count)
            assert abs(time_ms - (int(minutes) * 60_000 + int(Decimal(rest) * 1000))) <= 1


@given(st.lists(st.integers(1, 200_000), min_size=1, max_size=60))
@example([1, 2])  # a deviation of exactly half a millisecond
@example([10_000])
@example([20_000, 20_000])
def test_deviation_and_consistency_are_rounded_half_up(laps: list[int]) -> None:
    """Against decimal arithmetic with more digits than any tie could need."""
    found = figures(laps, skip_lap_1=False)
    with localcontext(prec=80, rounding=ROUND_HALF_UP):
        mean = Decimal(sum(laps)) / len(laps)
        deviation = (sum(((lap - mean) ** 2 for lap in laps), Decimal(0)) / len(laps)).sqrt()
        assert found.std_deviation_ms == deviation.quantize(Decimal(1))
        consistency = 100_000 - 100_000 * deviation / mean
        half = consistency % 1 == Decimal("0.5")
        assert found.consistency_milli == (int(consistency // 1) + 1 if half else consistency.quantize(Decimal(1)))


# ---------------------------------------------------------------- truth agrees with itself


def test_the_truth_of_every_event_is_consistent(site: SimulatedSite) -> None:
    for _, event_id in site.events():
        document = site.document(event_id)
        assert [race.race_order for race in document.races] == list(range(1, len(document.races) + 1))
        for race in document.races:
            assert [result.position for result in race.results] == list(range(1, len(race.results) + 1))
            for result in race.results:
                check_result(result)


def check_result(result: Result) -> None:
    assert result.laps_completed == len(result.laps)
    assert [lap.elapsed_ms for lap in result.laps] == list(accumulate(lap.lap_time_ms for lap in result.laps))
    if not result.laps:
        assert result.total_time_ms is None
        assert result.grid_position is None
        return
    assert result.total_time_ms == result.laps[-1].elapsed_ms
    assert result.fast_lap_number is not None
    assert result.laps[result.fast_lap_number - 1].lap_time_ms == result.fast_lap_ms


def test_positions_after_a_lap_follow_the_clock(site: SimulatedSite) -> None:
    for race in site.document(event_of(site, "typical")).races:
        for number in range(1, max(len(r.laps) for r in race.results) + 1):
            laps = [r.laps[number - 1] for r in race.results if len(r.laps) >= number]
            in_order = sorted(laps, key=lambda lap: lap.position or 0)
            assert [lap.position for lap in in_order] == list(range(1, len(laps) + 1))
            assert [lap.elapsed_ms for lap in in_order] == sorted(lap.elapsed_ms for lap in laps)


def test_pages_and_document_tell_the_same_races(site: SimulatedSite) -> None:
    event_id = event_of(site, "mains")
    document = site.document(event_id)
    pages = [site.truth_of(*address) for address in site.addresses(event_id)]
    event_page = pages[0]
    assert isinstance(event_page, EventPage)
    assert [link.source_race_id for link in reversed(event_page.races)] == [r.source_race_id for r in document.races]
    races = {page.source_race_id: page for page in pages if isinstance(page, RacePage)}
    assert races.keys() == {race.source_race_id for race in document.races}
    for race in document.races:
        rows = races[race.source_race_id].rows
        assert [row.driver_name for row in rows] == [result.driver_name for result in race.results]


def test_sizes_are_as_asked() -> None:
    world = World(9, tracks=1, events=8, mix=("typical",))
    for day in world.events.values():
        races = world.races(day.event_id)
        assert 10 <= len(races) == race_count(day.spec) <= 40
        starters = [e for race in races for e in race.entrants if e.laps_ms]
        assert all(3 <= len(race.entrants) <= 14 for race in races)
        middle = sorted(len(e.laps_ms) for e in starters)[len(starters) // 2]
        assert 12 <= middle <= 48
    large = World(9, tracks=1, events=1, mix=("large",))
    races = large.races(next(iter(large.events)))
    laps = [len(e.laps_ms) for race in races for e in race.entrants]
    assert len(races) == 100
    assert {len(race.entrants) for race in races} == {10}
    assert 36 <= sum(laps) / len(laps) <= 44


# ---------------------------------------------------------------- oddities


@pytest.fixture
def odd(site: SimulatedSite) -> tuple[Event, str, list[Race]]:
    """The document of an event with every oddity, all its pages as one text, and its races."""
    event_id = event_of(site, "oddities")
    text = "".join(body(site, address).decode() for address in site.addresses(event_id))
    return site.document(event_id), text, list(site.world.races(event_id))


def test_every_kind_of_name_occurs(odd: tuple[Event, str, list[Race]]) -> None:
    document, text, races = odd
    raw = {e.driver.name for race in races for e in race.entrants}
    shown = {result.driver_name for race in document.races for result in race.results}
    for mark in ("'", "-", ".", "JR.", "SR.", "5", '"', "&"):
        assert any(mark in name for name in raw), mark
    assert any(" " not in name for name in shown)
    assert any(not name.isascii() for name in raw)
    assert any(name != name.strip() for name in raw)
    assert any("  " in name for name in raw)
    assert not any("  " in name or name != name.strip() for name in shown)
    assert "O\\'HARROW" in text
    assert "O'HARROW</span>" in text


def test_namesakes_meet_as_starters_and_as_non_starter(odd: tuple[Event, str, list[Race]]) -> None:
    kinds = set()
    for race in odd[0].races:
        for name, count in Counter(result.driver_name for result in race.results).items():
            if count == 2:
                pair = [result for result in race.results if result.driver_name == name]
                assert pair[0].source_driver_id != pair[1].source_driver_id
                kinds.add(tuple(bool(result.laps) for result in pair))
    assert {(True, True), (True, False)} <= kinds


def test_incidents_of_every_kind_occur(odd: tuple[Event, str, list[Race]]) -> None:
    document, _, races = odd
    results = [result for race in document.races for result in race.results]
    assert any(sum(not r.laps for r in race.results) >= 2 for race in document.races), "several non-starters"
    assert any(r.behind == "0.000" for r in results)
    assert any(r.behind == "1 Lap" for r in results)
    assert any((r.behind or "").endswith(" Laps") for r in results)
    assert any(r.laps and r.laps[-1].position == 1 and r.position > 1 for r in results), "a leader who retired"
    for few, field in ((5, "avg_top_5_ms"), (10, "avg_top_10_ms"), (15, "avg_top_15_ms")):
        assert any(r.laps and len(r.laps) < few and getattr(r, field) is None for r in results), field
    ties = [r for r in results if sum(lap.lap_time_ms == r.fast_lap_ms for lap in r.laps) > 1]
    assert any(r.fast_lap_number == min(n.lap_number for n in r.laps if n.lap_time_ms == r.fast_lap_ms) for r in ties)
    skipping = {race.race_id for race in races if race.skip_lap_1}
    assert any(
        race.source_race_id in skipping and r.laps and min(lap.lap_time_ms for lap in r.laps) < (r.fast_lap_ms or 0)
        for race in document.races
        for r in race.results
    ), "the stated fastest lap is not the least"
    assert len({race.completed_at_local for race in document.races}) < len(document.races), "two in one minute"


def test_numbers_occur_in_every_printed_form(odd: tuple[Event, str, list[Race]]) -> None:
    text = odd[1]
    forms = (
        r"<td>1/\d\d\.\d{3}</td>",  # below a minute: no colon
        r"<td>\d+/\d:\d\d\.\d{3}</td>",
        r"<td>\d+/6\d:\d\d\.\d{3}</td>",  # above an hour, in minutes
        r"<td>\d+/1:0\d:\d\d\.\d{3}</td>",  # above an hour, in hours
        r"Length: 1:00:00 Timed",
        r"'time' : '\d+',",
        r"'time' : '\d+\.\d\d',",
        r"'time' : '\d{3}\.\d+',",  # above a minute, in seconds
        r"'laps' : \[\n\t+\]",
        r"<td>[\d]{7}/2</td>",
        r"<td></td>",
        r"Race \d: Nitro Truggy \(Nitro Truggy  \(Heat 1/1\)\)",
        r"Race \d: Int\. E-Buggy 1/8 A-Main<",
        r"<th>Practice Round 1</th>",
    )
    assert [form for form in forms if not re.search(form, text)] == []


def test_the_entry_list_has_its_traps(site: SimulatedSite) -> None:
    event_id = event_of(site, "oddities")
    entries = site.document(event_id).entry_list
    assert entries is not None
    per_class = Counter((e.class_name, e.transponder) for e in entries if e.transponder)
    assert 2 in per_class.values(), "two share a transponder in one class"
    by_driver: dict[str, set[str | None]] = {}
    for entry in entries:
        by_driver.setdefault(entry.driver_name, set()).add(entry.transponder)
    assert any(len(transponders) > 1 for transponders in by_driver.values())
    numbers = [c.number for day in site.world.events.values() for c in day.classes]
    assert numbers != sorted(numbers)


def test_mains_have_bump_ups_and_triple_legs(site: SimulatedSite) -> None:
    races = {race.race_label: race for race in site.document(event_of(site, "mains")).races}
    lower, upper = races["1/8 Nitro Buggy B-Main"], races["1/8 Nitro Buggy A-Main"]
    assert lower.race_order < upper.race_order
    grid = sorted(upper.results, key=lambda r: r.qualifying_position or 0)
    assert [r.source_driver_id for r in grid[-2:]] == [r.source_driver_id for r in lower.results[:2]]
    legs = [races[f"1/8 Electric Buggy A{leg}-Main"] for leg in (1, 2, 3)]
    assert len({frozenset(r.source_driver_id for r in leg.results) for leg in legs}) == 1
    assert legs[2].race_order - legs[0].race_order > 2, "interleaved with other mains"


def test_the_listing_and_the_catalogue_have_their_traps() -> None:
    site = SimulatedSite(World(2, tracks=2, events=20, mix=("no_races", "small", "oddities")))
    listings = [site.truth_of(f"{slug}.liverc.com", "/events/") for slug in site.world.real_slugs()]
    events = [e for listing in listings if isinstance(listing, EventsListing) for e in listing.events]
    assert any(e.starts_at_local is None for e in events)
    assert any(e.starts_at_local for e in events)
    assert any((e.start_date or "")[:7] != (e.end_date or "")[:7] for e in events), "over a month end"
    assert any(e.entries == 0 and e.drivers == 0 for e in events)
    assert max(Counter(e.event_name for e in events).values()) > 1
    first = listings[0]
    assert isinstance(first, EventsListing)
    assert [e.start_date for e in first.events] == sorted((e.start_date or "" for e in first.events), reverse=True)
    ids = [int(e.source_event_id) for e in first.events]
    assert ids != sorted(ids, reverse=True)
    assert any(day.name != day.name.strip() for day in site.world.events.values())

    catalogue = site.truth_of("live.liverc.com", "/")
    assert isinstance(catalogue, TrackCatalogue)
    assert len(catalogue.tracks) >= 1_000
    assert len({t.slug.lower() for t in catalogue.tracks}) == len(catalogue.tracks)
    assert len({t.name for t in catalogue.tracks}) < len(catalogue.tracks)
    assert any(t.slug != t.slug.lower() for t in catalogue.tracks)
    assert any(t.latest_event is None for t in catalogue.tracks)
    assert any(not t.name.isascii() for t in catalogue.tracks)
    assert {t.status for t in catalogue.tracks} == {0, 1, 2}
    assert len({t.updated_text for t in catalogue.tracks}) > 10


def test_every_preset_has_as_many_races_as_it_promises() -> None:
    world = World(4, tracks=1, events=len(PRESETS), mix=tuple(PRESETS))
    for day in world.events.values():
        assert len(world.races(day.event_id)) == race_count(day.spec), day.spec.preset
