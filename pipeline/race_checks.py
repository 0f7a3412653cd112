"""The rules of one race: what its results must be, and where its page contradicts itself.

Every number of a race page stands twice, in the table and in the lap script, so a page can prove itself (PAGES.md
5.2, 5.3). What is certain is an error: duplicate ids, gaps in the lap numbers, laps that the table counts and the
script does not hold. What an official's edit could explain is a warning: sums, statistics, ties.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from itertools import accumulate
from typing import NamedTuple

from pipeline.document import PAGE_TYPES, pair_racers, race_results, same_text
from pipeline.lap_statistics import LapStatistics, lap_statistics
from pipeline.records import RacePage, Racer, Result, TableRow
from pipeline.violations import LAPS_MISSING, Violation, repeated, some

LARGEST_NUMBER = 2**31 - 1  # what a column of every supported database holds; 24 days in milliseconds

_PAGE_TYPE = PAGE_TYPES[RacePage]
_HALF_CENT = Decimal("0.005")
_ROUNDED = ("avg_lap_ms", "avg_top_5_ms", "avg_top_10_ms", "avg_top_15_ms", "std_deviation_ms")
_EXACT = ("fast_lap_ms", "top_2_consecutive_ms", "top_3_consecutive_ms")
_SHOWN_TWICE = (
    "fast_lap_ms",
    "avg_lap_ms",
    "avg_top_5_ms",
    "avg_top_10_ms",
    "avg_top_15_ms",
    "top_3_consecutive_ms",
)


class RaceReport(NamedTuple):
    """Makes the violations of one race."""

    race_id: str

    def error(self, rule: str, text: str, *, driver: str | None = None, field: str | None = None) -> Violation:
        """The document cannot be right."""
        return Violation(rule, "error", f"Race {self.race_id}: {text}", self.race_id, driver, field, _PAGE_TYPE)

    def warning(self, rule: str, text: str, *, driver: str | None = None, field: str | None = None) -> Violation:
        """Worth a look, not a reason to refuse."""
        return Violation(rule, "warning", f"Race {self.race_id}: {text}", self.race_id, driver, field, _PAGE_TYPE)


def check_race_page(page: RacePage) -> tuple[Violation, ...]:
    """All that can be said about one race page on its own: `check_results` of its results, and `compare_sides`."""
    return (*check_results(page.source_race_id, race_results(page)), *compare_sides(page))


# ---------------------------------------------------------------- what results must be


def check_results(race_id: str, results: Sequence[Result]) -> tuple[Violation, ...]:
    """The rules that a race of the document must keep, wherever it came from."""
    report = RaceReport(race_id)
    violations = [*_positions(report, results)]
    for driver_id in repeated(result.source_driver_id for result in results):
        names = some([result.driver_name for result in results if result.source_driver_id == driver_id])
        violations.append(
            report.error(
                "driver-id-duplicate",
                f"driver id {driver_id} stands at several results: {names}",
                field="source_driver_id",
            )
        )
    for result in results:
        violations.extend(_laps(report, result))
        violations.extend(_numbers(report, result))
    return tuple(violations)


def _positions(report: RaceReport, results: Sequence[Result]) -> Iterator[Violation]:
    positions = sorted(result.position for result in results)
    if positions == list(range(1, len(positions) + 1)):
        return
    if positions[0] < 1:
        yield report.error("position-range", f"a result has position {positions[0]}", field="position")
    ties = repeated(map(str, positions))
    if ties:
        yield report.warning("position-duplicate", f"several results share position {some(ties)}", field="position")
    missing = [str(wanted) for wanted in sorted(set(range(1, len(positions) + 1)).difference(positions))]
    if missing and not ties:  # after a tie the next position is skipped
        yield report.warning("position-gap", f"no result has position {some(missing)}", field="position")


def _laps(report: RaceReport, result: Result) -> Iterator[Violation]:
    driver, shown, found = result.driver_name, result.laps_completed, len(result.laps)
    if shown > 0 and not found:
        yield report.error(
            LAPS_MISSING, f"{driver} completed {shown} laps, the page holds none of them", driver=driver, field="laps"
        )
        return
    if found < shown:
        yield report.error(
            "lap-count-short", f"{driver} completed {shown} laps, the page holds {found}", driver=driver, field="laps"
        )
    elif found > shown:
        # Nothing is lost, and a lap taken away by the race director would look like this.
        yield report.warning(
            "lap-count-surplus", f"{driver} completed {shown} laps, the page holds {found}", driver=driver, field="laps"
        )
    if not found:
        return
    if [lap.lap_number for lap in result.laps] != list(range(1, found + 1)):
        yield report.error(
            "lap-numbers",
            f"the laps of {driver} are not numbered 1 to {found} without a gap",
            driver=driver,
            field="laps",
        )
    yield from _lap_times(report, result)
    yield from _fastest(report, result)


def _lap_times(report: RaceReport, result: Result) -> Iterator[Violation]:
    driver = result.driver_name
    times = [lap.lap_time_ms for lap in result.laps]
    shortest = min(times)
    if shortest < 0:
        yield report.error("lap-time-negative", f"{driver} has a lap of {shortest} ms", driver=driver, field="laps")
    elif shortest == 0:
        yield report.warning("lap-time-zero", f"{driver} has a lap of 0 ms", driver=driver, field="laps")
    if [lap.elapsed_ms for lap in result.laps] != list(accumulate(times)):
        yield report.error(
            "lap-elapsed", f"the elapsed times of {driver} are not the sums of the laps", driver=driver, field="laps"
        )
    total = sum(times)
    if result.total_time_ms is not None and result.total_time_ms != total:
        yield report.warning(
            "lap-sum",
            f"{driver} took {result.total_time_ms} ms in all, the laps add up to {total} ms",
            driver=driver,
            field="total_time_ms",
        )


def _fastest(report: RaceReport, result: Result) -> Iterator[Violation]:
    if result.fast_lap_number is None:
        return
    driver = result.driver_name
    named = next((lap for lap in result.laps if lap.lap_number == result.fast_lap_number), None)
    if named is None:
        yield report.warning(
            "fast-lap-number",
            f"{driver} drove the fastest lap in lap {result.fast_lap_number}, which the page does not hold",
            driver=driver,
            field="fast_lap_number",
        )
    elif result.fast_lap_ms is not None and named.lap_time_ms != result.fast_lap_ms:
        yield report.warning(
            "fast-lap-time",
            f"the fastest lap of {driver} is {result.fast_lap_ms} ms, "
            f"lap {named.lap_number} took {named.lap_time_ms} ms",
            driver=driver,
            field="fast_lap_ms",
        )


_RESULT_NUMBERS = tuple(
    name
    for name in Result.__struct_fields__
    if name not in {"position", "source_driver_id", "driver_name", "behind", "consistency", "laps"}
)


def _numbers(report: RaceReport, result: Result) -> Iterator[Violation]:
    """Numbers that no column holds cannot be true; better said here than by a database."""
    driver = result.driver_name
    for name in _RESULT_NUMBERS:
        value = getattr(result, name)
        if value is not None and not 0 <= value <= LARGEST_NUMBER:
            yield report.error("number-range", f"{driver} has {value} as {name}", driver=driver, field=name)
    if result.position > LARGEST_NUMBER:
        yield report.error("number-range", f"{driver} has position {result.position}", driver=driver, field="position")
    if result.consistency is not None and abs(result.consistency) * 1000 > LARGEST_NUMBER:
        yield report.error(
            "number-range", f"{driver} has a consistency of {result.consistency} %", driver=driver, field="consistency"
        )
    if not result.laps:
        return
    last = result.laps[-1]
    wildest = max((lap.position for lap in result.laps if lap.position is not None), default=1)
    if max(last.elapsed_ms, wildest) > LARGEST_NUMBER:
        yield report.error(
            "number-range", f"{driver} has laps with numbers beyond all measure", driver=driver, field="laps"
        )


# ---------------------------------------------------------------- table against lap script


def compare_sides(page: RacePage) -> tuple[Violation, ...]:
    """Where a race page's table and lap script, or its shown and hidden values, contradict each other."""
    report = RaceReport(page.source_race_id)
    violations = [*_script(report, page), *_owners(report, page)]
    pairs = list(zip(page.rows, pair_racers(page).racers, strict=True))
    for row, racer in pairs:
        violations.extend(
            report.warning(
                "hidden-value",
                f"the hidden value of {name} of {row.driver_name} is not the one shown",
                driver=row.driver_name,
                field=name,
            )
            for name in row.hidden_mismatches
        )
        if racer is not None:
            violations.extend(_row_against_racer(report, row, racer))
    violations.extend(_recompute(report, [(row, racer) for row, racer in pairs if racer is not None]))
    return tuple(violations)


