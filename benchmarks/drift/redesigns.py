"""Whole redesigns: tables become lists, cards and grids, every class and title is new. What the page says stays."""

from __future__ import annotations

import re
from random import Random

from benchmarks.drift.kinds import CATALOGUE, ENTRIES, EVENT, LISTING, RACE, Kind
from benchmarks.drift.structural import ALL_RACE

_ROW = re.compile(r"<tr\b([^>]*)>(.*?)</tr>", re.DOTALL)
_CELL = re.compile(r"<t[dh]\b[^>]*>(.*?)</t[dh]>", re.DOTALL)
_NAMES = (
    "rank",
    "who",
    "grid",
    "total",
    "gap",
    "best",
    "mean",
    "mean-five",
    "mean-ten",
    "mean-fifteen",
    "run-three",
    "sigma",
    "steady",
)


def _cells(row: str) -> list[str]:
    return [cell.strip() for cell in _CELL.findall(row)]


def _table(text: str, opening: str) -> tuple[str, str, str] | None:
    """(before, table, after)"""
    start = re.search(opening, text)
    if start is None:
        return None
    end = text.find("</table>", start.start()) + len("</table>")
    return text[: start.start()], text[start.start() : end], text[end:]


def _body(table: str) -> list[tuple[str, list[str]]]:
    """(attributes, cells) of every row of the body."""
    inner = table.partition("<tbody>")[2].partition("</tbody>")[0]
    return [(match[1], _cells(match[2])) for match in _ROW.finditer(inner)]


def _said(table: str) -> tuple[str, str, str, str]:
    """Label, number, round and length of a race's head."""
    head = table.partition("</thead>")[0]
    label = re.search(r'"class_header">(.*?)</span>', head, re.DOTALL)
    number = re.search(r'"race_num"[^>]*>(\d+)<', head)
    round_ = re.search(r"Round: (.*?)<", head)
    length = re.search(r"Length: (.*?)<", head)
    return tuple(match[1] if match else "" for match in (label, number, round_, length))  # type: ignore[return-value]


def _person(cell: str) -> tuple[str, str, str]:
    """(number, name, link) of a driver's cell."""
    number = re.search(r'"car_num">(.*?)<', cell)
    name = re.search(r'"driver_name">(.*?)</span>', cell, re.DOTALL)
    link = re.search(r'data-driver-id="(\d+)"', cell)
    laps = f'<a class="laps-of" data-racer="{link[1]}" href="#">laps</a>' if link else ""
    return number[1] if number else "", name[1] if name else "", laps


def _fastest(cell: str) -> str:
    time, _, number = cell.partition("<sup>")
    return f'<b class="t">{time}</b> <i class="lap-no">{number.removesuffix("</sup>")}</i>' if number else ""


def _race_grid(text: str, _: Random) -> str:
    """Classed cells in a grid."""
    found = _table(text, r'<table class="[^"]*race_result"')
    if found is None:
        return text
    before, table, after = found
    label, number, round_, length = _said(table)
    lines = []
    for _attributes, cells in _body(table):
        start, name, link = _person(cells[1])
        cells[1] = f'<em class="start-no">{start}</em><strong class="racer-name">{name}</strong>{link}'
        cells[5] = _fastest(cells[5])
        fields = zip(_NAMES, cells, strict=True)
        lines.append(
            '<div class="line">' + "".join(f'<div class="c {name}">{cell}</div>' for name, cell in fields) + "</div>"
        )
    head = (
        f'<div class="heat-head"><div class="heat-title">{label}</div><div class="heat-no">{number}</div>'
        f"<dl><dt>Stage</dt><dd>{round_}</dd><dt>Duration</dt><dd>{length}</dd></dl></div>"
    )
    return f'{before}<div class="board">{head}<div class="lines">{"".join(lines)}</div></div>{after}'


def _race_list(text: str, _: Random) -> str:
    """A list without a class in its cells: only their order tells them apart."""
    found = _table(text, r'<table class="[^"]*race_result"')
    if found is None:
        return text
    before, table, after = found
    label, number, round_, length = _said(table)
    items = []
    for _attributes, cells in _body(table):
        start, name, link = _person(cells[1])
        time, lap = [*cells[5].split("<sup>"), ""][:2]
        values = [cells[0], start, name, *cells[2:5], time, lap.removesuffix("</sup>"), *cells[6:]]
        items.append("<li>" + "".join(f"<span>{value}</span>" for value in values) + link + "</li>")
    head = f'<h4 class="heat">{label}</h4><p class="no">{number}</p><p class="stage">{round_}</p>'
    head += f'<p class="dur">{length}</p>'
    return f'{before}<article class="heat-sheet">{head}<ol class="racers">{"".join(items)}</ol></article>{after}'


