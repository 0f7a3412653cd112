"""The global switch, and the one question that every way in asks: may this be done now?

Ingestion is `enabled`, `disabled` (nothing is fetched and nothing is published) or `protected` (only recovery writes);
a page type that a confirmed drift case blocks is not read either. It is asked three times: when work begins, before
each request to the site, and inside the publishing transaction, where the answer is final: once `disable` has returned
and says so, nothing is published any more.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Collection
from enum import StrEnum
from typing import NamedTuple
from weakref import WeakKeyDictionary

import msgspec
from msgspec import Struct

from pipeline import drift, gate
from pipeline.errors import Kind, StateError, StoreError
from pipeline.store import check_runs, journal
from pipeline.store import control as rows
from pipeline.store import drift as drift_rows
from pipeline.store.check_runs import CheckRunRow
from pipeline.store.control import ControlRow
from pipeline.store.database import Store
from pipeline.ways import DISABLED, ENABLED, PROTECTED, REFUSED, Way

INGESTED = ("event", "race_result", "entry_list")  # the page types that any ingestion of an event may need
REQUEST_MAX_AGE_S = 1.0  # how old the answer before a request may be: one read a second, not one a page


class Moment(StrEnum):
    """When the question is asked, which decides how sure the answer must be."""

    BEGIN = "begin"  # as last committed
    REQUEST = "request"  # at most REQUEST_MAX_AGE_S old
    PUBLISH = "publish"  # final: inside the write transaction that publishes


class ControlState(Struct, frozen=True):
    """How the switch stands, as people see it, and what the checks say about turning it on."""

    mode: str
    reason: str | None
    changed_by: str | None
    changed_at: int | None  # UTC milliseconds
    last_passed: int | None  # number of the newest run of all checks that passed
    last_failed: int | None  # number of the newest run of checks that failed
    may_enable: bool
    enable_needs: str | None  # what is missing to enable, in words
    publishing: bool = False  # after `disable`: somebody is still inside a publishing transaction


# ---------------------------------------------------------------- the question


def admit(
    store: Store, way: Way, moment: Moment = Moment.BEGIN, *, pages: Collection[str] = (), build: str | None = None
) -> None:
    """Return where `way` is open now, none of the page types that it needs is blocked, and `build` may be used.

    Raises StateError DISABLED with who closed it and why, PAGE_TYPE_BLOCKED with the drift case, GATE_CLOSED with the
    page set that does not read as it must; StoreError.
    """
    if way is Way.RECOVERY:
        return
    if moment is Moment.REQUEST:
        gates = _recent.get(store)
    else:
        gates = _Gates.read(store, to_publish=moment is Moment.PUBLISH)
        _recent.put(store, gates)
    if way in REFUSED[gates.control.mode]:
        raise refusal(gates.control, way)
    for page_type in pages:
        if page_type in gates.blocked:
            raise drift.refusal(page_type, gates.blocked[page_type])
    if build is not None:
        gate.require_green(store, build)


def run_way(run_kind: str) -> Way:
    """What a run of this kind would do: only `ingest` brings in anything new."""
    return Way.INGEST if run_kind == "ingest" else Way.RECOVERY


def refusal(control: ControlRow, way: Way) -> StateError:
    """The error that says which switch stands in the way."""
    what = "Ingestion is disabled" if control.mode == DISABLED else "The database is protected: only recovery may write"
    return StateError(
        Kind.DISABLED,
        f"{what}; {control.changed_by} said: {control.reason}",
        mode=control.mode,
        reason=control.reason,
        changed_by=control.changed_by,
        changed_at=control.changed_at,
        refused=str(way),
    )


class _Gates(NamedTuple):
    """All that may stand in the way, as one read told it."""

    control: ControlRow
    blocked: dict[str, int]  # page type → the drift case that blocks it

    @classmethod
    def read(cls, store: Store, *, to_publish: bool = False) -> _Gates:
        with store.read():  # inside a write transaction it joins that
            control = rows.read_to_publish(store) if to_publish else rows.read(store)
            return cls(control, drift_rows.blocked(store))


class _Recent:
    """The gates as each open database last told them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._read: WeakKeyDictionary[Store, tuple[float, _Gates]] = WeakKeyDictionary()

    def get(self, store: Store) -> _Gates:
        with self._lock:
            at, gates = self._read.get(store, (float("-inf"), _Gates(ControlRow(), {})))
        if time.monotonic() - at <= REQUEST_MAX_AGE_S:
            return gates
        fresh = _Gates.read(store)
        self.put(store, fresh)
        return fresh

    def put(self, store: Store, gates: _Gates) -> None:
        with self._lock:
            self._read[store] = (time.monotonic(), gates)

    def forget(self, store: Store) -> None:
        with self._lock:
            self._read.pop(store, None)


