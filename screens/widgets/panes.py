"""The line of tabs that stands for the lower panes where a small terminal has room for one of them only."""

from __future__ import annotations

from typing import NamedTuple

from rich.cells import cell_len
from textual import events
from textual.app import RenderResult
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget

from screens.widgets.tones import content
from screens.words import Phrase, Tone


class Tab(NamedTuple):
    """A pane by its id, and what its tab says."""

    pane: str
    text: str


class PaneTabs(Widget):
    """Paints the tabs; posts `Picked` when one is clicked."""

    DEFAULT_CSS = "PaneTabs { height: 1; background: $panel; }"

    tabs: reactive[tuple[Tab, ...]] = reactive(())
    chosen: reactive[str] = reactive("")

    class Picked(Message):
        """A tab was clicked."""

        def __init__(self, pane: str) -> None:
            super().__init__()
            self.pane = pane

    def _labels(self) -> list[tuple[str, str]]:
        """Pane and text of each tab; the chosen one is marked in the text too."""
        return [(tab.pane, f" {'▸' if tab.pane == self.chosen else ' '}{tab.text} ") for tab in self.tabs]

    def render(self) -> RenderResult:
        return content(Phrase(text, Tone.BUSY if pane == self.chosen else Tone.QUIET) for pane, text in self._labels())

    def on_click(self, event: events.Click) -> None:
        left = 0
        for pane, text in self._labels():
            left += cell_len(text)
            if event.x < left:
                self.post_message(self.Picked(pane))
                return
