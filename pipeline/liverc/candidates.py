"""Ways to say where an element stands, the sturdy ones first: by class, by attribute, by label, by position.

A candidate is an XPath in the notation of contracts (`class('x')`), from a context (the page, a block, a row) to an
element, one of its attributes or its own text. Which candidate is right, others vote on.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import Any

from lxml import etree

from pipeline.liverc.contract import expand, matches
from pipeline.liverc.markup import is_hidden, visible_text
from pipeline.liverc.structure import stable

_CLASS = re.compile(r"[A-Za-z0-9_-]+")
_GENERIC = re.compile(r"row|col(-.*)?|clearfix|text-.*|pull-.*|small|h[0-9]|panel-body|container.*|table|table-.*")
_LABEL_LENGTH = 40
_VALUE_ELEMENTS = 25  # elements that one value is made of at most


@lru_cache(maxsize=4096)
def compiled(source: str) -> etree.XPath:
    return etree.XPath(expand(source), smart_strings=False)


def select(source: str, context: etree._Element) -> list[Any]:
    """What a candidate finds in a context."""
    return matches(compiled(source), context)


def first_text(source: str, context: etree._Element) -> str | None:
    """The text of the first thing that a candidate finds; None where it finds nothing."""
    found = select(source, context)
    if not found:
        return None
    return text_of(found[0])


def text_of(found: Any) -> str:
    return visible_text(found) if isinstance(found, etree._Element) else " ".join(str(found).split())


def ways_to(element: etree._Element, context: etree._Element, *, absolute: bool = False) -> Iterator[str]:
    """XPaths from a context to an element below it, sturdiest first. `absolute`: from the page's root."""
    below = "//" if absolute else ".//"
    tag = str(element.tag)
    if element is context:
        yield "."
        return
    marks = list(_marks(element))
    for mark in marks:
        yield f"{below}{tag}[{mark}]"
    parent = element.getparent()
    for mark in marks:
        if parent is not None and parent is not context:
            yield from (f"{below}{parent.tag}[{of}]/{tag}[{mark}]" for of in _marks(parent))
    label = _label(element)
    if label is not None:
        yield f"{below}*[normalize-space()={quoted(label)}]/following-sibling::*[1][self::{tag}]"
    if parent is not None:
        for of in _marks(parent):
            yield f"{below}{parent.tag}[{of}]/{tag}"
            yield f"{below}{parent.tag}[{of}]/{tag}[{_number(element)}]"
            grand = parent.getparent()
            if grand is not None and grand is not context:
                yield from (f"{below}{grand.tag}[{m}]/{parent.tag}[{of}]/{tag}" for m in _marks(grand))
    if not absolute:
        yield f"{below}{tag}"
        yield stepwise(element, context)
    elif tag in ("h1", "h2", "h3", "h4", "h5", "address"):
        yield f"//{tag}"


def ways_to_value(context: etree._Element, test: Callable[[str], bool], *, absolute: bool = False) -> Iterator[str]:
    """XPaths to every place in a context whose text, own text or attribute passes a test; in the page's order."""
    for element, is_small in _with_size(context):
        if (
            is_small
            and test(visible_text(element))
            and not any(test(visible_text(child)) for child in element if not is_hidden(child))
        ):
            yield from ways_to(element, context, absolute=absolute)
        elif len(element) and any(test(" ".join(piece.split())) for piece in _own_texts(element)):
            yield from (f"{way}/text()[normalize-space()]" for way in ways_to(element, context, absolute=absolute))
        for name, value in _attributes(element):
            if test(value):
                yield from (f"{way}/@{name}" for way in ways_to(element, context, absolute=absolute))


def _with_size(context: etree._Element) -> Iterator[tuple[etree._Element, bool]]:
    """Every element below a context, and whether it is small enough to be one value."""
    elements = list(context.iter(etree.Element))
    size: dict[etree._Element, int] = {}
    for element in reversed(elements):
        size[element] = 1 + sum(size.get(child, 0) for child in element)
    return ((element, size[element] <= _VALUE_ELEMENTS) for element in elements)


def _attributes(element: etree._Element) -> Iterator[tuple[str, str]]:
    for name, value in element.attrib.items():
        if str(name) not in ("style", "id"):
            yield str(name), " ".join(str(value).split())


def stepwise(element: etree._Element, context: etree._Element) -> str:
    """The way down step by step, `td[3]/span`."""
    steps: list[str] = []
    node: etree._Element | None = element
    while node is not None and node is not context:
        parent = node.getparent()
        alone = parent is None or sum(other.tag == node.tag for other in parent) == 1
        steps.append(str(node.tag) if alone else f"{node.tag}[{_number(node)}]")
        node = parent
    return "/".join(reversed(steps))


def tags_down(element: etree._Element, context: etree._Element) -> str:
    """The way down by tags alone, `tbody/tr`: for elements that repeat."""
    return re.sub(r"\[[0-9]+\]", "", stepwise(element, context))


def quoted(text: str) -> str:
    """An XPath string."""
    if "'" not in text:
        return f"'{text}'"
    if '"' not in text:
        return f'"{text}"'
    pieces = ', "\'", '.join(f"'{piece}'" for piece in text.split("'"))
    return f"concat({pieces})"


def _marks(element: etree._Element) -> Iterator[str]:
    """What tells an element apart, as XPath tests: its classes, ids without numbers, names of data attributes."""
    classes = [name for name in (element.get("class") or "").split() if stable(name) and _CLASS.fullmatch(name)]
    for name in sorted(classes, key=lambda name: _GENERIC.fullmatch(name) is not None):
        if not re.search("[0-9]{2}", name):
            yield f"class('{name}')"
    marked = element.get("id")
    if marked and not re.search("[0-9]", marked) and "'" not in marked:
        yield f"@id='{marked}'"
    for name in map(str, element.attrib):
        if name.startswith("data-") or name in ("itemprop", "role", "headers"):
            yield f"@{name}"


def _label(element: etree._Element) -> str | None:
    """The text of the element before, where it is short and fixed enough to name this one."""
    before = element.getprevious()
    if before is None or before.tag not in ("th", "dt", "strong", "b", "label", "abbr", "span", "small"):
        return None
    text = visible_text(before)
    return text if 0 < len(text) <= _LABEL_LENGTH and not re.search("[0-9]", text) else None


def _own_texts(element: etree._Element) -> Iterable[str]:
    yield element.text or ""
    for child in element:
        yield child.tail or ""


def _number(element: etree._Element) -> int:
    """Which of its parent's children of the same tag an element is, from 1."""
    return 1 + sum(1 for _ in element.itersiblings(str(element.tag), preceding=True))
