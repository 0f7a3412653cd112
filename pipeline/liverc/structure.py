"""The structure of what is read from a page, without what it says: two races of two builds and tracks have the same.

Only the consumed part counts: where each block, row and field of the contract stands (tags, classes, names of data
attributes), the column titles, the number of cells, the keys of the lap script. Repeated rows count once. A whole
page's structure would raise an alarm with every advertisement.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator

from lxml import etree
from msgspec import Struct

from pipeline.liverc.contract import Contract, header_key
from pipeline.liverc.outline import outline
from pipeline.liverc.trace import BlockTrace, PartTrace, RowTrace, ScriptTrace, Sighting, Trace, trace
from pipeline.liverc.urls import PageRef, PageType, resolve_href

FIXED, VARYING = "= ", "~ "  # how a line begins: it stands on every page of its type, or where there is a value
_ABOVE = 2  # elements above a block or a field of the page that count as its place


class Fingerprint(Struct, frozen=True):
    """One page's structure as sorted lines `= key: variant` or `~ key: variant`. Equal structure, equal lines.

    `= ` lines stand on every unchanged page of the type, `~ ` lines only where the page has such a value.
    """

    page_type: str
    lines: tuple[str, ...]

    @property
    def fixed(self) -> tuple[str, ...]:
        return tuple(line for line in self.lines if line.startswith(FIXED))

    @property
    def digest(self) -> str:
        """12 hexadecimal digits over what every unchanged page of the type has."""
        return hashlib.sha256("\n".join((self.page_type, *self.fixed)).encode()).hexdigest()[:12]

    def similarity(self, other: Fingerprint) -> float:
        """1.0: the same structure; 0.0: nothing in common. What only one of the pages has a value for is left out."""
        ours, theirs = _by_key(self.lines), _by_key(other.lines)
        same = every = 0
        for key in ours.keys() | theirs.keys():
            left, right = ours.get(key), theirs.get(key)
            if left is None or right is None:
                every += len((left or right or _Lines()).fixed)
            elif left.fixed or right.fixed:
                same += len(left.fixed & right.fixed)
                every += len(left.fixed | right.fixed)
            else:
                same += 1 if left.varying & right.varying else 0
                every += 1
        return same / every if every else 1.0


class StructureChange(Struct, frozen=True):
    """What is different from every page known before."""

    gone: tuple[str, ...]  # lines that every known page has
    new: tuple[str, ...]  # lines that none has

    def __bool__(self) -> bool:
        return bool(self.gone or self.new)


class _Lines(Struct):
    fixed: set[str] = set()
    varying: set[str] = set()


def fingerprint(body: bytes, ref: PageRef, contract: Contract) -> Fingerprint:
    """The structure of a page. Raises `ParseError(PAGE_UNRECOGNISED)` for what is no HTML page at all."""
    return fingerprint_of(trace(body, ref, contract))


def changes(known: Iterable[Fingerprint], now: Fingerprint) -> StructureChange:
    """How a page differs from pages that were read well. Without known pages nothing is different.

    A line is new if its key is known with other variants only, or is a fixed one that nobody has; a fixed line is gone
    if every known page has it. What a page happens to have no value for is not gone.
    """
    pages = [_by_key(one.lines) for one in known]
    if not pages:
        return StructureChange((), ())
    ours = _by_key(now.lines)
    seen: dict[str, set[str]] = {}
    for page in pages:
        for key, lines in page.items():
            seen.setdefault(key, set()).update(lines.fixed, lines.varying)
    new = [
        line
        for key, lines in ours.items()
        for line in lines.fixed | lines.varying
        if line not in seen.get(key, set()) and (key in seen or line in lines.fixed)
    ]
    always = set.intersection(*({line for lines in page.values() for line in lines.fixed} for page in pages))
    have = {line for lines in ours.values() for line in lines.fixed}
    scopes = {_scope(key) for key in ours}
    gone = [line for line in always - have if _scope(_key(line)) in scopes]
    return StructureChange(tuple(sorted(gone)), tuple(sorted(new)))


def skeleton(body: bytes, ref: PageRef) -> tuple[str, ...]:
    """A whole page's content as indented lines: repeated elements once (`×12`), what changes by itself left out."""
    return tuple(line.text for line in outline(body, ref).lines)


# ---------------------------------------------------------------- from a trace


def fingerprint_of(seen: Trace) -> Fingerprint:
    lines = {line for one in seen.sightings for line in _page_field(one)}
    for part in seen.parts:
        lines.update(_part(part, seen))
    if seen.script is not None:
        lines.update(_script(seen.script))
    return Fingerprint(str(seen.contract.page_type), tuple(sorted(lines)))


def _page_field(one: Sighting) -> Iterator[str]:
    field = one.field
    if one.node is None or field.many or not one.is_element:  # lists and loose texts take many forms
        return
    marked = FIXED if field.required else VARYING
    yield f"{marked}{field.name}: {_place(one.node)}"


