"""Which events the schedule wants: when an event opens and closes, how often it is looked at, and the caps."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.due import DAY_MS, HOUR_MS, RecentOptions, capped, span, why_wanted
from pipeline.liverc.build import parser_build
from pipeline.store.wanted import Candidate

OPTIONS = RecentOptions()
LAST_DAY = "2026-03-08"


def ms(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


# The 8th ends last at UTC−12, on the 9th at 12:00 UTC; twelve hours later the event opens.
OPENS, CLOSES = ms("2026-03-10T00:00"), ms("2026-03-16T12:00")


def event(tried_at: int | None = None, *, stage: str | None = None, build: str = "", retry_at: int | None = None,
          track: int = 1, number: int = 1) -> Candidate:  # fmt: skip
    return Candidate(number, track, LAST_DAY, tried_at, stage, build, retry_at)


def test_an_event_opens_half_a_day_after_it_ended_everywhere() -> None:
    assert span(LAST_DAY, OPTIONS) == (OPENS, CLOSES)
    assert why_wanted(event(), OPENS - 1, OPTIONS) is None
    assert why_wanted(event(), OPENS, OPTIONS) == "new"
    assert why_wanted(event(), CLOSES, OPTIONS) == "new"
    assert why_wanted(event(), CLOSES + 1, OPTIONS) is None


def test_an_attempt_while_the_racing_went_on_says_nothing_yet() -> None:
    assert why_wanted(event(OPENS - DAY_MS), OPENS, OPTIONS) == "new"


def test_it_is_looked_at_once_a_day_and_a_last_time_after_it_closes() -> None:
    assert why_wanted(event(OPENS), OPENS + DAY_MS - 1, OPTIONS) is None
    assert why_wanted(event(OPENS), OPENS + DAY_MS, OPTIONS) == "recheck"
    assert why_wanted(event(CLOSES - HOUR_MS), CLOSES + 1, OPTIONS) == "recheck"
    assert why_wanted(event(CLOSES + 1), CLOSES + DAY_MS, OPTIONS) is None
    assert why_wanted(event(CLOSES - HOUR_MS), CLOSES + 8 * DAY_MS, OPTIONS) is None
    once = RecentOptions(recheck_hours=0)
    assert why_wanted(event(OPENS), OPENS + 2 * DAY_MS, once) is None


def test_what_fails_by_itself_is_left_alone() -> None:
    later = OPENS + 2 * DAY_MS
    assert why_wanted(event(OPENS, stage="parse", build=parser_build()), later, OPTIONS) is None
    assert why_wanted(event(OPENS, stage="parse", build="an older one"), later, OPTIONS) == "recheck"
    assert why_wanted(event(OPENS, stage="normalise", build=parser_build()), later, OPTIONS) == "recheck"
    assert why_wanted(event(OPENS, stage="fetch", retry_at=later + HOUR_MS), later, OPTIONS) is None


def test_times_of_the_future_are_not_believed() -> None:
    now = OPENS + DAY_MS
    assert why_wanted(event(now + 30 * DAY_MS), now, OPTIONS) == "recheck"
    assert why_wanted(event(OPENS, stage="fetch", retry_at=now + 30 * DAY_MS), now, OPTIONS) == "recheck"


@pytest.mark.parametrize("text", ["", "2026-13-01", "9999-12-31", "someday"])
def test_what_is_no_date_is_never_open(text: str) -> None:
    assert span(text, OPTIONS) is None


@given(st.integers(1, 48))
def test_an_event_is_looked_at_nine_times_at_most(every_hours: int) -> None:
    """However often the question is asked."""
    tried: int | None = None
    looks = 0
    for now in range(OPENS - DAY_MS, CLOSES + 20 * DAY_MS, every_hours * HOUR_MS):
        if why_wanted(event(tried), now, OPTIONS):
            looks, tried = looks + 1, now
    assert 1 <= looks <= 9
    assert tried is not None
    assert every_hours > 24 or tried >= CLOSES, "no look came after it closed"


@given(st.lists(st.integers(1, 4), max_size=60), st.dictionaries(st.integers(1, 4), st.integers(0, 9)))
def test_the_caps_hold_whatever_waits(tracks: list[int], waiting: dict[int, int]) -> None:
    found = [event(track=track, number=number) for number, track in enumerate(tracks)]
    options = RecentOptions(per_run=8, per_track=3)
    chosen = list(capped(found, waiting, options))
    assert len(chosen) + sum(waiting.values()) <= max(8, sum(waiting.values()))
    for track in range(1, 5):
        mine = sum(one.track_id == track for one in chosen)
        assert mine + waiting.get(track, 0) <= max(3, waiting.get(track, 0))
    assert [one.event_id for one in chosen] == sorted(one.event_id for one in chosen), "the order is kept"


@pytest.mark.parametrize("wrong", [{"window_days": 0}, {"quiet_hours": 11}, {"per_run": 0}, {"recheck_hours": -1}])
def test_options_outside_their_limits_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        RecentOptions(**wrong)
