"""The lap script in every spelling: the fast path and the exact reader say the same, and neither guesses."""

from __future__ import annotations

import time
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import Kind, ParseError
from pipeline.liverc.lapscript import read_blocks_exactly, read_blocks_fast, read_lap_script
from pipeline.liverc.literals import UnreadableError
from pipeline.liverc.urls import parse_url, race_url
from pipeline.records import Racer, ScriptLap
from tests.support.liverc_pages import SCRIPT

REF = parse_url(race_url("nordhall", "9"))

FORMATTED = """
  var racerLaps = {};
  positionDataDriver.label = "KARI D'ARC";
  racerLaps[101] = {
    driverName: "KARI D'ARC", fastLap: "39.500", avgLap: 39.833, avgTop5: "", avgTop10: "", avgTop15: null,
    top2Consecutive: "79.5", top3Consecutive: "119.500", stdDeviation: "0.236", consistency: 99.408,
    laps: [
      { lapNum: 0, pos: "4", time: "0", pace: "0", segments: [] },
      { lapNum: "1", pos: 1, time: 40, pace: "8/5:20.000", segments: [] },
      { lapNum: "2", pos: "1", time: 39.5, pace: "8/5:18.000", segments: [], },
      { lapNum: "3", pos: "1", time: "40", pace: "8/5:18.667", segments: [] },
    ],
  };
  console.log(racerLaps[101]);
  racerLaps["102"] = { driverName: 'OLA 5 NES', fastLap: "", laps: [] };
  console.log(racerLaps[102]);
"""


def read(script: str) -> tuple[Racer, ...] | None:
    return read_lap_script(script.encode(), REF)


def test_the_served_dialect() -> None:
    assert read_blocks_fast(SCRIPT.encode()) is not None
    racers = read(SCRIPT)
    assert racers is not None
    assert racers[0] == Racer(
        source_driver_id="101",
        driver_name="KARI D'ARC",
        fast_lap_ms=39500,
        avg_lap_ms=39833,
        avg_top_5_ms=None,
        avg_top_10_ms=None,
        avg_top_15_ms=None,
        top_2_consecutive_ms=79500,
        top_3_consecutive_ms=119500,
        std_deviation_ms=236,
        consistency=Decimal("99.408"),
        laps=(
            ScriptLap(0, 0, 4, "0"),
            ScriptLap(1, 40000, 1, "8/5:20.000"),
            ScriptLap(2, 39500, 1, "8/5:18.000"),
            ScriptLap(3, 40000, 1, "8/5:18.667"),
        ),
    )
    assert (racers[1].source_driver_id, racers[1].driver_name, racers[1].laps) == ("102", "OLA 5 NES", ())


def test_a_formatters_dialect_says_the_same() -> None:
    assert read_blocks_fast(FORMATTED.encode()) is None
    assert read(FORMATTED) == read(SCRIPT)


@pytest.mark.parametrize(
    ("written", "name"),
    [
        (r"'MATT O\'LOUGH'", "MATT O'LOUGH"),
        ('"MATT O\'LOUGH"', "MATT O'LOUGH"),
        (r"'A \"B\" C'", 'A "B" C'),
        ("'A \"B\" C'", 'A "B" C'),
        (r"'BACK\\SLASH'", "BACK\\SLASH"),
        (r"'\u00c5SE \xC6 \/ \u{1F3C1} \uD83C\uDFC1'", "ÅSE Æ / 🏁 🏁"),
        (r"'TWO\nLINES\tAND  SPACES '", "TWO LINES AND SPACES"),
        ("'O&#39;NEIL &amp; S&Oslash;N'", "O'NEIL & SØN"),
        ("'M&M'", "M&M"),
        ("'SEMI; };'", "SEMI; };"),
        ("'racerLaps[7] = {};'", "racerLaps[7] = {};"),
        ("'// NOT A COMMENT /* */'", "// NOT A COMMENT /* */"),
        ("'},\\\n]'", "},]"),
        ("'A},]B'", "A},]B"),
        ("'A},\t]B'", "A}, ]B"),
        ("'李小龙'", "李小龙"),
        ("''", ""),
    ],
)
def test_names_in_any_spelling(written: str, name: str) -> None:
    racers = read(f"var racerLaps = {{}};\nracerLaps[7] = {{ 'driverName' : {written}, 'laps' : [ ] }};\n")
    assert racers is not None
    assert [(racer.source_driver_id, racer.driver_name) for racer in racers] == [("7", name)]


def test_blocks_keep_the_order_of_the_page() -> None:
    script = "".join(f"\nracerLaps[{n}] = {{ 'driverName' : 'N{n}', 'laps' : [ ] }};" for n in (30, 4, 100, 5))
    racers = read(script)
    assert racers is not None
    assert [racer.source_driver_id for racer in racers] == ["30", "4", "100", "5"]


