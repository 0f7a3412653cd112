"""The recovery commands as an operator types them: plan, question, action, undo; refused where nobody can answer."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mre_console.cli import main as frame
from mre_console.simulator.faults import Fault
from mre_console.simulator.generate import World
from mre_console.simulator.server import SimulatorServer
from mre_console.simulator.site import SimulatedSite
from pipeline import document
from pipeline.plans import Plan
from pipeline.service import Service, ServiceSettings
from tests.support.recovering import counts, leave_partial_rows, make_older, publish_generation

ROOT = Path(__file__).parents[2]
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def site() -> SimulatedSite:
    return SimulatedSite(World(5, tracks=1, events=3, mix=("small",), catalogue_rows=5))


@pytest.fixture
def server(site: SimulatedSite) -> Iterator[SimulatorServer]:
    with SimulatorServer(site) as server:
        yield server


@pytest.fixture
def service(server: SimulatorServer, tmp_path: Path) -> Iterator[Service]:
    settings = ServiceSettings(db_url=str(tmp_path / "mre.db"), data=tmp_path / "data", site=server.url, crawl_delay=0)
    with Service(settings) as service:
        yield service


@pytest.fixture
def names(site: SimulatedSite) -> list[str]:
    return [f"{slug}/{event_id}" for slug, event_id in site.events()]


@pytest.fixture
def mre(
    service: Service, server: SimulatorServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Run:  # fmt: skip
    """Types a command line; exit code, stdout, stderr."""
    for name in ("MRE_SITE", "MRE_CRAWL_DELAY", "MRE_CONTACT", "MRE_DEBUG", "MRE_READ_ONLY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MRE_CONFIG", str(tmp_path / "config.toml"))
    monkeypatch.setenv("MRE_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("MRE_DB", str(tmp_path / "mre.db"))
    monkeypatch.setenv("MRE_SITE", server.url)
    monkeypatch.setenv("MRE_CRAWL_DELAY", "0")

    def run(*words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        exit_code = frame.run(words)
        said = capsys.readouterr()
        return exit_code, said.out, said.err

    return run


def exported(service: Service, name: str) -> bytes:
    return document.encode(service.export(name))


def test_a_reset_and_its_undo(mre: Run, service: Service, names: list[str]) -> None:
    service.ingest(names[0])
    before = exported(service, names[0])
    everything = counts(service.store)

    exit_code, out, _ = mre("reset", names[0], "--dry-run")
    assert exit_code == 0
    assert "serves run: 1 → none" in out
    assert counts(service.store) == everything
    exit_code, out, _ = mre("reset", names[0], "--dry-run", "--json")
    plan = msgspec.json.decode(out, type=Plan)
    assert plan.kind == "reset"

    exit_code, out, err = mre("reset", names[0], "--yes", "--reason", "wrong track")
    assert exit_code == 0
    assert out.startswith("action 1, run 2: reset of")
    assert "mre undo 1" in err
    assert service.event(names[0]).ingest_depth == "none"

    exit_code, out, _ = mre("actions", "show", "1")
    assert exit_code == 0
    assert "reason: wrong track" in out
    exit_code, out, _ = mre("undo", "1", "--yes", "--json")
    assert exit_code == 0
    assert json.loads(out)["action"]["undoes"] == 1
    assert exported(service, names[0]) == before
    exit_code, out, _ = mre("actions", "list", "--json")
    assert [one["kind"] for one in json.loads(out)] == ["undo", "reset"]
    exit_code, out, _ = mre("actions", "list")
    assert "undone by 2" in out
    exit_code, out, _ = mre("undo", "1", "--yes", "--json")
    assert (exit_code, json.loads(out)["details"]["kind"]) == (2, "UNDO_REFUSED")


def test_reset_has_nothing_to_do_twice(mre: Run, service: Service, names: list[str]) -> None:
    service.ingest(names[0])
    mre("reset", names[0], "--yes")
    exit_code, out, err = mre("reset", names[0], "--yes", "--json")
    assert (exit_code, out) == (0, "null\n")
    assert "nothing to do" in err
    assert service.reset_event_ingestion(names[0]) is None


def test_a_cleanup_says_what_it_removes(mre: Run, service: Service) -> None:
    fence = leave_partial_rows(service.store)
    exit_code, out, _ = mre("cleanup", "7000", "--yes")
    assert exit_code == 0
    assert f"run {fence.run_id} removed: 1 event header, 3 races, 6 results, 12 laps, 2 entries" in out
    exit_code, out, _ = mre("undo", "1", "--yes")
    assert exit_code == 9  # what was partial is partial again, which the checks say
    assert (service.event("7000").held_reason or "").startswith("checks")
    assert "rows put back into the tables" in out


def test_a_full_cleanup_and_a_restore(mre: Run, service: Service, site: SimulatedSite, names: list[str]) -> None:
    service.ingest(names[0])
    before = exported(service, names[0])
    exit_code, out, _ = mre("cleanup", names[0], "--full", "--yes")
    assert exit_code == 0
    assert "depth: laps_full → none" in out
    exit_code, out, _ = mre("restore", names[0], "--run", "1", "--yes", "--json")
    assert exit_code == 0
    assert json.loads(out)["action"]["plan"]["target_run_id"] == 1
    assert exported(service, names[0]) == before
    exit_code, _, err = mre("restore", names[0], "--run", "99", "--yes")
    assert exit_code == 2
    assert "not a run of this event" in err


def test_a_build_is_rolled_back(mre: Run, service: Service, names: list[str]) -> None:
    for name in names[:2]:
        service.ingest(name)
    build = service.run(1).parser_build or ""
    exit_code, out, _ = mre("restore", "--parser-build", build[:8], "--dry-run", "--json")
    assert exit_code == 0
    assert len(json.loads(out)["plans"]) == 2
    exit_code, out, err = mre("restore", "--parser-build", build[:8], "--yes")
    assert exit_code == 0
    assert out.count("restore of nothing for") == 2
    assert [row.ingest_depth for row in service.events()] == ["none", "none"]
    exit_code, _, err = mre("restore", "--parser-build", build, "--yes")
    assert exit_code == 0
    assert "nothing to do" in err


def test_a_purge(mre: Run, service: Service) -> None:
    for number in (1, 2, 3):
        publish_generation(service.store, number)
    exit_code, _, err = mre("purge", "--yes")
    assert exit_code == 0
    assert "nothing to purge" in err
    make_older(service.store, 31)
    exit_code, out, _ = mre("purge", "--dry-run")
    assert "run 1 of harbourraceway/7000" in out
    exit_code, out, _ = mre("purge", "--yes", "--json")
    assert json.loads(out)["runs"] == [1]
    assert service.run(1).purged_at is not None


def test_failed_events_are_retried(mre: Run, service: Service, server: SimulatorServer, names: list[str]) -> None:
    server.faults.add(Fault("404", "event"))
    for name in names:
        mre("ingest", name)
    assert {row.state for row in service.events()} == {"failed"}
    exit_code, out, err = mre("retry", "--failed", "--yes")
    assert exit_code == 3
    assert "1 of 3 tried, 1 failed" in err
    assert "stopped after 1 of 3 events: 1 of 1 failed, which is more than 50%" in err
    server.faults.clear()
    exit_code, out, _ = mre("retry", "--failed", "--dry-run", "--json")
    assert [len(stage) for stage in json.loads(out)["stages"]] == [1, 2]
    exit_code, out, err = mre("retry", "--failed", "--yes", "--json")
    assert exit_code == 0
    assert [json.loads(line)["outcome"] for line in out.splitlines()] == ["published"] * 3
    exit_code, _, err = mre("retry", "--failed", "--yes")
    assert exit_code == 0
    assert "nothing to retry" in err


@pytest.mark.parametrize(
    "words",
    [
        ["reset", "1"], ["cleanup", "1"], ["restore", "1", "--run", "1"], ["restore", "--parser-build", "x"],
        ["undo", "1"], ["purge"], ["retry", "--failed"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_without_a_terminal_it_has_to_be_confirmed(mre: Run, words: list[str]) -> None:
    exit_code, out, err = mre(*words)
    assert (exit_code, out) == (2, "")
    assert "--yes" in err


@pytest.mark.parametrize(
    "words",
    [
        ["retry"],
        ["retry", "1", "--failed"],
        ["retry", "1", "--limit", "2"],
        ["restore", "1"],
        ["restore", "--run", "1"],
    ],
    ids=" ".join,
)
def test_lines_that_make_no_sense(mre: Run, words: list[str]) -> None:
    assert mre(*words, "--yes")[0] == 2


@pytest.mark.parametrize("words", [["reset", "SERVED"], ["undo", "1"], ["retry", "--failed"], ["purge"]], ids=" ".join)
def test_a_read_only_program_refuses_to_act(mre: Run, service: Service, names: list[str], words: list[str]) -> None:
    for name in names[:2]:
        service.ingest(name)
    service.reset_event_ingestion(names[0])
    leave_partial_rows(service.store)
    before = counts(service.store)
    words = [names[1] if word == "SERVED" else word for word in words]
    exit_code, out, _ = mre(*words, "--yes", "--read-only", "--json")
    assert (exit_code, json.loads(out)["details"]["kind"]) == (8, "READ_ONLY")
    assert counts(service.store) == before
    assert mre(*words, "--dry-run", "--read-only")[0] == 0


# ---------------------------------------------------------------- at a terminal


@pytest.mark.skipif(sys.platform == "win32", reason="a pseudo-terminal")
@pytest.mark.parametrize(
    ("answer", "depth", "exit_code"), [("n", "laps_full", 130), ("", "laps_full", 130), ("y", "none", 0)]
)
def test_at_a_terminal_the_plan_is_shown_and_asked_about(
    service: Service, names: list[str], tmp_path: Path, answer: str, depth: str, exit_code: int
) -> None:
    service.ingest(names[0])
    leader, follower = os.openpty()
    environment: dict[str, Any] = {
        **os.environ,
        "MRE_DB": str(tmp_path / "mre.db"),
        "MRE_DATA": str(tmp_path / "data"),
        "MRE_CONFIG": str(tmp_path / "config.toml"),
    }
    process = subprocess.Popen(
        [sys.executable, "-c", "from mre_console.cli.main import main; main()", "reset", names[0]],
        cwd=ROOT, env=environment, stdin=follower, stdout=follower, stderr=follower,
    )  # fmt: skip
    os.close(follower)
    shown = _read_until(leader, "[y/N]")
    assert "serves run: 1 → none" in shown
    os.write(leader, f"{answer}\n".encode())
    _read_until(leader, None)
    os.close(leader)
    assert process.wait(30) == exit_code
    assert service.event(names[0]).ingest_depth == depth


def _read_until(leader: int, mark: str | None) -> str:
    """What the terminal shows until `mark`, or until the program ends."""
    shown = ""
    until = time.monotonic() + 30
    while mark is None or mark not in shown:
        assert time.monotonic() < until, shown
        if select.select([leader], [], [], 1)[0]:
            try:
                piece = os.read(leader, 4096)
            except OSError:  # Linux says so when the other end is closed
                return shown
            if not piece:
                return shown
            shown += piece.decode()
    return shown
