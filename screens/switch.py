"""The global switch: disabling ingestion with a reason, and enabling it again once the checks have passed.

It holds for every program on the database. Nothing is decided here: what enabling needs, the service says.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.widgets import Button, Static

from pipeline.errors import PipelineError
from pipeline.ways import ENABLED, PROTECTED
from screens.background import off_loop
from screens.confirming import Answers, Deed, Field
from screens.ports import ConsoleService
from screens.reading import error_screen
from screens.telling import Line
from screens.widgets.keys import KeyLine
from screens.widgets.tones import lines as drawn
from screens.words import Phrase, Tone, clean, count, moment

if TYPE_CHECKING:
    from pipeline.control import ControlState

PROTECT = "protect: refuse every write but recovery, too"


def disabling(service: ConsoleService, running: int) -> Deed[ControlState]:
    """What is asked before ingestion is disabled; `running` runs are under way."""

    async def do(answers: Answers) -> ControlState:
        return await off_loop(partial(service.disable, reason=answers.texts["reason"], protect=answers.ticked))

    runs = f"{count(running, 'run')} under way stop{'s' if running == 1 else ''} before the next request."
    return Deed(
        "Disable ingestion",
        [
            [Phrase("No program on this database fetches or publishes anything any more.")],
            [Phrase(runs if running else "No run is under way.", Tone.WARN if running else Tone.QUIET)],
            [Phrase("What is served stays, and recovery works.")],
            [Phrase("Enabling it again needs all checks to pass.", Tone.QUIET)],
        ],
        (Field("reason", "Reason", "why; whoever finds ingestion disabled reads it"),),
        "Disable",
        "Disabling; waiting for whoever publishes right now …",
        do,
        option=PROTECT,
    )


def disabled_note(state: ControlState) -> tuple[str, str]:
    """Title and text of what is said once ingestion is disabled."""
    title = "The database is protected" if state.mode == PROTECTED else "Ingestion is disabled"
    if state.publishing:
        return title, "Somebody still hangs inside a publishing transaction that was begun before. l shows who."
    return title, "Nothing is fetched or published any more. d enables it again."


def switch_lines(state: ControlState) -> list[Line]:
    """How the switch stands, who turned it and why, and what enabling needs."""
    what = {
        ENABLED: Phrase("● Ingestion is enabled.", Tone.GOOD),
        PROTECTED: Phrase("■ The database is protected: only recovery may write.", Tone.BAD),
    }.get(state.mode, Phrase("■ Ingestion is disabled: nothing is fetched or published.", Tone.BAD))
    lines: list[Line] = [[what], []]
    if state.changed_at is not None:
        lines.append([Phrase(f"{'Since':<10}", Tone.QUIET), Phrase(moment(state.changed_at))])
        lines.append([Phrase(f"{'By':<10}", Tone.QUIET), Phrase(clean(state.changed_by))])
        lines.append([Phrase(f"{'Reason':<10}", Tone.QUIET), Phrase(clean(state.reason) or "none given")])
        lines.append([])
    if state.may_enable:
        passed = f" (run {state.last_passed})" if state.last_passed is not None else ""
        lines.append([Phrase(f"✓ All checks passed since{passed}. ", Tone.GOOD), Phrase("y enables ingestion.")])
    else:
        needs = clean(state.enable_needs)
        lines.append([Phrase(f"✗ It cannot be enabled yet: {needs}.", Tone.WARN)])
        lines.append([Phrase("v runs all checks; when they pass, it can be.")])
    return lines


class SwitchScreen(ModalScreen[bool]):
    """A switch that is off. Dismissed with True where ingestion was enabled."""

    CSS_PATH = "switch.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "close", "Close", id="switch.close", tooltip="Leave the switch as it is"),
        Binding("v", "check", "Run the checks", id="switch.check", tooltip="Check everything, which enabling needs"),
        Binding("y", "enable", "Enable", id="switch.enable", tooltip="Allow ingestion again, everywhere"),
    ]

    def __init__(self, service: ConsoleService) -> None:
        super().__init__()
        self._service = service
        self._state: ControlState | None = None
        self._enabling = False

    def compose(self) -> ComposeResult:
        with Vertical(id="switch") as box:
            box.border_title = "The switch"
            yield Static(drawn([[Phrase("◐ Reading …", Tone.BUSY)]]))
            with Horizontal():
                yield Button("Close", id="close", compact=True)
                yield Button("Run the checks (v)", id="check", compact=True, variant="primary")
                yield Button("Enable (y)", id="enable", compact=True, variant="primary")
        yield KeyLine()

    def on_mount(self) -> None:
        self.app.clear_notifications()  # they would lie over the buttons
        self.set_focus(self.query_one("#close"))
        self._draw()
        self._read()

    @work(exclusive=True, group="read")
    async def _read(self) -> None:
        try:
            self._state = await off_loop(self._service.control)
        except PipelineError as error:
            self.app.push_screen(error_screen(error))
        self._draw()

    def _draw(self) -> None:
        state = self._state
        if state is not None:
            self.query_one(Static).update(drawn(switch_lines(state)))
        self.query_one("#check").display = state is not None and not state.may_enable
        self.query_one("#enable").display = state is not None and state.may_enable
        self.refresh_bindings()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        state = self._state
        if action == "enable":
            return state is not None and state.may_enable and not self._enabling
        if action == "check":
            return state is not None and not self._enabling
        return True

    @on(Button.Pressed, "#close")
    def action_close(self) -> None:
        self.dismiss(False)

    @on(Button.Pressed, "#check")
    def action_check(self) -> None:
        from screens.checks import ChecksScreen

        def then(event: tuple[int, str] | None) -> None:
            self._read()

        self.app.push_screen(ChecksScreen(self._service, None), then)

    @on(Button.Pressed, "#enable")
    def action_enable(self) -> None:
        if not self._enabling:
            self._enabling = True
            self._enable()

    @work
    async def _enable(self) -> None:
        self.refresh_bindings()
        try:
            await off_loop(self._service.enable)
        except PipelineError as error:
            self._enabling = False
            self.app.push_screen(error_screen(error))
            self._read()
        else:
            self.dismiss(True)
