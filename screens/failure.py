"""Why an event failed: the envelope in words, what is served meanwhile, what to do, the run's log. All to be copied."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Static

from pipeline.errors import PipelineError
from screens.background import off_loop
from screens.ports import ConsoleService
from screens.reading import error_screen
from screens.telling import failure_lines, plain
from screens.widgets.keys import KeyLine
from screens.widgets.tones import lines as drawn
from screens.words import clean

if TYPE_CHECKING:
    from pipeline.snapshot import EventLine, LogLine

LOG_LINES = 500


class FailureScreen(Screen[bool]):
    """Dismissed with True where the operator wants the event ingested again."""

    CSS_PATH = "failure.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "back", "Back", id="failure.back", tooltip="Back to the events"),
        Binding("r", "retry", "Retry", id="failure.retry", tooltip="Ingest this event again"),
        Binding("t", "timeline", "Timeline", id="failure.timeline", tooltip="Where the failed run's time went"),
        Binding("h", "diff", "What moved", id="failure.diff", tooltip="What moved on the page that it failed at"),
        Binding("c", "copy", "Copy", id="failure.copy", tooltip="Copy all of this text to the clipboard"),
        Binding("down,j", "scroll(1)", "Down", id="failure.down", tooltip="One line down", show=False),
        Binding("up,k", "scroll(-1)", "Up", id="failure.up", tooltip="One line up", show=False),
        Binding("pagedown,space", "scroll(10)", "Page", id="failure.page_down", tooltip="Ten lines down", show=False),
        Binding("pageup", "scroll(-10)", "Back", id="failure.page_up", tooltip="Ten lines up", show=False),
        Binding("home,g", "top", "Top", id="failure.first", tooltip="To the beginning", show=False),
        Binding("end,G", "bottom", "Bottom", id="failure.last", tooltip="To the end", show=False),
    ]

    def __init__(self, service: ConsoleService, event: EventLine, now: int) -> None:
        """`now` is the moment of the picture that the event line comes from, in UTC milliseconds."""
        super().__init__()
        self._service = service
        self._event = event
        self._now = now
        self._log: tuple[LogLine, ...] = ()

    def compose(self) -> ComposeResult:
        with VerticalScroll(id="failure", can_focus=False) as box:
            box.border_title = Content(f"Events › {clean(self._event.event)} › failure")
            yield Static()
        yield KeyLine()

    def on_mount(self) -> None:
        self._draw()
        if self._run_id is not None:
            self._read_log(self._run_id)

    @property
    def _run_id(self) -> int | None:
        """The run that failed."""
        run_id = self._event.failure.details.get("run_id") if self._event.failure is not None else None
        return run_id if isinstance(run_id, int) else None

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return None if action == "timeline" and self._run_id is None else True

    @work
    async def _read_log(self, run_id: int) -> None:
        try:
            self._log = await off_loop(partial(self._service.run_log, run_id, LOG_LINES))
        except PipelineError as error:
            self.app.push_screen(error_screen(error))
        self._draw()

    def _draw(self) -> None:
        self.query_one(Static).update(drawn(failure_lines(self._event, self._now, self._log)))

    def action_back(self) -> None:
        self.dismiss(False)

    def action_retry(self) -> None:
        self.dismiss(True)

    def action_timeline(self) -> None:
        from screens.timeline import TimelineScreen

        if self._run_id is not None:
            self.app.push_screen(TimelineScreen(self._service, self._run_id, self._event.event))

    def action_diff(self) -> None:
        from screens.diffing import DiffScreen
        from screens.drifting import subject_of_event

        self.app.push_screen(DiffScreen(self._service, subject_of_event(self._service, self._event)))

    def action_copy(self) -> None:
        self.app.copy_to_clipboard(plain(failure_lines(self._event, self._now, self._log)))
        self.notify("Copied.", timeout=2)

    def action_scroll(self, lines: int) -> None:
        self.query_one("#failure").scroll_relative(y=lines, animate=False)

    def action_top(self) -> None:
        self.query_one("#failure").scroll_home(animate=False)

    def action_bottom(self) -> None:
        self.query_one("#failure").scroll_end(animate=False)
