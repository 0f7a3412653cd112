"""What a worker does with what is due: each event by one worker, the urgent first, and nothing ends it silently."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from pipeline import attempts, worker
from pipeline.errors import FetchError, Kind, PipelineError
from pipeline.ingest import IngestReport, Options
from pipeline.observe import Report
from pipeline.service import Service
from pipeline.store import wanted
from pipeline.store.database import Store
from tests.support.scheduling import DAY_S, HOUR_S, MINUTE_S, Bench, bench

__all__ = ["bench"]
WAIT_S = 20.0


def heard(service: Service, name: str) -> threading.Event:
    """Set when a report of that name was published."""
    event = threading.Event()
    service.bus.subscribe(lambda report: event.set() if report.name == name else None)
    return event


def wait_until(true: Callable[[], bool]) -> None:
    """Look until it is so; a test that hangs fails."""
    until = time.monotonic() + WAIT_S
    while not true():
        assert time.monotonic() < until, "it did not come true"
        threading.Event().wait(0.02)


def outcomes(bench: Bench, name: str) -> list[tuple[str, str | None]]:
    return [(run.trigger, run.outcome) for run in bench.service.runs(name)][::-1]


def test_new_events_are_ingested_once_and_looked_at_again_without_publishing(bench: Bench) -> None:
    bench.only("recent")
    (name,) = bench.events(1, day="2026-02-28")
    bench.work()
    bench.wind_to("2026-03-01T23:00")
    bench.work()
    assert outcomes(bench, name) == [], "it is not open yet"
    bench.wind_to("2026-03-02T01:00")
    bench.work()
    assert outcomes(bench, name) == [("schedule", "published")]
    for _ in range(3 * 12):
        bench.wind(8 * HOUR_S)
        bench.work()
    assert [outcome for _, outcome in outcomes(bench, name)] == ["published", *["unchanged"] * 7]


def test_caps_hold_and_the_rest_comes_later(bench: Bench) -> None:
    bench.only("recent")
    bench.service.edit_schedule("recent", options={"per_track": "2", "per_run": "3"})
    names = bench.events(5, day="2026-02-27")
    bench.work()
    done = []
    for _ in range(4):
        bench.wind(HOUR_S)
        bench.work()
        done.append(sum(event.ingest_depth != "none" for event in bench.service.events()))
    assert done == [2, 4, 5, 5]
    assert len(names) == 5


def test_what_a_person_wants_comes_first_and_is_done_once(bench: Bench) -> None:
    names = bench.events(3, day="2026-02-27")
    bench.only("recent")
    bench.service.run_schedule_now("recent")
    bench.worker.tick()
    assert bench.worker.step()  # the job
    last = bench.service.wanted()[-1].name
    bench.service.request_ingest(last, trigger="api", who="ann")
    assert [row.why for row in bench.service.wanted()] == ["asked", "new", "new"]
    assert bench.worker.step()
    assert outcomes(bench, last) == [("api", "published")]
    bench.work()
    assert bench.service.wanted() == ()
    assert {len(outcomes(bench, name)) for name in names} == {1}


def test_two_workers_never_take_the_same_event(bench: Bench) -> None:
    names = bench.events(4)
    for name in names:
        bench.service.request_ingest(name)
    together = threading.Barrier(2)
    failed: list[BaseException] = []

    def work(service: Service) -> None:
        with service.store.connection_scope():
            try:
                mine = bench.another_worker(service)
                together.wait(WAIT_S)
                while mine.step():
                    pass
            except BaseException as error:
                failed.append(error)
                raise

    threads = [threading.Thread(target=work, args=(bench.another_service(),)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    bench.work()
    assert failed == []
    assert {name: outcomes(bench, name) for name in names} == {name: [("cli", "published")] for name in names}


def test_whoever_is_second_to_claim_an_event_begins_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other worker took the event and finished it between this one's look and its claim."""
    (name,) = bench.events(1)
    bench.service.request_ingest(name)
    other, mine = bench.another_service(), bench.worker
    ingest = bench.service.ingest

    def late(event: str, options: Options | None = None, *, claim: Callable[[], None] | None = None) -> IngestReport:
        assert bench.another_worker(other).step()
        return ingest(event, options, claim=claim)

    monkeypatch.setattr(bench.service, "ingest", late)
    assert mine.step()
    assert not mine.step()
    assert outcomes(bench, name) == [("cli", "published")]
    assert len(bench.service.runs(name)) == 1


def test_a_held_event_is_not_begun_and_does_not_stand_in_the_way(bench: Bench) -> None:
    held, free = bench.events(2, day="2026-02-27")
    bench.only("recent")
    bench.service.run_schedule_now("recent")
    bench.worker.tick()
    bench.worker.step()
    attempts.hold(bench.store, bench.service.event(held).id, "looks odd")
    bench.work()
    assert (outcomes(bench, held), outcomes(bench, free)) == ([], [("schedule", "published")])
    assert bench.service.wanted() == ()


def test_failed_events_are_tried_again_when_it_is_time(bench: Bench) -> None:
    bench.only("retries")
    (name,) = bench.events(1)

    def away(url: str) -> None:
        raise FetchError(Kind.SERVER_ERROR, "out of order", url=url)

    bench.client.before = away
    with pytest.raises(PipelineError):
        bench.service.ingest(name)
    bench.work()
    bench.wind(5 * MINUTE_S + 1)
    bench.work()
    assert len(outcomes(bench, name)) == 2
    bench.client.before = None
    bench.wind(9 * MINUTE_S)
    bench.work()
    assert len(outcomes(bench, name)) == 2, "the second wait is ten minutes"
    bench.wind(6 * MINUTE_S)
    bench.work()
    assert outcomes(bench, name)[-1] == ("schedule", "published")
    bench.wind(DAY_S)
    bench.work()
    assert len(outcomes(bench, name)) == 3


