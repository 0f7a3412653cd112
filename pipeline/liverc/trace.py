"""Where on a page every field of its contract stands: the search that reading does, noting all and judging nothing.

Reading stops at the first thing that is missing; a trace goes on, so that one look says which fields are still in their
place, by which alternative, and in what shape. Structure, coverage, diff and repair all look at pages through it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
from lxml import etree
from msgspec import Struct

from pipeline.liverc.contract import Contract, Field, Part, Selector, header_key, matches
from pipeline.liverc.lapscript import NAME, read_values, read_values_fast, script_names
from pipeline.liverc.literals import Literal, UnreadableError
from pipeline.liverc.markup import CutPage, cut_page, hidden_text, visible_text
from pipeline.liverc.urls import PageRef

NOWHERE = -1  # the alternative of what was not found


class Sighting(Struct, frozen=True):
    """One field looked for at one place."""

    field: Field
    place: bool  # is there a place for it: its column, or what its selector names
    alternative: int  # which selector of the field found it, 0 being the first; NOWHERE
    node: etree._Element | None  # the element that holds it; of an attribute or a text, the one it belongs to
    text: str
    value: Any = None  # None where the place is empty
    error: str | None = None  # why the text cannot be understood
    title: str | None = None  # the header text above it, as shown
    is_element: bool = True  # an element was found, not an attribute or a text

    @property
    def found(self) -> bool:
        return self.value is not None and self.value != "" and self.error is None


class RowTrace(Struct, frozen=True):
    element: etree._Element
    cells: int
    sightings: tuple[Sighting, ...]


class BlockTrace(Struct, frozen=True):
    """One block of a part: its own fields, its columns, its rows."""

    element: etree._Element
    sightings: tuple[Sighting, ...]
    header: etree._Element | None
    titles: tuple[str, ...]  # of every column, as shown, white space collapsed
    rows: tuple[RowTrace, ...]
    headings: tuple[etree._Element, ...]  # rows that head the rows below them


class PartTrace(Struct, frozen=True):
    part: Part
    alternative: int  # which selector found the blocks
    blocks: tuple[BlockTrace, ...]


class ScriptTrace(Struct, frozen=True):
    """The lap script under whatever keys it was written with."""

    name: str | None  # the variable; None: nothing is assigned to any known one
    blocks: tuple[tuple[str, Literal], ...]  # (driver id, literal)
    error: str | None


class Trace(Struct, frozen=True):
    page: CutPage
    contract: Contract
    titled: bool  # the title is one of this page type
    recognised: bool  # and so is the content
    sightings: tuple[Sighting, ...]  # of the fields that belong to no part
    parts: tuple[PartTrace, ...]
    script: ScriptTrace | None  # None where the contract knows no script

    def every(self) -> Iterator[Sighting]:
        """All sightings, page by page order: the page's own fields, then part by part."""
        yield from self.sightings
        for part in self.parts:
            for block in part.blocks:
                yield from block.sightings
                for row in block.rows:
                    yield from row.sightings


def trace(body: bytes, ref: PageRef, contract: Contract) -> Trace:
    """Look at a page. Raises `ParseError(PAGE_UNRECOGNISED)` for what is no HTML page at all."""
    return trace_page(cut_page(body, ref, script_names(contract.script)), contract)


def trace_page(page: CutPage, contract: Contract) -> Trace:
    root = page.root
    return Trace(
        page=page,
        contract=contract,
        titled=any(title.search(page.title) for title in contract.titles),
        recognised=bool(contract.identity_any is None or contract.identity_any.find(root))
        and not (contract.identity_none and contract.identity_none.find(root)),
        sightings=tuple(one for field in contract.fields for one in _sightings(field, root)),
        parts=tuple(_part(part, root) for part in contract.parts),
        script=_script(page, contract),
    )


def found_by(selector: Selector, context: etree._Element) -> tuple[int, list[Any]]:
    """(which alternative, what it found); (NOWHERE, []) where none finds anything."""
    for index, path in enumerate(selector.paths):
        found = matches(path, context)
        if found:
            return index, found
    return NOWHERE, []


# ---------------------------------------------------------------- parts


def _part(part: Part, root: etree._Element) -> PartTrace:
    alternative, blocks = found_by(part.at, root)
    if part.only_first:
        blocks = blocks[:1]
    elements = [block for block in blocks if isinstance(block, etree._Element)]
    return PartTrace(part, alternative, tuple(_block(part, element) for element in elements))


def _block(part: Part, element: etree._Element) -> BlockTrace:
    own = tuple(one for field in part.fields for one in _sightings(field, element))
    if part.rows is None:
        return BlockTrace(element, own, None, (), (), ())
    header = next(iter(part.rows.header.find(element)), None) if part.rows.header else None
    titles = column_titles(header)
    plan = [(field, _column(field, titles)) for field in part.row_fields]
    rows, headings = [], []
    for row in part.rows.at.find(element):
        if part.rows.heading and part.rows.heading.find(row):
            headings.append(row)
            continue
        cells = list(row)
        sightings = (one for field, index in plan for one in _in_row(field, index, row, cells, titles))
        rows.append(RowTrace(row, len(cells), tuple(sightings)))
    return BlockTrace(element, own, header, titles, tuple(rows), tuple(headings))


