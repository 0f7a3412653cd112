"""The recovery actions, each with an event for it: asked of a real `mre` again and again, from the same condition."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipeline import planning, recovery
from pipeline.service import Service, ServiceSettings
from pipeline.store import attempts, runs
from tests.faults.processes import Attempt, Launcher
from tests.support.generations import EVENT_ID, SLUG, begin
from tests.support.recovering import event_row, exported, leave_partial_rows, publish_generation, rows_of_all

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


SCENARIOS: list[type[Scenario]] = [Cleanup, FullCleanup, Reset, Restore, Undo, ClearLock]
