"""LiveRC changes its pages: what is doubted fails its run, probes decide, a confirmed case blocks, a person ends it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from mre_console.settings import shipped_fixtures
from mre_console.simulator.generate import World
from mre_console.simulator.mutations import MUTATIONS, mutator
from mre_console.simulator.site import SimulatedSite
from pipeline import document, drift
from pipeline.alerts import Alarm
from pipeline.drift import Case, Doubt
from pipeline.errors import FetchError, Kind, PipelineError, StateError
from pipeline.ingest import Options
from pipeline.observe import Bus, Report
from pipeline.service import Service, ServiceSettings
from tests.support.site_client import SiteClient

EVENTS = 4


@pytest.fixture
def site() -> SimulatedSite:
    return SimulatedSite(World(5, tracks=1, events=EVENTS, mix=("small",), catalogue_rows=5), frozen_frame=True)


@pytest.fixture
def client(site: SimulatedSite) -> SiteClient:
    return SiteClient(site)


@pytest.fixture
def service(client: SiteClient, database_url: str, tmp_path: Path) -> Iterator[Service]:
    settings = ServiceSettings(db_url=database_url, data=tmp_path / "data", fixtures=shipped_fixtures())
    with Service(settings, client=client) as service:
        yield service


@pytest.fixture
def names(site: SimulatedSite) -> list[str]:
    return ["/".join(event) for event in site.events()]


@pytest.fixture
def reports(service: Service) -> list[Report]:
    heard: list[Report] = []
    service.bus.subscribe(heard.append)
    return heard


def refused(call: Callable[[], object]) -> PipelineError:
    with pytest.raises(PipelineError) as caught:
        call()
    return caught.value


def broken(site: SimulatedSite, name: str, mutation: str) -> None:
    """One event's race pages alone are served in another markup."""
    event_id = name.partition("/")[2]
    own = {race.source_race_id for race in site.document(event_id).races}
    change = MUTATIONS[mutation].change

    def only_its_own(page_type: str, body: bytes) -> bytes:
        text = body.decode()
        mine = page_type == "race_result" and site.document(event_id).event_name in text
        return change(text).encode() if mine and own else body

    site.change_markup(only_its_own)


def only_case(service: Service) -> Case:
    (case,) = service.drift_cases()
    return case


# ---------------------------------------------------------------- from red to green


def test_a_change_for_all_is_confirmed_blocks_and_is_undone_by_a_person(
    service: Service, site: SimulatedSite, client: SiteClient, names: list[str], reports: list[Report]
) -> None:
    first, second, third, fourth = names
    for name in (first, second):
        service.ingest(name)
    site.change_markup(mutator(["driver_class_renamed"]))

    error = refused(lambda: service.ingest(third))
    assert (error.kind, error.details["field"]) == (Kind.FIELD_MISSING, "driver_name")
    case = only_case(service)
    assert (error.details["drift_case"], error.details["drift_state"]) == (case.id, drift.CONFIRMED)
    assert (case.state, case.page_type, case.field, case.event) == ("confirmed", "race_result", "driver_name", third)
    assert {probe.event for probe in case.probes} == {first, second}
    assert {probe.verdict for probe in case.probes} == {"failed"}
    assert all(service.archive.get(probe.new_sha256 or "") for probe in case.probes)
    assert [r.name for r in reports if r.name.startswith("drift_")] == ["drift_suspected", "drift_confirmed"]
    assert service.snapshot().drift.blocked == ("race_result",)
    assert {"drift_suspected", "drift_confirmed"} <= {line.name for line in service.snapshot().warnings}

    client.requests.clear()
    before = service.event(first)
    for name in (first, fourth):
        assert refused(partial(service.ingest, name)).kind is Kind.PAGE_TYPE_BLOCKED
    assert client.requests == []
    assert service.event(first) == before
    assert service.event(fourth).state == "idle"
    assert {(one.event, one.role, one.state) for one in only_case(service).events} == {
        (third, "failed", "failed"),
        (first, "refused", "complete"),
        (fourth, "refused", "idle"),
    }
    assert refused(lambda: service.ingest(fourth, Options(dry_run=True))).kind is Kind.PAGE_TYPE_BLOCKED
    assert refused(lambda: service.ingest_case(case.id)).kind is Kind.USAGE  # not while it is open

    site.change_markup(None)
    assert service.probe(case.id).state == "confirmed"  # only a person ends a block
    assert refused(lambda: service.close_drift_case(case.id, "dismissed", reason=" ")).kind is Kind.USAGE
    closed = service.close_drift_case(case.id, "dismissed", reason="LiveRC took it back", who="ann")
    assert (closed.state, closed.closed_by, closed.closed_why) == ("dismissed", "ann", "LiveRC took it back")
    assert service.event(third).held_at is None
    done = list(service.ingest_case(case.id))
    assert {step.event for step in done} == {first, third, fourth}
    assert [step.error for step in done] == [None] * 3
    for name in names[2:]:
        assert document.encode(service.export(name)) == document.encode(site.document(name.partition("/")[2]))
    assert list(service.ingest_case(case.id)) == []


