"""Side doors into sealed data: REPLACE and UPDATE OR REPLACE, upserts, TRUNCATE, two sessions that cross each other."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from pipeline.errors import StoreError
from pipeline.store import publish
from pipeline.store.database import Store
from tests.support.generations import begin, document, published
from tests.support.strangers import (
    INTO_SEALED,
    SEAL,
    Stranger,
    is_refusal,
    known_ids,
    only_postgresql,
    only_sqlite,
    unsealed_rows,
)

# ---------------------------------------------------------------- REPLACE, and what else pushes rows out (SQLite)

REPLACES = [
    "REPLACE INTO event SELECT * FROM event",
    "INSERT OR REPLACE INTO event (source_event_id, track_id, added_at) SELECT source_event_id, track_id, 0 FROM event",
    "REPLACE INTO run SELECT * FROM run WHERE id = {run}",
    """INSERT OR REPLACE INTO run (id, event_id, kind, "trigger", started_at)
       SELECT id, event_id, kind, 'test', 0 FROM run WHERE id = {run}""",
    "REPLACE INTO event_header SELECT * FROM event_header WHERE run_id = {run}",
    "REPLACE INTO race SELECT * FROM race WHERE id = {race}",
    # an unsealed run's race under the id of a sealed one's
    """REPLACE INTO race (id, run_id, source_race_id, class_name, race_label, race_order)
       VALUES ({race}, {open_run}, 'x', 'c', 'l', 77)""",
    """REPLACE INTO race (run_id, source_race_id, class_name, race_label, race_order)
       SELECT run_id, source_race_id, 'c', 'l', race_order FROM race WHERE id = {open_race}""",
    "REPLACE INTO result SELECT * FROM result WHERE id = {result}",
    """REPLACE INTO result (id, race_id, row_number, position, driver_name, laps_completed)
       VALUES ({result}, {open_race}, 77, 1, 'd', 0)""",
    "REPLACE INTO lap SELECT * FROM lap WHERE result_id = {result}",
    "REPLACE INTO lap (result_id, lap_number, lap_time_ms, elapsed_ms) VALUES ({result}, 1, 1, 1)",
    "INSERT OR IGNORE INTO lap (result_id, lap_number, lap_time_ms, elapsed_ms) VALUES ({result}, 50, 1, 1)",
    """INSERT INTO lap (result_id, lap_number, lap_time_ms, elapsed_ms) VALUES ({result}, 1, 1, 1)
       ON CONFLICT DO UPDATE SET lap_time_ms = 1""",
    "REPLACE INTO entry SELECT * FROM entry WHERE id = {entry}",
    """REPLACE INTO entry (id, run_id, row_number, class_name, number, driver_name)
       VALUES ({entry}, {open_run}, 77, 'c', 1, 'd')""",
    "UPDATE OR REPLACE run SET id = {run} WHERE id = {open_run}",
    "UPDATE OR REPLACE race SET id = {race} WHERE id = {open_race}",
    "UPDATE OR REPLACE race SET rowid = {race} WHERE id = {open_race}",
    "UPDATE OR REPLACE result SET id = {result} WHERE id = {open_result}",
    "UPDATE OR REPLACE lap SET result_id = {result} WHERE result_id = {open_result}",
    "UPDATE OR REPLACE event_header SET run_id = {run} WHERE run_id = {open_run}",
    "UPDATE OR REPLACE event SET source_event_id = '7000' WHERE source_event_id = '7005'",
    "UPDATE OR REPLACE lease SET event_id = 1 WHERE event_id = 2",
    "REPLACE INTO lease (event_id, token) SELECT event_id, 0 FROM lease",
    "REPLACE INTO journal SELECT * FROM journal",
    "REPLACE INTO transition SELECT * FROM transition",
]


@only_sqlite
def test_replace_does_not_slip_past(store: Store, stranger: Stranger) -> None:
    known = known_ids(store)
    begin(store, "7005")
    stranger.run("INSERT INTO journal (at, entry_kind, severity, name, message) VALUES (1, 'log', 'info', 'n', 'm')")
    for statement in REPLACES:
        stranger.refuses(statement.format(**known))


@only_sqlite
def test_the_lap_guard_stands_again_after_publishing(store: Store, stranger: Stranger) -> None:
    known = known_ids(store)  # published twice
    stranger.refuses(INTO_SEALED["lap"].format(**known))


@only_sqlite
def test_the_lap_guard_stands_again_after_publishing_failed(store: Store, stranger: Stranger) -> None:
    fence = published(store)
    again = begin(store)
    with pytest.raises(StoreError), store.write():
        publish.insert_rows(store, again.run_id, document())
        publish.seal(store, again.run_id, publish.Manifest(0, 0, 0, 0, 0), "x", None)
    with pytest.raises(StoreError), store.write():
        try:
            publish.insert_rows(store, fence.run_id, document())  # sealed: refused, and the error swallowed
        except StoreError:
            store.sql("INSERT INTO lap (result_id, lap_number, lap_time_ms, elapsed_ms) VALUES (1, 99, 1, 1)")
    stranger.refuses("INSERT INTO lap (result_id, lap_number, lap_time_ms, elapsed_ms) VALUES (1, 99, 1, 1)")


# ---------------------------------------------------------------- PostgreSQL's own side doors


@only_postgresql
def test_truncate_is_refused(store: Store, stranger: Stranger) -> None:
    published(store)
    for table in ("event", "run", "race", "result", "lap", "entry", "event_header", "lease", "transition", "journal"):
        stranger.refuses(f"TRUNCATE {table} CASCADE")


UPSERTS = [
    """INSERT INTO lap (result_id, lap_number, lap_time_ms, elapsed_ms) VALUES ({result}, 1, 1, 1)
       ON CONFLICT (result_id, lap_number) DO UPDATE SET lap_time_ms = 1""",
    """INSERT INTO event (source_event_id, track_id, added_at) SELECT source_event_id, track_id, 0 FROM event LIMIT 1
       ON CONFLICT (source, source_event_id) DO UPDATE SET state = 'idle'""",
    """INSERT INTO run (id, event_id, kind, "trigger", started_at) VALUES ({run}, 1, 'ingest', 'test', 0)
       ON CONFLICT (id) DO UPDATE SET sealed = FALSE""",
    "WITH gone AS (DELETE FROM lap WHERE result_id = {result}) DELETE FROM result WHERE id = {result}",
]


@only_postgresql
def test_upserts_do_not_slip_past(store: Store, stranger: Stranger) -> None:
    known = known_ids(store)
    for upsert in UPSERTS:
        stranger.refuses(upsert.format(**known))


CROSSING = {
    "a row that comes while its run is sealed": ([SEAL], [INTO_SEALED["race"]]),
    "a lap that comes while its run is sealed": ([SEAL], [INTO_SEALED["lap"]]),
    "a run that is sealed while a row comes": ([INTO_SEALED["race"]], [SEAL]),
    "a run that is sealed while a lap leaves": (["DELETE FROM lap WHERE result_id = {result}"], [SEAL]),
}


@only_postgresql
@pytest.mark.parametrize("crossing", CROSSING)
def test_two_sessions_cannot_cross_each_other(store: Store, stranger: Stranger, crossing: str) -> None:
    fence = unsealed_rows(store)
    with store.read():
        ((race,),) = store.sql("SELECT MIN(id) FROM race")
        ((result,),) = store.sql("SELECT MIN(id) FROM result")
    first, second = (
        [s.format(run=fence.run_id, race=race, result=result) for s in side] for side in CROSSING[crossing]
    )
    assert _refused_after_waiting(store, stranger, first, second)


@only_postgresql
def test_a_run_is_not_served_and_purged_at_once(store: Store, stranger: Stranger) -> None:
    old = published(store)
    published(store)
    serve = [f"UPDATE event SET current_run_id = {old.run_id} WHERE id = {old.event_id}"]
    purge = [f"INSERT INTO purge_permit (run_id, reason) VALUES ({old.run_id}, 'old')"]
    assert _refused_after_waiting(store, stranger, purge, serve)


@only_postgresql
def test_a_run_is_not_purged_and_served_at_once(store: Store, stranger: Stranger) -> None:
    old = published(store)
    published(store)
    serve = [f"UPDATE event SET current_run_id = {old.run_id} WHERE id = {old.event_id}"]
    purge = [f"INSERT INTO purge_permit (run_id, reason) VALUES ({old.run_id}, 'old')"]
    assert _refused_after_waiting(store, stranger, serve, purge)


def _refused_after_waiting(store: Store, stranger: Stranger, first: list[str], second: list[str]) -> bool:
    """One session's statements are under way; another's wait for its commit and are then refused."""
    one = Stranger(store)
    with ThreadPoolExecutor(1) as thread:
        one.execute("BEGIN")
        for statement in first:
            one.execute(statement)
        other = thread.submit(stranger.run, *second)
        deadline = time.monotonic() + 20
        while not one.execute("SELECT 1 FROM pg_locks WHERE NOT granted").fetchall():
            assert not other.done(), "it did not wait"
            assert time.monotonic() < deadline
        one.execute("COMMIT")
        refusal = other.exception(timeout=20)
    one.close()
    return refusal is not None and is_refusal(refusal)


# ---------------------------------------------------------------- controls: the tests above have teeth


@only_sqlite
def test_without_its_guard_each_side_door_is_open(store: Store, stranger: Stranger) -> None:
    """Drop a guard, and the statement that it refused goes through: so it was the guard that refused."""
    known = known_ids(store)
    doors = {
        "event_transition": "UPDATE event SET state = 'idle' WHERE state = 'running'",
        "lap_insert": INTO_SEALED["lap"],
        "race_update": "UPDATE race SET class_name = 'other' WHERE id = {race}",
        "run_sealed": "UPDATE run SET document_sha256 = 'other' WHERE id = {run}",
        "journal_delete": "DELETE FROM journal",
        "race_replace": """REPLACE INTO race (id, run_id, source_race_id, class_name, race_label, race_order)
                           VALUES ({race}, {open_run}, 'x', 'c', 'l', 77)""",
        "run_seal": "UPDATE run SET sealed = TRUE, document_sha256 = 'x' WHERE id = {open_run}",
    }
    stranger.run("INSERT INTO journal (at, entry_kind, severity, name, message) VALUES (1, 'log', 'info', 'n', 'm')")
    for guard, statement in doors.items():
        stranger.refuses(statement.format(**known))
        stranger.run(f"DROP TRIGGER {guard}")
        stranger.allows(statement.format(**known))
