"""One recovery action from its plan to its undo: what exactly would change, the question, what became of it.

Nothing is touched before `y`: Cancel has the focus, and the key that led here confirms nothing, however often it is
pressed. A plan that is out of date by then is made again and shown again. Whatever is refused is told with its reason.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.widgets import Button, Input, Static

from pipeline.errors import Kind, PipelineError
from pipeline.ways import Way
from screens.allowing import AllowingScreen
from screens.background import off_loop
from screens.picture import Picture
from screens.ports import ConsoleService
from screens.recovery_telling import WAYS_OUT, plan_lines, recovered_lines, undo_line
from screens.telling import Line, error_lines, plain
from screens.widgets.keys import KeyLine
from screens.widgets.tones import lines as drawn
from screens.words import Phrase, Tone, clean

if TYPE_CHECKING:
    from pipeline.observe import Report
    from pipeline.plans import Plan
    from pipeline.recovering import Recovered

Hidden = partial(Binding, show=False)  # in the help and the palette, not on the last line


@dataclass(frozen=True)
class Proposal:
    """An action that somebody thinks of."""

    event: str  # slug/id
    title: str  # for people, while there is no plan yet
    verb: str  # what the button says
    make: Callable[[], Plan]
    other: Callable[[], Proposal] | None = None  # the same action, going further or less far
    other_text: str = ""


def cleanup(service: ConsoleService, event: str, *, full: bool = False) -> Proposal:
    """Remove partial rows and orphans; `full`: give up what is served too."""
    text = "f plans the cleanup of partial rows only." if full else "f plans the full cleanup, of what is served too."
    return Proposal(
        event,
        "full cleanup" if full else "cleanup",
        "Clean up",
        partial(service.plan_cleanup, event, full=full),
        partial(cleanup, service, event, full=not full),
        text,
    )


def reset(service: ConsoleService, event: str) -> Proposal:
    """Back to before the event was ever ingested."""
    return Proposal(event, "reset", "Reset", partial(service.plan_reset, event))


def restore(service: ConsoleService, event: str, run_id: int) -> Proposal:
    """Serve an older run."""
    return Proposal(
        event, f"restore of run {run_id}", f"Serve run {run_id}", partial(service.plan_restore, event, run_id)
    )


def undo(service: ConsoleService, event: str, action_id: int) -> Proposal:
    """Take an action back."""
    return Proposal(event, f"undo of action {action_id}", "Undo", partial(service.plan_undo, action_id))


def _after_failed_checks(recovered: Recovered) -> list[Line]:
    report = recovered.checks
    return [] if report is None or report.passed else [[Phrase(f"From the events, {WAYS_OUT}", Tone.QUIET)]]


class Phase(StrEnum):
    """How far it is."""

    PLANNING = "planning"
    PLANNED = "planned"  # waits for an answer
    ACTING = "acting"
    DONE = "done"
    REFUSED = "refused"


class PlanningScreen(AllowingScreen[None]):
    """Plan → confirm → act → undo of one action."""

    CSS_PATH = "planning.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "escape", "leave", "Back", id="planning.leave", tooltip="Back; before it was confirmed, nothing changes"
        ),
        Binding("y", "confirm", "Confirm", id="planning.confirm", tooltip="Do exactly what the plan says"),
        Binding("f", "other", "Full or not", id="planning.other", tooltip="Clean up what is served too, or not"),
        Hidden("w", "reason", "Reason", id="planning.reason", tooltip="Say why, for the action's record; optional"),
        Binding("z", "undo", "Undo", id="planning.undo", tooltip="Plan to take this action back"),
        Binding("p", "plan", "Plan again", id="planning.again", tooltip="Make the plan again, as things are now"),
        Binding("l", "locks", "Locks", id="planning.locks", tooltip="See who holds the event"),
        Hidden("c", "copy", "Copy", id="planning.copy", tooltip="Copy all of this text to the clipboard"),
        Hidden("down,j", "scroll(1)", "Down", id="planning.down", tooltip="One line down"),
        Hidden("up,k", "scroll(-1)", "Up", id="planning.up", tooltip="One line up"),
        Hidden("pagedown,space", "scroll(10)", "Page", id="planning.page_down", tooltip="Ten lines down"),
        Hidden("pageup", "scroll(-10)", "Back", id="planning.page_up", tooltip="Ten lines up"),
        Hidden("home,g", "top", "Top", id="planning.first", tooltip="To the beginning"),
        Hidden("end,G", "bottom", "Bottom", id="planning.last", tooltip="To the end"),
    ]

    ways: ClassVar[Mapping[str, Way]] = MappingProxyType({"confirm": Way.RECOVERY})

    class Committed(Message):
        """What was confirmed is done; the checks begin."""

    def __init__(self, service: ConsoleService, proposal: Proposal) -> None:
        super().__init__(service, Picture())
        self._proposal = proposal
        self._phase = Phase.PLANNING
        self._plan: Plan | None = None
        self._recovered: Recovered | None = None
        self._refusal: PipelineError | None = None
        self._lines: list[Line] = []

    def compose(self) -> ComposeResult:
        with VerticalScroll(id="plan", can_focus=False):
            yield Static()
        yield Static(id="message")
        yield Input(id="reason", placeholder="w: why? (optional; kept with the action)", compact=True)
        with Horizontal(id="answers"):
            yield Button("Cancel", id="cancel", compact=True)
            yield Button(f"{self._proposal.verb} (y)", id="confirm", compact=True, variant="warning")
        yield KeyLine()

    def on_mount(self) -> None:
        self._make_plan()

    # ------------------------------------------------------------------ planning

    @work(exclusive=True)
    async def _make_plan(self, *, note: str = "") -> None:
        """Ask for the plan and show it; `note` says why it is made again."""
        self._plan = self._recovered = self._refusal = None
        self._enter(Phase.PLANNING, [[Phrase("◐ Planning; nothing is touched …", Tone.BUSY)]])
        try:
            plan = await off_loop(self._proposal.make)
        except PipelineError as error:
            self._refuse(error)
            return
        self._plan = plan
        self._enter(Phase.PLANNED, plan_lines(plan), note)

    def _refuse(self, error: PipelineError) -> None:
        self._refusal = error
        self._enter(Phase.REFUSED, [*error_lines(error.envelope()), [], [Phrase("Nothing was changed.", Tone.BUSY)]])

    def action_plan(self) -> None:
        self._make_plan()

    def action_other(self) -> None:
        if self._proposal.other is not None:
            self._proposal = self._proposal.other()
            self._make_plan()

    # ------------------------------------------------------------------ the answer

    def why_not(self, action: str) -> str:
        if action == "confirm":
            if self._phase is not Phase.PLANNED or self._plan is None:
                return "There is no plan to confirm now."
            if not self._plan.changes_anything:
                return "There is nothing to do."
        return super().why_not(action)

    @property
    def _may_confirm(self) -> bool:
        return not self.why_not("confirm")

    @on(Button.Pressed, "#confirm")
    def action_confirm(self) -> None:
        if self._may_confirm and self._plan is not None:
            self._act(self._plan, self.query_one("#reason", Input).value.strip())

    @on(Button.Pressed, "#cancel")
    def action_leave(self) -> None:
        if self._phase is not Phase.ACTING:
            self.dismiss()

    def action_reason(self) -> None:
        self.set_focus(self.query_one("#reason"))  # at once: what is typed next must not confirm anything

    @on(Input.Submitted, "#reason")
    def _reason_given(self) -> None:
        self.set_focus(self.query_one("#cancel"))

    # ------------------------------------------------------------------ acting

    @work
    async def _act(self, plan: Plan, reason: str) -> None:
        self._enter(Phase.ACTING, self._lines)
        unsubscribe = self._service.bus.subscribe(partial(self._hear, plan.event_id))
        try:
            recovered = await off_loop(partial(self._service.act, plan, reason=reason))
        except PipelineError as error:
            if error.kind is Kind.PLAN_STALE:
                self._make_plan(note=f"▲ {clean(error.message)}. Nothing was changed; this is the plan as of now.")
            else:
                self._refuse(error)
            return
        finally:
            unsubscribe()
        self._recovered = recovered
        self._enter(Phase.DONE, [*recovered_lines(recovered), [], *plan_lines(recovered.action.plan)])

    def _hear(self, event_id: int, report: Report) -> None:
        """Called in the acting thread."""
        if report.name == "event_recovery" and report.event_id == event_id:
            self.post_message(self.Committed())

    @on(Committed)
    def _say_committed(self) -> None:
        if self._phase is Phase.ACTING:
            self._say([[Phrase("● Done. ", Tone.GOOD), Phrase("◐ Checking the event …", Tone.BUSY)]])

    def action_undo(self) -> None:
        if self._recovered is not None:
            action = self._recovered.action
            self.app.switch_screen(PlanningScreen(self._service, undo(self._service, action.event, action.id)))

    def action_locks(self) -> None:
        """To the lock that stands in the way; coming back, plan again."""
        from screens.locks import LocksScreen

        def then(_: None) -> None:
            self._make_plan()

        self.app.push_screen(LocksScreen(self._service, self._proposal.event), then)

    # ------------------------------------------------------------------ what is shown

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only what belongs to this phase is shown at all."""
        phase = self._phase
        shown = {
            "confirm": phase in (Phase.PLANNING, Phase.PLANNED, Phase.ACTING),
            "other": self._proposal.other is not None and phase in (Phase.PLANNING, Phase.PLANNED),
            "undo": self._recovered is not None and self._recovered.action.undo_refused is None,
            "reason": self._may_confirm,
            "plan": phase in (Phase.PLANNED, Phase.REFUSED),
            "locks": self._refusal is not None and self._refusal.kind is Kind.LOCK_HELD,
            "leave": phase is not Phase.ACTING,
        }
        return super().check_action(action, parameters) if shown.get(action, True) else False

    def _enter(self, phase: Phase, text: list[Line], note: str = "") -> None:
        self._phase = phase
        self._lines = text
        box = self.query_one("#plan")
        box.border_title = Content(f"Events › {clean(self._proposal.event)} › {self._proposal.title}")
        self.query_one("#plan Static", Static).update(drawn(text))
        self._say(([[Phrase(note, Tone.WARN)]] if note else []) + self._next())
        confirm, cancel, reason = (
            self.query_one("#confirm", Button),
            self.query_one("#cancel", Button),
            self.query_one("#reason"),
        )
        confirm.display = phase in (Phase.PLANNING, Phase.PLANNED, Phase.ACTING)
        confirm.disabled = not self._may_confirm
        reason.display = self._may_confirm
        cancel.label = "Cancel" if phase in (Phase.PLANNING, Phase.PLANNED) else "Back"
        cancel.disabled = phase is Phase.ACTING
        if not cancel.disabled:
            self.set_focus(cancel)
        self.refresh_bindings()

    def _next(self) -> list[Line]:
        """What comes next, in words."""
        plan = self._plan
        if self._phase is Phase.ACTING:
            return [[Phrase("◐ Working; this cannot be taken back half-way …", Tone.BUSY)]]
        if self._phase is Phase.DONE and self._recovered is not None:
            return [undo_line(self._recovered.action), *_after_failed_checks(self._recovered)]
        if self._phase is Phase.REFUSED and self._refusal is not None and self._refusal.kind is Kind.LOCK_HELD:
            return [[Phrase("l", Tone.BUSY), Phrase(" shows who holds it; p plans again.")]]
        if self._phase is not Phase.PLANNED or plan is None:
            return []
        lines: list[Line] = []
        if plan.changes_anything:
            refused = self.why_not("confirm")
            lines.append(
                [Phrase(f"▲ {refused}", Tone.WARN)]
                if refused
                else [Phrase("Nothing is touched yet. "), Phrase("y", Tone.BUSY), Phrase(" does it, esc leaves it.")]
            )
        if self._proposal.other_text:
            lines.append([Phrase(self._proposal.other_text, Tone.QUIET)])
        return lines

    def _say(self, said: list[Line]) -> None:
        self.query_one("#message", Static).update(drawn(said))

    # ------------------------------------------------------------------ reading

    def action_copy(self) -> None:
        self.app.copy_to_clipboard(plain(self._lines))
        self.notify("Copied.", timeout=2)

    def action_scroll(self, lines: int) -> None:
        self.query_one("#plan").scroll_relative(y=lines, animate=False)

    def action_top(self) -> None:
        self.query_one("#plan").scroll_home(animate=False)

    def action_bottom(self) -> None:
        self.query_one("#plan").scroll_end(animate=False)
