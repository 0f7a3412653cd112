"""The schedule: what is done when and how it went, who does it on all machines, and doing it in this console too.

What may be changed here is changed for every process on the database. Running it here is this console's own matter: a
switch, a badge in the first line while it is on, and its end with the console's.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Input, Static

from pipeline.errors import PipelineError
from pipeline.ways import Way
from screens import errands
from screens.allowing import AllowingScreen
from screens.background import off_loop
from screens.confirming import Answers, ConfirmScreen, Deed, Field
from screens.errands import LookAgain
from screens.picture import Picture
from screens.ports import ConsoleService
from screens.reading import ReadingScreen, error_screen
from screens.schedule_telling import (
    JOB_COLUMNS,
    WORKER_COLUMNS,
    about_lines,
    job_lines,
    job_row,
    run_lines,
    worker_row,
)
from screens.summary import header_facts
from screens.telling import Line
from screens.widgets.header import RUNNING, STOPPING
from screens.widgets.keys import KeyLine
from screens.widgets.table import RowTable
from screens.widgets.tones import content
from screens.widgets.tones import lines as drawn
from screens.words import Phrase, Tone, clean

if TYPE_CHECKING:
    from pipeline.schedule import ScheduleLine

LOOK_EVERY_S = 2.0
NOTHING = "There is no schedule under the cursor."
STILL_STOPPING = "This console still ends what it has begun. After that it can run the schedule again."
FORMS = "every 15m, every 6h, every 2d, or cron in UTC: 20 3 * * *"


class EditScreen(ConfirmScreen["ScheduleLine"]):
    """A confirmation whose fields hold what is: the first one has the focus, once the base has set its own."""

    def on_mount(self) -> None:
        self.call_after_refresh(self.query(Input).first().focus)


class ScheduleScreen(AllowingScreen[None]):
    """The jobs, the one under the cursor at length, and the processes that do them."""

    CSS_PATH = "schedule.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("p", "pause", "Pause", id="schedule.pause", tooltip="Pause this job, or resume it"),
        Binding("n", "now", "Run now", id="schedule.now", tooltip="Let whoever runs the schedule do this job at once"),
        Binding("e", "edit", "Edit", id="schedule.edit", tooltip="Another time or other options for this job"),
        Binding("h", "here", "Run here", id="schedule.here", tooltip="Run the schedule in this console, or end that"),
        Binding("escape,q", "back", "Back", id="schedule.back", tooltip="Back to where you were"),
    ]
    ways: ClassVar[Mapping[str, Way]] = MappingProxyType(
        {"pause": Way.EDIT, "now": Way.EDIT, "edit": Way.EDIT, "here": Way.RECOVERY}
    )

    def __init__(self, service: ConsoleService) -> None:
        super().__init__(service, Picture())
        self._schedules: tuple[ScheduleLine, ...] | None = None  # None: not read yet
        self._trouble: PipelineError | None = None  # why they could not be read just now
        self._asking = False
        self._busy = False  # something is being changed from here

    def compose(self) -> ComposeResult:
        yield Static(content([Phrase("Events › ", Tone.QUIET), Phrase("Schedule", Tone.BUSY)]), id="trail")
        yield Static(id="about")
        yield RowTable(JOB_COLUMNS, id="jobs", empty="reading …")
        yield Static(id="job")
        yield RowTable(WORKER_COLUMNS, id="workers", empty="no process runs the schedule, or did today", opens=False)
        yield KeyLine()

    def on_mount(self) -> None:
        self.watch(self.app, "picture", self._show)
        self._look()
        self.set_interval(LOOK_EVERY_S, self._look)
        self.query_one("#jobs").focus()

    # ------------------------------------------------------------------ what is shown

    @property
    def selected(self) -> ScheduleLine | None:
        key = self.query_one("#jobs", RowTable).key
        return next((line for line in self._schedules or () if line.name == key), None)

    @property
    def _now(self) -> int:
        return self._picture.snapshot.taken_at if self._picture.snapshot is not None else 0

    @work
    async def _look(self) -> None:
        if self._asking:
            return  # a slow database is not asked twice
        self._asking = True
        try:
            self._schedules, self._trouble = await off_loop(self._service.schedules), None
        except PipelineError as error:
            self._trouble = error
        finally:
            self._asking = False
        self._draw()

    def _show(self, picture: Picture) -> None:
        self._picture = picture
        self._draw()

    def _draw(self) -> None:
        jobs, snapshot = self.query_one("#jobs", RowTable), self._picture.snapshot
        if self._schedules is not None and snapshot is not None:
            jobs.show_rows([job_row(line, self._now) for line in self._schedules], empty="there are no schedules")
        elif self._trouble is not None:
            jobs.show_rows((), empty="could not be read")
        workers = snapshot.workers if snapshot is not None else ()
        self.query_one("#workers", RowTable).show_rows([worker_row(worker, self._now) for worker in workers])
        self._draw_about()
        self._draw_job()

    def _draw_about(self) -> None:
        said = about_lines(self._picture.snapshot, self._service.schedule_here())
        if self._trouble is not None:
            said[1] = [Phrase(f"✗ The schedule could not be read: {clean(self._trouble.message)}", Tone.BAD)]
        elif badge := header_facts(self._picture, self._service).badge:
            said[1] = [Phrase(f"■ {badge}  ", Tone.BAD), *said[1]]
        self.query_one("#about", Static).update(drawn(said))

    @on(RowTable.Moved, "#jobs")
    def _draw_job(self) -> None:
        line = self.selected
        self.query_one("#job", Static).update(drawn(job_lines(line, self._now)) if line is not None else "")
        self.regrey()

    # ------------------------------------------------------------------ what may be done

    def why_not(self, action: str) -> str:
        if action in ("pause", "now", "edit") and self.selected is None:
            return NOTHING
        if action == "here" and self._service.schedule_here() == STOPPING:
            return STILL_STOPPING
        return super().why_not(action)

    @work
    async def _change(self, change: Callable[[], object], said: str) -> None:
        """Do one thing at a time: a key that was pressed twice must not do it twice."""
        if self._busy:
            return
        self._busy = True
        try:
            await off_loop(change)
        except PipelineError as error:
            self.app.push_screen(error_screen(error))
        else:
            self.notify(said, markup=False)
        finally:
            self._busy = False
        self._again()

    def _again(self) -> None:
        self.post_message(LookAgain())
        self._look()

    def action_pause(self) -> None:
        line = self.selected
        if line is None:
            return
        if line.paused:
            self._change(partial(self._service.resume_schedule, line.name), f"{line.name} is due again: {line.words}.")
        else:
            self._change(partial(self._service.pause_schedule, line.name), f"{line.name} is paused.")

    def action_now(self) -> None:
        line = self.selected
        if line is None:
            return
        if line.asked:
            self.notify(f"{line.name} was asked for already.", markup=False)
        elif line.job == "purge":
            self._ask_purge(line)
        else:
            self._change(partial(self._service.run_schedule_now, line.name), self._asked(line))

    def _asked(self, line: ScheduleLine) -> str:
        health = self._picture.snapshot.schedule if self._picture.snapshot is not None else None
        nobody = "" if health is None or health.workers else " Nobody runs the schedule now: h runs it here."
        return f"{line.name} is wanted now.{nobody}"

    @work
    async def _ask_purge(self, line: ScheduleLine) -> None:
        async def do(_answers: Answers) -> ScheduleLine:
            return await off_loop(partial(self._service.run_schedule_now, line.name))

        kept = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in line.options.items())
        lines: list[Line] = [
            [Phrase("Superseded runs are deleted for good, and actions lose their undo.", Tone.WARN)],
            [Phrase(f"With {kept}. What is served stays.", Tone.QUIET)],
        ]
        deed = Deed(f"Run {clean(line.name)} now?", lines, (), "Run it now", "Asking for it …", do)
        if await self.app.push_screen_wait(ConfirmScreen(deed)) is not None:
            self.notify(self._asked(line), markup=False)
        self._again()

    # ------------------------------------------------------------------ another time, other options

    def action_edit(self) -> None:
        if self.selected is not None:
            self._edit(self.selected)

    @work
    async def _edit(self, line: ScheduleLine) -> None:
        done = await self.app.push_screen_wait(EditScreen(self._editing(line)))
        if done is not None:
            self.notify(f"{clean(done.name)} is changed: {clean(done.words)}.", markup=False)
        self._again()

    def _editing(self, line: ScheduleLine) -> Deed[ScheduleLine]:
        before = {name: str(value) for name, value in line.options.items()}

        async def do(answers: Answers) -> ScheduleLine:
            when = answers.texts["when"]
            options = {name: answers.texts[name] for name in before if answers.texts[name] != before[name]}
            change = partial(self._service.edit_schedule, line.name, options=options)
            return await off_loop(partial(change, when=None if when == line.timing else when))

        said = "It holds for every process on this database, from the next tick on."
        fields = [Field("when", f"When ({FORMS})", line.timing, value=line.timing)]
        for name, value in before.items():
            fields.append(Field(name, name.replace("_", " ").capitalize(), value, value=value))
        return Deed(
            f"Change {clean(line.name)}",
            [[Phrase(f"{clean(line.summary)}.")], [Phrase(said, Tone.QUIET)]],
            tuple(fields),
            "Save",
            "Saving …",
            do,
        )

    # ------------------------------------------------------------------ running it here

    def action_here(self) -> None:
        self._turn(self._end if self._service.schedule_here() == RUNNING else self._begin)

    @work
    async def _turn(self, errand: Callable[[], Awaitable[None]]) -> None:
        if self._busy:
            return
        self._busy = True
        try:
            await errand()
        except PipelineError as error:
            self.app.push_screen(error_screen(error))
        finally:
            self._busy = False
        self._again()

    async def _begin(self) -> None:
        if await errands.said_who(self.app, self._service):
            await off_loop(self._service.start_schedule)
            self.notify("This console runs the schedule now, until h or until it is closed.")

    async def _end(self) -> None:
        if await off_loop(self._service.stop_schedule):
            self.notify("This console does not run the schedule any more.")
        else:
            self.notify("This console begins nothing more; what is under way goes on to its end.")

    # ------------------------------------------------------------------ the rest

    @on(RowTable.Chosen, "#jobs")
    def _open(self, message: RowTable.Chosen) -> None:
        self._read_runs(message.key)

    @work(exclusive=True, group="runs")
    async def _read_runs(self, name: str) -> None:
        try:
            runs = await off_loop(partial(self._service.job_runs, name))
        except PipelineError as error:
            self.app.push_screen(error_screen(error))
            return
        self.app.push_screen(ReadingScreen(f"{clean(name)}: its runs, newest first", run_lines(runs, self._now)))

    def action_back(self) -> None:
        self.dismiss()