def column_titles(header: etree._Element | None) -> tuple[str, ...]:
    """The title above every column; a title over several columns names the first of them."""
    titles: list[str] = []
    for cell in header if header is not None else ():
        span = cell.get("colspan") or "1"
        titles += [visible_text(cell), *[""] * (int(span) - 1 if span.isdigit() and len(span) < 3 else 0)]
    return tuple(titles)


def _column(field: Field, titles: tuple[str, ...]) -> int | None:
    """Which column a field stands in; NOWHERE if there is none of its titles, None if it is no column."""
    if not field.columns:
        return None
    keys = [header_key(title) for title in titles]
    return next((keys.index(wanted) for wanted in field.columns if wanted in keys), NOWHERE)


def in_row(field: Field, row: etree._Element, titles: tuple[str, ...]) -> Iterator[Sighting]:
    """A row's field, where the columns have these titles."""
    return _in_row(field, _column(field, titles), row, list(row), titles)


def own_sightings(field: Field, context: etree._Element) -> Iterator[Sighting]:
    """A field looked for in a context: the page, or a block."""
    return _sightings(field, context)


def _in_row(
    field: Field, index: int | None, row: etree._Element, cells: list[etree._Element], titles: tuple[str, ...]
) -> Iterator[Sighting]:
    if index is None:
        yield from _sightings(field, row)
    elif 0 <= index < len(cells):
        own = list(_sightings(field, cells[index]))
        if field.elsewhere is not None and all(one.value is None and one.error is None for one in own):
            own = list(_selected(field, field.elsewhere, row))
        yield from (msgspec.structs.replace(one, title=titles[index], place=True) for one in own)
    elif index == NOWHERE and field.elsewhere is not None:
        yield from _selected(field, field.elsewhere, row)
    else:
        yield Sighting(field, False, NOWHERE, None, "")


# ---------------------------------------------------------------- one field


def _sightings(field: Field, context: etree._Element) -> Iterator[Sighting]:
    if field.selector is not None:
        yield from _selected(field, field.selector, context)
        return
    yield _sighting(field, 0, context, visible_text(context))


def _selected(field: Field, selector: Selector, context: etree._Element) -> Iterator[Sighting]:
    alternative, found = found_by(selector, context)
    if not found:
        yield Sighting(field, False, NOWHERE, None, "")
        return
    for item in found if field.many else found[:1]:
        if isinstance(item, etree._Element):
            yield _sighting(field, alternative, item, visible_text(item))
        else:
            text = " ".join(str(item).split())
            owner = _owner(selector.paths[alternative], context, text)
            yield msgspec.structs.replace(_sighting(field, alternative, owner, text), is_element=False)


def _owner(path: etree.XPath, context: etree._Element, text: str) -> etree._Element:
    """The element that an attribute or a text belongs to; where it cannot be told, where the search began."""
    source = path.path
    for tail in ("/@", "/text()"):
        head, separator, _ = source.rpartition(tail)
        if not separator or not head or "substring" in source:
            continue
        try:
            owners: Any = context.xpath(head)
        except etree.XPathError:
            continue
        if isinstance(owners, list):
            return next((owner for owner in owners if text in " ".join((*owner.values(), *owner.itertext()))), context)
    return context


def _sighting(field: Field, alternative: int, node: etree._Element, text: str) -> Sighting:
    shown = text
    if field.patterns:
        match = next(filter(None, (pattern.search(text) for pattern in field.patterns)), None)
        if match is None:
            return Sighting(field, True, alternative, node, text)
        text = match[1].strip()
    try:
        return Sighting(field, True, alternative, node, shown, field.convert(text))
    except ValueError as error:
        return Sighting(field, True, alternative, node, shown, error=str(error))


def sort_key(node: etree._Element) -> str | None:
    """The hidden sort key of a cell."""
    return hidden_text(node)


# ---------------------------------------------------------------- the lap script


def _script(page: CutPage, contract: Contract) -> ScriptTrace | None:
    if contract.script is None:
        return None
    if page.script is None:
        return ScriptTrace(None, (), None)
    fast = read_values_fast(page.script)
    if fast is not None:
        return ScriptTrace(NAME, tuple(fast), None)
    for name in contract.script.names:
        try:
            values = read_values(page.script.decode("utf-8"), name)
        except UnreadableError as error:
            return ScriptTrace(name, (), str(error))
        if values is not None:
            return ScriptTrace(name, tuple(values), None)
    return ScriptTrace(None, (), None)
