"""What follows from the checks: their record, holds that begin and end, reports that tell what was not looked at."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from mre_console.settings import shipped_fixtures
from mre_console.simulator.generate import World
from mre_console.simulator.site import SimulatedSite
from pipeline import check_documents, checks, replay
from pipeline.errors import Kind, PipelineError, StoreError
from pipeline.fixtures import FixtureRoots
from pipeline.liverc.readers import Readers
from pipeline.observe import Report
from pipeline.replay import Pages
from pipeline.service import Service, ServiceSettings
from pipeline.store import consistency
from tests.support.site_client import SiteClient
from tests.support.vandal import damage


@pytest.fixture
def site() -> SimulatedSite:
    return SimulatedSite(World(5, tracks=1, events=2, mix=("small",), catalogue_rows=5), frozen_frame=True)


@pytest.fixture
def service(site: SimulatedSite, database_url: str, tmp_path: Path) -> Iterator[Service]:
    settings = ServiceSettings(db_url=database_url, data=tmp_path / "data", fixtures=shipped_fixtures())
    with Service(settings, client=SiteClient(site)) as service:
        for event in site.events():
            service.ingest("/".join(event))
        yield service


@pytest.fixture
def name(site: SimulatedSite) -> str:
    return "/".join(site.events()[0])


def break_it(service: Service, name: str) -> None:
    damage(service.store, f"UPDATE event SET last_ingested_at = NULL WHERE id = {service.event(name).id}")


def mend_it(service: Service, name: str) -> None:
    damage(service.store, f"UPDATE event SET last_ingested_at = 1 WHERE id = {service.event(name).id}")


def names_in_the_journal(service: Service, name: str) -> list[str]:
    return [line.name for line in service.log(event=name)]


def test_a_run_of_the_checks_is_recorded(service: Service, name: str) -> None:
    everything = service.checks(asked_by="ann")
    break_it(service, name)
    alone = service.checks(name)
    newest, before = service.check_runs()
    assert (before.id, before.event_id, before.asked_by) == (everything.id, None, "ann")
    assert (before.passed, before.error_count) == (True, 0)
    assert before.started_at <= before.finished_at
    assert (newest.id, newest.event_id, newest.passed) == (alone.id, service.event(name).id, False)
    assert [finding["check"] for finding in json.loads(newest.findings)] == ["depth"]
    assert json.loads(newest.checks).keys() == alone.checks.keys()
    assert service.check_runs(name) == (newest,)


def test_a_failing_event_is_held_once_and_freed_when_it_passes(service: Service, name: str) -> None:
    break_it(service, name)
    assert service.checks(name).held == (name,)
    row = service.event(name)
    assert row.held_at is not None
    assert (row.held_reason or "").startswith("checks failed (depth): ")
    service.checks(name)
    assert names_in_the_journal(service, name).count("event_held") == 1
    mend_it(service, name)
    assert service.checks(name).held == ()
    assert service.event(name).held_at is None
    assert "hold_released" in names_in_the_journal(service, name)


def test_a_run_over_everything_holds_each_event_that_fails(service: Service, site: SimulatedSite, name: str) -> None:
    break_it(service, name)
    assert service.checks().held == (name,)
    others = [row for row in service.events() if f"{row.track_slug}/{row.source_event_id}" != name]
    assert [row.held_at for row in others] == [None]


def test_a_hold_that_somebody_else_made_stays(service: Service, name: str) -> None:
    from pipeline import attempts

    attempts.hold(service.store, service.event(name).id, "three runs died")
    assert service.checks(name).passed
    assert service.event(name).held_reason == "three runs died"


def test_a_program_that_cannot_read_any_more_holds_what_was_just_recovered(
    service: Service, name: str, tmp_path: Path
) -> None:
    root = tmp_path / "fixtures" / "liverc" / "1"
    root.mkdir(parents=True)
    (root / "metadata.json").write_text("{}")
    report = checks.after_action(
        service.store, service.event(name).id, archive=service.archive, fixtures=FixtureRoots(tmp_path / "fixtures")
    )
    assert [finding.check for finding in report.findings] == ["regression"]
    assert report.held == (name,)


def test_after_an_action_without_archive_and_page_sets_it_says_what_was_not_looked_at(
    service: Service, name: str
) -> None:
    report = checks.after_action(service.store, service.event(name).id, asked_by="action 7")
    assert report.passed
    assert set(report.skipped) == {
        "archive", "archived-races", "archived-drivers", "archived-laps", "archived-document", "regression",
    }  # fmt: skip
    assert service.check_runs()[0].asked_by == "action 7"


def test_three_replays_in_other_orders_must_agree(service: Service, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader that lets the order of the pages show: found, and only by the check that looks for it."""
    read = replay.read_pages

    def order_dependent(pages: list[tuple[str, bytes]], readers: Readers) -> Pages:
        said = read(pages, readers)
        assert said.event is not None
        if "view_event" not in pages[0][0]:
            said.event = msgspec.structs.replace(said.event, event_name=said.event.event_name + " ")
        return said

    monkeypatch.setattr(check_documents, "read_pages", order_dependent)
    report = service.checks(name)
    assert [finding.check for finding in report.findings] == ["determinism"]
    assert len(report.findings[0].facts["found"]) == 2


