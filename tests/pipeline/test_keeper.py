"""The holder's side: it renews, it sees that it is asked to stop, and it stops when it can no longer be sure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from pipeline.errors import Kind, StoreError
from pipeline.keeper import LOOK_S, MARGIN_S, RENEW_S, Keeper
from pipeline.leases import TTL_MS
from pipeline.stopping import StopSignal
from pipeline.store import leases as rows
from pipeline.store.database import Store
from pipeline.store.leases import Fence
from tests.support.generations import begin


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def fence(store: Store) -> Fence:
    return begin(store)


@pytest.fixture
def signal() -> StopSignal:
    return StopSignal()


@pytest.fixture
def keeper(store: Store, fence: Fence, signal: StopSignal, clock: Clock) -> Iterator[Keeper]:
    keeper = Keeper(store, fence, signal, lambda: "fetch 1/2", clock=clock)
    yield keeper
    keeper.stop()


def lease(store: Store, fence: Fence) -> rows.LeaseRow:
    row = rows.get_lease(store, fence.event_id)
    assert row is not None
    return row


def test_looks_are_frequent_and_heartbeats_are_not() -> None:
    assert LOOK_S <= 2.0
    assert LOOK_S < RENEW_S < TTL_MS / 1000 - MARGIN_S


def test_between_heartbeats_it_only_reads(store: Store, fence: Fence, keeper: Keeper, clock: Clock) -> None:
    before = lease(store, fence)
    clock.now += RENEW_S - 0.1
    assert keeper.tend()
    assert lease(store, fence).heartbeat_at == before.heartbeat_at
    assert lease(store, fence).progress is None
    clock.now += 0.1
    assert keeper.tend()
    assert (lease(store, fence).heartbeat_at or 0) >= (before.heartbeat_at or 0)
    assert lease(store, fence).progress == "fetch 1/2"


def test_it_sees_that_it_is_asked_to_stop_and_keeps_the_lease_until_then(
    store: Store, fence: Fence, keeper: Keeper, signal: StopSignal
) -> None:
    rows.request_cancel(store, fence.event_id, fence.token)
    assert keeper.tend()
    assert signal.error().kind is Kind.INTERRUPTED
    assert keeper.tend()


@pytest.mark.parametrize("wait_s", [0.0, RENEW_S])
def test_it_sees_that_the_lease_is_lost(
    store: Store, fence: Fence, keeper: Keeper, signal: StopSignal, clock: Clock, wait_s: float
) -> None:
    """Whether it looks or renews."""
    rows.clear(store, fence.event_id, fence.token)
    clock.now += wait_s
    assert not keeper.tend()
    assert signal.error().kind is Kind.LEASE_LOST


def test_it_stops_when_the_last_good_heartbeat_is_too_old(
    store: Store, fence: Fence, keeper: Keeper, signal: StopSignal, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: Any) -> Any:
        raise StoreError(Kind.DB_UNREACHABLE, "the database is away")

    monkeypatch.setattr(rows, "touch", gone)
    monkeypatch.setattr(rows, "standing", gone)
    clock.now += TTL_MS / 1000 - MARGIN_S
    assert keeper.tend()
    assert not signal.tripped
    clock.now += 0.1
    assert not keeper.tend()
    assert signal.error().kind is Kind.LEASE_LOST
    assert "the database is away" in signal.error().message


def test_a_good_heartbeat_starts_the_count_again(
    store: Store, fence: Fence, keeper: Keeper, signal: StopSignal, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(5):
        clock.now += TTL_MS / 1000 - MARGIN_S
        assert keeper.tend()
    assert not signal.tripped


def test_its_thread_tells_a_waiting_run(store: Store, fence: Fence, signal: StopSignal) -> None:
    keeper = Keeper(store, fence, signal, lambda: "", look_s=0.01)
    keeper.start()
    rows.clear(store, fence.event_id, fence.token)
    assert signal.event.wait(10)
    keeper.stop()
    assert not keeper._thread.is_alive()
