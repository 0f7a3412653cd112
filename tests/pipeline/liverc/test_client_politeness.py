"""One request per slot for the whole domain, whoever asks; silence when the site wants it."""

from __future__ import annotations

import threading
import time

import pytest

from mre_console.simulator.faults import Fault
from mre_console.simulator.server import Pages, SimulatorServer
from pipeline.errors import FetchError, Kind, PipelineError
from pipeline.liverc.client import Client
from pipeline.liverc.errand import Clock, Errand
from pipeline.liverc.politeness import MAX_PAUSE_S, MemoryState, RobotsCopy, Turnstile
from tests.support.fetching import FastClock, client_for

DELAY_S = 0.05


def url(slug: str, page_id: int = 7) -> str:
    return f"https://{slug}.liverc.com/results/?p=view_race_result&id={page_id}"


def site_of(*slugs: str) -> Pages:
    pages = Pages()
    for slug in slugs:
        pages.put(f"{slug}.liverc.com", "/results/?p=view_race_result&id=7", b"<html></html>")
    return pages


class CountingState(MemoryState):
    """Counts what a database would have to write."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[str] = []

    def reserve_slot(self, domain: str, delay_ms: int) -> int:
        self.writes.append("slot")
        return super().reserve_slot(domain, delay_ms)

    def pause_domain(self, domain: str, ms: int) -> None:
        self.writes.append("pause")
        super().pause_domain(domain, ms)

    def save_robots(self, host: str, status: int, body: str) -> None:
        self.writes.append("robots")
        super().save_robots(host, status, body)


def test_eight_threads_on_eight_hosts_start_one_after_the_other() -> None:
    slugs = [f"track{number}" for number in range(8)]
    state = MemoryState()
    with SimulatorServer(site_of(*slugs)) as server:
        clients = [client_for(server, state=state, crawl_delay_s=DELAY_S) for _ in range(2)]  # as two processes would
        threads = [
            threading.Thread(target=clients[number % 2].fetch, args=(url(slug),)) for number, slug in enumerate(slugs)
        ]
        began = time.monotonic()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for client in clients:
            client.close()
        starts = sorted(request.at for request in server.requests)
    assert len(starts) == 16  # a page and a robots.txt each
    # However busy the machine is, a request may come later than its slot, never earlier.
    assert all(start >= began + number * DELAY_S for number, start in enumerate(starts))


def test_redirects_retries_and_robots_take_slots_too() -> None:
    with SimulatorServer(site_of("track", "new")) as server:
        server.faults.add(Fault("redirect", "race_result", host="track", to=url("new")))
        server.faults.add(Fault("cut", "race_result", host="new", times=1))
        state = CountingState()
        with client_for(server, state=state, crawl_delay_s=0.001) as client:
            client.fetch(url("track"))
        assert len(server.requests) == 5
    assert state.writes.count("slot") == 5


def test_without_a_delay_nothing_is_written_per_request() -> None:
    with SimulatorServer(site_of("track")) as server:
        state = CountingState()
        with client_for(server, state=state, crawl_delay_s=0.0) as client:
            for _ in range(5):
                client.fetch(url("track"))
    assert state.writes == ["robots"]


def test_the_wait_for_a_turn_is_not_the_requests_time() -> None:
    with SimulatorServer(site_of("track")) as server:
        clock = FastClock()
        with client_for(server, clock=clock, crawl_delay_s=20.0, request_deadline_s=5.0) as client:
            pages = [client.fetch(url("track")) for _ in range(3)]
    assert sum(clock.waits) == pytest.approx(60, abs=1)
    assert all(page.duration_ms < 5000 for page in pages)


def test_a_turn_after_the_runs_deadline_fails_at_once() -> None:
    with SimulatorServer(site_of("track")) as server:
        clock = FastClock()
        with client_for(server, clock=clock, crawl_delay_s=20.0) as client, pytest.raises(FetchError) as caught:
            client.fetch(url("track"), deadline=clock.now() + 10)
    assert caught.value.kind is Kind.TIMEOUT
    assert caught.value.details["wait_s"] == pytest.approx(20, abs=1)
    assert clock.waits == []


@pytest.mark.parametrize("delay_s", [0.0, 1.0])
def test_silence_asked_for_holds_for_every_thread_of_a_client(delay_s: float) -> None:
    clock = FastClock()
    with (
        SimulatorServer(site_of("track", "other")) as server,
        client_for(server, clock=clock, crawl_delay_s=delay_s, attempts=1) as client,
    ):
        server.faults.add(Fault("429", "race_result", retry_after=40, times=1))
        with pytest.raises(FetchError):
            client.fetch(url("track"))
        waited = sum(clock.waits)
        with pytest.raises(FetchError) as caught:
            client.fetch(url("other"), deadline=clock.now() + 5)
        assert caught.value.kind is Kind.RATE_LIMITED
        assert caught.value.details["retry_after_s"] == pytest.approx(40, abs=2)
        assert len(server.requests) == 2  # it was not even asked
        client.fetch(url("other"))
        assert sum(clock.waits) - waited == pytest.approx(40, abs=2.5)


def test_silence_asked_for_holds_for_other_processes() -> None:
    clock = FastClock()
    state = MemoryState(clock)  # stands for the database
    with SimulatorServer(site_of("track")) as server:
        server.faults.add(Fault("503", "race_result", retry_after=70, times=1))
        first = client_for(server, clock=clock, state=state, crawl_delay_s=1.0, attempts=1)
        with first, pytest.raises(FetchError):
            first.fetch(url("track"))
        waited = sum(clock.waits)
        with client_for(server, clock=clock, state=state, crawl_delay_s=1.0) as second:
            second.fetch(url("track"))
    assert sum(clock.waits) - waited == pytest.approx(70, abs=2.5)


def test_a_request_that_waits_for_its_slot_hears_of_the_silence() -> None:
    """Its slot lies within the pause that another thread's answer brought meanwhile."""

    class PausedMeanwhile(FastClock):
        def wait(self, seconds: float, stop: threading.Event | None) -> None:
            super().wait(seconds, stop)
            if len(self.waits) == 1:
                turnstile.pause(100)

    clock = PausedMeanwhile()
    turnstile = Turnstile(MemoryState(clock), "liverc.com", clock)
    errand = Errand("https://track.liverc.com/", "track_dashboard", clock, stop=None, deadline=None)
    turnstile.pass_through(errand, 1.0)
    assert clock.waits == []
    turnstile.pass_through(errand, 1.0)
    assert [round(waited) for waited in clock.waits] == [1, 100]


