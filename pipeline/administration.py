"""Looking after the database itself, whatever state its tables are in: describe it, bring it up to date."""

from __future__ import annotations

from msgspec import Struct

from pipeline.store import migrations, overview
from pipeline.store.database import Store


class DatabaseInfo(Struct, frozen=True):
    """What a database is and how its tables relate to this version of the program."""

    url: str  # password masked
    engine: str  # sqlite or postgresql
    engine_version: str
    size_bytes: int
    applied: tuple[str, ...]  # migrations
    pending: tuple[str, ...]
    problems: tuple[str, ...]  # why this program must not touch it
    rows: dict[str, int]  # table → rows; empty where there are no tables yet


def database_info(url: str) -> DatabaseInfo:
    """Describe a database without changing it. Raises StoreError DB_UNREACHABLE where there is none."""
    store = Store.connect(url, create=False)
    with store.connection_scope(), store.read():
        schema = migrations.schema_info(store)
        return DatabaseInfo(
            url=store.url_shown,
            engine=store.engine,
            engine_version=overview.engine_version(store),
            size_bytes=overview.size_bytes(store),
            applied=tuple(migration.name for migration in schema.applied),
            pending=schema.pending,
            problems=schema.problems,
            rows={} if schema.pending or schema.problems else overview.row_counts(store),
        )


def upgrade_database(url: str) -> tuple[str, ...]:
    """Create a database or bring its tables up to date; the names of the migrations that were applied."""
    store = Store.connect(url)
    with store.connection_scope():
        return migrations.upgrade(store)
