"""The drift cases: has LiveRC changed its pages? A list, and one case with its doubts, its probes and its events."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Static

from screens.actions import DetailScreen
from screens.diffing import DiffScreen, Subject
from screens.drift_telling import CASE_COLUMNS, OPEN, case_lines, case_row, case_summary, proposal_lines
from screens.ports import ConsoleService
from screens.repairing import Hidden, RepairingScreen
from screens.telling import Line, plain
from screens.widgets.keys import KeyLine
from screens.widgets.table import Row
from screens.widgets.tones import lines as drawn
from screens.words import Phrase, Tone, count

if TYPE_CHECKING:
    from pipeline.drift import Case

SHOWN = 200


def subject_of_case(service: ConsoleService, case_id: int) -> Subject:
    """A page of a case as it is known, and as it is now."""
    return Subject(f"drift case {case_id}", partial(service.compare_case, case_id), lambda: case_id)


class CasesScreen(DetailScreen["Case"]):
    """All cases, newest first."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("h", "diff", "What moved", id="cases.diff", tooltip="The case's pages beside each other"),
    ]
    columns = CASE_COLUMNS

    def __init__(self, service: ConsoleService, now: int) -> None:
        """`now` is the moment of the picture, in UTC milliseconds."""
        super().__init__(service, ("Events", "drift cases"))
        self._now = now

    def ask(self) -> tuple[Case, ...]:
        return self.service.drift_cases(limit=SHOWN)

    def row(self, item: Case) -> Row:
        return case_row(item, max(self._now, item.opened_at))

    def about(self) -> str:
        open_ones = sum(case.state in OPEN for case in self.items)
        return f"{count(len(self.items), 'case')}, newest first · {open_ones} open"

    def nothing(self) -> str:
        return "no drift case: every page looks as pages of its type do"

    def detail(self, item: Case) -> Line:
        return case_summary(item)

    def below(self, item: Case) -> Screen[None]:
        return CaseScreen(self.service, item.id)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "diff":
            return True if self.is_mounted and self.item is not None else None
        return super().check_action(action, parameters)

    def action_diff(self) -> None:
        if self.item is not None:
            self.app.push_screen(DiffScreen(self.service, subject_of_case(self.service, self.item.id)))


class CaseScreen(RepairingScreen):
    """One case: what is doubted, what the probes said, which events wait, what would repair it."""

    CSS_PATH = "cases.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "back", "Back", id="case.back", tooltip="Back to the cases"),
        Binding("h", "diff", "What moved", id="case.diff", tooltip="Its pages beside each other"),
        Hidden("c", "copy", "Copy", id="case.copy", tooltip="Copy all of this text to the clipboard"),
        Hidden("down,j", "scroll(1)", "Down", id="case.down", tooltip="One line down"),
        Hidden("up,k", "scroll(-1)", "Up", id="case.up", tooltip="One line up"),
        Hidden("pagedown,space", "scroll(10)", "Page", id="case.page_down", tooltip="Ten lines down"),
        Hidden("pageup", "scroll(-10)", "Back", id="case.page_up", tooltip="Ten lines up"),
        Hidden("home,g", "scroll(-10000)", "Top", id="case.first", tooltip="To the beginning"),
        Hidden("end,G", "scroll(10000)", "Bottom", id="case.last", tooltip="To the end"),
    ]

    def compose(self) -> ComposeResult:
        with VerticalScroll(id="case", can_focus=False) as box:
            box.border_title = Content(f"Events › drift cases › {self.case_id}")
            yield Static(drawn([[Phrase("◐ Reading the case, looking for its known values …", Tone.BUSY)]]))
        yield KeyLine()

    def draw_case(self) -> None:
        self.query_one("#case Static", Static).update(drawn(self._lines()))

    def _lines(self) -> list[Line]:
        view = self.view
        if view is None:
            return []
        remedy: list[Line] = []
        if view.why_none:
            remedy = [[Phrase(view.why_none, Tone.WARN)], [Phrase("f fetches known pages of other events again.")]]
        if view.proposal is not None:
            remedy = proposal_lines(view.proposal)
        return case_lines(view.case, view.repair, remedy)

    def action_diff(self) -> None:
        if self.case_id is not None:
            self._go(DiffScreen(self._service, subject_of_case(self._service, self.case_id)))

    def action_copy(self) -> None:
        self.app.copy_to_clipboard(plain(self._lines()))
        self.notify("Copied.", timeout=2)

    def action_scroll(self, lines: int) -> None:
        self.query_one("#case").scroll_relative(y=lines, animate=False)

    def action_back(self) -> None:
        self.dismiss()
