"""The gate: nobody ingests with readers that do not read every page set as they must, whichever way they come."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mre_console.settings import shipped_fixtures
from mre_console.simulator.site import SimulatedSite
from pipeline import fixtures, gate
from pipeline.errors import TABLE, Kind, PipelineError
from pipeline.fixtures import FixtureRoots
from pipeline.ingest import Options
from pipeline.liverc.readers import SHIPPED, Readers
from pipeline.observe import Bus
from pipeline.runs import Run
from pipeline.service import Service
from pipeline.store import events as event_rows
from pipeline.store import gate as gate_rows
from pipeline.store import journal
from pipeline.store.database import Store
from tests.conftest import NewDatabase
from tests.support.proving import SMALL, falsify, rewrite, service_with, small_sets, small_site
from tests.support.site_client import SiteClient

WIDER = Readers.of({"race_result": {"part": {"results": {"at": ["//table[@id='results']"]}}}})


@pytest.fixture
def sets(tmp_path: Path) -> Path:
    return small_sets(tmp_path / "sets")


@pytest.fixture
def folder(sets: Path) -> Path:
    """The one page set."""
    return sets / "liverc" / SMALL


@pytest.fixture
def site() -> SimulatedSite:
    return small_site()


@pytest.fixture
def name(site: SimulatedSite) -> str:
    return "/".join(site.events()[0])


@pytest.fixture
def house(site: SimulatedSite, database_url: str, tmp_path: Path, sets: Path) -> Iterator[tuple[Service, SiteClient]]:
    service, client = service_with(site, database_url, tmp_path / "data", sets)
    with service:
        yield service, client


@pytest.fixture
def replays(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The sets that are replayed, in order."""
    asked: list[str] = []
    real = fixtures.replay_set

    def counting(info: fixtures.SetInfo, readers: Readers = SHIPPED) -> fixtures.Replay:
        asked.append(info.event_id)
        return real(info, readers)

    monkeypatch.setattr(fixtures, "replay_set", counting)
    return asked


def refused(service: Service, name: str, options: Options | None = None) -> PipelineError:
    with pytest.raises(PipelineError) as caught:
        service.ingest(name, options)
    assert caught.value.kind is Kind.GATE_CLOSED, caught.value
    return caught.value


def audit(store: Store) -> list[str]:
    return [line.name for line in journal.recent(store) if line.name.startswith("gate_")]


# ---------------------------------------------------------------- it opens by itself


def test_the_first_ingestion_proves_the_readers_and_later_ones_only_look(
    house: tuple[Service, SiteClient], name: str, replays: list[str]
) -> None:
    service, _ = house
    assert service.gate().state == "unknown"
    assert service.ingest(name).outcome == "published"
    assert replays == [SMALL]
    assert service.ingest(name).outcome == "unchanged"
    assert replays == [SMALL]
    state = service.gate()
    assert (state.state, [one.passed for one in state.sets]) == ("green", [True])
    line = service.snapshot().gate
    assert line is not None
    assert (line.build, line.state, line.sets, line.failing_set) == (SHIPPED.build, "green", 1, None)
    assert audit(service.store) == ["gate_opened"]


def test_another_build_is_proven_again(store: Store, sets: Path, replays: list[str]) -> None:
    roots = FixtureRoots(sets)
    gate.admit_build(store, SHIPPED, roots)
    gate.admit_build(store, WIDER, roots)
    gate.admit_build(store, SHIPPED, roots)
    assert replays == [SMALL, SMALL]
    assert WIDER.build != SHIPPED.build


def test_a_new_set_is_replayed_and_the_others_are_not(store: Store, sets: Path, replays: list[str]) -> None:
    gate.admit_build(store, SHIPPED, FixtureRoots(sets))
    small_sets(sets.parent / "data")
    assert gate.judge(store, SHIPPED, FixtureRoots(sets, sets.parent / "data")).state == "green"
    assert replays == [SMALL]  # the same files: the same set
    folder = sets.parent / "data" / "liverc" / SMALL
    rewrite(folder, "event.html", (folder / "event.html").read_bytes() + b"\n")
    assert gate.judge(store, SHIPPED, FixtureRoots(None, sets.parent / "data")).state == "red"
    assert replays == [SMALL, SMALL]


