"""Two pages beside each other as rows: every field of the contract, and the markup, unified, side by side or raw.

Pure functions from a `PageDiff` to what a table and the markup's widget show.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from screens.widgets.table import Column, Row
from screens.words import Phrase, Tone, clean

if TYPE_CHECKING:
    from pipeline.page_diff import FieldLine, PageDiff, SkeletonLine


class Shape(StrEnum):
    """How the markup is shown."""

    UNIFIED = "unified"
    BESIDE = "side by side"
    RAW = "raw"


class Side(NamedTuple):
    """One side of a row of markup."""

    text: str
    line: int | None = None  # index into the page's skeleton; None: no line of one


class MarkupRow(NamedTuple):
    """One row of compared markup. Unified: only one side is there, unless both are the same."""

    kind: str  # same, gone, new, changed
    old: Side | None
    new: Side | None


# ---------------------------------------------------------------- fields

FIELD_COLUMNS = (
    Column("Status", 11),
    Column("Field", 17, flex=2),
    Column("Known value", 11, flex=2),
    Column("Stands now at", 15, flex=3),
    Column("Support", 8, right=True),
    Column("Runner-up", 12, flex=1, rank=1),
    Column("Selector", 18, flex=3, rank=2),
)
_STATUS = {
    "ok": Phrase("● ok", Tone.GOOD),
    "moved": Phrase("▲ moved", Tone.WARN),
    "ambiguous": Phrase("? ambiguous", Tone.WARN),
    "lost": Phrase("✗ lost", Tone.BAD),
}
_ORDER = ("lost", "ambiguous", "moved", "ok")


def field_status(name: str) -> Phrase:
    """What became of a field."""
    return _STATUS.get(name, Phrase(f"? {clean(name)}", Tone.WARN))


def fields_in_order(fields: Iterable[FieldLine]) -> tuple[FieldLine, ...]:
    """What changed first, then fields of which a value is known, then the rest."""
    return tuple(
        sorted(fields, key=lambda one: (_ORDER.index(one.status) if one.status in _ORDER else 0, not one.known))
    )


def field_row(line: FieldLine) -> Row:
    tone = Tone.QUIET if line.status == "ok" else Tone.PLAIN
    return Row(
        line.field,
        (
            field_status(line.status),
            Phrase(clean(line.field), tone),
            Phrase(clean(line.known) or "–", tone),
            Phrase(_where_now(line), tone),
            Phrase(f"{line.support} of {line.of}", tone),
            Phrase(f"{clean(line.runner_up)} ({line.runner_up_support})" if line.runner_up else "–", Tone.QUIET),
            Phrase(clean(line.selector), Tone.QUIET),
        ),
    )


def place(old: str, new: str | None) -> str:
    """A new place of a field in words, as its old one: a column by its title, anything else by its path."""
    text = clean(new)
    is_path = any(sign in text for sign in ("/", "[", "@", "|"))
    return f"column '{text}'" if text and old.startswith("column ") and not is_path else text


def _where_now(line: FieldLine) -> str:
    if line.status == "ok":
        return "where it stood"
    if line.status == "lost":
        return "nowhere"
    return place(line.selector, line.now) or clean(line.note) or "–"


def about_field(line: FieldLine) -> list[Phrase]:
    """All of one field at a length that no column has room for. What cannot be known is said so."""
    said = [Phrase(f"{clean(line.field)} ", Tone.BUSY), Phrase(f"{clean(line.selector) or 'the page'} ", Tone.QUIET)]
    known = f"gave “{clean(line.known)}”" if line.known else "gave nothing"
    said.append(Phrase(f"{known}; "))
    places = f"{line.support} of {line.of} places"
    if line.status == "ok":
        said.append(Phrase("it stands where it stood", Tone.GOOD))
    elif line.status == "lost":
        said.append(Phrase("it stands nowhere on the new page: what it says now cannot be known", Tone.BAD))
    elif line.now is None:
        said.append(Phrase(f"where it stands now is not certain ({places})", Tone.WARN))
    else:
        text = f" as “{clean(line.found)}”" if line.found else ""
        said.append(Phrase(f"now {place(line.selector, line.now)}{text}, in {places}", Tone.WARN))
    if line.runner_up:
        said.append(Phrase(f"; runner-up {clean(line.runner_up)} in {line.runner_up_support}", Tone.QUIET))
    if line.note and line.status not in ("ok", "lost"):
        said.append(Phrase(f"; {clean(line.note)}", Tone.QUIET))
    return said


# ---------------------------------------------------------------- markup


def unified(lines: Iterable[SkeletonLine]) -> tuple[MarkupRow, ...]:
    """Every line below the other."""
    rows = []
    for line in lines:
        text = clean(line.text)
        old = Side(text, line.old) if line.old is not None else None
        new = Side(text, line.new) if line.new is not None else None
        rows.append(MarkupRow(line.kind, old, new))
    return tuple(rows)


def beside(lines: Iterable[SkeletonLine]) -> tuple[MarkupRow, ...]:
    """Old to the left, new to the right; what was replaced stands beside its replacement."""
    return tuple(_beside(lines))


def _beside(lines: Iterable[SkeletonLine]) -> Iterator[MarkupRow]:
    gone: list[Side] = []
    new: list[Side] = []

    def replaced() -> Iterator[MarkupRow]:
        for index in range(max(len(gone), len(new))):
            left = gone[index] if index < len(gone) else None
            right = new[index] if index < len(new) else None
            yield MarkupRow("changed" if left and right else "gone" if left else "new", left, right)
        gone.clear()
        new.clear()

    for line in lines:
        side = clean(line.text)
        if line.kind == "gone":
            gone.append(Side(side, line.old))
        elif line.kind == "new":
            new.append(Side(side, line.new))
        else:
            yield from replaced()
            yield MarkupRow("same", Side(side, line.old), Side(side, line.new))
    yield from replaced()


def raw(lines: Iterable[str]) -> tuple[MarkupRow, ...]:
    """A unified diff of the bytes, as `raw_diff` gives it."""
    rows = []
    for line in lines:
        mark, side = line[:1], Side(clean(line.expandtabs(4)))
        if line.startswith(("---", "+++", "@@")):
            rows.append(MarkupRow("same", side, side))
        elif mark == "-":
            rows.append(MarkupRow("gone", Side(side.text[1:]), None))
        elif mark == "+":
            rows.append(MarkupRow("new", None, Side(side.text[1:])))
        else:
            rows.append(MarkupRow("same", Side(side.text[1:]), Side(side.text[1:])))
    return tuple(rows)


def change_starts(rows: Sequence[MarkupRow]) -> tuple[int, ...]:
    """Where each change begins."""
    return tuple(
        index for index, row in enumerate(rows) if row.kind != "same" and (index == 0 or rows[index - 1].kind == "same")
    )


def marked(rows: Sequence[MarkupRow], old: Iterable[int], new: Iterable[int]) -> frozenset[int]:
    """The rows in which any of these skeleton lines stands."""
    wanted_old, wanted_new = set(old), set(new)
    return frozenset(
        index
        for index, row in enumerate(rows)
        if (row.old is not None and row.old.line in wanted_old) or (row.new is not None and row.new.line in wanted_new)
    )


# ---------------------------------------------------------------- what is said above


def about_pages(diff: PageDiff) -> list[Phrase]:
    """Whether the new page reads, how alike they are, and which two they are."""
    if diff.failure:
        said = Phrase("✗ cannot be read", Tone.BAD)
    elif diff.doubts:
        said = Phrase(f"▲ reads, and is doubted {len(diff.doubts)} times", Tone.WARN)
    else:
        said = Phrase("● reads without doubt", Tone.GOOD)
    alike = Phrase(f" · structure {diff.similarity:.0%} alike · ")
    return [said, alike, Phrase(f"{clean(diff.old_name)} → {clean(diff.new_name)}", Tone.QUIET)]
