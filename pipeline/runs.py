"""The state machine and the run record: one attempt from `begin` to its outcome.

Everything that a run writes is fenced by the token of the lease it took at the beginning: where another run or a person
took that over, zero rows change and the run stops with LEASE_LOST. A run's log is buffered and written with its
progress, so that a run costs a few small transactions and one publish.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from typing import Any

import msgspec

from pipeline import attempts, control, leases, lockfiles, spans
from pipeline.errors import Envelope, Kind, PipelineError, Stage, StateError, StoreError, encode_envelope
from pipeline.holders import encode_holder, this_holder
from pipeline.keeper import Keeper
from pipeline.leases import TTL_MS, LockPolicy
from pipeline.liverc.build import parser_build
from pipeline.observe import Bus, Report, failure_fields, progress_report
from pipeline.records import Event, EventPage
from pipeline.spans import Timeline
from pipeline.stopping import StopSignal
from pipeline.store import events as event_rows
from pipeline.store import journal, publish, timelines
from pipeline.store import leases as lease_rows
from pipeline.store import runs as run_rows
from pipeline.store.archive import PageArchive, ServedPages, ServedRecord
from pipeline.store.database import Store
from pipeline.store.publish import Manifest
from pipeline.ways import Way

FLUSH_EVERY_S = 0.5  # how old progress and log lines may get before they are written
DEFAULT_POLICY = LockPolicy()
STOPPED = (Kind.INTERRUPTED, Kind.DISABLED)  # somebody ended the run; nothing failed
LOG_LINES_PER_RUN = 2_000  # a run with more to say than this drops its debug lines


class Run:
    """One ingestion attempt: holds the event's lease, records stage, progress, log and outcome."""

    def __init__(
        self,
        store: Store,
        bus: Bus,
        event: event_rows.EventRow,
        fence: lease_rows.Fence,
        *,
        way: Way = Way.INGEST,
        lock: lockfiles.LockFile | None = None,
        build: str | None = None,
    ) -> None:
        self.store = store
        self.way = way
        self.build = build or parser_build()
        self.bus = bus
        self.event = event
        self.fence = fence
        self.signal = StopSignal()
        self.started = time.monotonic()
        self._began_at = time.time_ns() // 1_000_000
        self._stage: str | None = None
        self._stage_began = self.started
        self._stage_ms: dict[str, float] = {}
        self._pages: tuple[int, int | None] = (0, None)
        self._buffer: list[journal.JournalEntry] = []
        self._logged = 0
        self._flushed = self.started
        self._learned: EventPage | None = None  # not written yet
        self.pages_manifest: str | None = None
        self.timeline = Timeline(event=self.name, run_id=fence.run_id)
        self.keeper = Keeper(store, fence, self.signal, self.shown_progress, way=way, lock=lock)

    @property
    def run_id(self) -> int:
        return self.fence.run_id

    @property
    def name(self) -> str:
        """The event as every command takes it: slug/id."""
        return f"{self.event.track_slug}/{self.event.source_event_id}"

    @property
    def archive_key(self) -> str:
        """What the page archive files this run's manifest under: unique even where several databases share a folder."""
        return f"{self.event.source_event_id}-{self.run_id}-{self._began_at}"

    # ------------------------------------------------------------------ beginning

    @classmethod
    def begin(
        cls,
        store: Store,
        bus: Bus,
        event: event_rows.EventRow,
        *,
        kind: str,
        trigger: str,
        policy: LockPolicy = DEFAULT_POLICY,
        way: Way | None = None,
        claim: Callable[[], None] | None = None,
        build: str | None = None,
    ) -> Run:
        """Take the lease, walk to `running` and insert the run record, in one transaction.

        A lease whose holder is proven dead is released first, unless the policy says no. `way` is what the global
        switch judges by, where the kind alone does not tell. `claim` is called in that transaction, once the lease is
        taken; what it raises undoes it. `build`: of the readers; None: the shipped ones.
        Raises:
            StateError: DISABLED; PAGE_TYPE_BLOCKED; GATE_CLOSED; EVENT_HELD, where no person asked; LOCK_HELD, with
                what is known of the holder; ILLEGAL_TRANSITION. StoreError.
        """
        way = way or control.run_way(kind)
        lock = lockfiles.take(policy.folder, event.source_event_id) if policy.folder else None
        try:
            try:
                run = cls._begin(store, bus, event, lock, way, kind=kind, trigger=trigger, claim=claim, build=build)
            except StateError as error:
                may_release = error.kind is Kind.LOCK_HELD and policy.release_dead
                if not (may_release and leases.release_dead(store, bus, event.id)):
                    raise
                run = cls._begin(store, bus, event, lock, way, kind=kind, trigger=trigger, claim=claim, build=build)
        except BaseException:
            if lock is not None:
                lock.drop()
            raise
        run.keeper.start()
        return run

    @classmethod
    def _begin(
        cls,
        store: Store,
        bus: Bus,
        event: event_rows.EventRow,
        lock: lockfiles.LockFile | None,
        way: Way,
        *,
        kind: str,
        trigger: str,
        claim: Callable[[], None] | None,
        build: str | None,
    ) -> Run:
        holder = encode_holder(this_holder(lock))
        with store.write():
            control.admit(store, way, pages=control.INGESTED, build=build or parser_build())
            if not lease_rows.line_up(store, event.id):
                raise held(store, event)
            run_id = run_rows.insert_run(
                store, event.id, kind=kind, trigger=trigger, holder_json=holder, parser_build=build or parser_build()
            )
            token = lease_rows.acquire(store, event.id, run_id, holder, TTL_MS)
            assert token is not None  # locked since it was seen to be free
            if claim is not None:
                claim()
            event = event_rows.get_event(store, event.id) or event  # as it stands now that nobody else can change it
            attempts.pass_hold(store, event, run_id, trigger=trigger)
            if event.state == "failed":
                run_rows.transition(store, event.id, "idle")
            run_rows.transition(store, event.id, "running")
            run = cls(store, bus, event, lease_rows.Fence(event.id, run_id, token), way=way, lock=lock, build=build)
            start = Report("ingestion_start", f"run {run_id} of {run.name} begins", fields={"trigger": trigger})
            run._write_log(start)
        run._report(start)  # only now can anybody who hears it find the run
        return run

    # ------------------------------------------------------------------ while it runs

    def enter(self, stage: str) -> None:
        """Count the time since the last call for the stage that ends, and go on in `stage`."""
        if stage == self._stage:
            return
        self._close_stage()
        self._stage = stage
        if stage != Stage.PARSE:  # reading takes milliseconds, and what is written stays on screens until the next page
            self.flush_if_due()

    def pages(self, done: int, total: int | None) -> None:
        self._pages = (done, total)
        self._report(progress_report(self._stage, done, total))

    def learn(self, page: EventPage) -> None:
        """Keep what the event page says of the whole event, fenced: a console shows its name even if the run fails."""
        self._learned = page
        self._flush_unless_busy()

    def span(self, name: str, **attributes: object) -> AbstractContextManager[dict[str, Any]]:
        """Time a piece of work on the run's timeline; yields attributes to add to."""
        return self.timeline.span(name, **attributes)

    def shown_progress(self) -> str:
        """One phrase for the lease row: `fetch 12/33`."""
        done, total = self._pages
        return f"{self._stage or 'begin'} {done}/{total if total is not None else '?'}"

    def log(self, name: str, message: str, *, severity: str = "info", **fields: Any) -> None:
        """Say something: at once to subscribers, and with the next flush to the run's log in the journal."""
        fields = {k: v for k, v in fields.items() if v is not None}
        report = Report(name, message, severity, fields=fields)
        self._report(report)
        self._logged += 1
        if self._logged <= LOG_LINES_PER_RUN or severity != "debug":
            self._buffer.append(self._line(report))

    def flush_if_due(self) -> None:
        if time.monotonic() - self._flushed >= FLUSH_EVERY_S:
            self._flush_unless_busy()

    def _flush_unless_busy(self) -> None:
        """What is only for the eye may come late: it is no reason to give up a run that others keep from writing it."""
        try:
            self.flush()
        except StoreError as error:
            if error.kind is not Kind.DB_BUSY:
                raise
            self._flushed = time.monotonic()  # not again with every page

    def flush(self) -> None:
        """Write facts, stage, progress and buffered log lines, fenced. Raises StateError(LEASE_LOST), StoreError."""
        with self.store.write():
            lease_rows.lock_fence(self.store, self.fence)
            self._write_facts()
            done, total = self._pages
            run_rows.update_run(
                self.store,
                self.fence,
                stage=self._stage,
                pages_done=done,
                pages_total=total,
                stage_ms=self._encoded_stage_ms(),
            )
            self._write_log()
        self._buffer.clear()  # not before the commit: what was rolled back is written with the next flush
        self._learned = None
        self._flushed = time.monotonic()

    # ------------------------------------------------------------------ ending

    def publish(self, event: Event, sha256: str, *, archive: PageArchive | None = None, again: bool = False) -> str:
        """Make the document what is served, in one transaction; the same document as before changes no row of data.

        Args:
            archive: records what the event serves, so that it can be rebuilt without the database.
            again: publish even the same document as before: its rows are known to be damaged.
        Returns:
            `published` or `unchanged`.
        Raises:
            StateError: LEASE_LOST, DISABLED, PAGE_TYPE_BLOCKED, GATE_CLOSED. StoreError. Nothing was changed then.
        """
        self.enter("publish")
        with self.timeline.span("db_persistence"):
            outcome, end = self._publish(event, sha256, archive, again=again)
        self._report_trace(None)
        self._report(end)
        self.keeper.stop()
        return outcome

    def _publish(self, event: Event, sha256: str, archive: PageArchive | None, *, again: bool) -> tuple[str, Report]:
        record: ServedRecord | None = None
        try:
            with self.store.write():
                lease_rows.lock_fence(self.store, self.fence)
                control.admit(self.store, self.way, control.Moment.PUBLISH, pages=control.INGESTED, build=self.build)
                self._write_facts()
                served = event_rows.get_event(self.store, self.event.id)
                if served is not None and served.document_sha256 == sha256 and not again:
                    outcome = "unchanged"
                    publish.mark_checked(self.store, self.event.id)
                else:
                    outcome = "published"
                    manifest = publish.insert_rows(self.store, self.run_id, event)
                    publish.seal(self.store, self.run_id, manifest, sha256, self.build)
                    publish.serve(self.store, self.event.id, self.run_id)
                    self._log_rows(manifest)
                end = self._conclude("complete", outcome, None)
                self._write_log(end)
                if archive is not None:
                    # Before the commit: what is served can be rebuilt. Inside the fence: a zombie records nothing.
                    record = archive.record_served(self._served_pages(sha256))
        except BaseException:
            if record is not None:
                self._withdraw(record)
            raise
        return outcome, end

    def _log_rows(self, manifest: Manifest) -> None:
        rows = {
            "race": manifest.race_count,
            "result": manifest.result_count,
            "lap": manifest.lap_count,
            "entry": manifest.entry_count,
        }
        shown = ", ".join(f"{count:,} {table}" for table, count in rows.items())
        self.log("db_upsert_summary", f"rows inserted: {shown}", severity="debug", rows=rows)

    def _served_pages(self, sha256: str) -> ServedPages:
        assert self.pages_manifest is not None
        return ServedPages(
            run_key=self.archive_key,
            at=self.store.clock_ms(),
            source=self.event.source,
            track_slug=self.event.track_slug,
            source_event_id=self.event.source_event_id,
            manifest=self.pages_manifest,
            document_sha256=sha256,
            parser_build=self.build,
        )

    def _withdraw(self, record: ServedRecord) -> None:
        """The commit failed, or only its answer was lost: ask the database; where it is silent, the record stays."""
        with suppress(PipelineError):
            run = run_rows.get_run(self.store, self.run_id)
            if run is None or run.outcome not in ("published", "unchanged"):
                record.withdraw()

    def fail(self, error: PipelineError) -> None:
        """Record how the run failed and give the lease back; depth, data and timestamps of the event stay.

        A full database may have no room for the run's log any more, but still for its end. Where not even that can be
        written (a vanished database), the lease stays for now, and its lock file is let go of, which tells everybody
        that the run is over. The error tells what is missing.
        """
        outcome = "interrupted" if error.kind in STOPPED else "failed"
        given_back = True
        error.with_details(run_id=self.run_id, event=self.name)
        self.log(
            "ingestion_interrupted" if outcome == "interrupted" else "ingestion_failed",
            error.message,
            severity="error",
            **failure_fields(error),
        )
        try:
            if error.kind is not Kind.LEASE_LOST:
                self._record_failure(outcome, error)
        except StateError as lost:
            error.details["not_recorded"] = lost.message
        except StoreError as cause:
            given_back = False
            error.details["not_recorded"] = cause.message
            error.details["lock"] = "the event's lock could not be released; its next run does that, or clear it"
        finally:
            self.keeper.stop(given_back=given_back)

    def _record_failure(self, outcome: str, error: PipelineError) -> None:
        """Write how the run failed; a full database gets less of it each time, the lease is what matters most."""
        envelope = error.envelope()
        for reason, log, left_out in ((True, True, "the run's log"), (True, False, "the reason"), (False, False, "")):
            try:
                with self.store.write():
                    lease_rows.lock_fence(self.store, self.fence)
                    end = self._conclude("failed", outcome, envelope, keep_error=reason, keep_timeline=log)
                    if log:
                        self._write_log(end)
                self._report_trace(str(error.kind))
                self._report(end)
                return
            except StoreError as cause:
                if cause.kind is not Kind.DB_FULL or not left_out:
                    raise
                error.details["not_recorded"] = f"{left_out}: {cause.message}"

    def _conclude(
        self, state: str, outcome: str, error: Envelope | None, *, keep_error: bool = True, keep_timeline: bool = True
    ) -> Report:
        """Write how the run ended and give the lease back. Returns what is to be told of it once that is committed."""
        self._close_stage()
        run_rows.transition(self.store, self.event.id, state)
        attempts.record(self.store, self.event.id, error)
        done, total = self._pages
        run_rows.update_run(
            self.store, self.fence, pages_done=done, pages_total=total, pages_manifest=self.pages_manifest
        )
        run_rows.finish_run(
            self.store,
            self.run_id,
            outcome,
            error=None if error is None or not keep_error else encode_envelope(error),
            stage_ms=self._encoded_stage_ms(),
        )
        if keep_timeline:
            kept = self.timeline.spans(None if error is None else error.details["kind"], outcome=outcome)
            timelines.insert(self.store, self.run_id, spans.encode(kept))
        lease_rows.release(self.store, self.fence)
        seconds = time.monotonic() - self.started
        return Report(
            "ingestion_finish",
            f"run {self.run_id} ended: {outcome} after {seconds:.1f} s",
            fields={"outcome": outcome, "duration_ms": round(seconds * 1000)},
        )

    # ------------------------------------------------------------------ inside

    def _encoded_stage_ms(self) -> str:
        return msgspec.json.encode({name: round(ms) for name, ms in self._stage_ms.items()}).decode()

    def _close_stage(self) -> None:
        """Count the time since the last call for the stage under way."""
        now = time.monotonic()
        if self._stage is not None:
            self._stage_ms[self._stage] = self._stage_ms.get(self._stage, 0.0) + (now - self._stage_began) * 1000
        self._stage_began = now

    def _write_facts(self) -> None:
        if self._learned is not None:
            event_rows.update_event_facts(self.store, self.event.id, self._learned)

    def _write_log(self, *last: Report) -> None:
        """Append the buffered lines and these, in the caller's transaction."""
        journal.append(self.store, [*self._buffer, *map(self._line, last)])

    def _line(self, report: Report) -> journal.JournalEntry:
        return journal.JournalEntry(
            severity=report.severity,
            name=report.name,
            message=report.message,
            event_id=self.event.id,
            run_id=self.run_id,
            fields=msgspec.json.encode(report.fields).decode(),
        )

    def _report_trace(self, error: str | None) -> None:
        """Once the end is committed: the spans, with what the commit itself took."""
        self._report(spans.trace_report(self.timeline.spans(error)))

    def _report(self, report: Report) -> None:
        self.bus.publish(msgspec.structs.replace(report, event_id=self.event.id, run_id=self.run_id))


