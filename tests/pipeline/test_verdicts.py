"""What follows from the facts about a holder: one table, and the few things that must never be concluded."""

from __future__ import annotations

import itertools

import msgspec
import pytest

from pipeline.holders import Holder, Process
from pipeline.lockfiles import LockState
from pipeline.store.sessions import Session
from pipeline.verdicts import Heard, Seen, Verdict, judge

HOLDER = Holder(
    host="pit-lane",
    boot_id="boot-1",
    pid=4711,
    process_started=1_000.0,
    thread="ingest-7000",
    version="1",
    start_ticks=500,
    pid_namespace="pid:[1]",
    lock_file="/data/locks/7000-a.lock",
    lock_inode="1:2",
)
RUNNING = Process(1_000.0, 500, "sleeping")
SUSPENDED = Process(1_000.0, 500, "stopped")
ZOMBIE = Process(1_000.0, 500, "zombie")
REUSED = Process(5_000.0, 900, "running")
UNREADABLE = Process(None)
SEEN = Seen("pit-lane", "boot-1", "pid:[1]", uptime_s=3_600.0, lock=LockState.HELD, process=RUNNING)
HEARD = Heard(heartbeat_age_ms=2_000, expired=False)
SESSION = Session(99, "2026-01-01", "mre 4711@elsewhere", "10.0.0.7", "idle", None)
FAR = msgspec.structs.replace(HOLDER, host="elsewhere")


def seen(**changes: object) -> Seen:
    return msgspec.structs.replace(SEEN, **changes)


CASES = [
    ("the lock is held and the process runs", HOLDER, SEEN, HEARD, Verdict.ALIVE, "its lock file is held"),
    ("suspended with its lock", HOLDER, seen(process=SUSPENDED), HEARD, Verdict.STOPPED, "suspended"),
    ("the lock is free: killed", HOLDER, seen(lock=LockState.FREE, process=None), HEARD, Verdict.DEAD, "nobody holds"),
    ("the lock is free: its run ended", HOLDER, seen(lock=LockState.FREE), HEARD, Verdict.DEAD, "is running"),
    ("held by a child of it", HOLDER, seen(process=REUSED), HEARD, Verdict.UNKNOWN, "although"),
    ("no lock file, running", HOLDER, seen(lock=LockState.NONE), HEARD, Verdict.ALIVE, "is running"),
    ("no lock file, gone", HOLDER, seen(lock=LockState.NONE, process=None), HEARD, Verdict.DEAD, "does not exist"),
    ("no lock file, pid reused", HOLDER, seen(lock=LockState.NONE, process=REUSED), HEARD, Verdict.DEAD, "another one"),
    ("no lock file, zombie", HOLDER, seen(lock=LockState.NONE, process=ZOMBIE), HEARD, Verdict.DEAD, "has ended"),
    ("not ours to look at", HOLDER, seen(lock=LockState.NONE, process=UNREADABLE), HEARD, Verdict.UNKNOWN, "may not"),
    ("rebooted", HOLDER, seen(boot_id="boot-2", process=None), Heard(7_200_000, True), Verdict.DEAD, "restarted"),
    ("heard since this boot", HOLDER, seen(boot_id="boot-2"), Heard(9_000, False), Verdict.UNKNOWN, "same name"),
    ("another container", HOLDER, seen(lock=LockState.NONE, pid_namespace="pid:[2]", process=None), HEARD,
     Verdict.UNKNOWN, "container"),
    ("another container with its lock", HOLDER, seen(pid_namespace="pid:[2]", process=None), HEARD, Verdict.ALIVE,
     "container"),
    ("another container, lock free", HOLDER, seen(pid_namespace="pid:[2]", lock=LockState.FREE), HEARD, Verdict.DEAD,
     "nobody holds"),
    ("another machine", FAR, SEEN, HEARD, Verdict.UNKNOWN, "another machine (elsewhere)"),
    ("another machine, connected", FAR, SEEN, Heard(2_000, False, SESSION, True), Verdict.ALIVE, "session 99"),
    ("another machine, connected, silent", FAR, SEEN, Heard(90_000, True, SESSION, True), Verdict.UNKNOWN, "for 90 s"),
    ("another machine, not connected", FAR, SEEN, Heard(2_000, False, None, True), Verdict.UNKNOWN, "no connection"),
    ("written by hand", None, None, HEARD, Verdict.UNKNOWN, "no readable holder"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("holder", "facts", "heard", "verdict", "words"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_the_strongest_evidence_decides(
    holder: Holder | None, facts: Seen | None, heard: Heard, verdict: Verdict, words: str
) -> None:
    judged, evidence = judge(holder, facts, heard)
    assert judged is verdict
    assert words in evidence


def test_a_clock_change_does_not_make_a_process_another_one() -> None:
    moved = Process(1_000.0 + 3_600, 500, "running")
    assert judge(HOLDER, seen(lock=LockState.NONE, process=moved), HEARD)[0] is Verdict.ALIVE


def test_a_heartbeats_age_alone_never_kills() -> None:
    late = Heard(heartbeat_age_ms=10**9, expired=True)
    verdict, evidence = judge(HOLDER, SEEN, late)
    assert verdict is Verdict.ALIVE
    assert evidence.endswith("no heartbeat for 1000000 s")


def test_dead_is_only_said_on_proof() -> None:
    """Over every combination of facts: DEAD needs this machine, and a reboot, a free lock or a missing process."""
    hosts = ("pit-lane", "elsewhere")
    boots, spaces = ("boot-1", "boot-2"), ("pid:[1]", "pid:[2]", "")
    processes = (None, RUNNING, SUSPENDED, ZOMBIE, REUSED, UNREADABLE)
    ages = (None, 2_000, 7_200_000)
    dead = 0
    for host, boot, space, lock, process, age in itertools.product(hosts, boots, spaces, LockState, processes, ages):
        facts = Seen(host, boot, space, uptime_s=3_600.0, lock=lock, process=process)
        verdict, _ = judge(HOLDER, facts, Heard(age, expired=True))
        if verdict is not Verdict.DEAD:
            continue
        dead += 1
        assert host == HOLDER.host
        rebooted = boot != HOLDER.boot_id and (age is None or age > 3_600_000)
        ended = boot == HOLDER.boot_id and lock is LockState.FREE
        gone = boot == HOLDER.boot_id and lock is LockState.NONE and space != "pid:[2]" and process in (
            None, ZOMBIE, REUSED
        )  # fmt: skip
        assert rebooted or ended or gone
    assert dead
