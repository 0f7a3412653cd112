"""The vocabulary everybody shares: what a page says, and what an event is.

Page records hold what one page of LiveRC says, table and lap script side by side, without judging. The `Event` document
and its parts are the canonical form of a whole event. Everything is frozen; times are integer milliseconds; dates and
local times are ISO text without a zone, because LiveRC gives none. `None` means that the page has nothing there.
"""

from __future__ import annotations

from decimal import Decimal

from msgspec import Struct

# ---------------------------------------------------------------- the canonical document (see `pipeline.document`)


class Lap(Struct, frozen=True, gc=False):
    """One timed lap of one result. Lap 0 (the grid) is not a lap."""

    lap_number: int  # 1…n
    lap_time_ms: int
    elapsed_ms: int  # sum of lap times up to and including this lap
    position: int | None  # position in the race after this lap
    pace: str | None  # LiveRC's projection as shown, e.g. "17/10:28.285"


class Result(Struct, frozen=True):
    """One driver's row of one race."""

    position: int
    source_driver_id: str | None
    driver_name: str
    car_number: int | None
    qualifying_position: int | None
    laps_completed: int
    total_time_ms: int | None
    behind: str | None  # the text shown: gap to the row above
    fast_lap_ms: int | None
    fast_lap_number: int | None
    avg_lap_ms: int | None
    avg_top_5_ms: int | None
    avg_top_10_ms: int | None
    avg_top_15_ms: int | None
    top_2_consecutive_ms: int | None
    top_3_consecutive_ms: int | None
    std_deviation_ms: int | None
    consistency: Decimal | None  # percent, three decimals
    grid_position: int | None
    laps: tuple[Lap, ...]


class Race(Struct, frozen=True):
    """One race of an event."""

    source_race_id: str
    class_name: str
    race_label: str
    round: str | None
    race_number: int | None
    race_order: int  # 1…n by time of completion over the whole event
    completed_at_local: str | None  # "2025-11-16T17:30:00", or a bare date where the page gives only that
    length_seconds: int | None
    results: tuple[Result, ...]


class Entry(Struct, frozen=True):
    """One row of the entry list: a driver registered in a class."""

    class_name: str
    number: int  # running number within the class, not a car number
    driver_name: str
    transponder: str | None


class Event(Struct, frozen=True):
    """The canonical document: all that one event is."""

    source: str  # "liverc"
    source_event_id: str
    track_slug: str
    event_name: str
    start_date: str | None  # "2025-11-16"
    end_date: str | None  # equal to start_date for a one-day event
    entries: int | None
    drivers: int | None
    races: tuple[Race, ...]
    entry_list: tuple[Entry, ...] | None  # None: no entry list is linked, or its page does not exist


# ---------------------------------------------------------------- what pages say


class RaceLink(Struct, frozen=True):
    """One race as the event page lists it, in page order (newest completed first)."""

    source_race_id: str
    class_name: str
    race_label: str
    round: str | None
    race_number: int | None
    completed_at_local: str | None


class EventPage(Struct, frozen=True):
    """`view_event`."""

    source_event_id: str
    track_slug: str
    track_name: str
    event_name: str
    start_date: str | None
    end_date: str | None
    entries: int | None
    drivers: int | None
    total_race_laps: int | None
    has_entry_list: bool  # the page links an entry list
    races: tuple[RaceLink, ...]


class TableRow(Struct, frozen=True):
    """One row of a race's result table. `*_hidden_ms` are the cells' hidden sort values."""

    position: int
    driver_name: str
    source_driver_id: str | None  # absent in the row of a non-starter
    car_number: int | None
    qualifying_position: int | None
    laps_completed: int
    total_time_ms: int | None
    behind: str | None
    fast_lap_ms: int | None
    fast_lap_number: int | None
    avg_lap_ms: int | None
    avg_top_5_ms: int | None
    avg_top_10_ms: int | None
    avg_top_15_ms: int | None
    top_3_consecutive_ms: int | None
    std_deviation: Decimal | None  # seconds, as shown: two decimals
    consistency: Decimal | None  # percent, as shown: two decimals
    hidden_mismatches: tuple[str, ...] = ()  # fields whose hidden sort value differs from the value shown


class ScriptLap(Struct, frozen=True, gc=False):
    """One entry of a racer's `laps` in the lap script, lap 0 included."""

    lap_number: int
    lap_time_ms: int
    position: int | None
    pace: str | None


class Racer(Struct, frozen=True):
    """One `racerLaps[ID] = {…}` block of the lap script, in page order."""

    source_driver_id: str
    driver_name: str
    fast_lap_ms: int | None
    avg_lap_ms: int | None
    avg_top_5_ms: int | None
    avg_top_10_ms: int | None
    avg_top_15_ms: int | None
    top_2_consecutive_ms: int | None
    top_3_consecutive_ms: int | None
    std_deviation_ms: int | None
    consistency: Decimal | None  # percent, three decimals
    laps: tuple[ScriptLap, ...]


class RacePage(Struct, frozen=True):
    """`view_race_result`: the table and the lap script, side by side."""

    source_race_id: str
    track_name: str
    event_name: str
    race_label: str
    round: str | None
    race_number: int | None
    length_text: str | None  # "30:00 Timed"
    length_seconds: int | None
    rows: tuple[TableRow, ...]
    has_lap_script: bool  # the page assigns `racerLaps`
    racers: tuple[Racer, ...]


class EntryClass(Struct, frozen=True):
    """One class of an entry list, in tab order."""

    class_name: str
    declared_entries: int | None  # the page's own "Entries: n"
    entries: tuple[Entry, ...]


class EntryListPage(Struct, frozen=True):
    """`view_entry_list`."""

    source_event_id: str
    track_slug: str
    track_name: str
    event_name: str
    classes: tuple[EntryClass, ...]


class ListedEvent(Struct, frozen=True):
    """One row of a track's events listing."""

    source_event_id: str
    event_name: str
    start_date: str | None
    end_date: str | None
    starts_at_local: str | None  # None where the page gives 00:00:00, which means unknown
    entries: int | None
    drivers: int | None


class EventsListing(Struct, frozen=True):
    """`/events/` of a track, newest first."""

    track_slug: str
    track_name: str
    events: tuple[ListedEvent, ...]


class ListedTrack(Struct, frozen=True):
    """One row of the track catalogue."""

    slug: str
    name: str
    latest_event: str | None
    status: int  # 0 nothing, 1 practice, 2 racing
    live_video: bool
    featured: bool
    updated_text: str | None  # relative and coarse: "1 minute ago", "last year"


class TrackCatalogue(Struct, frozen=True):
    """`live.liverc.com/`."""

    tracks: tuple[ListedTrack, ...]


class TrackDashboard(Struct, frozen=True):
    """A track's start page."""

    slug: str
    track_name: str
    address_lines: tuple[str, ...]
    phone: str | None  # "N/A" as shown becomes None
    website: str | None
    email: str | None
    description: str | None


PageRecord = TrackCatalogue | TrackDashboard | EventsListing | EventPage | RacePage | EntryListPage
