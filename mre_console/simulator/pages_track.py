"""What stands above an event: the track catalogue, a track's dashboard and its events listing."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from mre_console.simulator import dialect
from mre_console.simulator.dialect import fill, tabbed
from mre_console.simulator.pages_frame import breadcrumb
from mre_console.simulator.world import CatalogueRow, RaceDay, Track


def age(idle_hours: int) -> str:
    """How long ago something happened, as coarsely as LiveRC puts it."""
    days = idle_hours // 24
    if idle_hours == 0:
        return "1 minute ago"
    if idle_hours < 24:
        return f"{idle_hours} hour{'s' * (idle_hours > 1)} ago"
    if days < 7:
        return "Yesterday" if days == 1 else f"{days} days ago"
    if days < 30:
        return "last week" if days < 14 else f"{days // 7} weeks ago"
    if days < 365:
        return "last month" if days < 60 else f"{days // 30} months ago"
    return "last year"


# ---------------------------------------------------------------- catalogue

_ACTIVITY = {2: "fa-flag-checkered", 1: "fa-clock-o", 0: "fa-power-off"}


def catalogue(rows: Sequence[CatalogueRow]) -> str:
    """All tracks, in the order given."""
    return fill(_CATALOGUE, breadcrumb=breadcrumb("Track List"), rows="".join(map(_catalogue_row, rows)))


def _catalogue_row(row: CatalogueRow) -> str:
    latest = "" if row.latest_event is None else f'<div class="indent"><small>{row.latest_event}</small></div>'
    return fill(
        _CATALOGUE_ROW,
        slug=row.track.slug,
        page="live" if row.status else "results",
        video=int(row.track.live_video),
        activity=_ACTIVITY[row.status],
        status=row.status,
        featured=_FEATURED if row.track.featured else "",
        age=age(row.idle_hours),
        name=row.track.name,
        latest=latest,
    )


# ---------------------------------------------------------------- dashboard


class Tiles(Struct, frozen=True):
    """The numbers of a dashboard."""

    live: bool
    results_this_month: int
    laps: int
    races: int
    entries: int
    events: int


def dashboard(track: Track, tiles: Tiles) -> str:
    """A track's start page."""
    return fill(
        _DASHBOARD,
        breadcrumb=breadcrumb(f"{track.name}'s Dashboard", "dashboard"),
        tiles=_tiles(tiles),
        name=track.name,
        address=_address(track),
        logo=_LOGO if track.website else "",
        description=fill(_DESCRIPTION, text="<br />\n".join(track.description)) if track.description else "",
        map_query=track.map_query,
        lifetime="".join(
            fill(_LIFETIME_ROW, title=title, value=dialect.thousands(value))
            for title, value in (
                ("Laps", tiles.laps),
                ("Practice Sessions", tiles.laps // 40),
                ("Races", tiles.races),
                ("Entries", tiles.entries),
                ("Events", tiles.events),
            )
        ),
    )


def _address(track: Track) -> str:
    phone = f'<a href="tel:{track.phone}">{track.phone}</a>' if track.phone else "N/A"
    website = f'<a href="{track.website}" target="_blank">{track.website}</a>' if track.website else "N/A"
    email = "N/A"
    if track.email:
        user, _, host = track.email.partition("@")
        href = f"javascript:noSpam('{user}', '{host}');"
        email = f'<a href="{href}" target="_blank">{dialect.references(track.email)}</a>'
    lines = "".join(f"<br>{line}\t\t\t\t\t\t\t" for line in track.address)
    return fill(_ADDRESS, name=track.name, lines=lines, phone=phone, website=website, email=email)


def _tiles(tiles: Tiles) -> str:
    state = '<i class="fa fa-check"></i>' if tiles.live else '<i class="fa fa-times"></i>'
    words = "LIVE (Racing)" if tiles.live else "Track is Offline"
    return "".join(
        fill(_TILE, page=page, colour=colour, icon=icon, value=value, words=words, action=action)
        for page, colour, icon, value, words, action in (
            ("live", "red", "hourglass", state, words, "Live Timing"),
            ("results", "green", "list-ol", dialect.thousands(tiles.results_this_month), "Results This Month", "Event"),
            ("practice", "primary", "clock-o", "0", "Sessions This Month", "Practice"),
            ("videos", "yellow", "video-camera", "0", "Videos This Month", "Films"),
        )
    )


# ---------------------------------------------------------------- events listing


def listing(track: Track, events: Sequence[RaceDay]) -> str:
    """A track's events, newest first."""
    return fill(
        _LISTING,
        breadcrumb=breadcrumb(f"{track.name}'s Events", "calendar"),
        titles=_LISTING_TITLES,
        rows="".join(_listing_row(day) for day in events),
    )


def _listing_row(day: RaceDay) -> str:
    return fill(
        _LISTING_ROW,
        event_id=day.event_id,
        name=day.name,
        starts_at=day.starts_at.isoformat(" "),
        days=dialect.days(day.starts_at.date(), day.ends_on, separator=" to <br />"),
        entries=day.entries,
        drivers=day.drivers,
    )


# ---------------------------------------------------------------- templates

_CATALOGUE = tabbed("""
0|<script>
1|$(document).ready(function()
1|{
2|$('.track_list').DataTable({'paging': true, 'pageLength': 100, 'sort': false, 'info': false});
1|});
0|</script>
0|
@breadcrumb@0|<div class="row">
1|
1|<div class="col-lg-6">
2|
2|<div class="panel panel-default">
3|<div class="panel-heading"><i class="fa fa-road fa-fw"></i> Tracks</div>
3|<div class="panel-body no_padding">
4|<ul class="list-inline padding_container">
5|<li><i class="fa fa-video-camera fa-fw status_video_1"></i> Video</li>
5|<li><i class="fa fa-star fa-fw status_featured"></i> Featured</li>
5|<li><i class="fa fa-flag-checkered fa-fw status_2"></i> Racing</li>
5|<li><i class="fa fa-clock-o fa-fw status_1"></i> Practice</li>
5|<li><i class="fa fa-power-off fa-fw"></i> Quiet</li>
4|</ul>
4|
4|<div class="table-responsive">
5|<table class="table table-striped track_list" cellspacing="0" width="100%">
6|<thead>
7|<tr>
8|<th class="col_min">Status</th>
8|<th>Track Name</th>
7|</tr>
6|</thead>
6|<tfoot>
7|<tr>
8|<th>Status</th>
8|<th>Track Name</th>
7|</tr>
6|</tfoot>
6|<tbody>
@rows@21|</tbody>
5|</table>
4|</div>
4|
3|</div>
2|</div>
2|
1|</div>
1|
0|</div>
""")

_CATALOGUE_ROW = tabbed("""
27|<tr class="clickable-row" data-href="//@slug@.liverc.com/@page@/">
11|<td class="text-nowrap">
12|<i class="fa fa-video-camera fa-fw status_video_@video@"></i>
12|<i class="fa @activity@ fa-fw status_@status@"></i>
@featured@24|<br /><small><small>@age@</small></small>
11|</td>
11|<td><span class="hidden">seRC</span><a href="//@slug@.liverc.com/"><strong>@name@</strong></a>@latest@</td>
19|</tr>
""")

_FEATURED = tabbed("""
12|<i class="fa fa-star fa-fw status_featured"></i>
""")

_DASHBOARD = tabbed("""
@breadcrumb@0|<!-- Tiles -->
0|<div class="row dashboard_panels">
1|
@tiles@0|</div>
0|
0|<div class="row">
1|
1|<div class="col-lg-8">
2|
2|<!-- About -->
2|<div class="panel panel-default">
3|<div class="panel-heading"><i class="fa fa-flag fa-fw"></i> About @name@</div>
3|<div class="panel-body">
4|
4|<div class="row">
5|<div class="col-sm-4">
@address@5|</div>
5|
5|<div class="col-sm-8">
@logo@11|</div>
4|</div>
4|
@description@7|</div>
3|<!-- /.panel-body -->
2|</div>
2|
2|<!-- Map -->
2|<div class="panel panel-default">
3|<div class="panel-heading"><i class="fa fa-map-marker fa-fw"></i> Map</div>
3|<div class="panel-body no-padding">
4|<iframe width="100%" frameborder="0" src="https://maps.example/maps/embed/v1/place?q=@map_query@" allowfullscreen></iframe>
3|</div>
3|<!-- /.panel-body -->
2|</div>
2|
1|</div>
1|
1|<div class="col-lg-4">
2|
2|<!-- Lifetime -->
2|<div class="panel panel-default">
3|<div class="panel-heading"><i class="fa fa-line-chart fa-fw"></i> Lifetime</div>
3|<div class="panel-body no_padding">
4|
4|<table class="table">
5|<tbody>
@lifetime@5|</tbody>
4|</table>
4|
3|</div>
2|</div>
2|
1|</div>
1|
0|</div>
0|
""")  # noqa: E501 - one line in the dialect

_ADDRESS = tabbed("""
6|<address class="small">
7|<strong>@name@</strong>
7|@lines@<br>
7|<br><abbr title="Phone">P:</abbr> @phone@7|<br><abbr title="Website">W:</abbr> @website@7|<br><abbr title="E-Mail">E:</abbr> @email@7|</address>
""")  # noqa: E501 - one line in the dialect

_LOGO = tabbed("""
13|<p class="text-right">
8|<img src="https://assets.example/track_logos/1/logo.png?dt=2018-06-08_11:11:52">
7|</p>
""")

_DESCRIPTION = tabbed("""
9|<div class="row">
6|<div class="col-md-12">
7|<hr />
7|@text@6|</div>
5|</div>
""")

_TILE = tabbed("""
1|<a href="/@page@/">
2|<div class="col-lg-3 col-md-6 col-xs-6">
3|<div class="panel panel-@colour@">
4|<div class="panel-heading">
5|<div class="row">
6|<div class="col-xs-3">
7|<i class="fa fa-@icon@ fa-4x"></i>
6|</div>
6|<div class="col-xs-9 text-right">
7|<div class="huge">@value@</div>
7|<div class="stats">
15|@words@
13|</div>
6|</div>
5|</div>
4|</div>
4|<div class="panel-footer">
5|<span class="pull-left"><u>@action@</u></span>
5|<span class="pull-right"><i class="fa fa-arrow-circle-right"></i></span>
4|</div>
3|</div>
2|</div>
1|</a>
1|
""")

_LIFETIME_ROW = tabbed("""
6|<tr>
7|<th>@title@</th>
7|<td class="text-right">@value@</td>
6|</tr>
""")

_LISTING_TITLES = tabbed("""
8|<tr>
9|<th>Event Name</th>
9|<th>Date</th>
9|<th># Entries</th>
9|<th># Drivers</th>
8|</tr>
""")

_LISTING = tabbed("""
0|<script>
1|$(document).ready(function()
1|{
2|$('#events').DataTable({'responsive': true, 'order': [[1, 'desc']], 'pageLength': 10});
1|});
0|</script>
0|
@breadcrumb@0|<div class="row">
1|
1|<div class="col-lg-12">
2|
5|<div class="panel panel-default">
4|<div class="panel-heading"><i class="fa fa-calendar"></i> Events</div>
4|<div class="panel-body no_padding">
4|
5|<div class="table-responsive">
6|<table id="events" class="table table-striped" width="100%">
7|<thead>
@titles@7|</thead>
7|<tfoot>
@titles@7|</tfoot>
7|<tbody>
@rows@15|</tbody>
6|</table>
5|</div>
4|</div>
4|
3|</div>
3|</div>
0|
0|</div>
""")

_LISTING_ROW = tabbed("""
17|<tr>
10|<td><a href="/results/?p=view_event&id=@event_id@">@name@</a></td>
10|<td><span class="hidden">@starts_at@</span>@days@</td>
10|<td>@entries@</td>
10|<td>@drivers@</td>
9|</tr>
""")
