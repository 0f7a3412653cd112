"""Leases, fences and run rows: who holds an event, and what a holder that lost it can still do (nothing)."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from pipeline.errors import Kind, StateError, StoreError
from pipeline.store import events, export, journal, leases, publish, runs
from pipeline.store.database import Store
from pipeline.store.journal import JournalEntry
from pipeline.store.leases import Fence
from tests.support.generations import HOLDER, SLUG, TTL_MS, begin, document, fail, publish_rows, published

LINE = JournalEntry(name="test", message="hello")


def try_to_begin(store: Store, event_id: int) -> int | None:
    """Take the lease as a run would, or roll everything back; the token."""
    try:
        with store.write():
            run_id = runs.insert_run(store, event_id, trigger="test")
            token = leases.acquire(store, event_id, run_id, HOLDER, TTL_MS)
            if token is None:
                raise StateError(Kind.LOCK_HELD, "held")
            return token
    except StateError:
        return None


def event(store: Store, event_id: int) -> events.EventRow:
    found = events.get_event(store, event_id)
    assert found is not None
    return found


# ---------------------------------------------------------------- taking and giving back


def test_a_lease_is_held_by_one_run(store: Store) -> None:
    fence = begin(store)
    assert try_to_begin(store, fence.event_id) is None
    assert [run.id for run in runs.list_runs(store)] == [fence.run_id]
    run = runs.get_run(store, fence.run_id)
    assert run is not None
    assert run.token == fence.token == 1
    assert event(store, fence.event_id).last_run_id == fence.run_id


def test_a_token_only_grows(store: Store) -> None:
    tokens = []
    for _ in range(3):
        fence = begin(store)
        tokens.append(fence.token)
        fail(store, fence)
    assert tokens == [1, 2, 3]


def test_of_many_that_want_an_event_one_gets_it(store: Store) -> None:
    event_id = events.add_event(store, SLUG, "1").id
    ready = threading.Barrier(6)

    def want(_: int) -> int | None:
        with store.connection_scope():
            ready.wait()
            return try_to_begin(store, event_id)

    with ThreadPoolExecutor(6) as threads:
        assert sorted(threads.map(want, range(6)), key=str) == [1, None, None, None, None, None]
    assert len(runs.list_runs(store)) == 1


def test_an_expired_lease_is_reported_and_not_taken(store: Store) -> None:
    fence = begin(store)
    assert leases.touch(store, fence, -1, "fetch 3/9")
    (row,) = leases.list_leases(store)
    assert row.expired
    assert row.progress == "fetch 3/9"
    assert try_to_begin(store, fence.event_id) is None


def test_what_is_shown_of_a_held_lease(store: Store) -> None:
    fence = begin(store)
    runs.update_run(store, fence, stage="fetch", pages_done=3, pages_total=9)
    (row,) = leases.list_leases(store)
    assert (row.event_id, row.run_id, row.token) == (fence.event_id, fence.run_id, fence.token)
    assert (row.track_slug, row.source_event_id, row.holder, row.run_kind) == (SLUG, "7000", HOLDER, "ingest")
    assert (row.stage, row.pages_done, row.pages_total) == ("fetch", 3, 9)
    assert row.heartbeat_age_ms is not None
    assert 0 <= row.heartbeat_age_ms < 60_000
    assert not row.expired


def test_a_heartbeat_keeps_the_progress_shown(store: Store) -> None:
    fence = begin(store)
    leases.touch(store, fence, TTL_MS, "fetch 3/9")
    leases.touch(store, fence, TTL_MS)
    row = leases.get_lease(store, fence.event_id)
    assert row is not None
    assert row.progress == "fetch 3/9"
    assert row.heartbeat_at is not None
    assert row.expires_at is not None
    assert row.expires_at - row.heartbeat_at in range(TTL_MS - 5, TTL_MS + 6)


def test_a_released_lease_is_free_and_keeps_its_token(store: Store) -> None:
    fence = begin(store)
    assert leases.release(store, fence)
    assert not leases.release(store, fence)
    assert leases.list_leases(store) == ()
    row = leases.get_lease(store, fence.event_id)
    assert row is not None
    assert (row.token, row.run_id, row.holder, row.expires_at, row.expired) == (1, None, None, None, False)
    assert leases.get_lease(store, events.add_event(store, SLUG, "2").id) is None


def test_asking_a_holder_to_stop(store: Store) -> None:
    fence = begin(store)
    assert leases.request_cancel(store, fence.event_id, fence.token)
    assert leases.list_leases(store)[0].cancel_requested_at is not None
    fail(store, fence)
    assert not leases.request_cancel(store, fence.event_id, fence.token)
    begin(store)
    assert leases.list_leases(store)[0].cancel_requested_at is None


# ---------------------------------------------------------------- losing it


def clear(store: Store, fence: Fence) -> None:
    assert leases.clear(store, fence.event_id, fence.token)


def test_a_lease_is_cleared_only_as_it_was_seen(store: Store) -> None:
    fence = begin(store)
    assert not leases.clear(store, fence.event_id, fence.token + 1)
    clear(store, fence)
    assert not leases.clear(store, fence.event_id, fence.token)
    row = leases.get_lease(store, fence.event_id)
    assert row is not None
    assert (row.token, row.run_id, row.holder) == (fence.token + 1, None, None)


WRITES: dict[str, Callable[[Store, Fence], object]] = {
    "lock_fence": leases.lock_fence,
    "update_run": lambda store, fence: runs.update_run(store, fence, stage="publish"),
    "append_fenced": lambda store, fence: journal.append_fenced(store, fence, [LINE]),
    "publish": lambda store, fence: publish_rows(store, fence, document(races=1)),
    "fail": fail,
}


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("loss", ["cleared", "cleared and taken again", "released"])
def test_a_holder_that_lost_its_lease_changes_nothing(store: Store, write: str, loss: str) -> None:
    published(store)
    zombie = begin(store)
    if loss == "released":
        leases.release(store, zombie)
    else:
        clear(store, zombie)
    if loss == "cleared and taken again":
        runs.transition(store, zombie.event_id, "failed")
        begin(store)
    before = event(store, zombie.event_id), runs.list_runs(store), leases.list_leases(store)
    with pytest.raises(StateError) as lost:
        WRITES[write](store, zombie)
    assert lost.value.kind is Kind.LEASE_LOST
    assert not leases.touch(store, zombie, TTL_MS, "still here")
    assert not leases.release(store, zombie)
    after = event(store, zombie.event_id), runs.list_runs(store), leases.list_leases(store)
    assert [row.token for row in after[2]] == [row.token for row in before[2]]
    assert after[:2] == before[:2]
    assert journal.recent(store) == ()
    assert export.load_event(store, zombie.event_id) == document()


def test_without_the_fence_a_zombie_overwrites(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: it is the fence that protects in the test above."""
    published(store)
    zombie = begin(store)
    clear(store, zombie)
    monkeypatch.setattr(leases, "lock_fence", lambda *_: None)
    publish_rows(store, zombie, document(races=1))
    assert export.load_event(store, zombie.event_id) == document(races=1)


