"""The catalogue, a track's dashboard and its events listing, and the copies that browsers shorten."""

from __future__ import annotations

import pytest

from pipeline.errors import Kind, ParseError
from pipeline.liverc.readers import read_page
from pipeline.liverc.urls import catalogue_url, dashboard_url, events_url, parse_url
from pipeline.records import EventsListing, ListedEvent, ListedTrack, TrackCatalogue, TrackDashboard
from tests.support.liverc_pages import (
    TRACK,
    breadcrumb,
    catalogue_page,
    catalogue_row,
    event_row,
    events_page,
    page,
)

CATALOGUE = parse_url(catalogue_url())
DASHBOARD = parse_url(dashboard_url("nordhall"))
EVENTS = parse_url(events_url("nordhall"))


def read_events(body: bytes) -> EventsListing:
    record = read_page(body, EVENTS)
    assert isinstance(record, EventsListing)
    return record


def test_the_catalogue() -> None:
    record = read_page(
        catalogue_page(
            catalogue_row("nordhall", 'Nordhall & Sønn "Indoor"', "Fall Oval & F8", status=2, video=1)
            + catalogue_row("FastHobby", "GSPeed  GS Hobby", None, status=1)
            + catalogue_row("4you", "Track", "个人项目", featured=True)
        ),
        CATALOGUE,
    )
    assert isinstance(record, TrackCatalogue)
    assert record.tracks == (
        ListedTrack("nordhall", 'Nordhall & Sønn "Indoor"', "Fall Oval & F8", 2, True, False, "2 weeks ago"),
        ListedTrack("FastHobby", "GSPeed GS Hobby", None, 1, False, False, "2 weeks ago"),
        ListedTrack("4you", "Track", "个人项目", 0, False, True, "2 weeks ago"),
    )


@pytest.mark.parametrize(
    ("old", "new", "kind", "field"),
    [
        ('//nordhall.liverc.com/">', '//nordhall.example.com/">', Kind.FIELD_INVALID, "slug"),
        ('//nordhall.liverc.com/">', '//nord-hall.liverc.com/">', Kind.FIELD_INVALID, "slug"),
        ('<a href="//nordhall.liverc.com/">', "<a>", Kind.FIELD_MISSING, "href"),
        ("fa-fw status_2", "fa-fw status_unknown", Kind.FIELD_MISSING, "status"),
        ("track_list", "list_of_tracks", Kind.FIELD_MISSING, "tracks"),
    ],
)
def test_a_changed_catalogue_names_what_is_gone(old: str, new: str, kind: Kind, field: str) -> None:
    body = catalogue_page(catalogue_row("nordhall", "Nordhall", status=2)).decode()
    assert old in body
    with pytest.raises(ParseError) as failure:
        read_page(body.replace(old, new).encode(), CATALOGUE)
    assert (failure.value.kind, failure.value.details["field"]) == (kind, field)


# ---------------------------------------------------------------- dashboard


def dashboard_page(address: str, about: str = "") -> bytes:
    return page(
        f"{TRACK} :: Broadcast and Results :: LiveRC",
        breadcrumb(f"{TRACK}'s Dashboard")
        + f"""<div class="row dashboard_panels"></div><div class="panel panel-default"><div class="panel-body">
		<div class="row"><div class="col-sm-4">{address}</div></div>{about}</div></div>
	<div class="panel-body"><iframe width="100%" src="https://maps.example/?q=A Street,X,+02604,AU"></iframe></div>""",
    )


def test_a_dashboard() -> None:
    address = f"""<address class="small">
			<strong>{TRACK}</strong>
			<br>Kai 5		<br>0150  Oslo			<br>Norway	<br>
			<br><abbr title="Phone">P:</abbr> <a href="tel:+47 22">+47 22</a>
			<br><abbr title="Website">W:</abbr>	<a href="http://fjord.example/" target="_blank">http://fjord.example/</a>
			<br><abbr title="E-Mail">E:</abbr>
			<a href="javascript:noSpam('a', 'b.no');">&#97;&#64;&#98;&#46;&#110;&#111;</a>
		</address>"""
    about = """<div class="row"><div class="col-md-12">
			<hr />
			Two tracks:<br />
1/10 & 1/8 drivers' stand. <br />
Wi-Fi.	</div></div>"""
    assert read_page(dashboard_page(address, about), DASHBOARD) == TrackDashboard(
        slug="nordhall",
        track_name=TRACK,
        address_lines=("Kai 5", "0150 Oslo", "Norway"),
        phone="+47 22",
        website="http://fjord.example/",
        email="a@b.no",
        description="Two tracks: 1/10 & 1/8 drivers' stand. Wi-Fi.",
    )


