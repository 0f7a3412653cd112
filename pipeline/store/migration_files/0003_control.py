"""The global switch of ingestion, and the record of every run of the checks."""

from __future__ import annotations

from typing import Any

from peewee import PostgresqlDatabase

from pipeline.store.migration_files import tables_0003


def up(migrator: Any, db: Any) -> None:
    postgresql = isinstance(db, PostgresqlDatabase)
    for statement in (*tables_0003.tables(postgresql=postgresql), *tables_0003.guards(postgresql=postgresql)):
        db.execute_sql(statement)


def down(migrator: Any, db: Any) -> None:
    for name in reversed(tables_0003.TABLE_NAMES):  # triggers and indexes go with their table
        db.execute_sql(f"DROP TABLE {name}")
