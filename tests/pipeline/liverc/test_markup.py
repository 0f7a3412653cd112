"""Cutting pages up: what is kept of the bytes, what is refused, and what a person reads in an element."""

from __future__ import annotations

import threading

import pytest
from lxml import etree

from pipeline.errors import Kind, ParseError
from pipeline.liverc import markup
from pipeline.liverc.markup import cell_texts, cut_page, page_facts, visible_text
from pipeline.liverc.readers import read_page
from pipeline.liverc.urls import parse_url, race_url
from tests.support.liverc_pages import HEAD, SCRIPT, TAIL, TRACK, page, race_page

REF = parse_url(race_url("nordhall", "9"))


@pytest.mark.parametrize(
    ("cell", "shown", "key"),
    [
        ("", "", None),
        ("\n\t\tA \n  B&nbsp;", "A B", None),
        ('<div class="hidden">38.405</div>38.405', "38.405", "38.405"),
        ('<span class="x hidden y">LAST, FIRST</span>FIRST LAST', "FIRST LAST", "LAST, FIRST"),
        ('<span class="hiddenish">A</span>B', "AB", None),
        ("36.589<sup>9</sup>", "36.589", None),
        ('<div class="hidden">1</div>36.589<sup>9</sup>', "36.589", "1"),
        ('<div class="hidden"><b>1</b>12</div>36', "36", "112"),
        ("May 3, 2025 to <br />May 4, 2025", "May 3, 2025 to May 4, 2025", None),
        ("A<b>B</b>C", "ABC", None),
        ("A<div>B</div>C", "A BC", None),
        ("A<script>var b = 1;</script><style>c</style>D", "AD", None),
        ("A<!-- B -->C", "AC", None),
        ("M&M R&D &lt;X&gt;", "M&M R&D <X>", None),
    ],
)
def test_the_text_of_a_cell_is_not_its_value(cell: str, shown: str, key: str | None) -> None:
    parser = etree.HTMLParser(remove_comments=True)
    root = etree.fromstring(f"<table><tr><td>{cell}</td></tr></table>", parser)
    td = root.find(".//td")
    assert td is not None
    assert cell_texts(td) == (shown, key)
    assert visible_text(td) == shown


def test_only_the_content_becomes_a_tree() -> None:
    cut = cut_page(race_page(), REF)
    assert cut.title == f'{TRACK} :: Vinter "Cup" & Co :: 1/8 Buggy (Heat 1/2) :: LiveRC'
    assert cut.script == SCRIPT.encode()
    assert not cut.has_table_widget
    text = etree.tostring(cut.root).decode()
    assert "Race Results</a>" not in text  # the navigation
    assert "LOADING" not in text
    assert "racerLaps" not in text


def test_a_page_without_the_frames_marks_is_read_whole() -> None:
    bare = race_page().replace(b'id="page-wrapper"', b"").replace(b"<!-- /#page-wrapper -->", b"")
    assert read_page(bare, REF) == read_page(race_page(), REF)
    half = race_page().replace(b"<!-- /#page-wrapper -->", b"").replace(b'id="loading_overlay"', b"")
    assert read_page(half, REF) == read_page(race_page(), REF)


@pytest.mark.parametrize("share", [0.3, 0.5, 0.9])
def test_a_page_that_breaks_off_is_refused(share: float) -> None:
    body = race_page()
    begin, end = body.index(b"page-wrapper"), body.index(b"<!-- /#page-wrapper")
    with pytest.raises(ParseError) as failure:
        read_page(body[: begin + int((end - begin) * share)], REF)
    assert failure.value.kind is Kind.PAGE_UNRECOGNISED
    assert "breaks off" in failure.value.message


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "empty"),
        (b" \n\t ", "empty"),
        (b"\x89PNG\r\n\x1a\n\0\0\0", "NUL"),
        (race_page().decode().encode("utf-16"), "NUL"),
        (race_page().replace(b"OLA", b"\xc3LA"), "UTF-8"),
        (race_page().replace(b"OLA 5 NES</span>", b"OLA \xed\xa0\x80</span>"), "UTF-8"),
        (page("LiveRC", "<p>S\xf8n</p>").decode().encode("latin-1"), "UTF-8"),
        (b"<!-- nothing -->", "no content"),
        (page("LiveRC", "<div>" * 400), "nested deeper"),
        (page("LiveRC", "<br>" * 100_001), "far larger"),
        (page("LiveRC", "x" * 2_500_001), "far larger"),
        (page("LiveRC", "<a " + "b " * 2000 + ">"), "a tag of over"),
        (page("LiveRC", "<a b='>'>" * 30), "attributes that hold markup"),
        (b"GIF89a", "LiveRC's title"),
        (b'{"error": "not found"}', "LiveRC's title"),
        (b"<html><title>503</title><body>Service Unavailable</body></html>", "LiveRC's title"),
    ],
)
def test_what_is_no_readable_page_is_not_recognised(body: bytes, says: str) -> None:
    with pytest.raises(ParseError) as failure:
        read_page(body, REF)
    assert failure.value.kind is Kind.PAGE_UNRECOGNISED
    assert says in failure.value.message
    assert failure.value.details["url"] == REF.url


def test_invalid_bytes_outside_the_content_do_no_harm() -> None:
    assert read_page(race_page().replace(b"var domain", b"var \xff domain"), REF) == read_page(race_page(), REF)


def test_a_mark_of_the_encoding_and_an_empty_first_line_do_no_harm() -> None:
    for front in (b"\xef\xbb\xbf", b"\n", b""):
        assert read_page(front + race_page().lstrip(), REF) == read_page(race_page(), REF)


def test_windows_line_ends_do_no_harm() -> None:
    assert read_page(race_page().replace(b"\n", b"\r\n"), REF) == read_page(race_page(), REF)


# ---------------------------------------------------------------- facts for the archive


@pytest.mark.parametrize(
    ("head", "marker"),
    [
        ('<link href="/css/global/global.default.css?1272" />', "1272"),
        ('<script src="/js/a.min.js?1153"></script>', "1153"),
        ("<script src='/js/a.js?1160'></script>", "1160"),
        ('<link href="//cdn.example.com/x.css?7" />', None),
        ('<script src="/js/a.js"></script>', None),
        ("", None),
    ],
)
def test_the_build_marker_is_the_version_of_liverc_s_own_assets(head: str, marker: str | None) -> None:
    assert page_facts(f"<html><head>{head}</head></html>".encode()).build_marker == marker


def test_any_bytes_have_facts() -> None:
    assert page_facts(b"").build_marker is None
    assert page_facts(bytes(range(256))).build_marker is None
    assert page_facts((HEAD + TAIL).encode()).build_marker == "1203"


# ---------------------------------------------------------------- threads


def test_every_thread_has_a_parser_of_its_own_and_reads_alike() -> None:
    expected = read_page(race_page(), REF)
    parsers: list[object] = []
    records: list[object] = []
    together = threading.Barrier(4)

    def work() -> None:
        together.wait()
        records.extend(read_page(race_page(), REF) for _ in range(10))
        parsers.append(markup._parser())

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert records == [expected] * 40
    assert len({id(parser) for parser in parsers}) == 4
