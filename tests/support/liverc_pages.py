"""Small pages in LiveRC's dialect with invented names, down to its odd white space, for tests of the readers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

TRACK = "Fjordbanen RC"
EVENT = 'Vinter "Cup" & Co'

HEAD = """
<!DOCTYPE html>
<html lang="en">
	<head>
		<meta charset="utf-8" />
		<title>{title}</title>
		<link rel="stylesheet" type="text/css" href="//cdn.example.com/other.css?9" />
		<link rel="stylesheet" type="text/css" media="screen" href="/css/global/global.default.css?1203" />
		<script type="text/javascript">
			var domain = 'liverc.com';
		</script>
	</head>
	<body>
		<pre class="hidden" id="user_profile_data">false</pre>
		<div id="wrapper">
			<nav><ul>
				<!-- <li><a href="/results/?p=view_race_result&id=666">hidden</a></li> -->
				<li><a href="/results/"><i class="fa fa-list-ol fa-fw"></i> Race Results</a></li>
			</ul></nav>
			<div id="page-wrapper">
"""
TAIL = """
			</div>
			<!-- /#page-wrapper -->
		</div>
		<div id="loading_overlay"><p><strong>LOADING INTERFACE...</strong></p></div>
		<script>
			var showFlyInBox = true;
		</script>
	</body>
</html>"""


def page(title: str, content: str) -> bytes:
    """A whole page: frame and content."""
    return (HEAD.format(title=title) + content + TAIL).encode()


def breadcrumb(heading: str, event: str | None = None, date: str | None = None) -> str:
    below = ""
    if event is not None:
        below += f'<h3 class="page-header text-nowrap pull-left"><span class="fa fa-list-ol"></span> {event}</h3>'
    if date is not None:
        below += f'\n\t<h5 class="page-header text-nowrap pull-left"><span class="fa fa-calendar"></span> {date}</h5>'
    return f"""<div class="row page-breadcrumb">
	<div class="col-lg-12">
		<h1 class="page-header"><span class="fa fa-road"></span> {heading}</h1>
		<div class="clearfix">{below}</div>
	</div>
</div>
"""


# ---------------------------------------------------------------- race pages

COLUMNS = (
    "Pos", "Driver", "Qual", "Laps/Time", "Behind", "Fastest Lap", "Avg Lap", "Avg Top 5", "Avg Top 10", "Avg Top 15",
    "Top 3 Consecutive", "Std. Deviation", "Consistency",
)  # fmt: skip


def hidden(key: str, shown: str | None = None) -> str:
    return f'<div class="hidden">{key}</div>{key if shown is None else shown}'


def driver_cell(name: str, car: str = "1", driver_id: str | None = None) -> str:
    link = (
        f'<br /><span class="text-nowrap"><small><small><a href="#" data-driver-id="{driver_id}" class="driver_laps">'
        '<span class="fa fa-eye"></span> View Laps</a></small></small></span>'
    )
    return (
        f'\n\t\t<span class="car_num">{car}</span>\n\t\t<span class="driver_name">{name}</span>\n'
        f"\t\t\t{link if driver_id else ''}\n\t\t"
    )


STARTER = (
    *("1", driver_cell("KARI D'ARC", "4", "101"), "4", "3/1:59.500", "", "39.500<sup>2</sup>"),
    *(hidden("39.833"), hidden(""), hidden(""), hidden(""), hidden("119.500", "1:59.500"), "0.24", "99.41%"),
)
NON_STARTER = (
    *("2", driver_cell("OLA 5 NES", "7"), "7", "0", "0.000", ""),
    *(hidden(""), hidden(""), hidden(""), hidden(""), hidden(""), "", ""),
)


def table_row(cells: Iterable[str]) -> str:
    return "<tr>\n" + "".join(f"\t<td>{cell}</td>\n" for cell in cells) + "</tr>\n"


def race_table(
    rows: Sequence[Sequence[str]],
    columns: Sequence[str] = COLUMNS,
    *,
    css: str = "race_result",
    head: str | None = None,
) -> str:
    titles = "<tr>" + "".join(f"<th>{column}</th>" for column in columns) + "</tr>"
    if head is None:
        head = """<div class="race_num" style="background: #0000FF;color: white;">12</div><div class="race_info">
		<span class="class_header">1/8 Buggy  (Heat 1/2)</span><br />
		<span class="class_sub_header">Round: Qualifier Round 2</span><br />
		<span class="class_sub_header">Length: 5:00 Timed</span></div>"""
    return f"""<div class="table-responsive">
