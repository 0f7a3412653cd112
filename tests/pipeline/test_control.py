"""The global switch on both engines: refused at admission, before a request, inside the publishing transaction."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mre_console.simulator.generate import World
from mre_console.simulator.site import SimulatedSite
from pipeline import control, document
from pipeline.control import Moment
from pipeline.errors import Kind, PipelineError, StateError
from pipeline.ingest import Options
from pipeline.runs import Run
from pipeline.service import Service, ServiceSettings
from pipeline.store import control as control_rows
from pipeline.store.database import Store
from pipeline.ways import Way
from tests.support.site_client import SiteClient


@pytest.fixture
def site() -> SimulatedSite:
    return SimulatedSite(World(5, tracks=1, events=2, mix=("small",), catalogue_rows=5), frozen_frame=True)


@pytest.fixture
def client(site: SimulatedSite) -> SiteClient:
    return SiteClient(site)


@pytest.fixture
def service(client: SiteClient, database_url: str, tmp_path: Path) -> Iterator[Service]:
    with Service(ServiceSettings(db_url=database_url, data=tmp_path / "data"), client=client) as service:
        yield service


@pytest.fixture
def name(site: SimulatedSite) -> str:
    return "/".join(site.events()[0])


def served(service: Service, name: str) -> bytes:
    return document.encode(service.export(name))


def correct(site: SimulatedSite, name: str) -> None:
    """Change one lap at the source, so that the next run has something to publish."""
    event_id = name.partition("/")[2]
    race = site.document(event_id).races[0]
    result = race.results[0]
    lap = result.laps[-1]
    site.correct_lap(
        event_id, race.source_race_id, result.source_driver_id or "", lap.lap_number, lap.lap_time_ms + 500
    )


def refusal(act: Callable[[], object]) -> PipelineError:
    with pytest.raises(PipelineError) as caught:
        act()
    return caught.value


def audits(service: Service) -> list[tuple[str, dict[str, Any]]]:
    with service.store.read():
        rows = service.store.sql("SELECT name, fields FROM journal WHERE entry_kind = 'audit' ORDER BY id")
    return [(name, json.loads(fields)) for name, fields in rows]


# ---------------------------------------------------------------- refused at each of the three points


def test_at_admission_nothing_is_asked_and_nothing_is_written(service: Service, client: SiteClient, name: str) -> None:
    service.disable(reason="the site is being moved", who="ann")
    for act in (lambda: service.ingest(name), lambda: service.ingest(name, Options(dry_run=True))):
        error = refusal(act)
        assert (error.kind, error.rule.exit_code) == (Kind.DISABLED, 8)
        assert "ann said: the site is being moved" in error.message
        assert error.details["mode"] == "disabled"
    assert client.requests == []
    assert not service.events()
    assert not service.runs()


def test_a_run_asks_again_in_the_transaction_that_begins_it(
    service: Service, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Disabled between the first question and the run: there is no run then, and no lease."""
    begin = Run.begin.__func__  # type: ignore[attr-defined]

    def late(cls: type[Run], *arguments: Any, **keywords: Any) -> Run:
        control.disable(service.store, reason="just now", who="ann")
        run: Run = begin(cls, *arguments, **keywords)
        return run

    monkeypatch.setattr(Run, "begin", classmethod(late))
    assert refusal(lambda: service.ingest(name)).kind is Kind.DISABLED
    assert not service.runs()
    assert not service.locks()
    assert service.event(name).state == "idle"


