"""Induction of fields: of the page, of a block, of its rows. Column titles come first, XPaths where there are none."""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import SequenceMatcher
from typing import TYPE_CHECKING

import msgspec
from lxml import etree

from pipeline.liverc.candidates import quoted, select
from pipeline.liverc.contract import Field, Part, header_key
from pipeline.liverc.findings import AMBIGUOUS, LOST, MOVED, OK, SURE, FieldFinding, Finder, Vote
from pipeline.liverc.known import BlockAnswers, Wanted, is_steady, read_as, wanted_as
from pipeline.liverc.markup import visible_text
from pipeline.liverc.trace import found_by, in_row, own_sightings
from pipeline.liverc.votes import Place, affixes, best_way, is_taken

if TYPE_CHECKING:
    from pipeline.liverc.induction_parts import Block

__all__ = ["block_fields", "identity", "is_steady", "page_fields", "row_fields"]

_SHADOWED = "an older selector still finds something else there: only a new contract can tell them apart"
_NOTHING_KNOWN = "nothing is known of it on these pages"
_GONE = "its values stand nowhere on the page"


# ---------------------------------------------------------------- identity


def identity(finder: Finder) -> None:
    """The title and the marks by which a page is recognised."""
    untitled = [sample for sample in finder.samples if not sample.seen.titled]
    if untitled:
        tail = _common_tail([sample.seen.page.title for sample in untitled])
        source = " | ".join(title.pattern for title in finder.contract.titles)
        new = f"{re.escape(tail)}$" if len(tail) >= 3 else None
        status = MOVED if new else LOST
        shown = untitled[0].seen.page.title
        finder.add(FieldFinding("title", None, status, source, new, shown, shown, len(untitled), len(untitled)),
                   "identity", "title")  # fmt: skip
    of = finder.contract
    strangers = [sample for sample in finder.samples if not sample.seen.recognised]
    if not strangers:
        return
    hidden = of.identity_none is not None and any(of.identity_none.find(sample.root) for sample in strangers)
    old = of.identity_any.source if of.identity_any else ""
    if hidden:
        note = "it holds what pages of this type never held"
        finder.note(FieldFinding("identity", None, AMBIGUOUS, old, None, "", None, 0, len(strangers), note=note))
    else:
        new = "//h1 | //h2 | //h3 | //table"
        finder.add(FieldFinding("identity", None, MOVED, old, new, "", None, len(strangers), len(strangers)),
                   "identity", "any")  # fmt: skip


def _common_tail(titles: Sequence[str]) -> str:
    """What every title ends with: from its last separator on, since what comes before is the page's own."""
    tails = {match[0] if (match := re.search(r"\s*[^\w\s]+\s*[\w .]+$", title)) else title for title in titles}
    return tails.pop().strip() if len(tails) == 1 else ""


# ---------------------------------------------------------------- fields of a page or a block


def page_fields(finder: Finder) -> None:
    for field in finder.contract.fields:
        places = [
            Place(sample.root, sample.answers.fields[field.name])
            for sample in finder.samples
            if field.name in sample.answers.fields
        ]
        if places:
            _single(finder, field, None, places, [place.context for place in places], "field", field.name)


def block_fields(
    finder: Finder, of: Part, blocks: Sequence[tuple[etree._Element, BlockAnswers]], placed: Sequence[Block]
) -> None:
    for field in of.fields:
        places = [Place(element, said.fields[field.name]) for element, said in blocks if field.name in said.fields]
        roots = [block.sample.root for block in placed]
        if places:
            _single(finder, field, of.name, places, roots, "part", of.name, "field", field.name)


