"""Induction of the lap script: which variable the known drivers' blocks are assigned to, and under which keys."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from pipeline.liverc.converters import decimal, milliseconds
from pipeline.liverc.findings import AMBIGUOUS, LOST, MOVED, OK, SURE, FieldFinding, Finder, Sample
from pipeline.liverc.lapscript import read_values
from pipeline.liverc.literals import Literal, UnreadableError
from pipeline.records import RacePage, Racer, ScriptLap

_ASSIGNED = re.compile(r"([A-Za-z_$][\w$]*)\s*\[\s*['\"]?([0-9]{1,18})['\"]?\s*\]\s*=(?!=)")
_SCRIPT = re.compile(r"<script\b[^>]*>(.*?)</script", re.DOTALL | re.IGNORECASE)

_RACER: dict[str, tuple[Callable[[Racer], Any], Callable[[str], Any]]] = {
    "driver_name": (lambda racer: racer.driver_name, lambda text: " ".join(text.split())),
    "fast_lap": (lambda racer: racer.fast_lap_ms, milliseconds),
    "avg_lap": (lambda racer: racer.avg_lap_ms, milliseconds),
    "avg_top5": (lambda racer: racer.avg_top_5_ms, milliseconds),
    "avg_top10": (lambda racer: racer.avg_top_10_ms, milliseconds),
    "avg_top15": (lambda racer: racer.avg_top_15_ms, milliseconds),
    "top2_consecutive": (lambda racer: racer.top_2_consecutive_ms, milliseconds),
    "top3_consecutive": (lambda racer: racer.top_3_consecutive_ms, milliseconds),
    "std_deviation": (lambda racer: racer.std_deviation_ms, milliseconds),
    "consistency": (lambda racer: racer.consistency, decimal),
}
_LAP: dict[str, tuple[Callable[[ScriptLap], Any], Callable[[str], Any]]] = {
    "lap_num": (lambda lap: lap.lap_number, int),
    "pos": (lambda lap: lap.position, int),
    "time": (lambda lap: lap.lap_time_ms, milliseconds),
    "pace": (lambda lap: lap.pace, str),
}


def script(finder: Finder) -> None:
    """Find the script of the known racers, and what its keys are called now."""
    known = [(sample, sample.page.record) for sample in finder.samples]
    races = [(sample, record.racers) for sample, record in known if isinstance(record, RacePage) and record.racers]
    if not races:
        return
    name = _name(finder, races)
    if name is None:
        return
    blocks: list[tuple[Racer, dict[str, Literal]]] = []
    for sample, racers in races:
        values = _values(sample, name)
        by_id = {racer.source_driver_id: racer for racer in racers}
        blocks += [(by_id[of], block) for of, block in values if of in by_id and isinstance(block, dict)]
    if not blocks:
        return
    contract = finder.contract.script
    assert contract is not None
    _keys(finder, "racer", contract.racer, _RACER, blocks)
    laps_key = _laps_key(finder, contract.racer["laps"], blocks)
    laps: list[tuple[ScriptLap, dict[str, Literal]]] = []
    for racer, block in blocks:
        found = block.get(laps_key) if laps_key else None
        if isinstance(found, list) and len(found) == len(racer.laps):
            laps += [(lap, one) for lap, one in zip(racer.laps, found, strict=True) if isinstance(one, dict)]
    if laps:
        _keys(finder, "lap", contract.lap, _LAP, laps)


def _name(finder: Finder, races: Sequence[tuple[Sample, tuple[Racer, ...]]]) -> str | None:
    """The variable that most known drivers' blocks are assigned to."""
    contract = finder.contract.script
    assert contract is not None
    votes: Counter[str] = Counter()
    of = 0
    for sample, racers in races:
        ids = {racer.source_driver_id for racer in racers}
        of += len(ids)
        text = "\n".join(_SCRIPT.findall(sample.page.body.decode("utf-8", "replace")))
        votes.update(name for name, number in set(_ASSIGNED.findall(text)) if number in ids)
    old = " | ".join(contract.names)
    shown = f"{of} known drivers"
    if not votes:
        note = "no script assigns anything to the known drivers' ids"
        finder.note(FieldFinding("script", "script", LOST, old, None, shown, None, 0, of, note=note))
        return None
    (name, support), *others = votes.most_common(2)
    second, second_support = others[0] if others else (None, 0)
    status = OK if name in contract.names else MOVED if support > second_support and support >= SURE * of else AMBIGUOUS
    new = None if status == OK else name
    finder.add(
        FieldFinding("script", "script", status, old, new, shown, name, support, of, second, second_support),
        "script",
        "name",
    )
    return name


