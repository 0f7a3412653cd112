"""Race pages: the result table field by field, with all that real tables do and some that they may come to do."""

from __future__ import annotations

from decimal import Decimal

import pytest

from pipeline.errors import Kind, ParseError
from pipeline.liverc.readers import read_page
from pipeline.liverc.urls import parse_url, race_url
from pipeline.records import RacePage, TableRow
from tests.support.liverc_pages import (
    COLUMNS,
    EVENT,
    NON_STARTER,
    SCRIPT,
    STARTER,
    TRACK,
    breadcrumb,
    driver_cell,
    hidden,
    page,
    race_page,
    race_table,
)

REF = parse_url(race_url("nordhall", "9"))


def read(body: bytes) -> RacePage:
    record = read_page(body, REF)
    assert isinstance(record, RacePage)
    return record


def with_cells(*changes: tuple[str, str]) -> bytes:
    """The starter's row with other cells."""
    cells = list(STARTER)
    for column, cell in changes:
        cells[COLUMNS.index(column)] = cell
    return race_page(race_table([cells, NON_STARTER]))


def failure_of(body: bytes) -> ParseError:
    with pytest.raises(ParseError) as failure:
        read_page(body, REF)
    assert failure.value.details["page_type"] == "race_result"
    assert failure.value.details["url"] == REF.url
    return failure.value


def test_a_race_page() -> None:
    record = read(race_page())
    assert (record.source_race_id, record.track_name, record.event_name) == ("9", TRACK, EVENT)
    assert (record.race_label, record.round, record.race_number) == ("1/8 Buggy (Heat 1/2)", "Qualifier Round 2", 12)
    assert (record.length_text, record.length_seconds) == ("5:00 Timed", 300)
    assert record.has_lap_script
    assert [len(racer.laps) for racer in record.racers] == [4, 0]
    starter, non_starter = record.rows
    assert starter == TableRow(
        position=1,
        driver_name="KARI D'ARC",
        source_driver_id="101",
        car_number=4,
        qualifying_position=4,
        laps_completed=3,
        total_time_ms=119500,
        behind=None,
        fast_lap_ms=39500,
        fast_lap_number=2,
        avg_lap_ms=39833,
        avg_top_5_ms=None,
        avg_top_10_ms=None,
        avg_top_15_ms=None,
        top_3_consecutive_ms=119500,
        std_deviation=Decimal("0.24"),
        consistency=Decimal("99.41"),
        hidden_mismatches=(),
    )
    assert (non_starter.position, non_starter.driver_name, non_starter.car_number) == (2, "OLA 5 NES", 7)
    assert non_starter.source_driver_id is None
    assert (non_starter.laps_completed, non_starter.total_time_ms, non_starter.behind) == (0, None, "0.000")
    assert (non_starter.fast_lap_ms, non_starter.avg_lap_ms, non_starter.consistency) == (None, None, None)


def test_columns_are_found_by_their_titles() -> None:
    """The set and order of columns has varied."""
    order = ["Consistency", "Driver", "Top 2 Consecutive", "Laps/Time", "Fastest Lap", "Pos"]
    cells = dict(zip(COLUMNS, STARTER, strict=True)) | {"Top 2 Consecutive": hidden("79.500", "1:19.500")}
    record = read(race_page(race_table([[cells[column] for column in order]], order)))
    row = record.rows[0]
    assert (row.position, row.driver_name, row.laps_completed, row.fast_lap_ms) == (1, "KARI D'ARC", 3, 39500)
    assert row.consistency == Decimal("99.41")
    assert (row.qualifying_position, row.avg_lap_ms, row.top_3_consecutive_ms, row.behind) == (None, None, None, None)


@pytest.mark.parametrize("column", ["Pos", "Driver", "Laps/Time"])
def test_a_required_column_that_is_gone_is_named(column: str) -> None:
    titles = [title if title != column else "Other" for title in COLUMNS]
    error = failure_of(race_page(race_table([STARTER], titles)))
    assert error.kind is Kind.FIELD_MISSING
    assert repr(column) in error.details["selector"]
    assert error.details["field"] in ("position", "driver_name", "laps_and_time")


def test_titles_may_stand_in_the_footer_or_the_body_only() -> None:
    table = race_table([STARTER])
    begin, end = table.index("<tr><th>Pos"), table.index("</thead>")
    assert read(race_page(table[:begin] + table[end:])) == read(race_page(race_table([STARTER])))