def test_a_dashboard_that_says_little() -> None:
    address = f"""<address class="small"><strong>{TRACK}</strong><br>
		<br><abbr title="Phone">P:</abbr> N/A	<br><abbr title="Website">W:</abbr> N/A
		<br><abbr title="E-Mail">E:</abbr> N/A</address>"""
    record = read_page(dashboard_page(address), DASHBOARD)
    assert record == TrackDashboard("nordhall", TRACK, (), None, None, None, None)
    assert read_page(dashboard_page("<address>Oslo</address>"), DASHBOARD) == TrackDashboard(
        "nordhall", TRACK, ("Oslo",), None, None, None, None
    )


# ---------------------------------------------------------------- events listing


def test_an_events_listing() -> None:
    record = read_events(
        events_page(
            event_row(70, "Vinter & Co ", "2026-02-07 08:30:00", "Feb 7, 2026")
            + event_row(9, "Club Day", "2025-12-31 00:00:00", "Dec 31, 2025 to <br />Jan 1, 2026", "1,071", "60")
            + event_row(8, "", "", "", "0", "0")
        )
    )
    assert (record.track_slug, record.track_name) == ("nordhall", TRACK)
    assert record.events == (
        ListedEvent("70", "Vinter & Co", "2026-02-07", "2026-02-07", "2026-02-07T08:30:00", 5, 4),
        ListedEvent("9", "Club Day", "2025-12-31", "2026-01-01", None, 1071, 60),
        ListedEvent("8", "", None, None, None, 0, 0),
    )


def test_a_listing_without_events_is_empty_and_one_without_table_is_not() -> None:
    assert read_events(events_page("")).events == ()
    with pytest.raises(ParseError) as failure:
        read_events(events_page("").replace(b'id="events"', b'id="others"'))
    assert (failure.value.kind, failure.value.details["field"]) == (Kind.FIELD_MISSING, "events")


@pytest.mark.parametrize(
    ("old", "new", "kind", "field"),
    [
        ("<th>Date</th>", "<th>When</th>", Kind.FIELD_MISSING, "dates"),
        ("p=view_event&", "p=show_event&", Kind.FIELD_INVALID, "source_event_id"),
        (">Feb 7, 2026<", ">some day<", Kind.FIELD_INVALID, "dates"),
        ("<td>5</td>", "<td>five</td>", Kind.FIELD_INVALID, "entries"),
    ],
)
def test_a_changed_listing_names_what_is_gone(old: str, new: str, kind: Kind, field: str) -> None:
    body = events_page(event_row(70, "Cup", "2026-02-07 08:30:00", "Feb 7, 2026")).decode()
    assert old in body
    with pytest.raises(ParseError) as failure:
        read_events(body.replace(old, new).encode())
    assert (failure.value.kind, failure.value.details["field"]) == (kind, field)


def saved(info: str, pager: str = "") -> bytes:
    return events_page(
        event_row(70, "Cup", "2026-02-07 08:30:00", "Feb 7, 2026"),
        before='<div id="events_wrapper" class="dataTables_wrapper form-inline dt-bootstrap no-footer">',
        after=f'<div class="dataTables_info" id="events_info">{info}</div><ul class="pagination">{pager}</ul></div>',
    )


def button(label: str, state: str = "") -> str:
    return f'<li class="paginate_button {state}"><a href="#">{label}</a></li>'


@pytest.mark.parametrize(
    ("info", "pager"),
    [
        ("Showing 1 to 10 of 100 entries", ""),
        ("Showing 1,001 to 1,100 of 10,000 entries", ""),
        ("Showing 1 to 3 of 3 entries (filtered from 100 total entries)", ""),
        ("Showing 0 to 0 of 100 entries", ""),
        ("", button("1", "active") + button("2")),
    ],
)
def test_a_copy_that_a_browser_shortened_is_refused(info: str, pager: str) -> None:
    with pytest.raises(ParseError) as failure:
        read_events(saved(info, pager))
    assert failure.value.kind is Kind.PAGE_UNRECOGNISED
    assert "saved by a browser and lacks rows" in failure.value.message


def test_a_copy_that_a_browser_saved_whole_is_read() -> None:
    body = saved("Showing 1 to 1 of 1 entries", button("Previous", "disabled") + button("1", "active"))
    assert len(read_events(body).events) == 1
    assert len(read_events(events_page("", before="<p>dataTables_info</p>")).events) == 0
