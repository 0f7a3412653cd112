"""The page archive: whole files, checked when read, shared by several writers."""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import Kind, StoreError
from pipeline.store.archive import PageArchive, PageEntry

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
    pages.close()
    assert PageArchive(pages.root).get(sha256) == body


def test_a_body_is_stored_once_and_compressed(pages: PageArchive) -> None:
    hashes = {pages.put(PAGE) for _ in range(3)}
    pages.close()
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
    pages.close()


def test_an_empty_archive(pages: PageArchive) -> None:
    assert list(pages.runs()) == []
    with pytest.raises(StoreError) as missing:
        pages.get("0" * 64)
    assert missing.value.kind is Kind.ARCHIVE_FAILED
    assert not pages.root.exists()


def test_no_unfinished_file_is_left(pages: PageArchive) -> None:
    pages.write_manifest("a", [entry(pages.put(str(number).encode())) for number in range(40)])
    pages.close()
    names = [path.name for path in pages.root.rglob("*") if path.is_file()]
    assert len(names) == 42
    assert not [name for name in names if name.startswith(".")]


@pytest.mark.parametrize("damage", [b"", b"not compressed", None])
def test_a_damaged_body_is_noticed_and_the_same_page_mends_it(pages: PageArchive, damage: bytes | None) -> None:
    sha256, other = pages.put(PAGE), pages.put(b"other")
    pages.close()
    path = the_file(pages.root, sha256)
    path.write_bytes(the_file(pages.root, other).read_bytes() if damage is None else damage)
    with pytest.raises(StoreError) as damaged:
        pages.get(sha256)
    assert damaged.value.kind is Kind.ARCHIVE_FAILED
    assert "damaged" in damaged.value.message
    pages.put(PAGE)
    assert pages.get(sha256) == PAGE
    pages.close()


def test_a_page_is_no_manifest(pages: PageArchive) -> None:
    sha256 = pages.put(PAGE)
    with pytest.raises(StoreError) as refused:
        pages.read_manifest(sha256)
    assert refused.value.kind is Kind.ARCHIVE_FAILED
    pages.close()


def test_what_cannot_be_written_fails_the_manifest(pages: PageArchive) -> None:
    pages.root.write_bytes(b"a file where the folder should be")
    sha256 = pages.put(PAGE)
    for _ in range(2):  # not only for the first run that used the page
        with pytest.raises(StoreError) as failed:
            pages.write_manifest("7000-1", [entry(sha256)])
        assert failed.value.kind is Kind.ARCHIVE_FAILED
        assert str(pages.root) in failed.value.message
    pages.root.unlink()
    pages.put(PAGE)
    pages.write_manifest("7000-1", [entry(sha256)])
    pages.close()


def test_a_full_disk_fails_the_manifest_and_leaves_no_half_file(
    pages: PageArchive, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    sha256 = pages.put(PAGE)
    with pytest.raises(StoreError) as failed:
        pages.write_manifest("7000-1", [entry(sha256)])
    assert "No space left" in failed.value.message
    assert [path for path in pages.root.rglob("*") if path.is_file()] == []
    assert list(pages.runs()) == []
    pages.close()


def test_no_manifest_without_its_bodies(pages: PageArchive) -> None:
    with pytest.raises(StoreError) as refused:
        pages.write_manifest("7000-1", [entry("0" * 64)])
    assert refused.value.kind is Kind.ARCHIVE_FAILED
    assert list(pages.runs()) == []
    pages.close()


@pytest.mark.parametrize("key", ["", "../out", ".hidden", "a/b", "a b"])
def test_a_run_key_is_a_plain_name(pages: PageArchive, key: str) -> None:
    with pytest.raises(StoreError):
        pages.write_manifest(key, [])


def test_several_archives_in_one_folder(tmp_path: Path) -> None:
    bodies = [str(number % 20).encode() * 5000 for number in range(200)]

    def archive_some(number: int) -> str:
        mine = PageArchive(tmp_path)
        sha256 = mine.write_manifest(f"run-{number}", [entry(mine.put(body)) for body in bodies])
        mine.close()
        return sha256

    with ThreadPoolExecutor(4) as threads:
        manifests = list(threads.map(archive_some, range(4)))
    reader = PageArchive(tmp_path)
    for sha256 in manifests:
        assert [reader.get(page.sha256) for page in reader.read_manifest(sha256).pages] == bodies
