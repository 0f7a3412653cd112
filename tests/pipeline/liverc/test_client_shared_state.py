"""The client with its state in a database: what one process learns and takes holds for the next."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from mre_console.simulator.faults import Fault
from mre_console.simulator.server import Answer, Pages, SimulatorServer
from pipeline.errors import FetchError, Kind
from pipeline.liverc.client import Client
from pipeline.liverc.politeness import RobotsCopy
from pipeline.liverc.shared_state import StoreState
from pipeline.store.database import Store
from pipeline.store.models import RobotsFile
from tests.support.fetching import client_for

DELAY_S = 0.05
URL = "https://track.liverc.com/results/?p=view_race_result&id=7"


def serving() -> SimulatorServer:
    site = Pages()
    site.put("track.liverc.com", "/results/?p=view_race_result&id=7", b"<html></html>")
    site.put(
        "track.liverc.com", "/robots.txt", Answer(headers={"Content-Type": "text/plain"}, body=b"\0User-agent: *\n")
    )
    return SimulatorServer(site)


def test_eight_threads_with_two_connections_to_one_database_start_one_after_the_other(tmp_path: Path) -> None:
    stores = [Store.open(str(tmp_path / "mre.sqlite3")) for _ in range(2)]  # as two processes have
    failed: list[BaseException] = []

    def work(store: Store, client: Client) -> None:
        try:
            with store.connection_scope():
                client.fetch(URL)
        except BaseException as error:
            failed.append(error)
            raise

    with serving() as server:
        clients = [client_for(server, state=StoreState(store), crawl_delay_s=DELAY_S) for store in stores]
        clients[0].fetch(URL)  # robots.txt is known from here on
        threads = [threading.Thread(target=work, args=(stores[number % 2], clients[number % 2])) for number in range(8)]
        began = time.monotonic()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for client in clients:
            client.close()
        assert failed == []
        requests = server.requests
    assert [request.target for request in requests].count("/robots.txt") == 1
    starts = sorted(request.at for request in requests)[2:]
    assert len(starts) == 8
    # A millisecond for the database's clock, which counts whole ones.
    assert all(start >= began + number * DELAY_S - 0.001 for number, start in enumerate(starts))
    for store in stores:
        store.close()


def test_robots_and_silence_outlive_the_process(tmp_path: Path) -> None:
    with serving() as server:
        server.faults.add(Fault("429", "race_result", retry_after=3600, times=1))
        for wanted in (Kind.RATE_LIMITED, Kind.TIMEOUT):  # the second one cannot know why the next turn is so late
            store = Store.open(str(tmp_path / "mre.sqlite3"))
            with client_for(server, state=StoreState(store), crawl_delay_s=0.01) as client:
                with pytest.raises(FetchError) as caught:
                    client.fetch(URL)
                assert caught.value.kind is wanted
            store.close()
        assert len(server.requests) == 2  # the second process knew robots.txt and kept silent
    assert caught.value.details["wait_s"] == pytest.approx(3600, abs=60)


def test_a_copy_of_robots_is_good_for_a_day(tmp_path: Path) -> None:
    store = Store.open(str(tmp_path / "mre.sqlite3"))
    state = StoreState(store)
    assert state.load_robots("track") is None
    state.save_robots("track", 404, "")
    state.save_robots("track", 200, "User-agent: *")
    assert state.load_robots("track") == RobotsCopy(200, "User-agent: *")
    store.change(RobotsFile.update(fetched_at=store.clock_ms() - 25 * 3600 * 1000))
    assert state.load_robots("track") is None
    store.close()
