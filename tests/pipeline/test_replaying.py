"""Replay in five modes: kept pages through one stage or all, three times, with every difference named."""

from __future__ import annotations

import itertools
import json
import socket
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from mre_console.settings import shipped_fixtures
from mre_console.simulator.site import SimulatedSite
from pipeline import document, fixtures, kept_pages, replaying
from pipeline.errors import Kind, PipelineError
from pipeline.fixtures import FixtureRoots
from pipeline.liverc.readers import SHIPPED
from pipeline.replaying import Mode, Source
from pipeline.service import Service
from pipeline.store.database import Store
from tests.support.proving import SMALL, falsify, service_with, small_sets, small_site


def source(folder: Path) -> Source:
    loaded = fixtures.load_set(folder)
    return Source(
        event=f"{document.decode(loaded.expected).track_slug}/{loaded.event_id}",
        what="a page set",
        pages=kept_pages.of_set(loaded),
        expected=loaded.expected,
        expected_sha256=loaded.metadata.sha256["expected.json"],
    )


@pytest.fixture
def small() -> Source:
    return source(shipped_fixtures() / "liverc" / SMALL)


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a replay asked the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.mark.parametrize("event", ["900101", "900102", "900103"])
@pytest.mark.parametrize("mode", Mode)
def test_every_shipped_set_replays_in_every_mode(mode: Mode, event: str, no_network: None) -> None:
    report = replaying.replay(source(shipped_fixtures() / "liverc" / event), mode, SHIPPED)
    assert (report.passed, report.deterministic, report.runs, report.failure) == (True, True, 3, None), report
    assert report.into == ("a sandbox" if mode in (Mode.FULL, Mode.PERSIST) else None)
    if mode in (Mode.FULL, Mode.PERSIST, Mode.NORMALISE):
        expected = shipped_fixtures() / "liverc" / event / "metadata.json"
        assert report.sha256 == json.loads(expected.read_bytes())["sha256"]["expected.json"]


@pytest.mark.parametrize("mode", [Mode.FULL, Mode.NORMALISE])
def test_a_difference_to_what_was_expected_is_named_field_by_field(mode: Mode, tmp_path: Path) -> None:
    folder = small_sets(tmp_path) / "liverc" / SMALL
    falsify(folder)
    report = replaying.replay(source(folder), mode, SHIPPED)
    assert (report.passed, report.deterministic, report.field) == (False, True, "fast_lap_ms")
    (difference,) = report.differences
    assert difference.where.endswith(".results[1].fast_lap_ms")


def test_without_the_document_its_hash_is_compared(small: Source) -> None:
    known = msgspec.structs.replace(small, expected=None)
    assert replaying.replay(known, Mode.FULL, SHIPPED).passed
    report = replaying.replay(msgspec.structs.replace(known, expected_sha256="0" * 64), Mode.NORMALISE, SHIPPED)
    assert [difference.where for difference in report.differences] == ["document"]


def test_a_page_that_is_missing_or_too_many_is_found_by_fetching(small: Source) -> None:
    fewer = msgspec.structs.replace(small, pages=small.pages[:-1])
    for mode in (Mode.FETCH, Mode.FULL):
        report = replaying.replay(fewer, mode, SHIPPED)
        assert report.failure is not None
        assert "not among the pages that were kept" in report.failure
        assert replaying.replay(fewer, Mode.PARSE, SHIPPED).passed
    more = (*small.pages, msgspec.structs.replace(small.pages[-1], url=small.pages[-1].url + "77"))
    report = replaying.replay(msgspec.structs.replace(small, pages=more), Mode.FETCH, SHIPPED)
    assert not report.passed
    assert report.differences[0].where == more[-1].url


def test_a_page_that_cannot_be_read_fails_with_its_field(small: Source) -> None:
    pages = [
        msgspec.structs.replace(page, body=page.body.replace(b"Laps/Time", b"Rounds"))
        if "view_race_result" in page.url
        else page
        for page in small.pages
    ]
    report = replaying.replay(msgspec.structs.replace(small, pages=tuple(pages)), Mode.PARSE, SHIPPED)
    assert report.field == "laps_and_time"
    assert (report.failure or "").startswith("FIELD_MISSING")


def test_runs_that_come_out_differently_are_told_apart(small: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = itertools.count()
    real = document.build_event

    def changing(*pages: object) -> object:
        built = real(*pages)  # type: ignore[arg-type]
        return msgspec.structs.replace(built, entries=next(numbers) // 2)

    monkeypatch.setattr(document, "build_event", changing)
    report = replaying.replay(msgspec.structs.replace(small, expected=None), Mode.NORMALISE, SHIPPED)
    assert (report.passed, report.deterministic) == (False, False)
    assert [(one.where, one.expected, one.got) for one in report.unstable] == [("entries", "0", "1")]


def test_what_is_put_into_a_database_can_be_read_from_it(small: Source, store: Store) -> None:
    for mode in (Mode.PERSIST, Mode.FULL):
        report = replaying.replay(small, mode, SHIPPED, into=store)
        assert (report.passed, report.into) == (True, store.url_shown), report
    with store.read():
        assert store.sql("SELECT outcome, COUNT(*) FROM run GROUP BY outcome ORDER BY outcome") == [
            ("published", 1),
            ("unchanged", 5),
        ]


# ---------------------------------------------------------------- from the front door


@pytest.fixture
def site() -> SimulatedSite:
    return small_site()


@pytest.fixture
def service(site: SimulatedSite, database_url: str, tmp_path: Path) -> Iterator[Service]:
    service, _ = service_with(site, database_url, tmp_path / "data", small_sets(tmp_path / "sets"))
    with service:
        yield service


def test_an_event_is_replayed_from_its_set_or_its_archived_pages(service: Service, site: SimulatedSite) -> None:
    name = "/".join(site.events()[0])
    service.ingest(name)
    before = service.runs()
    (archived,) = service.replay(name, Mode.NORMALISE)
    assert (archived.passed, archived.source) == (True, "run 1 of the archive")
    assert archived.sha256 == service.event(name).document_sha256
    service.capture_fixture(name)
    (captured,) = service.replay(name, Mode.NORMALISE)
    assert captured.source == f"page set {site.events()[0][1]} (version 1, captured)"
    assert [report.event.rpartition("/")[2] for report in service.replay(mode=Mode.PARSE)] == [
        SMALL,
        site.events()[0][1],
    ]
    assert [report.passed for report in service.replay(mode=Mode.FETCH, archived=True)] == [True]
    assert service.runs() == before
    with pytest.raises(PipelineError) as caught:
        service.replay("elsewhere/77")
    assert caught.value.kind is Kind.USAGE


def test_a_database_that_is_named_asks_its_own_gate(service: Service, site: SimulatedSite, database_url: str) -> None:
    name = "/".join(site.events()[0])
    service.ingest(name)
    roots = FixtureRoots(service.settings.fixtures, service.fixture_roots.captured)
    falsify(fixtures.all_sets(roots)[0].folder)
    assert service.run_gate().state == "red"
    (report,) = service.replay(name, into=database_url)
    assert (report.failure or "").startswith("GATE_CLOSED")
    (sandboxed,) = service.replay(name)
    assert sandboxed.passed
