"""The lap script of a race page, read as the JavaScript literals it is made of. Nothing is ever executed.

`racerLaps[ID] = {…}` blocks are read in page order. LiveRC's own dialect (single-quoted strings, trailing commas) takes
the fast path: quotes are translated and a typed JSON decode reads each block. Any other spelling (a formatter's bare
keys and double quotes, unquoted numbers, escapes, comments) takes the exact reader of JavaScript literals. Where the
fast path accepts a script, both give the same.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from decimal import Decimal
from functools import cache
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from pipeline.errors import Kind, ParseError
from pipeline.liverc.contract import Script
from pipeline.liverc.converters import decimal, milliseconds
from pipeline.liverc.extract import invalid
from pipeline.liverc.literals import COMMENT, OPEN_COMMENT, STRING, Literal, LiteralReader, UnreadableError
from pipeline.liverc.markup import LAPS
from pipeline.liverc.urls import PageRef
from pipeline.records import Racer, ScriptLap

SELECTOR = "script racerLaps[…]"


class RawLap(Struct, frozen=True, gc=False, rename="camel"):
    """One entry of `laps`, as written: `lapNum`, `time`, …"""

    lap_num: str
    time: str
    pos: str = ""
    pace: str = ""


class RawRacer(Struct, frozen=True, rename="camel"):
    """One block, as written: `driverName`, `fastLap`, …"""

    driver_name: str
    laps: list[RawLap]
    fast_lap: str = ""
    avg_lap: str = ""
    avg_top5: str = ""
    avg_top10: str = ""
    avg_top15: str = ""
    top2_consecutive: str = ""
    top3_consecutive: str = ""
    std_deviation: str = ""
    consistency: str = ""


Blocks = list[tuple[str, RawRacer]]  # (driver id, block) in page order
_T = TypeVar("_T")
NAME = "racerLaps"  # the variable that every block is assigned to


def script_names(shape: Script | None) -> tuple[bytes, ...]:
    """The variables' names by which a page's lap script is found."""
    return tuple(name.encode() for name in shape.names) if shape else LAPS


def read_lap_script(script: bytes, ref: PageRef, shape: Script | None = None) -> tuple[Racer, ...] | None:
    """All racers of a lap script (UTF-8) in page order; None if it assigns nothing to `racerLaps`.

    `shape` may know further names for the variable and its keys. Raises `ParseError`: SCRIPT_UNREADABLE for what is no
    readable literal, FIELD_INVALID for a value in one.
    """
    blocks = None if shape and _renamed(script, shape) else read_blocks_fast(script)
    if blocks is None:
        try:
            blocks = _read_any(script.decode("utf-8"), shape)
        except UnreadableError as error:
            raise ParseError(
                Kind.SCRIPT_UNREADABLE,
                f"{ref.url}: the lap script is there but cannot be read: {error}.",
                page_type=str(ref.page_type),
                field="racerLaps",
                selector=SELECTOR,
                url=ref.url,
            ) from None
    if blocks is None:
        return None
    return tuple(_racer(driver_id, block, ref) for driver_id, block in blocks)


def _renamed(script: bytes, shape: Script) -> bool:
    """Does the script use a name that was added? The fast path knows the shipped ones only."""
    added = (*shape.names[1:], *shape.racer_aliases, *shape.lap_aliases)
    return any(name.encode() in script for name in added)


def _read_any(script: str, shape: Script | None) -> Blocks | None:
    if shape is None:
        return read_blocks_exactly(script)
    found = (read_blocks_exactly(script, name, shape) for name in shape.names)
    return next((blocks for blocks in found if blocks is not None), None)


# ---------------------------------------------------------------- the fast path: LiveRC's own dialect

_HEAD = re.compile(rb"racerLaps\[([0-9]{1,18})\] = \{")
_HARMLESS = re.compile(rb"racerLaps = \{\};|racerLaps\[[0-9]+\]\)")
_TRAILING_COMMA = re.compile(rb"\},[ \t]*\n\s*\]")
_UNUSUAL = (b'"', b"`", b"*", b"<", b"\x01")  # strings and comments over several lines; \x01: an apostrophe, below
_decoder = msgspec.json.Decoder(RawRacer)
_dict_decoder = msgspec.json.Decoder(dict[str, Any])


def read_blocks_fast(script: bytes) -> Blocks | None:
    """The blocks of a script in LiveRC's own dialect; None for anything else, also for what is no readable script."""
    return _read_fast(script, _decoder.decode)


