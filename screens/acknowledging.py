"""The warnings that wait for a person, and saying that they were seen: one by one, or all that are on the list.

What was acknowledged here stays on the list until it is left: a key that was pressed twice must not take the next one
along, unread.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widgets import Static

from pipeline.errors import PipelineError
from pipeline.ways import Way
from screens.allowing import AllowingScreen
from screens.background import off_loop
from screens.confirming import Answers, ConfirmScreen, Deed
from screens.errands import LookAgain
from screens.picture import Picture
from screens.ports import ConsoleService
from screens.reading import error_screen
from screens.telling import Line, plain
from screens.widgets.keys import KeyLine
from screens.widgets.table import Column, Row, RowTable
from screens.widgets.tones import content
from screens.widgets.tones import lines as drawn
from screens.words import Phrase, Tone, ago, clean, count, moment

if TYPE_CHECKING:
    from pipeline.snapshot import LogLine

COLUMNS = (
    Column("Seen?", 8),
    Column("When", 10),
    Column("Event", 18, flex=1, keep_end=True, rank=1),
    Column("What", 24, flex=4),
)
NOTHING = "There are no open warnings."


def warning_row(warning: LogLine, now: int, *, seen: bool) -> Row:
    """A warning at the moment `now` (UTC ms)."""
    tone = Tone.QUIET if seen else Tone.PLAIN
    return Row(
        str(warning.id),
        (
            Phrase("✓ seen", Tone.GOOD) if seen else Phrase("▲ open", Tone.WARN),
            Phrase(ago(warning.at, max(now, warning.at)), tone),
            Phrase(clean(warning.event) or "–", tone),
            Phrase(clean(warning.message), tone),
        ),
    )


def warning_lines(warning: LogLine) -> list[Line]:
    """One warning at length."""
    where = [("Event", warning.event), ("Run", None if warning.run_id is None else str(warning.run_id))]
    lines: list[Line] = [[Phrase(clean(warning.message))], []]
    lines += [[Phrase(f"{name:<7}", Tone.QUIET), Phrase(clean(text))] for name, text in where if text]
    return [*lines, [Phrase(f"{'Since':<7}", Tone.QUIET), Phrase(f"{moment(warning.at)}  {clean(warning.name)}")]]


class WarningsScreen(AllowingScreen[None]):
    """Every open warning, newest first, and the one under the cursor at length."""

    CSS_PATH = "acknowledging.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("a", "acknowledge", "Seen", id="warnings.acknowledge", tooltip="Say that you have seen this warning"),
        Binding("A", "all", "All seen", id="warnings.all", tooltip="Say that you have seen all that are listed"),
        Binding("c", "copy", "Copy", id="warnings.copy", tooltip="Copy all open warnings to the clipboard"),
        Binding("escape,q", "back", "Back", id="warnings.back", tooltip="Back to where you were"),
        Binding("space", "scroll(5)", "More", id="warnings.more", tooltip="Further down in the text", show=False),
    ]
    ways: ClassVar[Mapping[str, Way]] = MappingProxyType({"acknowledge": Way.RECOVERY, "all": Way.RECOVERY})

    def __init__(self, service: ConsoleService) -> None:
        super().__init__(service, Picture())
        self._listed: dict[int, LogLine] = {}  # by id; all that were open while this screen was
        self._open: frozenset[int] = frozenset()
        self._asked: set[int] = set()  # being acknowledged from here

    def compose(self) -> ComposeResult:
        yield Static(content([Phrase("Events › ", Tone.QUIET), Phrase("Warnings", Tone.BUSY)]), id="trail")
        yield Static(id="about")
        yield RowTable(COLUMNS, empty=NOTHING, opens=False)
        with VerticalScroll(id="warning", can_focus=False):
            yield Static()
        yield KeyLine()

    def on_mount(self) -> None:
        self.watch(self.app, "picture", self._show)
        self.query_one(RowTable).focus()

    # ------------------------------------------------------------------ what is shown

    def _show(self, picture: Picture) -> None:
        self._picture, snapshot = picture, picture.snapshot
        if snapshot is None:
            return
        self._listed |= {warning.id: warning for warning in snapshot.warnings}
        self._open = frozenset(warning.id for warning in snapshot.warnings)
        rows = [
            warning_row(warning, snapshot.taken_at, seen=warning.id not in self._open)
            for warning in sorted(self._listed.values(), key=lambda one: -one.id)
        ]
        self.query_one(RowTable).show_rows(rows)
        self._draw_about(snapshot.health.evidence.open_warnings)
        self._draw_warning()

    def _draw_about(self, total: int) -> None:
        shown = len(self._open)
        more = f", the newest {shown} of {total:,} are listed" if total > shown else ""
        said = count(max(total, shown), "open warning") if shown else "no open warning"
        facts = Phrase(f"{'▲' if shown else '●'} {said}{more}", Tone.WARN if shown else Tone.GOOD)
        stay = Phrase(" · they stay until somebody has seen them" if shown else "", Tone.QUIET)
        self.query_one("#about", Static).update(content([facts, stay]))

    @on(RowTable.Moved)
    def _draw_warning(self) -> None:
        warning = self.selected
        self.query_one("#warning Static", Static).update(drawn(warning_lines(warning)) if warning is not None else "")
        self.regrey()

    @property
    def selected(self) -> LogLine | None:
        key = self.query_one(RowTable).key
        return self._listed.get(int(key)) if key is not None else None

    # ------------------------------------------------------------------ what may be done

    def why_not(self, action: str) -> str:
        reason = super().why_not(action)
        if reason or action not in (*self.ways, "copy"):
            return reason
        if not self._open:
            return NOTHING
        if action == "acknowledge" and self.selected is not None and self.selected.id not in self._open:
            return "This warning was seen already."
        return ""

    def action_acknowledge(self) -> None:
        warning = self.selected
        if warning is not None and warning.id not in self._asked:
            self._asked.add(warning.id)
            self._acknowledge(warning.id)

    @work
    async def _acknowledge(self, number: int) -> None:
        try:
            await off_loop(partial(self._service.acknowledge, (number,)))
        except PipelineError as error:
            self.app.push_screen(error_screen(error))
        else:
            self.post_message(LookAgain())
        finally:
            self._asked.discard(number)

    def action_all(self) -> None:
        self._ask_all(tuple(sorted(self._open)))

    @work
    async def _ask_all(self, ids: tuple[int, ...]) -> None:
        done = await self.app.push_screen_wait(ConfirmScreen(self._all(ids)))
        self.post_message(LookAgain())
        if done is not None:
            self.notify(f"{count(done, 'warning')} acknowledged.")

    def _all(self, ids: Iterable[int]) -> Deed[int]:
        chosen = tuple(ids)

        async def do(_answers: Answers) -> int:
            return await off_loop(partial(self._service.acknowledge, chosen))

        newest = [self._listed[number] for number in reversed(chosen[-5:])]
        lines: list[Line] = [[Phrase(f"▲ {clean(warning.message)}")] for warning in newest]
        if len(chosen) > len(newest):
            lines.append([Phrase(f"… and {len(chosen) - len(newest):,} more", Tone.QUIET)])
        what = "This is written down with your name. It is not taken back, and mends nothing of what they warn of."
        return Deed(
            f"Say that you have seen {count(len(chosen), 'warning')}",
            [*lines, [], [Phrase(what, Tone.QUIET)]],
            (),
            "All seen",
            "Writing it down …",
            do,
        )

    # ------------------------------------------------------------------ the rest

    def action_copy(self) -> None:
        lines: list[Line] = []
        for number in sorted(self._open, reverse=True):
            lines += [*warning_lines(self._listed[number]), []]
        self.app.copy_to_clipboard(plain(lines))
        self.notify("Copied.", timeout=2)

    def action_scroll(self, lines: int) -> None:
        self.query_one("#warning").scroll_relative(y=lines, animate=False)

    def action_back(self) -> None:
        self.dismiss()
