"""Kinds that change what a page says, or how its values are written: those must be refused, or read right.

Digits, dropped and doubled rows, pages cut or mixed, dates and numbers in other notations, values under wrong titles.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from random import Random

from benchmarks.drift.kinds import (
    CATALOGUE,
    ENTRIES,
    EVENT,
    LISTING,
    RACE,
    Change,
    Kind,
    a_digit,
    body_rows,
    chained,
    in_cells,
    moved,
    renamed,
    rewritten,
    script,
    swapped,
    tables,
)
from benchmarks.drift.structural import BEHIND, FASTEST, POS, QUAL, TOP3, TOP5, TOP10, TOP15, TOTAL

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def _numeric_dates(text: str, form: str) -> str:
    def numeric(found: re.Match[str]) -> str:
        return form.format(m=_MONTHS.index(found[1]) + 1, d=int(found[2]), y=found[3])

    return re.sub(r"\b(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) (\d{1,2}), (\d{4})", numeric, text)


def _dates(form: str) -> Change:
    return lambda text, _: _numeric_dates(text, form)


def _clock_24(text: str, _: Random) -> str:
    def plain(found: re.Match[str]) -> str:
        hour = int(found[1]) % 12 + (12 if found[3] == "pm" else 0)
        return f" at {hour:02d}:{found[2]}"

    return re.sub(r" at (\d+):(\d\d)([ap]m)", plain, text)


def _without_row(rows: list[str], rng: Random) -> list[str]:
    chosen = rng.randrange(len(rows))
    return rows[:chosen] + rows[chosen + 1 :]


def _doubled_row(rows: list[str], rng: Random) -> list[str]:
    chosen = rng.randrange(len(rows))
    return [*rows[: chosen + 1], *rows[chosen:]]


def _shuffled(rows: list[str], rng: Random) -> list[str]:
    turned = rows[:]
    while turned == rows:
        rng.shuffle(turned)
    return turned


_BLOCK = r"\s*racerLaps\[(\d+)\] = \{.*?\};"


def _without_driver(text: str, rng: Random) -> str:
    """A driver vanishes from table and script alike."""
    ids = re.findall(r'data-driver-id="(\d+)"', text)
    if len(ids) < 3:
        return text
    gone = rng.choice(ids[:-1])
    text = re.sub(rf"<tr>(?:(?!</tr>).)*data-driver-id=\"{gone}\".*?</tr>", "", text, flags=re.DOTALL)
    return re.sub(rf"racerLaps\[{gone}\] = \{{.*?\}};", "", text, flags=re.DOTALL)


def _without_block(text: str, rng: Random) -> str:
    blocks = [m.span() for m in re.finditer(r"racerLaps\[\d+\] = \{.*?\};", text, re.DOTALL)]
    if not blocks:
        return text
    start, end = rng.choice(blocks)
    return text[:start] + text[end:]


_LAP = r"\{[^{}]*'lapNum' : '[1-9]\d*'[^{}]*\},"


def _without_lap(text: str, rng: Random) -> str:
    laps = [m.span() for m in re.finditer(_LAP, text)]
    if not laps:
        return text
    start, end = rng.choice(laps)
    return text[:start] + text[end:]


def _classes_turned(text: str, _: Random) -> str:
    names = re.findall(r'<div class="class_header">(.*?)</div>', text)
    turned = iter([*names[1:], *names[:1]])
    if len(set(names)) < 2:
        return text
    return re.sub(r'(<div class="class_header">).*?(</div>)', lambda m: f"{m[1]}{next(turned)}{m[2]}", text)


def _digit(pattern: str) -> Change:
    return lambda text, rng: a_digit(text, pattern, rng)


def _everywhere(text: str, rng: Random) -> str:
    """One statistic altered alike in table and script."""
    shown = re.findall(r"<div class=\"hidden\">(\d+\.\d{3})</div>", text)
    if not shown:
        return text
    value = rng.choice(shown)
    other = f"{int(value[0]) % 9 + 1}{value[1:]}"
    return (
        text.replace(f">{value}<", f">{other}<")
        .replace(f">{value}\n", f">{other}\n")
        .replace(f"'{value}'", f"'{other}'")
    )


def _cut(share: float, ending: str = "") -> Change:
    def change(text: str, _: Random) -> str:
        start = text.find('id="page-wrapper"')
        at = start + int(share * (text.find("<!-- /#page-wrapper") - start))
        return text[:at] + ending

    return change


def _cells_emptied(index: int, pattern: str = r"(<td[^>]*>).*(</td>)") -> Change:
    return in_cells(RACE, index, pattern, r"\1\2")


ALTERING: tuple[Kind, ...] = (
    Kind(
        "titles_swapped",
        "two columns stand under each other's titles",
        {
            RACE: moved(RACE, swapped(TOP5, TOP10), values=False),
            ENTRIES: moved(ENTRIES, swapped(1, 2), values=False),
            LISTING: moved(LISTING, swapped(2, 3), values=False),
        },
    ),
    Kind(
        "titles_swapped_2",
        "two other columns stand under each other's titles",
        {RACE: moved(RACE, swapped(POS, QUAL), values=False), ENTRIES: moved(ENTRIES, swapped(0, 2), values=False)},
    ),
    Kind(
        "titles_swapped_3",
        "two more columns stand under each other's titles",
        {RACE: moved(RACE, swapped(TOP15, TOP3), values=False), ENTRIES: moved(ENTRIES, swapped(0, 1), values=False)},
    ),
    Kind("titles_swapped_4", "time and gap change places", {RACE: moved(RACE, swapped(TOTAL, BEHIND), values=False)}),
    Kind(
        "titles_swapped_5",
        "fastest and average change places",
        {RACE: moved(RACE, swapped(FASTEST, TOP5), values=False)},
    ),
    Kind(
        "title_taken",
        "another column now has the title of one that is read",
        {RACE: renamed(("<th>Fastest Lap", "<th>Best"), ("<th>Avg Lap</th>", "<th>Fast Lap</th>"))},
    ),
    Kind(
        "swapped_on_both_sides",
        "two averages are mixed up in table and script alike",
        {
            RACE: chained(
                moved(RACE, swapped(TOP5, TOP10), values=False),
                renamed(("'avgTop5'", "'avgTopX'"), ("'avgTop10'", "'avgTop5'"), ("'avgTopX'", "'avgTop10'")),
            )
        },
    ),
    Kind(
        "decimal_comma",
        "decimals stand after a comma",
        {RACE: tables(RACE, lambda t: re.sub(r"(\d)\.(\d{3})\b", r"\1,\2", t))},
    ),
    Kind(
        "script_decimal_comma",
        "decimals of the script stand after a comma",
        {RACE: script(lambda t, _: re.sub(r"'(\d+)\.(\d+)'", r"'\1,\2'", t))},
    ),
    Kind("two_decimals", "times have two decimals", {RACE: tables(RACE, lambda t: re.sub(r"(\.\d\d)\d\b", r"\1", t))}),
    Kind(
        "milliseconds_shown",
        "times are whole milliseconds",
        {RACE: tables(RACE, lambda t: re.sub(r"(?<=[>])(\d+)\.(\d{3})\b", r"\1\2", t))},
    ),
    Kind("gap_to_leader", "gaps are written otherwise", {RACE: in_cells(RACE, BEHIND, r">(\d+\.\d{3})<", r">+\1<")}),
    Kind("units_added", "times carry a unit", {RACE: in_cells(RACE, FASTEST, r">(\d+\.\d{3})<", r">\1 s<")}),
    Kind(
        "total_reworded",
        "laps and time are worded otherwise",
        {RACE: in_cells(RACE, TOTAL, r">(\d+)/([\d:.]+)<", r">\1 laps in \2<")},
    ),
    Kind(
        "length_reworded",
        "the length is written otherwise",
        {RACE: rewritten((r"Length: (\d+):(\d\d) Timed", r"Length: \1 min"))},
    ),
    Kind(
        "dates_day_first",
        "dates are numbers, the day first",
        {EVENT: _dates("{d:02d}/{m:02d}/{y}"), LISTING: _dates("{d:02d}/{m:02d}/{y}")},
    ),
    Kind(
        "dates_month_first",
        "dates are numbers, the month first",
        {EVENT: _dates("{m}/{d}/{y}"), LISTING: _dates("{m}/{d}/{y}")},
    ),
    Kind("dates_iso", "dates are ISO", {EVENT: _dates("{y}-{m:02d}-{d:02d}"), LISTING: _dates("{y}-{m:02d}-{d:02d}")}),
    Kind(
        "hidden_day_first",
        "the hidden date has day and month changed over",
        {LISTING: rewritten((r'"hidden">(\d{4})-(\d\d)-(\d\d)', r'"hidden">\1-\3-\2'))},
    ),
    Kind("clock_24", "times of day have 24 hours", {EVENT: _clock_24}),
    Kind("clock_without_half", "times of day do not say which half", {EVENT: rewritten((r"(\d:\d\d)[ap]m", r"\1"))}),
    Kind(
        "thousands_dotted",
        "thousands are set off by a dot",
        {EVENT: rewritten((r"(<td>\d+),(\d{3}</td>)", r"\1.\2"), (r"Entries: (\d+)", r"Entries: 1.\1"))},
    ),
    Kind(
        "counts_swapped",
        "entries and drivers have each other's label",
        {EVENT: renamed(("Entries: ", "Entr1es: "), ("Drivers: ", "Entries: "), ("Entr1es: ", "Drivers: "))},
    ),
    Kind(
        "names_turned",
        "names are last name first",
        {
            RACE: rewritten((r'(class="driver_name">)(\S+) ([^<]+)<', r"\1\3, \2<")),
            ENTRIES: rewritten((r"(</span>)([A-Z][^<,\s]+) ([^<]+)</td>", r"\1\3, \2</td>")),
        },
    ),
    Kind(
        "classes_mixed_up",
        "the classes of an entry list stand over each other's rows",
        {ENTRIES: _classes_turned},
    ),
    Kind(
        "lap_digit",
        "a digit of a lap time is another",
        {RACE: _digit(r"'lapNum' : '[1-9]\d*',\s*'pos' : '\d+',\s*'time' : '([\d.]+)'")},
        one_page=True,
    ),
    Kind(
        "lap_position_digit",
        "a digit of a lap's position is another",
        {RACE: _digit(r"'lapNum' : '[1-9]\d*',\s*'pos' : '(\d+)'")},
        one_page=True,
    ),
    Kind(
        "pace_digit",
        "a digit of a projection is another (its last two are no more exact than the site)",
        {RACE: _digit(r"'pace' : '(\d+/[\d:]+\.\d)\d\d'")},
        one_page=True,
    ),
    Kind(
        "statistic_digit",
        "a digit of the script's statistics is another",
        {RACE: _digit(r"'(?:fastLap|avg\w+|top\w+)' : '(\d+\.\d+)'")},
        one_page=True,
    ),
    Kind(
        "deviation_digit",
        "a digit of deviation or consistency is another (the last is no more exact than the site's rounding)",
        {RACE: _digit(r"'(?:stdDeviation|consistency)' : '(\d+\.\d+)\d'")},
        one_page=True,
    ),
    Kind(
        "gap_digit",
        "a digit of a gap is another (the last is no more exact than the site's rounding)",
        {RACE: _digit(r"<td>(\d+\.\d{2})\d</td>")},
        one_page=True,
    ),
    Kind(
        "cell_digit",
        "a digit of another cell is another",
        {RACE: _digit(r"<td>(?!\d+\.\d{3}</td>)(?:<div class=\"hidden\">[\d.]*</div>)?(\d[\d:./]*\d{2})")},
        one_page=True,
    ),
    Kind(
        "hidden_digit",
        "a digit of a hidden sort key is another",
        {RACE: _digit(r'"hidden">(\d+\.\d{3})<')},
        one_page=True,
    ),
    Kind("altered_everywhere", "a statistic is altered in table and script alike", {RACE: _everywhere}, one_page=True),
    Kind("lap_dropped", "a lap is gone from the script", {RACE: _without_lap}, one_page=True),
    Kind("block_dropped", "a driver is gone from the script", {RACE: _without_block}, one_page=True),
    Kind(
        "row_dropped",
        "a row is gone from the table",
        {
            RACE: body_rows(RACE, _without_row),
            ENTRIES: body_rows(ENTRIES, _without_row),
            EVENT: rewritten(
                (r"<tr>\s*<td><a href=\"/results/\?p=view_race_result(?:(?!</tr>).)*</tr>(?!.*p=view_race_result)", "")
            ),
        },
        one_page=True,
        needs_whole=True,
    ),
    Kind(
        "driver_dropped",
        "a driver is gone from table and script",
        {RACE: _without_driver},
        one_page=True,
        needs_whole=True,
    ),
    Kind(
        "row_doubled",
        "a row stands there twice",
        {RACE: body_rows(RACE, _doubled_row), EVENT: body_rows(EVENT, _doubled_row)},
        one_page=True,
    ),
    Kind("rows_shuffled", "the rows stand in another order", {RACE: body_rows(RACE, _shuffled)}, one_page=True),
    Kind("column_emptied", "a column's cells are empty", {RACE: _cells_emptied(BEHIND)}),
    Kind("qual_emptied", "the grid column's cells are empty", {RACE: _cells_emptied(QUAL)}),
    Kind(
        "cut_at_half", "the page breaks off", {page: _cut(0.5) for page in (RACE, EVENT, ENTRIES, LISTING, CATALOGUE)}
    ),
    Kind(
        "cut_at_most",
        "the page breaks off late",
        {page: _cut(0.9) for page in (RACE, EVENT, ENTRIES, LISTING, CATALOGUE)},
    ),
    Kind(
        "cut_and_closed",
        "the page breaks off and is closed",
        {page: _cut(0.6, "</td></tr></tbody></table></div></body></html>") for page in (RACE, EVENT, ENTRIES)},
        needs_whole=True,
    ),
    Kind(
        "rows_loaded_later",
        "the rows are to be loaded by a script",
        {
            RACE: chained(
                tables(RACE, lambda t: re.sub(r"<tbody>.*</tbody>", "<tbody></tbody>", t, flags=re.DOTALL)),
                script(lambda t, _: "var later = true;"),
            ),
            EVENT: tables(EVENT, lambda t: re.sub(r"<tbody>.*</tbody>", "<tbody></tbody>", t, flags=re.DOTALL)),
            ENTRIES: tables(ENTRIES, lambda t: re.sub(r"<tbody>.*</tbody>", "<tbody></tbody>", t, flags=re.DOTALL)),
            CATALOGUE: tables(CATALOGUE, lambda t: re.sub(r"<tbody>.*</tbody>", "<tbody></tbody>", t, flags=re.DOTALL)),
        },
    ),
)


def _half_of_another(text: str, other: str) -> str:
    """The first rows of this race, the last ones of another."""
    rows = [re.findall(r"<tr>\s*<td>\d+</td>.*?</tr>", page, re.DOTALL) for page in (text, other)]
    half = len(rows[0]) // 2
    if half == 0 or len(rows[1]) <= half:
        return text
    for mine, theirs in zip(rows[0][half:], rows[1][half:], strict=False):
        text = text.replace(mine, theirs, 1)
    return text


def _script_of_another(text: str, other: str) -> str:
    spans = [(page.find("var racerLaps"), page.find("</script>", page.find("var racerLaps"))) for page in (text, other)]
    (start, end), (first, last) = spans
    return text if start < 0 or first < 0 else text[:start] + other[first:last] + text[end:]


# Two pages of one type → one page. Never applied to a page and itself.
MIXES: dict[str, tuple[str, dict[str, Callable[[str, str], str]]]] = {
    "page_of_another": (
        "another page is served in its place",
        {RACE: lambda _, other: other, EVENT: lambda _, other: other, ENTRIES: lambda _, other: other},
    ),
    "rows_of_another": ("half of the rows are another race's", {RACE: _half_of_another}),
    "script_of_another": ("the lap script is another race's", {RACE: _script_of_another}),
}
