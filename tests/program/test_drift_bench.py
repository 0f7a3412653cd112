"""A small sample of the drift bench, and that the bench can fail: a mutation that nobody could notice is called so."""

from __future__ import annotations

import pytest

from benchmarks.drift.__main__ import KINDS, Corpus, false_alarms, measure, passed, verdict
from benchmarks.drift.corpus import real, simulated
from benchmarks.drift.kinds import ENTRIES, RACE, Kind, in_cells
from benchmarks.drift.noticing import Fate, notice_all

SAMPLE = {
    "class_renamed",
    "header_renamed",
    "redesign_plain",
    "lap_fields_renamed",
    "table_split",
    "titles_swapped",
    "decimal_comma",
    "cell_digit",
    "row_dropped",
    "rows_of_another",
}


@pytest.fixture(scope="module")
def corpora() -> list[Corpus]:
    events, above = simulated()
    return [Corpus("simulated", events[:2], above), Corpus("real", *real())]


def test_there_are_kinds_enough_and_none_twice() -> None:
    names = [kind.name for kind in KINDS]
    assert len(set(names)) == len(names) >= 20


def test_a_sample_of_the_bench_passes(corpora: list[Corpus]) -> None:
    alarms, pages = false_alarms(corpora)
    lines = list(measure(corpora, SAMPLE, quick=True))
    assert {line.name for line in lines} == SAMPLE
    assert passed(lines, alarms), verdict(lines, alarms, pages)


def test_a_change_that_cannot_be_noticed_fails_the_bench(corpora: list[Corpus]) -> None:
    """The control: a transponder stands nowhere else, so another one is published, and the bench must say so."""
    unnoticed = Kind(
        "transponders_changed", "other transponders", {ENTRIES: in_cells(ENTRIES, 2, r">\d{7}<", ">1234567<")}
    )
    event = next(event for event in corpora[0].events if event.of(ENTRIES))
    found = notice_all(unnoticed, event, ENTRIES, "")
    assert found is not None
    assert found.fate is Fate.WRONG
    assert "transponder" in found.why


def test_what_a_kind_does_not_apply_to_stays_as_it_is(corpora: list[Corpus]) -> None:
    kind = next(kind for kind in KINDS if kind.name == "title_taken")
    assert kind.apply(RACE, b"<html></html>", "") is None
