"""Ending a holder by force: its own process and nobody else's, or its connections; then the lock is free."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pipeline import leases
from pipeline.errors import Kind, PipelineError
from pipeline.holders import Process, this_holder
from pipeline.runs import Run
from pipeline.service import Service, ServiceSettings
from pipeline.store.models import Lease
from pipeline.terminating import Means, end_process
from pipeline.verdicts import Verdict
from tests.support.holding import NAME, Holding


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def service(database_url: str, data: Path) -> Iterator[Service]:
    with Service(ServiceSettings(db_url=database_url, data=data)) as service:
        yield service


def refused(call: Any, *arguments: Any, **options: Any) -> PipelineError:
    with pytest.raises(PipelineError) as caught:
        call(*arguments, **options)
    return caught.value


def forge_holder(service: Service, **facts: Any) -> None:
    (lock,) = service.locks()
    assert lock.holder is not None
    forged = msgspec.json.encode(msgspec.structs.replace(lock.holder, **facts)).decode()
    service.store.change(Lease.update(holder=forged))


def next_run(service: Service) -> None:
    event = service.add_event(NAME)
    run = Run.begin(service.store, service.bus, event, kind="ingest", trigger="test", policy=service.lock_policy)
    run.fail(PipelineError(Kind.TIMEOUT, "made to fail"))


# ---------------------------------------------------------------- stuck inside its transaction


def test_a_holder_stopped_inside_its_transaction_stops_clear_and_not_terminate(
    database_url: str, data: Path, service: Service
) -> None:
    with Holding(database_url, data, mode="transaction") as holding:
        holding.suspend()
        (lock,) = service.locks()
        assert lock.verdict is Verdict.STOPPED
        began = time.monotonic()
        error = refused(service.clear_lock, NAME, reason="it hangs")
        assert time.monotonic() - began < 6
        assert error.kind is Kind.DB_BUSY
        assert "mre locks terminate" in error.details["remedy"]
        assert service.tick().blocked == ()  # it has not expired: nothing to write
        ended = service.terminate_holder(NAME, reason="it hangs", who="ann")
        assert ended.done == (f"SIGTERM to process {holding.pid}", f"SIGKILL to process {holding.pid}", "it ended")
        assert ended.cleared
        assert holding.process.wait() == -signal.SIGKILL
    assert not service.locks()
    assert service.run(lock.run_id).outcome == "cleared"
    (warning,) = [line for line in service.log(event=NAME) if line.name == "holder_terminated"]
    assert warning.entry_kind == "warning"
    assert json.loads(warning.fields)["who"] == "ann"
    assert "SIGKILL" in warning.message
    next_run(service)


def test_a_tick_does_not_wait_for_a_holder_inside_its_transaction(
    database_url: str, data: Path, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Holding(database_url, data, mode="transaction") as holding:
        holding.suspend()
        late = tuple(msgspec.structs.replace(lock, expired=True) for lock in service.locks())
        monkeypatch.setattr(leases, "list_locks", lambda _: late)  # the row itself cannot be written now
        began = time.monotonic()
        assert service.tick().blocked == late
        assert time.monotonic() - began < 2


# ---------------------------------------------------------------- a process on this machine


def test_a_polite_holder_ends_at_sigterm(database_url: str, data: Path, service: Service) -> None:
    with Holding(database_url, data) as holding:
        ended = service.terminate_holder(NAME, reason="not wanted", confirm=NAME)
        assert ended.done == (f"SIGTERM to process {holding.pid}", "it ended")
        assert holding.process.wait() == -signal.SIGTERM
    assert not service.locks()
    names = [line.name for line in service.log(event=NAME) if line.entry_kind in ("audit", "warning")]
    assert names == ["termination_requested", "holder_terminated"]
    next_run(service)


def test_a_deaf_holder_ends_at_sigkill_after_the_grace(database_url: str, data: Path, service: Service) -> None:
    with Holding(database_url, data, mode="deaf") as holding:
        ended = service.terminate_holder(NAME, reason="not wanted", confirm=NAME, grace_s=0.2)
        assert ended.done[-2:] == (f"SIGKILL to process {holding.pid}", "it ended")
        assert holding.process.wait() == -signal.SIGKILL
    assert not service.locks()


def test_it_says_what_else_ends_with_the_process(database_url: str, data: Path, service: Service) -> None:
    with Holding(database_url, data) as holding, Holding(database_url, data, name="harbourraceway/7001"):
        other = next(lock for lock in service.locks() if lock.event != NAME)
        holder = next(lock.holder for lock in service.locks() if lock.event == NAME)
        row = msgspec.json.encode(holder).decode()
        service.store.change(Lease.update(holder=row).where(Lease.event == other.event_id))
        ended = service.terminate_holder(NAME, reason="not wanted", confirm=NAME)
        assert ended.with_it == (other.event,)
        assert holding.process.wait() == -signal.SIGTERM


def test_a_living_holder_needs_the_events_name_and_a_reason(database_url: str, data: Path, service: Service) -> None:
    with Holding(database_url, data) as holding:
        assert refused(service.terminate_holder, NAME, reason="I want it").kind is Kind.USAGE
        assert refused(service.terminate_holder, NAME, reason="", confirm=NAME).kind is Kind.USAGE
        stale = holding.facts["token"] + 1
        assert refused(service.terminate_holder, NAME, reason="x", confirm=NAME, token=stale).kind is Kind.LEASE_LOST
        assert holding.process.poll() is None


def test_a_dead_holders_lock_is_only_cleared(database_url: str, data: Path, service: Service) -> None:
    with Holding(database_url, data) as holding:
        holding.kill()
        ended = service.terminate_holder(NAME, reason="gone")
    assert ended.done == ("nothing: the holder is dead",)
    assert ended.cleared


# ---------------------------------------------------------------- never anybody else


@pytest.fixture
def bystander() -> Iterator[subprocess.Popen[bytes]]:
    """A process that has nothing to do with anything."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


