"""What becomes of a database's errors: one of our kinds, a sentence with what it said, and nothing half done."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.errors import Kind, StoreError
from pipeline.store import events, publish, runs, tracks
from pipeline.store.database import Store
from pipeline.store.translate import sqlite3, translate
from tests.conftest import NewDatabase
from tests.support.failures import kind_of
from tests.support.generations import SLUG, begin, document, published
from tests.support.strangers import only_postgresql, only_sqlite


def test_a_database_that_is_full(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    store = Store.open(str(path))
    served = published(store)
    again = begin(store)
    with store.read():
        ((pages,),) = store.sql("PRAGMA page_count")
    store.close()
    small = Store.open(f"sqlite:///{path}?max_page_count={pages + 3}")

    def publish_much() -> None:
        with small.write():
            publish.insert_rows(small, again.run_id, document(races=40, drivers=20))

    kind, message = kind_of(publish_much)
    assert kind is Kind.DB_FULL
    assert "full" in message
    with small.read():
        assert small.sql("SELECT COUNT(*) FROM race") == [(2,)]
    # There is room for little things, and the served generation is whole.
    runs.transition(small, served.event_id, "failed")
    assert events.list_events(small)[0].lap_count == 8
    small.close()


@only_sqlite
def test_what_follows_a_transaction_that_sqlite_ended_is_not_committed(store: Store) -> None:
    """After some errors (full, I/O) SQLite rolls back by itself; what a caller does next must not commit by itself."""

    def swallow() -> None:
        with store.write():
            tracks.require_track(store, "first")
            store.db.connection().execute("ROLLBACK")
            tracks.require_track(store, "second")

    kind, _ = kind_of(swallow)
    assert kind is Kind.DB_ERROR
    assert tracks.list_tracks(store) == ()
    tracks.require_track(store, "third")
    assert len(tracks.list_tracks(store)) == 1


def test_a_database_that_is_held(store: Store, database_url: str) -> None:
    fence = begin(store)
    other = Store.open(database_url, busy_timeout_s=0.05)
    with store.write():
        store.sql("UPDATE event SET event_name = 'mine' WHERE id = ?", fence.event_id)
        kind, message = kind_of(lambda: runs.transition(other, fence.event_id, "failed"))
        assert kind is Kind.DB_BUSY
        assert "held by another process" in message
        assert len(events.list_events(other)) == 1  # readers never wait
    runs.transition(other, fence.event_id, "failed")
    other.close()


def test_a_table_that_is_missing(new_database: NewDatabase) -> None:
    store = Store.open(new_database())
    with store.write():
        store.sql("DROP TABLE robots_file")
    with pytest.raises(StoreError) as failure, store.read():
        store.sql("SELECT * FROM robots_file")
    assert failure.value.kind is Kind.DB_SCHEMA
    store.close()


def test_a_refused_write_says_what_the_database_said(store: Store) -> None:
    fence = begin(store)
    with pytest.raises(StoreError) as failure, store.write():
        store.sql("UPDATE event SET state = 'idle' WHERE id = ?", fence.event_id)
    assert failure.value.kind is Kind.DB_REFUSED
    assert failure.value.message == (
        "The database refused an inconsistent write: illegal transition of an event's state"
    )


def test_bad_sql_is_an_error_of_ours(store: Store) -> None:
    with pytest.raises(StoreError) as failure, store.read():
        store.sql("SELEKT 1")
    assert failure.value.kind is Kind.DB_ERROR


def test_other_errors_pass_through(store: Store) -> None:
    with pytest.raises(ZeroDivisionError), store.write():
        raise ZeroDivisionError


@only_postgresql
def test_a_lost_connection_is_replaced(store: Store, database_url: str) -> None:
    other = Store.open(database_url)

    def kill() -> None:
        with other.read():
            other.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                      " WHERE datname = current_database() AND pid <> pg_backend_pid()")  # fmt: skip

    events.add_event(store, SLUG, "1")
    kill()
    assert len(events.list_events(store)) == 1  # nothing was under way: nobody notices

    def lose() -> None:
        with store.write():
            events.add_event(store, SLUG, "2")
            kill()
            events.add_event(store, SLUG, "3")

    kind, _ = kind_of(lose)
    assert kind is Kind.DB_UNREACHABLE
    assert len(events.list_events(store)) == 1
    other.close()


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (5, Kind.DB_BUSY), (261, Kind.DB_BUSY), (517, Kind.DB_BUSY), (6, Kind.DB_BUSY), (8, Kind.DB_READONLY),
        (1032, Kind.DB_READONLY), (10, Kind.DB_ERROR), (11, Kind.DB_DAMAGED), (779, Kind.DB_DAMAGED),
        (13, Kind.DB_FULL), (14, Kind.DB_UNREACHABLE), (19, Kind.DB_REFUSED), (1811, Kind.DB_REFUSED),
        (26, Kind.DB_DAMAGED),
    ],
)  # fmt: skip
def test_sqlite_result_codes(code: int, kind: Kind) -> None:
    error = sqlite3.OperationalError("it said so")
    error.sqlite_errorcode = code
    known = translate(error)
    assert known is not None
    assert known.kind is kind
    assert "it said so" in known.message


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("DiskFull", Kind.DB_FULL),
        ("ReadOnlySqlTransaction", Kind.DB_READONLY),
        ("InsufficientPrivilege", Kind.DB_READONLY),
        ("LockNotAvailable", Kind.DB_BUSY),
        ("DeadlockDetected", Kind.DB_BUSY),
        ("SerializationFailure", Kind.DB_BUSY),
        ("TooManyConnections", Kind.DB_BUSY),
        ("QueryCanceled", Kind.DB_BUSY),
        ("AdminShutdown", Kind.DB_UNREACHABLE),
        ("CannotConnectNow", Kind.DB_UNREACHABLE),
        ("InvalidPassword", Kind.DB_UNREACHABLE),
        ("ConnectionFailure", Kind.DB_UNREACHABLE),
        ("UndefinedTable", Kind.DB_SCHEMA),
        ("UndefinedColumn", Kind.DB_SCHEMA),
        ("CheckViolation", Kind.DB_REFUSED),
        ("UniqueViolation", Kind.DB_REFUSED),
        ("NumericValueOutOfRange", Kind.DB_REFUSED),
        ("DataCorrupted", Kind.DB_DAMAGED),
        ("SyntaxError", Kind.DB_ERROR),
    ],
)
def test_postgresql_sqlstates(name: str, kind: Kind) -> None:
    import psycopg

    known = translate(getattr(psycopg.errors, name)("it said so"))
    assert known is not None
    assert known.kind is kind


@pytest.mark.parametrize(("code", "shown"), [(10 | 4 << 8, "disk I/O error"), (10 | 3 << 8, "disk I/O error")])
def test_a_disk_that_fails_is_named_with_what_helps(code: int, shown: str) -> None:
    error = sqlite3.OperationalError(shown)
    error.sqlite_errorcode = code
    told = translate(error, url="sqlite:////srv/mre.db")
    assert told is not None
    assert told.kind is Kind.DB_ERROR
    assert told.message == "The disk failed under the database (sqlite:////srv/mre.db): disk I/O error"
    assert "mre checks" in told.envelope().details["remedy"]
