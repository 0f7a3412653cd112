"""The generated pages have the structural shape of the real ones, down to the white space of the lines that are read.

Every difference is named; those that are allowed say why.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mre_console.simulator.generate import World
from mre_console.simulator.pages_frame import Frame
from mre_console.simulator.site import SimulatedSite
from tests.support.real_pages import REAL, needs_real_pages
from tests.support.shapes import between, headings, layout, missing, paths, script_layout

pytestmark = needs_real_pages

BREADCRUMB = '//div[contains(@class, "page-breadcrumb")]'
NUMBERS = '//table[contains(@class, "table-sm")]'
RACE_TABLE = '//table[contains(@class, "race_result")]'
EVENT_TABLES = '//table[contains(@class, "entry_list_data")]'


@pytest.fixture(scope="module")
def site() -> SimulatedSite:
    """A world with every preset, on a day on which there is racing."""
    site = SimulatedSite(World(7, tracks=3, events=4, mix=("oddities", "mains", "small", "bare")), frozen_frame=True)
    site.advance(days=4)
    return site


def real(name: str) -> bytes:
    return (REAL / "pages" / name).read_bytes()


def generated(site: SimulatedSite, view: str) -> list[bytes]:
    """Every page of one kind that the site's events have."""
    addresses = [a for _, event_id in site.events() for a in site.addresses(event_id) if f"p={view}&" in a[1]]
    answers = [site.answer(*address) for address in addresses]
    return [answer.body for answer in answers if answer]


def answered(site: SimulatedSite, host: str, target: str = "/") -> bytes:
    answer = site.answer(host, target)
    assert answer is not None
    return answer.body


def differences(
    expected: set[str], found: set[str], *, only_real: tuple[str, ...] = (), only_ours: tuple[str, ...] = ()
) -> Iterator[str]:
    yield from (f"missing: {path}" for path in missing(expected, found, only_real))
    yield from (f"invented: {path}" for path in missing(found, expected, only_ours))


def test_race_pages_have_the_shape_of_real_ones(site: SimulatedSite) -> None:
    roots = (BREADCRUMB, '//div[@class="panel-heading"]', RACE_TABLE)
    found = set[str]().union(*(paths(page, *roots) for page in generated(site, "view_race_result")))
    expected = paths(real("race.6304822.html"), *roots) | paths(real("race.6304829.html"), *roots)
    assert list(differences(expected, found)) == []
    assert (
        headings(generated(site, "view_race_result")[0], RACE_TABLE)[1:]
        == headings(real("race.6304822.html"), RACE_TABLE)[1:]
    )


def test_the_lap_script_is_laid_out_as_a_real_one(site: SimulatedSite) -> None:
    def script(page: bytes) -> set[str]:
        return script_layout(between(page, "var racerLaps", "</script>"))

    found = set[str]().union(*(script(page) for page in generated(site, "view_race_result")))
    expected = script(real("race.6304822.html")) | script(real("race.6304829.html"))
    assert list(differences(expected, found)) == []


def test_the_result_table_is_laid_out_as_a_real_one(site: SimulatedSite) -> None:
    def table(page: bytes) -> set[str]:
        return layout(between(page, 'race_result" cellspacing', "</table>"))

    found = set[str]().union(*(table(page) for page in generated(site, "view_race_result")))
    expected = table(real("race.6304822.html")) | table(real("race.6304829.html"))
    assert list(differences(expected, found)) == []


def test_event_pages_have_the_shape_of_a_real_one(site: SimulatedSite) -> None:
    roots = (BREADCRUMB, EVENT_TABLES, NUMBERS)
    found = set[str]().union(*(paths(page, *roots) for page in generated(site, "view_event")))
    assert list(differences(paths(real("event.486677.html"), *roots), found)) == []


def test_the_race_list_is_laid_out_as_a_real_one(site: SimulatedSite) -> None:
    def race_list(page: bytes) -> set[str]:
        return layout(between(page, '<span class="class_header">Race Results', "</table>"))

    found = set[str]().union(*(race_list(page) for page in generated(site, "view_event")))
    # the depth of tabs in front of a heading counts what the template skipped before it, and so differs per row
    depth = (r"^\t+<tr>$", r"^\t+</tbody>$")
    assert list(differences(race_list(real("event.486677.html")), found, only_real=depth, only_ours=depth)) == []


