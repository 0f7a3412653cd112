"""How the pipeline tells what it does: plain, frozen reports handed to whoever subscribed.

Worker threads publish `Report`s on a `Bus`; a console, a progress bar, a log or a test takes them. A subscriber must be
quick and must not block; one that raises is dropped from that report only, never stops the pipeline. What must not be
lost goes to the journal as well (see `pipeline.runs`); reports are for immediacy.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from msgspec import Struct, field

from pipeline.errors import PipelineError

logger = logging.getLogger("mre.pipeline")


class Report(Struct, frozen=True):
    """One thing that happened. `name` is stable (ingestion_start, race_page_fetched …); `fields` are JSON-ready."""

    name: str
    message: str
    severity: str = "info"  # debug, info, warning, error
    at: float = field(default_factory=time.time)  # seconds since the epoch, this machine's clock: for display only
    event_id: int | None = None
    run_id: int | None = None
    fields: dict[str, Any] = field(default_factory=dict)


def progress_report(stage: str | None, done: int, total: int | None) -> Report:
    """How far a run is: pages done of all its pages, `total` None while that is not known."""
    return Report("progress", f"{stage} {done}/{total}", "debug", fields={"stage": stage, "done": done, "total": total})


def failure_fields(error: PipelineError) -> dict[str, Any]:
    """What every report of a failure carries: stage, kind, and where it happened, as far as that is known."""
    places = ("url", "page_type", "race_id", "field", "selector")
    known = {name: error.details[name] for name in places if name in error.details}
    return {"stage": str(error.stage), "kind": str(error.kind), **known}


def refusal_report(error: PipelineError, **fields: Any) -> Report:
    """A failure that no run records, because there is none: a held lock, a closed gate, a listing not fetched."""
    return Report("request_failed", error.message, "error", fields={**failure_fields(error), **fields})


Subscriber = Callable[[Report], None]


class Bus:
    """Fans reports out to subscribers in the publishing thread. Safe to use from any thread."""

    def __init__(self) -> None:
        self._subscribers: tuple[Subscriber, ...] = ()
        self._lock = threading.Lock()

    def subscribe(self, subscriber: Subscriber) -> Callable[[], None]:
        """Add a subscriber; the returned function removes it again."""
        with self._lock:
            self._subscribers = (*self._subscribers, subscriber)

        def unsubscribe() -> None:
            with self._lock:
                self._subscribers = tuple(s for s in self._subscribers if s is not subscriber)

        return unsubscribe

    def publish(self, report: Report) -> None:
        """Hand the report to every subscriber; a failing subscriber is logged and the others still hear it."""
        for subscriber in self._subscribers:
            try:
                subscriber(report)
            except Exception:
                logger.exception("a subscriber failed on %s", report.name)
