"""Fetches LiveRC pages over HTTP: politely, whole or not at all, and never longer than allowed.

Every way in which a fetch can fail ends here in one `FetchError` with a kind, a plain sentence and the page's URL;
httpx and its relatives are not seen outside. One `Client` serves all worker threads of a process.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Mapping
from threading import Event
from types import TracebackType
from urllib.parse import urlsplit

import httpcore
import httpx
import stamina
import stamina.instrumentation
from msgspec import Struct

from pipeline.errors import FetchError, Kind, PipelineError, StateError
from pipeline.liverc.answers import REDIRECTS, own_address, redirected, refused, require_same_id
from pipeline.liverc.body import read_body, require_html, too_large
from pipeline.liverc.errand import Clock, Errand
from pipeline.liverc.page import Page, PageAddress, Resource
from pipeline.liverc.politeness import MemoryState, RobotsCopy, SharedState, Turnstile
from pipeline.liverc.robots import AGENT, Robots
from pipeline.liverc.transport import Limit, LimitedTransport, Limits, OutOfTimeError, StoppedError
from pipeline.liverc.urls import DOMAIN, parse_url

# Where structlog is installed, stamina reports each retry through it, by default on standard output, where `mre` puts
# its data. Retries are told through `Client.on_retry` instead.
stamina.instrumentation.set_on_retry_hooks(())

MAX_REDIRECTS = 5
BACKOFF_S = 0.5  # before the first retry, plus as much again at random; doubled each time
BACKOFF_MAX_S = 30.0
_DRAIN_AT_MOST = 64 * 1024  # bytes of an unwanted body that are read to keep the connection
_KEPT = ("date", "server", "etag", "last-modified", "content-type", "cache-control", "age")

# A timeout is not retried: it has cost the full deadline, and a site that slow is not helped by asking again at once.
_RETRIED = (Kind.UNREACHABLE, Kind.CONNECTION_LOST, Kind.TRUNCATED, Kind.SERVER_ERROR, Kind.RATE_LIMITED)

# Failures of the connection, as against answers that cannot be used.
_CONNECTION = (Kind.UNREACHABLE, Kind.CONNECTION_LOST, Kind.TIMEOUT, Kind.TRUNCATED)
_FAILURES = (
    StoppedError,
    OutOfTimeError,
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.TimeoutException,
)


class ClientSettings(Struct, frozen=True, kw_only=True):
    """How to fetch."""

    version: str  # of this program, for the User-Agent
    contact: str | None = None  # e-mail address or URL, for the User-Agent; required for the real site
    stand_in: str | None = None  # "http://host:port": gets every request to *.liverc.com, with the original Host header
    crawl_delay_s: float = 1.0  # between two requests to the domain; robots.txt may ask for more
    request_deadline_s: float = 30.0  # of one request: connecting, sending, and the answer to its last byte
    connect_timeout_s: float = 10.0  # the part of it that connecting may take
    byte_cap: int = 32 * 1024 * 1024  # decoded bytes of one page
    attempts: int = 4  # requests for one page at most, redirects not counted


class _Answer(Struct, frozen=True):
    """What one request brought: a body, or the place to go on to."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    sent: bytes  # the body as it came over the wire; the same object where it was not compressed
    duration_s: float
    location: str | None


