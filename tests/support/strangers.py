"""A connection that knows nothing of us, and a database full of things for it to try.

Its statements run with the driver's defaults, so without our pragmas: no foreign keys and no recursive triggers on
SQLite, where REPLACE then deletes without a DELETE trigger. After every refusal the whole database is compared with
what it was before.
"""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.store import publish
from pipeline.store.database import Store
from pipeline.store.leases import Fence
from pipeline.store.migration_files.tables_0001 import TABLE_NAMES
from pipeline.store.translate import sqlite3
from tests.support.generations import begin, document, published

only_sqlite = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)  # the one with REPLACE
only_postgresql = pytest.mark.parametrize("engine", ["postgresql"], indirect=True)  # the one with many writers

SEAL = """UPDATE run SET sealed = TRUE, document_sha256 = 'x', race_count = 2, result_count = 4, lap_count = 8,
          lap_ms_sum = 316400, entry_count = 2 WHERE id = {run}"""


INTO_SEALED = {
    "race": """INSERT INTO race (run_id, source_race_id, class_name, race_label, race_order)
               VALUES ({run}, '1', 'c', 'l', 99)""",
    "result": """INSERT INTO result (race_id, row_number, position, driver_name, laps_completed)
                 VALUES ({race}, 99, 99, 'd', 0)""",
    "lap": "INSERT INTO lap (result_id, lap_number, lap_time_ms, elapsed_ms) VALUES ({result}, 99, 1, 1)",
    "entry": "INSERT INTO entry (run_id, row_number, class_name, number, driver_name) VALUES ({run}, 99, 'c', 1, 'd')",
    "event_header": """INSERT INTO event_header
                       (run_id, source, source_event_id, track_slug, event_name, has_entry_list)
                       VALUES ({run}, 's', '1', 't', 'e', FALSE)""",
}


class Stranger:
    """A connection that knows nothing of us. Each statement commits by itself."""

    def __init__(self, store: Store) -> None:
        self.engine = store.engine
        if store.engine == "sqlite":
            assert store.target.path is not None
            self._connection: Any = sqlite3.connect(store.target.path, isolation_level=None)
        else:
            import psycopg

            self._connection = psycopg.connect(store.target.conninfo, autocommit=True)

    def execute(self, statement: str) -> Any:
        return self._connection.execute(statement)

    def run(self, *statements: str) -> None:
        """All statements in one transaction."""
        self.execute("BEGIN")
        try:
            for statement in statements:
                self.execute(statement)
            self.execute("COMMIT")
        except BaseException:
            self.execute("ROLLBACK")
            raise

    def everything(self) -> dict[str, list[tuple[Any, ...]]]:
        return {table: sorted(self.execute(f"SELECT * FROM {table}").fetchall(), key=repr) for table in TABLE_NAMES}

    def refuses(self, *statements: str) -> None:
        """The last of the statements is refused by a constraint or trigger, and nothing at all has changed."""
        before = self.everything()
        refusal: BaseException | None = None
        try:
            self.run(*statements)
        except Exception as error:  # noqa: BLE001  the driver's own, of either engine
            refusal = error
        assert refusal is not None, f"not refused: {statements[-1]}"
        assert is_refusal(refusal), f"{statements[-1]}: {refusal!r}"
        assert self.everything() == before

    def allows(self, *statements: str) -> None:
        before = self.everything()
        self.run(*statements)
        assert self.everything() != before

    def close(self) -> None:
        self._connection.close()


def is_refusal(error: BaseException) -> bool:
    if isinstance(error, sqlite3.Error):
        return isinstance(error, sqlite3.IntegrityError)
    return str(getattr(error, "sqlstate", None)).startswith("23")


def unsealed_rows(store: Store) -> Fence:
    fence = begin(store)
    with store.write():
        publish.insert_rows(store, fence.run_id, document())
    return fence


def known_ids(store: Store) -> dict[str, int]:
    """Ids of a sealed run and its rows, and of an unsealed one's."""
    sealed = published(store)
    opened = unsealed_rows(store)
    with store.read():

        def one(query: str) -> int:
            return int(store.sql(query)[0][0])

        return {
            "run": sealed.run_id,
            "race": one(f"SELECT MIN(id) FROM race WHERE run_id = {sealed.run_id}"),
            "result": one(
                f"SELECT MIN(result.id) FROM result JOIN race ON race.id = race_id WHERE run_id = {sealed.run_id}"
            ),
            "entry": one(f"SELECT MIN(id) FROM entry WHERE run_id = {sealed.run_id}"),
            "open_run": opened.run_id,
            "open_race": one(f"SELECT MIN(id) FROM race WHERE run_id = {opened.run_id}"),
            "open_result": one(
                f"SELECT MIN(result.id) FROM result JOIN race ON race.id = race_id WHERE run_id = {opened.run_id}"
            ),
            "open_entry": one(f"SELECT MIN(id) FROM entry WHERE run_id = {opened.run_id}"),
        }
