"""What the simulator knows to be true: per page the record a reader must make of it, and per event the document.

Everything here follows from the world model alone. It must never call the pipeline's readers or its document builder,
because their output is what this truth judges; only the record types are shared.
"""

from __future__ import annotations

from decimal import Decimal

from mre_console.simulator import dialect
from mre_console.simulator.figures import hundredths
from mre_console.simulator.pages_track import age
from mre_console.simulator.specs import EntryList
from mre_console.simulator.standings import LapLine, Standing, lap_lines, standings
from mre_console.simulator.world import CatalogueRow, Page, Race, RaceDay, Script, Track, shown
from pipeline.errors import Kind
from pipeline.records import (
    Entry,
    EntryClass,
    EntryListPage,
    Event,
    EventPage,
    EventsListing,
    Lap,
    ListedEvent,
    ListedTrack,
    RaceLink,
    RacePage,
    Racer,
    Result,
    ScriptLap,
    TableRow,
    TrackCatalogue,
    TrackDashboard,
)
from pipeline.records import Race as RaceRecord


def failure(day: RaceDay, races: tuple[Race, ...]) -> Kind | None:
    """The failure that ingesting this event must end in, or None where its document must come out."""
    if not races or day.is_shell:
        return Kind.NO_RACES
    if any(race.page is Page.GONE for race in races):
        return Kind.NOT_FOUND
    if any(race.page is Page.SHELL for race in races):
        return Kind.FIELD_MISSING  # the frame of a race page, without the table that is one
    if any(race.script is not Script.FULL and any(e.laps_ms for e in race.entrants) for race in races):
        return Kind.LAPS_MISSING
    return None


# ---------------------------------------------------------------- the document


def event(day: RaceDay, races: tuple[Race, ...]) -> Event:
    """The canonical document of an event. `races` in running order."""
    return Event(
        source="liverc",
        source_event_id=day.event_id,
        track_slug=day.track_slug.lower(),
        event_name=shown(day.name),
        start_date=day.starts_at.date().isoformat(),
        end_date=day.ends_on.isoformat(),
        entries=day.entries,
        drivers=day.drivers,
        races=tuple(_race(day, race, order) for order, race in enumerate(races, 1)),
        entry_list=_entries(day) if day.spec.entry_list is EntryList.LINKED else None,
    )


def _race(day: RaceDay, race: Race, order: int) -> RaceRecord:
    lines = lap_lines(race)
    return RaceRecord(
        source_race_id=race.race_id,
        class_name=shown(race.class_name),
        race_label=shown(race.label),
        round=race.round.heading,
        race_number=race.number,
        race_order=order,
        completed_at_local=_completed(day, race),
        length_seconds=race.length_seconds,
        results=tuple(_result(row, lines[row.entrant.slot]) for row in standings(race)),
    )


def _result(row: Standing, laps: tuple[LapLine, ...]) -> Result:
    f = row.figures
    return Result(
        position=row.position,
        source_driver_id=row.entrant.driver.driver_id,
        driver_name=shown(row.entrant.driver.name),
        car_number=row.entrant.slot,
        qualifying_position=row.entrant.slot,
        laps_completed=row.laps_completed,
        total_time_ms=row.total_ms,
        behind=row.behind or None,
        fast_lap_ms=f.fast_lap_ms,
        fast_lap_number=f.fast_lap_number,
        avg_lap_ms=f.avg_lap_ms,
        avg_top_5_ms=f.avg_top_5_ms,
        avg_top_10_ms=f.avg_top_10_ms,
        avg_top_15_ms=f.avg_top_15_ms,
        top_2_consecutive_ms=f.top_2_consecutive_ms,
        top_3_consecutive_ms=f.top_3_consecutive_ms,
        std_deviation_ms=f.std_deviation_ms,
        consistency=_decimal(f.consistency_milli, 3),
        grid_position=row.entrant.slot if laps else None,
        laps=tuple(Lap(lap.number, lap.time_ms, lap.elapsed_ms, lap.position, lap.pace) for lap in laps),
    )


def _completed(day: RaceDay, race: Race) -> str:
    return (race.completed_at.date() if day.spec.bare_dates else race.completed_at).isoformat()


def _entries(day: RaceDay) -> tuple[Entry, ...]:
    return tuple(entry for entered in entry_list_classes(day) for entry in entered.entries)


def _decimal(value: int | None, places: int) -> Decimal | None:
    return None if value is None else Decimal(value).scaleb(-places)


# ---------------------------------------------------------------- event and below


def event_page(track: Track, day: RaceDay, races: tuple[Race, ...]) -> EventPage:
    """`view_event`, unless the event is an empty shell."""
    return EventPage(
        source_event_id=day.event_id,
        track_slug=day.track_slug,
        track_name=shown(track.name),
        event_name=shown(day.name),
        start_date=day.starts_at.date().isoformat(),
        end_date=day.ends_on.isoformat(),
        entries=day.entries,
        drivers=day.drivers,
        total_race_laps=sum(len(e.laps_ms) for race in races for e in race.entrants),
        has_entry_list=day.spec.entry_list is not EntryList.UNLINKED,
        races=tuple(
            RaceLink(
                source_race_id=race.race_id,
                class_name=shown(race.class_name),
                race_label=shown(race.label),
                round=race.round.heading if day.spec.headings else None,
                race_number=race.number,
                completed_at_local=_completed(day, race),
            )
            for race in reversed(races)
        ),
    )


