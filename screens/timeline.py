"""Where a run's time went: its spans as bars under each other, and what the whole of it was spent on.

The same spans that `mre log --run N --timeline` prints and a tracing backend receives. A span that failed is marked,
and the cursor stands on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import Screen
from textual.widgets import Static

from pipeline.errors import PipelineError
from screens.background import off_loop
from screens.ports import ConsoleService
from screens.reading import ReadingScreen, error_screen
from screens.telling import Line
from screens.widgets.keys import KeyLine
from screens.widgets.table import Column, Row, RowTable, fit
from screens.widgets.tones import content
from screens.widgets.tones import lines as drawn
from screens.words import Phrase, Tone, clean, short_seconds

if TYPE_CHECKING:
    from pipeline.spans import Span

COLUMNS = (
    Column("What", 26, flex=1),
    Column("Begins", 8, right=True, rank=1),
    Column("Took", 8, right=True),
    Column("", 20, flex=3),
)
BAR = len(COLUMNS) - 1
NOTHING = "no timeline: the run is under way, was ended from outside, or is older than timelines"
_NAMES = {
    "event_ingestion": "the whole run",
    "event_page_fetch": "fetch the event page",
    "entry_list_page_fetch": "fetch the entry list",
    "race_page_fetch": "fetch race",
    "lap_extraction": "read race",
    "normalise": "normalise and validate",
    "db_persistence": "write to the database",
}


class Spent(NamedTuple):
    """What a run's time was spent on, in milliseconds."""

    whole: float
    requests: float  # waiting for answers
    turns: float  # waiting for the next polite moment, and between attempts
    reading: float
    normalising: float
    writing: float


def spent(spans: Sequence[Span]) -> Spent:
    """The sums over a run's spans; the root comes first."""
    requests = turns = reading = normalising = writing = 0.0
    for span in spans[1:]:
        if span.name.endswith("_page_fetch"):
            answered = min(span.duration_ms, float(span.attributes.get("request_ms", span.duration_ms)))
            requests += answered
            turns += span.duration_ms - answered
        elif span.name in ("lap_extraction", "page_read"):
            reading += span.duration_ms
        elif span.name == "normalise":
            normalising += span.duration_ms
        elif span.name == "db_persistence":
            writing += span.duration_ms
    return Spent(spans[0].duration_ms, requests, turns, reading, normalising, writing)


def summary(spans: Sequence[Span]) -> list[Line]:
    """How long the run took, how it ended, and what on: the largest part first."""
    root, sums = spans[0], spent(spans)
    ended = clean(str(root.attributes.get("outcome", "ended")))
    how = Phrase(f"✗ {ended} ({root.error})", Tone.BAD) if root.error else Phrase(f"● {ended}", Tone.GOOD)
    parts = (
        ("waiting its turn", sums.turns),
        ("requests", sums.requests),
        ("reading", sums.reading),
        ("normalising", sums.normalising),
        ("database", sums.writing),
    )
    said = [f"{name} {_took(took)}" for name, took in sorted(parts, key=lambda part: -part[1]) if took >= 0.05]
    missing = root.attributes.get("spans_dropped")
    more = [Phrase(f"; {missing:,} later spans were not kept", Tone.WARN)] if missing else []
    return [
        [how, Phrase(f" after {_took(sums.whole)}"), *more],
        [Phrase(" · ".join(said) or "no part of it took any time", Tone.QUIET)],
    ]


def span_name(span: Span) -> str:
    """What a span is, in words."""
    place = span.attributes.get("race_id")
    name = _NAMES.get(span.name)
    if name is None:
        page = clean(str(span.attributes.get("page_type", ""))).replace("_", " ")
        name = f"read {page}" if span.name == "page_read" and page else clean(span.name).replace("_", " ")
    return f"{name} {clean(str(place))}" if place is not None else name


def span_rows(spans: Sequence[Span], width: int) -> list[Row]:
    """A row for each span, the children under their parents; the bars fill `width` cells."""
    depth: dict[int | None, int] = {None: -1}
    rows = []
    for span in spans:
        depth[span.number] = depth.get(span.parent, 0) + 1
        tone = Tone.BAD if span.error else Tone.PLAIN
        mark = "✗ " if span.error else ""
        began = (span.began_ns - spans[0].began_ns) / 1e6
        rows.append(
            Row(
                str(span.number),
                (
                    Phrase("  " * depth[span.number] + mark + span_name(span), tone),
                    Phrase(_took(began), Tone.QUIET),
                    Phrase(_took(span.duration_ms), tone),
                    Phrase(_bar(span, spans[0], width), Tone.BAD if span.error else _tone(span)),
                ),
            )
        )
    return rows