_recent = _Recent()


# ---------------------------------------------------------------- the switch


def show(store: Store) -> ControlState:
    """How the switch stands, and what enabling would need."""
    with store.read():
        control = rows.read(store)
        passed = check_runs.newest(store, everything=True, passed=True)
        failed = check_runs.newest(store, passed=False)
    needs = None if control.mode == ENABLED else _enable_needs(control, passed, failed)
    return ControlState(
        mode=control.mode,
        reason=control.reason,
        changed_by=control.changed_by,
        changed_at=control.changed_at,
        last_passed=passed.id if passed else None,
        last_failed=failed.id if failed else None,
        may_enable=needs is None,
        enable_needs=needs,
    )


def disable(store: Store, *, reason: str, who: str, protect: bool = False) -> ControlState:
    """Close every way in to fetching and publishing; with `protect`, to every write but recovery. Work under way stops.

    Returns once nobody publishes any more, or says (`publishing`) that somebody still hangs inside that transaction.
    Raises StateError USAGE without a reason, StoreError.
    """
    if not reason.strip():
        raise StateError(Kind.USAGE, "Disabling ingestion needs a reason: whoever finds it disabled reads it")
    mode = PROTECTED if protect else DISABLED
    _turn(store, mode, reason.strip(), who)
    try:
        rows.wait_for_publishers(store)
    except StoreError as error:
        if error.kind is not Kind.DB_BUSY:
            raise
        return msgspec.structs.replace(show(store), publishing=True)
    return show(store)


def enable(store: Store, *, who: str, reason: str = "") -> ControlState:
    """Open every way in again.

    Raises StateError CHECKS_FAILED unless all checks passed since it was disabled and since any check last failed.
    """
    with store.write():
        state = show(store)
        if state.mode == ENABLED:
            return state
        if state.enable_needs is not None:
            raise StateError(
                Kind.CHECKS_FAILED,
                f"Ingestion stays {state.mode}: {state.enable_needs}",
                last_passed=state.last_passed,
                last_failed=state.last_failed,
                remedy="Run `mre checks`; when it passes, `mre enable`.",
            )
        _turn(store, ENABLED, reason.strip() or None, who)
    return show(store)


def _enable_needs(control: ControlRow, passed: CheckRunRow | None, failed: CheckRunRow | None) -> str | None:
    if failed is not None and (passed is None or passed.id < failed.id):
        return f"checks failed (run {failed.id}) and not all of them have passed since"
    if passed is None:
        return "the checks have never passed"
    if control.changed_at is not None and passed.started_at < control.changed_at:
        return f"the checks have not passed since it was {control.mode}"
    return None


def _turn(store: Store, mode: str, reason: str | None, who: str) -> None:
    with store.write():
        before = rows.read(store)
        rows.change(store, mode, reason, who)
        facts = {"mode": mode, "before": before.mode, "reason": reason, "who": who}
        journal.append(
            store,
            [
                journal.JournalEntry(
                    entry_kind="audit",
                    severity="info" if mode == ENABLED else "warning",
                    name=f"ingestion_{mode}",
                    message=f"ingestion {mode} by {who}" + (f": {reason}" if reason else ""),
                    fields=msgspec.json.encode(facts).decode(),
                )
            ],
        )
    _recent.forget(store)
