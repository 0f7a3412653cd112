"""What the database itself refuses, on both engines, whoever asks: a service, a script, a person at a prompt.

Statements go through a connection of their own with the driver's defaults, so without our pragmas: no foreign keys and
no recursive triggers on SQLite, where REPLACE then deletes without a DELETE trigger. After every refusal the whole
database is compared with what it was before.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from pipeline.errors import Kind, StateError, StoreError
from pipeline.store import events, export, publish, runs
from pipeline.store.database import Store
from pipeline.store.leases import Fence
from pipeline.store.migration_files.tables_0001 import TABLE_NAMES
from pipeline.store.runs import ARROWS
from pipeline.store.translate import sqlite3
from tests.support import generations
from tests.support.generations import begin, document, published

STATES = ("idle", "running", "complete", "failed")


class Stranger:
    """A connection that knows nothing of us. Each statement commits by itself."""

    def __init__(self, store: Store) -> None:
        self.engine = store.engine
        if store.engine == "sqlite":
            assert store.target.path is not None
            self._connection: Any = sqlite3.connect(store.target.path, isolation_level=None)
        else:
            import psycopg

            self._connection = psycopg.connect(store.target.conninfo, autocommit=True)

    def execute(self, statement: str) -> Any:
        return self._connection.execute(statement)

    def run(self, *statements: str) -> None:
        """All statements in one transaction."""
        self.execute("BEGIN")
        try:
            for statement in statements:
                self.execute(statement)
            self.execute("COMMIT")
        except BaseException:
            self.execute("ROLLBACK")
            raise

    def everything(self) -> dict[str, list[tuple[Any, ...]]]:
        return {table: sorted(self.execute(f"SELECT * FROM {table}").fetchall(), key=repr) for table in TABLE_NAMES}

    def refuses(self, *statements: str) -> None:
        """The last of the statements is refused by a constraint or trigger, and nothing at all has changed."""
        before = self.everything()
        with pytest.raises(Exception) as refusal:  # the driver's own
            self.run(*statements)
        assert _is_refusal(refusal.value), f"{statements[-1]}: {refusal.value!r}"
        assert self.everything() == before

    def allows(self, *statements: str) -> None:
        before = self.everything()
        self.run(*statements)
        assert self.everything() != before

    def close(self) -> None:
        self._connection.close()


def _is_refusal(error: BaseException) -> bool:
    if isinstance(error, sqlite3.Error):
        return isinstance(error, sqlite3.IntegrityError)
    return str(getattr(error, "sqlstate", None)).startswith("23")


@pytest.fixture
def stranger(store: Store) -> Iterator[Stranger]:
    connection = Stranger(store)
    yield connection
    connection.close()


only_sqlite = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)  # the one with REPLACE
only_postgresql = pytest.mark.parametrize("engine", ["postgresql"], indirect=True)


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


@pytest.mark.parametrize(
    "columns",
    [
        {"state": "'complete'"},
        {"state": "'running'"},
        {"state": "'failed'"},
        {"ingest_depth": "'laps_full'"},
        {"current_run_id": "1"},
        {"ingest_depth": "'laps_full'", "current_run_id": "1"},
        {"state": "'complete'", "ingest_depth": "'laps_full'", "current_run_id": "1"},
        {"last_ingested_at": "1"},
        {"state": "'asleep'"},
    ],
)
def test_an_event_is_born_idle_and_serves_nothing(store: Store, stranger: Stranger, columns: dict[str, str]) -> None:
    fence = published(store)
    facts = {"source_event_id": "'7001'", "track_id": "1", "added_at": "0", **columns}
    if "current_run_id" in facts:
        facts["current_run_id"] = str(fence.run_id)
    stranger.refuses(f"INSERT INTO event ({', '.join(facts)}) VALUES ({', '.join(facts.values())})")


@pytest.mark.parametrize(
    "change",
    [
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
    ],
)
def test_what_a_complete_event_serves_cannot_be_bent(store: Store, stranger: Stranger, change: str) -> None:
    fence = published(store)
    foreign = published(store, "7002")
    unsealed = runs.insert_run(store, fence.event_id, trigger="test")
    change = change.format(unsealed=unsealed, foreign=foreign.run_id)
    stranger.refuses(f"UPDATE event SET {change} WHERE id = {fence.event_id}")


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


# ---------------------------------------------------------------- runs


@pytest.mark.parametrize(
    "columns",
    [
        {"sealed": "TRUE"},
        {"sealed": "TRUE", "document_sha256": "'x'"},
        {"outcome": "'published'"},
        {"purged_at": "1"},
        {"kind": "'prank'"},
        {"race_count": "NULL"},
        {"lap_ms_sum": "NULL"},
    ],
)
def test_a_run_is_born_unsealed_and_without_outcome(store: Store, stranger: Stranger, columns: dict[str, str]) -> None:
    event_id = begin(store).event_id
    facts = {"event_id": str(event_id), "kind": "'ingest'", '"trigger"': "'test'", "started_at": "0", **columns}
    stranger.refuses(f"INSERT INTO run ({', '.join(facts)}) VALUES ({', '.join(facts.values())})")


@pytest.mark.parametrize(
    "change",
    [
        "sealed = FALSE",
        "race_count = race_count + 1",
        "result_count = 0",
        "lap_count = lap_count - 1",
        "lap_ms_sum = 1",
        "entry_count = 0",
        "document_sha256 = 'other'",
        "document_sha256 = NULL",
        "parser_build = 'other'",
        "event_id = {other}",
        "kind = 'restore'",
        "token = 99",
        "started_at = 1",
        "id = 4711",
        "outcome = 'triumph'",
        "purged_at = 1",  # it is served
    ],
)
def test_a_sealed_run_is_final(store: Store, stranger: Stranger, change: str) -> None:
    fence = published(store)
    other = events.add_event(store, generations.SLUG, "7004")
    stranger.refuses(f"UPDATE run SET {change.format(other=other.id)} WHERE id = {fence.run_id}")


def test_an_unsealed_run_keeps_its_event_and_token(store: Store, stranger: Stranger) -> None:
    fence = begin(store)
    other = events.add_event(store, generations.SLUG, "7004")
    stranger.refuses(f"UPDATE run SET event_id = {other.id} WHERE id = {fence.run_id}")
    stranger.refuses(f"UPDATE run SET token = token + 1 WHERE id = {fence.run_id}")


def test_a_sealed_run_cannot_be_deleted(store: Store, stranger: Stranger) -> None:
    stranger.refuses(f"DELETE FROM run WHERE id = {published(store).run_id}")


SEAL = """UPDATE run SET sealed = TRUE, document_sha256 = 'x', race_count = 2, result_count = 4, lap_count = 8,
          lap_ms_sum = 316400, entry_count = 2 WHERE id = {run}"""


def unsealed_rows(store: Store) -> Fence:
    fence = begin(store)
    with store.write():
        publish.insert_rows(store, fence.run_id, document())
    return fence


def test_the_right_manifest_seals(store: Store, stranger: Stranger) -> None:
    stranger.allows(SEAL.format(run=unsealed_rows(store).run_id))


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("race_count = 2", "race_count = 1"),
        ("result_count = 4", "result_count = 5"),
        ("lap_count = 8", "lap_count = 9"),
        ("lap_ms_sum = 316400", "lap_ms_sum = 316401"),
        ("entry_count = 2", "entry_count = 0"),
        ("document_sha256 = 'x', ", ""),
        ("lap_count = 8,", ""),
    ],
)
def test_a_wrong_manifest_does_not_seal(store: Store, stranger: Stranger, right: str, wrong: str) -> None:
    stranger.refuses(SEAL.replace(right, wrong).format(run=unsealed_rows(store).run_id))


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM lap WHERE lap_number = 2 AND result_id = (SELECT MAX(id) FROM result)",
        "UPDATE lap SET lap_time_ms = 1 WHERE lap_number = 1 AND result_id = (SELECT MIN(id) FROM result)",
        "DELETE FROM entry WHERE row_number = 1",
        "DELETE FROM event_header",
    ],
)
def test_a_run_with_damaged_rows_is_not_sealed(store: Store, stranger: Stranger, damage: str) -> None:
    fence = unsealed_rows(store)
    stranger.allows(damage)
    stranger.refuses(SEAL.format(run=fence.run_id))


def test_sealing_a_missing_lap_through_the_service(store: Store) -> None:
    fence = begin(store)
    with pytest.raises(StoreError) as refused, store.write():
        manifest = publish.insert_rows(store, fence.run_id, document())
        store.sql("DELETE FROM lap WHERE lap_number = 2 AND result_id = (SELECT MAX(id) FROM result)")
        publish.seal(store, fence.run_id, manifest, "x", None)
    assert refused.value.kind is Kind.DB_REFUSED
    assert "manifest" in refused.value.message
    with store.read():
        assert store.sql("SELECT COUNT(*) FROM race") == [(0,)]


# ---------------------------------------------------------------- rows of a sealed run

INTO_SEALED = {
    "race": """INSERT INTO race (run_id, source_race_id, class_name, race_label, race_order)
               VALUES ({run}, '1', 'c', 'l', 99)""",
    "result": """INSERT INTO result (race_id, row_number, position, driver_name, laps_completed)
                 VALUES ({race}, 99, 99, 'd', 0)""",
    "lap": "INSERT INTO lap (result_id, lap_number, lap_time_ms, elapsed_ms) VALUES ({result}, 99, 1, 1)",
    "entry": "INSERT INTO entry (run_id, row_number, class_name, number, driver_name) VALUES ({run}, 99, 'c', 1, 'd')",
    "event_header": """INSERT INTO event_header
                       (run_id, source, source_event_id, track_slug, event_name, has_entry_list)
                       VALUES ({run}, 's', '1', 't', 'e', FALSE)""",
}
IN_SEALED = {
    "race": ("class_name = 'other'", "id = {race}"),
    "result": ("driver_name = 'other'", "id = {result}"),
    "lap": ("lap_time_ms = lap_time_ms + 1", "result_id = {result} AND lap_number = 1"),
    "entry": ("driver_name = 'other'", "id = {entry}"),
    "event_header": ("event_name = 'other'", "run_id = {run}"),
}
MOVES = [
    "UPDATE race SET run_id = {run} WHERE id = {open_race}",
    "UPDATE result SET race_id = {race} WHERE id = {open_result}",
    "UPDATE lap SET result_id = {result}, lap_number = 99 WHERE result_id = {open_result} AND lap_number = 1",
    "UPDATE entry SET run_id = {run} WHERE id = {open_entry}",
    "UPDATE race SET id = 4711 WHERE id = {open_race}",
    "UPDATE result SET id = 4711 WHERE id = {open_result}",
    "UPDATE entry SET id = 4711 WHERE id = {open_entry}",
]


def ids(store: Store) -> dict[str, int]:
    """Ids of a sealed run and its rows, and of an unsealed one's."""
    sealed = published(store)
    opened = unsealed_rows(store)
    with store.read():

        def one(query: str) -> int:
            return int(store.sql(query)[0][0])

        return {
            "run": sealed.run_id,
            "race": one(f"SELECT MIN(id) FROM race WHERE run_id = {sealed.run_id}"),
            "result": one(
                f"SELECT MIN(result.id) FROM result JOIN race ON race.id = race_id WHERE run_id = {sealed.run_id}"
            ),
            "entry": one(f"SELECT MIN(id) FROM entry WHERE run_id = {sealed.run_id}"),
            "open_run": opened.run_id,
            "open_race": one(f"SELECT MIN(id) FROM race WHERE run_id = {opened.run_id}"),
            "open_result": one(
                f"SELECT MIN(result.id) FROM result JOIN race ON race.id = race_id WHERE run_id = {opened.run_id}"
            ),
            "open_entry": one(f"SELECT MIN(id) FROM entry WHERE run_id = {opened.run_id}"),
        }


