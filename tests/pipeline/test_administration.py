"""Changing a database's tables there and back, on both engines: with its data, and never without a copy of it."""

from __future__ import annotations

import shutil
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pipeline.administration import SchemaChange, database_info, downgrade_database, upgrade_database
from pipeline.errors import Kind, PipelineError
from pipeline.store import backup, export, leases, migrations, publish, runs
from pipeline.store.database import Store
from pipeline.store.urls import parse_url
from tests.conftest import NewDatabase
from tests.support.generations import begin, document, published

ONLY_SQLITE = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
ONLY_POSTGRESQL = pytest.mark.parametrize("engine", ["postgresql"], indirect=True)


@pytest.fixture
def with_data(database_url: str) -> str:
    """A database that serves an event."""
    store = Store.open(database_url)
    with store.connection_scope():
        published(store)
    return database_url


def exported(url: str) -> Any:
    store = Store.connect(url)
    with store.connection_scope():
        return export.load_event(store, 1)


def schema(url: str) -> dict[str, list[str]]:
    """Every table and view with its columns, and every guard."""
    store = Store.connect(url)
    with store.connection_scope(), store.read():
        tables = {name: sorted(column.name for column in store.db.get_columns(name)) for name in store.db.get_tables()}
        triggers = (
            "SELECT name FROM sqlite_master WHERE type = 'trigger'"
            if store.engine == "sqlite"
            else "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal"
        )
        return tables | {"guards": sorted(str(name) for (name,) in store.sql(triggers))}


def refused(call: Any, *arguments: Any, **options: Any) -> PipelineError:
    with pytest.raises(PipelineError) as caught:
        call(*arguments, **options)
    return caught.value


def copies(url: str) -> list[Path]:
    path = parse_url(url).path
    return [] if path is None else sorted(path.parent.glob(f"{path.name}.backup-*"))


def test_up_down_up_with_data(with_data: str) -> None:
    """Every migration but the first is taken back and applied again; what is served stays the same document."""
    before, tables = exported(with_data), schema(with_data)
    newest = database_info(with_data).applied
    assert len(newest) > 1
    for name in reversed(newest[1:]):
        assert downgrade_database(with_data, backed_up=True).reverted == (name,)
        assert database_info(with_data).pending[0] == name
        assert exported(with_data) == before
        assert refused(Store.open, with_data).kind is Kind.DB_SCHEMA
    assert upgrade_database(with_data, backed_up=True).applied == newest[1:]
    assert exported(with_data) == before == document()
    assert schema(with_data) == tables
    store = Store.open(with_data)
    with store.connection_scope():
        again = begin(store)
        with store.write():
            leases.lock_fence(store, again)
            publish.mark_checked(store, again.event_id)
            runs.transition(store, again.event_id, "complete")


def test_the_first_migration_is_not_taken_back(with_data: str) -> None:
    while len(database_info(with_data).applied) > 1:
        downgrade_database(with_data, backed_up=True)
    made = len(copies(with_data))
    assert refused(downgrade_database, with_data, backed_up=True).kind is Kind.USAGE
    assert exported(with_data) == document()
    assert len(copies(with_data)) == made


def test_nothing_is_taken_back_while_events_are_worked_on(database_url: str) -> None:
    store = Store.open(database_url)
    with store.connection_scope():
        begin(store)
    error = refused(downgrade_database, database_url, backed_up=True)
    assert (error.kind, "mre cancel" in error.details["remedy"]) == (Kind.LOCK_HELD, True)
    assert database_info(database_url).pending == ()
    assert copies(database_url) == []


