"""The log: a bounded window over the journal, by level, that follows its end until somebody looks back.

Once scrolled up it never moves by itself: new lines are only counted, and shown as `+N lines`. `LogBook` is the window
without a screen; `LogView` paints it, one line of text a line, only what is visible.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.selection import Selection
from textual.strip import Strip

from screens.widgets.table import cut
from screens.words import SEVERITIES, Tone, clean, severity, time_of_day

if TYPE_CHECKING:
    from pipeline.snapshot import LogLine

EVENT_WIDTH = 18  # cells
KEPT = 5_000  # lines while following
KEPT_LOOKING_BACK = 20_000  # what somebody reads is not taken away under their eyes, within reason


class LogBook:
    """The newest lines of the journal, and those of them that the level lets through."""

    def __init__(self, level: str = "info") -> None:
        self.level = level
        self._lines: list[LogLine] = []
        self.shown: list[LogLine] = []

    def add(self, lines: Sequence[LogLine], *, keep: int) -> tuple[int, int]:
        """Append lines and forget the oldest beyond `keep`.

        Returns:
            How many shown lines came at the end, and how many went at the beginning.
        """
        self._lines += lines
        fresh = [line for line in lines if self._passes(line)]
        self.shown += fresh
        surplus = self._lines[: max(0, len(self._lines) - keep)]
        del self._lines[: len(surplus)]
        gone = sum(map(self._passes, surplus))
        del self.shown[:gone]
        return len(fresh), gone

    def set_level(self, level: str) -> None:
        """Let only lines of this severity or a worse one through."""
        self.level = level
        self.shown = [line for line in self._lines if self._passes(line)]

    def _passes(self, line: LogLine) -> bool:
        return _rank(line.severity) >= _rank(self.level)


def _rank(name: str) -> int:
    return SEVERITIES.index(name) if name in SEVERITIES else len(SEVERITIES)  # an unknown severity is never hidden


def log_text(line: LogLine, *, with_event: bool = True) -> str:
    """A line as it is shown and copied: time (UTC), severity, event (the end of a long one), message."""
    event = cut(clean(line.event), EVENT_WIDTH, keep_end=True) + "  " if with_event else ""
    return f"{time_of_day(line.at)}  {severity(line.severity).text:<7}  {event}{clean(line.message)}"


class LogView(ScrollView, can_focus=True, inherit_bindings=False):
    """Shows a `LogBook`. Posts `Changed` when what its title says has changed."""

    ALLOW_SELECT = True
    DEFAULT_CSS = """
    LogView {
        overflow-x: auto;
        overflow-y: scroll;
        scrollbar-size: 0 1;
        background: $background;
        & > .log--plain { color: $foreground; }
        & > .log--quiet { color: $foreground 60%; }
        & > .log--good { color: $text-success; }
        & > .log--busy { color: $text-accent; }
        & > .log--warn { color: $text-warning; }
        & > .log--bad { color: $text-error; text-style: bold; }
    }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {f"log--{tone}" for tone in Tone}
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "scroll_by(0, 1)", "Down", id="log.down", tooltip="One line down", show=False),
        Binding("up,k", "scroll_by(0, -1)", "Up", id="log.up", tooltip="One line up; stops following", show=False),
        Binding("right", "scroll_by(8, 0)", "Right", id="log.right", tooltip="Further into long lines", show=False),
        Binding("left", "scroll_by(-8, 0)", "Left", id="log.left", tooltip="Back in long lines", show=False),
        Binding("pagedown", "page(1)", "Page down", id="log.page_down", tooltip="One page down", show=False),
        Binding("pageup", "page(-1)", "Page up", id="log.page_up", tooltip="One page up", show=False),
        Binding("home,g", "top", "Top", id="log.first", tooltip="To the oldest line kept", show=False),
        Binding("end,G", "bottom", "Bottom", id="log.last", tooltip="To the newest line, and follow", show=False),
    ]

    class Changed(Message):
        """Level, following or the number of unseen lines changed."""

    def __init__(self, *, level: str = "info", id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self.book = LogBook(level)
        self.following = True
        self.unseen = 0  # lines that came below since somebody looks back
        self._moving_itself = False
        self._widest = 0  # cells of the longest line so far: how far one can look to the right

    # ------------------------------------------------------------------ what it shows

    def add_lines(self, lines: Iterable[LogLine]) -> None:
        """Append lines, oldest first. The view moves only while it follows."""
        lines = tuple(lines)
        self._widest = max(self._widest, max((cell_len(log_text(line)) for line in lines), default=0))
        fresh, gone = self.book.add(lines, keep=KEPT if self.following else KEPT_LOOKING_BACK)
        if not fresh and not gone:
            return
        self._measure()
        if self.following:
            self._move_to(self.max_scroll_y)
        else:
            self.unseen += fresh
            self._move_to(self.scroll_offset.y - gone)
        self.refresh()
        self.post_message(self.Changed())

    def set_level(self, level: str) -> None:
        """Show this severity and worse ones; whoever looks back stays at the line on top, or the next one shown."""
        on_top = self.book.shown[self.scroll_offset.y].id if self.book.shown and not self.following else None
        newest_seen = self.book.shown[-1 - self.unseen].id if self.unseen < len(self.book.shown) else 0
        self.book.set_level(level)
        self._measure()
        if on_top is None:
            self._move_to(self.max_scroll_y)
        else:
            self.unseen = sum(line.id > newest_seen for line in self.book.shown)
            self._move_to(sum(line.id < on_top for line in self.book.shown))
        self.refresh()
        self.post_message(self.Changed())

    def follow(self, following: bool) -> None:
        if following:
            self.unseen = 0
            self._move_to(self.max_scroll_y)
        self.following = following
        self.post_message(self.Changed())

    def _measure(self) -> None:
        self.virtual_size = Size(self._widest, len(self.book.shown))

    # ------------------------------------------------------------------ moving

    def _move_to(self, y: float) -> None:
        """Scroll without that counting as somebody looking back."""
        self._moving_itself = True
        try:
            self.scroll_to(y=max(0, y), animate=False)
        finally:
            self._moving_itself = False

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        if self._moving_itself or not self.is_mounted:
            return
        at_end = new_value >= self.max_scroll_y
        if at_end != self.following and (at_end or new_value < old_value):
            self.follow(at_end)

    def on_resize(self) -> None:
        if self.following:
            self._move_to(self.max_scroll_y)

    def action_scroll_by(self, columns: int, lines: int) -> None:
        self.scroll_to(x=self.scroll_offset.x + columns, y=self.scroll_offset.y + lines, animate=False)

    def action_page(self, pages: int) -> None:
        self.action_scroll_by(0, pages * max(1, self.scrollable_content_region.height - 1))

    def action_top(self) -> None:
        self.scroll_to(y=0, animate=False)

    def action_bottom(self) -> None:
        self.follow(True)

    # ------------------------------------------------------------------ painting and copying

    def render_line(self, y: int) -> Strip:
        width = self.scrollable_content_region.width
        scroll_x, scroll_y = self.scroll_offset
        index = scroll_y + y
        base = self.rich_style
        if index >= len(self.book.shown):
            empty = " Nothing at this level yet." if index == 0 and not self.book.shown else ""
            return Strip([Segment(empty, base + self._style(Tone.QUIET))]).crop_extend(0, width, base)
        line = self.book.shown[index]
        strip = Strip(self._segments(index, log_text(line), base + self._style(severity(line.severity).tone)))
        return strip.crop_extend(scroll_x, scroll_x + width, base).apply_offsets(scroll_x, index)

    def _segments(self, index: int, text: str, style: Style) -> list[Segment]:
        """The line, with what the mouse selected of it marked."""
        selection = self.text_selection
        span = selection.get_span(index) if selection is not None else None
        if span is None:
            return [Segment(text, style)]
        start, end = span[0], len(text) if span[1] == -1 else span[1]
        marked = style + self.screen.get_component_rich_style("screen--selection")
        parts = [(text[:start], style), (text[start:end], marked), (text[end:], style)]
        return [Segment(part, part_style) for part, part_style in parts if part]

    def get_selection(self, selection: Selection) -> tuple[str, str] | None:
        return selection.extract("\n".join(map(log_text, self.book.shown))), "\n"

    def selection_updated(self, selection: Selection | None) -> None:
        self.refresh()

    def _style(self, tone: Tone) -> Style:
        return self.get_component_rich_style(f"log--{tone}")
