"""Crashes, stops and full disks, brought about for real.

`make test` runs each of these tests on a sample; `make faults` (MRE_FAULTS=1) runs them at length. Moments are random
but seeded: a failing one comes back with the same seed, which the test prints.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from mre_console.simulator.server import SimulatorServer
from mre_console.simulator.site import SimulatedSite

pytest.register_assert_rewrite("tests.faults.processes", "tests.faults.scenes")  # so that they say what they compared

from tests.faults.processes import Launcher  # noqa: E402
from tests.faults.scenes import Scene  # noqa: E402
from tests.faults.tally import PROPERTY, Tally, table  # noqa: E402
from tests.support.databases import ENGINES  # noqa: E402

FAULTS = os.environ.get("MRE_FAULTS", "") not in ("", "0")  # at length
SetScene = Callable[[SimulatedSite], Scene]
Count = Callable[..., AbstractContextManager[Tally]]


def sampled_on(*engines: str) -> pytest.MarkDecorator:
    """`make test` has this test on some engines only, `make faults` on all."""
    return pytest.mark.parametrize("engine", ENGINES if FAULTS else engines, indirect=True)


@pytest.fixture
def launcher(tmp_path: Path) -> Iterator[Launcher]:
    folder = tmp_path / "output"
    folder.mkdir()
    launcher = Launcher(folder)
    yield launcher
    launcher.close()


@pytest.fixture
def set_scene(database_url: str, tmp_path: Path, launcher: Launcher) -> Iterator[SetScene]:
    """Serves a site, whose first event is to be ingested into a fresh database of the engine."""
    servers: list[SimulatorServer] = []
    scenes: list[Scene] = []

    def set_up(site: SimulatedSite) -> Scene:
        servers.append(SimulatorServer(site).start())
        scenes.append(Scene(site, servers[-1], database_url, tmp_path / "data", launcher))
        return scenes[-1]

    yield set_up
    launcher.close()
    for scene in scenes:
        scene.close()
    for server in servers:
        server.close()


@pytest.fixture
def count(record_property: Callable[[str, object], None]) -> Count:
    """`with count(deed, engine, places) as tally`: a row of the table below, whatever becomes of the test."""

    @contextmanager
    def counting(deed: str, engine: str, places: int | None = None) -> Iterator[Tally]:
        tally = Tally(deed, engine, places)
        try:
            yield tally
        except AssertionError:
            record_property(PROPERTY, tally.facts(neither=1))
            raise
        record_property(PROPERTY, tally.facts())

    return counting


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What was counted, below the results: how many died where, and what was served then."""
    tallies = []
    for outcome in ("passed", "failed"):
        for report in terminalreporter.getreports(outcome):
            for name, value in report.user_properties if report.when == "call" else ():
                if name == "counts":
                    terminalreporter.write_line(f"{report.nodeid.rpartition('::')[2]}: {value}")
                elif name == PROPERTY:
                    tallies.append(value)
    if tallies:
        terminalreporter.section("crash evidence")
        for line in table(tallies):
            terminalreporter.write_line(line)
