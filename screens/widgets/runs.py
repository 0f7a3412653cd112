"""The runs under way, of this process and of others: how far, how fast, which stage took how long.

`run_lines` says it in a given width; the widget paints what it says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, NamedTuple

from rich.cells import cell_len
from textual.app import ComposeResult, RenderResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.geometry import Size
from textual.reactive import reactive
from textual.widget import Widget

from screens.widgets.table import cut
from screens.widgets.tones import lines
from screens.words import Phrase, Tone, clean, count, short_seconds, span, state

if TYPE_CHECKING:
    from pipeline.leases import LockView
    from pipeline.snapshot import LiveRun

STAGES = ("fetch", "parse", "normalise", "validate", "publish")
READING = ("fetch", "parse")  # they take turns, page by page: both are under way until the last page
BETWEEN = " │ "
BAR_LEAST = 8  # cells; a shorter bar says nothing
Line = list[Phrase]


class RunCard(NamedTuple):
    """One run with what else is known of it."""

    run: LiveRun
    rate: float | None  # pages per second
    lock: LockView | None  # the lease that it holds


def run_lines(card: RunCard, width: int) -> list[Line]:
    """A run in three lines, and a fourth one where its holder may be gone."""
    run, lock = card.run, card.lock
    said = [_title(run, width), _progress(run, card.rate, width), _timeline(run, width)]
    if lock is not None and lock.verdict != "ALIVE":
        text = f"▲ its holder is {str(lock.verdict).lower()}: {clean(lock.evidence)}"
        said.append([Phrase(cut(text, width), Tone.BAD)])
    return said


def _title(run: LiveRun, width: int) -> Line:
    glyph = state("running").text.partition(" ")[0]
    facts = f"run {run.run_id} · {clean(run.trigger)} · {span(run.elapsed_ms / 1_000)}"
    name = f"{glyph} {clean(run.event)}  {clean(run.event_name)}".rstrip()
    room = width - cell_len(facts) - 2
    return [Phrase(cut(name, max(0, room)), Tone.BUSY), Phrase("  " + facts, Tone.QUIET)]


def _progress(run: LiveRun, rate: float | None, width: int) -> Line:
    """`page 12 of 33  ━━━━━╸────  36 %  4.2 pages/s  about 5 s left`"""
    if run.pages_total is None:
        return [Phrase("reading the event page" if run.stage in (None, *READING) else f"{clean(run.stage)}")]
    if run.pages_done >= run.pages_total:
        return [Phrase(f"all {count(run.pages_total, 'page')} read; {clean(run.stage)}")]
    before = f"page {run.pages_done + 1} of {run.pages_total}  "
    after = f"  {run.pages_done * 100 // run.pages_total} %"
    if rate is not None:
        after += f"  {rate:.1f} pages/s"
        if rate > 0:
            after += f"  {span((run.pages_total - run.pages_done) / rate)} left"
    room = width - cell_len(before) - cell_len(after)
    if room < BAR_LEAST:
        return [Phrase(cut((before.rstrip() + after), width))]
    full = room * run.pages_done // run.pages_total
    return [Phrase(before), Phrase("━" * full, Tone.BUSY), Phrase("─" * (room - full), Tone.QUIET), Phrase(after)]


def _timeline(run: LiveRun, width: int) -> Line:
    """The stages in order with the time each took; what room is left shows the shares as bars."""
    labels = [_stage(run, stage, timed=True) for stage in STAGES]
    if _spare(labels, width) < 0:
        labels = [_stage(run, stage, timed=False) for stage in STAGES]
    spare = _spare(labels, width) - len(STAGES)  # a bar stands one cell off its label
    total = sum(run.stage_ms.get(stage, 0) for stage in STAGES)
    said: Line = []
    for stage, label in zip(STAGES, labels, strict=True):
        bar = spare * run.stage_ms.get(stage, 0) // total if total and spare > BAR_LEAST else 0
        said += [*([Phrase(BETWEEN, Tone.QUIET)] if said else []), label]
        if bar:
            said.append(Phrase(" " + "▬" * bar, label.tone))
    return said


def _spare(labels: list[Phrase], width: int) -> int:
    return width - sum(cell_len(label.text) for label in labels) - len(BETWEEN) * (len(labels) - 1)


def _stage(run: LiveRun, stage: str, *, timed: bool) -> Phrase:
    took = run.stage_ms.get(stage) if timed else None
    time = "" if took is None else f" {short_seconds(took)}"
    current = run.stage if run.stage in STAGES else STAGES[0]
    if run.stage != "done" and (stage == current or (stage in READING and current in READING)):
        return Phrase(f"▸{stage}{time}", Tone.BUSY)
    if run.stage == "done" or STAGES.index(stage) < STAGES.index(current):
        return Phrase(f"✓{stage}{time}", Tone.GOOD)
    return Phrase(stage, Tone.QUIET)


class RunList(Widget):
    """Paints the cards of all runs under way."""

    DEFAULT_CSS = "RunList { height: auto; padding: 0 1; text-wrap: nowrap; text-overflow: ellipsis; }"

    cards: reactive[tuple[RunCard, ...]] = reactive((), layout=True)
    idle_text: reactive[str] = reactive("")

    def _lines(self, width: int) -> list[Line]:
        if not self.cards:
            return [[Phrase(self.idle_text, Tone.QUIET)]]
        said: list[Line] = []
        for card in self.cards:
            said += run_lines(card, width)
        return said

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        return len(self._lines(width))

    def render(self) -> RenderResult:
        return lines(self._lines(self.content_size.width))


class RunPane(VerticalScroll, can_focus=True, inherit_bindings=False):
    """The cards, scrolling where there are more than fit."""

    DEFAULT_CSS = "RunPane { scrollbar-size-vertical: 1; }"

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "scroll_down", "Down", id="runs.down", tooltip="Scroll the runs down", show=False),
        Binding("up,k", "scroll_up", "Up", id="runs.up", tooltip="Scroll the runs up", show=False),
        Binding("home,g", "scroll_home", "First", id="runs.first", tooltip="To the first run", show=False),
        Binding("end,G", "scroll_end", "Last", id="runs.last", tooltip="To the last run", show=False),
    ]

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.list = RunList()

    def compose(self) -> ComposeResult:
        yield self.list
