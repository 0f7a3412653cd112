"""Induction of parts: where a block stands now, which elements are its rows, where its column titles are."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from lxml import etree

from pipeline.liverc import induction_fields
from pipeline.liverc.candidates import quoted, select, stepwise, tags_down, ways_to
from pipeline.liverc.contract import Part, header_key
from pipeline.liverc.findings import AMBIGUOUS, LOST, MOVED, OK, SURE, FieldFinding, Finder, Sample
from pipeline.liverc.known import BlockAnswers
from pipeline.liverc.markup import visible_text
from pipeline.liverc.rows import RowPlace, find_rows
from pipeline.liverc.trace import column_titles, found_by
from pipeline.records import EventPage


class Block(NamedTuple):
    """One block of one page, with its known rows where they stand now."""

    sample: Sample
    answers: BlockAnswers
    element: etree._Element
    rows: tuple[tuple[etree._Element, int], ...]  # (row element, number of the known row)
    titles: tuple[str, ...] = ()


def part(finder: Finder, of: Part) -> None:
    """Find a part's blocks, rows and columns, then its fields."""
    blocks = [block for sample in finder.samples for block in _blocks(sample, of)]
    known = sum(len(one.rows) for sample in finder.samples for one in sample.answers.parts[of.name])
    if not blocks:
        if known:
            finder.note(
                _finding(of.name, LOST, of.at.source, None, 0, known, "none of the known rows stands on the page")
            )
        return
    blocks = _place_blocks(finder, of, blocks)
    if of.rows is None:
        return
    blocks = _place_rows(finder, of, blocks)
    blocks = _place_titles(finder, of, blocks)
    induction_fields.block_fields(finder, of, [(block.element, block.answers) for block in blocks], blocks)
    induction_fields.row_fields(finder, of, blocks)


def _by_link(of: Part) -> bool:
    """Are a part's rows known by what they lead to? Then further rows may stand among them."""
    return any(field.name == "href" for field in of.row_fields)


def _finding(
    name: str, status: str, old: str, new: str | None, support: int, of: int, note: str | None = None
) -> FieldFinding:
    return FieldFinding(name, name, status, old, new, f"{of} known rows", None, support, of, note=note)


# ---------------------------------------------------------------- where the known rows are


def _blocks(sample: Sample, of: Part) -> Iterator[Block]:
    """Known rows of all blocks are looked for together: one name may stand in several of them."""
    said = sample.answers.parts[of.name]
    places = find_rows(sample.root, [row for block in said for row in block.rows])
    first = 0
    per_block: list[tuple[BlockAnswers, list[RowPlace], int]] = []
    for block in said:
        last = first + len(block.rows)
        mine = [place for place in places if first <= place.row < last]
        if mine:
            per_block.append((block, mine, first))
        first = last
    elements = {place.element for place in places}
    for block, mine, start in per_block:
        own = {place.element for place in mine}
        around = _around(mine, elements - own, alone=len(per_block) == 1)
        yield Block(sample, block, around, tuple((place.element, place.row - start) for place in mine))


def _around(mine: Sequence[RowPlace], others: set[etree._Element], *, alone: bool) -> etree._Element:
    """The element that holds all rows of a block: a table, or else as much as belongs to this block alone."""
    chains = [[place.element, *place.element.iterancestors()] for place in mine]
    common = [node for node in chains[0] if all(node in chain for chain in chains[1:])]
    inner = common[1] if len(mine) == 1 and len(common) > 1 else common[0]
    table = next((node for node in (inner, *inner.iterancestors()) if node.tag == "table"), None)
    if table is not None:
        return table
    if alone:
        return inner
    for node in inner.iterancestors():
        if any(other in others for other in node.iter()):
            break
        inner = node
    return inner


# ---------------------------------------------------------------- blocks


