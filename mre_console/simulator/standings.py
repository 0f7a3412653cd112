"""From laps to a finishing order: positions, gaps, statistics and the running order after every lap.

Both the page writers and the truth read these rows; nothing in here is read back from a page.
"""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate

from msgspec import Struct

from mre_console.simulator.dialect import clock, seconds
from mre_console.simulator.figures import Figures, figures, pace
from mre_console.simulator.world import Entrant, Race


class Standing(Struct, frozen=True):
    """One row of the result table."""

    position: int
    entrant: Entrant
    total_ms: int | None  # None: did not start
    behind: str  # gap to the row above, as shown; empty for the winner
    figures: Figures

    @property
    def laps_completed(self) -> int:
        return len(self.entrant.laps_ms)


class LapLine(Struct, frozen=True):
    """One lap as the lap script tells it."""

    number: int
    time_ms: int
    elapsed_ms: int
    position: int  # how many had completed this lap no later
    pace: str


def finishing_order(entrants: tuple[Entrant, ...]) -> list[Entrant]:
    """Most laps first, then least time; non-starters last, in grid order."""
    return sorted(entrants, key=lambda e: (-len(e.laps_ms), sum(e.laps_ms), e.slot))


def standings(race: Race) -> tuple[Standing, ...]:
    """The result table of a race."""
    rows: list[Standing] = []
    above: Entrant | None = None
    for position, entrant in enumerate(finishing_order(race.entrants), 1):
        rows.append(
            Standing(
                position=position,
                entrant=entrant,
                total_ms=sum(entrant.laps_ms) if entrant.laps_ms else None,
                behind=_behind(entrant, above) if above else "",
                figures=figures(entrant.laps_ms, skip_lap_1=race.skip_lap_1),
            )
        )
        above = entrant
    return tuple(rows)


def _behind(entrant: Entrant, above: Entrant) -> str:
    laps = len(above.laps_ms) - len(entrant.laps_ms)
    if laps:
        return f"{laps} Lap" + "s" * (laps > 1)
    gap = sum(entrant.laps_ms) - sum(above.laps_ms)
    return seconds(max(0, gap + entrant.behind_noise_ms) if entrant.laps_ms else 0)


def lap_lines(race: Race) -> dict[int, tuple[LapLine, ...]]:
    """Grid slot → laps. The position after a lap counts who completed that lap earlier; grid order breaks ties."""
    crossings = {e.slot: tuple(accumulate(e.laps_ms)) for e in race.entrants}
    most = max((len(c) for c in crossings.values()), default=0)
    order = [sorted((c[i], slot) for slot, c in crossings.items() if len(c) > i) for i in range(most)]
    length_ms = 1000 * race.length_seconds
    lines = {}
    for entrant in race.entrants:
        lines[entrant.slot] = tuple(
            LapLine(
                number=i + 1,
                time_ms=time_ms,
                elapsed_ms=elapsed,
                position=bisect_left(order[i], (elapsed, entrant.slot)) + 1,
                pace=_pace(i + 1, elapsed, length_ms, race.hours_form),
            )
            for i, (time_ms, elapsed) in enumerate(zip(entrant.laps_ms, crossings[entrant.slot], strict=True))
        )
    return lines


def _pace(number: int, elapsed_ms: int, length_ms: int, hours_form: bool) -> str:
    laps, time_ms = pace(number, elapsed_ms, length_ms)
    return f"{laps}/{clock(time_ms, hours_form=hours_form)}"
