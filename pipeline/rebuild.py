"""From the page archive back to a database: what every event serves is read again from its pages, without a network.

Each event goes the way of an ingestion from its pages on: the same readers, rules, lease and publishing transaction.
The document must have the hash that was recorded when it was first published. What a person did to events by hand (a
reset, a restore to an older run, tracks that are followed) is not in the archive.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from msgspec import Struct
from msgspec.structs import replace

from pipeline import document, leases, records, replay
from pipeline.errors import Envelope, Kind, PipelineError, StateError
from pipeline.leases import LockPolicy
from pipeline.liverc.readers import SHIPPED, Readers
from pipeline.observe import Bus
from pipeline.runs import Run, reason_of
from pipeline.stopping import StopGroup, StopSignal
from pipeline.store import events as event_rows
from pipeline.store import export
from pipeline.store.archive import PageArchive, ServedPages
from pipeline.store.database import Store
from pipeline.store.events import EventRow
from pipeline.violations import require_valid
from pipeline.ways import Way

TRIGGER = "rebuild"
UNREADABLE = "unreadable"
PATIENCE_S = 60.0  # for another process that is at work on the same event


class Mode(StrEnum):
    """How far it may go."""

    REBUILD = "rebuild"  # publish wherever what is served is not what the archive says
    VERIFY = "verify"  # leave what is served alone and only compare it; publish only where nothing is served
    DRY_RUN = "dry-run"  # compare, write nothing


class Rebuilt(Struct, frozen=True, kw_only=True):
    """What became of one event. The hashes are of its document: recorded, read again, and from the rows served now."""

    event: str  # slug/id
    outcome: str  # published; unchanged; compared; failed
    equal: bool  # what was read again is what was recorded, and so are the rows
    run_id: int | None = None
    recorded_sha256: str
    read_sha256: str | None = None  # None: the pages could not be read
    served_sha256: str | None = None  # None: nothing is served; "unreadable": rows are missing
    recorded_build: str  # of the readers, then and now: other readers may read other documents
    build: str
    races: int = 0
    results: int = 0
    laps: int = 0
    error: Envelope | None = None


@dataclass(frozen=True)
class Site:
    """What is rebuilt, and from what."""

    store: Store
    archive: PageArchive
    bus: Bus
    stops: StopGroup
    policy: LockPolicy
    mode: Mode
    readers: Readers = SHIPPED


def choose(archive: PageArchive, source_event_id: str | None) -> tuple[ServedPages, ...]:
    """What the archive can rebuild: of one event (LiveRC's id) or of all. Raises StateError USAGE where it has none."""
    everything = archive.served()
    chosen = tuple(one for one in everything if source_event_id in (None, one.source_event_id))
    if not chosen:
        what = "no event" if source_event_id is None else f"nothing of event {source_event_id}"
        raise StateError(
            Kind.USAGE,
            f"the page archive in {archive.root} holds {what} that was published",
            remedy="Name the data folder of the lost database with --data.",
        )
    return chosen


def rebuild(site: Site, chosen: Sequence[ServedPages]) -> Iterator[Rebuilt]:
    """Rebuild or compare events one after the other; those that another process is at work on come last.

    An event that fails does not stop the others. Raises StateError INTERRUPTED where the program is asked to stop.
    """
    signal = StopSignal()
    site.stops.add(signal)
    try:
        busy = []
        for one in chosen:
            signal.check()
            done = _rebuild(site, one)
            if done.error is not None and done.error.details["kind"] == Kind.LOCK_HELD:
                busy.append(one)
            else:
                yield done
        for one in busy:
            _wait(site, one, signal)
            yield _rebuild(site, one)
    finally:
        site.stops.discard(signal)


def _wait(site: Site, one: ServedPages, signal: StopSignal) -> None:
    row = event_rows.find_event(site.store, one.source_event_id)
    lock = leases.find_lock(site.store, row.id) if row else None
    if lock is not None:
        leases.wait_until_free(site.store, lock, PATIENCE_S, signal)


def _rebuild(site: Site, one: ServedPages) -> Rebuilt:
    answer = Rebuilt(
        event=one.event,
        outcome="failed",
        equal=False,
        recorded_sha256=one.document_sha256,
        recorded_build=one.parser_build,
        build=site.readers.build,
    )
    try:
        return _judge(site, one, Reading.of(site.archive, one, site.readers), answer)
    except PipelineError as error:
        if error.kind is Kind.INTERRUPTED:
            raise
        return replace(answer, error=error.with_details(event=one.event).envelope())


@dataclass(frozen=True)
class Reading:
    """The archived pages of an event, read by the readers of today."""

    page: records.EventPage
    event: records.Event
    sha256: str

    @classmethod
    def of(cls, archive: PageArchive, one: ServedPages, readers: Readers = SHIPPED) -> Reading:
        """Raises StoreError ARCHIVE_FAILED, ParseError, NormaliseError."""
        pages = replay.read_pages(replay.archived_pages(archive, one.manifest), readers)
        event = pages.build()
        require_valid(pages.check(event))
        assert pages.event is not None
        return cls(pages.event, event, document.sha256(event))


def _judge(site: Site, one: ServedPages, reading: Reading, answer: Rebuilt) -> Rebuilt:
    row = event_rows.find_event(site.store, one.source_event_id)
    served = _served_sha256(site.store, row)
    run_id, outcome = None, "compared"
    right = row.document_sha256 if row is not None and served is not None else None  # what the rows have to be
    if site.mode is Mode.REBUILD or (site.mode is Mode.VERIFY and served is None):
        outcome = "unchanged"
        if served != reading.sha256:
            run_id, outcome = _publish(site, one, reading)
            row = event_rows.find_event(site.store, one.source_event_id)
            served = _served_sha256(site.store, row)
        right = reading.sha256
    return replace(
        answer,
        outcome=outcome,
        equal=reading.sha256 == one.document_sha256 and served == right,
        run_id=run_id,
        read_sha256=reading.sha256,
        served_sha256=served,
        races=len(reading.event.races),
        results=sum(len(race.results) for race in reading.event.races),
        laps=sum(len(result.laps) for race in reading.event.races for result in race.results),
    )


def _publish(site: Site, one: ServedPages, reading: Reading) -> tuple[int, str]:
    """One run, from reading on. Raises StateError LOCK_HELD, LEASE_LOST; StoreError."""
    event = event_rows.add_event(site.store, one.track_slug, one.source_event_id)
    run = Run.begin(
        site.store,
        site.bus,
        event,
        kind="ingest",
        trigger=TRIGGER,
        policy=site.policy,
        way=Way.RECOVERY,
        build=site.readers.build,
    )
    site.stops.add(run.signal)
    try:
        run.learn(reading.page)
        run.pages_manifest = one.manifest
        run.signal.check()
        # Asked again now that nobody else can publish. Where the rows are damaged, their run's record says otherwise.
        damaged = _served_sha256(site.store, event) != reading.sha256
        return run.run_id, run.publish(reading.event, reading.sha256, archive=site.archive, again=damaged)
    except BaseException as error:
        run.fail(reason_of(error, run.signal))
        raise
    finally:
        site.stops.discard(run.signal)


def _served_sha256(store: Store, event: EventRow | None) -> str | None:
    """The hash of the document that an event's rows make now; None where it serves nothing."""
    now = event_rows.get_event(store, event.id) if event else None
    if now is None or now.current_run_id is None:
        return None
    try:
        return document.sha256(export.load_event(store, now.id))
    except ValueError:  # rows are missing that every document has
        return UNREADABLE
