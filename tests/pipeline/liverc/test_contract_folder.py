"""Accepted additions to contracts: versions that only come, in force for every process, and written as a patch."""

from __future__ import annotations

import subprocess
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pipeline import contract_changes, drift
from pipeline.errors import Kind, PipelineError
from pipeline.liverc.build import parser_build
from pipeline.liverc.contract import contract_source, merge_alternatives
from pipeline.liverc.contract_folder import ContractFolder
from pipeline.liverc.readers import SHIPPED
from pipeline.liverc.urls import PageType
from pipeline.store import gate as rows
from pipeline.store import journal
from pipeline.store.database import Store
from tests.support.proving import confirmed_case, suspected_case

FAST = {"part": {"results": {"row_field": {"fast_lap_ms": {"column": ["Best Lap"]}}}}}
TABLE = {"part": {"results": {"at": ["//table[class('outcome')]"]}}}
EVENT = {"part": {"races": {"rows": {"at": [".//li"]}}}}


@pytest.fixture
def folder(tmp_path: Path) -> ContractFolder:
    return ContractFolder(tmp_path / "contracts")


def accept(folder: ContractFolder, addition: object = FAST, page_type: str = "race_result") -> int:
    return folder.accept(page_type, addition, reason="it was renamed", case=1, who="ann")  # type: ignore[arg-type]


def kind_of(call: object) -> Kind:
    with pytest.raises(PipelineError) as caught:
        call()  # type: ignore[operator]
    return caught.value.kind


def test_nothing_accepted_is_what_was_shipped(folder: ContractFolder) -> None:
    assert folder.current() is SHIPPED
    assert folder.build() == parser_build()
    assert (folder.history(), folder.export_patch("race_result")) == ((), "")


def test_what_is_accepted_adds_up_and_is_taken_back_singly(folder: ContractFolder) -> None:
    assert [accept(folder), accept(folder, TABLE), accept(folder, EVENT, "event")] == [1, 2, 1]
    readers = folder.current()
    assert readers.additions == {
        "event": EVENT,
        "race_result": {"part": {"results": {**FAST["part"]["results"], **TABLE["part"]["results"]}}},
    }
    assert folder.build() == readers.build != parser_build()
    (results,) = readers.contract("race_result").parts
    assert "class('outcome')" in results.at.source
    assert folder.withdraw("race_result", 1, reason="it was not", who="bob") == 3
    assert folder.current().additions == {"event": EVENT, "race_result": TABLE}
    assert accept(folder) == 4  # and in force once more
    assert folder.withdraw("race_result", 2, reason="nor this", who="bob") == 5
    assert folder.withdraw("race_result", 4, reason="nor that", who="bob") == 6
    assert folder.withdraw("event", 1, reason="enough", who="bob") == 2
    assert folder.current().build == parser_build()
    steps = [(step.version, step.action, step.withdraws) for step in folder.history("race_result")]
    assert steps == [
        (1, "accept", None), (2, "accept", None), (3, "withdraw", 1), (4, "accept", None), (5, "withdraw", 2),
        (6, "withdraw", 4),
    ]  # fmt: skip
    assert sorted(path.name for path in folder.root.iterdir())[-1] == "race_result.v6.json"


def test_another_process_sees_it_without_being_told(folder: ContractFolder) -> None:
    other = ContractFolder(folder.root)
    assert other.current() is SHIPPED
    accept(folder)
    first = other.current()
    assert first.additions == {"race_result": FAST}
    assert other.current() is first  # and compiles it once


def test_what_is_no_addition_is_refused_and_leaves_nothing(folder: ContractFolder) -> None:
    for addition, page_type in (
        ({"part": {"results": {"at": ["//table["]}}}, "race_result"),
        ({"part": {"podium": {"at": ["//p"]}}}, "race_result"),
        ({"identity": {"none": ["//p"]}}, "event"),
        (FAST, "weather"),
    ):
        assert kind_of(lambda a=addition, p=page_type: accept(folder, a, p)) is Kind.USAGE
    assert kind_of(lambda: folder.accept("race_result", FAST, reason=" ", case=1, who="ann")) is Kind.USAGE
    assert kind_of(lambda: folder.withdraw("race_result", 1, reason="why", who="ann")) is Kind.USAGE
    assert not folder.root.exists()
    accept(folder)
    assert kind_of(lambda: accept(folder)) is Kind.USAGE  # nothing new
    folder.withdraw("race_result", 1, reason="why", who="ann")
    assert kind_of(lambda: folder.withdraw("race_result", 1, reason="why", who="ann")) is Kind.USAGE


def test_a_damaged_file_is_named_and_not_passed_over(folder: ContractFolder) -> None:
    accept(folder)
    path = folder.root / "race_result.v1.json"
    path.write_bytes(path.read_bytes()[:40])
    for call in (folder.current, folder.build, folder.history):
        with pytest.raises(PipelineError) as caught:
            call()
        assert caught.value.kind is Kind.ARCHIVE_FAILED
        assert "race_result.v1.json" in caught.value.message