def _part(part: PartTrace, seen: Trace) -> Iterator[str]:
    name = part.part.name
    for block in part.blocks:
        rows = [row for row in block.rows if counts(row, seen)]
        if not rows and not part.part.required:
            continue
        yield f"{FIXED}{name}/: {_place(block.element)}"
        for one in block.sightings:
            if one.node is not None and one.place:
                marked = FIXED if one.field.required else VARYING
                yield f"{marked}{name}/{one.field.name}: {_path(one.node, block.element)}"
        yield from _columns(name, block)
        yield from (line for row in rows for line in _row(name, row, bool(block.titles)))


def _columns(name: str, block: BlockTrace) -> Iterator[str]:
    if block.header is None:
        return
    yield f"{FIXED}{name}/columns: {len(block.titles)} in {_path(block.header, block.element)}"
    for number, title in enumerate(block.titles, 1):
        yield f"{FIXED}{name}/column {number}: {header_key(title)}"


def _row(name: str, row: RowTrace, titled: bool) -> Iterator[str]:
    yield f"{FIXED}{name}/row: {signature(row.element)}"
    yield f"{FIXED}{name}/cells: {row.cells}"
    for one in row.sightings:
        if one.node is None or not one.found:
            continue
        fixed = one.field.required and not one.field.columns
        inside = _path(one.node, row.element, numbered=not titled)
        if one.node.tag in ("td", "th"):
            inside += "{" + " ".join(sorted({signature(child) for child in one.node if child.tag != "br"})) + "}"
        yield f"{FIXED if fixed else VARYING}{name}/{one.field.name}: {inside}"


def counts(row: RowTrace, seen: Trace) -> bool:
    """Is a row one of those that are read? On an event page the rows that lead to races are."""
    if seen.contract.page_type is not PageType.EVENT:
        return True
    href = next((one.text for one in row.sightings if one.field.name == "href"), "")
    target = resolve_href(href, seen.page.ref) if href else None
    return target is not None and target.page_type is PageType.RACE_RESULT


def _script(script: ScriptTrace) -> Iterator[str]:
    if script.name is None:
        return
    yield f"{FIXED}script/: {script.name}"
    laps: set[str] = set()
    for _, block in script.blocks:
        if isinstance(block, dict):
            yield f"{FIXED}script/block: {' '.join(block)}"
            for value in block.values():
                if isinstance(value, list):
                    laps.update(" ".join(lap) for lap in value if isinstance(lap, dict))
    yield from (f"{VARYING}script/lap: {keys}" for keys in laps)


# ---------------------------------------------------------------- places

_VOLATILE = re.compile(r"in|active|odd|even|first|last|fa|fas|far|fab|fa-.*|sorting.*|dataTable|no-footer|dtr-inline")


def signature(element: etree._Element) -> str:
    """An element as `tag.class[data-name]`: without what differs from page to page or by value."""
    classes = sorted(re.sub(r"[0-9]+", "#", name) for name in (element.get("class") or "").split() if stable(name))
    data = sorted(name for name in map(str, element.attrib) if name.startswith("data-"))
    return "".join((str(element.tag), *("." + name for name in classes), *(f"[{name}]" for name in data)))


def stable(name: str) -> bool:
    """Does a class say what an element is? Icons and the marks of widgets do not."""
    return _VOLATILE.fullmatch(name) is None


def _place(element: etree._Element) -> str:
    """An element with the few above it."""
    parts = [signature(element)]
    above = element.getparent()
    while above is not None and len(parts) <= _ABOVE and above.get("id") != "page-wrapper" and above.tag != "body":
        parts.append(signature(above))
        above = above.getparent()
    return ">".join(reversed(parts))


def _path(element: etree._Element, below: etree._Element, *, numbered: bool = False) -> str:
    """The way down from `below`, itself left out; `numbered`: which child of it comes first."""
    if element is below:
        return "."
    parts: list[str] = []
    node: etree._Element | None = element
    while node is not None and node is not below:
        name = signature(node)
        above = node.getparent()
        if numbered and above is below:
            name += f"({list(below).index(node) + 1})"
        parts.append(name)
        node = above
    return ">".join(reversed(parts))


# ---------------------------------------------------------------- lines


def _key(line: str) -> str:
    return line[len(FIXED) :].partition(": ")[0]


def _scope(key: str) -> str:
    return key.partition("/")[0] if "/" in key else ""


def _by_key(lines: Iterable[str]) -> dict[str, _Lines]:
    keyed: dict[str, _Lines] = {}
    for line in lines:
        of = keyed.setdefault(_key(line), _Lines(set(), set()))
        (of.fixed if line.startswith(FIXED) else of.varying).add(line)
    return keyed
