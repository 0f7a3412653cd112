"""The keys that repair, on every screen that shows a drift case: preview, accept, undo, probe, close, ingest again.

Nothing is accepted, undone or closed before a dialog has asked for a reason: Cancel has the focus there, and another
key than the one that led to it does it. What was done is shown with the replay of the page sets and the gate.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from textual import work
from textual.binding import Binding, BindingType

from pipeline.errors import PipelineError
from pipeline.ways import Way
from screens import errands
from screens.allowing import AllowingScreen
from screens.background import off_loop
from screens.confirming import Answers, ConfirmScreen, Deed, Field
from screens.drift_telling import (
    CONFIRMED,
    OPEN,
    SUSPECTED,
    accepted_lines,
    case_state,
    preview_lines,
    proposal_lines,
    undone_lines,
    unknowable,
    waiting,
)
from screens.errands import LookAgain
from screens.picture import Picture
from screens.ports import ConsoleService
from screens.reading import ReadingScreen, error_screen
from screens.telling import Line
from screens.words import Phrase, Tone, clean, count

if TYPE_CHECKING:
    from pipeline.drift import Case
    from pipeline.gate import GateState
    from pipeline.liverc.contract_folder import ContractVersion
    from pipeline.repair import RepairProposal
    from pipeline.service_repair import Accepted, Undone

Hidden = partial(Binding, show=False)  # in the help and the palette, not on the last line
WHY = "why; it is kept with the contract"
FETCH_THE_REST = "fetch what the failed run lacks, to keep a whole page set"
NO_CASE = "There is no drift case here, so there is nothing to repair."


class CaseView(NamedTuple):
    """A case with what can be done about it."""

    case: Case
    repair: ContractVersion | None  # what is in force for it
    proposal: RepairProposal | None  # only while it is open and nothing is in force
    why_none: str = ""


def look_at_case(service: ConsoleService, case_id: int) -> CaseView:
    """Ask for all of it; may block. A proposal that cannot be made is told, not raised. Raises PipelineError."""
    case = service.drift_case(case_id)
    repair = in_force(service.contract_history(case.page_type), case_id)
    if repair is not None or case.state not in OPEN:
        return CaseView(case, repair, None)
    try:
        return CaseView(case, None, service.repair_proposal(case_id))
    except PipelineError as error:
        return CaseView(case, None, None, clean(error.message))


def in_force(history: Sequence[ContractVersion], case_id: int) -> ContractVersion | None:
    """The newest version that was accepted for a case and not taken back."""
    gone = {step.withdraws for step in history}
    kept = [step for step in history if step.action == "accept" and step.case == case_id and step.version not in gone]
    return kept[-1] if kept else None


class RepairingScreen(AllowingScreen[None]):
    """A screen about one drift case, if it knows any."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("p", "preview", "Preview", id="repair.preview", tooltip="Try the proposal on archived pages"),
        Binding("y", "accept", "Accept", id="repair.accept", tooltip="Accept the proposal; asks for a reason"),
        Binding("z", "undo", "Undo", id="repair.undo", tooltip="Take the accepted repair back; asks for a reason"),
        Binding("x", "close", "Close", id="repair.close", tooltip="Close the case as repaired; asks for a reason"),
        Hidden("X", "dismiss_case", "Dismiss", id="repair.dismiss", tooltip="Dismiss the case: the pages are right"),
        Binding("i", "ingest", "Ingest", id="repair.ingest", tooltip="Ingest the closed case's events again"),
        Hidden("f", "probe", "Probe", id="repair.probe", tooltip="Fetch known pages of other events again, and decide"),
    ]
    ways: ClassVar[Mapping[str, Way]] = MappingProxyType(
        {
            "accept": Way.RECOVERY,
            "undo": Way.RECOVERY,
            "close": Way.RECOVERY,
            "dismiss_case": Way.RECOVERY,
            "ingest": Way.INGEST,
            "probe": Way.RECOVERY,
        }
    )

    def __init__(self, service: ConsoleService, case_id: int | None) -> None:
        super().__init__(service, Picture())
        self.case_id = case_id
        self.view: CaseView | None = None
        self._probing = False
        self._left = False  # another screen about the case was on top of it

    def find_case(self) -> int | None:
        """The case that this screen is about, where it was not told; may block. Raises PipelineError."""
        return None

    @abstractmethod
    def draw_case(self) -> None:
        """Something else became known of the case."""

    def on_mount(self) -> None:
        self.watch(self.app, "picture", self._look)
        self.read_case()

    def on_screen_resume(self) -> None:
        if self._left:
            self._left = False
            self.read_case()

    def _look(self, picture: Picture) -> None:
        self._picture = picture
        self.regrey()

    @work(exclusive=True, group="case")
    async def read_case(self) -> None:
        """Ask for the case and what would repair it."""
        try:
            if self.case_id is None:
                self.case_id = await off_loop(self.find_case)
            if self.case_id is None:
                return
            self.view = await off_loop(partial(look_at_case, self._service, self.case_id))
        except PipelineError as error:
            self.app.push_screen(error_screen(error))
            return
        self.draw_case()
        self.refresh_bindings()

    # ------------------------------------------------------------------ what may be done

    @property
    def acting(self) -> tuple[str, ...]:
        return (*super().acting, "preview")

    def why_not(self, action: str) -> str:
        if action not in (*self.ways, "preview"):
            return ""
        view = self.view
        if view is None:
            return NO_CASE if self.case_id is None else "The case is still being read."
        reasons: Mapping[str, Callable[[CaseView], str]] = {
            "preview": _why_no_proposal,
            "accept": _why_not_accepted,
            "undo": lambda view: "" if view.repair is not None else "No repair is in force for this case.",
            "close": _why_not_closed,
            "dismiss_case": lambda view: _closed(view.case),
            "ingest": _why_not_ingested,
            "probe": lambda view: "The probes are on their way." if self._probing else _closed(view.case),
        }
        reason = reasons[action](view)
        return reason or super().why_not(action)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """What a case as it stands has no use for is not shown at all."""
        view, of_case = self.view, (*self.ways, "preview")
        if action in of_case and (view is None or not self._is_of_use(action, view)):
            return False
        return super().check_action(action, parameters)

    def _is_of_use(self, action: str, view: CaseView) -> bool:
        is_open, repaired = view.case.state in OPEN, view.repair is not None
        if action in ("preview", "accept"):
            return is_open and not repaired
        return {"undo": repaired, "ingest": not is_open}.get(action, is_open)

    # ------------------------------------------------------------------ proposal

    @work(exclusive=True, group="preview")
    async def action_preview(self) -> None:
        assert self.case_id is not None
        self.notify("Trying the proposal on archived pages …", timeout=2)
        try:
            preview = await off_loop(partial(self._service.preview_repair, self.case_id))
        except PipelineError as error:
            self.app.push_screen(error_screen(error))
            return
        self.app.clear_notifications()
        self.app.push_screen(ReadingScreen("Preview", preview_lines(preview), bad=bool(preview.changed)))

    @work(exclusive=True, group="deed")
    async def action_accept(self) -> None:
        assert self.view is not None
        found = self.view.proposal
        if found is None or not await self._said_who():
            return
        done = await self.app.push_screen_wait(ConfirmScreen(self._accepting(found)))
        if done is not None:
            self.post_message(LookAgain())
            self._show_outcome("accepted", accepted_lines(done), done.gate)

    def _accepting(self, found: RepairProposal) -> Deed[Accepted]:
        async def do(answers: Answers) -> Accepted:
            ask = partial(self._service.accept_repair, found.case.id, reason=answers.texts["reason"])
            return await off_loop(partial(ask, digest=found.digest, live=answers.ticked))

        what: list[Line] = [
            [Phrase("It is added to what is looked for: pages as they were stay readable.")],
            [Phrase("Every page set is replayed; the gate opens only if all read as they must. z takes it back.")],
        ]
        return Deed(
            f"Accept the repair of {clean(found.case.page_type)} pages?",
            [*proposal_lines(found), [], *what],
            (Field("reason", "Reason", WHY),),
            "Accept",
            "Accepting, keeping the failing pages, replaying every page set …",
            do,
            option=FETCH_THE_REST,
            ticked=True,
            key="a",
        )

    # ------------------------------------------------------------------ undo

    @work(exclusive=True, group="deed")
    async def action_undo(self) -> None:
        assert self.view is not None
        case, repair = self.view.case, self.view.repair
        if repair is None:
            return

        async def do(answers: Answers) -> Undone:
            ask = partial(self._service.undo_repair, repair.page_type, repair.version)
            return await off_loop(partial(ask, reason=answers.texts["reason"]))

        known: list[Line] = [
            [Phrase(f"Version {repair.version} was accepted by {clean(repair.who)}: {clean(repair.reason)}")],
            [Phrase("Only what it added is taken back; page sets that were kept for it are retired.")],
            [Phrase("Pages of today cannot be read again then.", Tone.WARN)],
        ]
        deed = Deed(
            f"Take back the repair of {clean(case.page_type)} pages?",
            known,
            (Field("reason", "Reason", WHY),),
            "Take back",
            "Taking it back, replaying every page set …",
            do,
        )
        done = await self.app.push_screen_wait(ConfirmScreen(deed))
        if done is not None:
            self.post_message(LookAgain())
            self._show_outcome("taken back", undone_lines(done), done.gate)

    # ------------------------------------------------------------------ the case

    def action_close(self) -> None:
        self._close("repaired")

    def action_dismiss_case(self) -> None:
        self._close("dismissed")

    @work(exclusive=True, group="deed")
    async def _close(self, how: str) -> None:
        assert self.view is not None
        view, left = self.view, waiting(self.view.case)
        again = f"ingest {count(left, 'event')} again at once" if left else ""

        async def do(answers: Answers) -> bool:
            ask = partial(self._service.close_drift_case, view.case.id, how)
            await off_loop(partial(ask, reason=answers.texts["reason"]))
            return answers.ticked

        deed = Deed(
            f"{'Close' if how == 'repaired' else 'Dismiss'} drift case {view.case.id}?",
            closing_lines(view, how),
            (Field("reason", "Reason", "why; it is kept with the case"),),
            "Close as repaired" if how == "repaired" else "Dismiss",
            "Closing …",
            do,
            option=again,
            ticked=bool(left) and not self.why_not_ingest_now(),
        )
        ingest = await self.app.push_screen_wait(ConfirmScreen(deed))
        if ingest is None:
            return
        self.post_message(LookAgain())
        self.notify(f"Drift case {view.case.id} is closed as {how}.", markup=False)
        await self._read_again()
        if ingest:
            self.action_ingest()

    def why_not_ingest_now(self) -> str:
        """Why nothing may be ingested, whatever the case's state."""
        return AllowingScreen.why_not(self, "ingest")

    async def _read_again(self) -> None:
        await self.read_case().wait()

    @work(exclusive=True, group="ingest")
    async def action_ingest(self) -> None:
        if self.view is None or self.why_not("ingest") or not await self._said_who():
            return
        from screens.ingesting import CaseIngestScreen

        self._go(CaseIngestScreen(self._service, self.view.case))

    @work(exclusive=True, group="probe")
    async def action_probe(self) -> None:
        assert self.case_id is not None
        if not await self._said_who():
            return
        self._probing = True
        self.refresh_bindings()
        self.notify("Fetching known pages of other events again …", timeout=5)
        try:
            case = await off_loop(partial(self._service.probe, self.case_id))
        except PipelineError as error:
            self.app.push_screen(error_screen(error))
        else:
            self.app.clear_notifications()
            self.notify(clean(case.verdict), title=case_state(case.state).text, markup=False, timeout=10)
        finally:
            self._probing = False
            self.post_message(LookAgain())
            self.read_case()

    # ------------------------------------------------------------------ the rest

    async def _said_who(self) -> bool:
        """True once somebody said who fetches, or nobody needs to."""
        try:
            return await errands.said_who(self.app, self._service)
        except PipelineError as error:
            self.app.push_screen(error_screen(error))
            return False

    def _show_outcome(self, what: str, said: list[Line], gate: GateState) -> None:
        from screens.outcome import OutcomeScreen

        if self.case_id is not None:
            self._go(OutcomeScreen(self._service, self.case_id, what, said, gate))

    def _go(self, screen: AllowingScreen[None]) -> None:
        self._left = True
        self.app.push_screen(screen)


