"""Which two pages stand beside each other: of an event that serves or does not, of a case, of a page set."""

from __future__ import annotations

from pathlib import Path

import pytest

from mre_console.simulator.mutations import mutator
from pipeline.errors import Kind, StateError
from tests.pipeline.test_repair import Operator


@pytest.fixture
def operator(tmp_path: Path) -> Operator:
    """Everything but the first event is served; then a column is called otherwise, and the first event fails."""
    made = Operator(tmp_path, f"sqlite:///{tmp_path / 'mre.sqlite3'}")
    for event in made.events[1:]:
        made.service.ingest(event)
    made.site.change_markup(mutator(["header_renamed"]))
    made.site.raise_build()
    made.fails(made.events[0])
    return made


def test_an_event_that_serves_nothing_is_compared_with_a_page_of_another_one(operator: Operator) -> None:
    service, event = operator.service, operator.events[0]
    found = service.compare_event(event)
    assert "column 'Fastest Lap' is gone" in found.diff.headline
    assert found.new.url != found.old.url
    assert found.new.url.startswith(f"https://{event.partition('/')[0]}.")
    assert found.diff.old_name.endswith("as it is served")
    read_again = service.reparse_page(found.new)
    assert any("fast_lap_ms is gone" in doubt for doubt in read_again.doubts)


def test_a_column_is_marked_with_its_title_on_both_pages(operator: Operator) -> None:
    diff = operator.service.compare_case(1).diff
    line = next(line for line in diff.fields if line.field == "fast_lap_ms")
    assert "th “Fastest Lap”" in {diff.old[at].strip() for at in line.old_lines}
    assert "th “Best”" in {diff.new[at].strip() for at in line.new_lines}


def test_a_case_compares_the_page_that_is_named_and_no_unknown_one(operator: Operator) -> None:
    service = operator.service
    url = service.drift_case(1).probes[-1].url
    found = service.compare_case(1, url=url)
    assert (found.old.url, found.new.url) == (url, url)
    assert next(line for line in found.diff.fields if line.field == "fast_lap_ms").status == "moved"
    with pytest.raises(StateError) as refused:
        service.compare_case(1, url="https://dustden.liverc.com/results/?p=view_event&id=1")
    assert refused.value.kind is Kind.USAGE


def test_a_page_set_stands_beside_its_events_newest_run_or_says_that_there_is_nothing(operator: Operator) -> None:
    service, event = operator.service, operator.events[1]
    service.capture_fixture(event)
    with pytest.raises(StateError) as refused:
        service.compare_fixture(event)
    assert "nothing to compare" in refused.value.message
    with pytest.raises(StateError):
        service.compare_fixture("900101")
    service.close_drift_case(1, "dismissed", reason="to see it fail once more")
    operator.site.change_markup(mutator(["driver_class_renamed"]))
    operator.fails(event)
    found = service.compare_fixture(event)
    assert "driver_name" in found.diff.headline
    assert found.diff.old_name.startswith("page set")
