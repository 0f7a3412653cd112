"""Finding the rows of a page by what is known to stand in them: the repeated elements that each hold one key.

A key (a driver's name, the id that a link leads to) may stand in several places of a page. Each place climbs as long as
it is alone with its key; places that climbed alike form a group, and the group that also holds the rows' other known
values is the table, whatever its markup.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from lxml import etree
from msgspec import Struct

from pipeline.liverc.known import KEYS, Wanted
from pipeline.liverc.markup import visible_text

_KEY_ELEMENTS = 12  # elements below one that may still be the place of a key
_ALONE = frozenset({"tr", "li"})  # a page with one row has nobody to be alone from
_STOP = frozenset({"body", "html"})
_GROUPS = 4  # groups whose other values are looked at
_SAMPLE = 12  # rows of a group that are looked at


class RowPlace(Struct, frozen=True):
    """One element that stands for one known row."""

    element: etree._Element
    row: int  # its number among the known rows


def find_rows(root: etree._Element, rows: Sequence[dict[str, Wanted]]) -> tuple[RowPlace, ...]:
    """The elements that stand for known rows, in the page's order; empty where none are found."""
    name = next((key for key in KEYS if rows and key in rows[0]), None)
    if name is None:
        return ()
    anchors = list(_anchors(root, [row[name] for row in rows]))
    holders: defaultdict[etree._Element, set[str]] = defaultdict(set)
    for element, key in anchors:
        node: etree._Element | None = element
        while node is not None:
            holders[node].add(key)
            node = node.getparent()
    lonely = len({key for _, key in anchors}) == 1
    groups: defaultdict[str, list[tuple[list[etree._Element], str]]] = defaultdict(list)
    for element, key in anchors:
        groups[_tags_above(element)].append((list(_alone(element, holders, lonely)), key))
    scored = [_rows_of(group, rows, name) for group in sorted(groups.values(), key=len, reverse=True)[:_GROUPS]]
    return max(scored, key=lambda found: _support(found, rows), default=())


def _anchors(root: etree._Element, keys: Sequence[Wanted]) -> Iterator[tuple[etree._Element, str]]:
    """(element, key) of every place where a key stands; of nested ones the innermost."""
    texts = {key.raw: key.shown for key in keys if key.raw is not None}
    linked = not texts
    ids = {key.shown: key for key in keys}
    for element in root.iter(etree.Element):
        if linked:
            for value in element.attrib.values():
                found = next((one for one in ids if one in str(value) and ids[one].test(str(value))), None)
                if found is not None:
                    yield element, found
                    break
        elif len(element) <= _KEY_ELEMENTS:
            text = visible_text(element) if sum(1 for _ in element.iter()) <= _KEY_ELEMENTS else ""
            if text in texts and not any(visible_text(child) == text for child in element):
                yield element, texts[text]
            elif not text or text not in texts:
                pieces = (element.text or "", *(child.tail or "" for child in element)) if len(element) else ()
                own = next((" ".join(piece.split()) for piece in pieces if " ".join(piece.split()) in texts), None)
                if own:
                    yield element, texts[own]


def _alone(element: etree._Element, holders: dict[etree._Element, set[str]], lonely: bool) -> Iterator[etree._Element]:
    """The element and those above it, as long as they hold no other key."""
    node: etree._Element | None = element
    while node is not None and node.tag not in _STOP and len(holders[node]) == 1:
        yield node
        if lonely and node.tag in _ALONE:
            return
        node = node.getparent()


def _tags_above(element: etree._Element) -> str:
    return "/".join(str(node.tag) for node in (element, *element.iterancestors()))


def _rows_of(
    group: Sequence[tuple[list[etree._Element], str]], rows: Sequence[dict[str, Wanted]], name: str
) -> tuple[RowPlace, ...]:
    """The highest level at which (nearly) every place of a group is still alone, with the known row of each."""
    depths = Counter(depth for chain, _ in group for depth in range(len(chain)))
    level = max((depth for depth, count in depths.items() if count >= 0.8 * len(group)), default=0)
    free: defaultdict[str, list[int]] = defaultdict(list)
    for number, row in enumerate(rows):
        free[row[name].shown].append(number)
    taken: set[etree._Element] = set()
    found = []
    for chain, key in group:
        element = chain[min(level, len(chain) - 1)]
        if element not in taken and free[key]:
            taken.add(element)
            found.append(RowPlace(element, free[key].pop(0)))
    return tuple(found)


def _support(found: Sequence[RowPlace], rows: Sequence[dict[str, Wanted]]) -> int:
    """How many of the rows' known values stand in their elements."""
    total = len(found)
    for place in found[:_SAMPLE]:
        texts = [visible_text(cell) for cell in place.element.iter() if len(cell) < _KEY_ELEMENTS]
        values = [" ".join(str(value).split()) for cell in place.element.iter() for value in cell.attrib.values()]
        total += sum(
            any(wanted.test(text) for text in (*texts, *values))
            for wanted in rows[place.row].values()
            if wanted.value is not None
        )
    return total
