"""The guards of migration 0001 for PostgreSQL: what no writer may do, whoever issues the statement.

Refusals carry SQLSTATE 23514 (check violation). Rows and the seal of their run are written by different statements,
maybe of different sessions: every guard that relies on a run's seal locks the run's row first, so that it cannot be
sealed, or purged, in between. Inserts are judged once per statement, as a set: that adds 6 ms to the 50 of a COPY of
36,000 laps, where a judgement row by row would double them. TRUNCATE fires no row trigger, so it is refused.
"""

from __future__ import annotations

_NOW_MS = "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)"

_ARROWS = "('idle>running', 'running>complete', 'running>failed', 'failed>idle', 'complete>running')"

_MANIFEST = ("race_count", "result_count", "lap_count", "lap_ms_sum", "entry_count")

_GUARDED = (
    "event",
    "run",
    "event_header",
    "race",
    "result",
    "lap",
    "entry",
    "lease",
    "transition",
    "journal",
    "purge_permit",
)

# The runs that a statement's new rows belong to.
_NEW_RUNS = {
    "event_header": "SELECT run_id FROM new_rows",
    "race": "SELECT run_id FROM new_rows",
    "entry": "SELECT run_id FROM new_rows",
    "result": """SELECT race.run_id FROM (SELECT DISTINCT race_id FROM new_rows) AS added
                 JOIN race ON race.id = added.race_id""",
    "lap": """SELECT race.run_id FROM (SELECT DISTINCT result_id FROM new_rows) AS added
              JOIN result ON result.id = added.result_id JOIN race ON race.id = result.race_id""",
}
_RUN_ID = {
    "event_header": "{row}.run_id",
    "race": "{row}.run_id",
    "entry": "{row}.run_id",
    "result": "(SELECT run_id FROM race WHERE id = {row}.race_id)",
    "lap": "(SELECT race.run_id FROM result JOIN race ON race.id = result.race_id WHERE result.id = {row}.result_id)",
}


def _function(name: str, body: str) -> str:
    return f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $guard${body}$guard$"


def _raise(message: str) -> str:
    return f"RAISE EXCEPTION USING ERRCODE = '23514', MESSAGE = '{message}';"


def _refuse(name: str, moment: str, message: str, when: str | None = None) -> str:
    condition = f"WHEN ({when})" if when else ""
    return f"CREATE TRIGGER {name} BEFORE {moment} FOR EACH ROW {condition} EXECUTE FUNCTION guard_refuse('{message}')"


def _judge(name: str, moment: str, function: str) -> str:
    return f"CREATE TRIGGER {name} {moment} EXECUTE FUNCTION {function}()"


def _changed(*names: str) -> str:
    new, old = (", ".join(f"{row}.{name}" for name in names) for row in ("NEW", "OLD"))
    return f"ROW({new}) IS DISTINCT FROM ROW({old})"


