"""Applies a compiled contract to a page's tree: identity first, then fields, parts and rows, as plain values by name.

What is required and not there raises `FIELD_MISSING`, what is there and not understood `FIELD_INVALID`; both name page
type, field, selector and URL. Records are made of the values elsewhere (`readers`).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from lxml import etree
from msgspec import Struct

from pipeline.errors import Kind, ParseError
from pipeline.liverc.contract import Contract, Field, Part, Selector, header_key
from pipeline.liverc.markup import CutPage, cell_texts, unrecognised, visible_text
from pipeline.liverc.urls import PageRef

Values = dict[str, Any]


class PartValues(Struct, frozen=True):
    """One block of a page: its own fields and its rows.

    A row also holds `heading` (the text of the heading row above it, if the contract has such) and `hidden_mismatches`
    (fields whose hidden sort key differs from what is shown).
    """

    fields: Values
    rows: tuple[Values, ...]


class PageValues(Struct, frozen=True):
    fields: Values
    parts: dict[str, tuple[PartValues, ...]]


def extract(page: CutPage, contract: Contract) -> PageValues:
    """All values of a page. Raises `ParseError` with PAGE_UNRECOGNISED, FIELD_MISSING or FIELD_INVALID."""
    check_identity(page, contract)
    refuse_shortened(page)
    parts = {part.name: _parts(part, page) for part in contract.parts}  # first: a missing table says more than a name
    fields = {field.name: _value(field, page.root, page.ref) for field in contract.fields}
    return PageValues(fields, parts)


def check_identity(page: CutPage, contract: Contract) -> None:
    if not any(title.search(page.title) for title in contract.titles):
        raise unrecognised(page.ref, "it does not carry LiveRC's title")
    if contract.identity_any and not contract.identity_any.find(page.root):
        raise unrecognised(page.ref, "it is a page of LiveRC, but of another type")
    if contract.identity_none and contract.identity_none.find(page.root):
        raise unrecognised(page.ref, "it is a page of LiveRC, but of another type")


# ---------------------------------------------------------------- pages saved by a browser

_PAGER: Callable[[etree._Element], Any] = etree.XPath(
    "//*[contains(@class, 'dataTables_info') or contains(@class, 'dt-info')"
    " or contains(@class, 'paginate_button') or contains(@class, 'dt-paging-button')]",
    smart_strings=False,
)
_SHOWING = re.compile(r"([0-9,]+) to ([0-9,]+) of ([0-9,]+)")


def refuse_shortened(page: CutPage) -> None:
    """A browser's "Save as" keeps only the rows its table widget shows at the time: 10 events of 100. Refuse that."""
    if not page.has_table_widget:
        return
    for element in _PAGER(page.root):
        label = visible_text(element)
        showing = _SHOWING.search(label)
        if showing:
            first, last, total = (int(number.replace(",", "")[:9] or "0") for number in showing.groups())
            short = "filtered from" in label or max(last - first + 1, 0) < total
        else:
            short = label.isdecimal() and label != "1"  # the button of a second page
        if short:
            raise unrecognised(page.ref, f"it was saved by a browser and lacks rows ({_quote(label)})")


# ---------------------------------------------------------------- parts and rows


def _parts(part: Part, page: CutPage) -> tuple[PartValues, ...]:
    blocks = part.at.find(page.root)
    if not blocks and part.required:
        raise missing(page.ref, part.name, part.at.source)
    if part.only_first:
        blocks = blocks[:1]
    return tuple(
        PartValues(
            {field.name: _value(field, block, page.ref) for field in part.fields}, tuple(_rows(part, block, page.ref))
        )
        for block in blocks
    )


def _rows(part: Part, block: etree._Element, ref: PageRef) -> list[Values]:
    if part.rows is None:
        return []
    columns, width = _columns(part, block)
    plan = [(field, _index(field, columns, ref)) for field in part.row_fields]
    heading: str | None = None
    rows = []
    for element in part.rows.at.find(block):
        if part.rows.heading:
            titles = part.rows.heading.find(element)
            if titles:
                heading = visible_text(titles[0]) or None
                continue
        cells = list(element)
        if width and len(cells) != width:  # then nobody knows which cell stands under which title
            raise invalid(ref, part.name, part.rows.at.source, f"{len(cells)} cells", f"there are {width} columns")
        rows.append(_row(plan, element, cells, heading, ref))
    return rows


