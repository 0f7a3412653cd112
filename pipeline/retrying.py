"""Retrying many failed events without making a bad day worse: one first, then ten, then the rest.

After the first, after the ten, and after every event of the rest the share of failures is looked at; over the limit
nothing further is tried. An event that somebody else works on counts as neither tried nor failed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from msgspec import Struct

from pipeline.errors import Kind, PipelineError, StateError

if TYPE_CHECKING:
    from pipeline.ingest import IngestReport
    from pipeline.store.events import EventRow

CANARIES = (1, 10)  # the sizes of the first stages; the rest is the last one
FAILURE_LIMIT = 0.5  # of all that were tried
# Refusals that every further event would meet too.
HOPELESS = (Kind.INTERRUPTED, Kind.DISABLED, Kind.READ_ONLY, Kind.GATE_CLOSED, Kind.CONTACT_MISSING)


class HeldEvent(Struct, frozen=True):
    """A failed event that is only retried by name."""

    event: str  # slug/id
    reason: str


class RetryPlan(Struct, frozen=True):
    """Which events are retried, and in which order."""

    stages: tuple[tuple[str, ...], ...]  # slug/id; one stage after the other
    held: tuple[HeldEvent, ...]  # left out: a person has to name them
    failure_limit: float  # 0…1: over this share of failures it stops

    def events(self) -> tuple[str, ...]:
        return tuple(event for stage in self.stages for event in stage)


class RetryStep(Struct, frozen=True):
    """One event of a retry: its report, or the failure that it ended with."""

    event: str  # slug/id
    stage: int  # 1 is the canary
    done: int  # events so far, this one included
    total: int
    failed: int  # so far
    report: IngestReport | None
    error: PipelineError | None
    stopped: str | None = None  # why nothing further is tried


def plan_named(names: Sequence[str], *, failure_limit: float = FAILURE_LIMIT) -> RetryPlan:
    """Retry these events in the order given. To name an event is to act on it: a hold ends."""
    return RetryPlan(_stages(tuple(dict.fromkeys(names))), (), _limit(failure_limit))


def plan_failed(
    failed: Sequence[EventRow], *, limit: int | None = None, failure_limit: float = FAILURE_LIMIT
) -> RetryPlan:
    """Retry failed events, those first that are most likely to succeed: where waiting may have helped, with the fewest
    failures, the newest. Held events are left out."""
    free = sorted(
        (event for event in failed if event.held_at is None),
        key=lambda event: (event.retry_at is None, event.failed_attempts, _newest_first(event)),
    )
    held = tuple(HeldEvent(_name(event), event.held_reason or "") for event in failed if event.held_at is not None)
    return RetryPlan(_stages(tuple(_name(event) for event in free[:limit])), held, _limit(failure_limit))


def retry(plan: RetryPlan, attempt: Callable[[str], IngestReport]) -> Iterator[RetryStep]:
    """Try the events of a plan one after the other; `attempt` ingests one and raises PipelineError where it fails.

    The last step says in `stopped` why what is left was not tried, where that is so.
    """
    total, done, tried, failed = len(plan.events()), 0, 0, 0
    for number, stage in enumerate(plan.stages, 1):
        last_stage = number > len(CANARIES)
        for place, event in enumerate(stage, 1):
            report, error = _attempt(attempt, event)
            done += 1
            busy = error is not None and error.kind is Kind.LOCK_HELD
            tried += not busy
            failed += error is not None and not busy
            judged = last_stage or place == len(stage)
            stopped = None
            if done < total:
                stopped = _why_stop(error, failed, tried if judged else 0, plan.failure_limit)
            yield RetryStep(event, number, done, total, failed, report, error, stopped)
            if stopped is not None:
                return


def _attempt(attempt: Callable[[str], IngestReport], event: str) -> tuple[IngestReport | None, PipelineError | None]:
    try:
        return attempt(event), None
    except PipelineError as error:
        return None, error


def _why_stop(error: PipelineError | None, failed: int, tried: int, limit: float) -> str | None:
    if error is not None and error.kind in HOPELESS:
        return error.message
    if tried and failed / tried > limit:
        return f"{failed} of {tried} failed, which is more than {limit:.0%}"
    return None


def _stages(names: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    stages = []
    rest = names
    for size in CANARIES:
        stages.append(rest[:size])
        rest = rest[size:]
    return tuple(stage for stage in (*stages, rest) if stage)


def _limit(failure_limit: float) -> float:
    if not 0 <= failure_limit <= 1:
        raise StateError(Kind.USAGE, f"the limit of failures is a share between 0 and 1, not {failure_limit}")
    return failure_limit


def _name(event: EventRow) -> str:
    return f"{event.track_slug}/{event.source_event_id}"


def _newest_first(event: EventRow) -> tuple[int, ...]:
    return tuple(-int(part) for part in (event.start_date or "0-0-0").split("-"))
