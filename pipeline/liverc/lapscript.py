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
from typing import Any

import msgspec
from msgspec import Struct

from pipeline.errors import Kind, ParseError
from pipeline.liverc.converters import decimal, milliseconds
from pipeline.liverc.extract import invalid
from pipeline.liverc.literals import COMMENT, OPEN_COMMENT, STRING, LiteralReader, UnreadableError
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


def read_lap_script(script: bytes, ref: PageRef) -> tuple[Racer, ...] | None:
    """All racers of a lap script (UTF-8) in page order; None if it assigns nothing to `racerLaps`.

    Raises `ParseError`: SCRIPT_UNREADABLE for what is no readable literal, FIELD_INVALID for a value in one.
    """
    blocks = read_blocks_fast(script)
    if blocks is None:
        try:
            blocks = read_blocks_exactly(script.decode("utf-8"))
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


# ---------------------------------------------------------------- the fast path: LiveRC's own dialect

_HEAD = re.compile(rb"racerLaps\[([0-9]{1,18})\] = \{")
_HARMLESS = re.compile(rb"racerLaps = \{\};|racerLaps\[[0-9]+\]\)")
_TRAILING_COMMA = re.compile(rb"\},[ \t]*\n\s*\]")
_UNUSUAL = (b'"', b"`", b"*", b"<", b"\x01")  # strings and comments over several lines; \x01: an apostrophe, below
_decoder = msgspec.json.Decoder(RawRacer)


def read_blocks_fast(script: bytes) -> Blocks | None:
    r"""The blocks of a script in LiveRC's own dialect; None for anything else, also for what is no readable script.

    Sound because every string begins and ends with `'` on one line (other quotes are declined), as does every comment
    (others are declined), any escape but `\'` is declined, an assignment counts only at the start of a line, where no
    string or comment can be open, each block is decoded by itself, so that one cut short inside a string is no JSON,
    and a comma is only dropped before a line break, which no string holds.
    """
    if any(mark in script for mark in _UNUSUAL):
        return None
    text = script
    if b"\\" in text:
        text = text.replace(b"\\'", b"\x01")
        if b"\\" in text:
            return None
    text = text.replace(b"'", b'"').replace(b"\x01", b"'")
    blocks: Blocks = []
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
            blocks.append((head[1].decode("ascii"), _decoder.decode(block)))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None
    return blocks or None


# ---------------------------------------------------------------- the exact reader: any spelling

_SIZE_LIMIT = 1_500_000  # characters; over 5,000 laps in any spelling
_ASSIGNS = re.compile(r"racerLaps\s*(?:\[[^\]]*\]\s*)?=")
_SKIP = re.compile(rf"(?P<string>{STRING})|(?P<comment>{COMMENT})|(?<![\w$.])(?P<name>racerLaps)(?![\w$])")


def read_blocks_exactly(script: str) -> Blocks | None:
    """The blocks of a script in any spelling; None if it assigns nothing to `racerLaps`. Raises `UnreadableError`."""
    if not _ASSIGNS.search(script):
        return None
    if len(script) > _SIZE_LIMIT:
        raise UnreadableError(f"it has {len(script):,} characters in an unusual spelling")
    blocks: Blocks = []
    assigned = False
    at = 0
    while match := _SKIP.search(script, at):
        at = match.end()
        if match["comment"] == OPEN_COMMENT:
            raise UnreadableError("a comment without end")
        if match["name"]:
            reader = LiteralReader(script, at)
            if reader.take("="):
                _require_empty(reader)
                assigned = True
            elif block := _block(reader):
                blocks.append(block)
                assigned = True
            at = reader.at - len(reader.text)  # the token it stands on is not used up
    return blocks if assigned else None


def _require_empty(reader: LiteralReader) -> None:
    if reader.value() != {}:
        raise UnreadableError("racerLaps does not start out empty")


def _block(reader: LiteralReader) -> tuple[str, RawRacer] | None:
    """What follows `racerLaps` if it is `[ID] = {…}`; None where it is only looked at (`console.log(racerLaps[1])`)."""
    if not reader.take("[") or reader.kind == "mark":
        return None
    driver_id = reader.key()
    if not reader.take("]"):
        return None
    is_id = re.fullmatch("[0-9]{1,18}", driver_id) is not None
    if is_id and reader.text in (".", "["):
        raise UnreadableError(f"racerLaps[{driver_id}] is filled in a way that is not known")
    if not reader.take("=") or reader.text == "=":  # `==` compares
        return None
    if not is_id:
        raise UnreadableError("a driver id that is no number")
    value = reader.value()
    try:
        return driver_id, msgspec.convert(value, RawRacer)
    except msgspec.ValidationError as error:
        raise UnreadableError(f"racerLaps[{driver_id}]: {error}") from None


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
