"""`mre locks` and `mre cancel` as typed: what they print, what they refuse, and with which exit code."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mre_console.cli import asking, locks
from mre_console.cli.main import run
from tests.support.holding import NAME, Holding


@pytest.fixture(autouse=True)
def own_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MRE_SITE", "MRE_CRAWL_DELAY", "MRE_CONTACT", "MRE_DEBUG", "MRE_RELEASE_DEAD", "MRE_READ_ONLY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MRE_CONFIG", str(tmp_path / "config.toml"))
    monkeypatch.setenv("MRE_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("MRE_DB", str(tmp_path / "mre.sqlite3"))


@pytest.fixture
def holding(tmp_path: Path) -> Iterator[Holding]:
    with Holding(str(tmp_path / "mre.sqlite3"), tmp_path / "data") as holding:
        yield holding


def said(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of one line."""
    code = run(words)
    out, err = capsys.readouterr()
    return code, out, err


def refusal(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    """Exit code and kind of a line that is refused."""
    code, out, _ = said(capsys, *words, "--json")
    return code, json.loads(out)["details"]["kind"]


def held(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    code, out, _ = said(capsys, "locks", "list", "--json")
    assert code == 0
    answer: list[dict[str, Any]] = json.loads(out)
    return answer


def test_a_lock_is_listed_and_shown(holding: Holding, capsys: pytest.CaptureFixture[str]) -> None:
    (lock,) = held(capsys)
    assert (lock["event"], lock["verdict"], lock["token"]) == (NAME, "ALIVE", holding.facts["token"])
    code, out, _ = said(capsys, "locks", "list")
    assert (code, NAME in out, "ALIVE" in out) == (0, True, True)
    code, out, _ = said(capsys, "locks", "show", NAME)
    assert code == 0
    assert f"pid {holding.pid}" in out
    assert "its lock file is held" in out
    _, out, _ = said(capsys, "locks", "show", NAME, "--json")
    assert json.loads(out)["holder"]["pid"] == holding.pid


def test_looking_does_not_release_a_dead_holder(holding: Holding, capsys: pytest.CaptureFixture[str]) -> None:
    holding.kill()
    for words in (("locks", "list"), ("locks", "show", NAME), ("status",)):
        assert said(capsys, *words)[0] == 0
    assert [lock["verdict"] for lock in held(capsys)] == ["DEAD"]


def test_clearing_insists(holding: Holding, capsys: pytest.CaptureFixture[str]) -> None:
    clear = ("locks", "clear", NAME)
    assert refusal(capsys, *clear) == (2, "USAGE")  # no reason, and nobody to ask
    assert refusal(capsys, *clear, "--reason", "x") == (2, "USAGE")  # alive
    assert refusal(capsys, *clear, "--reason", "x", "--confirm", "other") == (2, "USAGE")
    assert refusal(capsys, *clear, "--reason", "x", "--confirm", NAME, "--token", "99") == (7, "LEASE_LOST")
    assert len(held(capsys)) == 1
    token = str(holding.facts["token"])
    code, out, err = said(capsys, *clear, "--reason", "x", "--confirm", NAME, "--token", token, "--json")
    assert (code, json.loads(out)["verdict"]) == (0, "ALIVE")
    assert f"mre ingest {NAME}" in err
    assert held(capsys) == []
    assert refusal(capsys, *clear, "--reason", "x") == (2, "UNKNOWN")


@pytest.fixture
def at_terminal(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Somebody who answers: call it with the lines they type."""

    def answer(*lines: str) -> None:
        for module in (asking, locks):
            monkeypatch.setattr(module, "at_terminal", lambda: True)
        monkeypatch.setattr("sys.stdin", io.StringIO("".join(f"{line}\n" for line in lines)))

    return answer


def test_at_a_terminal_the_name_of_a_living_holders_event_is_asked(
    holding: Holding, capsys: pytest.CaptureFixture[str], at_terminal: Any
) -> None:
    at_terminal("it hangs", "wrong")
    code, _, err = said(capsys, "locks", "clear", NAME)
    assert (code, len(held(capsys))) == (2, 1)
    assert "its lock file is held" in err
    at_terminal("it hangs", NAME)
    assert said(capsys, "locks", "clear", NAME)[0] == 0
    assert held(capsys) == []


def test_at_a_terminal_no_is_the_default(
    holding: Holding, capsys: pytest.CaptureFixture[str], at_terminal: Any
) -> None:
    holding.suspend()
    at_terminal("")
    assert said(capsys, "locks", "clear", NAME, "--reason", "it hangs")[0] == 130
    assert len(held(capsys)) == 1
    at_terminal("y")
    assert said(capsys, "locks", "clear", NAME, "--reason", "it hangs")[0] == 0
    assert held(capsys) == []


def test_yes_asks_nothing(holding: Holding, capsys: pytest.CaptureFixture[str], at_terminal: Any) -> None:
    holding.suspend()
    at_terminal()
    assert said(capsys, "locks", "clear", NAME, "--reason", "it hangs", "--yes")[0] == 0


def test_terminate(holding: Holding, capsys: pytest.CaptureFixture[str]) -> None:
    holding.suspend()
    code, out, err = said(capsys, "locks", "terminate", NAME, "--reason", "it hangs", "--json")
    assert code == 0
    assert json.loads(out)["done"] == [
        f"SIGTERM to process {holding.pid}",
        f"SIGKILL to process {holding.pid}",
        "it ended",
    ]
    assert "its lock is cleared" in err
    assert held(capsys) == []


def test_cancel(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Holding(str(tmp_path / "mre.sqlite3"), tmp_path / "data", mode="obey") as holding:
        code, out, _ = said(capsys, "cancel", NAME, "--json")
        assert code == 0
        assert json.loads(out) == {"event": NAME, "outcome": "interrupted", **{
            name: holding.facts[name] for name in ("run_id", "token")
        }}  # fmt: skip
    assert refusal(capsys, "cancel", NAME) == (2, "UNKNOWN")


def test_a_holder_that_does_not_listen_is_named(holding: Holding, capsys: pytest.CaptureFixture[str]) -> None:
    holding.suspend()
    code, _, err = said(capsys, "cancel", NAME, "--wait", "0.2")
    assert code == 7
    assert "STOPPED" in err
    assert "mre locks terminate" in err
    assert said(capsys, "cancel", NAME, "--wait", "0")[0] == 0
    assert held(capsys)[0]["cancel_requested_at"] is not None


@pytest.mark.parametrize(("value", "code"), [("no", 7), ("false", 7), ("maybe", 2)])
def test_a_dead_holders_lock_is_kept_where_the_setting_says_so(
    holding: Holding, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, value: str, code: int
) -> None:
    holding.kill()
    monkeypatch.setenv("MRE_SITE", "http://127.0.0.1:9")
    assert said(capsys, "ingest", NAME, "--release-dead", value)[0] == code
    assert [lock["verdict"] for lock in held(capsys)] == ["DEAD"]


def test_a_dead_holders_lock_does_not_stop_the_next_ingestion(
    holding: Holding, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    holding.kill()
    monkeypatch.setenv("MRE_SITE", "http://127.0.0.1:9")
    assert said(capsys, "ingest", NAME)[0] == 3  # nobody answers there, but the run began
    assert held(capsys) == []
