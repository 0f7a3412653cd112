"""What can go wrong on purpose: rules that spoil the simulator's answers.

A `Fault` says which requests it hits and what it does to them; a `FaultSet` holds the rules in force and can be changed
while the server is serving. A rule changes a `Delivery`, the plan of how one answer goes over the wire; the server only
carries the plan out. Rules come from Python or from text such as `cut:race_result:times=1`.
"""

from __future__ import annotations

import gzip
import re
import threading
import time
from collections.abc import Callable, Iterator
from email.utils import formatdate
from http import HTTPStatus
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit

from msgspec import Struct

PAGE_TYPES = (
    "track_catalogue",
    "track_dashboard",
    "events_listing",
    "event",
    "race_result",
    "entry_list",
    "robots",
    "other",
)

_VIEWS = {"view_event": "event", "view_race_result": "race_result", "view_entry_list": "entry_list"}
_PATHS = {"/events": "events_listing", "/robots.txt": "robots"}


def page_type_of(host: str, target: str) -> str:
    """One of `PAGE_TYPES` for a request's host and path?query."""
    parts = urlsplit(target)
    path = parts.path.rstrip("/")
    if path == "/results":
        return _VIEWS.get(parse_qs(parts.query).get("p", [""])[0], "other")
    if path:
        return _PATHS.get(path, "other")
    return "track_catalogue" if host.partition(".")[0] == "live" else "track_dashboard"


class Delivery(Struct):
    """How one answer goes over the wire. Faults change it, the server carries it out."""

    host: str
    target: str
    status: int
    headers: dict[str, str]
    body: bytes
    delay_s: float = 0.0  # silence before the first byte
    drip_s: float = 0.0  # pause after each byte
    drip_part: Literal["head", "body"] = "body"
    framing: Literal["length", "chunked", "close"] = "length"  # how the end of the body is told
    compress: bool = True  # when the client asks for it
    ending: Literal["whole", "cut", "reset"] = "whole"
    at: float = 1.0  # the share of the body that is sent before a cut or reset; below zero: not even the head
    empty_shell: Callable[[str, str], bytes] | None = None  # the site's own way to show a frame without content


Matcher = Callable[[str, str], bool]
Params = dict[str, Any]
Spoil = Callable[[Delivery, Params], None]


class Fault:
    """One rule: which requests it hits, how often, and what happens to them.

    `match` is one of `PAGE_TYPES`, a predicate on host and target, or None for every request but robots.txt. The first
    `after` matching requests are spared, then `times` are hit (None: all). `host` (a slug or whole host) and
    `id` (the query's id) narrow the match. Other parameters belong to the kind: `KINDS` has their names and defaults.
    Raises ValueError for a kind, page type or parameter that does not exist.
    """

    def __init__(
        self,
        kind: str,
        match: str | Matcher | None = None,
        *,
        times: int | None = None,
        after: int = 0,
        host: str | None = None,
        id: str | int | None = None,
        **params: Any,
    ) -> None:
        if kind not in KINDS:
            raise ValueError(f"There is no fault {kind!r}; the faults are {', '.join(sorted(KINDS))}.")
        if match is None and kind == "missing_race":
            match = "race_result"
        if isinstance(match, str) and match not in PAGE_TYPES:
            raise ValueError(f"There is no page type {match!r}; the page types are {', '.join(PAGE_TYPES)}.")
        spoil, defaults = KINDS[kind]
        if unknown := sorted(set(params) - set(defaults)):
            known = ", ".join(["times", "after", "host", "id", *defaults])
            raise ValueError(f"The fault {kind!r} has no parameter {unknown[0]!r}; it has {known}.")
        self.kind = kind
        self.match = match
        self.times = times
        self.after = after
        self.host = host
        self.id = None if id is None else str(id)
        self.params: Params = {**defaults, **params}
        self._spoil: Spoil = spoil

    @classmethod
    def parse(cls, text: str) -> Fault:
        """Read `KIND[:PAGE_TYPE][:NAME=VALUE]…`, e.g. `503:event:retry_after=30:times=2`. Raises ValueError."""
        kind, *rest = text.split(":")
        match: str | None = None
        named: list[str] = []
        for number, part in enumerate(rest):
            if re.match(r"\w+=", part):
                named.append(part)
            elif named:
                named[-1] += ":" + part  # a colon inside a value, as in to=https://example.org/
            elif number == 0:
                match = part or None
            else:
                raise ValueError(f"In the fault {text!r}, {part!r} is not of the form NAME=VALUE.")
        return cls(kind, match, **cls._typed(kind, dict(part.split("=", 1) for part in named)))

    @staticmethod
    def _typed(kind: str, named: dict[str, str]) -> dict[str, Any]:
        defaults = {"times": 0, "after": 0, **(KINDS[kind][1] if kind in KINDS else {})}
        typed: dict[str, Any] = {}
        for name, value in named.items():
            if name in ("shell", "change"):
                raise ValueError(f"The parameter {name!r} of the fault {kind!r} can be given in Python only.")
            kind_of_value = type(defaults.get(name, ""))
            try:
                typed[name] = kind_of_value(value) if kind_of_value in (int, float) else value
            except ValueError:
                message = f"The parameter {name!r} of the fault {kind!r} needs a number, not {value!r}."
                raise ValueError(message) from None
        return typed

    def hits(self, host: str, target: str) -> bool:
        """Whether the rule is about this request, whatever its counts say."""
        if self.host is not None and self.host not in (host, host.partition(".")[0]):
            return False
        if self.id is not None and parse_qs(urlsplit(target).query).get("id", [None])[0] != self.id:
            return False
        if self.match is None:
            return page_type_of(host, target) != "robots"
        if callable(self.match):
            return self.match(host, target)
        return page_type_of(host, target) == self.match

    def spoil(self, delivery: Delivery) -> None:
        self._spoil(delivery, self.params)

    def __repr__(self) -> str:
        return f"Fault({self.kind!r}, {self.match!r}, times={self.times}, after={self.after}, {self.params})"


