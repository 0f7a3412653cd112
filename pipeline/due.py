"""Which events the schedule wants by itself: new results, results to be looked at again, and failed attempts.

An event is *open* from 12 hours after the end of its last day in the westernmost zone (LiveRC names no zone) until its
window closes. It is wanted once when it opens, then once a day while it is open, and a last time after it closes, so
that a correction made inside the window is never missed: at most nine times in all, and only what changed is published.

Times in the future are not believed: where a clock was wrong for a while, an event is looked at once more.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple

from msgspec import Struct

from pipeline import attempts
from pipeline.errors import Stage
from pipeline.liverc.build import parser_build
from pipeline.store import wanted
from pipeline.store.database import Store
from pipeline.store.wanted import Candidate

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
WESTERNMOST = timedelta(hours=12)  # a day ends last at UTC−12


class RecentOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """How much the job `recent` wants at a time."""

    window_days: int = 7  # after the end of the event
    quiet_hours: int = 12  # how long results are left to settle; never less
    recheck_hours: int = 24  # between two looks at an event that is open; 0: it is looked at once
    per_run: int = 20  # events at a time, those included that still wait from before
    per_track: int = 5  # … of one track

    def __post_init__(self) -> None:
        within(self, window_days=(1, 60), quiet_hours=(12, 240), recheck_hours=(0, 240))
        within(self, per_run=(1, 10_000), per_track=(1, 10_000))


class RetryOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """How much the job `retries` wants at a time."""

    per_run: int = 20  # events at a time, those included that still wait from before

    def __post_init__(self) -> None:
        within(self, per_run=(1, 10_000))


def within(options: Struct, **limits: tuple[int, int]) -> None:
    """Raise ValueError for a number outside its limits."""
    for name, (lowest, highest) in limits.items():
        if not lowest <= getattr(options, name) <= highest:
            raise ValueError(f"{name} must be between {lowest} and {highest}")


# ---------------------------------------------------------------- the rule, pure


class Span(NamedTuple):
    """When an event is open, UTC milliseconds."""

    opens: int
    closes: int


def span(last_day: str, options: RecentOptions) -> Span | None:
    """None for a text that is no date."""
    try:
        day = date.fromisoformat(last_day)
        ended = datetime.combine(day + timedelta(days=1), time(0), UTC) + WESTERNMOST
    except (ValueError, OverflowError):
        return None
    end_ms = round(ended.timestamp() * 1000)
    return Span(end_ms + options.quiet_hours * HOUR_MS, end_ms + options.window_days * DAY_MS)


def why_wanted(event: Candidate, now: int, options: RecentOptions) -> str | None:
    """`new`, `recheck`, or None where the event is not due at `now`."""
    around = span(event.last_day, options)
    if around is None or now < around.opens:
        return None
    tried = event.tried_at if event.tried_at is not None and event.tried_at <= now else None
    is_open = now <= around.closes
    if event.tried_at is None or (tried is not None and tried < around.opens):
        return "new" if is_open else None  # an attempt while the racing went on says nothing yet
    if options.recheck_hours == 0 or _fails_by_itself(event, now):
        return None
    if tried is None:
        return "recheck" if is_open else None
    if is_open:
        return "recheck" if now - tried >= options.recheck_hours * HOUR_MS else None
    last_look_until = around.closes + options.window_days * DAY_MS
    return "recheck" if tried < around.closes and now <= last_look_until else None


def _fails_by_itself(event: Candidate, now: int) -> bool:
    """Another attempt is planned anyway, or would fail as the last one did: the readers are the same."""
    if retry_planned(event.retry_at, now):
        return True
    return event.stage == Stage.PARSE and event.parser_build == parser_build()


def retry_planned(retry_at: int | None, now: int) -> bool:
    """Whether an automatic attempt lies ahead, no further than the longest wait there is."""
    return retry_at is not None and retry_at <= now + attempts.LONGEST_WAIT_MS


def capped(found: Iterable[Candidate], waiting: dict[int, int], options: RecentOptions) -> Iterator[Candidate]:
    """The first of them that the caps leave room for; `waiting` is what waits already, by track."""
    by_track = dict(waiting)
    room = options.per_run - sum(by_track.values())
    for event in found:
        if room <= 0:
            return
        if by_track.get(event.track_id, 0) < options.per_track:
            by_track[event.track_id] = by_track.get(event.track_id, 0) + 1
            room -= 1
            yield event


# ---------------------------------------------------------------- what the jobs do with it


def want_recent(store: Store, options: RecentOptions) -> str:
    """Want what is due now, newest first, within the caps; in the caller's transaction. Returns what was done."""
    now = store.clock_ms()
    today = datetime.fromtimestamp(now / 1000, UTC).date()
    reach = timedelta(days=2 * options.window_days + 2)
    found = wanted.recent(store, since=(today - reach).isoformat(), until=today.isoformat())
    reasons = {event.event_id: why for event in found if (why := why_wanted(event, now, options))}
    due = [event for event in found if event.event_id in reasons]
    due.sort(key=lambda event: reasons[event.event_id] != "new")  # results that nobody has seen come first
    chosen = list(capped(due, wanted.pending_by_track(store), options))
    for why in ("new", "recheck"):
        ids = [event.event_id for event in chosen if reasons[event.event_id] == why]
        wanted.add(store, ids, why=why, asked_by="schedule")
    left = len(due) - len(chosen)
    new = sum(reasons[event.event_id] == "new" for event in chosen)
    more = f"; {left} more are due, over the caps" if left else ""
    return f"{new} new events and {len(chosen) - new} to look at again{more}"


def want_retries(store: Store, options: RetryOptions) -> str:
    """Want the failed events whose next attempt is due. Returns what was done."""
    now = store.clock_ms()
    room = options.per_run - wanted.pending_retries(store)
    ids: tuple[int, ...] = ()
    if room > 0:
        ids = wanted.retries_due(store, not_after=now, not_before=now + attempts.LONGEST_WAIT_MS, limit=room)
    return f"{wanted.add(store, ids, why='retry', asked_by='schedule')} failed events are tried again"