def _place_blocks(finder: Finder, of: Part, blocks: list[Block]) -> list[Block]:
    """Leave the selector of a part as it is where it finds the blocks, else propose one."""
    inside, total, shadowed = 0, 0, False
    placed = []
    for block in blocks:
        alternative, found = found_by(of.at, block.sample.root)
        found = found[:1] if of.only_first else found
        holder = next((one for one in found if all(_within(row, one) for row, _ in block.rows)), None)
        some = sum(any(_within(row, one) for one in found) for row, _ in block.rows)
        inside += some
        total += len(block.rows)
        shadowed |= alternative >= 0 and not some
        placed.append(block._replace(element=holder) if holder is not None else block)
    if inside >= SURE * total:
        finder.note(_finding(of.name, OK, of.at.source, None, inside, total))
        return placed
    if shadowed or inside:
        note = "an older selector still finds something else on the page: only a new contract can tell them apart"
        finder.note(_finding(of.name, AMBIGUOUS, of.at.source, None, inside, total, note))
        return placed
    exact = not _by_link(of)
    way = next((way for way in _ways_to_blocks(of, blocks) if _hits_blocks(way, of, blocks, exact=exact)), None)
    if way is None:
        finder.note(_finding(of.name, LOST, of.at.source, None, 0, total, "no selector tells its place apart"))
        return blocks
    finder.add(_finding(of.name, MOVED, of.at.source, way, total, total), "part", of.name, "at")
    return blocks


def _within(element: etree._Element, holder: object) -> bool:
    return element is holder or any(node is holder for node in element.iterancestors())


def _ways_to_blocks(of: Part, blocks: Sequence[Block]) -> Iterator[str]:
    block = blocks[0]
    titles = [title for field in of.row_fields if field.required for title in field.columns]
    shown = {header_key(visible_text(cell)): visible_text(cell) for cell in block.element.iter("th", "dt")}
    yield from ways_to(block.element, block.sample.root, absolute=True)
    for title in titles:
        if title in shown and block.element.tag == "table":
            yield f"//table[.//th[normalize-space()={quoted(shown[title])}]]"
    row = block.rows[0][0]
    for inner in row.iter():
        for way in ways_to(inner, row):
            if "class(" in way and not re.search(r"\[[0-9]+\]", way):
                yield f"//{block.element.tag}[{way}]"


def _hits_blocks(way: str, of: Part, blocks: Sequence[Block], *, exact: bool) -> bool:
    for sample in dict.fromkeys(id(block.sample) for block in blocks):
        mine = [block.element for block in blocks if id(block.sample) == sample]
        root = next(block.sample.root for block in blocks if id(block.sample) == sample)
        try:
            found = select(way, root)
        except etree.XPathError:
            return False
        if of.only_first:
            found, mine = found[:1], mine[:1]
        if (found != mine) if exact else not set(mine) <= set(found):
            return False
    return True


# ---------------------------------------------------------------- rows


def _place_rows(finder: Finder, of: Part, blocks: list[Block]) -> list[Block]:
    assert of.rows is not None
    name = f"{of.name}.rows"
    exact = not _by_link(of)
    now = [found_by(of.rows.at, block.element)[1] for block in blocks]
    right, total = _rows_right(blocks, now, exact=exact)
    if right >= SURE * total:
        return [_as_selected(block, found) for block, found in zip(blocks, now, strict=True)]
    if any(now):
        usable = [_as_selected(block, found) for block, found in zip(blocks, now, strict=True)]
        note = "an older selector still finds other rows"
        finder.note(_finding(name, AMBIGUOUS, of.rows.at.source, None, right, total, note))
        return usable
    for way in _ways_to_rows(blocks):
        found = [select(way, block.element) for block in blocks]
        right, total = _rows_right(blocks, found, exact=exact)
        if right >= SURE * total:
            way = _with_headings(finder, of, blocks) or way
            finder.add(_finding(name, MOVED, of.rows.at.source, way, right, total), "part", of.name, "rows", "at")
            return blocks
    finder.note(_finding(name, LOST, of.rows.at.source, None, 0, total, "no selector tells the rows apart"))
    return blocks


def _with_headings(finder: Finder, of: Part, blocks: Sequence[Block]) -> str | None:
    """Where headings stand between the rows: a way to both, and the heading into the addition; None without any."""
    if of.rows is None or of.rows.heading is None:
        return None
    tests: Counter[str] = Counter()
    ways: set[str] = set()
    headed = 0
    for block in blocks:
        record = block.sample.page.record
        rows = {element for element, _ in block.rows}
        for element, number in block.rows:
            round_ = record.races[number].round if isinstance(record, EventPage) else None
            above = next((one for one in element.itersiblings(preceding=True) if one not in rows), None)
            headed += round_ is not None
            if round_ is not None and above is not None and visible_text(above) == round_:
                tests[_itself(above)] += 1
                ways.add(tags_down(element, block.element).rpartition("/")[0])
    if not tests or tests.most_common(1)[0][1] < SURE * headed or len(ways) != 1:
        return None
    finder.widen(tests.most_common(1)[0][0], "part", of.name, "rows", "heading")
    return "/".join(filter(None, (ways.pop(), "*")))


