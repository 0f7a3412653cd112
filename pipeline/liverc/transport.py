"""Sockets that keep a total deadline and can be stopped.

HTTP libraries time out each read on its own, so a server that sends a byte now and then, in the head or in the body,
holds a client for ever. Here every connect, handshake, read and write asks the thread's `Limit` how long it may take,
and looks up at least every `SLICE_S` seconds to see whether somebody wants it to stop. No watchdog thread is needed.
"""

from __future__ import annotations

import contextlib
import errno
import os
import queue
import select
import selectors
import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import httpcore
import httpx

SLICE_S = 0.1  # how long a wait goes on without looking at the stop event
_UNDER_WAY = (errno.EINPROGRESS, errno.EWOULDBLOCK, errno.EAGAIN, getattr(errno, "WSAEWOULDBLOCK", errno.EAGAIN))


class StoppedError(Exception):
    """The limit's stop event was set."""


class OutOfTimeError(Exception):
    """The limit's deadline has passed."""


class Limit:
    """How long one request may take (`deadline`, by `now`), and the event that ends it early."""

    def __init__(self, now: Callable[[], float], deadline: float, stop: threading.Event | None) -> None:
        self._now = now
        self._deadline = deadline
        self._stop = stop

    def slice(self) -> float:
        """Seconds to wait before asking again: above 0, at most SLICE_S. Raises StoppedError or OutOfTimeError."""
        if self._stop is not None and self._stop.is_set():
            raise StoppedError
        left = self._deadline - self._now()
        if left <= 0:
            raise OutOfTimeError
        return min(left, SLICE_S)

    def after(self, seconds: float) -> float:
        """The moment `seconds` from now."""
        return self._now() + seconds

    def passed(self, moment: float) -> bool:
        return self._now() >= moment


class Limits(threading.local):
    """The limit of the request that this thread is making."""

    current: Limit | None = None

    @contextlib.contextmanager
    def applied(self, limit: Limit) -> Iterator[None]:
        self.current = limit
        try:
            yield
        finally:
            self.current = None

    def get(self) -> Limit:
        if self.current is None:
            raise RuntimeError("a socket was used outside a request")
        return self.current


class LimitedStream(httpcore.NetworkStream):
    """A connected socket. `timeout` arguments are ignored: the limit decides."""

    def __init__(self, sock: socket.socket, limits: Limits) -> None:
        self._sock = sock
        self._limits = limits

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        limit = self._limits.get()
        while True:
            self._sock.settimeout(limit.slice())
            try:
                return self._sock.recv(max_bytes)
            except TimeoutError:
                continue
            except OSError as error:
                raise httpcore.ReadError(str(error)) from error

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        limit = self._limits.get()
        while buffer:
            self._sock.settimeout(limit.slice())
            try:
                buffer = buffer[self._sock.send(buffer) :]
            except TimeoutError:
                continue
            except OSError as error:
                raise httpcore.WriteError(str(error)) from error

    def close(self) -> None:
        self._sock.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        limit = self._limits.get()
        try:
            wrapped = ssl_context.wrap_socket(
                self._sock, server_hostname=server_hostname, do_handshake_on_connect=False
            )
        except OSError as error:
            self.close()
            raise httpcore.ConnectError(str(error)) from error
        try:
            while True:
                wrapped.settimeout(limit.slice())
                try:
                    wrapped.do_handshake()
                    return LimitedStream(wrapped, self._limits)
                except TimeoutError:
                    continue
        except OSError as error:
            wrapped.close()
            raise httpcore.ConnectError(str(error)) from error
        except BaseException:
            wrapped.close()
            raise

    def get_extra_info(self, info: str) -> Any:
        if info == "ssl_object":
            return self._sock if isinstance(self._sock, ssl.SSLSocket) else None
        if info == "socket":
            return self._sock
        if info == "is_readable":  # httpcore asks this of an idle connection: readable means closed by the server
            return _is_readable(self._sock)
        return None


