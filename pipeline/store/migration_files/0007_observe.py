"""Where each run's time went: its spans, written once when it ends."""

from __future__ import annotations

from typing import Any

from peewee import PostgresqlDatabase

_TABLE = """
    CREATE TABLE run_timeline (
        run_id BIGINT NOT NULL PRIMARY KEY REFERENCES run (id) ON DELETE RESTRICT,
        spans TEXT NOT NULL
    )
"""
_MESSAGE = "what a run did stays as it was"
_SQLITE = (
    f"CREATE TRIGGER run_timeline_update BEFORE UPDATE ON run_timeline BEGIN SELECT RAISE(ABORT, '{_MESSAGE}'); END",
    f"""CREATE TRIGGER run_timeline_replace BEFORE INSERT ON run_timeline
        WHEN EXISTS (SELECT 1 FROM run_timeline WHERE run_id = NEW.run_id)
        BEGIN SELECT RAISE(ABORT, '{_MESSAGE}'); END""",
)
_POSTGRESQL = (
    f"""CREATE TRIGGER run_timeline_update BEFORE UPDATE ON run_timeline
        FOR EACH ROW EXECUTE FUNCTION guard_refuse('{_MESSAGE}')""",
)


def up(migrator: Any, db: Any) -> None:
    for statement in (_TABLE, *(_POSTGRESQL if isinstance(db, PostgresqlDatabase) else _SQLITE)):
        db.execute_sql(statement)


def down(migrator: Any, db: Any) -> None:
    db.execute_sql("DROP TABLE run_timeline")