def test_an_addition_that_fits_no_more_closes_the_gate(folder: ContractFolder) -> None:
    accept(folder)
    path = folder.root / "race_result.v1.json"
    path.write_bytes(path.read_bytes().replace(b"fast_lap_ms", b"best_lap_ms"))
    assert kind_of(folder.current) is Kind.GATE_CLOSED


def test_two_who_accept_at_once_both_count(folder: ContractFolder) -> None:
    columns = [f"Best {number}" for number in range(8)]

    def one(column: str) -> int:
        addition = {"part": {"results": {"row_field": {"fast_lap_ms": {"column": [column]}}}}}
        return accept(ContractFolder(folder.root), addition)

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(one, columns)) == list(range(1, 9))
    in_force = folder.current().additions["race_result"]["part"]["results"]["row_field"]["fast_lap_ms"]["column"]
    assert sorted(in_force) == columns


# ---------------------------------------------------------------- as a patch


@pytest.mark.parametrize(
    ("page_type", "addition"),
    [
        ("race_result", FAST),
        ("race_result", {**TABLE, "script": {"name": ["lapsOfRacers"]}}),
        ("race_result", {"part": {"results": {"row_field": {"behind": {"row_xpath": ['td[@data-x="b\'"]']}}}}}),
        ("race_result", {"part": {"results": {"field": {"round": {"pattern": [r"^Runde:\s*(.*)$"]}}}}}),
        ("event", EVENT),
        ("entry_list", {"identity": {"title": ["Starters — [0-9]+"]}}),
    ],
)
def test_the_patch_gives_what_is_in_force(
    folder: ContractFolder, page_type: str, addition: object, tmp_path: Path
) -> None:
    accept(folder, addition, page_type)
    patch = folder.export_patch(page_type)
    path = tmp_path / "pipeline" / "liverc" / "contracts" / f"{page_type}.toml"
    path.parent.mkdir(parents=True)
    path.write_bytes(contract_source(PageType(page_type)))
    subprocess.run(["git", "apply", "-"], input=patch.encode(), cwd=tmp_path, check=True, capture_output=True)
    shipped = tomllib.loads(contract_source(PageType(page_type)).decode())
    assert tomllib.loads(path.read_text()) == merge_alternatives(shipped, addition, page_type)  # type: ignore[arg-type]
    removed = [line for line in patch.splitlines() if line.startswith("-") and not line.startswith("---")]
    assert len(removed) <= 2 * 3  # comments and layout stay


# ---------------------------------------------------------------- with its audit


def test_a_contract_changes_only_for_a_confirmed_case_of_its_page_type(store: Store, folder: ContractFolder) -> None:
    case = confirmed_case(store, "race_result")
    suspected = suspected_case(store, "event")

    def change(page_type: str, addition: object, case: int, reason: str = "renamed") -> int:
        return contract_changes.accept_addition(
            store, folder, page_type, addition, case=case, reason=reason, who="ann"  # type: ignore[arg-type]
        )  # fmt: skip

    for page_type, addition, number, reason in (
        ("event", EVENT, case, "renamed"),
        ("event", EVENT, suspected, "renamed"),
        ("race_result", FAST, 99, "renamed"),
        ("race_result", FAST, case, " "),
    ):
        expected = Kind.UNKNOWN if number == 99 else Kind.USAGE
        assert kind_of(lambda a=(page_type, addition, number, reason): change(*a)) is expected
    assert folder.history() == ()
    version = change("race_result", FAST, case)
    assert contract_changes.withdraw_addition(store, folder, "race_result", version, reason="no", who="bob") == 2
    assert [(row.how, row.case_id, row.who, row.withdraws) for row in rows.contract_changes(store)] == [
        ("accepted", case, "ann", None),
        ("withdrawn", None, "bob", 1),
    ]
    names = [line.name for line in journal.recent(store) if line.name.startswith("contract_")]
    assert names == ["contract_accepted", "contract_withdrawn"]
    drift.close(store, case, drift.DISMISSED, reason="it was nothing", who="ann")
    assert kind_of(lambda: change("race_result", FAST, case)) is Kind.USAGE


def test_an_addition_that_cannot_be_recorded_is_taken_back(
    store: Store, folder: ContractFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = confirmed_case(store)

    def failing(*_: object) -> None:
        raise RuntimeError("no")

    monkeypatch.setattr(rows, "add_contract_change", failing)
    with pytest.raises(RuntimeError):
        contract_changes.accept_addition(store, folder, "race_result", FAST, case=case, reason="renamed", who="ann")
    monkeypatch.undo()
    assert folder.current().build == parser_build()
