"""`mre db` as typed: there and back again, with a copy each time."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mre_console.cli.main import run


@pytest.fixture(autouse=True)
def own_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MRE_SITE", "MRE_CONTACT", "MRE_DEBUG", "MRE_RELEASE_DEAD", "MRE_READ_ONLY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MRE_CONFIG", str(tmp_path / "config.toml"))
    monkeypatch.setenv("MRE_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("MRE_DB", str(tmp_path / "mre.sqlite3"))


def test_down_and_up_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["db", "upgrade"]) == 0
    assert list(tmp_path.glob("*.backup-*")) == []
    assert run(["db", "downgrade"]) == 2  # nobody is there to ask
    capsys.readouterr()
    assert run(["db", "downgrade", "--yes", "--json"]) == 0
    change = json.loads(capsys.readouterr().out)
    assert len(change["reverted"]) == 1
    assert Path(change["backup"]).exists()
    assert run(["status"]) == 6
    assert "mre db upgrade" in capsys.readouterr().err
    assert run(["db", "upgrade", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["applied"] == change["reverted"]
    assert len(list(tmp_path.glob("*.backup-*"))) == 2
    assert run(["status"]) == 0


@pytest.mark.parametrize("verb", ["upgrade", "downgrade"])
def test_a_read_only_program_changes_no_schema(verb: str, tmp_path: Path) -> None:
    assert run(["db", verb, "--yes", "--read-only"]) == 8
    assert not (tmp_path / "mre.sqlite3").exists()
