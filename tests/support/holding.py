"""A process of its own that begins a run and holds its event's lease, for tests that stop, kill or ask it.

    with Holding(database_url, data) as holding:
        holding.kill()

Modes, joined by `+`: `hold` (wait for a word), `transaction` (wait inside a fenced write), `fork` (leave a child
behind), `obey` (end when asked to stop), `deaf` (ignore SIGTERM), `elsewhere` (believe to be on another machine).

As a program (`python -m tests.support.holding URL DATA NAME MODE`) it is that process.
"""

from __future__ import annotations

import json
import os
import platform
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.runs import Run

NAME = "harbourraceway/7000"
ELSEWHERE = "elsewhere"
ROOT = Path(__file__).parents[2]


class Holding:
    """The holder, as the test sees it. `facts` is what it said of its run: run_id, token, pid."""

    def __init__(self, url: str, data: Path, *, name: str = NAME, mode: str = "hold") -> None:
        self._arguments = [url, str(data), name, mode]

    def __enter__(self) -> Holding:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.holding", *self._arguments],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.facts = self.hear()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.stdout.close()

    @property
    def pid(self) -> int:
        return self.process.pid

    def hear(self) -> dict[str, Any]:
        """What it says next."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, f"the holder ended with {self.process.wait()} without a word"
        said: dict[str, Any] = json.loads(line)
        return said

    def tell(self, word: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()

    def suspend(self) -> None:
        """SIGSTOP, and wait until it stands still."""
        os.kill(self.pid, signal.SIGSTOP)
        os.waitpid(self.pid, os.WUNTRACED)

    def wake(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        self.process.kill()
        self.process.wait()


def _say(**facts: object) -> None:
    print(json.dumps(facts), flush=True)


def main(url: str, data: str, name: str, mode: str) -> None:
    from pipeline.errors import PipelineError
    from pipeline.runs import Run
    from pipeline.service import Service, ServiceSettings

    modes = mode.split("+")
    if "deaf" in modes:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if "elsewhere" in modes:
        platform.node = lambda: ELSEWHERE
    with Service(ServiceSettings(db_url=url, data=Path(data))) as service:
        event = service.add_event(name)
        run = Run.begin(service.store, service.bus, event, kind="ingest", trigger="test", policy=service.lock_policy)
        try:
            _hold(run, modes)
        except PipelineError as error:
            _say(kind=error.kind)


def _hold(run: Run, modes: list[str]) -> None:
    from pipeline.store import leases

    facts = {"run_id": run.run_id, "token": run.fence.token, "pid": os.getpid()}
    if "obey" in modes:
        _say(**facts)
        run.signal.event.wait()
        error = run.signal.error()
        run.fail(error)
        _say(kind=error.kind, message=error.message)
        return
    if "transaction" in modes:
        with run.store.write():
            leases.lock_fence(run.store, run.fence)
            _say(**facts)
            sys.stdin.readline()
    else:
        _say(**facts, child=_fork() if "fork" in modes else None)
        sys.stdin.readline()
    run.flush()


def _fork() -> int:
    """A child that stays when this process is killed, until somebody ends it; it runs by the time this returns."""
    ready, said = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(said, b"x")
        signal.pause()
        os._exit(0)
    os.read(ready, 1)
    return pid


if __name__ == "__main__":
    main(*sys.argv[1:])