def test_a_page_of_one_event_alone_blocks_nobody(service: Service, site: SimulatedSite, names: list[str]) -> None:
    first, second, third, _ = names
    for name in (first, second):
        service.ingest(name)
    broken(site, third, "table_class_renamed")
    error = refused(lambda: service.ingest(third))
    case = only_case(service)
    assert (case.state, error.details["drift_state"]) == ("event_only", "event_only")
    assert {probe.verdict for probe in case.probes} == {"equal"}
    assert service.event(third).held_at is not None
    assert service.ingest(first).outcome == "unchanged"
    assert refused(lambda: service.ingest(third)).details["drift_case"] == case.id  # joined, not opened again
    assert service.snapshot().drift.blocked == ()


def test_with_nothing_to_probe_a_case_stays_suspected(service: Service, site: SimulatedSite, names: list[str]) -> None:
    site.change_markup(mutator(["driver_class_renamed"]))
    refused(lambda: service.ingest(names[0]))
    case = only_case(service)
    assert case.state == "suspected"
    assert "no known page of another event" in (case.verdict or "")
    assert service.event(names[0]).held_at is not None
    assert refused(lambda: drift.require_confirmed(service.store, case.id)).kind is Kind.USAGE
    assert refused(lambda: service.close_drift_case(case.id, "repaired", reason="x")).kind is Kind.USAGE


def test_a_probe_that_cannot_be_fetched_proves_nothing(
    service: Service, site: SimulatedSite, client: SiteClient, names: list[str]
) -> None:
    service.ingest(names[0])
    site.change_markup(mutator(["driver_class_renamed"]))
    served = {race.source_race_id for race in service.export(names[0]).races}

    def unplugged(url: str) -> None:
        if url.rpartition("=")[2] in served:
            raise FetchError(Kind.UNREACHABLE, "the cable is out", url=url)

    client.before = unplugged
    refused(lambda: service.ingest(names[1]))
    case = only_case(service)
    assert (case.state, {probe.verdict for probe in case.probes}) == ("suspected", {"unreachable"})
    client.before = None
    assert service.probe(case.id).state == "confirmed"


# ---------------------------------------------------------------- what would have gone in silence


@pytest.mark.parametrize(
    ("mutation", "field"),
    [
        ("column_removed", "fast_lap_ms"),
        ("header_renamed", "fast_lap_ms"),
        ("entry_header_renamed", "transponder"),
        ("script_renamed", "lap_script"),
    ],
)
@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_an_optional_field_does_not_vanish_in_silence(
    service: Service, site: SimulatedSite, names: list[str], mutation: str, field: str
) -> None:
    service.ingest(names[0])
    site.change_markup(mutator([mutation]))
    error = refused(lambda: service.ingest(names[1]))
    assert error.details["page_type"] == MUTATIONS[mutation].page_type
    case = only_case(service)
    assert case.state == "confirmed"
    assert field in {doubt.field for doubt in case.doubts} or error.kind is Kind.LAPS_MISSING
    assert service.event(names[1]).ingest_depth == "none"


@pytest.mark.parametrize(
    "mutation", sorted(name for name, one in MUTATIONS.items() if one.page_type != "track_dashboard")
)
@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_every_known_change_is_read_rightly_or_noticed(
    service: Service, site: SimulatedSite, names: list[str], mutation: str
) -> None:
    service.ingest(names[0])
    known = {track.slug for track in service.tracks()}
    site.change_markup(mutator([mutation]))
    slug = names[1].partition("/")[0]
    calls: dict[str, Callable[[], object]] = {
        "track_catalogue": service.sync_tracks,
        "events_listing": lambda: service.refresh_track(slug),
    }
    error = None
    try:
        calls.get(MUTATIONS[mutation].page_type, lambda: service.ingest(names[1]))()
    except PipelineError as raised:
        error = raised
    if error is not None:
        assert error.details["page_type"] == MUTATIONS[mutation].page_type
        assert only_case(service).page_type == MUTATIONS[mutation].page_type
        assert {track.slug for track in service.tracks()} == known
    elif MUTATIONS[mutation].page_type in ("event", "race_result", "entry_list"):
        truth = site.document(names[1].partition("/")[2])
        assert document.encode(service.export(names[1])) == document.encode(truth)


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_what_reads_without_doubt_is_only_told_once(
    service: Service, site: SimulatedSite, names: list[str], reports: list[Report]
) -> None:
    for name in names[:3]:
        service.ingest(name)
    site.change_markup(mutator(["column_inserted"]))
    for name in (names[3], names[0]):
        service.ingest(name)
    told = [report.message for report in reports if report.name == "drift_structure_changed"]
    assert len(told) == 1
    assert "points" in told[0]
    assert service.drift_cases() == ()


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_what_a_person_dismissed_is_believed_from_then_on(
    service: Service, site: SimulatedSite, names: list[str]
) -> None:
    for name in names[:2]:
        service.ingest(name)
    broken(site, names[2], "column_removed")
    refused(lambda: service.ingest(names[2]))
    case = only_case(service)
    assert case.state == "event_only"
    service.close_drift_case(case.id, "dismissed", reason="this track shows no fastest lap")
    (step,) = service.ingest_case(case.id)
    assert step.report is not None
    assert step.report.outcome == "published"


