"""Which pages are doubted although they can be read: what they hold, against what pages of their type held lately.

Pure: readings in, doubts out. A reading counts, for each field of a page, the places where a value may stand, the
values that stand there and what they look like. A field may be missing for good reasons, so doubt needs a history in
which practically every page has it, pages where it could stand, and either a structure that was never seen or a whole
run without it.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import NamedTuple

from msgspec import Struct

from pipeline.drift import Doubt
from pipeline.liverc.structure import Fingerprint, StructureChange, changes
from pipeline.records import EventPage, PageRecord, RacePage

COVERED = 0.95  # a field that this share of pages has is expected
FEW_PLACES, FEW_ORIGINS = 20, 2  # so much history it takes where the structure is new, too
MANY_PAGES, MANY_ORIGINS = 20, 5  # and so much where only the values are gone
CHANCE = 0.001  # how likely a series of pages without a field may be by chance, at least, to mean nothing
FEW_VALUES = 5  # below which their shapes say nothing
NEW_SHAPE = 0.5  # share of a run's values in shapes never seen, from which on they are doubted
SHAPES_STRANGE = 0.05  # share of values that one origin alone may have in shapes of its own
STRUCTURE_ORIGINS = 3  # witnesses it takes before a new structure is worth an alert

# How many laps somebody must have driven before a race page can state the field.
_NEEDS_LAPS = {
    "source_driver_id": 1,
    "fast_lap_ms": 1,
    "fast_lap_number": 1,
    "avg_lap_ms": 2,  # the first lap may stand outside the statistics
    "std_deviation": 3,
    "consistency": 3,
    "top_3_consecutive_ms": 4,
    "avg_top_5_ms": 6,
    "avg_top_10_ms": 11,
    "avg_top_15_ms": 16,
}
_NEEDS_STARTERS = {"behind": 2}
LAP_SCRIPT = "lap_script"  # of a race page whose table counts laps
_ONE_EACH = ("track_dashboard",)  # page types of which every origin has one
CERTAIN = (LAP_SCRIPT,)  # what no unchanged run lacks on all of its pages
RACES = "races"  # of an event page that counts laps


class Reading(Struct, frozen=True, array_like=True):
    """What one page says in one field."""

    places: int  # where it could stand: rows, or 1
    placed: int  # of them where its column or element is
    present: int  # of them with a value
    shapes: dict[str, int] = {}  # what the values look like → how many


class PageReading(Struct, frozen=True):
    """One page, as far as signals look at it."""

    page_type: str
    url: str
    origin: str
    digest: str  # of its structure
    lines: tuple[str, ...]  # its structure, in words
    variant: str
    fields: dict[str, Reading]
    build_marker: str | None = None
    sha256: str | None = None  # in the page archive
    usual: frozenset[str] = frozenset()  # fields whose contract says that every page has a place for them
    race_id: str | None = None


class Known(Struct, frozen=True):
    """One page of the history."""

    url: str
    origin: str
    digest: str
    variant: str
    fields: dict[str, Reading]


FIXTURE = "fixture "  # how the origin of a page that came with the program begins


# ---------------------------------------------------------------- what a page can say


def variant_of(record: PageRecord) -> str:
    """Pages of one variant may be expected to hold the same fields: a main is no qualifier."""
    if isinstance(record, RacePage) and record.round:
        return re.sub(r"[\W\d]+", " ", record.round).strip().casefold()
    return ""


def applicable(record: PageRecord, fields: Mapping[str, Reading]) -> dict[str, Reading]:
    """The fields that this page could hold: nobody has an average of fifteen laps who drove ten."""
    if not isinstance(record, RacePage):
        found = {name: reading for name, reading in fields.items() if reading.places}
        if isinstance(record, EventPage) and record.total_race_laps:
            found[RACES] = _yes_or_no(bool(record.races))
        return found
    laps = max((row.laps_completed for row in record.rows), default=0)
    starters = sum(row.laps_completed > 0 for row in record.rows)
    found = {
        name: reading
        for name, reading in fields.items()
        if reading.places and laps >= _NEEDS_LAPS.get(name, 0) and starters >= _NEEDS_STARTERS.get(name, 0)
    }
    if laps:
        found[LAP_SCRIPT] = _yes_or_no(record.has_lap_script)
    return found


def _yes_or_no(is_there: bool) -> Reading:
    return Reading(1, int(is_there), int(is_there))


def kind_of(record: PageRecord) -> tuple[str, bool]:
    """Pages of one kind are built alike, so not all of them need a close look; what they say is checked on each."""
    return variant_of(record), isinstance(record, RacePage) and record.has_lap_script


# ---------------------------------------------------------------- what pages said lately


class Coverage(NamedTuple):
    """How a field stood in a history."""

    pages: int
    covered: int  # of them with at least one value
    places: int
    origins: int

    @property
    def expected(self) -> bool:
        return self.pages > 0 and self.covered >= COVERED * self.pages


class History:
    """The remembered pages of one type."""

    def __init__(
        self,
        pages: Sequence[Known],
        structures: Mapping[str, Sequence[str]],
        earlier: Mapping[str, Known] | None = None,
    ) -> None:
        """
        Args:
            pages: newest first.
            structures: every structure that is known, digest → lines; also those of pages that are forgotten.
            earlier: URL → what that very page said when it was last believed.
        """
        self.pages = pages
        self.structures = structures
        self.earlier = earlier or {}

    def without(self, origin: str) -> History:
        """What other origins taught: a page is no witness for itself, but it may be compared with what it was."""
        others = [page for page in self.pages if page.origin != origin]
        return History(others, self.structures, {page.url: page for page in self.pages if page.origin == origin})

    @property
    def witnesses(self) -> int:
        """Origins that LiveRC itself served."""
        return len({page.origin for page in self.pages if not page.origin.startswith(FIXTURE)})

    def coverage(self, field: str, variant: str | None) -> Coverage:
        """How a field stood in the pages of a variant; None: of all."""
        pages = [p for p in self.pages if field in p.fields and variant in (None, p.variant)]
        return Coverage(
            pages=len(pages),
            covered=sum(page.fields[field].present > 0 for page in pages),
            places=sum(page.fields[field].places for page in pages),
            origins=self._origins(pages),
        )

    def is_common(self, field: str) -> bool:
        """Whether pages of several variants are known, and those of each have the field."""
        variants = {page.variant for page in self.pages if field in page.fields}
        return len(variants) > 1 and all(self.coverage(field, variant).expected for variant in variants)

    @cached_property
    def shapes(self) -> dict[str, Counter[str]]:
        """Field → what its values look like."""
        found: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for page in self.pages:
            for name, reading in page.fields.items():
                found[name].update(reading.shapes)
        return found

    def shapes_by_origin(self, field: str) -> list[Counter[str]]:
        found: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for page in self.pages:
            if field in page.fields:
                found[page.origin].update(page.fields[field].shapes)
        return list(found.values())

    @property
    def is_long(self) -> bool:
        return len(self.pages) >= MANY_PAGES and self._origins(self.pages) >= MANY_ORIGINS

    @staticmethod
    def _origins(pages: Iterable[Known]) -> int:
        return len({page.origin for page in pages})


def novelty(page: PageReading, history: History) -> StructureChange:
    """How a page's structure differs from all that is known."""
    if set(page.lines).issubset(history.structures.get(page.digest, ())):
        return StructureChange((), ())
    known = (Fingerprint(page.page_type, tuple(lines)) for lines in history.structures.values())
    return changes(known, Fingerprint(page.page_type, page.lines))


