"""The pure parts of the fetching side: bodies, headers, addresses; and sockets under a limit."""

from __future__ import annotations

import gzip
import itertools
import socket
import ssl
import subprocess
import threading
import time
import zlib
from collections.abc import Callable
from email.utils import formatdate
from pathlib import Path

import httpcore
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import FetchError, Kind
from pipeline.liverc.answers import RETRY_AFTER_MAX_S, own_address, redirected, refused, require_same_id, retry_after
from pipeline.liverc.body import read_body, require_html
from pipeline.liverc.errand import Clock
from pipeline.liverc.transport import Limit, LimitedBackend, Limits, OutOfTimeError, StoppedError
from pipeline.liverc.urls import is_liverc_host

CAP = 10_000


def split(data: bytes, at: list[int]) -> list[bytes]:
    cuts = sorted({min(cut, len(data)) for cut in at} | {0, len(data)})
    return [data[a:b] for a, b in itertools.pairwise(cuts)]


def kind_of(call: Callable[[], object]) -> Kind | None:
    try:
        call()
    except FetchError as error:
        return error.kind
    return None


# ---------------------------------------------------------------- bodies


@given(st.lists(st.binary(max_size=3000), min_size=1, max_size=3), st.lists(st.integers(0, 6000), max_size=8))
def test_bodies_are_read_whole_however_they_are_chunked(members: list[bytes], at: list[int]) -> None:
    body = b"".join(members)
    packed = b"".join(gzip.compress(member, mtime=0) for member in members)
    assert read_body(split(body, at), "", CAP) == (body, body)
    assert read_body(split(body, at), "identity", CAP) == (body, body)
    assert read_body(split(packed, at), "GZIP ", CAP) == (body, packed)


@given(st.binary(min_size=1, max_size=3000), st.integers(min_value=1), st.lists(st.integers(0, 3000), max_size=4))
def test_a_gzip_body_that_stops_anywhere_is_truncated(body: bytes, keep: int, at: list[int]) -> None:
    packed = gzip.compress(body, mtime=0)
    short = packed[: keep % len(packed)]
    if short:
        assert kind_of(lambda: read_body(split(short, at), "gzip", CAP)) is Kind.TRUNCATED
    else:
        assert read_body([], "gzip", CAP) == (b"", b"")


@given(st.binary(max_size=500))
def test_no_bytes_make_the_reader_crash(noise: bytes) -> None:
    assert kind_of(lambda: read_body([noise], "gzip", CAP)) in (None, Kind.TRUNCATED)
    assert kind_of(lambda: read_body([gzip.compress(b"x", mtime=0), noise], "gzip", CAP)) in (None, Kind.TRUNCATED)


def test_a_bomb_costs_no_more_than_the_cap() -> None:
    compressor = zlib.compressobj(9, wbits=31)
    megabyte = bytes(1 << 20)
    fed = 0

    def bomb() -> object:
        nonlocal fed
        for _ in range(1000):
            fed += 1
            yield compressor.compress(megabyte)

    assert kind_of(lambda: read_body(bomb(), "gzip", 4 << 20)) is Kind.TOO_LARGE  # type: ignore[arg-type]
    assert fed < 20  # compressed bytes come in bursts; the flow was cut soon after the cap


@given(st.integers(CAP - 2, CAP + 2))
def test_the_cap_is_exact(size: int) -> None:
    expected = None if size <= CAP else Kind.TOO_LARGE
    assert kind_of(lambda: read_body([b"x" * size], "", CAP)) is expected
    assert kind_of(lambda: read_body([gzip.compress(b"x" * size)], "gzip", CAP)) is expected


def test_an_encoding_that_was_not_asked_for() -> None:
    assert kind_of(lambda: read_body([b"x"], "br", CAP)) is Kind.HTTP_STATUS