def test_entry_lists_have_the_shape_of_a_real_one(site: SimulatedSite) -> None:
    roots = (BREADCRUMB, '//ul[contains(@class, "nav-pills")]', '//div[@class="tab-content"]', NUMBERS)
    found = set[str]().union(*(paths(page, *roots) for page in generated(site, "view_entry_list")))
    # the first tab is the open one; in the real page the first tabs have been cut out
    assert list(differences(paths(real("entry_list.silverstate.html"), *roots), found, only_ours=(r"active",))) == []


def test_the_events_listing_has_the_shape_of_a_real_one(site: SimulatedSite) -> None:
    roots = (BREADCRUMB, '//table[@id="events"]')
    found = set[str]().union(
        *(paths(answered(site, f"{slug}.liverc.com", "/events/"), *roots) for slug in site.world.real_slugs())
    )
    expected = paths(real("events.canberraoffroad.html"), *roots)
    assert list(differences(expected, found)) == []
    page = answered(site, f"{site.world.real_slugs()[0]}.liverc.com", "/events/")
    assert headings(page, roots[1]) == headings(real("events.canberraoffroad.html"), roots[1])


def test_the_catalogue_has_the_shape_of_the_real_one(site: SimulatedSite) -> None:
    roots = (BREADCRUMB, '//table[contains(@class, "track_list")]')
    page = answered(site, "live.liverc.com")
    assert list(differences(paths(real("catalogue.live.html"), *roots), paths(page, *roots))) == []
    assert headings(page, roots[1]) == headings(real("catalogue.live.html"), roots[1])


def test_dashboards_have_the_shape_of_real_ones(site: SimulatedSite) -> None:
    roots = (BREADCRUMB, "//address", '//div[@class="panel-body"]//div[@class="row"]', '//div[@class="huge"]')
    pages = [answered(site, f"{slug}.liverc.com") for slug in site.world.real_slugs()]
    found = set[str]().union(*(paths(page, *roots) for page in pages))
    expected = paths(real("dashboard.canberraoffroad.html"), *roots) | paths(
        real("dashboard.thunderalley.html"), *roots
    )
    assert list(differences(expected, found)) == []


@pytest.mark.parametrize("name", ["race.6304822.html", "event.486677.html", "catalogue.live.html"])
def test_the_frame_has_the_parts_that_readers_look_for(site: SimulatedSite, name: str) -> None:
    roots = (
        '//pre[@id="user_profile_data"]',
        '//div[@id="loading_overlay"]',
        '//div[@id="fly_in"]',
        "//title",
        '//meta[@name="Copyright"]',
        '//meta[@name="robots"]',
    )
    page = {
        "race": lambda: generated(site, "view_race_result")[0],
        "event": lambda: generated(site, "view_event")[0],
        "catalogue": lambda: answered(site, "live.liverc.com"),
    }[name.split(".")[0]]()
    assert list(differences(paths(real(name), *roots), paths(page, *roots))) == []


def test_two_fetches_differ_only_in_the_frame_as_two_real_captures_do() -> None:
    """The same kinds of lines differ between our fetches and between the two captures of one real race."""
    world = World(7, tracks=1, events=1, mix=("small",))
    address = SimulatedSite(world).addresses(next(iter(world.events)))[-1]
    older = answered(SimulatedSite(world, frame=Frame(build=1153, year=2025, leading_blank_line=True)), *address)
    newer = answered(SimulatedSite(world, frame=Frame(build=1272, year=2026), frozen_frame=True), *address)

    def changed(first: bytes, second: bytes) -> set[str]:
        lines, other = first.decode().split("\n"), second.decode().split("\n")
        assert first.startswith(b"\n")
        assert len(lines) == len(other) + 1
        return {kind(a) for a, b in zip(lines[1:], other, strict=True) if a != b}

    def kind(line: str) -> str:
        return next((k for k in ("Copyright", ".css?", ".js?", "showFlyInBox") if k in line), line)

    real_kinds = changed(real("race.6304822.2025-12.html"), real("race.6304822.html"))
    assert changed(older, newer) == real_kinds == {"Copyright", ".css?", ".js?", "showFlyInBox"}
