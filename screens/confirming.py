"""A dialog before something that is hard to take back: what is known, what would happen, what has to be typed.

Cancel has the focus once everything is typed. One key does it: `y`, or `a` where `y` led here; the key that led here
does nothing. It closes when it is done, or stays with the reason why it was not; while it is being done it cannot be
left.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Button, Input, Label, Static

from pipeline.errors import Kind, PipelineError
from screens.telling import Line
from screens.widgets.keys import KeyLine
from screens.widgets.tick import Tick
from screens.widgets.tones import lines as drawn
from screens.words import Phrase, Tone, clean

Result = TypeVar("Result")


@dataclass(frozen=True)
class Answers:
    """What was typed and ticked."""

    texts: Mapping[str, str]  # by the field's name
    ticked: bool = False


@dataclass(frozen=True)
class Field:
    """One line to type."""

    name: str
    label: str
    placeholder: str = ""
    must_be: str | None = None  # what exactly has to be typed; None: anything, but something
    value: str = ""  # what stands there already


@dataclass(frozen=True)
class Deed(Generic[Result]):
    """What is about to be done."""

    title: str
    lines: Sequence[Line]  # what is known, and what will happen
    fields: tuple[Field, ...]
    button: str  # a verb
    working: str  # what is said while it is done
    do: Callable[[Answers], Awaitable[Result]]  # raises PipelineError where it was not done; the dialog stays then
    option: str = ""  # what may be ticked
    ticked: bool = False  # whether it is at first
    key: str = "y"  # that does it; another one where `y` led here


class ConfirmScreen(ModalScreen[Result | None], Generic[Result]):
    """Dismissed with what `do` returned, or with None."""

    CSS_PATH = "confirming.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "cancel", "Cancel", id="confirming.cancel", tooltip="Close without doing anything"),
        Binding("y", "confirm('y')", "Confirm", id="confirming.confirm", tooltip="Do what this dialog says"),
        Binding("a", "confirm('a')", "Accept", id="confirming.accept", tooltip="Accept what this dialog says"),
    ]

    def __init__(self, deed: Deed[Result]) -> None:
        super().__init__()
        self._deed = deed
        self._working = False

    def compose(self) -> ComposeResult:
        deed = self._deed
        with Vertical(id="confirming") as box:
            box.border_title = Content(deed.title)
            with VerticalScroll(id="known", can_focus=False):
                yield Static(drawn(deed.lines))
            for field in deed.fields:
                yield Label(field.label, markup=False)
                yield Input(field.value, placeholder=field.placeholder, id=f"field-{field.name}", compact=True)
            if deed.option:
                yield Tick(deed.option, ticked=deed.ticked)
            yield Static("", id="message")
            with Horizontal():
                yield Button("Cancel", id="cancel", compact=True)
                yield Button(f"{deed.button} ({deed.key})", id="confirm", variant="warning", compact=True)
        yield KeyLine()

    def on_mount(self) -> None:
        self.app.clear_notifications()  # they would lie over the buttons
        first = self._missing()
        self.set_focus(self.query_one(f"#field-{first.name}" if first is not None else "#cancel"))
        self._prompt()

    def _prompt(self) -> None:
        key = self._deed.key
        enter = (
            f"Enter leads on to Cancel, where {key} does it." if self._deed.fields else f"{key} does it, esc leaves it."
        )
        self._say(f"Nothing is done yet. {enter}")

    # ------------------------------------------------------------------ typing

    @on(Input.Changed)
    def _forget_message(self) -> None:
        self._prompt()

    @on(Input.Submitted)
    def _typed(self, message: Input.Submitted) -> None:
        """Enter never does it: it leads to what is missing, at last to Cancel."""
        field = self._missing()
        if field is None:
            self.set_focus(self.query_one("#cancel"))  # at once: what is typed next must not end in the field
            self._say(f"Nothing is done yet. {self._deed.key} does it, esc leaves it.")
        elif message.input.id == f"field-{field.name}":
            self._say_missing(field)
        else:
            self.set_focus(self.query_one(f"#field-{field.name}"))

    def _text(self, field: Field) -> str:
        return " ".join(self.query_one(f"#field-{field.name}", Input).value.split())

    def _is_good(self, field: Field) -> bool:
        text = self._text(field)
        return bool(text) if field.must_be is None else text == " ".join(field.must_be.split())

    def _missing(self) -> Field | None:
        """The first field that still needs something."""
        return next((field for field in self._deed.fields if not self._is_good(field)), None)

    def _say_missing(self, field: Field) -> None:
        self.set_focus(self.query_one(f"#field-{field.name}"))
        typed = self._text(field)
        self._say(f"✗ This is not “{field.must_be}”." if typed else "✗ Nothing was typed here yet.", Tone.BAD)

    # ------------------------------------------------------------------ the answer

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """While it is done nothing can be pressed; while a text is typed, the key that does it is a letter."""
        if action == "confirm" and parameters != (self._deed.key,):
            return False
        typing = action == "confirm" and isinstance(self.focused, Input)
        return None if self._working or typing else True

    @on(Button.Pressed, "#cancel")
    def action_cancel(self) -> None:
        if not self._working:
            self.dismiss(None)

    @on(Button.Pressed, "#confirm")
    def _confirm_pressed(self) -> None:
        self.action_confirm(self._deed.key)

    def action_confirm(self, _key: str) -> None:
        field = self._missing()
        if field is not None:
            self._say_missing(field)
        elif not self._working:
            ticked = any(tick.ticked for tick in self.query(Tick))
            texts = {field.name: self._text(field) for field in self._deed.fields}
            self._do(Answers(texts, ticked))

    @work
    async def _do(self, answers: Answers) -> None:
        self._be_at_work(True)
        self._say(f"◐ {self._deed.working}", Tone.BUSY)
        try:
            result = await self._deed.do(answers)
        except PipelineError as error:
            self._be_at_work(False)
            # What to do about wrong words in general is said for the command line; here the message says enough.
            remedy = error.details.get("remedy") or ("" if error.kind is Kind.USAGE else error.rule.remedy)
            self._say(f"✗ {clean(error.message)}\n{clean(str(remedy))}", Tone.BAD)
            self.set_focus(self.query_one("#cancel"))
        else:
            self.dismiss(result)

    def _be_at_work(self, working: bool) -> None:
        self._working = working
        for widget in (*self.query(Button), *self.query(Input), *self.query(Tick)):
            widget.disabled = working
        self.refresh_bindings()

    def _say(self, text: str, tone: Tone = Tone.QUIET) -> None:
        self.query_one("#message", Static).update(drawn([[Phrase(line, tone)] for line in text.splitlines()]))
