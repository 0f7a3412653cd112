"""The home screen's keys for recovery: each leads to a plan, a list or the checks; none changes anything by itself.

Apart from the home screen only because one file would be too long. A retry that was confirmed is kept here, so that it
goes on while its screen is closed.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from textual import on, work
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widgets import Input

from pipeline.errors import PipelineError
from screens.acting import NOTHING_SELECTED, ActingScreen
from screens.background import off_loop
from screens.reading import error_screen
from screens.widgets.table import RowTable

if TYPE_CHECKING:
    from screens.planning import Proposal
    from screens.retrying import RetryJob

Hidden = partial(Binding, show=False)  # in the help and the palette, not on the last line
NEED_EVENT = ("cleanup", "reset", "undo", "runs")


class RetryTold(Message):
    """Something became known of the retry under way."""


class RecoveringScreen(ActingScreen):
    """What can be recovered from the home screen."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Hidden("c", "cleanup", "Clean up", id="recovery.cleanup", tooltip="Plan to clean the selected event up"),
        Hidden("x", "reset", "Reset", id="recovery.reset", tooltip="Plan to reset the selected event: serve nothing"),
        Hidden("z", "undo", "Undo", id="recovery.undo", tooltip="Plan to undo the event's newest recovery action"),
        Hidden("o", "runs", "Older runs", id="recovery.runs", tooltip="The event's runs, to serve an older one"),
        Hidden("A", "actions", "Actions", id="recovery.actions", tooltip="The recovery actions that were taken"),
        Hidden("v", "checks", "Checks", id="recovery.checks", tooltip="Verify the selected event, or everything"),
        Hidden("R", "retry", "Retry all", id="recovery.retry", tooltip="Plan to ingest all failed events again"),
    ]

    _job: RetryJob | None = None  # the newest retry of many events

    def go_to(self, event_id: int, event: str) -> None:
        """Put the cursor on an event; one that the list does not hold is filtered for."""
        table, key = self.query_one("#events", RowTable), str(event_id)
        if key not in {row.key for row in table.rows}:
            field = self.query_one("#filter", Input)
            field.display = True
            field.value = event
        table.point_at(key)
        table.focus()

    @property
    def acting(self) -> tuple[str, ...]:
        return (*super().acting, *NEED_EVENT)

    def why_not(self, action: str) -> str:
        if action in NEED_EVENT and self.selected is None:
            return NOTHING_SELECTED
        return super().why_not(action)

    @property
    def _now(self) -> int:
        return self._picture.snapshot.taken_at if self._picture.snapshot is not None else 0

    # ------------------------------------------------------------------ one event

    def _propose(self, proposal: Proposal) -> None:
        from screens.planning import PlanningScreen

        self.app.push_screen(PlanningScreen(self._service, proposal), self._look_again)

    def _look_again(self, _result: object = None) -> None:
        self._source.nudge()

    def action_cleanup(self) -> None:
        from screens.planning import cleanup

        if self.selected is not None:
            self._propose(cleanup(self._service, self.selected.event))

    def action_reset(self) -> None:
        from screens.planning import reset

        if self.selected is not None:
            self._propose(reset(self._service, self.selected.event))

    def action_undo(self) -> None:
        if self.selected is not None:
            self._undo_newest(self.selected.event)

    @work(exclusive=True, group="undo")
    async def _undo_newest(self, event: str) -> None:
        """The newest action on the event that can be undone; where there is none, the list that says why."""
        from screens.planning import undo

        try:
            actions = await off_loop(partial(self._service.actions, event))
        except PipelineError as error:
            self.app.push_screen(error_screen(error))
            return
        undoable = next((action for action in actions if action.undo_refused is None), None)
        if undoable is not None:
            self._propose(undo(self._service, event, undoable.id))
        else:
            self._list_actions(event)

    def action_runs(self) -> None:
        from screens.actions import RunsScreen

        event = self.selected
        if event is not None:
            screen = RunsScreen(self._service, event.event_id, event.event, event.current_run_id, self._now)
            self.app.push_screen(screen, self._look_again)

    def action_actions(self) -> None:
        self._list_actions(self.selected.event if self.selected is not None else None)

    def _list_actions(self, event: str | None) -> None:
        from screens.actions import ActionsScreen

        self.app.push_screen(ActionsScreen(self._service, event, self._now), self._look_again)

    # ------------------------------------------------------------------ checks

    def action_checks(self) -> None:
        from screens.checks import ChecksScreen

        def then(event: tuple[int, str] | None) -> None:
            self._look_again()
            if event is not None:
                self.go_to(*event)

        self.app.push_screen(ChecksScreen(self._service, self.selected.event if self.selected else None), then)

    # ------------------------------------------------------------------ many events

    def action_retry(self) -> None:
        self.plan_retry(None)

    def plan_retry(self, among: Sequence[str] | None) -> None:
        """Plan to ingest all failed events again, or only these of them. A retry under way is shown instead."""
        from screens.retrying import RetryScreen

        under_way = self._job if self._job is not None and not self._job.ended else None
        if under_way is not None and among is not None:
            self.notify("A retry is under way already: this is how it goes.", severity="warning")
        self.app.push_screen(RetryScreen(self._service, self._begin_retry, under_way, among), self._look_again)

    def _begin_retry(self, job: RetryJob) -> None:
        self._job = job
        job.changed = lambda: self.post_message(RetryTold())
        self._retry(job)

    @work
    async def _retry(self, job: RetryJob) -> None:
        try:
            await off_loop(partial(job.work, self._service))
        except PipelineError as error:
            job.error = error
        job.ended = True
        self._retry_told()
        self._source.nudge()

    @on(RetryTold)
    def _retry_told(self) -> None:
        from screens.retrying import RetryScreen, job_note

        watching = [screen for screen in self.app.screen_stack if isinstance(screen, RetryScreen)]
        for screen in watching:
            screen.show_job()
        if self._job is not None and self._job.ended and not watching:
            self.notify(job_note(self._job), title="Retry", markup=False)
