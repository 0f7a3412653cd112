"""Is everything as it must be? Runs the checks over one event or over everything and shows what each of them found.

A check that found nothing is one quiet, green row; enter on a finding goes to the event that it is about. What follows
from an error (the event is held) the service sees to, and the first line tells.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar

import msgspec
from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.screen import Screen
from textual.widgets import Static

from pipeline.errors import PipelineError
from screens.background import off_loop
from screens.ports import ConsoleService
from screens.reading import error_screen
from screens.recovery_telling import WAYS_OUT, finding_lines, verdict_line
from screens.telling import Line, plain
from screens.widgets.keys import KeyLine
from screens.widgets.table import Column, Row, RowTable
from screens.widgets.tones import content
from screens.widgets.tones import lines as drawn
from screens.words import Phrase, Tone, clean

if TYPE_CHECKING:
    from pipeline.checks import CheckReport
    from pipeline.findings import Finding
    from pipeline.observe import Report

BAR_WIDTH = 24  # cells
COLUMNS = (
    Column("", 7),
    Column("Check", 17),
    Column("Event", 16, flex=1, keep_end=True, rank=1),
    Column("What", 40, flex=5),
    Column("Time", 7, right=True, rank=2),
)
_MARKS = {"error": Phrase("✗ error", Tone.BAD), "warning": Phrase("▲ warn", Tone.WARN)}
NO_CHECKS: Mapping[str, str] = MappingProxyType({})


def check_rows(report: CheckReport, sentences: Mapping[str, str]) -> list[Row]:
    """Findings first, errors before warnings; then the checks that were not made, then the quiet ones.

    `sentences` say what holds where a check is quiet.
    """
    rows = [_finding_row(number, one) for number, one in enumerate(report.findings)]
    rows += [
        Row(f"skipped {name}", (Phrase("· not", Tone.QUIET), Phrase(name), _NO, Phrase(f"not made: {why}"), _NO))
        for name, why in report.skipped.items()
    ]
    loud = {one.check for one in report.findings}
    rows += [
        Row(
            f"quiet {name}",
            (
                Phrase("● quiet", Tone.GOOD),
                Phrase(name),
                _NO,
                Phrase(clean(sentences.get(name)), Tone.QUIET),
                Phrase(f"{took} ms", Tone.QUIET),
            ),
        )
        for name, took in report.checks.items()
        if name not in loud and name not in report.skipped
    ]
    return rows


_NO = Phrase("")


def _finding_row(number: int, finding: Finding) -> Row:
    mark = _MARKS.get(finding.severity, Phrase("? odd", Tone.WARN))
    return Row(
        f"finding {number}",
        (mark, Phrase(finding.check), Phrase(clean(finding.event)), Phrase(clean(finding.message), mark.tone), _NO),
    )


def progress_line(done: int, total: int) -> Line:
    """`◐ checking  ━━━━━━────  12 of 40`"""
    full = BAR_WIDTH * done // total if total else 0
    bar = (Phrase("━" * full, Tone.BUSY), Phrase("─" * (BAR_WIDTH - full), Tone.QUIET))
    return [Phrase("◐ checking  ", Tone.BUSY), *bar, Phrase(f"  {done:,} of {total:,}")]


class ChecksScreen(Screen["tuple[int, str] | None"]):
    """Dismissed with the event (the database's id, slug/id) that the operator wants to go to, or with None."""

    CSS_PATH = "checks.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,backspace", "leave", "Back", id="checks.leave", tooltip="Back to the events"),
        Binding("v", "one", "Event", id="checks.one", tooltip="Check this event again"),
        Binding("a", "all", "All", id="checks.all", tooltip="Check everything: all events, the page sets"),
        Binding("c", "copy", "Copy", id="checks.copy", tooltip="Copy what was found to the clipboard"),
    ]

    class Progressed(Message):
        """So far it is."""

        def __init__(self, done: int, total: int) -> None:
            super().__init__()
            self.done = done
            self.total = total

    def __init__(self, service: ConsoleService, event: str | None) -> None:
        """`event` is the one to check; None: everything."""
        super().__init__()
        self._service = service
        self._event = event
        self._everything = event is None
        self._checking = False
        self._report: CheckReport | None = None

    def compose(self) -> ComposeResult:
        yield Static(id="trail")
        yield Static(id="about")
        yield RowTable(COLUMNS)
        yield Static(id="detail")
        yield KeyLine()

    def on_mount(self) -> None:
        self.query_one(RowTable).focus()
        self._check()

    # ------------------------------------------------------------------ running them

    @work
    async def _check(self) -> None:
        event = None if self._everything else self._event
        self._checking, self._report = True, None
        named = clean(event) or "everything"
        self.query_one("#trail", Static).update(
            content([Phrase("Events › ", Tone.QUIET), Phrase(f"{named} › checks", Tone.BUSY)])
        )
        self._tell_progress(0, 0)
        self.query_one(RowTable).show_rows((), empty=f"checking {named} …")
        self.query_one("#detail", Static).update("")
        unsubscribe = self._service.bus.subscribe(self._hear)
        try:
            report, sentences = await off_loop(partial(self._ask, event))
        except PipelineError as error:
            self.query_one("#about", Static).update(content([Phrase("✗ The checks could not be made.", Tone.BAD)]))
            self.query_one(RowTable).show_rows((), empty="v tries again")
            self.app.push_screen(error_screen(error))
        else:
            self._report = report
            said = [verdict_line(report)]
            if not report.passed:
                said.append([Phrase(f"From the events, {WAYS_OUT}", Tone.QUIET)])
            self.query_one("#about", Static).update(drawn(said))
            self.query_one(RowTable).show_rows(check_rows(report, sentences))
            self._draw_detail()
        finally:
            unsubscribe()
            self._checking = False
            self.refresh_bindings()

    def _ask(self, event: str | None) -> tuple[CheckReport, Mapping[str, str]]:
        """Called in a thread of its own."""
        report = self._service.checks(event)
        from pipeline.checks import CHECKS

        return report, CHECKS

    def _hear(self, report: Report) -> None:
        """Called in the checking thread."""
        if report.name == "progress" and report.fields.get("stage") == "checks":
            self.post_message(self.Progressed(report.fields["done"], report.fields["total"] or 0))

    @on(Progressed)
    def _draw_progress(self, message: Progressed) -> None:
        if self._checking:
            self._tell_progress(message.done, message.total)

    def _tell_progress(self, done: int, total: int) -> None:
        self.query_one("#about", Static).update(content(progress_line(done, total)))

    # ------------------------------------------------------------------ looking

    def _finding(self) -> Finding | None:
        key = self.query_one(RowTable).key or ""
        kind, _, number = key.partition(" ")
        return self._report.findings[int(number)] if kind == "finding" and self._report is not None else None

    @on(RowTable.Moved)
    def _draw_detail(self) -> None:
        """The whole finding: a column has room for its beginning only."""
        finding = self._finding()
        said: list[Phrase] = []
        if finding is not None:
            about = f" of {clean(finding.event)}" if finding.event is not None else ""
            said = [Phrase(f"{finding.check}{about}: ", Tone.BUSY), Phrase(clean(finding.message))]
            said.append(Phrase("  ⏎ goes to the event" if finding.event_id is not None else ""))
            facts = clean(msgspec.json.encode(finding.facts).decode()) if finding.facts else ""
            said.append(Phrase(f"  {facts}" if facts else "", Tone.QUIET))
        elif row := next(
            (row for row in self.query_one(RowTable).rows if row.key == self.query_one(RowTable).key), None
        ):
            said = [Phrase(f"{row.cells[1].text}: ", Tone.BUSY), Phrase(row.cells[3].text, Tone.QUIET)]
        self.query_one("#detail", Static).update(content(said))

    @on(RowTable.Chosen)
    def _go_to_event(self) -> None:
        finding = self._finding()
        if finding is None:
            return
        if finding.event_id is None or finding.event is None:
            self.notify("This finding is about no single event.", markup=False)
        else:
            self.dismiss((finding.event_id, finding.event))

    # ------------------------------------------------------------------ keys

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action in ("one", "all"):
            return None if self._checking else action == "all" or self._event is not None
        if action == "copy":
            return True if self._report is not None else None
        return True

    def action_leave(self) -> None:
        if self._checking:
            self.notify("The checks go on; what they find is kept.", timeout=3)
        self.dismiss(None)

    def action_one(self) -> None:
        self._everything = False
        self._check()

    def action_all(self) -> None:
        self._everything = True
        self._check()

    def action_copy(self) -> None:
        if self._report is not None:
            self.app.copy_to_clipboard(plain([verdict_line(self._report), *finding_lines(self._report)]))
            self.notify("Copied.", timeout=2)