_FUNCTIONS = {
    "guard_refuse": "BEGIN RAISE EXCEPTION USING ERRCODE = '23514', MESSAGE = TG_ARGV[0]; END",
    "guard_event_transition_kept": f"""BEGIN
        INSERT INTO transition (event_id, from_state, to_state, at) VALUES (NEW.id, OLD.state, NEW.state, {_NOW_MS});
        RETURN NULL; END""",
    # FOR SHARE waits for whoever is purging the run, then looks at what became of it.
    "guard_event_serve": f"""BEGIN
        PERFORM 1 FROM run
        WHERE id = NEW.current_run_id AND event_id = NEW.id AND sealed AND purged_at IS NULL FOR SHARE;
        IF NOT FOUND THEN {_raise("an event serves only a sealed run of its own")} END IF;
        RETURN NEW; END""",
    "guard_event_delete": f"""BEGIN
        IF EXISTS (SELECT 1 FROM run WHERE event_id = OLD.id)
        THEN {_raise("an event with runs cannot be deleted")} END IF;
        RETURN OLD; END""",
    "guard_run_seal": f"""
        DECLARE laps BIGINT; lap_ms BIGINT;
        BEGIN
        SELECT COUNT(*), COALESCE(SUM(lap.lap_time_ms), 0) INTO laps, lap_ms
        FROM race JOIN result ON result.race_id = race.id JOIN lap ON lap.result_id = result.id
        WHERE race.run_id = NEW.id;
        IF OLD.purged_at IS NOT NULL
           OR NOT EXISTS (SELECT 1 FROM event_header WHERE run_id = NEW.id)
           OR NEW.race_count <> (SELECT COUNT(*) FROM race WHERE run_id = NEW.id)
           OR NEW.result_count <> (
               SELECT COUNT(*) FROM race JOIN result ON result.race_id = race.id WHERE race.run_id = NEW.id)
           OR NEW.lap_count <> laps OR NEW.lap_ms_sum <> lap_ms
           OR NEW.entry_count <> (SELECT COUNT(*) FROM entry WHERE run_id = NEW.id)
        THEN {_raise("a run is sealed only when its rows equal its manifest")} END IF;
        RETURN NEW; END""",
    "guard_run_purge": f"""BEGIN
        IF OLD.purged_at IS NOT NULL OR EXISTS (SELECT 1 FROM event WHERE current_run_id = OLD.id)
        THEN {_raise("a served run cannot be purged, and a purge cannot be taken back")} END IF;
        RETURN NEW; END""",
    "guard_run_delete": f"""BEGIN
        IF (OLD.sealed AND NOT EXISTS (SELECT 1 FROM purge_permit WHERE run_id = OLD.id))
           OR EXISTS (SELECT 1 FROM event WHERE current_run_id = OLD.id)
        THEN {_raise("a run that is sealed, served or has rows cannot be deleted")} END IF;
        RETURN OLD; END""",
    # First the mark on the run, which waits for whoever is making an event serve it; the guard on that judges.
    "guard_purge_permit_kept": f"""BEGIN
        UPDATE run SET purged_at = {_NOW_MS} WHERE id = NEW.run_id AND purged_at IS NULL;
        IF EXISTS (SELECT 1 FROM event WHERE current_run_id = NEW.run_id)
        THEN {_raise("the run that an event serves cannot be purged")} END IF;
        RETURN NULL; END""",
}

_EVENT = (
    _refuse(
        "event_insert",
        "INSERT ON event",
        "an event starts idle and serves nothing",
        """NEW.state <> 'idle' OR NEW.ingest_depth <> 'none'
           OR NEW.current_run_id IS NOT NULL OR NEW.last_ingested_at IS NOT NULL""",
    ),
    _refuse("event_key", "UPDATE ON event", "an event keeps its id", _changed("id", "source", "source_event_id")),
    # OF: naming the column is asking for a transition, also to the value it has.
    _refuse(
        "event_transition",
        "UPDATE OF state ON event",
        "illegal transition of an event''s state",
        f"OLD.state || '>' || NEW.state NOT IN {_ARROWS}",
    ),
    _judge("event_transition_kept", "AFTER UPDATE OF state ON event FOR EACH ROW", "guard_event_transition_kept"),
    _judge(
        "event_serve",
        "BEFORE UPDATE ON event FOR EACH ROW "
        "WHEN (NEW.current_run_id IS NOT NULL AND NEW.current_run_id IS DISTINCT FROM OLD.current_run_id)",
        "guard_event_serve",
    ),
    _judge("event_delete", "BEFORE DELETE ON event FOR EACH ROW", "guard_event_delete"),
)

_RUN = (
    _refuse(
        "run_insert",
        "INSERT ON run",
        "a run starts unsealed and without an outcome",
        "NEW.sealed OR NEW.outcome IS NOT NULL OR NEW.purged_at IS NOT NULL",
    ),
    _refuse(
        "run_key",
        "UPDATE ON run",
        "a run keeps its id, event, kind, start and token",
        f"{_changed('id', 'event_id', 'kind', 'started_at')} OR (NEW.token <> OLD.token AND OLD.token <> 0)",
    ),
    _judge("run_seal", "BEFORE UPDATE ON run FOR EACH ROW WHEN (NEW.sealed AND NOT OLD.sealed)", "guard_run_seal"),
    _refuse(
        "run_sealed",
        "UPDATE ON run",
        "a sealed run cannot be changed",
        f"OLD.sealed AND (NOT NEW.sealed OR {_changed('document_sha256', 'parser_build', *_MANIFEST)})",
    ),
    _judge(
        "run_purge",
        "BEFORE UPDATE ON run FOR EACH ROW WHEN (NEW.purged_at IS DISTINCT FROM OLD.purged_at)",
        "guard_run_purge",
    ),
    _judge("run_delete", "BEFORE DELETE ON run FOR EACH ROW", "guard_run_delete"),
)


