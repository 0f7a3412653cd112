"""The invented world: tracks, drivers, events, races and laps, as plain frozen facts.

Nothing here knows markup or the pipeline. Times are integer milliseconds; clock times are naive, local to the track, as
LiveRC gives them. Names are kept raw, with the stray spaces people type; `shown` gives what a reader should report.
"""

from __future__ import annotations

from datetime import date, datetime
from enum import StrEnum

from msgspec import Struct

from mre_console.simulator.specs import EventSpec, Failure


def shown(raw: str) -> str:
    """A name as a reader should report it: white space collapsed and trimmed."""
    return " ".join(raw.split())


class Script(StrEnum):
    """What the race page's lap script holds."""

    FULL = "full"
    EMPTY = "empty"  # every racer's block is there, none has a lap
    MISSING = "missing"  # the page does not assign `racerLaps` yet


class Page(StrEnum):
    """What the server has under a known address."""

    NORMAL = "normal"
    SHELL = "shell"  # frame and panels without any content
    GONE = "gone"  # 404


class Driver(Struct, frozen=True):
    """A person with a LiveRC id. Several may share a name."""

    driver_id: str
    name: str  # upper case and raw
    sort_name: str  # "LAST, FIRST", the hidden sort key of the entry list


class Entrant(Struct, frozen=True):
    """One driver in one race. No laps: did not start."""

    driver: Driver
    slot: int  # grid slot = car number = "Qual"
    laps_ms: tuple[int, ...]
    behind_noise_ms: int = 0  # the site computes gaps on finer times, so one may be 1 ms off


class Round(Struct, frozen=True):
    """A round of an event as the pages name it."""

    heading: str  # "Main Events"
    tag: str  # "M1"


class Race(Struct, frozen=True):
    """One race. Entrants stand in grid order; the finishing order follows from their laps."""

    race_id: str
    class_name: str
    label: str  # raw: "1/8 Nitro Buggy  (Heat 2/3)"
    round: Round
    number: int  # running order within its round
    completed_at: datetime
    length_seconds: int
    skip_lap_1: bool  # the standing start is left out of every statistic
    entrants: tuple[Entrant, ...]
    wrapped: bool = True  # listed as "Race 3: CLASS (LABEL)", else as "Race 3: LABEL"
    colours: tuple[str, str] = ("#0000FF", "white")  # the class's background and text colour
    hours_form: bool = False  # totals above an hour as 1:01:02.345 instead of 61:02.345
    script: Script = Script.FULL
    page: Page = Page.NORMAL


class Registration(Struct, frozen=True):
    """A driver entered in a class."""

    driver: Driver
    transponder: str | None


class EventClass(Struct, frozen=True):
    """A class of an event, with its registrations in the order of the entry list."""

    name: str
    number: int  # LiveRC's own class number, part of the tab's id
    registrations: tuple[Registration, ...]


class RaceDay(Struct, frozen=True):
    """An event before anyone looks at its races, which are run (and kept) only on demand."""

    event_id: str
    track_slug: str
    name: str  # raw
    starts_at: datetime  # midnight: the hour is unknown
    ends_on: date
    classes: tuple[EventClass, ...]
    spec: EventSpec
    seed: str
    first_race_id: int

    @property
    def start_known(self) -> bool:
        return self.starts_at.hour > 0

    @property
    def is_shell(self) -> bool:
        """Does the server answer this event's address as if it did not know the id?"""
        return self.spec.failure is Failure.EMPTY_SHELL

    @property
    def entries(self) -> int:
        return sum(len(c.registrations) for c in self.classes)

    @property
    def drivers(self) -> int:
        return len({r.driver.driver_id for c in self.classes for r in c.registrations})


class Track(Struct, frozen=True):
    """A track. Fillers have a catalogue row and a dashboard, but no event of their own behind it."""

    slug: str
    name: str  # raw
    layout: str = "Offroad"
    address: tuple[str, ...] = ()  # street, place line, country
    map_query: str = ""
    phone: str | None = None
    website: str | None = None
    email: str | None = None
    description: tuple[str, ...] = ()  # lines
    filler: bool = False
    latest_event: str | None = None  # fillers only; a real track's follows from its events
    idle_hours: int = 0  # fillers only: hours since anything happened
    status: int = 0  # fillers only: 0 nothing, 1 practice, 2 racing
    live_video: bool = False
    featured: bool = False


class CatalogueRow(Struct, frozen=True):
    """One track as the catalogue shows it right now."""

    track: Track
    status: int  # 0 nothing, 1 practice, 2 racing
    latest_event: str | None  # raw
    idle_hours: int  # since anything happened there
