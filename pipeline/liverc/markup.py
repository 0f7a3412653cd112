"""From bytes to the part of a page that is read: title, lap script, and the tree of the content.

A page of LiveRC is mostly frame (navigation, ads, scripts). The lap script is cut out of the bytes and only the content
window becomes a tree, which is what makes reading fast. Nothing here knows a page type, and nothing a hostile page
holds may crash, stall or silently shorten what is read: what cannot be read whole is refused.
"""

from __future__ import annotations

import html
import re
import threading

from lxml import etree
from msgspec import Struct

from pipeline.errors import Kind, ParseError
from pipeline.liverc.urls import PageRef

WINDOW_LIMIT = 2_500_000  # bytes of content without the lap script; the longest real page has about 700,000
TAGS_LIMIT = 100_000  # tags of the content; the longest real page has about 27,000
TAG_LIMIT = 2_500  # bytes of one tag: the tree builder compares every attribute of a tag with all others
QUOTED_LIMIT = 20  # `>` inside attribute values: each may join two stretches of TAG_LIMIT to one tag

_WINDOW_START = b'id="page-wrapper"'
_WINDOW_ENDS = (b"<!-- /#page-wrapper -->", b'<div id="loading_overlay"', b"</body>", b"</html>")
_TITLE = re.compile(rb"<title\b[^>]*>([^<]*)", re.IGNORECASE)
_TAG_START = re.compile(rb"<[A-Za-z]")
_QUOTED = re.compile(rb"=\s*(?:\"[^\">]*>|'[^'>]*>)")
_ASSET = re.compile(rb"=\s*[\"']/(?!/)[^\"'\s>]*\.(?:css|js)\?([0-9]{1,9})[\"']")
_WIDGET = (b"dataTables_", b"paginate_button", b"dt-info", b"dt-paging")
_BOM = b"\xef\xbb\xbf"
LAPS = (b"racerLaps",)  # the variable that a lap script assigns to
_SCRIPT_LIMIT = 50  # places outside of scripts that are looked at before giving up


class CutPage(Struct, frozen=True):
    """One page, cut up. `root` is the tree of the content window."""

    ref: PageRef
    title: str
    root: etree._Element
    script: bytes | None  # the inline script that speaks of the laps, without its tags
    has_table_widget: bool  # a browser's table widget left its marks: the page was saved after it ran


class PageFacts(Struct, frozen=True):
    """What the page archive notes of a page."""

    build_marker: str | None  # "1272": the version LiveRC puts on its own assets


def page_facts(body: bytes) -> PageFacts:
    """LiveRC's own marks on a page. Never raises: a page without them has none."""
    match = _ASSET.search(body)
    return PageFacts(build_marker=match[1].decode("ascii") if match else None)


def cut_page(body: bytes, ref: PageRef, laps: tuple[bytes, ...] = LAPS) -> CutPage:
    """Cut a page up; `laps` are the names by which a lap script is known.

    Raises `ParseError(PAGE_UNRECOGNISED)` for what is no readable HTML page: empty, binary, not UTF-8, far too large,
    nested or attributed beyond any real page.
    """
    if not body or body.isspace():
        raise unrecognised(ref, "the page is empty")
    if b"\0" in body:
        raise unrecognised(ref, "the page holds NUL bytes: it is not text")
    body = body.removeprefix(_BOM)
    title = _TITLE.search(body)
    window, script = _cut(body, ref, laps)
    for part in (title[1] if title else b"", window, script or b""):
        _check_utf8(part, ref)
    _check_bounds(window, ref)
    title_text = " ".join(html.unescape(title[1].decode()).split()) if title else ""
    return CutPage(ref, title_text, _tree(window, ref), script, any(mark in window for mark in _WIDGET))


def _cut(body: bytes, ref: PageRef, laps: tuple[bytes, ...]) -> tuple[bytes, bytes | None]:
    """(content window without the lap script, lap script)."""
    opening = body.find(_WINDOW_START)
    start = max(body.rfind(b"<", 0, opening), 0) if opening >= 0 else 0
    ends = (body.rfind(mark, start) for mark in _WINDOW_ENDS)
    end = next((found for found in ends if found >= 0), None)
    if end is None:
        if opening >= 0:
            raise unrecognised(ref, "it breaks off")
        end = len(body)
    scripts = sorted({script for name in laps for script in _find_scripts(body, start, end, name)})
    if not scripts:
        return body[start:end], None
    window, at = [], start
    for begin, stop in scripts:
        window.append(body[at:begin])
        at = stop
    return b"".join([*window, body[at:end]]), b"\n".join(body[begin:stop] for begin, stop in scripts)


