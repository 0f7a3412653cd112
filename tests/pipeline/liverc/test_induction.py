"""Known-answer induction: what moved is found, what is gone is said so, and a page can speak against a proposal."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec import structs

from benchmarks.drift.redesigns import REDESIGNS
from benchmarks.drift.structural import STRUCTURAL
from mre_console.simulator.mutations import MUTATIONS
from pipeline.errors import ParseError
from pipeline.liverc.contract import ContractError, load_contract
from pipeline.liverc.induction import KnownPage, Proposal, propose
from pipeline.liverc.readers import read_page
from pipeline.liverc.urls import PageType, parse_url
from pipeline.records import RacePage
from tests.support.liverc_pages import race_page
from tests.support.simulated import body, event_of, every_preset

RACE = "race_result"


def races(change: Callable[[bytes], bytes]) -> list[KnownPage]:
    """Races of one event in which everybody drove laps enough, changed."""
    site = every_preset()
    found = []
    for host, target in site.addresses(event_of(site, "typical")):
        ref = parse_url(f"https://{host}{target}")
        if ref.page_type == RACE:
            page = body(site, (host, target))
            found.append(KnownPage(ref, change(page), read_page(page, ref)))
    return found


def learn(change: Callable[[bytes], bytes]) -> tuple[Proposal, list[KnownPage]]:
    pages = races(change)
    return propose(RACE, pages[:3], pages[3:5]), pages


def read(page: KnownPage, proposal: Proposal) -> object:
    return read_page(page.body, page.ref, load_contract(PageType(proposal.page_type), proposal.addition))


@pytest.mark.parametrize(
    "name", ["driver_class_renamed", "table_class_renamed", "header_renamed", "script_renamed", "lap_field_renamed"]
)
def test_what_moved_is_found_and_reads_on_a_page_never_seen(name: str) -> None:
    proposal, pages = learn(MUTATIONS[name].apply)
    with pytest.raises(ParseError):
        if read_page(pages[5].body, pages[5].ref) != pages[5].record:
            raise ParseError("INTERNAL", "reads otherwise")  # type: ignore[arg-type]
    assert proposal.is_proven
    assert read(pages[5], proposal) == pages[5].record


def test_a_whole_redesign_is_found() -> None:
    grid = next(kind for kind in REDESIGNS if kind.name == "redesign")

    def redesign(page: bytes) -> bytes:
        changed = grid.apply(RACE, page, "")
        assert changed is not None
        return changed

    proposal, pages = learn(redesign)
    assert proposal.is_proven
    assert read(pages[5], proposal) == pages[5].record
    assert not proposal.of("lost")


def test_what_vanished_is_said_to_be_lost() -> None:
    proposal, _ = learn(MUTATIONS["column_removed"].apply)
    assert {one.field for one in proposal.of("lost")} == {"fast_lap_ms", "fast_lap_number"}
    assert not proposal.is_proven


def test_a_column_that_vanished_is_not_taken_from_another_field_that_only_equals_it() -> None:
    """The grid number of every starter is the car's number, too."""
    gone = next(kind for kind in STRUCTURAL if kind.name == "optional_column_removed")
    proposal, _ = learn(lambda page: gone.apply(RACE, page, "") or page)
    qualifying = next(one for one in proposal.fields if one.field == "qualifying_position")
    assert qualifying.status == "ambiguous"
    assert "car_number" in (qualifying.note or "")


def test_titles_over_another_number_of_cells_teach_nothing() -> None:
    proposal, _ = learn(lambda page: page.replace(b"<th>Qual</th>", b""))
    assert "part" not in proposal.addition or not proposal.is_proven
    assert "13 cells" in (next(one for one in proposal.fields if one.field == "results.columns").note or "")


def test_a_page_that_was_held_out_speaks_against_a_wrong_proposal() -> None:
    """Learnt from pages that say something else than is known, a proposal must not call itself proven."""
    pages = races(MUTATIONS["header_renamed"].apply)
    record = pages[4].record
    assert isinstance(record, RacePage)
    wrong = structs.replace(record, rows=tuple(structs.replace(row, fast_lap_ms=1) for row in record.rows))
    proposal = propose(RACE, pages[:3], [structs.replace(pages[4], record=wrong)])
    assert not proposal.is_proven
    assert any("fast_lap_ms" in one for one in proposal.held_out[0].wrong)


def test_unchanged_pages_need_nothing() -> None:
    proposal, _ = learn(lambda page: page)
    assert proposal.addition == {}
    assert {one.status for one in proposal.fields} == {"ok"}


# ---------------------------------------------------------------- contracts that a repair has widened


def test_a_renamed_lap_script_is_read_by_its_added_names() -> None:
    changed = (
        race_page().replace(b"racerLaps", b"lapsOf").replace(b"'time' :", b"'t' :").replace(b"'fastLap' :", b"'f' :")
    )
    ref = parse_url("https://nordhall.liverc.com/results/?p=view_race_result&id=9")
    addition = {"script": {"name": ["lapsOf"], "racer": {"fast_lap": ["f"]}, "lap": {"time": ["t"]}}}
    wider = load_contract(PageType.RACE_RESULT, addition)
    assert read_page(changed, ref, wider) == read_page(race_page(), ref) == read_page(race_page(), ref, wider)


def test_one_key_cannot_mean_two_things() -> None:
    with pytest.raises(ContractError, match="one key for two values"):
        load_contract(PageType.RACE_RESULT, {"script": {"lap": {"time": ["lapNum"]}}})


def test_a_value_without_its_column_is_found_from_the_row() -> None:
    ref = parse_url("https://nordhall.liverc.com/results/?p=view_race_result&id=9")
    changed = race_page().replace(b"<th>Qual</th>", b"<th></th>")
    addition = {"part": {"results": {"row_field": {"qualifying_position": {"row_xpath": ["td[3]"]}}}}}
    wider = load_contract(PageType.RACE_RESULT, addition)
    assert read_page(changed, ref) != read_page(race_page(), ref)
    assert read_page(changed, ref, wider) == read_page(race_page(), ref) == read_page(race_page(), ref, wider)
    with pytest.raises(ContractError, match="only alternatives"):
        load_contract(PageType.RACE_RESULT, {"field": {"track_name": {"row_xpath": ["td"]}}})
