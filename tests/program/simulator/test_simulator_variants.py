"""Other forms of a page: a formatter's, a browser's, and LiveRC's own after a change of markup."""

from __future__ import annotations

import re

import pytest

from mre_console.simulator.generate import World
from mre_console.simulator.mutations import MUTATIONS, mutator
from mre_console.simulator.site import SimulatedSite
from mre_console.simulator.variants import browser_saved, prettier
from tests.support.real_pages import REAL, needs_real_pages
from tests.support.shapes import headings, paths, tree

RACE_TABLE = '//table[contains(@class, "race_result")]'
REAL_PAGES = {
    "race_result": "race.6304822.html",
    "event": "event.486677.html",
    "events_listing": "events.canberraoffroad.html",
    "entry_list": "entry_list.silverstate.html",
    "track_catalogue": "catalogue.live.html",
    "track_dashboard": "dashboard.canberraoffroad.html",
}


@pytest.fixture(scope="module")
def site() -> SimulatedSite:
    return SimulatedSite(World(6, tracks=1, events=14, mix=("oddities", *("small",) * 13)), frozen_frame=True)


@pytest.fixture(scope="module")
def pages(site: SimulatedSite) -> dict[str, bytes]:
    """One page of each type; the race is the one with all the names and numbers."""
    slug = site.world.real_slugs()[0]
    event_id = next(day.event_id for day in site.world.events.values() if day.spec.oddities)
    sprint = next(r for r in site.world.races(event_id) if r.label == "Nitro Truggy A-Main")
    targets = {
        "race_result": f"/results/?p=view_race_result&id={sprint.race_id}",
        "event": f"/results/?p=view_event&id={event_id}",
        "events_listing": "/events/",
        "entry_list": f"/results/?p=view_entry_list&id={event_id}",
        "track_dashboard": "/",
    }
    addresses = {"track_catalogue": ("live.liverc.com", "/")}
    addresses |= {page_type: (f"{slug}.liverc.com", target) for page_type, target in targets.items()}
    answers = {page_type: site.answer(*address) for page_type, address in addresses.items()}
    return {page_type: answer.body for page_type, answer in answers.items() if answer}


def texts(body: bytes, xpath: str) -> list[str]:
    """The visible words of every element found, white space collapsed."""
    found = tree(body).xpath(xpath)
    assert isinstance(found, list)
    return [" ".join("".join(element.itertext()).split()) for element in found if not isinstance(element, str)]  # type: ignore[union-attr,arg-type]


def table_texts(body: bytes) -> list[str]:
    return texts(body, f"{RACE_TABLE}//td") + texts(body, f"{RACE_TABLE}//th")


# ---------------------------------------------------------------- the formatter


def test_a_formatted_race_page_says_the_same_in_other_bytes(pages: dict[str, bytes]) -> None:
    original, formatted = pages["race_result"], prettier(pages["race_result"])
    assert formatted.rstrip().endswith(b"</html>")
    # a long text is broken at a blank, and a cell's hidden value stands on a line of its own
    assert [t.replace(" ", "") for t in table_texts(formatted)] == [t.replace(" ", "") for t in table_texts(original)]
    script = formatted.decode()[formatted.index(b"var racerLaps") : formatted.rindex(b"console.log(racerLaps")]
    assert 'lapNum: "1",' in script
    assert "segments: []," in script
    assert '"MEL O\'HARROW"' in script
    assert re.search(r"^\s+\],$", script, re.MULTILINE)
    assert "'lapNum'" not in script
    assert "\t" not in script


def test_every_value_of_the_script_survives_the_formatter(pages: dict[str, bytes]) -> None:
    def values(body: bytes, pattern: str) -> list[str]:
        return re.findall(pattern, body.decode())

    original, formatted = pages["race_result"], prettier(pages["race_result"])
    for key in ("time", "pace", "pos", "lapNum", "fastLap", "consistency"):
        assert values(original, rf"'{key}' : '([^']*)'") == values(formatted, rf'\b{key}: "([^"]*)"'), key


# ---------------------------------------------------------------- the browser


