"""robots.txt: who may fetch what, how fast, and what happens where it cannot be read."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mre_console.simulator.faults import Fault
from mre_console.simulator.server import Answer, Pages, SimulatorServer
from pipeline.errors import FetchError, Kind
from pipeline.liverc.politeness import MemoryState, RobotsCopy
from pipeline.liverc.robots import Rules
from tests.support.fetching import FastClock, client_for

HOST = "track.liverc.com"
URL = f"https://{HOST}/results/?p=view_event&id=7"
TEXT = {"Content-Type": "text/plain"}


@pytest.fixture
def site() -> Pages:
    pages = Pages()
    pages.put(HOST, "/results/?p=view_event&id=7", b"<html></html>")
    pages.put(HOST, "/results/?p=view_race_result&id=7", b"<html></html>")
    return pages


@pytest.fixture
def server(site: Pages) -> Iterator[SimulatorServer]:
    with SimulatorServer(site) as running:
        yield running


@pytest.mark.parametrize(
    ("robots", "event", "race"),
    [
        ("", True, True),
        ("User-agent: *\nDisallow:\n", True, True),
        ("User-agent: *\nDisallow: /\n", False, False),
        ("User-agent: *\nDisallow: /results/\n", False, False),
        ("User-agent: *\nDisallow: /results/?p=view_race_result\n", True, False),
        ("User-agent: *\nDisallow: /*view_race_result\n", True, False),
        ("User-agent: *\nDisallow: /results/\nAllow: /results/?p=view_event\n", True, False),
        ("User-agent: mre-console\nDisallow: /*view_race\n\nUser-agent: *\nDisallow: /\n", True, False),
        ("User-agent: otherbot\nDisallow: /\n", True, True),
        ("\ufeffUser-agent: *\r\nDisallow: /\r\n", False, False),
        ("User-agent: *\nDisallow: /\x00results\n", False, False),  # no database text holds a NUL: it is dropped
        ("<html><body>no such page</body></html>", True, True),
    ],
)
def test_rules_are_matched_with_the_query(
    site: Pages, server: SimulatorServer, robots: str, event: bool, race: bool
) -> None:
    site.put(HOST, "/robots.txt", Answer(headers=TEXT, body=robots.encode()))
    with client_for(server, contact="otherbot@example.org") as client:  # a contact is no user agent
        for name, allowed in (("event", event), ("race_result", race)):
            place = f"https://{HOST}/results/?p=view_{name}&id=7"
            if allowed:
                client.fetch(place)
                continue
            with pytest.raises(FetchError) as caught:
                client.fetch(place)
            assert caught.value.kind is Kind.ROBOTS_DISALLOWED
            assert caught.value.details["attempts"] == 0
    asked = [request for request in server.requests if request.target != "/robots.txt"]
    assert len(asked) == event + race  # what is forbidden is not even asked for


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_no_robots_file_allows_everything(site: Pages, server: SimulatorServer, status: int) -> None:
    site.put(HOST, "/robots.txt", Answer(status, TEXT, b"User-agent: *\nDisallow: /\n"))
    with client_for(server) as client:
        assert client.fetch(URL).attempts == 1


@pytest.mark.parametrize(
    ("fault", "cause", "requests"),
    [
        (Fault("500", "robots"), Kind.SERVER_ERROR, 4),
        (Fault("503", "robots", retry_after=5), Kind.SERVER_ERROR, 4),
        (Fault("429", "robots"), Kind.RATE_LIMITED, 4),
        (Fault("redirect", "robots"), Kind.REDIRECT_REFUSED, 1),
        (Fault("huge", "robots"), Kind.TOO_LARGE, 1),
    ],
    ids=lambda value: str(getattr(value, "kind", value)),
)
def test_a_robots_file_that_cannot_be_read_forbids_everything(
    site: Pages, server: SimulatorServer, fault: Fault, cause: Kind, requests: int
) -> None:
    site.put(HOST, "/robots.txt", Answer(headers=TEXT, body=b"# </body>"))
    server.faults.add(fault)
    clock = FastClock()
    with client_for(server, clock=clock, byte_cap=1_000_000) as client:
        with pytest.raises(FetchError) as caught:
            client.fetch(URL)
        assert caught.value.kind is Kind.ROBOTS_UNAVAILABLE
        assert caught.value.details["cause"] == cause
        assert caught.value.details["url"] == URL
        assert [request.target for request in server.requests] == ["/robots.txt"] * requests
        server.faults.clear()  # nothing of that was remembered
        clock.wait(3600, None)
        assert client.fetch(URL).body == b"<html></html>"


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Fault("reset", "robots"), Kind.CONNECTION_LOST),
        (Fault("cut", "robots"), Kind.TRUNCATED),
        (Fault("drip", "robots", part="head"), Kind.TIMEOUT),
    ],
    ids=lambda value: str(getattr(value, "kind", value)),
)
def test_a_connection_that_fails_is_told_as_what_it_is(
    site: Pages, server: SimulatorServer, fault: Fault, kind: Kind
) -> None:
    site.put(HOST, "/robots.txt", Answer(headers=TEXT, body=b"# nothing is forbidden"))
    server.faults.add(fault)
    with client_for(server, clock=FastClock(), request_deadline_s=0.4) as client, pytest.raises(FetchError) as caught:
        client.fetch(URL)
    assert caught.value.kind is kind
    assert caught.value.details["robots_url"] == f"https://{HOST}/robots.txt"


def test_robots_redirected_within_the_site_is_followed(site: Pages, server: SimulatorServer) -> None:
    site.put("live.liverc.com", "/robots.txt", Answer(headers=TEXT, body=b"User-agent: *\nDisallow: /\n"))
    server.faults.add(Fault("redirect", "robots", host=HOST, to="https://live.liverc.com/robots.txt"))
    with client_for(server) as client, pytest.raises(FetchError) as caught:
        client.fetch(URL)
    assert caught.value.kind is Kind.ROBOTS_DISALLOWED
    server.faults.clear()
    server.faults.add(Fault("redirect_loop", "robots"))
    with client_for(server) as client, pytest.raises(FetchError) as caught:
        client.fetch(URL)
    assert caught.value.kind is Kind.ROBOTS_UNAVAILABLE


def test_a_copy_is_shared_for_a_day_and_then_fetched_again(site: Pages, server: SimulatorServer) -> None:
    site.put(HOST, "/robots.txt", Answer(headers=TEXT, body=b""))
    clock = FastClock()
    state = MemoryState(clock)

    def asked() -> int:
        return sum(request.target == "/robots.txt" for request in server.requests)

    for _ in range(2):  # the second client finds the first one's copy
        with client_for(server, clock=clock, state=state) as client:
            client.fetch(URL)
            client.fetch(URL)
    assert asked() == 1
    with client_for(server, clock=clock, state=state) as client:
        client.fetch(URL)
        clock.wait(23 * 3600, None)
        client.fetch(URL)
        assert asked() == 1
        clock.wait(3600, None)
        client.fetch(URL)
        assert asked() == 2


def test_a_stand_ins_copy_is_never_taken_for_the_real_sites(server: SimulatorServer) -> None:
    state = MemoryState()
    with client_for(server, state=state) as client:
        client.fetch(URL)
    assert state.load_robots(HOST) is None
    assert state.load_robots(f"{HOST}@127.0.0.1:{server.port}") == RobotsCopy(404, "")


def test_crawl_delay_is_honoured_where_it_asks_for_more(site: Pages, server: SimulatorServer) -> None:
    for robots_s, setting_s in ((5, 1.0), (1, 3.0), (0, 0.0)):
        site.put(HOST, "/robots.txt", Answer(headers=TEXT, body=b"User-agent: *\nCrawl-delay: %d\n" % robots_s))
        clock = FastClock()
        with client_for(server, clock=clock, crawl_delay_s=setting_s) as client:
            for _ in range(3):
                client.fetch(URL)
        # robots.txt itself took the first slot, when its own wish was not yet known
        expected = setting_s + 2 * max(robots_s, setting_s)
        assert sum(clock.waits) == pytest.approx(expected, abs=0.2)


def test_rules_survive_anything() -> None:
    assert (
        Rules(RobotsCopy(200, "Crawl-delay: nan\nUser-agent: *\nCrawl-delay: -3\nDisallow\n:::\n")).crawl_delay_s == 0
    )
    assert Rules(RobotsCopy(200, "User-agent: *\n" + "Disallow: /x\n" * 200_000)).allow(URL)
