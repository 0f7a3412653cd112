"""Replay in five modes: kept pages go through one stage, or through all of them, without a network.

    fetch       every page of the event can be had, and no other was kept
    parse       every page can be read
    normalise   the pages give the document
    persist     the document goes into a database and comes out again
    full        an ingestion as always, whose site is the kept pages: from fetching to what is served

Everything happens three times and must come out the same. What needs a database gets a new one that is thrown away,
unless another is named.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path

import msgspec
from msgspec import Struct

from pipeline import document, records
from pipeline.collecting import Workplace
from pipeline.differences import Difference, compare
from pipeline.errors import PipelineError
from pipeline.fetching import fetch_event
from pipeline.ingest import Options, ingest_event
from pipeline.kept_pages import KeptPage, KeptPages
from pipeline.liverc.readers import Readers
from pipeline.liverc.urls import parse_url
from pipeline.observe import Bus
from pipeline.replay import read_pages
from pipeline.runs import Run, reason_of
from pipeline.stopping import StopGroup
from pipeline.store import events as event_rows
from pipeline.store import export
from pipeline.store.archive import PageArchive
from pipeline.store.database import Store
from pipeline.violations import require_valid

RUNS = 3
DIFFERENCES_TOLD = 200
TRIGGER = "replay"
SANDBOX = "a sandbox"


class Mode(StrEnum):
    """How much of an ingestion is replayed."""

    FULL = "full"
    FETCH = "fetch"
    PARSE = "parse"
    NORMALISE = "normalise"
    PERSIST = "persist"


class Source(Struct, frozen=True, kw_only=True):
    """What is replayed: an event's pages, and the document that they must give."""

    event: str  # slug/id
    what: str  # in words: page set 900101 (version 1, shipped); run 12 of the archive
    pages: tuple[KeptPage, ...]
    expected: bytes | None  # canonical; None: only its hash is known
    expected_sha256: str


class ReplayReport(Struct, frozen=True, kw_only=True):
    """How a replay of one event went."""

    event: str  # slug/id
    source: str
    mode: Mode
    into: str | None  # the database that was written, where the mode writes one
    runs: int
    passed: bool  # as expected, and the same every time
    deterministic: bool
    sha256: str | None  # of what came out; None where nothing did
    failure: str | None  # why
    field: str | None  # that the failure is about, or the first that differs
    differences: tuple[Difference, ...]  # from what was expected; the first of them
    unstable: tuple[Difference, ...]  # between the first run and one that came out otherwise
    seconds: float


def replay(source: Source, mode: Mode, readers: Readers, *, into: Store | None = None) -> ReplayReport:
    """Replay one event three times in one mode. A failure of the pages is in the report; raises StoreError."""
    began = time.monotonic()
    stage = _STAGES[mode]
    expected = _expected(source, mode)
    outputs: list[bytes] = []
    failure: PipelineError | None = None
    for _ in range(RUNS):
        try:
            outputs.append(stage(source, readers, into))
        except PipelineError as error:
            failure = error
            break
    unstable = next((_differences(outputs[0], other) for other in outputs[1:] if other != outputs[0]), ())
    different = _differences(expected, outputs[0]) if expected is not None and outputs else ()
    if not different and mode in _DOCUMENTS and outputs and _sha256(outputs[0]) != source.expected_sha256:
        different = (Difference("document", source.expected_sha256, _sha256(outputs[0])),)
    field = failure.details.get("field") if failure else different[0].where.rpartition(".")[2] if different else None
    return ReplayReport(
        event=source.event,
        source=source.what,
        mode=mode,
        into=None if mode not in _WRITING else SANDBOX if into is None else into.url_shown,
        runs=len(outputs) + (failure is not None),
        passed=failure is None and not different and not unstable,
        deterministic=not unstable,
        sha256=_sha256(outputs[0]) if outputs else None,
        failure=f"{failure.kind}: {failure.message}" if failure else None,
        field=field,
        differences=different[:DIFFERENCES_TOLD],
        unstable=unstable[:DIFFERENCES_TOLD],
        seconds=round(time.monotonic() - began, 3),
    )


