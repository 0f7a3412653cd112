"""The entry list: a tab per class, names with a hidden sort key, transponders that are no keys at all."""

from __future__ import annotations

from mre_console.simulator import dialect
from mre_console.simulator.dialect import fill, tabbed
from mre_console.simulator.pages_event import stats
from mre_console.simulator.pages_frame import event_breadcrumb
from mre_console.simulator.world import EventClass, RaceDay, Registration, Track


def content(track: Track, day: RaceDay, total_laps: int) -> str:
    """What stands inside #page-wrapper."""
    return "".join(
        (
            fill(_SORTABLE, tables="".join(fill(_SORTABLE_ONE, table=_id(c, "table")) for c in day.classes)),
            event_breadcrumb(track.name, day.name, dialect.days(day.starts_at.date(), day.ends_on)),
            fill(
                _TABS,
                tabs="".join(
                    fill(_TAB, active=' class="active"' if i == 0 else "", tab=_id(c, "tab"), name=c.name)
                    for i, c in enumerate(day.classes)
                ),
                panes="".join(_pane(c, first=i == 0) for i, c in enumerate(day.classes)),
            ),
            stats(track.layout, day.entries, day.drivers, total_laps),
            _CLOSE,
        )
    )


def _id(entered: EventClass, kind: str) -> str:
    """The element's id: plus signs, dots and slashes dropped, blanks as underscores, so it may begin with a digit."""
    name = "".join("_" if c == " " else c for c in entered.name if c not in "+./")
    return f"{name}_{kind}_{entered.number}"


def _pane(entered: EventClass, *, first: bool) -> str:
    return fill(
        _PANE,
        active=" in active" if first else "",
        tab=_id(entered, "tab"),
        table=_id(entered, "table"),
        name=entered.name,
        count=len(entered.registrations),
        rows="".join(_row(i, r) for i, r in enumerate(entered.registrations, 1)),
    )


def _row(number: int, registration: Registration) -> str:
    driver = registration.driver
    return fill(
        _ROW, number=number, sort=driver.sort_name, name=driver.name, transponder=registration.transponder or ""
    )


# ---------------------------------------------------------------- templates

_SORTABLE = tabbed("""
0|<script>
1|$(document).ready(function()
1|{
@tables@6|});
0|</script>
0|
""")

_SORTABLE_ONE = tabbed("""
7|$('#@table@').DataTable({'responsive': true, 'order': [[1, 'asc']], 'paging': false});
""")

_TABS = tabbed("""
0|<div class="row">
1|
1|<div class="col-lg-8">
2|
2|<div class="panel panel-default">
3|<div class="panel-heading"><i class="fa fa-list fa-fw"></i> Entry List</div>
3|<div class="panel-body no_padding">
4|
4|
5|<!-- Tabs -->
5|<div class="padding_container">
6|<ul class="nav nav-pills">
@tabs@21|</ul>
5|</div>
5|<br>
5|
5|<!-- Panes -->
5|<div class="tab-content">
@panes@18|</div>
4|
4|
3|</div>
2|</div>
2|
1|</div>
1|
1|<div class="col-lg-4">
2|
""")

_TAB = tabbed("""
23|<li@active@><a href="#@tab@" data-toggle="tab">@name@</a></li>
""")

_PANE = tabbed("""
20|<div class="tab-pane fade@active@ table-responsive" id="@tab@">
8|<table id="@table@" class="table table-striped" cellspacing="0" width="100%">
9|<thead>
10|<tr>
11|<th colspan="3">
12|<div class="class_header">@name@</div>
12|<div class="class_sub_header">Entries: @count@</div>
11|</th>
10|</tr>
10|<tr>
11|<th>#</th>
11|<th>Driver</th>
11|<th>Transponder #</th>
10|</tr>
9|</thead>
9|<tfoot>
10|<tr>
11|<th>#</th>
11|<th>Driver</th>
11|<th>Transponder #</th>
10|</tr>
9|</tfoot>
9|<tbody>
@rows@30|</tbody>
8|</table>
7|</div>
""")

_ROW = tabbed("""
23|<tr>
13|<td>@number@</td>
13|<td><span class="hidden">@sort@</span>@name@</td>
13|<td>@transponder@</td>
11|</tr>
""")

_CLOSE = tabbed("""
1|
1|</div>
1|
0|</div>
""")
