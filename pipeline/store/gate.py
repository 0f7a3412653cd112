"""What the database remembers of page sets, builds of the readers and contracts. SQL only: `pipeline.gate` judges."""

from __future__ import annotations

from typing import Any

from msgspec import Struct
from msgspec.structs import asdict

from pipeline.store.database import Store
from pipeline.store.models import ContractChange, FixtureResult, FixtureVersion, Gate


class FixtureResultRow(Struct, frozen=True, kw_only=True):
    """How one page set read with one build."""

    parser_build: str
    fixture_set: str
    fixture_version: int
    origin: str  # shipped, captured
    set_sha256: str
    passed: bool
    document_sha256: str | None
    failure: str | None
    field: str | None
    difference_count: int
    differences: str  # JSON: the first of them
    took_ms: int
    at: int = 0  # UTC milliseconds; made by `add_result`


class GateRow(Struct, frozen=True, kw_only=True):
    """Whether a build may be used."""

    parser_build: str
    passed: bool
    sets_sha256: str
    set_count: int
    failing_set: str | None
    failing_field: str | None
    first_difference: str | None
    changed_at: int = 0  # UTC milliseconds; both are made by `put`
    checked_at: int = 0


class FixtureVersionRow(Struct, frozen=True, kw_only=True):
    """One step in the history of a captured page set."""

    id: int = 0
    fixture_set: str
    fixture_version: int
    set_sha256: str
    how: str  # models.FIXTURE_CHANGES
    case_id: int | None
    reason: str
    who: str
    at: int = 0


class ContractChangeRow(Struct, frozen=True, kw_only=True):
    """One step in the history of accepted contracts, as this database saw it."""

    id: int = 0
    page_type: str
    version: int
    how: str  # accepted, withdrawn
    withdraws: int | None
    parser_build: str
    addition: str  # JSON
    case_id: int | None
    reason: str
    who: str
    at: int = 0


def find(store: Store, parser_build: str) -> GateRow | None:
    """The gate of a build."""
    row = store.fetch_one(Gate.select().where(Gate.parser_build == parser_build))
    return None if row is None else GateRow(**{**row, "passed": bool(row["passed"])})


def in_use(store: Store) -> bool:
    """Whether this database has ever judged any build."""
    with store.read():
        return bool(store.sql("SELECT 1 FROM gate LIMIT 1"))


def put(store: Store, row: GateRow, *, turned: bool) -> None:
    """Record what holds of a build; with `turned`, from now on."""
    facts: dict[str, Any] = {**asdict(row), "changed_at": store.now_ms(), "checked_at": store.now_ms()}
    kept = {name: value for name, value in facts.items() if turned or name != "changed_at"}
    del kept["parser_build"]
    if not store.change(Gate.update(**kept).where(Gate.parser_build == row.parser_build)):
        store.change(Gate.insert(**facts).on_conflict(conflict_target=[Gate.parser_build], update=kept))


def results(store: Store, parser_build: str) -> dict[str, FixtureResultRow]:
    """Set's sha256 → its newest result with a build."""
    query = FixtureResult.select().where(FixtureResult.parser_build == parser_build).order_by(FixtureResult.id)
    return {row["set_sha256"]: _result(row) for row in store.fetch_all(query)}


def builds_that_passed(store: Store, set_sha256: str) -> frozenset[str]:
    """The builds with which a set once read as it must."""
    query = FixtureResult.select().where(FixtureResult.set_sha256 == set_sha256, FixtureResult.passed)
    return frozenset(row["parser_build"] for row in store.fetch_all(query))


def add_result(store: Store, row: FixtureResultRow) -> None:
    """Record how a replay went."""
    store.change(FixtureResult.insert(**{**asdict(row), "at": store.now_ms()}))


def versions(store: Store) -> dict[str, FixtureVersionRow]:
    """Captured set's event id → the newest step of its history."""
    query = FixtureVersion.select().order_by(FixtureVersion.id)
    return {row["fixture_set"]: FixtureVersionRow(**row) for row in store.fetch_all(query)}


def history(store: Store, fixture_set: str) -> tuple[FixtureVersionRow, ...]:
    """A captured set's history, oldest first."""
    query = FixtureVersion.select().where(FixtureVersion.fixture_set == fixture_set).order_by(FixtureVersion.id)
    return tuple(FixtureVersionRow(**row) for row in store.fetch_all(query))


def add_version(store: Store, row: FixtureVersionRow) -> None:
    """Record a step of a captured set. Raises StoreError DB_REFUSED where it needs a confirmed case and has none."""
    facts = {**asdict(row), "at": store.now_ms()}
    del facts["id"]
    store.change(FixtureVersion.insert(**facts))


def add_contract_change(store: Store, row: ContractChangeRow) -> None:
    """Record an accepted or withdrawn addition. Raises StoreError DB_REFUSED as `add_version`."""
    facts = {**asdict(row), "at": store.now_ms()}
    del facts["id"]
    store.change(ContractChange.insert(**facts))


def contract_changes(store: Store, page_type: str | None = None) -> tuple[ContractChangeRow, ...]:
    """What was accepted and withdrawn through this database, oldest first."""
    query = ContractChange.select().order_by(ContractChange.id)
    if page_type is not None:
        query = query.where(ContractChange.page_type == page_type)
    return tuple(ContractChangeRow(**row) for row in store.fetch_all(query))


def _result(row: dict[str, Any]) -> FixtureResultRow:
    del row["id"]
    return FixtureResultRow(**{**row, "passed": bool(row["passed"])})
