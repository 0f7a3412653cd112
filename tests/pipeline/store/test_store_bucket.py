"""Politeness shared through the database: slots without waiting, pauses, robots.txt."""

from __future__ import annotations

import itertools
import threading
from concurrent.futures import ThreadPoolExecutor

from pipeline.store import bucket
from pipeline.store.database import Store

DOMAIN = "liverc.com"


def test_eight_at_once_are_spaced(store: Store) -> None:
    ready = threading.Barrier(8)

    def reserve(_: int) -> int:
        with store.connection_scope():
            ready.wait()
            return store.clock_ms() + bucket.reserve_slot(store, DOMAIN, 10_000)

    with ThreadPoolExecutor(8) as threads:
        starts = sorted(threads.map(reserve, range(8)))
    gaps = [later - earlier for earlier, later in itertools.pairwise(starts)]
    # The clock is read before the reservation, so a start may seem early by the time that took: far below a slot.
    assert all(8_000 <= gap <= 12_000 for gap in gaps), gaps


def test_a_slot_after_another(store: Store) -> None:
    assert bucket.reserve_slot(store, DOMAIN, 60_000) == 0
    assert 55_000 <= bucket.reserve_slot(store, DOMAIN, 60_000) <= 60_000
    assert 115_000 <= bucket.reserve_slot(store, DOMAIN, 60_000) <= 120_000
    assert bucket.reserve_slot(store, "example.org", 60_000) == 0


def test_a_pause_holds_for_everybody_and_is_never_shortened(store: Store) -> None:
    bucket.pause_domain(store, DOMAIN, 60_000)
    bucket.pause_domain(store, DOMAIN, 1_000)
    assert 55_000 <= bucket.reserve_slot(store, DOMAIN, 1_000) <= 60_000
    assert 55_000 <= bucket.reserve_slot(store, DOMAIN, 0) <= 60_000
    bucket.pause_domain(store, DOMAIN, 120_000)
    assert 115_000 <= bucket.reserve_slot(store, DOMAIN, 1_000) <= 120_000
    assert bucket.reserve_slot(store, "example.org", 0) == 0


def test_without_a_delay_nothing_is_written(store: Store) -> None:
    assert bucket.reserve_slot(store, DOMAIN, 0) == 0
    with store.read():
        assert store.sql("SELECT COUNT(*) FROM politeness") == [(0,)]
    bucket.reserve_slot(store, DOMAIN, 60_000)
    assert bucket.reserve_slot(store, DOMAIN, 0) == 0  # a slot of others is not waited for, only a pause


def test_robots_of_a_host(store: Store) -> None:
    assert bucket.load_robots(store, "www.liverc.com") is None
    bucket.save_robots(store, "www.liverc.com", 200, "User-agent: *")
    bucket.save_robots(store, "live.liverc.com", 404, "")
    bucket.save_robots(store, "www.liverc.com", 200, "User-agent: *\nDisallow: /x")
    row = bucket.load_robots(store, "www.liverc.com")
    assert row is not None
    assert (row.status, row.body) == (200, "User-agent: *\nDisallow: /x")
    assert 0 <= row.age_ms < 60_000
