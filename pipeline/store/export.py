"""From rows back to the canonical document: the exact inverse of publishing, read in one snapshot."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Context, Decimal
from itertools import groupby
from operator import itemgetter
from typing import Any

from pipeline import records
from pipeline.errors import Kind, StateError
from pipeline.store.database import Store

_HEADER = "source, source_event_id, track_slug, event_name, start_date, end_date, entries, drivers, has_entry_list"
_RACE = "source_race_id, class_name, race_label, round, race_number, race_order, completed_at_local, length_seconds"
_RESULT = """position, source_driver_id, driver_name, car_number, qualifying_position, laps_completed, total_time_ms,
    behind, fast_lap_ms, fast_lap_number, avg_lap_ms, avg_top_5_ms, avg_top_10_ms, avg_top_15_ms, top_2_consecutive_ms,
    top_3_consecutive_ms, std_deviation_ms, consistency_milli, grid_position"""
_first = itemgetter(0)
_EXACT = Context(prec=40)  # not the thread's, which anybody may have changed


def load_event(store: Store, event_id: int, run_id: int | None = None) -> records.Event:
    """The document that an event serves, or that one of its sealed runs holds.

    Equal to what was given to `publish.insert_rows`. Raises StateError UNKNOWN_EVENT, or NOTHING_TO_EXPORT where the
    event serves nothing, or the run is not one of its own, not sealed, or purged.
    """
    with store.read():
        run = _sealed_run(store, event_id, run_id)
        ((*header, has_entry_list),) = store.sql(f"SELECT {_HEADER} FROM event_header WHERE run_id = ?", run)
        laps = _laps(store, run)
        results = _results(store, run, laps)
        races = store.sql(f"SELECT id, {_RACE} FROM race WHERE run_id = ? ORDER BY id", run)
        entries = store.sql(
            "SELECT class_name, number, driver_name, transponder FROM entry WHERE run_id = ? ORDER BY row_number", run
        )
    values: Any = (
        *header,
        tuple(_race(race, results.get(race_id, ())) for race_id, *race in races),
        tuple(records.Entry(*entry) for entry in entries) if has_entry_list else None,
    )
    return records.Event(*values)


def _sealed_run(store: Store, event_id: int, run_id: int | None) -> int:
    events = store.sql("SELECT source_event_id, current_run_id FROM event WHERE id = ?", event_id)
    if not events:
        raise StateError(Kind.UNKNOWN_EVENT, f"There is no event with the number {event_id}")
    ((source_event_id, current_run_id),) = events
    wanted = current_run_id if run_id is None else run_id
    if wanted is None:
        raise StateError(Kind.NOTHING_TO_EXPORT, f"Event {source_event_id} serves no data yet")
    if not store.sql(
        "SELECT 1 FROM run WHERE id = ? AND event_id = ? AND sealed AND purged_at IS NULL", wanted, event_id
    ):
        raise StateError(
            Kind.NOTHING_TO_EXPORT, f"Run {wanted} holds no complete data of event {source_event_id}", run_id=wanted
        )
    return int(wanted)


def _laps(store: Store, run_id: int) -> dict[int, tuple[records.Lap, ...]]:
    rows = store.sql(
        "SELECT lap.result_id, lap.lap_number, lap.lap_time_ms, lap.elapsed_ms, lap.position, lap.pace "
        "FROM race JOIN result ON result.race_id = race.id JOIN lap ON lap.result_id = result.id "
        "WHERE race.run_id = ? ORDER BY lap.result_id, lap.lap_number",
        run_id,
    )
    return {result_id: tuple(records.Lap(*row[1:]) for row in group) for result_id, group in groupby(rows, _first)}


def _results(
    store: Store, run_id: int, laps: dict[int, tuple[records.Lap, ...]]
) -> dict[int, tuple[records.Result, ...]]:
    rows = store.sql(
        f"SELECT race_id, result.id, {_RESULT} FROM race JOIN result ON result.race_id = race.id "
        "WHERE race.run_id = ? ORDER BY race_id, row_number",
        run_id,
    )
    return {race_id: tuple(_result(group, laps)) for race_id, group in groupby(rows, _first)}


def _race(facts: list[Any], results: tuple[records.Result, ...]) -> records.Race:
    values: Any = (*facts, results)
    return records.Race(*values)


def _result(rows: Iterator[tuple[Any, ...]], laps: dict[int, tuple[records.Lap, ...]]) -> Iterator[records.Result]:
    for _, result_id, *facts, consistency_milli, grid_position in rows:
        consistency = None if consistency_milli is None else Decimal(consistency_milli).scaleb(-3, _EXACT)
        values: Any = (*facts, consistency, grid_position, laps.get(result_id, ()))
        yield records.Result(*values)
