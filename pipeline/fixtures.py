"""Page sets that are kept to prove the readers: finding and loading them, and replaying one.

A set is a folder `liverc/<event id>/` with the pages as they were served, `metadata.json` (which page came from which
URL, and the sha256 of every file) and `expected.json`, the document that reading them must give. Shipped sets came with
the program; captured ones are in the data folder and are written by `fixture_store` alone. Fixtures are bytes: a file
that is not what its metadata says is refused before anything is read from it.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from pipeline import document
from pipeline.differences import Difference, differences
from pipeline.errors import Kind, PipelineError, StoreError
from pipeline.liverc.readers import SHIPPED, Readers
from pipeline.replay import read_pages
from pipeline.violations import require_valid

__all__ = ["Difference", "differences"]

SITE = "liverc"  # the folder of this site's sets below the fixtures
EXPECTED = "expected.json"
METADATA = "metadata.json"
FOLDER = "fixtures"  # of captured sets, below the data folder
NOTES = "notes.md"
ARCHIVE = "archive"  # beside `liverc`: `archive/liverc/<event id>.v<version>/`
NEXT = ".next"  # `.<event id>.next`: a version that is whole, on its way into the place of the one before
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class Acceptance(Struct, frozen=True, kw_only=True):
    """Why a captured set is not what it was before."""

    case: int  # the drift case, confirmed at that moment
    reason: str
    who: str
    supersedes: str  # sha256 of the version before


class Metadata(Struct, frozen=True, kw_only=True):
    """What `metadata.json` says; it may say more. Only the first three must be there."""

    event_id: str
    urls: dict[str, str]  # file name → the page's URL
    sha256: dict[str, str]  # file name → of its bytes
    source: str = "liverc"
    fixture_version: int = 1
    track: str | None = None  # slug
    build_marker: str | None = None  # LiveRC's own
    captured_at: str | None = None  # UTC, ISO 8601
    how: str = "http"  # http, browser; mixed where pages came by both
    origin: str | None = None  # in words: the archive's run, live, the simulator
    parser_build: str | None = None  # of the readers at that time; None: the expectation is not of their making
    races_expected: int | None = None
    laps_expected: dict[str, list[int]] = {}  # race → laps of each result in finishing order
    redacted: dict[str, int] = {}  # what was masked in the pages, and how often: emails, addresses
    accepted: Acceptance | None = None  # None: the first version


class FixtureSet(Struct, frozen=True):
    """One event's pages with the document that they must give."""

    folder: Path
    event_id: str
    pages: tuple[tuple[str, bytes], ...]  # (URL, body)
    expected: bytes  # canonical
    metadata: Metadata


class SetInfo(Struct, frozen=True, kw_only=True):
    """One set as lists show it, verified down to the last byte."""

    folder: Path
    origin: str  # shipped, captured
    event_id: str
    version: int
    sha256: str  # of the metadata, which holds the hashes of all files: the set's identity
    problem: str | None = None  # why it is refused: a file is missing or is not what was captured
    metadata: Metadata | None = None  # None where it cannot be read

    @property
    def name(self) -> str:
        """As messages name it."""
        return f"{self.event_id} (version {self.version}, {self.origin})"


class FixtureRoots(Struct, frozen=True):
    """Where sets are: those that came with the program, and those in the data folder."""

    shipped: Path | None = None
    captured: Path | None = None


NO_FIXTURES = FixtureRoots()


class Replay(Struct, frozen=True):
    """How replaying a set went."""

    event_id: str
    sha256: str | None  # of the document; None where there is none
    failure: str | None  # why there is no valid document
    differences: tuple[Difference, ...]
    field: str | None = None  # that the failure is about, or the first that differs

    @property
    def passed(self) -> bool:
        return self.failure is None and not self.differences

    @property
    def first(self) -> str | None:
        """The failure or the first difference, in words."""
        return self.failure or (self.differences[0].shown() if self.differences else None)


# ---------------------------------------------------------------- finding


def list_sets(root: Path) -> tuple[Path, ...]:
    """The folders of all sets below a fixtures folder, by event id.

    A version that was interrupted on its way into place counts where the one before has left already.
    """
    folders = {path.parent.name: path.parent for path in (root / SITE).glob(f"*/{METADATA}")}
    sets = {name: folder for name, folder in folders.items() if not name.startswith(".")}
    for name, folder in folders.items():
        if name.startswith(".") and name.endswith(NEXT):
            sets.setdefault(name[1 : -len(NEXT)], folder)
    return tuple(sets[event_id] for event_id in sorted(sets))


def all_sets(roots: FixtureRoots) -> tuple[SetInfo, ...]:
    """Shipped sets, then captured ones: one view of both. Every file is verified; a set that fails says why."""
    found = []
    for root, origin in ((roots.shipped, "shipped"), (roots.captured, "captured")):
        if root is not None:
            found += [identify(folder, origin) for folder in list_sets(root)]
    return tuple(found)


def archived_versions(captured: Path, event_id: str) -> tuple[SetInfo, ...]:
    """The versions of a captured set that were superseded or retired, oldest first."""
    folders = (path.parent for path in (captured / ARCHIVE / SITE).glob(f"{event_id}.v*/{METADATA}"))
    found = [identify(folder, "captured", event_id) for folder in folders]
    return tuple(sorted(found, key=lambda info: info.version))


