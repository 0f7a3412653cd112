"""Contracts are data: every shipped one is sound, unsound ones are refused by place, and alternatives can be added."""

from __future__ import annotations

import shutil
import tomllib
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import Kind, ParseError
from pipeline.liverc.build import parser_build
from pipeline.liverc.contract import (
    READABLE,
    ContractError,
    compile_contract,
    contract_source,
    load_contract,
    merge_alternatives,
)
from pipeline.liverc.readers import read_page
from pipeline.liverc.urls import PageType, events_url, parse_url, race_url
from tests.support.liverc_pages import COLUMNS, STARTER, event_row, events_page, race_page, race_table

RACE = parse_url(race_url("nordhall", "9"))


def shipped(page_type: PageType) -> dict[str, Any]:
    return tomllib.loads(contract_source(page_type).decode())


@pytest.mark.parametrize("page_type", READABLE)
def test_every_shipped_contract_is_sound(page_type: PageType) -> None:
    contract = load_contract(page_type)
    assert contract.page_type is page_type
    assert load_contract(page_type) is contract


def test_what_a_race_cannot_be_without_is_required() -> None:
    (results,) = load_contract(PageType.RACE_RESULT).parts
    assert {field.name for field in results.row_fields if field.required} == {
        "position",
        "driver_name",
        "laps_and_time",
    }


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"page_type": "racing"}, "Invalid enum value"),
        ({"identity": {}}, "title"),
        ({"identity": {"title": ["("]}}, "identity.title: not a regular expression"),
        ({"surprise": 1}, "surprise"),
        ({"field": {"x": {"xpath": ["//["]}}}, "field.x: "),
        ({"field": {"x": {"xpath": ["//a"], "convert": "guess"}}}, "field.x: no converter 'guess'"),
        ({"field": {"x": {}}}, "field.x: neither xpath nor column"),
        ({"field": {"x": {"xpath": "//a"}}}, "Expected `array`"),
        ({"field": {"x": {"xpath": ["//a"], "pattern": ["["]}}}, "field.x: not a regular expression"),
        ({"part": {"p": {"at": []}}}, "part.p.at: is empty"),
        (
            {"part": {"p": {"at": ["//t"], "field": {"x": {"column": ["X"]}}}}},
            "part.p: a column belongs into row_field",
        ),
        ({"part": {"p": {"at": ["//t"], "row_field": {"x": {"xpath": ["td"]}}}}}, "part.p: row_field without rows"),
        (
            {"part": {"p": {"at": ["//t"], "rows": {"at": ["tr"]}, "row_field": {"x": {"column": ["X"]}}}}},
            "part.p: columns without rows.header",
        ),
        ({"field": {"x": {"xpath": ["//a"], "check_hidden": True}}}, "field.x: check_hidden"),
    ],
)
def test_an_unsound_contract_is_refused_by_place(change: dict[str, Any], says: str) -> None:
    data = {"page_type": "event", "identity": {"title": ["LiveRC"]}} | change
    with pytest.raises(ContractError, match=r"^event") as refusal:
        compile_contract(data, "event")
    assert says in str(refusal.value)


# ---------------------------------------------------------------- further alternatives


def test_a_renamed_column_is_read_once_its_title_is_added() -> None:
    titles = ["Place" if title == "Pos" else title for title in COLUMNS]
    page = race_page(race_table([STARTER], titles))
    with pytest.raises(ParseError) as failure:
        read_page(page, RACE)
    assert failure.value.details["field"] == "position"
    extra = {"part": {"results": {"row_field": {"position": {"column": ["Place"]}}}}}
    wider = load_contract(PageType.RACE_RESULT, extra)
    assert read_page(page, RACE, wider) == read_page(race_page(race_table([STARTER])), RACE)


def test_what_was_read_before_is_read_alike_with_more_alternatives() -> None:
    extra = {
        "field": {"track_name": {"xpath": ["//title"]}},
        "part": {"results": {"at": ["//table"], "rows": {"at": ["descendant::tr"]}}},
    }
    assert read_page(race_page(), RACE, load_contract(PageType.RACE_RESULT, extra)) == read_page(race_page(), RACE)


def test_a_moved_table_is_found_once_its_place_is_added() -> None:
    ref = parse_url(events_url("nordhall"))
    old = events_page(event_row(7, "Cup", "2026-02-07 08:30:00", "Feb 7, 2026"))
    new = old.replace(b'id="events"', b'id="meetings"')
    with pytest.raises(ParseError) as failure:
        read_page(new, ref)
    assert failure.value.kind is Kind.FIELD_MISSING
    wider = load_contract(PageType.EVENTS_LISTING, {"part": {"events": {"at": ["//table[@id='meetings']"]}}})
    assert read_page(new, ref, wider) == read_page(old, ref, wider) == read_page(old, ref)


@pytest.mark.parametrize(
    "extra",
    [
        {"field": {"another": {"xpath": ["//a"]}}},
        {"field": {"track_name": {"pattern": ["(.)"]}}},
        {"field": {"track_name": {"convert": "integer"}}},
        {"field": {"track_name": {"required": False}}},
        {"field": {"track_name": {"xpath": "//h2"}}},
        {"part": {"results": {"only_first": False}}},
        {"page_type": "event"},
    ],
)
def test_only_alternatives_can_be_added(extra: dict[str, Any]) -> None:
    with pytest.raises(ContractError, match="race_result"):
        load_contract(PageType.RACE_RESULT, extra)


def test_what_an_identity_excludes_cannot_grow() -> None:
    with pytest.raises(ContractError, match=r"identity\.none"):
        load_contract(PageType.EVENT, {"identity": {"none": ["//table"]}})


def test_merging_keeps_the_order_and_doubles_nothing() -> None:
    base = shipped(PageType.RACE_RESULT)
    merged = merge_alternatives(
        base, {"part": {"results": {"at": ["//table[1]", base["part"]["results"]["at"][0]]}}}, "x"
    )
    assert merged["part"]["results"]["at"] == [*base["part"]["results"]["at"], "//table[1]"]
    assert base == shipped(PageType.RACE_RESULT)


# ---------------------------------------------------------------- the build


def test_the_parser_build_is_short_and_stable() -> None:
    build = parser_build()
    assert len(build) == 12
    assert int(build, 16) >= 0
    parser_build.cache_clear()
    assert parser_build() == build


@pytest.fixture
def copied_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The connector's files, to be changed; `parser_build` looks at them."""
    room = tmp_path / "liverc"
    shutil.copytree(Path(str(resources.files("pipeline.liverc"))), room)
    monkeypatch.setattr(resources, "files", lambda _: room)
    parser_build.cache_clear()
    yield room
    parser_build.cache_clear()


@pytest.mark.parametrize(
    ("file", "changes"),
    [
        ("contracts/event.toml", True),
        ("converters.py", True),
        ("extract.py", True),
        ("lapscript.py", True),
        ("literals.py", True),
        ("markup.py", True),
        ("urls.py", True),
        ("client.py", False),
        ("politeness.py", False),
    ],
)
def test_the_parser_build_is_about_contracts_and_reader_code(file: str, changes: bool, copied_room: Path) -> None:
    before = parser_build()
    path = copied_room / file
    path.write_bytes(path.read_bytes() + b"\n")
    parser_build.cache_clear()
    assert (parser_build() != before) is changes


def test_the_parser_build_changes_with_a_new_contract(copied_room: Path) -> None:
    before = parser_build()
    (copied_room / "contracts" / "points.toml").write_bytes(b"")
    parser_build.cache_clear()
    assert parser_build() != before
