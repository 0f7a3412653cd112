"""What a recovery action would do, said exactly and before anything is touched.

A plan is plain, frozen data: it can be shown, confirmed, sent as JSON and compared. Carrying one out makes it again
inside the transaction and refuses where the two differ, so what was confirmed is what happens.
"""

from __future__ import annotations

from msgspec import Struct

Counts = dict[str, int]  # table → rows, only tables with any


class Fingerprint(Struct, frozen=True):
    """What an event was when it was planned on."""

    state: str
    current_run_id: int | None
    token: int  # of its lease: raised by every run and by every clearing
    newest_run_id: int | None


class Change(Struct, frozen=True):
    """One column of the event. Times are UTC milliseconds."""

    field: str
    before: str | int | None
    after: str | int | None


class RunEffect(Struct, frozen=True):
    """What happens to the rows of one run."""

    run_id: int | None  # None: orphans, whose run is not known any more
    effect: str  # removed, put back, given up (kept, but no longer served), served
    rows: Counts


class Plan(Struct, frozen=True, kw_only=True):
    """Everything that one action changes on one event, and nothing else does."""

    kind: str  # cleanup, cleanup_full, reset, restore, undo
    event_id: int  # the database's id
    event: str  # slug/id
    event_name: str | None
    based_on: Fingerprint
    steps: tuple[str, ...]  # the states that the event walks through, by legal arrows
    changes: tuple[Change, ...]  # of the event's own columns
    runs: tuple[RunEffect, ...]
    removes: Counts  # rows that leave the tables; they are kept in the action
    orphans: Counts  # those of them that no undo can bring back: the database takes no row without its parent
    puts_back: Counts
    served_before: Counts
    served_after: Counts
    rows_sha256: str | None = None  # of the removed or returned rows, to the last column
    target_run_id: int | None = None  # restore: the run to serve
    parser_build: str | None = None  # restore: the build that is rolled back
    undoes: int | None = None  # undo: the action

    @property
    def changes_anything(self) -> bool:
        return bool(self.changes or self.removes or self.puts_back)


def said(plan: Plan) -> str:
    """The action in words: `full cleanup`, `restore of run 41`, `undo of action 7`."""
    if plan.kind == "cleanup_full":
        return "full cleanup"
    if plan.kind == "undo":
        return f"undo of action {plan.undoes}"
    if plan.kind == "restore":
        return f"restore of run {plan.target_run_id}" if plan.target_run_id is not None else "restore of nothing"
    return plan.kind


def steps(state: str, *, serves: bool) -> tuple[str, ...]:
    """The states that an action walks an event through, from `state` to where it ends: complete where it serves a run,
    idle where it serves none. A running state whose lease nobody holds is walked out of first."""
    first = {"failed": ("idle",), "running": ("failed", "idle")}.get(state, ())
    return (*first, "running", *(("complete",) if serves else ("failed", "idle")))


class RefusedPlan(Struct, frozen=True):
    """An event that cannot be acted on now."""

    event: str
    kind: str  # of the error
    message: str


class Rollback(Struct, frozen=True):
    """All that a bad build published, event by event, planned and confirmed as one."""

    parser_build: str
    plans: tuple[Plan, ...]
    refused: tuple[RefusedPlan, ...]
