"""LiveRC's statistics, to the last digit: integer arithmetic against plain decimal arithmetic."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.lap_statistics import lap_statistics, rounded_mean
from tests.support.race_pages import Driver, race_page


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(1, 10_000_000), min_size=1, max_size=20))
def test_the_statistics_are_exact(laps: list[int]) -> None:
    expected = race_page([Driver("11", "ANNA BERG", tuple(laps))]).racers[0]
    computed = lap_statistics(laps)
    assert expected.consistency is not None
    assert computed.consistency_milli == expected.consistency * 1000
    for name in set(computed._fields) - {"consistency_milli"}:
        assert getattr(computed, name) == getattr(expected, name), name


@pytest.mark.parametrize(("total", "n", "mean"), [(1, 2, 1), (3, 2, 2), (4, 3, 1), (5, 3, 2), (7, 7, 1)])
def test_a_half_is_rounded_up(total: int, n: int, mean: int) -> None:
    assert rounded_mean(total, n) == mean


def test_equal_laps_have_no_deviation() -> None:
    computed = lap_statistics([40_000] * 3)
    assert (computed.std_deviation_ms, computed.consistency_milli) == (0, 100_000)
    assert (computed.top_3_consecutive_ms, computed.avg_top_5_ms) == (120_000, None)
