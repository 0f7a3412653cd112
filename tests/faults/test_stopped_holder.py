"""A process that is stopped, loses its lock and is woken again changes nothing that others have published or begun.

SIGSTOP hits a real `mre ingest` at a random moment after it took the lease. Where it was inside its write transaction
nobody can clear the lock (the database is held): then it must come to a whole end when it is woken. Everywhere else the
lock is cleared, another run publishes newer data or is under way, and the woken process has to find out by itself that
it is not wanted any more. A control with the fence taken out proves that the comparison sees what a zombie would do.
"""

from __future__ import annotations

import random
import signal
from collections import Counter
from time import monotonic
from typing import Any

import psutil
import pytest

from pipeline import leases
from pipeline.errors import Kind, PipelineError
from tests.faults.conftest import FAULTS, Count, SetScene
from tests.faults.inside import without_fence
from tests.faults.processes import Attempt, Preparation
from tests.faults.scenes import IMPATIENCE_S, Hold, Scene, small_site

WAKES = 60 if FAULTS else 10  # per engine, of holders whose lock was cleared
CONTROL_TRIES = 20
SEED = 19_700_101
BESIDE, AFTER = "beside a run under way", "after a newer run"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody here waits as long as a person would for a holder that sits inside its transaction."""
    monkeypatch.setattr(leases, "CLEAR_PATIENCE_S", IMPATIENCE_S)


class Stopped:
    """A holder, stopped somewhere between taking its lease and its end, and what was served when it was launched."""

    def __init__(self, scene: Scene, rng: random.Random, run_s: float, prepare: Preparation | None = None) -> None:
        self.scene = scene
        self.old = scene.served()
        scene.correct()
        self.own = scene.truth()  # what it is about to publish
        pages = scene.requests()
        self.attempt = scene.launch(prepare=prepare)
        scene.wait_for_page(pages, 1)
        self.attempt.ended_within(rng.random() * run_s)
        self.over = self.attempt.ended_within(0) or not stop(self.attempt)

    def clear_lock(self) -> bool:
        """Clear the stopped process's lock. False where it holds the database itself, or nothing any more."""
        try:
            lock = self.scene.service.clear_lock(self.scene.name, reason="its holder is stopped")
        except PipelineError as error:
            if error.kind in (Kind.DB_BUSY, Kind.UNKNOWN):
                return False
            raise
        assert lock.verdict == "STOPPED", lock.evidence
        return True

    def wake(self) -> int:
        """Let it go on to its end; its exit code."""
        self.attempt.send(signal.SIGCONT)
        return self.attempt.wait()


def stop(attempt: Attempt) -> bool:
    """SIGSTOP, and wait until every thread has stopped. False where the process ended instead."""
    attempt.send(signal.SIGSTOP)
    while not attempt.ended_within(0.001):
        try:
            if psutil.Process(attempt.pid).status() == psutil.STATUS_STOPPED:
                return True
        except psutil.NoSuchProcess:
            continue
    return False


def duration(scene: Scene) -> float:
    """Seconds from a run's first page to its end."""
    for _ in range(2):
        scene.correct()
        pages = scene.requests()
        attempt = scene.launch()
        scene.wait_for_page(pages, 1)
        began = monotonic()
        assert attempt.wait() == 0, attempt.said
    return monotonic() - began


class Newer:
    """Another run, of this process, that has the event now."""

    def __init__(self, scene: Scene, *, under_way: bool) -> None:
        self.scene = scene
        scene.correct()
        self.hold = Hold(scene.service)
        self.outcomes: list[Any] = []
        self.thread = scene.service.start_ingest(scene.name, done=self.outcomes.append)
        assert self.hold.reached.wait(30)
        if not under_way:
            self.finish()

    def finish(self) -> Any:
        """How it ended."""
        self.hold.go_on.set()
        self.thread.join(30)
        assert not self.thread.is_alive()
        return self.outcomes[0]


def test_a_woken_holder_changes_nothing(set_scene: SetScene, engine: str, count: Count) -> None:
    rng = random.Random(SEED)
    scene = set_scene(small_site())
    scene.ingest()
    run_s = duration(scene)
    met = Counter[str]()
    with count("holder stopped, cleared, woken", engine) as tally:
        for _ in range(10 * WAKES):
            if tally.done >= WAKES:
                break
            how = meet_again(scene, Stopped(scene, rng, run_s), under_way=met[BESIDE] <= met[AFTER])
            met[how] += 1
            if how in (BESIDE, AFTER):
                tally.saw(0, how)  # what was there stayed: no stale write
            else:
                tally.besides[f"not counted: {how}"] += 1
    assert met[BESIDE] + met[AFTER] == WAKES


def meet_again(scene: Scene, stopped: Stopped, *, under_way: bool) -> str:
    """Clear the stopped holder's lock, let another run take over, wake it; what kind of meeting that was."""
    if stopped.over or not stopped.clear_lock():
        assert stopped.wake() == 0, stopped.attempt.said
        assert scene.check_whole(stopped.own) == 0
        return "ended by itself" if stopped.over else "inside its write transaction"
    newer = Newer(scene, under_way=under_way)
    before, served = scene.everything(), scene.served()
    code = stopped.wake()
    assert scene.everything() == before
    assert scene.served() == served == (stopped.old if under_way else scene.truth())
    assert (code, stopped.attempt.told["details"]["kind"]) == (7, "LEASE_LOST")
    assert newer.finish().outcome == "published"
    assert scene.check_whole(scene.truth()) == 0
    return BESIDE if under_way else AFTER


def test_control_without_the_fence_stale_data_is_served(set_scene: SetScene, engine: str, count: Count) -> None:
    """The test above has teeth: without the fence the woken holder replaces what is served, and that is seen."""
    rng = random.Random(SEED)
    scene = set_scene(small_site())
    scene.ingest()
    run_s = duration(scene)
    for number in range(1, CONTROL_TRIES + 1):
        stopped = Stopped(scene, rng, run_s, without_fence)
        if stopped.over or not stopped.clear_lock():
            stopped.wake()
            continue
        newer = Newer(scene, under_way=True)
        before, served = scene.everything(), scene.served()
        stopped.wake()
        damaged = scene.served() != served
        assert scene.everything() != before or not damaged
        newer.finish()
        if damaged:
            with count("the same without the fence: the test fails, as it must", engine) as tally:
                tally.besides["stale data served at try"] = number
            return
        scene.recover()
    raise AssertionError(f"{CONTROL_TRIES} woken holders without a fence did no damage: the comparison sees nothing")
