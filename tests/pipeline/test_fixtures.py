"""Shipped page sets: loaded as bytes that are what they say, replayed, and compared field by field."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import msgspec
import pytest

from mre_console.settings import shipped_fixtures
from pipeline import document, fixtures
from pipeline.errors import Kind, PipelineError
from pipeline.fixtures import differences, list_sets, load_set, replay
from pipeline.replay import read_pages
from tests.support.generations import document as small_event

SETS = list_sets(shipped_fixtures())


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    return Path(shutil.copytree(SETS[0], tmp_path / "liverc" / SETS[0].name))


def rewrite(folder: Path, name: str, data: bytes) -> None:
    """Change a file and say so in the metadata, as a person who edits a set would."""
    metadata = json.loads((folder / "metadata.json").read_bytes())
    metadata["sha256"][name] = sha256(data).hexdigest()
    (folder / "metadata.json").write_text(json.dumps(metadata))
    (folder / name).write_bytes(data)


@pytest.mark.parametrize("folder", SETS, ids=lambda folder: folder.name)
def test_every_shipped_set_replays(folder: Path) -> None:
    answer = replay(load_set(folder))
    assert answer.passed
    assert answer.sha256 == sha256((folder / "expected.json").read_bytes()).hexdigest()


def test_sets_are_listed_by_event_id() -> None:
    assert [folder.name for folder in SETS] == ["900101", "900102", "900103"]
    assert list_sets(Path("nowhere")) == ()


def test_the_order_of_pages_does_not_matter() -> None:
    pages = load_set(SETS[1]).pages
    assert document.encode(read_pages(pages).build()) == document.encode(read_pages(pages[::-1]).build())


def test_a_page_that_was_reformatted_is_refused(copied: Path) -> None:
    page = copied / "event.html"
    page.write_bytes(page.read_bytes().replace(b"\t", b"  "))
    with pytest.raises(PipelineError) as caught:
        load_set(copied)
    assert caught.value.kind is Kind.ARCHIVE_FAILED
    assert "event.html" in caught.value.message


@pytest.mark.parametrize("name", ["event.html", "expected.json", "metadata.json"])
def test_a_missing_file_is_named(copied: Path, name: str) -> None:
    (copied / name).unlink()
    with pytest.raises(PipelineError) as caught:
        load_set(copied)
    assert name in caught.value.message


def test_metadata_that_is_none_is_refused(copied: Path) -> None:
    (copied / "metadata.json").write_text('{"event_id": 7}')
    with pytest.raises(PipelineError) as caught:
        load_set(copied)
    assert "metadata" in caught.value.message


def test_a_page_that_cannot_be_read_is_a_failure(copied: Path) -> None:
    rewrite(copied, "event.html", b"<html>nothing</html>")
    answer = replay(load_set(copied))
    assert not answer.passed
    assert answer.sha256 is None
    assert "PAGE_UNRECOGNISED" in (answer.failure or "")


def test_a_set_without_its_event_page_is_a_failure(copied: Path) -> None:
    metadata = json.loads((copied / "metadata.json").read_bytes())
    del metadata["urls"]["event.html"]
    (copied / "metadata.json").write_text(json.dumps(metadata))
    assert "no event page" in (replay(load_set(copied)).failure or "")


def test_a_document_that_differs_is_compared_field_by_field(copied: Path) -> None:
    expected = json.loads((copied / "expected.json").read_bytes())
    race = expected["races"][1]
    race["results"][2]["laps"][3]["lap_time_ms"] += 1
    race["results"][0]["behind"] = "0.500"
    gone = expected["races"].pop(0)
    rewrite(copied, "expected.json", document.encode(document.decode(json.dumps(expected).encode())))
    answer = replay(load_set(copied))
    assert not answer.passed
    where = {difference.where: difference for difference in answer.differences}
    assert where.keys() == {
        f"races[{gone['source_race_id']}]",
        f"races[{race['source_race_id']}].results[1].behind",
        f"races[{race['source_race_id']}].results[3].laps[4].lap_time_ms",
    }
    lost = where[f"races[{gone['source_race_id']}]"]
    assert lost.expected is None
    assert lost.shown().startswith(f"races[{gone['source_race_id']}]: expected nothing, got {{")
    assert where[f"races[{race['source_race_id']}].results[1].behind"].got is None


def test_equal_documents_have_no_difference_and_doubled_names_are_compared_by_place() -> None:
    event = small_event()
    assert list(differences(event, event)) == []
    doubled = msgspec.structs.replace(event, races=(event.races[0], event.races[0]))
    found = [difference.where for difference in differences(doubled, event)]
    assert found
    assert all(place.startswith("races[") for place in found)


def test_the_module_prints_what_every_set_gives(capsys: pytest.CaptureFixture[str]) -> None:
    fixtures.main(str(shipped_fixtures()))
    here = json.loads(capsys.readouterr().out)
    command = [sys.executable, "-m", "pipeline.fixtures", str(shipped_fixtures())]
    there = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    assert here == there
    assert list(here) == [folder.name for folder in SETS]