@pytest.mark.parametrize(
    "script",
    [
        "",
        "var positionData = [];",
        "console.log(racerLaps[101]);",
        "if (racerLaps[id] == null) { show(racerLaps[id].laps); }",
        "// racerLaps[1] = { 'driverName' : 'X', 'laps' : [] };",
        "/* var racerLaps = {}; */",
        "var text = 'racerLaps[1] = {};';",
        "var myracerLaps = {}; page.racerLaps = {};",
    ],
)
def test_a_script_that_assigns_nothing_is_no_lap_script(script: str) -> None:
    assert read(script) is None


def test_an_empty_start_is_a_lap_script_without_racers() -> None:
    assert read("var racerLaps = {};") == ()


@pytest.mark.parametrize(
    "script",
    [
        "racerLaps[1] = { 'driverName' : 'X', 'laps' : [ {",
        "racerLaps[1] = { 'driverName' : 'X };",
        "racerLaps[1] = { 'driverName' : 'X' 'laps' : [] };",
        "racerLaps[1] = { 'driverName' : 'X' };",
        "racerLaps[1] = { 'driverName' : 'X', 'laps' : { } };",
        "racerLaps[1] = { 'driverName' : 'X', 'laps' : [ { 'lapNum' : '1' } ] };",
        "racerLaps[1] = makeRacer('X');",
        "racerLaps[1] = { 'driverName' : name, 'laps' : [] };",
        "racerLaps[1] = JSON.parse('{}');",
        "racerLaps[1].laps.push({ 'lapNum' : '1' }); var racerLaps = {};",
        "racerLaps['x1'] = { 'driverName' : 'X', 'laps' : [] };",
        "var racerLaps = { 1 : { 'driverName' : 'X', 'laps' : [] } };",
        r"racerLaps[1] = { 'driverName' : '\uD83C', 'laps' : [] };",
        r"racerLaps[1] = { 'driverName' : '\u{110000}', 'laps' : [] };",
        r"racerLaps[1] = { 'driverName' : '\x0', 'laps' : [] };",
        r"racerLaps[1] = { 'driverName' : 'A\0B', 'laps' : [] };",
        "racerLaps[1] = { 'driverName' : `${name}`, 'laps' : [] };",
        "racerLaps[1] = { 'driverName' : 'X', 'laps' : [], 'more' : " + "[" * 5000 + "]" * 5000 + " };",
        "racerLaps[1] = /* { 'driverName' : 'X', 'laps' : [] };",
    ],
)
def test_a_script_that_is_there_but_not_readable_says_so(script: str) -> None:
    with pytest.raises(ParseError) as failure:
        read(script)
    assert failure.value.kind is Kind.SCRIPT_UNREADABLE
    assert failure.value.details["url"] == REF.url
    assert failure.value.details["selector"]


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        ("'time' : '39.5'", "'time' : ''", "racerLaps[101].laps.time"),
        ("'time' : '39.5'", "'time' : '-39.5'", "racerLaps[101].laps.time"),
        ("'time' : '39.5'", "'time' : '39,5'", "racerLaps[101].laps.time"),
        ("'lapNum' : '2'", "'lapNum' : 'two'", "racerLaps[101].laps.lapNum"),
        ("'lapNum' : '2'", "'lapNum' : '-2'", "racerLaps[101].laps.lapNum"),
        ("'pos' : '1'", "'pos' : '1st'", "racerLaps[101].laps.pos"),
        ("'avgLap' : '39.833'", "'avgLap' : '<b>39</b>'", "racerLaps[101].avgLap"),
        ("'consistency' : '99.408'", "'consistency' : 'high'", "racerLaps[101].consistency"),
    ],
)
def test_a_value_that_is_none_names_its_field(old: str, new: str, field: str) -> None:
    assert old in SCRIPT
    with pytest.raises(ParseError) as failure:
        read(SCRIPT.replace(old, new))
    assert failure.value.kind is Kind.FIELD_INVALID
    assert failure.value.details["field"] == field
    assert "<" not in failure.value.message + str(failure.value.details["value"])


def test_missing_figures_are_none() -> None:
    script = SCRIPT.replace("'pos' : '4',", "").replace("'pace' : '8/5:20.000',", "'pace' : '',")
    script = script.replace("'top2Consecutive' : '79.5',", "")
    racers = read(script)
    assert racers is not None
    assert racers[0].laps[0].position is None
    assert racers[0].laps[1].pace is None
    assert racers[0].top_2_consecutive_ms is None


# ---------------------------------------------------------------- both ways agree

NAMES = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=12)
FIGURES = st.sampled_from(["", "36.589", "40.9", "112.036", "0"])


def js_string(text: str, quote: str = "'") -> str:
    return quote + text.replace("\\", "\\\\").replace(quote, "\\" + quote) + quote


