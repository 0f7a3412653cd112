"""The recovery actions that were taken, and the runs that can be served again: two lists that lead to a plan.

Whether an action can be undone stands in its row; why not, below the list while the cursor is on it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import Screen
from textual.widgets import Static

from screens import planning
from screens.browse import BrowseScreen, Item
from screens.picture import Picture
from screens.planning import PlanningScreen
from screens.ports import ConsoleService
from screens.reading import ReadingScreen
from screens.recovery_telling import action_lines, undo_line
from screens.telling import Line
from screens.timeline import TimelineScreen
from screens.widgets.table import Column, Row, RowTable
from screens.widgets.tones import content
from screens.words import Phrase, Tone, ago, clean, count, moment, or_dash

if TYPE_CHECKING:
    from pipeline.recovery import Action
    from pipeline.store.runs import RunRow

SHOWN = 500


class DetailScreen(BrowseScreen[Item]):
    """A list with a few words below it about the row under the cursor. Reads again after something was done."""

    CSS_PATH = "actions.tcss"
    _left = False  # another screen was on top of it

    def compose(self) -> ComposeResult:
        yield from super().compose()
        yield Static(id="detail")

    def on_screen_suspend(self) -> None:
        self._left = True

    def on_screen_resume(self) -> None:
        """Back from a plan that may have been carried out."""
        if self._left:
            self.read()

    @property
    def item(self) -> Item | None:
        """What the cursor is on."""
        table = self.query_one(RowTable)
        return self.items[table.cursor] if table.cursor < len(self.items) else None

    @on(RowTable.Moved)
    def after_read(self) -> None:
        item = self.item
        self.query_one("#detail", Static).update(content(self.detail(item)) if item is not None else "")
        self.refresh_bindings()

    def detail(self, item: Item) -> Line:
        """A few words about one item."""
        raise NotImplementedError


# ---------------------------------------------------------------- actions

ACTION_COLUMNS = (
    Column("Action", 6, right=True),
    Column("When", 10),
    Column("Event", 16, flex=2, keep_end=True),
    Column("What", 14, flex=1),
    Column("Run", 5, right=True, rank=2),
    Column("Who", 8, flex=1, rank=3),
    Column("Reason", 10, flex=3, rank=4),
    Column("Undo", 15),
)
_KINDS = {"cleanup_full": "full cleanup"}


def action_row(action: Action, now: int) -> Row:
    """An action at the moment `now` (UTC ms)."""
    kind = _KINDS.get(action.kind, action.kind)
    if action.undone_by is not None:
        undo = Phrase(f"○ undone by {action.undone_by}", Tone.QUIET)
    elif action.undo_refused is not None:
        undo = Phrase("– no", Tone.QUIET)
    else:
        undo = Phrase("● possible", Tone.GOOD)
    target = action.undoes if action.undoes is not None else action.plan.target_run_id
    return Row(
        str(action.id),
        (
            Phrase(str(action.id)),
            Phrase(ago(action.at, now)),
            Phrase(clean(action.event)),
            Phrase(kind if target is None else f"{kind} {target}"),
            Phrase(str(action.run_id), Tone.QUIET),
            Phrase(clean(action.who), Tone.QUIET),
            Phrase(clean(action.reason), Tone.QUIET),
            undo,
        ),
    )


class ActionsScreen(DetailScreen["Action"]):
    """Actions on one event or on all, newest first."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("z", "undo", "Undo", id="actions.undo", tooltip="Plan to take the action under the cursor back"),
        Binding("a", "all", "All or one", id="actions.all", tooltip="The actions on all events, or on this one"),
    ]
    columns = ACTION_COLUMNS

    def __init__(self, service: ConsoleService, event: str | None, now: int) -> None:
        """`event` is the one to begin with; None: all. `now` is the moment of the picture, in UTC milliseconds."""
        super().__init__(service, ("Events", "actions"))
        self._event = event
        self._one = event is not None
        self._now = now

    def ask(self) -> tuple[Action, ...]:
        return self.service.actions(self._event if self._one else None, limit=SHOWN)

    def row(self, item: Action) -> Row:
        return action_row(item, max(self._now, item.at))

    def about(self) -> str:
        which = f"on {clean(self._event)}" if self._one else "on all events"
        return f"{count(len(self.items), 'action')} {which}, newest first"

    def nothing(self) -> str:
        return "no action was taken yet" + (" on this event; a shows those on all" if self._one else "")

    def detail(self, item: Action) -> Line:
        return undo_line(item)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "undo":
            return True if self.is_mounted and self.item is not None else None
        return self._event is not None if action == "all" else True

    def below(self, item: Action) -> Screen[None]:
        return ReadingScreen(f"Action {item.id}", action_lines(item))

    def action_undo(self) -> None:
        action = self.item
        if action is None:
            return
        if action.undo_refused is not None:
            self.notify(clean(action.undo_refused), title="No undo", severity="warning", markup=False)
            return
        self.app.push_screen(PlanningScreen(self.service, planning.undo(self.service, action.event, action.id)))

    def action_all(self) -> None:
        self._one = not self._one
        self.read()


