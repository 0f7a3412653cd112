"""Counts what was done to processes and what they left behind: the evidence, as a table.

A test keeps one `Tally`; it travels with the test's report, so the counts of all worker processes meet in one table.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

PROPERTY = "tally"  # of a test's report
_HEADINGS = ("what was done", "engine", "places", "done", "old", "new", "neither", "besides")
_NUMBERS = slice(2, 7)


class Tally:
    """One row. `deed` is what is done again and again, `places` at how many moments it can be done, if known."""

    def __init__(self, deed: str, engine: str, places: int | None = None) -> None:
        self.deed, self.engine, self.places = deed, engine, places
        self.left = Counter[str]()  # old, new
        self.besides = Counter[str]()  # anything else worth telling

    @property
    def done(self) -> int:
        return self.left.total()

    def saw(self, left: int | str, *besides: str) -> None:
        """It was done once more; `left` is the old (0) or the new (1), or another word for it."""
        self.left[("old", "new")[left] if isinstance(left, int) else left] += 1
        self.besides.update(besides)

    def facts(self, *, neither: int = 0) -> dict[str, Any]:
        """As plain data, for a test's report. `neither`: a third state was seen."""
        return {
            "deed": self.deed,
            "engine": self.engine,
            "places": self.places,
            "left": dict(self.left),
            "neither": neither,
            "besides": dict(self.besides),
        }


def table(tallies: Iterable[dict[str, Any]]) -> list[str]:
    """The rows and their sums, as lines of text: of each kind of deed, and of all."""
    rows: list[Sequence[str]] = [_HEADINGS]
    sums: dict[str, Counter[str]] = {}
    for facts in sorted(tallies, key=lambda facts: (facts["deed"], facts["engine"])):
        left = Counter[str](facts["left"])
        done, old, new, neither = left.total(), left.pop("old", 0), left.pop("new", 0), facts["neither"]
        for kind in (f"{re.split(' at | of |, ', facts['deed'])[0]}, together", "everything"):
            sums.setdefault(kind, Counter()).update({"done": done, "old": old, "new": new, "neither": neither})
        told = {**left, **facts["besides"]}
        rows.append(
            (
                facts["deed"], facts["engine"], "" if facts["places"] is None else f"{facts['places']:,}",
                *(f"{number:,}" for number in (done, old, new, neither)),
                ", ".join(f"{word} {count:,}" for word, count in told.items()),
            )
        )  # fmt: skip
    sums["everything"] = sums.pop("everything", Counter())  # last
    for kind, total in sums.items():
        rows.append((kind, "", "", *(f"{total[name]:,}" for name in ("done", "old", "new", "neither")), ""))
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADINGS))]
    return ["  ".join(_cells(row, widths)).rstrip() for row in rows]


def _cells(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    numbers = range(*_NUMBERS.indices(len(row)))
    return [
        cell.rjust(width) if column in numbers else cell.ljust(width)
        for column, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]
