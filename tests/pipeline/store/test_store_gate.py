"""What the database itself refuses of the gate: a green one without sets, results and history that change."""

from __future__ import annotations

import pytest

from pipeline.errors import Kind, StoreError
from pipeline.store import consistency, migrations
from pipeline.store import gate as rows
from pipeline.store.database import Store
from pipeline.store.gate import FixtureResultRow, GateRow


def result(build: str = "b1", *, passed: bool = True, sha256: str = "s1") -> FixtureResultRow:
    return FixtureResultRow(
        parser_build=build, fixture_set="7", fixture_version=1, origin="shipped", set_sha256=sha256, passed=passed,
        document_sha256="d" if passed else None, failure=None if passed else "FIELD_MISSING", field=None,
        difference_count=0, differences="[]", took_ms=3,
    )  # fmt: skip


def gate(*, passed: bool, sets: int = 1, first: str | None = None) -> GateRow:
    return GateRow(
        parser_build="b1", passed=passed, sets_sha256="x", set_count=sets, failing_set=None, failing_field=None,
        first_difference=first,
    )  # fmt: skip


REFUSED = [
    "UPDATE fixture_result SET passed = FALSE, failure = 'x'",
    "DELETE FROM fixture_result",
    "UPDATE gate SET set_count = 0",
    "UPDATE gate SET passed = FALSE",
    "UPDATE gate SET passed = TRUE, failing_set = '7'",
    """INSERT INTO fixture_result (parser_build, fixture_set, fixture_version, origin, set_sha256, passed,
       document_sha256, failure, difference_count, differences, took_ms, at)
       VALUES ('b', '7', 1, 'shipped', 's', TRUE, 'd', 'no', 0, '', 1, 1)""",
    """INSERT INTO contract_change (page_type, version, how, parser_build, addition, reason, who, at)
       VALUES ('event', 1, 'accepted', 'b', '{}', 'why', 'ann', 1)""",
]


@pytest.mark.parametrize("statement", REFUSED)
def test_the_database_refuses(store: Store, statement: str) -> None:
    rows.add_result(store, result())
    rows.put(store, gate(passed=True), turned=True)
    before = rows.find(store, "b1"), rows.results(store, "b1")
    with pytest.raises(StoreError) as refused, store.write():
        store.sql(statement)
    assert refused.value.kind is Kind.DB_REFUSED
    assert (rows.find(store, "b1"), rows.results(store, "b1")) == before


def test_the_newest_result_of_a_build_and_set_counts(store: Store) -> None:
    for row in (result(), result(passed=False), result("b2"), result(sha256="s2")):
        rows.add_result(store, row)
    assert {sha256: row.passed for sha256, row in rows.results(store, "b1").items()} == {"s1": False, "s2": True}
    assert rows.builds_that_passed(store, "s1") == {"b1", "b2"}


def test_a_gate_keeps_when_it_turned(store: Store) -> None:
    assert not rows.in_use(store)
    rows.put(store, gate(passed=True), turned=True)
    first = rows.find(store, "b1")
    rows.put(store, gate(passed=True, sets=2), turned=False)
    again = rows.find(store, "b1")
    assert first is not None
    assert again is not None
    assert (again.set_count, again.changed_at) == (2, first.changed_at)
    assert again.checked_at >= first.checked_at
    assert rows.in_use(store)
    rows.put(store, gate(passed=False, first="x"), turned=True)
    assert rows.find(store, "b2") is None


def test_the_guards_are_among_those_that_the_checks_expect(store: Store) -> None:
    with store.read():
        names = consistency.triggers(store)
    assert {"fixture_result_update", "fixture_version_case", "contract_change_case"} <= names


def test_the_gate_can_be_taken_back_with_what_it_held_and_made_again(store: Store) -> None:
    rows.add_result(store, result())
    rows.put(store, gate(passed=True), turned=True)
    while migrations.downgrade(store) != ("0004_gate",):
        pass
    with store.read():
        assert "fixture_result" not in store.db.get_tables()
    migrations.upgrade(store)
    assert (rows.results(store, "b1"), rows.in_use(store)) == ({}, False)
    rows.add_result(store, result())
