"""The event page: three tables of one class, told apart by their heading, with round headings as rows of the list.

Race numbers restart in every round, the newest race stands first, and labels come in two forms, one of them with
parentheses inside parentheses.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby

from mre_console.simulator import dialect
from mre_console.simulator.dialect import fill, tabbed
from mre_console.simulator.pages_frame import event_breadcrumb
from mre_console.simulator.specs import EntryList
from mre_console.simulator.world import Race, RaceDay, Track


def content(track: Track, day: RaceDay, races: tuple[Race, ...]) -> str:
    """What stands inside #page-wrapper. `races` in running order."""
    return "".join(
        (
            event_breadcrumb(track.name, day.name, dialect.days(day.starts_at.date(), day.ends_on), event_page=True),
            _OPEN,
            fill(_LINEUPS, entry_list=_entry_list(day), sheets=_links(_sheets(day, races), "list")),
            fill(_OVERALL, links=_overall(day, races)),
            fill(_RESULTS, races=_race_list(day, races)),
            _CLOSE_LIST,
            stats(track.layout, day.entries, day.drivers, sum(len(e.laps_ms) for r in races for e in r.entrants)),
            _CLOSE,
        )
    )


def shell_content(track: Track) -> str:
    """The page of an unknown id: everything is there but the event."""
    return "".join(
        (
            event_breadcrumb(track.name, "", "", event_page=True),
            _OPEN,
            fill(_RESULTS, races=""),
            _CLOSE_LIST,
            stats("", 0, 0, 0),
            _CLOSE,
        )
    )


def stats(layout: str, entries: int, drivers: int, laps: int) -> str:
    """The right column of event and entry-list pages."""
    return fill(_STATS, layout=layout, entries=entries, drivers=drivers, laps=dialect.thousands(laps))


# ---------------------------------------------------------------- the three tables


def _entry_list(day: RaceDay) -> str:
    return "" if day.spec.entry_list is EntryList.UNLINKED else fill(_ENTRY_LIST, event_id=day.event_id)


def _sheets(day: RaceDay, races: tuple[Race, ...]) -> list[tuple[str, str]]:
    rounds = list(dict.fromkeys(r.round.heading for r in races))
    return [(f"p=view_heat_sheet&id={int(day.event_id) * 20 + (7 * i) % 20}", name) for i, name in enumerate(rounds)]


def _overall(day: RaceDay, races: tuple[Race, ...]) -> str:
    """Final results, points, round rankings and the combined results of triple mains; none of these pages exists."""
    if not races:
        return ""
    number = int(day.event_id)
    qualifiers = sorted({r.round.heading for r in races if r.round.tag.startswith("Q")})
    legs = dict.fromkeys(r.label.replace("1-Main", "-Main") for r in races if r.label.endswith("1-Main"))
    return "".join(
        (
            _links([(f"p=event_overall_ranking&id={number}", "Final Results")], "trophy"),
            _links([(f"p=view_points&id={14 * number}", f"Results (1 of {len(qualifiers)})")], "th"),
            _links(
                [
                    (f"p=view_round_ranking&id={3 * number + i}&o=laps_time", f"{heading} Rankings")
                    for i, heading in enumerate(qualifiers)
                ],
                "list-ol",
            ),
            _links(
                [(f"p=view_multi_main_result&id={2 * number + 9 * i}", _triple(label)) for i, label in enumerate(legs)],
                "trophy",
            ),
        )
    )


def _triple(label: str) -> str:
    class_name, _, letter = label.removesuffix("-Main").rpartition(" ")
    return f"{class_name} Triple {letter}-Main Results"


def _links(links: Iterable[tuple[str, str]], icon: str) -> str:
    rows = [fill(_LINK, href=f"/results/?{query}", icon=icon, text=text) for query, text in links]
    return "\t" * 9 + "".join(rows) if rows else ""


