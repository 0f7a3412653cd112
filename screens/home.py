"""The home screen: all events, the runs under way, the locks, the log. Drawn from one frozen picture at a time.

A large terminal shows everything at once, a small one the events and one lower pane at a time. Nothing here reads a
database or waits: questions go through `off_loop`, answers and pictures come back as values.
"""

from __future__ import annotations

from collections.abc import Awaitable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from textual import events, on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, Vertical
from textual.message import Message
from textual.reactive import reactive
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Footer, Input, Static

from pipeline.errors import Kind, PipelineError
from screens import errands
from screens.background import off_loop
from screens.failure import FailureScreen
from screens.picture import Picture
from screens.poller import PictureSource
from screens.ports import Clock, ConsoleService
from screens.reading import ReadingScreen, error_screen
from screens.rows import EVENT_COLUMNS, LOCK_COLUMNS, event_row, known, lock_row
from screens.telling import lock_lines, warning_lines
from screens.welcome import WelcomeScreen
from screens.widgets.header import Facts, Header
from screens.widgets.log import LogView
from screens.widgets.panes import PaneTabs, Tab
from screens.widgets.runs import RunCard, RunPane
from screens.widgets.table import RowTable
from screens.widgets.tones import content
from screens.words import SEVERITIES, Phrase, Tone, clean, count, span

if TYPE_CHECKING:
    from pipeline.ingest import IngestReport
    from pipeline.snapshot import EventLine, Snapshot

PANES = ("events", "runs", "locks", "log")
LOWER_PANES = PANES[1:]
SMALL = (100, 30)  # below this width or height one lower pane is shown at a time
LARGE_WIDTH = 160  # from here on the runs and locks stand beside the events
STALE_S = 3.0  # older than this, the picture's age is told in words


class IngestEnded(Message):
    """A run that was started here is over."""

    def __init__(self, outcome: IngestReport | PipelineError) -> None:
        super().__init__()
        self.outcome = outcome

    @property
    def event(self) -> str:
        named = self.outcome.details.get("event") if isinstance(self.outcome, PipelineError) else self.outcome.event
        return clean(str(named or "the event"))


