"""A copy of the database before its tables are changed: made by itself for SQLite, explained for PostgreSQL.

The copy is taken by SQLite's own backup interface, beside the database, while nobody can write; it is checked before it
gets its name, so a file that has the name is whole.
"""

from __future__ import annotations

import errno
import os
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from shlex import quote

from pipeline.errors import Kind, StoreError
from pipeline.store.database import Store
from pipeline.store.translate import sqlite3
from pipeline.store.urls import Target


def backup_path(target: Target, schema: str, now: datetime | None = None) -> Path:
    """Where the copy goes: `<db>.backup-<schema>-<time>`, e.g. `mre.sqlite3.backup-0001-20260131T093000Z`."""
    assert target.path is not None
    at = (now or datetime.now(UTC)).strftime("%Y%m%dT%H%M%SZ")
    path = target.path.with_name(f"{target.path.name}.backup-{schema}-{at}")
    number = 2
    while path.exists():
        path = path.with_name(f"{target.path.name}.backup-{schema}-{at}-{number}")
        number += 1
    return path


def dump_command(target: Target, schema: str) -> str:
    """What a person types to keep a copy of a PostgreSQL database. It holds no password: pg_dump asks for it."""
    place = target.shown.replace(":***@", "@")
    return f"pg_dump --format=custom --file=mre-{schema}.dump {quote(place)}"


def copy_database(store: Store, path: Path) -> None:
    """Copy a SQLite database as it was last committed. Call it inside a write transaction that has not written yet.

    Raises StoreError; there is no file then.
    """
    beside = path.with_name(f".{path.name}.part")
    try:
        with store.translated():
            _copy(store.target, beside)
        beside.chmod(_mode(store.target))
        with beside.open("rb+") as file:
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        kind = Kind.DB_FULL if error.errno in (errno.ENOSPC, errno.EDQUOT) else Kind.DB_READONLY
        raise StoreError(kind, f"The database could not be copied to {path}: {error.strerror or error}") from error
    finally:
        with suppress(OSError):
            beside.unlink(missing_ok=True)


def _copy(target: Target, beside: Path) -> None:
    with (
        closing(sqlite3.connect(target.sqlite_uri(create=False), uri=True)) as source,
        closing(sqlite3.connect(str(beside))) as copy,
    ):
        source.backup(copy)
        # Out of WAL mode: the copy is then one file, whatever becomes of the programs that look at it.
        copy.execute("PRAGMA journal_mode = DELETE")
        ((verdict,),) = copy.execute("PRAGMA quick_check").fetchall()[:1]
    if verdict != "ok":
        raise StoreError(Kind.DB_DAMAGED, f"The copy of the database is not sound, so nothing was changed: {verdict}")


def _mode(target: Target) -> int:
    assert target.path is not None
    return target.path.stat().st_mode & 0o777
