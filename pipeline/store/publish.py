"""Publishing: the only writer of races, results, laps and entries.

One transaction of the caller: fence → `insert_rows` → `seal` → `serve` → COMMIT. Rows go in by `executemany` on SQLite
and by COPY on PostgreSQL, with ids that are known beforehand: the time spent here is time the write lock is held.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from decimal import Context, Decimal
from itertools import chain
from typing import Any

from msgspec import Struct
from msgspec.structs import astuple

from pipeline import records
from pipeline.errors import Kind, StoreError
from pipeline.store.database import Store
from pipeline.store.models import Event, Run

LAP_GUARD = "lap_insert"  # SQLite's per-row guard on laps, see migration_files/guards_0001_sqlite

_HEADER = ("run_id", "source", "source_event_id", "track_slug", "event_name", "start_date", "end_date", "entries",
           "drivers", "has_entry_list")  # fmt: skip
_RACE = ("id", "run_id", "source_race_id", "class_name", "race_label", "round", "race_number", "race_order",
         "completed_at_local", "length_seconds")  # fmt: skip
_RESULT = ("id", "race_id", "row_number", "position", "source_driver_id", "driver_name", "car_number",
           "qualifying_position", "laps_completed", "total_time_ms", "behind", "fast_lap_ms", "fast_lap_number",
           "avg_lap_ms", "avg_top_5_ms",
           "avg_top_10_ms", "avg_top_15_ms", "top_2_consecutive_ms", "top_3_consecutive_ms", "std_deviation_ms",
           "consistency_milli", "grid_position")  # fmt: skip
_LAP = ("result_id", "lap_number", "lap_time_ms", "elapsed_ms", "position", "pace")
_LAP_TYPES = ("int8", "int4", "int4", "int4", "int4", "text")  # for COPY in binary: less than half the client's time
_ENTRY = ("run_id", "row_number", "class_name", "number", "driver_name", "transponder")

_EXACT = Context(prec=40)  # not the thread's, which anybody may have changed


class Manifest(Struct, frozen=True):
    """What a run's rows add up to. The database seals a run only when they do."""

    race_count: int
    result_count: int
    lap_count: int
    lap_ms_sum: int
    entry_count: int


def insert_rows(store: Store, run_id: int, event: records.Event) -> Manifest:
    """Insert a document's rows under an unsealed run; what they add up to.

    Raises StoreError DB_REFUSED where a value does not fit its column, or the run is sealed or has rows already.
    """
    with store.write(), _unfit_values_refused():
        races = list(zip(new_ids(store, "race", len(event.races)), event.races, strict=True))
        rows = [(race_id, number, result) for race_id, race in races for number, result in enumerate(race.results, 1)]
        results = list(zip(new_ids(store, "result", len(rows)), rows, strict=True))
        entries = [(run_id, number, *astuple(entry)) for number, entry in enumerate(event.entry_list or (), 1)]
        _insert(store, "event_header", _HEADER, [_header_row(run_id, event)])
        _insert(store, "race", _RACE, [(race_id, run_id, *astuple(race)[:-1]) for race_id, race in races])
        _insert(store, "result", _RESULT, [_result_row(result_id, *row) for result_id, row in results])
        with _lap_guard_lifted(store):
            laps = chain.from_iterable(_lap_rows(result_id, row[2]) for result_id, row in results)
            _insert(store, "lap", _LAP, laps, _LAP_TYPES)
        _insert(store, "entry", _ENTRY, entries)
    return Manifest(
        race_count=len(races),
        result_count=len(rows),
        lap_count=sum(len(result.laps) for _, _, result in rows),
        lap_ms_sum=sum(lap.lap_time_ms for _, _, result in rows for lap in result.laps),
        entry_count=len(entries),
    )


def seal(store: Store, run_id: int, manifest: Manifest, document_sha256: str, parser_build: str | None) -> None:
    """Declare a run's rows complete and final. The database compares them with the manifest, which must agree."""
    sealed = store.change(
        Run.update(
            sealed=True,
            document_sha256=document_sha256,
            parser_build=parser_build,
            race_count=manifest.race_count,
            result_count=manifest.result_count,
            lap_count=manifest.lap_count,
            lap_ms_sum=manifest.lap_ms_sum,
            entry_count=manifest.entry_count,
        ).where(Run.id == run_id, ~Run.sealed)
    )
    if not sealed:
        raise StoreError(Kind.DB_REFUSED, f"Run {run_id} does not exist or is already sealed", run_id=run_id)


