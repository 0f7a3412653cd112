"""Opening databases: new, read-only, missing and foreign ones; transactions, of one thread and of many."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pipeline.administration import upgrade_database
from pipeline.errors import Kind, StoreError
from pipeline.store import database, events
from pipeline.store.database import Store, wal_is_safe
from pipeline.store.translate import sqlite3, translate
from pipeline.store.urls import parse_url
from tests.conftest import NewDatabase
from tests.support.failures import kind_of
from tests.support.generations import SLUG, published
from tests.support.strangers import only_postgresql

needs_wal = pytest.mark.skipif(
    not wal_is_safe(database.sqlite_version()), reason="the SQLite here has the WAL-reset bug, so WAL is not used"
)


def with_option(url: str, option: str) -> str:
    return f"{url}{'&' if '?' in url else '?'}{option}"


def read_only(url: str) -> str:
    if url.startswith("sqlite"):
        return with_option(url, "mode=ro")
    return with_option(url, "options=-c%20default_transaction_read_only%3Don")


# ---------------------------------------------------------------- URLs


@pytest.mark.parametrize(
    ("url", "path", "options"),
    [
        ("/tmp/x.db", "/tmp/x.db", {}),
        ("x.db", "x.db", {}),
        ("/tmp/a b%20.db", "/tmp/a b%20.db", {}),
        ("sqlite:////tmp/x.db?mode=ro", "/tmp/x.db", {"mode": "ro"}),
        ("sqlite:///x.db", "x.db", {}),
        ("sqlite:////tmp/a%20b.db?max_page_count=40", "/tmp/a b.db", {"max_page_count": "40"}),
        ("file:/tmp/x.db?mode=rw&immutable=1", "/tmp/x.db", {"mode": "rw", "immutable": "1"}),
    ],
)
def test_sqlite_urls(url: str, path: str, options: dict[str, str]) -> None:
    target = parse_url(url)
    assert (target.engine, target.path, target.options) == ("sqlite", Path(path), options)


@pytest.mark.parametrize(
    "url",
    ["mysql://host/db", "sqlite://x.db", "", ":memory:", "sqlite:///:memory:", "sqlite:///x?mode=rx", "x.db?colour=red",
     "x.db?max_page_count=many"],
)  # fmt: skip
def test_what_cannot_be_a_database(url: str) -> None:
    kind, _ = kind_of(lambda: parse_url(url))
    assert kind is Kind.USAGE


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://ann:s3cret@db.example/mre", "postgresql://ann:***@db.example/mre"),
        ("postgres://ann@db.example:5433/mre", "postgresql://ann@db.example:5433/mre"),
        ("postgresql://ann:s%403cret@/mre?host=/run/pg", "postgresql://ann:***@/mre?host=/run/pg"),
        ("postgresql:///mre?user=ann&password=s3cret", "postgresql:///mre?user=ann&password=***"),
    ],
)
def test_a_password_is_never_shown(url: str, shown: str) -> None:
    target = parse_url(url)
    assert (target.engine, target.shown) == ("postgresql", shown)
    assert "3cret" not in target.shown


def test_a_password_is_cut_out_of_what_the_driver_says() -> None:
    import psycopg

    said = translate(psycopg.OperationalError('connection with password "s3cret" failed'), secret="s3cret")
    assert said is not None
    assert "s3cret" not in said.message
    assert said.kind is Kind.DB_UNREACHABLE


# ---------------------------------------------------------------- opening


def test_a_new_sqlite_file_gets_its_folder_and_tables(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "er" / "a b#?.db"
    store = Store.open(f"sqlite:///{str(path).replace('?', '%3F').replace('#', '%23')}", home=path.parent)
    events.add_event(store, SLUG, "1")
    store.close()
    assert path.exists()


def test_no_other_folder_is_made(tmp_path: Path) -> None:
    """Its disk may not be mounted: an empty database in its place would look as if everything were lost."""
    path = tmp_path / "mounted" / "mre.db"
    for home in (None, tmp_path / "data"):
        kind, message = kind_of(lambda home=home: Store.open(str(path), home=home))  # type: ignore[misc]
        assert kind is Kind.DB_UNREACHABLE
        assert f"does not exist ({path})" in message
    assert not path.parent.exists()
    assert upgrade_database(str(path)).applied  # whoever means it says so
    Store.open(str(path)).close()


def test_a_file_that_vanishes_while_it_is_open_is_not_made_again(tmp_path: Path) -> None:
    path = tmp_path / "mre.db"
    store = Store.open(str(path))
    store.close()
    for left in tmp_path.iterdir():
        left.unlink()
    kind, _ = kind_of(lambda: events.find_event(store, "1"))
    assert kind is Kind.DB_UNREACHABLE
    assert not path.exists()


def test_a_path_with_odd_characters(tmp_path: Path) -> None:
    store = Store.open(str(tmp_path / "50% # ü.db"))
    store.close()
    assert (tmp_path / "50% # ü.db").exists()


def test_settings_of_every_sqlite_connection(tmp_path: Path) -> None:
    store = Store.open(str(tmp_path / "x.db"))

    def settings() -> list[object]:
        names = ("foreign_keys", "recursive_triggers", "synchronous", "journal_mode")
        with store.connection_scope(), store.read():
            return [store.sql(f"PRAGMA {name}")[0][0] for name in names]

    with ThreadPoolExecutor(1) as other_thread:
        journal = "wal" if wal_is_safe(database.sqlite_version()) else "delete"
        assert other_thread.submit(settings).result() == settings() == [1, 1, 2, journal]


@pytest.mark.parametrize(
    ("version", "safe"),
    [
        ((3, 6, 23), False), ((3, 7, 0), False), ((3, 40, 1), False), ((3, 44, 5), False), ((3, 44, 6), True),
        ((3, 45, 0), False), ((3, 50, 6), False), ((3, 50, 7), True), ((3, 51, 0), False), ((3, 51, 2), False),
        ((3, 51, 3), True), ((3, 52, 0), True), ((3, 53, 4), True), ((4, 0, 0), True),
    ],
)  # fmt: skip
def test_versions_with_the_wal_reset_bug(version: tuple[int, int, int], safe: bool) -> None:
    assert wal_is_safe(version) is safe


@needs_wal
def test_a_sqlite_with_the_wal_reset_bug_does_not_use_wal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(tmp_path / "x.db")
    in_use = Store.open(path)  # in WAL mode
    published(in_use)
    monkeypatch.setattr(database, "sqlite_version", lambda: (3, 40, 1))
    kind, _ = kind_of(lambda: Store.open(path, busy_timeout_s=0.05))
    assert kind in (Kind.DB_BUSY, Kind.DB_ERROR)
    in_use.close()
    store = Store.open(path)
    with store.read():
        assert store.sql("PRAGMA journal_mode") == [("delete",)]
    assert len(events.list_events(store)) == 1
    store.close()


def test_many_open_a_new_database_at_once(new_database: NewDatabase) -> None:
    url = new_database(empty=True)
    ready = threading.Barrier(6)

    def open_and_use(number: int) -> int:
        ready.wait()
        store = Store.open(url)
        with store.connection_scope():
            return events.add_event(store, SLUG, str(number)).id

    with ThreadPoolExecutor(6) as threads:
        assert len(set(threads.map(open_and_use, range(6)))) == 6


def test_a_read_only_database_can_be_read(store: Store, database_url: str) -> None:
    published(store)
    reader = Store.open(read_only(database_url))
    assert [event.state for event in events.list_events(reader)] == ["complete"]
    kind, message = kind_of(lambda: events.add_event(reader, SLUG, "7009"))
    assert kind is Kind.DB_READONLY
    assert "cannot be written" in message
    reader.close()


def test_a_read_only_empty_database_is_not_migrated(new_database: NewDatabase) -> None:
    url = new_database(empty=True)
    if url.startswith("sqlite"):
        sqlite3.connect(url.removeprefix("sqlite:///")).executescript("PRAGMA user_version = 1").close()
    kind, _ = kind_of(lambda: Store.open(read_only(url)))
    assert kind is Kind.DB_SCHEMA


def test_a_database_that_is_not_there(tmp_path: Path) -> None:
    missing = tmp_path / "none" / "x.db"
    for url in (f"{missing}?mode=ro", f"file:{missing}?mode=rw"):
        kind, message = kind_of(lambda url=url: Store.open(url))  # type: ignore[misc]
        assert kind is Kind.DB_UNREACHABLE
        assert str(missing) in message
    kind, _ = kind_of(lambda: Store.open(str(missing), create=False))
    assert kind is Kind.DB_UNREACHABLE
    assert not missing.exists()
    (tmp_path / "file").touch()
    kind, message = kind_of(lambda: Store.open(str(tmp_path / "file" / "x.db")))
    assert kind is Kind.DB_UNREACHABLE
    assert "folder" in message


def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    url = f"postgresql://ann:s3cret@/mre?host={tmp_path}"
    kind, message = kind_of(lambda: Store.open(url))
    assert kind is Kind.DB_UNREACHABLE
    assert "s3cret" not in message
    assert str(tmp_path) in message


@only_postgresql
def test_a_server_without_that_database(database_url: str) -> None:
    kind, message = kind_of(lambda: Store.open(database_url.replace("/test_", "/nowhere_")))
    assert kind is Kind.DB_UNREACHABLE
    assert "nowhere_" in message


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    path.write_bytes(b"<!doctype html>" * 1000)
    kind, message = kind_of(lambda: Store.open(str(path)))
    assert kind is Kind.DB_DAMAGED
    assert "not a database" in message
    assert path.read_bytes() == b"<!doctype html>" * 1000


# ---------------------------------------------------------------- transactions


def test_a_failed_write_leaves_nothing(store: Store) -> None:
    with pytest.raises(KeyError), store.write():
        events.add_event(store, SLUG, "1")
        raise KeyError
    assert events.list_events(store) == ()


def test_a_part_that_failed_is_undone_and_the_rest_stays(store: Store) -> None:
    with store.write():
        events.add_event(store, SLUG, "1")
        with pytest.raises(StoreError), store.write():
            events.add_event(store, SLUG, "2")
            store.sql("UPDATE event SET state = 'complete'")
        events.add_event(store, SLUG, "3")
    assert sorted(event.source_event_id for event in events.list_events(store)) == ["1", "3"]


@needs_wal
def test_a_snapshot_stays_what_it_was(store: Store, database_url: str) -> None:
    published(store)
    other = Store.open(database_url)
    with store.read():
        before = events.list_events(store)
        published(other, "7010")
        with store.read():  # inside another, the same snapshot
            assert events.list_events(store) == before
    assert len(events.list_events(store)) == 2
    other.close()


def test_no_write_inside_a_snapshot(store: Store) -> None:
    with store.read():
        kind, _ = kind_of(lambda: events.add_event(store, SLUG, "1"))
    assert kind is Kind.INTERNAL


def test_a_write_sees_its_own_changes(store: Store) -> None:
    with store.write():
        events.add_event(store, SLUG, "1")
        with store.read():
            assert len(events.list_events(store)) == 1


def test_each_thread_has_its_own_connection(store: Store) -> None:
    def add(number: int) -> str:
        with store.connection_scope():
            return events.add_event(store, SLUG, str(number)).source_event_id

    with store.read(), ThreadPoolExecutor(4) as threads:
        assert list(threads.map(add, range(20))) == [str(number) for number in range(20)]
    assert len(events.list_events(store)) == 20


def test_connection_scope_closes(store: Store) -> None:
    def use() -> tuple[bool, bool]:
        with store.connection_scope():
            store.clock_ms()
            opened = not store.db.is_closed()
        return opened, store.db.is_closed()

    with ThreadPoolExecutor(1) as thread:
        assert thread.submit(use).result() == (True, True)


def test_the_clock_is_the_databases_in_utc_milliseconds(store: Store) -> None:
    before = time.time() * 1000
    said = store.clock_ms()
    assert before - 2 <= said <= time.time() * 1000 + 2
