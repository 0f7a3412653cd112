"""A page's content as a collapsed skeleton: what a person compares when markup has changed.

Elements that repeat stand there once with their number (`×12`), as the union of what they hold; text is left out except
for titles of columns, as are ids, numbers, icons and whatever else differs between two fetches of one page. Every line
knows the elements it stands for, so that a screen can point at the place of a field.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from lxml import etree
from msgspec import Struct

from pipeline.liverc.contract import Contract
from pipeline.liverc.markup import CutPage, cut_page, visible_text
from pipeline.liverc.urls import PageRef

DEPTH_LIMIT = 40
_TITLE_LENGTH = 40
_DROPPED = frozenset({"script", "style", "template", "noscript", "br"})
_STATE = re.compile(r"in|active|odd|even|sorting.*|fa-.*|status_.*")
_KEPT = ("data-", "aria-", "role", "title")  # attributes whose name counts


class OutlineLine(Struct, frozen=True):
    """One line of the skeleton."""

    depth: int
    text: str  # indented by two blanks per level
    count: int  # how many elements it stands for
    elements: frozenset[int]  # their numbers in document order, see `Outline.number_of`


class Outline(Struct, frozen=True):
    lines: tuple[OutlineLine, ...]
    numbers: dict[Any, int]  # element → its number in document order

    def lines_of(self, elements: Iterator[etree._Element] | list[etree._Element]) -> tuple[int, ...]:
        """The lines (from 0) that stand for any of these elements, or for the nearest element above them."""
        wanted = set()
        for element in elements:
            node: etree._Element | None = element
            while node is not None and node not in self.numbers:
                node = node.getparent()
            if node is not None:
                wanted.add(self.numbers[node])
        return tuple(index for index, line in enumerate(self.lines) if line.elements & wanted)


class _Group(Struct):
    """Elements of one signature beside each other, merged."""

    name: str
    members: list[etree._Element]
    children: list[_Group]


def outline(body: bytes, ref: PageRef, contract: Contract | None = None) -> Outline:
    """The skeleton of a page. Raises `ParseError(PAGE_UNRECOGNISED)` for what is no HTML page at all."""
    from pipeline.liverc.lapscript import script_names

    return outline_of(cut_page(body, ref, script_names(contract.script if contract else None)))


def outline_of(page: CutPage) -> Outline:
    start = next(page.root.iter("body"), page.root)
    numbers = {element: number for number, element in enumerate(start.iter(etree.Element))}
    groups = _merge([start], 0)
    lines = list(_lines(groups, 0, numbers))
    lines += _script_lines(page)
    return Outline(tuple(lines), numbers)


def _merge(parents: list[etree._Element], depth: int) -> list[_Group]:
    """The children of several alike parents as groups in order; a group holds every child of its name."""
    if depth > DEPTH_LIMIT:
        return []
    groups: dict[str, _Group] = {}
    order: list[str] = []
    for parent in parents:
        at = 0
        for child in parent:
            if child.tag in _DROPPED:
                continue
            name = _name(child)
            if name not in groups:
                groups[name] = _Group(name, [], [])
                order.insert(at, name)
            groups[name].members.append(child)
            at = order.index(name) + 1
    for group in groups.values():
        group.children = _merge(group.members, depth + 1)
    return [groups[name] for name in order]


def _name(element: etree._Element) -> str:
    """How an element is told from its neighbours: tag, classes, names of attributes; a column's title with its text."""
    classes = [
        re.sub("[0-9]+", "#", name) for name in (element.get("class") or "").split() if not _STATE.fullmatch(name)
    ]
    marks = sorted(str(name) for name in element.attrib if str(name).startswith(_KEPT))
    link = _link(element)
    text = ""
    if element.tag == "th":
        shown = re.sub("[0-9]+", "#", visible_text(element)) if not len(element) else visible_text(element)
        text = f" “{shown[:_TITLE_LENGTH]}”" if shown and element.find(".//*[@class]") is None else ""
    marked = element.get("id") or ""
    named = f"#{marked}" if marked and not re.search("[0-9]", marked) else ""
    tag = str(element.tag) + named
    return "".join((tag, *(f".{name}" for name in classes), *(f"[{name}]" for name in marks), link, text))


def _link(element: etree._Element) -> str:
    """Where a link leads, without ids: which page it names."""
    href = element.get("href") if element.tag == "a" else None
    if not href:
        return ""
    page = re.search(r"[?&]p=(\w+)", href)
    return f"[→{page[1]}]" if page else ""


def _lines(groups: list[_Group], depth: int, numbers: dict[Any, int]) -> Iterator[OutlineLine]:
    for group in groups:
        count = len(group.members)
        times = f" ×{count}" if count > 1 else ""
        members = frozenset(numbers[member] for member in group.members if member in numbers)
        yield OutlineLine(depth, f"{'  ' * depth}{group.name}{times}", count, members)
        yield from _lines(group.children, depth + 1, numbers)


_ASSIGNED = re.compile(r"([A-Za-z_$][\w$]*)\s*\[\s*['\"]?[0-9]+['\"]?\s*\]\s*=\s*\{")
_KEY = re.compile(r"(?:^|[{,])\s*(['\"]?)([A-Za-z_$][\w$]*)\1\s*:", re.MULTILINE)


def _script_lines(page: CutPage) -> Iterator[OutlineLine]:
    """The lap script as one more element: its variable, and the keys that its blocks use."""
    if page.script is None:
        return
    text = page.script.decode("utf-8", "replace")
    names = [match[1] for match in _ASSIGNED.finditer(text)]
    yield OutlineLine(0, "script", 1, frozenset())
    for name in dict.fromkeys(names):
        count = names.count(name)
        yield OutlineLine(1, f"  {name}[#] = {{…}}{f' ×{count}' if count > 1 else ''}", count, frozenset())
    keys = [match[2] for match in _KEY.finditer(text)]
    for key in dict.fromkeys(keys):
        yield OutlineLine(2, f"    {key}:", keys.count(key), frozenset())
