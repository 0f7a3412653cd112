"""One event through all stages, on both engines: published whole, unchanged, or failed with everything as it was."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mre_console.simulator.faults import Fault
from mre_console.simulator.generate import World
from mre_console.simulator.server import SimulatorServer
from mre_console.simulator.site import SimulatedSite
from pipeline import document
from pipeline.errors import Kind, PipelineError, Stage
from pipeline.ingest import Options
from pipeline.liverc.client import Client, ClientSettings
from pipeline.observe import Report
from pipeline.service import Service, ServiceSettings
from pipeline.store import leases as lease_rows
from pipeline.store import runs as run_rows
from pipeline.store.archive import PageBatch

REQUEST_DEADLINE_S = 1.0


@pytest.fixture
def site() -> SimulatedSite:
    return SimulatedSite(World(5, tracks=1, events=1, mix=("small",), catalogue_rows=5))


@pytest.fixture
def server(site: SimulatedSite) -> Iterator[SimulatorServer]:
    with SimulatorServer(site) as server:
        yield server


@pytest.fixture
def service(server: SimulatorServer, database_url: str, tmp_path: Path) -> Iterator[Service]:
    settings = ServiceSettings(db_url=database_url, data=tmp_path / "data", site=server.url, crawl_delay=0)
    with Service(settings, client=impatient_client(server.url)) as service:
        yield service


def impatient_client(url: str) -> Client:
    """One attempt, a short deadline, and no memory of earlier pauses and robots.txt."""
    return Client(
        ClientSettings(
            version="test",
            stand_in=url,
            crawl_delay_s=0,
            request_deadline_s=REQUEST_DEADLINE_S,
            connect_timeout_s=REQUEST_DEADLINE_S,
            attempts=1,
        )
    )


def renew_client(service: Service, server: SimulatorServer) -> None:
    """As a new process would: no connection, pause or robots.txt of before."""
    service.client.close()
    service._client = impatient_client(server.url)


@pytest.fixture
def name(site: SimulatedSite) -> str:
    ((slug, event_id),) = site.events()
    return f"{slug}/{event_id}"


def truth(site: SimulatedSite, name: str) -> bytes:
    return document.encode(site.document(name.partition("/")[2]))


def exported(service: Service, name: str) -> bytes:
    return document.encode(service.export(name))


def rows(service: Service) -> tuple[int, ...]:
    with service.store.read():
        return tuple(
            int(service.store.sql(f"SELECT COUNT(*) FROM {t}")[0][0]) for t in ("race", "result", "lap", "entry")
        )


def a_race(site: SimulatedSite, name: str) -> str:
    return site.document(name.partition("/")[2]).races[1].source_race_id


def correct(site: SimulatedSite, name: str) -> None:
    """Change one lap at the source."""
    event_id = name.partition("/")[2]
    race, result = next(
        (race, r) for race in site.document(event_id).races for r in race.results if r.laps and r.source_driver_id
    )
    lap = result.laps[-1]
    site.correct_lap(
        event_id, race.source_race_id, result.source_driver_id or "", lap.lap_number, lap.lap_time_ms + 777
    )


def test_a_published_event_is_what_the_site_says(service: Service, site: SimulatedSite, name: str) -> None:
    report = service.ingest(name)
    assert report.outcome == "published"
    assert exported(service, name) == truth(site, name)
    expected = site.document(name.partition("/")[2])
    assert (report.races, report.document_sha256) == (len(expected.races), document.sha256(expected))
    row = service.event(name)
    assert (row.state, row.ingest_depth, row.current_run_id) == ("complete", "laps_full", report.run_id)
    assert row.last_ingested_at is not None
    assert not service.locks()


def test_the_same_pages_again_change_no_row(service: Service, name: str) -> None:
    first = service.ingest(name)
    before, served = rows(service), service.event(name)
    second = service.ingest(name)
    assert second.outcome == "unchanged"
    assert second.run_id != first.run_id
    assert rows(service) == before
    row = service.event(name)
    assert (row.current_run_id, row.last_ingested_at) == (first.run_id, served.last_ingested_at)
    assert (row.last_checked_at or 0) >= (served.last_checked_at or 0)
    assert [run.outcome for run in service.runs(name)] == ["unchanged", "published"]


def test_a_correction_at_the_source_is_published_as_a_new_run(service: Service, site: SimulatedSite, name: str) -> None:
    first = service.ingest(name)
    correct(site, name)
    second = service.ingest(name)
    assert second.outcome == "published"
    assert second.run_id != first.run_id
    assert exported(service, name) == truth(site, name)


FAILURES: list[tuple[Fault, Stage, Kind, int]] = [
    (Fault("missing_race"), Stage.FETCH, Kind.NOT_FOUND, 3),
    (Fault("404", "event"), Stage.FETCH, Kind.NOT_FOUND, 3),
    (Fault("500", "race_result"), Stage.FETCH, Kind.SERVER_ERROR, 3),
    (Fault("429", "race_result", retry_after=3600), Stage.FETCH, Kind.RATE_LIMITED, 3),
    (Fault("cut", "race_result"), Stage.FETCH, Kind.TRUNCATED, 3),
    (Fault("cut", "race_result", how="close"), Stage.FETCH, Kind.TRUNCATED, 3),
    (Fault("cut", "event", how="gzip"), Stage.FETCH, Kind.TRUNCATED, 3),
    (Fault("reset", "race_result"), Stage.FETCH, Kind.CONNECTION_LOST, 3),
    (Fault("drip", "race_result"), Stage.FETCH, Kind.TIMEOUT, 3),
    (Fault("drip", "event", part="head"), Stage.FETCH, Kind.TIMEOUT, 3),
    (Fault("slow", "event"), Stage.FETCH, Kind.TIMEOUT, 3),
    (Fault("redirect", "race_result"), Stage.FETCH, Kind.REDIRECT_REFUSED, 3),
    (Fault("redirect_loop", "event"), Stage.FETCH, Kind.REDIRECT_REFUSED, 3),
    (Fault("huge", "race_result"), Stage.FETCH, Kind.TOO_LARGE, 3),
    (Fault("bomb", "race_result"), Stage.FETCH, Kind.TOO_LARGE, 3),
    (Fault("500", "entry_list"), Stage.FETCH, Kind.SERVER_ERROR, 3),
    (Fault("500", "robots"), Stage.FETCH, Kind.ROBOTS_UNAVAILABLE, 3),
    (Fault("error_page", "race_result"), Stage.PARSE, Kind.PAGE_UNRECOGNISED, 4),
    (Fault("error_page", "event"), Stage.PARSE, Kind.PAGE_UNRECOGNISED, 4),
    (Fault("binary", "race_result"), Stage.PARSE, Kind.PAGE_UNRECOGNISED, 4),
    (
        Fault("changed_markup", "race_result", find="racerLaps", replace="lapData"),
        Stage.NORMALISE,
        Kind.LAPS_MISSING,
        5,
    ),
    (
        Fault("changed_markup", "race_result", find="<th>Driver</th>", replace="<th>Who</th>"),
        Stage.PARSE,
        Kind.FIELD_MISSING,
        4,
    ),
    (Fault("empty_shell", "event"), Stage.NORMALISE, Kind.NO_RACES, 5),
]


@pytest.mark.parametrize(
    ("fault", "stage", "kind", "exit_code"), FAILURES, ids=[f"{f.kind}-{f.match}-{k}" for f, _, k, _ in FAILURES]
)
def test_a_failure_is_named_and_changes_nothing_served(
    service: Service, server: SimulatorServer, site: SimulatedSite, name: str,
    fault: Fault, stage: Stage, kind: Kind, exit_code: int,
) -> None:  # fmt: skip
    service.ingest(name)
    served, before, data = service.event(name), rows(service), exported(service, name)
    correct(site, name)
    renew_client(service, server)
    server.faults.add(fault)
    with pytest.raises(PipelineError) as caught:
        service.ingest(name)
    error = caught.value
    assert (error.stage, error.kind, error.rule.exit_code) == (stage, kind, exit_code)
    assert error.rule.remedy
    assert "<" not in error.message.replace("</html>", "")
    row = service.event(name)
    assert (row.state, row.ingest_depth, row.current_run_id) == ("failed", "laps_full", served.current_run_id)
    assert (row.last_ingested_at, row.last_checked_at) == (served.last_ingested_at, served.last_checked_at)
    assert rows(service) == before
    assert exported(service, name) == data
    assert not service.locks()
    run = service.runs(name)[0]
    assert run.outcome == "failed"
    assert run.id == error.details["run_id"]
    assert str(kind) in (run.error or "")
    assert any(line.name == "ingestion_failed" and line.severity == "error" for line in service.log(run_id=run.id))
    server.faults.clear()
    renew_client(service, server)
    assert service.ingest(name).outcome == "published"
    assert exported(service, name) == truth(site, name)


def test_a_missing_entry_list_page_is_no_failure(service: Service, server: SimulatorServer, name: str) -> None:
    server.faults.add(Fault("404", "entry_list"))
    assert service.ingest(name).outcome == "published"
    assert service.export(name).entry_list is None


def test_an_unreachable_host(database_url: str, tmp_path: Path, name: str) -> None:
    client = Client(ClientSettings(version="test", stand_in="http://127.0.0.1:9", crawl_delay_s=0, attempts=1))
    settings = ServiceSettings(db_url=database_url, data=tmp_path, site="http://127.0.0.1:9")
    with Service(settings, client=client) as service, pytest.raises(PipelineError) as caught:
        service.ingest(name)
    assert (caught.value.stage, caught.value.kind, caught.value.rule.exit_code) == (Stage.FETCH, Kind.UNREACHABLE, 3)


def test_over_half_lost_is_refused_unless_allowed(service: Service, site: SimulatedSite, name: str) -> None:
    service.ingest(name)
    event_id = name.partition("/")[2]
    all_races = site.document(event_id).races
    for race in all_races[: len(all_races) // 2 + 1]:
        site.remove_race(event_id, race.source_race_id)
    with pytest.raises(PipelineError) as caught:
        service.ingest(name)
    assert (caught.value.kind, caught.value.rule.exit_code) == (Kind.SHRUNK, 5)
    assert len(service.export(name).races) == len(all_races)
    assert service.ingest(name, Options(allow_shrink=True)).outcome == "published"
    assert exported(service, name) == truth(site, name)


def test_a_dry_run_writes_nothing(service: Service, site: SimulatedSite, name: str, tmp_path: Path) -> None:
    report = service.ingest(name, Options(dry_run=True))
    assert (report.outcome, report.run_id, report.document_sha256) == (
        "would_publish", None, document.sha256(site.document(name.partition("/")[2])),
    )  # fmt: skip
    assert not service.events()
    assert not service.runs()
    assert not (tmp_path / "data").exists()


def test_debug_keeps_pages_and_what_was_read(service: Service, site: SimulatedSite, name: str, tmp_path: Path) -> None:
    report = service.ingest(name, Options(debug=True))
    kept = {path.name for path in (tmp_path / "data" / "debug" / f"run-{report.run_id}").iterdir()}
    race_id = a_race(site, name)
    assert {f"race_result.{race_id}.html", f"race_result.{race_id}.json"} <= kept


def test_the_run_deadline_ends_the_run(service: Service, name: str) -> None:
    with pytest.raises(PipelineError) as caught:
        service.ingest(name, Options(deadline_s=0.0))
    assert caught.value.kind is Kind.TIMEOUT
    assert service.event(name).state == "failed"


class Hold:
    """Stops the first run that fetched a given page right there, in its own thread, until the test lets it go on."""

    def __init__(self, service: Service, race_id: str) -> None:
        self.reached, self.go_on = threading.Event(), threading.Event()
        self._race_id = race_id
        self._free = threading.Lock()
        service.bus.subscribe(self._hear)

    def _take(self) -> bool:
        return self._free.acquire(blocking=False)

    def _hear(self, report: Report) -> None:
        if report.name == "race_page_fetched" and f"id={self._race_id}" in report.message and self._take():
            self.reached.set()
            assert self.go_on.wait(30)


def test_a_second_run_is_refused_while_the_first_holds_the_lease(
    service: Service, site: SimulatedSite, name: str
) -> None:
    hold = Hold(service, a_race(site, name))
    outcomes: list[Any] = []
    worker = service.start_ingest(name, done=outcomes.append)
    assert hold.reached.wait(30)
    with pytest.raises(PipelineError) as caught:
        service.ingest(name)
    assert (caught.value.kind, caught.value.rule.exit_code) == (Kind.LOCK_HELD, 7)
    assert caught.value.details["verdict"] == "ALIVE"
    (lock,) = service.locks()
    assert lock.event == name
    assert not lock.expired
    hold.go_on.set()
    worker.join(30)
    assert outcomes[0].outcome == "published"
    assert not service.locks()


def test_stopping_the_program_ends_the_run_as_interrupted(
    service: Service, server: SimulatorServer, site: SimulatedSite, name: str
) -> None:
    server.faults.add(Fault("slow", "race_result", seconds=60))
    outcomes: list[Any] = []
    fetching = threading.Event()
    service.bus.subscribe(lambda report: fetching.set() if report.name == "event_page_fetched" else None)
    worker = service.start_ingest(name, done=outcomes.append)
    assert fetching.wait(30)
    service.stop("the test is over")
    worker.join(5)
    assert not worker.is_alive()
    assert (outcomes[0].kind, outcomes[0].rule.exit_code) == (Kind.INTERRUPTED, 130)
    assert service.runs(name)[0].outcome == "interrupted"
    assert service.event(name).state == "failed"
    assert not service.locks()


class Zombie:
    """A run that was held before its last page, cleared, and overtaken by another run that is held there too."""

    def __init__(self, service: Service, site: SimulatedSite, name: str) -> None:
        self.service, self.name = service, name
        service.ingest(name)
        self.before = exported(service, name)
        correct(site, name)
        self.outcomes: list[Any] = []
        self.hold = Hold(service, a_race(site, name))
        self.thread = service.start_ingest(name, done=self.outcomes.append)
        assert self.hold.reached.wait(30)
        (lock,) = service.locks()
        service.clear_lock(name, reason="the holder hangs", confirm=lock.name_to_type)
        correct(site, name)
        self.newer: list[Any] = []
        self.newer_hold = Hold(service, a_race(site, name))
        self.newer_thread = service.start_ingest(name, done=self.newer.append)
        assert self.newer_hold.reached.wait(30)

    def wake(self) -> Any:
        """Let the cleared run go on to its end; returns that."""
        self.hold.go_on.set()
        self.thread.join(30)
        assert not self.thread.is_alive()
        return self.outcomes[0]

    def finish_newer(self) -> Any:
        self.newer_hold.go_on.set()
        self.newer_thread.join(30)
        assert not self.newer_thread.is_alive()
        return self.newer[0]


def test_a_cleared_holder_that_wakes_beside_a_newer_run_changes_nothing(
    service: Service, site: SimulatedSite, name: str
) -> None:
    zombie = Zombie(service, site, name)
    assert zombie.wake().kind is Kind.LEASE_LOST
    assert service.event(name).state == "running"
    assert exported(service, name) == zombie.before
    assert zombie.finish_newer().outcome == "published"
    assert exported(service, name) == truth(site, name)
    assert [run.outcome for run in service.runs(name)] == ["published", "cleared", "published"]


def test_a_cleared_holder_that_wakes_after_a_newer_run_changes_nothing(
    service: Service, site: SimulatedSite, name: str
) -> None:
    zombie = Zombie(service, site, name)
    assert zombie.finish_newer().outcome == "published"
    lines = len(service.log(event=name))
    assert zombie.wake().kind is Kind.LEASE_LOST
    assert exported(service, name) == truth(site, name)
    assert service.event(name).state == "complete"
    assert len(service.log(event=name)) == lines
    warnings = [line for line in service.log(event=name) if line.entry_kind == "warning"]
    assert [line.name for line in warnings] == ["lock_cleared"]
    assert "the holder hangs" in warnings[0].message


def test_control_without_the_fence_the_zombie_publishes(
    service: Service, site: SimulatedSite, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tests above have teeth: with the fence taken out, the woken holder's stale data is served."""
    for module in (lease_rows, run_rows):
        monkeypatch.setattr(module, "lock_fence", lambda store, fence: None)
    zombie = Zombie(service, site, name)
    zombie.wake()
    assert exported(service, name) != zombie.before
    zombie.finish_newer()


