"""`mre worker` as a service runs it: real processes, real signals, a real systemd socket."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mre_console.simulator.faults import Fault
from mre_console.simulator.server import SimulatorServer
from tests.faults.scenes import tiny_site
from tests.support.commands import ROOT, mre

PROGRAM = "from mre_console.cli.main import main; main()"
STOP_S = 5.0  # promised


class Place:
    """A simulated site and a database for one worker."""

    def __init__(self, folder: Path, server: SimulatorServer) -> None:
        self.folder, self.server = folder, server
        self.site = server.site
        self.database = folder / "mre.sqlite3"
        self.environment = {"MRE_DB": str(self.database), "MRE_SITE": server.url, "MRE_CRAWL_DELAY": "0"}
        self.processes: list[subprocess.Popen[bytes]] = []

    def mre(self, *words: str) -> Any:
        return mre(*words, place=self.folder, environment=self.environment, check=False)

    def start(self, *words: str, **environment: str) -> subprocess.Popen[bytes]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("MRE_")}
        own = {"MRE_CONFIG": str(self.folder / "config.toml"), "MRE_DATA": str(self.folder / "data")}
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, "worker", *words],
            env={**inherited, **own, "PYTHONPATH": str(ROOT), **self.environment, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.processes.append(process)
        return process

    def wants(self) -> str:
        """An event that the next worker will ingest; its name."""
        from pipeline.service import Service, ServiceSettings

        name = "/".join(self.server.site.events()[0])  # type: ignore[attr-defined]
        with Service(ServiceSettings(db_url=str(self.database), data=self.folder / "data")) as service:
            service.request_ingest(name)
        return name

    def close(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.communicate()


class Systemd:
    """The socket of a service manager."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.path)
        self._socket.settimeout(30)

    def wait_for(self, message: str) -> None:
        while self._socket.recv(256).decode() != message:
            pass

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with SimulatorServer(tiny_site()) as server:
        made = Place(tmp_path, server)
        yield made
        made.close()


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[Systemd]:
    manager = Systemd(tmp_path / "notify")
    yield manager
    manager.close()


def stopped(process: subprocess.Popen[bytes]) -> tuple[float, list[dict[str, Any]]]:
    """SIGTERM → seconds until the end, and the lines that it wrote."""
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=30)
    seconds = time.monotonic() - began
    assert process.returncode == 0, err.decode()
    return seconds, [json.loads(line) for line in out.splitlines()]


def test_a_service_is_ready_works_is_scraped_and_stops_in_the_midst_of_a_page(place: Place, systemd: Systemd) -> None:
    name = place.wants()
    place.server.faults.add(Fault("slow", "race_result", seconds=60.0))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = place.start("--metrics-port", str(port), NOTIFY_SOCKET=systemd.path)
    systemd.wait_for("READY=1")
    place.server.wait_for_request(lambda request: "view_race_result" in request.target, timeout=30)
    systemd.wait_for("WATCHDOG=1")
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as scraped:
        text = scraped.read().decode()
    assert "\nworkers_running 1.0\n" in text
    assert "\nscheduler_tick_age_seconds " in text
    seconds, lines = stopped(process)
    assert seconds < STOP_S
    systemd.wait_for("STOPPING=1")
    names = [line["event"] for line in lines]
    assert names[0] == "worker_start"
    assert names[-1] == "worker_finish"
    assert "ingestion_interrupted" in names
    status = json.loads(place.mre("status", "--json").stdout)
    assert status["locks"] == []
    listed = json.loads(place.mre("schedule", "list", "--json").stdout)
    assert [worker["state"] for worker in listed["workers"]] == ["stopped"]
    assert name.partition("/")[2] in place.mre("events", "list", "--json").stdout


def test_it_stops_in_time_while_somebody_else_holds_the_database(place: Place, systemd: Systemd) -> None:
    place.mre("db", "upgrade")
    process = place.start(NOTIFY_SOCKET=systemd.path)
    systemd.wait_for("READY=1")
    with sqlite3.connect(place.database, isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        seconds, _ = stopped(process)
        other.execute("ROLLBACK")
    other.close()
    assert seconds < STOP_S


def test_once_does_all_that_is_due_and_ends(place: Place) -> None:
    place.wants()
    place.mre("schedule", "run-now", "catalogue")
    done = place.mre("worker", "--once")
    assert done.exit_code == 0, done
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["event"] for line in lines if line["severity"] == "info"][-1] == "worker_finish"
    assert lines[-1]["done"] == 2
    (event,) = json.loads(place.mre("events", "list", "--json").stdout)
    assert event["ingest_depth"] == "laps_full"


def test_what_it_cannot_do_is_said_before_it_begins(place: Place) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        refused = place.mre("worker", "--metrics-port", str(taken.getsockname()[1]))
    assert refused.exit_code == 2
    assert "metrics cannot be served" in refused.stderr
    assert place.mre("worker", "--read-only").exit_code == 8
    place.environment.pop("MRE_SITE")
    nobody = place.mre("worker")
    assert (nobody.exit_code, nobody.stdout) == (2, "")
    assert "CONTACT_MISSING" in nobody.stderr
