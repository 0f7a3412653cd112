"""Every system call on a file of the program fails once: the process dies right before it, or it reports EIO or ENOSPC.

Whatever happens then, what is served is the old or the new, what was acknowledged is there, a failure is told as what
it is, and the next run succeeds. On SQLite, whose files are ours; strace finds the calls and makes them fail.
"""

from __future__ import annotations

import random
import signal
from collections.abc import Sequence
from pathlib import Path

import pytest

from mre_console.simulator.faults import Fault
from pipeline.errors import TABLE, Kind
from tests.faults.conftest import FAULTS, Count, SetScene
from tests.faults.inside import Halted, HaltedKeeper
from tests.faults.processes import Attempt, Gate
from tests.faults.scenes import Scene, tiny_site
from tests.faults.system_calls import FAILURES, Call, Injection, KeeperThread, MainThread, Traced, needs_strace, traced

SAMPLE = 3  # of each failure in `make test`
SEED = 20_261_123
CHECKS_FAILED = TABLE[Kind.CHECKS_FAILED].exit_code
WRITING = ("pwrite64", "write", "fsync", "fdatasync", "rename", "ftruncate", "unlink")
# What may be told, by what was done to which file. SQLite takes pages that cannot be read for damaged, and a lock that
# cannot be taken for somebody else's.
NAMED = {"pages": {"ARCHIVE_FAILED"}, "db": {"DB_FULL", "DB_ERROR", "DB_UNREACHABLE", "DB_READONLY"}}
NAMED_CALLS = {"pread64": {"DB_DAMAGED"}, "fcntl": {"DB_BUSY"}}

pytestmark = [needs_strace, pytest.mark.parametrize("engine", ["sqlite"], indirect=True)]


class Bench:
    """A command that runs under strace again and again, alone with the database, as it would on a small machine."""

    words: list[str]
    missed = 0.05  # share of the calls that may not come up again, because the clock decides how many there are

    def __init__(self, scene: Scene, log: Path) -> None:
        self.scene, self._log = scene, log
        self._files = [Path(scene.database_url.removeprefix("sqlite:///")), scene.data]

    def prepare(self) -> bytes | None:
        """Make that there is something to do; what the event will serve when it is done."""
        raise NotImplementedError

    def run(self, *options: str) -> Traced:
        self.scene.service.store.close()  # the last one who closes it tidies up: that has to be the traced process
        return traced(self.scene.order(*self.words, prepare=Halted()), MainThread(), self._log, self._files, *options)


class Ingest(Bench):
    def prepare(self) -> bytes | None:
        self.words = ["ingest", self.scene.name]
        self.scene.correct()
        return self.scene.truth()


class KeepLease(Ingest):
    """What the run's other thread does meanwhile, which looks after the lease."""

    missed = 0.3

    def run(self, *options: str) -> Traced:
        self.scene.service.store.close()
        last = self.scene.site.document(self.scene.event_id).races[0].source_race_id
        fault = self.scene.server.faults.add(Fault("slow", "race_result", id=last, seconds=0.3))
        gate, told = Gate(self._log.with_name(f"gate-{len(self.scene.server.requests)}")), self._log.with_name("thread")
        attempt = self.scene.order(*self.words, prepare=HaltedKeeper(gate.path, told))
        seen = traced(attempt, KeeperThread(gate, told), self._log, self._files, *options)
        self.scene.server.faults.remove(fault)
        return seen


class Reset(Bench):
    def prepare(self) -> bytes | None:
        self.words = ["reset", self.scene.name, "--yes"]
        return None


class Undo(Bench):
    def prepare(self) -> bytes | None:
        recovered = self.scene.service.reset_event_ingestion(self.scene.name)
        assert recovered is not None
        self.words = ["undo", str(recovered.action.id), "--yes"]
        return self.scene.truth()


def chosen(calls: list[Call], failure: str) -> list[Call]:
    """All of them, or a few of those that write."""
    if FAULTS:
        return calls
    return random.Random(f"{SEED} {failure}").sample([call for call in calls if call.name in WRITING], SAMPLE)


@pytest.mark.parametrize("failures", [[one] for one in FAILURES] if FAULTS else [FAILURES], ids="-".join)
@pytest.mark.parametrize(
    "command", [Ingest, KeepLease, Reset, Undo] if FAULTS else [Ingest], ids=lambda one: one.__name__
)
def test_every_system_call_fails_once(
    set_scene: SetScene, command: type[Bench], failures: Sequence[str], tmp_path: Path, count: Count
) -> None:
    scene = set_scene(tiny_site())
    scene.ingest()
    bench = command(scene, tmp_path / "strace")
    for _ in range(2):  # the first one pays for what is loaded once
        bench.prepare()
        known = bench.run()
        assert known.attempt.wait() == 0, known.attempt.said
        scene.recover()
    calls = known.calls()
    for failure in failures:
        with count(f"{failure} at a system call of {command.__name__}", "sqlite", len(calls)) as tally:
            for call in chosen(calls, failure):
                new = bench.prepare()
                old = scene.served()
                injection = Injection(call, failure)
                seen = bench.run(injection.option)
                served = scene.check_whole(old, new)
                hit = seen.hit(injection)
                ended = check_ending(seen.attempt, served, hit) if hit else "not reached"
                tally.saw(served, ended, *(["lease left"] if scene.recover() else []))
        assert tally.besides["not reached"] <= max(1, command.missed * len(calls))


def check_ending(attempt: Attempt, served: int, call: Call) -> str:
    """A success is a fact, and a failure is told as what it is. How it ended, in a word."""
    code = attempt.wait()
    assert "Traceback" not in attempt.said, f"{call}: {attempt.said}"
    if code == -signal.SIGKILL:
        return "died"
    if code == 0:
        assert served == 1, f"{call}: acknowledged and lost"
        return "succeeded"
    if code == CHECKS_FAILED and "action" in attempt.told:  # it was taken, but could not be checked
        assert served == 1, f"{call}: acknowledged and lost"
        return "done, not checked"
    if call.file == "data":  # whether there is such a folder is asked before anything else
        assert (code, attempt.told["details"]["kind"]) == (2, "USAGE"), f"{call}: {attempt.said}"
        return "USAGE"
    kind = str(attempt.told["details"]["kind"])
    named = NAMED["db" if call.file.startswith("db") else "pages"] | NAMED_CALLS.get(call.name, set())
    assert (code, kind in named) == (6, True), f"{call}: {attempt.said}"
    return kind