def test_rows_of_a_sealed_run_are_final(store: Store, stranger: Stranger) -> None:
    known = ids(store)
    for table, insert in INTO_SEALED.items():
        change, where = IN_SEALED[table]
        stranger.refuses(insert.format(**known))
        stranger.refuses(f"UPDATE {table} SET {change} WHERE {where}".format(**known))
        stranger.refuses(f"DELETE FROM {table} WHERE {where}".format(**known))


@pytest.mark.parametrize("move", MOVES)
def test_rows_cannot_be_moved_into_a_sealed_run_or_under_another_id(
    store: Store, stranger: Stranger, move: str
) -> None:
    stranger.refuses(move.format(**ids(store)))


def test_rows_of_an_unsealed_run_can_be_mended(store: Store, stranger: Stranger) -> None:
    known = ids(store)
    stranger.allows("UPDATE lap SET lap_time_ms = 1 WHERE result_id = {open_result}".format(**known))
    stranger.allows("DELETE FROM lap WHERE result_id = {open_result}".format(**known))


def test_a_lap_needs_a_result_and_a_result_stays_while_it_has_laps(store: Store, stranger: Stranger) -> None:
    known = ids(store)
    stranger.refuses("INSERT INTO lap (result_id, lap_number, lap_time_ms, elapsed_ms) VALUES (999999, 1, 1, 1)")
    stranger.refuses("DELETE FROM result WHERE id = {open_result}".format(**known))


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


