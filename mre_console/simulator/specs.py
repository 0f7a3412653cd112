"""Recipes for events: how many classes, drivers, rounds and laps, and which oddities or failures an event shall have.

`PRESETS` holds the named ones; "typical" draws its own sizes from the event's seed within the ranges that real club
events show (10–40 races, 6–12 drivers, 15–45 laps).
"""

from __future__ import annotations

from enum import StrEnum
from random import Random

from msgspec import Struct


class EntryList(StrEnum):
    """What stands behind the event page's entry-list link."""

    LINKED = "linked"
    GONE = "gone"  # linked, but the page answers 404
    UNLINKED = "unlinked"


class Failure(StrEnum):
    """What makes an event impossible to ingest until somebody repairs it at the source."""

    NO_RACES = "no_races"
    NO_SCRIPT = "no_script"  # one listed race's page has no racerLaps yet
    NO_LAPS = "no_laps"  # one race's table names laps, its script holds none
    EMPTY_SHELL = "empty_shell"  # the event page is the shell of an unknown id


class ClassSpec(Struct, frozen=True):
    """One class of an event."""

    name: str
    drivers: int
    heat_size: int = 8
    lap_ms: int = 20_000  # about the fastest driver's lap
    qualifier_seconds: int = 300
    main_seconds: int = 300
    main_size: int = 8
    triple: bool = False  # mains run as three legs, A1–A3
    bump: int = 0  # how many of a main's best move up into the next one
    skip_lap_1: bool = False
    wrapped: bool = True  # listed as "Race 3: CLASS (CLASS A-Main)", else as "Race 3: CLASS A-Main"


class EventSpec(Struct, frozen=True):
    """One event's recipe."""

    preset: str
    classes: tuple[ClassSpec, ...]
    qualifier_rounds: int = 2
    practice_round: bool = False
    days: int = 1
    entry_list: EntryList = EntryList.LINKED
    headings: bool = True  # the race list is divided into rounds
    bare_dates: bool = False  # the race list gives days instead of minutes
    behind_noise: bool = False
    incidents: bool = True  # crashes, retirements, non-starters
    oddities: bool = False  # everything strange that a page may hold
    failure: Failure | None = None


def _small(failure: Failure | None = None) -> EventSpec:
    return EventSpec(
        preset=failure.value if failure else "small",
        classes=(
            ClassSpec("1/10 Sportsman Buggy", 6, lap_ms=21_000, qualifier_seconds=180, main_seconds=240),
            ClassSpec("17.5 Stadium Truck", 5, lap_ms=23_000, qualifier_seconds=180, main_seconds=240, skip_lap_1=True),
        ),
        qualifier_rounds=2,
        failure=failure,
    )


PRESETS: dict[str, EventSpec] = {
    "small": _small(),
    "mains": EventSpec(
        preset="mains",
        classes=(
            ClassSpec(
                "1/8 Nitro Buggy", 11, 6, lap_ms=27_000, qualifier_seconds=180, main_seconds=240, main_size=5, bump=2,
                skip_lap_1=True,
            ),
            ClassSpec(
                "1/8 Electric Buggy", 6, 6, lap_ms=26_000, qualifier_seconds=180, main_seconds=180, main_size=6,
                triple=True,
            ),
        ),
        qualifier_rounds=1,
        entry_list=EntryList.UNLINKED,
    ),
    "oddities": EventSpec(
        preset="oddities",
        classes=(
            ClassSpec("Nitro Truggy", 9, 9, lap_ms=19_000, main_seconds=310, main_size=10, qualifier_seconds=120),
            ClassSpec(
                "Nitro Truggy 40+", 7, 7, lap_ms=24_000, main_seconds=180, qualifier_seconds=120, skip_lap_1=True
            ),
            ClassSpec(
                "Int. E-Buggy 1/8", 5, lap_ms=122_000, main_seconds=3600, qualifier_seconds=240, main_size=3,
                wrapped=False,
            ),
        ),
        qualifier_rounds=1,
        practice_round=True,
        days=2,
        behind_noise=True,
        oddities=True,
    ),
    "bare": EventSpec(
        preset="bare",
        classes=(
            ClassSpec("ISTC - 21.5T", 7, lap_ms=18_000, wrapped=False),
            ClassSpec("ISTC - 13.5T Mod.", 6, lap_ms=16_000, triple=True, wrapped=False),
        ),
        headings=False,
        bare_dates=True,
        entry_list=EntryList.GONE,
    ),
    "large": EventSpec(
        preset="large",
        classes=tuple(
            ClassSpec(
                f"{scale} {kind}", 10, 10, lap_ms=14_600, qualifier_seconds=600, main_seconds=600, main_size=10,
                skip_lap_1=kind == "Nitro Buggy",
            )
            for scale in ("1/8", "1/10")
            for kind in ("Nitro Buggy", "Electric Buggy", "Truggy", "2WD Mod", "4WD Mod")
        ),
        qualifier_rounds=9,
        days=2,
        incidents=False,
    ),
    **{failure.value: _small(failure) for failure in Failure},
    Failure.NO_RACES.value: EventSpec(preset=Failure.NO_RACES.value, classes=(), failure=Failure.NO_RACES),
}  # fmt: skip

