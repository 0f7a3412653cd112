"""Bends the races of an "oddities" event until everything strange that real pages hold occurs at least once.

Every step names the oddity it makes; the tests assert that each one is there.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from mre_console.simulator.standings import finishing_order, lap_lines
from mre_console.simulator.world import Entrant, Race, Registration


def bend(races: tuple[Race, ...]) -> tuple[Race, ...]:
    """The races with their oddities. Expects the three classes of the "oddities" preset."""
    mains = [i for i, race in enumerate(races) if race.round.tag == "M1"]
    bent = list(races)
    sprint = next(i for i in mains if not races[i].skip_lap_1 and races[i].length_seconds < 3600)
    rolling = next(i for i in mains if races[i].skip_lap_1)
    longest = [i for i in mains if races[i].length_seconds >= 3600]
    bent[sprint] = _sprint(races[sprint])
    bent[rolling] = _fast_first_lap(races[rolling])
    bent[longest[-1]] = replace(races[longest[-1]], hours_form=True)
    practice = next(i for i, race in enumerate(races) if race.round.tag == "P1")
    bent[practice] = _with_laps(bent[practice], {2: lambda laps: laps[:1]})  # 1/23.456: below a minute, no colon
    # two races that end in the same minute
    bent[mains[1]] = replace(bent[mains[1]], completed_at=bent[mains[0]].completed_at)
    return tuple(bent)


def _sprint(race: Race) -> Race:
    """Non-starters, early retirements, a leader who retires, a tie for the fastest lap, laps of every printed form."""
    everyone = _with_laps(race, {e.slot: _at_least(16, e) for e in race.entrants if len(e.laps_ms) < 16})
    twin = _second_of_a_name(everyone, "ECHO LOAMWELL")
    others = [e.slot for e in everyone.entrants if e.slot != twin and not e.driver.name.startswith("TWIN")]
    few, fewer, fewest, away, tied = others[1:6]
    changed = _with_laps(
        everyone,
        {
            twin: lambda _: (),  # shares a starter's name and did not start
            away: lambda _: (),
            few: lambda laps: laps[:13],  # no top 15
            fewer: lambda laps: laps[:8],  # no top 10
            fewest: lambda laps: laps[:4],  # no top 5
            tied: _tied_and_printed_short,
        },
    )
    return _leader_retires(changed)


def _at_least(count: int, entrant: Entrant) -> Callable[[tuple[int, ...]], tuple[int, ...]]:
    """Enough laps for every average, whatever incident the simulation had in mind."""
    return lambda laps: tuple((laps[i % len(laps)] if laps else 19_500 + 17 * i) + entrant.slot for i in range(count))


def _tied_and_printed_short(laps: tuple[int, ...]) -> tuple[int, ...]:
    """Two equal fastest laps, one of whole seconds, one with two decimals, one above a minute."""
    best = min(laps) - 300
    return (*laps[:3], best, 21_000, 20_340, 83_125, best, *laps[8:])


def _fast_first_lap(race: Race) -> Race:
    """Lap 1 beats every other lap but stands outside the statistics, so the stated fastest lap is not the least."""
    winner = finishing_order(race.entrants)[0]
    return _with_laps(race, {winner.slot: lambda laps: (min(laps) - 450, *laps[1:])})


def _leader_retires(race: Race) -> Race:
    """Whoever leads after lap 6 stops there, so the last position in the script is 1 and the result is not."""
    leader = next(slot for slot, lines in lap_lines(race).items() if len(lines) > 6 and lines[5].position == 1)
    return _with_laps(race, {leader: lambda laps: laps[:6]})


def _second_of_a_name(race: Race, name: str) -> int:
    return [e.slot for e in race.entrants if e.driver.name == name][1]


def _with_laps(race: Race, changes: dict[int, Callable[[tuple[int, ...]], tuple[int, ...]]]) -> Race:
    return replace(
        race,
        entrants=tuple(
            replace(e, laps_ms=changes[e.slot](e.laps_ms)) if e.slot in changes else e for e in race.entrants
        ),
    )


def bend_entry_list(registrations: list[tuple[Registration, ...]]) -> list[tuple[Registration, ...]]:
    """Transponders of one class: two drivers share one, one has a second receiver's suffix, one has none."""
    first, *rest = registrations
    shared = first[0].transponder
    bent = (
        first[0],
        replace(first[1], transponder=shared),
        replace(first[2], transponder=f"{first[2].transponder}/2"),
        replace(first[3], transponder=None),
        *first[4:],
    )
    return [bent, *rest]
