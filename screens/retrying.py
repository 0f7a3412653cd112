"""Retrying all failed events: the order, the question, and how it goes, event by event, while it goes.

The retry itself belongs to the home screen, not to this one: leaving lets it go on, and the same key shows it again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.content import Content
from textual.widgets import Button, Static

from pipeline.errors import Kind, PipelineError
from pipeline.ways import Way
from screens import errands
from screens.allowing import AllowingScreen
from screens.background import off_loop
from screens.picture import Picture
from screens.ports import ConsoleService
from screens.reading import ReadingScreen, error_screen
from screens.telling import Line, error_lines
from screens.widgets.keys import KeyLine
from screens.widgets.table import Column, Row, RowTable
from screens.widgets.tones import content
from screens.widgets.tones import lines as drawn
from screens.words import Phrase, Tone, clean, count

if TYPE_CHECKING:
    from pipeline.retrying import RetryPlan, RetryStep
    from pipeline.snapshot import LiveRun

Hidden = partial(Binding, show=False)  # in the help and the palette, not on the last line
STAGES = ("first", "next 10", "rest")
COLUMNS = (Column("Stage", 8), Column("Event", 20, flex=1, keep_end=True), Column("How it went", 40, flex=4))
BAR_WIDTH = 24  # cells
WAITS = Phrase("○ waits", Tone.QUIET)


class RetryJob:
    """A retry under way. `work` runs in a thread of its own; everything else belongs to the user interface's."""

    def __init__(self, plan: RetryPlan) -> None:
        self.plan = plan
        self.steps: tuple[RetryStep, ...] = ()
        self.error: PipelineError | None = None  # why it could not begin, or broke off
        self.stopping = False
        self.ended = False
        self.changed: Callable[[], object] = lambda: None

    def work(self, service: ConsoleService) -> None:
        """Ingest the events of the plan, one after the other. Raises PipelineError."""
        service.retry(self.plan, self._tell)

    def _tell(self, step: RetryStep) -> bool:
        self.steps = (*self.steps, step)
        self.changed()
        return not self.stopping

    @property
    def stopped(self) -> str | None:
        """Why not everything was tried, where that is so."""
        if self.error is not None:
            return clean(self.error.message)
        if not self.ended or not self.steps or len(self.steps) == self.steps[-1].total:
            return None
        return clean(self.steps[-1].stopped) or "you stopped it"


# ---------------------------------------------------------------- in words


def outcome(step: RetryStep) -> Phrase:
    """How one event went."""
    if step.error is not None:
        if step.error.kind is Kind.LOCK_HELD:
            return Phrase("‖ passed over: somebody works on it", Tone.WARN)
        return Phrase(f"✗ {step.error.kind}: {clean(step.error.message)}", Tone.BAD)
    report = step.report
    if report is None:
        return Phrase("? nothing is known", Tone.WARN)
    what = f"{count(report.races, 'race')}, {count(report.laps, 'lap')}"
    return Phrase(f"● {report.outcome} by run {report.run_id}: {what}", Tone.GOOD)


def retry_rows(plan: RetryPlan, job: RetryJob | None, live: Mapping[str, LiveRun]) -> list[Row]:
    """Every event of a plan in its order, then those that are held. `live` are runs under way, by event."""
    told = {step.event: outcome(step) for step in job.steps} if job is not None else {}
    waits = WAITS
    if job is not None and job.ended:
        waits = Phrase("– not tried", Tone.WARN)
    rows = []
    for number, stage in enumerate(plan.stages):
        for event in stage:
            how = told.get(event) or (_under_way(live[event]) if job is not None and event in live else waits)
            rows.append(Row(event, (Phrase(STAGES[number], Tone.QUIET), Phrase(clean(event)), how)))
    for held in plan.held:
        text = f"‖ held, retried only by name: {clean(held.reason)}"
        rows.append(Row(held.event, (Phrase("–", Tone.QUIET), Phrase(clean(held.event)), Phrase(text, Tone.WARN))))
    return rows


def _under_way(run: LiveRun) -> Phrase:
    pages = "" if run.pages_total is None else f" {run.pages_done} of {run.pages_total} pages"
    return Phrase(f"◐ {clean(run.stage) or 'begins'}{pages}", Tone.BUSY)


