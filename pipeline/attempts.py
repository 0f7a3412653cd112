"""What follows from how a run ended: when the next automatic attempt is due, and when none is made any more.

Called inside the transaction that ends a run, by the run itself or by whoever cleared its lock. The schedule is fixed:
the same failures give the same times, so an operator can say when something will happen.
"""

from __future__ import annotations

import msgspec

from pipeline.errors import Envelope, Kind, Stage, StateError
from pipeline.store import attempts as rows
from pipeline.store import journal
from pipeline.store.attempts import Attempts
from pipeline.store.database import Store
from pipeline.store.events import EventRow

FIRST_RETRY_MS = 5 * 60_000
LONGEST_WAIT_MS = 24 * 3_600_000  # however long a site stays away, it is asked once a day
LOST_RUNS_HELD = 3  # after this many deaths in a row an event is held
AUTOMATIC = ("schedule",)  # triggers behind which no person stands


def backoff_ms(failed_attempts: int) -> int:
    """The wait before attempt number `failed_attempts` + 1: five minutes, doubled each time, at most a day."""
    doublings = min(failed_attempts - 1, 20)  # past the limit anyway
    return min(FIRST_RETRY_MS << doublings, LONGEST_WAIT_MS)


def retry_delay_ms(error: Envelope, failed_attempts: int) -> int | None:
    """How long to wait after a failure; None where no automatic attempt may follow. A parse error is never retried."""
    if error.stage == Stage.PARSE or not error.details.get("retryable"):
        return None
    return backoff_ms(failed_attempts)


def record(store: Store, event_id: int, error: Envelope | None) -> None:
    """An ingestion said how it ended: None for a success, which forgets all that went wrong before.

    One that the global switch stopped says nothing of the event: it counts as no attempt, and the next one is due as
    soon as the switch lets it pass.
    """
    if error is None:
        rows.set_counts(store, event_id, Attempts(0, 0), retry_in_ms=None)
        return
    if error.details.get("kind") == Kind.DISABLED:
        rows.set_counts(store, event_id, rows.count(store, event_id), retry_in_ms=0)
        return
    failed_attempts = rows.count(store, event_id).failed_attempts + 1
    counts = Attempts(failed_attempts, 0)
    rows.set_counts(store, event_id, counts, retry_in_ms=retry_delay_ms(error, failed_attempts))


def record_death(store: Store, event_id: int, run_id: int, error: Envelope) -> None:
    """An ingestion ended without a word: its holder died, or its lock was cleared. The third in a row holds it."""
    before = rows.count(store, event_id)
    counts = Attempts(before.failed_attempts + 1, before.lost_runs + 1)
    rows.set_counts(store, event_id, counts, retry_in_ms=retry_delay_ms(error, counts.failed_attempts))
    if counts.lost_runs >= LOST_RUNS_HELD:
        hold(store, event_id, f"{counts.lost_runs} runs in a row ended without saying how", run_id=run_id)


def hold(store: Store, event_id: int, reason: str, *, run_id: int | None = None) -> None:
    """Let nothing happen to an event automatically until a person acts, and warn of it."""
    with store.write():
        rows.hold(store, event_id, reason)
        warning = journal.JournalEntry(
            entry_kind="warning",
            severity="warning",
            name="event_held",
            message=f"the event is held until a person acts: {reason}",
            event_id=event_id,
            run_id=run_id,
            fields=msgspec.json.encode({"reason": reason}).decode(),
        )
        journal.append(store, [warning])


def pass_hold(store: Store, event: EventRow, run_id: int, *, trigger: str) -> None:
    """A held event: nothing that is automatic passes. A person's attempt ends the hold, and the journal says so.

    Raises:
        StateError: EVENT_HELD.
    """
    if event.held_at is None:
        return
    if trigger in AUTOMATIC:
        raise held(event)
    rows.release(store, event.id)
    released = journal.JournalEntry(
        entry_kind="audit",
        name="hold_released",
        message=f"the hold ends: an attempt was asked for by a person ({trigger}); it was held because "
        f"{event.held_reason}",
        event_id=event.id,
        run_id=run_id,
        fields=msgspec.json.encode({"reason": event.held_reason, "trigger": trigger}).decode(),
    )
    journal.append(store, [released])


def held(event: EventRow) -> StateError:
    """The refusal of an automatic attempt."""
    name = f"{event.track_slug}/{event.source_event_id}"
    return StateError(
        Kind.EVENT_HELD, f"{name} is held: {event.held_reason}", event=name, held_reason=event.held_reason
    )