def _script(report: RaceReport, page: RacePage) -> Iterator[Violation]:
    """The lap script on its own."""
    if not page.rows and not page.racers:
        yield report.warning("race-empty", "the page has no results")
    elif not page.has_lap_script:
        yield report.warning("lap-script-missing", "the page has no lap script")
    elif len(page.rows) != len(page.racers):
        yield report.warning(
            "row-count", f"the table has {len(page.rows)} rows, the lap script {len(page.racers)} drivers"
        )
    for driver_id in repeated(racer.source_driver_id for racer in page.racers):
        yield report.error(
            "racer-duplicate", f"the lap script assigns driver id {driver_id} twice", field="source_driver_id"
        )
    for racer in page.racers:
        driver = racer.driver_name
        grid = [index for index, lap in enumerate(racer.laps) if lap.lap_number == 0]
        if grid not in ([], [0]):
            yield report.error(
                "lap-numbers", f"lap 0 of {driver} is not the first and only one", driver=driver, field="laps"
            )
        elif grid and racer.laps[0].lap_time_ms != 0:
            yield report.warning(
                "grid-lap-time",
                f"lap 0 of {driver}, the grid, has a time of {racer.laps[0].lap_time_ms} ms",
                driver=driver,
                field="laps",
            )


def _owners(report: RaceReport, page: RacePage) -> Iterator[Violation]:
    for racer in pair_racers(page).unclaimed:
        driver, timed = racer.driver_name, sum(lap.lap_number != 0 for lap in racer.laps)
        text = f"the lap script holds {timed} laps of {driver} (id {racer.source_driver_id}), who has no row"
        make = report.error if timed else report.warning
        yield make("racer-without-row", text, driver=driver, field="source_driver_id")