def test_where_the_site_is_away_the_other_events_wait(bench: Bench) -> None:
    for name in bench.events(6):
        bench.service.request_ingest(name)
    asked: list[str] = []

    def away(url: str) -> None:
        asked.append(url)
        raise FetchError(Kind.UNREACHABLE, "nobody answers", url=url)

    bench.client.before = away
    bench.only()
    bench.work()
    assert len(asked) == worker.IN_A_ROW
    assert len(bench.service.wanted()) == 6 - worker.IN_A_ROW
    bench.client.before = None
    bench.work()
    assert len(bench.service.wanted()) == 3
    bench.wind(worker.SITE_AWAY_S)
    bench.work()
    assert bench.service.wanted() == ()


def test_while_disabled_nothing_is_lost(bench: Bench) -> None:
    (name,) = bench.events(1)
    bench.service.request_ingest(name)
    bench.service.disable(reason="looks wrong")
    bench.only()
    assert bench.work() == 0
    assert "work_waits" in [report.name for report in bench.reports]
    bench.service.checks()
    bench.service.enable()
    bench.wind(worker.REFUSED_S)
    assert bench.work() == 1
    assert outcomes(bench, name) == [("cli", "published")]


def test_a_program_fault_in_a_job_is_recorded_and_the_work_goes_on(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> None:
        raise ZeroDivisionError("a fault")

    monkeypatch.setattr(bench.service, "sync_tracks", broken)
    (name,) = bench.events(1)
    bench.service.run_schedule_now("catalogue")
    bench.service.request_ingest(name)
    assert bench.work() >= 2
    assert bench.runs_of("catalogue")[0][1] == "failed"
    assert outcomes(bench, name) == [("cli", "published")]
    assert "ZeroDivisionError" in caplog.text


def lock_everything(store: Store) -> None:
    """Be in the way of every tick, inside the transaction that is open."""
    if store.engine == "postgresql":
        store.sql("LOCK TABLE worker IN EXCLUSIVE MODE")


def test_a_lock_longer_than_the_busy_timeout_does_not_end_the_schedule(bench: Bench) -> None:
    """Where a scheduler keeps its jobs in the database, this is what ends it for ever, without a word."""
    service = bench.another_service(busy_timeout_s=0.2)
    failed = heard(service, "tick_failed")
    mine = service.start_schedule(tick_s=0.1)
    wait_until(mine.is_fresh)
    with bench.store.write():
        lock_everything(bench.store)
        assert failed.wait(WAIT_S)
        bench.wind(20)
        looking = bench.another_service()
        assert looking.schedule_health().late
        assert "tick_late" in [reason.code for reason in looking.health().reasons]
        assert not mine.is_fresh(), "nor is a watchdog told that all is well"
        assert mine.alive
    wait_until(lambda: not bench.service.schedule_health().late)
    (name,) = bench.events(1)
    done = heard(service, "ingestion_finish")
    bench.service.request_ingest(name)
    assert done.wait(WAIT_S), "the work goes on too"
    assert service.stop_schedule(timeout_s=WAIT_S)


def test_started_here_it_ends_when_the_service_is_stopped_and_says_goodbye(bench: Bench) -> None:
    service = bench.another_service()
    (name,) = bench.events(1)
    fetching, go_on = threading.Event(), threading.Event()

    def hold(_url: str) -> None:
        fetching.set()
        go_on.wait(WAIT_S)

    bench.client.before = hold
    service.request_ingest(name)
    mine = service.start_schedule(tick_s=0.1)
    assert service.start_schedule() is mine, "it is under way already"
    assert fetching.wait(WAIT_S)
    assert service.runs_schedule()
    service.stop("enough")
    go_on.set()
    assert mine.join(WAIT_S)
    assert not service.runs_schedule()
    assert outcomes(bench, name) == [("cli", "interrupted")]
    states = {row.kind: row.state for row in bench.service.workers()}
    assert states["console"] == "stopped"


def test_a_job_that_a_stop_cut_short_is_taken_by_the_next_worker(bench: Bench) -> None:
    bench.events(1)
    bench.only()
    bench.service.edit_schedule("listings", options={"fresh_minutes": "0"})
    service = bench.another_service()

    def stop(_url: str) -> None:
        service.stop("enough")
        raise PipelineError(Kind.INTERRUPTED, "enough")

    bench.client.before = stop
    bench.service.run_schedule_now("listings")
    mine = service.start_schedule(tick_s=0.1)
    assert mine.join(WAIT_S)
    bench.client.before = None
    (run,) = bench.service.job_runs("listings")
    assert (run.finished_at, run.attempt) == (None, 1)
    assert bench.work() == 1
    (run,) = bench.service.job_runs("listings")
    assert (run.outcome, run.attempt) == ("done", 2)


def test_the_report_of_a_job_names_no_event(bench: Bench) -> None:
    bench.service.run_schedule_now("retries")
    bench.work()
    (report,) = [report for report in bench.reports if report.name == "job_finish"]
    assert isinstance(report, Report)
    assert report.fields["schedule"] == "retries"
    assert report.event_id is None
    assert wanted.count(bench.store) == 0