class _Active(Struct):
    fault: Fault
    seen: int = 0


class FaultSet:
    """The rules in force. Thread-safe; rules apply in the order they were added."""

    def __init__(self, faults: tuple[Fault, ...] | list[Fault] = ()) -> None:
        self._lock = threading.Lock()
        self._active = [_Active(fault) for fault in faults]

    def add(self, fault: Fault | str) -> Fault:
        """Put a rule in force; the returned one is the handle for `remove`."""
        fault = Fault.parse(fault) if isinstance(fault, str) else fault
        with self._lock:
            self._active.append(_Active(fault))
        return fault

    def remove(self, fault: Fault) -> None:
        with self._lock:
            self._active = [active for active in self._active if active.fault is not fault]

    def clear(self) -> None:
        with self._lock:
            self._active = []

    def __iter__(self) -> Iterator[Fault]:
        with self._lock:
            return iter([active.fault for active in self._active])

    def spoil(self, delivery: Delivery) -> None:
        """Let every rule whose turn it is change the delivery."""
        with self._lock:
            due = [active.fault for active in self._active if _is_due(active, delivery)]
        for fault in due:
            fault.spoil(delivery)


def _is_due(active: _Active, delivery: Delivery) -> bool:
    fault = active.fault
    if not fault.hits(delivery.host, delivery.target):
        return False
    active.seen += 1
    return active.seen > fault.after and (fault.times is None or active.seen <= fault.after + fault.times)


# ---------------------------------------------------------------- what the kinds do


def _page(title: str, text: str) -> bytes:
    return (
        f"<html>\n<head><title>{title}</title></head>\n<body>\n<center><h1>{title}</h1></center>\n"
        f"<p>{text}</p>\n<hr><center>simulator</center>\n</body>\n</html>\n"
    ).encode()


def _replace_page(delivery: Delivery, status: int, body: bytes) -> None:
    delivery.status = status
    delivery.body = body
    delivery.headers = {"Content-Type": "text/html; charset=UTF-8"}


def _status(status: int) -> Spoil:
    def spoil(delivery: Delivery, params: Params) -> None:
        _replace_page(delivery, status, _page(f"{status} {HTTPStatus(status).phrase}", "The request was not served."))
        retry_after = params.get("retry_after", -1.0)
        if retry_after >= 0:
            as_date = params["form"] == "date"
            delivery.headers["Retry-After"] = (
                formatdate(time.time() + retry_after, usegmt=True) if as_date else f"{retry_after:.0f}"
            )

    return spoil


