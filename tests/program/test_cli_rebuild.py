"""`mre rebuild` as typed: an emptied database, two processes at once, and hashes that differ."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mre_console.cli.main import run
from mre_console.simulator.generate import World
from mre_console.simulator.server import SimulatorServer
from mre_console.simulator.site import SimulatedSite
from pipeline.service import Service, ServiceSettings
from tests.conftest import NewDatabase

ROOT = Path(__file__).parents[2]


@pytest.fixture
def names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Events whose pages are in the archive and whose database is lost."""
    for name in ("MRE_SITE", "MRE_CRAWL_DELAY", "MRE_CONTACT", "MRE_DEBUG", "MRE_RELEASE_DEAD", "MRE_READ_ONLY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MRE_CONFIG", str(tmp_path / "config.toml"))
    monkeypatch.setenv("MRE_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("MRE_DB", str(tmp_path / "new.sqlite3"))
    site = SimulatedSite(World(5, tracks=1, events=3, mix=("small",), catalogue_rows=5))
    names = [f"{slug}/{event_id}" for slug, event_id in site.events()]
    with SimulatorServer(site) as server:
        settings = ServiceSettings(
            db_url=str(tmp_path / "lost.sqlite3"), data=tmp_path / "data", site=server.url, crawl_delay=0
        )
        with Service(settings) as service:
            for name in names:
                service.ingest(name)
    return names


def test_everything_verified_on_an_emptied_database(names: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["rebuild", "--all", "--verify", "--json"]) == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {answer["event"] for answer in answers} == set(names)
    assert all(answer["equal"] for answer in answers)
    assert run(["export", names[0], "--format", "json"]) == 0


def test_two_processes_at_once(
    names: list[str], new_database: NewDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a database that is empty or not there: one makes the tables, both end well, no event is published twice."""
    url = new_database(empty=True)
    monkeypatch.setenv("MRE_DB", url)
    line = [sys.executable, "-c", "from mre_console.cli.main import main; main()", "rebuild", "--all", "--json"]
    both = [subprocess.Popen(line, cwd=ROOT, env=dict(os.environ), stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for process in both:
        out, _ = process.communicate(timeout=60)
        assert process.returncode == 0
        answers = [json.loads(answer) for answer in out.splitlines()]
        assert {answer["event"] for answer in answers} == set(names)
        assert all(answer["equal"] for answer in answers)
    with Service(ServiceSettings(db_url=url, data=tmp_path / "data")) as service:
        assert sorted(r.source_event_id for r in service.runs() if r.outcome == "published") == sorted(
            name.partition("/")[2] for name in names
        )


def test_hashes_that_differ(names: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = sorted((tmp_path / "data" / "pages" / "served").iterdir())[0]
    record = json.loads(path.read_text())
    path.write_text(json.dumps(record | {"document_sha256": "0" * 64}))
    assert run(["rebuild", "--all", "--dry-run"]) == 9
    out, err = capsys.readouterr()
    assert f"{record['track_slug']}/{record['source_event_id']}" in next(
        line for line in out.splitlines() if "NOT EQUAL" in line
    )
    assert "3 events, 2 with equal hashes, 1 NOT" in err


@pytest.mark.parametrize("words", [[], ["a/1", "--all"]])
def test_one_event_or_all(words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MRE_CONFIG", str(tmp_path / "config.toml"))
    assert run(["rebuild", *words]) == 2


def test_an_archive_without_anything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MRE_CONFIG", str(tmp_path / "config.toml"))
    monkeypatch.setenv("MRE_DATA", str(tmp_path / "nothing"))
    assert run(["rebuild", "--all"]) == 2
