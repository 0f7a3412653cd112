"""The statistics that LiveRC states for a driver, computed anew from the laps (PAGES.md 5.3).

Exact integer arithmetic, rounded half-up like the site, so that a result can be compared and not merely be near. What
is computed here is never stored in place of what a page says: it only tells whether the page agrees with itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isqrt
from operator import add, mul
from typing import NamedTuple

TOP_SIZES = (5, 10, 15)


class LapStatistics(NamedTuple):
    """Statistics over some laps, milliseconds; None where there are too few laps. Names as in `records.Racer`."""

    fast_lap_ms: int
    avg_lap_ms: int
    avg_top_5_ms: int | None
    avg_top_10_ms: int | None
    avg_top_15_ms: int | None
    top_2_consecutive_ms: int | None
    top_3_consecutive_ms: int | None
    std_deviation_ms: int  # population standard deviation
    consistency_milli: int  # thousandths of a percent: 100 − 100·σ/mean


def lap_statistics(laps: Sequence[int]) -> LapStatistics:
    """Compute LiveRC's statistics over lap times in milliseconds: at least one, all positive, in driving order."""
    n = len(laps)
    ordered = sorted(laps)
    total = sum(laps)
    scaled_variance = n * sum(map(mul, laps, laps)) - total * total  # n²·σ²
    top_5, top_10, top_15 = (rounded_mean(sum(ordered[:size]), size) if size <= n else None for size in TOP_SIZES)
    return LapStatistics(
        fast_lap_ms=ordered[0],
        avg_lap_ms=rounded_mean(total, n),
        avg_top_5_ms=top_5,
        avg_top_10_ms=top_10,
        avg_top_15_ms=top_15,
        top_2_consecutive_ms=min(map(add, laps, laps[1:])) if n >= 2 else None,
        top_3_consecutive_ms=min(map(sum, zip(laps, laps[1:], laps[2:], strict=False))) if n >= 3 else None,
        std_deviation_ms=(isqrt(4 * scaled_variance) + n) // (2 * n),
        consistency_milli=_consistency_milli(scaled_variance, total),
    )


def rounded_mean(total: int, n: int) -> int:
    """total ÷ n, half-up."""
    return (2 * total + n) // (2 * n)


def _consistency_milli(scaled_variance: int, total: int) -> int:
    """⌊100000·(1 − σ/mean) + ½⌋, where σ/mean = √scaled_variance ÷ total."""
    radicand = 4 * 10**10 * scaled_variance
    root = isqrt(radicand)
    root_up = root if root * root == radicand else root + 1
    return (200_001 * total - root_up) // (2 * total)
