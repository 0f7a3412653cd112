"""Two pages beside each other: what moved in words, every field, the markup; and the keys that repair it.

The field under the cursor is marked in the markup, where it stood and where it stands now. The stored page can be
read again from here, offline, and the bytes themselves are a key away.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from textual import events, on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import Static

from pipeline.errors import PipelineError
from screens.background import off_loop
from screens.diff_rows import (
    FIELD_COLUMNS,
    MarkupRow,
    Shape,
    about_field,
    about_pages,
    beside,
    field_row,
    fields_in_order,
    raw,
    unified,
)
from screens.drift_telling import OPEN, case_state, proposal_line
from screens.gate_telling import reparse_lines
from screens.ports import ConsoleService
from screens.reading import ReadingScreen, error_screen
from screens.repairing import Hidden, RepairingScreen
from screens.widgets.diff import DiffView
from screens.widgets.keys import KeyLine
from screens.widgets.table import RowTable
from screens.widgets.tones import content
from screens.words import Phrase, Tone, clean

if TYPE_CHECKING:
    from pipeline.comparing import Comparison
    from pipeline.page_diff import FieldLine

BESIDE_FROM = 110  # cells; in less, two pages beside each other say little


@dataclass(frozen=True)
class Subject:
    """What is compared."""

    name: str  # for the trail: an event, a drift case, a page set
    compare: Callable[[], Comparison]  # may block
    case: Callable[[], int | None] = lambda: None  # the drift case that it belongs to; may block


class DiffScreen(RepairingScreen):
    """Headline, fields, markup."""

    CSS_PATH = "diffing.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "back", "Back", id="diff.back", tooltip="Back to where you were"),
        Binding("n", "walk(1)", "Next", id="diff.next", tooltip="The next change"),
        Hidden("N", "walk(-1)", "Previous", id="diff.previous", tooltip="The change before"),
        Binding("u", "shape", "Unified", id="diff.shape", tooltip="Unified, or side by side"),
        Hidden("b", "raw", "Raw", id="diff.raw", tooltip="The bytes themselves, or the markup again"),
        Binding("r", "reparse", "Read", id="diff.reparse", tooltip="Read the stored page again, offline"),
        Hidden("c", "copy", "Copy", id="diff.copy", tooltip="Copy the headline to the clipboard"),
    ]

    def __init__(self, service: ConsoleService, subject: Subject) -> None:
        super().__init__(service, None)
        self._subject = subject
        self._found: Comparison | None = None
        self._fields: dict[str, FieldLine] = {}
        self._chosen_shape: Shape | None = None  # None: what the width suggests
        self._bytes: tuple[MarkupRow, ...] | None = None  # the raw diff, once it was asked for

    def compose(self) -> ComposeResult:
        trail = [Phrase("Events › ", Tone.QUIET), Phrase(f"{clean(self._subject.name)} › what moved", Tone.BUSY)]
        yield Static(content(trail), id="trail")
        yield Static(content([Phrase("◐ Comparing …", Tone.BUSY)]), id="headline")
        yield Static(id="pages")
        yield Static(id="proposal")
        yield RowTable(FIELD_COLUMNS, empty="comparing …", opens=False, id="fields")
        yield Static(id="field")
        yield DiffView(id="markup")
        yield KeyLine()

    def on_mount(self) -> None:
        self.query_one(RowTable).focus()
        self._compare()

    def find_case(self) -> int | None:
        return self._subject.case()

    # ------------------------------------------------------------------ comparing

    @work(exclusive=True, group="compare")
    async def _compare(self) -> None:
        try:
            found = await off_loop(self._subject.compare)
        except PipelineError as error:
            said = [Phrase(f"✗ {clean(error.message)}", Tone.BAD)]
            if remedy := error.details.get("remedy"):
                said.append(Phrase(f"  {clean(str(remedy))}", Tone.QUIET))
            self.query_one("#headline", Static).update(content(said))
            self.query_one(RowTable).show_rows((), empty="there are no two pages to compare")
            return
        self._found = found
        self._fields = {line.field: line for line in fields_in_order(found.diff.fields)}
        self.query_one("#headline", Static).update(content([Phrase(clean(found.diff.headline), Tone.BUSY)]))
        self.query_one("#pages", Static).update(content(about_pages(found.diff)))
        self.query_one(RowTable).show_rows(map(field_row, self._fields.values()))
        self._draw_markup()
        self._draw_field(go=not found.diff.changes)
        self.refresh_bindings()

    def draw_case(self) -> None:
        """The line about the case: what is proposed, or what was done."""
        view = self.view
        if view is None:
            return
        said = [case_state(view.case.state), Phrase(f" drift case {view.case.id} · ", Tone.QUIET)]
        if view.repair is not None:
            then = " · x closes the case" if view.case.state in OPEN else ""
            said.append(Phrase(f"● version {view.repair.version} of the contract is in force{then}", Tone.GOOD))
        elif view.proposal is not None:
            said += proposal_line(view.proposal)
        elif view.why_none:
            said.append(Phrase(view.why_none, Tone.WARN))
        self.query_one("#proposal", Static).update(content(said))

    # ------------------------------------------------------------------ the markup

    @property
    def shape(self) -> Shape:
        """How the markup is shown now."""
        return self._chosen_shape or (Shape.BESIDE if self.size.width >= BESIDE_FROM else Shape.UNIFIED)

    def _draw_markup(self) -> None:
        found, shape, view = self._found, self.shape, self.query_one(DiffView)
        if found is None:
            return
        if shape is Shape.RAW:
            view.show(self._bytes or (), shape)
        else:
            view.show((beside if shape is Shape.BESIDE else unified)(found.diff.lines), shape)
        self._mark(go=False)
        self._title_markup()

    @on(DiffView.Walked)
    def _title_markup(self) -> None:
        view = self.query_one(DiffView)
        which = "no change" if view.change is None else f"change {view.change + 1} of {view.changes}"
        what = "bytes" if self.shape is Shape.RAW else "markup"
        view.border_title = Content(f"{what.capitalize()} · {which} · {self.shape}")

    def on_resize(self, _event: events.Resize) -> None:
        if self._chosen_shape is None:
            self._draw_markup()

    def _selected(self) -> FieldLine | None:
        return self._fields.get(self.query_one(RowTable).key or "")

    @on(RowTable.Moved)
    def _field_moved(self) -> None:
        self._draw_field(go=True)

    def _draw_field(self, *, go: bool) -> None:
        line = self._selected()
        self.query_one("#field", Static).update(content(about_field(line)) if line is not None else "")
        self._mark(go=go)

    def _mark(self, *, go: bool) -> None:
        line = self._selected()
        if line is not None and self.shape is not Shape.RAW:
            self.query_one(DiffView).mark(line.old_lines, line.new_lines, go=go)

    # ------------------------------------------------------------------ keys

    @property
    def acting(self) -> tuple[str, ...]:
        return (*super().acting, "walk", "shape", "raw", "reparse", "copy")

    def why_not(self, action: str) -> str:
        if action in ("walk", "shape", "raw", "reparse", "copy") and self._found is None:
            return "There are no two pages to compare."
        return super().why_not(action)

    def action_walk(self, step: int) -> None:
        if not self.query_one(DiffView).walk(step):
            self.notify("There is no further change." if step > 0 else "There is no change before.", timeout=2)

    def action_shape(self) -> None:
        self._chosen_shape = Shape.UNIFIED if self.shape is Shape.BESIDE else Shape.BESIDE
        self._draw_markup()

    def action_raw(self) -> None:
        if self.shape is Shape.RAW:
            self._chosen_shape = None
            self._draw_markup()
        else:
            self._show_raw()

    @work(exclusive=True, group="raw")
    async def _show_raw(self) -> None:
        found = self._found
        if found is not None and self._bytes is None:
            self._bytes = await off_loop(partial(_raw, found))
        self._chosen_shape = Shape.RAW
        self._draw_markup()

    @work(exclusive=True, group="reparse")
    async def action_reparse(self) -> None:
        if self._found is None:
            return
        try:
            said = await off_loop(partial(self._service.reparse_page, self._found.new))
        except PipelineError as error:
            self.app.push_screen(error_screen(error))
            return
        self.app.push_screen(ReadingScreen("Read again, offline", reparse_lines(said), bad=said.failure is not None))

    def action_copy(self) -> None:
        if self._found is not None:
            self.app.copy_to_clipboard(self._found.diff.headline)
            self.notify("Copied.", timeout=2)

    def action_back(self) -> None:
        self.dismiss()


def _raw(found: Comparison) -> tuple[MarkupRow, ...]:
    """Called in a thread of its own."""
    from pipeline.page_diff import raw_diff

    return raw(raw_diff(found.old, found.new))
