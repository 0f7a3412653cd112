"""A run that is cancelled from outside ends as interrupted within three seconds, whatever it waits for."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mre_console.simulator.faults import Fault
from mre_console.simulator.generate import World
from mre_console.simulator.server import SimulatorServer
from mre_console.simulator.site import SimulatedSite
from pipeline.errors import Kind
from pipeline.service import Service, ServiceSettings


@pytest.fixture
def site() -> SimulatedSite:
    return SimulatedSite(World(5, tracks=1, events=1, mix=("small",), catalogue_rows=5))


@pytest.fixture
def server(site: SimulatedSite) -> Iterator[SimulatorServer]:
    with SimulatorServer(site) as server:
        yield server


@pytest.mark.parametrize("crawl_delay", [0.0, 60.0], ids=["waiting-for-a-page", "waiting-for-its-turn"])
def test_a_cancelled_ingestion(
    server: SimulatorServer, site: SimulatedSite, database_url: str, tmp_path: Path, crawl_delay: float
) -> None:
    if not crawl_delay:
        server.faults.add(Fault("slow", "race_result", seconds=60))
    ((slug, event_id),) = site.events()
    name = f"{slug}/{event_id}"
    settings = ServiceSettings(db_url=database_url, data=tmp_path, site=server.url, crawl_delay=crawl_delay)
    with Service(settings) as working, Service(settings) as asking:
        outcomes: list[Any] = []
        thread = working.start_ingest(name, done=outcomes.append)
        while not asking.locks():
            assert thread.is_alive()
        began = time.monotonic()
        asking.cancel(name)
        thread.join(10)
        assert time.monotonic() - began < 3
        assert (outcomes[0].kind, outcomes[0].rule.exit_code) == (Kind.INTERRUPTED, 130)
        assert asking.runs(name)[0].outcome == "interrupted"
        assert not asking.locks()
