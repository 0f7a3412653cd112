"""Every real page of the six types says what the independently extracted truth says, also in a formatter's spelling."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import structs

from pipeline import document
from pipeline.errors import Kind, ParseError
from pipeline.liverc.markup import page_facts
from pipeline.liverc.readers import read_page
from pipeline.liverc.urls import PageRef, PageType, parse_url
from pipeline.records import PageRecord, RacePage
from tests.support.real_pages import REAL, needs_real_pages

pytestmark = needs_real_pages

READ = frozenset({"track_catalogue", "track_dashboard", "events_listing", "event", "race_result", "entry_list"})


def truths(of: frozenset[str]) -> list[str]:
    files = sorted(REAL.glob("truth/*.json"))
    return [file.name for file in files if json.loads(file.read_text("utf-8"))["page"] in of]


def load(name: str) -> tuple[bytes, PageRef, dict[str, Any]]:
    truth = json.loads((REAL / "truth" / name).read_text("utf-8"))
    return (REAL / "pages" / truth["source_file"]).read_bytes(), parse_url(truth["url"]), truth


def compare(record: PageRecord, truth_name: str, folder: Path) -> None:
    parsed = folder / "parsed.json"
    parsed.write_bytes(msgspec.json.Encoder(decimal_format="number").encode(document.parsed_as_json(record)))
    compared = subprocess.run(
        [sys.executable, REAL / "compare.py", "parse", parsed, REAL / "truth" / truth_name],
        capture_output=True,
        text=True,
        check=False,
    )
    assert compared.returncode == 0, compared.stdout + compared.stderr


@pytest.mark.parametrize("name", truths(READ))
def test_a_real_page_says_what_the_truth_says(name: str, tmp_path: Path) -> None:
    body, ref, _ = load(name)
    compare(read_page(body, ref), name, tmp_path)


@pytest.mark.parametrize("name", truths(READ))
def test_the_frame_names_what_the_truth_names(name: str) -> None:
    body, ref, truth = load(name)
    record = read_page(body, ref)
    for ours in ("track_name", "event_name", "total_race_laps", "length_text"):
        if ours in truth and hasattr(record, ours):
            assert getattr(record, ours) == truth[ours]
    assert re.fullmatch(r"\d{4}", page_facts(body).build_marker or "")


@pytest.mark.parametrize("name", truths(frozenset({"race_result"})))
def test_a_real_race_page_proves_itself(name: str) -> None:
    body, ref, truth = load(name)
    page = read_page(body, ref)
    assert isinstance(page, RacePage)
    assert not any(row.hidden_mismatches for row in page.rows)
    assert [racer.source_driver_id for racer in page.racers] == [result["driver_id"] for result in truth["results"]]
    assert [len(racer.laps) and len(racer.laps) - 1 for racer in page.racers] == [
        row.laps_completed for row in page.rows
    ]
    assert [row.source_driver_id is None for row in page.rows] == [not row.laps_completed for row in page.rows]


@pytest.mark.parametrize("name", truths(frozenset({"race_result"})))
def test_a_formatter_changes_nothing_that_is_read(name: str) -> None:
    body, ref, _ = load(name)
    formatted = reformatted(body.decode())
    assert "racerLaps[298958] = {\n" in formatted
    assert '{ lapNum: "1"' in formatted
    assert read_page(formatted.encode(), ref) == read_page(body, ref)


@pytest.mark.parametrize("name", truths(READ - {"race_result"}))
def test_wrapped_text_changes_nothing_that_is_read(name: str) -> None:
    body, ref, _ = load(name)
    wrapped = re.sub(r"(>[^<>]*[^<>\s]) (?=[^<>\s])", r"\1\n      ", body.decode())
    assert wrapped.count("\n") > body.count(b"\n")
    assert read_page(wrapped.encode(), ref) == read_page(body, ref)


def reformatted(page: str) -> str:
    """A race page as a code formatter rewrites it: bare keys, double quotes, one lap a line, text wrapped in cells."""
    begin, end = page.index("var racerLaps"), page.index("</script>", page.index("var racerLaps"))
    script = re.sub(r"'(\w+)' : ", r"\1: ", page[begin:end])
    script = re.sub(r"'([^']*)'", r'"\1"', script)
    script = re.sub(r"\[\s+\]", "[]", script)
    script = re.sub(r"\{\s+(lapNum[^}]*?)\s+\}", lambda lap: f"{{ {' '.join(lap[1].split())} }}", script)
    script = re.sub(r"\n\s*\n", "\n", script)
    cells = re.sub(r"<td>([^<>]+)</td>", r"<td>\n  \1\n</td>", page[end:])
    cells = re.sub(r"(<sup>\d+)</sup>", r"\1</sup\n>", cells)
    return page[:begin] + script + cells.replace("<br />", "<br>").replace("Length: ", "Length:\n    ")


def test_the_same_page_captured_twice_is_one_record() -> None:
    june, december = (load(f"race.6304822{suffix}.json") for suffix in ("", ".2025-12"))
    assert june[0] != december[0]
    assert page_facts(june[0]) != page_facts(december[0])
    assert read_page(june[0], june[1]) == read_page(december[0], december[1])


@pytest.mark.parametrize("name", truths(READ))
def test_a_changed_frame_changes_nothing_that_is_read(name: str) -> None:
    body, ref, _ = load(name)
    changed = re.sub(rb"\?1\d{3}", b"?9999", b"\n" + body).replace(b"showFlyInBox = false", b"showFlyInBox = true")
    assert page_facts(changed).build_marker == "9999"
    assert read_page(changed, ref) == read_page(body, ref)


@pytest.mark.parametrize(
    ("file", "page_type", "url"),
    [
        ("points.psychonitroblast.html", PageType.POINTS, "https://p.liverc.com/results/?p=view_points&id=1"),
        (
            "practice_day.canberraoffroad.2025-10-25.html",
            PageType.PRACTICE_DAY,
            "https://canberraoffroad.liverc.com/practice/?p=session_list&d=2025-10-25",
        ),
        (
            "practice_month.canberraoffroad.2025-10.html",
            PageType.PRACTICE_MONTH,
            "https://canberraoffroad.liverc.com/practice/?p=calendar&d=2025-10",
        ),
    ],
)
def test_page_types_that_are_not_read_yet_say_so(file: str, page_type: PageType, url: str) -> None:
    ref = parse_url(url)
    assert ref.page_type is page_type
    with pytest.raises(ParseError) as failure:
        read_page((REAL / "pages" / file).read_bytes(), ref)
    assert failure.value.kind is Kind.PAGE_TYPE_UNSUPPORTED


@pytest.mark.parametrize("name", truths(READ))
def test_no_real_page_passes_for_another_type(name: str) -> None:
    body, ref, _ = load(name)
    for page_type in READ - {ref.page_type}:
        with pytest.raises(ParseError) as failure:
            read_page(body, structs.replace(ref, page_type=PageType(page_type)))
        assert failure.value.kind in (Kind.PAGE_UNRECOGNISED, Kind.FIELD_MISSING), page_type