def test_a_cleared_lock_needs_a_reason_and_a_holder(service: Service, name: str) -> None:
    service.ingest(name)
    for reason, kind in (("", Kind.USAGE), ("gone", Kind.UNKNOWN)):
        with pytest.raises(PipelineError) as caught:
            service.clear_lock(name, reason=reason)
        assert caught.value.kind is kind


def test_reports_reach_subscribers(service: Service, name: str) -> None:
    heard: list[Report] = []
    service.bus.subscribe(heard.append)
    service.ingest(name)
    names = [report.name for report in heard]
    assert names[0] == "ingestion_start"
    assert names[-1] == "ingestion_finish"
    assert "race_page_fetched" in names
    assert "progress" in names


def test_the_real_site_is_not_asked_without_a_contact(database_url: str, tmp_path: Path) -> None:
    with Service(ServiceSettings(db_url=database_url, data=tmp_path)) as service:
        with pytest.raises(PipelineError) as caught:
            service.ingest("sometrack/1")
        assert (caught.value.kind, caught.value.rule.exit_code) == (Kind.CONTACT_MISSING, 2)
        assert not service.events()


def test_a_failed_run_ends_even_if_its_pages_cannot_be_kept(
    service: Service, server: SimulatorServer, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when the interpreter is shutting down and starts no thread any more."""

    def refuse(*_: object) -> str:
        raise RuntimeError("cannot schedule new futures after interpreter shutdown")

    monkeypatch.setattr(PageBatch, "write_manifest", refuse)
    server.faults.add(Fault("missing_race"))
    with pytest.raises(PipelineError) as caught:
        service.ingest(name)
    assert caught.value.kind is Kind.NOT_FOUND
    assert service.event(name).state == "failed"
    assert not service.locks()
    assert any("shutdown" in line.message for line in service.log(event=name) if line.name == "archive_failed")
