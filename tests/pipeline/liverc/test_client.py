"""The client against the simulator: every way in which a fetch can fail, by kind, and what a good one brings."""

from __future__ import annotations

import gzip
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest

from mre_console.simulator.faults import Fault
from mre_console.simulator.server import Answer, Pages, SimulatorServer, SiteFile
from pipeline.errors import FetchError, Kind, PipelineError, StateError
from pipeline.liverc.client import Client, ClientSettings
from pipeline.liverc.urls import parse_url
from tests.support.fetching import FastClock, client_for
from tests.support.real_pages import REAL, needs_real_pages

HOST = "track.liverc.com"
URL = f"https://{HOST}/results/?p=view_race_result&id=7"
TARGET = "/results/?p=view_race_result&id=7"
BODY = b"<html><body>" + b"".join(b"<p>lap %d</p>\n" % n for n in range(3000)) + b"</body></html> \n\t\n"


@pytest.fixture
def site() -> Pages:
    pages = Pages()
    pages.put(HOST, TARGET, BODY)
    return pages


@pytest.fixture
def server(site: Pages) -> Iterator[SimulatorServer]:
    with SimulatorServer(site) as running:
        yield running


def page_requests(server: SimulatorServer) -> list[str]:
    return [request.target for request in server.requests if request.target != "/robots.txt"]


# ---------------------------------------------------------------- a good fetch


def test_a_page_arrives_whole_with_what_is_known_of_it(server: SimulatorServer) -> None:
    with client_for(server, contact="me@example.org") as client:
        page = client.fetch(parse_url(URL))
    assert page.body == BODY
    assert (page.url, page.final_url, page.page_type, page.status, page.how) == (URL, "", "race_result", 200, "http")
    assert page.attempts == 1
    assert 0 < page.wire_bytes < len(BODY) / 2  # it came compressed
    assert page.gzipped is not None
    assert gzip.decompress(page.gzipped) == page.body
    assert len(page.gzipped) == page.wire_bytes
    assert abs(page.fetched_at_ms / 1000 - time.time()) < 60
    assert 0 <= page.duration_ms < 30_000
    assert set(page.headers_kept) == {"date", "server", "content-type"}
    assert [(request.host, request.target) for request in server.requests] == [(HOST, "/robots.txt"), (HOST, TARGET)]