# ---------------------------------------------------------------- doubts


def doubts(pages: Sequence[PageReading], history: History) -> tuple[Doubt, ...]:
    """What is doubted on the pages of one type that one run read; `history` is of other origins."""
    found = [
        *_gone_with_structure(pages, history),
        *_gone_everywhere(pages, history),
        *_gone_from_itself(pages, history),
        *_gone_by_degrees(pages, history),
    ]
    named = {doubt.field for doubt in found}
    found += (doubt for doubt in _new_shapes(pages, history) if doubt.field not in named)
    return tuple({(doubt.url, doubt.field): doubt for doubt in found}.values())


def _gone_with_structure(pages: Sequence[PageReading], history: History) -> Iterator[Doubt]:
    """A page whose structure nobody has seen lacks what practically every page has."""
    for page in pages:
        change = novelty(page, history)
        if not change:
            continue
        for name in _absent(page):
            certain = name in page.usual and not page.fields[name].placed
            before = history.coverage(name, page.variant)
            if not _enough(before, certain) and history.is_common(name):  # a variant never seen
                before = history.coverage(name, None)
            if _enough(before, certain) and before.expected:
                yield _gone(page, name, before, f"the page has changed ({shown_change(change, limit=1)})")


def shown_change(change: StructureChange, limit: int = 3) -> str:
    """One phrase for people; what is nowhere among the old comes before what has only moved."""
    values = {
        word: {line.partition(": ")[2] for line in lines}
        for word, lines in (("new", change.new), ("gone", change.gone))
    }
    moved = values["new"] & values["gone"]
    said = [(word, line[2:]) for word, lines in (("new", change.new), ("gone", change.gone)) for line in lines]
    said.sort(key=lambda one: one[1].partition(": ")[2] in moved)
    more = f" and {len(said) - limit} more" if len(said) > limit else ""
    return "; ".join(f"{word}: {line}" for word, line in said[:limit]) + more


