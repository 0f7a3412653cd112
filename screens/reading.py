"""A dialog with text to read and copy: errors, warnings, what is known of a lock."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

from pipeline.errors import PipelineError
from screens.telling import Line, error_lines, plain
from screens.widgets.tones import lines as drawn


class ReadingScreen(ModalScreen[None]):
    """Shows lines under a title. Every text in it can be selected with the mouse, or copied whole."""

    CSS_PATH = "reading.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,enter", "close", "Close", id="reading.close", tooltip="Back to where you were"),
        Binding("c", "copy", "Copy", id="reading.copy", tooltip="Copy all of this text to the clipboard"),
        Binding("down,j", "scroll(1)", "Down", id="reading.down", tooltip="One line down", show=False),
        Binding("up,k", "scroll(-1)", "Up", id="reading.up", tooltip="One line up", show=False),
        Binding("home,g", "top", "Top", id="reading.first", tooltip="To the beginning", show=False),
        Binding("end,G", "bottom", "Bottom", id="reading.last", tooltip="To the end", show=False),
    ]

    def __init__(self, title: str, lines: Sequence[Line], *, bad: bool = False) -> None:
        super().__init__()
        self._title = title
        self._lines = lines
        self._bad = bad

    def compose(self) -> ComposeResult:
        with VerticalScroll(id="reading", classes="-bad" if self._bad else "", can_focus=False) as box:
            box.border_title = self._title
            box.border_subtitle = "c copies · esc closes"
            yield Static(drawn(self._lines))

    def action_close(self) -> None:
        self.dismiss()

    def action_copy(self) -> None:
        self.app.copy_to_clipboard(plain(self._lines))
        self.notify("Copied.", timeout=2)

    def action_scroll(self, lines: int) -> None:
        self.query_one("#reading").scroll_relative(y=lines, animate=False)

    def action_top(self) -> None:
        self.query_one("#reading").scroll_home(animate=False)

    def action_bottom(self) -> None:
        self.query_one("#reading").scroll_end(animate=False)


def error_screen(error: PipelineError) -> ReadingScreen:
    """The dialog for an error that somebody has to read."""
    return ReadingScreen("This did not work", error_lines(error.envelope()), bad=True)
