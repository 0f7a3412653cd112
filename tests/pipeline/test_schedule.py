"""What is due is done once, by whoever comes first: through missed ticks, clocks that jump, and workers that vanish."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from pipeline import schedule
from pipeline.errors import FetchError, Kind, StateError, StoreError
from pipeline.service import Service
from pipeline.store import schedule as rows
from pipeline.store import workers
from pipeline.store.models import Schedule
from tests.support.scheduling import DAY_S, HOUR_S, MINUTE_S, Bench, bench

__all__ = ["bench"]


def now_ms(bench: Bench) -> int:
    return bench.clock.database_ms()


def test_what_a_new_database_has(bench: Bench) -> None:
    lines = {line.name: line for line in bench.service.schedules()}
    assert {name for name, line in lines.items() if line.paused} == {"recent", "purge"}, "these are off by default"
    assert lines["recent"].options == {
        "window_days": 7, "quiet_hours": 12, "recheck_hours": 24, "per_run": 20, "per_track": 5,
    }  # fmt: skip
    assert lines["catalogue"].words == "daily at 03:20 UTC"


def test_nothing_is_due_at_once_and_everything_when_it_is_time(bench: Bench) -> None:
    bench.only("retries")
    assert bench.work() == 0
    bench.wind(5 * MINUTE_S - 1)
    assert bench.work() == 0
    bench.wind(1)
    assert bench.work() == 1
    assert bench.runs_of("retries") == [(now_ms(bench), "done")]


def test_missed_ticks_are_made_up_for_once(bench: Bench) -> None:
    bench.only("retries", "catalogue")
    bench.work()
    bench.wind(3 * DAY_S)
    assert bench.work() == 2
    assert bench.work() == 0
    assert [outcome for _, outcome in bench.runs_of("catalogue")] == ["done"]
    (line,) = [line for line in bench.service.schedules() if line.name == "catalogue"]
    assert line.next_due_at is not None
    assert now_ms(bench) < line.next_due_at <= now_ms(bench) + DAY_S * 1000


def test_any_number_may_tick_at_once(bench: Bench) -> None:
    """Each moment is made into one run, and each run is taken by one."""
    bench.only("retries", "listings")
    bench.work()
    bench.wind(DAY_S)
    services = [bench.another_service() for _ in range(4)]
    together = threading.Barrier(4)
    made: list[int] = []
    taken: list[int] = []
    failed: list[BaseException] = []

    def tick(service: Service) -> None:
        with service.store.connection_scope():
            try:
                mine = bench.another_worker(service)._id
                assert mine is not None
                together.wait(10)
                made.append(schedule.make_due(service.store))
                together.wait(10)
                while (run := rows.take_run(service.store, mine)) is not None:
                    taken.append(run.id)
            except BaseException as error:
                together.abort()
                failed.append(error)
                raise

    threads = [threading.Thread(target=tick, args=(service,)) for service in services]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert failed == []
    assert sum(made) == 2
    assert len(taken) == len(set(taken)) == 2


def test_a_moment_cannot_have_two_runs(bench: Bench) -> None:
    """The database refuses it, whoever asks."""
    (line,) = [row for row in rows.list_schedules(bench.store) if row.name == "checks"]
    rows.make_run(bench.store, line.id, 1_000)
    with pytest.raises(StoreError) as refused:
        rows.make_run(bench.store, line.id, 1_000)
    assert refused.value.kind is Kind.DB_REFUSED


def test_a_clock_that_was_ahead_for_a_while_loses_nothing_and_doubles_nothing(bench: Bench) -> None:
    bench.only("catalogue", "retries")
    bench.work()
    bench.wind_to("2026-03-01T02:00")
    bench.work()
    bench.clock.ahead_s = 10 * DAY_S
    bench.work()
    bench.clock.ahead_s = 0.0
    bench.wind(MINUTE_S)
    bench.work()
    before = len(bench.runs_of("retries"))
    for _ in range(12):  # an hour
        bench.wind(5 * MINUTE_S)
        bench.work()
    assert len(bench.runs_of("retries")) - before == 12, "what lay days ahead was brought back"
    for _ in range(4):
        bench.wind(12 * HOUR_S)
        bench.work()
    nights = [due for due, _ in bench.runs_of("catalogue")]
    assert len(nights) == len(set(nights))
    assert len([due for due in nights if due < now_ms(bench)]) == 2, "every night that came had its run"


def test_a_night_that_a_fast_clock_took_early_is_not_taken_again(bench: Bench) -> None:
    bench.only("catalogue")
    bench.wind_to("2026-03-01T02:00")
    bench.work()
    bench.clock.ahead_s = 2 * HOUR_S
    assert bench.work() == 1
    bench.clock.ahead_s = 0.0
    for _ in range(8):
        bench.wind(15 * MINUTE_S)
        assert bench.work() == 0
    bench.wind(DAY_S)
    assert bench.work() == 1


def test_a_clock_that_goes_back_delays_an_interval_by_one_period_at_most(bench: Bench) -> None:
    bench.only("retries")
    bench.work()
    bench.clock.ahead_s = -3 * DAY_S
    bench.work()
    bench.wind(5 * MINUTE_S)
    assert bench.work() == 1


def test_paused_is_not_due_and_resuming_makes_up_for_nothing(bench: Bench) -> None:
    bench.only("retries")
    bench.work()
    bench.service.pause_schedule("retries", who="me")
    bench.wind(DAY_S)
    assert bench.work() == 0
    bench.service.resume_schedule("retries")
    assert bench.work() == 0
    bench.wind(5 * MINUTE_S)
    assert bench.work() == 1


def test_now_is_now_also_for_what_is_paused(bench: Bench) -> None:
    bench.only()
    bench.service.run_schedule_now("retries")
    bench.service.run_schedule_now("retries")
    assert bench.work() == 1
    assert bench.work() == 0
    bench.service.run_schedule_now("retries")  # in the same millisecond, for this clock
    assert bench.work() == 1


def test_what_a_person_changes_is_in_the_journal(bench: Bench) -> None:
    bench.service.add_schedule("often", "retries", "every 2m", options={"per_run": "3"}, who="ann")
    bench.service.edit_schedule("often", when="0 4 * * *", who="bob")
    line = bench.service.edit_schedule("often", options={"per_run": "4"}, who="bob")
    assert (line.words, line.options) == ("daily at 04:00 UTC", {"per_run": 4})
    names = [entry.name for entry in bench.service.snapshot().log]
    assert names == ["schedule_added", "schedule_edited", "schedule_edited"]


@pytest.mark.parametrize(
    "call",
    [
        lambda service: service.add_schedule("Bad Name", "retries", "every 1h"),
        lambda service: service.add_schedule("x", "no-such-job", "every 1h"),
        lambda service: service.add_schedule("x", "retries", "hourly"),
        lambda service: service.add_schedule("x", "retries", "every 1h", options={"per_run": "many"}),
        lambda service: service.add_schedule("x", "retries", "every 1h", options={"per_run": "0"}),
        lambda service: service.add_schedule("x", "retries", "every 1h", options={"colour": "1"}),
        lambda service: service.add_schedule("checks", "checks", "every 1h"),
        lambda service: service.edit_schedule("checks"),
    ],
)
@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_what_makes_no_sense_is_refused_and_changes_nothing(call: Callable[[Service], object], bench: Bench) -> None:
    before = rows.list_schedules(bench.store)
    with pytest.raises(StateError) as refused:
        call(bench.service)
    assert refused.value.kind is Kind.USAGE
    assert rows.list_schedules(bench.store) == before


def test_a_schedule_that_does_not_exist_is_named_with_those_that_do(bench: Bench) -> None:
    for call in (bench.service.pause_schedule, bench.service.run_schedule_now, bench.service.job_runs):
        with pytest.raises(StateError, match="there are: canaries, catalogue") as refused:
            call("nobody")
        assert refused.value.kind is Kind.UNKNOWN


def test_while_ingestion_is_disabled_its_jobs_wait_and_then_run_once(bench: Bench) -> None:
    bench.only("retries", "checks")
    bench.work()
    bench.service.disable(reason="looks wrong")
    bench.wind(2 * DAY_S)
    bench.work()
    assert [len(bench.runs_of(name)) for name in ("retries", "checks")] == [0, 1], "recovery goes on"
    bench.service.enable()
    bench.work()
    assert len(bench.runs_of("retries")) == 1


def test_a_run_whose_worker_vanished_is_taken_by_another_and_given_up_after_three(bench: Bench) -> None:
    bench.only()
    bench.service.run_schedule_now("retries")
    bench.worker.tick()
    for attempt in (1, 2, 3):
        mine = bench.another_worker()._id
        assert mine is not None
        run = rows.take_run(bench.store, mine)
        assert run is not None
        assert run.attempt == attempt
        assert rows.take_run(bench.store, bench.another_worker()._id or 0) is None, "its worker was seen just now"
        bench.wind(2 * MINUTE_S)  # and is not seen again
    assert bench.work() == 1
    assert bench.runs_of("retries")[0][1] == "abandoned"
    assert run is not None
    assert not rows.finish_run(bench.store, run, "done", "the zombie's word"), "it woke, and changes nothing"


def test_a_worker_that_said_goodbye_leaves_its_work_to_others_at_once(bench: Bench) -> None:
    bench.only()
    bench.service.run_schedule_now("retries")
    other = bench.another_worker()
    other.tick()
    assert other._id is not None
    rows.take_run(bench.store, other._id)
    other.leave()
    assert bench.work() == 1


def test_a_job_that_fails_for_the_sites_sake_is_due_again_soon_and_ever_later(bench: Bench) -> None:
    bench.only("catalogue")
    bench.work()

    def away(url: str) -> None:
        raise FetchError(Kind.UNREACHABLE, "nobody answers", url=url)

    bench.client.before = away
    bench.wind_to("2026-03-01T03:20")
    assert bench.work() == 1
    for minutes in (5, 10, 20):
        assert bench.work() == 0
        bench.wind(minutes * MINUTE_S)
        assert bench.work() == 1
    (line,) = [line for line in bench.service.schedules() if line.name == "catalogue"]
    assert line.failures == 4
    assert line.last_run is not None
    assert "UNREACHABLE" in (line.last_run.said or "")
    bench.client.before = None
    bench.wind(40 * MINUTE_S)
    assert bench.work() == 1
    (line,) = [line for line in bench.service.schedules() if line.name == "catalogue"]
    assert (line.failures, line.last_run.outcome if line.last_run else None) == (0, "done")
    assert [report.name for report in bench.reports].count("job_failed") == 4


def test_a_track_that_vanishes_is_inactive_and_comes_back(bench: Bench) -> None:
    """Its listing is not read meanwhile, and what is known of it stays."""
    bench.only("catalogue", "listings")
    (slug,) = bench.site.world.real_slugs()
    bench.events(1)
    bench.service.sync_tracks()
    bench.work()
    bench.site.drop_track(slug)
    bench.wind(DAY_S)
    bench.work()
    (track,) = bench.service.tracks(followed=True)
    assert not track.active
    assert track.event_count == 1
    bench.client.requests.clear()
    bench.wind(7 * HOUR_S)
    bench.work()
    assert not [url for url in bench.client.requests if slug in url]
    bench.site.world.hidden.clear()
    bench.site._forget()
    bench.wind(DAY_S)
    bench.work()
    (track,) = bench.service.tracks(followed=True)
    assert track.active
    bench.wind(7 * HOUR_S)
    bench.work()
    assert [url for url in bench.client.requests if slug in url]


def test_the_health_is_the_age_of_the_last_tick(bench: Bench) -> None:
    bench.work()
    assert bench.service.schedule_health().why is None
    bench.wind(20)
    health = bench.service.schedule_health()
    assert health.late
    assert health.tick_age_ms == 20_000
    assert "tick_late" in [reason.code for reason in bench.service.health().reasons]
    bench.work()
    assert not bench.service.schedule_health().late
    bench.worker.leave()
    bench.wind(DAY_S)
    assert bench.service.schedule_health().tick_age_ms is None, "nobody is meant to run it"


def test_workers_of_other_machines_are_seen(bench: Bench) -> None:
    bench.work()
    far = workers.register(bench.store, kind="console", host="elsewhere", pid=77, version="9")
    workers.tick(bench.store, far, "event a/1")
    shown = {worker.host: worker for worker in bench.service.workers()}
    assert (shown["elsewhere"].doing, shown["elsewhere"].state) == ("event a/1", "running")
    bench.wind(2 * MINUTE_S)
    bench.worker.tick()
    assert {worker.host: worker.state for worker in bench.service.snapshot().workers}["elsewhere"] == "silent"


def test_due_work_that_nobody_takes_is_told(bench: Bench) -> None:
    bench.only("retries")
    bench.worker.tick()
    bench.store.change(Schedule.update(next_due_at=now_ms(bench) - 3_600_000).where(Schedule.name == "retries"))
    health = bench.service.schedule_health()
    assert health.overdue_ms == 3_600_000
    assert "60 minutes" in (health.why or "")
    bench.worker.tick()  # it is a run now, which nobody takes
    bench.wind(5 * MINUTE_S)
    bench.worker.tick()
    assert bench.service.schedule_health().overdue_ms == 3_900_000
    bench.work()
    assert bench.service.schedule_health().overdue_ms == 0