def test_a_saved_listing_holds_ten_rows_and_datatables_marks(pages: dict[str, bytes]) -> None:
    page = pages["events_listing"]
    assert page.count(b"p=view_event&id=") == 14 + 1  # one more link in a comment
    saved = browser_saved(page)
    assert len(texts(saved, '//table[@id="events"]/tbody/tr')) == 10
    assert b'class="dataTables_wrapper' in saved
    assert b"Showing 1 to 10 of 14 entries" in saved
    assert b"sorting_asc" in saved
    assert b"/results/?p=view_event&amp;id=" in saved


def test_a_saved_race_page_keeps_all_rows_and_values(pages: dict[str, bytes]) -> None:
    saved = browser_saved(pages["race_result"])
    assert table_texts(saved) == table_texts(pages["race_result"])
    assert b'id="DataTables_Table_0"' in saved
    assert b'<tr role="row" class="odd">' in saved


def test_a_saved_catalogue_holds_a_hundred_tracks(pages: dict[str, bytes]) -> None:
    saved = browser_saved(pages["track_catalogue"])
    assert saved.count(b'class="odd clickable-row"') + saved.count(b'class="even clickable-row"') == 100


# ---------------------------------------------------------------- changed markup


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_mutation_changes_its_page_type_only(name: str, site: SimulatedSite, pages: dict[str, bytes]) -> None:
    mutation = MUTATIONS[name]
    changed = mutation.apply(pages[mutation.page_type])
    assert changed != pages[mutation.page_type]
    assert changed.endswith(b"</html>\n")
    change = mutator([name])
    assert change(mutation.page_type, pages[mutation.page_type]) == changed
    for page_type, body in pages.items():
        if page_type != mutation.page_type:
            assert change(page_type, body) == body


@needs_real_pages
@pytest.mark.parametrize("name", MUTATIONS)
def test_a_mutation_does_the_same_to_a_real_page(name: str, pages: dict[str, bytes]) -> None:
    """What is gone from a real page and what is new on it is gone from and new on ours."""
    mutation = MUTATIONS[name]
    root = '//div[@id="page-wrapper"]'
    real = (REAL / "pages" / REAL_PAGES[mutation.page_type]).read_bytes()

    def difference(before: bytes) -> tuple[set[str], set[str]]:
        after = mutation.apply(before)
        old, new = paths(before, root), paths(after, root)
        titles = {h for row in headings(before, root) for h in row}, {h for row in headings(after, root) for h in row}
        return old - new | titles[0] - titles[1], new - old | titles[1] - titles[0]

    def kinds(paths_: set[str]) -> set[str]:
        return {path.rpartition("/")[2] for path in paths_}

    for ours, theirs in zip(difference(pages[mutation.page_type]), difference(real), strict=True):
        assert kinds(theirs) <= kinds(ours) or kinds(ours) <= kinds(theirs)


def test_columns_move_in_titles_and_rows_alike(pages: dict[str, bytes]) -> None:
    def columns(body: bytes) -> list[int]:
        rows = [row for row in headings(body, RACE_TABLE) if len(row) > 3]
        cells = tree(body).xpath(f"{RACE_TABLE}/tbody/tr[1]/td")
        assert isinstance(cells, list)
        return [*(len(row) for row in rows), len(cells)]

    page = pages["race_result"]
    assert columns(page) == [13, 13, 13]
    assert columns(MUTATIONS["column_inserted"].apply(page)) == [14, 14, 14]
    assert columns(MUTATIONS["column_removed"].apply(page)) == [12, 12, 12]
    swapped = headings(MUTATIONS["columns_swapped"].apply(page), RACE_TABLE)[1]
    assert swapped[3:5] == ["Behind", "Laps/Time"]
    assert "Fastest Lap" not in headings(MUTATIONS["column_removed"].apply(page), RACE_TABLE)[1]


def test_a_mutation_without_a_target_says_so() -> None:
    with pytest.raises(ValueError, match="nothing that column_removed could change"):
        MUTATIONS["column_removed"].apply(b"<html></html>")
    with pytest.raises(KeyError):
        mutator(["no such thing"])


def test_the_site_serves_changed_markup_until_told_otherwise(site: SimulatedSite, pages: dict[str, bytes]) -> None:
    address = (f"{site.world.real_slugs()[0]}.liverc.com", "/events/")
    site.change_markup(mutator(["listing_column_inserted"]))
    changed = site.answer(*address)
    site.change_markup(None)
    known = site.answer(*address)
    assert changed is not None
    assert known is not None
    assert b"<th>Laps</th>" in changed.body
    assert known.body == pages["events_listing"]
