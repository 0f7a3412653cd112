"""The guards of migration 0002 for PostgreSQL: actions are history, and a purge leaves what an open undo needs."""

from __future__ import annotations

from pipeline.store.migration_files.tables_0002 import ACTION_FACTS

_NEW, _OLD = (", ".join(f"{row}.{name}" for name in ACTION_FACTS) for row in ("NEW", "OLD"))

_PERMIT = """
    CREATE FUNCTION guard_purge_permit_undo() RETURNS trigger LANGUAGE plpgsql AS $guard$BEGIN
    IF EXISTS (SELECT 1 FROM action
               WHERE from_run_id = NEW.run_id AND kind <> 'undo' AND undo_closed_at IS NULL
               AND NOT EXISTS (SELECT 1 FROM action AS undone WHERE undone.undoes = action.id))
    THEN RAISE EXCEPTION USING ERRCODE = '23514', MESSAGE = 'a run that an open undo needs cannot be purged'; END IF;
    RETURN NEW; END$guard$
"""
FUNCTION_NAMES = ("guard_purge_permit_undo",)


def _refuse(name: str, moment: str, message: str, when: str | None = None, each: str = "ROW") -> str:
    condition = f"WHEN ({when})" if when else ""
    return (
        f"CREATE TRIGGER {name} BEFORE {moment} FOR EACH {each} {condition} EXECUTE FUNCTION guard_refuse('{message}')"
    )


GUARDS = (
    _PERMIT,
    _refuse(
        "action_insert", "INSERT ON action", "an action begins with its undo open", "NEW.undo_closed_at IS NOT NULL"
    ),
    _refuse(
        "action_update",
        "UPDATE ON action",
        "an action is history; all that may change is that its undo is closed, once",
        f"""ROW({_NEW}) IS DISTINCT FROM ROW({_OLD}) OR OLD.undo_closed_at IS NOT NULL
            OR NEW.undo_closed_at IS NULL OR NEW.kept IS NOT NULL""",
    ),
    _refuse("action_delete", "DELETE ON action", "an action is history"),
    _refuse("action_truncate", "TRUNCATE ON action", "action is never truncated", each="STATEMENT"),
    """CREATE TRIGGER purge_permit_undo BEFORE INSERT ON purge_permit
       FOR EACH ROW EXECUTE FUNCTION guard_purge_permit_undo()""",
)
