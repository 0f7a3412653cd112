"""The page archive: every page a run used, as files that several processes and machines may share.

    bodies/<first digit>/<sha256>.z    a page's bytes, compressed (zlib or gzip), named by what they are
    runs/<run key>                     the sha256 of that run's manifest, which is a body too
    served/<source>-<event id>.json    which run's pages an event serves: with them a lost database is rebuilt

A file appears whole or not at all (written beside its place, synced, renamed), and is checked against its name when it
is read. A manifest exists only when all its bodies are safe.
"""

from __future__ import annotations

import hashlib
import os
import re
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import msgspec
from msgspec import Struct

from pipeline.errors import Kind, StoreError

COMPRESSION = 1  # 19 % of the size of real pages, in half the time of level 6, which gives 16 %
BATCH_BYTES = 4 * 1024 * 1024  # compressed; a batch that holds more goes to the disk before it takes another page
BATCH_S = 2.0  # likewise one whose first page is older
WRITERS = 8  # files of a batch that are written and synced side by side
MANIFEST_FORMAT = 1
SERVED_FORMAT = 1

_ZLIB_OR_GZIP = 47  # zlib's window bits for either header
_RUN_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class PageEntry(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One page that a run used."""

    url: str
    page_type: str
    fetched_at_ms: int  # UTC
    how: str  # e.g. http, browser
    sha256: str  # of the bytes as they arrived, decompressed
    build_marker: str | None = None  # LiveRC's own
    asset_version: str | None = None  # the `?1272` on its assets
    status: int = 200


class PageManifest(Struct, frozen=True, kw_only=True):
    """The pages of one run, in the order they were fetched."""

    format: int = MANIFEST_FORMAT
    run_key: str
    pages: tuple[PageEntry, ...]


class ServedPages(Struct, frozen=True, kw_only=True):
    """What an event serves, and of which pages it was made. With it, and no database, the event is published again."""

    format: int = SERVED_FORMAT
    run_key: str
    at: int  # UTC milliseconds, the database's clock
    source: str
    track_slug: str
    source_event_id: str
    manifest: str  # sha256 of the run's manifest
    document_sha256: str
    parser_build: str

    @property
    def event(self) -> str:
        """The event as every command takes it: slug/id."""
        return f"{self.track_slug}/{self.source_event_id}"


class PageArchive:
    """An archive in a folder, which is made when the first page comes. Safe to share between threads and processes."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def put(self, body: bytes, gzipped: bytes | None = None) -> str:
        """Keep a page's bytes; returns their sha256 (hex). `gzipped`: the same bytes, where somebody compressed them.

        Raises StoreError ARCHIVE_FAILED.
        """
        sha256 = hashlib.sha256(body).hexdigest()
        self.save(sha256, gzipped or compressed(body))
        return sha256

    def save(self, sha256: str, packed: bytes) -> None:
        """As `put`, of a body that is compressed already. One that is there and whole is not written again."""
        path = self._body_path(sha256)
        with suppress(OSError, zlib.error):  # what is not there, cannot be read, or is not what it was, is written
            kept = path.read_bytes()
            if kept == packed or hashlib.sha256(_unpacked(kept)).hexdigest() == sha256:
                return
        _write_file(path, packed)

    def get(self, sha256: str) -> bytes:
        """A page's bytes. Raises StoreError ARCHIVE_FAILED where they are missing or are not what was stored."""
        path = self._body_path(sha256)
        try:
            body = _unpacked(path.read_bytes())
        except FileNotFoundError as error:
            raise StoreError(Kind.ARCHIVE_FAILED, f"The page archive has no body {sha256}", path=str(path)) from error
        except OSError as error:
            raise _failed("read", path, error) from error
        except zlib.error as error:
            raise _damaged(path) from error
        if hashlib.sha256(body).hexdigest() != sha256:
            raise _damaged(path)
        return body

    def write_manifest(self, run_key: str, pages: Iterable[PageEntry]) -> str:
        """Record which pages a run used; all of them must be here. Returns the manifest's sha256.

        Raises StoreError ARCHIVE_FAILED where any of it could not be written; there is no manifest then.
        """
        if not _RUN_KEY.fullmatch(run_key):
            raise StoreError(Kind.ARCHIVE_FAILED, f"{run_key!r} cannot be a file name in the page archive")
        manifest = PageManifest(run_key=run_key, pages=tuple(pages))
        hashes = {page.sha256 for page in manifest.pages}
        for missing in (body for body in hashes if not _is_there(self._body_path(body))):
            raise StoreError(
                Kind.ARCHIVE_FAILED, f"The page archive lost the body {missing} before its manifest was written"
            )
        sha256 = self.put(msgspec.json.encode(manifest))
        for folder in {self._body_path(body).parent for body in (*hashes, sha256)}:
            _sync_folder(folder)  # the renames themselves
        path = self._run_path(run_key)
        _write_file(path, f"{sha256}\n".encode())
        _sync_folder(path.parent)
        return sha256

    def read_manifest(self, sha256: str) -> PageManifest:
        """A run's manifest, by the hash that `write_manifest` gave. Raises StoreError ARCHIVE_FAILED."""
        try:
            return msgspec.json.decode(self.get(sha256), type=PageManifest)
        except msgspec.DecodeError as error:
            raise StoreError(Kind.ARCHIVE_FAILED, f"{sha256} is not a manifest of the page archive: {error}") from error

    def runs(self) -> Iterator[tuple[str, str]]:
        """Every run key with its manifest's sha256: enough to rebuild an emptied database."""
        folder = self.root / "runs"
        try:
            paths = (
                sorted(path for path in folder.iterdir() if _RUN_KEY.fullmatch(path.name)) if folder.exists() else []
            )
            for path in paths:
                yield path.name, path.read_text().strip()
        except OSError as error:
            raise _failed("read", folder, error) from error

    def record_served(self, served: ServedPages) -> ServedRecord:
        """Record what an event serves from now on, in place of what was recorded before.

        Raises StoreError ARCHIVE_FAILED, and records nothing.
        """
        path = self.root / "served" / f"{served.source}-{served.source_event_id}.json"
        if not _RUN_KEY.fullmatch(path.stem):
            raise StoreError(Kind.ARCHIVE_FAILED, f"{path.stem!r} cannot be a file name in the page archive")
        record = ServedRecord(path, msgspec.json.encode(served) + b"\n")
        try:
            record.write()
        except StoreError:
            with suppress(StoreError):
                record.withdraw()
            raise
        return record

    def served(self) -> tuple[ServedPages, ...]:
        """What every event serves, by track and id. Raises StoreError ARCHIVE_FAILED where a record cannot be read."""
        folder = self.root / "served"
        path = folder
        try:
            found = []
            for path in folder.glob("[!.]*.json"):
                found.append(msgspec.json.decode(path.read_bytes(), type=ServedPages))
        except OSError as error:
            raise _failed("read", path, error) from error
        except msgspec.DecodeError as error:
            raise _damaged(path) from error
        return tuple(sorted(found, key=lambda one: (one.track_slug.lower(), one.source_event_id)))

    def _body_path(self, sha256: str) -> Path:
        return self.root / "bodies" / sha256[:1] / f"{sha256}.z"

    def _run_path(self, run_key: str) -> Path:
        return self.root / "runs" / run_key


class ServedRecord:
    """A record that was written, with what it took the place of: the transaction that it belongs to may yet fail."""

    def __init__(self, path: Path, content: bytes) -> None:
        self._path = path
        self._content = content
        self._before = _read_if_there(path)

    def write(self) -> None:
        _write_file(self._path, self._content)
        _sync_folder(self._path.parent)

    def withdraw(self) -> None:
        """Put back what was there before, unless somebody has recorded something else since. Raises StoreError."""
        if _read_if_there(self._path) != self._content:
            return
        if self._before is not None:
            _write_file(self._path, self._before)
            return
        try:
            self._path.unlink(missing_ok=True)
        except OSError as error:
            raise _failed("written", self._path, error) from error


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError as error:
        raise _failed("read", path, error) from error


def _read_if_there(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _failed("read", path, error) from error


class PageBatch:
    """The pages of one run on their way into the archive: several files are written at a time, side by side.

    A disk syncs ten files almost as fast as one, and whoever reads the next page is not disturbed. At one page a second
    everything is on disk within `BATCH_S` and a page. Belongs to one thread.
    """

    def __init__(self, archive: PageArchive, clock: Callable[[], float] = time.monotonic) -> None:
        self._archive = archive
        self._clock = clock
        self._waiting: dict[str, bytes] = {}  # sha256 → compressed
        self._bytes = 0
        self._since = 0.0

    def put(self, body: bytes, gzipped: bytes | None = None) -> str:
        """Take a page, as `PageArchive.put`. Raises StoreError ARCHIVE_FAILED where earlier ones cannot be written."""
        if self._waiting and (self._bytes > BATCH_BYTES or self._clock() - self._since > BATCH_S):
            self.flush()
        if not self._waiting:
            self._since = self._clock()
        sha256 = hashlib.sha256(body).hexdigest()
        if sha256 not in self._waiting:
            self._waiting[sha256] = gzipped or compressed(body)
            self._bytes += len(self._waiting[sha256])
        return sha256

    def flush(self) -> None:
        """Write what waits. Raises StoreError ARCHIVE_FAILED; what could not be written goes on waiting."""
        if len(self._waiting) < 2:
            for sha256, packed in self._waiting.items():
                self._archive.save(sha256, packed)
        else:
            with ThreadPoolExecutor(min(WRITERS, len(self._waiting)), "page-archive") as writers:
                for _ in writers.map(self._archive.save, self._waiting.keys(), self._waiting.values()):
                    pass
        self._waiting.clear()
        self._bytes = 0

    def write_manifest(self, run_key: str, pages: Iterable[PageEntry]) -> str:
        """As `PageArchive.write_manifest`, once everything that was put is written."""
        self.flush()
        return self._archive.write_manifest(run_key, pages)


def compressed(body: bytes) -> bytes:
    return zlib.compress(body, COMPRESSION)


def _unpacked(packed: bytes) -> bytes:
    """Raises zlib.error for what is not whole."""
    parts: list[bytes] = []
    while packed:
        stream = zlib.decompressobj(_ZLIB_OR_GZIP)
        parts.append(stream.decompress(packed))
        if not stream.eof:
            raise zlib.error("it stops early")
        packed = stream.unused_data  # gzip may come in several members
    return b"".join(parts)


def _write_file(path: Path, content: bytes) -> None:
    """Write a file so that it is there whole or not at all, also after a power cut."""
    beside = path.parent / f".{path.name}.{os.getpid()}.{threading.get_ident()}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with beside.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(path)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise _failed("written", path, error) from error


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":  # a folder cannot be opened there
        return
    try:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise _failed("written", folder, error) from error


def _failed(done: str, path: Path, error: OSError) -> StoreError:
    reason = error.strerror or str(error)
    return StoreError(Kind.ARCHIVE_FAILED, f"The page archive cannot be {done}: {reason} ({path})", path=str(path))


def _damaged(path: Path) -> StoreError:
    return StoreError(Kind.ARCHIVE_FAILED, f"A file of the page archive is damaged: {path}", path=str(path))
