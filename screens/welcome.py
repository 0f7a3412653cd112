"""The first start: no event is known yet. Says what this is, asks who fetches, and offers ways to begin."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Footer, Static

from screens.telling import Line
from screens.widgets.table import Column, Row, RowTable
from screens.widgets.tones import lines
from screens.words import Phrase, Tone, clean

CONTACT = ("contact", "c", "Say who fetches", "LiveRC must be able to reach you. Asked once.")
CHOICES = (
    ("follow", "t", "Follow a track", "Lists its events; you choose what to ingest."),
    ("add", "a", "Add an event by its URL", "Ingests it at once."),
    ("demo", "d", "Open the demo", "A simulated LiveRC on this machine; touches nothing of yours."),
    ("look", "esc", "Go to the console", "It is empty, and waits for you."),
)


class WelcomeScreen(ModalScreen[str]):
    """Dismissed with the name of a choice: contact, follow, add, demo or look."""

    CSS_PATH = "welcome.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("c", "pick('contact')", "Contact", id="welcome.contact", tooltip="Say who fetches LiveRC's pages"),
        Binding(
            "t", "pick('follow')", "Follow a track", id="welcome.follow", tooltip="Follow a track and list its events"
        ),
        Binding("a", "pick('add')", "Add an event", id="welcome.add", tooltip="Add an event by its URL and ingest it"),
        Binding(
            "d", "pick('demo')", "Demo", id="welcome.demo", tooltip="Watch the console at work on a simulated LiveRC"
        ),
        Binding("escape", "pick('look')", "Console", id="welcome.look", tooltip="Go to the empty console"),
    ]

    def __init__(self, database: str, site: str, *, needs_contact: bool) -> None:
        super().__init__()
        self._database = database
        self._site = site
        self._needs_contact = needs_contact

    def compose(self) -> ComposeResult:
        with Vertical(id="welcome") as box:
            box.border_title = "MRE"
            yield Static(self._text())
            yield RowTable((Column("", 4), Column("How to begin", 24, flex=1), Column("", 20, flex=3)))
        yield Footer()

    def _text(self) -> Content:
        said: list[Line] = [
            [
                Phrase("Welcome. ", Tone.BUSY),
                Phrase("Race results come from LiveRC into a database, whole or not at all."),
            ],
            [],
            [Phrase("Database  ", Tone.QUIET), Phrase(clean(self._database))],
            [Phrase("Site      ", Tone.QUIET), Phrase(clean(self._site))],
        ]
        if self._needs_contact:
            said.append(
                [Phrase("Contact   ", Tone.QUIET), Phrase("▲ not given yet; nothing is fetched before", Tone.WARN)]
            )
        return lines([*said, []])

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return self._needs_contact if (action, parameters) == ("pick", ("contact",)) else True

    def on_mount(self) -> None:
        table = self.query_one(RowTable)
        choices = (CONTACT, *CHOICES) if self._needs_contact else CHOICES
        table.show_rows(
            Row(name, (Phrase(key, Tone.BUSY), Phrase(title), Phrase(what, Tone.QUIET)))
            for name, key, title, what in choices
        )
        table.focus()

    @on(RowTable.Chosen)
    def _chosen(self, message: RowTable.Chosen) -> None:
        self.dismiss(message.key)

    def action_pick(self, choice: str) -> None:
        self.dismiss(choice)