# ---------------------------------------------------------------- the stages


def _fetch(source: Source, readers: Readers, _into: Store | None) -> bytes:
    slug, _, event_id = source.event.partition("/")
    return _listed(fetch_event(KeptPages(source.pages), readers, slug, event_id))


def _parse(source: Source, readers: Readers, _into: Store | None) -> bytes:
    said = {page.url: document.parsed_as_json(readers.read(page.body, parse_url(page.url))) for page in source.pages}
    return json.dumps(said, sort_keys=True, default=str).encode()


def _normalise(source: Source, readers: Readers, _into: Store | None) -> bytes:
    return document.encode(_document(source, readers))


def _persist(source: Source, readers: Readers, into: Store | None) -> bytes:
    event = document.decode(source.expected) if source.expected else _document(source, readers)
    with _database(into) as (store, _):
        slug, _, event_id = source.event.partition("/")
        row = event_rows.add_event(store, slug, event_id)
        run = Run.begin(store, Bus(), row, kind="ingest", trigger=TRIGGER, build=readers.build)
        try:
            run.publish(event, document.sha256(event))
        except BaseException as error:
            run.fail(reason_of(error, run.signal))
            raise
        return document.encode(export.load_event(store, row.id))


def _full(source: Source, readers: Readers, into: Store | None) -> bytes:
    slug, _, event_id = source.event.partition("/")
    with _database(into) as (store, folder):
        place = Workplace(
            store=store,
            client=KeptPages(source.pages),
            archive=PageArchive(folder / "pages"),
            bus=Bus(),
            stops=StopGroup(),
            debug_root=folder / "debug",
            readers=readers,
        )
        ingest_event(place, slug, event_id, Options(trigger=TRIGGER))
        row = event_rows.find_event(store, event_id)
        assert row is not None
        return document.encode(export.load_event(store, row.id))


_Stage = Callable[[Source, Readers, Store | None], bytes]
_STAGES: dict[Mode, _Stage] = {
    Mode.FULL: _full,
    Mode.FETCH: _fetch,
    Mode.PARSE: _parse,
    Mode.NORMALISE: _normalise,
    Mode.PERSIST: _persist,
}
_DOCUMENTS = (Mode.FULL, Mode.NORMALISE, Mode.PERSIST)  # modes that give the document
_WRITING = (Mode.FULL, Mode.PERSIST)  # modes that need a database


# ---------------------------------------------------------------- inside


@contextmanager
def _database(into: Store | None) -> Iterator[tuple[Store, Path]]:
    """The database that was named or a new one, and a folder that is thrown away."""
    with tempfile.TemporaryDirectory(prefix="mre-replay-") as folder:
        if into is not None:
            yield into, Path(folder)
            return
        store = Store.open(str(Path(folder) / "sandbox.db"))
        try:
            yield store, Path(folder)
        finally:
            store.close()


def _document(source: Source, readers: Readers) -> records.Event:
    said = read_pages([(page.url, page.body) for page in source.pages], readers)
    event = said.build()
    require_valid(said.check(event))
    return event


def _expected(source: Source, mode: Mode) -> bytes | None:
    if mode is Mode.FETCH:
        return _listed(source.pages)
    return source.expected if mode in _DOCUMENTS else None


def _listed(pages: Sequence[KeptPage]) -> bytes:
    """Which pages there are, and the hash of each."""
    return msgspec.json.encode({page.url: _sha256(page.body) for page in sorted(pages, key=lambda page: page.url)})


def _differences(expected: bytes, got: bytes) -> tuple[Difference, ...]:
    return () if expected == got else tuple(compare(json.loads(expected), json.loads(got)))


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