def test_a_much_slower_run_is_a_warning(service: Service, name: str) -> None:
    for _ in range(6):
        service.ingest(name)
    assert service.checks(name).findings == ()
    newest = service.event(name).last_run_id
    damage(service.store, f"UPDATE run SET stage_ms = '{{\"fetch\": 600000}}' WHERE id = {newest}")
    report = service.checks(name)
    assert report.passed
    (finding,) = report.findings
    assert (finding.check, finding.severity, finding.run_id) == ("durations", "warning", newest)


def test_with_little_history_nothing_is_said_of_durations(service: Service, name: str) -> None:
    service.ingest(name)
    newest = service.event(name).last_run_id
    damage(service.store, f"UPDATE run SET stage_ms = '{{\"fetch\": 600000}}' WHERE id = {newest}")
    assert service.checks(name).findings == ()


def test_how_a_failed_run_failed_is_no_finding(service: Service, site: SimulatedSite, name: str) -> None:
    event_id = name.partition("/")[2]
    for race in site.document(event_id).races:
        site.remove_race(event_id, race.source_race_id)
    with pytest.raises(PipelineError):
        service.ingest(name)
    assert service.event(name).state == "failed"
    assert service.checks(name).findings == ()


def test_progress_is_told_and_a_stop_ends_it_unrecorded(service: Service) -> None:
    heard: list[Report] = []
    service.bus.subscribe(heard.append)
    service.checks()
    done = [(report.fields["done"], report.fields["total"]) for report in heard if report.name == "progress"]
    assert done[0][0] == 0
    assert done[-1][0] == done[-1][1]
    recorded = len(service.check_runs())
    service.stop("that is enough")
    with pytest.raises(PipelineError) as caught:
        service.checks()
    assert caught.value.kind is Kind.INTERRUPTED
    assert len(service.check_runs()) == recorded


def test_a_database_that_is_away_is_no_finding(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: object) -> list[object]:
        raise StoreError(Kind.DB_UNREACHABLE, "the server went away")

    monkeypatch.setattr(consistency, "kept_runs", gone)
    with pytest.raises(StoreError):
        service.checks()


def test_read_only_it_looks_and_leaves_no_trace(service: Service, name: str) -> None:
    break_it(service, name)
    settings = service.settings
    with Service(settings, read_only=True) as looking:
        report = looking.checks()
        assert (report.passed, report.id, report.held) == (False, None, ())
    assert service.check_runs() == ()
    assert service.event(name).held_at is None


def test_it_is_quick_enough_to_follow_every_action(service: Service, name: str) -> None:
    """An event of eight pages, every check: well under a second, so recovering many events is not held up."""
    began = time.perf_counter()
    service.checks(name)
    assert time.perf_counter() - began < 5


def test_a_retried_event_that_does_not_pass_counts_as_failed(service: Service, name: str) -> None:
    break_it(service, name)
    (step,) = service.retry(service.plan_retry([name]))
    assert step.report is None
    assert step.error is not None
    assert (step.error.kind, step.error.rule.exit_code) == (Kind.CHECKS_FAILED, 9)
    assert "depth" in step.error.message
    assert service.event(name).held_at is not None
    mend_it(service, name)
    (step,) = service.retry(service.plan_retry([name]))
    assert step.error is None
    assert service.event(name).held_at is None