class HomeScreen(Screen[None]):
    """Everything at a glance, and the keys to act on it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("a", "add", "Add", id="home.add", tooltip="Add an event by its URL and ingest it"),
        Binding("r", "ingest", "Ingest", id="home.ingest", tooltip="Ingest the selected event, or try again"),
        Binding("e", "explain", "Why", id="home.explain", tooltip="Why the selected event failed"),
        Binding("slash", "filter", "Filter", id="home.filter", tooltip="Show only events that match"),
        Binding("t", "follow_track", "Track", id="home.track", tooltip="Follow a track and list its events"),
        Binding("u", "refresh_track", "Update track", id="home.refresh", tooltip="Read the events listing of the selected event's track again", show=False),
        Binding("w", "warnings", "Warnings", id="home.warnings", tooltip="The warnings that wait for a person", show=False),
        Binding("l", "level", "Level", id="home.level", tooltip="The log's level: debug, info, warning, error", show=False),
        Binding("f", "follow_log", "Follow", id="home.follow", tooltip="Follow the log's end, or stop to", show=False),
        Binding("tab", "pane(1)", "Next pane", id="home.next_pane", tooltip="To the next pane", show=False),
        Binding("shift+tab", "pane(-1)", "Previous pane", id="home.previous_pane", tooltip="To the previous pane", show=False),
        Binding("1", "show_pane('events')", "Events", id="home.events", tooltip="To the events", show=False),
        Binding("2", "show_pane('runs')", "Runs", id="home.runs", tooltip="To the runs under way", show=False),
        Binding("3", "show_pane('locks')", "Locks", id="home.locks", tooltip="To the locks", show=False),
        Binding("4", "show_pane('log')", "Log", id="home.log", tooltip="To the log", show=False),
        Binding("escape", "clear_filter", "All events", id="home.clear_filter", tooltip="Show all events again", show=False),
    ]  # fmt: skip

    lower: reactive[str] = reactive("runs")  # the lower pane that a small terminal shows

    def __init__(self, service: ConsoleService, source: PictureSource, clock: Clock) -> None:
        super().__init__()
        self._service = service
        self._source = source
        self._clock = clock
        self._picture = Picture()
        self._began = clock()
        self._welcomed = False
        self._starting: set[str] = set()  # events whose ingestion was just asked for

    def compose(self) -> ComposeResult:
        yield Header()
        yield Static(id="trouble", markup=False)
        with Container(id="panes"):
            with Vertical(id="events-pane", classes="pane"):
                yield RowTable(EVENT_COLUMNS, id="events", empty="reading the database …")
                yield Static(id="selected")
                yield Input(
                    id="filter", placeholder="name, slug/id or state; enter keeps it, escape shows all", compact=True
                )
            yield PaneTabs()
            yield RunPane(id="runs")
            yield RowTable(LOCK_COLUMNS, id="locks", empty="nothing is locked")
            yield LogView(id="log")
        yield Footer()

    def on_mount(self) -> None:
        for pane in LOWER_PANES:
            self.query_one(f"#{pane}").add_class("pane", "lower")
        self.query_one("#runs", RunPane).list.idle_text = "Nothing is running. r ingests the selected event."
        self.watch(self.app, "picture", self._show, init=False)
        self._draw_header()
        self._title_panes()
        self.set_interval(1.0, self._draw_header)
        self.query_one("#events").focus()

    # ------------------------------------------------------------------ the picture

    def _show(self, picture: Picture) -> None:
        """Draw a new picture; every part finds out by itself what of it changed."""
        self._picture = picture
        if picture.snapshot is not None:
            self._draw_tables(picture.snapshot)
            self._draw_runs(picture.snapshot)
            self.query_one(LogView).add_lines(picture.lines)
            self._starting &= {line.event for line in picture.snapshot.events if line.state != "running"}
        self._title_panes()
        self._draw_header()
        self.refresh_bindings()
        if (
            picture.snapshot is not None
            and not picture.snapshot.totals.events
            and not self._welcomed
            and self.is_current
        ):
            self._welcomed = True
            self._welcome()

    def _draw_tables(self, snapshot: Snapshot) -> None:
        live = {run.event_id: run for run in snapshot.live}
        locks = {lock.event_id: lock for lock in snapshot.locks}
        rows = [event_row(line, snapshot.taken_at, live, locks) for line in snapshot.events]
        empty = (
            f"no event matches “{clean(self._picture.text)}”"
            if self._picture.text
            else "no events yet: a adds one, t follows a track"
        )
        self.query_one("#events", RowTable).show_rows(rows, empty=empty)
        self.query_one("#locks", RowTable).show_rows(map(lock_row, snapshot.locks))
        self._draw_selected()

    def _draw_runs(self, snapshot: Snapshot) -> None:
        locks = {lock.run_id: lock for lock in snapshot.locks}
        self.query_one("#runs", RunPane).list.cards = tuple(
            RunCard(run, self._picture.rates.get(run.run_id), locks.get(run.run_id)) for run in snapshot.live
        )

    def _draw_selected(self) -> None:
        """What is known of the selected event, at a length that no column has room for."""
        event, snapshot = self.selected, self._picture.snapshot
        line = self.query_one("#selected", Static)
        if event is None or snapshot is None:
            line.update("")
            return
        live = next((run for run in snapshot.live if run.event_id == event.event_id), None)
        lock = next((lock for lock in snapshot.locks if lock.event_id == event.event_id), None)
        what = known(event, snapshot.taken_at, live, lock)
        line.update(content([Phrase(f"{clean(event.event_name) or clean(event.event)}: ", Tone.QUIET), what]))

    def _draw_header(self) -> None:
        snapshot, seen_at = self._picture.snapshot, self._picture.seen_at
        age = None if seen_at is None else self._clock() - seen_at
        facts = Facts(
            database=self._service.shown_database,
            site=self._service.shown_site,
            age_s=age,
            trouble=self._picture.trouble is not None,
            closing=self.query_one(Header).facts.closing,
        )
        if snapshot is not None:
            totals = snapshot.totals
            facts = Facts(
                facts.database, facts.site, totals.events, totals.served, totals.races, totals.laps,
                totals.events_by_state.get("failed", 0), len(snapshot.live), len(snapshot.warnings),
                age, facts.trouble, facts.closing,
            )  # fmt: skip
        self.query_one(Header).facts = facts
        self._draw_trouble(age)

    def _draw_trouble(self, age: float | None) -> None:
        """Silence about an old picture would be a lie: say how old it is, and why."""
        waited = self._clock() - self._began if age is None else age
        trouble = self._picture.trouble
        banner = self.query_one("#trouble", Static)
        banner.display = trouble is not None or waited > STALE_S
        if not banner.display:
            return
        what = (
            f"▲ What you see is {span(waited)} old"
            if age is not None
            else f"▲ Nothing could be read so far ({span(waited)})"
        )
        why = (
            "the database does not answer"
            if trouble is None
            else f"{clean(trouble.message)} [{trouble.details.get('kind')}]"
        )
        banner.update(f"{what}: {why}. Trying again every second.")

    def _title_panes(self) -> None:
        snapshot, log = self._picture.snapshot, self.query_one(LogView)
        shown, matching = (len(snapshot.events), snapshot.events_matching) if snapshot is not None else (0, 0)
        window = f"{shown} of {matching:,}" if matching > shown else f"{matching:,}"
        matches = f" matching “{clean(self._picture.text)}”" if self._picture.text else ""
        following = "following" if log.following else f"paused · +{count(log.unseen, 'line')} · f follows"
        titles = {
            "events-pane": f"Events {window}{matches}",
            "runs": f"Runs {len(snapshot.live) if snapshot is not None else 0}",
            "locks": f"Locks {len(snapshot.locks) if snapshot is not None else 0}",
            "log": f"Log (UTC) · {log.book.level} and worse · {following}"
            if log.book.level != "debug"
            else f"Log (UTC) · everything · {following}",
        }
        for pane, title in titles.items():
            self.query_one(f"#{pane}").border_title = title
        short = {**titles, "log": f"Log {log.book.level}" + ("" if log.following else f" +{count(log.unseen, 'line')}")}
        self.query_one(PaneTabs).tabs = tuple(Tab(pane, short[pane]) for pane in LOWER_PANES)

    @on(LogView.Changed)
    def _log_changed(self) -> None:
        self._title_panes()

    # ------------------------------------------------------------------ panes

    def on_resize(self, event: events.Resize) -> None:
        width, height = event.size
        small = width < SMALL[0] or height < SMALL[1]
        self.set_class(small, "-small")
        self.set_class(not small and width >= LARGE_WIDTH, "-large")

    def watch_lower(self, pane: str) -> None:
        self.query_one(PaneTabs).chosen = pane
        for name in LOWER_PANES:
            self.query_one(f"#{name}").set_class(name == pane, "-chosen")

    @on(PaneTabs.Picked)
    def _tab_picked(self, message: PaneTabs.Picked) -> None:
        self.action_show_pane(message.pane)

    def action_show_pane(self, pane: str) -> None:
        if pane in LOWER_PANES:
            self.lower = pane
        self.call_after_refresh(self.query_one(f"#{pane}").focus)

    def action_pane(self, step: int) -> None:
        focused = self.focused.id if self.focused is not None else None
        now = PANES.index(focused) if focused in PANES else 0
        self.action_show_pane(PANES[(now + step) % len(PANES)])

    # ------------------------------------------------------------------ the selected event

    @property
    def selected(self) -> EventLine | None:
        key = self.query_one("#events", RowTable).key
        snapshot = self._picture.snapshot
        if key is None or snapshot is None:
            return None
        return next((line for line in snapshot.events if str(line.event_id) == key), None)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Keys that have nothing to act on are shown dimmed, or not at all."""
        if action in ("ingest", "refresh_track"):
            return True if self.selected is not None else None
        if action == "explain":
            return True if self.selected is not None and self.selected.state == "failed" else None
        if action == "clear_filter":
            return bool(self._picture.text) or self.query_one("#filter").display
        return True

    @on(RowTable.Moved, "#events")
    def _selection_moved(self) -> None:
        self._draw_selected()
        self.refresh_bindings()

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
        event, snapshot = self.selected, self._picture.snapshot
        if event is None or snapshot is None:
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
        self._starting.add(event)
        self._run_errand(self._begin(event))

    async def _begin(self, event: str) -> None:
        if not await errands.ingest(self.app, self._service, event, self._ended):
            self._starting.discard(event)

    def _ended(self, outcome: IngestReport | PipelineError) -> None:
        """Called in the run's own thread when it is over, maybe after the console was closed."""
        with suppress(RuntimeError):
            self.post_message(IngestEnded(outcome))

    @on(IngestEnded)
    def _say_how_it_ended(self, message: IngestEnded) -> None:
        self._starting.discard(message.event)
        self._source.nudge()
        outcome = message.outcome
        if not isinstance(outcome, PipelineError):
            what = "is unchanged" if outcome.outcome == "unchanged" else "is published"
            self.notify(
                f"{clean(outcome.event_name)} {what}: {count(outcome.races, 'race')}, {count(outcome.laps, 'lap')}.",
                markup=False,
            )
        elif outcome.kind is not Kind.INTERRUPTED:
            self.notify(
                f"{clean(outcome.message)}\ne says why.",
                title=f"{message.event} failed",
                severity="error",
                markup=False,
            )

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
        """Come back to the welcome where the errand was given up."""
        if await errand in (None, False, True):
            self._welcomed = False

    def action_warnings(self) -> None:
        warnings = self._picture.snapshot.warnings if self._picture.snapshot is not None else ()
        self.app.push_screen(ReadingScreen("Warnings", warning_lines(warnings)))

    @on(RowTable.Chosen, "#locks")
    def _lock_chosen(self, message: RowTable.Chosen) -> None:
        snapshot = self._picture.snapshot
        lock = next((lock for lock in snapshot.locks if str(lock.event_id) == message.key), None) if snapshot else None
        if snapshot is not None and lock is not None:
            self.app.push_screen(ReadingScreen("Lock", lock_lines(lock, snapshot.taken_at)))

    # ------------------------------------------------------------------ log and filter

    def action_level(self) -> None:
        log = self.query_one(LogView)
        log.set_level(SEVERITIES[(SEVERITIES.index(log.book.level) + 1) % len(SEVERITIES)])

    def action_follow_log(self) -> None:
        log = self.query_one(LogView)
        log.follow(not log.following)

    def action_filter(self) -> None:
        field = self.query_one("#filter", Input)
        field.display = True
        field.focus()

    def action_clear_filter(self) -> None:
        field = self.query_one("#filter", Input)
        field.value = ""
        field.display = False
        self._source.look_for("")
        self.query_one("#events").focus()

    @on(Input.Changed, "#filter")
    def _filter_changed(self, message: Input.Changed) -> None:
        self._source.look_for(message.value.strip())

    @on(Input.Submitted, "#filter")
    def _filter_kept(self) -> None:
        field = self.query_one("#filter", Input)
        field.display = bool(field.value.strip())
        self.query_one("#events").focus()

    def show_closing(self) -> None:
        """Say that runs are being stopped."""
        header: Widget = self.query_one(Header)
        assert isinstance(header, Header)
        header.facts = Facts(**{**header.facts.__dict__, "closing": True})