def serve(store: Store, event_id: int, run_id: int) -> None:
    """Make a sealed run what readers of the event see, from this commit on."""
    now = store.now_ms()
    store.change(
        Event.update(current_run_id=run_id, ingest_depth="laps_full", last_ingested_at=now, last_checked_at=now).where(
            Event.id == event_id
        )
    )


def serve_nothing(store: Store, event_id: int) -> None:
    """Take an event's data out of sight. Its runs stay."""
    store.change(Event.update(current_run_id=None, ingest_depth="none").where(Event.id == event_id))


def mark_checked(store: Store, event_id: int) -> None:
    """The source was read and is unchanged: only the time of the check moves."""
    store.change(Event.update(last_checked_at=store.now_ms()).where(Event.id == event_id))


def new_ids(store: Store, table: str, count: int) -> Sequence[int]:
    """`count` fresh ids, ascending. Nobody else can take them: SQLite has one writer, PostgreSQL a sequence."""
    if store.engine == "sqlite":
        ((highest,),) = store.sql(f"SELECT COALESCE(MAX(id), 0) FROM {table}")
        return range(highest + 1, highest + count + 1)
    rows = store.sql(f"SELECT nextval(pg_get_serial_sequence('{table}', 'id')) FROM generate_series(1, ?)", count)
    return sorted(value for (value,) in rows)


def _insert(
    store: Store,
    table: str,
    columns: tuple[str, ...],
    rows: Iterable[tuple[Any, ...]],
    binary_types: tuple[str, ...] | None = None,
) -> None:
    names = ", ".join(columns)
    database: Any = store.db
    cursor = database.cursor()
    if store.engine == "sqlite":
        marks = ", ".join("?" * len(columns))
        cursor.executemany(f"INSERT INTO {table} ({names}) VALUES ({marks})", rows)
        return
    form = " (FORMAT BINARY)" if binary_types else ""
    with cursor.copy(f"COPY {table} ({names}) FROM STDIN{form}") as copy:
        if binary_types:
            copy.set_types(binary_types)
        for row in rows:
            copy.write_row(row)


@contextmanager
def _lap_guard_lifted(store: Store) -> Iterator[None]:
    """SQLite: drop the per-row guard on laps and make it again, word for word, in this same transaction.

    It doubles the cost of inserting laps. No other connection ever sees the table without it; an error rolls it back.
    """
    if store.engine != "sqlite":
        yield
        return
    ((guard,),) = store.sql("SELECT sql FROM sqlite_master WHERE type = 'trigger' AND name = ?", LAP_GUARD)
    store.sql(f"DROP TRIGGER {LAP_GUARD}")
    yield
    store.sql(guard)


@contextmanager
def _unfit_values_refused() -> Iterator[None]:
    """Values that the drivers cannot even send: integers beyond 64 bits, lone surrogates."""
    try:
        yield
    except (OverflowError, UnicodeEncodeError) as error:
        raise StoreError(Kind.DB_REFUSED, f"A value does not fit the database: {error}") from error


def _header_row(run_id: int, event: records.Event) -> tuple[Any, ...]:
    *facts, _, entry_list = astuple(event)
    return (run_id, *facts, entry_list is not None)


def _result_row(result_id: int, race_id: int, number: int, result: records.Result) -> tuple[Any, ...]:
    *facts, consistency, grid_position, _ = astuple(result)
    return (result_id, race_id, number, *facts, _thousandths(consistency), grid_position)


def _lap_rows(result_id: int, result: records.Result) -> list[tuple[Any, ...]]:
    return [(result_id, lap.lap_number, lap.lap_time_ms, lap.elapsed_ms, lap.position, lap.pace) for lap in result.laps]


def _thousandths(percent: Decimal | None) -> int | None:
    if percent is None:
        return None
    scaled = percent.scaleb(3, _EXACT)
    if scaled != int(scaled):
        raise StoreError(Kind.DB_REFUSED, f"A consistency of {percent} has more than three decimals")
    return int(scaled)
