"""Ways in which LiveRC may change its markup, by name: the simulator serves them, drift detection must notice them.

A mutation changes the bytes of one page type and nothing else; on every other page it is the identity. They work on
generated and on real pages alike.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from msgspec import Struct

Change = Callable[[str], str]


class Mutation(Struct, frozen=True):
    """One change of one page type."""

    name: str
    page_type: str  # as in `faults.PAGE_TYPES`
    says: str  # what has changed, in words
    change: Change

    def apply(self, body: bytes) -> bytes:
        """The page after the change. Raises ValueError if the page does not hold what should change."""
        before = body.decode()
        after = self.change(before)
        if after == before:
            raise ValueError(f"the page holds nothing that {self.name} could change")
        return after.encode()


def mutator(names: Iterable[str]) -> Callable[[str, bytes], bytes]:
    """For `SimulatedSite.change_markup`: applies the named mutations to the page types they belong to.

    Raises KeyError for a name that does not exist. A page without the mutated part (an empty shell) stays as it is.
    """
    chosen = [MUTATIONS[name] for name in names]

    def change(page_type: str, body: bytes) -> bytes:
        text = body.decode()
        for mutation in chosen:
            if mutation.page_type == page_type:
                text = mutation.change(text)
        return text.encode()

    return change


# ---------------------------------------------------------------- building blocks


def _renamed(old: str, new: str) -> Change:
    return lambda text: text.replace(old, new)


def _columns(marker: str, edit: Callable[[list[str]], list[str]]) -> Change:
    """Edit the cells of every full row (titles, rows, titles below) of the table that `marker` opens."""

    def change(text: str) -> str:
        start = text.find(marker)
        end = text.find("</table>", start)
        if start < 0 or end < 0:
            return text
        rows = re.sub(r"(?<=<tr>)(.*?)(?=</tr>)", edited, text[start:end], flags=re.DOTALL)
        return text[:start] + rows + text[end:]

    def edited(row: re.Match[str]) -> str:
        cells = re.findall(r"\s*<t[dh]\b.*?</t[dh]>", row[1], re.DOTALL)
        if len(cells) < 3:  # the heading that spans the table
            return row[0]
        rest = row[1][sum(map(len, cells)) :]
        return "".join(edit(cells)) + rest

    return change


def _inserted(index: int, title: str, value: str) -> Callable[[list[str]], list[str]]:
    def edit(cells: list[str]) -> list[str]:
        model = cells[index]
        space = model[: len(model) - len(model.lstrip())]
        cell = f"{space}<th>{title}</th>" if "<th" in model else f"{space}<td>{value}</td>"
        return [*cells[:index], cell, *cells[index:]]

    return edit


def _moved(order: Callable[[int], list[int]]) -> Callable[[list[str]], list[str]]:
    return lambda cells: [cells[index] for index in order(len(cells))]


_RACE_TABLE = '<table class="table table-striped race_result"'
_LISTING = '<table id="events"'
# positions of columns in the result table
_TOTAL, _BEHIND, _FASTEST = 3, 4, 5

MUTATIONS: dict[str, Mutation] = {
    mutation.name: mutation
    for mutation in (
        Mutation(
            "driver_class_renamed", "race_result", "the class of driver names is another",
            _renamed('class="driver_name"', 'class="racer"'),
        ),
        Mutation(
            "table_class_renamed", "race_result", "the class of the result table is another",
            _renamed("table-striped race_result", "table-striped results_grid"),
        ),
        Mutation(
            "column_inserted", "race_result", "a column 'Points' stands before 'Laps/Time'",
            _columns(_RACE_TABLE, _inserted(_TOTAL, "Points", "10")),
        ),
        Mutation(
            "column_removed", "race_result", "the column 'Fastest Lap' is gone",
            _columns(_RACE_TABLE, _moved(lambda n: [i for i in range(n) if i != _FASTEST])),
        ),
        Mutation(
            "columns_swapped", "race_result", "'Behind' stands before 'Laps/Time'",
            _columns(_RACE_TABLE, _moved(lambda n: [*range(_TOTAL), _BEHIND, _TOTAL, *range(_FASTEST, n)])),
        ),
        Mutation(
            "header_renamed", "race_result", "the column 'Fastest Lap' is now called 'Best'",
            _renamed("<th>Fastest Lap", "<th>Best"),
        ),
        Mutation(
            "script_renamed", "race_result", "the script assigns 'driverLaps' instead of 'racerLaps'",
            _renamed("racerLaps", "driverLaps"),
        ),
        Mutation(
            "lap_field_renamed", "race_result", "a lap's 'time' is now called 'lapTime'",
            _renamed("'time' :", "'lapTime' :"),
        ),
        Mutation(
            "wrapper_added", "race_result", "every cell's content stands in a div of its own",
            lambda text: re.sub(r"(<td>)([^<>]+)(</td>)", r'\1<div class="cell">\2</div>\3', text),
        ),
        Mutation(
            "race_list_class_renamed", "event", "the class of the event's tables is another",
            _renamed("entry_list_data", "event_data"),
        ),
        Mutation(
            "race_list_heading_renamed", "event", "the list of races is headed 'Results'",
            _renamed('<span class="class_header">Race Results</span>', '<span class="class_header">Results</span>'),
        ),
        Mutation(
            "listing_column_inserted", "events_listing", "a column 'Laps' stands before '# Entries'",
            _columns(_LISTING, _inserted(2, "Laps", "0")),
        ),
        Mutation(
            "entry_header_renamed", "entry_list", "the column 'Transponder #' is now called 'Chip'",
            _renamed("<th>Transponder #</th>", "<th>Chip</th>"),
        ),
        Mutation(
            "track_row_class_renamed", "track_catalogue", "the class of the catalogue's table is another",
            _renamed("table-striped track_list", "table-striped tracks"),
        ),
        Mutation(
            "address_tag_changed", "track_dashboard", "the address is a div instead of an address",
            lambda text: text.replace("<address ", "<div ").replace("</address>", "</div>"),
        ),
    )
}  # fmt: skip
