"""Voting: which of many ways to a value gives the known one, over all rows and pages."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from lxml import etree

from pipeline.liverc.candidates import first_text, quoted, select, ways_to, ways_to_value
from pipeline.liverc.findings import Vote
from pipeline.liverc.known import Wanted, says_nothing
from pipeline.liverc.markup import visible_text

_LEARN_FROM = 5  # places whose ways become candidates
_ASKED = 80  # places that vote
_CANDIDATES = 60
_AFFIX = 30  # characters that may stand before or after a value


class Place(NamedTuple):
    """Somewhere a value is known: the context it is looked for in, and the answer."""

    context: etree._Element
    wanted: Wanted


def best_way(
    places: Sequence[Place], *, absolute: bool = False, taken: Collection[str] = ()
) -> tuple[Vote | None, Vote | None]:
    """(the best way to the value, the best one to another place); None where there is none.

    Where several ways do equally well the sturdiest counts: to an element that has a mark of its own, without
    positions, alone in its context, and not `taken` for another field.
    """
    telling = spread([place for place in places if place.wanted.value is not None], _ASKED)
    ways: dict[str, None] = {}
    for place in spread(telling, _LEARN_FROM):
        ways.update(dict.fromkeys(ways_to_value(place.context, place.wanted.test, absolute=absolute)))
        ways.update(dict.fromkeys(_affixed(place, absolute=absolute)))
    silent = spread([place for place in places if place.wanted.value is None], _ASKED)
    chosen = sorted(ways, key=cost)[:_CANDIDATES]  # of equals the first on the page
    votes = [one for one in (vote(way, telling, silent) for way in chosen) if one.right]
    votes.sort(
        key=lambda one: (-one.right, is_taken(one.way, taken, telling), cost(one.way) + _shared(one.way, telling))
    )
    if not votes:
        return None, None
    winner = votes[0]
    return winner, next((one for one in votes[1:] if _elsewhere(one.way, winner.way, telling)), None)


def vote(way: str, telling: Sequence[Place], silent: Sequence[Place] = ()) -> Vote:
    """How often a way gives the known value; where the page has nothing it must find nothing."""
    right = 0
    found: str | None = None
    for place in telling:
        text = _text(way, place.context)
        if text is not None and place.wanted.test(text):
            right += 1
            found = found or text
    wrong = sum(not says_nothing(place.wanted.field, _text(way, place.context) or "") for place in silent)
    return Vote(way, max(right - wrong, 0), len(telling), found)


def _text(way: str, context: etree._Element) -> str | None:
    try:
        return first_text(way, context)
    except etree.XPathError:
        return None


def spread(places: Sequence[Place], most: int) -> Sequence[Place]:
    """At most so many, evenly over all."""
    if len(places) <= most:
        return places
    step = len(places) / most
    return [places[int(index * step)] for index in range(most)]


def cost(way: str) -> float:
    """How little a way can be trusted to stand when pages change again."""
    beside = way.replace("/following-sibling::*[1]", "")  # what stands right behind its label
    positions = len(re.findall(r"\[[0-9]+\]", beside))
    named = "class(" in way or "@" in way or "normalize-space()=" in way
    marked = way.endswith("]") or "/@" in way.rpartition("/")[0][-1:] + "/" + way.rpartition("/")[2]
    texts = 0.3 * way.count("/text()")
    hidden = 0.7 if "class('hidden')" in way else 0
    return positions * 2 + (0 if named else 1) + (0 if marked else 0.5) + ("substring" in way) + texts + hidden


def is_taken(way: str, taken: Collection[str], places: Sequence[Place]) -> bool:
    """Does a way lead where another field's does?"""
    return way in taken or any(_same(way, other, place.context) for other in taken for place in places[:1])


def _same(way: str, other: str, context: etree._Element) -> bool:
    try:
        mine, theirs = select(way, context)[:1], select(other, context)[:1]
    except etree.XPathError:
        return False
    return bool(mine) and bool(theirs) and mine[0] is theirs[0]


def _shared(way: str, places: Sequence[Place]) -> float:
    """Does a way find several things, of which the first happened to be right?"""
    try:
        return 0.6 if any(len(select(way, place.context)) > 1 for place in places[:3]) else 0
    except etree.XPathError:
        return 1


def _elsewhere(way: str, other: str, places: Sequence[Place]) -> bool:
    return any(_has_other(way, other, place.context) for place in places[:3])


def _has_other(way: str, other: str, context: etree._Element) -> bool:
    try:
        mine, theirs = select(way, context)[:1], select(other, context)[:1]
    except etree.XPathError:
        return False
    return bool(mine) and bool(theirs) and mine[0] is not theirs[0] and not _nested(mine[0], theirs[0])


def _nested(one: object, other: object) -> bool:
    if not isinstance(one, etree._Element) or not isinstance(other, etree._Element):
        return isinstance(one, str) and isinstance(other, str) and one == other
    return other in one.iter() or one in other.iter()


# ---------------------------------------------------------------- values inside longer texts


def _affixed(place: Place, *, absolute: bool) -> Iterable[str]:
    """Ways to a value with something fixed before or after it: `/driver/298958`, `Lap 9`."""
    shown = place.wanted.raw or (place.wanted.shown if place.wanted.shown.isdigit() else None)
    if not shown or len(shown) < 3 or place.wanted.field.patterns:
        return
    for element in place.context.iter(etree.Element):
        for name, text in ((str(name), str(value)) for name, value in element.attrib.items()):
            before, hit, after = text.partition(shown)
            if not hit or len(before) > _AFFIX or len(after) > _AFFIX or name == "class" or text == shown:
                continue
            for way in list(ways_to(element, place.context, absolute=absolute))[:3]:
                yield _cut(f"{way}/@{name}", before, after)
        text = visible_text(element) if len(element) < 4 else ""
        before, hit, after = text.partition(shown)
        if hit and (before or after) and len(before) <= _AFFIX and len(after) <= _AFFIX:
            for way in list(ways_to(element, place.context, absolute=absolute))[:3]:
                yield _cut(f"normalize-space({way})", before, after)


def _cut(way: str, before: str, after: str) -> str:
    if before:
        way = f"substring-after({way}, {quoted(before)})"
    return f"substring-before({way}, {quoted(after)})" if after else way


def affixes(places: Sequence[Place]) -> tuple[str, str] | None:
    """What stands around a value everywhere (`Rnd: `, ``), where a field's own pattern no longer fits."""
    common: set[tuple[str, str]] | None = None
    for place in spread([place for place in places if place.wanted.value is not None], _LEARN_FROM):
        shown = place.wanted.raw or place.wanted.shown
        around = set()
        for element in place.context.iter(etree.Element):
            text = visible_text(element) if len(element) < 4 else ""
            before, hit, after = text.partition(shown)
            if hit and before.strip() and len(before) <= _AFFIX and len(after) <= _AFFIX:
                around.add((before, after))
        common = around if common is None else common & around
    return min(common, key=lambda one: (len(one[1]), len(one[0]))) if common else None
