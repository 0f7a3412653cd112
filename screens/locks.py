"""The locks: who works on which event, whether that process is alive and how that is known, and ending it.

A holder is asked to stop first; taking its lock needs a reason, and against one that is alive the event's name; ending
it by force is offered where it sits inside its transaction and nothing else can help. All of it is done to the lock
that was seen, and to no later one.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widgets import Static

from pipeline.errors import Kind, PipelineError
from pipeline.ways import Way
from screens.allowing import AllowingScreen
from screens.background import off_loop
from screens.confirming import Answers, ConfirmScreen, Deed, Field
from screens.errands import LookAgain
from screens.picture import Picture
from screens.ports import Clock, ConsoleService, system_clock
from screens.reading import error_screen
from screens.rows import LOCK_COLUMNS, lock_row
from screens.summary import header_facts
from screens.telling import Line, evidence_lines, lock_lines, plain
from screens.widgets.header import freshness
from screens.widgets.keys import KeyLine
from screens.widgets.table import RowTable
from screens.widgets.tones import content
from screens.widgets.tones import lines as drawn
from screens.words import Phrase, Tone, clean, count

if TYPE_CHECKING:
    from pipeline.leases import LockView
    from pipeline.terminating import Termination

STOP_PATIENCE_S = 10.0  # how long a holder that was asked to stop is waited for
ENDING = (
    "Its process gets SIGTERM, then SIGKILL; on another machine its database connections are ended. Then its lock is "
    "taken, with a warning in the journal."
)
NOTHING = "Nobody holds a lock: nothing is being worked on."


class Stuck(NamedTuple):
    """The lock could not be touched: somebody sits inside a transaction."""

    error: PipelineError
    reason: str  # what was typed


class Gone(NamedTuple):
    """The lock is not the one that was seen any more; nothing was done."""

    error: PipelineError


class LocksScreen(AllowingScreen[None]):
    """Every held lock, and what is known of the one under the cursor."""

    CSS_PATH = "locks.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("s", "stop", "Ask to stop", id="locks.stop", tooltip="Ask the holder to stop; try this first"),
        Binding(
            "x", "clear", "Take the lock", id="locks.clear", tooltip="Take the lock from its holder, with a reason"
        ),
        Binding("c", "copy", "Copy", id="locks.copy", tooltip="Copy what is known of this lock to the clipboard"),
        Binding("escape,q", "back", "Back", id="locks.back", tooltip="Back to where you were"),
        Binding("space", "scroll(5)", "More", id="locks.more", tooltip="Further down in the evidence", show=False),
    ]
    ways: ClassVar[Mapping[str, Way]] = MappingProxyType({"stop": Way.RECOVERY, "clear": Way.RECOVERY})

    def __init__(self, service: ConsoleService, event: str | None = None, clock: Clock = system_clock) -> None:
        """`event` is the one whose lock is under the cursor at first."""
        super().__init__(service, Picture())
        self._clock = clock
        self._first = event
        self._asked: set[int] = set()  # tokens of locks whose holders were asked to stop from here, and are waited for

    def compose(self) -> ComposeResult:
        yield Static(content([Phrase("Events › ", Tone.QUIET), Phrase("Locks", Tone.BUSY)]), id="trail")
        yield Static(id="about")
        yield RowTable(LOCK_COLUMNS, empty=NOTHING, opens=False)
        with VerticalScroll(id="lock", can_focus=False):
            yield Static()
        yield KeyLine()

    def on_mount(self) -> None:
        self.watch(self.app, "picture", self._show)
        self.set_interval(1.0, self._draw_about)
        table = self.query_one(RowTable)
        lock = next((lock for lock in self._locks if lock.event == self._first), None)
        if lock is not None:
            table.point_at(str(lock.event_id))
        table.focus()

    # ------------------------------------------------------------------ what is shown

    @property
    def _locks(self) -> tuple[LockView, ...]:
        return self._picture.snapshot.locks if self._picture.snapshot is not None else ()

    @property
    def selected(self) -> LockView | None:
        key = self.query_one(RowTable).key
        return next((lock for lock in self._locks if str(lock.event_id) == key), None)

    def _show(self, picture: Picture) -> None:
        self._picture = picture
        self.query_one(RowTable).show_rows(map(lock_row, self._locks))
        self._draw_about()
        self._draw_lock()

    def _draw_about(self) -> None:
        picture, now = self._picture, self._clock()
        age = None if picture.seen_at is None else now - picture.seen_at
        facts = header_facts(picture, self._service, age_s=age)
        said = [freshness(facts), Phrase(f" · {count(len(self._locks), 'lock')} held")]
        if expired := sum(lock.expired for lock in self._locks):
            said.append(Phrase(f" · ▲ {expired} expired", Tone.WARN))
        if facts.badge:
            said.append(Phrase(f" · ■ {facts.badge}", Tone.BAD))
        self.query_one("#about", Static).update(content(said))

    @on(RowTable.Moved)
    def _draw_lock(self) -> None:
        self.query_one("#lock Static", Static).update(drawn(self._lines()))
        self.regrey()

    def _lines(self) -> list[Line]:
        lock, snapshot = self.selected, self._picture.snapshot
        return lock_lines(lock, snapshot.taken_at) if lock is not None and snapshot is not None else []

    def why_not(self, action: str) -> str:
        reason = super().why_not(action)
        return reason or (NOTHING if action in (*self.ways, "copy") and self.selected is None else "")

    # ------------------------------------------------------------------ asking the holder to stop

    def action_stop(self) -> None:
        lock = self.selected
        if lock is None:
            return
        if lock.token in self._asked:
            self.notify(f"Run {lock.run_id} was asked to stop already.", markup=False)
            return
        self._asked.add(lock.token)
        self._stop(lock)

    @work
    async def _stop(self, lock: LockView) -> None:
        what = f"run {lock.run_id} of {lock.event}"
        try:
            await off_loop(partial(self._service.cancel, lock.event))
            self.notify(f"Asked {what} to stop.", markup=False)
            self.post_message(LookAgain())
            free = await off_loop(partial(self._service.wait_until_free, lock, STOP_PATIENCE_S))
        except PipelineError as error:
            self._not_stopped(lock, error)
            return
        finally:
            self._asked.discard(lock.token)
            self.post_message(LookAgain())
        if free:
            self.notify(f"The lock is free: {what} is over.", markup=False)
        else:
            text = f"{what} has not stopped within {STOP_PATIENCE_S:.0f} s. x takes its lock."
            self.notify(text[0].upper() + text[1:], severity="warning", markup=False)

    def _not_stopped(self, lock: LockView, error: PipelineError) -> None:
        if error.kind is Kind.DB_BUSY:
            self._end_holder(lock, Stuck(error, ""))
        elif error.kind is not Kind.INTERRUPTED:  # the console is being closed
            self.app.push_screen(error_screen(error))

    # ------------------------------------------------------------------ taking the lock

    def action_clear(self) -> None:
        if self.selected is not None:
            self._take(self.selected)

    @work
    async def _take(self, lock: LockView) -> None:
        done = await self.app.push_screen_wait(ConfirmScreen(self._taking(lock)))
        self.post_message(LookAgain())
        if isinstance(done, Stuck):
            self._end_holder(lock, done)
        elif isinstance(done, Gone):
            self._say_gone(done)
        elif done is not None:
            text = f"Run {done.run_id} is ended, and the event is failed. r on the home screen ingests it again."
            title = f"Took the lock of {clean(done.event)}"
            self.notify(text, title=title, severity="warning", markup=False, timeout=10)

    def _taking(self, lock: LockView) -> Deed[LockView | Stuck | Gone]:
        async def do(answers: Answers) -> LockView | Stuck | Gone:
            reason = answers.texts["reason"]
            try:
                return await off_loop(
                    partial(
                        self._service.clear_lock,
                        lock.event,
                        reason=reason,
                        token=lock.token,
                        confirm=answers.texts.get("name"),
                    )
                )
            except PipelineError as error:
                if error.kind is Kind.DB_BUSY:
                    return Stuck(error, reason)
                if error.kind is Kind.LEASE_LOST:
                    return Gone(error)
                raise

        what = [
            [Phrase(f"Run {lock.run_id} loses the lock (token {lock.token}) and ends as cleared; the event fails.")],
            [Phrase("What is served stays. Whoever lost the lock can change nothing any more.")],
            [Phrase("It is kept in the journal as a warning.", Tone.WARN)],
        ]
        if lock.verdict == "ALIVE":
            what.append([Phrase("Its holder is ALIVE: asking it to stop (s) is the better way.", Tone.BAD)])
        return Deed(
            f"Take the lock of {clean(lock.event)}",
            [*evidence_lines(lock), [], *what],
            _fields(lock),
            "Take the lock",
            "Taking the lock; at most 5 s …",
            do,
        )

    # ------------------------------------------------------------------ ending the holder

    @work
    async def _end_holder(self, lock: LockView, stuck: Stuck) -> None:
        done = await self.app.push_screen_wait(ConfirmScreen(self._ending(lock, stuck)))
        self.post_message(LookAgain())
        if isinstance(done, Gone):
            self._say_gone(done)
        elif done is not None:
            also = f" The same process worked on {', '.join(done.with_it)}." if done.with_it else ""
            freed = "Its lock is taken." if done.cleared else "It gave its lock back by itself."
            title = f"Ended the holder of {clean(lock.event)}"
            text = f"{'; '.join(done.done)}. {freed}{also}"
            self.notify(clean(text), title=title, severity="warning", markup=False, timeout=10)

    def _ending(self, lock: LockView, stuck: Stuck) -> Deed[Termination | Gone]:
        async def do(answers: Answers) -> Termination | Gone:
            texts = answers.texts
            ask = partial(self._service.terminate_holder, lock.event, reason=texts["reason"], token=lock.token)
            try:
                return await off_loop(partial(ask, confirm=texts.get("name")))
            except PipelineError as error:
                if error.kind is Kind.LEASE_LOST:
                    return Gone(error)
                raise

        neighbours = ", ".join(clean(other.event) for other in self._locks if _same_process(lock, other))
        what = [
            [Phrase(_sentence(stuck.error), Tone.BAD)],
            [],
            [Phrase(ENDING)],
            [Phrase("Everything else that process does ends with it.", Tone.WARN)],
        ]
        if neighbours:
            what.append([Phrase(f"The same process works on {neighbours}.", Tone.WARN)])
        return Deed(
            f"End the holder of {clean(lock.event)} by force?",
            what,
            _fields(lock, stuck.reason),
            "End the holder",
            "Ending the holder; at most 25 s …",
            do,
        )

    def _say_gone(self, gone: Gone) -> None:
        self.notify(
            f"{_sentence(gone.error)}. Look again.",
            title="Nothing was done",
            severity="warning",
            markup=False,
        )

    # ------------------------------------------------------------------ the rest

    def action_copy(self) -> None:
        self.app.copy_to_clipboard(plain(self._lines()))
        self.notify("Copied.", timeout=2)

    def action_scroll(self, lines: int) -> None:
        self.query_one("#lock").scroll_relative(y=lines, animate=False)

    def action_back(self) -> None:
        self.dismiss()


def _fields(lock: LockView, reason: str = "") -> tuple[Field, ...]:
    why = Field("reason", "Reason", "why; whoever reads the warning wants to know", value=reason)
    if lock.verdict != "ALIVE":
        return (why,)
    name = " ".join(clean(lock.name_to_type).split())
    return why, Field("name", f"The holder is alive. Type the event's name: {name}", name, must_be=name)


def _sentence(error: PipelineError) -> str:
    message = clean(error.message)
    return message[:1].upper() + message[1:]


def _same_process(lock: LockView, other: LockView) -> bool:
    one, two = lock.holder, other.holder
    if one is None or two is None or lock.event_id == other.event_id:
        return False
    return (one.boot_id, one.pid) == (two.boot_id, two.pid)