def race_page(track: Track, day: RaceDay, race: Race) -> RacePage:
    """`view_race_result`, unless the race is gone or a shell."""
    rows = standings(race)
    lines = lap_lines(race) if race.script is Script.FULL else {}
    return RacePage(
        source_race_id=race.race_id,
        track_name=shown(track.name),
        event_name=shown(day.name),
        race_label=shown(race.label),
        round=race.round.heading,
        race_number=race.number,
        length_text=dialect.length(race.length_seconds),
        length_seconds=race.length_seconds,
        rows=tuple(map(_table_row, rows)),
        has_lap_script=race.script is not Script.MISSING,
        racers=()
        if race.script is Script.MISSING
        else tuple(_racer(row, lines.get(row.entrant.slot, ())) for row in rows),
    )


def _table_row(row: Standing) -> TableRow:
    f = row.figures
    return TableRow(
        position=row.position,
        driver_name=shown(row.entrant.driver.name),
        source_driver_id=row.entrant.driver.driver_id if row.entrant.laps_ms else None,
        car_number=row.entrant.slot,
        qualifying_position=row.entrant.slot,
        laps_completed=row.laps_completed,
        total_time_ms=row.total_ms,
        behind=row.behind or None,
        fast_lap_ms=f.fast_lap_ms,
        fast_lap_number=f.fast_lap_number,
        avg_lap_ms=f.avg_lap_ms,
        avg_top_5_ms=f.avg_top_5_ms,
        avg_top_10_ms=f.avg_top_10_ms,
        avg_top_15_ms=f.avg_top_15_ms,
        top_3_consecutive_ms=f.top_3_consecutive_ms,
        std_deviation=None if f.std_deviation_ms is None else _decimal(hundredths(f.std_deviation_ms), 2),
        consistency=None if f.consistency_milli is None else _decimal(hundredths(f.consistency_milli), 2),
    )


def _racer(row: Standing, laps: tuple[LapLine, ...]) -> Racer:
    f = row.figures
    grid = (ScriptLap(0, 0, row.entrant.slot, "0"),) if laps else ()
    return Racer(
        source_driver_id=row.entrant.driver.driver_id,
        driver_name=shown(row.entrant.driver.name),
        fast_lap_ms=f.fast_lap_ms,
        avg_lap_ms=f.avg_lap_ms,
        avg_top_5_ms=f.avg_top_5_ms,
        avg_top_10_ms=f.avg_top_10_ms,
        avg_top_15_ms=f.avg_top_15_ms,
        top_2_consecutive_ms=f.top_2_consecutive_ms,
        top_3_consecutive_ms=f.top_3_consecutive_ms,
        std_deviation_ms=f.std_deviation_ms,
        consistency=_decimal(f.consistency_milli, 3),
        laps=(*grid, *(ScriptLap(lap.number, lap.time_ms, lap.position, lap.pace) for lap in laps)),
    )


def entry_list_page(track: Track, day: RaceDay) -> EntryListPage:
    """`view_entry_list`, where there is one."""
    return EntryListPage(
        source_event_id=day.event_id,
        track_slug=day.track_slug,
        track_name=shown(track.name),
        event_name=shown(day.name),
        classes=entry_list_classes(day),
    )


def entry_list_classes(day: RaceDay) -> tuple[EntryClass, ...]:
    """The classes of the entry list in tab order."""
    return tuple(
        EntryClass(
            class_name=shown(entered.name),
            declared_entries=len(entered.registrations),
            entries=tuple(
                Entry(shown(entered.name), number, shown(r.driver.name), r.transponder)
                for number, r in enumerate(entered.registrations, 1)
            ),
        )
        for entered in day.classes
    )


# ---------------------------------------------------------------- above the event


def listing(track: Track, events: list[RaceDay]) -> EventsListing:
    """`/events/`, newest first."""
    return EventsListing(
        track_slug=track.slug,
        track_name=shown(track.name),
        events=tuple(
            ListedEvent(
                source_event_id=day.event_id,
                event_name=shown(day.name),
                start_date=day.starts_at.date().isoformat(),
                end_date=day.ends_on.isoformat(),
                starts_at_local=day.starts_at.isoformat() if day.start_known else None,
                entries=day.entries,
                drivers=day.drivers,
            )
            for day in events
        ),
    )


def catalogue(rows: list[CatalogueRow]) -> TrackCatalogue:
    """`live.liverc.com/`. `rows` in page order."""
    return TrackCatalogue(
        tracks=tuple(
            ListedTrack(
                slug=row.track.slug,
                name=shown(row.track.name),
                latest_event=None if row.latest_event is None else shown(row.latest_event),
                status=row.status,
                live_video=row.track.live_video,
                featured=row.track.featured,
                updated_text=age(row.idle_hours),
            )
            for row in rows
        )
    )


def dashboard(track: Track) -> TrackDashboard:
    """A track's start page."""
    return TrackDashboard(
        slug=track.slug,
        track_name=shown(track.name),
        address_lines=track.address,
        phone=track.phone,
        website=track.website,
        email=track.email,
        description=shown(" ".join(track.description)) or None,
    )
