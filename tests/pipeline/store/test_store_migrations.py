"""Numbered migrations: up and down, edited or newer ones, somebody else's database, several upgrades at once."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pipeline.errors import Kind, StoreError
from pipeline.store import events, migrations
from pipeline.store.database import Store
from pipeline.store.migrations import DIRECTORY, schema_info, upgrade
from tests.conftest import NewDatabase
from tests.support.generations import published

FIRST = "0001_generations"
ALL = tuple(sorted(path.stem for path in DIRECTORY.glob("0*.py")))
SECOND = """
from peewee import TextField

def up(migrator, db):
    migrator.migrate(migrator.add_column("track", "nickname", TextField(null=True)))

def down(migrator, db):
    migrator.migrate(migrator.drop_column("track", "nickname"))
"""
BROKEN = """
def up(migrator, db):
    db.execute_sql("CREATE TABLE half_done (id INTEGER)")
    db.execute_sql("CREATE TABLE half_done (id INTEGER)")
"""


@pytest.fixture
def empty_store(new_database: NewDatabase) -> Iterator[Store]:
    """A database without tables."""
    store = Store.connect(new_database(empty=True))
    yield store
    store.close()


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A copy of the migrations, to be added to."""
    copy = tmp_path / "migrations"
    shutil.copytree(DIRECTORY, copy, ignore=shutil.ignore_patterns("__pycache__"))
    return copy


def tables_and_columns(store: Store) -> dict[str, list[str]]:
    with store.read():
        tables = [table for table in store.db.get_tables() if not table.startswith(("sqlite_", "schema_"))]
        return {table: [column.name for column in store.db.get_columns(table)] for table in tables}


def test_a_new_database_is_current(store: Store) -> None:
    info = schema_info(store)
    assert tuple(migration.name for migration in info.applied) == ALL
    assert ALL[0] == FIRST
    assert info.applied[0].applied_at is not None
    assert info.applied[0].sha256 is not None
    assert (info.pending, info.problems, info.is_new) == ((), (), False)
    assert migrations.pending(store) == ()
    assert upgrade(store) == ()


def test_up_down_up(empty_store: Store) -> None:
    assert schema_info(empty_store).is_new
    assert migrations.pending(empty_store) == ALL
    assert upgrade(empty_store) == ALL
    made = tables_and_columns(empty_store)
    published(empty_store)
    for name in reversed(ALL):
        assert migrations.downgrade(empty_store) == (name,)
    assert tables_and_columns(empty_store) == {}
    assert upgrade(empty_store) == ALL
    assert tables_and_columns(empty_store) == made
    published(empty_store)


def test_a_later_migration_keeps_data_and_guards(store: Store, directory: Path) -> None:
    fence = published(store)
    (directory / "0002_nickname.py").write_text(SECOND)
    assert migrations.pending(store, directory) == ("0002_nickname",)
    assert upgrade(store, directory) == ("0002_nickname",)
    assert "nickname" in tables_and_columns(store)["track"]
    with pytest.raises(StoreError) as refused, store.write():
        store.sql("UPDATE event SET state = 'idle' WHERE id = ?", fence.event_id)
    assert refused.value.kind is Kind.DB_REFUSED
    assert len(events.list_events(store)) == 1
    if store.engine == "sqlite":
        with store.read():
            assert store.sql("PRAGMA foreign_keys") == [(1,)]


def test_an_older_database_is_not_changed_by_opening_it(store: Store, directory: Path) -> None:
    published(store)
    (directory / "0002_nickname.py").write_text(SECOND)
    with pytest.raises(StoreError) as refused:
        migrations.ensure_current(store, migrate=True, directory=directory)
    assert refused.value.kind is Kind.DB_SCHEMA
    assert "mre db upgrade" in refused.value.message
    assert "0002_nickname" in refused.value.message
    assert "nickname" not in tables_and_columns(store)["track"]


def test_a_migration_that_fails_leaves_nothing(store: Store, directory: Path) -> None:
    (directory / "0002_broken.py").write_text(BROKEN)
    with pytest.raises(StoreError):
        upgrade(store, directory)
    assert "half_done" not in tables_and_columns(store)
    assert migrations.pending(store, directory) == ("0002_broken",)
    assert schema_info(store).problems == ()


def test_an_edited_migration_is_noticed(store: Store, directory: Path) -> None:
    for edited in (f"{FIRST}.py", "guards_0001_sqlite.py", "tables_0001.py"):
        original = (directory / edited).read_bytes()
        (directory / edited).write_bytes(original + b"# edited\n")
        with pytest.raises(StoreError) as refused:
            migrations.ensure_current(store, migrate=True, directory=directory)
        assert refused.value.kind is Kind.DB_SCHEMA
        assert FIRST in refused.value.message
        with pytest.raises(StoreError):
            upgrade(store, directory)
        (directory / edited).write_bytes(original.replace(b"\n", b"\r\n"))  # another checkout, the same migration
        migrations.ensure_current(store, migrate=True, directory=directory)
        (directory / edited).write_bytes(original)


def test_a_database_of_a_newer_version_is_refused(store: Store, directory: Path, database_url: str) -> None:
    (directory / "0002_nickname.py").write_text(SECOND)
    upgrade(store, directory)
    with pytest.raises(StoreError) as refused:
        Store.open(database_url)
    assert refused.value.kind is Kind.DB_SCHEMA
    assert "newer version" in refused.value.message
    assert "0002_nickname" in refused.value.message


def test_somebody_elses_database_is_left_alone(empty_store: Store) -> None:
    with empty_store.write():
        empty_store.sql("CREATE TABLE recipe (id INTEGER)")
    with pytest.raises(StoreError) as refused:
        migrations.ensure_current(empty_store, migrate=True)
    assert refused.value.kind is Kind.DB_SCHEMA
    assert "recipe" in refused.value.message
    with pytest.raises(StoreError):
        upgrade(empty_store)
    assert tables_and_columns(empty_store) == {"recipe": ["id"]}


def test_an_empty_database_is_not_filled_when_told_not_to(new_database: NewDatabase) -> None:
    with pytest.raises(StoreError) as refused:
        Store.open(new_database(empty=True), migrate=False)
    assert refused.value.kind is Kind.DB_SCHEMA


def test_several_upgrades_at_once_apply_each_migration_once(new_database: NewDatabase, directory: Path) -> None:
    url = new_database()
    (directory / "0002_nickname.py").write_text(SECOND)
    (directory / "0003_motto.py").write_text(SECOND.replace("nickname", "motto"))
    ready = threading.Barrier(4)

    def upgrade_when_all_are_ready(_: int) -> tuple[str, ...]:
        store = Store.connect(url, busy_timeout_s=20)
        ready.wait()
        with store.connection_scope():
            return upgrade(store, directory)

    with ThreadPoolExecutor(4) as threads:
        applied = [name for names in threads.map(upgrade_when_all_are_ready, range(4)) for name in names]
    assert sorted(applied) == ["0002_nickname", "0003_motto"]
    store = Store.connect(url)
    columns = tables_and_columns(store)["track"]
    assert columns[-2:] == ["nickname", "motto"]
    assert schema_info(store, directory).pending == ()
    store.close()
