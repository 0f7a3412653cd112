"""The home screen's keys for looking after the whole: health, schedule, failures by cause, warnings.

Apart from the home screen only because one file would be too long.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType

from screens.recovering import RecoveringScreen
from screens.words import clean

if TYPE_CHECKING:
    from pipeline.snapshot import EventLine

Hidden = partial(Binding, show=False)  # in the help and the palette, not on the last line


class OverseeingScreen(RecoveringScreen):
    """What can be looked after from the home screen."""

    BINDINGS: ClassVar[list[BindingType]] = [
        # not `h`: that shows what moved on a failed page (drifting.py)
        Hidden("H", "health", "Health", id="oversee.health", tooltip="How everything is, and why"),
        Hidden("s", "schedule", "Schedule", id="oversee.schedule", tooltip="What is done when, by whom; run it here"),
        Hidden("F", "failures", "Failures", id="oversee.failures", tooltip="The failures, grouped by their cause"),
        Hidden("w", "warnings", "Warnings", id="oversee.warnings", tooltip="The warnings that wait for a person"),
    ]

    def action_health(self) -> None:
        from screens.health import HealthScreen

        self.app.push_screen(HealthScreen(self._clock), self._go_on)

    def _go_on(self, action: str | None) -> None:
        """From the health screen to what a reason is about: as its key here would."""
        if action is None:
            return
        if reason := self.why_not(action):
            self._say_once(reason)
        else:
            getattr(self, f"action_{action}")()

    def action_schedule(self) -> None:
        from screens.schedule import ScheduleScreen

        self.app.push_screen(ScheduleScreen(self._service), self._look_again)

    def action_warnings(self) -> None:
        from screens.acknowledging import WarningsScreen

        self.app.push_screen(WarningsScreen(self._service), self._look_again)

    # ------------------------------------------------------------------ failures by cause

    def action_failures(self) -> None:
        from screens.causes import CausesScreen, Leads

        leads = Leads(self.plan_retry, self._ingest_named, self.explain, self._open_in_list)
        self.app.push_screen(CausesScreen(self._service, leads, self._now), self._look_again)

    def _ingest_named(self, event: str) -> None:
        if event in self._starting:
            return
        self._ingest(event)
        if event in self._starting:
            self.notify(f"{clean(event)} is ingested again.", markup=False)

    def _open_in_list(self, event: EventLine) -> None:
        """Leave whatever is on top, and put the cursor on the event."""
        while self.app.screen is not self:
            self.app.pop_screen()
        self.go_to(event.event_id, event.event)
        self._look_again()