@pytest.mark.parametrize("change", [upgrade_database, downgrade_database])
def test_a_schema_of_a_newer_program_is_refused(
    with_data: str, change: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    older = Path(shutil.copytree(migrations.DIRECTORY, tmp_path / "older"))
    newest = database_info(with_data).applied[-1]
    for file in older.glob(f"*{newest.partition('_')[0]}*"):
        file.unlink()
    tables = schema(with_data)
    for function in (migrations.upgrade, migrations.downgrade):
        monkeypatch.setattr(function, "__defaults__", (older,))
    error = refused(change, with_data, backed_up=True)
    assert (error.kind, "newer version" in error.message) == (Kind.DB_SCHEMA, True)
    assert schema(with_data) == tables
    assert copies(with_data) == []


def test_a_new_database_needs_no_copy(new_database: NewDatabase) -> None:
    url = new_database(empty=True)
    change = upgrade_database(url)
    assert change.applied == database_info(url).applied
    assert change.backup is None
    assert upgrade_database(url) == SchemaChange()


@ONLY_SQLITE
@pytest.mark.parametrize("change", [upgrade_database, downgrade_database])
def test_the_copy_is_the_database_as_it_was(with_data: str, change: Any) -> None:
    if change is upgrade_database:
        downgrade_database(with_data)
        for path in copies(with_data):
            path.unlink()
    before, tables = database_info(with_data), schema(with_data)
    made = change(with_data).backup
    assert made is not None
    assert copies(with_data) == [Path(made)]
    number = before.applied[-1].partition("_")[0]
    assert Path(made).name.startswith(f"{Path(before.url).name}.backup-{number}-20")
    assert sorted(Path(made).parent.glob(f"*{Path(made).name}*")) == [Path(made)]
    assert database_info(made).applied == before.applied
    assert schema(made) == tables
    assert exported(made) == document()


def test_a_copy_never_takes_anothers_place(tmp_path: Path) -> None:
    target = parse_url(str(tmp_path / "mre.db"))
    now = datetime(2026, 1, 31, 9, 30, tzinfo=UTC)
    first = backup.backup_path(target, "0001", now)
    assert first == tmp_path / "mre.db.backup-0001-20260131T093000Z"
    first.touch()
    assert backup.backup_path(target, "0001", now).name == f"{first.name}-2"


@ONLY_SQLITE
def test_without_a_copy_nothing_is_changed(with_data: str, monkeypatch: pytest.MonkeyPatch) -> None:
    tables = schema(with_data)
    nowhere = Path("/no/such/folder/copy")
    monkeypatch.setattr(backup, "backup_path", lambda *_: nowhere)
    assert refused(downgrade_database, with_data).kind is Kind.DB_UNREACHABLE
    assert schema(with_data) == tables


@ONLY_SQLITE
def test_a_copy_that_is_not_sound_is_not_kept(with_data: str, tmp_path: Path) -> None:
    """The pages of the file were damaged long ago: nobody must take its copy for a backup, or build on it."""
    path = parse_url(with_data).path
    assert path is not None
    damaged = tmp_path / "damaged.db"
    store = Store.connect(with_data)
    with store.connection_scope(), store.read():
        ((page, size),) = store.sql(
            "SELECT rootpage, page_size FROM sqlite_master, pragma_page_size WHERE name = 'journal_run_id'"
        )
    content = bytearray(path.read_bytes())
    content[(page - 1) * size : page * size] = b"\xff" * size
    damaged.write_bytes(content)
    assert refused(downgrade_database, str(damaged)).kind is Kind.DB_DAMAGED
    assert list(tmp_path.glob("*.backup-*")) == []
    assert list(tmp_path.glob("*.part")) == []


@ONLY_SQLITE
def test_nobody_can_write_between_the_copy_and_the_change(with_data: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was written in between would be in neither."""
    copy = backup.copy_database
    heard = []

    def copy_and_try_to_write(store: Store, path: Path) -> None:
        copy(store, path)
        other = Store.connect(with_data, busy_timeout_s=0.05)

        def write() -> None:
            with other.connection_scope():
                try:
                    with other.write():
                        heard.append("written")
                except PipelineError as error:
                    heard.append(str(error.kind))

        thread = threading.Thread(target=write)
        thread.start()
        thread.join(30)

    monkeypatch.setattr(backup, "copy_database", copy_and_try_to_write)
    downgrade_database(with_data)
    assert heard == ["DB_BUSY"]


@ONLY_SQLITE
def test_two_upgrades_at_once_make_one_copy(with_data: str) -> None:
    downgrade_database(with_data)
    for path in copies(with_data):
        path.unlink()
    changes: list[SchemaChange] = []
    start = threading.Barrier(2)

    def work() -> None:
        start.wait()
        changes.append(upgrade_database(with_data))

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(len(change.applied) for change in changes) == [0, 1]
    assert len(copies(with_data)) == 1


@ONLY_POSTGRESQL
def test_a_person_must_say_that_there_is_a_backup(with_data: str) -> None:
    tables = schema(with_data)
    error = refused(downgrade_database, with_data)
    assert error.kind is Kind.USAGE
    assert "pg_dump --format=custom" in error.details["remedy"]
    assert "mre db downgrade --yes" in error.details["remedy"]
    assert schema(with_data) == tables
    assert downgrade_database(with_data, backed_up=True).backup is None
    error = refused(upgrade_database, with_data)
    assert (error.kind, "mre db upgrade --yes" in error.details["remedy"]) == (Kind.USAGE, True)
    assert len(upgrade_database(with_data, backed_up=True).applied) == 1


def test_the_dump_command_holds_no_password() -> None:
    target = parse_url("postgresql://ann:se'cret@db.example.org/mre")
    command = backup.dump_command(target, "0002")
    assert "se" not in command.partition("--file")[2].replace("mre-0002.dump", "").replace("postgresql", "")
    assert "ann@db.example.org/mre" in command
