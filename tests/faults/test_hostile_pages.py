"""Whatever bytes arrive as a page, a reader soon returns a record or raises `ParseError`: no crash, no hang.

2,000 examples with MRE_FAULTS=1 (`make faults`), a few otherwise.
"""

from __future__ import annotations

import os
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.errors import ParseError
from pipeline.liverc import urls
from pipeline.liverc.contract import READABLE
from pipeline.liverc.markup import TAGS_LIMIT, WINDOW_LIMIT
from pipeline.liverc.readers import read_page
from pipeline.liverc.urls import PageRef
from tests.support.liverc_pages import (
    SCRIPT,
    catalogue_page,
    catalogue_row,
    entry_list_page,
    entry_row,
    event_page,
    event_row,
    events_page,
    race_page,
    race_row,
    round_row,
)

THOROUGH = os.environ.get("MRE_FAULTS") == "1"
EXAMPLES = 2_000 if THOROUGH else 60
LIMIT_S = 2.0  # of this thread's own work: other processes do not count
TEN_MB = 10_000_000

REFS = [
    urls.parse_url(url)
    for url in (
        urls.catalogue_url(),
        urls.dashboard_url("nordhall"),
        urls.events_url("nordhall"),
        urls.event_url("nordhall", "5"),
        urls.race_url("nordhall", "9"),
        urls.entry_list_url("nordhall", "5"),
    )
]
RACES = round_row("Main Events") + race_row(
    "/results/?p=view_race_result&id=8", "Race 1: Truck (Truck A-Main)", "Feb 8, 2026"
)
PAGES = [
    race_page(),
    event_page(RACES),
    events_page(event_row(7, "Cup", "2026-02-07 08:30:00", "Feb 7, 2026")),
    catalogue_page(catalogue_row("nordhall", "Nordhall") * 3),
    entry_list_page([("Truck", 1, entry_row(1, "BRU", "EMIL", "123"))]),
]
NASTY = [
    *(
        b"<div>",
        b"</div>",
        b"<table>",
        b"<tr><td>",
        b"</table>",
        b"<a ",
        b"<!--",
        b"-->",
        b"<script>",
        b"</script>",
        b"<sup>",
    ),
    *(
        b'<b class="hidden">',
        b"&",
        b"&#0;",
        b"&#xD800;",
        b"&#99999999;",
        b"&copy",
        b"\xff",
        b"\xc3",
        b"\xed\xa0\x80",
        b"\0",
    ),
    *(
        b"\xef\xbb\xbf",
        b'"',
        b"'",
        b"\\",
        b"=",
        b">",
        b"<",
        b"\r",
        b"\x01",
        b"racerLaps",
        b"racerLaps[1] = {",
        b"};",
        b"'''",
    ),
    *(
        b'id="page-wrapper"',
        b"<!-- /#page-wrapper -->",
        b"<title>LiveRC</title>",
        b"dataTables_info",
        b"9" * 5000,
        b"\xe2\x80\xa8",
    ),
]

hurried = settings(
    max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


def read_in_time(body: bytes, ref: PageRef) -> None:
    start = time.thread_time()
    said = ""
    try:
        read_page(body, ref)
    except ParseError as error:
        said = error.message
    assert len(said) < 1_000
    assert "<script" not in said
    assert time.thread_time() - start < LIMIT_S


def test_every_readable_page_type_is_tried() -> None:
    assert {ref.page_type for ref in REFS} == set(READABLE)


@hurried
@given(st.binary(max_size=300), st.sampled_from(REFS))
def test_any_bytes(body: bytes, ref: PageRef) -> None:
    read_in_time(body, ref)


@hurried
@given(st.sampled_from(PAGES), st.sampled_from(REFS), st.data())
def test_damaged_pages(page: bytes, ref: PageRef, data: st.DataObject) -> None:
    """Bytes cut out, doubled, replaced and inserted, anywhere."""
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(page)))
        until = min(len(page), at + data.draw(st.sampled_from([0, 1, 7, 60, 2_000])))
        piece = data.draw(st.one_of(st.sampled_from(NASTY), st.binary(max_size=8), st.just(page[at:until] * 2)))
        page = page[:at] + piece + page[until:]
    read_in_time(page, ref)


@hurried
@given(st.lists(st.sampled_from(NASTY), max_size=200), st.sampled_from(REFS), st.integers(0, 4))
def test_nasty_things_in_a_row(pieces: list[bytes], ref: PageRef, page: int) -> None:
    inside = PAGES[page].replace(b"<tbody>", b"<tbody>" + b"".join(pieces), 1)
    read_in_time(inside, ref)
    read_in_time(b"".join(pieces), ref)


