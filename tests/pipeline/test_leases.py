"""Leases as others see them, on both engines: judged, reported, released on proof, cleared by a person, cancelled."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest

from pipeline.errors import Kind, PipelineError
from pipeline.holders import Holder, this_holder
from pipeline.leases import LockView
from pipeline.observe import Report
from pipeline.runs import Run
from pipeline.service import Service, ServiceSettings
from pipeline.store.models import Lease
from pipeline.verdicts import Verdict
from tests.support.holding import NAME, Holding


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def service(database_url: str, data: Path) -> Iterator[Service]:
    with Service(ServiceSettings(db_url=database_url, data=data)) as service:
        yield service


@pytest.fixture
def holding(database_url: str, data: Path) -> Iterator[Holding]:
    with Holding(database_url, data) as holding:
        yield holding


def begin(service: Service) -> Run:
    return Run.begin(
        service.store, service.bus, service.add_event(NAME), kind="ingest", trigger="test", policy=service.lock_policy
    )


def forge(service: Service, **values: Any) -> None:
    """Write into the lease row what no program would."""
    service.store.change(Lease.update(**values))


def forge_holder(service: Service, **facts: Any) -> None:
    (lock,) = service.locks()
    assert lock.holder is not None
    forge(service, holder=msgspec.json.encode(msgspec.structs.replace(lock.holder, **facts)).decode())


def expire(service: Service) -> None:
    forge(service, heartbeat_at=1, expires_at=2)


def lock_of(service: Service) -> LockView:
    (lock,) = service.locks()
    return lock


def warnings(service: Service) -> list[str]:
    return [line.name for line in service.log(event=NAME) if line.entry_kind == "warning"]


def refused(call: Any, *arguments: Any, **options: Any) -> PipelineError:
    with pytest.raises(PipelineError) as caught:
        call(*arguments, **options)
    return caught.value


# ---------------------------------------------------------------- verdicts on real processes


def test_a_running_holder_is_alive(service: Service, holding: Holding) -> None:
    lock = lock_of(service)
    assert (lock.verdict, lock.token, lock.run_id) == (
        Verdict.ALIVE, holding.facts["token"], holding.facts["run_id"],
    )  # fmt: skip
    assert "its lock file is held" in lock.evidence
    assert lock.holder is not None
    assert lock.holder.pid == holding.pid


def test_a_killed_holder_is_dead_at_once(service: Service, holding: Holding) -> None:
    holding.kill()
    lock = lock_of(service)
    assert lock.verdict is Verdict.DEAD
    assert "nobody holds its lock file" in lock.evidence
    assert not lock.expired


def test_a_killed_holder_is_dead_although_a_forked_child_lives(database_url: str, data: Path, service: Service) -> None:
    with Holding(database_url, data, mode="fork") as holding:
        child = psutil.Process(holding.facts["child"])
        try:
            holding.kill()
            assert child.is_running()
            assert lock_of(service).verdict is Verdict.DEAD
        finally:
            child.kill()


def test_a_killed_holder_that_nobody_reaped_is_dead(service: Service, holding: Holding) -> None:
    """Its parent may be an init that never waits: the process id then stays taken by a zombie."""
    process = psutil.Process(holding.pid)
    holding.process.kill()
    while process.status() != psutil.STATUS_ZOMBIE:
        time.sleep(0)
    assert lock_of(service).verdict is Verdict.DEAD


def test_a_suspended_holder_is_stopped_and_lives_on(service: Service, holding: Holding) -> None:
    holding.suspend()
    lock = lock_of(service)
    assert lock.verdict is Verdict.STOPPED
    assert "suspended" in lock.evidence
    holding.wake()
    while lock_of(service).verdict is not Verdict.ALIVE:
        time.sleep(0)


def test_a_run_that_could_not_give_its_lease_back_is_dead_although_its_program_runs(service: Service) -> None:
    """As after a database that vanished at the end of a run: the free lock file says that the run is over."""
    run = begin(service)
    run.keeper.stop(given_back=False)
    lock = lock_of(service)
    assert lock.verdict is Verdict.DEAD
    assert "is running" in lock.evidence
    begin(service).fail(PipelineError(Kind.TIMEOUT, "made to fail"))
    assert not service.locks()


# ---------------------------------------------------------------- verdicts on rows


@pytest.fixture
def run(service: Service) -> Iterator[Run]:
    """A run of this very process, without its lock file: the row alone speaks."""
    service_without_files = msgspec.structs.replace(service.lock_policy, folder=None)
    event = service.add_event(NAME)
    run = Run.begin(service.store, service.bus, event, kind="ingest", trigger="test", policy=service_without_files)
    yield run
    run.keeper.stop()


@pytest.mark.parametrize(
    ("facts", "verdict", "words"),
    [
        ({}, Verdict.ALIVE, "is running"),
        ({"start_ticks": 1, "process_started": 1.0}, Verdict.DEAD, "is another one now"),
        ({"pid": 2**22 + 1}, Verdict.DEAD, "does not exist"),
        ({"pid": 10**30}, Verdict.DEAD, "does not exist"),
        ({"pid": -1}, Verdict.DEAD, "does not exist"),
        ({"pid_namespace": "pid:[1]"}, Verdict.UNKNOWN, "another container"),
        ({"boot_id": "another"}, Verdict.UNKNOWN, "of the same name"),  # it was heard since this boot
    ],
)
def test_a_row_is_judged_by_what_this_machine_knows(
    service: Service, run: Run, facts: dict[str, Any], verdict: Verdict, words: str
) -> None:
    forge_holder(service, **facts)
    lock = lock_of(service)
    assert words in lock.evidence
    if service.store.engine == "sqlite" or verdict is not Verdict.UNKNOWN:
        assert lock.verdict is verdict


def test_a_holder_of_an_earlier_boot_is_dead(service: Service, run: Run) -> None:
    forge_holder(service, boot_id="another")
    expire(service)
    lock = lock_of(service)
    assert (lock.verdict, lock.expired) == (Verdict.DEAD, True)
    assert "was restarted since" in lock.evidence


@pytest.mark.parametrize(
    "text", [None, "", "{}", "[]", "null", "not json", '{"host": 1}', '{"host": "pit-lane", "pid": 4711}']
)
def test_a_row_that_names_no_holder_is_unknown(service: Service, run: Run, text: str | None) -> None:
    forge(service, holder=text)
    assert lock_of(service).holder is None
    if service.store.engine == "sqlite":
        assert lock_of(service).verdict is Verdict.UNKNOWN
    assert not service.tick().released


def test_a_holder_on_another_machine_is_unknown_without_a_connection(service: Service, holding: Holding) -> None:
    forge_holder(service, host="elsewhere")
    lock = lock_of(service)
    connected = service.store.engine == "postgresql"
    assert lock.verdict is (Verdict.ALIVE if connected else Verdict.UNKNOWN)
    assert (lock.session is not None) is connected
    holding.kill()
    while lock_of(service).session is not None:  # until the server noticed
        time.sleep(0)
    lock = lock_of(service)
    assert lock.verdict is Verdict.UNKNOWN
    assert "another machine (elsewhere)" in lock.evidence
    assert not service.tick().released


# ---------------------------------------------------------------- expired: reported once, never taken


def test_an_expired_lease_is_reported_once_and_not_taken(service: Service, holding: Holding) -> None:
    heard: list[Report] = []
    service.bus.subscribe(heard.append)
    holding.suspend()
    assert service.tick() == type(service.tick())()  # nothing to say of a lease that did not expire
    expire(service)
    assert [lock.run_id for lock in service.tick().expired] == [holding.facts["run_id"]]
    assert service.tick().expired == ()
    assert warnings(service) == ["lease_expired"]
    assert [report.name for report in heard] == ["lease_expired"]
    assert lock_of(service).expired
    assert refused(begin, service).kind is Kind.LOCK_HELD
    assert lock_of(service).token == holding.facts["token"]


def test_each_lease_that_expires_is_reported(service: Service) -> None:
    for _ in range(2):
        run = begin(service)
        expire(service)
        assert len(service.tick().expired) == 1
        run.fail(PipelineError(Kind.TIMEOUT, "made to fail"))
    assert warnings(service) == ["lease_expired", "lease_expired"]


def test_looking_changes_nothing(service: Service, holding: Holding) -> None:
    holding.kill()
    expire(service)
    before = service.log(event=NAME)
    service.locks()
    service.lock(NAME)
    service.status()
    service.snapshot()
    assert service.log(event=NAME) == before
    assert lock_of(service).token == holding.facts["token"]


# ---------------------------------------------------------------- proven dead: released


def test_a_dead_holders_lease_is_released_at_the_next_tick(service: Service, holding: Holding) -> None:
    heard: list[Report] = []
    service.bus.subscribe(heard.append)
    lock_file = Path(lock_of(service).holder.lock_file)  # type: ignore[union-attr]
    assert lock_file.exists()
    holding.kill()
    (released,) = service.tick().released
    assert released.verdict is Verdict.DEAD
    assert not service.locks()
    assert not lock_file.exists()
    run = service.run(holding.facts["run_id"])
    assert run.outcome == "cleared"
    assert json.loads(run.error or "")["details"]["kind"] == "HOLDER_DIED"
    assert service.event(NAME).state == "failed"
    (warning,) = [line for line in service.log(event=NAME) if line.name == "lock_released"]
    assert warning.entry_kind == "warning"
    assert "nobody holds its lock file" in json.loads(warning.fields)["evidence"]
    assert [report.name for report in heard] == ["lock_released"]
    assert service.tick().released == ()


def test_a_dead_holders_lease_is_released_when_the_next_run_begins(service: Service, holding: Holding) -> None:
    holding.kill()
    run = begin(service)
    assert run.fence.token > holding.facts["token"]
    assert service.run(holding.facts["run_id"]).outcome == "cleared"
    assert warnings(service) == ["lock_released"]
    run.fail(PipelineError(Kind.TIMEOUT, "made to fail"))


def test_it_is_not_released_where_the_setting_says_no(
    database_url: str, data: Path, service: Service, holding: Holding
) -> None:
    holding.kill()
    with Service(ServiceSettings(db_url=database_url, data=data, release_dead=False)) as careful:
        assert careful.tick().released == ()
        error = refused(begin, careful)
        assert error.kind is Kind.LOCK_HELD
        assert error.details["verdict"] == "DEAD"
        expire(careful)
        assert len(careful.tick().expired) == 1
        assert lock_of(careful).token == holding.facts["token"]


def test_a_holder_that_may_live_is_never_released(service: Service, holding: Holding) -> None:
    holding.suspend()
    expire(service)
    assert service.tick().released == ()
    forge_holder(service, host="elsewhere")
    assert service.tick().released == ()
    assert lock_of(service).token == holding.facts["token"]


def test_two_ticks_at_once_release_it_once(database_url: str, data: Path, service: Service, holding: Holding) -> None:
    """Both saw the dead holder; the second finds the token moved on."""
    holding.kill()
    seen = lock_of(service)
    assert len(service.tick().released) == 1
    from pipeline import leases

    assert not leases._release(service.store, service.bus, seen)
    assert warnings(service) == ["lock_released"]


# ---------------------------------------------------------------- cleared by a person


def test_clearing_a_suspended_holder_needs_a_reason_only(service: Service, holding: Holding) -> None:
    holding.suspend()
    assert refused(service.clear_lock, NAME, reason=" ").kind is Kind.USAGE
    lock = service.clear_lock(NAME, reason="it hangs", who="ann")
    assert lock.verdict is Verdict.STOPPED
    assert not service.locks()
    assert service.run(holding.facts["run_id"]).outcome == "cleared"
    (warning,) = [line for line in service.log(event=NAME) if line.name == "lock_cleared"]
    assert "ann" in warning.message
    assert json.loads(warning.fields)["token"] == lock.token
    holding.wake()
    holding.tell("go on")
    assert holding.hear()["kind"] == "LEASE_LOST"


def test_clearing_a_living_holder_needs_the_events_name(service: Service, holding: Holding) -> None:
    error = refused(service.clear_lock, NAME, reason="I want it")
    assert (error.kind, error.details["verdict"]) == (Kind.USAGE, "ALIVE")
    assert refused(service.clear_lock, NAME, reason="I want it", confirm="another event").kind is Kind.USAGE
    assert lock_of(service).token == holding.facts["token"]
    assert service.clear_lock(NAME, reason="I want it", confirm=NAME).verdict is Verdict.ALIVE  # it has no name yet


def test_a_lock_that_changed_since_it_was_seen_is_not_cleared(service: Service) -> None:
    begin(service).fail(PipelineError(Kind.TIMEOUT, "made to fail"))
    run = begin(service)
    error = refused(service.clear_lock, NAME, reason="it hangs", confirm=NAME, token=run.fence.token - 1)
    assert error.kind is Kind.LEASE_LOST
    assert error.details["token"] == run.fence.token
    assert warnings(service) == []
    run.fail(PipelineError(Kind.TIMEOUT, "made to fail"))
    assert refused(service.clear_lock, NAME, reason="it hangs", token=run.fence.token).kind is Kind.UNKNOWN


def test_a_row_that_no_program_wrote_can_be_cleared(service: Service, run: Run) -> None:
    """Whatever is in it: a lock must never be stuck for good."""
    forge(service, holder="junk", run_id=10**9, heartbeat_at=None, expires_at=None, acquired_at=None)
    service.clear_lock(NAME, reason="junk", confirm=NAME)
    assert not service.locks()
    begin(service).fail(PipelineError(Kind.TIMEOUT, "made to fail"))


# ---------------------------------------------------------------- asked to stop


def test_a_cancelled_run_ends_as_interrupted_within_three_seconds(
    database_url: str, data: Path, service: Service
) -> None:
    with Holding(database_url, data, mode="obey") as holding:
        asked = time.monotonic()
        lock = service.cancel(NAME, who="ann")
        assert service.wait_until_free(lock, 10)
        assert time.monotonic() - asked < 3
        assert holding.hear() == {"kind": "INTERRUPTED", "message": "the run was cancelled on request"}
    assert service.run(lock.run_id).outcome == "interrupted"
    assert service.event(NAME).state == "failed"
    (audit,) = [line for line in service.log(event=NAME) if line.name == "cancel_requested"]
    assert (audit.entry_kind, json.loads(audit.fields)["who"]) == ("audit", "ann")


def test_nobody_to_cancel(service: Service) -> None:
    service.add_event(NAME)
    assert refused(service.cancel, NAME).kind is Kind.UNKNOWN


def test_waiting_for_a_lock_ends_with_the_patience(service: Service, run: Run) -> None:
    assert not service.wait_until_free(lock_of(service), 0)


# ---------------------------------------------------------------- who this process is


def test_the_holder_names_this_process() -> None:
    holder = this_holder()
    assert isinstance(holder, Holder)
    process = psutil.Process(holder.pid)
    assert abs(process.create_time() - holder.process_started) < 0.1
