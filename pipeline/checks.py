"""Is everything as it must be? A suite of checks over one event or over everything, and what follows from the answer.

They run after every recovery action and whenever a person asks. A warning is told; an error holds the event it is about
and keeps ingestion disabled. Each check is a small function in a room of its own: `check_rows` asks the database about
itself, `check_documents` reads runs back and holds them against their archived pages, `check_program` replays the page
sets that came with the program. A check must be quiet on good data, or nobody will listen to it.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial

import msgspec
from msgspec import Struct

from pipeline import attempts, check_program
from pipeline.check_documents import DOCUMENT_CHECKS, PAGE_CHECKS, KeptRun, archive, determinism
from pipeline.check_rows import ROW_CHECKS, Scope
from pipeline.errors import Kind, PipelineError, StateError
from pipeline.findings import Finding, Severity
from pipeline.fixtures import FixtureRoots
from pipeline.liverc.readers import SHIPPED, Readers
from pipeline.observe import Bus, progress_report
from pipeline.stopping import StopSignal
from pipeline.store import attempts as attempt_rows
from pipeline.store import check_runs, consistency, events, journal
from pipeline.store.archive import PageArchive
from pipeline.store.check_runs import CheckRunRow
from pipeline.store.database import Store

RECORDED_FINDINGS = 200
HOLD_PREFIX = "checks failed"  # how a hold says that it was the checks; such a one ends when they pass
# Not the data's fault: the checks cannot be carried out at all.
_NO_VERDICT = (Kind.DB_UNREACHABLE, Kind.DB_BUSY, Kind.DB_SCHEMA, Kind.INTERRUPTED)

CHECKS: dict[str, str] = {
    "database-file": "the database file is whole, every index has what its table has",
    "guards": "every guard of the database is in force",
    "served-run": "an event serves a sealed run of its own",
    "depth": "depth, pointer and rows of an event agree",
    "header": "every sealed run knows its event",
    "manifest": "the rows of every sealed run add up to its manifest",
    "orphans": "no row has lost its parent",
    "partial-rows": "no run that was not sealed has rows",
    "natural-keys": "what names a thing names it once",
    "ordering": "races and results stand in order, without gaps",
    "states": "states, steps, runs and leases tell one story",
    "leases": "a lease belongs to a run that is under way",
    "document-hash": "the rows give the document that was published",
    "lap-counts": "every driver has the laps that the result counts",
    "laps": "laps are numbered 1 to n and add up",
    "values": "no value is beyond what can be",
    "export": "an export gives the same bytes twice, and can be read back",
    "archive": "the pages of what is served are kept, undamaged",
    "archived-races": "no race of the archived event page is missing",
    "archived-drivers": "no driver of an archived race page is missing",
    "archived-laps": "no lap of an archived race page is missing",
    "archived-document": "the archived pages still give the document",
    "regression": "the page sets that came with the program read as they must",
    "determinism": "the same pages give the same bytes, every time",
    "durations": "the newest run took about as long as those before it",
    "log": "no error was logged since the newest run began",
}
"""Every check, with what holds when it finds nothing."""


class CheckReport(Struct, frozen=True):
    """What one run of the checks found."""

    id: int | None  # of its record; None: it was not recorded
    event: str | None  # slug/id; None: everything was checked
    passed: bool  # no error; warnings pass
    errors: int
    warnings: int
    seconds: float
    checks: dict[str, int]  # check → milliseconds
    skipped: dict[str, str]  # check → why it was not made
    findings: tuple[Finding, ...]  # errors first
    held: tuple[str, ...]  # events that are held because of it


@dataclass(frozen=True)
class Bench:
    """What the checks have to work with. Without archive or fixtures, what needs them is skipped and said so."""

    store: Store
    archive: PageArchive | None = None
    fixtures: FixtureRoots | None = None
    readers: Readers = SHIPPED


def after_action(
    store: Store,
    event_id: int,
    *,
    archive: PageArchive | None = None,
    fixtures: FixtureRoots | None = None,
    readers: Readers = SHIPPED,
    asked_by: str = "",
) -> CheckReport:
    """Check an event that was just recovered, record the answer, and hold the event if it is not as it must be.

    Call it when the action is committed. Raises StoreError where the database cannot be asked.
    """
    return check(Bench(store, archive, fixtures, readers), event_id, asked_by=asked_by or "recovery")


def require(bench: Bench, event_id: int, *, asked_by: str) -> CheckReport:
    """Check an event, record the answer, and hold the event if it is not as it must be.

    Raises StateError CHECKS_FAILED naming what was found, StoreError.
    """
    report = check(bench, event_id, asked_by=asked_by)
    if not report.passed:
        first, more = report.findings[0], f" (and {report.errors - 1} more)" if report.errors > 1 else ""
        raise StateError(
            Kind.CHECKS_FAILED,
            f"{report.event} does not pass its checks and is held: {first.check}: {first.message}{more}",
            check_run=report.id,
            findings=[f"{finding.check}: {finding.message}" for finding in report.findings],
        )
    return report


def check(
    bench: Bench,
    event_id: int | None = None,
    *,
    asked_by: str,
    record: bool = True,
    signal: StopSignal | None = None,
    bus: Bus | None = None,
) -> CheckReport:
    """Run every check over one event or over everything.

    Args:
        record: keep the answer, hold events with errors, and end the hold of an event whose checks pass again.
    Raises:
        StoreError: the database cannot be asked. StateError INTERRUPTED: `signal` was tripped; nothing is recorded.
    """
    started, began = bench.store.clock_ms(), time.monotonic()
    work = _Work(bench, Scope(bench.store, event_id), signal or StopSignal(), bus or Bus())
    work.run()
    findings = tuple(sorted(work.findings, key=lambda finding: finding.severity != "error"))
    errors = sum(finding.severity == "error" for finding in findings)
    report = CheckReport(
        id=None,
        event=None if event_id is None else work.scope.names.get(event_id),
        passed=errors == 0,
        errors=errors,
        warnings=len(findings) - errors,
        seconds=round(time.monotonic() - began, 3),
        checks={name: round(work.spent_ms[name]) for name in CHECKS if name in work.spent_ms},
        skipped=work.skipped,
        findings=findings,
        held=(),
    )
    return _record(bench, event_id, report, asked_by, started) if record else report


# ---------------------------------------------------------------- running them


class _Work:
    """One run of the checks under way."""

    def __init__(self, bench: Bench, scope: Scope, signal: StopSignal, bus: Bus) -> None:
        self.bench, self.scope, self.signal, self.bus = bench, scope, signal, bus
        self.findings: list[Finding] = []
        self.spent_ms: defaultdict[str, float] = defaultdict(float)
        self.skipped: dict[str, str] = {}

    def run(self) -> None:
        with self.bench.store.read():
            rows = consistency.events(self.bench.store, self.scope.event_id)
        total = len(ROW_CHECKS) + len(rows)
        for done, (name, functions) in enumerate(ROW_CHECKS.items()):
            self._between(done, total)
            for function in functions:
                self._make(name, partial(function, self.scope))
        for done, (event_id, event_name, served) in enumerate(rows, len(ROW_CHECKS)):
            self._between(done, total)
            self._check_runs(event_id, event_name, served)
        self._check_program()
        self._between(total, total)

    def _between(self, done: int, total: int) -> None:
        self.signal.check()
        self.bus.publish(progress_report("checks", done, total))

    def _check_runs(self, event_id: int, event_name: str, served: int | None) -> None:
        store = self.bench.store
        with store.read():
            rows = consistency.kept_runs(store, event_id)
        for run_id, *facts in rows:
            run = KeptRun(
                store, self.bench.archive, self.bench.readers, event_id, event_name, run_id, run_id == served, *facts
            )
            severity = self.scope.severity(run_id)
            # A run that cannot be read back says so once, not once a check.
            if self._make("export", partial(_readable, run), severity):
                for name, functions in DOCUMENT_CHECKS.items():
                    for function in functions:
                        self._make(name, partial(function, run), severity)
                if run.served:
                    self._check_pages(run)

    def _check_pages(self, run: KeptRun) -> None:
        if self.bench.archive is None:
            self.skipped.update(dict.fromkeys(("archive", *PAGE_CHECKS), "no page archive was given"))
            return
        if not self._make("archive", partial(archive, run)):
            return
        quiet = True
        for name, function in PAGE_CHECKS.items():
            if quiet or name != "archived-document":  # it would only say less exactly what was said already
                quiet &= self._make(name, partial(function, run))
        if self.scope.event_id is not None:
            self._make("determinism", partial(determinism, run))

    def _check_program(self) -> None:
        roots = self.bench.fixtures
        if roots is None or roots.shipped is None:
            self.skipped["regression"] = "no page sets were given"
            return
        self._make("regression", partial(check_program.regression, roots, self.bench.readers))
        if self.scope.event_id is None:
            self._make("determinism", partial(check_program.determinism, roots))

    def _make(self, name: str, function: Callable[[], Iterable[Finding]], severity: Severity = "error") -> bool:
        """Make one check in one consistent read; `severity`: of not being able to. True: it found nothing."""
        began = time.monotonic()
        try:
            with self.bench.store.read():
                found = list(function())
        except PipelineError as error:
            if error.kind in _NO_VERDICT:
                raise
            found = [self._impossible(name, error.message, severity)]
        except Exception as error:  # noqa: BLE001  damaged rows hold values of any type; that is what checks are for
            found = [self._impossible(name, f"{type(error).__name__}: {error}", severity)]
        self.spent_ms[name] += (time.monotonic() - began) * 1000
        self.findings += found
        return not found

    def _impossible(self, name: str, why: str, severity: Severity) -> Finding:
        text = f"could not be carried out: {why}"[:500]
        return self.scope.finding(name, text, event_id=self.scope.event_id, severity=severity)


def _readable(run: KeptRun) -> Iterator[Finding]:
    assert run.document is not None
    return iter(())


# ---------------------------------------------------------------- what follows


def _record(bench: Bench, event_id: int | None, report: CheckReport, asked_by: str, started: int) -> CheckReport:
    store = bench.store
    row = CheckRunRow(
        id=0,
        event_id=event_id,
        asked_by=asked_by,
        started_at=started,
        finished_at=0,
        passed=report.passed,
        error_count=report.errors,
        warning_count=report.warnings,
        checks=msgspec.json.encode(report.checks).decode(),
        findings=msgspec.json.encode(report.findings[:RECORDED_FINDINGS]).decode(),
        parser_build=bench.readers.build,
    )
    with store.write():
        run_id = check_runs.insert(store, row)
        held = _hold(store, event_id, report)
        if event_id is not None and report.passed:
            _release(store, event_id, run_id)
        journal.append(store, [_told(event_id, report, run_id, asked_by)])
    return msgspec.structs.replace(report, id=run_id, held=held)


def _hold(store: Store, checked: int | None, report: CheckReport) -> tuple[str, ...]:
    """Hold every event that an error is about; where one event was checked, every error is about it."""
    failed: dict[int, list[Finding]] = defaultdict(list)
    for finding in report.findings:
        about = finding.event_id if checked is None else checked
        if finding.severity == "error" and about is not None:
            failed[about].append(finding)
    held = []
    for event_id, findings in failed.items():
        event = events.get_event(store, event_id)
        if event is None:  # part of the damage
            continue
        names = ", ".join(sorted({finding.check for finding in findings}))
        reason = f"{HOLD_PREFIX} ({names}): {findings[0].message}"
        if event.held_reason != reason:
            attempts.hold(store, event_id, reason)
        held.append(f"{event.track_slug}/{event.source_event_id}")
    return tuple(held)


def _release(store: Store, event_id: int, run_id: int) -> None:
    """End a hold that the checks made: they pass now. One that was made for another reason stays."""
    event = events.get_event(store, event_id)
    if event is None or event.held_reason is None or not event.held_reason.startswith(HOLD_PREFIX):
        return
    attempt_rows.release(store, event_id)
    journal.append(
        store,
        [
            journal.JournalEntry(
                entry_kind="audit",
                name="hold_released",
                message=f"the hold ends: the checks pass now (run {run_id} of the checks)",
                event_id=event_id,
                fields=msgspec.json.encode({"reason": event.held_reason, "check_run": run_id}).decode(),
            )
        ],
    )


def _told(event_id: int | None, report: CheckReport, run_id: int, asked_by: str) -> journal.JournalEntry:
    found = f"{report.errors} errors, {report.warnings} warnings"
    return journal.JournalEntry(
        entry_kind="audit",
        severity="info" if report.passed else "warning",
        name="checks_passed" if report.passed else "checks_failed",
        message=f"run {run_id} of the checks for {asked_by}: {found}",
        event_id=event_id,
        fields=msgspec.json.encode({"check_run": run_id, "errors": report.errors}).decode(),
    )