_ADMIT = """
import sys
from pathlib import Path
from pipeline import gate
from pipeline.fixtures import FixtureRoots
from pipeline.liverc.readers import SHIPPED
from pipeline.store.database import Store
url, shipped, captured = sys.argv[1:]
print("ready", flush=True)
sys.stdin.readline()
store = Store.open(url)
gate.admit_build(store, SHIPPED, FixtureRoots(Path(shipped), Path(captured)))
print(gate.show(store, SHIPPED, FixtureRoots(Path(shipped), Path(captured))).state)
"""


def test_two_processes_that_start_on_an_empty_database_agree(
    new_database: NewDatabase, sets: Path, tmp_path: Path
) -> None:
    url = new_database(empty=True)
    command = [sys.executable, "-c", _ADMIT, url, str(sets), str(tmp_path / "data" / "fixtures")]
    both = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path.cwd())
        for _ in range(2)
    ]
    for process in both:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in both:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    assert [process.communicate(timeout=60)[0] for process in both] == ["green\n", "green\n"]
    store = Store.open(url)
    with store.read():
        assert store.sql("SELECT fixture_set, passed FROM fixture_result") == [(SMALL, True)]
    assert audit(store) == ["gate_opened"]
    store.close()


def test_many_threads_replay_once(database_url: str, sets: Path, replays: list[str]) -> None:
    store = Store.open(database_url)

    def admit(_: int) -> None:
        with store.connection_scope():
            gate.admit_build(store, SHIPPED, FixtureRoots(sets))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(admit, range(4)))
    assert replays == [SMALL]
    store.close()


def test_nothing_to_prove_with_is_no_leave(store: Store, tmp_path: Path) -> None:
    with pytest.raises(PipelineError) as caught:
        gate.admit_build(store, SHIPPED, FixtureRoots(tmp_path / "none", tmp_path / "neither"))
    assert caught.value.kind is Kind.GATE_CLOSED
    assert "no page set" in caught.value.message
    gate.admit_build(store, SHIPPED, FixtureRoots(None, tmp_path / "neither"))  # put together by hand, without sets


# ---------------------------------------------------------------- it stays closed


def test_a_red_set_refuses_before_anything_is_fetched_or_known(
    house: tuple[Service, SiteClient], name: str, folder: Path
) -> None:
    service, client = house
    falsify(folder)
    for options in (None, Options(dry_run=True)):
        error = refused(service, name, options)
    assert TABLE[error.kind].exit_code == 10
    assert (error.details["failing_set"], error.details["field"]) == (f"{SMALL} (version 1, shipped)", "fast_lap_ms")
    assert "fast_lap_ms: expected" in error.details["first_difference"]
    assert error.envelope().code == "INGESTION_REFUSED"
    assert client.requests == []
    assert service.events() == ()
    line = service.snapshot().gate
    assert line is not None
    assert (line.state, line.failing_field) == ("red", "fast_lap_ms")
    (warning,) = service.snapshot().warnings
    assert warning.name == "gate_closed"


def test_a_set_that_was_damaged_after_it_passed_refuses_and_its_repair_opens(
    house: tuple[Service, SiteClient], name: str, folder: Path, replays: list[str]
) -> None:
    service, _ = house
    service.ingest(name)
    page = folder / "event.html"
    whole = page.read_bytes()
    page.write_bytes(whole.replace(b"\t", b" "))
    assert "event.html" in refused(service, name).message
    page.unlink()
    assert "not whole" in refused(service, name).message
    page.write_bytes(whole)
    assert service.ingest(name).outcome == "unchanged"
    assert replays == [SMALL]
    assert audit(service.store) == ["gate_opened", "gate_closed", "gate_opened"]


