"""The gaps that a race page shows, beside the laps and totals that they follow from (PAGES.md 5.1).

A gap is that to the row above: seconds among drivers of as many laps, else the difference in laps. It confirms a total
that an official changed, and gives away a number or a cell that is not where it belongs.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

from pipeline import lap_positions
from pipeline.records import RacePage, TableRow

TOLERANCE_MS = 1  # the site reckons with finer times than it shows
PENALTY_MS = 500  # officials take seconds; what differs by less is a wrong number somewhere
_GAP = re.compile(r"(?:(?:([0-9]+):)?([0-9]+)\.([0-9]{3}))|([0-9]+) Laps?")


def wrong_gaps(page: RacePage) -> Iterator[tuple[str, str, str]]:
    """(field, kind, one sentence) for every gap that cannot be read (shape) or does not follow (cross_check)."""
    for above, row in pairwise(page.rows):
        if row.behind is None or is_moved_down(above, row):
            continue
        if not _GAP.fullmatch(row.behind):
            yield "behind", "shape", f"the gap of {row.driver_name} reads {row.behind[:30]!r}"
        elif gap_holds(above, row) is False:
            why = f"{row.driver_name} is {row.behind} behind {above.driver_name}, by laps and totals it is another gap"
            yield "behind", "cross_check", why


def is_moved_down(above: TableRow, row: TableRow) -> bool:
    """Did a driver do better than the one above? Then an official moved somebody, and a gap can be anything."""
    if row.laps_completed != above.laps_completed:
        return row.laps_completed > above.laps_completed
    return row.total_time_ms is not None and (above.total_time_ms or 0) > row.total_time_ms


def gap_holds(above: TableRow, row: TableRow) -> bool | None:
    """Does the gap shown follow from laps and totals? None where that cannot be told."""
    shown = _GAP.fullmatch(row.behind or "")
    if shown is None or is_moved_down(above, row):
        return None
    laps = above.laps_completed - row.laps_completed
    minutes, seconds, thousandths, lapped = shown.groups()
    if lapped is not None:
        return laps > 0 and int(lapped) == laps
    if laps:
        return False
    gap = (int(minutes or 0) * 60 + int(seconds)) * 1000 + int(thousandths)
    if row.laps_completed == 0:  # neither has a time
        return gap == 0
    if above.total_time_ms is None or row.total_time_ms is None:
        return None
    return abs(row.total_time_ms - above.total_time_ms - gap) <= TOLERANCE_MS


def confirmed_totals(page: RacePage) -> Iterator[tuple[str | None, str | None]]:
    """(race, driver) whose total is not the sum of the laps, and is confirmed by a gap: an official changed it.

    The laps themselves must be as they were driven: their last projection is their sum. Of two drivers of one name
    nobody could say whose it is.
    """
    names = Counter(racer.driver_name for racer in page.racers)
    laps = {
        racer.driver_name: sum(lap.lap_time_ms for lap in racer.laps)
        for racer in page.racers
        if names[racer.driver_name] == 1 and lap_positions.ends_as_projected(racer)
    }
    for above, row in pairwise(page.rows):
        if gap_holds(above, row) and not (row.behind or "").endswith(("Lap", "Laps")):
            for one in (above, row):
                driven = laps.get(one.driver_name)
                if driven is not None and abs((one.total_time_ms or 0) - driven) >= PENALTY_MS:
                    yield page.source_race_id, one.driver_name
