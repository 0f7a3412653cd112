"""One thing that may be ticked: a box that reads the same without colours."""

from __future__ import annotations

from typing import ClassVar

from textual.app import RenderResult
from textual.binding import Binding, BindingType
from textual.reactive import reactive
from textual.widget import Widget

from screens.widgets.tones import content
from screens.words import Phrase, Tone


class Tick(Widget, can_focus=True):
    """Ticked or not, by space or a click."""

    DEFAULT_CSS = """
    Tick { height: 1; width: auto; padding: 0 1; }
    Tick:focus { background: $block-cursor-blurred-background; text-style: bold; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "tick", "Tick", id="tick.tick", tooltip="Tick this, or take the tick away"),
    ]

    ticked: reactive[bool] = reactive(False)

    def __init__(self, text: str, *, ticked: bool = False) -> None:
        super().__init__()
        self._text = text
        self.set_reactive(Tick.ticked, ticked)

    def render(self) -> RenderResult:
        box = Phrase("[x] ", Tone.BUSY) if self.ticked else Phrase("[ ] ")
        return content([box, Phrase(self._text)])

    def action_tick(self) -> None:
        self.ticked = not self.ticked

    def on_click(self) -> None:
        self.action_tick()