@st.composite
def served_scripts(draw: st.DrawFn) -> tuple[str, list[tuple[str, str, list[tuple[str, str, str]]]]]:
    """A script as LiveRC writes it, and what it says: (id, name, laps)."""
    truth: list[tuple[str, str, list[tuple[str, str, str]]]] = []
    parts = ["\n\t\tvar racerLaps = {};\n"]
    for number in draw(st.lists(st.integers(1, 10**8), min_size=1, max_size=4, unique=True)):
        name = draw(NAMES)
        laps = draw(st.lists(st.tuples(st.sampled_from(["0", "1", "27"]), FIGURES, NAMES), max_size=4))
        parts.append(f"\t\tpositionDataDriver.label = {js_string(name)};\n")
        parts.append(f"\t\tracerLaps[{number}] = {{\n\t\t\t'driverName' : {js_string(name)},\n\t\t\t'laps' : [\n")
        parts += [
            f"\t\t\t\t{{\n\t'lapNum' : '{lap}',\n\t'time' : '{figure}',\n\t'pace' : {js_string(pace)},\n"
            "\t'segments' : [\n\t\t]\n\t\t\t},\n"
            for lap, figure, pace in laps
        ]
        parts.append(f"\t\t\t\t]\n\t\t}};\n\t\tconsole.log(racerLaps[{number}]);\n")
        truth.append((str(number), name, laps))
    return "".join(parts), truth


BLOCK = "racerLaps[1] = { 'driverName' : 'Y', 'laps' : [ ] };"


@pytest.mark.parametrize(
    ("script", "fast"),
    [
        (BLOCK, True),
        (f"\t// it's a comment\n\t{BLOCK}", True),
        (f"\tlabel = 'O'NEIL';\n\t{BLOCK}", True),  # what the site would write if it forgot to escape
        (f"\t// {BLOCK}", False),
        (f"\tvar text = '{BLOCK}", False),
        (f"\t/* of old\n\t{BLOCK}\n */", False),
        (f"\t`of old\n\t{BLOCK}\n`", False),
        (f"\t<!-- {BLOCK}", False),
        ("""\tracerLaps[1] = { "driverName': 'Y', 'laps" : [ ] };""", False),
        (f"\t{BLOCK}\n\tracerLaps[1].laps.push({{}});", False),
        (f"\t{BLOCK}\n\tracerLaps[id] = 5;", False),
        (f"\tif (x) {BLOCK}", False),
        ("\tracerLaps[1] = { 'driverName' : 'Y\n', 'laps' : [ ] };", False),
        ("\tracerLaps[1] = { 'driverName' : 'Y', 'laps' : [ ]", False),
    ],
)
def test_the_fast_path_takes_only_what_it_cannot_misread(script: str, fast: bool) -> None:
    blocks = read_blocks_fast(script.encode())
    assert (blocks is not None) is fast
    if fast:
        assert blocks == read_blocks_exactly(script)


@given(served_scripts())
def test_both_ways_read_what_was_written(case: tuple[str, list[Any]]) -> None:
    script, truth = case
    exact = read_blocks_exactly(script)
    assert exact is not None
    said = [(key, block.driver_name, [(lap.lap_num, lap.time, lap.pace) for lap in block.laps]) for key, block in exact]
    assert said == truth
    fast = read_blocks_fast(script.encode())
    assert fast is None or fast == exact


@given(served_scripts(), st.data())
@settings(max_examples=200)
def test_where_the_fast_path_accepts_a_damaged_script_the_exact_reader_agrees(
    case: tuple[str, Any], data: st.DataObject
) -> None:
    script = case[0]
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(script)))
        until = data.draw(st.integers(at, min(len(script), at + 12)))
        insert = data.draw(
            st.sampled_from(["", "'", '"', "\\", "\\'", "};", "racerLaps", "{", "}", ",", "\n", "//", "/*", "\t", ";"])
        )
        script = script[:at] + insert + script[until:]
    fast = read_blocks_fast(script.encode())
    if fast is not None:
        assert fast == read_blocks_exactly(script)


@given(st.text(st.sampled_from(list("racerLaps[]=1{}'\"\\/*;:,\n \t`"))))
def test_any_script_is_read_or_refused(text: str) -> None:
    script = "racerLaps[1] = " + text
    fast = read_blocks_fast(script.encode())
    try:
        exact = read_blocks_exactly(script)
    except UnreadableError:
        exact = None
    assert fast is None or fast == exact


@pytest.mark.parametrize(
    "piece",
    [
        "racerLaps[1] = {",
        "racerLaps[1] = [",
        "racerLaps = {};",
        "'",
        "/*",
        "racerLaps[1]=[[],",
        "`",
        "\\'",
        "racerLaps ",
    ],
)
def test_a_hostile_script_takes_no_more_than_a_moment(piece: str) -> None:
    script = "racerLaps[1] = {'driverName':'X','laps':[],'y':[" + piece * (1_000_000 // len(piece))
    start = time.thread_time()
    with pytest.raises(ParseError):
        read(script)
    assert time.thread_time() - start < 2