def _race_list(day: RaceDay, races: tuple[Race, ...]) -> str:
    parts = []
    for heading, group in groupby(reversed(races), key=lambda r: r.round.heading):
        if day.spec.headings:
            parts.append(fill(_HEADING, heading=heading))
        parts += [_race_row(day, race) for race in group]
    return "".join(parts)


def _race_row(day: RaceDay, race: Race) -> str:
    label = f"{race.class_name} ({race.label})" if race.wrapped else race.label
    completed = dialect.day(race.completed_at) if day.spec.bare_dates else dialect.minute(race.completed_at)
    return fill(_RACE, race_id=race.race_id, number=race.number, label=label, completed=completed)


# ---------------------------------------------------------------- templates

_OPEN = tabbed("""
0|
0|
0|
0|
0|<div class="row">
1|
1|<div class="col-lg-8">
2|
5|<div class="panel panel-default">
4|<div class="panel-heading"><i class="fa fa-list-ol fa-fw"></i> Lineups &amp; Results</div>
4|<div class="panel-body no_padding">
5|
11|
12|
""")

_LINEUPS = tabbed("""
6|<div class="table-responsive">
7|<table class="table table-hover entry_list_data">
8|<thead>
9|<tr>
10|<th><span class="class_header">Race Lineups &amp; Entry List</span></th>
9|</tr>
8|</thead>
8|<tbody>
@entry_list@@sheets@18|
17|</tbody>
7|</table>
6|</div>
0|
7|
6|
""")

_ENTRY_LIST = tabbed("""
9|<tr class="clickable-row" data-href="/results/?p=view_entry_list&id=@event_id@">
10|<td><a href="/results/?p=view_entry_list&id=@event_id@" class="block"><i class="fa fa-bars"></i> Entry List</a></td>
9|</tr>
""")

_LINK = tabbed("""
21|<tr>
12|<td><a href="@href@" class="block"><i class="fa fa-@icon@"></i> @text@</a></td>
11|</tr>
""")

_OVERALL = tabbed("""
13|<div class="table-responsive">
8|<table class="table table-hover entry_list_data">
9|<thead>
10|<tr>
11|<th><span class="class_header">Overall Results &amp; Rankings</span></th>
10|</tr>
9|</thead>
9|<tbody>
@links@20|
9|</tbody>
8|</table>
7|</div>
12|
""")

_RESULTS = tabbed("""
6|<div class="table-responsive">
7|<table class="table table-hover entry_list_data">
8|<thead>
9|<tr>
10|<th colspan="2"><span class="class_header">Race Results</span></th>
9|</tr>
8|</thead>
8|<tbody>
@races@29|</tbody>
7|</table>
6|</div>
""")

_HEADING = tabbed("""
30|<tr>
12|<th>@heading@</th>
12|<th>Time Completed</th>
11|</tr>
""")

_RACE = tabbed("""
25|<tr>
14|<td><a href="/results/?p=view_race_result&id=@race_id@" class="block"><i class="fa fa-trophy"></i> Race @number@: @label@</a></td>
14|<td>@completed@</td>
13|</tr>
""")  # noqa: E501 - one line in the dialect

_CLOSE_LIST = tabbed("""
6|
10|
4|</div>
4|<!-- /.panel-body -->
3|</div>
4|
1|</div>
1|
1|<div class="col-lg-4">
2|
""")

_STATS = tabbed("""
5|<div class="card">
1|<div class="card-header">
2|<h2><i class="fas fa-chart-line"></i> Numbers</h2>
1|</div>
1|<div class="card-body p-0">
2|<table class="table table-sm table-borderless m-0">
3|<tbody>
4|<tr>
5|<th>Race Track</th>
5|<td>@layout@</td>
4|</tr>
4|<tr>
5|<th>Registrations</th>
5|<td>
6|Entries: @entries@<br />
6|Drivers: @drivers@5|</td>
4|</tr>
4|<tr>
5|<th>Total Race Laps</th>
5|<td>@laps@</td>
4|</tr>
7|</tbody>
2|</table>
1|</div>
0|</div>
""")

_CLOSE = tabbed("""
4|
1|</div>
1|
0|</div>
""")
