"""From an address to a page: routing on the parsed query, the page's content, and the truth about it.

Pure over a `World`; `SimulatedSite` adds the frame, the cache and the lock.
"""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import parse_qs, urlsplit

from mre_console.simulator import pages_entry_list, pages_event, pages_frame, pages_race, pages_track, truth
from mre_console.simulator.generate import World
from mre_console.simulator.pages_frame import Assets
from mre_console.simulator.specs import EntryList
from mre_console.simulator.world import Page, RaceDay, Track
from pipeline.records import PageRecord

CATALOGUE_HOST = "live.liverc.com"
_VIEWS = {"view_event": "event", "view_race_result": "race_result", "view_entry_list": "entry_list"}


class Route(NamedTuple):
    """What an address asks for."""

    page_type: str  # as in `faults.PAGE_TYPES`
    slug: str = ""
    number: str = ""  # event or race id


class Content(NamedTuple):
    """A page without its frame."""

    title: str
    assets: Assets
    text: str


def route(world: World, host: str, target: str) -> Route | None:
    """What is asked for, or None for an address without meaning. Order and encoding of the query do not matter."""
    host = host.lower()
    parts = urlsplit(target)
    path = parts.path.rstrip("/")
    if path == "/robots.txt":
        return Route("robots")
    if host == CATALOGUE_HOST:
        return None if path else Route("track_catalogue")
    slug = slug_of(world, host)
    if slug is None:
        return None
    if path != "/results":
        page_type = {"": "track_dashboard", "/events": "events_listing"}.get(path)
        return Route(page_type, slug) if page_type else None
    query = parse_qs(parts.query)
    view, number = query.get("p", [""])[0], query.get("id", [""])[0]
    if not view:  # /results/ alone shows the newest event
        newest = next(iter(world.events_of(slug)), None)
        return Route("event", slug, newest.event_id) if newest else None
    return Route(_VIEWS[view], slug, number) if view in _VIEWS else None


def slug_of(world: World, host: str) -> str | None:
    """The host's slug as the catalogue writes it: hosts are case-insensitive, slugs have capitals."""
    wanted, _, domain = host.lower().partition(".")
    if domain != "liverc.com":
        return None
    if wanted in world.tracks:
        return wanted
    return next((slug for slug in world.tracks if slug.lower() == wanted), None)


# ---------------------------------------------------------------- contents


def content(world: World, asked: Route, *, unknown_is_shell: bool = False) -> Content | None:
    """The page's content, or None where the server has no such page."""
    if asked.page_type == "track_catalogue":
        title = "LiveRC :: Radio-controlled racing, simulated :: LiveRC"
        return Content(title, pages_frame.CATALOGUE, pages_track.catalogue(world.catalogue()))
    track = world.tracks[asked.slug]
    if asked.page_type == "track_dashboard":
        title = f"{track.name} :: Broadcast and Results :: LiveRC"
        return Content(title, pages_frame.DASHBOARD, pages_track.dashboard(track, _tiles(world, track)))
    if asked.page_type == "events_listing":
        text = pages_track.listing(track, world.events_of(track.slug))
        return Content(f"{track.name} :: Archived Results :: LiveRC", pages_frame.LISTING, text)
    if asked.page_type == "race_result":
        return _race(world, track, asked.number, unknown_is_shell)
    day = _event(world, asked)
    if day is None or day.is_shell:
        known = asked.page_type == "event" and (day is not None or unknown_is_shell)
        return shell(track, "event") if known else None
    return _event_content(world, track, day) if asked.page_type == "event" else _entry_list(world, track, day)


def shell(track: Track, page_type: str) -> Content:
    """The page of an unknown id: frame and panels, but nothing of an event or race."""
    title = f"{track.name} ::  :: LiveRC"
    if page_type == "race_result":
        return Content(title, pages_frame.RACE, pages_race.shell_content(track))
    return Content(title, pages_frame.EVENT, pages_event.shell_content(track))


def _event_content(world: World, track: Track, day: RaceDay) -> Content:
    text = pages_event.content(track, day, world.races(day.event_id))
    return Content(f"{track.name} :: {day.name} :: LiveRC", pages_frame.EVENT, text)


def _entry_list(world: World, track: Track, day: RaceDay) -> Content | None:
    if day.spec.entry_list is not EntryList.LINKED:
        return None
    laps = sum(len(e.laps_ms) for race in world.races(day.event_id) for e in race.entrants)
    text = pages_entry_list.content(track, day, laps)
    return Content(f"{track.name} :: {day.name} :: Entry List :: LiveRC", pages_frame.ENTRY_LIST, text)


def _race(world: World, track: Track, race_id: str, unknown_is_shell: bool) -> Content | None:
    found = world.race(track.slug, race_id)
    if found is None:
        return shell(track, "race_result") if unknown_is_shell else None
    day, race = found
    if race.page is not Page.NORMAL:
        return shell(track, "race_result") if race.page is Page.SHELL else None
    title = f"{track.name} :: {day.name} :: {race.label} :: LiveRC"
    return Content(title, pages_frame.RACE, pages_race.content(track, day, race))


def _event(world: World, asked: Route) -> RaceDay | None:
    day = world.events.get(asked.number)
    return day if day and day.track_slug == asked.slug and day.starts_at <= world.now else None


def _tiles(world: World, track: Track) -> pages_track.Tiles:
    """The dashboard's numbers, from the registrations alone: running every event for them would be a waste."""
    events = world.events_of(track.slug)
    entries = sum(day.entries for day in events)
    recent = [day for day in events if (day.ends_on.year, day.ends_on.month) == (world.now.year, world.now.month)]
    return pages_track.Tiles(
        live=any(day.ends_on >= world.now.date() for day in events),
        results_this_month=sum(len(day.classes) for day in recent),
        laps=entries * 1_021,
        races=sum(len(day.classes) for day in events),
        entries=entries,
        events=len(events),
    )


# ---------------------------------------------------------------- truth


def page_truth(world: World, asked: Route) -> PageRecord | None:
    """What a reader must make of the page behind an address, or None where it must fail."""
    if asked.page_type == "track_catalogue":
        return truth.catalogue(world.catalogue())
    track = world.tracks.get(asked.slug)
    if track is None:
        return None
    if asked.page_type == "track_dashboard":
        return truth.dashboard(track)
    if asked.page_type == "events_listing":
        return truth.listing(track, world.events_of(track.slug))
    if asked.page_type == "race_result":
        found = world.race(track.slug, asked.number)
        return truth.race_page(track, *found) if found and found[1].page is Page.NORMAL else None
    day = _event(world, asked)
    if day is None or day.is_shell:
        return None
    if asked.page_type == "event":
        return truth.event_page(track, day, world.races(day.event_id))
    return truth.entry_list_page(track, day) if day.spec.entry_list is EntryList.LINKED else None
