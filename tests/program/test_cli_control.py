"""`mre disable`, `enable`, `control`, `checks`, `--read-only` as typed: what they print, and with which exit code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mre_console.cli.main import run
from tests.support.quiet import ingest_all, service_of, simulated
from tests.support.vandal import damage


@pytest.fixture(autouse=True)
def own_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MRE_SITE", "MRE_CRAWL_DELAY", "MRE_CONTACT", "MRE_DEBUG", "MRE_RELEASE_DEAD", "MRE_READ_ONLY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MRE_CONFIG", str(tmp_path / "config.toml"))
    monkeypatch.setenv("MRE_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("MRE_DB", str(tmp_path / "mre.sqlite3"))


@pytest.fixture
def event(tmp_path: Path) -> str:
    """An event that is served."""
    site = simulated(5, 1, ("small",))
    with service_of(site, str(tmp_path / "mre.sqlite3"), tmp_path / "data") as service:
        assert ingest_all(service, site) == 1
    return "/".join(site.events()[0])


def said(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of one line."""
    code = run(words)
    out, err = capsys.readouterr()
    return code, out, err


def answer(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, Any]:
    code, out, _ = said(capsys, *words, "--json")
    return code, json.loads(out)


def break_it(tmp_path: Path, *, value: str = "NULL") -> None:
    from pipeline.store.database import Store

    store = Store.open(str(tmp_path / "mre.sqlite3"))
    damage(store, f"UPDATE event SET last_ingested_at = {value}")
    store.close()


def test_disable_check_enable(event: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, "control", "show")[:2] == (0, "ingestion is enabled\n")
    code, out, _ = said(capsys, "disable", "--reason", "the pages changed")
    assert code == 0
    assert out.startswith("ingestion is DISABLED")
    assert "reason: the pages changed" in out
    assert "enabling needs a passed `mre checks`" in out
    assert said(capsys, "status")[1].startswith("health: DISABLED")
    assert answer(capsys, "status")[1]["control"]["reason"] == "the pages changed"
    code, refused = answer(capsys, "--site", "http://127.0.0.1:9", "ingest", event)
    assert (code, refused["details"]["kind"], refused["code"]) == (8, "DISABLED", "INGESTION_REFUSED")
    code, refused = answer(capsys, "enable")
    assert (code, refused["details"]["kind"]) == (9, "CHECKS_FAILED")
    assert "mre checks" in refused["details"]["remedy"]
    code, out, _ = said(capsys, "checks")
    assert code == 0
    assert "passed: 26 checks over everything, 0 errors, 0 warnings" in out
    code, out, _ = said(capsys, "control", "show")
    assert "`mre enable` may be given" in out
    assert said(capsys, "enable", "--reason", "looked at")[0] == 0
    code, state = answer(capsys, "control", "show")
    assert (code, state["mode"], state["reason"]) == (0, "enabled", "looked at")


def test_disable_needs_a_reason(capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, "disable")[0] == 2
    assert said(capsys, "disable", "--reason", " ")[0] == 2
    assert answer(capsys, "control", "show")[1]["mode"] == "enabled"


def test_protected_says_so(event: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = said(capsys, "disable", "--reason", "a closer look", "--protect")
    assert code == 0
    assert "only recovery may write" in out
    code, _, err = said(capsys, "tracks", "unfollow", event.partition("/")[0])
    assert (code, "mode: protected" in err) == (8, True)
    assert said(capsys, "reset", event, "--yes")[0] == 0  # recovery


def test_checks_that_fail_exit_9_and_name_the_event(
    event: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    break_it(tmp_path)
    code, out, err = said(capsys, "checks", event)
    assert code == 9
    assert f"error    depth: {event}: " in out
    assert "FAILED" in out
    assert f"{event} is held" in err
    code, report = answer(capsys, "checks")
    assert (code, report["passed"], report["errors"], report["held"]) == (9, False, 1, [event])
    assert [finding["check"] for finding in report["findings"]] == ["depth"]
    break_it(tmp_path, value="1")
    assert said(capsys, "checks", event)[0] == 0


def test_checks_of_an_unknown_event_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert answer(capsys, "checks", "nowhere/1")[0] == 2


READ_ONLY = [
    ("disable", "--reason", "x"),
    ("enable",),
    ("ingest", "x/1"),
    ("reset", "EVENT", "--yes"),
    ("db", "upgrade"),
]


@pytest.mark.parametrize("words", READ_ONLY, ids=lambda words: " ".join(words[:2]))
def test_read_only_refuses(words: tuple[str, ...], event: str, capsys: pytest.CaptureFixture[str]) -> None:
    line = [event if word == "EVENT" else word for word in words]
    code, refused = answer(capsys, "--read-only", "--site", "http://127.0.0.1:9", *line)
    assert (code, refused["details"]["kind"]) == (8, "READ_ONLY")


def test_read_only_by_environment_lets_look(
    event: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MRE_READ_ONLY", "yes")
    assert answer(capsys, "enable")[0] == 8
    code, report = answer(capsys, "checks")
    assert (code, report["passed"], report["id"]) == (0, True, None)
    assert said(capsys, "status")[0] == 0
    assert said(capsys, "export", event)[0] == 0