def reason_of(error: BaseException, signal: StopSignal) -> PipelineError:
    """The failure to record: why the run was asked to stop, where that is what ended it."""
    if isinstance(error, PipelineError):
        return signal.error() if signal.tripped and error.kind is Kind.INTERRUPTED else error
    if isinstance(error, KeyboardInterrupt | SystemExit):
        return PipelineError(Kind.INTERRUPTED, "the program was asked to stop")
    return PipelineError(Kind.INTERNAL, f"the program failed unexpectedly: {type(error).__name__}: {error}"[:300])


def held(store: Store, event: event_rows.EventRow) -> StateError:
    """The refusal of a second run, with what is known of the first one's holder."""
    lock = leases.find_lock(store, event.id)
    if lock is None:
        return StateError(Kind.LOCK_HELD, f"{event.track_slug}/{event.source_event_id} was being worked on; try again")
    who = lock.holder.shown() if lock.holder else "an unknown holder"
    age = "never" if lock.heartbeat_age_ms is None else f"{lock.heartbeat_age_ms / 1000:.0f} s ago"
    return StateError(
        Kind.LOCK_HELD,
        f"{lock.event} is being worked on by run {lock.run_id}: {who}, last heartbeat {age}; {lock.evidence}",
        **{name: value for name, value in msgspec.to_builtins(lock).items() if name not in ("event_id", "event_name")},
    )
