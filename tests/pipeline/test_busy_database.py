"""A run whose progress cannot be written for a while goes on: somebody else holds the database for a time."""

from __future__ import annotations

import pytest

from pipeline.errors import Kind, StoreError
from pipeline.observe import Bus
from pipeline.records import EventPage
from pipeline.runs import Run
from pipeline.store import events, journal
from pipeline.store.database import Store
from tests.support.generations import EVENT_ID, SLUG, document

PAGE = EventPage(
    source_event_id=EVENT_ID,
    track_slug=SLUG,
    track_name="Harbour Raceway",
    event_name="Harbour Cup",
    start_date="2025-11-15",
    end_date=None,
    entries=2,
    drivers=2,
    total_race_laps=None,
    has_entry_list=True,
    races=(),
)


def begun(store: Store) -> Run:
    return Run.begin(store, Bus(), events.add_event(store, SLUG, EVENT_ID), kind="ingest", trigger="test")


def test_what_is_for_the_eye_waits(store: Store, database_url: str) -> None:
    hurried = Store.open(database_url, busy_timeout_s=0.05)
    run = begun(hurried)
    with store.write():
        store.sql("UPDATE lease SET token = token")
        run.learn(PAGE)
        run.log("told", "while nobody could write")
        run._flushed = -1e9
        run.flush_if_due()
        with pytest.raises(StoreError) as failure:
            run.flush()
        assert failure.value.kind is Kind.DB_BUSY
    assert not run.signal.tripped
    run.publish(document(), "0" * 64)
    row = events.find_event(store, EVENT_ID)
    assert row is not None
    assert (row.event_name, row.state) == ("Harbour Cup", "complete")
    assert "told" in [line.name for line in journal.for_run(store, run.run_id)]
    hurried.close()


def test_any_other_trouble_ends_it(store: Store) -> None:
    run = begun(store)
    with store.write():
        store.sql("UPDATE lease SET token = token + 1, run_id = NULL")
    with pytest.raises(Exception, match="no longer holds the lease"):
        run.learn(PAGE)
    run.keeper.stop()
