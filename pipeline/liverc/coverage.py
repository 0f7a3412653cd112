"""How well a page's fields are there: how many of their places hold a value, found by which selector, in what shape.

A required field that is missing fails the page by itself. An optional one vanishes in silence, so it is measured: on
its own page, and against the pages read before. What is measured here never decides alone; `pipeline.suspicions` says
what makes a page doubtful.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct

from pipeline.liverc.contract import Contract, Field
from pipeline.liverc.structure import Fingerprint, counts, fingerprint_of
from pipeline.liverc.trace import NOWHERE, Sighting, Trace, trace
from pipeline.liverc.urls import PageRef

SHAPES_KEPT = 6
_PROVEN_PAGES = 5  # pages that must have shown a field before its absence says anything
_PROVEN_VALUES = 20  # likewise values before a new shape does
_FEW = 3  # places below which a share says nothing
_FREE = frozenset({"text", "name", "shown", "flag"})  # converters that take any text: its shape says nothing
_SHAPED = frozenset({"behind", "completed", "transponder"})  # but these are written in one way


class FieldReading(Struct, frozen=True):
    """One field of one page."""

    field: str  # as in the contract; `script.NAME` and `script.laps.NAME` for keys of the lap script
    looked: int  # places where it could stand: the page, the blocks, the rows
    placed: int  # where its column or element is
    found: int  # where a value was read
    invalid: int  # where something stands that cannot be understood
    hits: tuple[int, ...]  # per alternative selector: how often it was the one that found
    shapes: tuple[tuple[str, int], ...]  # the commonest shapes of the texts: 9.999, a 9, 9 a 9:9a
    title: str | None = None  # the column's title as shown
    sample: str | None = None  # the first text
    usual: bool = False  # its place is on every known page

    @property
    def share(self) -> float:
        return self.found / self.looked if self.looked else 1.0


Coverage = dict[str, FieldReading]


class Observation(Struct, frozen=True):
    """Both measures of one page, from one look at it."""

    fingerprint: Fingerprint
    coverage: Coverage


class Fall(Struct, frozen=True):
    """A field that is not there as it was on the pages before."""

    field: str
    kind: str  # coverage, shape
    why: str  # one sentence with numbers


def coverage(body: bytes, ref: PageRef, contract: Contract) -> Coverage:
    """Every field of a page by name. Raises `ParseError(PAGE_UNRECOGNISED)` for what is no HTML page at all."""
    return coverage_of(trace(body, ref, contract))


def observe(body: bytes, ref: PageRef, contract: Contract) -> Observation:
    """Structure and coverage from one look at a page; raises as `coverage`."""
    seen = trace(body, ref, contract)
    return Observation(fingerprint_of(seen), coverage_of(seen))


def coverage_of(seen: Trace) -> Coverage:
    by_field: dict[str, list[Sighting]] = {field.name: [] for field in _fields(seen.contract)}
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
    readings = {name: _reading(name, sightings) for name, sightings in by_field.items()}
    readings.update((one.field, one) for one in _script(seen))
    return readings


def _fields(contract: Contract) -> Iterator[Field]:
    yield from contract.fields
    for part in contract.parts:
        yield from part.fields
        yield from part.row_fields


def _reading(name: str, sightings: Sequence[Sighting]) -> FieldReading:
    texts = [one.text for one in sightings if one.found or one.error]
    hits = Counter(one.alternative for one in sightings if one.found and one.alternative != NOWHERE)
    return FieldReading(
        field=name,
        looked=len(sightings),
        placed=sum(one.place for one in sightings),
        found=sum(one.found for one in sightings),
        invalid=sum(one.error is not None for one in sightings),
        hits=tuple(hits[index] for index in range(max(hits, default=NOWHERE) + 1)),
        shapes=tuple(Counter(map(shape, texts)).most_common(SHAPES_KEPT)),
        title=next((one.title for one in sightings if one.title), None),
        sample=texts[0][:80] if texts else None,
        usual=bool(sightings and sightings[0].field.usual),
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
            yield FieldReading(prefix + name, len(items), found, found, 0, hits, (), usual=True)


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


# ---------------------------------------------------------------- against the pages before


def falls(past: Iterable[Mapping[str, FieldReading]], now: Mapping[str, FieldReading]) -> tuple[Fall, ...]:
    """Fields that fell away, or changed their form, against pages of the same type that were read well.

    Quiet until enough pages are known. A field falls where every known page had it in some share of its places and
    this page has it in less than half of the least; a form changes where most values have one that no page had.
    """
    history: dict[str, list[FieldReading]] = {}
    for page in past:
        for name, reading in page.items():
            if reading.looked:
                history.setdefault(name, []).append(reading)
    found = []
    for name, reading in now.items():
        before = history.get(name, [])
        found += [*_fallen(reading, before), *_reshaped(reading, before)]
    return tuple(found)


def _fallen(now: FieldReading, before: Sequence[FieldReading]) -> Iterator[Fall]:
    comparable = [one for one in before if one.looked >= min(_FEW, now.looked)]
    if len(comparable) < _PROVEN_PAGES or not now.looked:
        return
    floor = min(one.share for one in comparable)
    if floor > 0 and now.share < floor / 2:
        yield Fall(
            now.field,
            "coverage",
            f"{now.field} has a value in {now.found} of {now.looked} places; "
            f"on {len(comparable)} pages before it never had fewer than {floor:.0%}",
        )


def _reshaped(now: FieldReading, before: Sequence[FieldReading]) -> Iterator[Fall]:
    known: Counter[str] = Counter()
    for one in before:
        known.update(dict(one.shapes))
    values = sum(number for _, number in now.shapes)
    strange = [(form, number) for form, number in now.shapes if form not in known]
    if known.total() < _PROVEN_VALUES or len(known) > SHAPES_KEPT or not strange:
        return
    if 2 * sum(number for _, number in strange) > values and (now.field in _SHAPED or _is_number(known)):
        yield Fall(
            now.field,
            "shape",
            f"{now.field} is written {strange[0][0]!r} in {strange[0][1]} of {values} places, "
            f"so far {known.most_common(1)[0][0]!r}",
        )


def _is_number(known: Counter[str]) -> bool:
    return all("9" in form and "a" not in form for form in known)
