"""What a race page's laps imply: the position after each lap, the projected result, the grid. Exact integers.

LiveRC's lap script states positions and projections that follow from the lap times (PAGES.md 5.2). Where a page's own
laps give something else, a number was changed or stands in the wrong place.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

from pipeline.document import pair_racers
from pipeline.records import RacePage, ScriptLap

_PACE = re.compile(r"([0-9]+)/(?:([0-9]+):)?(?:([0-9]+):)?([0-9]+)\.([0-9]{3})")
_PACE_TOLERANCE_MS = 2
_EXPLAINED = 0.5  # share of a page's projections that must follow before one that does not is wrong


class Contradiction(NamedTuple):
    """One stated value that the laps do not give."""

    field: str
    why: str


class _Passing(NamedTuple):
    """One driver at the end of one lap."""

    driver: str
    lap: ScriptLap
    elapsed_ms: int


def grid(page: RacePage) -> tuple[int | None, ...]:
    """The start slot of every row by the lap script; None where it says nothing."""
    racers = pair_racers(page).racers
    return tuple(
        next((lap.position for lap in racer.laps if lap.lap_number == 0), None) if racer else None for racer in racers
    )


def _passings(page: RacePage) -> Iterator[_Passing]:
    for racer in page.racers:
        elapsed = 0
        for lap in racer.laps:
            if lap.lap_number > 0:
                elapsed += lap.lap_time_ms
                yield _Passing(racer.driver_name, lap, elapsed)


def check_positions(page: RacePage) -> Iterator[Contradiction]:
    """Positions that are not those of the elapsed times: whoever ended lap n earlier is ahead after lap n."""
    passings = list(_passings(page))
    at_end: defaultdict[int, list[int]] = defaultdict(list)
    for passing in passings:
        at_end[passing.lap.lap_number].append(passing.elapsed_ms)
    for times in at_end.values():
        times.sort()
    wrong = []
    for passing in passings:
        times, stated = at_end[passing.lap.lap_number], passing.lap.position
        ahead = bisect_left(times, passing.elapsed_ms)
        level = times.count(passing.elapsed_ms)
        if stated is not None and not ahead < stated <= ahead + level:
            wrong.append((passing, ahead + 1))
    if wrong:
        passing, due = wrong[0]
        yield Contradiction(
            "laps",
            f"{passing.driver} is at position {passing.lap.position} after lap {passing.lap.lap_number}, by the lap "
            f"times at {due} ({len(wrong)} of {len(passings)} laps)",
        )


def check_pace(page: RacePage) -> Iterator[Contradiction]:
    """Projections that do not follow from the laps, on a page where most others do.

    A projection is L laps at the mean so far, L being as many as the race's length takes. They also tell the length.
    """
    wrong: list[_Passing] = []
    least, most, followed = 0.0, float("inf"), 0
    for passing in _passings(page):
        match = _PACE.fullmatch(passing.lap.pace or "")
        if not match:
            continue
        laps = int(match[1])
        hours, minutes = (match[2], match[3]) if match[3] else (None, match[2])
        stated = ((int(hours or 0) * 60 + int(minutes or 0)) * 60 + int(match[4])) * 1000 + int(match[5])
        mean = passing.elapsed_ms / passing.lap.lap_number
        if abs(laps * mean - stated) <= _PACE_TOLERANCE_MS:
            followed += 1
            least, most = max(least, (laps - 1) * mean), min(most, laps * mean)
        else:
            wrong.append(passing)
    if followed < _EXPLAINED * (followed + len(wrong)) or not followed:
        return
    if wrong:
        lap = wrong[0].lap
        yield Contradiction("laps", f"the pace of {wrong[0].driver} after lap {lap.lap_number} cannot be {lap.pace}")
    length = None if page.length_seconds is None else page.length_seconds * 1000
    if length is not None and least <= most and not least - 1 <= length <= most + 1:
        yield Contradiction(
            "length_text",
            f"a race of {page.length_text} would have other projections: they say {least / 1000:.0f} to "
            f"{most / 1000:.0f} seconds",
        )
