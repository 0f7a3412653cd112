"""How well a page's fields are there: how many of their places hold a value, found by which selector, in what shape.

A required field that is missing fails the page by itself. An optional one vanishes in silence, so it is measured. What
is measured here decides nothing: `pipeline.suspicions` judges a page by itself, `pipeline.signals` against others.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lxml import etree
from msgspec import Struct

from pipeline.liverc.contract import Contract, Field, Selector
from pipeline.liverc.markup import hidden_text, visible_text
from pipeline.liverc.structure import Fingerprint, counts, fingerprint_of
from pipeline.liverc.trace import NOWHERE, Sighting, Trace, found_by, trace
from pipeline.liverc.urls import PageRef, PageType, resolve_href

SHAPES_KEPT = 6


class FieldReading(Struct, frozen=True):
    """One field of one page."""

    field: str  # as in the contract; `script.NAME` and `script.laps.NAME` for keys of the lap script
    selector: str  # where it is looked for
    looked: int  # where it could stand: the page, the blocks, the rows
    placed: int  # of them with its column or element
    found: int  # of them with a value that can be read
    invalid: int  # of them with something that cannot be understood
    hits: tuple[int, ...]  # per alternative selector: how often it was the one that found
    shapes: dict[str, int]  # the commonest shapes of the texts → how many: 9.999, a 9, 9 a 9:9a
    title: str | None = None  # the column's title as shown
    sample: str | None = None  # the first text
    usual: bool = False  # its place is on every known page
    filled: int = 0  # places where anything stands, also what means nothing

    @property
    def share(self) -> float:
        return self.found / self.looked if self.looked else 1.0


Coverage = dict[str, FieldReading]


class Observation(Struct, frozen=True):
    """Both measures of one page, from one look at it."""

    fingerprint: Fingerprint
    coverage: Coverage


def coverage(body: bytes, ref: PageRef, contract: Contract) -> Coverage:
    """Every field of a page by name. Raises `ParseError(PAGE_UNRECOGNISED)` for what is no HTML page at all."""
    return coverage_of(trace(body, ref, contract))


def observe(body: bytes, ref: PageRef, contract: Contract) -> Observation:
    """Structure and coverage from one look at a page; raises as `coverage`."""
    seen = trace(body, ref, contract)
    return Observation(fingerprint_of(seen), coverage_of(seen))


def coverage_of(seen: Trace) -> Coverage:
    fields = {field.name: field for field in _fields(seen.contract)}
    by_field: dict[str, list[Sighting]] = {name: [] for name in fields}
    for one in seen.sightings:
        by_field[one.field.name].append(one)
    for part in seen.parts:
        for block in part.blocks:
            for one in block.sightings:
                by_field[one.field.name].append(one)
            for row in block.rows:
                if counts(row, seen):
                    for one in row.sightings:
                        by_field[one.field.name].append(one)
    readings = {name: _reading(fields[name], sightings) for name, sightings in by_field.items()}
    readings.update((one.field, one) for one in (*_script(seen), *_beside(seen)))
    return readings


def _fields(contract: Contract) -> Iterator[Field]:
    yield from contract.fields
    for part in contract.parts:
        yield from part.fields
        yield from part.row_fields


def _reading(field: Field, sightings: Sequence[Sighting]) -> FieldReading:
    texts = [one.text for one in sightings if one.found or one.error]
    hits = Counter(one.alternative for one in sightings if one.found and one.alternative != NOWHERE)
    return FieldReading(
        field=field.name,
        selector=field.source,
        looked=len(sightings),
        placed=sum(one.place for one in sightings),
        found=sum(one.found for one in sightings),
        invalid=sum(one.error is not None for one in sightings),
        hits=tuple(hits[index] for index in range(max(hits, default=NOWHERE) + 1)),
        shapes=dict(Counter(map(shape, texts)).most_common(SHAPES_KEPT)),
        title=next((one.title for one in sightings if one.title), None),
        sample=texts[0][:80] if texts else None,
        usual=field.usual,
        filled=sum(bool(one.text) for one in sightings),
    )


def _script(seen: Trace) -> Iterator[FieldReading]:
    """The keys of the lap script: of each block, and of each lap."""
    shape_of = seen.contract.script
    if shape_of is None or seen.script is None or seen.script.name is None:
        return
    blocks = [block for _, block in seen.script.blocks if isinstance(block, dict)]
    laps = [lap for block in blocks for lap in _laps(block, shape_of.racer["laps"]) if isinstance(lap, dict)]
    for prefix, keys, items in (("script.", shape_of.racer, blocks), ("script.laps.", shape_of.lap, laps)):
        for name, alternatives in keys.items():
            present = Counter(index for item in items for index in _first_key(alternatives, item))
            found = sum(present.values())
            hits = tuple(present[index] for index in range(max(present, default=-1) + 1))
            source = " | ".join(alternatives)
            yield FieldReading(prefix + name, source, len(items), found, found, 0, hits, {}, usual=True)


def _beside(seen: Trace) -> Iterator[FieldReading]:
    """What the contract reads nothing from, and what yet tells whether it reads rightly."""
    rows = [row for part in seen.parts for block in part.blocks for row in block.rows if counts(row, seen)]
    cells = Counter(str(row.cells) for row in rows)
    yield FieldReading("cells", "", len(rows), len(rows), len(rows), 0, (), dict(cells.most_common(SHAPES_KEPT)))
    bare = [one for row in rows for one in row.sightings if not one.text and one.node is not None]
    filled = [one.field.name for one in bare if one.node is not None and _has_data(one.node)]
    sample = filled[0] if filled else None
    yield FieldReading("filled_later", "", len(bare), len(bare), 0, len(filled), (), {}, sample=sample)
    page_type = seen.contract.page_type
    if page_type is PageType.EVENT:
        yield from _links(seen)
    if page_type is PageType.ENTRY_LIST:
        yield _name_keys(seen)
        yield _tab_names(seen)
    if page_type is PageType.EVENTS_LISTING:
        yield _name_links(seen)
    if page_type in (PageType.RACE_RESULT, PageType.ENTRY_LIST):
        date = found_by(_DATE, seen.page.root)[1]
        text = visible_text(date[0])[:80] if date else None
        yield FieldReading("event_dates", _DATE.source, 1, len(date[:1]), int(bool(text)), 0, (), {}, sample=text)


def _has_data(cell: etree._Element) -> bool:
    """Does an empty cell carry data for a script to show?"""
    return any(str(name).startswith("data-") and str(value).strip() for name, value in cell.attrib.items())


_BY_EVENT = (PageType.ENTRY_LIST, PageType.OVERALL_RANKING)  # pages whose id is that of their event
_DATE = Selector((etree.XPath("//h5[ancestor::div[contains(@class, 'page-breadcrumb')]]"),), "//h5")


def _links(seen: Trace) -> Iterator[FieldReading]:
    """Links of the event's own tables: to an entry list under an unknown address, to another event's pages."""
    hrefs = [one.text for one in seen.sightings if one.field.name == "links" and one.alternative == 0]
    strange = [
        one.text
        for one in seen.sightings
        if one.field.name == "links" and one.alternative == 0 and one.node is not None
        if "entr" in f"{one.text} {visible_text(one.node)}".lower() and resolve_href(one.text, seen.page.ref) is None
    ]
    own = [one for href in hrefs if (one := resolve_href(href, seen.page.ref)) and one.page_type in _BY_EVENT]
    foreign = [one.url for one in own if one.id != seen.page.ref.id]
    sample = foreign[0] if foreign else None
    yield FieldReading("foreign_links", "", len(own), len(own), len(foreign), 0, (), {}, sample=sample)
    sample = strange[0][:80] if strange else None
    yield FieldReading("unknown_links", "", len(hrefs), len(hrefs), len(strange), 0, (), {}, sample=sample)
    rows = [row for part in seen.parts for block in part.blocks for row in block.rows]
    targets = [one.text for row in rows for one in row.sightings if one.field.name == "href" and one.text]
    listed = [
        href
        for href in targets
        if (ref := resolve_href(href, seen.page.ref)) is not None and ref.page_type is PageType.ENTRY_LIST
    ]
    yield FieldReading("entry_list_rows", "", len(rows), len(rows), len(listed), 0, (), {})


def _name_links(seen: Trace) -> FieldReading:
    """The names of a listing's events, which are all that their cells say."""
    named = [one for one in seen.every() if one.field.name == "event_name" and one.node is not None]
    cells = [
        (one, next((node for node in one.node.iterancestors("td")), None)) for one in named if one.node is not None
    ]
    more = [visible_text(cell) for one, cell in cells if cell is not None and visible_text(cell) != one.text]
    found = len(named) - len(more)
    return FieldReading(
        "name_links", "", len(named), len(named), found, len(more), (), {}, sample=more[0][:80] if more else None
    )


