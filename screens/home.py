"""The home screen: all events, the runs under way, the locks, the log. Drawn from one frozen picture at a time.

A large terminal shows everything at once, a small one the events and one lower pane at a time. Nothing here reads a
database or waits: questions go through `off_loop`, answers and pictures come back as values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, Vertical
from textual.content import Content
from textual.reactive import reactive
from textual.widgets import Input, Static

from screens.acting import Hidden
from screens.drifting import DriftingScreen
from screens.picture import Picture
from screens.poller import PictureSource
from screens.ports import Clock, ConsoleService
from screens.rows import EVENT_COLUMNS, LOCK_COLUMNS, event_row, lock_row
from screens.summary import (
    LogState,
    about_event,
    header_facts,
    no_events_text,
    notices,
    run_cards,
    titles,
    trouble_text,
)
from screens.telling import Line
from screens.widgets.header import Header
from screens.widgets.keys import KeyLine
from screens.widgets.log import LogView
from screens.widgets.panes import PaneTabs, Tab
from screens.widgets.runs import RunPane
from screens.widgets.table import RowTable
from screens.widgets.tones import content, lines
from screens.words import SEVERITIES, Phrase, count

if TYPE_CHECKING:
    from pipeline.snapshot import EventLine, Snapshot

PANES = ("events", "runs", "locks", "log")
LOWER_PANES = PANES[1:]
SMALL = (100, 30)  # below this width or height one lower pane is shown at a time
LARGE_WIDTH = 160  # from here on the runs and locks stand beside the events


class HomeScreen(DriftingScreen):
    """Everything at a glance. The keys that act on it are its base's."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "filter", "Filter", id="home.filter", tooltip="Show only events that match"),
        Hidden("L", "level", "Level", id="home.level", tooltip="The log's level: debug, info, warning, error"),
        Hidden("f", "follow_log", "Follow", id="home.follow", tooltip="Follow the log's end, or stop to"),
        Hidden("tab", "pane(1)", "Next pane", id="home.next_pane", tooltip="To the next pane"),
        Hidden("shift+tab", "pane(-1)", "Previous pane", id="home.previous_pane", tooltip="To the previous pane"),
        Hidden("1", "show_pane('events')", "Events", id="home.events", tooltip="To the events"),
        Hidden("2", "show_pane('runs')", "Runs", id="home.runs", tooltip="To the runs under way"),
        Hidden("3", "show_pane('locks')", "Locks", id="home.locks", tooltip="To the locks"),
        Hidden("4", "show_pane('log')", "Log", id="home.log", tooltip="To the log"),
        Hidden("escape", "clear_filter", "All events", id="home.clear_filter", tooltip="Show all events again"),
    ]

    lower: reactive[str] = reactive("runs")  # the lower pane that a small terminal shows

    def __init__(self, service: ConsoleService, source: PictureSource, clock: Clock, *, welcome: bool = True) -> None:
        """`welcome`: greet whoever has no events yet."""
        super().__init__(service, source, clock, welcome=welcome)
        self._began = clock()
        self._drawn: tuple[EventLine, ...] = ()  # the events that the table's rows were made of
        self._leaving = False
        self._about: list[Phrase] = []  # what is said of the selected event
        self._titles: dict[str, str] = {}  # pane → what its title says
        self._trouble = ""  # what is said of an old picture
        self._notices: list[Line] = []  # what is said of the switch and of locks that expired

    def compose(self) -> ComposeResult:
        yield Header()
        yield Static(id="trouble", markup=False)
        yield Static(id="notices")
        with Container(id="panes"):
            with Vertical(id="events-pane", classes="pane"):
                yield RowTable(EVENT_COLUMNS, id="events", empty="reading the database …")
                yield Static(id="selected")
                yield Input(
                    id="filter", placeholder="name, slug/id or state; enter keeps it, escape shows all", compact=True
                )
            yield PaneTabs()
            yield RunPane(id="runs", classes="pane lower")
            yield RowTable(LOCK_COLUMNS, id="locks", classes="pane lower", empty="nothing is locked")
            yield LogView(id="log", classes="pane lower")
        yield KeyLine()

    def on_mount(self) -> None:
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
        snapshot = picture.snapshot
        self.query_one("#runs", RunPane).list.cards = run_cards(picture)
        self._draw_tables(snapshot)
        self.query_one(LogView).add_lines(picture.lines)
        self._title_panes()
        self._draw_header()
        self._draw_notices()
        if snapshot is not None:
            self._starting &= {line.event for line in snapshot.events if line.state != "running"}
        self._welcome_newcomer()

    def _draw_tables(self, snapshot: Snapshot | None) -> None:
        events, locks = (snapshot.events, snapshot.locks) if snapshot is not None else ((), ())
        running = {run.event_id: run for run in snapshot.live} if snapshot is not None else {}
        locked = {lock.event_id: lock for lock in locks}
        now = snapshot.taken_at if snapshot is not None else 0
        table = self.query_one("#events", RowTable)
        # Between two looks at the database only runs move: the other rows are the ones already there.
        kept = table.rows if events is self._drawn else (None,) * len(events)
        self._drawn = events
        table.show_rows(
            [
                row if row is not None and line.state != "running" else event_row(line, now, running, locked)
                for line, row in zip(events, kept, strict=True)
            ],
            empty=no_events_text(self._picture),
        )
        self.query_one("#locks", RowTable).show_rows(map(lock_row, locks))
        self._draw_selected()

    def _draw_selected(self) -> None:
        event = self.selected
        about = about_event(self._picture, event)
        if about != self._about:  # an update costs a new layout of the screen, so only where there is something new
            self._about = about
            self.query_one("#selected", Static).update(content(about))
        self.regrey()

    def _draw_header(self) -> None:
        """Called with every picture and every second: an old picture must say that it is old."""
        now, seen_at = self._clock(), self._picture.seen_at
        age = None if seen_at is None else now - seen_at
        facts = header_facts(self._picture, self._service, age_s=age, closing=self._leaving)
        self.query_one(Header).facts = facts
        text = trouble_text(self._picture, age_s=age, waited_s=now - self._began)
        if text != self._trouble:
            self._trouble = text
            banner = self.query_one("#trouble", Static)
            banner.display = bool(text)
            banner.update(text)

    def _draw_notices(self) -> None:
        said = notices(self._picture)
        if said != self._notices:
            self._notices = said
            banner = self.query_one("#notices", Static)
            banner.display = bool(said)
            banner.update(lines(said))

    def _title_panes(self) -> None:
        log = self.query_one(LogView)
        named = titles(self._picture, LogState(log.book.level, log.following, log.unseen))
        for pane, title in named.items():
            if title != self._titles.get(pane):
                self._titles[pane] = title
                self.query_one(f"#{pane}").border_title = Content(title)  # a filter may look like markup
        short = f"Log {log.book.level}" + ("" if log.following else f" +{count(log.unseen, 'line')}")
        texts = {**named, "log": short}
        self.query_one(PaneTabs).tabs = tuple(Tab(pane, texts[pane]) for pane in LOWER_PANES)

    def show_closing(self) -> None:
        """Say that runs are being stopped."""
        self._leaving = True
        self._draw_header()

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
        if action == "clear_filter":
            return bool(self._picture.text) or self.query_one("#filter").display
        return super().check_action(action, parameters)

    @on(RowTable.Moved, "#events")
    def _selection_moved(self) -> None:
        self._draw_selected()

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
        self.set_focus(field)  # at once: what is typed next must not act on the events

    def action_clear_filter(self) -> None:
        field = self.query_one("#filter", Input)
        field.value = ""
        field.display = False
        self._source.look_for("")
        self.set_focus(self.query_one("#events"))

    @on(Input.Changed, "#filter")
    def _filter_changed(self, message: Input.Changed) -> None:
        self._source.look_for(message.value.strip())

    @on(Input.Submitted, "#filter")
    def _filter_kept(self) -> None:
        field = self.query_one("#filter", Input)
        field.display = bool(field.value.strip())
        self.set_focus(self.query_one("#events"))
