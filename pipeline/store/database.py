"""One database, opened: connections, transactions, and what the database's errors mean.

A `Store` is an embedded SQLite file or a PostgreSQL server behind the same few words: `write()` is one write
transaction, `read()` one consistent snapshot. Each thread has its own connection. Models are unbound; every query names
the store that executes it, so several databases can be open in one process.
"""

from __future__ import annotations

import os
import platform
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import peewee

from pipeline.errors import Kind, StateError, StoreError
from pipeline.store.translate import sqlite3, translate
from pipeline.store.urls import Target, parse_url

# SQLite keeps a moment as whole milliseconds internally; rounding undoes what julianday's double adds.
SQLITE_NOW_MS = "CAST(ROUND((julianday('now') - 2440587.5) * 86400000) AS INTEGER)"
# Not now(): that is the start of the transaction, and leases expire by the wall.
POSTGRESQL_NOW_MS = "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)"

CONNECT_TIMEOUT_S = 10
# A server that vanished without a word is noticed well before a lease expires; by itself TCP waits for hours.
_KEEPALIVE: dict[str, Any] = {
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 25_000,  # milliseconds
}
_NAME_BYTES = 63  # what PostgreSQL keeps of an application's name
WAL_LIMIT_BYTES = 64 * 1024 * 1024


def sqlite_version() -> tuple[int, int, int]:
    """The SQLite that is linked here: pysqlite3's where there is a wheel, otherwise the standard library's."""
    major, minor, patch = sqlite3.sqlite_version_info
    return major, minor, patch


def wal_is_safe(version: tuple[int, int, int]) -> bool:
    """Whether this SQLite is free of the WAL-reset bug, which can lose a committed transaction.

    It came with WAL itself (3.7.0) and was fixed in 3.51.3, 3.50.7 and 3.44.6 (https://www.sqlite.org/wal.html).
    """
    return version >= (3, 51, 3) or (3, 50, 7) <= version < (3, 51) or (3, 44, 6) <= version < (3, 45)


def session_name(host: str, pid: int) -> str:
    """What a process calls its connections: a PostgreSQL server then shows whose each one is."""
    return f"mre {pid}@{host}".encode()[:_NAME_BYTES].decode(errors="ignore")


class _Sqlite(peewee.SqliteDatabase):
    """SQLite with the settings that crash safety and the guards rely on, applied to every connection."""

    def __init__(self, target: Target, *, create: bool, busy_timeout_s: float) -> None:
        self._target = target
        super().__init__(target.sqlite_uri(create=create), uri=True, timeout=busy_timeout_s)

    def _connect(self) -> Any:
        connection = super()._connect()  # type: ignore[misc]
        self.database = self._target.sqlite_uri(create=False)  # should it vanish, no empty one takes its place
        return connection

    def _initialize_connection(self, conn: Any) -> None:
        conn.execute("PRAGMA foreign_keys = ON")
        conn.execute("PRAGMA recursive_triggers = ON")  # REPLACE then fires the DELETE triggers
        conn.execute("PRAGMA synchronous = FULL")  # NORMAL loses acknowledged publishes on power loss
        conn.execute(f"PRAGMA journal_size_limit = {WAL_LIMIT_BYTES}")
        if "max_page_count" in self._target.options:
            conn.execute(f"PRAGMA max_page_count = {int(self._target.options['max_page_count'])}")
        if not self._target.read_only:
            self._choose_journal(conn, "wal" if wal_is_safe(sqlite_version()) else "delete")

    def _choose_journal(self, conn: Any, wanted: str) -> None:
        deadline = time.monotonic() + self.timeout
        while True:
            try:
                (mode,) = conn.execute("PRAGMA journal_mode").fetchone()
                if mode != wanted:
                    (mode,) = conn.execute(f"PRAGMA journal_mode = {wanted}").fetchone()
                break
            except sqlite3.OperationalError as error:
                code = getattr(error, "sqlite_errorcode", 0) & 0xFF
                if code == 8:  # SQLITE_READONLY: readers may still read it as it is
                    return
                # SQLite does not wait by itself here: two processes that open a new file at once meet in this line.
                if code != 5 or time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
        if wanted == "delete" and mode == "wal":
            version = ".".join(map(str, sqlite_version()))
            raise peewee.OperationalError(
                f"the file is in use in WAL mode, and SQLite {version} has the WAL-reset bug; close the other programs"
            )


class _Postgresql(peewee.PostgresqlDatabase):
    """PostgreSQL through psycopg 3. Nobody waits for a lock longer than the busy timeout: its holder may be stopped."""

    def __init__(self, target: Target, *, busy_timeout_s: float) -> None:
        self._busy_timeout_ms = round(busy_timeout_s * 1000)
        defaults: dict[str, Any] = {
            "connect_timeout": CONNECT_TIMEOUT_S,
            "application_name": session_name(platform.node(), os.getpid()),
            **_KEEPALIVE,
        }
        super().__init__(
            target.conninfo,
            prefer_psycopg3=True,
            client_encoding="utf8",
            **{key: value for key, value in defaults.items() if f"{key}=" not in target.conninfo},
        )

    def _initialize_connection(self, conn: Any) -> None:
        conn.execute(f"SET lock_timeout = {self._busy_timeout_ms}")


