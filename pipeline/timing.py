"""When a schedule is due: `every 6h`, or the five fields of a cron line in UTC. Checked when it is entered.

Pure: the moment to count from is a parameter, in UTC milliseconds. Weekdays are cron's (0 and 7 are Sunday), which the
trigger behind this counts from Monday.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

from pipeline.errors import Kind, StateError

if TYPE_CHECKING:
    from apscheduler.triggers.cron import CronTrigger

UNITS_MS = {"m": 60_000, "h": 3_600_000, "d": 86_400_000}
_UNIT_WORDS = {"m": "minute", "h": "hour", "d": "day"}
LONGEST_MS = 366 * UNITS_MS["d"]
WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_WEEKDAY_WORDS = dict(
    zip(WEEKDAYS, ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"), strict=True)
)
FORMS = "`every 15m`, `every 6h`, `every 2d`, or five cron fields in UTC such as `20 3 * * *` or `0 6 * * mon-fri`"


class Timing:
    """One checked timing. Equal texts mean equal moments."""

    def __init__(self, text: str) -> None:
        """Raises StateError USAGE, saying what is wrong with the text and what is accepted."""
        self.text = " ".join(text.lower().split())
        self.period_ms: int | None = None  # None: a cron line
        self._words = ""
        if self.text.startswith("every"):
            self._read_interval()
        else:
            self._read_cron()

    def _read_interval(self) -> None:
        found = re.fullmatch(r"every (\d{1,6}) ?([mhd])", self.text)
        if found is None or int(found[1]) == 0:
            raise _refused(self.text, "an interval is a whole number of minutes (m), hours (h) or days (d)")
        count, unit = int(found[1]), found[2]
        self.period_ms = count * UNITS_MS[unit]
        if self.period_ms > LONGEST_MS:
            raise _refused(self.text, "an interval is at most a year")
        self.text = f"every {count}{unit}"
        name = _UNIT_WORDS[unit]
        self._words = f"every {name}" if count == 1 else f"every {count} {name}s"

    def _read_cron(self) -> None:
        fields = self.text.split(" ")
        if len(fields) != 5:
            raise _refused(self.text, f"a cron line has five fields, and this has {len(fields)}")
        if fields[2] != "*" and fields[4] != "*":  # cron takes either, the trigger takes both
            raise _refused(self.text, "name days of the month or weekdays, not both")
        try:
            fields[4] = _weekdays(fields[4])
            self._fields = dict(zip(("minute", "hour", "day", "month", "day_of_week"), fields, strict=True))
            first = self.next_after(0)  # also builds the trigger, which judges the fields
        except ValueError as error:
            raise _refused(self.text, str(error)) from error
        if first is None:
            raise _refused(self.text, "there is no such day in any year")
        self._words = _cron_words(self.text, fields)

    @cached_property
    def _trigger(self) -> CronTrigger:
        from apscheduler.triggers.cron import CronTrigger

        return CronTrigger(**self._fields, timezone=UTC)

    def next_after(self, now_ms: int) -> int | None:
        """The first moment after `now_ms` at which it is due; None: never again."""
        if self.period_ms is not None:
            return now_ms + self.period_ms
        after = datetime.fromtimestamp((now_ms + 1) / 1000, UTC)
        moment = self._trigger.get_next_fire_time(None, after)
        return None if moment is None else round(moment.timestamp() * 1000)

    def words(self) -> str:
        """As a person would say it: `every 6 hours`, `daily at 03:20 UTC`."""
        return self._words


@lru_cache(maxsize=256)
def timing(text: str) -> Timing:
    """The timing of a stored text; a trigger is built once."""
    return Timing(text)


def _refused(text: str, why: str) -> StateError:
    return StateError(Kind.USAGE, f"the time {text!r} is not accepted: {why}", remedy=f"Say {FORMS}.", timing=text)


def _weekdays(field: str) -> str:
    """Cron's weekday field as a list of names. Raises ValueError."""
    if field == "*":
        return field
    chosen: set[int] = set()
    for part in field.split(","):
        span, _, step = part.partition("/")
        if step and not (step.isdecimal() and int(step)):
            raise ValueError(f"{part!r} is no step of weekdays")
        first, dash, last = span.partition("-")
        if span == "*":
            begin, end = 0, 6
        else:
            begin = _weekday(first)
            end = _weekday(last) if dash else (6 if step else begin)
        length = (end - begin) % 7  # fri-mon goes over the end of the week
        if dash and last == "7" and begin == 0:
            length = 6
        chosen |= {(begin + ahead) % 7 for ahead in range(0, length + 1, int(step or 1))}
    return ",".join(name for number, name in enumerate(WEEKDAYS) if number in chosen)


def _weekday(text: str) -> int:
    if text in WEEKDAYS:
        return WEEKDAYS.index(text)
    if text.isdecimal() and int(text) <= 7:
        return int(text) % 7
    raise ValueError(f"{text!r} is no weekday: 0 to 7 (0 and 7 are Sunday) or {', '.join(WEEKDAYS)}")


def _cron_words(text: str, fields: list[str]) -> str:
    minute, hour, day, month, weekdays = fields
    if not (minute.isdecimal() and (day, month) == ("*", "*")):
        return f"by the cron line `{text}`, UTC"
    if hour == "*" and weekdays == "*":
        return f"every hour at minute {int(minute)}"
    if not hour.isdecimal():
        return f"by the cron line `{text}`, UTC"
    at = f"at {int(hour):02}:{int(minute):02} UTC"
    if weekdays == "*":
        return f"daily {at}"
    return f"every {' and '.join(_WEEKDAY_WORDS[name] for name in weekdays.split(','))} {at}"