def _itself(element: etree._Element) -> str:
    """A test that an element passes on itself."""
    mark = next((way for way in ways_to(element, element.getparent()) if "class(" in way), None)  # type: ignore[arg-type]
    return f"self::{element.tag}{mark[mark.index('[') :]}" if mark else f"self::{element.tag}"


def _as_selected(block: Block, found: Sequence[etree._Element]) -> Block:
    """The known rows as the elements that the selector gives: it may stop further in or further out."""
    selected = set(found)
    rows = []
    for element, number in block.rows:
        inner = [one for one in element.iter() if one in selected]
        outer = [one for one in element.iterancestors() if one in selected]
        rows += [(one, number) for one in (*inner[:1], *outer[:1])][:1]
    return block._replace(rows=tuple(rows) or block.rows)


def _rows_right(blocks: Sequence[Block], found: Sequence[Sequence[object]], *, exact: bool) -> tuple[int, int]:
    right = total = 0
    for block, some in zip(blocks, found, strict=True):
        selected = set(some)
        hit = sum(
            any(one in selected for one in (*row.iter(), *row.iterancestors())) and bool(selected)
            for row, _ in block.rows
        )
        right += hit
        total += max(len(block.rows), len(some)) if exact else len(block.rows)
    return right, total


def _ways_to_rows(blocks: Sequence[Block]) -> Iterable[str]:
    block = next((block for block in blocks if len(block.rows) > 1), blocks[0])
    row = block.rows[-1][0]
    ways = dict.fromkeys(
        [
            *(way for way in ways_to(row, block.element) if not re.search(r"\[[0-9]+\]", way) and "sibling" not in way),
            tags_down(row, block.element),
        ]
    )
    return [way for way in ways if way not in (".", ".//div", ".//span")]


# ---------------------------------------------------------------- titles


def _place_titles(finder: Finder, of: Part, blocks: list[Block]) -> list[Block]:
    assert of.rows is not None
    if of.rows.header is None:
        return blocks
    titled = []
    for block in blocks:
        header = next(iter(of.rows.header.find(block.element)), None)
        titled.append(block._replace(titles=column_titles(header)))
    if any(block.titles for block in titled):
        return _checked(finder, of, titled)
    wanted = {title for field in of.row_fields for title in field.columns}
    for block in titled:
        header = _title_row(block, wanted)
        if header is None:
            continue
        way = next(
            (way for way in ways_to(header, block.element) if "text" not in way), stepwise(header, block.element)
        )
        found = [next(iter(select(way, one.element)), None) for one in titled]
        if all(one is not None and len(wanted & _keys(one)) > 1 for one in found):
            finder.widen(way, "part", of.name, "rows", "header")
            return [block._replace(titles=column_titles(one)) for block, one in zip(titled, found, strict=True)]
    return titled


def _checked(finder: Finder, of: Part, titled: list[Block]) -> list[Block]:
    """Titles over another number of cells say nothing about which cell is which."""
    odd = [(block, len(row)) for block in titled for row, _ in block.rows if len(row) != len(block.titles)]
    if not odd:
        return titled
    block, cells = odd[0]
    note = f"{len(block.titles)} titles stand over {cells} cells: nobody can tell which cell is which"
    rows = sum(len(block.rows) for block in titled)
    old = of.rows.header.source if of.rows and of.rows.header else ""
    finder.note(_finding(f"{of.name}.columns", AMBIGUOUS, old, None, rows - len(odd), rows, note))
    return [block._replace(titles=()) for block in titled]


def _title_row(block: Block, wanted: set[str]) -> etree._Element | None:
    """An element of the block, no row, whose children are known titles."""
    rows = {row for row, _ in block.rows}
    for element in block.element.iter(etree.Element):
        if element not in rows and len(element) > 1 and len(wanted & _keys(element)) > 1:
            return element
    return None


def _keys(element: etree._Element) -> set[str]:
    return {header_key(visible_text(cell)) for cell in element}
