"""Looking after the database itself, whatever state its tables are in: describe it, bring it up to date, go back."""

from __future__ import annotations

from msgspec import Struct

from pipeline.errors import Kind, StateError
from pipeline.store import backup, migrations, overview
from pipeline.store.database import Store
from pipeline.store.urls import parse_url


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


class SchemaChange(Struct, frozen=True):
    """What was done to a database's tables."""

    applied: tuple[str, ...] = ()  # migrations
    reverted: tuple[str, ...] = ()
    backup: str | None = None  # the file that holds the database as it was


def upgrade_database(url: str, *, backed_up: bool = False) -> SchemaChange:
    """Create a database, with its folder, or bring its tables up to date; a copy of an existing one is made first.

    `backed_up`: the person says that there is a backup, where none can be made from here (PostgreSQL).
    Raises StateError USAGE where that has to be said. StoreError: nothing was changed.
    """
    target = parse_url(url)
    store = Store.connect(url, home=target.path.parent if target.path else None)
    with store.connection_scope():
        keep = _Backup(store, backed_up, "upgrade")
        return SchemaChange(applied=migrations.upgrade(store, before=keep), backup=keep.made)


def downgrade_database(url: str, *, backed_up: bool = False) -> SchemaChange:
    """Revert the newest migration, for going back to the version of the program before it; what it held is lost.

    A copy is made first, as by `upgrade_database`. Afterwards this version refuses the database until it is upgraded.
    Raises StateError USAGE: also for the first migration, which holds everything; LOCK_HELD while events are worked on.
    """
    store = Store.connect(url, create=False)
    with store.connection_scope():
        keep = _Backup(store, backed_up, "downgrade")

        def before(info: migrations.SchemaInfo) -> None:
            _refuse_downgrade(store, info)
            keep(info)

        return SchemaChange(reverted=migrations.downgrade(store, before=before), backup=keep.made)


class _Backup:
    """Makes the copy before the first change, or insists that there is one. `made` says where it is."""

    def __init__(self, store: Store, backed_up: bool, verb: str) -> None:
        self.made: str | None = None
        self._store, self._backed_up, self._verb = store, backed_up, verb

    def __call__(self, info: migrations.SchemaInfo) -> None:
        schema = info.applied[-1].name.partition("_")[0]
        target = self._store.target
        if target.engine == "sqlite":
            path = backup.backup_path(target, schema)
            backup.copy_database(self._store, path)
            self.made = str(path)
        elif not self._backed_up:
            raise StateError(
                Kind.USAGE,
                f"the tables of {target.shown} would be changed, and no copy of it can be made from here",
                remedy=f"Run {backup.dump_command(target, schema)}, then `mre db {self._verb} --yes`.",
            )


def _refuse_downgrade(store: Store, info: migrations.SchemaInfo) -> None:
    if len(info.applied) < 2:
        raise StateError(
            Kind.USAGE,
            "there is nothing before the first migration: it holds everything",
            remedy="To begin anew, name another database with --db.",
        )
    ((held,),) = store.sql("SELECT COUNT(*) FROM lease WHERE run_id IS NOT NULL")
    if held:
        raise StateError(
            Kind.LOCK_HELD,
            f"{held} events are being worked on: their runs would lose the tables they write to",
            remedy="Stop them with `mre cancel EVENT`, or see `mre locks list`.",
        )
