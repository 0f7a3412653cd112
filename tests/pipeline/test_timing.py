"""Times are checked when they are entered, said in words, and counted right, weekdays like cron's."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import Kind, StateError
from pipeline.timing import WEEKDAYS, Timing

NOW = "2026-03-05T10:07:30"  # a Thursday


def ms(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


@pytest.mark.parametrize(
    ("text", "words", "following"),
    [
        ("every 15m", "every 15 minutes", "2026-03-05T10:22:30"),
        ("EVERY 1h", "every hour", "2026-03-05T11:07:30"),
        ("every 2 d", "every 2 days", "2026-03-07T10:07:30"),
        ("20 3 * * *", "daily at 03:20 UTC", "2026-03-06T03:20:00"),
        ("5 * * * *", "every hour at minute 5", "2026-03-05T11:05:00"),
        ("10 5 * * 0", "every Sunday at 05:10 UTC", "2026-03-08T05:10:00"),
        ("10 5 * * 7", "every Sunday at 05:10 UTC", "2026-03-08T05:10:00"),
        ("0 6 * * 1,mon", "every Monday at 06:00 UTC", "2026-03-09T06:00:00"),
        ("0 6 * * fri-sun/2", "every Sunday and Friday at 06:00 UTC", "2026-03-06T06:00:00"),
        ("*/20 8-9 1 * *", "by the cron line `*/20 8-9 1 * *`, UTC", "2026-04-01T08:00:00"),
    ],
)
def test_a_time_is_said_and_counted(text: str, words: str, following: str) -> None:
    timing = Timing(text)
    assert timing.words() == words
    assert timing.next_after(ms(NOW)) == ms(following)


@pytest.mark.parametrize(
    "text",
    ["", "every", "every 0m", "every 90s", "every 400d", "every -5m", "tomorrow", "20 3 * *", "61 3 * * *",
     "* 24 * * *", "0 0 31 2 *", "0 0 * * 8", "0 0 * * mon/0", "0 0 1 * mon", "0 0 x * *", "a b c d e",
     "every 5m please"],
)  # fmt: skip
def test_a_bad_time_is_refused_with_what_is_accepted(text: str) -> None:
    with pytest.raises(StateError) as refused:
        Timing(text)
    assert refused.value.kind is Kind.USAGE
    assert "every 6h" in str(refused.value.envelope().details["remedy"])


@given(st.text(alphabet="0123456789*/,-everymhd sunx", max_size=24))
def test_any_text_is_a_time_or_refused(text: str) -> None:
    try:
        timing = Timing(text)
    except StateError as error:
        refused = error.kind
    else:
        refused = Kind.USAGE
        following = timing.next_after(ms(NOW))
        assert following is not None
        assert following > ms(NOW)
        assert Timing(timing.text).words() == timing.words()
    assert refused is Kind.USAGE


@given(st.integers(0, 7), st.integers(0, 366 * 86_400_000))
def test_weekdays_are_those_of_cron(day: int, ahead_ms: int) -> None:
    now = ms(NOW) + ahead_ms
    following = Timing(f"0 6 * * {day}").next_after(now)
    assert following is not None
    moment = datetime.fromtimestamp(following / 1000, UTC)
    assert moment.strftime("%a").lower() == WEEKDAYS[day % 7]
    assert 0 < following - now <= 7 * 86_400_000


def test_a_moment_is_never_due_twice_in_a_row() -> None:
    timing = Timing("20 3 * * *")
    first = timing.next_after(ms(NOW))
    assert first is not None
    assert timing.next_after(first) == first + 86_400_000
    assert timing.next_after(first - 1) == first
