"""The frame around every page: head, navigation, overlays and scripts, in LiveRC's shape and our own words.

A page is `head + content + tail`. Only the frame holds what changes between two fetches of an unchanged page: the build
marker on the assets, the year, the fly-in flag and (in older captures) an empty first line.
"""

from __future__ import annotations

from msgspec import Struct

from mre_console.simulator.dialect import fill, tabbed


class Frame(Struct, frozen=True):
    """The bytes that differ while data do not."""

    build: int = 1272  # LiveRC's build marker, on every asset
    year: int = 2026
    fly_in: bool = False
    leading_blank_line: bool = False


class Assets(Struct, frozen=True):
    """What a page type adds to the frame."""

    styles: tuple[str, ...] = ()
    scripts: tuple[str, ...] = ()
    track: bool = True  # False on the catalogue, whose menu has no track entries


_DATATABLES_CSS = (
    "/vendor/datatables/css/dataTables.bootstrap.min.css",
    "/vendor/datatables-responsive/dataTables.responsive.css",
)
_DATATABLES_JS = (
    "/vendor/datatables/js/jquery.dataTables.min.js",
    "/vendor/datatables-plugins/dataTables.bootstrap.min.js",
    "/vendor/datatables-responsive/dataTables.responsive.js",
)
CATALOGUE = Assets(_DATATABLES_CSS, _DATATABLES_JS, track=False)
LISTING = Assets(_DATATABLES_CSS, _DATATABLES_JS)
DASHBOARD = Assets(("/css/homepage/homepage.global.css",))
EVENT = Assets(("/css/results/results.global.css",))
RACE = Assets(
    ("/css/results/results.global.css", "/css/results/results.race_result.css", *_DATATABLES_CSS),
    ("/js/results/results.race_result.min.js", *_DATATABLES_JS, "/vendor/flot/jquery.flot.js"),
)
ENTRY_LIST = Assets(("/css/results/results.heat_sheet.css", *_DATATABLES_CSS), _DATATABLES_JS)

