"""The yardstick: similarity-based relocation (Scrapling's adaptive selectors) on the same mutations.

It is given what it asks for at its best: the unchanged page of the very same race to learn from, selectors by column
title, the values read by our converters, every cell of a column saved and looked for by itself.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.drift.corpus import Source
from benchmarks.drift.kinds import RACE, Kind
from pipeline.liverc.contract import Field, expand, load_contract
from pipeline.liverc.known import KnownPage, Wanted, answers
from pipeline.liverc.urls import PageType

ROWS = 3  # rows whose cells are looked for: enough to tell right from wrong


class Relocated(NamedTuple):
    """Fields of the result table by what became of them."""

    right: int
    wrong: int  # something else was taken for it, and nothing says so
    lost: int


def is_available() -> bool:
    """Is the library there? It is no dependency of the program, only of this comparison."""
    return find_spec("scrapling") is not None


def relocate(kind: Kind, source: Source) -> Relocated | None:
    """Learn one race's cells from the unchanged page, look for them on the changed one; None where nothing changes."""
    body = kind.apply(RACE, source.body, source.ref.url)
    if body is None:
        return None
    from scrapling.parser import Selector

    logging.getLogger("scrapling").setLevel(logging.ERROR)
    contract = load_contract(PageType.RACE_RESULT)
    known = answers(KnownPage(source.ref, source.body, source.record), contract).parts["results"][0].rows
    right = wrong = lost = 0
    with tempfile.TemporaryDirectory() as folder:
        storage = {"storage_file": str(Path(folder, "elements.db")), "url": "https://liverc.com/"}
        old = Selector(source.body, url="https://liverc.com/", adaptive=True, storage_args=storage)
        new = Selector(body, url="https://liverc.com/", adaptive=True, storage_args=storage)
        for field in contract.parts[0].row_fields:
            wanted = [(row, known[row][field.name]) for row in range(min(ROWS, len(known)))]
            told = [(row, one) for row, one in wanted if one.value is not None]
            found = [_says(old, new, field, row, one) for row, one in told]
            if all(one is None for one in found):
                lost += 1
            elif all(found):
                right += 1
            else:
                wrong += 1
    return Relocated(right, wrong, lost)


def _says(old: Any, new: Any, field: Field, row: int, wanted: Wanted) -> bool | None:
    """Is what was found the known value? None where nothing was found."""
    for way in _ways(field, row):
        name = f"{field.name}/{row}"
        if not old.xpath(way, identifier=name, auto_save=True):
            continue
        found = new.xpath(way, identifier=name, adaptive=True)
        return any(wanted.test(text) for text in _texts(found[0], field)) if found else None
    return None


def _ways(field: Field, row: int) -> Iterator[str]:
    cell = f"(//table[contains(@class, 'race_result')]/tbody/tr)[{row + 1}]/td"
    for title in field.columns:
        above = "//table[contains(@class, 'race_result')]/thead/tr[last()]/th"
        spelt = f"translate(normalize-space(), 'ABCDEFGHIJKLMNOPQRSTUVWXYZ', 'abcdefghijklmnopqrstuvwxyz')='{title}'"
        column = f"{cell}[count({above}[{spelt}]/preceding-sibling::th) + 1][{above}[{spelt}]]"
        inner = field.selector.source.split(" | ")[-1] if field.selector else ""
        yield column + (f"/{expand(inner.rpartition('/@')[0] or inner)}" if inner else "")


def _texts(found: Any, field: Field) -> list[str]:
    own = " ".join(str(found.get_all_text(strip=True, separator=" ")).split())
    shown = " ".join(str(found.text).split())
    last = own.rpartition(" ")[2]  # behind the hidden sort key
    return [own, shown, last, own.partition(" ")[0], *(str(value) for value in found.attrib.values())]