def _bar(span: Span, root: Span, width: int) -> str:
    whole = max(1, root.ended_ns - root.began_ns)
    left = min(width - 1, (span.began_ns - root.began_ns) * width // whole)
    right = min(width, -(-(span.ended_ns - root.began_ns) * width // whole))
    return " " * left + "━" * max(1, right - left)


def _tone(span: Span) -> Tone:
    if span.parent is None:
        return Tone.QUIET
    return Tone.BUSY if span.name.endswith("_page_fetch") else Tone.GOOD


def _took(milliseconds: float) -> str:
    if milliseconds < 10:
        return f"{milliseconds:.1f} ms"
    return f"{milliseconds:.0f} ms" if milliseconds < 1_000 else short_seconds(round(milliseconds))


def span_lines(span: Span, root: Span) -> list[Line]:
    """One span at length."""
    facts = [
        ("begins", _took((span.began_ns - root.began_ns) / 1e6)),
        ("took", _took(span.duration_ms)),
        *((name.replace("_", " "), clean(str(value))) for name, value in span.attributes.items()),
    ]
    lines: list[Line] = [[Phrase(span_name(span), Tone.BUSY), Phrase(f"  {clean(span.name)}", Tone.QUIET)]]
    if span.error:
        lines.append([Phrase(f"✗ ended with {clean(span.error)}", Tone.BAD)])
    return [*lines, [], *([Phrase(f"{name:<12}", Tone.QUIET), Phrase(text)] for name, text in facts)]


class TimelineScreen(Screen[None]):
    """The spans of one run."""

    CSS_PATH = "timeline.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("s", "sort", "Slowest first", id="timeline.sort", tooltip="The slowest first, or in their order again"),
        Binding("escape,q,backspace", "back", "Back", id="timeline.back", tooltip="Back to where you were"),
    ]

    def __init__(self, service: ConsoleService, run_id: int, event: str) -> None:
        super().__init__()
        self._service = service
        self._run_id = run_id
        self._event = event
        self._spans: tuple[Span, ...] = ()
        self._slowest_first = False

    def compose(self) -> ComposeResult:
        trail = f"Events › {clean(self._event)} › run {self._run_id} › "
        yield Static(content([Phrase(trail, Tone.QUIET), Phrase("timeline", Tone.BUSY)]), id="trail")
        yield Static(id="about")
        yield RowTable(COLUMNS, empty="reading …")
        yield KeyLine()

    def on_mount(self) -> None:
        self.query_one(RowTable).focus()
        self._read()

    @work
    async def _read(self) -> None:
        try:
            self._spans = await off_loop(partial(self._service.timeline, self._run_id))
        except PipelineError as error:
            self.query_one(RowTable).show_rows((), empty="could not be read")
            await self.app.push_screen(error_screen(error))
            return
        self._draw()
        failed = [span for span in self._spans if span.error]
        if failed:
            self.query_one(RowTable).point_at(str(failed[-1].number))  # the innermost
        self.refresh_bindings()

    def on_resize(self) -> None:
        self._draw()

    def _draw(self) -> None:
        if not self._spans:
            self.query_one(RowTable).show_rows((), empty=NOTHING)
            return
        table = self.query_one(RowTable)
        width = fit(COLUMNS, table.scrollable_content_region.width or self.size.width)[BAR]
        rows = span_rows(self._spans, max(1, width))
        if self._slowest_first:
            took = {str(span.number): span.duration_ms for span in self._spans}
            rows.sort(key=lambda row: -took[row.key])
        table.show_rows(rows)
        self.query_one("#about", Static).update(drawn(summary(self._spans)))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return True if action != "sort" or self._spans else None

    @on(RowTable.Chosen)
    def _open(self, message: RowTable.Chosen) -> None:
        span = next(span for span in self._spans if str(span.number) == message.key)
        self.app.push_screen(ReadingScreen(f"Run {self._run_id}", span_lines(span, self._spans[0])))

    def action_sort(self) -> None:
        self._slowest_first = not self._slowest_first
        self._draw()
        table = self.query_one(RowTable)
        if self._slowest_first:
            table.action_first()

    def action_back(self) -> None:
        self.dismiss()