def _is_readable(sock: socket.socket) -> bool:
    if sock.fileno() < 0:
        return True
    if hasattr(select, "poll"):
        poll = select.poll()
        poll.register(sock, select.POLLIN)
        return bool(poll.poll(0))
    return bool(select.select([sock], [], [], 0)[0])


class LimitedBackend(httpcore.NetworkBackend):
    """Makes connections under the thread's limit. Each gets at most `connect_timeout_s`, names included."""

    def __init__(self, limits: Limits, connect_timeout_s: float) -> None:
        self._limits = limits
        self._connect_timeout_s = connect_timeout_s

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        limit = self._limits.get()
        give_up = limit.after(self._connect_timeout_s)
        try:
            addresses = _resolve(host, port, limit, give_up)
            for number, (family, kind, protocol, _, address) in enumerate(addresses):
                last = number == len(addresses) - 1
                share = give_up if last else limit.after(self._connect_timeout_s / len(addresses))
                try:
                    return LimitedStream(_connect(family, kind, protocol, address, limit, share), self._limits)
                except OSError:
                    if last:
                        raise
        except TimeoutError as error:
            raise httpcore.ConnectTimeout(error.strerror or str(error)) from error
        except OSError as error:
            raise httpcore.ConnectError(error.strerror or str(error)) from error
        raise httpcore.ConnectError("the name has no address")


def _resolve(host: str, port: int, limit: Limit, give_up: float) -> list[Any]:
    """getaddrinfo cannot be interrupted, so names are looked up by a thread of their own, which may be left behind."""
    with contextlib.suppress(socket.gaierror):
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    found: queue.SimpleQueue[list[Any] | OSError] = queue.SimpleQueue()

    def look_up() -> None:
        try:
            found.put(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            found.put(error if isinstance(error, OSError) else OSError(str(error)))

    threading.Thread(target=look_up, name=f"resolve-{host}", daemon=True).start()
    while True:
        try:
            answer = found.get(timeout=_slice(limit, give_up, "looking up the name took too long"))
        except queue.Empty:
            continue
        if isinstance(answer, OSError):
            raise answer
        return answer


def _connect(family: int, kind: int, protocol: int, address: Any, limit: Limit, give_up: float) -> socket.socket:
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setblocking(False)
        code = sock.connect_ex(address)
        if code in _UNDER_WAY:
            with selectors.DefaultSelector() as selector:
                selector.register(sock, selectors.EVENT_WRITE)
                while not selector.select(_slice(limit, give_up, "nobody answered")):
                    pass
            code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise OSError(code, os.strerror(code))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except BaseException:
        sock.close()
        raise
    return sock


def _slice(limit: Limit, give_up: float, why: str) -> float:
    """As `Limit.slice`, with an end of its own, which raises TimeoutError."""
    if limit.passed(give_up):
        raise TimeoutError(why)
    return limit.slice()


class LimitedTransport(httpx.BaseTransport):
    """httpx over a pool of limited sockets. Raises httpcore's own errors, StoppedError and OutOfTimeError."""

    def __init__(self, limits: Limits, connect_timeout_s: float, ssl_context: ssl.SSLContext | None) -> None:
        self._pool = httpcore.ConnectionPool(
            ssl_context=ssl_context,
            max_connections=None,
            max_keepalive_connections=16,
            keepalive_expiry=15.0,
            network_backend=LimitedBackend(limits, connect_timeout_s),
        )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        url = httpcore.URL(
            scheme=request.url.raw_scheme,
            host=request.url.raw_host,
            port=request.url.port,
            target=request.url.raw_path,
        )
        answer = self._pool.handle_request(httpcore.Request(request.method, url, headers=request.headers.raw))
        return httpx.Response(answer.status, headers=answer.headers, stream=_Body(answer))

    def close(self) -> None:
        self._pool.close()


class _Body(httpx.SyncByteStream):
    def __init__(self, answer: httpcore.Response) -> None:
        self._answer = answer

    def __iter__(self) -> Iterator[bytes]:
        return self._answer.iter_stream()

    def close(self) -> None:
        self._answer.close()
