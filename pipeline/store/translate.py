"""What a database said, as one of our kinds.

The only place that knows SQLite's result codes and PostgreSQL's SQLSTATEs. A driver's exception goes in, a `StoreError`
with the right kind and a sentence comes out; nobody outside the store ever sees the driver's own.
"""

from __future__ import annotations

import re
from typing import Any

import peewee

from pipeline.errors import Kind, StoreError

# pysqlite3 where there is a wheel, otherwise the standard library's: whichever peewee took. Not in its stubs.
sqlite3: Any = peewee.__dict__["sqlite3"]

# SQLite's primary result codes (https://www.sqlite.org/rescode.html); pysqlite3 and sqlite3 both carry them as numbers.
SQLITE_KINDS: dict[int, Kind] = {
    5: Kind.DB_BUSY,  # SQLITE_BUSY
    6: Kind.DB_BUSY,  # SQLITE_LOCKED
    8: Kind.DB_READONLY,  # SQLITE_READONLY
    11: Kind.DB_DAMAGED,  # SQLITE_CORRUPT
    13: Kind.DB_FULL,  # SQLITE_FULL
    14: Kind.DB_UNREACHABLE,  # SQLITE_CANTOPEN
    15: Kind.DB_BUSY,  # SQLITE_PROTOCOL: others were faster too often, or a lock could not be had
    17: Kind.DB_BUSY,  # SQLITE_SCHEMA: changed under us more often than SQLite retries by itself
    19: Kind.DB_REFUSED,  # SQLITE_CONSTRAINT
    20: Kind.DB_REFUSED,  # SQLITE_MISMATCH
    26: Kind.DB_DAMAGED,  # SQLITE_NOTADB
}

# PostgreSQL's SQLSTATE (https://www.postgresql.org/docs/current/errcodes-appendix.html), the longest prefix decides.
SQLSTATE_KINDS: dict[str, Kind] = {
    "08": Kind.DB_UNREACHABLE,  # connection exception
    "22": Kind.DB_REFUSED,  # data exception: a value that the column cannot hold
    "23": Kind.DB_REFUSED,  # integrity constraint violation, and our triggers
    "25006": Kind.DB_READONLY,  # read only transaction
    "28": Kind.DB_UNREACHABLE,  # wrong user or password
    "3D000": Kind.DB_UNREACHABLE,  # no such database
    "40": Kind.DB_BUSY,  # serialization failure, deadlock
    "42501": Kind.DB_READONLY,  # insufficient privilege
    "42703": Kind.DB_SCHEMA,  # undefined column
    "42P01": Kind.DB_SCHEMA,  # undefined table
    "53100": Kind.DB_FULL,  # disk full
    "53300": Kind.DB_BUSY,  # too many connections
    "55P03": Kind.DB_BUSY,  # lock not available: lock_timeout
    "57014": Kind.DB_BUSY,  # query canceled: statement_timeout
    "57P": Kind.DB_UNREACHABLE,  # shutdown, crash, still starting
    "XX001": Kind.DB_DAMAGED,  # data corrupted
    "XX002": Kind.DB_DAMAGED,  # index corrupted
}

DISK_FAILED = 10  # SQLITE_IOERR
DISK_REMEDY = (
    "Look at the disk and the file system that the database is on (room, mount, the system's log), then run the same "
    "command again; `mre checks` says whether the data is whole."
)

IN_WORDS: dict[Kind, str] = {
    Kind.DB_UNREACHABLE: "The database cannot be reached",
    Kind.DB_FULL: "The database is full",
    Kind.DB_READONLY: "The database cannot be written",
    Kind.DB_BUSY: "The database is held by another process",
    Kind.DB_DAMAGED: "The database file is damaged or is not a database",
    Kind.DB_SCHEMA: "The database has other tables than this version of the program expects",
    Kind.DB_REFUSED: "The database refused an inconsistent write",
    Kind.DB_ERROR: "The database reported an error",
}


def translate(error: BaseException, *, url: str = "", secret: str = "") -> StoreError | None:
    """The StoreError for a peewee, sqlite3 or psycopg exception; None for anything else.

    `url` (without a password) says which database; `secret` is removed from what the driver said.
    """
    original: BaseException = error
    while isinstance(original, peewee.PeeweeException) and hasattr(original, "orig"):  # a failed reconnect wraps twice
        original = original.orig
    if not isinstance(error, peewee.PeeweeException) and not _is_driver_error(original):
        return None
    # PostgreSQL adds where in which function; a person needs the sentence.
    said = " ".join(str(getattr(getattr(original, "diag", None), "message_primary", None) or original).split())
    if secret:
        said = said.replace(secret, "***")
    kind = _kind(original, said)
    if getattr(original, "sqlite_errorcode", 0) & 0xFF == DISK_FAILED:
        return StoreError(kind, f"The disk failed under the database ({url}): {said}", said=said, remedy=DISK_REMEDY)
    where = (
        f" ({url})" if url and kind in (Kind.DB_UNREACHABLE, Kind.DB_DAMAGED, Kind.DB_READONLY, Kind.DB_FULL) else ""
    )
    return StoreError(kind, f"{IN_WORDS[kind]}{where}: {said}", said=said, sqlstate=getattr(original, "sqlstate", None))


def _is_driver_error(error: BaseException) -> bool:
    """Errors raised while rows are fetched, or by COPY, do not pass through peewee's wrapper."""
    return type(error).__module__.partition(".")[0] in ("sqlite3", "pysqlite3", "psycopg") or isinstance(
        error, sqlite3.Error
    )


def _kind(original: BaseException, said: str) -> Kind:
    code = getattr(original, "sqlite_errorcode", None)
    if code is not None:
        if code & 0xFF == 1:  # SQLITE_ERROR: a catch-all, only its text tells
            return _by_text(said)
        return SQLITE_KINDS.get(code & 0xFF, Kind.DB_ERROR)
    state = getattr(original, "sqlstate", None)
    if state:
        prefixes = (state[:length] for length in (5, 3, 2))
        return next((SQLSTATE_KINDS[p] for p in prefixes if p in SQLSTATE_KINDS), Kind.DB_ERROR)
    if type(original).__module__.startswith("psycopg"):
        # libpq gives no SQLSTATE where it never reached a server, or lost it.
        if type(original).__name__ == "DataError":
            return Kind.DB_REFUSED
        if type(original).__name__ in ("OperationalError", "ConnectionTimeout", "InterfaceError"):
            return Kind.DB_UNREACHABLE
    return _by_text(said)


def _by_text(said: str) -> Kind:
    if re.search(r"no such (table|column)|has no column", said):
        return Kind.DB_SCHEMA
    if "database is locked" in said:  # drivers that carry no code
        return Kind.DB_BUSY
    if "cannot open" in said or "unable to open" in said:
        return Kind.DB_UNREACHABLE
    return Kind.DB_ERROR
