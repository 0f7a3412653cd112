"""A process that is killed at any Python line of a recovery action leaves the event as it was, or as it was to become.

Each action is one transaction, so there is no third state: not a row more or less, no lock left, and the next attempt
does what the killed one was asked for.
"""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline import planning, recovery
from pipeline.service import Service, ServiceSettings
from pipeline.store import runs
from tests.faults.conftest import FAULTS
from tests.faults.inside import DieAtLine, torn_action
from tests.faults.processes import Attempt, Launcher
from tests.support.generations import EVENT_ID
from tests.support.recovering import (
    event_row,
    exported,
    leave_partial_rows,
    publish_generation,
    rows_of_all,
)

SAMPLE = 6  # lines of each action in `make test`
SEED = 20_261_123
OTHER = "7001"
RecordCounts = Callable[[str, object], None]


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
        row = event_row(self.store, self.event_id)
        # The checks that follow an action hold an event with partial rows; that is another transaction.
        names = {"state", *planning.PLANNED_COLUMNS} - {"held_at", "held_reason", "retry_at"}
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


@pytest.mark.parametrize("scenario", [Cleanup, FullCleanup, Reset, Restore, Undo], ids=lambda one: one.__name__)
def test_killed_at_every_line_of_an_action(
    stage: Stage, scenario: type[Scenario], tmp_path: Path, record_property: RecordCounts
) -> None:
    asked = scenario(stage)
    old = stage.seen()
    listing = tmp_path / "lines.json"
    attempt = stage.launch(asked.words, DieAtLine("pipeline.recovery", "act", 0, listing))
    attempt.wait()
    new = stage.seen()
    assert new != old, attempt.said
    asked.take_back()
    assert stage.seen() == old
    lines = json.loads(listing.read_text(encoding="utf-8"))
    died = Counter[str]()
    for number in _chosen(len(lines)):
        attempt = stage.launch(asked.words, DieAtLine("pipeline.recovery", "act", number, tmp_path / "unused"))
        assert attempt.wait() == -9, f"{lines[number - 1]}: {attempt.said}"
        found = stage.seen()
        assert found in (old, new), f"a third state after dying at {lines[number - 1]}"
        assert not stage.service.locks()
        died["new" if found == new else "old"] += 1
        if found == new:
            asked.take_back()
            assert stage.seen() == old
    # What was asked for is done by the next attempt, as if nothing had happened.
    stage.launch(asked.words, DieAtLine("pipeline.recovery", "act", 0, listing)).wait()
    assert stage.seen() == new
    record_property("counts", f"{died.total()} of {len(lines)} kills in {scenario.__name__}: left {dict(died)}")


def test_killed_at_every_line_of_a_purge(stage: Stage, tmp_path: Path, record_property: RecordCounts) -> None:
    """Whole generations only, and what is served is never touched."""
    words = ["purge", "--older-than", "0"]
    listing = tmp_path / "lines.json"

    def one_more() -> None:
        publish_generation(stage.store, 2)
        time.sleep(0.002)  # a purge takes what ended before this millisecond

    one_more()
    one_more()
    assert stage.launch(words, DieAtLine("pipeline.purging", "purge", 0, listing)).wait() == 0
    lines = json.loads(listing.read_text(encoding="utf-8"))
    died = Counter[str]()
    for number in _chosen(len(lines)):
        one_more()
        before = _generations(stage)
        attempt = stage.launch(words, DieAtLine("pipeline.purging", "purge", number, tmp_path / "unused"))
        assert attempt.wait() == -9, f"{lines[number - 1]}: {attempt.said}"
        after = _generations(stage)
        assert set(after) <= set(before)
        for run_id, rows in after.items():
            run = runs.get_run(stage.store, run_id)
            assert run is not None
            assert run.purged_at is None
            assert rows == (run.race_count, run.result_count, run.lap_count)
        assert exported(stage.store, stage.event_id) is not None
        died["whole" if len(after) == len(before) else "gone"] += 1
    record_property("counts", f"{died.total()} of {len(lines)} kills in purge: the generation was {dict(died)}")


def _chosen(lines: int) -> list[int]:
    """All lines, or a few and always the last: right after the action."""
    if FAULTS:
        return list(range(1, lines + 1))
    return [*sorted(random.Random(SEED).sample(range(1, lines), SAMPLE)), lines]


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
    stage.launch(asked.words, DieAtLine("pipeline.recovery", "act", 0, tmp_path / "unused")).wait()
    new = stage.seen()
    asked.take_back()
    assert stage.launch(asked.words, torn_action).wait() == -9
    assert stage.seen() not in (old, new)