def test_says_who_is_asking_and_sends_no_cookie_back(
    site: Pages, server: SimulatorServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    heads: list[str] = []
    respond = server._respond

    def spy(connection: socket.socket, head: str) -> bool:
        heads.append(head)
        return respond(connection, head)

    monkeypatch.setattr(server, "_respond", spy)
    site.put(HOST, TARGET, Answer(headers={"Content-Type": "text/html", "Set-Cookie": "id=1; Path=/"}, body=BODY))
    with client_for(server, version="2.3", contact="https://example.org/me") as client:
        client.fetch(URL)
        client.fetch(URL)
    last = heads[-1].lower()
    assert "user-agent: mre-console/2.3 (+https://example.org/me)\r\n" in last + "\r\n"
    assert f"host: {HOST}\r\n" in last
    assert "accept-encoding: gzip" in last
    assert "cookie" not in last


def test_one_connection_serves_many_pages_also_after_errors(
    site: Pages, server: SimulatorServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    connections: list[socket.socket] = []
    serve = server._serve

    def spy(connection: socket.socket) -> None:
        connections.append(connection)
        serve(connection)

    monkeypatch.setattr(server, "_serve", spy)
    site.put("other.liverc.com", TARGET, BODY)
    with client_for(server) as client:
        for slug in ("track", "other"):
            for page_id in (7, 8, 7):
                url = URL.replace("track", slug).replace("id=7", f"id={page_id}")
                if page_id == 7:
                    assert client.fetch(url).body == BODY
                else:
                    with pytest.raises(FetchError):
                        client.fetch(url)
    assert len(connections) == 1


def test_a_connection_that_the_server_closed_meanwhile_is_not_used(server: SimulatorServer) -> None:
    with client_for(server, attempts=1) as client:
        client.fetch(URL)
        [connection] = server._connections
        connection.shutdown(socket.SHUT_RDWR)
        while server._connections:  # the server's thread has seen it
            time.sleep(0)
        assert client.fetch(URL).body == BODY


@pytest.mark.parametrize("end", [b"</html>", b"</HTML>\r\n", b"</html>" + b" \n\t\r" * 2000])
def test_white_space_may_follow_the_end(site: Pages, server: SimulatorServer, end: bytes) -> None:
    site.put(HOST, TARGET, b"<html>" + end)
    with client_for(server) as client:
        assert client.fetch(URL).body == b"<html>" + end


def test_many_threads_share_one_client(site: Pages, server: SimulatorServer) -> None:
    for page_id in range(1, 65):
        site.put(HOST, f"/results/?p=view_race_result&id={page_id}", b"<html>%d</html>" % page_id)
    wrong: list[int] = []

    def work(client: Client, ids: range) -> None:
        for page_id in ids:
            page = client.fetch(f"https://{HOST}/results/?p=view_race_result&id={page_id}")
            if page.body != b"<html>%d</html>" % page_id:
                wrong.append(page_id)

    with client_for(server) as client:
        threads = [threading.Thread(target=work, args=(client, range(n, n + 8))) for n in range(1, 65, 8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == []
    assert len(page_requests(server)) == 64
    assert len(server.requests) == 65  # eight threads, and robots.txt was asked for once


@needs_real_pages
def test_every_real_page_arrives_byte_for_byte() -> None:
    listing = json.loads((REAL / "site" / "site.json").read_text(encoding="utf-8"))["hosts"]
    with SimulatorServer(SiteFile(REAL / "site" / "site.json")) as server, client_for(server) as client:
        for host, targets in listing.items():
            for target, file in targets.items():
                assert client.fetch(f"https://{host}{target}").body == (REAL / file).read_bytes()


# ---------------------------------------------------------------- every failure, by kind


class Case(NamedTuple):
    fault: Fault
    kind: Kind
    requests: int  # how often the page is asked for
    words: str  # in the message
    status: int | None = 200
    settings: dict[str, Any] = {}


def cases() -> Iterator[Case]:
    race = "race_result"
    yield Case(Fault("404", race), Kind.NOT_FOUND, 1, "no such page", 404)
    yield Case(Fault("500", race), Kind.SERVER_ERROR, 4, "fault of its own", 500)
    yield Case(Fault("503", race, retry_after=2), Kind.SERVER_ERROR, 4, "2 s of silence", 503)
    yield Case(Fault("429", race), Kind.RATE_LIMITED, 4, "too often", 429)
    yield Case(Fault("429", race, retry_after=3000), Kind.RATE_LIMITED, 1, "3000 s of silence", 429)
    yield Case(Fault("429", race, retry_after=3000, form="date"), Kind.RATE_LIMITED, 1, "s of silence", 429)
    yield Case(Fault("reset", race), Kind.CONNECTION_LOST, 4, "connection broke", None)
    yield Case(Fault("reset", race, at=-1), Kind.CONNECTION_LOST, 4, "connection broke", None)
    for how in ("length", "chunked", "close", "gzip"):
        yield Case(Fault("cut", race, how=how), Kind.TRUNCATED, 4, "incomplete")
    yield Case(Fault("cut", race, how="gzip", at=0.0), Kind.TRUNCATED, 4, "incomplete")
    yield Case(Fault("changed_markup", race, change=lambda body: b""), Kind.TRUNCATED, 4, "does not end with </html>")
    yield Case(Fault("redirect", race), Kind.REDIRECT_REFUSED, 1, "not a page of liverc.com", 302)
    yield Case(Fault("redirect_loop", race), Kind.REDIRECT_REFUSED, 6, "more than 5 times", None)
    elsewhere = "/results/?p=view_race_result&id=8"
    yield Case(Fault("redirect", race, to=elsewhere, id=7), Kind.REDIRECT_REFUSED, 1, "another id", None)
    yield Case(Fault("redirect", race, to="http://[bad"), Kind.REDIRECT_REFUSED, 1, "redirect", None)
    yield Case(Fault("redirect", race, status=403), Kind.HTTP_STATUS, 1, "HTTP 403", 403)
    yield Case(Fault("huge", race, bytes=200_000), Kind.TOO_LARGE, 1, "0 MiB", 200, {"byte_cap": 100_000})
    yield Case(Fault("bomb", race, bytes=50_000_000), Kind.TOO_LARGE, 1, "1 MiB", 200, {"byte_cap": 1 << 20})
    yield Case(Fault("binary", race), Kind.PAGE_UNRECOGNISED, 1, "image/png")
    yield Case(Fault("binary", race, type="text/html"), Kind.TRUNCATED, 4, "does not end with </html>")
    yield Case(Fault("slow", race), Kind.TIMEOUT, 1, "not complete after 0.4 s", None, {"request_deadline_s": 0.4})
    drip = {"request_deadline_s": 0.6}
    yield Case(Fault("drip", race), Kind.TIMEOUT, 1, "not complete after 0.6 s", 200, drip)
    yield Case(Fault("drip", race, part="head"), Kind.TIMEOUT, 1, "not complete after 0.6 s", None, drip)
    yield Case(Fault("drip", race, part="head", every_ms=10), Kind.TIMEOUT, 1, "not complete after 0.6 s", None, drip)


@pytest.mark.parametrize("case", cases(), ids=lambda case: f"{case.fault.kind}-{case.kind}-{case.words}")
def test_every_failure_has_its_kind(server: SimulatorServer, case: Case) -> None:
    server.faults.add(case.fault)
    clock = FastClock()
    with client_for(server, clock=clock, **case.settings) as client:
        started = time.monotonic()
        with pytest.raises(FetchError) as caught:
            client.fetch(URL)
        took = time.monotonic() - started
        server.faults.clear()
        clock.wait(3600, None)  # past all silence asked for
        assert client.fetch(URL).body == BODY  # the client is as good as new
    error = caught.value
    assert error.kind is case.kind, error.message
    assert case.words in error.message
    assert error.message[0].isupper()
    assert error.message.endswith(".")
    assert len(page_requests(server)) - 1 == case.requests
    assert took < case.settings.get("request_deadline_s", 4) + 1
    details = error.details
    assert (details["url"], details["page_type"], details["attempts"]) == (URL, "race_result", case.requests)
    assert details["elapsed_s"] >= 0
    if case.status is not None:
        assert details["status"] == case.status
    assert json.dumps(error.envelope().details)
    assert "<" not in error.message.replace("</html>", "")


def test_a_page_that_recovers_is_fetched(server: SimulatorServer) -> None:
    for fault in ("500:race_result:times=1", "cut:race_result:after=1:times=1", "reset:race_result:after=2:times=1"):
        server.faults.add(fault)
    heard: list[tuple[Kind, float]] = []
    clock = FastClock()
    with client_for(server, clock=clock, on_retry=lambda error, wait_s: heard.append((error.kind, wait_s))) as client:
        page = client.fetch(URL)
    assert (page.body, page.attempts) == (BODY, 4)
    assert [kind for kind, _ in heard] == [Kind.SERVER_ERROR, Kind.TRUNCATED, Kind.CONNECTION_LOST]
    assert [wait_s for _, wait_s in heard] == clock.waits
    for least, waited in zip((0.5, 1.0, 2.0), clock.waits, strict=True):
        assert least <= waited <= 2 * least


def test_nobody_at_home() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"http://127.0.0.1:{taken.getsockname()[1]}"
    clock = FastClock()
    with client_for(address, clock=clock) as client, pytest.raises(FetchError) as caught:
        client.fetch(URL)
    assert caught.value.kind is Kind.UNREACHABLE
    assert "Connection refused" in caught.value.message
    assert address in caught.value.message
    assert len(clock.waits) == 3  # tried four times
    assert caught.value.details["robots_url"] == f"https://{HOST}/robots.txt"


def test_a_name_that_does_not_exist() -> None:
    with client_for("http://nowhere.invalid", attempts=1) as client, pytest.raises(FetchError) as caught:
        client.fetch(URL)
    assert caught.value.kind is Kind.UNREACHABLE


def full_backlog() -> tuple[socket.socket, list[socket.socket]]:
    """A port that answers no further connection: its queue is full."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=0)
    waiting = []
    for _ in range(8):
        client = socket.socket()
        client.setblocking(False)
        client.connect_ex(listener.getsockname())
        waiting.append(client)
    return listener, waiting


def test_a_host_that_never_answers_ends_in_the_connect_timeout() -> None:
    listener, waiting = full_backlog()
    try:
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with client_for(address, attempts=1, connect_timeout_s=0.3) as client:
            started = time.monotonic()
            with pytest.raises(FetchError) as caught:
                client.fetch(URL)
        assert caught.value.kind is Kind.UNREACHABLE
        assert time.monotonic() - started < 2
    finally:
        for sock in (listener, *waiting):
            sock.close()


# ---------------------------------------------------------------- Retry-After, deadlines, stopping


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_retry_after_is_obeyed_in_both_forms(server: SimulatorServer, form: str) -> None:
    server.faults.add(Fault("503", "race_result", retry_after=90, form=form, times=1))
    clock = FastClock()
    with client_for(server, clock=clock) as client:
        assert client.fetch(URL).attempts == 2
    assert sum(clock.waits) == pytest.approx(90, abs=1.5)


def test_retry_after_beyond_the_runs_deadline_fails_at_once(server: SimulatorServer) -> None:
    server.faults.add(Fault("503", "race_result", retry_after=90))
    clock = FastClock()
    with client_for(server, clock=clock) as client, pytest.raises(FetchError) as caught:
        client.fetch(URL, deadline=clock.now() + 60)
    assert (caught.value.kind, caught.value.details["retry_after_s"]) == (Kind.SERVER_ERROR, 90)
    assert clock.waits == []


def test_a_deadline_ends_the_request_and_the_next_one_too(server: SimulatorServer) -> None:
    server.faults.add(Fault("drip", "race_result"))
    with client_for(server) as client:
        started = time.monotonic()
        for _ in range(2):
            with pytest.raises(FetchError) as caught:
                client.fetch(URL, deadline=started + 0.5)
            assert caught.value.kind is Kind.TIMEOUT
            assert "run's time was over" in caught.value.message
        assert time.monotonic() - started < 1.5
    assert len(page_requests(server)) == 1


@pytest.mark.parametrize(
    "hold",
    [
        lambda server: server.faults.add(Fault("slow", seconds=60)),
        lambda server: server.faults.add(Fault("drip")),
        lambda server: server.faults.add(Fault("drip", part="head")),
        lambda server: server.faults.add(Fault("503", retry_after=100)),
        lambda server: server.faults.add(Fault("500")),
        lambda server: server.faults.add(Fault("slow", "robots", seconds=60)),
    ],
    ids=["silence", "dripping body", "dripping head", "Retry-After", "backoff", "robots.txt"],
)
def test_a_stop_is_heard_within_half_a_second(server: SimulatorServer, hold: Callable[[SimulatorServer], None]) -> None:
    hold(server)
    stop = threading.Event()
    ended: list[tuple[PipelineError, float]] = []

    def fetch(client: Client) -> None:
        try:
            client.fetch(URL, stop=stop)
        except PipelineError as error:
            ended.append((error, time.monotonic()))

    with client_for(server) as client:
        thread = threading.Thread(target=fetch, args=(client,))
        thread.start()
        server.wait_for_request(lambda request: request.status != 404 or request.target == "/robots.txt")
        stopped = time.monotonic()
        stop.set()
        thread.join(timeout=10)
    [(error, at)] = ended
    assert error.kind is Kind.INTERRUPTED
    assert isinstance(error, StateError)
    assert error.details["url"] == URL
    assert at - stopped < 0.5


def test_a_stop_while_connecting() -> None:
    listener, waiting = full_backlog()
    stop = threading.Event()
    try:
        with client_for(f"http://127.0.0.1:{listener.getsockname()[1]}") as client:
            timer = threading.Timer(0.1, stop.set)
            timer.start()
            started = time.monotonic()
            with pytest.raises(StateError) as caught:
                client.fetch(URL, stop=stop)
        assert caught.value.kind is Kind.INTERRUPTED
        assert time.monotonic() - started < 0.6
    finally:
        for sock in (listener, *waiting):
            sock.close()


def test_stopped_before_it_began(server: SimulatorServer) -> None:
    stop = threading.Event()
    stop.set()
    with client_for(server) as client, pytest.raises(StateError) as caught:
        client.fetch(URL, stop=stop)
    assert caught.value.kind is Kind.INTERRUPTED
    assert server.requests == []


# ---------------------------------------------------------------- redirects


def test_redirects_within_the_site_are_followed(site: Pages, server: SimulatorServer) -> None:
    moved = "http://www2.liverc.com/results/?p=view_race_result&id=7"
    site.put("www2.liverc.com", TARGET, b"<html>moved</html>")
    server.faults.add(Fault("redirect", "race_result", host=HOST, to=moved))
    server.faults.add(Fault("redirect", "race_result", host="www2.liverc.com", to="?id=7&p=view_race_result", times=1))
    with client_for(server) as client:
        page = client.fetch(URL)
    assert page.body == b"<html>moved</html>"
    assert page.url == URL
    assert page.final_url == "https://www2.liverc.com/results/?id=7&p=view_race_result"
    assert page.attempts == 3
    assert [request.host for request in server.requests if request.target == "/robots.txt"] == [HOST, "www2.liverc.com"]


@pytest.mark.parametrize(
    "location",
    [
        "https://example.org/",
        "//example.org/",
        "https://liverc.com.example.org/",
        "https://notliverc.com/",
        "https://liverc.com@example.org/",
        "https://track.liverc.com:8080/",
        "https://track.liverc.com\\@example.org/",
        "ftp://track.liverc.com/",
        "javascript:alert(1)",
        "http://127.0.0.1/",
    ],
)
def test_redirects_to_anywhere_else_are_refused(server: SimulatorServer, location: str) -> None:
    server.faults.add(Fault("redirect", "race_result", to=location))
    with client_for(server) as client, pytest.raises(FetchError) as caught:
        client.fetch(URL)
    assert caught.value.kind is Kind.REDIRECT_REFUSED
    assert caught.value.details["location"] == location
    assert len(page_requests(server)) == 1


# ---------------------------------------------------------------- what is refused before any request


def test_the_real_site_is_not_asked_without_a_contact() -> None:
    with Client(ClientSettings(version="1.0")) as client, pytest.raises(StateError) as caught:
        client.fetch(URL)
    assert caught.value.kind is Kind.CONTACT_MISSING


def test_only_pages_of_the_site_are_fetched(server: SimulatorServer) -> None:
    with client_for(server) as client, pytest.raises(StateError) as caught:
        client.fetch("https://example.org/")
    assert caught.value.kind is Kind.USAGE
    assert server.requests == []


@pytest.mark.parametrize("settings", [{"contact": "me\r\nX: y"}, {"contact": "zoë"}, {"stand_in": "track"}])
def test_settings_that_cannot_work_are_refused(settings: dict[str, str]) -> None:
    with pytest.raises(StateError) as caught:
        Client(ClientSettings(version="1.0", **settings))  # type: ignore[arg-type]
    assert caught.value.kind is Kind.USAGE
