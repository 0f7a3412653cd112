"""How LiveRC writes numbers, times, dates and script strings, down to its inconsistencies.

Also the small template notation of the page modules: a line is `TABS|text`, because the depth of the real pages' tabs
is part of what the simulator reproduces, and editors would eat it.
"""

from __future__ import annotations

import re
from datetime import date, datetime

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def seconds(ms: int | None) -> str:
    """Plain seconds with three decimals, also above a minute: 112.036. Nothing for None."""
    return "" if ms is None else f"{ms // 1000}.{ms % 1000:03d}"


def trimmed(ms: int) -> str:
    """A lap's time in the script: as `seconds`, but trailing zeros are gone: 40.02, 41."""
    return seconds(ms).rstrip("0").rstrip(".")


def clock(ms: int | None, *, hours_form: bool = False) -> str:
    """M:SS.mmm from a minute on, plain seconds below; above an hour 61:02.345, or 1:01:02.345 with `hours_form`."""
    if ms is None or ms < 60_000:
        return seconds(ms)
    minutes, rest = divmod(ms, 60_000)
    tail = f"{rest // 1000:02d}.{rest % 1000:03d}"
    if hours_form and minutes >= 60:
        return f"{minutes // 60}:{minutes % 60:02d}:{tail}"
    return f"{minutes}:{tail}"


def two_decimals(hundredths: int | None) -> str:
    """9460 → 94.60."""
    return "" if hundredths is None else f"{hundredths // 100}.{hundredths % 100:02d}"


def length(length_seconds: int) -> str:
    """A race's length: 10:00 Timed, 1:00:00 Timed."""
    minutes, rest = divmod(length_seconds, 60)
    shown = f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}" if minutes >= 60 else f"{minutes}:{rest:02d}"
    return f"{shown} Timed"


def day(when: date) -> str:
    """Nov 6, 2025."""
    return f"{MONTHS[when.month - 1]} {when.day}, {when.year}"


def days(first: date, last: date, *, separator: str = " to ") -> str:
    """One day, or a range of days."""
    return day(first) if first == last else f"{day(first)}{separator}{day(last)}"


def minute(when: datetime) -> str:
    """Nov 6, 2025 at 5:30pm."""
    return f"{day(when)} at {when.hour % 12 or 12}:{when.minute:02d}{'am' if when.hour < 12 else 'pm'}"


def thousands(number: int) -> str:
    return f"{number:,}"


def script_string(text: str) -> str:
    """The inside of a single-quoted script string: only backslash and apostrophe are escaped."""
    return text.replace("\\", "\\\\").replace("'", "\\'")


def references(text: str) -> str:
    """Every character as a decimal reference, as the dashboard hides e-mail addresses."""
    return "".join(f"&#{ord(c)};" for c in text)


_TABS = re.compile(r"(^|@)(\d+)\|", re.MULTILINE)
_SLOT = re.compile(r"@([a-z_]+)@")


def tabbed(template: str) -> str:
    """A template with the tabs written out where a line, or what follows a slot, begins with `TABS|`."""
    return _TABS.sub(lambda found: found[1] + "\t" * int(found[2]), template.removeprefix("\n"))


def fill(template: str, **values: object) -> str:
    """The template with every @slot@ replaced; an unknown slot is a KeyError. Values are not looked into again."""
    return _SLOT.sub(lambda found: str(values[found[1]]), template)
