"""The gate: ingestion needs every page set to read as it must, with the very readers that it would use.

Results are kept per build of the readers and page set; where one is missing (the first start, a new version, an
accepted repair, a new capture) admission replays by itself. A red gate refuses everything that would publish from live
pages; recovery and probes are exempt. A captured set that changed without the drift case that allows it is red too.
"""

from __future__ import annotations

import hashlib
import threading
import time
from contextlib import nullcontext
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from pipeline.errors import Kind, StateError
from pipeline.lockfiles import alone
from pipeline.observe import Bus, Report, progress_report
from pipeline.store import gate as rows
from pipeline.store import journal
from pipeline.store.database import Store
from pipeline.store.gate import FixtureResultRow, FixtureVersionRow, GateRow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.fixtures import FixtureRoots, SetInfo
    from pipeline.liverc.readers import Readers

GREEN, RED, UNKNOWN = "green", "red", "unknown"
DIFFERENCES_KEPT = 20  # of one result
PATIENCE_S = 60.0  # for another process that replays the same sets
LOCK = ".gate.lock"  # in the folder of captured sets
_NO_SETS = "there is no page set to prove the readers with"


class GateSet(Struct, frozen=True, kw_only=True):
    """One page set, and how it read with the readers of today."""

    event_id: str
    origin: str  # shipped, captured
    version: int
    sha256: str
    passed: bool | None  # None: not replayed with these readers yet
    field: str | None = None  # that the failure is about, or the first that differs
    first_difference: str | None = None  # or the failure
    differences: int = 0
    took_ms: int | None = None
    at: int | None = None  # UTC milliseconds


class GateState(Struct, frozen=True, kw_only=True):
    """Whether the gate is open for a build, and what every set said."""

    build: str
    state: str  # green, red; unknown: never judged, or not since the sets changed
    sets: tuple[GateSet, ...]
    failing_set: str | None = None
    failing_field: str | None = None
    first_difference: str | None = None  # or the failure
    changed_at: int | None = None  # UTC milliseconds, when it last turned
    checked_at: int | None = None


# ---------------------------------------------------------------- the question


def admit_build(store: Store, readers: Readers, roots: FixtureRoots, bus: Bus | None = None) -> None:
    """Return where these readers may ingest; replays first what has no result yet.

    Without shipped page sets to speak of (a program that is put together by hand) only captured ones are asked.
    Raises StateError GATE_CLOSED naming the set and its first difference; StoreError.
    """
    from pipeline.fixtures import all_sets

    sets = all_sets(roots)
    if not sets and roots.shipped is None:
        return
    row = rows.find(store, readers.build)
    if row is None or not row.passed or row.sets_sha256 != digest(sets):  # red: what was wrong may be gone
        row = _judge(store, readers, roots, bus or Bus())
    if not row.passed:
        raise refusal(row)


def require_green(store: Store, build: str) -> None:
    """The same by one look at the database, for inside a transaction. Raises StateError GATE_CLOSED.

    A build that was never judged is refused in a database that has judged others.
    """
    row = rows.find(store, build)
    if row is None and rows.in_use(store):
        raise StateError(
            Kind.GATE_CLOSED,
            f"No page set was replayed with these readers yet (build {build})",
            parser_build=build,
            remedy="`mre gate run` replays them.",
        )
    if row is not None and not row.passed:
        raise refusal(row)


def refusal(row: GateRow) -> StateError:
    """The error that says which set closed the gate, and with what."""
    what = f"the page set {row.failing_set}: {row.first_difference}" if row.failing_set else row.first_difference
    return StateError(
        Kind.GATE_CLOSED,
        f"The gate is closed for these readers (build {row.parser_build}); {what}",
        parser_build=row.parser_build,
        failing_set=row.failing_set,
        field=row.failing_field,
        first_difference=row.first_difference,
        remedy="`mre gate show` lists every set; `mre gate run` replays them again.",
    )


# ---------------------------------------------------------------- looking and judging


def show(store: Store, readers: Readers, roots: FixtureRoots) -> GateState:
    """How the gate stands, and what is known of every set. Changes nothing."""
    from pipeline.fixtures import all_sets

    sets = all_sets(roots)
    with store.read():
        row = rows.find(store, readers.build)
        known = rows.results(store, readers.build)
    return _state(readers.build, row, sets, known)


