"""What is said of the machine: sizes that are there, limits that make sense, and the run that began first."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from pipeline import resources
from pipeline.service import Service, ServiceSettings
from pipeline.store import overview


@pytest.fixture
def service(database_url: str, tmp_path: Path) -> Iterator[Service]:
    with Service(ServiceSettings(db_url=database_url, data=tmp_path / "not" / "made" / "yet")) as service:
        yield service


def test_a_look_at_the_machine(service: Service, tmp_path: Path, engine: str) -> None:
    seen = service.resources()
    assert seen.engine == engine
    assert seen.folder == str(tmp_path)  # the nearest folder that exists
    assert seen.database_bytes > 0
    assert 0 < seen.disk_free <= seen.disk_total
    assert 0 < seen.process_memory < seen.memory_total
    assert 0 < seen.memory_available <= seen.memory_total
    assert seen.open_files is None or seen.open_files > 0
    assert (seen.runs, seen.oldest_run) == (0, None)
    assert not (tmp_path / "not").exists()


def test_an_open_file_is_counted(service: Service, tmp_path: Path) -> None:
    before = service.resources().open_files
    if before is None:
        pytest.skip("this system does not tell how many files are open")
    with (tmp_path / "one").open("w"), (tmp_path / "two").open("w"):
        assert service.resources().open_files == before + 2


def test_the_oldest_run_is_the_one_that_has_taken_longest(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    def live(_store: object) -> list[overview.Row]:
        facts = ("cli", "fetch", 3, 10)
        return [
            (7, 1, "harbour", "7000", "Harbour Cup", *facts, 4_000, "{}"),
            (5, 2, "harbour", "7001", None, *facts, 90_000, "{}"),
            (9, 3, "thornhill", "8000", None, *facts, 10, "{}"),
        ]

    monkeypatch.setattr(overview, "live_runs", live)
    seen = service.resources()
    assert seen.runs == 3
    assert seen.oldest_run == resources.OldestRun(5, "harbour/7001", 90_000)
    assert msgspec.json.decode(msgspec.json.encode(seen), type=resources.Resources) == seen
