"""Queries that look for what should not be there: rows without parents, seals that do not hold, states that contradict.

Each returns the rows that are wrong, so an empty answer is a healthy database. With an event they look at that event
alone. Nothing here relies on the guards: it is for the day when somebody went around them.
"""

from __future__ import annotations

from typing import Any

from pipeline.store.database import Store

Row = tuple[Any, ...]

_KEPT = "run.sealed AND run.purged_at IS NULL"  # runs whose rows must be whole: they are served, or can be again


def events(store: Store, event_id: int | None) -> list[Row]:
    """Every event as (id, slug/id, current_run_id), also where its track is gone."""
    return store.sql(
        "SELECT event.id, COALESCE(track.slug, '') || '/' || event.source_event_id, event.current_run_id "
        "FROM event LEFT JOIN track ON track.id = event.track_id "
        f"WHERE {_event('event.id', event_id)} ORDER BY event.id"
    )


def kept_runs(store: Store, event_id: int) -> list[Row]:
    """The event's runs that must be whole: id, document_sha256, parser_build, pages_manifest."""
    return store.sql(
        "SELECT run.id, run.document_sha256, run.parser_build, run.pages_manifest FROM run "
        f"WHERE {_KEPT} AND run.event_id = ? ORDER BY run.id",
        event_id,
    )


# ---------------------------------------------------------------- what is served


def wrongly_served(store: Store, event_id: int | None) -> list[Row]:
    """Events that serve what must not be served: event, run, whether it exists, its event, sealed, purged_at."""
    return store.sql(
        f"""SELECT event.id, event.current_run_id, run.id IS NOT NULL, run.event_id, run.sealed, run.purged_at
            FROM event LEFT JOIN run ON run.id = event.current_run_id
            WHERE {_event("event.id", event_id)} AND event.current_run_id IS NOT NULL
              AND (run.id IS NULL OR run.event_id <> event.id OR NOT run.sealed OR run.purged_at IS NOT NULL)"""
    )


def depth_against_data(store: Store, event_id: int | None) -> list[Row]:
    """Events whose depth, pointer, state and rows contradict: event, state, depth, current run, its races."""
    return store.sql(
        f"""SELECT event.id, event.state, event.ingest_depth, event.current_run_id,
                   (SELECT COUNT(*) FROM race WHERE race.run_id = event.current_run_id)
            FROM event
            WHERE {_event("event.id", event_id)} AND (
                event.ingest_depth NOT IN ('none', 'laps_full')
                OR (event.ingest_depth = 'none') <> (event.current_run_id IS NULL)
                OR (event.state = 'complete' AND event.ingest_depth <> 'laps_full')
                OR (event.current_run_id IS NOT NULL AND (event.last_ingested_at IS NULL
                    OR NOT EXISTS (SELECT 1 FROM race WHERE race.run_id = event.current_run_id))))"""
    )


def manifests(store: Store, event_id: int | None) -> list[Row]:
    """Every run that must be whole: event, run, its manifest (races, results, laps, lap ms, entries), then the same of
    its rows."""
    laps = """FROM race JOIN result ON result.race_id = race.id JOIN lap ON lap.result_id = result.id
              WHERE race.run_id = run.id"""
    return store.sql(
        f"""SELECT run.event_id, run.id, run.race_count, run.result_count, run.lap_count, run.lap_ms_sum,
                   run.entry_count,
                   (SELECT COUNT(*) FROM race WHERE race.run_id = run.id),
                   (SELECT COUNT(*) FROM race JOIN result ON result.race_id = race.id WHERE race.run_id = run.id),
                   (SELECT COUNT(*) {laps}),
                   (SELECT CAST(COALESCE(SUM(lap.lap_time_ms), 0) AS BIGINT) {laps}),
                   (SELECT COUNT(*) FROM entry WHERE entry.run_id = run.id)
            FROM run WHERE {_KEPT} AND {_event("run.event_id", event_id)} ORDER BY run.id"""
    )


def headerless(store: Store, event_id: int | None) -> list[Row]:
    """Runs that must be whole and have no header: event, run."""
    return store.sql(
        f"""SELECT run.event_id, run.id FROM run WHERE {_KEPT} AND {_event("run.event_id", event_id)}
            AND NOT EXISTS (SELECT 1 FROM event_header WHERE event_header.run_id = run.id) ORDER BY run.id"""
    )


# ---------------------------------------------------------------- rows out of place

_ORPHANS = {
    "run without its event": ("run", "event_id", "event", "id"),
    "event without its track": ("event", "track_id", "track", "id"),
    "event header without its run": ("event_header", "run_id", "run", "id"),
    "race without its run": ("race", "run_id", "run", "id"),
    "entry without its run": ("entry", "run_id", "run", "id"),
    "result without its race": ("result", "race_id", "race", "id"),
    "lap without its result": ("lap", "result_id", "result", "id"),
    "lease without its event": ("lease", "event_id", "event", "id"),
}