def _enough(before: Coverage, certain: bool) -> bool:
    """Whether so much history proves a field; any does, where the contract says that its place is on every page."""
    return (
        (certain and before.pages > 0)
        or (before.places >= FEW_PLACES and before.origins >= FEW_ORIGINS)
        or before.origins >= MANY_ORIGINS
    )


def _gone_everywhere(pages: Sequence[PageReading], history: History) -> Iterator[Doubt]:
    """All pages of the run lack what practically every page has, whatever their structure."""
    for name in dict.fromkeys(name for page in pages for name in _absent(page)):
        able = [page for page in pages if name in page.fields]
        if any(page.fields[name].present for page in able):
            continue
        before = history.coverage(name, able[0].variant)
        many = before.pages >= MANY_PAGES and before.origins >= MANY_ORIGINS
        if name in CERTAIN and not many:
            before = history.coverage(name, None)
        if (many or (name in CERTAIN and _enough(before, certain=False))) and before.expected:
            yield _gone(able[0], name, before, f"absent from {_counted(len(able), 'page')} of this run")


def _gone_from_itself(pages: Sequence[PageReading], history: History) -> Iterator[Doubt]:
    """A page with many rows lacks in all of them what it had in most when it was last read."""
    for page in pages:
        before = history.earlier.get(page.url)
        for name in _absent(page) if before is not None else ():
            had = before.fields.get(name) if before is not None else None
            places = page.fields[name].places
            if had is not None and places >= FEW_PLACES and had.places >= FEW_PLACES and 2 * had.present > had.places:
                why = f"{name} is gone from {_counted(places, 'place')}; {had.present} of {had.places} had it before"
                yield _doubt(page, name, "coverage", why)


def _gone_by_degrees(pages: Sequence[PageReading], history: History) -> Iterator[Doubt]:
    """Tracks of which each may have something or not, and of which suddenly none has it any more.

    Only for pages of tracks: those of events come in runs of one club, which does as it always does.
    """
    for page in pages:
        for name in _absent(page) if page.page_type in _ONE_EACH else ():
            known = [one.fields[name].present > 0 for one in history.pages if name in one.fields]
            lately = known.index(True) if True in known else len(known)
            before = known[lately:]
            if sum(before) < MANY_ORIGINS:
                continue
            if (1 - sum(before) / len(before)) ** (lately + 1) < CHANCE:
                why = f"none of the last {lately + 1} pages has {name}; {sum(before)} of {len(before)} before had it"
                yield _doubt(page, name, "coverage", why)


def _absent(page: PageReading) -> Iterator[str]:
    return (name for name, reading in page.fields.items() if not reading.present)


def _gone(page: PageReading, name: str, before: Coverage, how: str) -> Doubt:
    places = page.fields[name].places
    why = f"{name} is gone from {_counted(places, 'place')}: {how}; {before.covered} of the last {before.pages} had it"
    return _doubt(page, name, "coverage", why)


def _doubt(page: PageReading, name: str, kind: str, why: str) -> Doubt:
    return Doubt(
        page_type=page.page_type, url=page.url, field=name, why=why, kind=kind, race_id=page.race_id, sha256=page.sha256
    )


def _new_shapes(pages: Sequence[PageReading], history: History) -> Iterator[Doubt]:
    """Values of a run look like none before, in a field whose values always look alike."""
    if not history.is_long:
        return
    now: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for page in pages:
        for name, reading in page.fields.items():
            now[name].update(reading.shapes)
    for name, shapes in now.items():
        known = history.shapes.get(name, Counter())
        unseen = {shape: count for shape, count in shapes.items() if shape not in known}
        share = sum(unseen.values()) / max(shapes.total(), 1)
        if shapes.total() < FEW_VALUES or share < NEW_SHAPE or not _is_form(known):
            continue
        by_origin = history.shapes_by_origin(name)
        if len(by_origin) < MANY_ORIGINS or any(_strange(some, known) > SHAPES_STRANGE for some in by_origin):
            continue  # every event brings shapes of its own here
        page = next(page for page in pages if name in page.fields and page.fields[name].shapes.keys() & unseen)
        shape = max(unseen, key=lambda one: (unseen[one], one))
        why = (
            f"{name} looks like {shape!r} in {share:.0%} of {_counted(shapes.total(), 'value')}; "
            f"none of {known.total():,} before did"
        )
        yield _doubt(page, name, "shape", why)


def _is_form(shapes: Iterable[str]) -> bool:
    """Whether values are written in a form, as times are; a name may look like anything."""
    return all("9" in shape and not re.search("a", shape.replace(" a", "")) for shape in shapes)


def _strange(some: Counter[str], all_: Counter[str]) -> float:
    """The share of one origin's values whose shapes no other origin has."""
    return sum(count for shape, count in some.items() if all_[shape] == count) / max(some.total(), 1)


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
