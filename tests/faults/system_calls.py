"""A process under strace: which of its system calls touch its files, and what becomes of it when one of them fails.

A call is known by its name and by how many of that name its thread has made since the tracer came. Only one thread is
traced, so exactly one call fails.
"""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest

from tests.faults.processes import Attempt, Gate

ATTACH_S = 10.0
FAILURES = ("SIGKILL", "EIO", "ENOSPC")
STRACE = shutil.which("strace") or ""
_LINE = re.compile(r"(\w+)\((.*)")

needs_strace = pytest.mark.skipif(
    not STRACE, reason="strace is not installed; on Debian: apt-get install strace (`make test` does it as root)"
)


class Call(NamedTuple):
    """A system call that touched one of the program's files."""

    name: str
    number: int  # among its thread's calls of that name
    file: str  # the folder or the end of the name: what is the same from run to run


class Seen(NamedTuple):
    """A line of strace's log."""

    call: Call
    injected: bool  # it was made to fail


class Injection(NamedTuple):
    """A call that fails: with an error, or because the process dies right before it."""

    call: Call
    failure: str  # SIGKILL or an errno's name

    @property
    def option(self) -> str:
        how = f"signal={self.failure}" if self.failure == "SIGKILL" else f"error={self.failure}"
        return f"--inject={self.call.name}:{how}:when={self.call.number}"


class Traced:
    """What strace saw of a process that has ended."""

    def __init__(self, attempt: Attempt, log: Path, files: Sequence[Path]) -> None:
        self.attempt = attempt
        self._seen = list(_read(log, [str(path) for path in files]))

    def calls(self) -> list[Call]:
        """All that touched a file of the program, in order."""
        return [seen.call for seen in self._seen if seen.call.file]

    def hit(self, injection: Injection) -> Call | None:
        """The call that failed. It may be another one than was meant, for what is written when depends on the clock;
        None: none did, or it was not on a file of the program."""
        if injection.failure == "SIGKILL":
            return injection.call if self.attempt.wait() == -signal.SIGKILL else None
        return next((seen.call for seen in self._seen if seen.injected and seen.call.file), None)


class MainThread:
    """A process that has stopped itself at its beginning (`inside.Halted`)."""

    def wait(self, attempt: Attempt) -> int:
        """Wait until it can be traced; the thread to trace."""
        while psutil.Process(attempt.pid).status() != psutil.STATUS_STOPPED:
            assert not attempt.ended_within(0.001), attempt.said
        return attempt.pid

    def release(self, attempt: Attempt) -> None:
        attempt.send(signal.SIGCONT)


class KeeperThread:
    """The thread that keeps the lease, waiting at its beginning (`inside.HaltedKeeper`)."""

    def __init__(self, gate: Gate, told: Path) -> None:
        self._gate, self._told = gate, told

    def wait(self, attempt: Attempt) -> int:
        assert self._gate.reached_by(attempt), attempt.said
        return int(self._told.read_text(encoding="utf-8"))

    def release(self, attempt: Attempt) -> None:
        self._gate.open()


def traced(
    attempt: Attempt, halted: MainThread | KeeperThread, log: Path, files: Sequence[Path], *options: str
) -> Traced:
    """Attach strace to a thread that waits for it, and let it go on until the process has ended.

    Args:
        files: what the names of the program's files begin with; calls on others are counted, but have no `file`.
    """
    thread = halted.wait(attempt)
    arguments = [STRACE, "-y", "-qq", "-s", "0", "-o", str(log), "--trace=%file,%desc", *options]
    tracer = subprocess.Popen([*arguments, "-p", str(thread)], stderr=subprocess.PIPE)
    try:
        while not _is_traced(attempt.pid, thread):
            assert tracer.poll() is None, tracer.communicate()[1].decode()
            attempt.ended_within(0.001)
        halted.release(attempt)
        attempt.wait()
        tracer.wait(ATTACH_S)
    finally:
        tracer.kill()
        tracer.communicate()
    return Traced(attempt, log, files)


def _is_traced(pid: int, thread: int) -> bool:
    status = Path(f"/proc/{pid}/task/{thread}/status").read_text(encoding="utf-8")
    return "TracerPid:\t0\n" not in status


def _read(log: Path, files: Sequence[str]) -> Iterator[Seen]:
    numbers = Counter[str]()
    for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
        known = _LINE.match(line)
        if known is not None:  # otherwise a signal, or how it ended
            name, rest = known.groups()
            numbers[name] += 1
            yield Seen(Call(name, numbers[name], _file(rest, files)), rest.endswith("(INJECTED)"))


def _file(rest: str, files: Sequence[str]) -> str:
    """`db-wal` of `/tmp/1.db-wal`, `bodies` of `…/pages/bodies/a/….z`; nothing for a file that is not the program's."""
    for begin in files:
        _, found, end = rest.partition(begin)
        if found:
            path = re.split(r'[">]', end)[0]
            folders = [folder for folder in path.split("/")[1:-1] if len(folder) > 1]
            return folders[-1] if folders else f"{Path(begin).suffix[1:]}{path}" or "data"
    return ""
