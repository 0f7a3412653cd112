"""Made-up pages that agree with themselves, computed by plain decimal arithmetic and not by the code under test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal, localcontext

from msgspec import structs

from pipeline.records import Entry, EntryClass, EntryListPage, EventPage, RaceLink, RacePage, Racer, ScriptLap, TableRow

EVENT_NAME = "Harbour Cup"


@dataclass(frozen=True)
class Driver:
    """A driver of a made-up race; without laps a non-starter, whose row carries no id."""

    driver_id: str
    name: str
    laps: tuple[int, ...] = ()  # milliseconds


ANNA = Driver("11", "ANNA BERG", (40100, 39000, 38500))
OLE = Driver("12", "OLE DAHL", (41000, 39900))
NOBODY = Driver("13", "PIA FJELD")


def race_page(
    drivers: Sequence[Driver], *, race_id: str = "7001", skip_first: bool = False, **changes: object
) -> RacePage:
    """A race page in finishing order; `skip_first` leaves lap 1 out of the statistics, as some races do."""
    ranked = sorted(drivers, key=lambda driver: (-len(driver.laps), sum(driver.laps)))
    racers = tuple(_racer(driver, slot, skip_first) for slot, driver in enumerate(ranked, 1))
    page = RacePage(
        source_race_id=race_id,
        track_name="Harbour Raceway",
        event_name=EVENT_NAME,
        race_label="Buggy A-Main",
        round="Main Events",
        race_number=3,
        length_text="10:00 Timed",
        length_seconds=600,
        rows=tuple(
            _row(driver, racer, position, skip_first)
            for position, (driver, racer) in enumerate(zip(ranked, racers, strict=True), 1)
        ),
        has_lap_script=True,
        racers=racers,
    )
    return structs.replace(page, **changes)


def event_page(pages: Sequence[RacePage], **changes: object) -> EventPage:
    """An event page that lists the given races; the first given was completed last."""
    links = tuple(
        RaceLink(
            page.source_race_id, "Buggy", page.race_label, page.round, page.race_number, f"2025-11-16T17:{59 - i}:00"
        )
        for i, page in enumerate(pages)
    )
    page = EventPage(
        source_event_id="5001",
        track_slug="harbour",
        track_name="Harbour Raceway",
        event_name=EVENT_NAME,
        start_date="2025-11-16",
        end_date="2025-11-16",
        entries=None,
        drivers=None,
        total_race_laps=sum(row.laps_completed for page in pages for row in page.rows),
        has_entry_list=False,
        races=links,
    )
    return structs.replace(page, **changes)


def entry_list(classes: Mapping[str, Sequence[str]], **changes: object) -> EntryListPage:
    """An entry list: class name → driver names."""
    page = EntryListPage(
        source_event_id="5001",
        track_slug="harbour",
        track_name="Harbour Raceway",
        event_name=EVENT_NAME,
        classes=tuple(
            EntryClass(name, len(names), tuple(Entry(name, i, driver, "1234567") for i, driver in enumerate(names, 1)))
            for name, names in classes.items()
        ),
    )
    return structs.replace(page, **changes)


def small_pages(event_name: str = 'Børre\'s "Cup" 杯') -> tuple[EventPage, dict[str, RacePage], EntryListPage]:
    """All pages of a small event: two starters and a non-starter; one statistic stands in the table only."""
    page = race_page([ANNA, OLE, NOBODY])
    (row, *rows), (racer, *racers) = page.rows, page.racers
    row, racer = structs.replace(row, std_deviation=Decimal("12.34")), structs.replace(racer, std_deviation_ms=None)
    page = structs.replace(page, rows=(row, *rows), racers=(racer, *racers))
    listed = event_page([page], event_name=event_name, entries=3, drivers=3, has_entry_list=True)
    return listed, {page.source_race_id: page}, entry_list({"Buggy": ["ANNA BERG"]})


def _row(driver: Driver, racer: Racer, position: int, skip_first: bool) -> TableRow:
    used = driver.laps[1:] if skip_first else driver.laps
    fastest = min(used) if used else None
    return TableRow(
        position=position,
        driver_name=driver.name,
        source_driver_id=driver.driver_id if driver.laps else None,
        car_number=position,
        qualifying_position=position,
        laps_completed=len(driver.laps),
        total_time_ms=sum(driver.laps) if driver.laps else None,
        behind=None if position == 1 else "1.000",
        fast_lap_ms=fastest,
        fast_lap_number=driver.laps.index(fastest, 1 if skip_first else 0) + 1 if fastest else None,
        avg_lap_ms=racer.avg_lap_ms,
        avg_top_5_ms=racer.avg_top_5_ms,
        avg_top_10_ms=racer.avg_top_10_ms,
        avg_top_15_ms=racer.avg_top_15_ms,
        top_3_consecutive_ms=racer.top_3_consecutive_ms,
        std_deviation=None
        if racer.std_deviation_ms is None
        else _half_up(Decimal(racer.std_deviation_ms) / 1000, "0.01"),
        consistency=None if racer.consistency is None else _half_up(racer.consistency, "0.01"),
    )


def _racer(driver: Driver, slot: int, skip_first: bool) -> Racer:
    used = driver.laps[1:] if skip_first else driver.laps
    std_deviation_ms, consistency = _spread(used)
    grid = (ScriptLap(0, 0, slot, "0"),) if driver.laps else ()
    return Racer(
        source_driver_id=driver.driver_id,
        driver_name=driver.name,
        fast_lap_ms=min(used) if used else None,
        avg_lap_ms=_mean(used, 1),
        avg_top_5_ms=_mean(sorted(used)[:5], 5),
        avg_top_10_ms=_mean(sorted(used)[:10], 10),
        avg_top_15_ms=_mean(sorted(used)[:15], 15),
        top_2_consecutive_ms=_consecutive(used, 2),
        top_3_consecutive_ms=_consecutive(used, 3),
        std_deviation_ms=std_deviation_ms,
        consistency=consistency,
        laps=(*grid, *(ScriptLap(i, ms, slot, f"17/10:{ms % 60:02d}.000") for i, ms in enumerate(driver.laps, 1))),
    )


def _half_up(value: Decimal, unit: str) -> Decimal:
    return value.quantize(Decimal(unit), rounding=ROUND_HALF_UP)


def _mean(laps: Sequence[int], at_least: int) -> int | None:
    if len(laps) < at_least:
        return None
    return int(_half_up(Decimal(sum(laps)) / len(laps), "1"))


def _consecutive(laps: Sequence[int], size: int) -> int | None:
    return min((sum(laps[i : i + size]) for i in range(len(laps) - size + 1)), default=None)


def _spread(laps: Sequence[int]) -> tuple[int | None, Decimal | None]:
    """Population σ in milliseconds, and 100 − 100·σ/mean with three decimals."""
    if not laps:
        return None, None
    with localcontext() as context:
        context.prec = 60
        mean = Decimal(sum(laps)) / len(laps)
        sigma = (sum(((lap - mean) ** 2 for lap in laps), Decimal(0)) / len(laps)).sqrt()
        return int(_half_up(sigma, "1")), _half_up(100 - 100 * sigma / mean, "0.001")
