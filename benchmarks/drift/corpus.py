"""The pages that the bench works on: events of the simulator, and the real ones where they are there."""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path
from typing import Any

from mre_console.simulator.generate import World
from mre_console.simulator.site import SimulatedSite
from pipeline.errors import PipelineError
from pipeline.liverc.readers import read_page
from pipeline.liverc.urls import PageRef, parse_url
from pipeline.records import EntryListPage, EventPage, PageRecord, RacePage
from pipeline.replay import Pages

ROOT = Path(__file__).parents[2]
REAL = ROOT.parent / "shared" / "liverc"
PRESETS = ("small", "oddities", "mains", "bare", "typical")
_REAL_LISTS = {
    "catalogue.live": "https://live.liverc.com/",
    "events.canberraoffroad": "https://canberraoffroad.liverc.com/events/",
    "dashboard.canberraoffroad": "https://canberraoffroad.liverc.com/",
    "dashboard.thunderalley": "https://thunderalley.liverc.com/",
    "entry_list.silverstate": "https://sometrack.liverc.com/results/?p=view_entry_list&id=1",
    "event.486677": "https://canberraoffroad.liverc.com/results/?p=view_event&id=486677",
    "race.6304822.2025-12": "https://canberraoffroad.liverc.com/results/?p=view_race_result&id=6304822",
}


class Source:
    """One unchanged page, with what it says."""

    def __init__(self, ref: PageRef, body: bytes, *, real: bool) -> None:
        self.ref, self.body, self.real = ref, body, real

    @property
    def page_type(self) -> str:
        return str(self.ref.page_type)

    @cached_property
    def record(self) -> PageRecord:
        return read_page(self.body, self.ref)


class EventPages:
    """All pages of one event that can be ingested."""

    def __init__(self, name: str, sources: list[Source], *, real: bool) -> None:
        self.name, self.sources, self.real = name, sources, real

    def of(self, page_type: str) -> list[Source]:
        return [source for source in self.sources if source.page_type == page_type]

    def pages(self, changed: dict[str, PageRecord] | None = None) -> Pages:
        """What all pages say, some of them otherwise."""
        said = Pages()
        for source in self.sources:
            record = (changed or {}).get(source.ref.url, source.record)
            if isinstance(record, EventPage):
                said.event = record
            elif isinstance(record, RacePage):
                said.races[record.source_race_id] = record
            elif isinstance(record, EntryListPage):
                said.entry_list = record
        return said


def simulated(seed: int = 7) -> tuple[list[EventPages], list[Source]]:
    """(events, the pages above them), of three tracks and two builds."""
    site = SimulatedSite(World(seed, tracks=3, events=5, mix=PRESETS, catalogue_rows=150), frozen_frame=True)
    events = []
    for slug, event_id in site.events()[::3]:
        sources = _sources(site, site.addresses(event_id))
        preset = site.world.events[event_id].spec.preset
        events.append(EventPages(f"{slug}/{event_id} ({preset})", sources, real=False))
        site.raise_build()
    above = [("live.liverc.com", "/")]
    above += [(f"{slug.lower()}.liverc.com", page) for slug in site.world.real_slugs() for page in ("/", "/events/")]
    return events, _sources(site, above)


def _sources(site: SimulatedSite, addresses: list[tuple[str, str]]) -> list[Source]:
    answers = [(host, target, site.answer(host, target)) for host, target in addresses]
    return [
        Source(parse_url(f"https://{host}{target}"), answer.body, real=False)
        for host, target, answer in answers
        if answer is not None and answer.status == 200
    ]


def real() -> tuple[list[EventPages], list[Source]]:
    """The real pages beside the checkout; empty lists without them."""
    if not (REAL / "site" / "site.json").is_file():
        return [], []
    served: dict[str, Any] = json.loads((REAL / "site" / "site.json").read_text("utf-8"))["hosts"]
    sources = []
    for host, pages in served.items():
        for target, file in pages.items():
            ref = parse_url(f"https://{host}{target}")
            source = Source(ref, (REAL / file).read_bytes(), real=True)
            try:
                source.record  # noqa: B018
            except PipelineError:  # a page type that is not read
                continue
            sources.append(source)
    of_event = [one for one in sources if one.page_type in ("event", "race_result", "entry_list")]
    others = [
        Source(parse_url(url), (REAL / "pages" / f"{name}.html").read_bytes(), real=True)
        for name, url in _REAL_LISTS.items()
        if (REAL / "pages" / f"{name}.html").is_file()
    ]
    return [EventPages("real", of_event, real=True)], others
