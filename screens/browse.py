"""Into what is served of an event: its races, a race's results, a result's laps. Three screens, one above the other.

Every one shows where it is (`Events › event › race › driver`), reads its rows off the loop, and goes back with escape.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Generic, TypeVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Footer, Static

from pipeline.errors import PipelineError
from screens.background import off_loop
from screens.picture import Picture
from screens.ports import ConsoleService
from screens.reading import error_screen
from screens.rows import RACE_COLUMNS, RESULT_COLUMNS, race_row, result_row
from screens.widgets.table import Column, Row, RowTable
from screens.widgets.tones import content
from screens.words import Phrase, Tone, clean, count

if TYPE_CHECKING:
    from pipeline.snapshot import EventLine, RaceLine, ResultLine

Item = TypeVar("Item")
READING = "reading …"


class BrowseScreen(Screen[None], Generic[Item]):
    """A table of what is one level down, under the trail that leads here."""

    CSS_PATH = "browse.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,backspace", "back", "Back", id="browse.back", tooltip="One level up"),
    ]
    columns: ClassVar[tuple[Column, ...]] = ()
    opens: ClassVar[bool] = True  # is there a level below?

    def __init__(self, service: ConsoleService, trail: Sequence[str]) -> None:
        """`trail` names the levels from the events down to this one."""
        super().__init__()
        self.service = service
        self.trail = tuple(trail)
        self.items: tuple[Item, ...] = ()

    def compose(self) -> ComposeResult:
        yield Static(_trail(self.trail), id="trail")
        yield Static("", id="about", markup=False)
        with Container(id="level"):
            yield RowTable(self.columns, empty=READING, opens=self.opens)
        yield Footer()

    def on_mount(self) -> None:
        self.query_one(RowTable).focus()
        self.read()

    @work(exclusive=True)
    async def read(self) -> None:
        """Ask for the items and show them."""
        try:
            self.items = await off_loop(self.ask)
        except PipelineError as error:
            self.query_one(RowTable).show_rows((), empty="could not be read")
            await self.app.push_screen(error_screen(error))
            return
        self.query_one(RowTable).show_rows([self.row(item) for item in self.items], empty=self.nothing())
        self.query_one("#about", Static).update(self.about())
        self.after_read()

    def after_read(self) -> None:
        """For a level that shows more than its table."""

    @abstractmethod
    def ask(self) -> tuple[Item, ...]:
        """The items of this level. Called in a thread of its own."""

    @abstractmethod
    def row(self, item: Item) -> Row: ...

    @abstractmethod
    def about(self) -> str:
        """One line about the level as a whole."""

    def nothing(self) -> str:
        return "nothing here"

    def below(self, item: Item) -> Screen[None] | None:
        """The screen of one item, where there is one."""
        return None

    @on(RowTable.Chosen)
    def _open(self, message: RowTable.Chosen) -> None:
        table = message.table
        index = next(i for i, row in enumerate(table.rows) if row.key == message.key)
        screen = self.below(self.items[index])
        if screen is not None:
            self.app.push_screen(screen)

    def action_back(self) -> None:
        self.dismiss()


def _trail(names: Sequence[str]) -> Content:
    phrases = [Phrase(f"{clean(name)} › ", Tone.QUIET) for name in names[:-1]]
    return content([*phrases, Phrase(clean(names[-1]), Tone.BUSY)])


class RacesScreen(BrowseScreen["RaceLine"]):
    """The races of an event, in order of completion. Reads again when a newer run is served."""

    columns = RACE_COLUMNS

    def __init__(self, service: ConsoleService, event: EventLine) -> None:
        super().__init__(service, ("Events", event.event_name or event.event))
        self._event = event

    def on_mount(self) -> None:
        super().on_mount()
        self.watch(self.app, "picture", self._follow_served, init=False)

    def _follow_served(self, picture: Picture) -> None:
        events = picture.snapshot.events if picture.snapshot is not None else ()
        now = next((line for line in events if line.event_id == self._event.event_id), self._event)
        changed, self._event = now.current_run_id != self._event.current_run_id, now
        if changed:
            self.read()

    def ask(self) -> tuple[RaceLine, ...]:
        return self.service.races(self._event.event_id)

    def row(self, item: RaceLine) -> Row:
        return race_row(item)

    def about(self) -> str:
        event = self._event
        failed = " · the last run failed: this is what is still served" if event.state == "failed" else ""
        return (
            f"{clean(event.event)} · {event.start_date or 'no date'} · run {event.current_run_id} · "
            f"{count(len(self.items), 'race')}, {count(sum(race.laps for race in self.items), 'lap')}{failed}"
        )

    def nothing(self) -> str:
        return "nothing of this event is served yet"

    def below(self, item: RaceLine) -> Screen[None]:
        return ResultsScreen(self.service, self.trail, item)


class ResultsScreen(BrowseScreen["ResultLine"]):
    """The results of a race, by position."""

    columns = RESULT_COLUMNS

    def __init__(self, service: ConsoleService, trail: Sequence[str], race: RaceLine) -> None:
        super().__init__(service, (*trail, race.race_label))
        self._race = race

    def ask(self) -> tuple[ResultLine, ...]:
        return self.service.results(self._race.race_id)

    def row(self, item: ResultLine) -> Row:
        return result_row(item)

    def about(self) -> str:
        race = self._race
        completed = (race.completed_at_local or "no time").replace("T", " ")
        parts = (race.class_name, race.round, completed, count(race.results, "driver"), count(race.laps, "lap"))
        return " · ".join(clean(part) for part in parts if part)

    def nothing(self) -> str:
        return "this race has no results"

    def below(self, item: ResultLine) -> Screen[None]:
        from screens.laps import LapsScreen

        return LapsScreen(self.service, self.trail, item)
