"""What an answer that is no page means: a refusal, a request for silence, or a way on to another address. Pure."""

from __future__ import annotations

import email.utils
from collections.abc import Mapping
from urllib.parse import quote, urljoin, urlsplit

from pipeline.errors import FetchError, Kind, StateError
from pipeline.liverc.errand import Clock
from pipeline.liverc.urls import DOMAIN, is_liverc_host, parse_url

REDIRECTS = (301, 302, 303, 307, 308)
RETRY_AFTER_MAX_S = 30 * 24 * 3600.0  # what a header says beyond this is taken as this


def refused(status: int, headers: Mapping[str, str], clock: Clock) -> FetchError:
    """The error for a status that is neither a page nor a redirect."""
    if status in (404, 410):
        return FetchError(Kind.NOT_FOUND, f"The site says that there is no such page (HTTP {status}).", status=status)
    retry_after_s = retry_after(headers, clock) if status in (429, 503) else None
    hint = "" if retry_after_s is None else f", and asks for {retry_after_s:.0f} s of silence"
    if status == 429:
        message = f"The site says that it is asked too often (HTTP 429){hint}."
        return FetchError(Kind.RATE_LIMITED, message, status=status, retry_after_s=retry_after_s)
    if status >= 500:
        message = f"The site has a fault of its own (HTTP {status}){hint}."
        return FetchError(Kind.SERVER_ERROR, message, status=status, retry_after_s=retry_after_s)
    return FetchError(Kind.HTTP_STATUS, f"The site did not send the page (HTTP {status}).", status=status)


def retry_after(headers: Mapping[str, str], clock: Clock) -> float | None:
    """Seconds that a Retry-After header asks for, in either form; None without one that can be read.

    A date is taken relative to the answer's own Date header, where there is one: the two clocks may disagree.
    """
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdecimal():
        return min(float(text), RETRY_AFTER_MAX_S)
    until = _moment(text)
    if until is None:
        return None
    now = _moment(headers.get("date", ""))
    return min(max(until - (clock.wall() if now is None else now), 0.0), RETRY_AFTER_MAX_S)


def _moment(http_date: str) -> float | None:
    try:
        return email.utils.parsedate_to_datetime(http_date).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None


def own_address(url: str) -> str | None:
    """`url` with https, lower-case host and no fragment, if it is one of LiveRC's on a usual port; else None."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    usable = url.isascii() and url.isprintable() and not set(' \\"<>') & set(url) and "@" not in parts.netloc
    host = parts.hostname or ""
    if not usable or parts.scheme not in ("http", "https") or port not in (None, 80, 443) or not is_liverc_host(host):
        return None
    return parts._replace(scheme="https", netloc=host, path=parts.path or "/", fragment="").geturl()


def redirected(place: str, location: str, status: int) -> str:
    """Where a redirect leads, if that is within the site; else raises REDIRECT_REFUSED."""
    try:
        target = own_address(quote(urljoin(place, location), safe="%/:=&?~#+!$,;'@()*[]"))
    except ValueError:
        target = None
    if target is None:
        message = f"The site redirected the request to {location[:200]!r}, which is not a page of {DOMAIN}."
        raise FetchError(Kind.REDIRECT_REFUSED, message, status=status, location=location[:200])
    return target


def require_same_id(url: str, place: str) -> None:
    """Raise REDIRECT_REFUSED where a redirect changed the id: pages do not name theirs, so nobody would notice."""
    try:
        asked, got = parse_url(url), parse_url(place)
    except StateError:
        return
    if asked.page_type is got.page_type and asked.id != got.id:
        message = f"The site redirected the request to a page with another id, {place[:200]}."
        raise FetchError(Kind.REDIRECT_REFUSED, message, location=place[:200])