class _OpenTransaction(threading.local):
    """What this thread has open on one store."""

    mode: str = ""  # "", "read" or "write"
    depth: int = 0


class Store:
    """An open database. Safe to share between threads; each gets its own connection and closes it itself."""

    def __init__(self, target: Target, db: peewee.Database, *, busy_timeout_s: float) -> None:
        self.target = target
        self.db = db
        self.engine = target.engine
        self.url_shown = target.shown
        self.busy_timeout_s = busy_timeout_s
        self._open = _OpenTransaction()

    @classmethod
    def open(
        cls,
        url: str,
        *,
        busy_timeout_s: float = 5.0,
        create: bool = True,
        migrate: bool = True,
        home: Path | None = None,
    ) -> Store:
        """Open a database and make sure that its tables are the ones this program knows.

        `url`: a path, `sqlite:///path`, `file:path` (options `mode`, `immutable`, `max_page_count`) or `postgresql://…`.
        A new database gets its tables unless `migrate` is False; one with older tables is never changed here. `home` is
        the folder that is made where it is not there; any other one has to be: a disk may not be mounted.
        Raises StateError USAGE, StoreError DB_UNREACHABLE, DB_DAMAGED, DB_SCHEMA, DB_BUSY, DB_READONLY, DB_FULL.
        """
        from pipeline.store import migrations  # it needs a Store

        store = cls.connect(url, busy_timeout_s=busy_timeout_s, create=create, home=home)
        try:
            migrations.ensure_current(store, migrate=migrate)
        except BaseException:
            store._drop_connection()
            raise
        return store

    @classmethod
    def connect(cls, url: str, *, busy_timeout_s: float = 5.0, create: bool = True, home: Path | None = None) -> Store:
        """As `open`, whatever tables the database has: for describing and upgrading it."""
        target = parse_url(url)
        database = _database(target, create=create, busy_timeout_s=busy_timeout_s, home=home)
        store = cls(target, database, busy_timeout_s=busy_timeout_s)
        try:
            with store.translated():
                store.db.connect()
        except BaseException:
            store._drop_connection()
            raise
        return store

    # ------------------------------------------------------------ transactions

    @contextmanager
    def write(self) -> Iterator[None]:
        """One write transaction. Used inside another, it joins it: its own part is undone if it raises, the rest stays.

        SQLite takes the write lock at once (BEGIN IMMEDIATE): a read that later writes would fail with
        SQLITE_BUSY_SNAPSHOT whatever the timeout. PostgreSQL runs READ COMMITTED. Database errors become StoreError.
        """
        if self._open.mode == "read":
            raise StoreError(Kind.INTERNAL, "A write was asked for inside a read snapshot")
        with self.translated():
            if self._open.mode == "write":
                with self._savepoint():
                    yield
            else:
                begin = "BEGIN IMMEDIATE" if self.engine == "sqlite" else "BEGIN ISOLATION LEVEL READ COMMITTED"
                with self._transaction("write", begin):
                    yield

    @contextmanager
    def read(self) -> Iterator[None]:
        """One consistent snapshot: every query inside sees the same committed state. Inside `write()` it joins that."""
        with self.translated():
            if self._open.mode:
                yield
            else:
                begin = "BEGIN" if self.engine == "sqlite" else "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
                with self._transaction("read", begin):
                    yield

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Let no driver's exception out: it leaves as StoreError."""
        try:
            yield
        except (StoreError, StateError):
            raise
        except Exception as error:
            known = translate(error, url=self.url_shown, secret=self.target.secret)
            if known is None:
                raise
            raise known from error

    @contextmanager
    def _transaction(self, mode: str, begin: str) -> Iterator[None]:
        self._begin(begin)
        self._open.mode, self._open.depth = mode, 0
        # peewee must know, so that its own atomic() (in migrations) makes a savepoint and close() refuses.
        self.db.push_transaction(self.db.transaction())
        try:
            yield
            self.db.execute_sql("COMMIT")
        except BaseException:
            # SQLite has rolled back by itself after some errors (full, I/O), PostgreSQL may be gone.
            with suppress(Exception):
                self.db.execute_sql("ROLLBACK")
            raise
        finally:
            self._open.mode = ""
            self.db.pop_transaction()
            if self._connection_is_lost():
                self._drop_connection()

    @contextmanager
    def _savepoint(self) -> Iterator[None]:
        if self.engine == "sqlite" and not self.db.connection().in_transaction:
            # Without this, what follows after SQLite ended the transaction by itself would be committed statement by
            # statement.
            raise StoreError(Kind.DB_ERROR, "The transaction was already rolled back after an earlier error")
        name = f"part_{self._open.depth}"
        self.db.execute_sql(f"SAVEPOINT {name}")
        self._open.depth += 1
        try:
            yield
        except BaseException:
            with suppress(Exception):
                self.db.execute_sql(f"ROLLBACK TO SAVEPOINT {name}")
                self.db.execute_sql(f"RELEASE SAVEPOINT {name}")
            raise
        else:
            self.db.execute_sql(f"RELEASE SAVEPOINT {name}")
        finally:
            self._open.depth -= 1

    def _begin(self, begin: str) -> None:
        try:
            self.db.execute_sql(begin)
        except peewee.PeeweeException:
            # A server that restarted leaves a dead connection behind. Nothing was sent in this transaction: reconnect.
            if not self._connection_is_lost():
                raise
            self._drop_connection()
            self.db.execute_sql(begin)

    @contextmanager
    def patience(self, seconds: float) -> Iterator[None]:
        """Inside, this thread waits at most so long for what others hold, instead of the store's busy timeout."""
        self._wait_at_most(seconds)
        try:
            yield
        finally:
            with suppress(StoreError):  # a lost connection: the next one starts with the store's own
                self._wait_at_most(self.busy_timeout_s)

    def _wait_at_most(self, seconds: float) -> None:
        name = "PRAGMA busy_timeout" if self.engine == "sqlite" else "SET lock_timeout"
        try:
            self.sql(f"{name} = {round(seconds * 1000)}")
        except StoreError:
            if not self._connection_is_lost():
                raise
            self._drop_connection()
            self.sql(f"{name} = {round(seconds * 1000)}")

    # ------------------------------------------------------------ queries

    def fetch_all(self, query: Any) -> list[dict[str, Any]]:
        """The rows of a peewee select, as dicts keyed by field name or alias."""
        with self.read():
            return list(query.dicts().execute(self.db))

    def fetch_one(self, query: Any) -> dict[str, Any] | None:
        """The first row of a peewee select, or None."""
        rows = self.fetch_all(query)
        return rows[0] if rows else None

    def change(self, query: Any) -> Any:
        """Execute a peewee insert (returns the new id), update or delete (returns the number of rows changed)."""
        with self.write():
            return query.execute(self.db)

    def sql(self, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Execute SQL with `?` placeholders inside the open transaction; the rows it returns, or none."""
        with self.translated():
            if self.engine == "postgresql":
                statement = statement.replace("?", "%s")
            cursor = self.db.execute_sql(statement, parameters or None)
            return cursor.fetchall() if cursor.description else []

    def now_ms(self) -> peewee.SQL:
        """The database's clock as an SQL expression: UTC, milliseconds since 1970."""
        return peewee.SQL(SQLITE_NOW_MS if self.engine == "sqlite" else POSTGRESQL_NOW_MS)

    def clock_ms(self) -> int:
        """What the database's clock says: UTC, milliseconds since 1970."""
        with self.read():
            ((now,),) = self.sql(f"SELECT {self.now_ms().sql}")
            return int(now)

    # ------------------------------------------------------------ connections

    def close(self) -> None:
        """Close this thread's connection. The next query opens a new one."""
        with self.translated():
            self.db.close()

    @contextmanager
    def connection_scope(self) -> Iterator[Store]:
        """For worker threads: whatever connection this thread opens inside is closed at the end."""
        try:
            yield self
        finally:
            self._drop_connection()

    def _connection_is_lost(self) -> bool:
        return self.engine == "postgresql" and not self.db.is_closed() and bool(self.db.connection().closed)

    def _drop_connection(self) -> None:
        """Close what may be broken; its state is forgotten even where closing fails."""
        with suppress(Exception):
            self.db.close()


def _database(target: Target, *, create: bool, busy_timeout_s: float, home: Path | None) -> peewee.Database:
    if target.engine == "postgresql":
        if find_spec("psycopg") is None:
            raise StateError(
                Kind.MISSING_EXTRA, "PostgreSQL needs the extra `postgres`: pip install 'mre-console[postgres]'"
            )
        return _Postgresql(target, busy_timeout_s=busy_timeout_s)
    assert target.path is not None
    if create and not target.read_only:
        _require_folder(target.path.parent, target, home)
    return _Sqlite(target, create=create, busy_timeout_s=busy_timeout_s)


def _require_folder(folder: Path, target: Target, home: Path | None) -> None:
    """Raise StoreError DB_UNREACHABLE where the folder is not there and may not, or cannot, be made."""
    if folder.is_dir():
        return
    if home is None or folder.absolute() != home.absolute():
        raise StoreError(
            Kind.DB_UNREACHABLE,
            f"The folder of the database does not exist ({target.shown}); its disk may not be mounted, so it is not "
            "made. To begin anew there, run `mre db upgrade`",
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(
            Kind.DB_UNREACHABLE, f"The folder of the database cannot be made ({target.shown}): {error}"
        ) from error
