"""The events of a closed drift case, ingested again one after the other; each says how it ended.

Leaving the screen does not stop them: an event that was not reached stays on offer with its case.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widgets import Static

from pipeline.errors import PipelineError
from screens.allowing import AllowingScreen
from screens.background import off_loop
from screens.errands import LookAgain
from screens.picture import Picture
from screens.ports import ConsoleService
from screens.reading import ReadingScreen, error_screen
from screens.telling import error_lines
from screens.widgets.keys import KeyLine
from screens.widgets.table import Column, Row, RowTable
from screens.widgets.tones import content
from screens.words import Phrase, Tone, clean, count

if TYPE_CHECKING:
    from pipeline.drift import Case
    from pipeline.service_drift import CaseIngestion
    from pipeline.snapshot import LiveRun

COLUMNS = (Column("Event", 20, flex=2, keep_end=True), Column("How it went", 30, flex=4))


class CaseIngestScreen(AllowingScreen[None]):
    """Begins when it is shown."""

    CSS_PATH = "ingesting.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "back", "Back", id="ingesting.back", tooltip="Back; what is under way goes on"),
        Binding("s", "stop", "Stop", id="ingesting.stop", tooltip="Stop after the event under way"),
    ]

    class Told(Message):
        """One event is done."""

    def __init__(self, service: ConsoleService, case: Case) -> None:
        super().__init__(service, Picture())
        self._case = case
        self._names = tuple(event.event for event in case.events if event.released_at is None)
        self._steps: dict[str, CaseIngestion] = {}
        self._stopping = False
        self._ended = False

    def compose(self) -> ComposeResult:
        trail = [Phrase("Events › ", Tone.QUIET), Phrase(f"drift case {self._case.id} › ingest again", Tone.BUSY)]
        yield Static(content(trail), id="trail")
        yield Static(id="about")
        yield RowTable(COLUMNS, empty="no event waits")
        yield KeyLine()

    def on_mount(self) -> None:
        self.watch(self.app, "picture", self._look)
        self.query_one(RowTable).focus()
        self._ingest()

    def _look(self, picture: Picture) -> None:
        self._picture = picture
        self._draw()

    @work
    async def _ingest(self) -> None:
        try:
            await off_loop(partial(self._service.ingest_case, self._case.id, self._hear))
        except PipelineError as error:
            self.app.push_screen(error_screen(error))
        finally:
            self._ended = True
            self.post_message(LookAgain())
            self._draw()
            self.refresh_bindings()

    def _hear(self, step: CaseIngestion) -> bool:
        """Called in the ingesting thread."""
        self._steps[step.event] = step
        self.post_message(self.Told())
        return not self._stopping

    @on(Told)
    def _draw(self) -> None:
        snapshot = self._picture.snapshot
        live = {run.event: run for run in snapshot.live} if snapshot is not None else {}
        rows = [Row(name, (Phrase(clean(name)), self._how(name, live.get(name)))) for name in self._names]
        self.query_one(RowTable).show_rows(rows)
        failed = sum(step.error is not None for step in self._steps.values())
        facts = [Phrase(f"{len(self._steps)} of {count(len(self._names), 'event')}")]
        facts.append(Phrase(f" · {failed} failed" if failed else "", Tone.BAD))
        mark = Phrase("◐ Ingesting again: ", Tone.BUSY)
        if self._ended:
            mark = Phrase("▲ Ended: ", Tone.WARN) if failed else Phrase("● Ended: ", Tone.GOOD)
        self.query_one("#about", Static).update(content([mark, *facts]))

    def _how(self, name: str, run: LiveRun | None) -> Phrase:
        step = self._steps.get(name)
        if step is not None and step.error is not None:
            return Phrase(f"✗ {clean(step.error.message)}", Tone.BAD)
        if step is not None and step.report is not None:
            report = step.report
            counts = f"{count(report.races, 'race')}, {count(report.laps, 'lap')}"
            return Phrase(f"● {clean(report.outcome)} by run {report.run_id}: {counts}", Tone.GOOD)
        if run is not None:
            pages = "" if run.pages_total is None else f" {run.pages_done} of {run.pages_total} pages"
            return Phrase(f"◐ {clean(run.stage) or 'begins'}{pages}", Tone.BUSY)
        return Phrase("○ stays on offer" if self._ended else "○ waits", Tone.QUIET)

    @on(RowTable.Chosen)
    def _open(self, message: RowTable.Chosen) -> None:
        """An event that failed says why, at length."""
        step = self._steps.get(message.key)
        if step is not None and step.error is not None:
            title = f"{clean(message.key)} failed"
            self.app.push_screen(ReadingScreen(title, error_lines(step.error.envelope()), bad=True))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "stop":
            return None if self._ended or self._stopping else True
        return super().check_action(action, parameters)

    def action_stop(self) -> None:
        self._stopping = True
        self.notify("It stops after the event under way.", timeout=3)
        self.refresh_bindings()

    def action_back(self) -> None:
        self.dismiss()
