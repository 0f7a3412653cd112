"""Which broken rules make a page doubtful, and which an official's hand on the results explains.

A race director takes seconds and laps, moves drivers down, corrects a lap; the site reckons some of that anew and some
not. What can have come about so is only warned of (`validate`); the rest is a number in the wrong place.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal

from pipeline import race_gaps
from pipeline.lap_statistics import lap_statistics
from pipeline.records import RacePage, Racer
from pipeline.violations import Violation

CROSS_CHECKS = frozenset(
    {
        "driver-name",
        "event-name",
        "fast-lap-number",
        "fast-lap-time",
        "grid-lap-time",
        "hidden-value",
        "lap-count-surplus",
        "lap-sum",
        "lap-time-zero",
        "position-duplicate",
        "position-gap",
        "race-empty",
        "race-label",
        "race-number",
        "racer-without-row",
        "round",
        "row-count",
        "statistic-differs",
        "statistic-recomputed",
        "statistics-unexplained",
    }
)
TOTALS = frozenset({"total-laps", "total-entries", "entry-count"})  # two drivers of one name spoil that of drivers
_OF_THE_TOTAL = frozenset({"lap-sum", "lap-count-surplus"})
_STALE = "statistic-recomputed"
_ROUNDING = Decimal("0.01")  # percent: mean and deviation are rounded to a millisecond before they are shown


def doubtful(violations: Iterable[Violation], races: Mapping[str, RacePage]) -> Iterator[Violation]:
    """The cross-checks among the violations that no official's edit explains."""
    broken = [one for one in dict.fromkeys(violations) if one.rule in CROSS_CHECKS]
    totals = {name for page in races.values() for name in race_gaps.confirmed_totals(page)}
    stale = _stale(broken, races)
    for one in broken:
        if one.rule in _OF_THE_TOTAL and (one.race_id, one.driver) in totals:
            continue
        if one.rule == _STALE and (one.race_id, one.driver) in stale:
            continue
        yield one


def _stale(broken: Iterable[Violation], races: Mapping[str, RacePage]) -> set[tuple[str | None, str | None]]:
    """Drivers whose laps were corrected after their statistics were reckoned.

    Their statistics agree with each other and with nothing else; where half of the field differs, it is the page that
    has changed.
    """
    rules: defaultdict[tuple[str | None, str | None], set[str]] = defaultdict(set)
    for one in broken:
        rules[one.race_id, one.driver].add(one.rule)
    earlier = {
        (race_id, racer.driver_name)
        for race_id, page in races.items()
        for racer in page.racers
        if rules.get((race_id, racer.driver_name)) == {_STALE} and _of_other_laps(racer)
    }
    counts = Counter(race_id for race_id, _ in earlier)
    starters = {race_id: sum(row.laps_completed > 0 for row in page.rows) for race_id, page in races.items()}
    return {(race_id, driver) for race_id, driver in earlier if 2 * counts[race_id] < starters[race_id]}


def _of_other_laps(racer: Racer) -> bool:
    """Do a driver's mean, deviation and consistency follow from each other, and none of them from the laps?"""
    mean, deviation, consistency = racer.avg_lap_ms, racer.std_deviation_ms, racer.consistency
    if not mean or deviation is None or consistency is None:
        return False
    if abs(100 * (mean - deviation) - consistency * mean) > _ROUNDING * mean:
        return False
    times = [lap.lap_time_ms for lap in racer.laps if lap.lap_number > 0]
    for used in (times, times[1:]):
        if used and min(used) > 0:
            laps = lap_statistics(used)
            if abs(laps.avg_lap_ms - mean) <= 1 or abs(laps.std_deviation_ms - deviation) <= 1:
                return False
    return bool(times)
