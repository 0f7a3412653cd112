"""Kernel locks on files: held by whoever took them, free the moment they die, and nobody else's business."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline import lockfiles
from pipeline.lockfiles import LockFile, LockState, probe

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such locks")


@pytest.fixture
def lock(tmp_path: Path) -> LockFile:
    lock = lockfiles.take(tmp_path / "locks", "7000")
    assert lock is not None
    return lock


def state(lock: LockFile) -> LockState:
    return probe(str(lock.path), lock.inode)


def die(lock: LockFile) -> None:
    """Let go of it as the kernel does when the process dies: nothing is tidied up."""
    assert lock._descriptor is not None
    lockfiles._held.discard(lock._descriptor)
    os.close(lock._descriptor)


def test_it_is_held_until_it_is_dropped(lock: LockFile) -> None:
    assert state(lock) is LockState.HELD
    assert state(lock) is LockState.HELD  # looking leaves it held
    lock.drop()
    assert not lock.path.exists()
    assert state(lock) is LockState.NONE
    lock.drop()


def test_two_locks_of_one_event_are_two_files(lock: LockFile) -> None:
    other = lockfiles.take(lock.path.parent, "7000")
    assert other is not None
    assert other.path != lock.path
    other.drop()
    assert state(lock) is LockState.HELD
    lock.drop()


def test_a_copy_in_its_place_proves_nothing(lock: LockFile) -> None:
    shutil.copy(lock.path, lock.path.with_suffix(".copy"))
    lock.path.with_suffix(".copy").replace(lock.path)
    assert state(lock) is LockState.NONE
    lock.drop()


def test_a_program_that_is_started_does_not_inherit_it(lock: LockFile) -> None:
    program = [sys.executable, "-c", "print(flush=True); input()"]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, close_fds=False) as child:
        assert child.stdout is not None
        child.stdout.readline()
        die(lock)
        assert state(lock) is LockState.FREE
        child.kill()


def test_a_forked_child_does_not_keep_it(lock: LockFile) -> None:
    ready, said = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(said, b"x")
        signal.pause()
    os.read(ready, 1)
    try:
        die(lock)
        assert state(lock) is LockState.FREE
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(ready)
        os.close(said)


def test_a_dead_holders_file_is_removed_and_a_living_ones_is_not(lock: LockFile) -> None:
    lockfiles.remove(str(lock.path), lock.inode)
    assert lock.path.exists()
    die(lock)
    lockfiles.remove(str(lock.path), lock.inode)
    assert not lock.path.exists()


@pytest.mark.parametrize(
    "path", ["", "/etc/passwd", "/no/such/file.lock", "\0.lock", "\udc80.lock", "x" * 5000 + ".lock"]
)
def test_a_path_that_names_no_lock_is_no_evidence(path: str) -> None:
    assert probe(path, "1:1") is LockState.NONE


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo.lock"
    os.mkfifo(fifo)
    link = tmp_path / "link.lock"
    link.symlink_to("/etc/passwd")
    for path in (fifo, link):
        assert probe(str(path), "1:1") is LockState.NONE


def test_a_folder_that_cannot_be_made_costs_evidence_not_the_run(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert lockfiles.take(tmp_path / "file" / "locks", "7000") is None
