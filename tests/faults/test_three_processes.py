"""Three processes at work on one database, killed at random moments: ingestions, retries and recovery actions in any
order. After each death everything that was acknowledged is there, every event serves what its history says, the checks
find nothing, and the next run succeeds.
"""

from __future__ import annotations

import random
from collections import Counter
from time import monotonic
from typing import Any

from mre_console.simulator.faults import Fault
from pipeline import checks
from pipeline.store import actions as action_rows
from tests.faults.conftest import FAULTS, Count, SetScene
from tests.faults.processes import Attempt
from tests.faults.scenes import Scene, tiny_site

KILLS = 300 if FAULTS else 6  # per engine
PROCESSES = 3
EVENTS = 3
SEED = 20_261_123
COMMANDS = {"ingest": 6, "retry": 3, "retry --failed": 1, "cleanup": 1, "cleanup --full": 2, "reset": 2, "restore": 3,
            "undo": 4, "purge": 1}  # fmt: skip
# How a command may end beside others: well; refused by what another did; without a page; beside another's error.
REFUSED = {"USAGE", "UNDO_REFUSED", "LOCK_HELD", "LEASE_LOST", "PLAN_STALE", "CLEARED", "NOT_FOUND", "DB_BUSY"}
# These tell of failures that really were; everything else must be quiet.
TOLD_BY_FAILURES = ("log", "durations")


