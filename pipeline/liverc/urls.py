"""The addresses of LiveRC's pages: built here, parsed here, and nowhere matched by substring.

No page below the catalogue holds its own slug or id, so the URL is where both come from. A `PageRef` is a URL that was
understood: which page type, of which track, with which id; its `url` is the one canonical spelling of it.
"""

from __future__ import annotations

import ipaddress
import re
from enum import StrEnum
from urllib.parse import parse_qsl, unquote, urljoin

from msgspec import Struct

from pipeline.errors import Kind, StateError

DOMAIN = "liverc.com"
CATALOGUE_HOST = f"live.{DOMAIN}"

ACCEPTED = (
    f"accepted are https://{CATALOGUE_HOST}/ and, at https://SLUG.{DOMAIN}, the pages / and /events/ and "
    "/results/?p=view_event&id=N (view_race_result, view_entry_list and the other result and practice pages alike)"
)
ACCEPTED_EVENTS = (
    f"accepted are an event's URL (https://SLUG.{DOMAIN}/results/?p=view_event&id=N), SLUG/ID, "
    "or the bare id of a known event"
)


class PageType(StrEnum):
    """Every kind of page that LiveRC is known to link."""

    TRACK_CATALOGUE = "track_catalogue"
    TRACK_DASHBOARD = "track_dashboard"
    EVENTS_LISTING = "events_listing"
    EVENT = "event"
    RACE_RESULT = "race_result"
    ENTRY_LIST = "entry_list"
    # known, not read
    HEAT_SHEET = "heat_sheet"
    ROUND_RANKING = "round_ranking"
    POINTS = "points"
    OVERALL_RANKING = "overall_ranking"
    MULTI_MAIN_RESULT = "multi_main_result"
    PRACTICE_DAY = "practice_day"
    PRACTICE_MONTH = "practice_month"
    PRACTICE_SESSION = "practice_session"


class PageRef(Struct, frozen=True):
    """One page of LiveRC. `url` is canonical: two spellings of one address give equal refs."""

    page_type: PageType
    slug: str | None  # None for the catalogue; capitals as written
    id: (
        str | None
    )  # digits; of a practice day or month the date; None where the type has none, or for `id=?` (not known)
    url: str


_SLUG = re.compile(r"[A-Za-z0-9]{1,63}")
_ID = re.compile(r"[1-9][0-9]{0,17}")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_MONTH = re.compile(r"[0-9]{4}-[0-9]{2}")
_AMPERSAND = re.compile(r"&(?:amp|#38|#x26);", re.IGNORECASE)
_ADDRESS = re.compile(r"(?:(?:https?:)?//)?([^/?#]*)([^?#]*)(?:\?([^#]*))?(?:#.*)?", re.IGNORECASE | re.DOTALL)
_HOST = re.compile(r"(?:([A-Za-z0-9]+)\.)?liverc\.com\.?(?::(?:80|443))?", re.IGNORECASE)
_UNPRINTABLE = re.compile(r"[\x00-\x20\x7f\\]")
_EVENT_PAIR = re.compile(r"([A-Za-z0-9]{1,63})/([0-9]+)")
UNKNOWN_ID = "?"  # `id=?` in a URL: a saved page whose id nobody knows any more

# value of `p` → page type, parameter that identifies the page, what that looks like
_PAGES: dict[str, dict[str, tuple[PageType, str, re.Pattern[str]]]] = {
    "results": {
        "view_event": (PageType.EVENT, "id", _ID),
        "view_race_result": (PageType.RACE_RESULT, "id", _ID),
        "view_entry_list": (PageType.ENTRY_LIST, "id", _ID),
        "view_heat_sheet": (PageType.HEAT_SHEET, "id", _ID),
        "view_round_ranking": (PageType.ROUND_RANKING, "id", _ID),
        "view_points": (PageType.POINTS, "id", _ID),
        "event_overall_ranking": (PageType.OVERALL_RANKING, "id", _ID),
        "view_multi_main_result": (PageType.MULTI_MAIN_RESULT, "id", _ID),
    },
    "practice": {
        "session_list": (PageType.PRACTICE_DAY, "d", _DAY),
        "calendar": (PageType.PRACTICE_MONTH, "d", _MONTH),
        "view_session": (PageType.PRACTICE_SESSION, "id", _ID),
    },
}


# ---------------------------------------------------------------- building


def check_slug(slug: str) -> str:
    """The slug, if it is one (letters and digits; capitals occur); else `StateError(USAGE)`."""
    if not _SLUG.fullmatch(slug):
        raise _usage(f"{_short(slug)} is not a track's name at LiveRC: letters and digits only", slug)
    return slug


def check_id(page_id: str) -> str:
    """The id, if it is one (digits, no leading zero); else `StateError(USAGE)`."""
    if not _ID.fullmatch(page_id):
        raise _usage(f"{_short(page_id)} is not an id of LiveRC: digits only", page_id)
    return page_id


def catalogue_url() -> str:
    return f"https://{CATALOGUE_HOST}/"


def dashboard_url(slug: str) -> str:
    return f"https://{check_slug(slug)}.{DOMAIN}/"


def events_url(slug: str) -> str:
    return f"https://{check_slug(slug)}.{DOMAIN}/events/"


def event_url(slug: str, event_id: str) -> str:
    return _results_url(slug, "view_event", event_id)


def race_url(slug: str, race_id: str) -> str:
    return _results_url(slug, "view_race_result", race_id)


def entry_list_url(slug: str, event_id: str) -> str:
    """An entry list has its event's id."""
    return _results_url(slug, "view_entry_list", event_id)


