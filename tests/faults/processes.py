"""Real `mre` processes, to be killed, stopped and interrupted at any moment.

`launch` forks one from a server that has the program's modules loaded already: it runs `main()` on its own arguments,
in a process of its own, but begins in ten milliseconds instead of half a second, so hundreds can die in a minute.
`launch_cold` starts the interpreter as a shell would. Both return an `Attempt`.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

REPOSITORY = Path(__file__).parents[2]
CLI = "from mre_console.cli.main import main; main()"
LIMIT_S = 60.0  # no process of these tests may live longer: a hang is a failure
LOADED = (
    "mre_console.cli.confirming",
    "mre_console.cli.ingest",
    "mre_console.settings",
    "pipeline.ingest",
    "pipeline.purging",
    "pipeline.recovering",
    "pipeline.service",
    "pipeline.liverc.shared_state",
    "pipeline.store.migrations",
    "platformdirs",
    "psycopg",
    "typer._adapters",  # what typer loads when it builds a command; merely slower where it has another name
    "pydantic.type_adapter",  # … and what that loads where it is installed
    "tests.faults.inside",
)

Preparation = Callable[[], None]


class Output(NamedTuple):
    """Where a process writes."""

    stdout: Path
    stderr: Path


class Attempt:
    """One `mre` process, under way or ended."""

    def __init__(self, process: BaseProcess | subprocess.Popen[bytes], output: Output) -> None:
        assert process.pid is not None
        self._process = process
        self._output = output
        self.pid: int = process.pid

    def ended_within(self, seconds: float) -> bool:
        """Wait for the end, at most so long."""
        if isinstance(self._process, subprocess.Popen):
            try:
                self._process.wait(seconds)
            except subprocess.TimeoutExpired:
                return False
            return True
        self._process.join(seconds)
        return self._process.exitcode is not None

    def send(self, number: int) -> None:
        """Send a signal; nothing happens where the process has just ended."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def kill(self) -> bool:
        """`kill -9`. False where it had ended by itself before."""
        if not self.ended_within(0):
            self.send(signal.SIGKILL)
        return self.wait() == -signal.SIGKILL

    def wait(self) -> int:
        """The exit code; negative for the signal that ended it."""
        if not self.ended_within(LIMIT_S):
            self.send(signal.SIGKILL)
            self.ended_within(LIMIT_S)
            raise AssertionError(f"the process was still running after {LIMIT_S:.0f} s\n{self.said}")
        code = self._process.returncode if isinstance(self._process, subprocess.Popen) else self._process.exitcode
        assert code is not None
        return code

    @property
    def lines(self) -> list[Any]:
        """The JSON lines on stdout."""
        if not self._output.stdout.exists():  # it died before it could say anything
            return []
        return [msgspec.json.decode(line) for line in self._output.stdout.read_bytes().splitlines()]

    @property
    def told(self) -> Any:
        """The one JSON line on stdout."""
        (line,) = self.lines
        return line

    @property
    def said(self) -> str:
        """Everything that it wrote, for people."""
        return "".join(path.read_text(encoding="utf-8") for path in self._output if path.exists())


class Gate:
    """A place where a process waits until it is let through (see `inside.Places`)."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self.path = path
        self._descriptor = -1

    def reached_by(self, attempt: Attempt) -> bool:
        """Wait until the process waits here. False: it ended on its way."""
        while not attempt.ended_within(0.001):
            with contextlib.suppress(OSError):  # as long as nobody reads
                self._descriptor = os.open(self.path, os.O_WRONLY | os.O_NONBLOCK)
                return True
        return False

    def open(self) -> None:
        """Let it go on."""
        os.close(self._descriptor)


class Launcher:
    """Launches processes; `close` ends those that are still there."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._attempts: list[Attempt] = []
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(list(LOADED))

    def launch(self, arguments: Sequence[str], *, prepare: Preparation | None = None) -> Attempt:
        """`mre ARGUMENTS` in a forked process; `prepare` is called there first (it must be picklable)."""
        from tests.faults import inside

        output = self._output()
        process = self._context.Process(target=inside.run_mre, args=(list(arguments), *map(str, output), prepare))
        process.start()
        return self._added(process, output)

    def launch_cold(self, arguments: Sequence[str]) -> Attempt:
        """`mre ARGUMENTS` in a new interpreter."""
        output = self._output()
        with output.stdout.open("wb") as stdout, output.stderr.open("wb") as stderr:
            process = subprocess.Popen(
                [sys.executable, "-c", CLI, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                cwd=REPOSITORY,
            )
        return self._added(process, output)

    def close(self) -> None:
        for attempt in self._attempts:
            attempt.kill()

    def _output(self) -> Output:
        number = len(self._attempts)
        return Output(self._folder / f"{number}.stdout", self._folder / f"{number}.stderr")

    def _added(self, process: BaseProcess | subprocess.Popen[bytes], output: Output) -> Attempt:
        attempt = Attempt(process, output)
        self._attempts.append(attempt)
        return attempt
