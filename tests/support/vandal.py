"""Damages a database in ways that its guards would never allow: for tests of whether somebody notices.

Triggers and foreign keys are out of force while the statements run and in force again afterwards; constraints and
unique indexes that stand in the way are named by the caller, and stay away.
"""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.store.database import Store


def damage(
    store: Store, *statements: str, constraints: Sequence[tuple[str, str]] = (), indexes: Sequence[str] = ()
) -> None:
    """Execute statements past every guard. `constraints` are (table, CHECK or foreign key), PostgreSQL only."""
    if store.engine == "postgresql":
        for table, constraint in constraints:
            store.sql(f"ALTER TABLE {table} DROP CONSTRAINT {constraint}")
        before, after = ["SET LOCAL session_replication_role = replica"], []
    else:
        with store.read():
            triggers = store.sql("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
        before, after = [f"DROP TRIGGER {name}" for name, _ in triggers], [sql for _, sql in triggers]
        store.sql("PRAGMA foreign_keys = OFF")
        store.sql("PRAGMA ignore_check_constraints = ON")
    try:
        with store.write():
            for statement in (*before, *(f"DROP INDEX {index}" for index in indexes), *statements, *after):
                store.sql(statement)
    finally:
        if store.engine == "sqlite":
            store.sql("PRAGMA ignore_check_constraints = OFF")
            store.sql("PRAGMA foreign_keys = ON")
