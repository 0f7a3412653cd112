"""A simulated site with every kind of event, for tests."""

from __future__ import annotations

from mre_console.simulator.generate import World
from mre_console.simulator.site import SimulatedSite
from mre_console.simulator.specs import Failure

EVERYTHING = ("oddities", "mains", "small", "bare", *(f.value for f in Failure), "typical")


def every_preset(seed: int = 3) -> SimulatedSite:
    """A site whose events are one of each preset."""
    return SimulatedSite(World(seed, tracks=3, events=3, mix=EVERYTHING), frozen_frame=True)


def event_of(site: SimulatedSite, preset: str) -> str:
    """The id of an event made by the preset."""
    return next(day.event_id for day in site.world.events.values() if day.spec.preset == preset)


def body(site: SimulatedSite, address: tuple[str, str]) -> bytes:
    """What the site answers; there must be an answer."""
    answer = site.answer(*address)
    assert answer is not None, address
    return answer.body


def host_of(site: SimulatedSite, event_id: str) -> str:
    """The host of an event's track."""
    return f"{site.world.events[event_id].track_slug}.liverc.com"