_HEAD = tabbed("""
0|<!DOCTYPE html>
0|<html lang="en">
0|
1|<head>
2|
2|<!-- About this document -->
2|<meta charset="utf-8" />
2|<meta http-equiv="Content-Language" content="en-us" />
2|<meta http-equiv="Content-Type" content="text/html; charset=UTF-8" />
2|<meta http-equiv="X-UA-Compatible" content="IE=edge" />
2|<meta name="format-detection" content="telephone=no" />
2|<meta name="viewport" content="width=device-width, initial-scale=1" />
2|
2|<title>@title@</title>
2|<meta name="Copyright" content="2014-@year@ LiveRC" />
2|<meta name="Description" content="A simulated timing site; every name on it is invented." />
2|<meta name="robots" content="index, follow" />
2|
2|<link rel="icon" type="image/x-ico" href="//assets.example/images/favicon.png" />
2|<link href="/vendor/bootstrap/css/bootstrap.min.css" rel="stylesheet" />
2|<link href="/vendor/sb-admin-2/css/sb-admin-2.css" rel="stylesheet" />
2|
2|<!-- Styles -->
2|<link rel="stylesheet" type="text/css" media="screen" href="/css/global/global.default.css?@build@" />
@styles@7|
2|<!-- Libraries -->
2|<script src="//assets.example/lib/jquery/jquery.min.js"></script>
0|
2|<!-- Advertisements -->
2|<script async="async" src="https://ads.example/slots.js"></script>
2|<script type="text/javascript">
3|var adQueue = adQueue || [];
3|
3|// one entry per place on the page
3|var adSlots = [];
3|
3|adQueue.push(function()
3|{
4|//S: 0-767
4|//L: 768+
4|
4|var sizes = [[768, [300, 100]], [0, [320, 50]]];
4|adSlots.push({'slot' : '/0/simulated_top_1', 'sizes' : sizes});
4|adSlots.push({'slot' : '/0/simulated_top_2', 'sizes' : sizes});
4|adSlots.push({'slot' : '/0/simulated_side_1', 'sizes' : [[0, [300, 250]]]});
4|
3|});
2|</script>
2|
2|<script type="text/javascript">
3|var domain = 'liverc.com';
2|</script>
1|</head>
1|
1|<body>
2|
2|<!-- Counters -->
2|<script>
3|(function(w){w.counted=w.counted||[];w.counted.push({'view':w.location&&w.location.pathname});
3|})(window);
2|</script>
2|
2|<div id="fb-root"></div>
2|
2|<pre class="hidden" id="user_profile_data">false</pre>
2|
2|<div id="wrapper">
2|
3|<!-- Menu -->
3|<nav class="navbar navbar-default navbar-static-top" role="navigation" style="margin-bottom: 0;">
4|<div class="navbar-header fixed">
5|<a class="navbar-brand" href="/"><div id="LRC-logo"></div></a>
5|
6|<button type="button" class="navbar-toggle" data-toggle="collapse" data-target=".navbar-collapse">
7|<span class="sr-only">Menu</span>
7|<span class="icon-bar"></span>
6|</button>
6|
12|<ul class="nav navbar-top-links navbar-right">
7|
7|<!--
7|<li class="dropdown">
8|<a class="dropdown-toggle" data-toggle="dropdown" href="#"><i class="fa fa-calendar fa-fw"></i></a>
8|<ul class="dropdown-menu dropdown-messages" id="event_calendar">
9|<li><a href="//live.liverc.com/events/calendar/">Calendar</a></li>
9|<li><a href="/results/?p=view_event&id=1">Latest</a></li>
8|</ul>
7|</li>
7|-->
14|
7|<li class="dropdown">
8|<a class="dropdown-toggle" data-toggle="dropdown" href="#"><i class="fa fa-user fa-fw"></i> <i class="fa fa-caret-down"></i></a>
8|<ul class="dropdown-menu dropdown-user">
19|<li><a href="#" id="menu_log_in"><i class="fa fa-sign-in fa-fw"></i> Sign In</a></li>
17|</ul>
7|</li>
7|
6|</ul>
11|
4|</div>
4|
4|<div class="navbar-default sidebar" role="navigation">
1|<div class="sidebar-nav navbar-collapse collapse">
2|<ul class="nav" id="side-menu">
3|
3|<!--
3|<li class="sidebar-search">
4|<form action="/drivers/" method="get">
5|<input type="text" class="form-control" placeholder="Find a driver">
4|</form>
3|</li>
3|-->
0|
3|<li>
4|<div style="display: table-cell; width: 1%">&nbsp;&nbsp;&nbsp;&nbsp;&nbsp;</div>
3|</li>
0|
6|<li><a href="//live.liverc.com"><i class="fa fa-road fa-fw"></i> Tracks</a></li>
6|
@menu@3|<li><a href="https://timing.example" target="_blank"><i class="fa fa-download fa-fw"></i> Timing &amp; Scoring</a></li>
3|
2|</ul>
1|</div>
1|
1|</div>
4|
3|</nav>
3|
3|<div id="page-wrapper">
4|
8|
8|""")  # noqa: E501 - one line in the dialect

_MENU = tabbed("""
7|
4|<li><a href="/"><i class="fa fa-dashboard fa-fw"></i> Dashboard</a></li>
4|
4|<li><a href="/live/"><i class="fa fa-hourglass fa-fw"></i> Live</a></li>
4|
4|<li><a href="/results/"><i class="fa fa-list-ol fa-fw"></i> Results</a></li>
4|
4|<!--<li><a href="/events/"><i class="fa fa-calendar fa-fw"></i> Events</a></li>-->
8|<li><a href="/practice/"><i class="fa fa-clock-o fa-fw"></i> Practice</a></li>
4|
4|<li><a href="/track_map/"><i class="fa fa-globe fa-fw"></i> Map</a></li>
8|<!--
4|<li><a href="/videos/"><i class="fa fa-video-camera fa-fw"></i> Films</a></li>
4|
4|<li><a href="/drivers/"><i class="fa fa-male fa-fw"></i> Drivers</a></li>
4|-->
6|
""")

