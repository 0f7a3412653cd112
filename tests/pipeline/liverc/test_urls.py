"""LiveRC addresses: every spelling of one page is one ref, and nothing else passes."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import Kind, StateError
from pipeline.liverc import urls
from pipeline.liverc.urls import PageRef, PageType, parse_event_ref, parse_url, resolve_href

EVENT = PageRef(PageType.EVENT, "nordhall", "512", "https://nordhall.liverc.com/results/?p=view_event&id=512")

slugs = st.from_regex(r"[A-Za-z0-9]{1,36}", fullmatch=True).filter(lambda slug: slug.lower() not in ("live", "www"))
ids = st.from_regex(r"[1-9][0-9]{0,9}", fullmatch=True)


@pytest.mark.parametrize(
    "spelling",
    [
        "https://nordhall.liverc.com/results/?p=view_event&id=512",
        "http://nordhall.liverc.com/results/?p=view_event&id=512",
        "//nordhall.liverc.com/results/?p=view_event&id=512",
        "nordhall.liverc.com/results/?p=view_event&id=512",
        "  https://nordhall.liverc.com/results/?id=512&p=view_event\n",
        "https://nordhall.LiveRC.com:443/results?p=view_event&id=512#top",
        "HTTPS://nordhall.liverc.com/results/?p=view_event&amp;id=512",
        "https://nordhall.liverc.com/results/?p=view%5Fevent&id=512",
        "https://nordhall.liverc.com/results/?p%3Dview_event%26id%3D512",
        "https://nordhall.liverc.com/results/?p=view_event&#38;id=%35%31%32&utm=x",
        "https://nordhall.liverc.com/results/?copy=1&p=view_event&id=512",
    ],
)
def test_every_spelling_of_an_event_is_one_ref(spelling: str) -> None:
    assert parse_url(spelling) == EVENT


@pytest.mark.parametrize(
    ("url", "page_type", "slug", "page_id"),
    [
        ("https://live.liverc.com/", PageType.TRACK_CATALOGUE, None, None),
        ("live.liverc.com", PageType.TRACK_CATALOGUE, None, None),
        ("//FastHobby.liverc.com/", PageType.TRACK_DASHBOARD, "FastHobby", None),
        ("https://4you.liverc.com/events/", PageType.EVENTS_LISTING, "4you", None),
        ("https://a.liverc.com/results/?p=view_race_result&id=7", PageType.RACE_RESULT, "a", "7"),
        ("https://a.liverc.com/results/?p=view_entry_list&id=7", PageType.ENTRY_LIST, "a", "7"),
        ("https://a.liverc.com/results/?p=view_heat_sheet&id=7", PageType.HEAT_SHEET, "a", "7"),
        ("https://a.liverc.com/results/?p=view_round_ranking&id=7&o=laps_time", PageType.ROUND_RANKING, "a", "7"),
        ("https://a.liverc.com/results/?p=view_points&id=7", PageType.POINTS, "a", "7"),
        ("https://a.liverc.com/results/?p=event_overall_ranking&id=7", PageType.OVERALL_RANKING, "a", "7"),
        ("https://a.liverc.com/results/?p=view_multi_main_result&id=7", PageType.MULTI_MAIN_RESULT, "a", "7"),
        ("https://a.liverc.com/practice/?p=session_list&d=2026-02-07", PageType.PRACTICE_DAY, "a", "2026-02-07"),
        ("https://a.liverc.com/practice/?p=calendar&d=2026-02", PageType.PRACTICE_MONTH, "a", "2026-02"),
        ("https://a.liverc.com/practice/?p=view_session&id=7", PageType.PRACTICE_SESSION, "a", "7"),
        ("https://a.liverc.com/results/?p=view_entry_list&id=?", PageType.ENTRY_LIST, "a", None),
    ],
)
def test_every_page_type_is_told_by_its_url(
    url: str, page_type: PageType, slug: str | None, page_id: str | None
) -> None:
    ref = parse_url(url)
    assert (ref.page_type, ref.slug, ref.id) == (page_type, slug, page_id)
    assert parse_url(ref.url) == ref


@pytest.mark.parametrize(
    "url",
    [
        "",
        "nonsense",
        "https://liverc.com/",
        "https://www.liverc.com/news/",
        "https://evil.example/results/?p=view_event&id=512",
        "https://nordhall.liverc.com.evil.example/results/?p=view_event&id=512",
        "https://nordhallliverc.com/results/?p=view_event&id=512",
        "https://user@nordhall.liverc.com/results/?p=view_event&id=512",
        "https://nordhall.liverc.com@evil.example/results/?p=view_event&id=512",
        "https://nordhall.liverc.com:8443/results/?p=view_event&id=512",
        "https://nord.hall.liverc.com/",
        "https://nord-hall.liverc.com/",
        "ftp://nordhall.liverc.com/",
        "javascript:alert(1)",
        "https://nordhall.liverc.com/results/",
        "https://nordhall.liverc.com/results/?p=view_event",
        "https://nordhall.liverc.com/results/?p=view_event&id=",
        "https://nordhall.liverc.com/results/?p=view_event&id=12a",
        "https://nordhall.liverc.com/results/?p=view_event&id=-1",
        "https://nordhall.liverc.com/results/?p=view_event&id=007",
        "https://nordhall.liverc.com/results/?p=view_event&id=٣",
        "https://nordhall.liverc.com/results/?p=view_event&id=1&id=2",
        "https://nordhall.liverc.com/results/?p=view_events&id=1",
        "https://nordhall.liverc.com/results/?q=view_event&id=1",
        "https://nordhall.liverc.com/practice/?p=session_list&d=07.02.2026",
        "https://nordhall.liverc.com/live/",
        "https://live.liverc.com/events/calendar/",
        "https://nordhall.liverc.com/results/ ?p=view_event&id=1",
        "https:\\\\nordhall.liverc.com\\",
    ],
)
def test_anything_else_is_refused_and_told_what_is_accepted(url: str) -> None:
    with pytest.raises(StateError) as refusal:
        parse_url(url)
    assert refusal.value.kind is Kind.USAGE
    assert "accepted are" in refusal.value.message
    assert "SLUG.liverc.com" in refusal.value.message


@given(slug=slugs, page_id=ids)
def test_what_is_built_is_understood(slug: str, page_id: str) -> None:
    for url, page_type in (
        (urls.event_url(slug, page_id), PageType.EVENT),
        (urls.race_url(slug, page_id), PageType.RACE_RESULT),
        (urls.entry_list_url(slug, page_id), PageType.ENTRY_LIST),
    ):
        assert parse_url(url) == PageRef(page_type, slug, page_id, url)
        encoded = url[: url.index("?") + 1] + quote(url[url.index("?") + 1 :], safe="=&")
        assert parse_url(encoded.replace("&", "&amp;")) == parse_url(url)
    assert parse_url(urls.events_url(slug)).page_type is PageType.EVENTS_LISTING
    assert parse_url(urls.dashboard_url(slug)).slug == slug
    assert parse_url(urls.catalogue_url()).page_type is PageType.TRACK_CATALOGUE


@given(st.text())
def test_any_text_is_understood_or_refused(text: str) -> None:
    try:
        ref = parse_url(text)
    except StateError as refusal:
        assert refusal.kind is Kind.USAGE  # noqa: PT017 - both outcomes are right
    else:
        assert parse_url(ref.url) == ref
    try:
        slug, event_id = parse_event_ref(text)
    except StateError as refusal:
        assert refusal.kind is Kind.USAGE  # noqa: PT017
    else:
        assert slug is None or urls.event_url(slug, event_id)
    resolve_href(text, EVENT)  # never raises


@pytest.mark.parametrize("wrong", ["", "a-b", "a.b", "a b", "ä", "x" * 64])
def test_a_slug_is_letters_and_digits(wrong: str) -> None:
    with pytest.raises(StateError):
        urls.event_url(wrong, "1")


# ---------------------------------------------------------------- the EVENT argument


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("512", (None, "512")),
        (" nordhall/512 ", ("nordhall", "512")),
        ("FastHobby/512", ("FastHobby", "512")),
        (EVENT.url, ("nordhall", "512")),
        ("nordhall.liverc.com/results/?id=512&p=view_event", ("nordhall", "512")),
    ],
)
def test_an_event_is_named_by_url_pair_or_id(text: str, expected: tuple[str | None, str]) -> None:
    assert parse_event_ref(text) == expected


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("winter cup", "does not name an event"),
        ("nordhall", "does not name an event"),
        ("nordhall/winter", "accepted are"),
        ("nordhall/0", "digits only"),
        ("https://nordhall.liverc.com/results/?p=view_race_result&id=7", "not an event's page but: race_result"),
        ("https://nordhall.liverc.com/results/?p=view_entry_list&id=512", "its event is nordhall/512"),
        ("https://nordhall.liverc.com/results/?p=view_event&id=?", "not an event's page"),
        ("https://nordhall.liverc.com/", "not an event's page but: track_dashboard"),
    ],
)
def test_what_names_no_event_is_refused_with_a_hint(text: str, says: str) -> None:
    with pytest.raises(StateError) as refusal:
        parse_event_ref(text)
    assert refusal.value.kind is Kind.USAGE
    assert says in refusal.value.message


# ---------------------------------------------------------------- links on pages


@pytest.mark.parametrize(
    ("href", "expected"),
    [
        ("/results/?p=view_race_result&id=9", (PageType.RACE_RESULT, "nordhall", "9")),
        ("?p=view_race_result&id=9", (PageType.RACE_RESULT, "nordhall", "9")),
        ("/results/?p=view%5Frace%5Fresult&id=9", (PageType.RACE_RESULT, "nordhall", "9")),
        ("/results/?id=9&p=view_race_result", (PageType.RACE_RESULT, "nordhall", "9")),
        ("//FastHobby.liverc.com/", (PageType.TRACK_DASHBOARD, "FastHobby", None)),
        ("http://sor.liverc.com/events/", (PageType.EVENTS_LISTING, "sor", None)),
    ],
)
def test_a_link_leads_to_a_page(href: str, expected: tuple[PageType, str, str | None]) -> None:
    ref = resolve_href(href, EVENT)
    assert ref is not None
    assert (ref.page_type, ref.slug, ref.id) == expected


@pytest.mark.parametrize(
    "href",
    [
        "/live/",
        "https://www.example.com/",
        "mailto:x@example.com",
        "javascript:noSpam('a', 'b');",
        "tel:+1 555",
        "//[",
        "?id=?",
        "#",
    ],
)
def test_other_links_lead_nowhere(href: str) -> None:
    assert resolve_href(href, EVENT) is None


# ---------------------------------------------------------------- hosts


@pytest.mark.parametrize(
    ("host", "own", "domain"),
    [
        ("liverc.com", True, "liverc.com"),
        ("A.B.LiveRC.com.", True, "liverc.com"),
        ("notliverc.com", False, "notliverc.com"),
        ("liverc.com.evil.example", False, "evil.example"),
        ("127.0.0.1", False, "127.0.0.1"),
        ("[::1]", False, "::1"),
        ("localhost", False, "localhost"),
    ],
)
def test_hosts_and_their_domains(host: str, own: bool, domain: str) -> None:
    assert urls.is_liverc_host(host) is own
    assert urls.registrable_domain(host) == domain
