"""Captured page sets: first ones freely, changed ones only for a confirmed drift case, whichever way somebody comes."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import msgspec
import pytest

from mre_console.simulator.site import SimulatedSite
from pipeline import document, drift, fixture_files, fixtures, gate, lockfiles
from pipeline.errors import Kind, PipelineError, StoreError
from pipeline.fixture_store import Change, FixtureStore
from pipeline.kept_pages import KeptPage, of_set
from pipeline.liverc.readers import SHIPPED
from pipeline.service import Service
from pipeline.store import gate as rows
from pipeline.store import journal
from pipeline.store.database import Store
from pipeline.store.gate import FixtureVersionRow
from tests.support.proving import (
    SMALL,
    confirmed_case,
    falsify,
    service_with,
    small_sets,
    small_site,
    suspected_case,
)
from tests.support.site_client import SiteClient


@pytest.fixture
def site() -> SimulatedSite:
    return small_site()


@pytest.fixture
def house(site: SimulatedSite, database_url: str, tmp_path: Path) -> Iterator[tuple[Service, SiteClient]]:
    service, client = service_with(site, database_url, tmp_path / "data", small_sets(tmp_path / "sets"))
    with service:
        yield service, client


@pytest.fixture
def name(house: tuple[Service, SiteClient], site: SimulatedSite) -> str:
    """An event that is served."""
    name = "/".join(site.events()[0])
    house[0].ingest(name)
    return name


def tree(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith(".")
    }


def kind_of(call: Callable[[], object]) -> Kind | None:
    try:
        call()
    except PipelineError as error:
        return error.kind
    return None


def metadata(info: fixtures.SetInfo) -> fixtures.Metadata:
    assert info.metadata is not None
    return info.metadata


def correct(site: SimulatedSite, name: str) -> None:
    """The race director corrects a lap: the page moves, the markup does not."""
    event_id = name.rpartition("/")[2]
    race = next(race for race in site.document(event_id).races if any(result.laps for result in race.results))
    result = next(result for result in race.results if result.laps and result.source_driver_id)
    lap = result.laps[-1]
    site.correct_lap(
        event_id, race.source_race_id, result.source_driver_id or "", lap.lap_number, lap.lap_time_ms + 500
    )


# ---------------------------------------------------------------- capturing


@pytest.mark.parametrize("live", [False, True])
def test_a_capture_keeps_the_pages_and_what_they_say(
    house: tuple[Service, SiteClient], name: str, live: bool, site: SimulatedSite
) -> None:
    service, client = house
    client.requests.clear()
    done = service.capture_fixture(name, live=live, reason="a good one")
    assert bool(client.requests) is live
    assert (done.version, done.gate.state) == (1, "green")
    event_id = name.rpartition("/")[2]
    info = service.fixture_store.find(event_id)
    facts, truth = metadata(info), site.document(event_id)
    assert (info.origin, info.problem, facts.track) == ("captured", None, truth.track_slug)
    assert facts.races_expected == len(truth.races)
    assert facts.laps_expected == {r.source_race_id: [len(x.laps) for x in r.results] for r in truth.races}
    assert (facts.how, facts.source, facts.fixture_version, facts.redacted) == ("http", "liverc", 1, {})
    assert (facts.parser_build, facts.build_marker) == (SHIPPED.build, str(site.frame.build))
    assert (info.folder / "expected.json").read_bytes() == document.encode(truth)
    assert "a good one" in (info.folder / "notes.md").read_text()
    files = {path.name for path in info.folder.iterdir()}
    assert files == {*facts.sha256, "metadata.json", "notes.md"}
    assert {"event.html", f"race.{truth.races[0].source_race_id}.html"} <= files
    shown = service.fixture(name)
    assert (shown.line.replay.passed, [step.how for step in shown.history]) == (True, ["captured"])
    assert [line.origin for line in service.fixtures()] == ["shipped", "captured"]


def test_pages_that_give_no_document_are_no_set(house: tuple[Service, SiteClient], name: str) -> None:
    service, _ = house
    service.capture_fixture(name)
    kept = of_set(fixtures.load_set(service.fixture_store.find(name.rpartition("/")[2]).folder))
    before = tree(service.settings.data / "fixtures")
    incomplete = [page for page in kept if "view_race_result" not in page.url] + list(kept[-1:])
    call = lambda: service.fixture_store.capture(incomplete, Change(who="ann"), origin="half")  # noqa: E731
    assert kind_of(call) is Kind.INVALID_DOCUMENT
    assert tree(service.settings.data / "fixtures") == before


def test_mail_and_network_addresses_are_masked_and_nothing_else(house: tuple[Service, SiteClient], name: str) -> None:
    service, _ = house
    service.capture_fixture(name)
    store = service.fixture_store
    info = store.find(name.rpartition("/")[2])
    clean = of_set(fixtures.load_set(info.folder))
    secret = b"<p>Ask joe.doe+rc@mail.example.org from 203.0.113.77 or 2001:db8::1f</p></body>"
    dirty = [
        KeptPage(page.url, page.body.replace(b"</body>", secret), fetched_at_ms=1_700_000_000_000) for page in clean
    ]
    again = store.capture(
        dirty, Change(who="ann", reason="addresses", case=confirmed_case(service.store)), origin="test"
    )
    facts = metadata(again)
    assert facts.redacted == {"emails": len(dirty), "addresses": 2 * len(dirty)}
    assert facts.captured_at == "2023-11-14T22:13:20Z"
    page = (again.folder / "event.html").read_bytes()
    assert b"<p>Ask xxx.xxx+xx@xxxx.xxxxxxx.xxx from 000.0.000.00 or 0000:xx0::0x</p></body>" in page
    assert len(page) == len(next(page.body for page in dirty if "view_event" in page.url))
    assert (again.folder / "expected.json").read_bytes() == (
        service.settings.data / "fixtures" / "archive" / "liverc" / f"{info.event_id}.v1" / "expected.json"
    ).read_bytes()


# ---------------------------------------------------------------- changing


def test_a_known_set_changes_only_for_a_confirmed_case_and_a_reason(
    house: tuple[Service, SiteClient], name: str, site: SimulatedSite
) -> None:
    service, client = house
    event_id = name.rpartition("/")[2]
    service.capture_fixture(name)
    correct(site, name)
    service.ingest(name)
    suspected = suspected_case(service.store, "event")
    confirmed = confirmed_case(service.store)
    before = tree(service.settings.data / "fixtures")
    pages, sets = of_set(fixtures.load_set(service.fixture_store.find(event_id).folder)), service.fixture_store
    client.requests.clear()
    ways: tuple[Callable[[int | None, str], object], ...] = (
        lambda case, reason: service.capture_fixture(name, case=case, reason=reason),
        lambda case, reason: service.capture_fixture(name, live=True, case=case, reason=reason),
        lambda case, reason: service.accept_fixture(name, case=case, reason=reason),
        lambda case, reason: service.accept_fixture(name, case=case, reason=reason, live=True),
        lambda case, reason: service.archive_fixture(name, case=case, reason=reason),
        lambda case, reason: sets.capture(pages[::-1], Change(who="ann", reason=reason, case=case), origin="test"),
        lambda case, reason: sets.accept(event_id, Change(who="ann", reason=reason, case=case), pages),
    )
    for case, reason in ((None, "why"), (suspected, "why"), (99, "why"), (confirmed, " ")):
        for way in ways:
            assert kind_of(partial(way, case, reason)) is (Kind.UNKNOWN if case == 99 else Kind.USAGE)
    assert client.requests == []
    assert tree(service.settings.data / "fixtures") == before

    first = service.fixture_store.find(event_id)
    done = service.capture_fixture(name, case=confirmed, reason="laps were corrected", who="ann")
    assert (done.version, done.gate.state) == (2, "green")
    second = service.fixture_store.find(event_id)
    assert metadata(second).accepted == fixtures.Acceptance(
        case=confirmed, reason="laps were corrected", who="ann", supersedes=first.sha256
    )
    (archived,) = service.fixture_store.archived(event_id)
    assert (archived.version, archived.sha256, archived.problem) == (1, first.sha256, None)
    assert service.fixture(name, 1).line.sha256 == first.sha256
    assert [line.name for line in journal.recent(service.store) if line.name.startswith("fixture_")] == [
        "fixture_captured", "fixture_accepted",
    ]  # fmt: skip

    assert service.archive_fixture(name, case=confirmed, reason="enough").gate.state == "green"
    assert [one.version for one in service.fixture_store.archived(event_id)] == [1, 2]
    assert kind_of(lambda: service.capture_fixture(name)) is Kind.USAGE  # archiving is no way around the case
    assert service.capture_fixture(name, case=confirmed, reason="back").version == 3


def test_a_shipped_set_is_never_rewritten(house: tuple[Service, SiteClient], name: str, tmp_path: Path) -> None:
    service, _ = house
    before = tree(tmp_path / "sets")
    case = confirmed_case(service.store)
    assert kind_of(lambda: service.accept_fixture(f"x/{SMALL}", case=case, reason="why")) is Kind.USAGE
    assert kind_of(lambda: service.archive_fixture(f"x/{SMALL}", case=case, reason="why")) is Kind.USAGE
    pages = of_set(fixtures.load_set(tmp_path / "sets" / "liverc" / SMALL))
    beside = service.fixture_store.capture(pages, Change(who="ann"), origin="the shipped one")
    assert (beside.origin, beside.version) == ("captured", 1)
    assert tree(tmp_path / "sets") == before


def test_accepting_takes_what_todays_readers_read_of_a_set(house: tuple[Service, SiteClient], name: str) -> None:
    service, _ = house
    service.capture_fixture(name)
    event_id = name.rpartition("/")[2]
    truth = (service.fixture_store.find(event_id).folder / "expected.json").read_bytes()
    falsify(service.fixture_store.find(event_id).folder)
    assert kind_of(lambda: service.ingest(name)) is Kind.GATE_CLOSED
    check = service.check_fixture(name)
    assert check.moved == ("expectation",)
    assert "expectation moved" in check.headline
    done = service.accept_fixture(name, case=confirmed_case(service.store), reason="the expectation was wrong")
    assert (done.version, done.gate.state) == (2, "green")
    assert (service.fixture_store.find(event_id).folder / "expected.json").read_bytes() == truth


# ---------------------------------------------------------------- by the side doors


def test_the_database_refuses_a_change_without_a_confirmed_case(store: Store) -> None:
    def row(how: str, case: int | None, version: int = 1) -> FixtureVersionRow:
        return FixtureVersionRow(
            fixture_set="7", fixture_version=version, set_sha256="a", how=how, case_id=case, reason="why", who="ann"
        )

    suspected, confirmed = suspected_case(store, "event"), confirmed_case(store)
    rows.add_version(store, row("captured", None))
    refused = (("captured", None), ("found", None), ("accepted", None), ("accepted", suspected), ("archived", 9))
    for how, case in refused:
        assert kind_of(partial(rows.add_version, store, row(how, case))) is Kind.DB_REFUSED
    rows.add_version(store, row("accepted", confirmed, 2))
    drift.close(store, confirmed, drift.DISMISSED, reason="it was nothing", who="ann")
    assert kind_of(lambda: rows.add_version(store, row("accepted", confirmed, 3))) is Kind.DB_REFUSED
    for statement in ("UPDATE fixture_version SET how = 'found'", "DELETE FROM fixture_version"):
        with pytest.raises(StoreError), store.write():
            store.sql(statement)
    assert [step.fixture_version for step in rows.history(store, "7")] == [1, 2]


@pytest.mark.parametrize("how", ["edited", "newer", "removed"])
def test_a_captured_set_that_was_changed_by_hand_closes_the_gate(
    house: tuple[Service, SiteClient], name: str, how: str
) -> None:
    service, _ = house
    service.capture_fixture(name)
    folder = service.fixture_store.find(name.rpartition("/")[2]).folder
    facts = json.loads((folder / "metadata.json").read_bytes())
    if how == "removed":
        folder.rename(folder.parent.parent / "gone")
    else:
        facts["notes"] = "mine"
        facts["fixture_version"] += how == "newer"
        (folder / "metadata.json").write_text(json.dumps(facts))
    with pytest.raises(PipelineError) as caught:
        service.ingest(name)
    assert caught.value.kind is Kind.GATE_CLOSED
    assert ("missing" if how == "removed" else "no drift case allowed") in caught.value.message
    case = confirmed_case(service.store)
    service.archive_fixture(name, case=case, reason="somebody changed it")
    drift.close(service.store, case, drift.DISMISSED, reason="done", who="ann")
    assert service.ingest(name).outcome == "unchanged"


def test_another_database_takes_what_it_finds_and_follows_what_was_accepted_elsewhere(
    house: tuple[Service, SiteClient], name: str, site: SimulatedSite, tmp_path: Path
) -> None:
    service, _ = house
    service.capture_fixture(name)
    other = Store.open(str(tmp_path / "other.db"))
    roots = service.fixture_roots
    assert gate.judge(other, SHIPPED, roots).state == "green"
    case = confirmed_case(service.store)
    for _ in range(2):
        correct(site, name)
        service.capture_fixture(name, live=True, case=case, reason="corrected again")
    assert gate.judge(other, SHIPPED, roots).state == "green"
    event_id = name.rpartition("/")[2]
    assert [(step.how, step.fixture_version) for step in rows.history(other, event_id)] == [
        ("found", 1),
        ("inherited", 3),
    ]
    other.close()


# ---------------------------------------------------------------- when it goes wrong half-way


def test_a_change_that_cannot_be_recorded_leaves_the_folders_as_they_were(
    house: tuple[Service, SiteClient], name: str, site: SimulatedSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    service, _ = house
    service.capture_fixture(name)
    correct(site, name)
    case = confirmed_case(service.store)
    before = tree(service.settings.data / "fixtures")
    real = Path.rename

    def failing(path: Path, target: Path) -> Path:
        if path.name.endswith(".next"):
            raise OSError(28, "No space left on device")
        return real(path, target)

    monkeypatch.setattr(Path, "rename", failing)
    assert kind_of(lambda: service.capture_fixture(name, live=True, case=case, reason="new")) is Kind.ARCHIVE_FAILED
    monkeypatch.undo()
    assert tree(service.settings.data / "fixtures") == before
    assert service.gate().state == "green"
    assert service.capture_fixture(name, live=True, case=case, reason="new").version == 2


def test_a_version_that_was_interrupted_on_its_way_into_place_is_found(
    house: tuple[Service, SiteClient], name: str
) -> None:
    """Between the two renames the set stands beside its place; so it does after a crash there."""
    service, _ = house
    service.capture_fixture(name)
    event_id = name.rpartition("/")[2]
    info = service.fixture_store.find(event_id)
    info.folder.rename(info.folder.parent / f".{event_id}.next")
    assert service.fixture_store.find(event_id).sha256 == info.sha256
    assert service.gate().state == "green"
    case = confirmed_case(service.store)
    (info.folder.parent / f".{event_id}.next" / "notes.md").write_text("x")
    assert service.archive_fixture(name, case=case, reason="enough").gate.state == "green"
    assert [one.sha256 for one in service.fixture_store.archived(event_id)] == [info.sha256]


def test_two_who_change_a_set_at_once_make_one_version(
    house: tuple[Service, SiteClient], name: str, site: SimulatedSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even where the file system knows no locks."""
    service, _ = house
    service.capture_fixture(name)
    correct(site, name)
    case = confirmed_case(service.store)
    real = fixture_files.Swap.write
    monkeypatch.setattr(lockfiles, "_waited_for", lambda path, patience: None)

    def overtaken(swap: fixture_files.Swap, files: dict[str, bytes]) -> None:
        monkeypatch.undo()
        service.capture_fixture(name, live=True, case=case, reason="first")
        real(swap, files)

    monkeypatch.setattr(fixture_files.Swap, "write", overtaken)
    assert kind_of(lambda: service.capture_fixture(name, live=True, case=case, reason="second")) is Kind.PLAN_STALE
    assert service.gate().state == "green"
    event_id = name.rpartition("/")[2]
    assert [step.reason for step in rows.history(service.store, event_id)] == ["", "first"]
    assert [one.version for one in service.fixture_store.archived(event_id)] == [1]


