"""What a kind of mutation is, and the means to make one: on the text of a page, or on its tables.

A kind names the page types it applies to and, per page type, the fields that it moves and that an added selector can
bring back. Kinds that alter what a page *says* have none: those can only be refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from random import Random

from msgspec import Struct

Change = Callable[[str, Random], str]

RACE, EVENT, ENTRIES, LISTING, CATALOGUE, DASHBOARD = (
    "race_result",
    "event",
    "entry_list",
    "events_listing",
    "track_catalogue",
    "track_dashboard",
)


class Kind(Struct, frozen=True):
    """One kind of mutation."""

    name: str
    says: str
    changes: Mapping[str, Change]  # page type → how
    moves: Mapping[str, tuple[str, ...]] = {}  # page type → fields that can be brought back by an added selector
    one_page: bool = False  # happens to single pages, not to all of a type
    needs_whole: bool = False  # tells only on pages that are not cut already

    def apply(self, page_type: str, body: bytes, seed: str) -> bytes | None:
        """The page after the change; None where it holds nothing to change."""
        before = body.decode()
        after = self.changes[page_type](before, Random(f"{self.name}/{seed}"))
        return None if after == before else after.encode()


# ---------------------------------------------------------------- text


def renamed(*pairs: tuple[str, str]) -> Change:
    def change(text: str, _: Random) -> str:
        for old, new in pairs:
            text = text.replace(old, new)
        return text

    return change


def rewritten(*pairs: tuple[str, str]) -> Change:
    """By regular expressions, over lines."""

    def change(text: str, _: Random) -> str:
        for old, new in pairs:
            text = re.sub(old, new, text, flags=re.DOTALL)
        return text

    return change


def chained(*changes: Change) -> Change:
    def change(text: str, rng: Random) -> str:
        for one in changes:
            text = one(text, rng)
        return text

    return change


# ---------------------------------------------------------------- tables

TABLES = {
    RACE: r'<table class="[^"]*race_result"',
    EVENT: r'<table class="[^"]*entry_list_data"',
    ENTRIES: r'<table id="[^"]*_table_\d+"',
    LISTING: r'<table id="events"',
    CATALOGUE: r'<table class="[^"]*track_list"',
}
_ROW = re.compile(r"(<tr\b[^>]*>)(.*?)(</tr>)", re.DOTALL)
_CELL = re.compile(r"\s*<t[dh]\b.*?</t[dh]>", re.DOTALL)
Cells = list[str]


def table_rows(page_type: str, edit: Callable[[Cells, bool, int, Random], Cells], least: int = 2) -> Change:
    """Edit the cells of every row with at least so many cells, in every table: `edit(cells, is_title, row, rng)`."""

    def change(text: str, rng: Random) -> str:
        number = 0

        def edited(row: re.Match[str]) -> str:
            nonlocal number
            cells = _CELL.findall(row[2])
            if len(cells) < least:
                return row[0]
            title = "<th" in cells[0]
            number += not title
            rest = row[2][sum(map(len, cells)) :]
            return row[1] + "".join(edit(cells, title, number, rng)) + rest + row[3]

        return tables(page_type, lambda table: _ROW.sub(edited, table))(text, rng)

    return change


def tables(page_type: str, edit: Callable[[str], str]) -> Change:
    """Edit every table of the page type as text."""

    def change(text: str, _: Random) -> str:
        parts, at = [], 0
        for start in re.finditer(TABLES[page_type], text):
            end = text.find("</table>", start.start()) + len("</table>")
            parts += [text[at : start.start()], edit(text[start.start() : end])]
            at = end
        return "".join([*parts, text[at:]])

    return change


def inserted(page_type: str, index: int, title: str, value: str) -> Change:
    def edit(cells: Cells, is_title: bool, _: int, __: Random) -> Cells:
        cell = f"<th>{title}</th>" if is_title else f"<td>{value}</td>"
        return [*cells[:index], cell, *cells[index:]]

    return table_rows(page_type, edit)


def moved(page_type: str, order: Callable[[int], list[int]], *, titles: bool = True, values: bool = True) -> Change:
    """Cells in another order; `titles=False`: only the values move, and stand under wrong titles."""

    def edit(cells: Cells, is_title: bool, _: int, __: Random) -> Cells:
        return [cells[i] for i in order(len(cells))] if (titles if is_title else values) else cells

    return table_rows(page_type, edit)


def swapped(first: int, second: int) -> Callable[[int], list[int]]:
    def order(count: int) -> list[int]:
        places = list(range(count))
        if max(first, second) < count:
            places[first], places[second] = places[second], places[first]
        return places

    return order


def without(*gone: int) -> Callable[[int], list[int]]:
    return lambda count: [index for index in range(count) if index not in gone]


def in_cells(page_type: str, index: int, pattern: str, new: str) -> Change:
    """Rewrite one column's cells."""

    def edit(cells: Cells, is_title: bool, _: int, __: Random) -> Cells:
        if is_title or index >= len(cells):
            return cells
        cell = re.sub(pattern, new, cells[index], flags=re.DOTALL)
        return [*cells[:index], cell, *cells[index + 1 :]]

    return table_rows(page_type, edit)


def body_rows(page_type: str, edit: Callable[[list[str], Random], list[str]]) -> Change:
    """Edit the list of rows of every table's body."""

    def change(text: str, rng: Random) -> str:
        def edited(table: str) -> str:
            before, opening, rest = table.partition("<tbody>")
            inner, closing, after = rest.partition("</tbody>")
            rows = re.findall(r"<tr\b.*?</tr>", inner, re.DOTALL)
            return f"{before}{opening}{''.join(edit(rows, rng))}{closing}{after}" if len(rows) > 1 else table

        return tables(page_type, edited)(text, rng)

    return change


def script(edit: Callable[[str, Random], str]) -> Change:
    """Edit the lap script."""

    def change(text: str, rng: Random) -> str:
        start = text.find("var racerLaps")
        end = text.find("</script>", start)
        return text if start < 0 else text[:start] + edit(text[start:end], rng) + text[end:]

    return change


def a_digit(text: str, pattern: str, rng: Random) -> str:
    """Another digit somewhere in a text of the pattern's group 1."""
    spots = [
        spot
        for found in re.finditer(pattern, text, re.DOTALL)
        for spot in range(found.start(1), found.end(1))
        if text[spot].isdigit()
    ]
    if not spots:
        return text
    spot = rng.choice(spots)
    digit = rng.choice([digit for digit in "123456789" if digit != text[spot]])
    return text[:spot] + digit + text[spot + 1 :]