@pytest.mark.parametrize("statement", REPLACES)
@only_sqlite
def test_replace_does_not_slip_past(store: Store, stranger: Stranger, statement: str) -> None:
    known = ids(store)
    begin(store, "7005")
    stranger.run("INSERT INTO journal (at, entry_kind, severity, name, message) VALUES (1, 'log', 'info', 'n', 'm')")
    stranger.refuses(statement.format(**known))


@only_sqlite
def test_the_lap_guard_stands_again_after_publishing(store: Store, stranger: Stranger) -> None:
    known = ids(store)  # published twice
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


@pytest.mark.parametrize("statement", UPSERTS)
@only_postgresql
def test_upserts_do_not_slip_past(store: Store, stranger: Stranger, statement: str) -> None:
    stranger.refuses(statement.format(**ids(store)))


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
    return refusal is not None and _is_refusal(refusal)


# ---------------------------------------------------------------- the purge, the one door out

PURGE = [
    """DELETE FROM lap
       WHERE result_id IN (SELECT result.id FROM result JOIN race ON race.id = race_id WHERE run_id = {run})""",
    "DELETE FROM result WHERE race_id IN (SELECT id FROM race WHERE run_id = {run})",
    "DELETE FROM race WHERE run_id = {run}",
    "DELETE FROM entry WHERE run_id = {run}",
    "DELETE FROM event_header WHERE run_id = {run}",
]
PERMIT = "INSERT INTO purge_permit (run_id, reason) VALUES ({run}, 'old')"


