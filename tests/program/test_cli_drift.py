"""`mre drift` as typed, against a simulated site over HTTP: what it prints, and with which exit code."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mre_console.cli.main import run
from mre_console.simulator.generate import World
from mre_console.simulator.mutations import mutator
from mre_console.simulator.server import SimulatorServer
from mre_console.simulator.site import SimulatedSite


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SimulatedSite]:
    for name in ("MRE_CONTACT", "MRE_DEBUG", "MRE_RELEASE_DEAD", "MRE_READ_ONLY", "MRE_DRIFT_WEBHOOK"):
        monkeypatch.delenv(name, raising=False)
    site = SimulatedSite(World(5, tracks=1, events=2, mix=("small",), catalogue_rows=5))
    with SimulatorServer(site) as server:
        monkeypatch.setenv("MRE_CONFIG", str(tmp_path / "config.toml"))
        monkeypatch.setenv("MRE_DATA", str(tmp_path / "data"))
        monkeypatch.setenv("MRE_SITE", server.url)
        monkeypatch.setenv("MRE_CRAWL_DELAY", "0")
        yield site


def said(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of one line."""
    code = run(words)
    out, err = capsys.readouterr()
    return code, out, err


def answer(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    code, out, err = said(capsys, *words, "--json")
    assert code == 0, err
    return json.loads(out)


def test_from_a_change_to_a_closed_case(site: SimulatedSite, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = ("/".join(event) for event in site.events())
    assert said(capsys, "drift", "list")[1:] == ("", "no drift case: every page looks as pages of its type do\n")
    assert said(capsys, "ingest", first)[0] == 0
    assert said(capsys, "drift", "canary", "add", first)[0] == 0
    assert said(capsys, "drift", "canary", "run")[0] == 0
    assert "reads equal" in said(capsys, "drift", "canary", "list")[1]

    site.change_markup(mutator(["driver_class_renamed"]))
    code, _, err = said(capsys, "ingest", second)
    assert code == 4
    assert "driver_name" in err
    (case,) = answer(capsys, "drift", "list", "--open")
    assert (case["state"], case["page_type"], case["field"]) == ("confirmed", "race_result", "driver_name")
    shown = said(capsys, "drift", "show", "1")[1]
    assert shown.startswith("drift case 1: race_result pages, confirmed: these pages are read nowhere\n")
    for part in (f"probe     {first} failed", f"event     {second} failed, now failed", "selector", "verdict"):
        assert part in shown
    code, _, err = said(capsys, "ingest", first)
    assert code == 10
    assert "mre drift show 1" in err
    code, out, _ = said(capsys, "drift", "canary", "run", "--json")
    assert (code, json.loads(out)[0]["passed"]) == (9, False)

    site.change_markup(None)
    assert said(capsys, "drift", "probe", "1")[0] == 0
    assert said(capsys, "drift", "close", "1", "--reason", "x")[0] == 2
    assert said(capsys, "drift", "ingest", "1")[0] == 2  # it is open
    code, out, _ = said(capsys, "drift", "close", "1", "--dismissed", "--reason", "they took it back", "--ingest")
    assert code == 0
    assert out.count("published") + out.count("unchanged") == 2
    assert "they took it back" in said(capsys, "drift", "show", "1")[1]
    assert said(capsys, "drift", "canary", "remove", first)[0] == 0
    assert said(capsys, "drift", "show", "99")[0] == 2


def test_a_webhook_is_checked_and_never_shown_whole(
    site: SimulatedSite, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MRE_DRIFT_WEBHOOK", "https://hooks.example.org/T1/secret?key=hidden")
    out = said(capsys, "config", "show")[1]
    assert "https://hooks.example.org/…" in out
    assert "secret" not in out
    monkeypatch.setenv("MRE_DRIFT_WEBHOOK", "ftp://secret")
    code, _, err = said(capsys, "config", "show")
    assert code == 2
    assert "secret" not in err