def test_nobody_clears_a_lease_while_its_holder_publishes(store: Store, database_url: str) -> None:
    fence = begin(store)
    other = Store.open(database_url, busy_timeout_s=0.05)
    with store.write():
        leases.lock_fence(store, fence)
        publish.insert_rows(store, fence.run_id, document())
        with pytest.raises(StoreError) as busy:
            leases.clear(other, fence.event_id, fence.token)
        assert busy.value.kind is Kind.DB_BUSY
    assert leases.clear(other, fence.event_id, fence.token)
    other.close()


def test_publishing_and_wanting_the_same_event_do_not_lock_each_other_out(store: Store, database_url: str) -> None:
    """Whoever wants a held event waits for its publisher, never the other way round."""
    fence = begin(store)
    wanting = threading.Event()

    def want() -> int | None:
        other = Store.open(database_url)
        with other.connection_scope():
            wanting.set()
            return try_to_begin(other, fence.event_id)

    with ThreadPoolExecutor(1) as thread:
        with store.write():
            leases.lock_fence(store, fence)
            wanted = thread.submit(want)
            assert wanting.wait(10)
            publish.insert_rows(store, fence.run_id, document())
            events.add_event(store, SLUG, "7000")
            runs.transition(store, fence.event_id, "failed")
        assert wanted.result(20) is None


# ---------------------------------------------------------------- run rows


def test_progress_of_a_run(store: Store) -> None:
    fence = begin(store)
    runs.update_run(store, fence, stage="fetch", pages_done=2, pages_total=9, stage_ms='{"fetch": 12}')
    run = runs.get_run(store, fence.run_id)
    assert run is not None
    assert (run.stage, run.pages_done, run.pages_total, run.stage_ms) == ("fetch", 2, 9, '{"fetch": 12}')
    assert (run.track_slug, run.source_event_id, run.trigger, run.holder) == (SLUG, "7000", "test", HOLDER)
    assert (run.outcome, run.finished_at, run.sealed) == (None, None, False)
    with pytest.raises(ValueError, match="outcome"):
        runs.update_run(store, fence, outcome="published")


def test_a_run_ends_once(store: Store) -> None:
    fence = begin(store)
    assert runs.finish_run(store, fence.run_id, "failed", error='{"message": "x"}', stage_ms='{"parse": 3}')
    assert not runs.finish_run(store, fence.run_id, "published")
    run = runs.get_run(store, fence.run_id)
    assert run is not None
    assert (run.outcome, run.error, run.stage_ms) == ("failed", '{"message": "x"}', '{"parse": 3}')
    assert run.finished_at is not None
    assert run.finished_at >= run.started_at


def test_runs_are_listed_newest_first(store: Store) -> None:
    first, second = published(store), published(store)
    other = published(store, "7001")
    assert [run.id for run in runs.list_runs(store)] == [other.run_id, second.run_id, first.run_id]
    assert [run.id for run in runs.list_runs(store, first.event_id)] == [second.run_id, first.run_id]
    assert [run.id for run in runs.list_runs(store, limit=1)] == [other.run_id]
    assert runs.get_run(store, 4711) is None


def test_a_transition_from_another_state_than_expected(store: Store) -> None:
    fence = begin(store)
    fail(store, fence)
    with pytest.raises(StateError) as refused:
        runs.transition(store, fence.event_id, "running", expected_from="complete")
    assert refused.value.kind is Kind.ILLEGAL_TRANSITION
    assert "failed" in refused.value.message
    assert "complete" in refused.value.message
    with pytest.raises(StateError) as unknown:
        runs.transition(store, 4711, "running")
    assert unknown.value.kind is Kind.UNKNOWN_EVENT
