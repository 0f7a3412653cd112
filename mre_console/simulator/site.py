"""The simulated site: answers requests from the world, lets time pass, and corrects what was published.

Thread-safe: one lock guards the world. Page contents are cached until the next change, so serving a page again costs
one concatenation. `truth_of` says what a reader must make of the page behind an address, `document` what an ingestion
must publish, `failure` how it must fail instead.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from datetime import timedelta

from msgspec.structs import replace

from mre_console.simulator import library, pages_frame, truth
from mre_console.simulator.generate import World
from mre_console.simulator.library import Content, Route
from mre_console.simulator.pages_frame import Frame
from mre_console.simulator.server import Answer
from mre_console.simulator.specs import EntryList
from mre_console.simulator.world import Page, Race, Script, Track
from pipeline.errors import Kind
from pipeline.records import Event, PageRecord

ROBOTS = "User-agent: *\nDisallow: /drivers/\n"
_CACHE_CHARACTERS = 64 * 1024 * 1024

MarkupChange = Callable[[str, bytes], bytes]  # (page type, body) → body


class SimulatedSite:
    """A look-alike of every *.liverc.com host, over one `World`."""

    def __init__(
        self,
        world: World | None = None,
        *,
        frame: Frame | None = None,
        frozen_frame: bool = False,
        unknown_is_shell: bool = False,
    ) -> None:
        """`frozen_frame`: fetching twice gives the same bytes; otherwise the fly-in flag changes with every fetch.

        `unknown_is_shell`: unknown event and race ids get an empty shell instead of 404.
        """
        self.world = world if world is not None else World()
        self.frame = frame or Frame()
        self.frozen_frame = frozen_frame
        self.unknown_is_shell = unknown_is_shell
        self._change: MarkupChange | None = None
        self._lock = threading.RLock()
        self._cache: OrderedDict[Route, Content] = OrderedDict()
        self._cached = 0
        self._fetches = 0

    # ---------------------------------------------------------------- serving

    def answer(self, host: str, target: str) -> Answer | None:
        """The answer to a GET, or None where there is no such page. `host` without port, in any case."""
        with self._lock:
            asked = library.route(self.world, host, target)
            if asked is None:
                return None
            if asked.page_type == "robots":
                return Answer(headers={"Content-Type": "text/plain"}, body=ROBOTS.encode())
            content, frame, change = self._content(asked), self._next_frame(), self._change
        if content is None:
            return None
        body = _page(content, frame)
        return Answer(body=change(asked.page_type, body) if change else body)

    def empty_shell(self, host: str, target: str) -> bytes:
        """The page that the address would have if its id were unknown."""
        with self._lock:
            slug, asked = library.slug_of(self.world, host), library.route(self.world, host, target)
            track = self.world.tracks[slug] if slug else Track(slug="", name="")
            frame = self._next_frame()
        return _page(library.shell(track, asked.page_type if asked else "event"), frame)

    def error_page(self) -> bytes:
        """What a confused server says with status 200: the whole frame around an apology."""
        with self._lock:
            frame = self._next_frame()
        return _page(Content("Error :: LiveRC", pages_frame.EVENT, _APOLOGY), frame)

    def change_markup(self, change: MarkupChange | None) -> None:
        """From now on pass every page through `change(page_type, body)`; None serves the known markup again."""
        with self._lock:
            self._change = change

    def _next_frame(self) -> Frame:
        if self.frozen_frame:
            return self.frame
        self._fetches += 1
        return replace(self.frame, fly_in=self._fetches % 2 == 1)

    def _content(self, asked: Route) -> Content | None:
        if asked in self._cache:
            self._cache.move_to_end(asked)
            return self._cache[asked]
        content = library.content(self.world, asked, unknown_is_shell=self.unknown_is_shell)
        if content is not None:
            self._cache[asked] = content
            self._cached += len(content.text)
            while self._cached > _CACHE_CHARACTERS:
                self._cached -= len(self._cache.popitem(last=False)[1].text)
        return content

    def _forget(self) -> None:
        self._cache.clear()
        self._cached = 0

    # ---------------------------------------------------------------- truth

    def truth_of(self, host: str, target: str) -> PageRecord | None:
        """What a reader must make of the page behind an address, or None where it must fail."""
        with self._lock:
            asked = library.route(self.world, host, target)
            return library.page_truth(self.world, asked) if asked else None

    def document(self, event_id: str) -> Event:
        """The document that ingesting this event must publish."""
        with self._lock:
            return truth.event(self.world.events[event_id], self.world.races(event_id))

    def failure(self, event_id: str) -> Kind | None:
        """The failure that ingesting this event must end in, if it must fail."""
        with self._lock:
            return truth.failure(self.world.events[event_id], self.world.races(event_id))

    def events(self, slug: str | None = None) -> list[tuple[str, str]]:
        """(slug, event id) of every event that has taken place, newest first within its track."""
        with self._lock:
            slugs = self.world.real_slugs() if slug is None else [slug]
            return [(s, day.event_id) for s in slugs for day in self.world.events_of(s)]

    def addresses(self, event_id: str) -> list[tuple[str, str]]:
        """(host, target) of an event's page, its entry list where linked, and its races in running order."""
        with self._lock:
            day, races = self.world.events[event_id], self.world.races(event_id)
        targets = [f"/results/?p=view_event&id={event_id}"]
        if day.spec.entry_list is not EntryList.UNLINKED:
            targets.append(f"/results/?p=view_entry_list&id={event_id}")
        targets += [f"/results/?p=view_race_result&id={race.race_id}" for race in races]
        return [(f"{day.track_slug.lower()}.liverc.com", target) for target in targets]

    # ---------------------------------------------------------------- time passes, things are corrected

    def advance(self, days: int) -> list[tuple[str, str]]:
        """Let days pass: every track holds an event a week, and tracks that fell quiet leave the catalogue.

        Returns (slug, event id) of the events that are new.
        """
        with self._lock:
            before = set(self.events())
            self.world.advance(timedelta(days=days))
            self._forget()
            return [event for event in self.events() if event not in before]

    def raise_build(self, by: int = 1) -> int:
        """LiveRC deploys: the build marker on every asset rises. Returns the new one."""
        with self._lock:
            self.frame = replace(self.frame, build=self.frame.build + by)
            return self.frame.build

    def correct_lap(self, event_id: str, race_id: str, driver_id: str, lap_number: int, time_ms: int) -> None:
        """A lap time is corrected; order, gaps and statistics follow."""

        def corrected(race: Race) -> Race:
            entrant = next((e for e in race.entrants if e.driver.driver_id == driver_id), None)
            if entrant is None or not 1 <= lap_number <= len(entrant.laps_ms):
                raise LookupError(f"race {race_id} has no lap {lap_number} of driver {driver_id}")
            laps_ms = (*entrant.laps_ms[: lap_number - 1], time_ms, *entrant.laps_ms[lap_number:])
            entrants = tuple(replace(e, laps_ms=laps_ms) if e is entrant else e for e in race.entrants)
            return replace(race, entrants=entrants)

        self._change_race(event_id, race_id, corrected)

    def remove_driver(self, event_id: str, race_id: str, driver_id: str) -> None:
        """A driver vanishes from a race."""

        def without(race: Race) -> Race:
            kept = tuple(e for e in race.entrants if e.driver.driver_id != driver_id)
            if len(kept) == len(race.entrants):
                raise LookupError(f"race {race_id} has no driver {driver_id}")
            return replace(race, entrants=kept)

        self._change_race(event_id, race_id, without)

    def rename_race(self, event_id: str, race_id: str, label: str) -> None:
        """A main gets another label, e.g. "1/8 Nitro Buggy B-Main"."""
        self._change_race(event_id, race_id, lambda race: replace(race, label=label))

    def swap_race_ids(self, event_id: str, race_id: str, other_id: str) -> None:
        """Race ids are reused: each of two races now stands under the other's id."""
        with self._lock:
            races = self.world.races(event_id)
            ids = {race_id: other_id, other_id: race_id}
            if not ids.keys() <= {race.race_id for race in races}:
                raise LookupError(f"event {event_id} has not both races {race_id} and {other_id}")
            self._set_races(event_id, tuple(replace(r, race_id=ids.get(r.race_id, r.race_id)) for r in races))

    def break_race(
        self, event_id: str, race_id: str, *, page: Page = Page.NORMAL, script: Script = Script.FULL
    ) -> None:
        """What stands under a race's address from now on; the defaults make it whole again."""
        self._change_race(event_id, race_id, lambda race: replace(race, page=page, script=script))

    def remove_race(self, event_id: str, race_id: str) -> None:
        """A race vanishes from its event, list and page."""
        with self._lock:
            races = self.world.races(event_id)
            kept = tuple(race for race in races if race.race_id != race_id)
            if len(kept) == len(races):
                raise LookupError(f"event {event_id} has no race {race_id}")
            self._set_races(event_id, kept)

    def repair(self, event_id: str) -> None:
        """A failing event is put right at the source."""
        with self._lock:
            self.world.repair(event_id)
            self._forget()

    def drop_track(self, slug: str) -> None:
        """A track leaves the catalogue; its own pages stay."""
        with self._lock:
            self.world.hidden.add(slug)
            self._forget()

    def _change_race(self, event_id: str, race_id: str, change: Callable[[Race], Race]) -> None:
        with self._lock:
            self.world.change_race(event_id, race_id, change)
            self._forget()

    def _set_races(self, event_id: str, races: tuple[Race, ...]) -> None:
        self.world.set_races(event_id, races)
        self._forget()


def _page(content: Content, frame: Frame) -> bytes:
    return pages_frame.page(content.text, content.title, content.assets, frame)


_APOLOGY = """<div class="row page-breadcrumb">
\t<div class="col-lg-12">
\t\t<h1 class="page-header"><span class="fa fa-warning"></span> Something went wrong</h1>
\t</div>
</div>
<p>The page could not be shown. Please come back in a moment.</p>
"""
