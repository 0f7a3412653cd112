"""The purge: physical deletion of generations that nobody needs any more. Planned, confirmed, audited, never undone.

What is served, the newest two generations of every event, and whatever an undo still needs stay. Each generation leaves
in one transaction of its own that holds the event's lease row, with its line in the journal; the runs themselves stay.
"""

from __future__ import annotations

import msgspec
from msgspec import Struct

from pipeline.errors import Kind, StateError
from pipeline.plans import Counts
from pipeline.store import journal, superseded
from pipeline.store.database import Store
from pipeline.store.superseded import ClosingUndo, SupersededRun

KEEP_RUNS_DAYS = 30  # how long superseded generations stay
KEEP_UNDO_DAYS = 30  # how long an action can be undone
DAY_MS = 86_400_000


class PurgePlan(Struct, frozen=True, kw_only=True):
    """What a purge deletes for good."""

    runs: tuple[SupersededRun, ...]
    undos: tuple[ClosingUndo, ...]  # actions that cannot be undone afterwards
    finished_before: int  # UTC milliseconds: what superseded runs are compared with
    undo_since: int  # UTC milliseconds: actions from then on stay undoable

    @property
    def changes_anything(self) -> bool:
        return bool(self.runs or self.undos)

    def rows(self) -> Counts:
        """Table → rows that go."""
        total: Counts = {}
        for run in self.runs:
            for table, count in run.rows.items():
                total[table] = total.get(table, 0) + count
        return total


class PassedOver(Struct, frozen=True):
    """Something of the plan that was left as it is."""

    event: str
    run_id: int | None
    why: str


class PurgeReport(Struct, frozen=True):
    """What a purge did."""

    runs: tuple[int, ...]  # whose rows are gone
    rows: Counts
    undos: tuple[int, ...]  # actions that cannot be undone any more
    passed_over: tuple[PassedOver, ...]


def plan_purge(
    store: Store, *, older_than_days: float = KEEP_RUNS_DAYS, keep_undo_days: float = KEEP_UNDO_DAYS
) -> PurgePlan:
    """What may go: generations that were superseded and are older than that many days, undos older than theirs.

    Raises:
        StateError: USAGE, a negative number of days. StoreError.
    """
    if older_than_days < 0 or keep_undo_days < 0:
        raise StateError(Kind.USAGE, "the number of days cannot be negative")
    with store.read():
        now = store.clock_ms()
        finished_before, undo_since = now - round(older_than_days * DAY_MS), now - round(keep_undo_days * DAY_MS)
        return PurgePlan(
            runs=superseded.superseded_runs(store, finished_before=finished_before, undo_since=undo_since),
            undos=superseded.closing_undos(store, undo_since=undo_since),
            finished_before=finished_before,
            undo_since=undo_since,
        )


def purge(store: Store, plan: PurgePlan, *, who: str, reason: str = "") -> PurgeReport:
    """Carry a purge out, generation by generation: one that is stopped half-way has deleted whole generations only.

    What came into use since the plan, or is being worked on, is passed over and named. Raises StoreError.
    """
    rows: Counts = {}
    gone: list[int] = []
    closed: list[int] = []
    passed_over: list[PassedOver] = []
    for undo in plan.undos:
        why = _close(store, plan, undo, who, reason)
        if why is None:
            closed.append(undo.action_id)
        else:
            passed_over.append(PassedOver(undo.event, None, why))
    for run in plan.runs:
        deleted = _delete(store, plan, run, who, reason)
        if isinstance(deleted, str):
            passed_over.append(PassedOver(run.event, run.run_id, deleted))
            continue
        gone.append(run.run_id)
        for table, count in deleted.items():
            rows[table] = rows.get(table, 0) + count
    return PurgeReport(tuple(gone), rows, tuple(closed), tuple(passed_over))


BUSY = "the event is being worked on"


def _close(store: Store, plan: PurgePlan, undo: ClosingUndo, who: str, reason: str) -> str | None:
    """Close one undo; why it was left open, where it was."""
    with store.write():
        if not superseded.lock_unheld(store, undo.event_id):
            return BUSY
        if undo not in superseded.closing_undos(store, undo_since=plan.undo_since, event_id=undo.event_id):
            return f"the undo of action {undo.action_id} was closed meanwhile"
        superseded.close_undo(store, undo.action_id)
        message = f"action {undo.action_id} ({undo.kind}) cannot be undone any more"
        _journal(store, "undo_closed", message, undo.event_id, None, who, reason, {"action": undo.action_id})
        return None


def _delete(store: Store, plan: PurgePlan, run: SupersededRun, who: str, reason: str) -> Counts | str:
    """Delete one generation; what was deleted, or why it was left."""
    with store.write():
        if not superseded.lock_unheld(store, run.event_id):
            return BUSY
        still = superseded.superseded_runs(
            store, finished_before=plan.finished_before, undo_since=plan.undo_since, event_id=run.event_id
        )
        if run not in still:
            return "it is needed again"
        deleted = superseded.delete_rows(store, run.run_id, reason or "superseded")
        message = f"rows of run {run.run_id} deleted for good"
        _journal(store, "run_purged", message, run.event_id, run.run_id, who, reason, {"rows": deleted})
        return deleted


def _journal(
    store: Store, name: str, message: str, event_id: int, run_id: int | None, who: str, reason: str, facts: object
) -> None:
    fields = {"who": who, "reason": reason, **msgspec.to_builtins(facts)}
    entry = journal.JournalEntry(
        entry_kind="audit",
        name=name,
        message=f"{message}, by {who}" + (f": {reason}" if reason else ""),
        event_id=event_id,
        run_id=run_id,
        fields=msgspec.json.encode(fields).decode(),
    )
    journal.append(store, [entry])