def judge(store: Store, readers: Readers, roots: FixtureRoots, bus: Bus | None = None) -> GateState:
    """Replay what has no result with these readers yet, and judge. Raises StoreError."""
    _judge(store, readers, roots, bus or Bus())
    return show(store, readers, roots)


def run(store: Store, readers: Readers, roots: FixtureRoots, bus: Bus | None = None) -> GateState:
    """Replay every set again, whatever is known, and judge. Raises StoreError."""
    _judge(store, readers, roots, bus or Bus(), again=True)
    return show(store, readers, roots)


def digest(sets: Sequence[SetInfo]) -> str:
    """The sha256 of which sets there are: it changes with every set, version, file and damage."""
    named = [(info.origin, info.event_id, info.version, info.sha256, info.problem) for info in sets]
    return hashlib.sha256(msgspec.json.encode(named)).hexdigest()


def _state(build: str, row: GateRow | None, sets: Sequence[SetInfo], known: dict[str, FixtureResultRow]) -> GateState:
    lines = tuple(set_line(info, known.get(info.sha256)) for info in sets)
    if row is None:
        return GateState(build=build, state=UNKNOWN, sets=lines)
    return GateState(
        build=build,
        state=UNKNOWN if row.sets_sha256 != digest(sets) else GREEN if row.passed else RED,
        sets=lines,
        failing_set=row.failing_set,
        failing_field=row.failing_field,
        first_difference=row.first_difference,
        changed_at=row.changed_at,
        checked_at=row.checked_at,
    )


def set_line(info: SetInfo, result: FixtureResultRow | None) -> GateSet:
    """How a set read, as far as that is known."""
    line = GateSet(event_id=info.event_id, origin=info.origin, version=info.version, sha256=info.sha256, passed=None)
    if info.problem is not None:
        return msgspec.structs.replace(line, passed=False, first_difference=info.problem)
    if result is None:
        return line
    return msgspec.structs.replace(
        line,
        passed=result.passed,
        field=result.field,
        first_difference=_first(result),
        differences=result.difference_count,
        took_ms=result.took_ms,
        at=result.at,
    )


_flight = threading.Lock()


def _judge(store: Store, readers: Readers, roots: FixtureRoots, bus: Bus, *, again: bool = False) -> GateRow:
    """Replay what has no result, or everything `again`; record results and what they come to.

    One at a time, in this process and among those that share the data folder: the others find the answer.
    """
    from pipeline.fixtures import all_sets

    with _flight, nullcontext() if roots.captured is None else alone(roots.captured / LOCK, PATIENCE_S):
        sets = all_sets(roots)
        row = rows.find(store, readers.build)
        if not again and row is not None and row.passed and row.sets_sha256 == digest(sets):
            return row  # somebody else was faster
        known = rows.results(store, readers.build)
        fresh = _replayed(sets, {} if again else known, readers, bus)
        with store.write():
            for result in fresh:
                if _outcome(result) != _outcome(known.get(result.set_sha256)):
                    rows.add_result(store, result)
            unlawful = _unlawful(store, sets, roots)
            judged = {**known, **{result.set_sha256: result for result in fresh}}
            row = _verdict(readers.build, sets, judged, unlawful)
            report = _record(store, row)
    if report is not None:
        bus.publish(report)
    return row


def _replayed(
    sets: Sequence[SetInfo], known: dict[str, FixtureResultRow], readers: Readers, bus: Bus
) -> list[FixtureResultRow]:
    due = [info for info in sets if info.problem is None and info.sha256 not in known]
    results = []
    for done, info in enumerate(due):
        bus.publish(progress_report("gate", done, len(due)))
        results.append(_replay(info, readers))
    return results


def _replay(info: SetInfo, readers: Readers) -> FixtureResultRow:
    from pipeline.fixtures import replay_set

    began = time.monotonic()
    replay = replay_set(info, readers)
    return FixtureResultRow(
        parser_build=readers.build,
        fixture_set=info.event_id,
        fixture_version=info.version,
        origin=info.origin,
        set_sha256=info.sha256,
        passed=replay.passed,
        document_sha256=replay.sha256,
        failure=replay.failure,
        field=replay.field,
        difference_count=len(replay.differences),
        differences=msgspec.json.encode(replay.differences[:DIFFERENCES_KEPT]).decode(),
        took_ms=round((time.monotonic() - began) * 1000),
    )


def _outcome(result: FixtureResultRow | None) -> tuple[object, ...] | None:
    """What of a result is worth a new row."""
    return None if result is None else (result.passed, result.document_sha256, result.failure, result.differences)


