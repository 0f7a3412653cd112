"""What one fetch may spend and who may stop it, and the clock it is measured by.

An `Errand` goes with a fetch through every wait and every read, so that the run's deadline and a request to stop hold
everywhere, and every error knows its URL. The clock is a parameter: tests pass hours in no time.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from pipeline.errors import FetchError, Kind, PipelineError, StateError

DEFAULT_DEADLINE_S = 1800.0  # of a fetch that belongs to no run; a run's own is the same


class Clock:
    """Monotonic time, wall time and waiting."""

    def now(self) -> float:
        """Monotonic seconds."""
        return time.monotonic()

    def wall(self) -> float:
        """Seconds since the epoch."""
        return time.time()

    def wait(self, seconds: float, stop: threading.Event | None) -> None:
        """Return after `seconds`, or as soon as `stop` is set."""
        (stop or threading.Event()).wait(seconds)


class Errand:
    """One fetch under way. Belongs to one thread."""

    def __init__(
        self,
        url: str,
        page_type: str,
        clock: Clock,
        *,
        stop: threading.Event | None,
        deadline: float | None,
        admit: Callable[[], None] | None = None,
    ) -> None:
        """`admit` raises where a request may not be sent now."""
        self.url = url
        self.page_type = page_type
        self.clock = clock
        self.stop = stop
        self.admit = admit
        self.attempts = 0
        self._started = clock.now()
        self.deadline = self._started + DEFAULT_DEADLINE_S if deadline is None else deadline

    def branch(self) -> Errand:
        """An errand on the way to this one's page: same page, same deadline, its own count of attempts."""
        return Errand(self.url, self.page_type, self.clock, stop=self.stop, deadline=self.deadline, admit=self.admit)

    def left(self) -> float:
        """Seconds until the run's deadline; negative when it has passed."""
        return self.deadline - self.clock.now()

    def check(self) -> None:
        """Raise INTERRUPTED if the stop was asked for, TIMEOUT if the deadline has passed."""
        if self.stop is not None and self.stop.is_set():
            raise self.interrupted()
        if self.left() <= 0:
            raise self.error(Kind.TIMEOUT, "The run's time was over before the page was fetched.")

    def wait(self, seconds: float, why: str) -> None:
        """Wait; raise TIMEOUT at once if that would outlast the deadline, INTERRUPTED if stopped meanwhile."""
        if seconds > self.left():
            message = f"The run's time is over before {why}, in {seconds:.0f} s."
            raise self.error(Kind.TIMEOUT, message, wait_s=round(seconds, 3))
        if seconds > 0:
            self.clock.wait(seconds, self.stop)
        self.check()

    def error(self, kind: Kind, message: str, **details: Any) -> FetchError:
        error = FetchError(kind, message, **details)
        self.describe(error)
        return error

    def interrupted(self) -> PipelineError:
        error = StateError(Kind.INTERRUPTED, "The fetch was stopped before the page was whole.")
        self.describe(error)
        return error

    def describe(self, error: PipelineError) -> None:
        """Add what every error of a fetch tells: page, attempts, seconds spent."""
        elapsed = round(self.clock.now() - self._started, 3)
        error.with_details(url=self.url, page_type=self.page_type, attempts=self.attempts, elapsed_s=elapsed)
