"""Simulated events, ingested: good data that the checks must find nothing in."""

from __future__ import annotations

from pathlib import Path

from mre_console.settings import shipped_fixtures
from mre_console.simulator.generate import World
from mre_console.simulator.site import SimulatedSite
from pipeline.errors import PipelineError
from pipeline.service import Service, ServiceSettings
from tests.support.site_client import SiteClient

KINDS = ("oddities", "mains", "small", "bare", "typical", "no_races", "no_script", "no_laps", "empty_shell")


def simulated(seed: int, events: int, kinds: tuple[str, ...] = KINDS) -> SimulatedSite:
    """A site whose events are of every kind in turn, those included that fail by design."""
    return SimulatedSite(World(seed, tracks=1, events=events, mix=kinds, catalogue_rows=1), frozen_frame=True)


def service_of(site: SimulatedSite, database_url: str, data: Path) -> Service:
    """A service that asks the site directly and knows the shipped page sets."""
    settings = ServiceSettings(db_url=database_url, data=data, fixtures=shipped_fixtures())
    return Service(settings, client=SiteClient(site))


def ingest_all(service: Service, site: SimulatedSite) -> int:
    """Ingest every event; how many were published. Those that fail by design must fail, and no others."""
    published = 0
    for slug, event_id in site.events():
        kind = None
        try:
            published += service.ingest(f"{slug}/{event_id}").outcome == "published"
        except PipelineError as error:
            kind = error.kind
        assert kind is site.failure(event_id), event_id
    return published
