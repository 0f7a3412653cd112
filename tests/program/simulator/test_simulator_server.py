"""The simulator's server on its own: what it serves, what it logs, and that each fault really reaches the wire."""

from __future__ import annotations

import gzip
import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest

from mre_console.simulator.faults import KINDS, PAGE_TYPES, Fault, FaultSet, page_type_of
from mre_console.simulator.server import Answer, Pages, SimulatorServer, SiteFile

HOST = "track.liverc.com"
RACE = "/results/?p=view_race_result&id=7"
BODY = b"<html><body>" + b'<p class="lap">lap</p>' * 200 + b"</body></html>\n"


@pytest.fixture
def server() -> Iterator[SimulatorServer]:
    site = Pages()
    site.put(HOST, RACE, BODY)
    site.put(HOST, "/", b"<html>dashboard</html>")
    site.put(HOST, "/robots.txt", Answer(headers={"Content-Type": "text/plain"}, body=b"User-agent: *\n"))
    with SimulatorServer(site) as running:
        yield running


def connect(server: SimulatorServer) -> http.client.HTTPConnection:
    return http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)


def get(server: SimulatorServer, target: str = RACE, **headers: str) -> tuple[http.client.HTTPResponse, bytes]:
    connection = connect(server)
    try:
        connection.request(
            "GET", target, headers={"Host": HOST, **{k.replace("_", "-"): v for k, v in headers.items()}}
        )
        answer = connection.getresponse()
        return answer, answer.read()
    finally:
        connection.close()