def orphans(store: Store) -> list[Row]:
    """Rows whose parent is gone: what they are, how many, and the lowest number of a missing parent."""
    found = []
    for what, (table, column, parent, key) in _ORPHANS.items():
        ((count, lowest),) = store.sql(
            f"SELECT COUNT(*), MIN({table}.{column}) FROM {table} "
            f"WHERE NOT EXISTS (SELECT 1 FROM {parent} WHERE {parent}.{key} = {table}.{column})"
        )
        if count:
            found.append((what, int(count), lowest))
    return found


def partial_rows(store: Store, event_id: int | None) -> list[Row]:
    """Runs that hold rows and were never sealed: event, run, races, entries, headers."""
    return store.sql(
        f"""SELECT * FROM (
                SELECT run.event_id, run.id,
                       (SELECT COUNT(*) FROM race WHERE race.run_id = run.id) AS races,
                       (SELECT COUNT(*) FROM entry WHERE entry.run_id = run.id) AS entries,
                       (SELECT COUNT(*) FROM event_header WHERE event_header.run_id = run.id) AS headers
                FROM run WHERE NOT run.sealed AND {_event("run.event_id", event_id)}) AS unsealed
            WHERE races + entries + headers > 0"""
    )


def duplicate_keys(store: Store, event_id: int | None) -> list[Row]:
    """Natural keys that stand more than once: event and run or None, what, the key in words, how often."""
    of_run = f"JOIN run ON run.id = race.run_id WHERE {_event('run.event_id', event_id)}"
    queries = [
        f"""SELECT run.event_id, race.run_id, 'race', 'race ' || race.source_race_id || ' in run ' || race.run_id,
                   COUNT(*)
            FROM race {of_run} GROUP BY run.event_id, race.run_id, race.source_race_id""",
        f"""SELECT run.event_id, race.run_id, 'result',
                   'row ' || result.row_number || ' of race ' || race.source_race_id, COUNT(*)
            FROM result JOIN race ON race.id = result.race_id {of_run}
            GROUP BY run.event_id, race.run_id, race.source_race_id, result.race_id, result.row_number""",
        f"""SELECT run.event_id, race.run_id, 'driver',
                   'driver ' || result.source_driver_id || ' in race ' || race.source_race_id, COUNT(*)
            FROM result JOIN race ON race.id = result.race_id {of_run} AND result.source_driver_id IS NOT NULL
            GROUP BY run.event_id, race.run_id, race.source_race_id, result.race_id, result.source_driver_id""",
        f"""SELECT run.event_id, entry.run_id, 'entry', 'row ' || entry.row_number || ' of run ' || entry.run_id,
                   COUNT(*)
            FROM entry JOIN run ON run.id = entry.run_id WHERE {_event("run.event_id", event_id)}
            GROUP BY run.event_id, entry.run_id, entry.row_number""",
    ]
    if event_id is None:
        queries += [
            """SELECT CAST(NULL AS BIGINT), CAST(NULL AS BIGINT), 'event',
                      'event ' || source_event_id || ' of ' || source, COUNT(*)
               FROM event GROUP BY source, source_event_id""",
            """SELECT CAST(NULL AS BIGINT), CAST(NULL AS BIGINT), 'track', 'track ' || LOWER(slug), COUNT(*)
               FROM track GROUP BY LOWER(slug)""",
        ]
    return [row for query in queries for row in store.sql(f"{query} HAVING COUNT(*) > 1")]


def broken_rows(store: Store, event_id: int | None) -> list[Row]:
    """Races of kept runs whose results are not rows 1 to n: event, run, race, lowest, highest, how many."""
    return store.sql(
        f"""SELECT run.event_id, run.id, race.source_race_id, MIN(result.row_number), MAX(result.row_number), COUNT(*)
            FROM run JOIN race ON race.run_id = run.id JOIN result ON result.race_id = race.id
            WHERE {_KEPT} AND {_event("run.event_id", event_id)}
            GROUP BY run.event_id, run.id, race.id, race.source_race_id
            HAVING MIN(result.row_number) <> 1 OR MAX(result.row_number) <> COUNT(*)"""
    )


# ---------------------------------------------------------------- states and leases


def states_against_leases(store: Store, event_id: int | None) -> list[Row]:
    """Events that are running without a held lease, or hold one without running: event, state, leased run."""
    return store.sql(
        f"""SELECT event.id, event.state, lease.run_id FROM event LEFT JOIN lease ON lease.event_id = event.id
            WHERE {_event("event.id", event_id)} AND (event.state = 'running') <> (lease.run_id IS NOT NULL)"""
    )


def wrong_leases(store: Store, event_id: int | None) -> list[Row]:
    """Leases held for no run, an ended one or another event's, or behind their runs: event, run, token, highest."""
    return store.sql(
        f"""SELECT event_id, run_id, token, highest FROM (
                SELECT lease.event_id, lease.run_id, lease.token, run.event_id AS run_event, run.outcome,
                       (SELECT COALESCE(MAX(done.token), 0) FROM run done WHERE done.event_id = lease.event_id)
                           AS highest
                FROM lease LEFT JOIN run ON run.id = lease.run_id
                WHERE {_event("lease.event_id", event_id)}) AS held
            WHERE token < highest
               OR (run_id IS NOT NULL AND (run_event IS NULL OR run_event <> event_id OR outcome IS NOT NULL))"""
    )


