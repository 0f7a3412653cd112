"""Two pages beside each other: the headline names the field, every field has its place, changes can be walked."""

from __future__ import annotations

import pytest

from mre_console.simulator.mutations import MUTATIONS
from pipeline.page_diff import DiffPage, PageDiff, diff_pages, raw_diff, reparse
from tests.support.simulated import body, event_of, every_preset


def sides(name: str) -> tuple[DiffPage, DiffPage]:
    """An unchanged page and its mutation, of the next build."""
    site = every_preset()
    mutation = MUTATIONS[name]
    event_id = event_of(site, "small")
    wanted = {"race_result": "view_race_result", "event": "view_event", "entry_list": "view_entry_list"}
    host, target = next(a for a in site.addresses(event_id) if wanted[mutation.page_type] in a[1])
    old = body(site, (host, target))
    build = site.raise_build()
    new = mutation.apply(body(site, (host, target)))
    assert str(build).encode() in new
    return DiffPage(f"https://{host}{target}", old, "old"), DiffPage(f"https://{host}{target}", new, "new")


def diff(name: str) -> PageDiff:
    return diff_pages(*sides(name))


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("column_removed", "race_result · column 'Fastest Lap' is gone · 6 of 6 rows · since build 1273"),
        ("header_renamed", "column 'Fastest Lap' is gone · 6 of 6 rows · its values stand in 'Best'"),
        ("table_class_renamed", "race_result · the block of results is gone · 6 of 6 rows"),
        ("driver_class_renamed", "race_result · driver_name has no value · 6 of 6 rows"),
        ("script_renamed", "the lap script's variable 'racerLaps' is gone · 6 of 6 drivers"),
        ("lap_field_renamed", "the lap script's key 'time' is gone"),
        ("wrapper_added", "everything reads"),
        ("entry_header_renamed", "entry_list · column 'Transponder #' is gone"),
    ],
)
def test_the_headline_says_what_moved(name: str, says: str) -> None:
    assert says in diff(name).headline


def test_an_unchanged_page_has_no_difference() -> None:
    old, _ = sides("header_renamed")
    found = diff_pages(old, old)
    assert found.headline == "race_result · no change in what is read"
    assert (found.changes, found.failure, found.similarity) == ((), None, 1.0)
    assert {line.status for line in found.fields} == {"ok"}


def test_a_moved_field_shows_where_it_stands_on_both_pages() -> None:
    found = diff("driver_class_renamed")
    (line,) = [line for line in found.fields if line.status == "moved"]
    assert (line.field, line.now, line.support, line.of) == ("driver_name", ".//span[class('racer')]", 6, 6)
    assert [found.old[at].strip() for at in line.old_lines] == ["span.driver_name ×6"]
    assert [found.new[at].strip() for at in line.new_lines] == ["span.racer ×6"]
    assert found.failure is not None


def test_changes_can_be_walked_and_shown_in_two_ways() -> None:
    found = diff("column_removed")
    assert len(found.changes) > 1
    first, second = found.changes[:2]
    assert found.following(first) == second
    assert found.preceding(second) == first
    assert found.preceding(first) is None
    unified = found.unified()
    assert any(line.startswith("-") and "Fastest Lap" in line for line in unified)
    rows = found.side_by_side()
    assert [left for kind, left, _ in rows if kind == "same"] == [right for kind, _, right in rows if kind == "same"]
    assert ("gone", "") in {(kind, right) for kind, _, right in rows}


def test_the_bytes_can_be_seen_and_the_page_read_again() -> None:
    old, new = sides("driver_class_renamed")
    assert any(line.startswith("+") and "racer" in line for line in raw_diff(old, new))
    assert reparse(old).failure is None
    assert reparse(new).field == "driver_name"


def test_pages_of_two_types_are_not_compared() -> None:
    race, _ = sides("header_renamed")
    event, _ = sides("race_list_class_renamed")
    with pytest.raises(ValueError, match="cannot be compared"):
        diff_pages(race, event)
