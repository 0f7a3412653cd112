"""The page archive: whole files, checked when read, shared by several writers."""

from __future__ import annotations

import errno
import gzip
import hashlib
import os
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import Kind, StoreError
from pipeline.store.archive import BATCH_BYTES, BATCH_S, PageArchive, PageBatch, PageEntry

PAGE = b"<html>" + b" " * 100_000 + b"</html>\n"


def entry(sha256: str, **facts: Any) -> PageEntry:
    return PageEntry(
        url="https://x.liverc.com/", page_type="event", fetched_at_ms=5, how="http", sha256=sha256, **facts
    )


def the_file(root: Path, sha256: str) -> Path:
    (path,) = root.rglob(f"{sha256}*")
    return path


@pytest.fixture
def pages(tmp_path: Path) -> PageArchive:
    return PageArchive(tmp_path / "archive")


@pytest.mark.parametrize("body", [PAGE, b"", b"\xff\x00\x80", bytes(range(256)) * 1000])
def test_bytes_come_back_as_they_were(pages: PageArchive, body: bytes) -> None:
    sha256 = pages.put(body)
    assert sha256 == hashlib.sha256(body).hexdigest()
    assert pages.get(sha256) == body
    assert PageArchive(pages.root).get(sha256) == body


@pytest.mark.parametrize(
    "sent", [gzip.compress(PAGE), gzip.compress(PAGE[:70]) + gzip.compress(PAGE[70:])], ids=["whole", "in-parts"]
)
def test_a_body_that_came_compressed_is_kept_as_it_came(pages: PageArchive, sent: bytes) -> None:
    sha256 = pages.put(PAGE, sent)
    assert sha256 == hashlib.sha256(PAGE).hexdigest()
    assert the_file(pages.root, sha256).read_bytes() == sent
    assert pages.get(sha256) == PAGE
    pages.put(PAGE, gzip.compress(PAGE, 9))
    assert the_file(pages.root, sha256).read_bytes() == sent  # whole as it is
    with pytest.raises(StoreError):
        pages.get(pages.put(b"page", gzip.compress(b"another page", mtime=0)))  # noticed when it is read


def test_a_body_is_stored_once_and_compressed(pages: PageArchive) -> None:
    hashes = {pages.put(PAGE) for _ in range(3)}
    (sha256,) = hashes
    assert the_file(pages.root, sha256).stat().st_size < len(PAGE) / 50


def test_a_manifest_comes_back(pages: PageArchive) -> None:
    used = (
        entry(pages.put(PAGE), build_marker="b1", asset_version="1272", status=200),
        entry(pages.put(b"other"), status=404),
        entry(pages.put(PAGE)),
    )
    sha256 = pages.write_manifest("7000-1-99", used)
    manifest = PageArchive(pages.root).read_manifest(sha256)
    assert (manifest.run_key, manifest.pages) == ("7000-1-99", used)
    assert list(pages.runs()) == [("7000-1-99", sha256)]


def test_an_empty_archive(pages: PageArchive) -> None:
    assert list(pages.runs()) == []
    with pytest.raises(StoreError) as missing:
        pages.get("0" * 64)
    assert missing.value.kind is Kind.ARCHIVE_FAILED
    assert not pages.root.exists()


def test_no_unfinished_file_is_left(pages: PageArchive) -> None:
    pages.write_manifest("a", [entry(pages.put(str(number).encode())) for number in range(40)])
    names = [path.name for path in pages.root.rglob("*") if path.is_file()]
    assert len(names) == 42
    assert not [name for name in names if name.startswith(".")]


@pytest.mark.parametrize("damage", [b"", b"not compressed", None])
def test_a_damaged_body_is_noticed_and_the_same_page_mends_it(pages: PageArchive, damage: bytes | None) -> None:
    sha256, other = pages.put(PAGE), pages.put(b"other")
    path = the_file(pages.root, sha256)
    path.write_bytes(the_file(pages.root, other).read_bytes() if damage is None else damage)
    with pytest.raises(StoreError) as damaged:
        pages.get(sha256)
    assert damaged.value.kind is Kind.ARCHIVE_FAILED
    assert "damaged" in damaged.value.message
    pages.put(PAGE)
    assert pages.get(sha256) == PAGE