def _first(result: FixtureResultRow) -> str | None:
    from pipeline.differences import Difference

    if result.failure is not None or not result.difference_count:
        return result.failure
    return msgspec.json.decode(result.differences, type=tuple[Difference, ...])[0].shown()


def _verdict(
    build: str, sets: Sequence[SetInfo], judged: dict[str, FixtureResultRow], unlawful: dict[str, str]
) -> GateRow:
    """Red by the first set that says so."""
    failing: tuple[str | None, str | None, str | None] | None = None if sets else (None, None, _NO_SETS)
    for info in sets:
        result = judged.get(info.sha256)
        if info.problem is not None:
            failing = failing or (info.name, None, info.problem)
        elif result is not None and not result.passed:
            failing = failing or (info.name, result.field, _first(result))
    for event_id, why in unlawful.items():
        failing = failing or (event_id, None, why)
    failing_set, field, first = failing or (None, None, None)
    return GateRow(
        parser_build=build,
        passed=failing is None,
        sets_sha256=digest(sets),
        set_count=len(sets),
        failing_set=failing_set,
        failing_field=field,
        first_difference=first,
    )


def _record(store: Store, row: GateRow) -> Report | None:
    """Keep what holds now; what is to be told where the gate turned."""
    before = rows.find(store, row.parser_build)
    turned = before is None or before.passed != row.passed
    rows.put(store, row, turned=turned)
    if not turned:
        return None
    if row.passed:
        message = f"the gate is open for build {row.parser_build}: {row.set_count} page sets read as they must"
    else:
        message = refusal(row).message
    name = "gate_opened" if row.passed else "gate_closed"
    severity = "info" if row.passed else "warning"
    facts = {"parser_build": row.parser_build, "failing_set": row.failing_set, "field": row.failing_field}
    journal.append(
        store,
        [
            journal.JournalEntry(
                entry_kind="audit" if row.passed else "warning",
                severity=severity,
                name=name,
                message=message,
                fields=msgspec.json.encode(facts).decode(),
            )
        ],
    )
    return Report(name, message, severity, fields=facts)


# ---------------------------------------------------------------- who changed a captured set?


def _unlawful(store: Store, sets: Sequence[SetInfo], roots: FixtureRoots) -> dict[str, str]:
    """Captured sets that are not what this database knows, and why that is not allowed: event id → one sentence.

    A set that it does not know at all is taken as it is, once.
    """
    known = rows.versions(store)
    there = {info.event_id: info for info in sets if info.origin == "captured"}
    found = {}
    for event_id, info in there.items():
        step = known.get(event_id)
        if info.problem is not None or (step is not None and step.how != "archived" and step.set_sha256 == info.sha256):
            continue
        if step is None:
            rows.add_version(store, _seen(info, "found", None, "found in the data folder"))
        elif _inherited(info, step.set_sha256, roots):
            assert info.metadata is not None
            assert info.metadata.accepted is not None
            rows.add_version(store, _seen(info, "inherited", info.metadata.accepted.case, "accepted elsewhere"))
        else:
            was = "archived" if step.how == "archived" else f"version {step.fixture_version}"
            found[event_id] = f"it is another one than this database knows ({was}): no drift case allowed that"
    for event_id, step in known.items():
        if step.how != "archived" and event_id not in there:
            found[event_id] = f"it is missing from the data folder ({roots.captured})"
    return found


def _seen(info: SetInfo, how: str, case: int | None, reason: str) -> FixtureVersionRow:
    return FixtureVersionRow(
        fixture_set=info.event_id,
        fixture_version=info.version,
        set_sha256=info.sha256,
        how=how,
        case_id=case,
        reason=reason,
        who="mre",
    )


def _inherited(info: SetInfo, known_sha256: str, roots: FixtureRoots) -> bool:
    """Whether a set descends from the version that is known, step by step with a case each.

    That is so where another database that shares the data folder accepted it.
    """
    from pipeline.fixtures import archived_versions

    assert roots.captured is not None
    earlier = {one.sha256: one for one in archived_versions(roots.captured, info.event_id)}
    step: SetInfo | None = info
    while step is not None and step.metadata is not None and step.metadata.accepted is not None:
        superseded = step.metadata.accepted.supersedes
        if superseded == known_sha256:
            return True
        step = earlier.pop(superseded, None)
    return False