def _tab_names(seen: Trace) -> FieldReading:
    """The tabs of an entry list beside the headings of their classes: the same names in the same order."""
    tabs = [one.text for one in seen.sightings if one.field.name == "tabs" and one.text]
    classes = [one.text for one in seen.every() if one.field.name == "class_name"]
    wrong = [f"{tab} / {name}" for tab, name in zip(tabs, classes, strict=False) if tab.split() != name.split()]
    found, sample = len(tabs) - len(wrong), wrong[0][:80] if wrong else None
    return FieldReading("tab_names", "", len(tabs), len(tabs), found, len(wrong), (), {}, sample=sample)


def _name_keys(seen: Trace) -> FieldReading:
    """Names of an entry list beside the hidden `LAST, FIRST` that they are sorted by."""
    looked, wrong = 0, []
    for one in (one for part in seen.parts for block in part.blocks for row in block.rows for one in row.sightings):
        key = hidden_text(one.node) if one.field.name == "driver_name" and one.node is not None else None
        if key:
            looked += 1
            last, _, first = key.partition(",")
            if f"{first} {last}".split() != one.text.split():
                wrong.append(one.text)
    sample = wrong[0][:80] if wrong else None
    return FieldReading("name_keys", "", looked, looked, looked - len(wrong), len(wrong), (), {}, sample=sample)


def _first_key(alternatives: Sequence[str], item: Mapping[str, Any]) -> tuple[int, ...]:
    return next(((index,) for index, key in enumerate(alternatives) if key in item), ())


def _laps(block: Mapping[str, Any], keys: Sequence[str]) -> list[Any]:
    laps: object = next((block[key] for key in keys if key in block), None)
    return laps if isinstance(laps, list) else []


_SHAPE = re.compile(r"(?P<fraction>(?<=[0-9])[.,][0-9]+)|(?P<number>[0-9]+)|(?P<word>[^\W\d_]+(?: [^\W\d_]+)*)")


def shape(text: str) -> str:
    """The form of a text: `36.589` and `101.2` → `9.999` and `9.9`; `22 Laps` → `9 a`; a name → `a`."""

    def plain(match: re.Match[str]) -> str:
        if match["fraction"]:
            return match["fraction"][0] + "9" * (len(match["fraction"]) - 1)
        return "9" if match["number"] else "a"

    return _SHAPE.sub(plain, text[:60])
