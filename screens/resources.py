"""What the pipeline takes of this machine: database, disk, memory, open files, the oldest run."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Static

from pipeline.errors import PipelineError
from screens.background import off_loop
from screens.ports import ConsoleService
from screens.telling import Line, error_lines, plain
from screens.widgets.tones import lines as drawn
from screens.words import Phrase, Tone, clean, count, span

if TYPE_CHECKING:
    from pipeline.resources import Resources

LOOK_EVERY_S = 2.0
BAR_WIDTH = 16  # cells
KIB = 1024


def size(number: int) -> str:
    """Bytes for people: `412 MiB`, `38.0 GiB`."""
    for unit, shift in (("GiB", 30), ("MiB", 20)):
        if number >= 1 << shift:
            whole = number / (1 << shift)
            return f"{whole:.1f} {unit}" if whole < 100 and unit == "GiB" else f"{whole:,.0f} {unit}"
    return f"{number / KIB:.0f} KiB"


def resource_lines(resources: Resources, database: str) -> list[Line]:
    """One line for each resource, in the order in which they run out."""
    from pipeline import resources as limits

    disk = Tone.GOOD
    if resources.disk_free < limits.DISK_WARN_BYTES:
        disk = Tone.BAD if resources.disk_free < limits.DISK_FAIL_BYTES else Tone.WARN
    tight = resources.memory_available < limits.MEMORY_WARN_SHARE * resources.memory_total
    memory = Tone.WARN if tight else Tone.GOOD
    engine = "SQLite" if resources.engine == "sqlite" else "PostgreSQL"
    return [
        _line("Database", f"{size(resources.database_bytes)}, {engine}", clean(database)),
        _line(
            "Disk",
            f"{size(resources.disk_free)} free of {size(resources.disk_total)}",
            clean(resources.folder),
            bar=(resources.disk_total - resources.disk_free, resources.disk_total, disk),
        ),
        _line(
            "Memory",
            f"{size(resources.memory_available)} free of {size(resources.memory_total)}",
            bar=(resources.memory_total - resources.memory_available, resources.memory_total, memory),
        ),
        _line("Console", f"{size(resources.process_memory)} of memory"),
        _files(resources, limits.FILES_WARN_SHARE),
        _oldest(resources),
    ]


def _line(name: str, fact: str, more: str = "", *, bar: tuple[int, int, Tone] | None = None) -> Line:
    phrases = [Phrase(f"{name:<12}", Tone.QUIET)]
    if bar is not None:
        used, total, tone = bar
        full = BAR_WIDTH * used // total if total else 0
        mark = {Tone.GOOD: "● ", Tone.WARN: "▲ ", Tone.BAD: "✗ "}[tone]
        phrases += [Phrase(mark, tone), Phrase("━" * full, tone), Phrase("─" * (BAR_WIDTH - full) + "  ", Tone.QUIET)]
    return [*phrases, Phrase(fact), Phrase(f"  {more}", Tone.QUIET)]


def _files(resources: Resources, warn_share: float) -> Line:
    files, limit = resources.open_files, resources.open_files_limit
    if files is None:
        return _line("Open files", "this system does not tell")
    if limit is None:
        return _line("Open files", f"{files:,}", "no limit")
    tone = Tone.WARN if files > warn_share * limit else Tone.GOOD
    return _line("Open files", f"{files:,} of {limit:,}", "of this console", bar=(files, limit, tone))


def _oldest(resources: Resources) -> Line:
    run = resources.oldest_run
    if run is None:
        return _line("Oldest run", "no run is under way")
    return _line(
        "Oldest run",
        f"{span(run.elapsed_ms / 1_000)}, run {run.run_id} of {clean(run.event)}",
        f"of {count(resources.runs, 'run')} under way",
    )


class ResourcesScreen(ModalScreen[None]):
    """The resources, every two seconds anew; an answer that does not come leaves the last one."""

    CSS_PATH = "resources.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,enter", "close", "Close", id="resources.close", tooltip="Back to where you were"),
        Binding("c", "copy", "Copy", id="resources.copy", tooltip="Copy all of this text to the clipboard"),
    ]

    def __init__(self, service: ConsoleService) -> None:
        super().__init__()
        self._service = service
        self._lines: list[Line] = [[Phrase("◐ Looking …", Tone.BUSY)]]
        self._asking = False

    def compose(self) -> ComposeResult:
        with Vertical(id="resources") as box:
            box.border_title = "Resources of this machine"
            box.border_subtitle = "c copies · esc closes"
            yield Static(drawn(self._lines))

    def on_mount(self) -> None:
        self._look()
        self.set_interval(LOOK_EVERY_S, self._look)

    @work
    async def _look(self) -> None:
        if self._asking:
            return  # a slow database is not asked twice
        self._asking = True
        try:
            resources = await off_loop(self._service.resources)
            self._lines = resource_lines(resources, self._service.shown_database)
        except PipelineError as error:
            self._lines = error_lines(error.envelope())
        finally:
            self._asking = False
        self.query_one(Static).update(drawn(self._lines))

    def action_close(self) -> None:
        self.dismiss()

    def action_copy(self) -> None:
        self.app.copy_to_clipboard(plain(self._lines))
        self.notify("Copied.", timeout=2)
