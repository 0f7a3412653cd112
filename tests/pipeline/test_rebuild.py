"""Disaster recovery as a test: the database is lost, the page archive is not, and no network is there."""

from __future__ import annotations

import shutil
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mre_console.simulator.generate import World
from mre_console.simulator.server import SimulatorServer
from mre_console.simulator.site import SimulatedSite
from pipeline import document
from pipeline.errors import Kind, PipelineError
from pipeline.rebuild import Mode, Rebuilt
from pipeline.service import Service, ServiceSettings
from pipeline.store.archive import PageArchive
from tests.conftest import NewDatabase

EVENTS = 4


@pytest.fixture(scope="module")
def site() -> SimulatedSite:
    return SimulatedSite(
        World(11, tracks=2, events=EVENTS // 2, mix=("small", "oddities", "mains", "bare"), catalogue_rows=5)
    )


@pytest.fixture(scope="module")
def archived(site: SimulatedSite, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, bytes]]:
    """A data folder that several ingestions filled, and what was served at the end. The database is gone."""
    folder = tmp_path_factory.mktemp("archived")
    with SimulatorServer(site) as server:
        settings = ServiceSettings(db_url=str(folder / "lost.db"), data=folder / "data", site=server.url, crawl_delay=0)
        with Service(settings) as service:
            names = [f"{slug}/{event_id}" for slug, event_id in site.events()]
            for name in names:
                service.ingest(name)
            correct(site, names[0])
            assert service.ingest(names[0]).outcome == "published"
            assert service.ingest(names[1]).outcome == "unchanged"
            break_off(server, service, names[2])
            exports = {name: document.encode(service.export(name)) for name in names}
    return folder / "data", exports


def correct(site: SimulatedSite, name: str) -> None:
    """Change one lap at the source."""
    event_id = name.partition("/")[2]
    race, result = next(
        (race, r) for race in site.document(event_id).races for r in race.results if r.laps and r.source_driver_id
    )
    lap = result.laps[-1]
    site.correct_lap(event_id, race.source_race_id, result.source_driver_id or "", lap.lap_number, lap.lap_time_ms + 1)


def break_off(server: SimulatorServer, service: Service, name: str) -> None:
    """A later run that fails leaves pages in the archive too, and they are not what is served."""
    from mre_console.simulator.faults import Fault

    server.faults.add(Fault("error_page", "race_result"))
    with pytest.raises(PipelineError):
        service.ingest(name)
    server.faults.clear()


@pytest.fixture
def data(archived: tuple[Path, dict[str, bytes]], tmp_path: Path) -> Path:
    return Path(shutil.copytree(archived[0], tmp_path / "data"))


