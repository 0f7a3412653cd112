"""Runs an event: practice, qualifying, mains with bump-ups and triple legs, lap by lap, from the event's own seed.

Only integer draws are used, so the same seed gives the same laps on every machine and Python version.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, time, timedelta
from random import Random

import msgspec

from mre_console.simulator.specs import ClassSpec, EventSpec, Failure, groups, main_count
from mre_console.simulator.standings import finishing_order
from mre_console.simulator.world import Driver, Entrant, Race, RaceDay, Round, Script

_COLOURS = (
    ("#0000FF", "white"), ("#00FA00", "black"), ("#FF7F00", "black"), ("#8B008B", "white"), ("#FFFF00", "black"),
)  # fmt: skip


class _Draft(msgspec.Struct):
    """A race before it has an id, a number within its round and a time."""

    spec: ClassSpec
    label: str
    round: Round
    length_seconds: int
    entrants: tuple[Entrant, ...]


def run(day: RaceDay) -> tuple[Race, ...]:
    """The races of an event in running order."""
    if day.spec.failure is Failure.NO_RACES:
        return ()
    meeting = _Meeting(day)
    drafts: list[_Draft] = []
    if day.spec.practice_round:
        drafts += meeting.heats(Round("Practice Round 1", "P1"))
    for number in range(1, day.spec.qualifier_rounds + 1):
        drafts += meeting.heats(Round(f"Qualifier Round {number}", f"Q{number}"))
    drafts += meeting.mains(Round("Main Events", "M1"))
    return _fail(_schedule(day, drafts, meeting.rng), day.spec.failure)


class _Meeting:
    """The state of one event while it runs: who is how fast, and who has qualified how well."""

    def __init__(self, day: RaceDay) -> None:
        self.rng = Random(f"{day.seed}/laps")  # noqa: S311 - a simulation, not a secret
        self.spec: EventSpec = day.spec
        self.fields = [
            (spec, [r.driver for r in entered.registrations])
            for spec, entered in zip(day.spec.classes, day.classes, strict=True)
        ]
        self.lap_ms = {
            (spec.name, driver.driver_id): spec.lap_ms * (1000 + 7 * rank + self.rng.randrange(12)) // 1000
            for spec, drivers in self.fields
            for rank, driver in enumerate(self.rng.sample(drivers, len(drivers)))
        }
        self.best: dict[tuple[str, str], tuple[int, int]] = {}  # (−laps, time) of the best qualifier

    def heats(self, round_: Round) -> list[_Draft]:
        """One round in which every class runs all its heats."""
        drafts = []
        for spec, drivers in self.fields:
            count = groups(len(drivers), spec.heat_size)
            for heat in range(count):
                # two spaces, as LiveRC has them
                label = f"{spec.name}  (Heat {heat + 1}/{count})"
                draft = self._race(spec, label, round_, spec.qualifier_seconds, drivers[heat::count])
                if round_.tag.startswith("Q"):
                    self._note(spec, draft.entrants)
                drafts.append(draft)
        return drafts

    def mains(self, round_: Round) -> list[_Draft]:
        """All mains: lower single mains before higher ones, the legs of triple mains in between."""
        staged: list[tuple[tuple[int, int], _Draft]] = []
        for spec, drivers in self.fields:
            ranked = sorted(drivers, key=lambda d: self.best.get((spec.name, d.driver_id), (0, 0)))
            run_mains = self._triple if spec.triple else self._single
            for stage, draft in run_mains(spec, ranked, round_):
                staged.append(((stage, len(staged)), draft))
        return [draft for _, draft in sorted(staged, key=lambda item: item[0])]

    def _single(self, spec: ClassSpec, ranked: list[Driver], round_: Round) -> Iterable[tuple[int, _Draft]]:
        """Lowest main first; the best of each fill the last grid slots of the next one up."""
        count, seeded, bumped = main_count(spec), spec.main_size - spec.bump, list[Driver]()
        for index in reversed(range(count)):
            seeds = ranked[index * seeded :] if index == count - 1 else ranked[index * seeded : (index + 1) * seeded]
            label = f"{spec.name} {chr(65 + index)}-Main"
            draft = self._race(spec, label, round_, spec.main_seconds, seeds + bumped)
            bumped = [e.driver for e in finishing_order(draft.entrants)][: spec.bump]
            yield (9 if index == 0 else 7 - 2 * min(index, 3)), draft

    def _triple(self, spec: ClassSpec, ranked: list[Driver], round_: Round) -> Iterable[tuple[int, _Draft]]:
        """Three legs of every main, all from the same grid."""
        for leg in (1, 2, 3):
            for index in reversed(range(main_count(spec))):
                last = index == main_count(spec) - 1
                drivers = ranked[index * spec.main_size : None if last else (index + 1) * spec.main_size]
                label = f"{spec.name} {chr(65 + index)}{leg}-Main"
                yield 3 * leg - 1, self._race(spec, label, round_, spec.main_seconds, drivers)

    def _race(self, spec: ClassSpec, label: str, round_: Round, length_seconds: int, grid: Sequence[Driver]) -> _Draft:
        entrants = tuple(
            Entrant(driver, slot, self._laps(spec, driver, slot, 1000 * length_seconds), self._noise())
            for slot, driver in enumerate(grid, 1)
        )
        if not any(e.laps_ms for e in entrants):  # a race nobody started would not be scored
            first = entrants[0]
            laps = _laps(self.rng, self.lap_ms[spec.name, first.driver.driver_id], 1, 1000 * length_seconds, False)
            entrants = (Entrant(first.driver, 1, laps), *entrants[1:])
        return _Draft(spec=spec, label=label, round=round_, length_seconds=length_seconds, entrants=entrants)

    def _laps(self, spec: ClassSpec, driver: Driver, slot: int, length_ms: int) -> tuple[int, ...]:
        if self.spec.incidents and self.rng.randrange(24) == 0:
            return ()  # did not start
        laps = _laps(self.rng, self.lap_ms[spec.name, driver.driver_id], slot, length_ms, self.spec.incidents)
        if self.spec.incidents and len(laps) > 3 and self.rng.randrange(18) == 0:
            return laps[: self.rng.randrange(2, len(laps))]  # retired
        return laps

    def _noise(self) -> int:
        return self.rng.randrange(-1, 2) if self.spec.behind_noise else 0

    def _note(self, spec: ClassSpec, entrants: Iterable[Entrant]) -> None:
        for e in entrants:
            key = (spec.name, e.driver.driver_id)
            self.best[key] = min(self.best.get(key, (0, 0)), (-len(e.laps_ms), sum(e.laps_ms)))


def _laps(rng: Random, lap_ms: int, slot: int, length_ms: int, incidents: bool) -> tuple[int, ...]:
    """Laps until the time is over; the lap under way is finished. The first one starts from the grid."""
    laps: list[int] = []
    elapsed = 0
    spread = lap_ms // 25
    while elapsed < length_ms:
        time_ms = lap_ms + rng.randrange(spread) + rng.randrange(spread) - spread // 2
        if not laps:
            time_ms += lap_ms // 20 + 180 * slot
        elif incidents and rng.randrange(40) == 0:
            time_ms += rng.randrange(3_000, 25_000)
        laps.append(time_ms)
        elapsed += time_ms
    return tuple(laps)


def _schedule(day: RaceDay, drafts: list[_Draft], rng: Random) -> tuple[Race, ...]:
    """Numbers within the round, shuffled ids, and the minute each race was completed."""
    ids = rng.sample(range(day.first_race_id, day.first_race_id + len(drafts)), len(drafts))
    names = [c.name for c in day.spec.classes]
    numbers: dict[str, int] = {}
    races = []
    now = day.starts_at if day.start_known else datetime.combine(day.starts_at, time(8, 22))
    per_day = -(-len(drafts) // day.spec.days)
    for index, (draft, race_id) in enumerate(zip(drafts, ids, strict=True)):
        if index and index % per_day == 0:
            now = datetime.combine(now.date() + timedelta(days=1), time(8, 40))
        now += timedelta(seconds=draft.length_seconds + 60 * rng.randrange(1, 4))
        numbers[draft.round.tag] = numbers.get(draft.round.tag, 0) + 1
        races.append(
            Race(
                race_id=str(race_id),
                class_name=draft.spec.name,
                label=draft.label,
                round=draft.round,
                number=numbers[draft.round.tag],
                completed_at=now.replace(second=0),
                length_seconds=draft.length_seconds,
                skip_lap_1=draft.spec.skip_lap_1,
                entrants=draft.entrants,
                wrapped=draft.spec.wrapped,
                colours=_COLOURS[names.index(draft.spec.name) % len(_COLOURS)],
            )
        )
    return tuple(races)


def _fail(races: tuple[Race, ...], failure: Failure | None) -> tuple[Race, ...]:
    """Take the lap script away from the last race, as the failure demands."""
    script = {Failure.NO_SCRIPT: Script.MISSING, Failure.NO_LAPS: Script.EMPTY}.get(failure) if failure else None
    return races if script is None else (*races[:-1], msgspec.structs.replace(races[-1], script=script))
