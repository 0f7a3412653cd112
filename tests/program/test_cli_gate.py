"""`mre gate`, `mre fixtures`, `mre replay`, and that a closed gate ends `mre ingest` with exit code 10."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from mre_console.cli.main import run
from mre_console.settings import shipped_fixtures
from mre_console.simulator.server import SimulatorServer
from mre_console.simulator.site import SimulatedSite
from pipeline.store.database import Store
from tests.support.commands import mre
from tests.support.proving import SMALL, confirmed_case, falsify, small_site


@pytest.fixture
def site() -> SimulatedSite:
    return small_site()


@pytest.fixture
def name(site: SimulatedSite) -> str:
    return "/".join(site.events()[0])


@pytest.fixture
def settings(site: SimulatedSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with SimulatorServer(site) as server:
        for key, value in {
            "CONFIG": tmp_path / "config.toml",
            "DATA": tmp_path / "data",
            "DB": tmp_path / "test.db",
            "SITE": server.url,
            "CRAWL_DELAY": 0,
        }.items():
            monkeypatch.setenv(f"MRE_{key}", str(value))
        yield tmp_path


def answer(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> list[object]:
    """The JSON lines of a command that ends with this exit code."""
    capsys.readouterr()
    assert run([*words, "--json"]) == code
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def text(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> str:
    capsys.readouterr()
    assert run(list(words)) == code
    said = capsys.readouterr()
    return said.out + said.err


def test_a_first_start_passes_by_itself_and_a_red_captured_set_refuses_with_10(
    settings: Path, site: SimulatedSite, name: str
) -> None:
    """In processes of their own, as people do."""
    environment = {key: os.environ[key] for key in ("MRE_DB", "MRE_SITE", "MRE_CRAWL_DELAY")}
    first = mre("ingest", name, "--json", place=settings, environment=environment)
    assert first.answer["outcome"] == "published"
    captured = settings / "data" / "fixtures" / "liverc" / SMALL
    shutil.copytree(shipped_fixtures() / "liverc" / SMALL, captured)
    falsify(captured)
    refused = mre("ingest", name, "--json", place=settings, environment=environment, check=False)
    assert refused.exit_code == 10
    details = refused.answer["details"]
    assert (details["kind"], details["failing_set"], details["field"]) == (
        "GATE_CLOSED",
        f"{SMALL} (version 1, captured)",
        "fast_lap_ms",
    )


def test_the_gate_is_shown_and_run(settings: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "not asked for these readers" in text(capsys, "gate", "show")
    assert "the gate is open for build" in text(capsys, "gate", "run")
    (shown,) = answer(capsys, "gate", "show")
    assert isinstance(shown, dict)
    assert (shown["state"], [one["passed"] for one in shown["sets"]]) == ("green", [True, True, True])
    captured = settings / "data" / "fixtures" / "liverc" / SMALL
    shutil.copytree(shipped_fixtures() / "liverc" / SMALL, captured)
    falsify(captured)
    said = text(capsys, "gate", "run", code=10)
    assert "the gate is CLOSED" in said
    assert "fast_lap_ms: expected" in said
    assert "FAILS" in text(capsys, "fixtures", "list")


def test_a_page_set_from_capture_to_archive(settings: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    text(capsys, "ingest", name)
    assert "version 1 captured" in text(capsys, "fixtures", "capture", name, "--reason", "good")
    assert "nothing moved" in text(capsys, "fixtures", "check", name)
    assert "nothing moved" in text(capsys, "fixtures", "check", name, "--live")
    shown = text(capsys, "fixtures", "show", name)
    assert "version 1 captured by" in shown
    assert "race." in shown
    assert "confirmed drift case" in text(capsys, "fixtures", "accept", name, "--reason", "x", code=2)
    assert "confirmed drift case" in text(capsys, "fixtures", "archive", name, "--reason", "x", code=2)
    store = Store.open(str(settings / "test.db"))
    case = str(confirmed_case(store))
    store.close()
    assert "holds these very files" in text(capsys, "fixtures", "accept", name, "--case", case, "--reason", "x", code=2)
    assert "version 1 archived" in text(capsys, "fixtures", "archive", name, "--case", case, "--reason", "enough")
    assert text(capsys, "fixtures", "check", f"x/{SMALL}", "--run", "1", "--live", code=2)


def test_replay_says_how_it_went(settings: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    text(capsys, "ingest", name)
    assert "as expected, 3 runs" in text(capsys, "replay", name, "--mode", "normalise")
    reports = answer(capsys, "replay", "--all", "--mode", "fetch")
    assert [report["passed"] for report in reports if isinstance(report, dict)] == [True] * 3
    assert "there are full, fetch" in text(capsys, "replay", name, "--mode", "half", code=2)
    assert "either an EVENT or --all" in text(capsys, "replay", code=2)
    captured = settings / "data" / "fixtures" / "liverc" / SMALL
    shutil.copytree(shipped_fixtures() / "liverc" / SMALL, captured)
    falsify(captured)
    said = text(capsys, "replay", f"x/{SMALL}", "--mode", "normalise", code=9)
    assert "NOT as expected" in said
    assert "fast_lap_ms" in said
