"""Recovery where a dead process still holds the event: its lease is released first, as the next tick would do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pipeline import recovery
from pipeline.errors import Kind, StateError
from pipeline.leases import LockPolicy
from pipeline.plans import Plan
from pipeline.runs import Run
from pipeline.service import Service, ServiceSettings
from pipeline.store.models import Lease
from pipeline.verdicts import Verdict
from tests.support.generations import EVENT_ID, SLUG
from tests.support.recovering import publish_generation

NAME = f"{SLUG}/{EVENT_ID}"
NO_PROCESS = 2**22 + 1  # beyond what Linux gives away
BUILD = "a-build"

Ask = Callable[[Service], Any]
ASKED: dict[str, Ask] = {
    "cleanup": lambda service: service.plan_cleanup(NAME, full=True),
    "reset": lambda service: service.plan_reset(NAME),
    "restore": lambda service: service.plan_restore(NAME, 1),
    "undo": lambda service: service.plan_undo(1),
    "reset, planned and done": lambda service: service.reset_event_ingestion(NAME),
    "undo, planned and done": lambda service: service.undo(1),
}
OLD = {"older_than_days": 0, "keep_undo_days": 30}


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> ServiceSettings:
    """Of a database whose event serves the second of two runs, after an action; a process died over a third."""
    settings = ServiceSettings(db_url=database_url, data=tmp_path / "data")
    with Service(settings) as service:
        publish_generation(service.store, 1, build="an-older-build")
        publish_generation(service.store, 2, build=BUILD)
        recovery.act(service.store, recovery.plan_cleanup(service.store, 1, full=True), who="tester")
        die(service)
    return settings


@pytest.fixture
def service(settings: ServiceSettings) -> Iterator[Service]:
    with Service(settings) as service:
        yield service


def die(service: Service) -> Run:
    """Begin a run, and make its holder a process that does not exist."""
    store = service.store
    run = Run.begin(store, service.bus, service.add_event(NAME), kind="ingest", trigger="test", policy=LockPolicy(None))
    run.keeper.stop()
    (lock,) = service.locks()
    assert lock.holder is not None
    holder = msgspec.structs.replace(lock.holder, pid=NO_PROCESS)
    store.change(Lease.update(holder=msgspec.json.encode(holder).decode()))
    assert service.locks()[0].verdict is Verdict.DEAD
    return run


@pytest.mark.parametrize("ask", ASKED.values(), ids=ASKED)
def test_a_dead_holder_does_not_stand_in_the_way(service: Service, ask: Ask) -> None:
    lost = service.locks()[0].run_id
    answer = ask(service)
    assert not service.locks()
    assert service.run(lost).outcome == "cleared"
    assert [line.name for line in service.log(run_id=lost) if line.entry_kind == "warning"] == ["lock_released"]
    assert service.event(NAME).failed_attempts == (0 if ask is ASKED["reset, planned and done"] else 1)
    if isinstance(answer, Plan) and answer.changes_anything:  # planned on the event as it is now
        service.act(answer)


@pytest.mark.parametrize("ask", ASKED.values(), ids=ASKED)
def test_where_nothing_may_be_released_the_holder_is_named(settings: ServiceSettings, ask: Ask) -> None:
    careful = msgspec.structs.replace(settings, release_dead=False)
    for service in (Service(careful), Service(settings, read_only=True)):
        with service:
            before = service.locks()[0].token
            with pytest.raises(StateError) as refused:
                ask(service)
            if refused.value.kind is not Kind.READ_ONLY:  # what acts at once is refused before it plans
                assert refused.value.kind is Kind.LOCK_HELD
                assert refused.value.details["verdict"] == "DEAD"
            assert service.locks()[0].token == before


def test_a_living_holder_stands_in_the_way(service: Service) -> None:
    service.tick()
    run = Run.begin(
        service.store, service.bus, service.event(NAME), kind="ingest", trigger="test", policy=LockPolicy(None)
    )
    for name, ask in ASKED.items():
        with pytest.raises(StateError) as refused:
            ask(service)
        assert refused.value.kind is Kind.LOCK_HELD, name
    assert service.locks()[0].token == run.fence.token
    run.fail(StateError(Kind.INTERRUPTED, "the test ends"))


def test_a_rollback_takes_in_the_event_of_a_dead_holder(service: Service, settings: ServiceSettings) -> None:
    service.undo(1)
    die(service)
    with Service(settings, read_only=True) as looking:
        rollback = looking.plan_restore_build(BUILD)
        assert [refused.kind for refused in rollback.refused] == ["LOCK_HELD"]
    rollback = service.plan_restore_build(BUILD)
    assert rollback.refused == ()
    (plan,) = rollback.plans
    (step,) = service.roll_back(rollback)
    assert (step.error, plan.target_run_id) == (None, 1)
    assert service.event(NAME).current_run_id == 1


def test_a_purge_does_not_pass_over_the_event_of_a_dead_holder(service: Service, settings: ServiceSettings) -> None:
    service.undo(1)
    for number in (3, 1):
        publish_generation(service.store, number)
    die(service)
    with Service(msgspec.structs.replace(settings, release_dead=False)) as careful:
        report = careful.purge(careful.plan_purge(**OLD))
        assert {passed.why for passed in report.passed_over} == {"the event is being worked on"}
        assert report.runs == ()
    assert service.purge(service.plan_purge(**OLD)).runs == (1, 2)
