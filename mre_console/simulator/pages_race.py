"""The race result page: panel, lap script and result table in LiveRC's dialect, tabs and all.

The script is JavaScript, not JSON: single quotes, ` : `, every scalar a string, a comma after the last lap, lap 0 for
the grid, and `racerLaps[ID]` twice per driver because of the console.log that LiveRC left in.
"""

from __future__ import annotations

from mre_console.simulator import dialect
from mre_console.simulator.dialect import clock, fill, script_string, seconds, tabbed
from mre_console.simulator.figures import Figures, hundredths
from mre_console.simulator.pages_frame import event_breadcrumb
from mre_console.simulator.standings import LapLine, Standing, lap_lines, standings
from mre_console.simulator.world import Race, RaceDay, Script, Track

COLUMNS = (
    "Pos", "Driver", "Qual", "Laps/Time", "Behind", "Fastest Lap", "Avg Lap", "Avg Top 5", "Avg Top 10", "Avg Top 15",
    "Top 3 Consecutive", "Std. Deviation", "Consistency",
)  # fmt: skip


def content(track: Track, day: RaceDay, race: Race) -> str:
    """What stands inside #page-wrapper."""
    rows = standings(race)
    parts = [
        _SORTABLE,
        event_breadcrumb(track.name, day.name, dialect.days(day.starts_at.date(), day.ends_on)),
        fill(_PANEL, label=race.label, tag=race.round.tag, number=race.number),
    ]
    if race.script is not Script.MISSING:
        parts.append(_script(race, rows))
    parts += [_table(race, rows), fill(_CHART, drivers=len(rows))]
    return "".join(parts)


def shell_content(track: Track) -> str:
    """The page of an unknown or deleted race: frame and breadcrumb, and nothing below."""
    return _SORTABLE + event_breadcrumb(track.name, "", "") + _EMPTY


# ---------------------------------------------------------------- lap script

_T = ["\t" * n for n in range(32)]


def _script(race: Race, rows: tuple[Standing, ...]) -> str:
    lines = lap_lines(race)
    blocks = [_racer(row, lines[row.entrant.slot] if race.script is Script.FULL else ()) for row in rows]
    return f"{_SCRIPT_OPEN}{''.join(blocks)}{_T[11]}</script>\n{_T[5]}\n"


def _racer(row: Standing, laps: tuple[LapLine, ...]) -> str:
    name, number = script_string(row.entrant.driver.name), row.entrant.driver.driver_id
    points = [(0, row.entrant.slot), *((lap.number, lap.position) for lap in laps)] if laps else []
    pushes = [f"positionDataDriver.data.push([{lap}, {position}]);\n" for lap, position in points]
    return fill(
        _RACER,
        name=name,
        number=number,
        figures=_script_figures(row.figures),
        laps=_script_laps(row.entrant.slot, laps) if laps else _T[17],
        pushes=_T[24] + _T[17].join(pushes) + _T[22] if pushes else _T[14],
    )


def _script_figures(f: Figures) -> str:
    values = (
        ("fastLap", seconds(f.fast_lap_ms)),
        ("avgLap", seconds(f.avg_lap_ms)),
        ("avgTop5", seconds(f.avg_top_5_ms)),
        ("avgTop10", seconds(f.avg_top_10_ms)),
        ("avgTop15", seconds(f.avg_top_15_ms)),
        ("top2Consecutive", seconds(f.top_2_consecutive_ms)),
        ("top3Consecutive", seconds(f.top_3_consecutive_ms)),
        ("stdDeviation", seconds(f.std_deviation_ms)),
        ("consistency", seconds(f.consistency_milli)),
    )
    return "".join(f"{_T[8]}'{key}' : '{value}',\n" for key, value in values)


def _script_laps(slot: int, laps: tuple[LapLine, ...]) -> str:
    grid = _script_lap("0", slot, "0", "0")
    every = [_script_lap(str(lap.number), lap.position, dialect.trimmed(lap.time_ms), lap.pace) for lap in laps]
    return _T[30] + _T[21].join((grid, *every)) + _T[27]


def _script_lap(number: str, position: int, time: str, pace: str) -> str:
    return (
        f"{{\n{_T[12]}'lapNum' : '{number}',\n{_T[12]}'pos' : '{position}',\n{_T[12]}'time' : '{time}',\n"
        f"{_T[12]}'pace' : '{pace}',\n{_T[12]}'segments' : [\n{_T[25]}]\n{_T[11]}}},\n"
    )


# ---------------------------------------------------------------- table


def _table(race: Race, rows: tuple[Standing, ...]) -> str:
    background, text = race.colours
    titles = [f"{_T[9]}<th>{title}</th>\n" for title in COLUMNS]
    titles_below = [t.replace("Lap</th>", "Lap <sup>(Lap #)</sup></th>") if "Fastest" in t else t for t in titles]
    return fill(
        _TABLE,
        background=background,
        colour=text,
        number=race.number,
        label=race.label,
        round=race.round.heading,
        length=dialect.length(race.length_seconds),
        titles="".join(titles),
        titles_below="".join(titles_below),
        rows="".join(_row(race, row) for row in rows),
    )


