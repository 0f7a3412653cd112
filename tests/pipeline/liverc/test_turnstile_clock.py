"""The distance between requests holds where a process oversleeps its slot, and where the shared clock jumps."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from pipeline.liverc.errand import Errand
from pipeline.liverc.politeness import SLOTS_MISSED, MemoryState, Turnstile
from pipeline.liverc.shared_state import StoreState
from pipeline.store import bucket
from pipeline.store.database import Store
from tests.support.season import DELAY_S, SeasonClock, season_store

DOMAIN = "liverc.com"
HOUR_S = 3600.0


class SleepyClock(SeasonClock):
    """Waits take longer than they should, as often as is said."""

    def __init__(self, oversleeps: int, by_s: float) -> None:
        super().__init__()
        self.oversleeps, self.by_s = oversleeps, by_s

    def wait(self, seconds: float, stop: threading.Event | None) -> None:
        super().wait(seconds, stop)
        if self.oversleeps:
            self.oversleeps -= 1
            super().wait(self.by_s, stop)


def errand(clock: SeasonClock) -> Errand:
    return Errand("https://x.liverc.com/", "event", clock, stop=None, deadline=None)


def passed(state: MemoryState | StoreState, clock: SeasonClock, count: int) -> list[float]:
    """When each of so many requests may begin."""
    turnstile = Turnstile(state, DOMAIN, clock)
    began = []
    for _ in range(count):
        turnstile.pass_through(errand(clock), DELAY_S)
        began.append(clock.now())
    return began


def test_a_slot_that_was_slept_through_is_not_used() -> None:
    """Whoever comes after it has a slot of their own by then."""
    clock = SleepyClock(1, by_s=10.0)
    state = MemoryState(clock)
    assert state.reserve_slot(DOMAIN, 1_000) == 0  # somebody else's request
    turnstile = Turnstile(state, DOMAIN, clock)
    turnstile.pass_through(errand(clock), DELAY_S)  # its slot was at 1, it woke at 11
    assert clock.now() == pytest.approx(11.0)
    assert state.reserve_slot(DOMAIN, 1_000) == 1_000, "the slot in which it began is its own"


def test_a_machine_that_is_always_late_still_gets_its_turn() -> None:
    clock = SleepyClock(100, by_s=0.6)
    state = MemoryState(clock)
    state.reserve_slot(DOMAIN, 1_000)
    Turnstile(state, DOMAIN, clock).pass_through(errand(clock), DELAY_S)
    assert clock.now() < 2 * SLOTS_MISSED


@pytest.fixture
def clock() -> SeasonClock:
    return SeasonClock()


@pytest.fixture
def timed(database_url: str, clock: SeasonClock) -> Iterator[Store]:
    store = season_store(database_url, clock)
    yield store
    store.close()


def test_a_clock_that_jumps_ahead_brings_no_two_requests_together(timed: Store, clock: SeasonClock) -> None:
    turnstile = Turnstile(StoreState(timed), DOMAIN, clock)
    turnstile.pass_through(errand(clock), DELAY_S)
    first = clock.now()
    clock.ahead_s = 6 * HOUR_S
    turnstile.pass_through(errand(clock), DELAY_S)
    assert clock.now() - first >= DELAY_S


def test_a_clock_that_goes_back_keeps_nobody_waiting_for_hours(timed: Store, clock: SeasonClock) -> None:
    clock.ahead_s = 6 * HOUR_S
    passed(StoreState(timed), clock, 2)
    clock.ahead_s = 0.0
    before = clock.now()
    began = passed(StoreState(timed), clock, 3)
    assert began[0] - before <= 2 * DELAY_S
    assert min(b - a for a, b in zip([before, *began], began, strict=False)) >= DELAY_S - 1e-6


def test_a_pause_of_a_wrong_clock_is_no_longer_than_any_pause(timed: Store, clock: SeasonClock) -> None:
    clock.ahead_s = 72 * HOUR_S
    bucket.pause_domain(timed, DOMAIN, 60_000)
    clock.ahead_s = 0.0
    assert bucket.reserve_slot(timed, DOMAIN, 1_000) <= 2_000


def test_a_robots_txt_of_the_future_is_fetched_again(timed: Store, clock: SeasonClock) -> None:
    state = StoreState(timed)
    clock.ahead_s = 30 * 24 * HOUR_S
    state.save_robots("x.liverc.com", 200, "")
    assert state.load_robots("x.liverc.com") is not None
    clock.ahead_s = 0.0
    assert state.load_robots("x.liverc.com") is None