class Ledger:
    """What was acknowledged, and all that may be served."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.truths: dict[str, set[bytes]] = {}
        self.published: dict[int, str] = {}  # run → the document's sha256
        self.actions: dict[int, str] = {}  # action → its kind

    def correct(self) -> None:
        """Change the event of the scene at its source."""
        self.scene.correct()
        self.truths.setdefault(self.scene.event_id, set()).add(self.scene.truth())

    def hear(self, attempt: Attempt) -> None:
        """Every complete line that a process wrote was acknowledged, however it ended."""
        for line in attempt.lines:
            if isinstance(line, dict) and line.get("outcome") == "published":
                self.published[line["run_id"]] = line["document_sha256"]
            if isinstance(line, dict) and "action" in line:
                self.actions[line["action"]["id"]] = line["action"]["kind"]

    def check(self) -> None:
        """Nothing acknowledged is lost, and every event serves what its runs and actions add up to, whole."""
        service, store = self.scene.service, self.scene.service.store
        for run_id, sha256 in self.published.items():
            run = service.run(run_id)
            assert (run.outcome, run.sealed, run.document_sha256) == ("published", True, sha256), (
                f"run {run_id} is lost"
            )
        known = {action.id: action.kind for action in service.actions(limit=100_000)}
        assert self.actions.items() <= known.items(), "an action is lost"
        for number in range(EVENTS):
            self.scene.turn_to(number)
            row = service.event(self.scene.name)
            assert row.current_run_id == self._expected(row.id), f"{self.scene.name} serves another run"
            served = self.scene.check_whole(*self.truths[self.scene.event_id], None)
            assert (served == len(self.truths[self.scene.event_id])) == (row.current_run_id is None)
            bench = checks.Bench(store, service.archive)
            report = checks.check(bench, row.id, asked_by="test", record=False)
            assert not [found for found in report.findings if found.check not in TOLD_BY_FAILURES]

    def _expected(self, event_id: int) -> int | None:
        """The run that an event has to serve after all that was done to it; one lease orders it all."""
        store = self.scene.service.store
        by_run = {action.run_id: action for action in action_rows.list_actions(store, event_id, limit=100_000)}
        serves: int | None = None
        with store.read():
            runs = store.sql("SELECT id, outcome FROM run WHERE event_id = ? ORDER BY id", event_id)
        for run_id, outcome in runs:
            if outcome == "published":
                serves = run_id
            elif run_id in by_run:
                serves = by_run[run_id].to_run_id
        return serves


def command(scene: Scene, rng: random.Random) -> list[str] | None:
    """Something that a person might ask for now; None where there is nothing to name."""
    (wish,) = rng.choices(list(COMMANDS), list(COMMANDS.values()))
    scene.turn_to(rng.randrange(EVENTS))
    if wish == "purge":
        return ["purge", "--older-than", "0", "--yes"]
    if wish == "retry --failed":
        return ["retry", "--failed", "--yes"]
    if wish == "undo":
        undoable = [action.id for action in scene.service.actions(limit=5) if action.undo_refused is None]
        return ["undo", str(rng.choice(undoable)), "--yes"] if undoable else None
    if wish == "restore":
        sealed = [run.id for run in scene.service.runs(scene.name, limit=8) if run.sealed and run.purged_at is None]
        return ["restore", scene.name, "--run", str(rng.choice(sealed)), "--yes"] if sealed else None
    verb, *options = wish.split()
    return [verb, scene.name, *options, *([] if verb == "ingest" else ["--yes"])]


class Round:
    """Three commands at once, of which some die."""

    def __init__(self, scene: Scene, rng: random.Random, within_s: float) -> None:
        wishes: list[list[str]] = []
        while len(wishes) < PROCESSES:
            wish = command(scene, rng)
            wishes += [wish] if wish else []
        began = monotonic()
        self.attempts = [scene.order(*wish) for wish in wishes]
        victims = rng.sample(range(PROCESSES), rng.choice((1, 1, 2, 3)))
        self.died: list[str] = []
        for moment, victim in sorted((rng.random() * within_s, victim) for victim in victims):
            self.attempts[victim].ended_within(max(0.0, moment - (monotonic() - began)))
            if self.attempts[victim].kill():
                self.died.append(wishes[victim][0])
        for attempt in self.attempts:
            check_ending(attempt)


def check_ending(attempt: Attempt) -> None:
    """Whoever was not killed says what became of it: well, or refused because of what another did."""
    if attempt.wait() in (0, -9):
        return
    assert "Traceback" not in attempt.said, attempt.said
    kinds = {line["details"]["kind"] for line in attempt.lines if isinstance(line, dict) and "details" in line}
    found: set[Any] = {
        finding["check"]
        for line in attempt.lines
        if isinstance(line, dict) and line.get("checks")
        for finding in line["checks"]["findings"]
    }
    assert kinds <= REFUSED, attempt.said
    assert kinds or found, attempt.said
    assert found <= set(TOLD_BY_FAILURES), attempt.said


def test_three_processes_and_random_deaths(set_scene: SetScene, engine: str, count: Count) -> None:
    rng = random.Random(SEED)
    scene = set_scene(tiny_site(events=EVENTS))
    ledger = Ledger(scene)
    for number in range(EVENTS):
        scene.turn_to(number)
        ledger.correct()
        scene.ingest()
    within_s, died = 0.3, Counter[str]()
    with count(f"kill -9 of one of {PROCESSES} processes", engine) as tally:
        while died.total() < KILLS:
            scene.turn_to(rng.randrange(EVENTS))
            ledger.correct()
            fault = scene.server.faults.add(Fault("404", "race_result")) if rng.random() < 0.25 else None
            before = served_runs(scene)
            round_ = Round(scene, rng, within_s)
            if fault is not None:
                scene.server.faults.remove(fault)
            # Reach past the end about one time in three, however busy the machine is.
            within_s *= 1.03 if round_.died else 0.95
            for attempt in round_.attempts:
                ledger.hear(attempt)
            scene.service.tick()
            assert not scene.service.locks(), "a dead holder keeps its lock"
            ledger.check()
            after = served_runs(scene)
            for word in round_.died:
                tally.saw(int(after != before), word)
            died.update(round_.died)
            scene.turn_to(rng.randrange(EVENTS))
            assert scene.ingest() in ("published", "unchanged")
            ledger.check()


def served_runs(scene: Scene) -> list[int | None]:
    return [event.current_run_id for event in sorted(scene.service.events(), key=lambda event: event.id)]
