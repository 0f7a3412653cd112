"""Two pages' markup as a unified diff or side by side. Only what is visible is painted, so raw pages cost nothing.

What changed has a sign as well as a tone; the place of the chosen field is marked with ▸ and the cursor's colours.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from screens.diff_rows import MarkupRow, Shape, Side, change_starts, marked
from screens.widgets.table import cut

CONTEXT = 3  # rows above a change that stay in sight
GUTTER = 4  # cells: the field's mark, the change's sign, a blank on either side
DIVIDER = " │ "
_SIGNS = {"same": " ", "gone": "-", "new": "+", "changed": "~"}


class DiffView(ScrollView, can_focus=True, inherit_bindings=False):
    """Rows of markup, the changes among them to be walked."""

    DEFAULT_CSS = """
    DiffView { scrollbar-size-vertical: 1; background: $background; overflow-x: hidden; }
    DiffView .diff--same { color: $foreground 60%; }
    DiffView .diff--gone { color: $text-error; background: $error-muted; }
    DiffView .diff--new { color: $text-success; background: $success-muted; }
    DiffView .diff--place { color: $block-cursor-foreground; background: $block-cursor-background; text-style: bold; }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {"diff--same", "diff--gone", "diff--new", "diff--place"}
    ALLOW_SELECT = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "by(1)", "Down", id="diff_view.down", tooltip="One line of markup down", show=False),
        Binding("up,k", "by(-1)", "Up", id="diff_view.up", tooltip="One line of markup up", show=False),
        Binding("pagedown", "pages(1)", "Page", id="diff_view.page_down", tooltip="A page of markup down", show=False),
        Binding("pageup", "pages(-1)", "Page", id="diff_view.page_up", tooltip="A page of markup up", show=False),
        Binding("home,g", "first", "First", id="diff_view.first", tooltip="To the beginning of the markup", show=False),
        Binding("end,G", "last", "Last", id="diff_view.last", tooltip="To the end of the markup", show=False),
    ]

    class Walked(Message):
        """Another change is the current one."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._rows: tuple[MarkupRow, ...] = ()
        self._starts: tuple[int, ...] = ()
        self._marked: frozenset[int] = frozenset()
        self._beside = False
        self.change: int | None = None  # which change is the current one, from 0

    # ------------------------------------------------------------------ what it shows

    @property
    def changes(self) -> int:
        return len(self._starts)

    @property
    def marks(self) -> frozenset[int]:
        """The rows that are marked as the chosen field's place."""
        return self._marked

    def show(self, rows: Sequence[MarkupRow], shape: Shape) -> None:
        """Show these rows, the first change in sight."""
        self._rows, self._beside, self._marked = tuple(rows), shape is Shape.BESIDE, frozenset()
        self._starts = change_starts(self._rows)
        self.virtual_size = Size(0, len(self._rows))
        self.change = 0 if self._starts else None
        self._go_to(self._starts[0] if self._starts else 0)
        self.refresh()

    def _go_to(self, index: int) -> None:
        """Bring a row near the top, once the layout knows how far there is to go."""
        self.call_after_refresh(self.scroll_to, y=max(0, index - CONTEXT), animate=False)

    def mark(self, old: Sequence[int], new: Sequence[int], *, go: bool) -> None:
        """Mark the rows of these skeleton lines; `go` brings the first of them into sight."""
        self._marked = marked(self._rows, old, new)
        if go and self._marked:
            self._show_row(min(self._marked))
        self.refresh()

    def walk(self, step: int) -> bool:
        """To the next or the previous change. False where there is none."""
        if not self._starts:
            return False
        at = 0 if self.change is None else self.change + step
        if not 0 <= at < len(self._starts):
            return False
        self.change = at
        self._go_to(self._starts[at])
        self.post_message(self.Walked())
        return True

    def _show_row(self, index: int) -> None:
        top, height = self.scroll_offset.y, max(1, self.scrollable_content_region.height)
        if not top <= index < top + height:
            self._go_to(index)

    # ------------------------------------------------------------------ moving

    def action_by(self, lines: int) -> None:
        self.scroll_relative(y=lines, animate=False)

    def action_pages(self, pages: int) -> None:
        self.scroll_relative(y=pages * self.scrollable_content_region.height, animate=False)

    def action_first(self) -> None:
        self.scroll_home(animate=False)

    def action_last(self) -> None:
        self.scroll_end(animate=False)

    # ------------------------------------------------------------------ painting

    def render_line(self, y: int) -> Strip:
        width = self.scrollable_content_region.width
        index = y + self.scroll_offset.y
        if index >= len(self._rows):
            return Strip.blank(width, self.rich_style)
        row = self._rows[index]
        place = index in self._marked
        segments = [
            Segment(" ▸ " if place else "   ", self.rich_style),
            Segment(_SIGNS[row.kind], self._style(row.kind)),
        ]
        if self._beside:
            half = (width - GUTTER - len(DIVIDER)) // 2
            segments += self._half(row.old, "gone" if row.kind != "same" else "same", half, place)
            segments.append(Segment(DIVIDER, self._style("same")))
            segments += self._half(row.new, "new" if row.kind != "same" else "same", half, place)
        else:
            segments += self._half(row.old or row.new, row.kind, width - GUTTER, place)
        return Strip(segments).crop_extend(0, width, self.rich_style)

    def _half(self, side: Side | None, kind: str, width: int, place: bool) -> list[Segment]:
        if side is None:
            return [Segment(" " * width, self.rich_style)]
        text = _narrower(side.text) if self._beside else side.text
        return [Segment(cut(f" {text}", width), self._style("place" if place else kind))]

    def _style(self, name: str) -> Style:
        return self.rich_style + self.get_component_rich_style(f"diff--{'gone' if name == 'changed' else name}")


def _narrower(text: str) -> str:
    """Half the indentation: two pages beside each other have little room."""
    bare = text.lstrip(" ")
    return " " * ((len(text) - len(bare)) // 2) + bare