def _row_against_racer(report: RaceReport, row: TableRow, racer: Racer) -> Iterator[Violation]:
    driver = row.driver_name
    if same_text(driver) != same_text(racer.driver_name):
        yield report.warning(
            "driver-name",
            f"driver id {racer.source_driver_id} is {driver} in the table and {racer.driver_name} in the lap script",
            driver=driver,
            field="driver_name",
        )
    stated = [(name, getattr(row, name), getattr(racer, name)) for name in _SHOWN_TWICE]
    differing = [(name, shown, said) for name, shown, said in stated if None not in (shown, said) and shown != said]
    deviation = None if racer.std_deviation_ms is None else Decimal(racer.std_deviation_ms).scaleb(-3)
    if _rounded_otherwise(row.std_deviation, deviation):
        differing.append(("std_deviation_ms", row.std_deviation, deviation))
    if _rounded_otherwise(row.consistency, racer.consistency):
        differing.append(("consistency", row.consistency, racer.consistency))
    for name, shown, said in differing:
        yield report.warning(
            "statistic-differs",
            f"{name} of {driver} is {shown} in the table and {said} in the lap script",
            driver=driver,
            field=name,
        )


def _rounded_otherwise(shown: Decimal | None, said: Decimal | None) -> bool:
    """Is the table's two-decimal value not the script's rounded? At an exact tie either neighbour will do."""
    return shown is not None and said is not None and abs(said - shown) > _HALF_CENT


# ---------------------------------------------------------------- statistics against laps


class _Drive(NamedTuple):
    row: TableRow
    racer: Racer
    times: list[int]  # milliseconds of every lap, the grid left out


class _Compared(NamedTuple):
    driver: str
    laps: int
    wrong: list[str]  # stated values that the laps do not give


def _recompute(report: RaceReport, pairs: Sequence[tuple[TableRow, Racer]]) -> Iterator[Violation]:
    """Compare what the page states with what its laps give.

    A race's statistics are over all laps, or over all but the standing start. What switches that rule cannot be told
    from the page, so the one is taken that explains more of the drivers in whom the two can differ.
    """
    drives = [
        _Drive(row, racer, [lap.lap_time_ms for lap in racer.laps if lap.lap_number != 0]) for row, racer in pairs
    ]
    drives = [drive for drive in drives if drive.times]
    compared = _compare_statistics(drives, 0)
    if len(compared) < len(drives) or any(driver.wrong for driver in compared):  # else no other rule explains more
        compared = max(compared, _compare_statistics(drives, 1), key=_explained)
    if len(compared) > 1 and all(driver.wrong for driver in compared):
        yield report.warning(
            "statistics-unexplained", "no driver's statistics are those of the laps, with or without the first lap"
        )
        return
    for driver, _, wrong in compared:
        if wrong:
            yield report.warning(
                "statistic-recomputed",
                f"the laps of {driver} give another {some(wrong)} than the page states",
                driver=driver,
                field=wrong[0] if len(wrong) == 1 else None,
            )


def _explained(compared: Sequence[_Compared]) -> int:
    """How many drivers keep a rule, of those in whom it makes a difference."""
    return sum(driver.laps > 1 and not driver.wrong for driver in compared)


def _compare_statistics(drives: Sequence[_Drive], skipped: int) -> list[_Compared]:
    """Each driver's statistics against the laps after the first `skipped`; who drove none of those is left out."""
    drivers = []
    for row, racer, times in drives:
        used = times[skipped:]
        if used and min(used) > 0:
            drivers.append(_Compared(row.driver_name, len(times), _wrong_statistics(row, racer, lap_statistics(used))))
    return drivers


def _wrong_statistics(row: TableRow, racer: Racer, computed: LapStatistics) -> list[str]:
    """Names of the stated values that are not the computed ones; one unit of rounding is allowed where one rounds."""
    wrong = []
    for names, tolerance in ((_EXACT, 0), (_ROUNDED, 1)):
        for name in names:
            stated = getattr(racer, name)
            if stated is None:
                stated = getattr(row, name, None)
            ours = getattr(computed, name)
            if stated is not None and ours is not None and abs(stated - ours) > tolerance:
                wrong.append(name)
    if racer.consistency is not None and abs(racer.consistency * 1000 - computed.consistency_milli) > 1:
        wrong.append("consistency")
    return wrong
