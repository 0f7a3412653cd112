"""States of an event: five arrows, and nothing else makes an event look like what it is not. Both engines refuse."""

from __future__ import annotations

import itertools

import pytest

from pipeline.errors import Kind, StateError
from pipeline.store import events, publish, runs
from pipeline.store.database import Store
from pipeline.store.runs import ARROWS
from tests.support import generations
from tests.support.generations import begin, document, published
from tests.support.strangers import Stranger

STATES = ("idle", "running", "complete", "failed")


def event_in(store: Store, state: str) -> int:
    """An event that came to the state by legal arrows."""
    fence = begin(store)
    if state == "failed":
        generations.fail(store, fence)
    elif state == "complete":
        generations.publish_rows(store, fence, document())
    elif state == "idle":
        generations.fail(store, fence)
        runs.transition(store, fence.event_id, "idle")
    return fence.event_id


# ---------------------------------------------------------------- states

ALL_PAIRS = list(itertools.product(STATES, STATES))


def test_eleven_of_sixteen_pairs_are_illegal() -> None:
    assert len(set(ALL_PAIRS) - ARROWS) == 11


@pytest.mark.parametrize(("source", "target"), ALL_PAIRS)
def test_every_pair_of_states_by_update(store: Store, stranger: Stranger, source: str, target: str) -> None:
    event_id = event_in(store, source)
    served = ", ingest_depth = 'laps_full', current_run_id = current_run_id"
    statement = f"UPDATE event SET state = '{target}' WHERE id = {event_id}"
    if (source, target) == ("running", "complete"):
        stranger.refuses(statement)  # it serves nothing yet
        stranger.refuses(statement.replace(" WHERE", f"{served} WHERE"))
        _serve_something(store, event_id)
    if (source, target) in ARROWS:
        stranger.allows(statement)
    else:
        stranger.refuses(statement)


@pytest.mark.parametrize(("source", "target"), ALL_PAIRS)
def test_every_pair_of_states_by_the_service(store: Store, source: str, target: str) -> None:
    event_id = event_in(store, source)
    if (source, target) == ("running", "complete"):
        _serve_something(store, event_id)
    if (source, target) in ARROWS:
        runs.transition(store, event_id, target)
        assert _event(store, event_id).state == target
    else:
        with pytest.raises(StateError) as refused:
            runs.transition(store, event_id, target)
        assert refused.value.kind is Kind.ILLEGAL_TRANSITION
        assert source in refused.value.message
        assert target in refused.value.message
        assert _event(store, event_id).state == source


def test_every_arrow_leaves_a_transition(store: Store) -> None:
    fence = begin(store)
    generations.fail(store, fence)
    generations.publish_rows(store, begin(store), document())
    with store.read():
        steps = store.sql("SELECT from_state, to_state FROM transition ORDER BY id")
    assert steps == [
        ("idle", "running"),
        ("running", "failed"),
        ("failed", "idle"),
        ("idle", "running"),
        ("running", "complete"),
    ]


def test_reset_is_four_arrows_in_one_transaction(store: Store) -> None:
    event_id = published(store).event_id
    with store.write():
        runs.transition(store, event_id, "running")
        publish.serve_nothing(store, event_id)
        runs.transition(store, event_id, "failed")
        runs.transition(store, event_id, "idle")
    event = _event(store, event_id)
    assert (event.state, event.ingest_depth, event.current_run_id) == ("idle", "none", None)


# ---------------------------------------------------------------- events


BORN_WRONG: list[dict[str, str]] = [
    {"state": "'complete'"},
    {"state": "'running'"},
    {"state": "'failed'"},
    {"ingest_depth": "'laps_full'"},
    {"current_run_id": "1"},
    {"ingest_depth": "'laps_full'", "current_run_id": "1"},
    {"state": "'complete'", "ingest_depth": "'laps_full'", "current_run_id": "1"},
    {"last_ingested_at": "1"},
    {"state": "'asleep'"},
]


def test_an_event_is_born_idle_and_serves_nothing(store: Store, stranger: Stranger) -> None:
    fence = published(store)
    for columns in BORN_WRONG:
        facts = {"source_event_id": "'7001'", "track_id": "1", "added_at": "0", **columns}
        if "current_run_id" in facts:
            facts["current_run_id"] = str(fence.run_id)
        stranger.refuses(f"INSERT INTO event ({', '.join(facts)}) VALUES ({', '.join(facts.values())})")


BENDS = [
    "current_run_id = NULL",
    "ingest_depth = 'none'",
    "ingest_depth = 'half'",
    "ingest_depth = 'none', current_run_id = NULL",  # it is complete
    "current_run_id = {unsealed}",
    "current_run_id = {foreign}",
    "current_run_id = 999999",
    "id = 4711",
    "source = 'elsewhere'",
    "source_event_id = '4711'",
]


def test_what_a_complete_event_serves_cannot_be_bent(store: Store, stranger: Stranger) -> None:
    fence = published(store)
    foreign = published(store, "7002")
    unsealed = runs.insert_run(store, fence.event_id, trigger="test")
    for change in BENDS:
        bend = change.format(unsealed=unsealed, foreign=foreign.run_id)
        stranger.refuses(f"UPDATE event SET {bend} WHERE id = {fence.event_id}")


def test_an_idle_event_cannot_be_pointed_at_an_unsealed_run(store: Store, stranger: Stranger) -> None:
    fence = begin(store)
    with store.write():
        publish.insert_rows(store, fence.run_id, document())
    stranger.refuses(
        f"UPDATE event SET current_run_id = {fence.run_id}, ingest_depth = 'laps_full' WHERE id = {fence.event_id}"
    )


def test_an_event_with_runs_cannot_be_deleted(store: Store, stranger: Stranger) -> None:
    fence = published(store)
    stranger.refuses(f"DELETE FROM event WHERE id = {fence.event_id}")
    event = events.add_event(store, generations.SLUG, "7003")
    stranger.allows(f"DELETE FROM event WHERE id = {event.id}")


def _serve_something(store: Store, event_id: int) -> None:
    with store.write():
        run_id = runs.insert_run(store, event_id, trigger="test")
        publish.seal(store, run_id, publish.insert_rows(store, run_id, document()), "x", None)
        publish.serve(store, event_id, run_id)


def _event(store: Store, event_id: int) -> events.EventRow:
    event = events.get_event(store, event_id)
    assert event is not None
    return event