def _why_no_proposal(view: CaseView) -> str:
    if view.repair is not None:
        return f"Version {view.repair.version} is in force for this case already; z takes it back."
    if view.proposal is None:
        return _closed(view.case) or view.why_none
    return "" if view.proposal.proposal.addition else clean(view.proposal.objections[0])


def _why_not_accepted(view: CaseView) -> str:
    found = view.proposal
    return _why_no_proposal(view) or (clean(found.objections[0]) if found is not None and found.objections else "")


def _why_not_closed(view: CaseView) -> str:
    if view.case.state == SUSPECTED:
        return "The probes have not decided yet: f asks them, X dismisses the case."
    return _closed(view.case)


def _why_not_ingested(view: CaseView) -> str:
    if view.case.state in OPEN:
        return "The case is open: x closes it first."
    return "" if waiting(view.case) else "All events of the case were ingested again."


def _closed(case: Case) -> str:
    return "" if case.state in OPEN else f"The case was closed as {clean(case.state)}."


def closing_lines(view: CaseView, how: str) -> list[Line]:
    """What closing a case comes to."""
    case, repair = view.case, view.repair
    lines: list[Line] = [[case_state(case.state), Phrase(f"  {clean(case.page_type)}: {clean(case.reason)}")]]
    if case.state == CONFIRMED:
        lines.append([Phrase(f"{clean(case.page_type)} pages are read again.")])
    if how == "dismissed":
        lines.append([Phrase("What was doubted on these pages is believed from now on.", Tone.WARN)])
    elif repair is not None:
        lines.append([Phrase(f"● Version {repair.version} of the contract is in force for it.", Tone.GOOD)])
    else:
        lines.append([Phrase("▲ No repair is in force for it: pages that cannot be read will fail again.", Tone.WARN)])
        lines += unknowable(view.proposal) if view.proposal is not None else []
    left = waiting(case)
    lines.append([Phrase(f"{count(left, 'event')} of it can be ingested again." if left else "No event waits on it.")])
    return lines