def identify(folder: Path, origin: str, event_id: str | None = None) -> SetInfo:
    """One set, verified. Hashing is skipped where this process did it before and no file was touched since.

    `event_id`: where the folder's name does not say it.
    """
    event_id = event_id or (folder.name[1 : -len(NEXT)] if folder.name.endswith(NEXT) else folder.name)
    try:
        raw = _read_file(folder, METADATA)
    except StoreError as error:
        return SetInfo(folder=folder, origin=origin, event_id=event_id, version=0, sha256="", problem=error.message)
    sha256 = hashlib.sha256(raw).hexdigest()
    try:
        metadata = _decode(raw, folder)
    except StoreError as error:
        return SetInfo(folder=folder, origin=origin, event_id=event_id, version=0, sha256=sha256, problem=error.message)
    problem = None
    if metadata.event_id != event_id:
        problem = f"The fixture set {event_id} says that it is {metadata.event_id}"
    else:
        try:
            _verified.check(folder, sha256, metadata)
        except StoreError as error:
            problem = error.message
    return SetInfo(
        folder=folder,
        origin=origin,
        event_id=event_id,
        version=metadata.fixture_version,
        sha256=sha256,
        problem=problem,
        metadata=metadata,
    )


class _Verified:
    """Which sets this process has hashed, by what tells that a file was touched."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: dict[Path, tuple[str, tuple[tuple[int, int, int], ...]]] = {}

    def check(self, folder: Path, sha256: str, metadata: Metadata) -> None:
        """Raise StoreError ARCHIVE_FAILED where a file is missing or is not what was captured."""
        names = (*metadata.urls, EXPECTED)
        seen = (sha256, tuple(_touched(folder, name) for name in names))
        with self._lock:
            if self._seen.get(folder) == seen:
                return
        for name in names:
            _read_verified(folder, name, metadata)
        with self._lock:
            self._seen[folder] = seen


_verified = _Verified()


def _touched(folder: Path, name: str) -> tuple[int, int, int]:
    try:
        facts = (folder / name).stat()
    except (OSError, ValueError):  # whoever reads it says so
        return (0, 0, 0)
    return (facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns)


# ---------------------------------------------------------------- loading


def load_set(folder: Path) -> FixtureSet:
    """Read a set. Raises StoreError ARCHIVE_FAILED where a file is missing or is not what the metadata says."""
    metadata = _decode(_read_file(folder, METADATA), folder)
    expected = _read_verified(folder, EXPECTED, metadata)
    pages = tuple((url, _read_verified(folder, name, metadata)) for name, url in metadata.urls.items())
    return FixtureSet(folder, metadata.event_id, pages, expected, metadata)


def _decode(raw: bytes, folder: Path) -> Metadata:
    try:
        metadata = msgspec.json.decode(raw, type=Metadata)
    except msgspec.DecodeError as error:
        raise StoreError(
            Kind.ARCHIVE_FAILED, f"The metadata of the fixture set {folder.name} cannot be read: {error}"
        ) from error
    for name in metadata.urls:
        if not _FILE_NAME.fullmatch(name):
            raise StoreError(
                Kind.ARCHIVE_FAILED, f"The metadata of the fixture set {folder.name} names {name!r}, which is no page"
            )
    return metadata


def _read_file(folder: Path, name: str) -> bytes:
    try:
        return (folder / name).read_bytes()
    except OSError as error:
        raise StoreError(
            Kind.ARCHIVE_FAILED, f"The fixture set {folder.name} is not whole: {error.strerror} ({folder / name})"
        ) from error


def _read_verified(folder: Path, name: str, metadata: Metadata) -> bytes:
    content = _read_file(folder, name)
    if hashlib.sha256(content).hexdigest() != metadata.sha256.get(name):
        raise StoreError(
            Kind.ARCHIVE_FAILED, f"{name} of the fixture set {folder.name} is not the file that was captured"
        )
    return content


# ---------------------------------------------------------------- replaying


def replay(fixtures: FixtureSet, readers: Readers = SHIPPED) -> Replay:
    """Read the pages of a set as an ingestion would, and compare the document with the expected one."""
    try:
        pages = read_pages(fixtures.pages, readers)
        got = pages.build()
        require_valid(pages.check(got))
        expected = document.decode(fixtures.expected)
    except PipelineError as error:
        return failed(fixtures.event_id, error)
    different = () if document.encode(got) == fixtures.expected else tuple(differences(expected, got))
    field = different[0].where.rpartition(".")[2] if different else None
    return Replay(fixtures.event_id, document.sha256(got), None, different, field)


def replay_set(info: SetInfo, readers: Readers = SHIPPED) -> Replay:
    """Load and replay; a set that is refused is a replay that failed."""
    try:
        return replay(load_set(info.folder), readers)
    except PipelineError as error:
        return failed(info.event_id, error)


def failed(event_id: str, error: PipelineError) -> Replay:
    """A replay that came to no document."""
    return Replay(event_id, None, f"{error.kind}: {error.message}", (), error.details.get("field"))


def _answers(roots: FixtureRoots, readers: Readers) -> Iterator[tuple[str, str | None]]:
    for info in all_sets(roots):
        name = info.event_id if info.origin == "shipped" else f"{info.event_id} (captured)"
        yield name, replay_set(info, readers).sha256


def main(shipped: str, data: Sequence[str] = ()) -> None:
    """Print what each set gives as one JSON object: for the determinism check, which asks several processes.

    `data`: the data folder, for captured sets and accepted contracts too.
    """
    roots, readers = FixtureRoots(Path(shipped)), SHIPPED
    for folder in data:
        from pipeline.liverc import contract_folder

        roots = FixtureRoots(Path(shipped), Path(folder) / FOLDER)
        readers = contract_folder.ContractFolder(Path(folder) / contract_folder.FOLDER).current()
    print(json.dumps(dict(_answers(roots, readers))))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
