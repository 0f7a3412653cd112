"""A dialog that asks for one line of text, and does not close before the answer is accepted."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.widgets import Button, Input, Label, Static

from pipeline.errors import PipelineError

Accept = Callable[[str], Awaitable[None]]


@dataclass(frozen=True)
class Question:
    """What is asked, and who judges the answer."""

    title: str
    explanation: str
    placeholder: str
    button: str  # what a yes does, as a verb
    accept: Accept  # raises PipelineError where the answer will not do; its message is shown


class AskScreen(ModalScreen[str | None]):
    """Dismissed with the accepted answer, or with None."""

    CSS_PATH = "asking.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "cancel", "Cancel", id="asking.cancel", tooltip="Close without doing anything"),
    ]

    def __init__(self, question: Question) -> None:
        super().__init__()
        self._question = question

    def compose(self) -> ComposeResult:
        with Vertical(id="asking") as box:
            box.border_title = self._question.title
            yield Label(self._question.explanation, markup=False)
            yield Input(placeholder=self._question.placeholder)
            yield Static("", id="message", markup=False)
            with Horizontal():
                yield Button("Cancel", id="cancel")
                yield Button(self._question.button, id="accept", variant="primary")

    @on(Input.Changed)
    def _forget_message(self) -> None:
        self._say("")

    @on(Input.Submitted)
    @on(Button.Pressed, "#accept")
    def _answered(self) -> None:
        text = self.query_one(Input).value.strip()
        if not text:
            self._say("✗ Nothing was typed.", bad=True)
        elif not self.query_one("#accept").disabled:
            self._judge(text)

    @on(Button.Pressed, "#cancel")
    def action_cancel(self) -> None:
        self.dismiss(None)

    @work(exclusive=True)
    async def _judge(self, text: str) -> None:
        button, field = self.query_one("#accept", Button), self.query_one(Input)
        button.disabled = True
        self._say("◐ One moment …")
        try:
            await self._question.accept(text)
        except PipelineError as error:
            remedy = error.envelope().details.get("remedy")
            self._say(f"✗ {error.message}" + (f"\n{remedy}" if remedy else ""), bad=True)
            field.focus()
        else:
            self.dismiss(text)
        finally:
            button.disabled = False

    def _say(self, text: str, *, bad: bool = False) -> None:
        message = self.query_one("#message", Static)
        message.update(text)
        message.set_class(bad, "-bad")