<table class="table table-striped {css}" cellspacing="0" width="100%">
	<thead><tr><th colspan="{len(columns) + 1}">{head}</th></tr>{titles}</thead>
	<tfoot>{titles.replace("Fastest Lap", "Fastest Lap <sup>(Lap #)</sup>")}</tfoot>
	<tbody>{"".join(map(table_row, rows))}</tbody>
</table></div>"""


SCRIPT = """
						var racerLaps = {};
						var positionData = [];
													positionDataDriver = {};
							positionDataDriver.label = 'KARI D\\'ARC';
							driverNames.push('KARI D\\'ARC');
							racerLaps[101] = {
								'driverName' : 'KARI D\\'ARC',
								'fastLap' : '39.500',
								'avgLap' : '39.833',
								'avgTop5' : '',
								'avgTop10' : '',
								'avgTop15' : '',
								'top2Consecutive' : '79.5',
								'top3Consecutive' : '119.500',
								'stdDeviation' : '0.236',
								'consistency' : '99.408',
								'laps' : [
																			{
												'lapNum' : '0',
												'pos' : '4',
												'time' : '0',
												'pace' : '0',
												'segments' : [
																	]
											},
																					{
												'lapNum' : '1',
												'pos' : '1',
												'time' : '40',
												'pace' : '8/5:20.000',
												'segments' : [
																	]
											},
																					{
												'lapNum' : '2',
												'pos' : '1',
												'time' : '39.5',
												'pace' : '8/5:18.000',
												'segments' : [
																	]
											},
																					{
												'lapNum' : '3',
												'pos' : '1',
												'time' : '40',
												'pace' : '8/5:18.667',
												'segments' : [
																	]
											},
																	]
							};
														positionDataDriver.data.push([0, 4]);
														positionData.push(positionDataDriver);
							console.log(racerLaps[101]);
													positionDataDriver = {};
							racerLaps[102] = {
								'driverName' : 'OLA 5 NES',
								'fastLap' : '',
								'avgLap' : '',
								'avgTop5' : '',
								'avgTop10' : '',
								'avgTop15' : '',
								'top2Consecutive' : '',
								'top3Consecutive' : '',
								'stdDeviation' : '',
								'consistency' : '',
								'laps' : [
																	]
							};
														positionData.push(positionDataDriver);
							console.log(racerLaps[102]);
"""


def race_page(table: str | None = None, script: str | None = SCRIPT) -> bytes:
    """A race page; without `script` one that is not scored yet."""
    inline = f'<script type="text/javascript">{script}</script>' if script is not None else ""
    return page(
        f"{TRACK} :: {EVENT} :: 1/8 Buggy  (Heat 1/2) :: LiveRC",
        breadcrumb(TRACK, EVENT, "Feb 7, 2026")
        + '<div class="panel-heading"><i class="fa fa-trophy"></i> 1/8 Buggy (Heat 1/2) Results [Q2 Race #12]</div>'
        + inline
        + (race_table([STARTER, NON_STARTER]) if table is None else table),
    )


# ---------------------------------------------------------------- event pages


def race_row(href: str, label: str, completed: str) -> str:
    return f"""<tr>
	<td><a href="{href}" class="block"><i class="fa fa-trophy"></i> {label}</a></td>
	<td>{completed}</td>
</tr>
"""


def round_row(heading: str) -> str:
    return f"<tr>\n\t<th>{heading}</th>\n\t<th>Time Completed</th>\n</tr>\n"


LINEUPS = """<table class="table table-hover entry_list_data">
	<thead><tr><th><span class="class_header">Race Lineups &amp; Entry List</span></th></tr></thead>
	<tbody>
		<tr class="clickable-row" data-href="/results/?p=view_entry_list&id=500">
			<td><a href="/results/?p=view_entry_list&id=500"><i class="fa fa-bars"></i> Entry List</a></td></tr>
		<tr><td><a href="/results/?p=view_heat_sheet&id=71"><i class="fa fa-list"></i> Main Events</a></td></tr>
	</tbody>
</table>"""
STATS = """<table class="table table-sm table-borderless m-0"><tbody>
	<tr><th>Race Track</th><td>Offroad</td></tr>
	<tr><th>Registrations</th><td>
		Entries: 1,071<br />
		Drivers: 60	</td></tr>
	<tr><th>Total Race Laps</th><td>4,129</td></tr>
</tbody></table>"""


def event_page(
    races: str, *, lineups: str = LINEUPS, event: str = EVENT, date: str = "Feb 7, 2026 to Feb 8, 2026"
) -> bytes:
    rankings = """<table class="table table-hover entry_list_data">
	<thead><tr><th><span class="class_header">Overall Results &amp; Rankings</span></th></tr></thead>
	<tbody><tr><td><a href="/results/?p=view_round_ranking&id=31&o=laps_time">Round 1 Rankings</a></td></tr></tbody>
</table>"""
    results = f"""<table class="table table-hover entry_list_data">
	<thead><tr><th colspan="2"><span class="class_header">Race Results</span></th></tr></thead>
	<tbody>{races}</tbody>
</table>"""
    content = breadcrumb(TRACK, event, date) + lineups + rankings + results + STATS
    return page(f"{TRACK} :: {event} :: LiveRC", content)


# ---------------------------------------------------------------- listings


def events_page(rows: str, *, before: str = "", after: str = "") -> bytes:
    titles = "<tr><th>Event Name</th><th>Date</th><th># Entries</th><th># Drivers</th></tr>"
    table = f"""{before}<table id="events" class="table table-striped" width="100%">
	<thead>{titles}</thead><tfoot>{titles}</tfoot><tbody>{rows}</tbody></table>{after}"""
    return page(f"{TRACK} :: Archived Results :: LiveRC", breadcrumb(f"{TRACK}'s Events") + table)


def event_row(event_id: int, name: str, key: str, dates: str, entries: str = "5", drivers: str = "4") -> str:
    href = f"/results/?p=view_event&id={event_id}"
    return table_row([f'<a href="{href}">{name}</a>', f'<span class="hidden">{key}</span>{dates}', entries, drivers])


def catalogue_page(rows: str) -> bytes:
    return page(
        "LiveRC :: Watch Live R/C Car Racing with Scoring and Video :: LiveRC",
        breadcrumb("Track List")
        + '<ul><li><i class="fa fa-flag-checkered fa-fw status_2"></i> Racing in Progress</li></ul>'
        + f"""<table class="table table-striped track_list" cellspacing="0" width="100%">
	<thead><tr><th class="col_min">Status</th><th>Track Name</th></tr></thead>
	<tfoot><tr><th>Status</th><th>Track Name</th></tr></tfoot>
	<tbody>{rows}</tbody></table>""",
    )


def catalogue_row(
    slug: str, name: str, latest: str | None = "Club Day", *, status: int = 0, video: int = 0, featured: bool = False
) -> str:
    room = "results" if status == 0 else "live"
    star = '<i class="fa fa-star fa-fw status_featured"></i>' if featured else ""
    below = "" if latest is None else f'<div class="indent"><small>{latest}</small></div>'
    return f"""<tr class="clickable-row" data-href="//{slug}.liverc.com/{room}/">
	<td class="text-nowrap">
		<i class="fa fa-video-camera fa-fw status_video_{video}"></i>
		<i class="fa fa-power-off fa-fw status_{status}"></i>
		{star}
		<br /><small><small>2 weeks ago</small></small>
	</td>
	<td><span class="hidden">seRC</span><a href="//{slug}.liverc.com/"><strong>{name}</strong></a>{below}</td>
</tr>
"""


# ---------------------------------------------------------------- entry lists


def entry_list_page(classes: Sequence[tuple[str, int, str]]) -> bytes:
    """Classes as (name, declared entries, rows)."""
    tabs, panes = [], []
    for number, (name, declared, rows) in enumerate(classes, 40):
        titles = "<tr><th>#</th><th>Driver</th><th>Transponder #</th></tr>"
        tabs.append(f'<li><a href="#{number}_tab" data-toggle="tab">{name}</a></li>')
        panes.append(f"""<div class="tab-pane fade table-responsive" id="{number}_tab">
	<table id="{number}_table" class="table table-striped"><thead><tr><th colspan="3">
		<div class="class_header">{name}</div>
		<div class="class_sub_header">Entries: {declared}</div></th></tr>{titles}</thead>
		<tfoot>{titles}</tfoot><tbody>{rows}</tbody></table></div>""")
    content = f'<ul class="nav nav-pills">{"".join(tabs)}</ul><br><div class="tab-content">{"".join(panes)}</div>'
    return page(
        f"{TRACK} :: {EVENT} :: Entry List :: LiveRC", breadcrumb(TRACK, EVENT, "Feb 7, 2026") + content + STATS
    )


def entry_row(number: int, last: str, first: str, transponder: str) -> str:
    return table_row([str(number), f'<span class="hidden">{last}, {first}</span>{first} {last}', transponder])
