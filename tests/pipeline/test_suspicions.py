"""What makes a page doubtful by itself: silence on every good page, a word on every kind of contradiction."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec import structs

from pipeline import suspicions
from pipeline.liverc.contract import load_contract
from pipeline.liverc.coverage import Coverage, coverage
from pipeline.liverc.readers import read_page
from pipeline.liverc.urls import parse_url
from pipeline.race_gaps import confirmed_totals, gap_holds
from pipeline.records import EventPage, RacePage, TableRow
from pipeline.replay import Pages
from tests.support.real_pages import REAL, needs_real_pages
from tests.support.simulated import event_of, every_preset

GOOD = ("small", "oddities", "mains", "bare", "typical")


def event(preset: str, seed: int = 3) -> tuple[Pages, list[Coverage]]:
    """The pages of a simulated event, with what is measured of them."""
    site, said, seen = every_preset(seed), Pages(), []
    for host, target in site.addresses(event_of(site, preset)):
        answer = site.answer(host, target)
        if answer is None:
            continue
        ref = parse_url(f"https://{host}{target}")
        record = read_page(answer.body, ref)
        seen.append(coverage(answer.body, ref, load_contract(ref.page_type)))
        assert suspicions.page_suspicions(record, seen[-1]) == (), ref.url
        if isinstance(record, EventPage):
            said.event = record
        elif isinstance(record, RacePage):
            said.races[record.source_race_id] = record
        else:
            said.entry_list = record  # type: ignore[assignment]
    return said, seen


@pytest.mark.parametrize("preset", GOOD)
@pytest.mark.parametrize("seed", [3, 8])
def test_good_pages_raise_no_suspicion(preset: str, seed: int) -> None:
    said, seen = event(preset, seed)
    assert said.event is not None
    violations = said.check(said.build())
    assert suspicions.event_suspicions(said.event, said.races, violations, seen) == ()
    assert suspicions.totals_suspicions(violations) == ()


@needs_real_pages
@pytest.mark.parametrize("name", ["6304829", "6304822", "6304822.2025-12"])
def test_a_real_race_raises_no_suspicion(name: str) -> None:
    race_id = name.partition(".")[0]
    ref = parse_url(f"https://canberraoffroad.liverc.com/results/?p=view_race_result&id={race_id}")
    page = (REAL / "pages" / f"race.{name}.html").read_bytes()
    record = read_page(page, ref)
    assert isinstance(record, RacePage)
    assert suspicions.race_page_suspicions(record, coverage(page, ref, load_contract(ref.page_type))) == ()


# ---------------------------------------------------------------- contradictions


@pytest.fixture(scope="module")
def race() -> RacePage:
    """A race with several finishers on the same lap."""
    said, _ = event("typical")
    return max(said.races.values(), key=lambda page: sum(bool(gap_holds(*pair)) for pair in _pairs(page)))


def _pairs(page: RacePage) -> list[tuple[TableRow, TableRow]]:
    return list(zip(page.rows, page.rows[1:], strict=False))


def _row(page: RacePage, number: int, **facts: object) -> RacePage:
    rows = list(page.rows)
    rows[number] = structs.replace(rows[number], **facts)
    return structs.replace(page, rows=tuple(rows))


def _lap(page: RacePage, number: int, **facts: object) -> RacePage:
    racer = page.racers[0]
    laps = list(racer.laps)
    laps[number] = structs.replace(laps[number], **facts)
    return structs.replace(page, racers=(structs.replace(racer, laps=tuple(laps)), *page.racers[1:]))


CONTRADICTIONS: dict[str, tuple[str, Callable[[RacePage], RacePage]]] = {
    "a statistic is empty": ("value-gone avg_lap_ms", lambda p: _row(p, 0, avg_lap_ms=None)),
    "a gap is empty": ("value-gone behind", lambda p: _row(p, 1, behind=None)),
    "a gap has a sign": ("gap-unread behind", lambda p: _row(p, 1, behind="+1.000")),
    "a gap is another": ("gap-differs behind", lambda p: _row(p, 1, behind="99 Laps")),
    "rows are turned": ("row-order position", lambda p: structs.replace(p, rows=p.rows[::-1])),
    "the length is unread": (
        "length-unread length_text",
        lambda p: structs.replace(p, length_text="half an hour", length_seconds=None),
    ),
    "the length is another": (
        "laps-contradict length_text",
        lambda p: structs.replace(p, length_text="90:00 Timed", length_seconds=5400),
    ),
    "a position is another": ("laps-contradict laps", lambda p: _lap(p, 3, position=99)),
    "a projection is another": ("laps-contradict laps", lambda p: _lap(p, 3, pace="77/1:00.000")),
    "a fastest lap is another": ("statistic-differs fast_lap_ms", lambda p: _row(p, 0, fast_lap_ms=1)),
    "there is no row": ("race-empty None", lambda p: structs.replace(p, rows=(), racers=(), has_lap_script=False)),
}


@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_every_contradiction_is_a_suspicion(name: str, race: RacePage) -> None:
    says, change = CONTRADICTIONS[name]
    found = suspicions.race_page_suspicions(change(race), {})
    assert says in {f"{one.rule} {one.field}" for one in found}
    assert suspicions.race_page_suspicions(race, {}) == ()


def test_a_penalty_that_the_gaps_confirm_is_no_suspicion_and_a_wrong_digit_is(race: RacePage) -> None:
    """An official adds ten seconds to the second driver's total; the site reckons the gaps anew."""
    above, row = race.rows[:2]
    assert gap_holds(above, row)
    assert above.total_time_ms is not None
    assert row.total_time_ms is not None
    late = row.total_time_ms + 10_000
    gap = late - above.total_time_ms
    penalty = _row(race, 1, total_time_ms=late, behind=f"{gap // 1000}.{gap % 1000:03}")
    two = structs.replace(penalty, rows=penalty.rows[:2], racers=penalty.racers[:2])
    assert (race.source_race_id, row.driver_name) in set(confirmed_totals(two))
    rules = {one.rule for one in suspicions.race_page_suspicions(two, {}) if one.field != "laps"}
    assert "lap-sum" not in rules
    wrong = _row(race, 1, total_time_ms=late)
    assert "lap-sum" in {one.rule for one in suspicions.race_page_suspicions(wrong, {})}


