"""The home screen's keys for what changed at LiveRC: what moved on a failed event's page, drift cases, page sets."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType

from screens.acting import NOTHING_SELECTED
from screens.overseeing import OverseeingScreen

if TYPE_CHECKING:
    from pipeline.snapshot import EventLine
    from screens.diffing import Subject
    from screens.ports import ConsoleService

CASES_LOOKED_AT = 50  # the newest ones
Hidden = partial(Binding, show=False)  # in the help and the palette, not on the last line


class DriftingScreen(OverseeingScreen):
    """What is asked for where pages have changed."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Hidden("h", "diff", "What moved", id="home.diff", tooltip="What moved on the failed event's page, and repair"),
        Hidden("D", "cases", "Drift", id="home.drift", tooltip="The drift cases: has LiveRC changed its pages?"),
        Hidden("P", "fixtures", "Page sets", id="home.fixtures", tooltip="The page sets and the gate that they open"),
    ]

    @property
    def acting(self) -> tuple[str, ...]:
        return (*super().acting, "diff")

    def why_not(self, action: str) -> str:
        if action == "diff" and self.selected is None:
            return NOTHING_SELECTED
        if action == "diff" and self.selected is not None and self.selected.state != "failed":
            return "The event under the cursor did not fail."
        return super().why_not(action)

    def action_diff(self) -> None:
        from screens.diffing import DiffScreen

        if self.selected is not None:
            subject = subject_of_event(self._service, self.selected)
            self.app.push_screen(DiffScreen(self._service, subject), self._look_again)

    def action_cases(self) -> None:
        from screens.cases import CasesScreen

        self.app.push_screen(CasesScreen(self._service, self._now), self._look_again)

    def action_fixtures(self) -> None:
        from screens.fixtures import FixturesScreen

        self.app.push_screen(FixturesScreen(self._service), self._look_again)


def subject_of_event(service: ConsoleService, event: EventLine) -> Subject:
    """A failed event's page, with the drift case that its failure opened or joined."""
    from screens.diffing import Subject

    name = event.event_name or event.event
    return Subject(name, partial(service.compare_event, event.event), partial(case_of, service, event))


def case_of(service: ConsoleService, event: EventLine) -> int | None:
    """The newest case that the event's newest run raised or joined. May block; raises PipelineError."""
    if event.failure is None:
        return None
    run_id, page_type = event.failure.details.get("run_id"), event.failure.details.get("page_type")
    found = [
        case
        for case in service.drift_cases(limit=CASES_LOOKED_AT)
        if any(one.event == event.event and one.role == "failed" and one.run_id == run_id for one in case.events)
    ]
    about_it = [case for case in found if case.page_type == page_type] or found
    return about_it[0].id if about_it else None