@pytest.fixture
def exports(archived: tuple[Path, dict[str, bytes]]) -> dict[str, bytes]:
    return archived[1]


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any address but a local socket (PostgreSQL's) is refused."""
    connect = socket.socket.connect

    def refuse(self: socket.socket, address: Any) -> None:
        assert self.family == socket.AF_UNIX, f"the network was used: {address}"
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", refuse)


def service_on(url: str, data: Path) -> Service:
    return Service(ServiceSettings(db_url=url, data=data))


@pytest.fixture
def service(database_url: str, data: Path) -> Iterator[Service]:
    """On an emptied database."""
    with service_on(database_url, data) as service:
        yield service


def exported(service: Service, names: Any) -> dict[str, bytes]:
    return {name: document.encode(service.export(name)) for name in names}


def rows(service: Service) -> list[int]:
    with service.store.read():
        return [
            int(service.store.sql(f"SELECT COUNT(*) FROM {table}")[0][0]) for table in ("run", "race", "lap", "journal")
        ]


def equal(results: list[Rebuilt]) -> bool:
    return all(one.equal and one.error is None for one in results)


@pytest.mark.usefixtures("no_network")
def test_an_emptied_database_is_rebuilt_to_equal_hashes(service: Service, exports: dict[str, bytes]) -> None:
    results = list(service.rebuild(mode=Mode.VERIFY))
    assert {one.event for one in results} == set(exports)
    assert equal(results)
    assert [one.outcome for one in results] == ["published"] * EVENTS
    assert exported(service, exports) == exports
    for one in results:
        assert one.recorded_sha256 == one.read_sha256 == one.served_sha256
        row = service.event(one.event)
        assert (row.state, row.ingest_depth, row.current_run_id) == ("complete", "laps_full", one.run_id)
        assert row.event_name
    assert not service.locks()


@pytest.mark.usefixtures("no_network")
def test_a_database_that_is_not_there_is_made(data: Path, exports: dict[str, bytes], tmp_path: Path) -> None:
    with service_on(str(tmp_path / "new.db"), data) as service:
        assert equal(list(service.rebuild()))
        assert exported(service, exports) == exports


def test_again_writes_nothing(service: Service) -> None:
    list(service.rebuild())
    before = rows(service)
    for mode, outcome in ((Mode.REBUILD, "unchanged"), (Mode.VERIFY, "compared"), (Mode.DRY_RUN, "compared")):
        results = list(service.rebuild(mode=mode))
        assert equal(results)
        assert {one.outcome for one in results} == {outcome}
    assert rows(service) == before


def test_what_was_rebuilt_can_be_rebuilt(
    service: Service, data: Path, exports: dict[str, bytes], new_database: NewDatabase
) -> None:
    list(service.rebuild())
    with service_on(new_database(), data) as again:
        assert equal(list(again.rebuild()))
        assert exported(again, exports) == exports


def test_a_dry_run_compares_and_writes_nothing(service: Service) -> None:
    before = rows(service)
    results = list(service.rebuild(mode=Mode.DRY_RUN))
    assert equal(results)
    assert {(one.outcome, one.served_sha256) for one in results} == {("compared", None)}
    assert rows(service) == before


def test_one_event_by_its_bare_id(service: Service, exports: dict[str, bytes]) -> None:
    name = next(iter(exports))
    (one,) = service.rebuild(name.partition("/")[2])
    assert (one.event, one.equal) == (name, True)
    assert [row.source_event_id for row in service.events()] == [name.partition("/")[2]]
    with pytest.raises(PipelineError) as caught:
        list(service.rebuild("999999999"))
    assert caught.value.kind is Kind.USAGE


def test_after_a_rebuild_an_ingestion_finds_nothing_changed(
    service: Service, site: SimulatedSite, exports: dict[str, bytes], database_url: str, data: Path
) -> None:
    list(service.rebuild())
    with SimulatorServer(site) as server:
        settings = ServiceSettings(db_url=database_url, data=data, site=server.url, crawl_delay=0)
        with Service(settings) as later:
            assert [later.ingest(name).outcome for name in exports] == ["unchanged"] * EVENTS


def damage(service: Service) -> str:
    """Change a lap of the first served event behind the guards' back; the event's name."""
    event = service.events()[0]
    with service.store.write():
        if service.store.engine == "sqlite":
            ((guard,),) = service.store.sql("SELECT sql FROM sqlite_master WHERE name = 'lap_update'")
            service.store.sql("DROP TRIGGER lap_update")
        else:
            service.store.sql("SET LOCAL session_replication_role = replica")
        service.store.sql(
            "UPDATE lap SET lap_time_ms = lap_time_ms + 1 WHERE result_id IN "
            "(SELECT id FROM served_result WHERE event_id = ?)",
            event.id,
        )
        if service.store.engine == "sqlite":
            service.store.sql(guard)
    return f"{event.track_slug}/{event.source_event_id}"


def test_damaged_rows_are_found_by_verify_and_mended_by_rebuild(service: Service, exports: dict[str, bytes]) -> None:
    list(service.rebuild())
    damaged = damage(service)
    before = rows(service)
    assert [one.event for one in service.rebuild(mode=Mode.VERIFY) if not one.equal] == [damaged]
    assert rows(service) == before
    results = list(service.rebuild())
    assert equal(results)
    assert [one.event for one in results if one.outcome == "published"] == [damaged]
    assert exported(service, exports) == exports


def test_a_page_that_is_gone_fails_its_event_and_no_other(
    service: Service, data: Path, exports: dict[str, bytes]
) -> None:
    archive = PageArchive(data / "pages")
    victim = archive.served()[0]
    page = archive.read_manifest(victim.manifest).pages[-1]
    (data / "pages" / "bodies" / page.sha256[0] / f"{page.sha256}.z").unlink()
    results = {one.event: one for one in service.rebuild()}
    failed = results.pop(victim.event)
    assert failed.error is not None
    assert (failed.outcome, failed.equal, failed.error.details["kind"]) == ("failed", False, "ARCHIVE_FAILED")
    assert equal(list(results.values()))
    assert set(exported(service, results)) == set(exports) - {victim.event}
    assert victim.event not in {f"{row.track_slug}/{row.source_event_id}" for row in service.events()}


def test_a_record_that_cannot_be_read_stops_everything(service: Service, data: Path) -> None:
    next((data / "pages" / "served").glob("*.json")).write_text("{")
    with pytest.raises(PipelineError) as caught:
        list(service.rebuild())
    assert caught.value.kind is Kind.ARCHIVE_FAILED


def test_another_hash_than_recorded_is_said(service: Service, data: Path) -> None:
    path = sorted((data / "pages" / "served").glob("*.json"))[0]
    archive = PageArchive(data / "pages")
    victim = next(one for one in archive.served() if path.name == f"{one.source}-{one.source_event_id}.json")
    path.write_text(path.read_text().replace(victim.document_sha256, "0" * 64))
    results = {one.event: one for one in service.rebuild()}
    assert not results[victim.event].equal
    assert results[victim.event].outcome == "published"
    assert equal([one for name, one in results.items() if name != victim.event])


def test_two_at_once(database_url: str, data: Path, exports: dict[str, bytes]) -> None:
    """Both finish, both find equal hashes, and each event was published once."""
    with service_on(database_url, data) as one, service_on(database_url, data) as two:
        one.events()  # the tables are there
        results: dict[int, list[Rebuilt]] = {}
        start = threading.Barrier(2)

        def work(number: int, service: Service) -> None:
            with service.store.connection_scope():
                start.wait()
                results[number] = list(service.rebuild())

        threads = [threading.Thread(target=work, args=pair) for pair in enumerate((one, two))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert equal(results[0])
        assert equal(results[1])
        assert len(results[0]) == len(results[1]) == EVENTS
        published = [run.event_id for run in one.runs() if run.outcome == "published"]
        assert len(published) == len(set(published)) == EVENTS
        assert exported(one, exports) == exports


def test_a_rebuild_is_recovery_the_switch_does_not_stop_it(service: Service, exports: dict[str, bytes]) -> None:
    service.disable(reason="the database was lost", protect=True)
    assert equal(list(service.rebuild()))
    assert exported(service, exports) == exports


def test_a_stopped_program_stops_between_events(service: Service) -> None:
    rebuilding = service.rebuild()
    next(rebuilding)
    service.stop()
    with pytest.raises(PipelineError) as caught:
        next(rebuilding)
    assert caught.value.kind is Kind.INTERRUPTED


# ---------------------------------------------------------------- the record of what is served


class FailingCommit:
    """Makes the commit of the next publishing transaction fail, before or after it took effect."""

    def __init__(self, service: Service, monkeypatch: pytest.MonkeyPatch, *, after: bool) -> None:
        self._execute: Any = service.store.db.execute_sql
        self._after, self._armed = after, False
        self._thread = threading.get_ident()
        monkeypatch.setattr(service.store.db, "execute_sql", self._execute_sql)
        record = PageArchive.record_served

        def arm(archive: PageArchive, served: Any) -> Any:
            self._armed = True  # the commit comes next
            return record(archive, served)

        monkeypatch.setattr(PageArchive, "record_served", arm)

    def _execute_sql(self, sql: str, *arguments: Any, **options: Any) -> Any:
        import peewee

        if not (sql == "COMMIT" and self._armed and threading.get_ident() == self._thread):
            return self._execute(sql, *arguments, **options)
        self._armed = False
        if self._after:
            self._execute(sql)
        raise peewee.OperationalError("the connection was lost during the commit")


@pytest.mark.parametrize("after", [False, True], ids=["not-committed", "committed-without-an-answer"])
@pytest.mark.parametrize("served_before", [False, True], ids=["new", "served"])
def test_the_record_follows_the_commit(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: bool, served_before: bool
) -> None:
    site = SimulatedSite(World(5, tracks=1, events=1, mix=("small",), catalogue_rows=5))
    ((slug, event_id),) = site.events()
    name = f"{slug}/{event_id}"
    with SimulatorServer(site) as server:
        settings = ServiceSettings(db_url=database_url, data=tmp_path, site=server.url, crawl_delay=0)
        with Service(settings) as service:
            if served_before:
                service.ingest(name)
                correct(site, name)
            before = service.archive.served()
            FailingCommit(service, monkeypatch, after=after)
            with pytest.raises(PipelineError):
                service.ingest(name)
            recorded = {one.document_sha256 for one in service.archive.served()}
            assert recorded == ({service.event(name).document_sha256} - {None})
            assert (service.archive.served() == before) is not after


def test_a_record_that_cannot_be_written_stops_the_publication(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = SimulatedSite(World(5, tracks=1, events=1, mix=("small",), catalogue_rows=5))
    ((slug, event_id),) = site.events()
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages" / "served").write_text("a file in the way")
    with SimulatorServer(site) as server:
        settings = ServiceSettings(db_url=database_url, data=tmp_path, site=server.url, crawl_delay=0)
        with Service(settings) as service:
            with pytest.raises(PipelineError) as caught:
                service.ingest(f"{slug}/{event_id}")
            assert caught.value.kind is Kind.ARCHIVE_FAILED
            row = service.event(event_id)
            assert (row.state, row.current_run_id) == ("failed", None)
            assert rows(service)[1:3] == [0, 0]
