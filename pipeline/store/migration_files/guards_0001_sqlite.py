"""The guards of migration 0001 for SQLite: what no writer may do, whoever issues the statement.

Triggers fire for any connection, also one without our pragmas. REPLACE deletes rows without firing DELETE triggers
there, so every key has a BEFORE INSERT guard, and keys never change (UPDATE OR REPLACE would push another row out).

Laps are the exception that was measured (36,000 rows, milliseconds for the insert alone): no guard 27, a guard that
looks up the lap's run 53, a guard that compares with a range of open results 47, the first guard dropped and created
again inside the publishing transaction 27. The last was taken: every committed state has the guard, so only the
publisher, within its own uncommitted transaction, ever inserts without it.
"""

from __future__ import annotations

LAP_GUARD = "lap_insert"  # the trigger that publishing lifts for its own transaction

_NOW_MS = "CAST(ROUND((julianday('now') - 2440587.5) * 86400000) AS INTEGER)"

_ARROWS = "('idle>running', 'running>complete', 'running>failed', 'failed>idle', 'complete>running')"

_MANIFEST = ("race_count", "result_count", "lap_count", "lap_ms_sum", "entry_count")

# Whether the run of a row is sealed. NULL where the row has no run.
_SEALED = {
    "event_header": "(SELECT sealed FROM run WHERE id = {row}.run_id)",
    "race": "(SELECT sealed FROM run WHERE id = {row}.run_id)",
    "entry": "(SELECT sealed FROM run WHERE id = {row}.run_id)",
    "result": "(SELECT run.sealed FROM race JOIN run ON run.id = race.run_id WHERE race.id = {row}.race_id)",
    "lap": """(SELECT run.sealed FROM result JOIN race ON race.id = result.race_id JOIN run ON run.id = race.run_id
               WHERE result.id = {row}.result_id)""",
}
_RUN_ID = {
    "event_header": "OLD.run_id",
    "race": "OLD.run_id",
    "entry": "OLD.run_id",
    "result": "(SELECT run_id FROM race WHERE id = OLD.race_id)",
    "lap": "(SELECT race.run_id FROM result JOIN race ON race.id = result.race_id WHERE result.id = OLD.result_id)",
}
# Rows that an INSERT OR REPLACE would delete on the way.
_SAME_KEY = {
    "event_header": "SELECT 1 FROM event_header WHERE run_id = NEW.run_id",
    "race": """SELECT 1 FROM race WHERE id = NEW.id
               UNION ALL SELECT 1 FROM race WHERE run_id = NEW.run_id AND source_race_id = NEW.source_race_id
               UNION ALL SELECT 1 FROM race WHERE run_id = NEW.run_id AND race_order = NEW.race_order""",
    "entry": """SELECT 1 FROM entry WHERE id = NEW.id
                UNION ALL SELECT 1 FROM entry WHERE run_id = NEW.run_id AND row_number = NEW.row_number""",
    "result": """SELECT 1 FROM result WHERE id = NEW.id
                 UNION ALL SELECT 1 FROM result WHERE race_id = NEW.race_id AND row_number = NEW.row_number""",
    "event": """SELECT 1 FROM event WHERE id = NEW.id
                UNION ALL SELECT 1 FROM event WHERE source = NEW.source AND source_event_id = NEW.source_event_id""",
    "run": "SELECT 1 FROM run WHERE id = NEW.id",
    "lease": "SELECT 1 FROM lease WHERE event_id = NEW.event_id",
    "journal": "SELECT 1 FROM journal WHERE id = NEW.id",
    "transition": "SELECT 1 FROM transition WHERE id = NEW.id",
}


def _refuse(name: str, moment: str, condition: str, message: str) -> str:
    return f"CREATE TRIGGER {name} BEFORE {moment} WHEN {condition} BEGIN SELECT RAISE(ABORT, '{message}'); END"


def _columns(row: str, names: tuple[str, ...]) -> str:
    return "(" + ", ".join(f"{row}.{name}" for name in names) + ")"


