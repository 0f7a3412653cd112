"""How facts are said: states as glyph and word, times, counts, failures. Pure functions from values to text and tone.

A colour never carries a meaning alone: whatever has a tone has a glyph and a word as well, so that the console reads
the same without colours.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from enum import StrEnum
from typing import NamedTuple

# What must not reach a terminal as it is: control characters, and marks that reorder or hide text.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")


class Tone(StrEnum):
    """What a piece of text means for the eye. The value names a style of the widgets."""

    PLAIN = "plain"
    QUIET = "quiet"
    GOOD = "good"
    BUSY = "busy"
    WARN = "warn"
    BAD = "bad"


class Phrase(NamedTuple):
    """A text and its tone."""

    text: str
    tone: Tone = Tone.PLAIN


def clean(text: str | None) -> str:
    """Text from outside as one printable line; None becomes empty."""
    return _UNPRINTABLE.sub(" ", text or "")


# ---------------------------------------------------------------- states

_STATES = {
    "idle": Phrase("○ idle", Tone.QUIET),
    "running": Phrase("◐ running", Tone.BUSY),
    "complete": Phrase("● complete", Tone.GOOD),
    "failed": Phrase("✗ failed", Tone.BAD),
}
_VERDICTS = {
    "ALIVE": Phrase("● alive", Tone.GOOD),
    "STOPPED": Phrase("‖ stopped", Tone.WARN),
    "DEAD": Phrase("✗ dead", Tone.BAD),
    "UNKNOWN": Phrase("? unknown", Tone.WARN),
}
_SEVERITIES = {
    "debug": Phrase("· debug", Tone.QUIET),
    "info": Phrase("  info"),
    "warning": Phrase("▲ warn", Tone.WARN),
    "error": Phrase("✗ error", Tone.BAD),
}
_HEALTH = {
    "healthy": Phrase("● healthy", Tone.GOOD),
    "degraded": Phrase("▲ degraded", Tone.WARN),
    "failing": Phrase("✗ failing", Tone.BAD),
    "disabled": Phrase("■ disabled", Tone.BAD),
}
SEVERITIES = tuple(_SEVERITIES)  # from the least to the most severe


def state(name: str) -> Phrase:
    """How an event's last attempt stands."""
    return _STATES.get(name, Phrase(f"? {clean(name)}", Tone.WARN))


def verdict(name: str) -> Phrase:
    """What is known of a lock's holder."""
    return _VERDICTS.get(name, Phrase(f"? {clean(name).lower()}", Tone.WARN))


def health(name: str) -> Phrase:
    """How the pipeline is."""
    return _HEALTH.get(name, Phrase(f"? {clean(name)}", Tone.WARN))


def severity(name: str) -> Phrase:
    return _SEVERITIES.get(name, Phrase(f"  {clean(name)[:5]}"))


# ---------------------------------------------------------------- numbers and times


def count(number: int, noun: str) -> str:
    """`count(4129, "lap")` → `4,129 laps`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def ago(at: int | None, now: int) -> str:
    """The time since `at`, both UTC milliseconds, in the largest fitting unit; `never` for None."""
    if at is None:
        return "never"
    seconds = max(0, now - at) // 1_000
    if seconds < 5:
        return "just now"
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit} ago"
    return f"{seconds} s ago"


def ahead(at: int, now: int) -> str:
    """The time until `at`, both UTC milliseconds: `in 4 min`, `in 3 h 12 min`, `in 2 d 5 h`; `now` where it is over."""
    seconds = (at - now) // 1_000
    if seconds <= 0:
        return "now"
    if seconds < 60:
        return f"in {seconds} s"
    minutes = seconds // 60
    if minutes < 60:
        return f"in {minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"in {hours} h {minutes:02} min" if hours < 24 else f"in {hours // 24} d {hours % 24} h"


def span(seconds: float) -> str:
    """A duration for people: `12 s`, `3 min 05 s`, `2 h 10 min`."""
    whole = max(0, int(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3_600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3_600} h {whole % 3_600 // 60:02} min"


def short_seconds(milliseconds: int) -> str:
    """`8.2 s` below a minute, then as `span`."""
    return f"{milliseconds / 1_000:.1f} s" if milliseconds < 60_000 else span(milliseconds / 1_000)


def lap_time(milliseconds: int | None) -> str:
    """`37.234`, `1:02.345`, `1:02:03.456`; a dash for None."""
    if milliseconds is None:
        return "–"
    minutes, rest = divmod(milliseconds, 60_000)
    seconds = f"{rest // 1_000:02}.{rest % 1_000:03}"
    if minutes >= 60:
        return f"{minutes // 60}:{minutes % 60:02}:{seconds}"
    return f"{minutes}:{seconds}" if minutes else f"{rest // 1_000}.{rest % 1_000:03}"


def moment(at: int | None) -> str:
    """UTC milliseconds → `2025-11-16 08:30:00 UTC`; `never` for None."""
    return "never" if at is None else datetime.fromtimestamp(at / 1_000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def time_of_day(at: int) -> str:
    """UTC milliseconds → `08:30:00`."""
    return datetime.fromtimestamp(at / 1_000, UTC).strftime("%H:%M:%S")


def or_dash(value: object) -> str:
    return "–" if value is None else clean(str(value))


def shortened(text: str, width: int) -> str:
    """At most `width` characters, the end kept: the end of a path says more than its beginning."""
    return text if len(text) <= width else "…" + text[len(text) - width + 1 :] if width > 1 else "…"[:width]
