"""The numbered migrations: what is applied, what is pending, and the upgrade.

Files live in `migration_files/`; playhouse's runner applies them. What it does not notice is added here: a file that
was edited after it had been applied (its sha256 is stored), a database made by a newer version, a database that is
somebody else's, and two processes that upgrade at once.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import peewee
from msgspec import Struct
from playhouse.migrations import MigrationError, Runner

from pipeline.errors import Kind, StoreError
from pipeline.store.database import Store

DIRECTORY = Path(__file__).parent / "migration_files"
HISTORY_TABLE = "schema_migration"  # kept by playhouse's runner
CHECKSUM_TABLE = "schema_checksum"
UPGRADE_LOCK = 7_730_486_677  # any fixed number: the PostgreSQL advisory lock that upgrades take


class AppliedMigration(Struct, frozen=True):
    name: str
    sha256: str | None  # of the files that were applied
    applied_at: int | None  # UTC milliseconds


class SchemaInfo(Struct, frozen=True):
    """How the tables of a database relate to this version of the program."""

    is_new: bool  # no tables at all
    applied: tuple[AppliedMigration, ...]
    pending: tuple[str, ...]
    problems: tuple[str, ...]  # why this program must not touch it; empty when all is well


def schema_info(store: Store, directory: Path = DIRECTORY) -> SchemaInfo:
    """Read what is applied and pending. Changes nothing; works on a read-only database."""
    with store.read():
        tables = set(store.db.get_tables())
        files = {
            migration.name: _sha256(directory, migration.name) for migration in _runner(store, directory).migrations()
        }
        if HISTORY_TABLE not in tables:
            foreign = sorted(tables)[:3]
            problems = (f"it holds tables of another program ({', '.join(foreign)})",) if foreign else ()
            return SchemaInfo(is_new=not tables, applied=(), pending=tuple(sorted(files)), problems=problems)
        stored = {
            name: (sha256, at)
            for name, sha256, at in store.sql(f"SELECT name, sha256, applied_at FROM {CHECKSUM_TABLE}")
        }
        names = sorted(name for (name,) in store.sql(f"SELECT name FROM {HISTORY_TABLE}"))
    applied = tuple(AppliedMigration(name, *stored.get(name, (None, None))) for name in names)
    return SchemaInfo(
        is_new=False,
        applied=applied,
        pending=tuple(sorted(set(files) - set(names))),
        problems=tuple(problem for migration in applied if (problem := _problem(migration, files))),
    )


def pending(store: Store, directory: Path = DIRECTORY) -> tuple[str, ...]:
    """Names of the migrations that are not applied yet, in order."""
    return schema_info(store, directory).pending


def upgrade(
    store: Store, directory: Path = DIRECTORY, *, before: Callable[[SchemaInfo], None] | None = None
) -> tuple[str, ...]:
    """Apply what is pending, all in one transaction; the names applied.

    Safe while others upgrade too: it takes the write lock (PostgreSQL: an advisory one) and looks again. `before` is
    called once it is certain that an existing database will be changed and nobody else can; what it raises stops that.
    Raises StoreError DB_SCHEMA where the database is not this program's to change.
    """
    applied = []
    with _schema_change(store, directory) as info:
        if info.pending and not info.is_new and before is not None:
            before(info)
        while name := _apply_next(store, directory):
            applied.append(name)
    return tuple(applied)


def downgrade(
    store: Store, directory: Path = DIRECTORY, *, before: Callable[[SchemaInfo], None] | None = None
) -> tuple[str, ...]:
    """Revert the newest migration, with whatever its tables held; the names reverted. `before` as for `upgrade`."""
    with _schema_change(store, directory) as info:
        if before is not None:
            before(info)
        reverted = tuple(_run(_runner(store, directory).down))
        for name in reverted:
            store.sql(f"DELETE FROM {CHECKSUM_TABLE} WHERE name = ?", name)
        return reverted


def ensure_current(store: Store, *, migrate: bool, directory: Path = DIRECTORY) -> None:
    """Give a new database its tables; refuse any other whose tables are not exactly those of this version."""
    info = schema_info(store, directory)
    _refuse(store, info)
    if not info.pending:
        return
    if not info.is_new:
        raise StoreError(
            Kind.DB_SCHEMA,
            f"The database {store.url_shown} is older than this program; run `mre db upgrade` "
            f"(pending: {', '.join(info.pending)})",
            pending=list(info.pending),
        )
    without_tables = StoreError(Kind.DB_SCHEMA, f"The database {store.url_shown} is empty: it has no tables yet")
    if not migrate or store.target.read_only:
        raise without_tables
    try:
        with store.write():  # all at once: whoever opens it meanwhile finds either nothing or everything
            upgrade(store, directory)
    except StoreError as error:
        if error.kind is Kind.DB_READONLY:
            raise without_tables from error
        raise


def expected_triggers(engine: str, directory: Path = DIRECTORY) -> frozenset[str]:
    """The names of the guards that a database of this version has: what all migrations make and none takes away."""
    recorder = _Recorder(engine)
    for path in sorted(directory.glob("[0-9]*.py")):
        spec = spec_from_file_location(f"recorded_{path.stem}", path)
        assert spec is not None
        assert spec.loader is not None
        module = module_from_spec(spec)
        spec.loader.exec_module(module)
        module.up(None, recorder.database)
    return frozenset(recorder.triggers)


class _Recorder:
    """Takes the place of a database while migrations run, and keeps which triggers they leave."""

    def __init__(self, engine: str) -> None:
        kind: Any = peewee.PostgresqlDatabase if engine == "postgresql" else peewee.SqliteDatabase
        self.database = kind(None)
        self.database.execute_sql = self._execute
        self.triggers: dict[str, str] = {}  # trigger → its table

    def _execute(self, statement: str, _parameters: object = None) -> None:
        words = re.sub(r"\s+", " ", statement).strip()
        if made := re.match(r"CREATE TRIGGER (\w+) .*? ON (\w+)", words):
            self.triggers[made[1]] = made[2]
        elif dropped := re.match(r"DROP TRIGGER (?:IF EXISTS )?(\w+)", words):
            self.triggers.pop(dropped[1], None)
        elif gone := re.match(r"DROP TABLE (?:IF EXISTS )?(\w+)", words):
            self.triggers = {name: table for name, table in self.triggers.items() if table != gone[1]}


@contextmanager
def _schema_change(store: Store, directory: Path) -> Iterator[SchemaInfo]:
    """One transaction in which nobody else changes the tables. Raises StoreError DB_SCHEMA: they are not ours to."""
    with _without_foreign_keys(store), store.write():
        if store.engine == "postgresql":
            store.sql("SELECT pg_advisory_xact_lock(?)", UPGRADE_LOCK)
        info = schema_info(store, directory)
        _refuse(store, info)
        yield info


def _apply_next(store: Store, directory: Path) -> str | None:
    info = schema_info(store, directory)
    if not info.pending:
        return None
    name = info.pending[0]
    store.sql(
        f"CREATE TABLE IF NOT EXISTS {CHECKSUM_TABLE} "
        "(name TEXT NOT NULL PRIMARY KEY, sha256 TEXT NOT NULL, applied_at BIGINT NOT NULL)"
    )
    _run(_runner(store, directory).up, name)
    if store.engine == "sqlite" and (broken := store.sql("PRAGMA foreign_key_check")):
        raise StoreError(Kind.DB_SCHEMA, f"Migration {name} left rows without their parent in table {broken[0][0]}")
    store.sql(
        f"INSERT INTO {CHECKSUM_TABLE} (name, sha256, applied_at) VALUES (?, ?, {store.now_ms().sql})",
        name,
        _sha256(directory, name),
    )
    return name


@contextmanager
def _without_foreign_keys(store: Store) -> Iterator[None]:
    """SQLite rebuilds a table to alter it; with foreign keys on, dropping the old copy would count as deleting parents.

    The pragma has no effect inside a transaction, so it brackets it; the check before the commit finds what was broken.
    """
    if store.engine == "sqlite":
        store.sql("PRAGMA foreign_keys = OFF")
    try:
        yield
    finally:
        if store.engine == "sqlite":
            store.sql("PRAGMA foreign_keys = ON")


def _refuse(store: Store, info: SchemaInfo) -> None:
    if info.problems:
        raise StoreError(
            Kind.DB_SCHEMA,
            f"The database {store.url_shown} cannot be used: {'; '.join(info.problems)}",
            problems=list(info.problems),
        )


def _problem(migration: AppliedMigration, files: dict[str, str]) -> str | None:
    if migration.name not in files:
        return f"it was made by a newer version of the program, which applied {migration.name}"
    if migration.sha256 != files[migration.name]:
        return f"migration {migration.name} was applied from other files than this version has"
    return None


def _runner(store: Store, directory: Path) -> Any:
    return Runner(store.db, str(directory), table_name=HISTORY_TABLE)


def _run(step: Any, *arguments: Any) -> list[str]:
    try:
        done: list[str] = step(*arguments)
    except MigrationError as error:
        raise StoreError(Kind.DB_SCHEMA, f"The migration cannot run: {error}") from error
    return done


def _sha256(directory: Path, name: str) -> str:
    """Of the migration `0001_….py` and of every file beside it with its number, e.g. `guards_0001_sqlite.py`."""
    number = name.partition("_")[0]
    digest = hashlib.sha256()
    for path in sorted(directory.glob("*.py")):
        if path.stem == name or number in path.stem.split("_")[1:]:
            digest.update(path.name.encode() + b"\0" + path.read_bytes().replace(b"\r\n", b"\n") + b"\0")
    return digest.hexdigest()
