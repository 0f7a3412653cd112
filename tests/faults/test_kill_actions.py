"""A process that is killed at any Python line or statement of a recovery action leaves the event as it was, or as it
was to become.

Each action is one transaction, so there is no third state: not a row more or less, no lock left, and the next attempt
does what the killed one was asked for.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from pipeline import planning, recovery
from pipeline.service import Service, ServiceSettings
from pipeline.store import attempts, runs
from tests.faults.conftest import FAULTS, Count
from tests.faults.inside import Lines, Places, Statements, torn_action
from tests.faults.processes import Attempt, Launcher
from tests.support.databases import ENGINES
from tests.support.generations import EVENT_ID, SLUG, begin
from tests.support.recovering import (
    event_row,
    exported,
    leave_partial_rows,
    publish_generation,
    rows_of_all,
)

SAMPLE = 3  # places of each action in `make test`, besides the last
SEED = 20_261_123
OTHER = "7001"
ACT = "pipeline.recovery:act"


class Stage:
    """An event with two generations, partial rows and a count of failures, beside another one; and a killable `mre`."""

    def __init__(self, url: str, folder: Path, launcher: Launcher) -> None:
        self._url, self._folder, self._launcher = url, folder, launcher
        self.service = Service(ServiceSettings(db_url=url, data=folder / "data"))
        self.store = self.service.store
        publish_generation(self.store, 2, OTHER)
        publish_generation(self.store, 1)
        publish_generation(self.store, 2)
        self.event_id = leave_partial_rows(self.store).event_id

    def launch(self, words: list[str], die: Callable[[], None]) -> Attempt:
        where = ["--db", self._url, "--data", str(self._folder / "data")]
        return self._launcher.launch([*words, "--yes", "--json", *where], prepare=die)

    def seen(self) -> Any:
        """Everything that an action may change, and everything that it may not."""
        # The checks that follow an action hold an event with partial rows; that is another transaction.
        names = {"state", *planning.PLANNED_COLUMNS} - {"held_at", "held_reason", "retry_at"}
        row = event_row(self.store, self.event_id)
        columns = {name: getattr(row, name) for name in sorted(names)}
        return columns, exported(self.store, self.event_id), rows_of_all(self.store)

    def close(self) -> None:
        self.service.close()


@pytest.fixture
def stage(database_url: str, tmp_path: Path, launcher: Launcher) -> Iterator[Stage]:
    stage = Stage(database_url, tmp_path, launcher)
    yield stage
    launcher.close()
    stage.close()


class Scenario:
    """An action that is asked for again and again, each time from the same condition."""

    words: list[str]
    watched = ACT  # where it may die
    locked = False  # whether somebody holds the event's lease as long as nothing was done

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.prepare()

    def prepare(self) -> None:
        """Bring the event into the condition; `words` ask for the action then."""

    def take_back(self) -> None:
        """Once it was carried out: back to the condition."""
        newest = recovery.list_actions(self.stage.store, self.stage.event_id, limit=1)[0]
        recovery.undo(self.stage.store, newest.id, who="tester")


class Cleanup(Scenario):
    words = ["cleanup", EVENT_ID]

    def prepare(self) -> None:
        # An undo does not bring the state `failed` back: begin where it leaves an event.
        action = recovery.act(
            self.stage.store, recovery.plan_cleanup(self.stage.store, self.stage.event_id), who="tester"
        )
        recovery.undo(self.stage.store, action.id, who="tester")


class FullCleanup(Cleanup):
    words = ["cleanup", EVENT_ID, "--full"]


class Reset(Cleanup):
    words = ["reset", EVENT_ID]


class Restore(Cleanup):
    @property
    def words(self) -> list[str]:  # type: ignore[override]
        sealed = [run.id for run in runs.list_runs(self.stage.store, self.stage.event_id) if run.sealed]
        return ["restore", EVENT_ID, "--run", str(min(sealed))]


class Undo(Scenario):
    def prepare(self) -> None:
        store = self.stage.store
        action = recovery.act(store, recovery.plan_reset(store, self.stage.event_id), who="tester")
        self.words = ["undo", str(action.id)]

    take_back = prepare


class ClearLock(Scenario):
    """Not an action, but it ends a run and says so in one transaction too."""

    words = ["locks", "clear", f"{SLUG}/{EVENT_ID}", "--reason", "its holder is gone"]
    watched = "pipeline.leases:clear"
    locked = True

    def prepare(self) -> None:
        store, event_id = self.stage.store, self.stage.event_id
        begin(store)  # the holder is on a machine that nobody knows
        attempts.set_counts(store, event_id, attempts.Attempts(0, 0), retry_in_ms=None)

    take_back = prepare


SCENARIOS = [Cleanup, FullCleanup, Reset, Restore, Undo, ClearLock]
CASES = [
    *(("sqlite", scenario, Lines) for scenario in SCENARIOS),
    *(("postgresql", scenario, Statements) for scenario in (Reset, Undo)),
]
if FAULTS:
    CASES = list(product(ENGINES, SCENARIOS, (Lines, Statements)))


@pytest.mark.parametrize(
    ("engine", "scenario", "places"),
    [pytest.param(*case, id="-".join([case[0], case[1].__name__, case[2].__name__])) for case in CASES],
    indirect=["engine"],
)
def test_killed_anywhere_in_an_action(
    stage: Stage, scenario: type[Scenario], places: type[Places], tmp_path: Path, engine: str, count: Count
) -> None:
    asked = scenario(stage)
    old = stage.seen()
    listing = tmp_path / "places.json"
    attempt = stage.launch(asked.words, places(0, listing, asked.watched))
    attempt.wait()
    new = stage.seen()
    assert new != old, attempt.said
    asked.take_back()
    assert stage.seen() == old
    names = json.loads(listing.read_text(encoding="utf-8"))
    with count(f"kill -9 at a {places.__name__[:-1].lower()} of {scenario.__name__}", engine, len(names)) as tally:
        for number in _chosen(len(names)):
            attempt = stage.launch(asked.words, places(number, listing, asked.watched))
            assert attempt.wait() == -9, f"{names[number - 1]}: {attempt.said}"
            found = stage.seen()
            assert found in (old, new), f"a third state after dying at {names[number - 1]}"
            assert bool(stage.service.locks()) == (asked.locked and found == old)
            tally.saw(int(found == new))
            if found == new:
                asked.take_back()
                assert stage.seen() == old
    # What was asked for is done by the next attempt, as if nothing had happened.
    stage.launch(asked.words, places(0, listing, asked.watched)).wait()
    assert stage.seen() == new


def test_killed_anywhere_in_a_rollback(stage: Stage, tmp_path: Path, engine: str, count: Count) -> None:
    """Several events, an action for each: every single one is as it was or as it was to become."""
    words = ["restore", "--parser-build", "build"]
    listing = tmp_path / "places.json"
    events = [row.id for row in stage.service.events()]

    def seen() -> list[tuple[Any, ...]]:
        rows = [event_row(stage.store, event_id) for event_id in events]
        return [(row.state, row.current_run_id, exported(stage.store, row.id)) for row in rows]

    def take_back() -> None:
        for action in recovery.list_actions(stage.store):
            if action.undone_by is None and action.undoes is None:
                recovery.undo(stage.store, action.id, who="tester")

    Cleanup(stage)  # with its undo, after which the event's state is what an undo leaves
    old = seen()
    stage.launch(words, Statements(0, listing, ACT)).wait()
    new = seen()
    assert all(before != after for before, after in zip(old, new, strict=True))
    take_back()
    assert seen() == old
    names = json.loads(listing.read_text(encoding="utf-8"))
    with count("kill -9 at a statement of Rollback", engine, len(names)) as tally:
        for number in _chosen(len(names)):
            assert stage.launch(words, Statements(number, listing, ACT)).wait() == -9
            found = seen()
            done = [event == after for event, after in zip(found, new, strict=True)]
            assert all(event in both for event, *both in zip(found, old, new, strict=True)), names[number - 1]
            assert not stage.service.locks()
            tally.saw(int(all(done)) if len(set(done)) == 1 else "one event old, one new")
            take_back()
            assert seen() == old


def test_killed_at_every_line_of_a_purge(stage: Stage, tmp_path: Path, engine: str, count: Count) -> None:
    """Whole generations only, and what is served is never touched."""
    words = ["purge", "--older-than", "0"]
    listing = tmp_path / "places.json"
    watched = "pipeline.purging:purge"

    def one_more() -> None:
        publish_generation(stage.store, 2)
        time.sleep(0.002)  # a purge takes what ended before this millisecond

    one_more()
    one_more()
    assert stage.launch(words, Lines(0, listing, watched)).wait() == 0
    names = json.loads(listing.read_text(encoding="utf-8"))
    with count("kill -9 at a line of Purge", engine, len(names)) as tally:
        for number in _chosen(len(names)):
            one_more()
            before = _generations(stage)
            attempt = stage.launch(words, Lines(number, listing, watched))
            assert attempt.wait() == -9, f"{names[number - 1]}: {attempt.said}"
            after = _generations(stage)
            assert set(after) <= set(before)
            for run_id, rows in after.items():
                run = runs.get_run(stage.store, run_id)
                assert run is not None
                assert run.purged_at is None
                assert rows == (run.race_count, run.result_count, run.lap_count)
            assert exported(stage.store, stage.event_id) is not None
            tally.saw(int(len(after) != len(before)))


def _chosen(places: int) -> list[int]:
    """All places, or a few and always the last: right after the action."""
    if FAULTS:
        return list(range(1, places + 1))
    return [*sorted(random.Random(SEED).sample(range(1, places), SAMPLE)), places]


def _generations(stage: Stage) -> dict[int, tuple[int, ...]]:
    """Sealed runs that have rows → how many races, results and laps."""
    with stage.store.read():
        rows = stage.store.sql(
            """
            SELECT run.id, COUNT(DISTINCT race.id), COUNT(DISTINCT result.id), COUNT(lap.result_id)
            FROM run JOIN race ON race.run_id = run.id LEFT JOIN result ON result.race_id = race.id
            LEFT JOIN lap ON lap.result_id = result.id
            WHERE run.sealed AND run.event_id = ? GROUP BY run.id
            """,
            stage.event_id,
        )
    return {run_id: tuple(counts) for run_id, *counts in rows}


def test_control_an_action_that_commits_half_way_is_seen(stage: Stage, tmp_path: Path) -> None:
    """The comparison has teeth: half an action is a third state."""
    asked = Reset(stage)
    old = stage.seen()
    stage.launch(asked.words, Lines(0, tmp_path / "unused", ACT)).wait()
    new = stage.seen()
    asked.take_back()
    assert stage.launch(asked.words, torn_action).wait() == -9
    assert stage.seen() not in (old, new)
