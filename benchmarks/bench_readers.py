"""What reading a race page costs against its bare parts in the same run: its lxml tree and chompjs of its script.

The page is synthetic and as large as a big real one: 12 rows, 37 laps each, LiveRC's own dialect with its white space.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable

import chompjs
from lxml import etree

from pipeline.liverc.readers import read_page
from pipeline.liverc.urls import parse_url, race_url

ROWS, LAPS = 12, 37
ROUNDS = 60
LIMITS = {"read_race_over_tree_and_chompjs": 2.0}

_T = "\t" * 10
_FRAME = "".join(
    f'\t\t\t\t<li><a href="/page{n}/"><i class="fa fa-road fa-fw"></i> Page {n}</a></li>\n' for n in range(200)
)
_KEYS = ("fastLap", "avgLap", "avgTop5", "avgTop10", "avgTop15", "top2Consecutive", "top3Consecutive", "stdDeviation")
_COLUMNS = (
    *(
        "Pos",
        "Driver",
        "Qual",
        "Laps/Time",
        "Behind",
        "Fastest Lap",
        "Avg Lap",
        "Avg Top 5",
        "Avg Top 10",
        "Avg Top 15",
    ),
    *("Top 3 Consecutive", "Std. Deviation", "Consistency"),
)


def _lap(number: int, position: int) -> str:
    time_ms = 36_000 + (number * 977 + position * 131) % 5_000
    return (
        f"{_T * 2}{{\n{_T * 2}\t\t'lapNum' : '{number}',\n{_T * 2}\t\t'pos' : '{position}',\n"
        f"{_T * 2}\t\t'time' : '{time_ms // 1000}.{time_ms % 1000:03}',\n{_T * 2}\t\t'pace' : '47/30:12.345',\n"
        f"{_T * 2}\t\t'segments' : [\n{_T * 3}\t\t\t]\n{_T * 2}\t}},\n"
    )


def _block(row: int) -> str:
    figures = "".join(f"{_T}\t'{key}' : '38.405',\n" for key in _KEYS)
    laps = "".join(_lap(number, row) for number in range(LAPS + 1))
    pushes = "".join(f"{_T}positionDataDriver.data.push([{number}, {row}]);\n" for number in range(LAPS + 1))
    return (
        f"{_T}positionDataDriver = {{}};\n{_T}positionDataDriver.label = 'DRIVER NUMBER {row}';\n"
        f"{_T}racerLaps[{300_000 + row}] = {{\n{_T}\t'driverName' : 'DRIVER NUMBER {row}',\n{figures}"
        f"{_T}\t'consistency' : '96.386',\n{_T}\t'laps' : [\n{laps}{_T * 2}]\n{_T}}};\n{pushes}"
        f"{_T}positionData.push(positionDataDriver);\n{_T}console.log(racerLaps[{300_000 + row}]);\n"
    )


def _row(row: int) -> str:
    driver = (
        f'\n{_T}<span class="car_num">{row}</span>\n{_T}<span class="driver_name">DRIVER NUMBER {row}</span>\n{_T}'
        '<br /><span class="text-nowrap"><small><small>'
        f'<a href="#" data-driver-id="{300_000 + row}" class="driver_laps"><span class="fa fa-eye"></span> Laps</a>'
        f"</small></small></span>\n{_T}"
    )
    averages = ['<div class="hidden">38.405</div>38.405'] * 4
    cells = [
        *(str(row), driver, str(row), f"{LAPS}/30:14.477", "1 Lap", "36.589<sup>9</sup>", *averages),
        *('<div class="hidden">112.036</div>1:52.036', "1.39", "96.39%"),
    ]
    return f"{_T}<tr>\n" + "".join(f"{_T}\t<td>{cell}</td>\n" for cell in cells) + f"{_T}</tr>\n"


def race_page() -> bytes:
    titles = "<tr>" + "".join(f"<th>{column}</th>\n" for column in _COLUMNS) + "</tr>"
    return f"""<!DOCTYPE html>
<html lang="en"><head><title>Track :: Event :: Buggy A-Main :: LiveRC</title></head><body>
<nav><ul>{_FRAME}</ul></nav>
<div id="page-wrapper"><div class="row page-breadcrumb"><h1 class="page-header">Track</h1>
<h3 class="page-header">Event</h3><h5 class="page-header">Feb 7, 2026</h5></div>
<script type="text/javascript">
{_T}var racerLaps = {{}};
{"".join(_block(row) for row in range(1, ROWS + 1))}</script>
<table class="table table-striped race_result"><thead><tr><th colspan="14"><div class="race_num">14</div>
<span class="class_header">Buggy A-Main</span><span class="class_sub_header">Round: Main Events</span>
<span class="class_sub_header">Length: 30:00 Timed</span></th></tr>{titles}</thead><tfoot>{titles}</tfoot>
<tbody>{"".join(_row(row) for row in range(1, ROWS + 1))}</tbody></table></div>
<!-- /#page-wrapper -->
</body></html>""".encode()


def _best(work: Callable[[], object]) -> float:
    """The best of many rounds: a busy machine only ever adds."""
    best = float("inf")
    for _ in range(ROUNDS):
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return best * 1000


def run() -> dict[str, float]:
    body = race_page()
    ref = parse_url(race_url("bench", "1"))
    parser = etree.HTMLParser(encoding="utf-8")
    blocks = re.findall(r"racerLaps\[\d+\] = (\{[^;]*\});", body.decode())
    assert len(blocks) == ROWS
    tree = _best(lambda: etree.fromstring(body, parser))
    script = _best(lambda: [chompjs.parse_js_object(block) for block in blocks])
    read = _best(lambda: read_page(body, ref))
    return {
        "race_page_kb": len(body) / 1000,
        "lxml_tree_ms": tree,
        "chompjs_ms": script,
        "read_race_ms": read,
        "read_race_over_tree_and_chompjs": read / (tree + script),
    }