@pytest.mark.parametrize(
    ("body", "content_type", "kind"),
    [
        (b"<html></html>", "text/html", None),
        (b"<html></HTML> \r\n\t", "text/html; charset=UTF-8", None),
        (b"<html></html>", "text/plain", None),
        (b"<html></html>", "", None),
        (b"<html>", "text/html", Kind.TRUNCATED),
        (b"<html>", "", Kind.TRUNCATED),
        (b"", "text/html", Kind.TRUNCATED),
        (b"<html></html><!-- x", "application/xhtml+xml", Kind.TRUNCATED),
        (b"{}", "application/json", Kind.PAGE_UNRECOGNISED),
        (b"", "image/png", Kind.PAGE_UNRECOGNISED),
    ],
)
def test_html_is_there_to_its_end(body: bytes, content_type: str, kind: Kind | None) -> None:
    assert kind_of(lambda: require_html(body, content_type)) is kind


# ---------------------------------------------------------------- answers


class Noon(Clock):
    def wall(self) -> float:
        return 1_000_000.0


@pytest.mark.parametrize(
    ("header", "date", "seconds"),
    [
        ("120", None, 120),
        (" 0 ", None, 0),
        (formatdate(1_000_090, usegmt=True), None, 90),
        (formatdate(2_000_090, usegmt=True), formatdate(2_000_000, usegmt=True), 90),  # the server's clock is off
        (formatdate(1_000_090, usegmt=True), "nonsense", 90),
        (formatdate(999_000, usegmt=True), None, 0),
        ("9" * 400, None, RETRY_AFTER_MAX_S),
        ("Fri, 31 Dec 9999 23:59:59 GMT", None, RETRY_AFTER_MAX_S),
        ("-5", None, None),
        ("soon", None, None),
        ("", None, None),
        ("²", None, None),
    ],
)
def test_retry_after(header: str, date: str | None, seconds: float | None) -> None:
    headers = {"retry-after": header, **({"date": date} if date else {})}
    assert retry_after(headers, Noon()) == seconds


@given(st.text(max_size=60), st.text(max_size=60))
def test_retry_after_survives_anything(header: str, date: str) -> None:
    seconds = retry_after({"retry-after": header, "date": date}, Noon())
    assert seconds is None or 0 <= seconds <= RETRY_AFTER_MAX_S


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (204, Kind.HTTP_STATUS),
        (304, Kind.HTTP_STATUS),
        (400, Kind.HTTP_STATUS),
        (403, Kind.HTTP_STATUS),
        (404, Kind.NOT_FOUND),
        (410, Kind.NOT_FOUND),
        (429, Kind.RATE_LIMITED),
        (500, Kind.SERVER_ERROR),
        (503, Kind.SERVER_ERROR),
        (599, Kind.SERVER_ERROR),
    ],
)
def test_refusals(status: int, kind: Kind) -> None:
    error = refused(status, {"retry-after": "7"}, Noon())
    assert (error.kind, error.details["status"]) == (kind, status)
    assert error.details.get("retry_after_s") == (7 if status in (429, 503) else None)


PLACE = "https://track.liverc.com/results/?p=view_event&id=1"


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("/events/", "https://track.liverc.com/events/"),
        ("?p=view_event&id=1", PLACE),
        ("http://Track.LiveRC.com", "https://track.liverc.com/"),
        ("//new.liverc.com/x#top", "https://new.liverc.com/x"),
        ("https://liverc.com:443/", "https://liverc.com/"),
        ("/straße x/?q=\"'", "https://track.liverc.com/stra%C3%9Fe%20x/?q=%22'"),
        ("/a%5Fb", "https://track.liverc.com/a%5Fb"),
    ],
)
def test_where_a_redirect_leads(location: str, target: str) -> None:
    assert redirected(PLACE, location, 302) == target


@given(st.text(max_size=80))
def test_a_redirect_leads_within_the_site_or_is_refused(location: str) -> None:
    reached: list[str] = []
    kind = kind_of(lambda: reached.append(redirected(PLACE, location, 302)))
    assert kind in (None, Kind.REDIRECT_REFUSED)
    for target in reached:
        assert is_liverc_host(target.removeprefix("https://").partition("/")[0])
        assert own_address(target) == target


def test_an_id_does_not_change_on_the_way() -> None:
    require_same_id(PLACE, "https://other.liverc.com/results/?id=1&p=view_event")
    require_same_id(PLACE, "https://track.liverc.com/events/")
    require_same_id(PLACE, "https://track.liverc.com/unknown/")
    with pytest.raises(FetchError, match="another id"):
        require_same_id(PLACE, "https://track.liverc.com/results/?p=view_event&id=2")