def _changed(*names: str) -> str:
    return f"{_columns('NEW', names)} IS NOT {_columns('OLD', names)}"


_EVENT = (
    _refuse(
        "event_insert",
        "INSERT ON event",
        """NEW.state <> 'idle' OR NEW.ingest_depth <> 'none'
           OR NEW.current_run_id IS NOT NULL OR NEW.last_ingested_at IS NOT NULL""",
        "an event starts idle and serves nothing",
    ),
    _refuse(
        "event_key",
        "UPDATE ON event",
        "(NEW.id, NEW.source, NEW.source_event_id) IS NOT (OLD.id, OLD.source, OLD.source_event_id)",
        "an event keeps its id",
    ),
    # OF: naming the column is asking for a transition, also to the value it has.
    _refuse(
        "event_transition",
        "UPDATE OF state ON event",
        f"OLD.state || '>' || NEW.state NOT IN {_ARROWS}",
        "illegal transition of an event''s state",
    ),
    f"""CREATE TRIGGER event_transition_kept AFTER UPDATE OF state ON event
        BEGIN INSERT INTO transition (event_id, from_state, to_state, at)
              VALUES (NEW.id, OLD.state, NEW.state, {_NOW_MS}); END""",
    _refuse(
        "event_serve",
        "UPDATE ON event",
        """NEW.current_run_id IS NOT NULL AND NEW.current_run_id IS NOT OLD.current_run_id AND NOT EXISTS (
           SELECT 1 FROM run WHERE id = NEW.current_run_id AND event_id = NEW.id AND sealed AND purged_at IS NULL)""",
        "an event serves only a sealed run of its own",
    ),
    _refuse(
        "event_delete",
        "DELETE ON event",
        "EXISTS (SELECT 1 FROM run WHERE event_id = OLD.id)",
        "an event with runs cannot be deleted",
    ),
)

_RUN = (
    _refuse(
        "run_insert",
        "INSERT ON run",
        "NEW.sealed OR NEW.outcome IS NOT NULL OR NEW.purged_at IS NOT NULL",
        "a run starts unsealed and without an outcome",
    ),
    _refuse(
        "run_key",
        "UPDATE ON run",
        f"{_changed('id', 'event_id', 'kind', 'started_at')} OR (NEW.token IS NOT OLD.token AND OLD.token <> 0)",
        "a run keeps its id, event, kind, start and token",
    ),
    _refuse(
        "run_seal",
        "UPDATE ON run",
        """NEW.sealed AND NOT OLD.sealed AND (
           OLD.purged_at IS NOT NULL
           OR NOT EXISTS (SELECT 1 FROM event_header WHERE run_id = NEW.id)
           OR NEW.race_count IS NOT (SELECT COUNT(*) FROM race WHERE run_id = NEW.id)
           OR NEW.result_count IS NOT (
               SELECT COUNT(*) FROM race JOIN result ON result.race_id = race.id WHERE race.run_id = NEW.id)
           OR (NEW.lap_count, NEW.lap_ms_sum) IS NOT (
               SELECT COUNT(*), COALESCE(SUM(lap.lap_time_ms), 0)
               FROM race JOIN result ON result.race_id = race.id JOIN lap ON lap.result_id = result.id
               WHERE race.run_id = NEW.id)
           OR NEW.entry_count IS NOT (SELECT COUNT(*) FROM entry WHERE run_id = NEW.id))""",
        "a run is sealed only when its rows equal its manifest",
    ),
    _refuse(
        "run_sealed",
        "UPDATE ON run",
        f"OLD.sealed AND (NOT NEW.sealed OR {_changed('document_sha256', 'parser_build', *_MANIFEST)})",
        "a sealed run cannot be changed",
    ),
    _refuse(
        "run_purge",
        "UPDATE ON run",
        """NEW.purged_at IS NOT OLD.purged_at AND (
           OLD.purged_at IS NOT NULL OR EXISTS (SELECT 1 FROM event WHERE current_run_id = OLD.id))""",
        "a served run cannot be purged, and a purge cannot be taken back",
    ),
    _refuse(
        "run_delete",
        "DELETE ON run",
        """(OLD.sealed AND NOT EXISTS (SELECT 1 FROM purge_permit WHERE run_id = OLD.id))
           OR EXISTS (SELECT 1 FROM event WHERE current_run_id = OLD.id)
           OR EXISTS (SELECT 1 FROM event_header WHERE run_id = OLD.id)
           OR EXISTS (SELECT 1 FROM race WHERE run_id = OLD.id)
           OR EXISTS (SELECT 1 FROM entry WHERE run_id = OLD.id)""",
        "a run that is sealed, served or has rows cannot be deleted",
    ),
)


