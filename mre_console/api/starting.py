"""Beginning an ingestion for somebody who waits for an answer: how its run is called, or why there is none."""

from __future__ import annotations

import threading
from collections.abc import Callable

from pipeline.errors import Kind, PipelineError, StateError
from pipeline.ingest import IngestReport
from pipeline.observe import Report
from pipeline.service import Service

UNDER_WAY = 8  # ingestions that one process may have under way; the site is asked once a second anyway
PATIENCE_S = 30.0  # how long a run may take to begin


def start(service: Service, work: Callable[[], IngestReport], *, wait: bool, name: str) -> int | IngestReport:
    """Do `work` in a thread of its own; the id of the run that began, or with `wait` how it ended.

    Raises StateError TOO_MANY_REQUESTS; whatever kept a run from beginning; with `wait`, how it failed.
    """
    if service.running_here() >= UNDER_WAY:
        raise StateError(
            Kind.TOO_MANY_REQUESTS, f"{UNDER_WAY} ingestions are under way here already.", retry_after_s=10
        )
    attempt = _Attempt()
    unsubscribe = service.bus.subscribe(attempt.hear)
    try:
        attempt.thread = service.start(work, attempt.ended, name=f"api-{name}")
        attempt.go.set()
        waited_for = attempt.over if wait else attempt.known
        while not waited_for.wait(PATIENCE_S):
            if not wait:
                raise StateError(Kind.DB_BUSY, "The ingestion has not begun yet; look at the event's runs.")
    finally:
        unsubscribe()
    if isinstance(attempt.outcome, IngestReport) and wait:
        return attempt.outcome
    if attempt.run_id is not None and not wait:
        return attempt.run_id
    if isinstance(attempt.outcome, PipelineError):
        raise attempt.outcome
    raise StateError(Kind.INTERNAL, "The ingestion ended without a word.")


class _Attempt:
    """One ingestion as its caller sees it: which run it became, and how it ended."""

    def __init__(self) -> None:
        self.go = threading.Event()  # the thread is known
        self.known = threading.Event()  # the run began, or everything is over
        self.over = threading.Event()
        self.thread: threading.Thread | None = None
        self.run_id: int | None = None
        self.outcome: IngestReport | PipelineError | None = None

    def hear(self, report: Report) -> None:
        """Called in the thread that works: only its own run is this one."""
        if report.name != "ingestion_start" or self.run_id is not None:
            return
        self.go.wait()
        if self.thread is threading.current_thread():
            self.run_id = report.run_id
            self.known.set()

    def ended(self, outcome: IngestReport | PipelineError) -> None:
        self.outcome = outcome
        self.over.set()
        self.known.set()
