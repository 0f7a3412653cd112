"""Runs, locks, actions, undos, purges, checks and the switch in any order, against a model that knows no SQL.

`make faults` takes a thousand examples on each engine, and shows that faults seeded into the real thing are found;
`make test` takes a few, the same ones each time.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.errors import FlakyFailure
from hypothesis.stateful import run_state_machine_as_test

from pipeline.errors import PipelineError
from pipeline.service import Service, ServiceSettings
from tests.faults.conftest import FAULTS
from tests.faults.recovery_mutants import MUTANTS, Mutant, a_held_lease_is_taken, an_expired_lease_is_taken
from tests.support.databases import PostgresqlServer, SqliteFiles
from tests.support.recovery_machine_actions import RecoveryMachine

EXAMPLES = {"sqlite": 1_000 if FAULTS else 12, "postgresql": 1_000 if FAULTS else 6}
UNTIL_FOUND = 400  # examples, in which each seeded fault has to be found
STEPS = 30 if FAULTS else 20
RecordCounts = Callable[[str, object], None]


@pytest.fixture
def server(engine: str, request: pytest.FixtureRequest) -> SqliteFiles | PostgresqlServer:
    fixture = "postgresql_server" if engine == "postgresql" else "sqlite_files"
    found: SqliteFiles | PostgresqlServer = request.getfixturevalue(fixture)
    return found


class Counting:
    """Makes machines, each example with a database of its own, and counts the examples and their steps."""

    def __init__(self, server: SqliteFiles | PostgresqlServer, data: Path) -> None:
        self._server, self._data = server, data
        self.examples = 0
        self.steps = 0

    def machine(self) -> type[RecoveryMachine]:
        counting = self

        class Machine(RecoveryMachine):
            @staticmethod
            def open_service() -> Service:
                counting.examples += 1
                return Service(ServiceSettings(db_url=counting._server.url(), data=counting._data))

            @staticmethod
            def close_service(service: Service) -> None:
                service.close()
                counting._server.drop(service.settings.db_url)

            def check_invariants(self, *arguments: Any, **options: Any) -> None:
                counting.steps += 1
                super().check_invariants(*arguments, **options)

        return Machine

    def run(self, examples: int, **options: Any) -> None:
        run_state_machine_as_test(
            self.machine(),
            settings=settings(
                max_examples=examples,
                stateful_step_count=STEPS,
                deadline=None,
                database=None,
                suppress_health_check=list(HealthCheck),
                **options,
            ),
        )


@pytest.fixture
def counting(server: SqliteFiles | PostgresqlServer, tmp_path: Path) -> Counting:
    return Counting(server, tmp_path / "data")


def test_any_order_of_things(counting: Counting, engine: str, record_property: RecordCounts) -> None:
    began = time.monotonic()
    counting.run(EXAMPLES[engine], derandomize=not FAULTS)
    record_property(
        "counts", f"{counting.examples} examples, {counting.steps} steps, {time.monotonic() - began:.0f} s on {engine}"
    )


# ---------------------------------------------------------------- the machine has teeth

CHOSEN = MUTANTS if FAULTS else [a_held_lease_is_taken, an_expired_lease_is_taken]


@pytest.mark.parametrize("mutant", CHOSEN, ids=lambda mutant: mutant.__name__)
def test_a_seeded_fault_is_found(
    counting: Counting, mutant: Mutant, monkeypatch: pytest.MonkeyPatch, record_property: RecordCounts, engine: str
) -> None:
    mutant(monkeypatch)
    with pytest.raises((AssertionError, PipelineError, KeyError, FlakyFailure)):
        counting.run(UNTIL_FOUND, derandomize=True, phases=[Phase.generate], report_multiple_bugs=False)
    record_property("counts", f"found after {counting.examples} examples on {engine}")