_CLASS_NAMES = (
    "1/8 Nitro Buggy", "1/8 Electric Buggy", "1/8 Truggy", "1/10 2WD Mod", "1/10 4WD Mod", "13.5 Buggy",
    "Stadium Truck", "Short Course", "Junior", "40+ Electric Buggy", "Novice", "Sportsman",
)  # fmt: skip


def typical(rng: Random) -> EventSpec:
    """A club event of common size."""
    while True:
        wrapped = rng.randrange(4) > 0
        names = rng.sample(_CLASS_NAMES, rng.randrange(2, 6))
        classes = tuple(_typical_class(rng, name, wrapped) for name in names)
        spec = EventSpec(
            preset="typical",
            classes=classes,
            qualifier_rounds=rng.randrange(1, 4),
            practice_round=rng.randrange(4) == 0,
            days=1 + (rng.randrange(4) == 0),
            entry_list=rng.choice((EntryList.LINKED, EntryList.LINKED, EntryList.UNLINKED, EntryList.GONE)),
            behind_noise=rng.randrange(3) == 0,
        )
        if 10 <= race_count(spec) <= 40:
            return spec


def _typical_class(rng: Random, name: str, wrapped: bool) -> ClassSpec:
    size, laps = rng.randrange(6, 13), rng.randrange(15, 36)
    length = 60 * rng.randrange(5, 9)
    nitro = "Nitro" in name
    return ClassSpec(
        name,
        drivers=size if rng.randrange(2) else size + rng.randrange(6, size + 1),
        heat_size=size,
        lap_ms=1000 * length // laps,
        qualifier_seconds=length,
        main_seconds=length * 5 // 4,
        main_size=size,
        triple=not nitro and rng.randrange(2) == 0,
        bump=rng.randrange(2, 5) if nitro else 0,
        skip_lap_1=nitro,
        wrapped=wrapped,
    )


def groups(drivers: int, size: int) -> int:
    """How many heats or mains it takes so that none holds more than `size` drivers."""
    return -(-drivers // size)


def race_count(spec: EventSpec) -> int:
    """How many races an event by this recipe has."""
    if spec.failure is Failure.NO_RACES:
        return 0
    heats = sum(groups(c.drivers, c.heat_size) for c in spec.classes)
    mains = sum(main_count(c) * (3 if c.triple else 1) for c in spec.classes)
    return heats * (spec.qualifier_rounds + spec.practice_round) + mains


def main_count(spec: ClassSpec) -> int:
    """How many mains (A, B, …) the drivers fill; with bump-ups each main but the last leaves slots for them."""
    seeded = spec.main_size - spec.bump
    return max(1, -(-max(0, spec.drivers - spec.bump) // seeded))