def test_no_answer_silences_the_program_for_ever() -> None:
    clock = FastClock()
    state = MemoryState(clock)
    Turnstile(state, "liverc.com", clock).pause(1e12)
    assert state.reserve_slot("liverc.com", 0) / 1000 == pytest.approx(MAX_PAUSE_S, abs=1)


def test_a_stop_while_waiting_for_a_turn() -> None:
    stop = threading.Event()
    ended: list[PipelineError] = []
    with SimulatorServer(site_of("track")) as server, client_for(server, crawl_delay_s=60.0) as client:

        def fetch(client: Client) -> None:
            with pytest.raises(PipelineError) as caught:
                client.fetch(url("track"), stop=stop)
            ended.append(caught.value)

        thread = threading.Thread(target=fetch, args=(client,))
        thread.start()
        server.wait_for_request(lambda request: request.target == "/robots.txt")
        stopped = time.monotonic()
        stop.set()
        thread.join(timeout=10)
        assert time.monotonic() - stopped < 0.5
    assert [error.kind for error in ended] == [Kind.INTERRUPTED]


def test_memory_state_counts_by_domain_and_forgets_robots_after_a_day() -> None:
    clock = FastClock()
    state = MemoryState(clock)
    assert [state.reserve_slot("a", 1000) for _ in range(2)] == [0, pytest.approx(1000, abs=50)]
    assert state.reserve_slot("b", 1000) == 0
    state.save_robots("a", 200, "x")
    assert state.load_robots("a") == RobotsCopy(200, "x")
    assert state.load_robots("b") is None
    clock.wait(24 * 3600, None)
    assert state.load_robots("a") is None


def test_the_clock_is_the_machines() -> None:
    clock = Clock()
    assert abs(clock.now() - time.monotonic()) < 5
    assert abs(clock.wall() - time.time()) < 5
    stop = threading.Event()
    stop.set()
    started = time.monotonic()
    clock.wait(30, stop)
    clock.wait(0.01, None)
    assert time.monotonic() - started < 5
