"""Builds the world: tracks with their drivers and calendars, and the events as plans that are run on demand.

`World` is the model behind one simulated site. It is not thread-safe; `SimulatedSite` guards it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, datetime, time, timedelta
from random import Random

from msgspec.structs import replace

from mre_console.simulator import names, oddities, racing
from mre_console.simulator.specs import PRESETS, EventSpec, Failure, typical
from mre_console.simulator.world import CatalogueRow, Driver, EventClass, Race, RaceDay, Registration, Track

START = datetime.fromisoformat("2026-03-08T12:00:00")  # when a new world begins, local to every track
MIX = ("typical", "small", "oddities", "typical", "mains", "no_script", "typical", "bare", "no_races", "empty_shell")
_STATUS_FILLERS = {0: 2, 1: 1, 2: 1, 3: 1}  # the first fillers are racing or practising right now
_RACE_IDS_PER_EVENT = 200
_HOUR = timedelta(hours=1)
_LISTED_HOURS = 92 * 24  # a track that was quiet for longer leaves the catalogue


class World:
    """Everything that exists on one simulated LiveRC."""

    def __init__(
        self,
        seed: int = 1,
        *,
        tracks: int = 3,
        events: int = 5,
        mix: Sequence[str] = MIX,
        catalogue_rows: int = 1_100,
        now: datetime = START,
    ) -> None:
        """`events` per track, their presets taken from `mix` in turn ("typical" or a name of `PRESETS`)."""
        self.seed = seed
        self.now = now
        self.hidden: set[str] = set()  # slugs that the catalogue no longer names
        self._began = now
        self.mix = tuple(mix)
        self.tracks: dict[str, Track] = {}
        self.events: dict[str, RaceDay] = {}
        self._races: dict[str, tuple[Race, ...]] = {}
        self._pools: dict[str, tuple[Driver, ...]] = {}
        self._planned = 0
        rng = Random(f"{seed}/tracks")  # noqa: S311 - a simulation, not a secret
        for index in range(tracks):
            self._add_track(_real_track(rng, index), rng)
        for index in range(max(0, catalogue_rows - tracks)):
            filler = _filler(rng, index)
            self.tracks[filler.slug] = filler
        for age in range(events):
            for slug in self.real_slugs():
                # three weeks apart, the newest one a few days ago
                self.plan(slug, (now - timedelta(days=3 + 21 * (events - 1 - age))).date())

    def real_slugs(self) -> list[str]:
        """The tracks that hold events, in the order they were made."""
        return [track.slug for track in self.tracks.values() if not track.filler]

    def events_of(self, slug: str) -> list[RaceDay]:
        """A track's past events, newest first."""
        found = [e for e in self.events.values() if e.track_slug == slug and e.starts_at <= self.now]
        return sorted(found, key=lambda e: (e.starts_at, int(e.event_id)), reverse=True)

    def catalogue(self) -> list[CatalogueRow]:
        """The tracks where something happened lately, by activity, then age; the featured ones last and always."""
        rows = [self._catalogue_row(track) for track in self.tracks.values() if track.slug not in self.hidden]
        listed = [row for row in rows if row.track.featured or row.idle_hours <= _LISTED_HOURS]
        return sorted(listed, key=lambda r: (r.track.featured, -r.status, r.idle_hours))

    def _catalogue_row(self, track: Track) -> CatalogueRow:
        if track.filler:
            idle = 0 if track.status else track.idle_hours + int((self.now - self._began) / _HOUR)
            return CatalogueRow(track, track.status, track.latest_event, idle)
        newest = next(iter(self.events_of(track.slug)), None)
        if newest is None:
            return CatalogueRow(track, 0, None, 24)
        quiet = self.now - datetime.combine(newest.ends_on, time(17, 30))
        racing_now = newest.ends_on >= self.now.date()
        return CatalogueRow(track, 2 if racing_now else 0, newest.name, max(0, int(quiet / _HOUR)))

    def races(self, event_id: str) -> tuple[Race, ...]:
        """An event's races in running order; they are run at the first call."""
        if event_id not in self._races:
            day = self.events[event_id]
            races = racing.run(day)
            self._races[event_id] = oddities.bend(races) if day.spec.oddities and races else races
        return self._races[event_id]

    def race(self, slug: str, race_id: str) -> tuple[RaceDay, Race] | None:
        """A past race of a track, with its event."""
        for day in self.events_of(slug):
            if race_id.isdecimal() and 0 <= int(race_id) - day.first_race_id < _RACE_IDS_PER_EVENT:
                return next(((day, race) for race in self.races(day.event_id) if race.race_id == race_id), None)
        return None

    def change_race(self, event_id: str, race_id: str, change: Callable[[Race], Race]) -> None:
        """Replace one race. Raises LookupError where the event has none of that id."""
        races = self.races(event_id)
        if race_id not in {race.race_id for race in races}:
            raise LookupError(f"event {event_id} has no race {race_id}")
        self.set_races(event_id, tuple(change(race) if race.race_id == race_id else race for race in races))

    def set_races(self, event_id: str, races: tuple[Race, ...]) -> None:
        """Replace all races of an event, given in running order."""
        self._races[event_id] = races

    def advance(self, by: timedelta) -> None:
        """Let time pass: every real track holds an event a week."""
        self.now += by
        for slug in self.real_slugs():
            newest = max((e.starts_at for e in self.events.values() if e.track_slug == slug), default=self._began)
            while (newest := newest + timedelta(days=7)) <= self.now:
                self.plan(slug, newest.date())

    def plan(self, slug: str, starts_on: date, spec: EventSpec | None = None, event_id: str | None = None) -> RaceDay:
        """Put an event on a track's calendar. Without a recipe the next one of the mix is taken."""
        ordinal = self._planned
        self._planned += 1
        rng = Random(f"{self.seed}/{slug}/{ordinal}")  # noqa: S311 - a simulation, not a secret
        if spec is None:
            preset = self.mix[ordinal % len(self.mix)]
            spec = typical(rng) if preset == "typical" else PRESETS[preset]
        if spec.oddities:  # over the end of a month
            starts_on = starts_on.replace(day=1) - timedelta(days=1)
        day = RaceDay(
            # neighbours are swapped, so ids do not follow the calendar
            event_id=event_id or str(480_000 + 40 * (ordinal ^ 1) + rng.randrange(40)),
            track_slug=slug,
            name=self._event_name(rng, spec, starts_on),
            starts_at=_starts_at(rng, starts_on),
            ends_on=starts_on + timedelta(days=spec.days - 1),
            classes=self._classes(rng, slug, spec),
            spec=spec,
            seed=f"{self.seed}/{slug}/{ordinal}",
            first_race_id=6_300_000 + _RACE_IDS_PER_EVENT * ordinal,
        )
        self.events[day.event_id] = day
        return day

    def repair(self, event_id: str) -> None:
        """Make a failing event whole, as if somebody had scored it at last: its races now have pages and laps."""
        day = self.events[event_id]
        if day.spec.failure is Failure.NO_RACES:
            spec = PRESETS["small"]
            classes = self._classes(Random(f"{day.seed}/repair"), day.track_slug, spec)  # noqa: S311
            self.events[event_id] = replace(day, spec=spec, classes=classes)
        elif day.spec.failure is not None:
            self.events[event_id] = replace(day, spec=replace(day.spec, failure=None))
        self._races.pop(event_id, None)

    def _add_track(self, track: Track, rng: Random) -> None:
        self.tracks[track.slug] = track
        self._pools[track.slug] = names.people(rng, 60, 200_000 + 1_000 * len(self._pools))

    def _event_name(self, rng: Random, spec: EventSpec, starts_on: date) -> str:
        if spec.oddities:
            return names.ODD_EVENT_NAMES[rng.randrange(3)]
        if rng.randrange(6) == 0:
            return rng.choice(names.ODD_EVENT_NAMES)
        return names.event_name(rng, starts_on.year, starts_on.month)

    def _classes(self, rng: Random, slug: str, spec: EventSpec) -> tuple[EventClass, ...]:
        rosters = self._rosters(rng, slug, spec)
        numbers = rng.sample(range(1_000, 60_000), len(rosters))  # tabs are out of numeric order
        registrations = [
            tuple(
                Registration(driver, str(rng.randrange(1_000_000, 10_000_000)))
                for driver in sorted(roster, key=lambda d: d.sort_name)
            )
            for roster in rosters
        ]
        if spec.oddities:
            registrations = oddities.bend_entry_list(registrations)
        return tuple(
            EventClass(entered.name, number, registered)
            for entered, number, registered in zip(spec.classes, numbers, registrations, strict=True)
        )

    def _rosters(self, rng: Random, slug: str, spec: EventSpec) -> list[Sequence[Driver]]:
        """Who enters which class; some people enter several."""
        if not spec.oddities:
            return [rng.sample(self._pools[slug], c.drivers) for c in spec.classes]
        odd = names.odd_people(190_000)
        by_name = {d.name: d for d in odd}
        truggy = [*odd[15:19], *odd[0:4], by_name[" LEAH SPACEBAR"]]
        veterans = [*odd[4:10], by_name["MEL O'HARROW"]]
        buggy = [odd[10], *odd[12:15], by_name["B.J. MCTARN"]]
        return [truggy, veterans, buggy]


