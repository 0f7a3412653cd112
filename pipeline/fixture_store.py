"""The only writer of captured page sets: a set comes, is superseded by a new version, or is retired; none is rewritten.

The first capture of an event needs nobody's leave. Whatever changes a set that is known needs a confirmed drift case
and a reason, recorded in the same transaction that the folder changes in; the version before moves to the archive.
Shipped sets came with the program and are never touched.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
from msgspec import Struct

from pipeline import drift, fixtures
from pipeline.errors import Kind, PipelineError, StateError
from pipeline.fixture_files import MadeSet, Swap, make, metadata_of, notes_of
from pipeline.fixtures import METADATA, NOTES, Acceptance, FixtureRoots, SetInfo
from pipeline.kept_pages import KeptPage, of_set
from pipeline.liverc.readers import Readers
from pipeline.lockfiles import alone
from pipeline.store import gate as rows
from pipeline.store import journal
from pipeline.store.database import Store
from pipeline.store.gate import FixtureVersionRow

LOCK = ".fixtures.lock"  # in the folder of captured sets: one writer at a time
PATIENCE_S = 60.0


class Change(Struct, frozen=True, kw_only=True):
    """Who wants something of a page set, and what allows it."""

    who: str
    reason: str = ""
    case: int | None = None  # the drift case; a set that is known changes only with a confirmed one


@dataclass(frozen=True)
class FixtureStore:
    """Captured sets and the database that holds their history."""

    store: Store
    roots: FixtureRoots
    readers: Readers

    @property
    def root(self) -> Path:
        """The folder of captured sets."""
        if self.roots.captured is None:
            raise StateError(Kind.USAGE, "Page sets are captured into a data folder, and none was given")
        return self.roots.captured

    # ------------------------------------------------------------------ looking

    def find(self, event_id: str, version: int | None = None) -> SetInfo:
        """A set by its event's id, a captured one before a shipped one; with `version`, also from the archive.

        Raises StateError USAGE where there is none.
        """
        there = [info for info in fixtures.all_sets(self.roots) if info.event_id == event_id]
        if version is not None:
            there = [info for info in (*there, *self.archived(event_id)) if info.version == version]
        if not there:
            wanted = event_id if version is None else f"{event_id} in version {version}"
            raise StateError(
                Kind.USAGE, f"There is no page set {wanted}", event=event_id, remedy="`mre fixtures list`."
            )
        return there[-1] if version is None else there[0]

    def captured(self, event_id: str) -> SetInfo | None:
        """The captured set of an event."""
        sets = fixtures.all_sets(FixtureRoots(captured=self.root))
        return next((info for info in sets if info.event_id == event_id), None)

    def archived(self, event_id: str) -> tuple[SetInfo, ...]:
        """Earlier versions of a captured set, oldest first."""
        return () if self.roots.captured is None else fixtures.archived_versions(self.roots.captured, event_id)

    def require_leave(self, event_id: str, change: Change, *, known: bool = False) -> None:
        """Refuse what would be refused anyway before pages are fetched or read for it; `known`: whatever is there.

        Raises StateError USAGE where the event has a set, and there is no confirmed drift case or no reason.
        """
        if known or event_id in rows.versions(self.store) or self.captured(event_id) is not None:
            self._confirmed(change)

    # ------------------------------------------------------------------ changing

    def capture(self, pages: Sequence[KeptPage], change: Change, *, origin: str, notes: str = "") -> SetInfo:
        """Keep an event's pages with the document that these readers make of them, as its set or a new version of it.

        Args:
            origin: where the pages are from, in words.
        Raises:
            ParseError, NormaliseError: the pages give no valid document, so they prove nothing.
            StateError: USAGE where the event has a set already and there is no confirmed drift case or no reason, or
                nothing would be new. StoreError. Nothing was changed then.
        """
        made = make(pages, self.readers)
        with self._alone():
            known = rows.versions(self.store).get(made.event_id)
            before = self.captured(made.event_id)
            accepted = None
            if known is not None or before is not None:
                accepted = self._accepted(made, change, known, before)
            version = 1 + max((info.version for info in (*self.archived(made.event_id), before) if info), default=0)
            version = max(version, known.fixture_version + 1 if known else 1)
            return self._put(made, change, version, accepted, known, origin, notes)

    def accept(
        self, event_id: str, change: Change, pages: Sequence[KeptPage] | None = None, origin: str = ""
    ) -> SetInfo:
        """A new version of a captured set: these pages, or its own, as today's readers read them.

        Raises as `capture`; StateError USAGE for a shipped set and where the event has no captured one.
        """
        before = self.captured(event_id)
        if before is None:
            if any(info.event_id == event_id for info in fixtures.all_sets(self.roots)):
                text = f"The set {event_id} came with the program, which never rewrites it"
                raise StateError(Kind.USAGE, text, remedy="`mre fixtures capture` keeps a set of its own beside it.")
            self.find(event_id)
        assert before is not None
        self._confirmed(change)
        if pages is None:
            loaded = fixtures.load_set(before.folder)
            return self.capture(of_set(loaded), change, origin=origin or loaded.metadata.origin or "")
        return self.capture(pages, change, origin=origin)

    def archive(self, event_id: str, change: Change) -> SetInfo | None:
        """Retire a captured set: it moves to the archive and is asked no longer. None: its folder was lost already.

        Raises StateError USAGE without a confirmed drift case or a reason, or where nothing is there to retire.
        """
        self._confirmed(change)
        with self._alone():
            known = rows.versions(self.store).get(event_id)
            before = self.captured(event_id)
            if before is None and (known is None or known.how == "archived"):
                raise StateError(Kind.USAGE, f"There is no captured page set {event_id}", event=event_id)
            if before is not None:
                version, sha256 = before.version, before.sha256
            else:
                assert known is not None
                version, sha256 = known.fixture_version, known.set_sha256
            swap = Swap(self.root, event_id, before)
            self._record(swap, _step(event_id, version, sha256, "archived", change), change, known)
        return before

    # ------------------------------------------------------------------ inside

    def _confirmed(self, change: Change) -> None:
        if change.case is None:
            raise StateError(
                Kind.USAGE,
                "A page set that is known changes only with a confirmed drift case",
                remedy="`mre drift list` shows the cases; name a confirmed one with --case.",
            )
        drift.require_confirmed(self.store, change.case)
        if not change.reason.strip():
            raise StateError(Kind.USAGE, "Changing a page set needs a reason: whoever finds it changed reads it")

    def _accepted(
        self, made: MadeSet, change: Change, known: FixtureVersionRow | None, before: SetInfo | None
    ) -> Acceptance:
        self._confirmed(change)
        as_known = before is not None and known is not None and before.sha256 == known.set_sha256
        if as_known and before is not None and before.metadata and before.metadata.sha256 == made.hashes:
            raise StateError(Kind.USAGE, f"Nothing new: the page set {before.name} holds these very files")
        assert change.case is not None
        superseded = known.set_sha256 if known is not None else before.sha256 if before is not None else ""
        return Acceptance(case=change.case, reason=change.reason.strip(), who=change.who, supersedes=superseded)

    def _put(
        self,
        made: MadeSet,
        change: Change,
        version: int,
        accepted: Acceptance | None,
        known: FixtureVersionRow | None,
        origin: str,
        notes: str,
    ) -> SetInfo:
        metadata = metadata_of(made, version, accepted, origin, self.readers.build)
        swap = Swap(self.root, made.event_id, self.captured(made.event_id))
        swap.write(
            {
                **made.files,
                NOTES: notes_of(made.event, (notes, change.reason), change.who),
                METADATA: metadata,
            }
        )
        sha256 = hashlib.sha256(metadata).hexdigest()
        how = "accepted" if accepted else "captured"
        self._record(swap, _step(made.event_id, version, sha256, how, change), change, known)
        return fixtures.identify(swap.place, "captured")

    def _record(self, swap: Swap, step: FixtureVersionRow, change: Change, known: FixtureVersionRow | None) -> None:
        """The history's step and the folders' move, both or neither; `known` is the step that it follows."""
        try:
            with self.store.write():
                if step.how != "captured":
                    self._confirmed(change)
                if rows.versions(self.store).get(step.fixture_set) != known:
                    raise StateError(
                        Kind.PLAN_STALE,
                        f"Somebody else has changed the page set {step.fixture_set} meanwhile; nothing was done",
                        remedy="Look at it with `mre fixtures show`, then try again.",
                    )
                rows.add_version(self.store, step)
                journal.append(self.store, [_told(step)])
                swap.make()
        except BaseException:
            if not self._is_recorded(step):
                swap.undo()
            raise
        swap.finish()

    def _is_recorded(self, step: FixtureVersionRow) -> bool:
        """Whether a commit whose answer was lost went through; a silent database counts as yes."""
        try:
            newest = rows.versions(self.store).get(step.fixture_set)
        except PipelineError:
            return True
        return newest is not None and (newest.set_sha256, newest.how) == (step.set_sha256, step.how)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with alone(self.root / LOCK, PATIENCE_S):
            yield


def _step(event_id: str, version: int, sha256: str, how: str, change: Change) -> FixtureVersionRow:
    return FixtureVersionRow(
        fixture_set=event_id,
        fixture_version=version,
        set_sha256=sha256,
        how=how,
        case_id=change.case,
        reason=change.reason.strip(),
        who=change.who,
    )


def _told(row: FixtureVersionRow) -> journal.JournalEntry:
    because = f" (drift case {row.case_id}: {row.reason})" if row.case_id is not None else ""
    facts = {"fixture_set": row.fixture_set, "version": row.fixture_version, "case": row.case_id, "who": row.who}
    return journal.JournalEntry(
        entry_kind="audit",
        severity="info" if row.how == "captured" else "warning",
        name=f"fixture_{row.how}",
        message=f"page set {row.fixture_set}: version {row.fixture_version} {row.how} by {row.who}{because}",
        fields=msgspec.json.encode({**facts, "reason": row.reason, "sha256": row.set_sha256}).decode(),
    )