def plan_summary(plan: RetryPlan) -> list[Line]:
    """What would be done."""
    number = len(plan.events())
    if not number:
        free = ", or free of a hold" if plan.held else ""
        return [[Phrase(f"There is nothing to retry: no event is failed{free}.")]]
    stages = ", then ".join(f"{len(stage):,}" for stage in plan.stages)
    return [
        [Phrase(f"Ingest {count(number, 'failed event')} again", Tone.BUSY), Phrase(f": {stages}.")],
        [Phrase(f"It stops by itself when more than {plan.failure_limit:.0%} of the tried ones fail.", Tone.QUIET)],
    ]


def job_summary(job: RetryJob) -> list[Line]:
    """How far it is, or how it ended."""
    done, total = len(job.steps), len(job.plan.events())
    failed = job.steps[-1].failed if job.steps else 0
    facts = [Phrase(f"{done:,} of {total:,} tried"), Phrase(f" · {failed:,} failed" if failed else "", Tone.BAD)]
    if job.stopped is not None:
        return [[Phrase("▲ Stopped: ", Tone.WARN), *facts], [Phrase(job.stopped, Tone.WARN)]]
    if job.ended:
        mark = Phrase("▲ Ended: ", Tone.WARN) if failed else Phrase("● Ended: ", Tone.GOOD)
        return [[mark, *facts], [Phrase("Every event that succeeded was checked.", Tone.QUIET)]]
    full = BAR_WIDTH * done // max(1, total)
    bar = [Phrase("━" * full, Tone.BUSY), Phrase("─" * (BAR_WIDTH - full), Tone.QUIET)]
    hint = "stopping after the event under way" if job.stopping else "esc lets it go on, R shows it again"
    return [[Phrase("◐ Retrying  ", Tone.BUSY), *bar, Phrase("  "), *facts], [Phrase(hint, Tone.QUIET)]]


def job_note(job: RetryJob) -> str:
    """How it ended, for whoever looks at something else."""
    return "".join(phrase.text for phrase in job_summary(job)[0]) + (f"\n{job.stopped}" if job.stopped else "")


# ---------------------------------------------------------------- the screen