def test_a_captured_set_that_is_red_blocks_too(house: tuple[Service, SiteClient], name: str, tmp_path: Path) -> None:
    service, _ = house
    service.ingest(name)
    captured = small_sets(tmp_path / "data" / "fixtures") / "liverc" / SMALL
    falsify(captured)
    assert refused(service, name).details["failing_set"] == f"{SMALL} (version 1, captured)"
    assert [one.passed for one in service.gate().sets] == [True, False]


def test_a_gate_that_closes_while_a_run_fetches_stops_it_before_it_publishes(
    house: tuple[Service, SiteClient], name: str, folder: Path
) -> None:
    service, client = house
    turned: list[str] = []

    def turn(url: str) -> None:
        if "view_race_result" in url and not turned:
            falsify(folder)
            with service.store.connection_scope():
                turned.append(gate.run(service.store, SHIPPED, service.fixture_roots).state)

    client.before = turn
    refused(service, name)
    assert turned == ["red"]
    row = service.event(name)
    assert (row.state, row.ingest_depth, row.current_run_id) == ("failed", "none", None)


def test_the_store_itself_refuses_a_run_of_a_build_that_was_never_proven(store: Store, sets: Path) -> None:
    gate.admit_build(store, SHIPPED, FixtureRoots(sets))
    event = event_rows.add_event(store, "somewhere", "7001")
    with pytest.raises(PipelineError) as caught:
        Run.begin(store, Bus(), event, kind="ingest", trigger="test", build="0123456789ab")
    assert caught.value.kind is Kind.GATE_CLOSED
    run = Run.begin(store, Bus(), event, kind="ingest", trigger="test")
    run.fail(PipelineError(Kind.INTERRUPTED, "enough"))


def test_recovery_is_exempt(house: tuple[Service, SiteClient], name: str, folder: Path) -> None:
    service, _ = house
    service.ingest(name)
    falsify(folder)
    refused(service, name)
    assert service.reset_event_ingestion(name) is not None
    (rebuilt,) = service.rebuild()
    assert rebuilt.outcome == "published"


def test_running_it_again_asks_every_set_and_keeps_only_what_is_new(
    store: Store, sets: Path, folder: Path, replays: list[str]
) -> None:
    roots = FixtureRoots(sets)
    for _ in range(2):
        assert gate.run(store, SHIPPED, roots).state == "green"
    assert replays == [SMALL, SMALL]
    with store.read():
        assert len(store.sql("SELECT id FROM fixture_result")) == 1
    falsify(folder)
    assert gate.run(store, SHIPPED, roots).state == "red"
    row = gate_rows.find(store, SHIPPED.build)
    assert row is not None
    assert not row.passed
    assert gate_rows.builds_that_passed(store, fixtures.all_sets(roots)[0].sha256) == frozenset()


# ---------------------------------------------------------------- whatever the process


ENVIRONMENTS = (
    {"PYTHONHASHSEED": "0", "TZ": "UTC", "LC_ALL": "C"},
    {"PYTHONHASHSEED": "4711", "TZ": "Pacific/Kiritimati", "LC_ALL": "C.UTF-8"},
    {"PYTHONHASHSEED": "90210", "TZ": "America/St_Johns", "LC_ALL": "tr_TR.UTF-8", "PYTHONIOENCODING": "ascii"},
)


def test_every_shipped_document_holds_under_other_hash_seeds_zones_and_locales() -> None:

    root = shipped_fixtures()
    expected = {
        path.name: hashlib.sha256((path / "expected.json").read_bytes()).hexdigest()
        for path in fixtures.list_sets(root)
    }
    asked = [
        subprocess.Popen(
            [sys.executable, "-m", "pipeline.fixtures", str(root)],
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
        )
        for environment in ENVIRONMENTS
    ]
    assert [json.loads(process.communicate(timeout=60)[0]) for process in asked] == [expected] * len(ENVIRONMENTS)