# ---------------------------------------------------------------- sockets under a limit


def limited(seconds: float, stop: threading.Event | None = None) -> tuple[Limits, LimitedBackend, Limit]:
    limits = Limits()
    return limits, LimitedBackend(limits, connect_timeout_s=5), Limit(time.monotonic, time.monotonic() + seconds, stop)


@pytest.fixture
def silent() -> object:
    """A port that accepts and then says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_a_handshake_and_a_write_keep_the_deadline(silent: int) -> None:
    limits, backend, limit = limited(0.3)
    started = time.monotonic()
    with limits.applied(limit):
        stream = backend.connect_tcp("127.0.0.1", silent)
        with pytest.raises(OutOfTimeError):
            stream.start_tls(ssl.create_default_context(), "localhost")
    limits, backend, limit = limited(0.3)
    with limits.applied(limit):
        stream = backend.connect_tcp("127.0.0.1", silent)
        with pytest.raises(OutOfTimeError):
            stream.write(bytes(100_000_000))
        stream.close()
    assert time.monotonic() - started < 2


def test_a_handshake_can_be_stopped(silent: int) -> None:
    stop = threading.Event()
    limits, backend, limit = limited(30, stop)
    timer = threading.Timer(0.05, stop.set)
    with limits.applied(limit):
        stream = backend.connect_tcp("127.0.0.1", silent)
        timer.start()
        started = time.monotonic()
        with pytest.raises(StoppedError):
            stream.start_tls(ssl.create_default_context(), "localhost")
    assert time.monotonic() - started < 0.5


def test_a_name_that_takes_for_ever_to_look_up(monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()
    real = socket.getaddrinfo

    def stuck(host: str, port: int, *, type: int, flags: int = 0) -> object:
        if not flags:
            release.wait(30)
        return real(host, port, type=type, flags=flags)

    monkeypatch.setattr(socket, "getaddrinfo", stuck)
    limits, _, limit = limited(30)
    backend = LimitedBackend(limits, connect_timeout_s=0.2)
    started = time.monotonic()
    with limits.applied(limit), pytest.raises(httpcore.ConnectTimeout, match="looking up the name"):
        backend.connect_tcp("localhost", 9)
    release.set()
    assert time.monotonic() - started < 2


def test_outside_a_request_no_socket_is_used(silent: int) -> None:
    _, backend, _ = limited(1)
    with pytest.raises(RuntimeError, match="outside a request"):
        backend.connect_tcp("127.0.0.1", silent)


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate for localhost that lives as long as the test."""
    path = tmp_path / "pair.pem"
    command = (
        "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost"
    )
    try:
        subprocess.run(
            [*command.split(), "-keyout", path, "-out", tmp_path / "cert.pem"], check=True, capture_output=True
        )
    except FileNotFoundError:
        pytest.skip("needs the openssl command to make a certificate")
    path.write_bytes(path.read_bytes() + (tmp_path / "cert.pem").read_bytes())
    return path


def test_tls_carries_data_slowly_and_names_a_bad_certificate(certificate: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        for _ in range(2):
            connection, _ = listener.accept()
            try:
                with context.wrap_socket(connection, server_side=True) as tls:
                    question = tls.recv(100)
                    threading.Event().wait(0.25)  # longer than the client waits at a time
                    tls.sendall(question.upper())
            except OSError:
                connection.close()

    server = threading.Thread(target=serve)
    server.start()
    limits, backend, limit = limited(10)
    with limits.applied(limit):
        for trusted in (True, False):
            stream = backend.connect_tcp("localhost", listener.getsockname()[1])
            trust = ssl.create_default_context(cafile=str(certificate) if trusted else None)
            if trusted:
                tls = stream.start_tls(trust, "localhost")
                tls.write(b"hello")
                assert tls.read(100) == b"HELLO"
                assert tls.get_extra_info("ssl_object") is not None
                tls.close()
            else:
                with pytest.raises(httpcore.ConnectError, match="certificate verify failed"):
                    stream.start_tls(trust, "localhost")
    server.join(timeout=10)
    listener.close()
    assert not server.is_alive()