# ---------------------------------------------------------------- which side moved?


def test_a_check_says_which_side_moved(
    house: tuple[Service, SiteClient], name: str, site: SimulatedSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    service, _ = house
    service.capture_fixture(name)
    for found in (service.check_fixture(name), service.check_fixture_live(name)):
        assert found.moved == ()
        assert "nothing moved" in found.headline
    correct(site, name)
    moved = service.check_fixture_live(name)
    assert (moved.moved, moved.replay.passed) == (("page",), True)
    assert any("lap_time_ms" in difference.where for difference in moved.differences)
    assert service.check_fixture(name).moved == ()  # what is archived did not

    real = site.answer

    def broken(host: str, target: str) -> object:
        answer = real(host, target)
        if answer is None or "race" not in target:
            return answer
        return msgspec.structs.replace(answer, body=b"<html><title>Welcome</title></html>")

    monkeypatch.setattr(site, "answer", broken)
    broken_now = service.check_fixture_live(name)
    assert broken_now.moved == ("page",)
    assert "PAGE_UNRECOGNISED" in (broken_now.failure or "")


def test_a_reader_that_changed_is_told_from_an_expectation_that_did(
    house: tuple[Service, SiteClient], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    service, _ = house
    service.capture_fixture(name)
    real = document.build_event

    def renamed(*pages: object) -> object:
        return msgspec.structs.replace(real(*pages), event_name="another")  # type: ignore[arg-type]

    monkeypatch.setattr(document, "build_event", renamed)
    found = service.check_fixture(name)
    assert found.moved == ("reader",)
    assert "the reader moved" in found.headline
    assert found.replay.differences[0].where == "event_name"


def test_sets_are_verified_to_the_last_byte(tmp_path: Path) -> None:
    folder = small_sets(tmp_path / "sets") / "liverc" / SMALL
    assert fixtures.identify(folder, "shipped").problem is None
    page = folder / "event.html"
    facts = page.stat()
    changed = page.read_bytes().replace(b"a", b"b", 1)
    page.write_bytes(changed)
    os.utime(page, ns=(facts.st_atime_ns, facts.st_mtime_ns))  # as large and as old as before
    assert "event.html" in (fixtures.identify(folder, "shipped").problem or "")


def test_a_page_that_is_no_file_of_the_set_is_refused(tmp_path: Path, store: Store) -> None:
    folder = small_sets(tmp_path / "sets") / "liverc" / SMALL
    facts = json.loads((folder / "metadata.json").read_bytes())
    facts["urls"]["../../secret"] = facts["urls"].pop("event.html")
    (folder / "metadata.json").write_text(json.dumps(facts))
    assert "../../secret" in (fixtures.identify(folder, "shipped").problem or "")
    house = FixtureStore(store, fixtures.FixtureRoots(tmp_path / "sets"), SHIPPED)
    assert kind_of(lambda: house.find("1")) is Kind.USAGE