def _single(
    finder: Finder, field: Field, part: str | None, places: list[Place], roots: Sequence[etree._Element], *path: str
) -> None:
    """A field that stands once in its context."""
    telling = [place for place in places if place.wanted.value is not None]
    if not telling:
        seen = [one for place in places for one in own_sightings(field, place.context)]
        if field.usual and not any(one.place for one in seen):
            finder.note(_found(field, part, LOST, places, None, note=_NOTHING_KNOWN))
        return
    read = [next(own_sightings(field, place.context), None) for place in telling]
    right = sum(
        one is not None and one.place and _says(place.wanted, one.text)
        for one, place in zip(read, telling, strict=True)
    )
    if right >= SURE * len(telling):
        finder.note(_found(field, part, OK, telling, Vote(field.source, right, len(telling), None)))
        return
    shadowed = any(one is not None and one.place and one.found for one in read)
    winner, second = best_way(telling, absolute=part is None)
    if (winner is None or not winner.sure) and part is not None:  # it may have left the block
        outside = [Place(root, place.wanted) for root, place in zip(roots, places, strict=False)]
        other, runner = best_way([place for place in outside if place.wanted.value is not None], absolute=True)
        if other is not None and (winner is None or other.right > winner.right):
            winner, second = other, runner
    if winner is not None and winner.sure and not shadowed:
        finder.add(_found(field, part, MOVED, telling, winner, second), *path, "xpath")
        return
    outer = [Place(root, place.wanted) for root, place in zip(roots, telling, strict=False)]
    if field.patterns and not shadowed and _unlabelled(finder, field, part, telling, outer, *path):
        return
    if field.patterns and not shadowed and _repattern(finder, field, part, telling, *path):
        return
    status, note = (AMBIGUOUS, _SHADOWED) if shadowed and winner else (LOST, _GONE)
    finder.note(_found(field, part, status, telling, winner, second, note))


def _says(wanted: Wanted, text: str) -> bool:
    return wanted.test(text)


def _unlabelled(
    finder: Finder, field: Field, part: str | None, places: list[Place], outer: list[Place], *path: str
) -> bool:
    """The value stands there alone, without the label that its pattern asks for."""
    bare = msgspec.structs.replace(field, patterns=())
    for some, absolute in ((places, part is None), (outer, True)):
        plain = [place._replace(wanted=wanted_as(bare, place.wanted)) for place in some]
        winner, second = best_way(plain, absolute=absolute)
        if winner is not None and winner.sure:
            break
    else:
        return False
    finder.add(_found(field, part, MOVED, places, winner, second), *path, "xpath")
    finder.widen("^(.*)$", *path, "pattern")
    return True


def _repattern(finder: Finder, field: Field, part: str | None, places: list[Place], *path: str) -> bool:
    """The value stands there with another label: `Rnd: Main Events`."""
    around = affixes(places)
    if around is None:
        return False
    before, after = around
    pattern = f"^{re.escape(before.rstrip())}\\s*(.*?){re.escape(after)}$"
    way = f".//*[starts-with(normalize-space(), {quoted(before.rstrip())})][not(*)]"
    wider = msgspec.structs.replace(field, patterns=(*field.patterns, re.compile(pattern)))
    hits = 0
    for place in places:
        found = [one for one in place.context.iter(etree.Element) if visible_text(one).startswith(before.rstrip())]
        texts = [visible_text(one) for one in found if not len(one)]
        hits += any(read_as(wider, text) == place.wanted.value for text in texts)
    if hits < SURE * len(places):
        return False
    finder.add(_found(wider, part, MOVED, places, Vote(f"{way} ~ {pattern}", hits, len(places), before)))
    finder.widen(way, *path, "xpath")
    finder.widen(pattern, *path, "pattern")
    return True


# ---------------------------------------------------------------- fields of rows


def row_fields(finder: Finder, of: Part, blocks: Sequence[Block]) -> None:
    for field in of.row_fields:
        places = [
            (Place(element, block.answers.rows[number][field.name]), block.titles)
            for block in blocks
            for element, number in block.rows
            if field.name in block.answers.rows[number]
        ]
        if places:
            _row_field(finder, of, field, places)