def _starts_at(rng: Random, starts_on: date) -> datetime:
    """Three in four listings do not know the hour."""
    clock = "00:00" if rng.randrange(4) else rng.choice(("08:00", "08:30", "09:45"))
    return datetime.fromisoformat(f"{starts_on.isoformat()}T{clock}:00")


def _real_track(rng: Random, index: int) -> Track:
    if index == 1:  # one of them with everything a dashboard may lack, and a name that needs care
        return Track(
            slug="dustden",
            name='The Dust Den "Off-Road"',
            layout="The Dust Den",
            address=("Lot 4, Kilnshaw Lane", "Loam Ridge A2536", "Australia"),
            map_query="Lot 4 Kilnshaw Lane,Loam Ridge,+A2536,AU",
            live_video=True,
        )
    name, slug = names.track_name(index)
    number = rng.randrange(100, 9_000)
    return Track(
        slug=slug,
        name=name,
        address=(f"{number} Washboard Road", f"Cinder Hollow, TX {rng.randrange(70_000, 79_999)}", "United States"),
        map_query=f"{number} Washboard Road,Cinder Hollow,TX+70000,US",
        phone=f"+1 555-010-{rng.randrange(1000, 10_000)}",
        website=f"http://www.{slug}.example/",
        email=f"races@{slug}.example",
        description=("Clay surface with a covered drivers' stand.", "Power & air in the pits, open all year."),
        live_video=index == 0,
    )


def _filler(rng: Random, index: int) -> Track:
    if index < len(names.ODD_TRACK_NAMES):
        name, slug = names.ODD_TRACK_NAMES[index]
        if slug == "dustden":  # that one is a real track
            name, slug = "Dust Den Indoor", "dustdenindoor"
    else:
        name, slug = names.track_name(index + 40)
    return Track(
        slug=slug,
        name=name,
        filler=True,
        latest_event=None if rng.randrange(26) == 0 else names.event_name(rng, 2026, rng.randrange(1, 9)),
        idle_hours=rng.randrange(90 * 24) if index > 30 else index,
        status=_STATUS_FILLERS.get(index, 0),
        live_video=rng.randrange(30) == 0,
        featured=index % 150 == 149,
    )
