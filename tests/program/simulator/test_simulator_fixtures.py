"""The shipped page sets are exactly what the simulator makes, describe themselves truly, and are read as expected."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from mre_console.simulator.make_fixtures import FOLDER, SETS, files, main
from pipeline.document import build_event, decode, encode
from pipeline.liverc.markup import page_facts
from pipeline.liverc.readers import read_page
from pipeline.liverc.urls import parse_url
from pipeline.records import EntryListPage, EventPage, RacePage
from pipeline.validate import check, require_valid

EVENT_IDS = [page_set.event_id for page_set in SETS]


def shipped(event_id: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (FOLDER / event_id).iterdir()}


def metadata(event_id: str) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(shipped(event_id)["metadata.json"])
    return data


def test_the_shipped_sets_are_what_the_simulator_makes() -> None:
    made = {Path(name).as_posix(): data for name, data in files()}
    there = {p.relative_to(FOLDER).as_posix(): p.read_bytes() for p in FOLDER.rglob("*") if p.is_file()}
    ours = {name: data for name, data in there.items() if name.partition("/")[0] in EVENT_IDS}
    assert ours.keys() == made.keys()
    assert [name for name in made if made[name] != ours[name]] == []


def test_making_them_again_writes_the_same(tmp_path: Path) -> None:
    main(tmp_path)
    written = {p.relative_to(tmp_path).as_posix(): p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    assert written == dict(files())


def test_the_sets_are_modest() -> None:
    assert sum(len(data) for _, data in files()) < 1_500_000


@pytest.mark.parametrize("event_id", EVENT_IDS)
def test_the_metadata_is_true(event_id: str) -> None:
    pages, facts = shipped(event_id), metadata(event_id)
    assert facts["event_id"] == event_id
    assert facts["how"] in ("http", "browser")
    hashed = {name: sha256(data).hexdigest() for name, data in pages.items() if name.endswith(".html")}
    hashed["expected.json"] = sha256(pages["expected.json"]).hexdigest()
    assert facts["sha256"] == hashed
    assert facts["urls"].keys() == {name for name in pages if name.endswith(".html")}
    assert {page_facts(pages[name]).build_marker for name in facts["urls"]} == {facts["build_marker"]}
    document = decode(pages["expected.json"])
    assert encode(document) == pages["expected.json"]
    assert (document.source, document.source_event_id, document.track_slug) == (
        facts["source"], event_id, facts["track"],
    )  # fmt: skip
    assert facts["races_expected"] == len(document.races)
    assert facts["laps_expected"] == {
        race.source_race_id: [len(result.laps) for result in race.results] for race in document.races
    }


@pytest.mark.parametrize("event_id", EVENT_IDS)
def test_the_readers_get_the_expected_document(event_id: str) -> None:
    pages, facts = shipped(event_id), metadata(event_id)
    records = [read_page(pages[name], parse_url(url)) for name, url in facts["urls"].items()]
    event_page = next(record for record in records if isinstance(record, EventPage))
    races = {record.source_race_id: record for record in records if isinstance(record, RacePage)}
    entry_list = next((record for record in records if isinstance(record, EntryListPage)), None)
    document = build_event(event_page, races, entry_list)
    assert encode(document) == pages["expected.json"]
    require_valid(check(document, event_page, races, entry_list))