def test_before_a_request_the_run_ends_with_nothing_changed(
    service: Service, client: SiteClient, site: SimulatedSite, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.ingest(name)
    before = served(service, name)
    correct(site, name)
    asked = len(client.requests)
    monkeypatch.setattr(control, "REQUEST_MAX_AGE_S", 0.0)  # as if a second went by

    def disable(url: str) -> None:
        if len(client.requests) == asked + 3:
            control_rows.change(service.store, "disabled", "stop", "somebody elsewhere")

    client.before = disable
    error = refusal(lambda: service.ingest(name))
    assert (error.kind, error.rule.exit_code) == (Kind.DISABLED, 8)
    assert len(client.requests) == asked + 3  # the one under way was the last
    run = service.runs(name)[0]
    assert (run.outcome, run.id) == ("interrupted", error.details["run_id"])
    assert '"DISABLED"' in (run.error or "")
    assert not service.locks()
    row = service.event(name)
    assert (row.state, row.ingest_depth) == ("failed", "laps_full")
    assert served(service, name) == before


def test_inside_the_publishing_transaction_the_answer_is_final(
    service: Service, client: SiteClient, site: SimulatedSite, name: str
) -> None:
    """Disabled when every page is there, and the cached answer still says enabled."""
    service.ingest(name)
    before = served(service, name)
    correct(site, name)
    pages = len(site.addresses(name.partition("/")[2]))
    asked = len(client.requests)

    def disable(url: str) -> None:
        if len(client.requests) == asked + pages:
            control_rows.change(service.store, "disabled", "stop", "somebody elsewhere")

    client.before = disable
    error = refusal(lambda: service.ingest(name))
    assert error.kind is Kind.DISABLED
    assert len(client.requests) == asked + pages
    assert service.runs(name)[0].outcome == "interrupted"
    assert served(service, name) == before
    assert not service.locks()


def test_control_without_the_last_question_it_would_have_been_published(
    service: Service, client: SiteClient, site: SimulatedSite, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control_rows, "read_to_publish", lambda store: control_rows.ControlRow())
    pages = len(site.addresses(name.partition("/")[2]))

    def disable(url: str) -> None:
        if len(client.requests) == pages:
            control_rows.change(service.store, "disabled", "stop", "somebody elsewhere")

    client.before = disable
    assert service.ingest(name).outcome == "published"


def test_a_long_wait_for_the_site_ends_too(service: Service, client: SiteClient, name: str) -> None:
    """The heartbeat's thread asks the switch, so a run that waits between two requests does not outlive it."""
    waiting, released = threading.Event(), threading.Event()

    def wait(url: str) -> None:
        if len(client.requests) == 2:
            waiting.set()
            assert released.wait(30)

    client.before = wait
    outcomes: list[Any] = []
    worker = service.start_ingest(name, done=outcomes.append)
    assert waiting.wait(30)
    (signal,) = service.stops._signals
    service.disable(reason="stop")
    assert signal.event.wait(10)
    released.set()
    worker.join(30)
    assert outcomes[0].kind is Kind.DISABLED


def test_before_requests_the_database_is_asked_once_a_second_at_most(
    service: Service, client: SiteClient, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[str] = []
    read = control_rows.read

    def counted(store: Store) -> control_rows.ControlRow:
        reads.append(threading.current_thread().name)
        return read(store)

    monkeypatch.setattr(control_rows, "read", counted)
    service.ingest(name)
    assert len(client.requests) >= 8
    assert len(reads) <= 4  # the front door, the admission, the beginning of the run; the requests none


def test_another_process_is_heard_within_a_second(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("pipeline.control.time.monotonic", lambda: now[0])
    control.admit(store, Way.INGEST, Moment.REQUEST)
    control_rows.change(store, "disabled", "stop", "another process")
    now[0] += control.REQUEST_MAX_AGE_S
    control.admit(store, Way.INGEST, Moment.REQUEST)  # the answer from before still counts
    now[0] += 0.001
    with pytest.raises(StateError):
        control.admit(store, Way.INGEST, Moment.REQUEST)


# ---------------------------------------------------------------- disabling


def test_disabling_needs_a_reason_and_is_written_down_with_it(service: Service) -> None:
    assert refusal(lambda: service.disable(reason="  ")).kind is Kind.USAGE
    assert service.control().mode == "enabled"
    state = service.disable(reason=" pages look wrong ", who="ann")
    assert (state.mode, state.reason, state.changed_by, state.publishing) == (
        "disabled", "pages look wrong", "ann", False,
    )  # fmt: skip
    assert audits(service) == [
        ("ingestion_disabled",
         {"mode": "disabled", "before": "enabled", "reason": "pages look wrong", "who": "ann"}),
    ]  # fmt: skip


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
def test_a_publisher_that_hangs_cannot_keep_ingestion_enabled(database_url: str) -> None:
    """It read the switch before: disabling is committed without waiting for it, and says that somebody is in there."""
    store, impatient = Store.open(database_url), Store.open(database_url, busy_timeout_s=0.2)
    inside, leave = threading.Event(), threading.Event()

    def publish() -> None:
        with store.connection_scope(), store.write():
            control.admit(store, Way.INGEST, Moment.PUBLISH)
            inside.set()
            assert leave.wait(30)

    publisher = threading.Thread(target=publish)
    publisher.start()
    assert inside.wait(30)
    try:
        state = control.disable(impatient, reason="stop", who="ann")
        assert (state.mode, state.publishing) == ("disabled", True)
        with impatient.write(), pytest.raises(StateError):
            control.admit(impatient, Way.INGEST, Moment.PUBLISH)
    finally:
        leave.set()
        publisher.join(30)
    assert control.disable(impatient, reason="stop", who="ann").publishing is False
    store.close()
    impatient.close()


def test_what_is_served_can_be_read_while_it_is_disabled(service: Service, name: str) -> None:
    service.ingest(name)
    before = served(service, name)
    service.disable(reason="stop", protect=True)
    assert served(service, name) == before
    assert service.status().totals.served == 1
    assert service.status().control.mode == service.snapshot().control.mode == "protected"


# ---------------------------------------------------------------- enabling


def test_enabling_needs_checks_that_passed_since(service: Service, name: str) -> None:
    service.ingest(name)
    assert service.enable().mode == "enabled"  # it is
    assert service.checks().passed
    service.disable(reason="stop")
    error = refusal(service.enable)
    assert (error.kind, error.rule.exit_code) == (Kind.CHECKS_FAILED, 9)
    assert "have not passed since it was disabled" in error.message
    assert "mre checks" in str(error.envelope().details["remedy"])
    assert service.control().mode == "disabled"
    service.checks(name)
    assert refusal(service.enable).kind is Kind.CHECKS_FAILED  # one event is not everything
    service.checks()
    state = service.enable(reason="looked at", who="bob")
    assert (state.mode, state.changed_by) == ("enabled", "bob")
    assert [name for name, _ in audits(service) if name.startswith("ingestion_")] == [
        "ingestion_disabled", "ingestion_enabled",
    ]  # fmt: skip
    assert service.ingest(name).outcome == "unchanged"


def test_a_failed_run_of_any_checks_keeps_it_disabled(service: Service, name: str) -> None:
    service.ingest(name)
    service.disable(reason="stop")
    assert service.checks().passed
    damage(service.store, True)
    assert not service.checks(name).passed
    assert "checks failed" in refusal(service.enable).message
    assert not service.checks().passed
    assert not service.control().may_enable
    damage(service.store, False)
    assert "not all of them have passed since" in refusal(service.enable).message
    assert service.checks().passed
    assert service.control().may_enable
    assert service.enable().mode == "enabled"


def damage(store: Store, broken: bool) -> None:
    """Depth against data, without a guard in the way: or back again."""
    value = "NULL" if broken else "1"
    with store.write():
        store.sql(f"UPDATE event SET last_ingested_at = {value}")


# ---------------------------------------------------------------- protect


def test_protected_only_recovery_may_write(service: Service, client: SiteClient, name: str) -> None:
    service.ingest(name)
    slug = name.partition("/")[0]
    service.disable(reason="stop")
    service.follow(slug, followed=True)  # nothing is fetched for a known track
    service.disable(reason="a closer look", protect=True)
    asked = len(client.requests)
    for act in (
        lambda: service.follow(slug, followed=False),
        lambda: service.add_event("elsewhere/1"),
        lambda: service.refresh_track(slug),
        lambda: service.sync_tracks(),
        lambda: service.ingest(name),
    ):
        error = refusal(act)
        assert error.kind is Kind.DISABLED
        assert "only recovery may write" in error.message
    assert len(client.requests) == asked
    assert refusal(lambda: service.clear_lock(name, reason="look")).kind is Kind.UNKNOWN  # asked, and there is no lock
    assert service.checks().passed
    assert service.enable().mode == "enabled"


def test_following_an_unknown_track_would_fetch(service: Service, client: SiteClient, site: SimulatedSite) -> None:
    slug = site.world.real_slugs()[0]
    service.disable(reason="stop")
    assert refusal(lambda: service.follow(slug)).kind is Kind.DISABLED
    assert client.requests == []
    assert not service.tracks()
