"""A PostgreSQL server that goes down at once, at any statement, leaves the old or the new when it is back.

The program meets it twice: with a server that is back before its next statement, and with one that stays away until the
program has given up. What it acknowledged is there in either case.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from mre_console.simulator.server import SimulatorServer
from tests.faults.actions import SCENARIOS, Reset, Scenario, Stage
from tests.faults.conftest import FAULTS, Count
from tests.faults.inside import Statements
from tests.faults.processes import Attempt, Gate, Launcher
from tests.faults.scenes import Scene, tiny_site
from tests.faults.servers import CrashingServer
from tests.support.databases import require_postgresql

PUBLISH = "pipeline.runs:Run.publish"
SAMPLE = 1  # statements in `make test`, besides the COMMIT
SEED = 20_261_123


@pytest.fixture(scope="module")
def crashing_server() -> Iterator[CrashingServer]:
    require_postgresql()
    server = CrashingServer()
    yield server
    server.stop()


@pytest.fixture
def server(crashing_server: CrashingServer) -> Iterator[CrashingServer]:
    """It runs, with an empty database of our tables."""
    crashing_server.start()
    crashing_server.renew()
    yield crashing_server
    crashing_server.start()


@pytest.fixture
def scene(server: CrashingServer, tmp_path: Path, launcher: Launcher) -> Iterator[Scene]:
    site = tiny_site()
    simulator = SimulatorServer(site).start()
    scene = Scene(site, simulator, server.url, tmp_path / "data", launcher)
    yield scene
    scene.close()
    simulator.close()


@pytest.fixture
def stage(server: CrashingServer, tmp_path: Path, launcher: Launcher) -> Iterator[Stage]:
    stage = Stage(server.url, tmp_path, launcher)
    yield stage
    stage.close()


def test_at_every_statement_of_publishing(scene: Scene, server: CrashingServer, tmp_path: Path, count: Count) -> None:
    scene.ingest()
    scene.correct()
    listing, gate = tmp_path / "places.json", Gate(tmp_path / "gate")
    attempt = scene.launch(prepare=Statements(0, listing, PUBLISH))
    assert attempt.wait() == 0, attempt.said
    names = json.loads(listing.read_text(encoding="utf-8"))
    committed = names.index("COMMIT") + 1
    with count("immediate shutdown at a statement of publish", "postgresql", len(names)) as tally:
        for number in chosen(names, committed, committed + 1):
            old = scene.served()
            scene.correct()
            attempt = scene.launch(prepare=Statements(number, listing, PUBLISH, gate=gate.path))
            back_at_once = shut_down_meanwhile(server, gate, attempt, number)
            served = scene.check_whole(old, scene.truth())
            assert served == (number > committed), f"before {names[number - 1]} ({number})"
            assert (attempt.wait() == 0) <= (served == 1), "acknowledged and lost"
            if attempt.wait() != 0:
                assert attempt.told["details"]["kind"] == "DB_UNREACHABLE", attempt.said
            held = scene.recover()
            tally.saw(served, *(["lease left"] if held else []), *(["back at once"] if back_at_once else []))


@pytest.mark.parametrize("scenario", SCENARIOS if FAULTS else [Reset], ids=lambda one: one.__name__)
def test_at_every_statement_of_an_action(
    stage: Stage, server: CrashingServer, scenario: type[Scenario], tmp_path: Path, count: Count
) -> None:
    asked = scenario(stage)
    old = stage.seen()
    listing, gate = tmp_path / "places.json", Gate(tmp_path / "gate")
    stage.launch(asked.words, Statements(0, listing, asked.watched)).wait()
    new = stage.seen()
    asked.take_back()
    assert stage.seen() == old
    names = json.loads(listing.read_text(encoding="utf-8"))
    committed = names.index("COMMIT") + 1
    with count(f"immediate shutdown at a statement of {scenario.__name__}", "postgresql", len(names)) as tally:
        for number in chosen(names, committed) if FAULTS else [committed]:
            attempt = stage.launch(asked.words, Statements(number, listing, asked.watched, gate=gate.path))
            back_at_once = shut_down_meanwhile(server, gate, attempt, number)
            found = stage.seen()
            assert found in (old, new), f"a third state after {names[number - 1]}"
            assert attempt.wait() != 0 or found == new, "acknowledged and lost"
            assert "Traceback" not in attempt.said
            assert "INTERNAL" not in attempt.said
            tally.saw(int(found == new), *(["back at once"] if back_at_once else []))
            if found == new:
                asked.take_back()
                assert stage.seen() == old


def shut_down_meanwhile(server: CrashingServer, gate: Gate, attempt: Attempt, number: int) -> bool:
    """Take the server down while the process is at its statement. Returns whether it was back before the process went
    on; otherwise it is back now, when the process has ended."""
    assert gate.reached_by(attempt), attempt.said
    server.crash()
    back_at_once = number % 2 == 0
    if back_at_once:
        server.start()
    gate.open()
    attempt.wait()
    if not back_at_once:
        server.start()
    return back_at_once


def chosen(names: list[str], *always: int) -> list[int]:
    """All statements, or a few, among them those `always`."""
    if FAULTS:
        return list(range(1, len(names) + 1))
    return sorted({*random.Random(SEED).sample(range(1, len(names) + 1), SAMPLE), *always})
