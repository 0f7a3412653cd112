"""Retrying the events of one cause: only those that still fail, and a hold among them stays."""

from __future__ import annotations

from pathlib import Path

import pytest

from mre_console.simulator.faults import Fault
from mre_console.simulator.generate import World
from mre_console.simulator.server import SimulatorServer
from mre_console.simulator.site import SimulatedSite
from pipeline import attempts
from pipeline.errors import PipelineError
from pipeline.service import Service, ServiceSettings


def test_a_group_knows_which_events_still_fail_and_they_are_planned(database_url: str, tmp_path: Path) -> None:
    site = SimulatedSite(World(5, tracks=1, events=4, mix=("small",), catalogue_rows=5))
    names = [f"{slug}/{event}" for slug, event in site.events()]
    faults = [Fault("404", "event", times=3)]
    with SimulatorServer(site, faults=faults) as server:
        settings = ServiceSettings(db_url=database_url, data=tmp_path, site=server.url, crawl_delay=0.0)
        with Service(settings) as service:
            for name in names[:3]:
                with pytest.raises(PipelineError):
                    service.ingest(name)
            service.ingest(names[0])
            (group,) = service.failure_groups()
            assert set(group.events) == set(names[:3])
            assert group.open_events == (names[2], names[1])

            attempts.hold(service.store, service.event(names[1]).id, "it hangs")
            plan = service.plan_retry(among=group.open_events)
            assert plan.events() == (names[2],)
            assert [held.event for held in plan.held] == [names[1]]
            assert service.plan_retry(among=[names[0]]).events() == ()