def _values(sample: Sample, name: str) -> list[tuple[str, Literal]]:
    for text in _SCRIPT.findall(sample.page.body.decode("utf-8", "replace")):
        if name in text:
            try:
                found = read_values(text, name)
            except UnreadableError:
                continue
            if found:
                return found
    return []


def _keys(
    finder: Finder,
    kind: str,
    contract: dict[str, tuple[str, ...]],
    known: dict[str, tuple[Callable[[Any], Any], Callable[[str], Any]]],
    items: Sequence[tuple[Any, dict[str, Literal]]],
) -> None:
    """Which key gives a known value, by vote over all blocks or laps; a shipped key that does is left alone."""
    taken = {key for alternatives in contract.values() for key in alternatives}
    for name, (value_of, convert) in known.items():
        telling = [(value_of(record), block) for record, block in items if value_of(record) is not None]
        if not telling:
            continue
        votes: Counter[str] = Counter()
        for value, block in telling:
            votes.update(key for key, text in block.items() if isinstance(text, str) and _same(convert, text, value))
        right = max((votes[key] for key in contract[name]), default=0)
        field, old, of = f"script.{kind}.{name}", " | ".join(contract[name]), len(telling)
        shown = str(telling[0][0])
        if right >= SURE * of:
            finder.note(FieldFinding(field, "script", OK, old, None, shown, None, right, of))
            continue
        ranked = [(key, count) for key, count in votes.most_common() if key not in taken]
        present = any(key in block for key in contract[name] for _, block in telling[:5])
        if not ranked or ranked[0][1] < SURE * of or present:
            note = "its key is there with other values" if present else "no key has its values"
            status = AMBIGUOUS if ranked and present else LOST
            finder.note(FieldFinding(field, "script", status, old, None, shown, None, right, of, note=note))
            continue
        (key, support), *others = ranked
        second, second_support = others[0] if others else (None, 0)
        status = AMBIGUOUS if second_support == support else MOVED
        finder.add(
            FieldFinding(field, "script", status, old, key, shown, shown, support, of, second, second_support),
            "script",
            kind,
            name,
        )
        taken.add(key)


def _same(convert: Callable[[str], Any], text: str, value: Any) -> bool:
    try:
        return bool(convert(text) == value)
    except ValueError:
        return False


def _laps_key(
    finder: Finder, contract: Sequence[str], blocks: Sequence[tuple[Racer, dict[str, Literal]]]
) -> str | None:
    """The key whose list is as long as the known laps."""
    votes: Counter[str] = Counter()
    for racer, block in blocks:
        lists = (key for key, value in block.items() if isinstance(value, list) and len(value) == len(racer.laps))
        votes.update(lists)
    old, of = " | ".join(contract), len(blocks)
    key = next((key for key in contract if votes[key] >= SURE * of), None)
    if key is not None:
        finder.note(FieldFinding("script.racer.laps", "script", OK, old, None, "", None, votes[key], of))
        return key
    name, support = votes.most_common(1)[0] if votes else ("", 0)
    if support < SURE * of:
        note = "no list is as long as the known laps"
        finder.note(FieldFinding("script.racer.laps", "script", LOST, old, None, "", None, support, of, note=note))
        return None
    finder.add(
        FieldFinding("script.racer.laps", "script", MOVED, old, name, "", name, support, of), "script", "racer", "laps"
    )
    return name
