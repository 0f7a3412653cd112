"""Failures grouped by cause: forty failed events with one reason are one thing to mend, not forty.

A cause is stage, kind, page type and field, as the runs' envelopes say. Pure, but for one query.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import Struct

from pipeline.errors import Envelope
from pipeline.store import failures as rows
from pipeline.store.database import Store

DAYS = 30  # how far back groups look
RUNS = 5_000  # and over how many failed runs at most
EVENTS_NAMED = 20


class FailureGroup(Struct, frozen=True):
    """All failed ingestions with one cause."""

    stage: str
    kind: str
    page_type: str | None
    field: str | None
    count: int  # failed runs
    first_seen: int  # UTC milliseconds
    last_seen: int
    events: tuple[str, ...]  # slug/id, newest first; the first EVENTS_NAMED of them
    event_count: int
    open_count: int  # of the events, how many are failed by it now
    open_events: tuple[str, ...]  # which, newest first; all of them
    message: str  # of the newest
    remedy: str
    newest_run_id: int


def failure_groups(store: Store, *, days: int = DAYS) -> tuple[FailureGroup, ...]:
    """The causes of the last days, those that events still fail of first, then the newest. Raises StoreError."""
    since = store.clock_ms() - days * 86_400_000
    return group(rows.newest_failures(store, since_ms=since, limit=RUNS))


def group(failures: Iterable[tuple[Any, ...]]) -> tuple[FailureGroup, ...]:
    """Rows of `store.failures.newest_failures` (newest first) by cause."""
    causes: dict[tuple[str, str, str | None, str | None], list[tuple[Any, ...]]] = {}
    for failure in failures:
        envelope = msgspec.json.decode(failure[4], type=Envelope)
        facts = envelope.details
        cause = (str(envelope.stage), str(facts["kind"]), facts.get("page_type"), facts.get("field"))
        causes.setdefault(cause, []).append((*failure, envelope))
    groups = [_group(cause, same) for cause, same in causes.items()]
    return tuple(sorted(groups, key=lambda one: (-bool(one.open_count), -one.last_seen, one.kind)))


def _group(cause: tuple[str, str, str | None, str | None], same: list[tuple[Any, ...]]) -> FailureGroup:
    events = dict.fromkeys(f"{slug}/{event}" for slug, event, *_ in same)
    still = dict.fromkeys(f"{slug}/{event}" for slug, event, _run, _at, _error, open_, _envelope in same if open_)
    newest: Envelope = same[0][-1]
    return FailureGroup(
        *cause,
        count=len(same),
        first_seen=min(row[3] for row in same),
        last_seen=max(row[3] for row in same),
        events=tuple(events)[:EVENTS_NAMED],
        event_count=len(events),
        open_count=len(still),
        open_events=tuple(still),
        message=newest.message,
        remedy=str(newest.details.get("remedy", "")),
        newest_run_id=same[0][2],
    )
