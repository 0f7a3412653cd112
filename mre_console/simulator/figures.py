"""LiveRC's arithmetic over lap times, reproduced with integers so that every digit is certain.

All times are milliseconds. Averages, deviation and consistency are rounded half-up to the thousandth, as the lap script
prints them; the table shows deviation and consistency with two decimals, rounded half-up from those thousandths.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isqrt

from msgspec import Struct


class Figures(Struct, frozen=True):
    """What the page states about one starter. A field is None where there are too few laps for it."""

    fast_lap_ms: int | None = None
    fast_lap_number: int | None = None
    avg_lap_ms: int | None = None
    avg_top_5_ms: int | None = None
    avg_top_10_ms: int | None = None
    avg_top_15_ms: int | None = None
    top_2_consecutive_ms: int | None = None
    top_3_consecutive_ms: int | None = None
    std_deviation_ms: int | None = None
    consistency_milli: int | None = None  # thousandths of a percent


def half_up(numerator: int, denominator: int) -> int:
    """The nearest integer to `numerator / denominator`; a half goes up."""
    return (2 * numerator + denominator) // (2 * denominator)


def hundredths(thousandths: int) -> int:
    """Three decimals rounded half-up to two: 94595 → 9460."""
    return half_up(thousandths, 10)


def figures(laps_ms: Sequence[int], *, skip_lap_1: bool) -> Figures:
    """The statistics of one starter. `skip_lap_1` leaves the standing start out of every one of them."""
    first = 2 if skip_lap_1 else 1
    used = list(laps_ms[first - 1 :])
    if not used:
        return Figures()
    fastest = min(used)
    ascending = sorted(used)
    variance = len(used) * sum(t * t for t in used) - sum(used) ** 2  # times the square of the number of laps
    return Figures(
        fast_lap_ms=fastest,
        fast_lap_number=first + used.index(fastest),
        avg_lap_ms=half_up(sum(used), len(used)),
        avg_top_5_ms=_top(ascending, 5),
        avg_top_10_ms=_top(ascending, 10),
        avg_top_15_ms=_top(ascending, 15),
        top_2_consecutive_ms=_consecutive(used, 2),
        top_3_consecutive_ms=_consecutive(used, 3),
        std_deviation_ms=(isqrt(4 * variance) // len(used) + 1) // 2,
        consistency_milli=_consistency(variance, sum(used)),
    )


def _top(ascending: Sequence[int], count: int) -> int | None:
    return half_up(sum(ascending[:count]), count) if len(ascending) >= count else None


def _consecutive(used: Sequence[int], count: int) -> int | None:
    return min((sum(used[i : i + count]) for i in range(len(used) - count + 1)), default=None)


def _consistency(variance: int, total: int) -> int:
    """100 − 100·σ/mean in thousandths, half-up, without leaving the integers.

    With V the variance times n² and S the sum of the laps, 100000·σ/mean is 100000·√V/S; subtracting the smallest m
    with S·(2m + 1) ≥ 200000·√V rounds the difference half-up.
    """
    scaled = 200_000**2 * variance
    root = isqrt(scaled)
    root += root * root < scaled
    odd = -(-root // total)
    return 100_000 - max(0, odd // 2)


def pace(lap_number: int, elapsed_ms: int, length_ms: int) -> tuple[int, int]:
    """The projected result after a lap: laps, and the time of the last of them, at the mean lap so far."""
    laps = -(-length_ms * lap_number // elapsed_ms)
    return laps, -(-laps * elapsed_ms // lap_number)