def _row(race: Race, row: Standing) -> str:
    entrant, f = row.entrant, row.figures
    total = "0" if row.total_ms is None else f"{row.laps_completed}/{clock(row.total_ms, hours_form=race.hours_form)}"
    fastest = "" if f.fast_lap_ms is None else f"{clock(f.fast_lap_ms)}<sup>{f.fast_lap_number}</sup>"
    sortable = (f.avg_lap_ms, f.avg_top_5_ms, f.avg_top_10_ms, f.avg_top_15_ms, f.top_3_consecutive_ms)
    deviation = None if f.std_deviation_ms is None else hundredths(f.std_deviation_ms)
    consistency = None if f.consistency_milli is None else hundredths(f.consistency_milli)
    return fill(
        _ROW,
        position=row.position,
        slot=entrant.slot,
        name=entrant.driver.name,
        link=fill(_LINK, number=entrant.driver.driver_id) if entrant.laps_ms else "",
        total=total,
        behind=row.behind,
        fastest=fastest,
        sortable="".join(f'{_T[10]}<td><div class="hidden">{seconds(v)}</div>{clock(v)}</td>\n' for v in sortable),
        deviation=dialect.two_decimals(deviation),
        consistency="" if consistency is None else f"{dialect.two_decimals(consistency)}%",
    )


# ---------------------------------------------------------------- templates

_SORTABLE = tabbed("""
0|<script>
1|$(document).ready(function()
1|{
2|$('.race_result').DataTable({'paging': false, 'filter': false, 'info': false});
1|});
0|</script>
0|
""")

_PANEL = tabbed("""
0|<div class="row">
1|
1|<div class="col-lg-12">
2|
2|<div class="panel panel-default">
3|<div class="panel-heading"><i class="fa fa-trophy"></i> @label@ Results [@tag@ Race #@number@]</div>
3|<div class="panel-body no_padding">
4|
9|
5|""")

_EMPTY = tabbed("""
0|<div class="row">
1|
1|<div class="col-lg-12">
2|
1|</div>
1|
0|</div>
""")

_SCRIPT_OPEN = tabbed("""
0|<script type="text/javascript">
6|var racerLaps = {};
6|var positionData = [];
6|var driverNames = [];
""")

_RACER = tabbed("""
13|positionDataDriver = {};
7|positionDataDriver.label = '@name@';
7|positionDataDriver.data = [];
7|driverNames.push('@name@');
7|racerLaps[@number@] = {
8|'driverName' : '@name@',
@figures@8|'laps' : [
@laps@]
7|};
@pushes@positionData.push(positionDataDriver);
7|console.log(racerLaps[@number@]);
""")

_TABLE = tabbed("""
5|<div class="table-responsive">
6|<table class="table table-striped race_result" cellspacing="0" width="100%">
7|<thead>
8|<tr>
9|<th colspan="14">
10|<div class="race_num" style="background: @background@;color: @colour@;">@number@</div>
10|<div class="race_info">
11|<span class="class_header">@label@</span><br />
11|<span class="class_sub_header">Round: @round@</span><br />
11|<span class="class_sub_header">Length: @length@</span>
10|</div>
9|</th>
8|</tr>
8|<tr>
@titles@8|</tr>
7|</thead>
7|<tfoot>
8|<tr>
@titles_below@8|</tr>
7|</tfoot>
7|<tbody>
@rows@15|</tbody>
6|</table>
5|</div>
5|
8|
3|</div>
2|</div>
2|
""")

_ROW = tabbed("""
17|<tr>
10|<td>@position@</td>
10|<td>
11|<span class="car_num">@slot@</span>
11|<span class="driver_name">@name@</span>
@link@21|</td>
10|<td>@slot@</td>
10|<td>@total@</td>
10|<td>@behind@</td>
10|<td>@fastest@</td>
@sortable@10|<td>@deviation@</td>
10|<td>@consistency@</td>
9|</tr>
""")

_LINK = tabbed("""
23|<br /><span class="text-nowrap"><small><small><a href="#" data-driver-id="@number@" class="driver_laps"><span class="fa fa-eye"></span> View Laps</a></small></small></span>
""")  # noqa: E501 - one line in the dialect

_CHART = tabbed("""
4|
5|
3|<div class="panel panel-default">
4|<div class="panel-heading"><i class="fa fa-area-chart"></i> Positions, lap by lap</div>
4|<div class="panel-body">
5|<div class="flot-chart">
6|<div class="flot-chart-content" id="chart_position_by_laps"></div>
5|</div>
4|</div>
3|</div>
3|<script type="text/javascript">
4|$(document).ready(function()
4|{
5|$.plot($("#chart_position_by_laps"), positionData, {
6|xaxis: {tickDecimals: 0},
6|yaxis: {min: 1, max: @drivers@, tickDecimals: 0}
5|});
4|});
3|</script>
3|
4|
1|</div>
1|
0|</div>
""")
