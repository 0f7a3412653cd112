"""Drift: what pages looked like lately, the cases that doubt a page type, and the canary events."""

from __future__ import annotations

from typing import Any

from peewee import PostgresqlDatabase

from pipeline.store.migration_files import tables_0005


def up(migrator: Any, db: Any) -> None:
    postgresql = isinstance(db, PostgresqlDatabase)
    for statement in (*tables_0005.tables(postgresql=postgresql), *tables_0005.guards(postgresql=postgresql)):
        db.execute_sql(statement)


def down(migrator: Any, db: Any) -> None:
    """Signals, cases and canaries are lost; events, runs and what is served stay."""
    for name in reversed(tables_0005.TABLE_NAMES):  # triggers and indexes go with their table
        db.execute_sql(f"DROP TABLE {name}")
    if isinstance(db, PostgresqlDatabase):
        for name in tables_0005.FUNCTION_NAMES:
            db.execute_sql(f"DROP FUNCTION {name}()")
