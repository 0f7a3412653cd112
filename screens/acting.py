"""The keys of the home screen that act: ingest, add, follow, look into an event, open the screens for recovery.

`HomeScreen` builds on it and draws. Whatever may block goes through `off_loop` or an errand; nothing waits here.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Awaitable, Mapping
from contextlib import suppress
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar

from textual import on, work
from textual.binding import Binding, BindingType

from pipeline.errors import PipelineError
from pipeline.ways import ENABLED, Way
from screens import errands
from screens.allowing import AllowingScreen
from screens.background import off_loop
from screens.failure import FailureScreen
from screens.picture import Picture
from screens.poller import PictureSource
from screens.ports import Clock, ConsoleService
from screens.reading import error_screen
from screens.welcome import WelcomeScreen
from screens.widgets.table import RowTable
from screens.words import count

if TYPE_CHECKING:
    from pipeline.ingest import IngestReport
    from pipeline.snapshot import EventLine, Snapshot

Hidden = partial(Binding, show=False)  # in the help and the palette, not on the last line
NOTHING_SELECTED = "There is no event under the cursor."


class ActingScreen(AllowingScreen[None]):
    """What can be set off from the home screen."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("a", "add", "Add", id="home.add", tooltip="Add an event by its URL and ingest it"),
        Binding("r", "ingest", "Ingest", id="home.ingest", tooltip="Ingest the selected event, or try again"),
        Binding("e", "explain", "Why", id="home.explain", tooltip="Why the selected event failed"),
        Binding("t", "follow_track", "Track", id="home.track", tooltip="Follow a track and list its events"),
        Hidden("u", "refresh_track", "Update", id="home.refresh", tooltip="List the selected event's track again"),
        Binding("l", "locks", "Locks", id="home.open_locks", tooltip="Who works on what; ask to stop, take a lock"),
        Hidden("d", "switch", "Disable", id="home.switch", tooltip="Disable ingestion, or enable it again"),
        Hidden(
            "m", "resources", "Machine", id="home.resources", tooltip="Disk, memory, database, oldest run, open files"
        ),
    ]
    ways: ClassVar[Mapping[str, Way]] = MappingProxyType(
        {
            "add": Way.INGEST,
            "ingest": Way.INGEST,
            "follow_track": Way.CATALOGUE,
            "refresh_track": Way.CATALOGUE,
            "switch": Way.RECOVERY,
        }
    )

    def __init__(self, service: ConsoleService, source: PictureSource, clock: Clock, *, welcome: bool = True) -> None:
        """`welcome`: greet whoever has no events yet."""
        super().__init__(service, Picture())
        self._source = source
        self._clock = clock
        self._welcomed = not welcome
        self._starting: set[str] = set()  # events whose ingestion was just asked for

    @property
    @abstractmethod
    def selected(self) -> EventLine | None:
        """The event under the cursor."""

    @property
    def acting(self) -> tuple[str, ...]:
        return (*self.ways, "explain")

    def why_not(self, action: str) -> str:
        if action in ("ingest", "refresh_track", "explain") and self.selected is None:
            return NOTHING_SELECTED
        if action == "explain" and self.selected is not None and self.selected.state != "failed":
            return "The event under the cursor did not fail."
        return super().why_not(action)

    # ------------------------------------------------------------------ the selected event

    @on(RowTable.Chosen, "#events")
    def _open(self) -> None:
        """Into the races that are served; where there are none, say why."""
        event = self.selected
        if event is None:
            return
        if event.current_run_id is None and event.state == "failed":
            self.action_explain()
        elif event.current_run_id is None:
            self.notify("Nothing of this event is served yet. r ingests it.", markup=False)
        else:
            from screens.browse import RacesScreen

            self.app.push_screen(RacesScreen(self._service, event))

    def action_explain(self) -> None:
        if self.selected is not None:
            self.explain(self.selected)

    def explain(self, event: EventLine) -> None:
        """Why an event failed; it may be ingested again from there."""
        snapshot = self._picture.snapshot
        if snapshot is None:
            return

        def then(retry: bool | None) -> None:
            if retry:
                self._ingest(event.event)

        self.app.push_screen(FailureScreen(self._service, event, snapshot.taken_at), then)

    def action_ingest(self) -> None:
        event = self.selected
        if event is None:
            return
        if event.state == "running" or event.event in self._starting:
            self.notify(f"{event.event} is being ingested already.", markup=False)
            return
        self._ingest(event.event)

    def _ingest(self, event: str) -> None:
        if reason := super().why_not("ingest"):  # asked for on another screen, whatever is under the cursor here
            self._say_once(reason)
            return
        self._starting.add(event)
        self._run_errand(self._begin(event))

    async def _begin(self, event: str) -> None:
        if not await errands.ingest(self.app, self._service, event, self._ended):
            self._starting.discard(event)

    def _ended(self, outcome: IngestReport | PipelineError) -> None:
        """Called in the run's own thread when it is over, maybe after the console was closed."""
        with suppress(RuntimeError):
            self.post_message(errands.IngestEnded(outcome))

    @on(errands.IngestEnded)
    def _say_how_it_ended(self, message: errands.IngestEnded) -> None:
        self._starting.discard(message.event)
        self._source.nudge()
        if message.interrupted:
            return
        title = f"{message.event} failed" if message.failed else ""
        self.notify(message.text, title=title, severity="error" if message.failed else "information", markup=False)

    # ------------------------------------------------------------------ errands

    @work
    async def _run_errand(self, errand: Awaitable[object]) -> None:
        """Run an errand to its end; a failure that its own dialogs did not show gets one here."""
        try:
            await errand
        except PipelineError as error:
            self.app.push_screen(error_screen(error))
        self._source.nudge()

    def action_add(self) -> None:
        self._run_errand(errands.add_event(self.app, self._service, self._ended))

    def action_follow_track(self) -> None:
        self._run_errand(errands.follow_track(self.app, self._service))

    def action_refresh_track(self) -> None:
        if self.selected is not None:
            self._run_errand(self._refresh(self.selected.event.partition("/")[0]))

    async def _refresh(self, slug: str) -> None:
        if await errands.said_who(self.app, self._service):
            listed = await off_loop(partial(self._service.refresh_track, slug))
            self.notify(f"{slug}: {count(len(listed), 'event')} listed.", markup=False)

    # ------------------------------------------------------------------ the first start

    def _welcome_newcomer(self) -> None:
        """Once, where no event is known; the greeting goes by itself when another program brings the first one."""
        snapshot, on_top = self._picture.snapshot, self.app.screen
        if snapshot is None:
            return
        if not snapshot.totals.events and not self._welcomed and on_top is self:
            self._welcomed = True
            self._welcome()
        elif snapshot.totals.events and isinstance(on_top, WelcomeScreen):
            on_top.dismiss("look")

    @work
    async def _welcome(self) -> None:
        try:
            needs = await off_loop(self._service.needs_contact)
        except PipelineError as error:
            self.app.push_screen(error_screen(error))
            return
        screen = WelcomeScreen(self._service.shown_database, self._service.shown_site, needs_contact=needs)
        choice = await self.app.push_screen_wait(screen)
        if choice == "demo":
            self.app.exit("demo")
        elif choice == "contact":
            self._run_errand(self._then_welcome(errands.said_who(self.app, self._service)))
        elif choice == "follow":
            self._run_errand(self._then_welcome(errands.follow_track(self.app, self._service)))
        elif choice == "add":
            self._run_errand(self._then_welcome(errands.add_event(self.app, self._service, self._ended)))

    async def _then_welcome(self, errand: Awaitable[object]) -> None:
        """Come back to the welcome where the errand did not lead to a track or an event."""
        if not isinstance(await errand, str):
            self._welcomed = False
            self.call_after_refresh(self._welcome_newcomer)

    # ------------------------------------------------------------------ the switch, the machine

    def action_switch(self) -> None:
        if self._picture.snapshot is not None:
            self._turn(self._picture.snapshot)

    @work
    async def _turn(self, snapshot: Snapshot) -> None:
        from screens import switch
        from screens.confirming import ConfirmScreen

        if snapshot.control.mode == ENABLED:
            deed = switch.disabling(self._service, len(snapshot.live))
            done = await self.app.push_screen_wait(ConfirmScreen(deed))
            if done is not None:
                title, text = switch.disabled_note(done)
                self.notify(text, title=title, severity="warning", markup=False, timeout=10)
        elif await self.app.push_screen_wait(switch.SwitchScreen(self._service)):
            self.notify("Ingestion is enabled.")
        self._source.nudge()

    def action_resources(self) -> None:
        from screens.resources import ResourcesScreen

        self.app.push_screen(ResourcesScreen(self._service))

    # ------------------------------------------------------------------ what waits for a person

    @on(RowTable.Chosen, "#locks")
    def _lock_chosen(self, message: RowTable.Chosen) -> None:
        locks = self._picture.snapshot.locks if self._picture.snapshot is not None else ()
        self._show_locks(next((lock.event for lock in locks if str(lock.event_id) == message.key), None))

    def action_locks(self) -> None:
        self._show_locks(self.selected.event if self.selected is not None else None)

    def _show_locks(self, event: str | None) -> None:
        from screens.locks import LocksScreen

        self.app.push_screen(LocksScreen(self._service, event, self._clock))
