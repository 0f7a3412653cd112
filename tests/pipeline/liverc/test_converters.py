"""What is shown becomes exact values, or is refused; never a guess, never a float."""

from __future__ import annotations

from collections.abc import Callable
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.liverc import converters as convert


@pytest.mark.parametrize(
    ("shown", "value"),
    [
        ("36.589", 36589),
        ("146.309", 146309),
        ("40.9", 40900),
        ("40.02", 40020),
        ("40", 40000),
        ("0", 0),
        ("0.000", 0),
        ("1:52.036", 112036),
        ("10:14.477", 614477),
        ("61:02.345", 3662345),
        ("1:01:02.345", 3662345),
        ("56.135", 56135),
        ("36.5895", 36590),
        ("36.58949999", 36589),
        ("0.9995", 1000),
        ("", None),
        ("-", None),
        ("N/A", None),
        ("nan", None),
    ],
)
def test_times(shown: str, value: int | None) -> None:
    assert convert.milliseconds(shown) == value


@pytest.mark.parametrize(
    "shown",
    [
        "1:5",
        "1:75.0",
        "1:60:00.0",
        "1:2:03",
        ".5",
        "5.",
        "-1.000",
        "+1.000",
        "1,5",
        "36.58９",
        "٣.589",
        "abc",
        "9" * 9,
        "1:02:03:04",
    ],
)
def test_no_times(shown: str) -> None:
    with pytest.raises(ValueError):
        convert.milliseconds(shown)


@given(st.integers(0, 2**31 - 1))
def test_a_time_in_any_spelling_is_the_same(ms: int) -> None:
    seconds, rest = divmod(ms, 1000)
    minutes, hours = seconds // 60, seconds // 3600
    spellings = [f"{seconds}.{rest:03}", f"{minutes}:{seconds % 60:02}.{rest:03}"]
    spellings += [f"{hours}:{minutes % 60:02}:{seconds % 60:02}.{rest:03}"] if hours else []
    spellings += [f"{seconds}.{rest:03}".rstrip("0").rstrip(".")]
    for spelling in spellings:
        if len(spelling.split(":")[0]) <= 5 or ":" not in spelling:
            assert convert.milliseconds(spelling) == ms, spelling


@given(st.decimals(0, 10**6, allow_nan=False, allow_infinity=False, places=6))
def test_more_decimals_are_rounded_half_up(value: Decimal) -> None:
    expected = int((value * 1000).quantize(Decimal(1), ROUND_HALF_UP))
    assert convert.milliseconds(f"{value:f}") == expected


@pytest.mark.parametrize(
    ("shown", "value"),
    [
        ("16/10:14.477", (16, 614477)),
        ("1/56.135", (1, 56135)),
        ("2/55.217", (2, 55217)),
        ("60/1:01:02.345", (60, 3662345)),
        ("60/61:02.345", (60, 3662345)),
        ("1/56.135 (DNF)", (1, 56135)),
        ("0/0.000 (DNS)", (0, 0)),
        ("0", (0, None)),
        ("5", (5, None)),
        ("DNS", (0, None)),
        ("", None),
    ],
)
def test_laps_and_time(shown: str, value: tuple[int, int | None] | None) -> None:
    assert convert.laps_and_time(shown) == value


@pytest.mark.parametrize(
    ("shown", "seconds"),
    [
        ("10:00 Timed", 600),
        ("30:00 Timed", 1800),
        ("1:00:00 Timed", 3600),
        ("6:00 Minutes", 360),
        ("45 Minutes", 2700),
        ("5:00", 300),
        ("3 Laps", None),
        ("Until dark", None),
    ],
)
def test_lengths_of_races(shown: str, seconds: int | None) -> None:
    assert convert.length_seconds(shown) == seconds


@pytest.mark.parametrize(
    ("converter", "shown", "value"),
    [
        (convert.integer, "4,129", 4129),
        (convert.integer, "6,753,663", 6753663),
        (convert.integer, "0", 0),
        (convert.integer, "", None),
        (convert.decimal, "1.39", Decimal("1.39")),
        (convert.decimal, "", None),
        (convert.percent, "94.60%", Decimal("94.60")),
        (convert.percent, "-12.5 %", Decimal("-12.5")),
        (convert.percent, "%", None),
        (convert.date, "Nov 16, 2025", "2025-11-16"),
        (convert.date, "October 5, 2025", "2025-10-05"),
        (convert.date, "Sept 5, 2025", "2025-09-05"),
        (convert.date, "Nov 30, -0001", None),
        (convert.date_range, "Apr 23, 2025 to Apr 27, 2025", ("2025-04-23", "2025-04-27")),
        (convert.date_range, "Dec 31, 2025 to Jan 1, 2026", ("2025-12-31", "2026-01-01")),
        (convert.date_range, "Nov 16, 2025", ("2025-11-16", "2025-11-16")),
        (convert.date_range, "", None),
        (convert.local_time, "Nov 16, 2025 at 5:30pm", "2025-11-16T17:30:00"),
        (convert.local_time, "Nov 16, 2025 at 12:05am", "2025-11-16T00:05:00"),
        (convert.local_time, "Nov 16, 2025 at 12:05pm", "2025-11-16T12:05:00"),
        (convert.local_time, "Nov 16, 2025 at 2:43:27pm", "2025-11-16T14:43:27"),
        (convert.local_time, "Nov 16, 2025", "2025-11-16"),
        (convert.local_time, "", None),
        (convert.sort_time, "2025-11-16 08:30:00", "2025-11-16T08:30:00"),
        (convert.sort_time, "2025-11-16 00:00:00", None),
        (convert.sort_time, "0000-00-00 00:00:00", None),
        (convert.shown, "N/A", None),
        (convert.shown, "+1 555", "+1 555"),
        (convert.name, "", None),
        (convert.text, "", ""),
        (convert.flag, "", True),
    ],
)
def test_values(converter: Callable[[str], Any], shown: str, value: object) -> None:
    assert converter(shown) == value


@pytest.mark.parametrize(
    ("converter", "shown"),
    [
        (convert.integer, "4,12"),
        (convert.integer, "-4"),
        (convert.integer, "12a"),
        (convert.integer, "٣"),
        (convert.integer, "9" * 10),
        (convert.laps_and_time, "16/"),
        (convert.laps_and_time, "DNF"),
        (convert.laps_and_time, "x/10:14.477"),
        (convert.decimal, "1.2.3"),
        (convert.percent, "high"),
        (convert.date, "Foo 16, 2025"),
        (convert.date, "Nov 31, 2025"),
        (convert.date, "2025-11-16"),
        (convert.date_range, "Nov 16, 2025 to soon"),
        (convert.local_time, "Nov 16, 2025 at 13:30pm"),
        (convert.local_time, "Nov 16, 2025 at 5:61pm"),
        (convert.local_time, "Nov 16, 2025 at noon"),
        (convert.sort_time, "2025-13-16 08:30:00"),
        (convert.text, "x" * 5000),
    ],
)
def test_what_is_not_understood_is_refused(converter: Callable[[str], Any], shown: str) -> None:
    with pytest.raises(ValueError):
        converter(shown)


@given(st.text(), st.sampled_from(sorted(convert.CONVERTERS)))
def test_any_text_gives_a_value_or_a_value_error(shown: str, name: str) -> None:
    try:
        value = convert.CONVERTERS[name](shown)
    except ValueError:
        return
    assert not isinstance(value, float)
