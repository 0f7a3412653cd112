"""The switch is one row that stays and says why; what a run of the checks found stays as it was. On both engines."""

from __future__ import annotations

import pytest

from pipeline.errors import Kind, StoreError
from pipeline.store import check_runs, consistency, control, migrations
from pipeline.store.check_runs import CheckRunRow
from pipeline.store.database import Store


def check_run(store: Store, *, event_id: int | None = None, errors: int = 0) -> int:
    return check_runs.insert(
        store,
        CheckRunRow(
            id=0, event_id=event_id, asked_by="test", started_at=store.clock_ms(), finished_at=0, passed=errors == 0,
            error_count=errors, warning_count=1, checks="{}", findings="[]", parser_build="build",
        ),
    )  # fmt: skip


REFUSED = [
    "DELETE FROM control",
    "UPDATE control SET id = 2",
    "INSERT INTO control (id, mode) VALUES (2, 'enabled')",
    "UPDATE control SET mode = 'half'",
    "UPDATE control SET mode = 'disabled', reason = NULL, changed_by = 'ann'",
    "UPDATE control SET mode = 'protected', reason = 'x', changed_by = NULL",
    "UPDATE check_run SET passed = TRUE, error_count = 0",
    "DELETE FROM check_run",
    """INSERT INTO check_run (asked_by, started_at, finished_at, passed, error_count, warning_count, checks, findings,
                              parser_build) VALUES ('x', 1, 2, TRUE, 3, 0, '', '', '')""",
]


@pytest.mark.parametrize("statement", REFUSED)
def test_the_database_itself_refuses(store: Store, statement: str) -> None:
    check_run(store, errors=2)
    before = control.read(store), check_runs.list_runs(store)
    with pytest.raises(StoreError) as refused, store.write():
        store.sql(statement)
    assert refused.value.kind is Kind.DB_REFUSED
    assert (control.read(store), check_runs.list_runs(store)) == before


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    "statement",
    [
        "REPLACE INTO control (id, mode) VALUES (1, 'enabled')",
        "REPLACE INTO check_run SELECT * FROM check_run",
    ],
)
def test_replace_does_not_slip_past(store: Store, statement: str) -> None:
    check_run(store)
    control.change(store, "disabled", "stop", "ann")
    with pytest.raises(StoreError), store.write():
        store.sql(statement)
    assert control.read(store).mode == "disabled"


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
@pytest.mark.parametrize("table", ["control", "check_run"])
def test_truncate_is_refused(store: Store, table: str) -> None:
    with pytest.raises(StoreError), store.write():
        store.sql(f"TRUNCATE {table}")


def test_a_new_database_is_enabled_by_nobody(store: Store) -> None:
    assert control.read(store) == control.ControlRow("enabled", None, None, None)


def test_the_newest_run_of_a_kind_is_found(store: Store) -> None:
    assert check_runs.newest(store) is None
    passed, failed, again = check_run(store), check_run(store, errors=1), check_run(store)
    newest = [check_runs.newest(store), check_runs.newest(store, passed=False), check_runs.newest(store, passed=True)]
    assert [row.id for row in newest if row] == [again, failed, again]
    assert check_runs.newest(store, everything=False) is None
    assert [row.id for row in check_runs.list_runs(store)] == [again, failed, passed]
    assert [row.passed for row in check_runs.list_runs(store)] == [True, False, True]


def test_the_guards_that_are_expected_are_those_in_force(store: Store) -> None:
    """The list is recorded from the migrations, so a guard that a later one adds or drops is known by itself."""
    with store.read():
        in_force = consistency.triggers(store)
    assert in_force == migrations.expected_triggers(store.engine)
    assert {"control_delete", "check_run_update", "lap_insert"} <= in_force