def read_values_fast(script: bytes) -> list[tuple[str, Any]] | None:
    """As `read_blocks_fast`, every block as a dict under whatever keys it was written with."""
    return _read_fast(script, _dict_decoder.decode)


def _read_fast(script: bytes, decode: Callable[[bytes], _T]) -> list[tuple[str, _T]] | None:
    r"""Sound because every string begins and ends with `'` on one line (other quotes are declined), as does every
    comment (others are declined), any escape but `\'` is declined, an assignment counts only at the start of a line,
    where no string or comment can be open, each block is decoded by itself, so that one cut short inside a string is no
    JSON, and a comma is only dropped before a line break, which no string holds.
    """
    if any(mark in script for mark in _UNUSUAL):
        return None
    text = script
    if b"\\" in text:
        text = text.replace(b"\\'", b"\x01")
        if b"\\" in text:
            return None
    text = text.replace(b"'", b'"').replace(b"\x01", b"'")
    blocks: list[tuple[str, _T]] = []
    at = 0
    while (mention := text.find(b"racerLaps", at)) >= 0:
        if harmless := _HARMLESS.match(text, mention):
            at = harmless.end()
            continue
        head = _HEAD.match(text, mention)
        if not head or text[text.rfind(b"\n", 0, mention) + 1 : mention].strip():
            return None
        at = text.find(b"};", head.end()) + 1
        if at == 0:
            return None
        block = text[head.end() - 1 : at]
        if comma := _TRAILING_COMMA.match(block, block.rfind(b"},")):
            block = block[: comma.start()] + b"}]" + block[comma.end() :]
        try:
            blocks.append((head[1].decode("ascii"), decode(block)))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None
    return blocks or None


# ---------------------------------------------------------------- the exact reader: any spelling

_SIZE_LIMIT = 1_500_000  # characters; over 5,000 laps in any spelling


@cache
def _patterns(name: str) -> tuple[re.Pattern[str], re.Pattern[str]]:
    """(an assignment to the variable, a token that may be its name)"""
    return (
        re.compile(rf"{re.escape(name)}\s*(?:\[[^\]]*\]\s*)?="),
        re.compile(rf"(?P<string>{STRING})|(?P<comment>{COMMENT})|(?<![\w$.])(?P<name>{re.escape(name)})(?![\w$])"),
    )


def read_blocks_exactly(script: str, name: str = NAME, shape: Script | None = None) -> Blocks | None:
    """The blocks of a script in any spelling; None if it assigns nothing to `name`. Raises `UnreadableError`."""
    values = read_values(script, name)
    if values is None:
        return None
    blocks: Blocks = []
    for driver_id, value in values:
        try:
            blocks.append((driver_id, msgspec.convert(_shipped(value, shape), RawRacer)))
        except msgspec.ValidationError as error:
            raise UnreadableError(f"{name}[{driver_id}]: {error}") from None
    return blocks


def _shipped(value: Literal, shape: Script | None) -> Literal:
    """A block under the shipped keys, whatever it was written with."""
    if shape is None or not isinstance(value, dict):
        return value
    block = _under_shipped_keys(value, shape.racer_aliases)
    laps = block.get("laps")
    if isinstance(laps, list):
        block["laps"] = [_under_shipped_keys(lap, shape.lap_aliases) if isinstance(lap, dict) else lap for lap in laps]
    return block


def _under_shipped_keys(value: dict[str, Literal], aliases: dict[str, str]) -> dict[str, Literal]:
    """A shipped key that is there keeps its value."""
    return {aliases.get(key, key) if aliases.get(key) not in value else key: item for key, item in value.items()}


def read_values(script: str, name: str = NAME) -> list[tuple[str, Literal]] | None:
    """(driver id, literal) of every block in page order, under whatever keys; None if nothing is assigned to `name`.

    Raises `UnreadableError`.
    """
    assigns, skip = _patterns(name)
    if not assigns.search(script):
        return None
    if len(script) > _SIZE_LIMIT:
        raise UnreadableError(f"it has {len(script):,} characters in an unusual spelling")
    blocks: list[tuple[str, Literal]] = []
    assigned = False
    at = 0
    while match := skip.search(script, at):
        at = match.end()
        if match["comment"] == OPEN_COMMENT:
            raise UnreadableError("a comment without end")
        if match["name"]:
            reader = LiteralReader(script, at)
            if reader.take("="):
                _require_empty(reader, name)
                assigned = True
            elif block := _block(reader, name):
                blocks.append(block)
                assigned = True
            at = reader.at - len(reader.text)  # the token it stands on is not used up
    return blocks if assigned else None