def _entries(text: str, _: Random) -> str:
    def rebuilt(found: re.Match[str]) -> str:
        table = found[0]
        title = re.search(r'"class_header">(.*?)</div>', table, re.DOTALL)
        count = re.search(r"Entries: (\d+)", table)
        items = "".join(
            f'<li class="entry"><span class="no">{cells[0]}</span>'
            f'<span class="pilot">{re.sub("<span.*?</span>", "", cells[1])}</span>'
            f'<code class="chip">{cells[2]}</code></li>'
            for _attributes, cells in _body(table)
        )
        return (
            f'<div class="group"><h4 class="group-name">{title[1] if title else ""}</h4>'
            f'<p class="group-size">Entries: {count[1] if count else ""}</p><ul class="entries">{items}</ul></div>'
        )

    return re.sub(r'<table id="[^"]*_table_\d+".*?</table>', rebuilt, text, flags=re.DOTALL)


def _events(text: str, _: Random) -> str:
    found = _table(text, r'<table id="events"')
    if found is None:
        return text
    before, table, after = found
    cards = []
    for _attributes, cells in _body(table):
        key = re.search(r'"hidden">(.*?)<', cells[1])
        shown = re.sub(r"<span.*?</span>|<br />", "", cells[1])
        link = cells[0].replace("<a ", '<a class="to-event" ')
        cards.append(
            f'<div class="card"><div class="card-name">{link}</div>'
            f'<div class="when" data-from="{key[1] if key else ""}">{shown}</div>'
            f'<div class="starters">{cells[2]}</div><div class="pilots">{cells[3]}</div></div>'
        )
    return f'{before}<div class="cards">{"".join(cards)}</div>{after}'


def _tracks(text: str, _: Random) -> str:
    found = _table(text, r'<table class="[^"]*track_list"')
    if found is None:
        return text
    before, table, after = found
    items = []
    for _attributes, cells in _body(table):
        icons = re.sub(r"<br />.*", "", cells[0], flags=re.DOTALL)
        age = re.search(r"<small><small>(.*?)</small>", cells[0])
        name = re.search(r'<a href="([^"]*)"><strong>(.*?)</strong>', cells[1])
        latest = re.search(r'"indent"><small>(.*?)</small>', cells[1])
        event = f'<p class="newest">{latest[1]}</p>' if latest else ""
        items.append(
            f'<li class="track"><span class="state">{icons}</span><a class="visit" href="{name[1] if name else ""}">'
            f'{name[2] if name else ""}</a>{event}<time class="age">{age[1] if age else ""}</time></li>'
        )
    return f'{before}<ul class="tracks">{"".join(items)}</ul>{after}'


def _race_list_cards(text: str, _: Random) -> str:
    """The event page's lists as cards; round headings between them."""

    def rebuilt(found: re.Match[str]) -> str:
        cards = []
        for _attributes, cells in _body(found[0]):
            link = cells[0] if cells else ""
            if "<a " not in link:
                cards.append(f'<h4 class="stage">{link}</h4>')
            else:
                when = f'<time class="done">{cells[1]}</time>' if len(cells) > 1 else ""
                link = link.replace('class="block"', 'class="to-race"')
                cards.append(f'<div class="race-card">{link}{when}</div>')
        return f'<div class="race-cards">{"".join(cards)}</div>'

    return re.sub(r'<table class="[^"]*entry_list_data".*?</table>', rebuilt, text, flags=re.DOTALL)


REDESIGNS: tuple[Kind, ...] = (
    Kind(
        "redesign",
        "tables have become grids, lists and cards with new classes",
        {RACE: _race_grid, ENTRIES: _entries, LISTING: _events, CATALOGUE: _tracks, EVENT: _race_list_cards},
        {
            RACE: (*ALL_RACE, "race_label", "race_number", "round", "length_text"),
            ENTRIES: ("class_name", "declared_entries", "number", "driver_name", "transponder"),
            LISTING: ("href", "event_name", "dates", "starts_at_local", "entries", "drivers"),
            CATALOGUE: ("href", "name", "latest_event", "updated_text"),
            EVENT: ("href", "label", "completed"),
        },
    ),
    Kind(
        "redesign_plain",
        "the table has become a list whose values have no names at all",
        {RACE: _race_list},
        {RACE: (*ALL_RACE, "race_label", "race_number", "round", "length_text")},
    ),
)
