"""In which fields two documents differ: races and laps are matched by what names them, everything else by its place."""

from __future__ import annotations

import json
from collections.abc import Iterator

from msgspec import Struct

from pipeline import document, records


class Difference(Struct, frozen=True):
    """One field in which two documents differ."""

    where: str  # e.g. races[6300001].results[2].laps[7].lap_time_ms
    expected: str | None  # as JSON; None where it should not be there at all
    got: str | None

    def shown(self) -> str:
        """One phrase for people."""
        return f"{self.where}: expected {self.expected or 'nothing'}, got {self.got or 'nothing'}"


def differences(expected: records.Event, got: records.Event) -> Iterator[Difference]:
    """Every field in which two documents differ; races and entries are matched by what identifies them."""
    yield from compare(_plain(expected), _plain(got))


def compare(expected: object, got: object, where: str = "") -> Iterator[Difference]:
    """Likewise of any two values as `json.loads` gives them."""
    if isinstance(expected, dict) and isinstance(got, dict):
        for key in dict.fromkeys((*expected, *got)):
            yield from compare(expected.get(key), got.get(key), f"{where}.{key}" if where else key)
    elif isinstance(expected, list) and isinstance(got, list):
        left, right = _named(where, expected), _named(where, got)
        for name in dict.fromkeys((*left, *right)):
            place = f"{where}[{name}]"
            if name in left and name in right:
                yield from compare(left[name], right[name], place)
            else:
                yield Difference(place, _brief(left.get(name)), _brief(right.get(name)))
    elif expected != got:
        yield Difference(where, _brief(expected), _brief(got))


# ---------------------------------------------------------------- inside

# What names an item of a list, so that one missing race is not told as a difference in every race after it.
_NAMES = {"races": "source_race_id", "laps": "lap_number"}


def _plain(event: records.Event) -> object:
    return json.loads(document.encode(event))


def _named(where: str, items: list[object]) -> dict[str, object]:
    key = _NAMES.get(where.rpartition(".")[2])
    names = [str(item[key]) for item in items if isinstance(item, dict) and key in item] if key else []
    if len(set(names)) != len(items):  # no names, or not one each
        names = [str(number) for number in range(1, len(items) + 1)]
    return dict(zip(names, items, strict=True))


def _brief(value: object) -> str | None:
    text = None if value is None else json.dumps(value, ensure_ascii=False)
    return text if text is None or len(text) <= 120 else text[:119] + "…"
