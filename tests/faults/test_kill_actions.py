"""A process that is killed at any Python line or statement of a recovery action leaves the event as it was, or as it
was to become.

Each action is one transaction, so there is no third state: not a row more or less, no lock left, and the next attempt
does what the killed one was asked for.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from pipeline import recovery
from pipeline.store import runs
from tests.faults.actions import ACT, SCENARIOS, Cleanup, Reset, Scenario, Stage, Undo
from tests.faults.conftest import FAULTS, Count, sampled_on
from tests.faults.inside import Lines, Places, Statements, torn_action
from tests.faults.processes import Launcher
from tests.support.databases import ENGINES
from tests.support.recovering import event_row, exported, publish_generation

SAMPLE = 2  # places of each action in `make test`, besides the last
SEED = 20_261_123


@pytest.fixture
def stage(database_url: str, tmp_path: Path, launcher: Launcher) -> Iterator[Stage]:
    stage = Stage(database_url, tmp_path, launcher)
    yield stage
    launcher.close()
    stage.close()


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


@sampled_on("sqlite")
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


@sampled_on("postgresql")
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
