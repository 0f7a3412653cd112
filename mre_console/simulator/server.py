"""A web server that plays LiveRC on loopback: one thread per connection, one host per Host header, faults by rule.

It speaks just enough HTTP/1.1 for a fetcher (GET and HEAD, keep-alive, gzip) and writes its answers to the socket byte
by byte where a fault asks for it, which no ready-made server lets one do. What it serves comes from a `Site`; every
request is logged, so that tests can wait for one instead of sleeping.
"""

from __future__ import annotations

import contextlib
import functools
import gzip
import ipaddress
import json
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from email.utils import formatdate
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Protocol
from urllib.parse import parse_qsl, urlsplit

from msgspec import Struct, field

from mre_console.simulator.faults import Delivery, Fault, FaultSet

HEAD_LIMIT = 64 * 1024  # bytes of a request's head
LOG_LIMIT = 100_000  # requests remembered; a demo may run for days
IDLE_S = 30.0  # a connection without a request is closed after this


class Answer(Struct, frozen=True):
    """What a site says to one request, before any fault."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=lambda: {"Content-Type": "text/html; charset=UTF-8"})
    body: bytes = b""


class Site(Protocol):
    """Something that can be served."""

    def answer(self, host: str, target: str) -> Answer | None:
        """The answer to a GET of `target` (path?query) on `host` (lower case, no port); None: there is no such page.

        Called from many threads at once.
        """


class Request(NamedTuple):
    """One line of the request log."""

    at: float  # monotonic seconds: when the request was read
    host: str
    target: str
    status: int  # what is answered, faults included


_PageKey = tuple[str, str, tuple[tuple[str, str], ...]]


class Pages:
    """A site held in memory: pages put by host and target. The order of query parameters does not matter."""

    def __init__(self) -> None:
        self._answers: dict[_PageKey, Answer] = {}

    def put(self, host: str, target: str, page: Answer | bytes) -> None:
        self._answers[self._key(host, target)] = page if isinstance(page, Answer) else Answer(body=page)

    def answer(self, host: str, target: str) -> Answer | None:
        return self._answers.get(self._key(host, target))

    @staticmethod
    def _key(host: str, target: str) -> _PageKey:
        parts = urlsplit(target)
        return host.lower(), parts.path or "/", tuple(sorted(parse_qsl(parts.query, keep_blank_values=True)))


class SiteFile(Pages):
    """Serves a JSON list `{"hosts": {host: {path?query: file}}}`.

    Files are relative to the folder above the list's own. All are read at once: a list that names a missing file raises
    OSError here, not a request later.
    """

    def __init__(self, path: str | Path) -> None:
        super().__init__()
        path = Path(path)
        base = path.resolve().parent.parent
        for host, targets in json.loads(path.read_text(encoding="utf-8"))["hosts"].items():
            for target, file in targets.items():
                self.put(host, target, (base / file).read_bytes())


@functools.lru_cache(maxsize=64)
def _gzipped(body: bytes) -> bytes:
    return gzip.compress(body, 1, mtime=0)


def _loopback(host: str) -> str:
    """The address to bind to. Raises ValueError where others could reach it: the simulator is for this machine only."""
    address = "127.0.0.1" if host == "localhost" else host
    try:
        loopback = ipaddress.ip_address(address).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise ValueError(f"The simulator listens on this machine only; {host!r} is not a loopback address.")
    return address


class SimulatorServer:
    """Serves a site on loopback. Use as a context manager, or `start()` and `close()`.

    `faults` is a `FaultSet` (or rules to make one of); it may be changed while serving, through `.faults`. A site with
    a method `empty_shell(host, target) -> bytes` gives that fault its page. Raises ValueError for an address that is
    not loopback and OSError where the port is taken.
    """

    def __init__(
        self,
        site: Site,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        faults: FaultSet | Sequence[Fault] = (),
    ) -> None:
        address = _loopback(host)
        self.site = site
        self.faults = faults if isinstance(faults, FaultSet) else FaultSet(list(faults))
        self._listener = socket.create_server(
            (address, port), family=socket.AF_INET6 if ":" in address else socket.AF_INET, backlog=128
        )
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http://[{address}]:{self.port}" if ":" in address else f"http://{address}:{self.port}"
        self._log: deque[Request] = deque(maxlen=LOG_LIMIT)
        self._logged = threading.Condition()
        self._closing = threading.Event()
        self._connections: set[socket.socket] = set()
        self._connections_lock = threading.Lock()
        self._acceptor = threading.Thread(target=self._accept, name="simulator-accept", daemon=True)

    # ---- life

    def start(self) -> SimulatorServer:
        self._acceptor.start()
        return self

    def close(self) -> None:
        """Stop listening and drop every connection, also those that a fault keeps waiting."""
        self._closing.set()
        with contextlib.suppress(OSError):  # macOS refuses this for a listening socket; there close() wakes accept()
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._connections_lock:
            for connection in self._connections:
                with contextlib.suppress(OSError):  # the other side was faster
                    connection.shutdown(socket.SHUT_RDWR)
        if self._acceptor.ident is not None:
            self._acceptor.join(timeout=5)

    def serve_forever(self) -> None:
        """Serve until `close()` is called from another thread or a KeyboardInterrupt ends the wait; then close."""
        if self._acceptor.ident is None:
            self.start()
        try:
            while not self._closing.wait(3600):
                pass
        finally:
            self.close()

    def __enter__(self) -> SimulatorServer:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # ---- the request log

    @property
    def requests(self) -> list[Request]:
        """The requests so far, oldest first. A request is logged when it was read, before its answer is sent."""
        with self._logged:
            return list(self._log)

    def wait_for_request(
        self, match: Callable[[Request], bool] | None = None, *, count: int = 1, timeout: float = 10.0
    ) -> list[Request]:
        """The first `count` logged requests that match, waiting for them. Raises TimeoutError."""

        def found() -> list[Request]:
            return [request for request in self._log if match is None or match(request)]

        with self._logged:
            if not self._logged.wait_for(lambda: len(found()) >= count, timeout):
                raise TimeoutError(f"{len(found())} of {count} expected requests came within {timeout} s.")
            return found()[:count]

    def _record(self, request: Request) -> None:
        with self._logged:
            self._log.append(request)
            self._logged.notify_all()

    # ---- serving

    def _accept(self) -> None:
        while not self._closing.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                if self._closing.is_set():
                    return
                self._closing.wait(0.05)  # out of file descriptors, or a connection that was gone before it was taken
                continue
            threading.Thread(target=self._serve, args=(connection,), name="simulator", daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with self._connections_lock:
            self._connections.add(connection)
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.settimeout(IDLE_S)
            pending = b""
            while not self._closing.is_set():
                head, separator, pending = self._read_head(connection, pending)
                if not separator or not self._respond(connection, head.decode("latin-1")):
                    return
        except OSError:
            pass  # the client went away, which is its right
        finally:
            with self._connections_lock:
                self._connections.discard(connection)
            connection.close()

    @staticmethod
    def _read_head(connection: socket.socket, pending: bytes) -> tuple[bytes, bytes, bytes]:
        while b"\r\n\r\n" not in pending and len(pending) < HEAD_LIMIT:
            chunk = connection.recv(65536)
            if not chunk:
                return pending, b"", b""
            pending += chunk
        return pending.partition(b"\r\n\r\n")

    def _respond(self, connection: socket.socket, head: str) -> bool:
        """Answer one request. False: the connection is finished."""
        at = time.monotonic()
        request_line, *lines = head.split("\r\n")
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        words = request_line.split(" ")
        if len(words) != 3 or not words[1].startswith("/") or "host" not in headers:
            _send_plain(connection, 400)
            return False
        if words[0] not in ("GET", "HEAD"):
            _send_plain(connection, 405)
            return False
        host = headers["host"].lower()
        host = host if host.endswith("]") else host.rpartition(":")[0] or host
        delivery = self._plan(host, words[1])
        self._record(Request(at, host, words[1], delivery.status))
        keep_alive = headers.get("connection", "").lower() != "close" and words[2] == "HTTP/1.1"
        wants_gzip = "gzip" in headers.get("accept-encoding", "")
        bare = words[0] == "HEAD"
        return self._deliver(connection, delivery, wants_gzip=wants_gzip, keep_alive=keep_alive, bare=bare)

    def _plan(self, host: str, target: str) -> Delivery:
        answer = self.site.answer(host, target) or Answer(404, body=NOT_FOUND)
        delivery = Delivery(host, target, answer.status, dict(answer.headers), answer.body)
        delivery.empty_shell = getattr(self.site, "empty_shell", None)
        self.faults.spoil(delivery)
        return delivery

    def _deliver(
        self, connection: socket.socket, delivery: Delivery, *, wants_gzip: bool, keep_alive: bool, bare: bool
    ) -> bool:
        body, headers = delivery.body, delivery.headers
        if wants_gzip and delivery.compress and body and "Content-Encoding" not in headers:
            body = _gzipped(body)
            headers = {**headers, "Content-Encoding": "gzip"}
        if delivery.framing == "length":
            headers = {**headers, "Content-Length": str(len(body))}
        elif delivery.framing == "chunked":
            headers = {**headers, "Transfer-Encoding": "chunked"}
        keep_alive = keep_alive and delivery.framing != "close" and delivery.ending == "whole"
        head = _head(delivery.status, headers, keep_alive=keep_alive)

        if delivery.delay_s and self._closing.wait(delivery.delay_s):
            return False
        if delivery.at >= 0:
            self._send(connection, head, delivery.drip_s if delivery.drip_part == "head" else 0)
            if not bare:
                sent = body if delivery.ending == "whole" else body[: int(len(body) * delivery.at)]
                if delivery.framing == "chunked" and sent:
                    sent = f"{len(sent):x}\r\n".encode() + sent + b"\r\n"
                if delivery.framing == "chunked" and delivery.ending == "whole":
                    sent += b"0\r\n\r\n"
                self._send(connection, sent, delivery.drip_s if delivery.drip_part == "body" else 0)
        if delivery.ending == "reset":  # closing with unsent-data time zero makes the kernel send RST instead of FIN
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return keep_alive

    def _send(self, connection: socket.socket, data: bytes, pause_s: float) -> None:
        if not pause_s:
            connection.sendall(data)
            return
        for offset in range(len(data)):
            connection.sendall(data[offset : offset + 1])
            if self._closing.wait(pause_s):
                return


NOT_FOUND = (
    b"<html>\n<head><title>404 Not Found</title></head>\n<body>\n<h1>404 Not Found</h1>\n"
    b"<p>There is no such page here.</p>\n</body>\n</html>\n"
)


def _head(status: int, headers: dict[str, str], *, keep_alive: bool) -> bytes:
    lines = [
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
        f"Date: {formatdate(usegmt=True)}",
        "Server: simulator",
        *(f"{name}: {value}" for name, value in headers.items()),
        f"Connection: {'keep-alive' if keep_alive else 'close'}",
    ]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def _send_plain(connection: socket.socket, status: int) -> None:
    connection.sendall(_head(status, {"Content-Length": "0"}, keep_alive=False))
