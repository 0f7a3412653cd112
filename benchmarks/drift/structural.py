"""Kinds that change how a page is built: markup, columns, titles, scripts. What the page says stays the same."""

from __future__ import annotations

import re
from random import Random

from benchmarks.drift.kinds import (
    CATALOGUE,
    DASHBOARD,
    ENTRIES,
    EVENT,
    LISTING,
    RACE,
    Cells,
    Kind,
    body_rows,
    chained,
    in_cells,
    inserted,
    moved,
    renamed,
    rewritten,
    script,
    swapped,
    table_rows,
    tables,
    without,
)

# Columns of the result table.
POS, DRIVER, QUAL, TOTAL, BEHIND, FASTEST, AVG, TOP5, TOP10, TOP15, TOP3, DEVIATION, CONSISTENCY = range(13)


def _wrapped(cells: Cells, is_title: bool, _: int, __: Random) -> Cells:
    if is_title:
        return cells
    return [
        re.sub(r"(<td\b[^>]*>)(.*)(</td>)", r'\1<div class="cell">\2</div>\3', cell, flags=re.DOTALL) for cell in cells
    ]


def _wrapped_everywhere(page_type: str) -> object:
    return table_rows(page_type, _wrapped, least=1)


def _split_rows(table: str) -> str:
    """One table becomes two, the second half of the rows in a table of its own."""
    rows = re.findall(r"<tr\b.*?</tr>", table.partition("<tbody>")[2], re.DOTALL)
    if len(rows) < 4:
        return table
    half = table.find(rows[len(rows) // 2])
    opening = table[: table.find("<tbody>") + len("<tbody>")]
    return f"{table[:half]}</tbody></table>{opening}{table[half:]}"


def _split_columns(table: str) -> str:
    """One table becomes two beside each other: the first eight columns, and the rest."""

    def cut(part: slice) -> str:
        def edited(row: re.Match[str]) -> str:
            cells = re.findall(r"\s*<t[dh]\b.*?</t[dh]>", row[2], re.DOTALL)
            return row[0] if len(cells) < 9 else row[1] + "".join(cells[part]) + row[3]

        return re.sub(r"(<tr\b[^>]*>)(.*?)(</tr>)", edited, table, flags=re.DOTALL)

    return cut(slice(0, 8)) + cut(slice(8, None)).replace("race_result", "race_statistics")


def _requoted(text: str, _: Random) -> str:
    return re.sub(r"'((?:[^'\\]|\\.)*)'", lambda m: '"' + m[1].replace('"', '\\"').replace("\\'", "'") + '"', text)


def _bare_keys(text: str, _: Random) -> str:
    return re.sub(r"'(\w+)' :", r"\1:", text)


def _as_json(text: str, _: Random) -> str:
    """The blocks as one JSON document, which nothing assigns."""
    return text.replace("racerLaps[", "// racerLaps[")


ALL_RACE = (
    "position",
    "driver_name",
    "source_driver_id",
    "car_number",
    "qualifying_position",
    "laps_and_time",
    "behind",
    "fast_lap_ms",
    "fast_lap_number",
    "avg_lap_ms",
    "avg_top_5_ms",
    "avg_top_10_ms",
    "avg_top_15_ms",
    "top_3_consecutive_ms",
    "std_deviation",
    "consistency",
)

STRUCTURAL: tuple[Kind, ...] = (
    Kind(
        "class_renamed",
        "the class of a name, a heading or a link is another",
        {
            RACE: renamed(('class="driver_name"', 'class="racer"'), ('class="car_num"', 'class="start_no"')),
            ENTRIES: renamed(('"class_header"', '"group_title"'), ('"class_sub_header"', '"group_note"')),
            CATALOGUE: renamed(('class="indent"', 'class="latest"')),
        },
        {
            RACE: ("driver_name", "car_number"),
            ENTRIES: ("class_name", "declared_entries"),
            CATALOGUE: ("latest_event",),
        },
    ),
    Kind(
        "table_class_renamed",
        "the class or id of the table is another",
        {
            RACE: renamed(("table-striped race_result", "table-striped results_grid")),
            EVENT: renamed(("entry_list_data", "event_data")),
            LISTING: renamed(('<table id="events"', '<table id="meetings"')),
            CATALOGUE: renamed(("table-striped track_list", "table-striped tracks")),
        },
        {
            RACE: ALL_RACE,
            LISTING: ("href", "event_name", "dates", "starts_at_local", "entries", "drivers"),
            CATALOGUE: ("href", "name", "latest_event"),
        },
    ),
    Kind(
        "wrapper_added",
        "every cell's content stands in an element of its own",
        {page_type: _wrapped_everywhere(page_type) for page_type in (RACE, EVENT, ENTRIES, LISTING, CATALOGUE)},  # type: ignore[misc]
    ),
    Kind(
        "table_wrapped",
        "the table stands in two more elements",
        {
            page_type: rewritten(
                (r"(<table\b)", r'<div class="scroll"><section>\1'), (r"(</table>)", r"\1</section></div>")
            )
            for page_type in (RACE, EVENT, ENTRIES, LISTING, CATALOGUE)
        },
    ),
    Kind(
        "column_inserted",
        "there is one more column",
        {
            RACE: inserted(RACE, TOTAL, "Points", "10"),
            EVENT: inserted(EVENT, 1, "Laps", "120"),
            ENTRIES: inserted(ENTRIES, 1, "Club", "North"),
            LISTING: inserted(LISTING, 2, "Laps", "0"),
            CATALOGUE: inserted(CATALOGUE, 1, "Country", "AU"),
        },
    ),
    Kind(
        "column_removed",
        "a column is gone",
        {
            RACE: moved(RACE, without(FASTEST)),
            EVENT: moved(EVENT, without(1)),
            ENTRIES: moved(ENTRIES, without(2)),
            LISTING: moved(LISTING, without(2)),
            CATALOGUE: moved(CATALOGUE, without(0)),
        },
    ),
    Kind(
        "optional_column_removed",
        "a column that the laps cannot tell is gone",
        {RACE: moved(RACE, without(QUAL)), LISTING: moved(LISTING, without(3)), ENTRIES: moved(ENTRIES, without(0))},
    ),
    Kind("gap_column_removed", "'Behind' is gone", {RACE: moved(RACE, without(BEHIND))}),
    Kind(
        "columns_reordered",
        "columns stand in another order, with their titles",
        {
            RACE: moved(RACE, lambda n: [1, 0, *range(n - 1, 1, -1)]),
            EVENT: moved(EVENT, swapped(0, 1)),
            ENTRIES: moved(ENTRIES, lambda n: list(reversed(range(n)))),
            LISTING: moved(LISTING, lambda n: list(reversed(range(n)))),
            CATALOGUE: moved(CATALOGUE, swapped(0, 1)),
        },
    ),
    Kind(
        "header_renamed",
        "a column has another title",
        {
            RACE: renamed(("<th>Fastest Lap", "<th>Best"), ("<th>Behind", "<th>Gap")),
            ENTRIES: renamed(("<th>Transponder #</th>", "<th>Chip</th>")),
            LISTING: renamed(("<th>Date</th>", "<th>When</th>"), ("# Drivers", "Pilots")),
            EVENT: renamed(("<th>Registrations</th>", "<th>Sign-ups</th>"), ("Total Race Laps", "Laps raced")),
        },
        {
            RACE: ("fast_lap_ms", "fast_lap_number", "behind"),
            ENTRIES: ("transponder",),
            LISTING: ("dates", "starts_at_local", "drivers"),
            EVENT: ("entries", "drivers", "total_race_laps"),
        },
    ),
    Kind(
        "every_header_renamed",
        "no column keeps its title",
        {
            RACE: chained(
                renamed(
                    ("<th>Pos</th>", "<th>Place</th>"),
                    ("<th>Driver</th>", "<th>Racer</th>"),
                    ("<th>Qual</th>", "<th>Grid</th>"),
                    ("<th>Laps/Time</th>", "<th>Result</th>"),
                    ("<th>Behind</th>", "<th>Gap</th>"),
                    ("<th>Fastest Lap", "<th>Best"),
                    ("<th>Avg Lap</th>", "<th>Mean</th>"),
                    ("<th>Avg Top 5</th>", "<th>Mean 5</th>"),
                    ("<th>Avg Top 10</th>", "<th>Mean 10</th>"),
                    ("<th>Avg Top 15</th>", "<th>Mean 15</th>"),
                    ("<th>Top 3 Consecutive</th>", "<th>Best 3</th>"),
                    ("<th>Std. Deviation</th>", "<th>Sigma</th>"),
                    ("<th>Consistency</th>", "<th>Steadiness</th>"),
                )
            ),
            ENTRIES: renamed(
                ("<th>#</th>", "<th>No</th>"),
                ("<th>Driver</th>", "<th>Name</th>"),
                ("<th>Transponder #</th>", "<th>Chip</th>"),
            ),
            LISTING: renamed(
                ("<th>Event Name</th>", "<th>Meeting</th>"),
                ("<th>Date</th>", "<th>When</th>"),
                ("# Entries", "Starters"),
                ("# Drivers", "Pilots"),
            ),
        },
        {
            RACE: ALL_RACE,
            ENTRIES: ("number", "driver_name", "transponder"),
            LISTING: ("href", "event_name", "dates", "starts_at_local", "entries", "drivers"),
        },
    ),
    Kind(
        "attribute_renamed",
        "an attribute is called otherwise",
        {
            RACE: renamed(("data-driver-id", "data-racer-id")),
            DASHBOARD: renamed(('title="Phone"', 'aria-label="Phone"'), ('title="Website"', 'aria-label="Website"')),
        },
        {RACE: ("source_driver_id",), DASHBOARD: ("phone", "website")},
    ),
    Kind(
        "id_into_address",
        "the driver's id stands in an address instead of an attribute",
        {RACE: rewritten((r'href="#" data-driver-id="(\d+)"', r'href="/drivers/\1/laps"'))},
        {RACE: ("source_driver_id",)},
    ),
    Kind(
        "tag_changed",
        "an element has another tag",
        {
            RACE: rewritten((r"<sup>(\d+)</sup>", r'<small class="lap_no hidden">\1</small>')),
            ENTRIES: rewritten((r"<h3\b(.*?)</h3>", r"<h2\1</h2>")),
            EVENT: rewritten((r"<h3\b(.*?)</h3>", r"<h2\1</h2>")),
            DASHBOARD: renamed(("<address ", "<div "), ("</address>", "</div>")),
        },
        {RACE: ("fast_lap_number",), ENTRIES: ("event_name",), EVENT: ("event_name",), DASHBOARD: ("phone", "website")},
    ),
    Kind(
        "lap_number_inline",
        "the number of the fastest lap stands in the text of the time",
        {RACE: rewritten((r"<sup>(\d+)</sup>", r"\1"))},
    ),
    Kind(
        "lap_number_in_span",
        "the number of the fastest lap stands in a plain element",
        {RACE: rewritten((r"<sup>(\d+)</sup>", r"<span>\1</span>"))},
    ),
    Kind(
        "header_cells_changed",
        "the titles stand in cells of another tag",
        {
            RACE: tables(RACE, lambda t: re.sub(r"<th>(.*?)</th>", r"<td>\1</td>", t)),
            LISTING: tables(LISTING, lambda t: re.sub(r"<th\b[^>]*>(.*?)</th>", r"<td>\1</td>", t, flags=re.DOTALL)),
        },
    ),
    Kind("table_split", "the rows stand in two tables", {RACE: tables(RACE, _split_rows)}),
    Kind("columns_split", "the columns stand in two tables", {RACE: tables(RACE, _split_columns)}),
    Kind(
        "breadcrumb_changed",
        "the page's headings have other classes and another place",
        {
            page_type: renamed(("page-breadcrumb", "crumbs"), ('class="page-header', 'class="crumb'))
            for page_type in (RACE, EVENT, ENTRIES, LISTING, DASHBOARD)
        },
        {
            RACE: ("track_name", "event_name"),
            EVENT: ("track_name", "event_name", "dates"),
            ENTRIES: ("track_name", "event_name"),
            LISTING: ("track_name",),
            DASHBOARD: ("track_name",),
        },
    ),
    Kind(
        "title_changed",
        "the parts of the title are joined otherwise",
        {
            page_type: rewritten((r"<title>(.*?)</title>", lambda m: m[0].replace(" :: ", " | ")))  # type: ignore[arg-type]
            for page_type in (RACE, EVENT, ENTRIES, LISTING, DASHBOARD)
        },
        {RACE: ("title",), EVENT: ("title",), ENTRIES: ("title",), LISTING: ("title",), DASHBOARD: ("title",)},
    ),
    Kind(
        "round_renamed",
        "round and length have other labels",
        {RACE: renamed(("Round: ", "Stage: "), ("Length: ", "Duration: "))},
        {RACE: ("round", "length_text")},
    ),
    Kind(
        "script_renamed",
        "the lap script's variable is another",
        {RACE: renamed(("racerLaps", "driverLaps"))},
        {RACE: ("script",)},
    ),
    Kind("keys_requoted", "the lap script is written in double quotes", {RACE: script(_requoted)}),
    Kind("keys_bare", "the lap script's keys have no quotes", {RACE: script(_bare_keys)}),
    Kind(
        "lap_fields_renamed",
        "the laps' keys are called otherwise",
        {
            RACE: renamed(
                ("'time' :", "'lapTime' :"),
                ("'lapNum' :", "'lap' :"),
                ("'pos' :", "'place' :"),
                ("'pace' :", "'proj' :"),
            )
        },
        {RACE: ("script.lap.time", "script.lap.lap_num", "script.lap.pos", "script.lap.pace")},
    ),
    Kind(
        "racer_fields_renamed",
        "the drivers' keys are called otherwise",
        {
            RACE: renamed(
                ("'driverName' :", "'name' :"),
                ("'top2Consecutive' :", "'best2' :"),
                ("'laps' :", "'lapList' :"),
                ("'avgTop5' :", "'top5' :"),
            )
        },
        {
            RACE: (
                "script.racer.driver_name",
                "script.racer.top2_consecutive",
                "script.racer.laps",
                "script.racer.avg_top5",
            )
        },
    ),
    Kind("lap_position_key_gone", "the laps hold no position any more", {RACE: rewritten((r"'pos' : '\d+',", ""))}),
    Kind("script_gone", "the lap script assigns nothing", {RACE: script(_as_json)}),
    Kind(
        "entry_link_renamed",
        "the entry list has another address",
        {EVENT: renamed(("p=view_entry_list", "p=view_entries"))},
    ),
    Kind(
        "race_addresses_renamed",
        "races have other addresses",
        {EVENT: rewritten((r"/results/\?p=view_race_result&id=(\d+)", r"/race/\1"))},
    ),
    Kind(
        "race_label_changed",
        "races are labelled otherwise",
        {EVENT: rewritten((r"Race (\d+): ", r"#\1 - "))},
    ),
    Kind("race_list_reversed", "the race list is oldest first", {EVENT: body_rows(EVENT, lambda rows, _: rows[::-1])}),
    Kind(
        "time_split",
        "date and time of a race stand in two cells",
        {EVENT: rewritten((r"<td>(\w+ \d+, \d{4}) at (\d+:\d\d[ap]m)</td>", r"<td>\1</td><td>\2</td>"))},
    ),
    Kind(
        "time_in_elements",
        "date and time of a race stand in two elements",
        {
            EVENT: rewritten(
                (r"<td>(\w+ \d+, \d{4}) at (\d+:\d\d[ap]m)</td>", r"<td><span>\1</span> <small>\2</small></td>")
            )
        },
    ),
    Kind(
        "values_in_attributes",
        "the cells are empty, their values stand in attributes for a script to show",
        {
            RACE: in_cells(RACE, TOTAL, r"<td>([^<]+)</td>", r'<td data-value="\1"></td>'),
            ENTRIES: in_cells(ENTRIES, 2, r"<td>([^<]+)</td>", r'<td data-chip="\1"></td>'),
        },
        {RACE: ("laps_and_time",), ENTRIES: ("transponder",)},
    ),
    Kind(
        "cell_link_moved",
        "the link stands beside the name",
        {
            LISTING: in_cells(
                LISTING, 0, r"<a href=\"([^\"]*)\">(.*?)</a>", r'<b class="title">\2</b> <a href="\1">Open</a>'
            )
        },
    ),
)
