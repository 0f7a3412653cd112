"""From text shown on a page to values: integer milliseconds, ISO dates, decimals. Contracts name these functions.

A converter takes visible text (white space collapsed) and returns None where the page has nothing there. What it does
not understand raises `ValueError`, which becomes a `FIELD_INVALID` that names field and selector. No float is involved.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

_NOTHING = frozenset({"", "-", "--", "–", "—", "n/a", "nan", "-nan", "inf", "-inf"})
_INT_LIMIT = 2**31  # what every database column of this program can hold; 24.8 days of milliseconds
_TEXT_LIMIT = 4_000

_INTEGER = re.compile(r"[0-9]{1,3}(?:,[0-9]{3})+|[0-9]{1,10}")
_DURATION = re.compile(
    r"(?:(?:([0-9]{1,4}):(?=[0-9]{2}:))?([0-9]{1,5}):(?=[0-9]{2}(?:\.|$)))?([0-9]{1,8})(?:\.([0-9]{1,18}))?"
)
_LAPS = re.compile(r"([0-9]{1,6})(?:\s*/\s*([0-9:.]{1,30}))?(?:\s*\((?:DNF|DNS|DQ|DSQ)\))?", re.IGNORECASE)
_DECIMAL = re.compile(r"-?[0-9]{1,9}(?:\.[0-9]{1,9})?")
_LENGTH = re.compile(r"([0-9]{1,3}(?::[0-9]{2}){1,2})(?:\s*(?:Timed|Minutes?))?|([0-9]{1,4})\s*Minutes?", re.IGNORECASE)
_DATE = re.compile(r"([A-Z][a-z]{2,8})\.? ([0-9]{1,2}),? ([0-9]{4})")
_CLOCK = re.compile(r"([0-9]{1,2}):([0-9]{2})(?::([0-9]{2}))? ?([ap]m)", re.IGNORECASE)
_SORT_TIME = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})[ T]([0-9]{2}:[0-9]{2}:[0-9]{2})")
_MONTHS = (  # English whatever the locale
    *("january", "february", "march", "april", "may", "june"),
    *("july", "august", "september", "october", "november", "december"),
)
_ZERO_DATES = ("-0001", "0000-00-00")  # how a date that was never set is printed


def text(value: str) -> str:
    """The text itself; empty if the element is there and says nothing."""
    if len(value) > _TEXT_LIMIT:
        raise ValueError("far longer than any real value")
    return value


def name(value: str) -> str | None:
    """A text that must say something to count."""
    return text(value) or None


def shown(value: str) -> str | None:
    """A text where `N/A` means nothing."""
    return None if value.lower() in _NOTHING else text(value)


def flag(value: str) -> bool:
    """True: what was looked for is there."""
    return True


def integer(value: str) -> int | None:
    """`4,129` → 4129."""
    if value.lower() in _NOTHING:
        return None
    if not _INTEGER.fullmatch(value):
        raise ValueError("not a whole number")
    return _bounded(int(value.replace(",", "")))


def milliseconds(value: str) -> int | None:
    """A duration in LiveRC's spellings → milliseconds.

    `36.589`, `146.309` (seconds, also above a minute), `40.9`, `1:52.036`, `61:02.345`, `1:01:02.345`. More than three
    decimals are rounded half-up.
    """
    digits = value[:-4] + value[-3:]
    if value[-4:-3] == "." and 3 < len(digits) < 10 and digits.isascii() and digits.isdigit():
        return int(digits)  # `36.589`, nearly every value: three times as fast as the general way
    if value.lower() in _NOTHING:
        return None
    match = _DURATION.fullmatch(value)
    if not match:
        raise ValueError("not a time")
    hours, minutes, seconds, fraction = match.groups()
    if (minutes and int(seconds) > 59) or (hours and int(minutes) > 59):
        raise ValueError("not a time")
    total = ((int(hours or 0) * 60 + int(minutes or 0)) * 60 + int(seconds)) * 1000
    if fraction:
        total += int(fraction[:3].ljust(3, "0")) + (1 if fraction[3:4] >= "5" else 0)
    return _bounded(total)


def laps_and_time(value: str) -> tuple[int, int | None] | None:
    """`16/10:14.477` → (16, 614477); `0` → (0, None)."""
    if value.upper() == "DNS":
        return 0, None
    if value.lower() in _NOTHING:
        return None
    match = _LAPS.fullmatch(value)
    if not match:
        raise ValueError("not laps/time")
    return int(match[1]), milliseconds(match[2] or "")


def decimal(value: str) -> Decimal | None:
    """`1.39` → Decimal, as many decimals as shown."""
    if value.lower() in _NOTHING:
        return None
    if not _DECIMAL.fullmatch(value):
        raise ValueError("not a number")
    return Decimal(value)


def percent(value: str) -> Decimal | None:
    """`96.39%` → Decimal('96.39'). May be negative: LiveRC's consistency is 100 − 100·σ/mean."""
    return decimal(value.removesuffix("%").rstrip())


