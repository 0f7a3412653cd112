"""Signals speak where something vanished, and are silent on everything that unchanged pages do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mre_console.settings import shipped_fixtures
from mre_console.simulator.generate import World
from mre_console.simulator.site import SimulatedSite
from mre_console.simulator.variants import prettier
from pipeline import drift, signals
from pipeline.alerts import Alarm
from pipeline.liverc.contract import READABLE
from pipeline.liverc.readers import SHIPPED
from pipeline.liverc.urls import parse_url
from pipeline.observe import Bus, Report
from pipeline.signals import History, Known, PageReading, Reading
from pipeline.store.database import Store
from pipeline.watching import Watch, load_history
from tests.support.real_pages import REAL, needs_real_pages

KINDS = ("oddities", "mains", "small", "bare", "typical")


def page(fields: dict[str, Reading], lines: tuple[str, ...] = ("= a: 1",), **facts: str) -> PageReading:
    known = {"page_type": "race_result", "url": "u", "origin": "event new", "digest": "d", "variant": "mains", **facts}
    return PageReading(lines=lines, fields=fields, usual=frozenset(), **known)


def history(pages: int, origins: int, fields: dict[str, Reading], variant: str = "mains") -> History:
    known = [Known(f"u{number}", f"event {number % origins}", "d", variant, fields) for number in range(pages)]
    return History(known, {"d": ("= a: 1",)})


def doubted(found: tuple[drift.Doubt, ...]) -> list[tuple[str | None, str]]:
    return [(doubt.field, doubt.kind) for doubt in found]


FULL, EMPTY = Reading(6, 6, 6, {"9.999": 6}), Reading(6, 6, 0)


def test_values_that_are_gone_everywhere_are_doubted_once_there_is_history() -> None:
    now = [page({"behind": EMPTY}), page({"behind": EMPTY})]
    assert doubted(signals.doubts(now, history(30, 6, {"behind": FULL}))) == [("behind", "coverage")]
    for pages, origins in ((30, 2), (10, 6)):
        assert signals.doubts(now, history(pages, origins, {"behind": FULL})) == ()
    assert signals.doubts([*now, page({"behind": FULL})], history(30, 6, {"behind": FULL})) == ()
    assert signals.doubts(now, history(30, 6, {"behind": EMPTY})) == ()


def test_less_history_is_enough_where_the_structure_is_new_too() -> None:
    changed = page({"behind": EMPTY}, ("= a: 2",), digest="e")
    assert doubted(signals.doubts([changed], history(4, 2, {"behind": FULL}))) == [("behind", "coverage")]
    assert signals.doubts([changed], history(4, 1, {"behind": FULL})) == ()


def test_a_variant_that_was_never_seen_may_do_without_a_column() -> None:
    qualifier = page({"qualifying_position": EMPTY}, ("= a: 2",), digest="e", variant="qualifier round")
    assert signals.doubts([qualifier], history(30, 6, {"qualifying_position": FULL})) == ()
    assert doubted(signals.doubts([qualifier], history(30, 6, {"qualifying_position": FULL}, "qualifier round"))) == [
        ("qualifying_position", "coverage")
    ]


def test_a_form_that_changes_is_doubted_and_a_name_may_look_like_anything() -> None:
    names, times = {"name": Reading(6, 6, 6, {"a": 6})}, {"behind": FULL}
    now = page({"behind": Reading(6, 6, 6, {"9:99.999": 6}), "name": Reading(6, 6, 6, {'a "a"': 6})})
    assert doubted(signals.doubts([now], history(30, 6, names | times))) == [("behind", "shape")]
    strange = [Known(f"s{n}", f"event {n}", "d", "", {"behind": Reading(6, 6, 6, {"9" * n: 6})}) for n in range(1, 31)]
    assert signals.doubts([now], History(strange, {"d": ("= a: 1",)})) == ()


def test_a_long_page_is_compared_with_what_it_was() -> None:
    many, none = Reading(900, 900, 700), Reading(900, 0, 0)
    before = Known("u", "catalogue", "d", "", {"latest_event": many})
    own = History([before], {"d": ()}).without("catalogue")
    now = page({"latest_event": none}, page_type="track_catalogue")
    assert doubted(signals.doubts([now], own)) == [("latest_event", "coverage")]
    assert signals.doubts([page({"latest_event": many}, page_type="track_catalogue")], own) == ()


@pytest.mark.parametrize(("lately", "noticed"), [(3, False), (12, True)])
def test_what_half_of_the_tracks_have_cannot_be_gone_from_all(lately: int, noticed: bool) -> None:
    said = [False] * lately + [True, False] * 20
    pages = [
        Known(f"u{number}", f"track{number}", "d", "", {"description": Reading(1, int(has), int(has))})
        for number, has in enumerate(said)
    ]
    now = page({"description": Reading(1, 0, 0)}, page_type="track_dashboard")
    assert bool(signals.doubts([now], History(pages, {"d": ("= a: 1",)}))) == noticed


# ---------------------------------------------------------------- silence


def look(store: Store, site: SimulatedSite, slug: str, event_id: str, alarm: Alarm, shipped: Path) -> Watch:
    watch = Watch(store, SHIPPED, drift.origin_of(event_id), shipped=shipped)
    for number, (host, target) in enumerate(site.addresses(event_id)):
        answer = site.answer(host, target)
        if answer is not None:
            ref = parse_url(f"https://{host}{target}")
            body = prettier(answer.body) if number % 5 == 4 else answer.body
            watch.observe_page(body, ref, SHIPPED.read(body, ref))
    return watch


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_unchanged_pages_of_other_races_and_tracks_raise_no_alarm(store: Store) -> None:
    site = SimulatedSite(World(11, tracks=3, events=5, mix=KINDS, catalogue_rows=5))
    heard: list[Report] = []
    bus = Bus()
    bus.subscribe(heard.append)
    for slug, event_id in site.events():
        watch = look(store, site, slug, event_id, Alarm(bus), shipped_fixtures())
        assert watch.doubts() == ()
        watch.remember(None, Alarm(bus))
    assert heard == []
    assert len(load_history(store, "race_result").pages) > signals.MANY_PAGES


@needs_real_pages
@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_real_pages_raise_no_alarm_after_simulated_ones(store: Store) -> None:
    site = SimulatedSite(World(3, tracks=2, events=3, mix=KINDS, catalogue_rows=5))
    for slug, event_id in site.events():
        look(store, site, slug, event_id, Alarm(Bus()), shipped_fixtures()).remember(None, Alarm(Bus()))
    for file in sorted(REAL.glob("truth/*.json")):
        truth = json.loads(file.read_text("utf-8"))
        if truth["page"] in READABLE:
            body, ref = (REAL / "pages" / truth["source_file"]).read_bytes(), parse_url(truth["url"])
            watch = Watch(store, SHIPPED, "event real")
            watch.observe_page(body, ref, SHIPPED.read(body, ref))
            assert watch.doubts() == (), file.name
