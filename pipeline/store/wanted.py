"""The events that shall be ingested as soon as somebody can, and those that could be put there. SQL only.

A row says that an event is wanted, not that anybody has it: it is claimed by the transaction that takes the event's
lease, which removes the row. So there is nothing to keep in step, and no event can be worked on twice at once.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import Struct

from pipeline.store.database import Store
from pipeline.store.models import Wanted


class WantedRow(Struct, frozen=True):
    """An event that is wanted."""

    event_id: int
    track_slug: str
    source_event_id: str
    why: str  # models.WANTED_WHY
    asked_by: str  # the run's trigger
    who: str | None
    at: int  # UTC milliseconds

    @property
    def name(self) -> str:
        return f"{self.track_slug}/{self.source_event_id}"


class Candidate(Struct, frozen=True):
    """An event of a followed track that ended lately, with how its newest ingestion went."""

    event_id: int
    track_id: int
    last_day: str  # ISO date
    tried_at: int | None  # when its newest ingestion ended, UTC milliseconds; None: there was none
    stage: str | None  # where that failed; None: it did not
    parser_build: str | None  # of that ingestion
    retry_at: int | None


_SELECT = """
    SELECT wanted.event_id, track.slug, event.source_event_id, wanted.why, wanted.asked_by, wanted.who, wanted.at
    FROM wanted
    JOIN event ON event.id = wanted.event_id
    JOIN track ON track.id = event.track_id
"""
# What a person asked for first, then the newest results, then what failed, then what is only looked at again.
_ORDER = """
    ORDER BY CASE wanted.why WHEN 'asked' THEN 0 WHEN 'new' THEN 1 WHEN 'retry' THEN 2 ELSE 3 END,
             CASE wanted.why WHEN 'asked' THEN wanted.at END,
             COALESCE(event.end_date, event.start_date, '') DESC, event.id DESC
"""


def add(store: Store, event_ids: Iterable[int], *, why: str, asked_by: str, who: str | None = None) -> int:
    """Want these events; one that is wanted already stays as it is. Returns how many were added."""
    added = 0
    with store.write():
        for event_id in event_ids:
            row = {"event": event_id, "why": why, "asked_by": asked_by, "who": who, "at": store.now_ms()}
            before = store.sql("SELECT why FROM wanted WHERE event_id = ?", event_id)
            if before and why == "asked" and before[0][0] != "asked":  # a person's wish comes first
                store.change(Wanted.update(why=why, asked_by=asked_by, who=who).where(Wanted.event == event_id))
            elif not before:
                store.change(Wanted.insert(row).on_conflict_ignore())
                added += 1
    return added


def next_wanted(store: Store, *, passed_over: Iterable[int] = ()) -> WantedRow | None:
    """The most urgent event that is wanted and that nobody works on; None where there is none."""
    left_out = tuple(passed_over)
    marks = f"AND wanted.event_id NOT IN ({', '.join('?' * len(left_out))})" if left_out else ""
    with store.read():
        rows = store.sql(
            f"""{_SELECT}
                WHERE NOT EXISTS (SELECT 1 FROM lease WHERE lease.event_id = wanted.event_id AND run_id IS NOT NULL)
                {marks} {_ORDER} LIMIT 1""",
            *left_out,
        )
        return WantedRow(*rows[0]) if rows else None


def remove(store: Store, event_id: int) -> bool:
    """The event is not wanted any more. False: it was not. In PostgreSQL a second one waits here for the first."""
    return bool(store.change(Wanted.delete().where(Wanted.event == event_id)))


def list_wanted(store: Store, *, limit: int = 1_000) -> tuple[WantedRow, ...]:
    """What is wanted, the most urgent first."""
    with store.read():
        return tuple(WantedRow(*row) for row in store.sql(f"{_SELECT} {_ORDER} LIMIT ?", limit))


def count(store: Store) -> int:
    with store.read():
        return int(store.sql("SELECT COUNT(*) FROM wanted")[0][0])


def pending_by_track(store: Store) -> dict[int, int]:
    """Track → how many of its events wait because the schedule found them."""
    with store.read():
        rows = store.sql(
            """SELECT event.track_id, COUNT(*) FROM wanted JOIN event ON event.id = wanted.event_id
               WHERE wanted.why IN ('new', 'recheck') GROUP BY event.track_id"""
        )
        return {int(track): int(number) for track, number in rows}


def pending_retries(store: Store) -> int:
    with store.read():
        return int(store.sql("SELECT COUNT(*) FROM wanted WHERE why = 'retry'")[0][0])


def recent(store: Store, *, since: str, until: str) -> tuple[Candidate, ...]:
    """Events of followed tracks whose last day lies between two ISO dates, newest first.

    Left out: what is wanted already, what is held, and what is being worked on.
    """
    with store.read():
        rows = store.sql(
            """
            SELECT event.id, event.track_id, COALESCE(event.end_date, event.start_date),
                   newest.finished_at, newest.error, newest.parser_build, event.retry_at
            FROM event
            JOIN track ON track.id = event.track_id
            LEFT JOIN run newest ON newest.id = (
                SELECT MAX(run.id) FROM run WHERE run.event_id = event.id AND run.kind = 'ingest')
            WHERE track.followed AND event.held_at IS NULL AND event.state <> 'running'
              AND COALESCE(event.end_date, event.start_date) BETWEEN ? AND ?
              AND NOT EXISTS (SELECT 1 FROM wanted WHERE wanted.event_id = event.id)
            ORDER BY COALESCE(event.end_date, event.start_date) DESC, event.id DESC
            """,
            since,
            until,
        )
        return tuple(_candidate(row) for row in rows)


def retries_due(store: Store, *, not_after: int, not_before: int, limit: int) -> tuple[int, ...]:
    """Failed events whose next attempt is due, the longest overdue first.

    Due is what lies before `not_after`, and what lies behind `not_before`: no wait is that long, so a clock was wrong.
    """
    with store.read():
        rows = store.sql(
            """
            SELECT event.id FROM event
            WHERE event.state = 'failed' AND event.held_at IS NULL AND (event.retry_at <= ? OR event.retry_at > ?)
              AND NOT EXISTS (SELECT 1 FROM wanted WHERE wanted.event_id = event.id)
            ORDER BY event.retry_at, event.id LIMIT ?
            """,
            not_after,
            not_before,
            limit,
        )
        return tuple(int(event_id) for (event_id,) in rows)


def _candidate(row: tuple[Any, ...]) -> Candidate:
    event_id, track_id, last_day, tried_at, error, build, retry_at = row
    stage = msgspec.json.decode(error)["stage"] if error else None
    return Candidate(event_id, track_id, last_day, tried_at, stage, build, retry_at)
