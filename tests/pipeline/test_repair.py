"""From red to green: markup changes, a run fails and names the field, a repair is proposed, accepted, and undone."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.drift.redesigns import REDESIGNS
from mre_console.settings import shipped_fixtures
from mre_console.simulator.generate import World
from mre_console.simulator.mutations import mutator
from mre_console.simulator.site import SimulatedSite
from pipeline.errors import Kind, PipelineError, StateError
from pipeline.service import Service, ServiceSettings
from tests.support.site_client import SiteClient


class Operator:
    """A service over a simulated site with several events of one track."""

    def __init__(self, place: Path, database_url: str) -> None:
        world = World(5, tracks=2, events=3, mix=("small", "mains", "typical"), catalogue_rows=2)
        self.site = SimulatedSite(world, frozen_frame=True)
        settings = ServiceSettings(db_url=database_url, data=place, fixtures=shipped_fixtures())
        self.service = Service(settings, client=SiteClient(self.site))
        self.events = [f"{slug}/{event_id}" for slug, event_id in self.site.events()]

    def fails(self, event: str) -> PipelineError:
        with pytest.raises(PipelineError) as failed:
            self.service.ingest(event)
        return failed.value

    def truth(self, event: str) -> object:
        return self.site.document(event.rpartition("/")[2])


@pytest.fixture
def operator(tmp_path: Path) -> Operator:
    return Operator(tmp_path, f"sqlite:///{tmp_path / 'mre.sqlite3'}")


def test_a_renamed_column_is_repaired_from_what_the_archive_knows(operator: Operator) -> None:
    service, events = operator.service, operator.events
    for event in events[1:]:
        service.ingest(event)
    operator.site.change_markup(mutator(["header_renamed"]))
    operator.site.raise_build()

    error = operator.fails(events[0])
    assert error.details["page_type"] == "race_result"
    assert error.details["field"] in ("fast_lap_ms", "fast_lap_number")
    case = service.drift_cases(open_only=True)[0]
    assert (case.state, case.page_type) == ("confirmed", "race_result")

    found = service.repair_proposal(case.id)
    assert found.objections == ()
    assert found.proposal.addition["part"]["results"]["row_field"]["fast_lap_ms"] == {"column": ["Best"]}
    assert found.diff is not None
    assert "column 'Fastest Lap' is gone" in found.diff.headline
    assert service.preview_repair(case.id).changed == ()

    accepted = service.accept_repair(case.id, digest=found.digest, reason="the column has a new title", live=True)
    assert accepted.gate.state == "green"
    assert accepted.fixture is not None, accepted.fixture_note
    service.close_drift_case(case.id, "repaired", reason="reads again")
    for event in events:
        service.ingest(event)
        assert service.export(event) == operator.truth(event)
    operator.site.change_markup(None)  # old markup reads as before
    assert service.ingest(events[0]).outcome == "unchanged"
    assert "Best" in service.export_contract("race_result")


def test_an_undone_repair_leaves_nothing_in_force(operator: Operator) -> None:
    service, events = operator.service, operator.events
    for event in events[1:]:
        service.ingest(event)
    operator.site.change_markup(mutator(["driver_class_renamed"]))
    operator.fails(events[0])
    case = service.drift_cases(open_only=True)[0]
    before = service.readers.build
    done = service.accept_repair(case.id, reason="another class", live=True)
    assert service.readers.build != before
    undone = service.undo_repair(done.page_type, done.version, reason="too early")
    assert undone.gate.state == "green"
    assert undone.note is None
    assert service.readers.build == before


def test_a_repair_is_refused_without_a_confirmed_case_or_where_a_value_is_gone(operator: Operator) -> None:
    service, events = operator.service, operator.events
    for event in events[1:]:
        service.ingest(event)
    operator.site.change_markup(mutator(["column_removed"]))
    operator.fails(events[0])
    case = service.drift_cases(open_only=True)[0]
    found = service.repair_proposal(case.id)
    assert {one.field for one in found.proposal.of("lost")} == {"fast_lap_ms", "fast_lap_number"}
    assert found.objections
    with pytest.raises(StateError) as refused:
        service.accept_repair(case.id, reason="I want it")
    assert refused.value.kind is Kind.USAGE
    assert service.contract_history() == ()


def test_a_race_missing_from_the_list_is_doubted_where_totals_have_always_held(operator: Operator) -> None:
    """The first row of the list is gone: only the number of laps in all can tell."""
    service, events = operator.service, operator.events

    def shorter(page_type: str, body: bytes) -> bytes:
        if page_type != "event":
            return body
        start = body.index(b"<tr>", body.index(b'">Race Results<'))
        first = body.index(b"<tr>", start + 4)
        return body[:first] + body[body.index(b"</tr>", first) + 5 :]

    operator.site.change_markup(shorter)
    assert service.ingest(events[0]).warnings  # nothing is known yet, so a total alone refuses nothing
    operator.site.change_markup(None)
    for event in events:
        service.ingest(event)
    operator.site.change_markup(shorter)
    error = operator.fails(events[1])
    assert error.details["page_type"] == "event"
    assert "race laps" in error.message


@pytest.mark.parametrize("name", ["listing_date_renamed", "catalogue_redesigned"])
def test_pages_above_the_events_are_repaired_from_what_the_database_remembers(operator: Operator, name: str) -> None:
    service = operator.service
    slugs = operator.site.world.real_slugs()

    def read() -> object:
        return service.sync_tracks() if name == "catalogue_redesigned" else service.refresh_track(slugs[0])

    service.sync_tracks()
    for slug in slugs:
        service.refresh_track(slug)
    grid = next(kind for kind in REDESIGNS if kind.name == "redesign")

    def changed(page_type: str, body: bytes) -> bytes:
        if name == "catalogue_redesigned":
            return (page_type == "track_catalogue" and grid.apply(page_type, body, "")) or body
        return body.replace(b"<th>Date</th>", b"<th>When</th>") if page_type == "events_listing" else body

    operator.site.change_markup(changed)
    with pytest.raises(PipelineError):
        read()
    case = service.drift_cases(open_only=True)[0]
    found = service.repair_proposal(case.id)
    assert found.diff is None
    assert [one for one in found.objections if "confirmed" not in one] == []
    if case.state == "confirmed":
        assert service.accept_repair(case.id, reason="it looks new").gate.state == "green"
        service.close_drift_case(case.id, "repaired", reason="reads again")
        read()
