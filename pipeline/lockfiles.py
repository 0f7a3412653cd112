"""Kernel locks on files: the strongest evidence that a run is still under way.

The kernel keeps such a lock as long as the process that took it exists, suspended or not, and gives it back the moment
it dies, however it dies. Nothing is decided by these locks: who may write is decided by the lease's token.
"""

from __future__ import annotations

import os
import secrets
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import StrEnum
from pathlib import Path

if sys.platform != "win32":
    import fcntl

_held: set[int] = set()  # descriptors of this process's locks


class LockState(StrEnum):
    """What a look at a lock file shows."""

    HELD = "held"
    FREE = "free"
    NONE = "none"  # there is no such file (here), or the file system knows no locks: no evidence at all


class LockFile:
    """An exclusive lock on a file of its own; ends with `drop` or with the process."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self.inode = _inode(os.fstat(descriptor))
        self._descriptor: int | None = descriptor

    def drop(self, *, remove: bool = True) -> None:
        """Give the lock back, and remove the file unless it has to tell others so. May be called twice."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is None:
            return
        if remove:
            with suppress(OSError):
                self.path.unlink(missing_ok=True)  # while it is locked: nobody may find it free
        _held.discard(descriptor)
        with suppress(OSError):
            os.close(descriptor)


def take(folder: Path, name: str) -> LockFile | None:
    """Lock a new file `folder/NAME-….lock`; None where that is impossible, and other evidence has to do.

    The file's name is never used twice, so that databases that share a folder cannot take one another's for their own.
    """
    if sys.platform == "win32":
        return None
    path = folder.absolute() / f"{name}-{secrets.token_hex(4)}.lock"
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)  # Python's descriptors end at exec
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.write(descriptor, b"%d\n" % os.getpid())  # for a person who wonders
        except OSError:
            os.close(descriptor)
            path.unlink(missing_ok=True)
            return None
        _held.add(descriptor)
        return LockFile(path, descriptor)
    return None


@contextmanager
def alone(path: Path, patience_s: float) -> Iterator[bool]:
    """Be the only one inside who named this file, here or in another process; whoever dies inside is out.

    Gives False where that cannot be had within `patience_s`, or not at all: what is done inside must then stand being
    done twice.
    """
    descriptor = _waited_for(path, patience_s)
    try:
        yield descriptor is not None
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _waited_for(path: Path, patience_s: float) -> int | None:
    if sys.platform == "win32":
        return None
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        deadline = time.monotonic() + patience_s
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    os.close(descriptor)
                    return None
                time.sleep(0.02)
            except OSError:
                os.close(descriptor)
                raise
            else:
                return descriptor
    return None


def probe(path: str, inode: str) -> LockState:
    """Whether somebody holds the lock of a file. `inode` tells the file from a copy in its place."""
    descriptor = _open(path)
    if descriptor is None:
        return LockState.NONE
    try:
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode) or _inode(facts) != inode:
            return LockState.NONE
        # Shared: two who look at once must not take each other for the holder.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return LockState.HELD
    except OSError:
        return LockState.NONE
    else:
        return LockState.FREE
    finally:
        os.close(descriptor)


def remove(path: str, inode: str) -> None:
    """Tidy up after a holder that died: remove its lock file, unless somebody holds it."""
    if probe(path, inode) is LockState.FREE:
        with suppress(OSError):
            Path(path).unlink(missing_ok=True)


def _open(path: str) -> int | None:
    """Open what the database names, which anybody may have written: nothing that blocks, nothing that is no lock."""
    if sys.platform == "win32" or not path.endswith(".lock") or "\0" in path:
        return None
    with suppress(OSError, UnicodeEncodeError):
        return os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    return None


def _inode(facts: os.stat_result) -> str:
    return f"{facts.st_dev}:{facts.st_ino}"


def _close_inherited() -> None:
    """A forked child would keep its parent's locks beyond the parent's death."""
    for descriptor in tuple(_held):
        with suppress(OSError):
            os.close(descriptor)
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_inherited)