def test_a_served_run_cannot_be_purged(store: Store, stranger: Stranger) -> None:
    known = ids(store)
    stranger.refuses(PERMIT.format(**known))
    stranger.refuses(PERMIT.format(run=known["open_run"]), f"UPDATE purge_permit SET run_id = {known['run']}")


def test_a_purge_removes_an_old_generation_and_it_is_never_served_again(store: Store, stranger: Stranger) -> None:
    old = published(store)
    new = published(store)
    purge = [statement.format(run=old.run_id) for statement in PURGE]
    stranger.refuses(*purge)
    stranger.allows(PERMIT.format(run=old.run_id), *purge, f"DELETE FROM purge_permit WHERE run_id = {old.run_id}")
    stranger.refuses(f"UPDATE event SET current_run_id = {old.run_id} WHERE id = {old.event_id}")
    stranger.refuses(f"UPDATE run SET purged_at = NULL WHERE id = {old.run_id}")
    run = runs.get_run(store, old.run_id)
    assert run is not None
    assert run.purged_at is not None
    assert export.load_event(store, new.event_id) == document()
    with pytest.raises(StateError) as refused:
        export.load_event(store, old.event_id, old.run_id)
    assert refused.value.kind is Kind.NOTHING_TO_EXPORT


def test_a_permit_opens_only_its_own_run(store: Store, stranger: Stranger) -> None:
    first, second = published(store), published(store)
    published(store)
    purge_second = [statement.format(run=second.run_id) for statement in PURGE]
    stranger.refuses(PERMIT.format(run=first.run_id), *purge_second)


def test_even_a_purge_does_not_edit(store: Store, stranger: Stranger) -> None:
    old = published(store)
    published(store)
    stranger.refuses(PERMIT.format(run=old.run_id), f"UPDATE race SET class_name = 'other' WHERE run_id = {old.run_id}")


# ---------------------------------------------------------------- ledgers


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE lease SET token = token - 1",
        "UPDATE lease SET token = 0",
        "UPDATE lease SET event_id = 4711",
        "DELETE FROM lease",
        "UPDATE transition SET to_state = 'complete'",
        "DELETE FROM transition",
        "DELETE FROM journal",
        "UPDATE journal SET message = 'other'",
        "UPDATE journal SET message = 'other', acknowledged_at = 1, acknowledged_by = 'me'",
        "UPDATE journal SET id = 4711, acknowledged_at = 1",
    ],
)
def test_ledgers_are_append_only(store: Store, stranger: Stranger, statement: str) -> None:
    published(store)
    stranger.run(
        "INSERT INTO journal (at, entry_kind, severity, name, message) VALUES (1, 'warning', 'warning', 'n', 'm')"
    )
    stranger.refuses(statement)


def test_a_journal_entry_is_acknowledged_once(store: Store, stranger: Stranger) -> None:
    stranger.run(
        "INSERT INTO journal (at, entry_kind, severity, name, message) VALUES (1, 'warning', 'warning', 'n', 'm')"
    )
    stranger.allows("UPDATE journal SET acknowledged_at = 5, acknowledged_by = 'me'")
    stranger.refuses("UPDATE journal SET acknowledged_at = 6, acknowledged_by = 'you'")
    stranger.refuses("UPDATE journal SET acknowledged_at = NULL, acknowledged_by = NULL")


# ---------------------------------------------------------------- controls: the tests above have teeth


@only_sqlite
def test_without_its_guard_each_side_door_is_open(store: Store, stranger: Stranger) -> None:
    """Drop a guard, and the statement that it refused goes through: so it was the guard that refused."""
    known = ids(store)
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


def _serve_something(store: Store, event_id: int) -> None:
    with store.write():
        run_id = runs.insert_run(store, event_id, trigger="test")
        publish.seal(store, run_id, publish.insert_rows(store, run_id, document()), "x", None)
        publish.serve(store, event_id, run_id)


def _event(store: Store, event_id: int) -> events.EventRow:
    event = events.get_event(store, event_id)
    assert event is not None
    return event
