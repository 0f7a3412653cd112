"""Schedules and their runs, the events that are wanted, and the workers of all machines."""

from __future__ import annotations

from typing import Any

from peewee import PostgresqlDatabase

from pipeline.store.migration_files import tables_0006


def up(migrator: Any, db: Any) -> None:
    for statement in tables_0006.tables(postgresql=isinstance(db, PostgresqlDatabase)):
        db.execute_sql(statement)


def down(migrator: Any, db: Any) -> None:
    for name in ("wanted", "job_run", "schedule", "worker"):
        db.execute_sql(f"DROP TABLE {name}")