@pytest.mark.parametrize(
    ("column", "cell", "field", "value"),
    [
        ("Laps/Time", "1/56.135", "total_time_ms", 56135),
        ("Laps/Time", "60/1:01:02.345", "total_time_ms", 3662345),
        ("Laps/Time", "\n\t\t60/61:02.345\n\t", "total_time_ms", 3662345),
        ("Fastest Lap", "39.500", "fast_lap_number", None),
        ("Fastest Lap", "39.500 <sup> 2 </sup>", "fast_lap_ms", 39500),
        ("Fastest Lap", "", "fast_lap_ms", None),
        ("Behind", "2 Laps", "behind", "2 Laps"),
        ("Behind", " 17.572 ", "behind", "17.572"),
        ("Qual", "", "qualifying_position", None),
        ("Qual", "-", "qualifying_position", None),
        ("Consistency", "-3.20%", "consistency", Decimal("-3.20")),
        ("Driver", driver_cell("  JO  &quot;X&quot; O'&Aring;S JR.  ", "3"), "driver_name", 'JO "X" O\'ÅS JR.'),
        ("Driver", driver_cell("BOB 3RD", "3"), "driver_name", "BOB 3RD"),
        ("Driver", driver_cell("M&M", "3"), "car_number", 3),
    ],
)
def test_a_cell_and_its_value(column: str, cell: str, field: str, value: object) -> None:
    assert getattr(read(with_cells((column, cell))).rows[0], field) == value


@pytest.mark.parametrize(
    ("column", "cell", "field"),
    [
        ("Pos", "first", "position"),
        ("Laps/Time", "16/10:14:477.1", "laps_and_time"),
        ("Laps/Time", "DQ", "laps_and_time"),
        ("Fastest Lap", "3<b>9.5</b>00s", "fast_lap_ms"),
        ("Fastest Lap", "39.500<sup>lap 2</sup>", "fast_lap_number"),
        ("Avg Lap", hidden("39.833", "&lt;script&gt;alert(1)&lt;/script&gt;"), "avg_lap_ms"),
        ("Qual", "x" * 500, "qualifying_position"),
        ("Std. Deviation", "0,24", "std_deviation"),
    ],
)
def test_a_value_that_is_not_understood_names_its_place(column: str, cell: str, field: str) -> None:
    error = failure_of(with_cells((column, cell)))
    assert error.kind is Kind.FIELD_INVALID
    assert error.details["field"] == field
    assert column in error.details["selector"]
    assert len(error.details["value"]) <= 60
    assert "<" not in error.details["value"]


@pytest.mark.parametrize(
    ("column", "field"), [("Pos", "position"), ("Laps/Time", "laps_and_time"), ("Driver", "driver_name")]
)
def test_a_required_value_that_is_empty_is_missing(column: str, field: str) -> None:
    error = failure_of(with_cells((column, "")))
    assert error.kind is Kind.FIELD_MISSING
    assert error.details["field"] == field


@pytest.mark.parametrize("cells", [STARTER[:4] + STARTER[5:], (*STARTER, "1"), STARTER[:3]])
def test_a_row_with_more_or_fewer_cells_than_columns_is_refused(cells: tuple[str, ...]) -> None:
    """The values would stand under the wrong titles."""
    error = failure_of(race_page(race_table([STARTER, cells])))
    assert (error.kind, error.details["field"]) == (Kind.FIELD_INVALID, "results")
    assert error.details["value"] == f"{len(cells)} cells"


def test_a_cell_that_spans_others_is_refused() -> None:
    spanned = race_table([STARTER]).replace("<td></td>\n\t<td>39.500<sup>2</sup></td>", '<td colspan="2">1 Lap</td>')
    assert 'colspan="2"' in spanned
    assert failure_of(race_page(spanned)).kind is Kind.FIELD_INVALID


@pytest.mark.parametrize(
    ("cell", "mismatches"),
    [
        (hidden("39.833"), ()),
        (hidden("39.8330", "39.833"), ()),
        (hidden("99.833", "1:39.833"), ()),
        ("39.833", ()),
        (hidden("39.834", "39.833"), ("avg_lap_ms",)),
        (hidden("", "39.833"), ("avg_lap_ms",)),
        (hidden("39.833", ""), ("avg_lap_ms",)),
        (hidden("soon", "39.833"), ("avg_lap_ms",)),
    ],
)
def test_a_hidden_sort_key_that_differs_is_noted(cell: str, mismatches: tuple[str, ...]) -> None:
    assert read(with_cells(("Avg Lap", cell))).rows[0].hidden_mismatches == mismatches


# ---------------------------------------------------------------- what may not be there


def test_a_race_without_lap_script_is_read() -> None:
    record = read(race_page(script=None))
    assert not record.has_lap_script
    assert record.racers == ()
    assert record.rows == read(race_page()).rows


