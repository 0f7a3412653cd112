"""Recovery: the actions that were taken with what they need to be undone, and each event's count of failed attempts."""

from __future__ import annotations

from typing import Any

from peewee import PostgresqlDatabase

from pipeline.store.migration_files import guards_0002_postgresql, guards_0002_sqlite, tables_0002


def up(migrator: Any, db: Any) -> None:
    postgresql = isinstance(db, PostgresqlDatabase)
    guards = guards_0002_postgresql.GUARDS if postgresql else guards_0002_sqlite.GUARDS
    for statement in (*tables_0002.statements("postgresql" if postgresql else "sqlite"), *guards):
        db.execute_sql(statement)


def down(migrator: Any, db: Any) -> None:
    """Actions and counts are lost; events, runs and what is served stay."""
    postgresql = isinstance(db, PostgresqlDatabase)
    if postgresql:
        db.execute_sql("DROP TRIGGER purge_permit_undo ON purge_permit")
        for name in guards_0002_postgresql.FUNCTION_NAMES:
            db.execute_sql(f"DROP FUNCTION {name}()")
    else:
        for name in guards_0002_sqlite.NAMES_ON_OTHER_TABLES:
            db.execute_sql(f"DROP TRIGGER {name}")
    db.execute_sql("DROP TABLE action")
    for name in reversed(tables_0002.EVENT_COLUMNS):
        db.execute_sql(f"ALTER TABLE event DROP COLUMN {name}")