# ---------------------------------------------------------------- zombies, canaries, webhooks


def test_a_case_confirmed_while_a_run_is_under_way_stops_it_inside_the_transaction(
    service: Service, names: list[str], client: SiteClient
) -> None:
    service.ingest(names[0])
    confirmed = threading.Event()
    last_race = client.site.document(names[1].partition("/")[2]).races[0].source_race_id  # newest first

    def confirm(url: str) -> None:
        if url.endswith(f"id={last_race}") and not confirmed.is_set():
            confirmed.set()
            doubt = Doubt(page_type="entry_list", url="x", field=None, why="it looks odd", kind="coverage")
            case = drift.suspect(service.store, (doubt,))
            drift.decide(service.store, case.id, drift.CONFIRMED, "proved elsewhere", ())

    client.before = confirm
    error = refused(lambda: service.ingest(names[1]))
    assert confirmed.is_set()
    assert error.kind is Kind.PAGE_TYPE_BLOCKED
    row = service.event(names[1])
    assert (row.state, row.ingest_depth) == ("failed", "none")
    assert [(one.event, one.role) for one in only_case(service).events] == [(names[1], "refused")]


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_canary_finds_the_change_before_anybody_ingests(
    service: Service, site: SimulatedSite, names: list[str], reports: list[Report]
) -> None:
    for name in names[:2]:
        service.ingest(name)
    assert service.add_canary(names[0])
    assert not service.add_canary(names[0])
    assert [one.passed for one in service.run_canaries()] == [True]
    site.change_markup(mutator(["driver_class_renamed"]))
    (result,) = service.run_canaries()
    assert (result.passed, only_case(service).state) == (False, "confirmed")
    assert service.event(names[0]).held_at is None
    assert "drift_canary_failed" in [report.name for report in reports]
    (canary,) = service.canaries()
    assert canary.result == result
    assert service.remove_canary(names[0])
    assert service.run_canaries() == ()
    assert refused(lambda: service.add_canary(names[3])).kind in (Kind.UNKNOWN_EVENT, Kind.NOTHING_TO_EXPORT)


class Receiver(BaseHTTPRequestHandler):
    """Takes JSON messages; refuses those sent to /no."""

    taken: list[dict[str, object]] = []

    def do_POST(self) -> None:
        self.taken.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(500 if self.path.startswith("/no") else 204)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


def test_the_webhook_is_told_and_its_failure_is_only_logged(caplog: pytest.LogCaptureFixture) -> None:
    Receiver.taken.clear()
    caplog.set_level("INFO")
    case = Case(
        id=7, page_type="race_result", state="confirmed", opened_at=0, changed_at=0, event_id=None, event="a/1",
        run_id=None, field="driver_name", reason="gone", doubts=(), probes=(), verdict="all fail", events=(),
        closed_at=None, closed_by=None, closed_why=None,
    )  # fmt: skip
    with HTTPServer(("127.0.0.1", 0), Receiver) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        Alarm(Bus(), f"{url}/yes").case(case)
        assert caplog.text == ""
        Alarm(Bus(), f"{url}/no?token=secret").case(case)
        server.shutdown()
    assert [(said["name"], said["case"], said["field"]) for said in Receiver.taken] == [
        ("drift_confirmed", 7, "driver_name")
    ] * 2
    assert "it answered 500" in caplog.text
    assert "secret" not in caplog.text
    Alarm(Bus(), "http://127.0.0.1:1/secret").case(case)  # nobody listens: nothing is raised
    assert "secret" not in caplog.text


def test_an_unknown_case_is_refused(service: Service) -> None:
    for call in (service.drift_case, service.probe):
        with pytest.raises(StateError) as caught:
            call(4711)
        assert caught.value.kind is Kind.UNKNOWN
