"""`mre doctor` is quiet on a healthy machine and names what is wrong on a sick one."""

from __future__ import annotations

import json
import shutil
import socket
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest

from mre_console import doctor
from mre_console.cli.main import run
from mre_console.settings import Settings, load_settings
from pipeline import resources
from pipeline.store import database


@pytest.fixture
def site() -> Iterator[str]:
    """Something on loopback that takes connections."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def settings(tmp_path: Path, site: str) -> Settings:
    return _settings(tmp_path, site=site)


def _settings(folder: Path, **flags: str) -> Settings:
    return load_settings({"data": str(folder / "data"), **flags}, {"MRE_CONFIG": str(folder / "config.toml")})


def _line(check: doctor.Check) -> tuple[str, bool]:
    """Level, and whether it says what to do."""
    return check.level, check.remedy is not None


def test_a_healthy_machine_gives_no_complaint_and_stays_as_it_was(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=resources.DISK_WARN_BYTES))
    monkeypatch.setattr(database, "sqlite_version", lambda: (3, 51, 3))
    findings = list(doctor.examine(settings))
    assert [_line(check) for check in findings] == [("ok", False)] * len(findings)
    names = "python sqlite postgresql-driver data-folder disk database clock contact site browser"
    assert [check.name.replace(" ", "-") for check in findings] == names.split()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("version", "level"), [((3, 40, 1), "warn"), ((3, 51, 2), "warn"), ((3, 50, 7), "ok")])
def test_a_sqlite_with_the_wal_reset_bug_is_named(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, version: tuple[int, int, int], level: str
) -> None:
    monkeypatch.setattr(database, "sqlite_version", lambda: version)
    check = doctor.check_sqlite(settings)
    assert _line(check) == (level, level != "ok")
    assert ".".join(map(str, version)) in check.found


def test_a_missing_driver_counts_only_where_it_is_needed(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "find_spec", lambda _: None)
    assert _line(doctor.check_postgresql(settings)) == ("ok", False)
    wanted = _settings(tmp_path, db="postgresql://localhost/mre")
    assert _line(doctor.check_postgresql(wanted)) == ("fail", True)


def test_a_data_folder_that_cannot_be_made_or_written_fails(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    assert _line(doctor.check_data_folder(_settings(tmp_path, data=str(tmp_path / "file" / "below")))) == ("fail", True)
    settings.data.mkdir()
    assert _line(doctor.check_data_folder(settings)) == ("ok", False)
    assert list(settings.data.iterdir()) == []

    def full(**_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    check = doctor.check_data_folder(settings)
    assert _line(check) == ("fail", True)
    assert "No space left" in check.found


@pytest.mark.parametrize(
    ("free", "level"),
    [
        (resources.DISK_FAIL_BYTES - 1, "fail"),
        (resources.DISK_FAIL_BYTES, "warn"),
        (resources.DISK_WARN_BYTES - 1, "warn"),
        (resources.DISK_WARN_BYTES, "ok"),
    ],
)
def test_a_disk_that_runs_full_is_named(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, free: int, level: str
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
    assert _line(doctor.check_disk(settings)) == (level, level != "ok")


def test_a_database_in_a_folder_that_is_not_there_fails(tmp_path: Path) -> None:
    """Unless it is the data folder, which the program makes."""
    assert _line(doctor.check_database(_settings(tmp_path, db=str(tmp_path / "mounted" / "mre.db")))) == ("fail", True)
    data = tmp_path / "new"
    own = _settings(tmp_path, data=str(data), db=str(data / "mre.db"))
    assert _line(doctor.check_database(own)) == ("ok", False)


def test_a_damaged_database_fails_and_one_that_is_not_there_yet_does_not(tmp_path: Path, settings: Settings) -> None:
    assert _line(doctor.check_database(settings)) == ("ok", False)
    assert not settings.data.exists()
    (tmp_path / "noise.db").write_bytes(b"this is no database" * 100)
    assert _line(doctor.check_database(_settings(tmp_path, db=str(tmp_path / "noise.db")))) == ("fail", True)


def test_a_current_database_is_ok_and_a_read_only_one_is_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "mre.db"
    database.Store.open(str(path)).close()
    assert _line(doctor.check_database(_settings(tmp_path, db=str(path)))) == ("ok", False)
    assert _line(doctor.check_database(_settings(tmp_path, db=f"{path}?mode=ro"))) == ("warn", True)
    assert _line(doctor.check_database(_settings(tmp_path, db=f"{tmp_path}/none.db?mode=ro"))) == ("fail", True)


def test_a_server_that_is_not_there_fails_without_showing_the_password(tmp_path: Path) -> None:
    check = doctor.check_database(_settings(tmp_path, db="postgresql://me:s3cret@127.0.0.1:1/mre"))
    assert _line(check) == ("fail", True)
    assert "s3cret" not in check.found


def test_a_clock_in_the_past_fails_and_one_beside_the_database_s_warns(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "_database_clock_difference_ms", lambda _: doctor.CLOCK_TOLERANCE_MS)
    assert _line(doctor.check_clock(settings)) == ("ok", False)
    monkeypatch.setattr(doctor, "_database_clock_difference_ms", lambda _: -doctor.CLOCK_TOLERANCE_MS - 1)
    assert _line(doctor.check_clock(settings)) == ("warn", True)
    monkeypatch.setattr(doctor, "EARLIEST_PLAUSIBLE", datetime(9999, 1, 1, tzinfo=UTC))
    assert _line(doctor.check_clock(settings)) == ("fail", True)


def test_the_contact_is_asked_for_only_where_the_real_site_is_fetched(tmp_path: Path, settings: Settings) -> None:
    assert doctor.check_contact(settings).level == "ok"
    assert _line(doctor.check_contact(_settings(tmp_path))) == ("warn", True)
    assert doctor.check_contact(_settings(tmp_path, contact="ops@example.org")).level == "ok"


def test_a_site_that_takes_no_connection_is_a_warning(tmp_path: Path, settings: Settings) -> None:
    assert doctor.check_site(settings).level == "ok"
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound but not listening: connections are refused
        refused = _settings(tmp_path, site=f"http://127.0.0.1:{unused.getsockname()[1]}")
        assert _line(doctor.check_site(refused)) == ("warn", True)


def test_no_browser_is_no_complaint_while_nothing_needs_one(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert _line(doctor.check_browser(settings)) == ("ok", False)
    (tmp_path / "chromium").touch(mode=0o755)
    assert doctor.check_browser(settings).found == str(tmp_path / "chromium")


@pytest.mark.parametrize("broken", [False, True])
def test_the_exit_code_says_whether_a_check_failed(
    tmp_path: Path, site: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, broken: bool
) -> None:
    monkeypatch.setenv("MRE_CONFIG", str(tmp_path / "config.toml"))
    monkeypatch.delenv("MRE_DB", raising=False)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=0 if broken else 2**40))
    line = ["doctor", "--data", str(tmp_path / "data"), "--site", site]
    assert run(line) == (9 if broken else 0)
    text = capsys.readouterr().out
    assert ("→ Free some space" in text) is broken
    assert run([*line, "--json"]) == (9 if broken else 0)
    answer = json.loads(capsys.readouterr().out)
    assert answer["ok"] is not broken
    assert {check["name"] for check in answer["checks"] if check["level"] == "fail"} == ({"disk"} if broken else set())