class RetryScreen(AllowingScreen[None]):
    """Plan → confirm → watch. `begin` takes the job that was confirmed."""

    CSS_PATH = "retrying.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "Back", id="retrying.leave", tooltip="Back; what is under way goes on"),
        Binding("y", "confirm", "Confirm", id="retrying.confirm", tooltip="Ingest these events again, in this order"),
        Binding("s", "stop", "Stop", id="retrying.stop", tooltip="Stop after the event under way"),
        Hidden("down,j", "move(1)", "Down", id="retrying.down", tooltip="One event down"),
        Hidden("up,k", "move(-1)", "Up", id="retrying.up", tooltip="One event up"),
        Hidden("home,g", "first", "First", id="retrying.first", tooltip="To the first event"),
        Hidden("end,G", "last", "Last", id="retrying.last", tooltip="To the last event"),
    ]

    ways: ClassVar[Mapping[str, Way]] = MappingProxyType({"confirm": Way.INGEST})

    def __init__(
        self,
        service: ConsoleService,
        begin: Callable[[RetryJob], None],
        job: RetryJob | None = None,
        among: Sequence[str] | None = None,
    ) -> None:
        """`job` is a retry that is under way already; `among` leaves only these of the failed events."""
        super().__init__(service, Picture())
        self._among = among
        self._begin = begin
        self._job = job
        self._plan = job.plan if job is not None else None
        self._live: dict[str, LiveRun] = {}

    def compose(self) -> ComposeResult:
        yield Static(content([Phrase("Events › ", Tone.QUIET), Phrase("retry", Tone.BUSY)]), id="trail")
        yield Static(id="about")
        yield RowTable(COLUMNS, empty="planning …")
        yield Static(id="detail")
        with Horizontal(id="answers"):
            yield Button("Cancel", id="cancel", compact=True)
            yield Button("Retry (y)", id="confirm", compact=True, variant="warning")
        yield KeyLine()

    def on_mount(self) -> None:
        self.watch(self.app, "picture", self._look)
        if self._job is None:
            self._make_plan()
        self._draw()
        self.query_one(RowTable if self._job is not None else "#cancel").focus()

    @work
    async def _make_plan(self) -> None:
        try:
            self._plan = await off_loop(partial(self._service.plan_retry, among=self._among))
        except PipelineError as error:
            self.query_one(RowTable).show_rows((), empty="could not be planned")
            self.app.push_screen(error_screen(error))
            return
        self._draw()

    def _look(self, picture: Picture) -> None:
        self._picture, snapshot = picture, picture.snapshot
        self._live = {run.event: run for run in snapshot.live} if snapshot is not None else {}
        self._draw()

    # ------------------------------------------------------------------ what is shown

    def show_job(self) -> None:
        """Something became known of the retry."""
        self._draw()

    def _draw(self) -> None:
        plan, job = self._plan, self._job
        if plan is None:
            return
        said = plan_summary(plan) if job is None else job_summary(job)
        if job is None and plan.stages:
            refused = self.why_not("confirm")
            said.append(
                [Phrase(f"▲ {refused}", Tone.WARN)]
                if refused
                else [Phrase("Nothing has begun yet. "), Phrase("y", Tone.BUSY), Phrase(" begins, esc leaves it.")]
            )
        self.query_one("#about", Static).update(drawn(said))
        self.query_one(RowTable).show_rows(retry_rows(plan, job, self._live), empty="nothing to retry")
        self._draw_detail()
        confirm, answers = self.query_one("#confirm", Button), self.query_one("#answers")
        answers.display = job is None
        confirm.label = Content(f"Retry {len(plan.events()):,} (y)")
        confirm.disabled = not self._may_confirm
        self.refresh_bindings()

    @on(RowTable.Moved)
    def _draw_detail(self) -> None:
        row = self._row()
        text = row.cells[2] if row is not None and row.cells[2] != WAITS else Phrase("")
        self.query_one("#detail", Static).update(content([text]))

    def _row(self) -> Row | None:
        table = self.query_one(RowTable)
        return table.rows[table.cursor] if table.cursor < len(table.rows) else None

    @on(RowTable.Chosen)
    def _open(self, message: RowTable.Chosen) -> None:
        """An event that failed says why, at length."""
        steps = self._job.steps if self._job is not None else ()
        error = next((step.error for step in steps if step.event == message.key), None)
        if error is not None:
            self.app.push_screen(ReadingScreen(f"{clean(message.key)} failed", error_lines(error.envelope()), bad=True))

    # ------------------------------------------------------------------ keys

    @property
    def _may_confirm(self) -> bool:
        return self._job is None and not self.why_not("confirm")

    def why_not(self, action: str) -> str:
        if action == "confirm" and (self._plan is None or not self._plan.stages):
            return "There is nothing to retry."
        if action == "stop" and self._job is not None and self._job.stopping:
            return "It stops after the event under way."
        return super().why_not(action)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        job = self._job
        shown = {"confirm": job is None, "stop": job is not None and not job.ended}
        return super().check_action(action, parameters) if shown.get(action, True) else False

    @on(Button.Pressed, "#confirm")
    def action_confirm(self) -> None:
        if self._may_confirm and self._plan is not None:
            self._confirmed(self._plan)

    @work(exclusive=True)
    async def _confirmed(self, plan: RetryPlan) -> None:
        try:
            if not await errands.said_who(self.app, self._service):
                return
        except PipelineError as error:
            self.app.push_screen(error_screen(error))
            return
        self._job = RetryJob(plan)
        self._begin(self._job)
        self.query_one(RowTable).focus()
        self._draw()

    @on(Button.Pressed, "#cancel")
    def action_leave(self) -> None:
        self.dismiss()

    def action_stop(self) -> None:
        if self._job is not None:
            self._job.stopping = True
            self._draw()

    def action_move(self, rows: int) -> None:
        self.query_one(RowTable).action_move(rows)

    def action_first(self) -> None:
        self.query_one(RowTable).action_first()

    def action_last(self) -> None:
        self.query_one(RowTable).action_last()
