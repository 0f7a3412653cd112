"""The guards of migration 0002 for SQLite: actions are history, and a purge leaves what an open undo needs."""

from __future__ import annotations

from pipeline.store.migration_files.tables_0002 import ACTION_FACTS

_NEW, _OLD = (", ".join(f"{row}.{name}" for name in ACTION_FACTS) for row in ("NEW", "OLD"))


def _refuse(name: str, moment: str, condition: str, message: str) -> str:
    return f"CREATE TRIGGER {name} BEFORE {moment} WHEN {condition} BEGIN SELECT RAISE(ABORT, '{message}'); END"


GUARDS = (
    _refuse(
        "action_insert", "INSERT ON action", "NEW.undo_closed_at IS NOT NULL", "an action begins with its undo open"
    ),
    _refuse(
        "action_update",
        "UPDATE ON action",
        f"""({_NEW}) IS NOT ({_OLD}) OR OLD.undo_closed_at IS NOT NULL
            OR NEW.undo_closed_at IS NULL OR NEW.kept IS NOT NULL""",
        "an action is history; all that may change is that its undo is closed, once",
    ),
    _refuse("action_delete", "DELETE ON action", "TRUE", "an action is history"),
    _refuse(
        "action_replace",
        "INSERT ON action",
        "EXISTS (SELECT 1 FROM action WHERE id = NEW.id OR run_id = NEW.run_id OR undoes = NEW.undoes)",
        "an action row is never replaced",
    ),
    _refuse(
        "purge_permit_undo",
        "INSERT ON purge_permit",
        """EXISTS (SELECT 1 FROM action
                   WHERE from_run_id = NEW.run_id AND kind <> 'undo' AND undo_closed_at IS NULL
                   AND NOT EXISTS (SELECT 1 FROM action AS undone WHERE undone.undoes = action.id))""",
        "a run that an open undo needs cannot be purged",
    ),
)
NAMES_ON_OTHER_TABLES = ("purge_permit_undo",)  # what does not go with the table `action`
