"""How pictures are made: what is polled, what is heard in between, how often, and what happens when nothing answers."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from pipeline.errors import Kind
from pipeline.observe import Report, progress_report
from screens.picture import Looker, Picture, RateMeter
from screens.poller import Poller
from tests.screens.fakes import LIVE, LOCKS, FakeService, StillClock, busy_service, failure, log_lines

SOON_S = 10.0  # more than enough on any machine; a test that waits so long has failed


def told(run_id: int, stage: str, done: int, total: int | None) -> Report:
    report = progress_report(stage, done, total)
    return Report(report.name, report.message, report.severity, run_id=run_id, fields=report.fields)


# ---------------------------------------------------------------- one look


def test_no_log_line_comes_twice() -> None:
    service = busy_service(log=log_lines(3))
    looker = Looker(service, StillClock())
    first = looker.look("")
    service.log = log_lines(5)
    second, again = looker.look(""), looker.touch_up()
    assert [[line.id for line in picture.lines] for picture in (first, second, again)] == [[1, 2, 3], [4, 5], []]


def test_what_a_run_said_since_is_laid_over_the_snapshot() -> None:
    looker = Looker(busy_service(), StillClock())
    looker.look("")
    assert not looker.hear(told(60, "parse", 14, 34))
    snapshot = looker.touch_up().snapshot
    assert snapshot is not None
    run = snapshot.live[0]
    assert (run.stage, run.pages_done, run.pages_total) == ("parse", 14, 34)
    assert snapshot.live[1] == LIVE[1]


def test_the_database_wins_where_it_is_ahead() -> None:
    looker = Looker(busy_service(), StillClock())
    looker.hear(told(60, "parse", 3, None))
    snapshot = looker.look("").snapshot
    assert snapshot is not None
    assert snapshot.live[0] == LIVE[0]


def test_only_progress_is_not_worth_a_look() -> None:
    looker = Looker(busy_service(), StillClock())
    assert not looker.hear(Report("race_page_fetched", "", "debug", run_id=60))
    assert looker.hear(Report("ingestion_finish", "", "info", run_id=60))


def test_a_failing_look_keeps_the_last_picture_and_says_why() -> None:
    service, clock = busy_service(), StillClock(50.0)
    looker = Looker(service, clock)
    good = looker.look("")
    service.broken, clock.now = failure(Kind.DB_BUSY, "busy"), 60.0
    bad = looker.look("")
    assert bad.snapshot == good.snapshot
    assert (bad.seen_at, bad.lines) == (50.0, ())
    assert bad.trouble is not None
    assert bad.trouble.message == "busy"
    service.broken = None
    assert looker.look("").trouble is None


def test_an_unexpected_failure_is_a_trouble_too() -> None:
    service = FakeService()

    def explode(**_: object) -> None:
        raise ZeroDivisionError("of all things")

    service.snapshot = explode  # type: ignore[method-assign, assignment]
    trouble = Looker(service, StillClock()).look("").trouble
    assert trouble is not None
    assert trouble.message == "ZeroDivisionError: of all things"


def test_speed_is_measured_over_the_last_seconds() -> None:
    meter = RateMeter()
    assert dict(meter.note({1: 10}, 0.0)) == {}
    assert dict(meter.note({1: 12}, 0.4)) == {}  # too short to say anything
    assert dict(meter.note({1: 14}, 1.0)) == {1: 4.0}
    for second in range(2, 40):
        rates = dict(meter.note({1: 14 + second, 2: 5}, float(second)))
    assert rates == {1: 1.0, 2: 0.0}
    assert dict(meter.note({2: 5}, 40.0)) == {2: 0.0}


# ---------------------------------------------------------------- what dead holders left behind


def test_dead_holders_are_seen_to_now_and_then_where_there_are_any() -> None:
    service, clock = busy_service(), StillClock()
    looker = Looker(service, clock)
    for now, ticks in ((100.0, 1), (101.0, 1), (102.5, 2), (110.0, 3)):
        clock.now = now
        looker.look("")
        assert service.ticks == ticks
    service.locks = LOCKS[:1]  # its holder is alive
    clock.now = 200.0
    looker.look("")
    assert service.ticks == 3


def test_a_read_only_console_releases_nothing() -> None:
    service = busy_service(read_only=True)
    Looker(service, StillClock()).look("")
    assert service.ticks == 0


@pytest.mark.parametrize("error", [failure(Kind.DB_BUSY, "busy"), ZeroDivisionError("of all things")])
def test_a_release_that_fails_is_told_and_takes_nothing_from_the_picture(error: Exception) -> None:
    service, clock = busy_service(tick_fails=error), StillClock()
    looker = Looker(service, clock)
    picture = looker.look("")
    assert picture.trouble is None
    assert picture.untidied is not None
    assert str(error).endswith(picture.untidied.message.rpartition(": ")[2])
    assert looker.look("").untidied == picture.untidied  # until it is tried again
    service.tick_fails, clock.now = None, clock.now + 60
    assert looker.look("").untidied is None


# ---------------------------------------------------------------- the thread


class Screen:
    """Takes the pictures as the console does."""

    def __init__(self, service: FakeService, *, interval_s: float = 3_600.0) -> None:
        self.pictures: queue.Queue[Picture] = queue.Queue()
        self.poller = Poller(service, StillClock(), self.pictures.put, interval_s=interval_s, gap_s=0.001)

    def take(self) -> Picture:
        picture = self.pictures.get(timeout=SOON_S)
        self.poller.taken()
        return picture


@contextmanager
def watching(service: FakeService, **settings: float) -> Iterator[Screen]:
    screen = Screen(service, **settings)
    screen.poller.start()
    try:
        yield screen
    finally:
        screen.poller.stop()


class Counting(FakeService):
    """Counts the looks, and can make them wait."""

    looks = 0

    def snapshot(self, **wanted: object):  # type: ignore[no-untyped-def]
        self.looks += 1
        return super().snapshot(**wanted)  # type: ignore[arg-type]


def test_the_first_picture_comes_at_once_and_the_next_after_the_interval() -> None:
    service = Counting()
    with watching(service, interval_s=0.01) as screen:
        for _ in range(3):
            screen.take()
    assert service.looks >= 3


def test_a_change_in_this_process_is_looked_at_without_waiting_for_the_interval() -> None:
    service = Counting()
    with watching(service) as screen:
        screen.take()
        service.bus.publish(Report("ingestion_start", ""))
        screen.take()
        assert service.looks == 2


def test_progress_moves_the_picture_without_a_look() -> None:
    service = Counting(live=LIVE)
    with watching(service) as screen:
        screen.take()
        service.bus.publish(told(60, "fetch", 20, 34))
        snapshot = screen.take().snapshot
        assert snapshot is not None
        assert snapshot.live[0].pages_done == 20
        assert service.looks == 1


def test_progress_does_not_put_looks_off() -> None:
    service = Counting(live=LIVE)
    with watching(service, interval_s=0.05) as screen:
        done = threading.Event()

        def chatter() -> None:
            while not done.wait(0.001):
                service.bus.publish(told(60, "fetch", 20, 34))

        thread = threading.Thread(target=chatter)
        thread.start()
        try:
            while service.looks < 3:
                screen.take()
        finally:
            done.set()
            thread.join()


def test_a_filter_is_looked_for_at_once() -> None:
    service = busy_service()
    with watching(service) as screen:
        screen.take()
        screen.poller.look_for("club")
        picture = screen.take()
        assert picture.text == "club"
        assert picture.snapshot is not None
        assert [line.event_name for line in picture.snapshot.events] == ["Club Day 5"]


def test_a_busy_screen_is_not_flooded() -> None:
    service = Counting()
    with watching(service, interval_s=0.001) as screen:
        screen.pictures.get(timeout=SOON_S)  # taken out, but not said to be on the screen yet
        for _ in range(100):
            service.bus.publish(Report("ingestion_start", ""))
        with pytest.raises(queue.Empty):
            screen.pictures.get(timeout=0.05)
        assert service.looks == 1
        screen.poller.taken()
        screen.take()


def test_stopping_ends_the_thread_and_the_subscription() -> None:
    service = Counting()
    with watching(service) as screen:
        screen.take()
    screen.poller._thread.join(SOON_S)
    assert not screen.poller._thread.is_alive()
    service.bus.publish(Report("ingestion_start", ""))
    assert screen.pictures.empty()