def _find_scripts(body: bytes, start: int, end: int, name: bytes) -> list[tuple[int, int]]:
    """Where the content of each script that speaks of `name` begins and stops. Real pages have one."""
    scripts: list[tuple[int, int]] = []
    for _ in range(_SCRIPT_LIMIT):
        mention = body.find(name, start, end)
        if mention < 0:
            break
        opened = body.rfind(b"<script", start, mention)
        begin = body.find(b">", opened, mention) + 1 if opened >= 0 else 0
        start = mention + len(name)
        if begin > 0 and body.find(b"</script", begin, mention) < 0 and not _inside_comment(body, opened):
            closed = body.find(b"</script", mention, end)
            start = closed if closed >= 0 else end
            scripts.append((begin, start))
    return scripts


def _inside_comment(body: bytes, at: int) -> bool:
    return body.rfind(b"<!--", 0, at) > body.rfind(b"-->", 0, at)


def _check_utf8(part: bytes, ref: PageRef) -> None:
    try:
        part.decode("utf-8")
    except UnicodeDecodeError as error:
        raise unrecognised(ref, f"the page is not valid UTF-8 ({error.reason})") from None


def _check_bounds(window: bytes, ref: PageRef) -> None:
    """Refuse what would keep the tree builder busy for minutes: its time grows with the square of a tag's length."""
    if len(window) > WINDOW_LIMIT or window.count(b"<") > TAGS_LIMIT:
        raise unrecognised(ref, f"the page's content is far larger than any real one ({len(window):,} bytes)")
    stretches = window.split(b">")
    if max(map(len, stretches)) > TAG_LIMIT:
        for stretch in stretches:
            tag = _TAG_START.search(stretch)
            if tag and len(stretch) - tag.start() > TAG_LIMIT:
                raise unrecognised(ref, f"a tag of over {TAG_LIMIT:,} bytes, longer than any real one")
    if sum(1 for _ in zip(_QUOTED.finditer(window), range(QUOTED_LIMIT + 1), strict=False)) > QUOTED_LIMIT:
        raise unrecognised(ref, "attributes that hold markup, unlike any real page")


_local = threading.local()


def _parser() -> etree.HTMLParser:
    """One parser per thread: a shared one makes threads slower than one of them alone."""
    parser: etree.HTMLParser | None = getattr(_local, "parser", None)
    if parser is None:
        parser = etree.HTMLParser(encoding="utf-8", remove_comments=True, remove_pis=True, no_network=True)
        _local.parser = parser
    return parser


def _tree(window: bytes, ref: PageRef) -> etree._Element:
    parser = _parser()
    try:
        root = etree.fromstring(window, parser)
    except etree.LxmlError:
        raise unrecognised(ref, "the page is not HTML") from None
    if root is None:  # nothing but comments
        raise unrecognised(ref, "the page has no content")
    if parser.error_log.filter_from_fatals():  # the rest of the page was dropped
        raise unrecognised(ref, "the page is nested deeper than any real one")
    return root


def unrecognised(ref: PageRef, why: str) -> ParseError:
    return ParseError(
        Kind.PAGE_UNRECOGNISED,
        f"{ref.url} is not the page that was asked for: {why}.",
        page_type=str(ref.page_type),
        url=ref.url,
    )


# ---------------------------------------------------------------- text

_UNSEEN = frozenset({"sup", "script", "style", "template"})
_BREAKS = frozenset({"br", "div", "p", "li", "ul", "tr", "td", "th", "table", "hr"})


def visible_text(element: etree._Element) -> str:
    """What a person reads in an element, white space collapsed: without hidden sort keys, superscripts and scripts."""
    if not len(element):
        return " ".join((element.text or "").split())
    parts: list[str] = []
    _gather(element, parts)
    return " ".join("".join(parts).split())


def _gather(element: etree._Element, parts: list[str]) -> None:
    """Recursion is safe: the tree builder refuses more than 256 levels."""
    if element.text:
        parts.append(element.text)
    for child in element:
        tag = child.tag
        if tag in _BREAKS:
            parts.append(" ")
        if tag not in _UNSEEN and not is_hidden(child):
            _gather(child, parts)
        if child.tail:
            parts.append(child.tail)


def is_hidden(element: etree._Element) -> bool:
    """Is an element one of the hidden sort keys?"""
    classes = element.get("class")
    return classes is not None and "hidden" in classes and "hidden" in classes.split()


def hidden_text(cell: etree._Element) -> str | None:
    """The hidden sort key of a cell; None if it has none."""
    for child in cell:
        if is_hidden(child):
            return " ".join("".join(map(str, child.itertext())).split())
    return None


def cell_texts(cell: etree._Element) -> tuple[str, str | None]:
    """(visible text, hidden sort key or None) of a cell."""
    if len(cell) == 1:  # LiveRC's form: a hidden element, then the visible text
        child = cell[0]
        if not len(child) and is_hidden(child):
            return " ".join(f"{cell.text or ''} {child.tail or ''}".split()), " ".join((child.text or "").split())
    return visible_text(cell), hidden_text(cell)
