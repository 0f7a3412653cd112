"""The page sets that prove the readers, and the gate that they open: list, replay, check, and what moved since.

Replaying and checking against the archive ask nobody; checking against today's pages fetches them, politely.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar, NamedTuple, TypeVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Static

from pipeline.errors import PipelineError
from pipeline.ways import Way
from screens import errands
from screens.allowing import AllowingScreen
from screens.background import off_loop
from screens.diffing import DiffScreen, Subject
from screens.drift_telling import gate_line
from screens.errands import LookAgain
from screens.gate_telling import (
    FIXTURE_COLUMNS,
    about_set,
    check_lines,
    fixture_lines,
    fixture_row,
    replay_lines,
)
from screens.picture import Picture
from screens.ports import ConsoleService
from screens.reading import ReadingScreen, error_screen
from screens.telling import Line
from screens.widgets.keys import KeyLine
from screens.widgets.table import RowTable
from screens.widgets.tones import content
from screens.words import Phrase, Tone, clean

if TYPE_CHECKING:
    from pipeline.fixture_view import FixtureLine
    from pipeline.gate import GateState

Hidden = partial(Binding, show=False)  # in the help and the palette, not on the last line
MODES = ("full", "fetch", "parse", "normalise", "persist")
NO_SET = "There is no page set under the cursor."
NEED_SET = ("replay", "check", "check_live", "diff")
Answer = TypeVar("Answer")


class Sets(NamedTuple):
    """What is known of the gate and its page sets."""

    gate: GateState
    lines: tuple[FixtureLine, ...]


class FixturesScreen(AllowingScreen[None]):
    """Every page set, shipped and captured, and whether the gate is open."""

    CSS_PATH = "fixtures.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "back", "Back", id="fixtures.back", tooltip="Back to where you were"),
        Binding("v", "judge", "Replay all", id="fixtures.judge", tooltip="Replay every page set; the gate follows"),
        Binding("r", "replay", "Replay", id="fixtures.replay", tooltip="Replay this page set three times"),
        Hidden("m", "mode", "Mode", id="fixtures.mode", tooltip="How much is replayed: everything, or one stage"),
        Binding("a", "check", "Check", id="fixtures.check", tooltip="Which side moved? Against archived pages"),
        Hidden("l", "check_live", "Live", id="fixtures.live", tooltip="Which side moved? Against today's pages"),
        Binding("h", "diff", "What moved", id="fixtures.diff", tooltip="The set beside its event's newest pages"),
    ]
    ways: ClassVar[Mapping[str, Way]] = MappingProxyType({"judge": Way.RECOVERY, "check_live": Way.RECOVERY})

    def __init__(self, service: ConsoleService) -> None:
        super().__init__(service, Picture())
        self._sets: Sets | None = None
        self._mode = MODES[0]
        self._working = ""  # what is being done

    def compose(self) -> ComposeResult:
        yield Static(content([Phrase("Events › ", Tone.QUIET), Phrase("page sets and gate", Tone.BUSY)]), id="trail")
        yield Static(id="about")
        yield RowTable(FIXTURE_COLUMNS, empty="reading …")
        yield Static(id="detail")
        yield KeyLine()

    def on_mount(self) -> None:
        self.watch(self.app, "picture", self._look)
        self.query_one(RowTable).focus()
        self._read()

    def _look(self, picture: Picture) -> None:
        self._picture = picture
        self.regrey()

    # ------------------------------------------------------------------ what is shown

    @work(exclusive=True, group="read")
    async def _read(self) -> None:
        try:
            self._sets = await off_loop(lambda: Sets(self._service.gate_state(), self._service.fixtures()))
        except PipelineError as error:
            self.query_one(RowTable).show_rows((), empty="could not be read")
            self.app.push_screen(error_screen(error))
            return
        self.query_one(RowTable).show_rows(map(fixture_row, self._sets.lines), empty="there is no page set")
        self._draw()

    def _draw(self) -> None:
        if self._sets is not None:
            self.query_one("#about", Static).update(content(gate_line(self._sets.gate)))
        self._draw_detail()
        self.refresh_bindings()

    @on(RowTable.Moved)
    def _draw_detail(self) -> None:
        line = self.selected
        if self._working:
            said = [Phrase(f"◐ {self._working}", Tone.BUSY)]
        elif line is not None:
            said = [*about_set(line), Phrase(f"  r replays: {self._mode} (m)", Tone.QUIET)]
        else:
            said = []
        self.query_one("#detail", Static).update(content(said))

    @property
    def selected(self) -> FixtureLine | None:
        lines = self._sets.lines if self._sets is not None else ()
        cursor = self.query_one(RowTable).cursor
        return lines[cursor] if cursor < len(lines) else None

    # ------------------------------------------------------------------ keys

    @property
    def acting(self) -> tuple[str, ...]:
        return (*super().acting, *NEED_SET)

    def why_not(self, action: str) -> str:
        if action in NEED_SET and (not self.is_mounted or self.selected is None):
            return NO_SET
        if action in (*self.ways, *NEED_SET) and self._working:
            return f"{self._working} Wait for it."
        return super().why_not(action)

    async def _ask(self, what: str, question: Callable[[], Answer]) -> Answer | None:
        """Say what is done while it is done; a failure is shown, and None returned."""
        self._working = what
        self._draw()
        try:
            return await off_loop(question)
        except PipelineError as error:
            self.app.push_screen(error_screen(error))
            return None
        finally:
            self._working = ""
            self._draw()

    @on(RowTable.Chosen)
    @work(exclusive=True, group="ask")
    async def _show_set(self) -> None:
        line = self.selected
        if line is not None:
            detail = await self._ask("Reading …", partial(self._service.fixture, line.event_id, line.version))
            if detail is not None:
                self._tell(f"Page set {line.event_id}", fixture_lines(detail))

    @work(exclusive=True, group="ask")
    async def action_judge(self) -> None:
        gate = await self._ask("Replaying every page set …", self._service.run_gate)
        if gate is not None:
            self.post_message(LookAgain())
            said = "".join(phrase.text for phrase in gate_line(gate))
            self.notify(said, severity="information" if gate.state == "green" else "error", markup=False)
            self._read()

    @work(exclusive=True, group="ask")
    async def action_replay(self) -> None:
        line = self.selected
        if line is not None:
            ask = partial(self._service.replay_fixture, line.event_id, self._mode)
            report = await self._ask(f"Replaying {clean(line.event_id)}: {self._mode} …", ask)
            if report is not None:
                self._tell(f"Replay of {line.event_id}", replay_lines(report), bad=not report.passed)

    @work(exclusive=True, group="ask")
    async def action_check(self) -> None:
        if self.selected is not None:
            await self._check(self.selected.event_id, live=False)

    @work(exclusive=True, group="ask")
    async def action_check_live(self) -> None:
        line = self.selected
        if line is None:
            return
        try:
            if not await errands.said_who(self.app, self._service):
                return
        except PipelineError as error:
            self.app.push_screen(error_screen(error))
            return
        await self._check(line.event_id, live=True)

    async def _check(self, event_id: str, *, live: bool) -> None:
        ask = self._service.check_fixture_live if live else self._service.check_fixture
        against = "today's pages" if live else "archived pages"
        check = await self._ask(f"Comparing {clean(event_id)} with {against} …", partial(ask, event_id))
        if check is not None:
            self._tell(f"Which side moved? {event_id}", check_lines(check), bad=bool(check.moved))

    def _tell(self, title: str, lines: list[Line], *, bad: bool = False) -> None:
        self.app.push_screen(ReadingScreen(clean(title), lines, bad=bad))

    def action_mode(self) -> None:
        self._mode = MODES[(MODES.index(self._mode) + 1) % len(MODES)]
        self._draw_detail()

    def action_diff(self) -> None:
        line = self.selected
        if line is not None:
            ask = partial(self._service.compare_fixture, line.event_id)
            self.app.push_screen(DiffScreen(self._service, Subject(f"page set {line.event_id}", ask)))

    def action_back(self) -> None:
        self.dismiss()