def _require_empty(reader: LiteralReader, name: str) -> None:
    if reader.value() != {}:
        raise UnreadableError(f"{name} does not start out empty")


def _block(reader: LiteralReader, name: str) -> tuple[str, Literal] | None:
    """What follows `racerLaps` if it is `[ID] = {…}`; None where it is only looked at (`console.log(racerLaps[1])`)."""
    if not reader.take("[") or reader.kind == "mark":
        return None
    driver_id = reader.key()
    if not reader.take("]"):
        return None
    is_id = re.fullmatch("[0-9]{1,18}", driver_id) is not None
    if is_id and reader.text in (".", "["):
        raise UnreadableError(f"{name}[{driver_id}] is filled in a way that is not known")
    if not reader.take("=") or reader.text == "=":  # `==` compares
        return None
    if not is_id:
        raise UnreadableError("a driver id that is no number")
    return driver_id, reader.value()


# ---------------------------------------------------------------- from texts to a record


_WRITTEN = {field.name: field.encode_name for field in msgspec.structs.fields(RawRacer)}


def _racer(driver_id: str, block: RawRacer, ref: PageRef) -> Racer:
    where = f"racerLaps[{driver_id}]"

    def stat(convert: Callable[[str], Any], field: str) -> Any:
        value: str = getattr(block, field)
        try:
            return convert(value)
        except ValueError as error:
            raise invalid(ref, f"{where}.{_WRITTEN[field]}", SELECTOR, value, str(error)) from None

    consistency: Decimal | None = stat(decimal, "consistency")
    return Racer(
        source_driver_id=driver_id,
        driver_name=" ".join(html.unescape(block.driver_name).split()),  # the cell's text was decoded as well
        fast_lap_ms=stat(milliseconds, "fast_lap"),
        avg_lap_ms=stat(milliseconds, "avg_lap"),
        avg_top_5_ms=stat(milliseconds, "avg_top5"),
        avg_top_10_ms=stat(milliseconds, "avg_top10"),
        avg_top_15_ms=stat(milliseconds, "avg_top15"),
        top_2_consecutive_ms=stat(milliseconds, "top2_consecutive"),
        top_3_consecutive_ms=stat(milliseconds, "top3_consecutive"),
        std_deviation_ms=stat(milliseconds, "std_deviation"),
        consistency=consistency,
        laps=tuple(_laps(where, block.laps, ref)),
    )


# Numbers, seconds and fractions as LiveRC writes nearly all of them: looked up, twice as fast as converted.
_SMALL = {str(number): number for number in range(1000)}
_FRACTIONS = {
    f"{number:0{digits}}": number * 10 ** (3 - digits) for digits in (1, 2, 3) for number in range(10**digits)
}


def _laps(where: str, laps: list[RawLap], ref: PageRef) -> list[ScriptLap]:
    result = []
    for lap in laps:
        number, position = _SMALL.get(lap.lap_num), _SMALL.get(lap.pos)
        if number is None:
            number = _whole(lap.lap_num)
            if number is None:
                raise invalid(ref, f"{where}.laps.lapNum", SELECTOR, lap.lap_num, "not a lap number")
        if position is None and lap.pos:
            position = _whole(lap.pos)
            if position is None:
                raise invalid(ref, f"{where}.laps.pos", SELECTOR, lap.pos, "not a position")
        whole, _, rest = lap.time.partition(".")
        seconds, fraction = _SMALL.get(whole), _FRACTIONS.get(rest)
        if seconds is None or fraction is None:
            duration = _duration(where, lap.time, ref)
        else:
            duration = seconds * 1000 + fraction
        result.append(ScriptLap(number, duration, position, lap.pace or None))
    return result


def _duration(where: str, time: str, ref: PageRef) -> int:
    try:
        duration = milliseconds(time)
    except ValueError as error:
        raise invalid(ref, f"{where}.laps.time", SELECTOR, time, str(error)) from None
    if duration is None:
        raise invalid(ref, f"{where}.laps.time", SELECTOR, time, "a lap without time")
    return duration


def _whole(text: str) -> int | None:
    return int(text) if re.fullmatch("[0-9]{1,7}", text) else None