def test_a_reused_pid_is_not_signalled(
    database_url: str, data: Path, service: Service, bystander: subprocess.Popen[bytes]
) -> None:
    """The row names the bystander's id with the holder's start: whoever has it now is not the holder."""
    with Holding(database_url, data):
        forge_holder(service, pid=bystander.pid, start_ticks=1, process_started=1.0, lock_file="")
        (lock,) = service.locks()
        assert lock.verdict is Verdict.DEAD
        ended = service.terminate_holder(NAME, reason="gone")
        assert ended.done == ("nothing: the holder is dead",)
        assert bystander.poll() is None


class Scripted:
    """Processes as a test wants them: what is found, call by call, and what was signalled."""

    def __init__(self, *found: Process | None) -> None:
        self.found = list(found)
        self.sent: list[int] = []
        self.now = 0.0

    def means(self) -> Means:
        return Means(
            find=self._find, send=lambda _, number: self.sent.append(number), wait=self._wait, clock=self._clock
        )

    def _find(self, _: int) -> Process | None:
        return self.found.pop(0) if len(self.found) > 1 else self.found[0]

    def _wait(self, seconds: float) -> None:
        self.now += seconds

    def _clock(self) -> float:
        return self.now


HOLDER = msgspec.structs.replace(this_holder(), pid=2**22 + 7, process_started=100.0, start_ticks=5)
ITSELF, ANOTHER = Process(100.0, 5, "sleeping"), Process(900.0, 70, "sleeping")
SUSPENDED = Process(100.0, 5, "stopped")


@pytest.mark.parametrize(
    ("found", "sent"),
    [
        ((ANOTHER,), []),  # reused before the first signal
        ((None,), []),
        ((ITSELF, ANOTHER), [signal.SIGTERM]),  # reused between the signals: the second is not sent
        ((ITSELF, ITSELF, None), [signal.SIGTERM]),
        ((ITSELF, SUSPENDED, SUSPENDED, None), [signal.SIGTERM, signal.SIGKILL]),  # at once: it cannot react
    ],
)
def test_identity_is_verified_before_each_signal(found: tuple[Process | None, ...], sent: list[int]) -> None:
    script = Scripted(*found)
    end_process(HOLDER, 10.0, script.means())
    assert script.sent == sent
    assert script.now < 10.0


def test_the_grace_is_kept() -> None:
    script = Scripted(*[ITSELF] * 205, None)
    end_process(HOLDER, 10.0, script.means())
    assert script.sent == [signal.SIGTERM, signal.SIGKILL]
    assert script.now >= 10.0


def test_a_process_that_does_not_die_is_said_to_hang() -> None:
    error = refused(end_process, HOLDER, 1.0, Scripted(ITSELF).means())
    assert "hangs inside the operating system" in error.message


@pytest.mark.parametrize("who", ["itself", "its parent", "init", "nobody"])
def test_it_never_signals_itself_or_what_started_it(who: str) -> None:
    pid = {"itself": os.getpid(), "its parent": os.getppid(), "init": 1, "nobody": 0}[who]
    script = Scripted(ITSELF)
    assert refused(end_process, msgspec.structs.replace(HOLDER, pid=pid), 1.0, script.means()).kind is Kind.USAGE
    assert script.sent == []


def test_a_process_that_may_not_be_looked_at_is_not_signalled() -> None:
    script = Scripted(Process(None))
    assert refused(end_process, HOLDER, 1.0, script.means()).kind is Kind.USAGE
    assert script.sent == []


# ---------------------------------------------------------------- connections, for holders on other machines


@pytest.mark.parametrize("mode", ["hold+elsewhere", "transaction+elsewhere"])
def test_a_holder_on_another_machine(database_url: str, data: Path, service: Service, mode: str) -> None:
    """PostgreSQL: its connections are ended, also one that sits on the lease. SQLite: it cannot be reached."""
    with Holding(database_url, data, mode=mode) as holding:
        (lock,) = service.locks()
        if service.store.engine == "sqlite":
            assert lock.verdict is Verdict.UNKNOWN
            error = refused(service.terminate_holder, NAME, reason="it hangs")
            assert (error.kind, "cannot be reached from here" in error.message) == (Kind.USAGE, True)
            return
        assert lock.verdict is Verdict.ALIVE
        holding.suspend()
        ended = service.terminate_holder(NAME, reason="it hangs", confirm=NAME)
        assert len(ended.done) == 1 + ("transaction" in mode)
        assert all(done.startswith("ended session") for done in ended.done)
        assert not service.locks()
        next_run(service)
        assert holding.process.poll() is None
        holding.wake()
        holding.tell("go on")
        assert holding.hear()["kind"] in ("LEASE_LOST", "DB_UNREACHABLE")
    assert service.run(lock.run_id).outcome == "cleared"


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
def test_a_stranger_that_sits_on_the_lease_is_not_ended(database_url: str, data: Path, service: Service) -> None:
    import psycopg

    with Holding(database_url, data, mode="hold+elsewhere"), psycopg.connect(database_url) as stranger:
        stranger.execute("UPDATE lease SET token = token")
        error = refused(service.terminate_holder, NAME, reason="it hangs", confirm=NAME)
        assert (error.kind, "not known to be the holder's" in error.message) == (Kind.USAGE, True)
        error = refused(service.clear_lock, NAME, reason="it hangs", confirm=NAME)
        assert (error.kind, "idle in transaction" in error.message) == (Kind.DB_BUSY, True)
        assert stranger.execute("SELECT 1").fetchone() == (1,)