def length_seconds(value: str) -> int | None:
    """The length of a race: `30:00 Timed`, `1:00:00 Timed`, `6:00 Minutes` → seconds; None if it is none (`3 Laps`)."""
    match = _LENGTH.fullmatch(value)
    if not match:
        return None
    if match[2]:
        return int(match[2]) * 60
    duration = milliseconds(match[1])
    return None if duration is None else duration // 1000


def date(value: str) -> str | None:
    """`Nov 16, 2025` → `2025-11-16`."""
    if value.lower() in _NOTHING or value.endswith(_ZERO_DATES):
        return None
    match = _DATE.fullmatch(value)
    if not match:
        raise ValueError("not a date")
    month = next((number for number, name in enumerate(_MONTHS, 1) if name.startswith(match[1].lower())), None)
    if month is None:
        raise ValueError("not a month")
    return datetime.date(int(match[3]), month, int(match[2])).isoformat()


def date_range(value: str) -> tuple[str, str] | None:
    """`Apr 23, 2025 to Apr 27, 2025` → (first, last); a single date is both."""
    first, _, last = value.partition(" to ")
    start = date(first.removesuffix(" to").strip())
    end = date(last.strip()) if last.strip() else start
    return None if start is None or end is None else (start, end)


def local_time(value: str) -> str | None:
    """`Nov 16, 2025 at 5:30pm` → `2025-11-16T17:30:00`; a bare date stays one. Track-local: LiveRC gives no zone."""
    day, _, clock = value.partition(" at ")
    start = date(day.strip())
    if not clock or start is None:
        return start
    match = _CLOCK.fullmatch(clock.strip())
    if not match:
        raise ValueError("not a time of day")
    hour, minute, second = int(match[1]), int(match[2]), int(match[3] or 0)
    if not 1 <= hour <= 12:
        raise ValueError("not a time of day")
    hour = hour % 12 + (12 if match[4].lower() == "pm" else 0)
    return f"{start}T{datetime.time(hour, minute, second).isoformat()}"


def sort_time(value: str) -> str | None:
    """A hidden `2025-11-16 08:30:00` → ISO; None for midnight, which stands for an unknown time."""
    if not value or value.startswith(_ZERO_DATES):
        return None
    match = _SORT_TIME.fullmatch(value)
    if not match:
        raise ValueError("not a date and time")
    moment = datetime.datetime.fromisoformat(f"{match[1]}T{match[2]}")
    return None if moment.time() == datetime.time() else moment.isoformat()


def _bounded(value: int) -> int:
    if value >= _INT_LIMIT:
        raise ValueError("far larger than any real value")
    return value


Converter = Callable[[str], Any]

CONVERTERS: dict[str, Converter] = {
    converter.__name__: converter
    for converter in (
        text, name, shown, flag, integer, milliseconds, laps_and_time, decimal, percent, length_seconds,
        date, date_range, local_time, sort_time,
    )
}  # fmt: skip
