"""Publishing a document and reading it back: exact, whole, or not at all."""

from __future__ import annotations

from decimal import Context, Decimal, localcontext
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from msgspec import structs

from pipeline.document import encode
from pipeline.errors import Kind, StateError, StoreError
from pipeline.records import Event
from pipeline.store import events, export, publish, runs
from pipeline.store.database import Store
from tests.support.generations import any_event, begin, document, fail, publish_rows, published

each_example_in_the_same_database = settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


def rows(store: Store) -> dict[str, int]:
    with store.read():
        return {
            table: int(store.sql(f"SELECT COUNT(*) FROM {table}")[0][0])
            for table in ("event_header", "race", "result", "lap", "entry")
        }


@given(document=any_event())
@each_example_in_the_same_database
def test_what_is_published_is_read_back_exactly(store: Store, document: Event) -> None:
    fence = begin(store)
    publish_rows(store, fence, document)
    assert export.load_event(store, fence.event_id) == document


def test_the_same_document_has_the_same_bytes(store: Store) -> None:
    fence = published(store)
    with localcontext(Context(prec=3)):  # whatever a caller did to its thread's decimals
        loaded = export.load_event(store, fence.event_id)
    assert encode(loaded) == encode(document())


def test_a_manifest_counts_what_was_inserted(store: Store) -> None:
    fence = begin(store)
    with store.write():
        manifest = publish.insert_rows(store, fence.run_id, document(races=3, drivers=2))
    assert manifest == publish.Manifest(
        race_count=3, result_count=6, lap_count=12, lap_ms_sum=6 * 79_100, entry_count=2
    )
    assert rows(store) == {"event_header": 1, "race": 3, "result": 6, "lap": 12, "entry": 2}


def test_publishing_serves_the_run(store: Store) -> None:
    fence = published(store)
    event = events.get_event(store, fence.event_id)
    run = runs.get_run(store, fence.run_id)
    assert event is not None
    assert run is not None
    assert (event.state, event.ingest_depth, event.current_run_id) == ("complete", "laps_full", fence.run_id)
    assert (event.race_count, event.result_count, event.lap_count) == (2, 4, 8)
    assert event.last_ingested_at == event.last_checked_at is not None
    assert event.document_sha256 == "0" * 64
    assert run.sealed
    assert run.outcome == "published"


def test_a_second_generation_replaces_the_first_and_the_first_stays_readable(store: Store) -> None:
    first = published(store)
    second = begin(store)
    corrected = document(races=1)
    publish_rows(store, second, corrected, "1" * 64)
    assert export.load_event(store, first.event_id) == corrected
    assert export.load_event(store, first.event_id, first.run_id) == document()


def test_a_failed_attempt_changes_nothing_that_is_served(store: Store) -> None:
    served = published(store)
    before = events.get_event(store, served.event_id)
    fail(store, begin(store))
    after = events.get_event(store, served.event_id)
    assert before is not None
    assert after is not None
    changed = {name for name in structs.asdict(before) if getattr(before, name) != getattr(after, name)}
    assert changed == {"state", "last_run_id", "last_outcome", "last_error"}
    assert export.load_event(store, served.event_id) == document()


def test_unchanged_moves_only_the_time_of_the_check(store: Store) -> None:
    served = published(store)
    before = rows(store)
    with store.write():
        publish.mark_checked(store, served.event_id)
    assert rows(store) == before


def test_rows_of_a_transaction_that_failed_are_gone(store: Store) -> None:
    fence = begin(store)
    with pytest.raises(KeyError), store.write():
        publish.insert_rows(store, fence.run_id, document())
        raise KeyError
    assert set(rows(store).values()) == {0}


def test_a_run_takes_rows_once(store: Store) -> None:
    fence = begin(store)
    with store.write():
        publish.insert_rows(store, fence.run_id, document())
    with pytest.raises(StoreError) as refused:
        publish.insert_rows(store, fence.run_id, document())
    assert refused.value.kind is Kind.DB_REFUSED


def test_a_run_is_sealed_once(store: Store) -> None:
    fence = published(store)
    with pytest.raises(StoreError) as refused:
        publish.seal(store, fence.run_id, publish.Manifest(0, 0, 0, 0, 0), "x", None)
    assert refused.value.kind is Kind.DB_REFUSED


@pytest.mark.parametrize(
    "change",
    [
        {"event_name": "lone surrogate \ud800"},
        {"entries": 2**70},
        {"event_name": None},
    ],
)
def test_a_value_that_does_not_fit_is_refused(store: Store, change: dict[str, Any]) -> None:
    fence = begin(store)
    with pytest.raises(StoreError) as refused, store.write():
        publish.insert_rows(store, fence.run_id, structs.replace(document(), **change))
    assert refused.value.kind is Kind.DB_REFUSED
    assert set(rows(store).values()) == {0}


def test_a_consistency_with_more_than_three_decimals_is_not_rounded(store: Store) -> None:
    fence = begin(store)
    event = document()
    race = event.races[0]
    odd = structs.replace(race.results[0], consistency=Decimal("98.6001"))
    event = structs.replace(event, races=(structs.replace(race, results=(odd,)),))
    with pytest.raises(StoreError) as refused, store.write():
        publish.insert_rows(store, fence.run_id, event)
    assert "98.6001" in refused.value.message


def test_nothing_to_export(store: Store) -> None:
    fence = begin(store)
    other = published(store, "7001")
    asked = [(fence.event_id, None), (fence.event_id, fence.run_id), (fence.event_id, other.run_id)]
    for event_id, run_id in asked:
        with pytest.raises(StateError) as refused:
            export.load_event(store, event_id, run_id)
        assert refused.value.kind is Kind.NOTHING_TO_EXPORT
    with pytest.raises(StateError) as refused:
        export.load_event(store, 4711)
    assert refused.value.kind is Kind.UNKNOWN_EVENT


def test_serving_nothing_keeps_the_generations(store: Store) -> None:
    fence = published(store)
    with store.write():
        runs.transition(store, fence.event_id, "running")
        publish.serve_nothing(store, fence.event_id)
    with pytest.raises(StateError):
        export.load_event(store, fence.event_id)
    assert export.load_event(store, fence.event_id, fence.run_id) == document()
