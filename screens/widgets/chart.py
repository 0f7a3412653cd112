"""Lap times over the laps of one driver. Imported only where laps are looked at: it loads a plotting library.

One slow lap (a crash, a pit stop) must not flatten all others, so the scale ends at a multiple of the median; laps beyond
it stand at the top edge as triangles.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import TYPE_CHECKING, ClassVar

from textual.reactive import reactive
from textual_plot import HiResMode, NumericAxisFormatter, PlotWidget

from screens.words import lap_time

if TYPE_CHECKING:
    from pipeline.snapshot import LapLine

TOP_OF_MEDIAN = 1.25  # where the scale ends at the latest


class LapTimeFormatter(NumericAxisFormatter):
    """Ticks in seconds, written as lap times."""

    def get_labels_for_ticks(self, ticks: Sequence[float]) -> list[str]:
        return [lap_time(round(tick * 1_000))[:-2] for tick in ticks]


class LapChart(PlotWidget, can_focus=False, inherit_bindings=False):
    """Draws every lap; the one that a table's cursor is on is marked."""

    DEFAULT_CSS = """
    LapChart {
        & > .plot--axis { color: $foreground 40%; }
        & > .plot--tick { color: $foreground 70%; text-style: none; }
        & > .plot--label { color: $foreground 70%; text-style: none; }
        & > .chart--line { color: $text-accent; }
        & > .chart--median { color: $foreground 40%; }
        & > .chart--slow { color: $text-warning; }
        & > .chart--fastest { color: $text-success; text-style: bold; }
        & > .chart--cursor { color: $primary; }
    }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "chart--line",
        "chart--median",
        "chart--slow",
        "chart--fastest",
        "chart--cursor",
    }

    lap_number: reactive[int | None] = reactive(None)

    def __init__(self, laps: Sequence[LapLine]) -> None:
        super().__init__(allow_pan_and_zoom=False)
        self._laps = tuple(laps)

    def on_mount(self) -> None:
        super().on_mount()
        self.margin_top = 0
        self.margin_left = 9
        self.set_y_formatter(LapTimeFormatter())
        self.set_xlabel("lap")
        self._draw()

    def watch_lap_number(self) -> None:
        if self.is_mounted:
            self._draw()

    def notify_style_update(self) -> None:
        """The theme changed: colours are part of what was plotted."""
        super().notify_style_update()
        if self.is_mounted:
            self.call_later(self._draw)

    def _draw(self) -> None:
        numbers = [lap.lap_number for lap in self._laps]
        seconds = [lap.lap_time_ms / 1_000 for lap in self._laps]
        middle, fastest = median(seconds), min(seconds)
        top = min(max(seconds), middle * TOP_OF_MEDIAN)
        margin = max(0.05 * (top - fastest), 0.05)
        self.clear()
        self.set_xlimits(min(numbers) - 0.5, max(numbers) + 0.5)
        self.set_ylimits(fastest - margin, top + margin)
        if self.lap_number is not None:
            self.add_v_line(self.lap_number, self._colour("cursor"))
        self.plot([numbers[0], numbers[-1]], [middle, middle], self._colour("median"), HiResMode.BRAILLE)
        self.plot(numbers, [min(one, top) for one in seconds], self._colour("line"), HiResMode.BRAILLE)
        slow = [number for number, one in zip(numbers, seconds, strict=True) if one > top]
        self.scatter(slow, [top] * len(slow), "▲", self._colour("slow"))
        self.scatter([numbers[seconds.index(fastest)]], [fastest], "●", self._colour("fastest"))

    def _colour(self, part: str) -> str:
        return str(self.get_component_rich_style(f"chart--{part}", partial=True))
