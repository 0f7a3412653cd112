"""Which side moved: the page, the expectation or the reader? A page set against other pages of its event.

The other pages are today's, or those that the archive holds. A set reads otherwise than expected because the readers
changed (another build read it once) or because the expectation did; the page moved where today's pages say something
else than the kept ones, read by the same readers.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from pipeline import document, fixtures, records
from pipeline.differences import Difference, differences
from pipeline.errors import PipelineError
from pipeline.fixtures import FixtureSet, Replay, SetInfo
from pipeline.kept_pages import KeptPage
from pipeline.liverc.readers import Readers
from pipeline.replay import read_pages
from pipeline.store import gate as rows
from pipeline.store.database import Store
from pipeline.violations import require_valid

PAGE, EXPECTATION, READER = "page", "expectation", "reader"
DIFFERENCES_TOLD = 50


class FixtureCheck(Struct, frozen=True, kw_only=True):
    """What a check of one page set found."""

    event_id: str
    version: int
    origin: str  # shipped, captured
    against: str  # in words: today's pages, run 12 of the archive
    moved: tuple[str, ...]  # page, expectation, reader; empty: nothing did
    headline: str  # one sentence
    replay: Replay  # the set, with today's readers
    failure: str | None  # why the other pages give no valid document
    field: str | None  # that it is about
    differences: tuple[Difference, ...]  # kept pages → other pages, by the same readers; the first of them


class _Said(Struct, frozen=True):
    """What pages say: a document, or why there is none."""

    event: records.Event | None
    failure: str | None = None
    field: str | None = None


def check(
    store: Store, info: SetInfo, readers: Readers, other: Sequence[KeptPage] | PipelineError, against: str
) -> FixtureCheck:
    """Compare a set with other pages of its event, or with the failure that fetching them ended in.

    Raises StoreError ARCHIVE_FAILED where the set's own files are not what was captured.
    """
    kept = fixtures.load_set(info.folder)
    replay = fixtures.replay(kept, readers)
    before = _say(kept.pages, readers)
    now = _failed(other) if isinstance(other, PipelineError) else _say([(p.url, p.body) for p in other], readers)
    moved = [] if replay.passed else [READER if _reader_moved(store, info, kept, readers) else EXPECTATION]
    different: tuple[Difference, ...] = ()
    if before.event is not None and now.event is not None:
        different = tuple(differences(before.event, now.event))
        page_moved = bool(different)
    else:
        page_moved = (before.failure, before.field) != (now.failure, now.field)
    if page_moved:
        moved.insert(0, PAGE)
    return FixtureCheck(
        event_id=info.event_id,
        version=info.version,
        origin=info.origin,
        against=against,
        moved=tuple(moved),
        headline=_headline(info, moved, replay, now, different, against),
        replay=replay,
        failure=now.failure,
        field=now.field or (different[0].where.rpartition(".")[2] if different else replay.field),
        differences=different[:DIFFERENCES_TOLD],
    )


def _say(pages: Sequence[tuple[str, bytes]], readers: Readers) -> _Said:
    try:
        said = read_pages(pages, readers)
        event = said.build()
        require_valid(said.check(event))
    except PipelineError as error:
        return _failed(error)
    return _Said(event)


def _failed(error: PipelineError) -> _Said:
    return _Said(None, f"{error.kind}: {error.message}", error.details.get("field"))


def _reader_moved(store: Store, info: SetInfo, kept: FixtureSet, readers: Readers) -> bool:
    """Whether these very files once read as they must: then it is not they that changed."""
    return bool(rows.builds_that_passed(store, info.sha256)) or kept.metadata.parser_build not in (None, readers.build)


def _headline(
    info: SetInfo, moved: Sequence[str], replay: Replay, now: _Said, different: Sequence[Difference], against: str
) -> str:
    if not moved:
        sha256 = document.sha256(now.event)[:12] if now.event else ""
        return f"nothing moved: the page set {info.name} and {against} give the same document {sha256}"
    said = []
    if PAGE in moved:
        if now.failure is not None:
            said.append(f"the page moved: {against} cannot be read: {now.failure}")
        elif different:
            first, more = different[0], f" and {len(different) - 1} more" if len(different) > 1 else ""
            said.append(f"the page moved: {first.where} was {first.expected or 'nothing'}, is {first.got or 'nothing'}")
            said[-1] += more
        else:
            said.append(f"the page moved: {against} can be read, the kept pages cannot")
    if READER in moved:
        said.append(f"the reader moved: files that were read rightly once are not any more: {replay.first}")
    if EXPECTATION in moved:
        said.append(f"the expectation moved: these readers never gave this document: {replay.first}")
    return "; ".join(said)
