"""Queries for looking at everything at once: the rows behind a home screen, and what is served of one event.

All of them read inside the caller's `store.read()`, so that one picture is one committed state.
"""

from __future__ import annotations

from typing import Any

from pipeline.store.database import Store

Row = tuple[Any, ...]

_MATCHES = """
    FROM event
    JOIN track ON track.id = event.track_id
    WHERE (LOWER(COALESCE(event.event_name, '')) LIKE ? ESCAPE '!'
        OR LOWER(track.slug || '/' || event.source_event_id) LIKE ? ESCAPE '!'
        OR event.state LIKE ? ESCAPE '!')
"""  # fmt: skip


def events_by_state(store: Store) -> dict[str, int]:
    return {
        state: int(count)
        for state, count in store.sql("SELECT state, COUNT(*) FROM event GROUP BY state ORDER BY state")
    }


def served_totals(store: Store) -> tuple[int, int, int, int]:
    """Events that serve a run, and the races, results and laps they serve, from the manifests."""
    ((events, races, results, laps),) = store.sql(
        """SELECT COUNT(*), COALESCE(SUM(run.race_count), 0), COALESCE(SUM(run.result_count), 0),
                  COALESCE(SUM(run.lap_count), 0)
           FROM event JOIN run ON run.id = event.current_run_id"""
    )
    return int(events), int(races), int(results), int(laps)


def event_lines(store: Store, *, text: str, limit: int) -> tuple[list[Row], int]:
    """A window of the events that match, running, failed and held ones first, then the newest; how many match in all.

    A row: id, slug, source_event_id, held_reason, name, start_date, state, depth, current_run_id, last_ingested_at,
    last_checked_at, races, results, laps, error (JSON) and finished_at of the newest run.
    """
    pattern = "%" + text.lower().replace("!", "!!").replace("%", "!%").replace("_", "!_") + "%"
    ((matching,),) = store.sql(f"SELECT COUNT(*) {_MATCHES}", pattern, pattern, pattern)
    rows = store.sql(
        f"""
        WITH matching AS (SELECT event.*, track.slug AS slug {_MATCHES})
        SELECT matching.id, slug, source_event_id, held_reason, event_name, start_date, state, ingest_depth,
               current_run_id, last_ingested_at, last_checked_at, COALESCE(served.race_count, 0),
               COALESCE(served.result_count, 0), COALESCE(served.lap_count, 0), newest.error, newest.finished_at
        FROM matching
        LEFT JOIN run served ON served.id = matching.current_run_id
        LEFT JOIN run newest ON newest.id = matching.last_run_id
        ORDER BY CASE WHEN state = 'running' THEN 0 WHEN state = 'failed' THEN 1
                      WHEN held_reason IS NOT NULL THEN 2 ELSE 3 END,
                 COALESCE(start_date, '9999') DESC, matching.id DESC
        LIMIT ?
        """,
        pattern, pattern, pattern, limit,
    )  # fmt: skip
    return rows, int(matching)


def live_runs(store: Store) -> list[Row]:
    """Runs that hold a lease, oldest first: run id, event id, slug, source_event_id, name, trigger, stage, pages done
    and total, milliseconds since the start, stage times (JSON)."""
    return store.sql(
        f"""
        SELECT run.id, event.id, track.slug, event.source_event_id, event.event_name, run."trigger", run.stage,
               run.pages_done, run.pages_total, {store.now_ms().sql} - run.started_at, run.stage_ms
        FROM lease
        JOIN run ON run.id = lease.run_id
        JOIN event ON event.id = run.event_id
        JOIN track ON track.id = event.track_id
        ORDER BY run.id
        """
    )


_LOG = """
    SELECT journal.id, journal.at, journal.severity, journal.name, journal.message, track.slug, event.source_event_id,
           journal.run_id
    FROM journal
    LEFT JOIN event ON event.id = journal.event_id
    LEFT JOIN track ON track.id = event.track_id
"""


def log_after(store: Store, journal_id: int, *, limit: int) -> list[Row]:
    """The newest lines of the journal after `journal_id`, oldest first: id, at, severity, name, message, slug,
    source_event_id, run_id."""
    return store.sql(f"{_LOG} WHERE journal.id > ? ORDER BY journal.id DESC LIMIT ?", journal_id, limit)[::-1]


def log_of_run(store: Store, run_id: int, *, limit: int) -> list[Row]:
    """As `log_after`, of one run."""
    return store.sql(f"{_LOG} WHERE journal.run_id = ? ORDER BY journal.id DESC LIMIT ?", run_id, limit)[::-1]


def open_warnings(store: Store, *, limit: int) -> list[Row]:
    """As `log_after`: warnings that nobody has acknowledged, newest first."""
    return store.sql(
        f"{_LOG} WHERE journal.entry_kind = 'warning' AND journal.acknowledged_at IS NULL "
        "ORDER BY journal.id DESC LIMIT ?",
        limit,
    )


def served_races(store: Store, event_id: int) -> list[Row]:
    """As `snapshot.RaceLine`, in order of completion."""
    return store.sql(
        """
        SELECT race.id, race.source_race_id, race.race_order, race.class_name, race.race_label, race.round,
               race.race_number, race.completed_at_local, race.length_seconds,
               COUNT(result.id), COALESCE(SUM(result.laps_completed), 0),
               MIN(CASE WHEN result.row_number = 1 THEN result.driver_name END)
        FROM served_race race
        LEFT JOIN result ON result.race_id = race.id
        WHERE race.event_id = ?
        GROUP BY race.id, race.source_race_id, race.race_order, race.class_name, race.race_label, race.round,
                 race.race_number, race.completed_at_local, race.length_seconds
        ORDER BY race.race_order
        """,
        event_id,
    )


def results_of(store: Store, race_id: int) -> list[Row]:
    """Rows of one race in document order, as `snapshot.ResultLine`."""
    return store.sql(
        """
        SELECT id, position, driver_name, car_number, qualifying_position, laps_completed, total_time_ms, behind,
               fast_lap_ms, fast_lap_number, avg_lap_ms, consistency_milli, grid_position
        FROM served_result WHERE race_id = ? ORDER BY row_number
        """,
        race_id,
    )


def laps_of(store: Store, result_id: int) -> list[Row]:
    """Laps of one result, as `snapshot.LapLine`."""
    return store.sql(
        "SELECT lap_number, lap_time_ms, elapsed_ms, position, pace FROM served_lap WHERE result_id = ? "
        "ORDER BY lap_number",
        result_id,
    )


def row_counts(store: Store) -> dict[str, int]:
    """Table → number of rows."""
    names = ("track", "event", "run", "race", "result", "lap", "entry", "lease", "journal")
    return {name: int(store.sql(f"SELECT COUNT(*) FROM {name}")[0][0]) for name in names}


def engine_version(store: Store) -> str:
    query = "SELECT sqlite_version()" if store.engine == "sqlite" else "SELECT current_setting('server_version')"
    return str(store.sql(query)[0][0])


def size_bytes(store: Store) -> int:
    """What the database takes on disk, without SQLite's write-ahead log."""
    if store.engine == "sqlite":
        query = "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()"
    else:
        query = "SELECT pg_database_size(current_database())"
    return int(store.sql(query)[0][0])