def test_a_page_is_no_manifest(pages: PageArchive) -> None:
    sha256 = pages.put(PAGE)
    with pytest.raises(StoreError) as refused:
        pages.read_manifest(sha256)
    assert refused.value.kind is Kind.ARCHIVE_FAILED


def test_what_cannot_be_written_is_said_and_can_be_tried_again(pages: PageArchive) -> None:
    pages.root.write_bytes(b"a file where the folder should be")
    batch = PageBatch(pages)
    hashes = [batch.put(PAGE), batch.put(b"other")]
    failing: list[Callable[[], object]] = [
        lambda: pages.put(PAGE),
        batch.flush,
        lambda: batch.write_manifest("7000-1", map(entry, hashes)),
    ]
    for attempt in failing:
        with pytest.raises(StoreError) as failed:
            attempt()
        assert failed.value.kind is Kind.ARCHIVE_FAILED
        assert str(pages.root) in failed.value.message
    pages.root.unlink()
    batch.write_manifest("7000-1", map(entry, hashes))
    assert [pages.get(sha256) for sha256 in hashes] == [PAGE, b"other"]


@pytest.mark.parametrize("bodies", [(PAGE,), (PAGE, b"other", b"third")])
def test_a_full_disk_leaves_no_half_file_and_no_manifest(
    pages: PageArchive, monkeypatch: pytest.MonkeyPatch, bodies: tuple[bytes, ...]
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    batch = PageBatch(pages)
    hashes = [batch.put(body) for body in bodies]
    with pytest.raises(StoreError) as failed:
        batch.write_manifest("7000-1", map(entry, hashes))
    assert "No space left" in failed.value.message
    assert [path for path in pages.root.rglob("*") if path.is_file()] == []
    assert list(pages.runs()) == []


def test_a_batch_is_written_when_it_is_old_or_large_or_done(pages: PageArchive) -> None:
    now = 0.0
    batch = PageBatch(pages, lambda: now)

    def kept() -> int:
        return sum(path.is_file() for path in pages.root.rglob("*.z"))

    first = batch.put(b"first")
    assert batch.put(b"second") != batch.put(b"third") != first == batch.put(b"first")
    assert kept() == 0
    now = BATCH_S + 0.1
    batch.put(b"fourth")
    assert kept() == 3
    large = random.Random(1).randbytes(BATCH_BYTES)
    batch.put(large)
    now += BATCH_S / 2
    assert kept() == 3
    batch.put(b"fifth")
    assert kept() == 5
    batch.write_manifest("7000-1", [entry(first)])
    assert kept() == 7
    assert pages.get(hashlib.sha256(large).hexdigest()) == large


def test_no_manifest_without_its_bodies(pages: PageArchive) -> None:
    with pytest.raises(StoreError) as refused:
        pages.write_manifest("7000-1", [entry("0" * 64)])
    assert refused.value.kind is Kind.ARCHIVE_FAILED
    assert list(pages.runs()) == []


@pytest.mark.parametrize("key", ["", "../out", ".hidden", "a/b", "a b"])
def test_a_run_key_is_a_plain_name(pages: PageArchive, key: str) -> None:
    with pytest.raises(StoreError):
        pages.write_manifest(key, [])


def test_several_archives_in_one_folder(tmp_path: Path) -> None:
    bodies = [str(number % 20).encode() * 5000 for number in range(200)]

    def archive_some(number: int) -> str:
        mine = PageArchive(tmp_path)
        batch = PageBatch(mine)
        return batch.write_manifest(f"run-{number}", [entry(batch.put(body)) for body in bodies])

    with ThreadPoolExecutor(4) as threads:
        manifests = list(threads.map(archive_some, range(4)))
    reader = PageArchive(tmp_path)
    for sha256 in manifests:
        assert [reader.get(page.sha256) for page in reader.read_manifest(sha256).pages] == bodies


def test_a_disk_that_cannot_even_be_looked_at_is_named(pages: PageArchive, monkeypatch: pytest.MonkeyPatch) -> None:
    sha256 = pages.put(PAGE)

    def fails(path: Path, **_: Any) -> Any:
        raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))

    monkeypatch.setattr(Path, "stat", fails)
    with pytest.raises(StoreError) as failure:
        pages.write_manifest("7000-1-1", [entry(sha256)])
    assert failure.value.kind is Kind.ARCHIVE_FAILED
    assert "Input/output error" in failure.value.message
