"""The laps of one result: a table, and a chart of the lap times beside or below it.

The chart's library is loaded in the thread that reads the laps, when somebody looks at laps for the first time.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import TYPE_CHECKING

from textual import on
from textual.containers import Container

from screens.browse import BrowseScreen
from screens.ports import ConsoleService
from screens.rows import LAP_COLUMNS, lap_row
from screens.widgets.table import Row, RowTable
from screens.words import clean, count, lap_time

if TYPE_CHECKING:
    from pipeline.snapshot import LapLine, ResultLine
    from screens.widgets.chart import LapChart


class LapsScreen(BrowseScreen["LapLine"]):
    """One driver's laps in one race."""

    HORIZONTAL_BREAKPOINTS = [(0, "-below"), (100, "-beside")]
    columns = LAP_COLUMNS
    opens = False

    def __init__(self, service: ConsoleService, trail: Sequence[str], result: ResultLine) -> None:
        super().__init__(service, (*trail, result.driver_name))
        self._result = result
        self._fastest_ms = 0
        self._chart: LapChart | None = None

    def ask(self) -> tuple[LapLine, ...]:
        import screens.widgets.chart  # noqa: F401 - its library is heavy: loaded here, off the loop

        laps = self.service.laps(self._result.result_id)
        self._fastest_ms = min((lap.lap_time_ms for lap in laps), default=0)
        return laps

    def row(self, item: LapLine) -> Row:
        return lap_row(item, self._fastest_ms)

    def about(self) -> str:
        result = self._result
        times = [lap.lap_time_ms for lap in self.items]
        middle = f" · median {lap_time(round(median(times)))}" if times else ""
        return (
            f"P{result.position} · {count(len(times), 'lap')} · total {lap_time(result.total_time_ms)} · "
            f"fastest {lap_time(result.fast_lap_ms)} · average {lap_time(result.avg_lap_ms)}{middle}"
        )

    def nothing(self) -> str:
        return f"{clean(self._result.driver_name)} has no laps in this race"

    def after_read(self) -> None:
        if self.items and self._chart is None:
            from screens.widgets.chart import LapChart

            self._chart = LapChart(self.items)
            self.query_one("#level", Container).mount(self._chart)

    @on(RowTable.Moved)
    def _point(self, message: RowTable.Moved) -> None:
        if self._chart is not None:
            self._chart.lap_number = int(message.key)