def _columns(part: Part, block: etree._Element) -> tuple[dict[str, int], int]:
    """(header text → index of the cell, number of columns); without a header, none."""
    header = part.rows.header.find(block) if part.rows and part.rows.header else []
    columns: dict[str, int] = {}
    index = 0
    for cell in header[0] if header else ():
        columns.setdefault(header_key(visible_text(cell)), index)
        index += _span(cell)
    return columns, index


def _span(cell: etree._Element) -> int:
    span = cell.get("colspan") or "1"
    return int(span) if re.fullmatch("[1-9][0-9]?", span) else 1


def _index(field: Field, columns: dict[str, int], ref: PageRef) -> int | None:
    """Which cell a field stands in; -1 if its column is not there, None if it is no column."""
    if not field.columns:
        return None
    for title in field.columns:
        if title in columns:
            return columns[title]
    if (field.required or field.present) and field.elsewhere is None:
        raise missing(ref, field.name, field.source)
    return -1


def _row(
    plan: list[tuple[Field, int | None]],
    element: etree._Element,
    cells: list[etree._Element],
    heading: str | None,
    ref: PageRef,
) -> Values:
    values: Values = {"heading": heading}
    mismatches: list[str] = []
    for field, index in plan:
        if index is None:
            values[field.name] = _value(field, element, ref)
        elif index < 0:
            values[field.name] = None
        elif field.check_hidden:
            values[field.name], differs = _checked_value(field, cells[index], ref)
            if differs:
                mismatches.append(field.name)
        else:
            values[field.name] = _value(field, cells[index], ref, lenient=field.elsewhere is not None)
        if values[field.name] is None and field.elsewhere is not None:  # its cell is empty, or it has none
            values[field.name] = _value(field, element, ref, field.elsewhere)
    values["hidden_mismatches"] = tuple(mismatches)
    return values


def _checked_value(field: Field, cell: etree._Element, ref: PageRef) -> tuple[Any, bool]:
    """(value shown, does the cell's hidden sort key say something else?)"""
    shown, key = cell_texts(cell)
    value = _convert(field, shown, ref)
    if value is None and field.required:
        raise missing(ref, field.name, field.source)
    if key is None or key == shown:
        return value, False
    try:
        return value, bool(field.convert(key) != value)
    except ValueError:
        return value, True


# ---------------------------------------------------------------- one value


def _value(
    field: Field, context: etree._Element, ref: PageRef, elsewhere: Selector | None = None, *, lenient: bool = False
) -> Any:
    """The value of a field in a context. Raises `ParseError` where it must be there; `lenient`: not yet."""
    selector = elsewhere or field.selector
    if selector is None:
        value = _convert(field, visible_text(context), ref)
    else:
        found = selector.find(context)
        if field.many:
            values = (_convert(field, _text(item), ref) for item in found)
            return tuple(value for value in values if value is not None)
        if not found and field.present and not lenient:
            raise missing(ref, field.name, field.source)
        value = _convert(field, _text(found[0]), ref) if found else None
    if value is None and field.required and not lenient:
        raise missing(ref, field.name, field.source)
    return value


def _text(found: etree._Element | str) -> str:
    """An XPath finds elements, or attributes and texts."""
    return " ".join(found.split()) if isinstance(found, str) else visible_text(found)


def _convert(field: Field, text: str, ref: PageRef) -> Any:
    if field.patterns:
        match = next(filter(None, (pattern.search(text) for pattern in field.patterns)), None)
        if match is None:
            return None
        text = match[1].strip()
    try:
        return field.convert(text)
    except ValueError as error:
        raise invalid(ref, field.name, field.source, text, str(error)) from None


def missing(ref: PageRef, field: str, selector: str) -> ParseError:
    return ParseError(
        Kind.FIELD_MISSING,
        f"{ref.url}: the {ref.page_type} page has no {field} (looked for {selector}).",
        page_type=str(ref.page_type),
        field=field,
        selector=selector,
        url=ref.url,
    )


def invalid(ref: PageRef, field: str, selector: str, value: str, why: str) -> ParseError:
    quoted = _quote(value)
    return ParseError(
        Kind.FIELD_INVALID,
        f"{ref.url}: {field} of the {ref.page_type} page reads {quoted!r}: {why}.",
        page_type=str(ref.page_type),
        field=field,
        selector=selector,
        value=quoted,
        url=ref.url,
    )


_TAG = re.compile(r"<[^>]*>?")


def _quote(text: str) -> str:
    """A value fit for a message: short, and never markup."""
    plain = " ".join(_TAG.sub(" ", text[:400]).split())
    return plain if len(plain) <= 60 else plain[:59] + "…"