def _slow(delivery: Delivery, params: Params) -> None:
    delivery.delay_s = params["seconds"]


def _drip(delivery: Delivery, params: Params) -> None:
    delivery.drip_s = params["every_ms"] / 1000
    delivery.drip_part = params["part"]


def _reset(delivery: Delivery, params: Params) -> None:
    delivery.ending = "reset"
    delivery.at = params["at"]


def _cut(delivery: Delivery, params: Params) -> None:
    """`how`: length (fewer bytes than Content-Length says), close (silently short, end told by closing), chunked
    (no last chunk), gzip (a gzip body that stops early, with the Content-Length of what is sent)."""
    how = params["how"]
    delivery.at = params["at"]
    if how == "gzip":
        packed = gzip.compress(delivery.body, 1, mtime=0)
        delivery.body = packed[: int(len(packed) * delivery.at)]
        delivery.headers = {**delivery.headers, "Content-Encoding": "gzip"}
        return
    if how == "close":
        delivery.compress = False  # so that nothing but the missing </html> can tell
    delivery.framing = how
    delivery.ending = "cut"


def _error_page(delivery: Delivery, _params: Params) -> None:
    _replace_page(delivery, 200, _page("502 Bad Gateway", "The proxy server received an invalid response."))


def _empty_shell(delivery: Delivery, params: Params) -> None:
    """The frame of a page without its content, as LiveRC shows it for some unknown ids; the site knows how it looks."""
    shell = params["shell"] or delivery.empty_shell
    if shell is None:
        raise ValueError("This site has no empty shell to show; give the fault a callable as `shell`.")
    _replace_page(delivery, 200, shell(delivery.host, delivery.target))


def _redirect(delivery: Delivery, params: Params) -> None:
    _replace_page(delivery, int(params["status"]), _page("302 Found", "The page has moved."))
    delivery.headers["Location"] = params["to"]


def _redirect_loop(delivery: Delivery, _params: Params) -> None:
    _replace_page(delivery, 302, _page("302 Found", "The page has moved."))
    delivery.headers["Location"] = delivery.target


def _changed_markup(delivery: Delivery, params: Params) -> None:
    change: Callable[[bytes], bytes] | None = params["change"]
    find, replace = params["find"].encode(), params["replace"].encode()
    delivery.body = change(delivery.body) if change else delivery.body.replace(find, replace)


def _huge(delivery: Delivery, params: Params) -> None:
    delivery.body = delivery.body.replace(b"</body>", b"\n" * int(params["bytes"]) + b"</body>")
    delivery.compress = False


def _bomb(delivery: Delivery, params: Params) -> None:
    delivery.body = gzip.compress(bytes(int(params["bytes"])), 9, mtime=0)
    delivery.headers = {**delivery.headers, "Content-Encoding": "gzip"}


def _content_type(delivery: Delivery, params: Params) -> None:
    delivery.headers = {**delivery.headers, "Content-Type": params["type"]}


def _binary(delivery: Delivery, params: Params) -> None:
    delivery.body = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 64
    delivery.headers = {**delivery.headers, "Content-Type": params["type"]}


_RETRY = {"retry_after": -1.0, "form": "seconds"}

KINDS: dict[str, tuple[Spoil, Params]] = {
    "slow": (_slow, {"seconds": 5.0}),
    "drip": (_drip, {"every_ms": 250.0, "part": "body"}),
    "404": (_status(404), {}),
    "missing_race": (_status(404), {}),
    "500": (_status(500), {}),
    "503": (_status(503), _RETRY),
    "429": (_status(429), _RETRY),
    "reset": (_reset, {"at": 0.5}),
    "cut": (_cut, {"how": "length", "at": 0.5}),
    "error_page": (_error_page, {}),
    "empty_shell": (_empty_shell, {"shell": None}),
    "redirect": (_redirect, {"to": "https://example.org/", "status": 302}),
    "redirect_loop": (_redirect_loop, {}),
    "changed_markup": (_changed_markup, {"change": None, "find": 'class="', "replace": 'class="v2-'}),
    "huge": (_huge, {"bytes": 64 * 1024 * 1024}),
    "bomb": (_bomb, {"bytes": 64 * 1024 * 1024}),
    "content_type": (_content_type, {"type": "application/octet-stream"}),
    "binary": (_binary, {"type": "image/png"}),
}