# ---------------------------------------------------------------- runs

RUN_COLUMNS = (
    Column("Run", 6, right=True),
    Column("Ended", 10),
    Column("Kind", 8, rank=2),
    Column("Outcome", 12),
    Column("Races", 5, right=True),
    Column("Laps", 7, right=True),
    Column("Build", 12, rank=3),
    Column("Can it be served?", 26, flex=1),
)


def why_not_served(run: RunRow, served: int | None) -> str | None:
    """Why a run cannot be served (again); None: it can."""
    if run.id == served:
        return "it is what is served"
    if run.finished_at is None:
        return "it is under way"
    if not run.sealed:
        return f"it published nothing ({run.kind}, {run.outcome})"
    return "its rows were purged" if run.purged_at is not None else None


def run_row(run: RunRow, served: int | None, now: int) -> Row:
    """A run at the moment `now` (UTC ms), of an event that serves the run `served`."""
    why = why_not_served(run, served)
    if run.id == served:
        can = Phrase("● served now", Tone.GOOD)
    elif why is None:
        can = Phrase("○ yes: enter plans it")
    else:
        can = Phrase(f"– no: {why}", Tone.QUIET)
    holds = run.sealed and run.purged_at is None
    outcome = run.outcome or "running"
    failed = outcome in ("failed", "interrupted", "cleared")
    return Row(
        str(run.id),
        (
            Phrase(str(run.id)),
            Phrase("–" if run.finished_at is None else ago(run.finished_at, max(now, run.finished_at))),
            Phrase(clean(run.kind), Tone.QUIET),
            Phrase(f"✗ {outcome}" if failed else outcome, Tone.BAD if failed else Tone.PLAIN),
            Phrase(f"{run.race_count:,}" if holds else "–", Tone.PLAIN if holds else Tone.QUIET),
            Phrase(f"{run.lap_count:,}" if holds else "–", Tone.PLAIN if holds else Tone.QUIET),
            Phrase(or_dash(run.parser_build)[:12], Tone.QUIET),
            can,
        ),
    )


class RunsScreen(DetailScreen["RunRow"]):
    """All runs of an event, newest first; enter plans to serve one of the published ones again."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("t", "timeline", "Timeline", id="runs.timeline", tooltip="Where this run's time went"),
    ]
    columns = RUN_COLUMNS

    def __init__(self, service: ConsoleService, event_id: int, event: str, served: int | None, now: int) -> None:
        """`served` is the run that the event serves, `now` the moment of the picture, in UTC milliseconds."""
        super().__init__(service, ("Events", event, "runs"))
        self._event_id = event_id
        self._event = event
        self._served = served
        self._now = now
        self._pointed = False

    def after_read(self) -> None:
        """At first the cursor stands on the newest run that could be served."""
        super().after_read()
        could = next((run for run in self.items if why_not_served(run, self._served) is None), None)
        if could is not None and not self._pointed:
            self._pointed = True
            self.query_one(RowTable).point_at(str(could.id))

    def on_mount(self) -> None:
        self.watch(self.app, "picture", self._follow_served, init=False)

    def _follow_served(self, picture: Picture) -> None:
        snapshot = picture.snapshot
        line = next((one for one in snapshot.events if one.event_id == self._event_id), None) if snapshot else None
        if line is not None and line.current_run_id != self._served:
            self._served = line.current_run_id
            self.read()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return None if action == "timeline" and not (self.is_mounted and self.item) else True

    def action_timeline(self) -> None:
        if self.item is not None:
            self.app.push_screen(TimelineScreen(self.service, self.item.id, self._event))

    def ask(self) -> tuple[RunRow, ...]:
        return self.service.runs(self._event, limit=SHOWN)

    def row(self, item: RunRow) -> Row:
        return run_row(item, self._served, self._now)

    def about(self) -> str:
        served = f"serves run {self._served}" if self._served is not None else "serves nothing"
        return f"{count(len(self.items), 'run')}, newest first · {clean(self._event)} {served}"

    def nothing(self) -> str:
        return "this event was never worked on"

    def detail(self, item: RunRow) -> Line:
        began = (
            f"Run {item.id} ({clean(item.kind)}, asked for by {clean(item.trigger)}) began {moment(item.started_at)}"
        )
        ended = f", ended {moment(item.finished_at)}" if item.finished_at is not None else ""
        return [Phrase(f"{began}{ended}; build {or_dash(item.parser_build)}", Tone.QUIET)]

    def below(self, item: RunRow) -> Screen[None] | None:
        why = why_not_served(item, self._served)
        if why is not None:
            self.notify(f"Run {item.id} cannot be served: {why}.", severity="warning", markup=False)
            return None
        return PlanningScreen(self.service, planning.restore(self.service, self._event, item.id))
