"""Structure and coverage: the same for every race, track and build; different after any change of what is read."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mre_console.simulator.mutations import MUTATIONS
from mre_console.simulator.site import SimulatedSite
from pipeline.errors import ParseError
from pipeline.liverc.contract import load_contract
from pipeline.liverc.coverage import coverage, observe, shape
from pipeline.liverc.structure import Fingerprint, changes, fingerprint, skeleton
from pipeline.liverc.urls import PageRef, parse_url
from tests.support.liverc_pages import race_page
from tests.support.real_pages import REAL, needs_real_pages
from tests.support.simulated import every_preset

RACE = parse_url("https://nordhall.liverc.com/results/?p=view_race_result&id=9")
REAL_PAGES = {
    "race.6304829": "results/?p=view_race_result&id=6304829",
    "race.6304822": "results/?p=view_race_result&id=6304822",
    "race.6304822.2025-12": "results/?p=view_race_result&id=6304822",
    "event.486677": "results/?p=view_event&id=486677",
    "entry_list.silverstate": "results/?p=view_entry_list&id=1",
    "events.canberraoffroad": "events/",
    "dashboard.canberraoffroad": "",
    "dashboard.thunderalley": "",
}


def pages(site: SimulatedSite) -> Iterator[tuple[PageRef, bytes]]:
    """Every page of events that can be ingested, and of what is above them; the build rises from event to event."""
    addresses = [("live.liverc.com", "/")]
    addresses += [(f"{slug}.liverc.com", page) for slug in site.world.real_slugs() for page in ("/", "/events/")]
    for _, event_id in site.events():
        if site.failure(event_id) is None:
            addresses += site.addresses(event_id)
    for number, (host, target) in enumerate(addresses):
        if number % 20 == 0:
            site.raise_build()
        answer = site.answer(host, target)
        if answer is not None and answer.status == 200:
            yield parse_url(f"https://{host}{target}"), answer.body


def structure(ref: PageRef, body: bytes) -> Fingerprint:
    return fingerprint(body, ref, load_contract(ref.page_type))


@pytest.fixture(scope="module")
def known() -> dict[str, list[Fingerprint]]:
    found: dict[str, list[Fingerprint]] = {}
    for ref, body in pages(every_preset()):
        found.setdefault(str(ref.page_type), []).append(structure(ref, body))
    return found


def test_pages_of_other_races_tracks_and_builds_have_one_structure(known: dict[str, list[Fingerprint]]) -> None:
    for page_type, all_of_type in known.items():
        assert len({one.digest for one in all_of_type}) == 1, page_type
        assert min(one.similarity(all_of_type[0]) for one in all_of_type) == 1.0
        for one in all_of_type:
            assert not changes([other for other in all_of_type if other is not one], one)


@needs_real_pages
@pytest.mark.parametrize("name", REAL_PAGES)
def test_a_real_page_has_the_structure_that_the_simulator_taught(
    name: str, known: dict[str, list[Fingerprint]]
) -> None:
    ref = parse_url(f"https://sometrack.liverc.com/{REAL_PAGES[name]}")
    real = structure(ref, (REAL / "pages" / f"{name}.html").read_bytes())
    assert not changes(known[str(ref.page_type)], real)


UNSEEN = {"race_list_heading_renamed", "lap_field_renamed"}  # not read; only in the script's laps
CHANGES = [name for name in MUTATIONS if name not in UNSEEN]


@pytest.mark.parametrize("name", CHANGES)
def test_every_change_of_what_is_read_is_a_change_of_structure_or_coverage(
    name: str, known: dict[str, list[Fingerprint]]
) -> None:
    mutation = MUTATIONS[name]
    ref, body = next((ref, body) for ref, body in pages(every_preset()) if ref.page_type == mutation.page_type)
    contract = load_contract(ref.page_type)
    before, after = observe(body, ref, contract), observe(mutation.apply(body), ref, contract)
    fallen = [one for one in before.coverage.values() if one.found and not after.coverage[one.field].found] if not any(
        name not in after.coverage for name in before.coverage
    ) else ["gone"]  # fmt: skip
    assert changes(known[mutation.page_type], after.fingerprint) or fallen


def test_an_unknown_past_raises_no_alarm() -> None:
    assert not changes([], structure(RACE, race_page()))


def test_coverage_counts_places_and_names_the_title_and_the_selector() -> None:
    seen = coverage(race_page(), RACE, load_contract(RACE.page_type))
    fast = seen["fast_lap_ms"]
    assert (fast.looked, fast.placed, fast.found, fast.title) == (2, 2, 1, "Fastest Lap")
    assert fast.shapes == {"9.999": 1}
    assert seen["driver_name"].hits == (2,)
    assert seen["script.laps.time"].found == seen["script.laps.time"].looked == 4
    renamed = race_page().replace(b"'time' :", b"'lapTime' :")
    assert coverage(renamed, RACE, load_contract(RACE.page_type))["script.laps.time"].found == 0


@pytest.mark.parametrize(
    ("text", "form"),
    [("36.589", "9.999"), ("101.2", "9.9"), ("22 Laps", "9 a"), ("Nov 6, 2025 at 5:30pm", "a 9, 9 a 9:9a"), ("", "")],
)
def test_the_shape_of_a_text(text: str, form: str) -> None:
    assert shape(text) == form


def test_a_skeleton_says_repeated_rows_once_and_nothing_that_changes_by_itself() -> None:
    site = every_preset()
    (ref, first), (_, second) = [(ref, body) for ref, body in pages(site) if ref.page_type == "race_result"][:2]
    lines = skeleton(first, ref)
    assert any(line.strip().startswith("tr ×") for line in lines)
    assert any("“Avg Lap”" in line for line in lines)

    def uncounted(body: bytes) -> list[str]:
        return [line.partition(" ×")[0] for line in skeleton(body, ref)]

    assert uncounted(first) == uncounted(second)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 4000), st.integers(0, 60), st.binary(max_size=20))
def test_damaged_pages_are_looked_at_or_refused(at: int, length: int, instead: bytes) -> None:
    body = race_page()
    damaged = body[:at] + instead + body[at + length :]
    try:
        observe(damaged, RACE, load_contract(RACE.page_type))
        skeleton(damaged, RACE)
    except ParseError:
        pass