HUGE = [
    b"<div>",
    b"<table>",
    b"<table><tr><td>",
    b"<td>1<td>",
    b"<tr><td>1<td>2",
    b"<tr><td>1</td><td>2</td></tr>",
    b'<tr><td>1</td><td><span class="driver_name">A</span></td><td>2</td><td>1/1.0</td></tr>',
    b"<sup>1</sup>",
    b"<p>x",
    b"<br>",
    b"<a href=/results/?p=view_race_result&id=1>x</a>",
    b'<a href="//a.liverc.com/">x</a>',
    b"<td><a href=/results/?p=view_race_result&id=1>x</a>",
    b'<td><span class="driver_name">x</span>',
    b'<td><i class="status_1">x</i>',
    b"<tr><td><a href=/results/?p=view_event&id=1><sup>x",
    b'<ul class="nav-pills"><li><a href="#x">x',
    b"<abbr title=Phone>P:</abbr>",
    b'<span class="hidden">1</span>',
    b'<h1 class="page-header">x</h1>',
    b'<table class="entry_list_data"><tr><th>x',
    b'<div class="tab-pane"><table><div class="class_header">x</div></table></div>',
    b"<hr>",
    b"<!--",
    b"<!-- racerLaps -->",
    b"<script>racerLaps",
    b"<script>racerLaps</script>",
    b"racerLaps[1] = {};\n",
    b"</p>",
    b"<",
    b">",
    b"&",
    b"&amp;",
    b"1",
    b"1:",
    b"a ",
    b" ",
    b"\n",
    b"\t",
    b"\xff",
    b"\0",
    b"\xe2\x80\xa8",
    b"<b a='>' ",
    b" x='<'",
    b"dataTables_info ",
    b'<p class="dataTables_info">1 to 1 of 1</p>',
]


@pytest.mark.parametrize("piece", HUGE if THOROUGH else HUGE[::5])
def test_ten_megabytes_of_anything(piece: bytes) -> None:
    """Alone, and where it hurts: in the title, the table, the lap script, for each page type."""
    many = piece * (TEN_MB // len(piece))
    race = race_page()
    read_in_time(many, REFS[4])
    read_in_time(race.replace(b"</title>", many + b"</title>"), REFS[4])
    read_in_time(race.replace(b"var racerLaps", many + b"var racerLaps"), REFS[4])
    accepted = min((WINDOW_LIMIT - 10_000) // len(piece), (TAGS_LIMIT - 500) // max(piece.count(b"<"), 1))
    most = piece * accepted
    for page, ref in zip(PAGES, (REFS[4], REFS[3], REFS[2], REFS[0], REFS[5]), strict=True):
        read_in_time(page.replace(b"<tbody>", b"<tbody>" + most, 1), ref)
    read_in_time(PAGES[2].replace(b"<table", b"<address>" + most + b"</address><table", 1), REFS[1])


@pytest.mark.parametrize("quote", [b"", b'"', b"'"])
def test_a_tag_with_a_million_attributes(quote: bytes) -> None:
    """The tree builder compares every attribute of a tag with all others: minutes, if it were let."""
    value = b"=" + quote + b">" + quote if quote else b""
    tag = b"<a " + b" ".join(b"x%d%s" % (n, value) for n in range(300_000)) + b">"
    read_in_time(race_page().replace(b"<tbody>", b"<tbody>" + tag), REFS[4])
    many_tags = (b"<a " + b" ".join(b"x%d" % n for n in range(350)) + b">") * 1_500
    read_in_time(race_page().replace(b"<tbody>", b"<tbody>" + many_tags), REFS[4])


@pytest.mark.parametrize(
    "lap",
    [
        b"{ 'lapNum' : '1', 'time' : '1.5' },",
        b'{ lapNum: 1, time: "1.5" },',
        b"{ 'lapNum' : '1', 'time' : '1.5', 'segments' : [ [], {} ] },",
        b"{},",
        b"[[[[",
        b"'\\u0041',",
        b'"\'",',
        b"'",
        b"/*",
        b"//",
        b"}; racerLaps[1] = {",
    ],
)
def test_a_lap_script_of_ten_megabytes(lap: bytes) -> None:
    script = SCRIPT.encode().replace(b"'laps' : [", b"'laps' : [\n" + lap * (TEN_MB // len(lap)), 1)
    read_in_time(race_page(script="@@").replace(b"@@", script), REFS[4])
    script = SCRIPT.encode().replace(b"'laps' : [", b"'laps' : [\n" + lap * (1_400_000 // len(lap)), 1)
    read_in_time(race_page(script="@@").replace(b"@@", script), REFS[4])
