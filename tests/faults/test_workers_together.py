"""Three workers on one PostgreSQL, one killed, one stopped and woken; and a database that crashes under a worker.

No event is worked on twice at once, none is lost, and the site never sees two requests closer than the delay.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from mre_console.simulator.server import SimulatorServer
from mre_console.simulator.site import SimulatedSite
from pipeline import document
from pipeline.errors import PipelineError
from pipeline.service import Service, ServiceSettings
from tests.faults.conftest import FAULTS
from tests.faults.processes import Attempt, Launcher
from tests.faults.scenes import tiny_site
from tests.support.databases import PostgresqlServer, start_postgresql

DELAY_S = 0.15
EVENTS = 30 if FAULTS else 9
WAIT_S = 90.0
LATE_S = 0.12  # how much later than it was sent a request may be read, on a busy machine


class Fleet:
    """Workers of one database, over one served site; `service` only looks and asks."""

    def __init__(self, url: str, data: Path, server: SimulatorServer, site: SimulatedSite, launcher: Launcher) -> None:
        self.url, self.data, self.server, self.site, self._launcher = url, data, server, site, launcher
        self.service = Service(ServiceSettings(db_url=url, data=data))
        self.names = ["/".join(event) for event in site.events()]

    def start(self) -> Attempt:
        options = ["--db", self.url, "--data", str(self.data), "--site", self.server.url, "--crawl-delay", str(DELAY_S)]
        return self._launcher.launch(["worker", *options])

    def pages(self) -> int:
        return len(self.server.requests)

    def wait_for_pages(self, more: int) -> None:
        self.server.wait_for_request(count=self.pages() + more, timeout=WAIT_S)

    def wait_until(self, true: Callable[[], bool]) -> None:
        until = time.monotonic() + WAIT_S
        while not _now(true):
            assert time.monotonic() < until, [(e.source_event_id, e.state, e.retry_at) for e in self.service.events()]
            time.sleep(0.1)  # the processes cannot tell us

    def is_idle(self) -> bool:
        return not self.service.wanted() and not self.service.locks()

    def nothing_is_lost(self) -> None:
        """Every event is served, or its next attempt is planned."""
        for event in self.service.events():
            assert event.ingest_depth == "laps_full" or event.retry_at is not None, event

    def let_retries_be_due(self) -> None:
        """The minutes until the next attempts pass."""
        with self.service.store.write():
            self.service.store.sql("UPDATE event SET retry_at = 1 WHERE retry_at IS NOT NULL")
        self.service.run_schedule_now("retries")

    def everything_is_served(self) -> bool:
        if any(event.ingest_depth != "laps_full" for event in self.service.events()) or not self.is_idle():
            if self.is_idle() and any(event.retry_at is not None for event in self.service.events()):
                self.let_retries_be_due()
            return False
        return True

    def check(self) -> None:
        for name in self.names:
            truth = self.site.document(name.partition("/")[2])
            assert document.encode(self.service.export(name)) == document.encode(truth)
        self.check_runs()

    def check_runs(self) -> None:
        """No two runs of an event overlapped, and none published twice."""
        for name in self.names:
            runs = sorted(self.service.runs(name), key=lambda run: run.id)
            assert [run.outcome for run in runs].count("published") == 1, runs
            for earlier, later in pairwise(runs):
                assert earlier.finished_at is not None
                assert earlier.finished_at <= later.started_at, (earlier, later)

    def check_distance(self) -> None:
        """Over any stretch of requests the delay was kept, whichever worker sent them."""
        began = [request.at for request in self.server.requests]
        for length in (1, 5, 10):
            for first in range(len(began) - length):
                took = began[first + length] - began[first]
                assert took >= length * DELAY_S - LATE_S, f"{length} requests after request {first} took {took:.3f} s"

    def close(self) -> None:
        self.service.close()


def _now(true: Callable[[], bool]) -> bool:
    try:
        return true()
    except PipelineError:  # the database is just being restarted
        return False


@pytest.fixture
def own_server() -> Iterator[PostgresqlServer]:
    """A PostgreSQL that may crash without taking other tests' databases along."""
    server = start_postgresql()
    yield server
    server.stop()


@pytest.fixture
def fleet_of(tmp_path: Path, launcher: Launcher) -> Iterator[Callable[[str, int], Fleet]]:
    fleets: list[Fleet] = []
    servers: list[SimulatorServer] = []

    def make(url: str, events: int) -> Fleet:
        site = tiny_site(events)
        servers.append(SimulatorServer(site).start())
        fleets.append(Fleet(url, tmp_path / "data", servers[-1], site, launcher))
        return fleets[-1]

    yield make
    launcher.close()
    for fleet in fleets:
        fleet.close()
    for server in servers:
        server.close()


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
def test_three_workers_of_which_one_is_killed_and_one_sleeps(
    database_url: str, fleet_of: Callable[[str, int], Fleet], record_property: Callable[[str, object], None]
) -> None:
    fleet = fleet_of(database_url, EVENTS)
    for name in fleet.names:
        fleet.service.request_ingest(name)
    killed, sleeper, steady = fleet.start(), fleet.start(), fleet.start()
    fleet.wait_until(lambda: len(fleet.service.locks()) == 3)  # all three are at work, each on its own event
    assert len({lock.event for lock in fleet.service.locks()}) == 3
    fleet.wait_for_pages(2)
    killed.kill()
    sleeper.send(signal.SIGSTOP)
    fleet.wait_for_pages(6)  # the third goes on alone
    sleeper.send(signal.SIGCONT)
    fleet.wait_until(fleet.is_idle)
    fleet.nothing_is_lost()
    fleet.wait_until(fleet.everything_is_served)
    fleet.check()
    fleet.check_distance()
    outcomes = [run.outcome for name in fleet.names for run in fleet.service.runs(name)]
    record_property("counts", f"{len(outcomes)} runs: { {o: outcomes.count(o) for o in set(outcomes)} }")
    assert outcomes.count("cleared") >= 1, "the killed worker's lock was released by another"
    states = {worker.pid: worker.state for worker in fleet.service.workers()}
    assert len(states) == 3
    for worker in (sleeper, steady):
        worker.send(signal.SIGTERM)
        assert worker.wait() == 0, worker.said


def test_a_database_that_crashes_and_a_worker_that_is_replaced(
    own_server: PostgresqlServer, fleet_of: Callable[[str, int], Fleet]
) -> None:
    fleet = fleet_of(own_server.url(), 5)
    own_server._next.result()  # no copy of a database is under way any more
    for name in fleet.names:
        fleet.service.request_ingest(name)
    first = fleet.start()
    fleet.wait_for_pages(6)
    crash(fleet)
    fleet.wait_for_pages(6)  # the same worker, on a database that is back
    first.kill()
    second = fleet.start()
    fleet.wait_until(fleet.everything_is_served)
    fleet.check()
    second.send(signal.SIGTERM)
    assert second.wait() == 0, second.said


def crash(fleet: Fleet) -> None:
    """Kill one of the server's own processes: it then ends every connection, and recovers."""
    with fleet.service.store.read():
        ((pid,),) = fleet.service.store.sql("SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'")
    os.kill(pid, signal.SIGKILL)