def test_other_scripts_are_no_lap_script() -> None:
    assert not read(race_page(script="var positionData = [];")).has_lap_script
    assert not read(race_page(script="show(racerLaps[id]);")).has_lap_script


def test_a_script_in_a_comment_is_no_script() -> None:
    body = race_page().replace(
        b'<script type="text/javascript">\n\t\t\t\t\t\tvar r', b"<!-- <script>\n\t\t\t\t\t\tvar r"
    )
    body = body.replace(b"console.log(racerLaps[102]);\n</script>", b"console.log(racerLaps[102]);\n</script> -->")
    assert body.count(b"-->") == race_page().count(b"-->") + 1
    assert not read(body).has_lap_script


def test_the_lap_script_may_stand_in_several_scripts() -> None:
    middle = "console.log(racerLaps[101]);"
    split = race_page(
        script="show(racerLaps[id]);</script><script>" + SCRIPT.replace(middle, f"{middle}</script>\n<script>")
    )
    assert read(split) == read(race_page())


def test_an_unreadable_lap_script_fails_the_page() -> None:
    error = failure_of(race_page(script=SCRIPT.replace("'laps' : [", "'laps' : [ new Lap(), ", 1)))
    assert error.kind is Kind.SCRIPT_UNREADABLE


def test_a_race_with_an_empty_table_has_no_rows() -> None:
    assert read(race_page(race_table([]))).rows == ()
    note = race_table([]).replace("<tbody>", '<tbody><tr><td colspan="13">No results available.</td></tr>')
    assert read(race_page(note)).rows == ()


@pytest.mark.parametrize("label", ["", '<span class="class_header"></span>'])
def test_a_race_without_label_is_refused(label: str) -> None:
    error = failure_of(race_page(race_table([STARTER], head=label)))
    assert (error.kind, error.details["field"]) == (Kind.FIELD_MISSING, "race_label")


def test_round_length_and_number_may_be_missing() -> None:
    record = read(race_page(race_table([STARTER], head='<span class="class_header">Junior A-Main</span>')))
    assert (record.race_label, record.round, record.length_text, record.length_seconds) == (
        "Junior A-Main",
        None,
        None,
        None,
    )
    assert record.race_number == 12  # from the panel's heading


def test_a_length_in_laps_is_kept_as_text() -> None:
    table = race_table([STARTER]).replace("Length: 5:00 Timed", "Length: 3 Laps")
    record = read(race_page(table))
    assert (record.length_text, record.length_seconds) == ("3 Laps", None)


# ---------------------------------------------------------------- what is no race page


def test_a_frame_without_the_table_names_the_table() -> None:
    error = failure_of(race_page("", script=None))
    assert (error.kind, error.details["field"]) == (Kind.FIELD_MISSING, "results")
    assert "race_result" in error.details["selector"]


def test_a_table_without_its_class_is_found_by_the_id_that_a_table_widget_gives() -> None:
    table = race_table([STARTER], css="other").replace("<table ", '<table id="DataTables_Table_0" ')
    assert len(read(race_page(table)).rows) == 1


def test_a_table_in_a_comment_is_no_table() -> None:
    error = failure_of(race_page("<!--" + race_table([STARTER]) + "-->"))
    assert (error.kind, error.details["field"]) == (Kind.FIELD_MISSING, "results")


def test_a_copy_saved_by_a_browser_reads_alike() -> None:
    """Race tables are never paged: the table widget leaves marks, but all rows."""
    table = race_table([STARTER, NON_STARTER]).replace("race_result", "race_result dataTable no-footer dtr-inline")
    table = table.replace("<tbody>", "<tbody>\n").replace(
        "<tr>\n\t<td>", '<tr role="row" class="odd">\n\t<td tabindex="0">'
    )
    table = table.replace(
        "<th>", '<th class="sorting" tabindex="0" aria-controls="DataTables_Table_0" rowspan="1" colspan="1">'
    )
    child = '<tr class="child"><td class="child" colspan="13"><ul><li>Consistency 99.41%</li></ul></td></tr></tbody>'
    saved = f'<div id="DataTables_Table_0_wrapper" class="dataTables_wrapper">{table.replace("</tbody>", child)}</div>'
    assert read(race_page(saved)) == read(race_page())


def test_breadcrumb_and_frame_are_required() -> None:
    content = race_table([STARTER])
    error = failure_of(page("A :: B :: C :: LiveRC", content))
    assert (error.kind, error.details["field"]) == (Kind.FIELD_MISSING, "track_name")
    error = failure_of(page("A :: B :: C", breadcrumb(TRACK, EVENT) + content))
    assert error.kind is Kind.PAGE_UNRECOGNISED
