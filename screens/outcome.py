"""What became of a repair that was accepted or taken back: the page sets' replay, the gate, and what to do now."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from screens.drift_telling import next_step
from screens.ports import ConsoleService
from screens.repairing import Hidden, RepairingScreen
from screens.telling import Line, plain
from screens.widgets.keys import KeyLine
from screens.widgets.tones import content
from screens.widgets.tones import lines as drawn

if TYPE_CHECKING:
    from pipeline.gate import GateState


class OutcomeScreen(RepairingScreen):
    """What became of a repair: the page sets' replay, the gate, what to do now."""

    CSS_PATH = "outcome.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "back", "Back", id="outcome.back", tooltip="Back to where you were"),
        Hidden("c", "copy", "Copy", id="outcome.copy", tooltip="Copy all of this text to the clipboard"),
        Hidden("down,j", "scroll(1)", "Down", id="outcome.down", tooltip="One line down"),
        Hidden("up,k", "scroll(-1)", "Up", id="outcome.up", tooltip="One line up"),
        Hidden("home,g", "scroll(-1000)", "Top", id="outcome.first", tooltip="To the beginning"),
        Hidden("end,G", "scroll(1000)", "Bottom", id="outcome.last", tooltip="To the end"),
    ]

    def __init__(self, service: ConsoleService, case_id: int, what: str, said: list[Line], gate: GateState) -> None:
        super().__init__(service, case_id)
        self._what = what
        self._lines = said
        self._gate = gate

    def compose(self) -> ComposeResult:
        with VerticalScroll(id="outcome", can_focus=False) as box:
            box.border_title = Content(f"Events › drift case {self.case_id} › repair {self._what}")
            yield Static(drawn(self._lines))
        yield Static(id="next")
        yield KeyLine()

    def draw_case(self) -> None:
        view = self.view
        if view is not None:
            self.query_one("#next", Static).update(content(next_step(view.case, view.repair, self._gate)))

    def action_back(self) -> None:
        self.dismiss()

    def action_copy(self) -> None:
        self.app.copy_to_clipboard(plain(self._lines))
        self.notify("Copied.", timeout=2)

    def action_scroll(self, lines: int) -> None:
        self.query_one("#outcome").scroll_relative(y=lines, animate=False)
