"""What the pipeline reads from the simulator's pages is what the simulator knows to be true.

Two independent roads to one result: readers, document builder and rules on one side, the world model on the other.
"""

from __future__ import annotations

import msgspec
import pytest

from mre_console.simulator.generate import World
from mre_console.simulator.mutations import MUTATIONS
from mre_console.simulator.site import SimulatedSite
from mre_console.simulator.variants import browser_saved, prettier
from mre_console.simulator.world import Page
from pipeline.document import build_event, encode
from pipeline.errors import Kind, ParseError, PipelineError
from pipeline.liverc.readers import read_page
from pipeline.liverc.urls import PageRef, parse_url
from pipeline.records import EntryListPage, EventPage, PageRecord, RacePage
from pipeline.validate import check, require_valid
from tests.support.simulated import body, event_of, every_preset


def ref(address: tuple[str, str]) -> PageRef:
    return parse_url(f"https://{address[0]}{address[1]}")


def read(site: SimulatedSite, address: tuple[str, str]) -> PageRecord:
    return read_page(body(site, address), ref(address))


def all_addresses(site: SimulatedSite) -> list[tuple[str, str]]:
    """Every address that has a page to read."""
    addresses = [("live.liverc.com", "/")]
    for slug in site.world.real_slugs():
        addresses += [(f"{slug}.liverc.com", "/"), (f"{slug}.liverc.com", "/events/")]
    for _, event_id in site.events():
        addresses += [address for address in site.addresses(event_id) if site.truth_of(*address)]
    return addresses


def pages_of(site: SimulatedSite, event_id: str) -> tuple[EventPage, dict[str, RacePage], EntryListPage | None]:
    """An event's pages as the pipeline would gather them."""
    records = [read(site, address) for address in site.addresses(event_id) if site.answer(*address)]
    event_page = records[0]
    assert isinstance(event_page, EventPage)
    races = {page.source_race_id: page for page in records if isinstance(page, RacePage)}
    return event_page, races, next((page for page in records if isinstance(page, EntryListPage)), None)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_every_page_is_read_as_it_is_true(seed: int) -> None:
    site = every_preset(seed)
    for address in all_addresses(site):
        assert read(site, address) == site.truth_of(*address), address


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_every_event_becomes_the_document_that_is_true(seed: int) -> None:
    site = every_preset(seed)
    for _, event_id in site.events():
        if site.failure(event_id) is not None:
            continue
        document = build_event(*pages_of(site, event_id))
        assert document == site.document(event_id), event_id
        assert encode(document) == encode(site.document(event_id))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_healthy_pages_pass_every_rule_quietly(seed: int) -> None:
    """No error anywhere; no warning either, but for what is strange on purpose."""
    strange = {"total-drivers", "entry-absent"}  # namesakes count once by name; who did not race is no mistake
    site = every_preset(seed)
    for _, event_id in site.events():
        if site.failure(event_id) is None:
            event_page, races, entry_list = pages_of(site, event_id)
            violations = check(build_event(event_page, races, entry_list), event_page, races, entry_list)
            assert [v for v in violations if v.rule not in strange] == [], event_id


@pytest.mark.parametrize("preset", ["no_races", "no_script", "no_laps", "empty_shell"])
def test_failing_events_fail_as_they_must(preset: str) -> None:
    site = every_preset()
    event_id = event_of(site, preset)
    with pytest.raises(PipelineError) as failed:
        pages = pages_of(site, event_id)
        require_valid(check(build_event(*pages), *pages))
    assert failed.value.kind is site.failure(event_id)


def test_a_race_that_became_a_shell_lacks_its_results() -> None:
    site = every_preset()
    event_id = event_of(site, "small")
    site.break_race(event_id, site.world.races(event_id)[0].race_id, page=Page.SHELL)
    with pytest.raises(ParseError) as failed:
        pages_of(site, event_id)
    assert failed.value.kind is site.failure(event_id)


def test_an_error_page_in_the_frame_is_never_read() -> None:
    site = every_preset()
    for address in all_addresses(site)[:3] + site.addresses(event_of(site, "small")):
        with pytest.raises(ParseError) as failed:
            read_page(site.error_page(), ref(address))
        assert failed.value.kind in (Kind.PAGE_UNRECOGNISED, Kind.FIELD_MISSING), address


def test_formatted_pages_say_the_same() -> None:
    site = every_preset()
    for preset in ("oddities", "mains"):
        for address in site.addresses(event_of(site, preset)):
            if site.answer(*address):
                assert read_page(prettier(body(site, address)), ref(address)) == site.truth_of(*address), address


def test_saved_pages_say_the_same_unless_they_lost_rows() -> None:
    """A race page loses nothing when a browser saves it; a catalogue loses its rows, and must not be taken for one."""
    site = every_preset()
    for address in site.addresses(event_of(site, "oddities")):
        assert read_page(browser_saved(body(site, address)), ref(address)) == site.truth_of(*address), address
    with pytest.raises(ParseError) as failed:
        read_page(browser_saved(body(site, ("live.liverc.com", "/"))), ref(("live.liverc.com", "/")))
    assert failed.value.kind is Kind.PAGE_UNRECOGNISED


@pytest.mark.parametrize("name", MUTATIONS)
def test_changed_markup_is_read_right_or_refused(name: str) -> None:
    """Never a wrong value: the record is the truth, or there is none, or it lacks what the change took away."""
    mutation = MUTATIONS[name]
    site = SimulatedSite(World(3, tracks=1, events=3, mix=("oddities", "mains", "small")), frozen_frame=True)
    changed = [a for a in all_addresses(site) if str(ref(a).page_type) == mutation.page_type]
    assert changed
    for address in changed:
        expected = site.truth_of(*address)
        try:
            record = read_page(mutation.apply(body(site, address)), ref(address))
        except ParseError:
            continue
        if record != expected:
            assert not wrong_values(msgspec.to_builtins(record), msgspec.to_builtins(expected)), address


def wrong_values(got: object, true: object, where: str = "") -> list[str]:
    """Where `got` says something that is not true; saying nothing is no lie."""
    if isinstance(got, dict) and isinstance(true, dict):
        return [w for key in got for w in wrong_values(got[key], true.get(key), f"{where}.{key}")]
    if isinstance(got, tuple) and isinstance(true, tuple) and len(got) == len(true):
        pairs = enumerate(zip(got, true, strict=True))
        return [w for i, (a, b) in pairs for w in wrong_values(a, b, f"{where}[{i}]")]
    silent = got is None or got == () or got == "" or where.endswith("has_lap_script")
    return [] if got == true or silent else [f"{where}: {got!r} is not {true!r}"]
