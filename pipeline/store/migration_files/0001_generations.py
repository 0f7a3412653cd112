"""The first tables: events and their runs, generations of rows, leases, journal, politeness; the guards; the views."""

from __future__ import annotations

from typing import Any

from peewee import PostgresqlDatabase

from pipeline.store.migration_files import guards_0001_postgresql, guards_0001_sqlite, tables_0001


def up(migrator: Any, db: Any) -> None:
    postgresql = isinstance(db, PostgresqlDatabase)
    guards = guards_0001_postgresql.GUARDS if postgresql else guards_0001_sqlite.GUARDS
    for statement in (*tables_0001.tables(postgresql=postgresql), *tables_0001.VIEWS, *guards):
        db.execute_sql(statement)


def down(migrator: Any, db: Any) -> None:
    for name in tables_0001.VIEW_NAMES:
        db.execute_sql(f"DROP VIEW {name}")
    for name in reversed(tables_0001.TABLE_NAMES):  # triggers and indexes go with their table
        db.execute_sql(f"DROP TABLE {name}")
    postgresql = isinstance(db, PostgresqlDatabase)
    if postgresql:
        for name in guards_0001_postgresql.FUNCTION_NAMES:
            db.execute_sql(f"DROP FUNCTION {name}()")