def unended_runs(store: Store, event_id: int | None) -> list[Row]:
    """Runs that never ended and hold no lease, or ended at no time: event, run, outcome."""
    return store.sql(
        f"""SELECT run.event_id, run.id, run.outcome FROM run
            LEFT JOIN lease ON lease.event_id = run.event_id AND lease.run_id = run.id
            WHERE {_event("run.event_id", event_id)} AND (
                (run.outcome IS NULL AND lease.run_id IS NULL) OR (run.outcome IS NULL) <> (run.finished_at IS NULL))"""
    )


def states_against_outcomes(store: Store, event_id: int | None) -> list[Row]:
    """Events whose state is not what their newest run left: event, state, run, its outcome."""
    return store.sql(
        f"""SELECT event.id, event.state, event.last_run_id, run.outcome FROM event
            LEFT JOIN run ON run.id = event.last_run_id
            WHERE {_event("event.id", event_id)} AND (
                (event.last_run_id IS NOT NULL AND (run.id IS NULL OR run.event_id <> event.id))
                OR (event.state = 'failed') <> (COALESCE(run.outcome, '') IN ('failed', 'interrupted', 'cleared'))
                OR (event.state = 'complete' AND run.outcome IS NULL))"""
    )


def broken_transitions(store: Store, event_id: int | None) -> list[Row]:
    """Steps that do not follow from the one before, and events that are not where their last step led:
    event, from, to, state expected."""
    steps = f"""SELECT event_id, id, from_state, to_state,
                       COALESCE(LAG(to_state) OVER (PARTITION BY event_id ORDER BY id), 'idle') AS before
                FROM transition WHERE {_event("event_id", event_id)}"""
    return [
        *store.sql(f"SELECT event_id, from_state, to_state, before FROM ({steps}) AS steps WHERE from_state <> before"),
        *store.sql(
            f"""SELECT event.id, COALESCE(last.to_state, 'idle'), event.state, COALESCE(last.to_state, 'idle')
                FROM event LEFT JOIN transition last ON last.id = (
                    SELECT MAX(id) FROM transition WHERE transition.event_id = event.id)
                WHERE {_event("event.id", event_id)} AND event.state <> COALESCE(last.to_state, 'idle')"""
        ),
    ]


# ---------------------------------------------------------------- history


def errors_since(store: Store, event_id: int, run_id: int) -> list[Row]:
    """Error lines of the event's journal since the run began: run, name, message."""
    return store.sql(
        """SELECT run_id, name, message FROM journal
           WHERE event_id = ? AND severity = 'error' AND id >= (SELECT MIN(id) FROM journal WHERE run_id = ?)
           ORDER BY id LIMIT 20""",
        event_id,
        run_id,
    )


def newest_run(store: Store, event_id: int) -> Row | None:
    """The event's newest run: id, outcome, stage_ms (JSON), pages_done."""
    rows = store.sql(
        "SELECT id, outcome, stage_ms, pages_done FROM run WHERE event_id = ? ORDER BY id DESC LIMIT 1", event_id
    )
    return rows[0] if rows else None


def earlier_durations(store: Store, event_id: int, run_id: int, *, limit: int) -> list[Row]:
    """Of the event's ingestions before a run that ended well, newest first: stage_ms (JSON), pages_done."""
    return store.sql(
        """SELECT stage_ms, pages_done FROM run
           WHERE event_id = ? AND id < ? AND kind = 'ingest' AND outcome IN ('published', 'unchanged')
           ORDER BY id DESC LIMIT ?""",
        event_id,
        run_id,
        limit,
    )


# ---------------------------------------------------------------- the database itself


def file_problems(store: Store) -> list[str]:
    """What SQLite finds wrong with its own file, at most twenty problems; PostgreSQL checks its pages as it reads."""
    if store.engine != "sqlite":
        return []
    return [text for (text,) in store.sql("PRAGMA integrity_check(20)") if text != "ok"]


def triggers(store: Store) -> frozenset[str]:
    """The guards that are in force."""
    if store.engine == "sqlite":
        rows = store.sql("SELECT name FROM sqlite_master WHERE type = 'trigger'")
    else:
        rows = store.sql(
            """SELECT tgname FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid
               WHERE NOT tgisinternal AND tgenabled <> 'D' AND relnamespace = CURRENT_SCHEMA::regnamespace"""
        )
    return frozenset(name for (name,) in rows)


def _event(column: str, event_id: int | None) -> str:
    """The condition that keeps a query to one event. A number of our own, so it may stand in the text."""
    return "TRUE" if event_id is None else f"{column} = {int(event_id)}"