class Client:
    """Fetches pages of LiveRC. Thread-safe; close it when done.

    `state` is what all fetchers of the site share (None: this process only); `on_retry` is told each failed attempt
    that will be repeated, and the seconds until then, in the fetching thread.
    """

    def __init__(
        self,
        settings: ClientSettings,
        state: SharedState | None = None,
        *,
        on_retry: Callable[[PipelineError, float], None] | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._settings = settings
        self._clock = clock or Clock()
        self._on_retry = on_retry
        self._stand_in = _stand_in(settings.stand_in) if settings.stand_in else None
        # A stand-in's pauses and robots.txt must never be taken for the real site's.
        self._via = f"@{self._stand_in.netloc.decode()}" if self._stand_in else ""
        state = state or MemoryState(self._clock)
        self._turnstile = Turnstile(state, DOMAIN + self._via, self._clock)
        self._robots = Robots(state, self._clock, lambda host: host + self._via, self._fetch_robots)
        self._limits = Limits()
        needs_tls = self._stand_in is None or self._stand_in.scheme == "https"
        # The transport is used without an httpx.Client around it: that keeps cookies, and raises errors of its own over
        # redirects it was told not to follow.
        self._transport = LimitedTransport(
            self._limits, settings.connect_timeout_s, httpx.create_ssl_context() if needs_tls else None
        )
        self._headers = {
            "User-Agent": user_agent(settings.version, settings.contact),
            "Accept": "text/html,application/xhtml+xml;q=0.9,*/*;q=0.1",
            "Accept-Encoding": "gzip",
        }

    def close(self) -> None:
        """Close idle connections. Fetches under way in other threads fail; stop them first."""
        self._transport.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def fetch(
        self,
        page: PageAddress | str,
        page_type: str | None = None,
        *,
        stop: Event | None = None,
        deadline: float | None = None,
        admit: Callable[[], None] | None = None,
    ) -> Page:
        """Fetch one page, whole.

        `page` is a `PageRef` or a URL of a known page; `page_type` is the ref's own where not given. `stop` ends the
        fetch within half a second wherever it is; `deadline` is the run's, in monotonic seconds, waits included (None:
        in 30 minutes); `admit` is asked before every request and raises where none may be sent.
        Raises FetchError with one of the fetch stage's kinds, or PAGE_UNRECOGNISED for what is not HTML; StateError
        INTERRUPTED, CONTACT_MISSING (the real site, and nobody to write to), USAGE (no LiveRC address); StoreError from
        the shared state. Details: url, page_type, attempts, elapsed_s, and status, retry_after_s or location if known.
        """
        if isinstance(page, str):
            page = parse_url(page)
        page_type = page_type or str(page.page_type)
        errand = Errand(page.url, page_type, self._clock, stop=stop, deadline=deadline, admit=admit)
        try:
            self.require_contact()
            return self._follow(errand)
        except PipelineError as error:
            errand.describe(error)
            raise

    def errand(
        self,
        url: str,
        page_type: str,
        *,
        stop: Event | None = None,
        deadline: float | None = None,
        admit: Callable[[], None] | None = None,
    ) -> Errand:
        """What a fetch of that page may spend, for whoever fetches its parts one by one with `resource`."""
        return Errand(url, page_type, self._clock, stop=stop, deadline=deadline, admit=admit)

    def resource(self, url: str, errand: Errand) -> Resource:
        """Anything of the site that a page needs, as polite as a page; follows redirects within the site.

        Raises FetchError, StateError INTERRUPTED, and what `admit` raises.
        """
        place = own_address(url)
        if place is None:
            raise errand.error(Kind.REDIRECT_REFUSED, f"{url[:200]!r} is not a page of {DOMAIN}.")
        for _ in range(MAX_REDIRECTS + 1):
            rules = self._robots.require(urlsplit(place).netloc, place, errand)
            delay_s = max(self._settings.crawl_delay_s, rules.crawl_delay_s)
            answer = self._persist(place, errand, delay_s, html=False)
            if answer.location is None:
                kind = answer.headers.get("content-type", "application/octet-stream")
                return Resource(answer.status, kind, answer.body, place)
            place = redirected(place, answer.location, answer.status)
        raise errand.error(Kind.REDIRECT_REFUSED, f"The site redirected the request more than {MAX_REDIRECTS} times.")

    # ---------------------------------------------------------------- from the first URL to the page

    def require_contact(self) -> None:
        """Refuse work that would end at the first fetch. Raises StateError CONTACT_MISSING for the real site."""
        if self._stand_in is None and not self._settings.contact:
            raise StateError(Kind.CONTACT_MISSING, "LiveRC is not asked for pages without a contact to write to.")

    def _follow(self, errand: Errand) -> Page:
        first = own_address(errand.url)
        if first is None:
            raise StateError(Kind.USAGE, f"Only pages of {DOMAIN} are fetched, and this is not one.")
        place = first
        for _ in range(MAX_REDIRECTS + 1):
            rules = self._robots.require(urlsplit(place).netloc, place, errand)
            delay_s = max(self._settings.crawl_delay_s, rules.crawl_delay_s)
            answer = self._persist(place, errand, delay_s, html=True)
            if answer.location is None:
                return self._page(answer, errand, "" if place == first else place)
            place = redirected(place, answer.location, answer.status)
            require_same_id(first, place)
        raise FetchError(Kind.REDIRECT_REFUSED, f"The site redirected the request more than {MAX_REDIRECTS} times.")

    def _page(self, answer: _Answer, errand: Errand, final_url: str) -> Page:
        return Page(
            url=errand.url,
            page_type=errand.page_type,
            body=answer.body,
            status=answer.status,
            fetched_at_ms=round(self._clock.wall() * 1000),
            attempts=errand.attempts,
            wire_bytes=len(answer.sent),
            gzipped=None if answer.sent is answer.body else answer.sent,
            duration_ms=round(answer.duration_s * 1000),
            headers_kept={name: answer.headers[name] for name in _KEPT if name in answer.headers},
            final_url=final_url,
        )

    def _fetch_robots(self, host: str, errand: Errand) -> RobotsCopy:
        """The host's robots.txt, for `Robots`.

        A connection that fails is told as what it is; an answer that cannot be used, as ROBOTS_UNAVAILABLE.
        """
        place = f"https://{host}/robots.txt"
        errand = errand.branch()
        try:
            for _ in range(MAX_REDIRECTS + 1):
                answer = self._persist(place, errand, self._settings.crawl_delay_s, html=False)
                if answer.location is None:
                    # PostgreSQL text holds no NUL
                    return RobotsCopy(answer.status, answer.body.decode("utf-8-sig", "replace").replace("\0", ""))
                place = redirected(place, answer.location, answer.status)
        except FetchError as error:
            status = error.details.get("status", 0)
            if error.kind in (Kind.NOT_FOUND, Kind.HTTP_STATUS) and (200 <= status < 300 or 400 <= status < 500):
                return RobotsCopy(status, "")
            error.with_details(robots_url=place)
            if error.kind in _CONNECTION or not status:  # no status: it was not even asked, for lack of time
                raise
            message = f"The robots.txt of {host} cannot be read, so nothing may be fetched there: {error.message}"
            raise FetchError(Kind.ROBOTS_UNAVAILABLE, message, cause=str(error.kind), **error.details) from error
        message = f"The robots.txt of {host} is redirected without end."
        raise FetchError(Kind.ROBOTS_UNAVAILABLE, message, robots_url=place)

    # ---------------------------------------------------------------- one place, several attempts

    def _persist(self, place: str, errand: Errand, delay_s: float, *, html: bool) -> _Answer:
        """Request a place until it answers, an attempt cannot help, or there are no attempts or time left."""
        backoff_s = pause_s = 0.0

        def again(error: Exception) -> bool | float:
            nonlocal pause_s
            if not isinstance(error, FetchError) or error.kind not in _RETRIED:
                return False
            asked_s: float = error.details.get("retry_after_s", 0.0)
            pause_s = max(asked_s, backoff_s + random.uniform(0, backoff_s))  # noqa: S311  jitter, not a secret
            if error.kind is Kind.RATE_LIMITED or asked_s:
                self._turnstile.pause(pause_s)  # also after the last attempt: others ask the same site
            return 0.0 if pause_s < errand.left() else False  # the wait itself is ours: a stop must end it

        attempts = stamina.retry_context(
            on=again,
            attempts=self._settings.attempts,
            timeout=None,
            wait_initial=BACKOFF_S,
            wait_max=BACKOFF_MAX_S,
            wait_jitter=0,
        )
        failure: PipelineError | None = None
        for attempt in attempts:
            with attempt:
                if failure is not None:
                    if self._on_retry is not None:
                        self._on_retry(failure, pause_s)
                    errand.wait(pause_s, "the next attempt")
                backoff_s = attempt.next_wait
                self._turnstile.pass_through(errand, delay_s)
                try:
                    return self._request(place, errand, html=html)
                except FetchError as error:
                    failure = error
                    raise
        raise AssertionError("stamina ends with an answer or an error")

    # ---------------------------------------------------------------- one request

    def _request(self, place: str, errand: Errand, *, html: bool) -> _Answer:
        if errand.admit is not None:
            errand.admit()
        started = self._clock.now()
        deadline = min(started + self._settings.request_deadline_s, errand.deadline)
        limit = Limit(self._clock.now, deadline, errand.stop)
        request = self._build(place)
        errand.attempts += 1
        response: httpx.Response | None = None
        try:
            with self._limits.applied(limit):
                response = self._transport.handle_request(request)
                try:
                    body, sent = self._take(response, html=html)
                finally:
                    response.close()
        except _FAILURES as error:
            told = self._told(error, errand, started, in_body=response is not None)
            raise told.with_details(status=_status(response)) from error
        except FetchError as error:
            error.with_details(status=_status(response))
            raise
        location = response.headers.get("location") if response.status_code in REDIRECTS else None
        return _Answer(response.status_code, response.headers, body, sent, self._clock.now() - started, location)

    def _told(self, error: Exception, errand: Errand, started: float, *, in_body: bool) -> PipelineError:
        """A failure of the connection, in the pipeline's words."""
        match error:
            case StoppedError():
                return errand.interrupted()
            case OutOfTimeError():
                why = ", when the run's time was over" if errand.left() <= 0 else ""
                seconds = self._clock.now() - started
                return errand.error(Kind.TIMEOUT, f"The page was not complete after {seconds:.1f} s{why}.")
            case httpcore.ConnectError() | httpcore.ConnectTimeout():
                server = f"the stand-in {self._settings.stand_in}" if self._stand_in else "the site"
                return errand.error(Kind.UNREACHABLE, f"No connection to {server}: {_reason(error)}.")
            case httpcore.RemoteProtocolError() if in_body:
                return errand.error(Kind.TRUNCATED, f"The page arrived incomplete: {_reason(error)}.")
        return errand.error(Kind.CONNECTION_LOST, f"The connection broke before the page was whole: {_reason(error)}.")

    def _build(self, place: str) -> httpx.Request:
        parts = urlsplit(place)
        target = parts._replace(scheme="", netloc="").geturl() or "/"
        base = self._stand_in or httpx.URL(f"https://{parts.netloc}")
        url = base.copy_with(raw_path=target.encode("ascii"))
        return httpx.Request("GET", url, headers={"Host": parts.netloc, **self._headers})

    def _take(self, response: httpx.Response, *, html: bool) -> tuple[bytes, bytes]:
        """The whole body of a good answer (and as sent), nothing of a redirect, an error for anything else."""
        status, headers = response.status_code, response.headers
        if status == 200:
            cap = self._settings.byte_cap
            if int(headers.get("content-length", "0") or "0") > cap:
                raise too_large(cap)
            body, sent = read_body(response.iter_raw(), headers.get("content-encoding", ""), cap)
            if html:
                require_html(body, headers.get("content-type", ""))
            return body, sent
        with contextlib.suppress(httpcore.NetworkError, httpcore.ProtocolError):
            _drain(response)
        if status in REDIRECTS and "location" in headers:
            return b"", b""
        raise refused(status, headers, self._clock)


def _drain(response: httpx.Response) -> None:
    """Read a small unwanted body, so that the connection can be used again."""
    length = response.headers.get("content-length", "")
    if length.isdecimal() and int(length) <= _DRAIN_AT_MOST:
        for _ in response.iter_raw():
            pass


def _status(response: httpx.Response | None) -> int | None:
    return None if response is None else response.status_code


def _reason(error: Exception) -> str:
    return str(error).strip().rstrip(".") or type(error).__name__


def _stand_in(address: str) -> httpx.URL:
    try:
        url = httpx.URL(address)
    except httpx.InvalidURL:
        url = httpx.URL()
    if url.scheme not in ("http", "https") or not url.host:
        raise StateError(Kind.USAGE, "The stand-in for the site must be of the form http://host:port.", value=address)
    return url


def user_agent(version: str, contact: str | None) -> str:
    """Who we are, e.g. `MRE-console/1.0 (+mailto)`. Raises StateError(USAGE) for a contact that no header can carry."""
    if contact and not (contact.isascii() and contact.isprintable()):
        raise StateError(Kind.USAGE, "The contact must be an e-mail address or URL in plain ASCII.", contact=contact)
    return f"{AGENT}/{version} (+{contact})" if contact else f"{AGENT}/{version}"
