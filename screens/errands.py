"""What an operator can set off from more than one screen: adding an event, following a track, saying who fetches.

Each errand is a coroutine that runs in a Textual worker: it asks what it must, calls the service off the loop, and
shows what went wrong in the dialog where it was typed.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from textual.app import App
from textual.message import Message

from pipeline.errors import Kind, PipelineError
from screens.asking import AskScreen, Question
from screens.background import off_loop
from screens.ports import ConsoleService
from screens.reading import error_screen
from screens.words import clean, count

if TYPE_CHECKING:
    from pipeline.ingest import IngestReport

ConsoleApp = App[str | None]
Done = Callable[["IngestReport | PipelineError"], None]


class LookAgain(Message):
    """Something was changed here: the app has another picture made at once."""


class IngestEnded(Message):
    """A run that was started here is over."""

    def __init__(self, outcome: IngestReport | PipelineError) -> None:
        super().__init__()
        self.outcome = outcome

    @property
    def failed(self) -> bool:
        return isinstance(self.outcome, PipelineError)

    @property
    def interrupted(self) -> bool:
        """It was stopped on purpose: nobody has to be told."""
        return isinstance(self.outcome, PipelineError) and self.outcome.kind is Kind.INTERRUPTED

    @property
    def event(self) -> str:
        named = self.outcome.details.get("event") if isinstance(self.outcome, PipelineError) else self.outcome.event
        return clean(str(named or "the event"))

    @property
    def text(self) -> str:
        """How it ended, in a sentence."""
        if isinstance(self.outcome, PipelineError):
            return f"{clean(self.outcome.message)}\ne says why."
        what = "is unchanged" if self.outcome.outcome == "unchanged" else "is published"
        counts = f"{count(self.outcome.races, 'race')}, {count(self.outcome.laps, 'lap')}"
        return f"{clean(self.outcome.event_name)} {what}: {counts}."


async def said_who(app: ConsoleApp, service: ConsoleService) -> bool:
    """True once the site may be fetched: somebody said who does it, or nobody needs to."""
    if not await off_loop(service.needs_contact):
        return True

    async def accept(text: str) -> None:
        await off_loop(partial(service.save_contact, text))

    question = Question(
        "Who fetches?",
        "LiveRC's operators must be able to reach whoever fetches their pages. Your e-mail address or web page goes "
        "into every request. It is asked once.",
        "you@example.org",
        "Save",
        accept,
    )
    return await app.push_screen_wait(AskScreen(question)) is not None


async def add_event(app: ConsoleApp, service: ConsoleService, done: Done) -> str | None:
    """Ask for an event, make it known, begin to ingest it. Returns what was typed, or None."""
    if not await said_who(app, service):
        return None

    async def accept(text: str) -> None:
        await off_loop(partial(service.add_event, text))
        await off_loop(partial(service.start_ingest, text, done=done))

    question = Question(
        "Add an event",
        "The address of its page on LiveRC, or SLUG/ID. It is ingested at once.",
        "https://canberraoffroad.liverc.com/results/?p=view_event&id=486677",
        "Add and ingest",
        accept,
    )
    return await app.push_screen_wait(AskScreen(question))


async def follow_track(app: ConsoleApp, service: ConsoleService) -> str | None:
    """Ask for a track, follow it, read its events. Returns its slug, or None."""
    if not await said_who(app, service):
        return None

    async def accept(text: str) -> None:
        await off_loop(partial(service.follow, text))
        await off_loop(partial(service.refresh_track, text))

    question = Question(
        "Follow a track",
        "The first part of its address: canberraoffroad for canberraoffroad.liverc.com. Its events are listed at once.",
        "canberraoffroad",
        "Follow",
        accept,
    )
    return await app.push_screen_wait(AskScreen(question))


async def ingest(app: ConsoleApp, service: ConsoleService, event: str, done: Done) -> bool:
    """Begin to ingest a known event. False where it did not begin; the reason was shown."""
    try:
        if not await said_who(app, service):
            return False
        await off_loop(partial(service.start_ingest, event, done=done))
    except PipelineError as error:
        await app.push_screen(error_screen(error))
        return False
    return True
