"""The structural shape of a page: which tags with which classes and attributes stand where, and how lines are laid out.

Values do not count, only that they are there; repeated siblings collapse, since a shape is a set.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from lxml import etree

_NAMED = re.compile(r"(?<==)\"[^\"]*\"")
_TEXT = re.compile(r">[^<>]+<")


def tree(body: bytes) -> etree._Element:
    """The whole page as a tree."""
    return etree.fromstring(body, etree.HTMLParser(encoding="utf-8", remove_comments=True))


def paths(body: bytes, *roots: str) -> set[str]:
    """tag.class[@attribute…] paths of all elements under the XPaths `roots`, relative to each of them."""
    page = tree(body)
    found: set[str] = set()
    for root in roots:
        elements = _elements(page, root)
        assert elements, f"the page has no {root}"
        for element in elements:
            _collect(element, f"{root} ", found)
    return found


def _elements(below: etree._Element, xpath: str) -> list[etree._Element]:
    found = below.xpath(xpath)
    assert isinstance(found, list)
    return [element for element in found if isinstance(element, etree._Element)]


def _collect(element: etree._Element, above: str, found: set[str]) -> None:
    if not isinstance(element.tag, str):
        return
    path = above + _step(element)
    found.add(path)
    for child in element:
        _collect(child, path + "/", found)


def _step(element: etree._Element) -> str:
    classes = "".join(f".{name}" for name in sorted((element.get("class") or "").split()))
    attributes = ",".join(f"@{name}" for name in sorted(map(str, element.attrib)) if name != "class")
    return f"{element.tag}{classes}" + (f"[{attributes}]" if attributes else "")


def headings(body: bytes, root: str) -> list[list[str]]:
    """The texts of the `th` cells under `root`, row by row."""
    rows = _elements(tree(body), f"{root}//tr[th]")
    return [[" ".join("".join(map(str, th.itertext())).split()) for th in _elements(row, "th")] for row in rows]


def layout(text: str) -> set[str]:
    """The lines of a piece of page, texts and attribute values blanked: what is left is tags and white space."""
    return {_TEXT.sub(">·<", _NAMED.sub('"·"', f">{line}<"))[1:-1].rstrip("\t") or line for line in text.split("\n")}


def between(body: bytes, first: str, last: str) -> str:
    """The piece of the page from `first` up to `last`."""
    text = body.decode()
    start = text.index(first)
    return text[start : text.index(last, start)]


_STRING = re.compile(r"'((?:[^'\\]|\\.)*)'")
_KEY = re.compile(r"(fastLap|avg|top|std|consistency|driverName|laps|lapNum|pos|time|pace|segments)")


def script_layout(script: str) -> set[str]:
    """The lines of a lap script, tabs and all, with every value blanked and every key kept."""
    lines = set()
    for line in script.split("\n"):
        line = _STRING.sub(lambda m: m[0] if _KEY.match(m[1]) else "'·'", line)
        lines.add(re.sub(r"\d+", "0", line) if "[" in line and "avgTop" not in line else line)
    return lines


def missing(expected: Iterable[str], found: Iterable[str], allowed: Iterable[str] = ()) -> list[str]:
    """What is expected but not found and not allowed to be absent. `allowed` are regular expressions."""
    patterns = [re.compile(pattern) for pattern in allowed]
    return sorted(one for one in set(expected) - set(found) if not any(p.search(one) for p in patterns))