def _row_functions(table: str) -> dict[str, str]:
    old_run, new_run = _RUN_ID[table].format(row="OLD"), _RUN_ID[table].format(row="NEW")
    known = (
        ""
        if table != "lap"
        else f"""
        IF EXISTS (SELECT 1 FROM new_rows LEFT JOIN result ON result.id = new_rows.result_id WHERE result.id IS NULL)
        THEN {_raise("a lap belongs to a result")} END IF;"""
    )
    has_laps = (
        ""
        if table != "result"
        else f"""
        IF EXISTS (SELECT 1 FROM lap WHERE result_id = OLD.id)
        THEN {_raise("a result leaves after its laps")} END IF;"""
    )
    return {
        f"guard_{table}_insert": f"""BEGIN {known}
        PERFORM 1 FROM run WHERE id IN ({_NEW_RUNS[table]}) FOR SHARE;
        IF EXISTS (SELECT 1 FROM run WHERE sealed AND id IN ({_NEW_RUNS[table]}))
        THEN {_raise(f"a sealed run takes no {table} row")} END IF;
        RETURN NULL; END""",
        f"guard_{table}_update": f"""BEGIN
        PERFORM 1 FROM run WHERE id IN ({old_run}, {new_run}) FOR NO KEY UPDATE;
        IF EXISTS (SELECT 1 FROM run WHERE sealed AND id IN ({old_run}, {new_run}))
        THEN {_raise(f"a {table} row of a sealed run cannot be changed")} END IF;
        RETURN NEW; END""",
        f"guard_{table}_delete": f"""BEGIN {has_laps}
        PERFORM 1 FROM run WHERE id = {old_run} FOR NO KEY UPDATE;
        IF EXISTS (SELECT 1 FROM run WHERE sealed AND id = {old_run})
           AND NOT EXISTS (SELECT 1 FROM purge_permit WHERE run_id = {old_run})
        THEN {_raise(f"a {table} row of a sealed run leaves only by a purge")} END IF;
        RETURN OLD; END""",
    }


def _row_triggers(table: str) -> tuple[str, ...]:
    key = (_refuse(f"{table}_key", f"UPDATE ON {table}", f"a {table} row keeps its id", _changed("id")),)
    return (
        *(key if table in ("race", "result", "entry") else ()),
        _judge(
            f"{table}_insert",
            f"AFTER INSERT ON {table} REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT",
            f"guard_{table}_insert",
        ),
        _judge(f"{table}_update", f"BEFORE UPDATE ON {table} FOR EACH ROW", f"guard_{table}_update"),
        _judge(f"{table}_delete", f"BEFORE DELETE ON {table} FOR EACH ROW", f"guard_{table}_delete"),
    )


_LEDGERS = (
    _refuse(
        "lease_token",
        "UPDATE ON lease",
        "a lease token only grows",
        "NEW.token < OLD.token OR NEW.event_id <> OLD.event_id",
    ),
    _refuse("lease_delete", "DELETE ON lease", "a lease is released, never deleted: its token must only grow"),
    _refuse(
        "journal_update",
        "UPDATE ON journal",
        "the journal is append-only; an entry is acknowledged once",
        f"""OLD.acknowledged_at IS NOT NULL OR NEW.acknowledged_at IS NULL
            OR {_changed("id", "at", "entry_kind", "severity", "name", "message", "event_id", "run_id", "fields")}""",
    ),
    _refuse("journal_delete", "DELETE ON journal", "the journal is append-only"),
    _refuse("transition_update", "UPDATE ON transition", "transitions are append-only"),
    _refuse("transition_delete", "DELETE ON transition", "transitions are append-only"),
)

_PURGE = (
    _judge("purge_permit_kept", "AFTER INSERT ON purge_permit FOR EACH ROW", "guard_purge_permit_kept"),
    _refuse("purge_permit_update", "UPDATE ON purge_permit", "a purge permit is given for one run"),
)

_TRUNCATE = tuple(
    f"CREATE TRIGGER {table}_truncate BEFORE TRUNCATE ON {table} FOR EACH STATEMENT "
    f"EXECUTE FUNCTION guard_refuse('{table} is never truncated')"
    for table in _GUARDED
)

_ALL_FUNCTIONS = {**_FUNCTIONS, **{name: body for table in _RUN_ID for name, body in _row_functions(table).items()}}
FUNCTION_NAMES = tuple(_ALL_FUNCTIONS)

GUARDS = (
    *(_function(name, body) for name, body in _ALL_FUNCTIONS.items()),
    *_EVENT,
    *_RUN,
    *(trigger for table in _RUN_ID for trigger in _row_triggers(table)),
    *_LEDGERS,
    *_PURGE,
    *_TRUNCATE,
)