def raw(server: SimulatorServer, target: str = RACE) -> bytes:
    """Everything the server sends, until it closes."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(f"GET {target} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n".encode())
        received = b""
        while chunk := connection.recv(65536):
            received += chunk
        return received


def test_serves_by_host_and_parsed_query(server: SimulatorServer) -> None:
    answer, body = get(server, "/results/?id=7&p=view%5Frace%5Fresult")
    assert (answer.status, body) == (200, BODY)
    assert get(server, RACE + "0")[0].status == 404
    assert get(server, "/robots.txt")[1] == b"User-agent: *\n"


def test_one_connection_carries_many_requests_and_gzip_is_given_when_asked(server: SimulatorServer) -> None:
    connection = connect(server)
    for encoding in ("identity", "gzip"):
        connection.request("GET", RACE, headers={"Host": f"{HOST}:80", "Accept-Encoding": encoding})
        answer = connection.getresponse()
        body = answer.read()
        assert answer.getheader("Content-Length") == str(len(body))
        assert (gzip.decompress(body) if encoding == "gzip" else body) == BODY
    connection.request("HEAD", RACE, headers={"Host": HOST})
    head = connection.getresponse()
    assert (head.getheader("Content-Length"), head.read()) == (str(len(BODY)), b"")
    connection.close()
    assert [request.target for request in server.requests] == [RACE] * 3


@pytest.mark.parametrize(
    ("request_text", "status"),
    [("GET / HTTP/1.1\r\n\r\n", b"400"), ("nonsense\r\n\r\n", b"400"), ("POST / HTTP/1.1\r\nHost: a\r\n\r\n", b"405")],
)
def test_refuses_what_is_not_a_get(server: SimulatorServer, request_text: str, status: bytes) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(request_text.encode())
        assert connection.recv(65536).split(b" ")[1] == status


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.1", "::", "example.org", ""])
def test_listens_on_loopback_only(host: str) -> None:
    with pytest.raises(ValueError, match="loopback"):
        SimulatorServer(Pages(), host=host)


def test_site_file(tmp_path: Path) -> None:
    (tmp_path / "pages").mkdir()
    (tmp_path / "site").mkdir()
    (tmp_path / "pages" / "event.html").write_bytes(b"<html>event</html>")
    listing = {"hosts": {"Track.liverc.com": {"/results/?p=view_event&id=1": "pages/event.html"}}}
    (tmp_path / "site" / "site.json").write_text(json.dumps(listing))
    site = SiteFile(tmp_path / "site" / "site.json")
    found = site.answer("track.liverc.com", "/results/?id=1&p=view_event")
    assert found is not None
    assert found.body == b"<html>event</html>"
    assert site.answer("track.liverc.com", "/robots.txt") is None
    (tmp_path / "pages" / "event.html").unlink()
    with pytest.raises(FileNotFoundError):
        SiteFile(tmp_path / "site" / "site.json")


def test_wait_for_request_sees_a_request_before_it_is_answered(server: SimulatorServer) -> None:
    server.faults.add(Fault("slow", seconds=60))
    dropped = threading.Event()

    def ask() -> None:
        with pytest.raises(OSError):
            get(server)
        dropped.set()

    client = threading.Thread(target=ask)
    client.start()
    [request] = server.wait_for_request(lambda request: request.target == RACE)
    assert request.host == HOST
    assert time.monotonic() - request.at < 10
    started = time.monotonic()
    server.close()  # also ends the silence
    client.join(timeout=10)
    assert dropped.is_set()
    assert time.monotonic() - started < 5
    with pytest.raises(TimeoutError, match="1 of 2 expected"):
        server.wait_for_request(count=2, timeout=0.01)


def test_serve_forever_ends_with_close() -> None:
    server = SimulatorServer(Pages())
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    assert get(server, "/")[0].status == 404
    server.close()
    thread.join(timeout=10)
    assert not thread.is_alive()
    with pytest.raises(OSError):
        get(server, "/")


# ---------------------------------------------------------------- faults


def test_page_types() -> None:
    cases = {
        ("live.liverc.com", "/"): "track_catalogue",
        (HOST, "/"): "track_dashboard",
        (HOST, "/events/"): "events_listing",
        (HOST, "/results/?p=view_event&id=1"): "event",
        (HOST, "/results/?id=1&p=view%5Frace%5Fresult"): "race_result",
        (HOST, "/results/?p=view_entry_list&id=1"): "entry_list",
        (HOST, "/results/?p=view_points&id=1"): "other",
        (HOST, "/practice/"): "other",
        (HOST, "/robots.txt"): "robots",
    }
    assert {case: page_type_of(*case) for case in cases} == cases
    assert set(cases.values()) == set(PAGE_TYPES)


def statuses(server: SimulatorServer, target: str, count: int) -> list[int]:
    return [get(server, target)[0].status for _ in range(count)]


def test_rules_count_match_and_can_be_changed_while_serving(server: SimulatorServer) -> None:
    fault = server.faults.add(Fault("500", "race_result", after=1, times=2))
    assert statuses(server, RACE, 4) == [200, 500, 500, 200]
    server.faults.remove(fault)
    server.faults.add("404:race_result:id=8")
    server.faults.add("503:host=other")
    assert statuses(server, RACE, 1) == [200]
    server.faults.add("404:race_result:id=7")
    server.faults.add(Fault("429", lambda host, target: target == "/"))
    assert (statuses(server, RACE, 1), statuses(server, "/", 1)) == ([404], [429])
    assert [fault.kind for fault in server.faults] == ["404", "503", "404", "429"]
    server.faults.clear()
    assert statuses(server, RACE, 1) == [200]
    server.faults.add("500")
    assert (statuses(server, "/robots.txt", 1), statuses(server, RACE, 1)) == ([200], [500])


def test_counts_hold_under_many_threads(server: SimulatorServer) -> None:
    server.faults.add(Fault("500", times=5))
    seen: list[int] = []
    threads = [threading.Thread(target=lambda: seen.extend(statuses(server, RACE, 5))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (seen.count(500), seen.count(200)) == (5, 15)


def test_retry_after_in_both_forms(server: SimulatorServer) -> None:
    server.faults.add("503:retry_after=7:times=1")
    server.faults.add("429:retry_after=3600:form=date:after=1:times=1")
    assert get(server)[0].getheader("Retry-After") == "7"
    header = get(server)[0].getheader("Retry-After")
    assert header is not None
    assert 3500 < parsedate_to_datetime(header).timestamp() - time.time() <= 3600


def test_slow_and_drip_take_their_time(server: SimulatorServer) -> None:
    server.faults.add("slow:race_result:seconds=0.1:times=1")
    server.faults.add("drip:track_dashboard:every_ms=5:times=1")
    server.faults.add("drip:track_dashboard:every_ms=1:part=head:after=1:times=1")
    for target, least in ((RACE, 0.1), ("/", 0.1), ("/", 0.1)):
        started = time.monotonic()
        assert get(server, target)[0].status == 200
        assert time.monotonic() - started >= least


def test_cut_and_reset(server: SimulatorServer) -> None:
    server.faults.add("cut:times=1:at=0.25")
    with pytest.raises(http.client.IncompleteRead) as cut:
        get(server)
    assert len(cut.value.partial) == len(BODY) // 4
    server.faults.add("cut:how=chunked:times=1")
    with pytest.raises(http.client.IncompleteRead):
        get(server)
    server.faults.add("cut:how=close:times=1")
    answer, body = get(server, Accept_Encoding="gzip")
    assert (answer.getheader("Content-Length"), body) == (None, BODY[: len(BODY) // 2])
    server.faults.add("cut:how=gzip:times=1")
    answer, body = get(server, Accept_Encoding="gzip")
    assert answer.getheader("Content-Length") == str(len(body))
    with pytest.raises(EOFError):
        gzip.decompress(body)
    server.faults.add("reset:times=1")
    with pytest.raises(ConnectionResetError):
        raw(server)
    server.faults.add("reset:at=-1:times=1")
    with pytest.raises(ConnectionResetError):
        raw(server)
    assert raw(server).endswith(BODY)


def test_faults_that_change_the_page(server: SimulatorServer) -> None:
    with server_answer(server, "error_page") as (answer, body):
        assert answer.status == 200
        assert body.rstrip().endswith(b"</html>")
        assert b"lap" not in body
    with server_answer(server, "redirect:to=https://example.org/x:status=301") as (answer, _):
        assert (answer.status, answer.getheader("Location")) == (301, "https://example.org/x")
    with server_answer(server, "redirect_loop") as (answer, _):
        assert answer.getheader("Location") == RACE
    with server_answer(server, "changed_markup") as (_, body):
        assert body == BODY.replace(b'class="', b'class="v2-')
    with server_answer(server, Fault("changed_markup", change=bytes.upper)) as (_, body):
        assert body == BODY.upper()
    with server_answer(server, "huge:bytes=100000") as (_, body):
        assert len(body) == len(BODY) + 100_000
    with server_answer(server, "bomb:bytes=1000000") as (answer, body):
        assert answer.getheader("Content-Encoding") == "gzip"
        assert len(body) < 2000
        assert len(gzip.decompress(body)) == 1_000_000
    with server_answer(server, "binary") as (answer, body):
        assert answer.getheader("Content-Type") == "image/png"
        assert body.startswith(b"\x89PNG")
    with server_answer(server, "content_type:type=text/plain") as (answer, body):
        assert (answer.getheader("Content-Type"), body) == ("text/plain", BODY)
    with server_answer(server, "missing_race:id=7") as (answer, _):
        assert answer.status == 404
    with server_answer(server, Fault("empty_shell", shell=lambda host, target: f"{host}{target}".encode())) as (
        _,
        body,
    ):
        assert body == f"{HOST}{RACE}".encode()


class server_answer:  # noqa: N801  reads as a statement in the test above
    """The answer to RACE while one fault is in force."""

    def __init__(self, server: SimulatorServer, fault: Fault | str) -> None:
        self._server, self._fault = server, fault

    def __enter__(self) -> tuple[http.client.HTTPResponse, bytes]:
        self._added = self._server.faults.add(self._fault)
        return get(self._server)

    def __exit__(self, *_: object) -> None:
        self._server.faults.remove(self._added)


def test_every_kind_can_be_read_from_text() -> None:
    assert {Fault.parse(kind).kind for kind in KINDS} == set(KINDS)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("explode", "no fault 'explode'"),
        ("cut:nowhere", "no page type 'nowhere'"),
        ("cut:event:colour=red", "no parameter 'colour'"),
        ("cut:event:often", "not of the form NAME=VALUE"),
        ("slow:seconds=soon", "needs a number"),
        ("slow:times=often", "needs a number"),
        ("changed_markup:change=upper", "in Python only"),
    ],
)
def test_a_wrong_rule_says_what_is_wrong(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        FaultSet().add(text)