Titled = Sequence[tuple[Place, tuple[str, ...]]]


def _row_field(finder: Finder, of: Part, field: Field, places: Titled) -> None:
    path = ("part", of.name, "row_field", field.name)
    telling = [(place, titles) for place, titles in places if place.wanted.value is not None]
    if not telling:
        seen = [one for place, titles in places[:5] for one in in_row(field, place.context, titles)]
        if not any(one.place for one in seen):
            finder.note(_found(field, of.name, LOST, [place for place, _ in places], None, note=_NOTHING_KNOWN))
        return
    read = [next(iter(in_row(field, place.context, titles))) for place, titles in telling]
    right = sum(_says(place.wanted, one.text) and one.place for one, (place, _) in zip(read, telling, strict=True))
    if right >= SURE * len(telling):
        same = Vote(field.source, right, len(telling), None)
        finder.note(_found(field, of.name, OK, [place for place, _ in telling], same))
        return
    if not is_steady(field) and any(one.place for one in read):
        finder.note(_found(field, of.name, OK, [p for p, _ in telling], None, note="it changes from day to day"))
        return
    plain = [place for place, _ in places]
    if field.columns:
        _column_field(finder, of, field, places, read_something=any(one.found for one in read))
        return
    winner, second = best_way(plain, taken=finder.taken(of.name))
    shadowed = any(one.place for one in read)
    if winner is not None and winner.sure and not shadowed:
        _propose(finder, of, field, places, winner, second, *path, "xpath")
        return
    status, note = (AMBIGUOUS, _SHADOWED) if winner is not None and shadowed else (LOST, _GONE)
    finder.note(_found(field, of.name, status, plain, winner, second, note))


def _propose(
    finder: Finder, of: Part, field: Field, places: Titled, winner: Vote, second: Vote | None, *path: str
) -> None:
    """Propose a way, unless another field is read from that very place: a value that vanished may only look alike."""
    plain = [place for place, _ in places]
    other = _read_from(of, field, places, winner.way)
    if other is None and is_taken(winner.way, finder.taken(of.name), plain):
        other = "another field"
    if other is None:
        finder.add(_found(field, of.name, MOVED, plain, winner, second), *path)
        return
    note = f"{other} is read from there; whether {field.name} is gone or only equal nobody can tell from these pages"
    finder.note(_found(field, of.name, AMBIGUOUS, plain, winner, second, note))


def _read_from(of: Part, field: Field, places: Titled, way: str) -> str | None:
    """The other field that is read from the place that a way leads to."""
    for place, titles in places[:2]:
        node = next(iter(select(way, place.context)), None)
        for other in of.row_fields:
            if other.name != field.name and isinstance(node, etree._Element):
                one = next(iter(in_row(other, place.context, titles)))
                if one.found and one.node is node:
                    return other.name
    return None


def _column_field(finder: Finder, of: Part, field: Field, places: Titled, *, read_something: bool) -> None:
    """A column under another title; a value under its title in another element; or no column at all any more."""
    path = ("part", of.name, "row_field", field.name)
    plain = [place for place, _ in places]
    has_title = any(_known_title(field, titles) is not None for _, titles in places)
    if has_title and read_something:
        finder.note(_found(field, of.name, AMBIGUOUS, plain, *best_way(plain), note=_SHADOWED))
        return
    if not has_title:
        votes = _column_votes(field, places)
        if votes and votes[0].sure:
            second = votes[1] if len(votes) > 1 else None
            tie = second is not None and second.right == votes[0].right and not _alike(votes[0].way, field)
            new = _found(field, of.name, AMBIGUOUS if tie else MOVED, plain, votes[0], second)
            finder.add(new, *path, "column")
            return
    if field.selector is not None and any(titles for _, titles in places):
        done = _in_cell(finder, of, field, places, has_title=has_title)
        if done:
            return
    winner, second = best_way(plain, taken=finder.taken(of.name))
    if winner is not None and winner.sure:
        _propose(finder, of, field, places, winner, second, *path, "row_xpath")
        return
    note = "its title is there, its values stand nowhere" if has_title else _GONE
    finder.note(_found(field, of.name, LOST, plain, winner, second, note))


