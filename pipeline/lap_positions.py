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
from pipeline.records import RacePage, Racer, ScriptLap

_PACE = re.compile(r"([0-9]+)/(?:([0-9]+):)?(?:([0-9]+):)?([0-9]+)\.([0-9]{3})")
_PACE_TOLERANCE_MS = 2
_SINGLE = 2  # numbers that are wrong by themselves


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
    if wrong and _is_no_edit(len(wrong), len(passings)):
        passing, due = wrong[0]
        yield Contradiction(
            "laps",
            f"{passing.driver} is at position {passing.lap.position} after lap {passing.lap.lap_number}, by the lap "
            f"times at {due} ({len(wrong)} of {len(passings)} laps)",
        )


def _is_no_edit(wrong: int, of: int) -> bool:
    """One or two wrong numbers are wrong, and so is half a page; a driver's worth of them may be a corrected lap."""
    return wrong <= _SINGLE or 2 * wrong > of


def check_pace(page: RacePage) -> Iterator[Contradiction]:
    """Projections that do not follow from the laps, on a page where most others do.

    A projection is L laps at the mean so far, L being as many as the race's length takes. They also tell the length.
    """
    wrong: list[_Passing] = []
    least, most, followed = 0, 2**62, 0
    for passing in _passings(page):
        stated = pace_of(passing.lap)
        if stated is None:
            continue
        laps, total_ms = stated
        number, elapsed = passing.lap.lap_number, passing.elapsed_ms
        if abs(laps * elapsed - total_ms * number) <= _PACE_TOLERANCE_MS * number:
            followed += 1
            least, most = max(least, (laps - 1) * elapsed // number), min(most, -(-laps * elapsed // number))
        else:
            wrong.append(passing)
    if not followed or followed < len(wrong):
        return
    if wrong and _is_no_edit(len(wrong), followed + len(wrong)):
        lap = wrong[0].lap
        yield Contradiction("laps", f"the pace of {wrong[0].driver} after lap {lap.lap_number} cannot be {lap.pace}")
    length = None if page.length_seconds is None else page.length_seconds * 1000
    if length is not None and least <= most and not least - 1 <= length <= most + 1:
        yield Contradiction(
            "length_text",
            f"a race of {page.length_text} would have other projections: they say {least // 1000} to "
            f"{most // 1000} seconds",
        )


def pace_of(lap: ScriptLap) -> tuple[int, int] | None:
    """A projection as (laps, milliseconds); None where it is none."""
    match = _PACE.fullmatch(lap.pace or "")
    if not match:
        return None
    hours, minutes = (match[2], match[3]) if match[3] else (None, match[2])
    return int(match[1]), ((int(hours or 0) * 60 + int(minutes or 0)) * 60 + int(match[4])) * 1000 + int(match[5])


def ends_as_projected(racer: Racer) -> bool:
    """Does the last projection say the sum of the laps, scaled to its own number of laps?"""
    driven = [lap for lap in racer.laps if lap.lap_number > 0]
    stated = pace_of(driven[-1]) if driven else None
    if stated is None:
        return False
    total = sum(lap.lap_time_ms for lap in driven)
    return abs(stated[0] * total - stated[1] * len(driven)) <= _PACE_TOLERANCE_MS * len(driven)