_TAIL = tabbed("""
4|
3|</div>
3|<!-- /#page-wrapper -->
3|
2|</div>
2|<!-- /#wrapper -->
0|
4|
2|<!-- Modals -->
2|<div id="modals"></div>
2|
2|<!-- Overlay -->
2|<div id="loading_overlay">
3|<div id="user_status_modal" class="modal show" role="dialog">
4|<div class="vertical-alignment-helper">
5|<div class="modal-dialog vertical-align-center">
6|<div class="modal-content">
7|<div class="modal-body text-center">
8|<p><img src="//assets.example/images/logo.png" width="250" /></p>
8|<p><img src="//assets.example/images/loading.svg" width="75" /></p>
8|<p><strong>LOADING INTERFACE...</strong></p>
7|</div>
6|</div>
5|</div>
4|</div>
3|</div>
2|</div>
2|
2|<!-- Fly-in -->
2|<div id="fly_in_bg"></div>
2|<div id="fly_in">
3|<div class="content">
4|<div class="close_fly_in">x</div>
4|<div class="ad"></div>
3|</div>
2|</div>
2|
2|<!-- Scripts -->
2|<script src="/js/global/global.default.min.js?@build@"></script>
2|<script src="/js/global/global.content_page.min.js?@build@"></script>
2|
@scripts@4|
2|<script src="/vendor/bootstrap/js/bootstrap.min.js"></script>
2|<script src="/vendor/metisMenu/metisMenu.min.js"></script>
2|<script src="/vendor/sb-admin-2/js/sb-admin-2.js"></script>
2|
2|<script>
3|var showFlyInBox = @fly_in@;
2|</script>
2|
1|</body>
0|</html>
""")


def page(content: str, title: str, assets: Assets, frame: Frame) -> bytes:
    """The whole page as it is served: UTF-8, LF line ends."""
    return head(title, assets, frame) + content.encode() + tail(assets, frame)


def head(title: str, assets: Assets, frame: Frame) -> bytes:
    """Everything up to the content of #page-wrapper."""
    styles = "".join(
        "\t" * (9 if index == 0 else 12)
        + f'<link rel="stylesheet" type="text/css" media="screen" href="{path}?{frame.build}" />\n'
        for index, path in enumerate(("/css/global/global.default.css", *assets.styles))
    )
    text = fill(
        _HEAD,
        title=title,
        year=frame.year,
        build=frame.build,
        styles=styles,
        menu=_MENU if assets.track else "",
    )
    return (("\n" if frame.leading_blank_line else "") + text).encode()


def tail(assets: Assets, frame: Frame) -> bytes:
    """Everything after the content."""
    scripts = "".join(
        f'\t\t\t\t\t<script type="text/javascript" src="{path}?{frame.build}"></script>\n' for path in assets.scripts
    )
    return fill(_TAIL, build=frame.build, scripts=scripts, fly_in="true" if frame.fly_in else "false").encode()


_BREADCRUMB = tabbed("""
0|<div class="row page-breadcrumb">
1|<div class="col-lg-12">
2|<h1 class="page-header"><span class="fa fa-@icon@"></span> @heading@</h1>
@below@1|</div>
0|</div>
0|
""")

_BREADCRUMB_EVENT = tabbed("""
2|<div class="clearfix">
3|<h3 class="page-header text-nowrap pull-left"><span class="fa fa-list-ol"></span> @event@</h3>
@indent@<h5 class="page-header text-nowrap pull-left"><span class="fa fa-calendar"></span> @date@</h5>
@outdent@</div>
""")

_OTHER_EVENTS = tabbed("""
2|<a href="/events/"><i class="fa fa-calendar fa-fw"></i> <u>Results of other events</u></a>
""")


def breadcrumb(heading: str, icon: str = "road") -> str:
    """The page's identity on catalogue, dashboard and listing."""
    return fill(_BREADCRUMB, icon=icon, heading=heading, below="")


def event_breadcrumb(track: str, event: str, date: str, *, event_page: bool = False) -> str:
    """The page's identity on an event and everything below it; on the event page it is indented in its own way."""
    below = fill(
        _BREADCRUMB_EVENT,
        event=event,
        date=date,
        indent="\t" * (7 if event_page else 3),
        outdent="\t" * (5 if event_page else 2),
    )
    return fill(_BREADCRUMB, icon="road", heading=track, below=below + (_OTHER_EVENTS if event_page else "")) + tabbed(
        '0|<div class="row">\n1|</div>\n0|\n'
    )
