"""Have the totals that event pages state held so far? Only then does one that does not hold say anything.

Pages may be kept with rows cut out, and an official may forget a number: a total alone refuses nothing.
"""

from __future__ import annotations

from pipeline.store.database import Store

PROVEN_EVENTS = 3  # of other events, all of whose totals must have held
_LOOKED_AT = 50  # events, the newest ones
_WARNED = "('validation_total_laps', 'validation_total_entries', 'validation_entry_count')"


def totals_have_held(store: Store, source_event_id: str) -> bool:
    """Whether the totals of every other served event held, of several at least, and the event's own did so far."""
    broken = f"""CASE WHEN EXISTS (
        SELECT 1 FROM journal WHERE journal.run_id = event.current_run_id AND journal.name IN {_WARNED}
    ) THEN 1 ELSE 0 END"""
    with store.read():
        rows = store.sql(
            f"""SELECT event.source_event_id, {broken} FROM event
                WHERE event.current_run_id IS NOT NULL ORDER BY event.last_ingested_at DESC LIMIT {_LOOKED_AT}"""
        )
    others = [one for one in rows if one[0] != source_event_id]
    return len(others) >= PROVEN_EVENTS and not any(one[1] for one in rows)