def _known_title(field: Field, titles: Sequence[str]) -> int | None:
    keys = [header_key(title) for title in titles]
    return next((keys.index(wanted) for wanted in field.columns if wanted in keys), None)


def _column_votes(field: Field, places: Titled) -> list[Vote]:
    """How well every titled column gives the field's values, best first; of equals the title most like the old ones."""
    titles = dict.fromkeys(title for _, row in places for title in row if title)
    votes = []
    for title in titles:
        wider = msgspec.structs.replace(field, columns=(header_key(title),))
        right = wrong = of = 0
        found = None
        for place, row in places:
            if list(map(header_key, row)).count(header_key(title)) != 1:
                continue
            one = next(iter(in_row(wider, place.context, row)))
            if place.wanted.value is None:
                wrong += one.found
            elif _says(place.wanted, one.text):
                right += 1
                found = found or one.text
        of = sum(place.wanted.value is not None for place, _ in places)
        if right:
            votes.append(Vote(title, max(right - wrong, 0), of, found))
    return sorted(votes, key=lambda one: (-one.right, -_likeness(one.way, field)))


def _likeness(title: str, field: Field) -> float:
    return max(SequenceMatcher(None, header_key(title), known).ratio() for known in field.columns)


def _alike(title: str, field: Field) -> bool:
    return _likeness(title, field) >= 0.5


def _in_cell(finder: Finder, of: Part, field: Field, places: Titled, *, has_title: bool) -> bool:
    """The value stands in a cell of a titled column, but in another element than before."""
    path = ("part", of.name, "row_field", field.name)
    best: tuple[Vote, Vote | None, str] | None = None
    titles = dict.fromkeys(title for _, row in places for title in row if title)
    for title in titles:
        if has_title and header_key(title) not in field.columns:
            continue
        cells = []
        for place, row in places:
            at = _known_title(msgspec.structs.replace(field, columns=(header_key(title),)), row)
            if at is not None and at < len(place.context):
                cells.append(Place(place.context[at], place.wanted))
        winner, second = best_way(cells)
        if winner is not None and winner.sure and (best is None or _better(winner, title, best, field)):
            best = (winner, second, title)
    if best is None:
        return False
    winner, second, title = best
    if field.selector and any(found_by(field.selector, place.context)[1] for place, _ in spread_titled(places)):
        return False
    finder.add(_found(field, of.name, MOVED, [place for place, _ in places], winner, second), *path, "xpath")
    if header_key(title) not in field.columns:
        finder.widen(title, *path, "column")
    return True


def _better(winner: Vote, title: str, best: tuple[Vote, Vote | None, str], field: Field) -> bool:
    mine, theirs = (winner.right, _likeness(title, field)), (best[0].right, _likeness(best[2], field))
    return mine > theirs


def spread_titled(places: Titled) -> Sequence[tuple[Place, tuple[str, ...]]]:
    return places[:3]


# ---------------------------------------------------------------- one finding


def _found(
    field: Field,
    part: str | None,
    status: str,
    places: Sequence[Place],
    winner: Vote | None,
    second: Vote | None = None,
    note: str | None = None,
) -> FieldFinding:
    known = next((place.wanted.shown for place in places if place.wanted.value is not None), "")
    return FieldFinding(
        field=field.name,
        part=part,
        status=status,
        old=field.source,
        new=winner.way if winner and status != OK else None,
        known=known,
        found=winner.found if winner else None,
        support=winner.right if winner else 0,
        of=winner.of if winner else sum(place.wanted.value is not None for place in places),
        runner_up=second.way if second else None,
        runner_up_support=second.right if second else 0,
        note=note,
    )
