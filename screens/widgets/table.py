"""A table of keyed rows that fits its columns to the width it has.

It takes whole lists of rows and works out by key what changed: the cursor stays on its row when rows move, and only lines
that look different are painted again. Only what is visible is ever rendered, so hundreds of rows cost nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar, NamedTuple

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip

from screens.words import Phrase, Tone

GAP = 2  # cells between two columns
MARGIN = 1  # cells before the first column and after the last


class Column(NamedTuple):
    """One column: its title and how it takes part in the width."""

    title: str
    width: int  # cells; the least it may have
    flex: int = 0  # its share of what is left over
    right: bool = False  # numbers stand to the right
    keep_end: bool = False  # too long a text loses its beginning, not its end
    rank: int = 0  # where there is no room for all, the highest rank goes first; rank 0 stays


class Row(NamedTuple):
    """One row: a key that is the same for the same thing, and a cell for every column."""

    key: str
    cells: tuple[Phrase, ...]


def fit(columns: Sequence[Column], width: int) -> tuple[int, ...]:
    """The width of every column, 0 for one that has to go, so that all of them with their gaps fill `width` cells.

    Where even the columns that stay are too wide, the flexible ones shrink, and then the last ones are cut.
    """
    shown = list(range(len(columns)))
    for index in sorted(shown, key=lambda i: (-columns[i].rank, -i)):
        if _needed(columns, shown) <= width or columns[index].rank == 0:
            break
        shown.remove(index)
    left = width - _needed(columns, shown)
    shares = sum(columns[i].flex for i in shown)
    widths = [columns[i].width if i in shown else 0 for i in range(len(columns))]
    for index in shown:
        if shares and columns[index].flex:
            share = left * columns[index].flex // shares
            share = max(share, 1 - widths[index])
            widths[index] += share
            left, shares = left - share, shares - columns[index].flex
    return tuple(widths)


def _needed(columns: Sequence[Column], shown: Sequence[int]) -> int:
    return sum(columns[i].width for i in shown) + GAP * max(0, len(shown) - 1) + 2 * MARGIN


def cut(text: str, width: int, *, right: bool = False, keep_end: bool = False) -> str:
    """The text in exactly `width` cells, with an ellipsis where something is missing."""
    length = cell_len(text)
    if length > width > 0 and keep_end:
        return "…" + set_cell_size(text[::-1], width - 1)[::-1]
    if length > width:
        return set_cell_size(text, width - 1) + "…" if width > 0 else ""
    return " " * (width - length) + text if right else text + " " * (width - length)


class RowTable(ScrollView, can_focus=True, inherit_bindings=False):
    """Rows under a heading, with a cursor. Posts `Chosen` for enter or a double click, `Moved` when the cursor's row changes."""

    DEFAULT_CSS = """
    RowTable {
        overflow-x: hidden;
        overflow-y: auto;
        scrollbar-size-vertical: 1;
        background: $background;
        & > .table--header { color: $foreground 60%; }
        & > .table--plain { color: $foreground; }
        & > .table--quiet { color: $foreground 60%; }
        & > .table--good { color: $text-success; }
        & > .table--busy { color: $text-accent; text-style: bold; }
        & > .table--warn { color: $text-warning; }
        & > .table--bad { color: $text-error; text-style: bold; }
        & > .table--cursor { background: $block-cursor-blurred-background; color: $foreground; }
        &:focus > .table--cursor { background: $block-cursor-background; color: $block-cursor-foreground; text-style: bold; }
    }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "table--header",
        "table--cursor",
        *(f"table--{tone}" for tone in Tone),
    }
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "choose", "Open", id="table.open", tooltip="Open the row under the cursor", key_display="⏎"),
        Binding("down,j", "move(1)", "Down", id="table.down", tooltip="One row down", show=False),
        Binding("up,k", "move(-1)", "Up", id="table.up", tooltip="One row up", show=False),
        Binding("pagedown", "page(1)", "Page down", id="table.page_down", tooltip="One page down", show=False),
        Binding("pageup", "page(-1)", "Page up", id="table.page_up", tooltip="One page up", show=False),
        Binding("home,g", "first", "First", id="table.first", tooltip="To the first row", show=False),
        Binding("end,G", "last", "Last", id="table.last", tooltip="To the last row", show=False),
    ]

    class RowMessage(Message):
        """Something about one row."""

        def __init__(self, table: RowTable, key: str) -> None:
            super().__init__()
            self.table = table
            self.key = key

        @property
        def control(self) -> RowTable:
            return self.table

    class Chosen(RowMessage):
        """A row was opened."""

    class Moved(RowMessage):
        """The cursor stands on another row."""

    cursor = reactive(0, repaint=False)

    def __init__(
        self, columns: Iterable[Column], *, empty: str = "", opens: bool = True, id: str | None = None
    ) -> None:
        """`empty` is what the table says where it has no rows; `opens` tells whether a row can be opened."""
        super().__init__(id=id)
        self._columns = tuple(columns)
        self._rows: tuple[Row, ...] = ()
        self._widths: tuple[int, ...] = ()
        self._empty = empty
        self._opens = opens

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return self._opens if action == "choose" else True

    # ------------------------------------------------------------------ what it shows

    @property
    def rows(self) -> tuple[Row, ...]:
        return self._rows

    @property
    def key(self) -> str | None:
        """The key of the row under the cursor."""
        return self._rows[self.cursor].key if self.cursor < len(self._rows) else None

    def show_rows(self, rows: Iterable[Row], *, empty: str | None = None) -> None:
        """Show these rows; the cursor follows the row it was on, and stays in sight if it was."""
        before, self._rows = self._rows, tuple(rows)
        was_on = before[self.cursor].key if self.cursor < len(before) else None
        in_sight = self._in_sight(self.cursor)
        if empty is not None and empty != self._empty:
            self._empty = empty
            self.refresh()
        if self._rows == before:
            return
        self.virtual_size = Size(0, len(self._rows) + 1)
        found = next((i for i, row in enumerate(self._rows) if row.key == was_on), None)
        self.cursor = found if found is not None else max(0, min(self.cursor, len(self._rows) - 1))
        if in_sight:
            self._keep_in_sight()
        self._repaint(before)
        if self.key is not None and self.key != was_on:
            self.post_message(self.Moved(self, self.key))

    def _repaint(self, before: tuple[Row, ...]) -> None:
        """Paint again the lines whose row looks different now."""
        changed = [i for i, pair in enumerate(zip(before, self._rows, strict=False)) if pair[0] != pair[1]]
        if len(before) != len(self._rows) or len(changed) > self.size.height:
            self.refresh()
            return
        for index in changed:
            self.refresh_line(index + 1)

    def point_at(self, key: str) -> None:
        """Put the cursor on the row with this key, if there is one."""
        found = next((i for i, row in enumerate(self._rows) if row.key == key), None)
        if found is not None:
            self._go(found)

    # ------------------------------------------------------------------ moving

    def validate_cursor(self, cursor: int) -> int:
        return max(0, min(cursor, len(self._rows) - 1))

    def watch_cursor(self, before: int, after: int) -> None:
        self.refresh_line(before + 1)
        self.refresh_line(after + 1)

    def _go(self, index: int) -> None:
        was_on = self.key
        self.cursor = index
        self._keep_in_sight()
        if self.key is not None and self.key != was_on:
            self.post_message(self.Moved(self, self.key))

    def _page_rows(self) -> int:
        return max(1, self.scrollable_content_region.height - 1)

    def _in_sight(self, index: int) -> bool:
        return 0 <= index - self.scroll_offset.y < self._page_rows()

    def _keep_in_sight(self) -> None:
        top = self.scroll_offset.y
        if self.cursor < top:
            self.scroll_to(y=self.cursor, animate=False)
        elif self.cursor >= top + self._page_rows():
            self.scroll_to(y=self.cursor - self._page_rows() + 1, animate=False)

    def action_move(self, rows: int) -> None:
        self._go(self.cursor + rows)

    def action_page(self, pages: int) -> None:
        self._go(self.cursor + pages * self._page_rows())

    def action_first(self) -> None:
        self._go(0)

    def action_last(self) -> None:
        self._go(len(self._rows) - 1)

    def action_choose(self) -> None:
        if self.key is not None:
            self.post_message(self.Chosen(self, self.key))

    def on_click(self, event: events.Click) -> None:
        content = event.get_content_offset(self)
        if content is None or content.y == 0:
            return
        index = content.y - 1 + self.scroll_offset.y
        if index < len(self._rows):
            self._go(index)
            if event.chain == 2:
                self.action_choose()

    # ------------------------------------------------------------------ painting

    def on_resize(self) -> None:
        self._keep_in_sight()

    def render_line(self, y: int) -> Strip:
        width = self.scrollable_content_region.width
        self._widths = fit(self._columns, width)
        base = self.rich_style
        if y == 0:
            style = base + self._style("header")
            titles = [Phrase(column.title) for column in self._columns]
            return self._line(titles, base, style).crop_extend(0, width, base)
        index = y - 1 + self.scroll_offset.y
        if not self._rows and y == 2:
            return Strip([Segment(" " * MARGIN + self._empty, base + self._style("quiet"))]).crop_extend(0, width, base)
        if index >= len(self._rows):
            return Strip.blank(width, base)
        under_cursor = self._style("cursor") if index == self.cursor else None
        return self._line(self._rows[index].cells, base, under_cursor).crop_extend(0, width, under_cursor or base)

    def _line(self, cells: Sequence[Phrase], base: Style, style: Style | None) -> Strip:
        """One line of cells; `style` overrides what their tones say."""
        segments = [Segment(" " * MARGIN, style or base)]
        for cell, column, width in zip(cells, self._columns, self._widths, strict=True):
            if width:
                if len(segments) > 1:
                    segments.append(Segment(" " * GAP, style or base))
                shown = cut(cell.text, width, right=column.right, keep_end=column.keep_end)
                segments.append(Segment(shown, style or base + self._style(cell.tone)))
        return Strip(segments)

    def _style(self, name: str) -> Style:
        return self.get_component_rich_style(f"table--{name}")
