"""The gate: how page sets read with each build of the readers, what holds of a build now, and who changed a set."""

from __future__ import annotations

from typing import Any

from peewee import PostgresqlDatabase

from pipeline.store.migration_files import tables_0004


def up(migrator: Any, db: Any) -> None:
    postgresql = isinstance(db, PostgresqlDatabase)
    for statement in (*tables_0004.tables(postgresql=postgresql), *tables_0004.guards(postgresql=postgresql)):
        db.execute_sql(statement)


def down(migrator: Any, db: Any) -> None:
    for name in reversed(tables_0004.TABLE_NAMES):  # triggers and indexes go with their table
        db.execute_sql(f"DROP TABLE {name}")
    if isinstance(db, PostgresqlDatabase):
        for name in tables_0004.FUNCTIONS:
            db.execute_sql(f"DROP FUNCTION {name}()")
