"""Every way in asks the switch or is exempt by name: a table of all that the service can do, and each line tried.

A method that is added to the service must be added here, as a way in or as something that only reads.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mre_console.simulator.generate import World
from mre_console.simulator.site import SimulatedSite
from pipeline.errors import Kind, PipelineError, StateError
from pipeline.recovery import plan_reset
from pipeline.service import Service, ServiceSettings
from pipeline.store.migration_files.tables_0001 import TABLE_NAMES
from pipeline.store.migration_files.tables_0004 import TABLE_NAMES as TABLE_NAMES_0004
from pipeline.ways import Way, way_in
from tests.support.site_client import SiteClient

Call = Callable[[Service, str], object]

WAYS_IN: dict[str, tuple[Way, Call]] = {
    "ingest": (Way.INGEST, lambda service, name: service.ingest(name)),
    "start_ingest": (Way.INGEST, lambda service, name: service.start_ingest(name)),
    "start": (Way.INGEST, lambda service, name: service.start(lambda: service.ingest(name), name="one")),
    "ingest_track": (Way.INGEST, lambda service, name: service.ingest_track(_slug(name), since="2000-01-01")),
    "retry": (Way.INGEST, lambda service, name: service.retry(service.plan_retry([name]))),
    "sync_tracks": (Way.CATALOGUE, lambda service, name: service.sync_tracks()),
    "refresh_track": (Way.CATALOGUE, lambda service, name: service.refresh_track(_slug(name))),
    "follow": (Way.EDIT, lambda service, name: service.follow(_slug(name))),
    "request_ingest": (Way.INGEST, lambda service, name: service.request_ingest(name)),
    "add_schedule": (Way.EDIT, lambda service, name: service.add_schedule("again", "retries", "every 1h")),
    "edit_schedule": (Way.EDIT, lambda service, name: service.edit_schedule("retries", when="every 1h")),
    "pause_schedule": (Way.EDIT, lambda service, name: service.pause_schedule("retries")),
    "resume_schedule": (Way.EDIT, lambda service, name: service.resume_schedule("recent")),
    "run_schedule_now": (Way.EDIT, lambda service, name: service.run_schedule_now("checks")),
    "add_event": (Way.EDIT, lambda service, name: service.add_event("elsewhere/77")),
    "ingest_case": (Way.INGEST, lambda service, name: service.ingest_case(1)),
    "run_canaries": (Way.CATALOGUE, lambda service, name: service.run_canaries()),
    "check_fixture_live": (Way.CATALOGUE, lambda service, name: service.check_fixture_live(name)),
    "add_canary": (Way.EDIT, lambda service, name: service.add_canary(name)),
    "remove_canary": (Way.EDIT, lambda service, name: service.remove_canary(name)),
    # exempt: this is what the switch is turned off for
    "disable": (Way.RECOVERY, lambda service, name: service.disable(reason="again", protect=True)),
    "enable": (Way.RECOVERY, lambda service, name: service.enable()),
    "acknowledge": (Way.RECOVERY, lambda service, name: service.acknowledge([])),
    "tick": (Way.RECOVERY, lambda service, name: service.tick()),
    "cancel": (Way.RECOVERY, lambda service, name: service.cancel(name)),
    "clear_lock": (Way.RECOVERY, lambda service, name: service.clear_lock(name, reason="it hangs")),
    "terminate_holder": (Way.RECOVERY, lambda service, name: service.terminate_holder(name, reason="it hangs")),
    "act": (Way.RECOVERY, lambda service, name: service.act(service.plan_reset(name))),
    "roll_back": (Way.RECOVERY, lambda service, name: list(service.roll_back(_rollback(service, name)))),
    "reset_event_ingestion": (Way.RECOVERY, lambda service, name: service.reset_event_ingestion(name)),
    "undo": (Way.RECOVERY, lambda service, name: service.undo(_reset(service, name))),
    "purge": (Way.RECOVERY, lambda service, name: service.purge(service.plan_purge(older_than_days=0))),
    # nobody's work begins by this alone: each piece of it asks for itself
    "start_schedule": (Way.RECOVERY, lambda service, name: _start_and_stop(service)),
    "rebuild": (Way.RECOVERY, lambda service, name: list(service.rebuild(name))),
    "run_gate": (Way.RECOVERY, lambda service, name: service.run_gate()),
    "capture_fixture": (Way.RECOVERY, lambda service, name: service.capture_fixture(name)),
    "accept_fixture": (Way.RECOVERY, lambda service, name: service.accept_fixture(name, case=1, reason="it moved")),
    "archive_fixture": (Way.RECOVERY, lambda service, name: service.archive_fixture(name, case=1, reason="enough")),
    "probe": (Way.RECOVERY, lambda service, name: service.probe(1)),
    "accept_repair": (Way.RECOVERY, lambda service, name: service.accept_repair(1, reason="it moved")),
    "undo_repair": (Way.RECOVERY, lambda service, name: service.undo_repair("race_result", 1, reason="it did not")),
    "close_drift_case": (
        Way.RECOVERY,
        lambda service, name: service.close_drift_case(1, "dismissed", reason="it is as it is"),
    ),
}
LOOKS: dict[str, Call] = {
    "health": lambda service, name: service.health(),
    "failure_groups": lambda service, name: service.failure_groups(),
    "timeline": lambda service, name: service.timeline(service.event(name).current_run_id or 0),
    "warnings": lambda service, name: service.warnings(),
    "metrics": lambda service, name: service.metrics(),
    "resolve": lambda service, name: service.resolve(name),
    "event": lambda service, name: service.event(name),
    "events": lambda service, name: service.events(),
    "export": lambda service, name: service.export(name),
    "tracks": lambda service, name: service.tracks(),
    "runs": lambda service, name: service.runs(name),
    "run": lambda service, name: service.run(service.event(name).current_run_id or 0),
    "log": lambda service, name: service.log(event=name),
    "snapshot": lambda service, name: service.snapshot(),
    "races": lambda service, name: service.races(service.event(name).id),
    "results": lambda service, name: service.results(1),
    "laps": lambda service, name: service.laps(1),
    "run_log": lambda service, name: service.run_log(1),
    "status": lambda service, name: service.status(),
    "resources": lambda service, name: service.resources(),
    "control": lambda service, name: service.control(),
    "check_runs": lambda service, name: service.check_runs(),
    "checks": lambda service, name: service.checks(),  # a read-only one records nothing
    "locks": lambda service, name: service.locks(),
    "lock": lambda service, name: service.lock(name),
    "wait_until_free": lambda service, name: service.wait_until_free(_no_lock(), 0),
    "plan_cleanup": lambda service, name: service.plan_cleanup(name, full=True),
    "plan_reset": lambda service, name: service.plan_reset(name),
    "plan_restore": lambda service, name: service.plan_restore(name, service.event(name).current_run_id or 0),
    "plan_restore_build": lambda service, name: service.plan_restore_build(_build(service, name)),
    "plan_undo": lambda service, name: service.plan_undo(1),
    "plan_retry": lambda service, name: service.plan_retry([name]),
    "plan_purge": lambda service, name: service.plan_purge(),
    "gate": lambda service, name: service.gate(),
    "fixtures": lambda service, name: service.fixtures(),
    "fixture": lambda service, name: service.fixture(name),
    "check_fixture": lambda service, name: service.check_fixture(name),
    "replay": lambda service, name: list(service.replay(name)),  # into a database of its own
    "drift_cases": lambda service, name: service.drift_cases(),
    "drift_case": lambda service, name: service.drift_case(1),
    "canaries": lambda service, name: service.canaries(),
    "diff_page": lambda service, name: service.diff_page(name),
    "diff_pages": lambda service, name: service.diff_pages(name, name),
    "diff": lambda service, name: service.diff(name, name),
    "diff_event": lambda service, name: service.diff_event(name),
    "reparse": lambda service, name: service.reparse(name),
    "compare_event": lambda service, name: service.compare_event(name),
    "compare_case": lambda service, name: service.compare_case(1),
    "compare_fixture": lambda service, name: service.compare_fixture(name),
    "reparse_page": lambda service, name: service.reparse_page(service.diff_page(name)),
    "repair_proposal": lambda service, name: service.repair_proposal(1),
    "preview_repair": lambda service, name: service.preview_repair(1),
    "contract_history": lambda service, name: service.contract_history(),
    "export_contract": lambda service, name: service.export_contract("race_result"),
    "actions": lambda service, name: service.actions(),
    "action": lambda service, name: service.action(1),
    "schedules": lambda service, name: service.schedules(),
    "job_runs": lambda service, name: service.job_runs("retries"),
    "wanted": lambda service, name: service.wanted(),
    "workers": lambda service, name: service.workers(),
    "stopping_schedule": lambda service, name: service.stopping_schedule(),
    "schedule_health": lambda service, name: service.schedule_health(),
}
# they change nothing but this process
OF_THE_PROCESS = {"stop", "close", "running_here", "stop_schedule", "runs_schedule", "use_worker"}


def _slug(name: str) -> str:
    return name.partition("/")[0]


def _start_and_stop(service: Service) -> None:
    service.start_schedule(tick_s=3600)
    assert service.stop_schedule(timeout_s=10)


def _no_lock() -> Any:
    return SimpleNamespace(event_id=1, run_id=1, token=0)


def _build(service: Service, name: str) -> str:
    return service.run(service.event(name).current_run_id or 0).parser_build or ""


def _rollback(service: Service, name: str) -> Any:
    return service.plan_restore_build(_build(service, name))


def _reset(service: Service, name: str) -> int:
    """An action to take back; made in the room below where the service itself is read-only."""
    if service.read_only:
        return 1
    done = service.act(plan_reset(service.store, service.event(name).id))
    return done.action.id


@pytest.fixture
def site() -> SimulatedSite:
    return SimulatedSite(World(5, tracks=1, events=1, mix=("small",), catalogue_rows=5), frozen_frame=True)


@pytest.fixture
def client(site: SimulatedSite) -> SiteClient:
    return SiteClient(site)


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> ServiceSettings:
    return ServiceSettings(db_url=database_url, data=tmp_path / "data")


@pytest.fixture
def service(client: SiteClient, settings: ServiceSettings) -> Iterator[Service]:
    with Service(settings, client=client) as service:
        yield service


@pytest.fixture
def name(service: Service, client: SiteClient, site: SimulatedSite) -> str:
    """An event that is served."""
    name = "/".join(site.events()[0])
    service.ingest(name)
    client.requests.clear()
    return name


def everything(service: Service) -> dict[str, list[tuple[Any, ...]]]:
    tables = (
        *TABLE_NAMES, "control", "check_run", "action", "schedule", "wanted", "worker",
        "drift_case", "drift_case_event", "canary_event", *TABLE_NAMES_0004,
    )  # fmt: skip
    with service.store.read():
        return {table: sorted(service.store.sql(f"SELECT * FROM {table}"), key=repr) for table in tables}


def outcome(call: Call, service: Service, name: str) -> Kind | None:
    """How a call is refused, or None where it went through."""
    try:
        call(service, name)
    except PipelineError as error:
        return error.kind
    return None


def test_the_table_holds_every_method_of_the_service() -> None:
    methods = {name for name, member in inspect.getmembers(Service, inspect.isfunction) if not name.startswith("_")}
    assert methods == WAYS_IN.keys() | LOOKS.keys() | OF_THE_PROCESS


def test_every_way_in_is_marked_as_what_it_is_and_nothing_else_is() -> None:
    marked = {
        name: member.__dict__["way"]
        for name, member in inspect.getmembers(Service, inspect.isfunction)
        if "way" in member.__dict__
    }
    assert marked == {name: way for name, (way, _) in WAYS_IN.items()}


@pytest.mark.parametrize("mode", ["disabled", "protected"])
@pytest.mark.parametrize("method", WAYS_IN)
def test_the_switch_refuses_what_it_must_and_recovery_never(
    method: str, mode: str, service: Service, client: SiteClient, name: str
) -> None:
    way, call = WAYS_IN[method]
    service.disable(reason="stop", protect=mode == "protected")
    before = everything(service)
    refused = way in (Way.INGEST, Way.CATALOGUE) or (way is Way.EDIT and mode == "protected")
    assert (outcome(call, service, name) is Kind.DISABLED) == refused
    assert client.requests == []
    if refused:
        assert everything(service) == before


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
@pytest.mark.parametrize("method", WAYS_IN)
def test_read_only_refuses_every_way_in(
    method: str, service: Service, client: SiteClient, settings: ServiceSettings, name: str
) -> None:
    before = everything(service)
    with Service(settings, client=client, read_only=True) as looking:
        assert outcome(WAYS_IN[method][1], looking, name) is Kind.READ_ONLY
    assert client.requests == []
    assert everything(service) == before


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
@pytest.mark.parametrize("method", LOOKS)
def test_read_only_lets_everybody_look_and_nothing_is_written(
    method: str, service: Service, client: SiteClient, settings: ServiceSettings, name: str
) -> None:
    before = everything(service)
    with Service(settings, client=client, read_only=True) as looking:
        assert outcome(LOOKS[method], looking, name) is not Kind.READ_ONLY
    assert client.requests == []
    assert everything(service) == before


def test_read_only_makes_no_database(tmp_path: Path) -> None:
    path = tmp_path / "none.db"
    with Service(ServiceSettings(db_url=str(path), data=tmp_path), read_only=True) as looking:
        with pytest.raises(PipelineError) as caught:
            looking.events()
        assert caught.value.kind is Kind.DB_UNREACHABLE
    assert not path.exists()


def test_a_mark_speaks_before_the_method_does(service: Service) -> None:
    """Also of a method that would only begin at the first step of its answer."""
    done: list[str] = []

    class House:
        read_only = False
        store = service.store

        @way_in(Way.INGEST)
        def steps(self) -> Iterator[str]:
            done.append("begun")
            yield "one"

    service.disable(reason="stop")
    with pytest.raises(StateError):
        House().steps()
    assert done == []
