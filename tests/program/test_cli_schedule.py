"""`mre schedule` as typed: what it prints, what it refuses, and that every change is kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mre_console.cli.main import run


@pytest.fixture(autouse=True)
def own_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MRE_SITE", "MRE_CRAWL_DELAY", "MRE_CONTACT", "MRE_DEBUG", "MRE_RELEASE_DEAD", "MRE_READ_ONLY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MRE_CONFIG", str(tmp_path / "config.toml"))
    monkeypatch.setenv("MRE_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("MRE_DB", str(tmp_path / "mre.sqlite3"))


def said(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = run(["schedule", *words])
    out, err = capsys.readouterr()
    return code, out, err


def answer(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, Any]:
    code, out, _ = said(capsys, *words, "--json")
    return code, json.loads(out)


def test_the_list_says_when_in_words_and_that_nobody_runs_it(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = said(capsys, "list")
    assert code == 0
    rows = {line.split()[0]: line for line in out.splitlines()[2:]}
    assert "daily at 03:20 UTC" in rows["catalogue"]
    assert "paused" in rows["recent"]
    assert "paused" in rows["purge"]
    assert "every Sunday at 05:10 UTC" in rows["purge"]
    assert "`mre worker` does" in err
    code, told = answer(capsys, "list")
    assert {line["name"] for line in told["schedules"]} == rows.keys()
    assert told["workers"] == []
    assert told["health"]["late"] is False


def test_add_edit_pause_resume_run_now(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = said(capsys, "add", "weekend", "listings", "0 */2 * * sat-sun", "--set", "fresh-minutes=30")
    assert code == 0
    assert "by the cron line `0 */2 * * sat-sun`, UTC; next: 2" in out
    assert "fresh minutes: 30" in out
    code, line = answer(capsys, "edit", "weekend", "--when", "every 2h")
    assert (line["words"], line["options"]) == ("every 2 hours", {"fresh_minutes": 30})
    assert "next: paused" in said(capsys, "pause", "weekend")[1]
    assert answer(capsys, "resume", "weekend")[1]["paused"] is False
    code, out, err = said(capsys, "run-now", "weekend")
    assert "next: now, on request" in out
    assert "it begins with the next `mre worker`" in err


@pytest.mark.parametrize(
    ("words", "needed"),
    [
        (["add", "x", "listings", "every 90s"], "whole number of minutes"),
        (["add", "x", "listings", "0 3 * *"], "five fields"),
        (["add", "x", "listings", "0 0 31 2 *"], "no such day"),
        (
            ["add", "x", "dishes", "every 1h"],
            "the jobs are catalogue, listings, recent, retries, canaries, checks, purge",
        ),
        (["add", "checks", "checks", "every 1h"], "already"),
        (["edit", "checks", "--when", "61 3 * * *"], "61"),
        (["edit", "recent", "--set", "window_days=0"], "between 1 and 60"),
        (["edit", "recent", "--set", "window_days"], "OPTION=NUMBER"),
        (["edit", "recent", "--set", "colour=3"], "window_days"),
        (["pause", "nobody"], "there are: canaries, catalogue"),
    ],
)
def test_what_makes_no_sense_says_what_would(words: list[str], needed: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = said(capsys, *words)
    assert code == 2
    assert needed in err


def test_read_only_refuses(capsys: pytest.CaptureFixture[str]) -> None:
    said(capsys, "list")
    assert said(capsys, "pause", "checks", "--read-only")[0] == 8
    assert said(capsys, "list", "--read-only")[0] == 0