def test_a_page_of_another_race_is_told_by_its_name() -> None:
    said, seen = event("small")
    assert said.event is not None
    first, second = list(said.races)[:2]
    said.races[first] = structs.replace(said.races[second], source_race_id=first)
    found = suspicions.event_suspicions(said.event, said.races, said.check(said.build()), seen)
    assert {"race-label", "pages-alike"} & {one.rule for one in found}


def _corrected(page: RacePage, number: int, by_ms: int) -> RacePage:
    """A lap corrected by an official: total and gap follow, the statistics do not."""
    racer, row = page.racers[number], page.rows[number]
    laps = [
        structs.replace(lap, lap_time_ms=lap.lap_time_ms + by_ms) if lap.lap_number == 2 else lap for lap in racer.laps
    ]
    assert row.total_time_ms is not None
    rows = [*page.rows[: number + 1]]
    rows[number] = structs.replace(row, total_time_ms=row.total_time_ms + by_ms, behind="1 Lap")
    racers = [*page.racers[:number], structs.replace(racer, laps=tuple(laps))]
    return structs.replace(page, rows=tuple(rows), racers=tuple(racers))


def test_statistics_older_than_a_corrected_lap_are_no_suspicion_and_a_wrong_one_is(race: RacePage) -> None:
    last = max(number for number, row in enumerate(race.rows) if row.laps_completed > 10)
    rules = {one.rule for one in suspicions.race_page_suspicions(_corrected(race, last, 7_000), {})}
    assert "statistic-recomputed" not in rules
    racer = race.racers[last]
    wrong = structs.replace(racer, avg_top_5_ms=(racer.avg_top_5_ms or 0) + 1_000)
    racers = (*race.racers[:last], wrong, *race.racers[last + 1 :])
    page = _row(structs.replace(race, racers=racers), last, avg_top_5_ms=wrong.avg_top_5_ms)
    assert {one.rule for one in suspicions.race_page_suspicions(page, {})} == {"statistic-recomputed"}