def _row_guards(table: str) -> tuple[str, ...]:
    sealed_new, sealed_old = _SEALED[table].format(row="NEW"), _SEALED[table].format(row="OLD")
    key = _changed("id") if table in ("race", "result", "entry") else "FALSE"
    return (
        # IS NOT FALSE: also refused where there is no such run.
        _refuse(
            f"{table}_insert", f"INSERT ON {table}", f"{sealed_new} IS NOT FALSE", f"a sealed run takes no {table} row"
        ),
        _refuse(
            f"{table}_update",
            f"UPDATE ON {table}",
            f"{key} OR {sealed_old} IS NOT FALSE OR {sealed_new} IS NOT FALSE",
            f"a {table} row of a sealed run cannot be changed",
        ),
        _refuse(
            f"{table}_delete",
            f"DELETE ON {table}",
            f"{sealed_old} IS TRUE AND NOT EXISTS (SELECT 1 FROM purge_permit WHERE run_id = {_RUN_ID[table]})",
            f"a {table} row of a sealed run leaves only by a purge",
        ),
    )


_LAPS_FIRST = _refuse(
    "result_has_laps",
    "DELETE ON result",
    "EXISTS (SELECT 1 FROM lap WHERE result_id = OLD.id)",
    "a result leaves after its laps",
)

_LEDGERS = (
    _refuse(
        "lease_token",
        "UPDATE ON lease",
        "NEW.token < OLD.token OR NEW.event_id IS NOT OLD.event_id",
        "a lease token only grows",
    ),
    _refuse("lease_delete", "DELETE ON lease", "TRUE", "a lease is released, never deleted: its token must only grow"),
    _refuse(
        "journal_update",
        "UPDATE ON journal",
        f"""OLD.acknowledged_at IS NOT NULL OR NEW.acknowledged_at IS NULL
            OR {_changed("id", "at", "entry_kind", "severity", "name", "message", "event_id", "run_id", "fields")}""",
        "the journal is append-only; an entry is acknowledged once",
    ),
    _refuse("journal_delete", "DELETE ON journal", "TRUE", "the journal is append-only"),
    _refuse("transition_update", "UPDATE ON transition", "TRUE", "transitions are append-only"),
    _refuse("transition_delete", "DELETE ON transition", "TRUE", "transitions are append-only"),
)

_PURGE = (
    _refuse(
        "purge_permit_insert",
        "INSERT ON purge_permit",
        "EXISTS (SELECT 1 FROM event WHERE current_run_id = NEW.run_id)",
        "the run that an event serves cannot be purged",
    ),
    _refuse("purge_permit_update", "UPDATE ON purge_permit", "TRUE", "a purge permit is given for one run"),
    # From here on the run may be incomplete, so it can never be served again.
    f"""CREATE TRIGGER purge_permit_kept AFTER INSERT ON purge_permit
        BEGIN UPDATE run SET purged_at = {_NOW_MS} WHERE id = NEW.run_id AND purged_at IS NULL; END""",
)

_REPLACE = tuple(
    _refuse(f"{table}_replace", f"INSERT ON {table}", f"EXISTS ({same})", f"a {table} row is never replaced")
    for table, same in _SAME_KEY.items()
)

GUARDS = (
    *_EVENT,
    *_RUN,
    *(guard for table in _SEALED for guard in _row_guards(table)),
    _LAPS_FIRST,
    *_LEDGERS,
    *_PURGE,
    *_REPLACE,
)