def _results_url(slug: str, page: str, page_id: str) -> str:
    return f"https://{check_slug(slug)}.{DOMAIN}/results/?p={page}&id={check_id(page_id)}"


# ---------------------------------------------------------------- parsing


def parse_url(url: str) -> PageRef:
    """Understand a LiveRC URL: with or without scheme, any order of parameters, percent- or HTML-encoded.

    Raises `StateError(USAGE)` that names what is accepted: for another host, an unknown page, a missing or odd id.
    `id=?` stands for an id that is not known (a saved page): the ref's id is None.
    """
    text = _AMPERSAND.sub("&", url.strip())
    match = _ADDRESS.fullmatch(text)
    if not match or _UNPRINTABLE.search(text):
        raise _usage(f"{_short(url)} is not a URL; {ACCEPTED}", url)
    authority, path, query = match.groups()
    host = _HOST.fullmatch(authority)
    if not host or not host[1]:
        raise _usage(f"{_short(url)} is not a page of a LiveRC track; {ACCEPTED}", url)
    slug: str = host[1]
    room = unquote(path).strip("/").lower()
    if slug.lower() == "live":
        if room:
            raise _usage(f"{_short(url)} is not the track catalogue; {ACCEPTED}", url)
        return PageRef(PageType.TRACK_CATALOGUE, None, None, catalogue_url())
    if slug.lower() == "www":
        raise _usage(f"{_short(url)} is LiveRC's news site, not a track; {ACCEPTED}", url)
    if room == "":
        return PageRef(PageType.TRACK_DASHBOARD, slug, None, dashboard_url(slug))
    if room == "events":
        return PageRef(PageType.EVENTS_LISTING, slug, None, events_url(slug))
    return _parse_query(url, slug, room, query or "")


def _parse_query(url: str, slug: str, room: str, query: str) -> PageRef:
    """The pages that are told apart by their query: results and practice."""
    pages = _PAGES.get(room)
    if pages is None:
        raise _usage(f"{_short(url)} is a LiveRC address, but not of a page that is known; {ACCEPTED}", url)
    parameters = _parameters(url, query)
    page = parameters.get("p", "")
    if page not in pages:
        raise _usage(f"{_short(url)} does not say which page it is (p=…); {ACCEPTED}", url)
    page_type, key, shape = pages[page]
    value = parameters.get(key, "")
    known = value != UNKNOWN_ID
    if known and not shape.fullmatch(value):
        raise _usage(f"{_short(url)} has no usable {key}=…; {ACCEPTED}", url)
    canonical = f"https://{slug}.{DOMAIN}/{room}/?p={page}&{key}={value}"
    if page_type is PageType.ROUND_RANKING and re.fullmatch(r"\w+", order := parameters.get("o", "")):
        canonical += f"&o={order}"
    return PageRef(page_type, slug, value if known else None, canonical)


def _parameters(url: str, query: str) -> dict[str, str]:
    pairs = parse_qsl(query, keep_blank_values=True)
    if not any(name == "p" for name, _ in pairs):
        pairs = parse_qsl(unquote(query), keep_blank_values=True)  # `p%3Dview_event%26id%3D1`: encoded as a whole
    parameters: dict[str, str] = {}
    for name, value in pairs:
        if parameters.setdefault(name, value) != value:
            raise _usage(f"{_short(url)} names {_short(name)} twice; {ACCEPTED}", url)
    return parameters


def parse_event_ref(text: str) -> tuple[str | None, str]:
    """EVENT as people write it → (slug, event id); the slug is None for a bare id. Raises `StateError(USAGE)`."""
    text = text.strip()
    if _ID.fullmatch(text):
        return None, text
    pair = _EVENT_PAIR.fullmatch(text)
    if pair:
        return check_slug(pair[1]), check_id(pair[2])
    if "/" not in text and "." not in text:
        raise _usage(f"{_short(text)} does not name an event; {ACCEPTED_EVENTS}", text)
    ref = parse_url(text)
    if ref.page_type is not PageType.EVENT or ref.id is None:
        hint = ""
        if ref.page_type in (PageType.ENTRY_LIST, PageType.OVERALL_RANKING) and ref.id:
            hint = f" (its event is {ref.slug}/{ref.id})"
        raise _usage(f"{_short(text)} is not an event's page but: {ref.page_type}{hint}; {ACCEPTED_EVENTS}", text)
    return ref.slug, ref.id


def resolve_href(href: str, page: PageRef) -> PageRef | None:
    """What a link on a page leads to; None for a place on the page and for what is no known page with a known id."""
    href = href.strip()
    if href.startswith("#"):
        return None
    try:
        ref = parse_url(urljoin(page.url, href))
    except (StateError, ValueError):  # urljoin: ValueError for a malformed address
        return None
    return None if ref.url.endswith(f"={UNKNOWN_ID}") else ref


# ---------------------------------------------------------------- hosts


def is_liverc_host(host: str) -> bool:
    """Is the host (without port) liverc.com or below it?"""
    name = host.lower().removesuffix(".")
    return name == DOMAIN or name.endswith(f".{DOMAIN}")


def registrable_domain(host: str) -> str:
    """The domain that one owner registered: what politeness is counted by.

    The last two labels, which is right for every host this program talks to; an IP address or a single label is itself.
    """
    name = host.lower().removesuffix(".")
    try:
        return str(ipaddress.ip_address(name.strip("[]")))
    except ValueError:
        return ".".join(name.split(".")[-2:])


def _short(text: str) -> str:
    return repr(text if len(text) <= 120 else text[:119] + "…")


def _usage(message: str, value: str) -> StateError:
    return StateError(Kind.USAGE, message, value=value[:200])
