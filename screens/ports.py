"""What the console asks of the pipeline, and of time. Screens see only these shapes, so a test can stand in for both.

Every call of a `ConsoleService` may block (it reads a database, some fetch a page) and raises `PipelineError` and nothing
else: none of them belongs on the user interface's own thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pipeline.errors import PipelineError
    from pipeline.ingest import IngestReport
    from pipeline.observe import Report
    from pipeline.snapshot import LapLine, LogLine, RaceLine, ResultLine, Snapshot


class ReportSource(Protocol):
    """Where the pipeline says what it does, at once, in its own threads."""

    def subscribe(self, subscriber: Callable[[Report], None], /) -> Callable[[], None]:
        """Add a subscriber; the returned function removes it again."""


class ConsoleService(Protocol):
    """The pipeline as the console knows it."""

    @property
    def bus(self) -> ReportSource: ...

    @property
    def shown_database(self) -> str:
        """The database as it may be shown: without a password."""

    @property
    def shown_site(self) -> str:
        """`liverc.com`, or the site that stands in for it."""

    def needs_contact(self) -> bool:
        """True where the real site would be fetched and nobody has said yet who does it."""

    def save_contact(self, contact: str) -> None:
        """Keep an e-mail address or URL for the User-Agent. Raises PipelineError USAGE where it is not acceptable."""

    def snapshot(self, *, text: str = "", limit: int = 500, after_log_id: int = 0, log_limit: int = 2_000) -> Snapshot:
        """Everything at one moment; `text` filters events, `after_log_id` is the newest log line already seen."""

    def add_event(self, event: str) -> object:
        """Make an event known without fetching it. Raises PipelineError USAGE for a name that is none."""

    def start_ingest(self, event: str, *, done: Callable[[IngestReport | PipelineError], None] | None = None) -> object:
        """Ingest in a thread of its own; `done` hears there how it ended."""

    def follow(self, slug: str) -> object:
        """Follow a track; may fetch its page."""

    def refresh_track(self, slug: str) -> tuple[object, ...]:
        """Fetch a track's events listing; the events it lists are known afterwards."""

    def races(self, event_id: int) -> tuple[RaceLine, ...]: ...

    def results(self, race_id: int) -> tuple[ResultLine, ...]: ...

    def laps(self, result_id: int) -> tuple[LapLine, ...]: ...

    def run_log(self, run_id: int, limit: int = 1_000) -> tuple[LogLine, ...]: ...

    def stop(self, message: str) -> None:
        """Ask every run and fetch of this process to end as interrupted."""

    def running_here(self) -> int:
        """How many runs and fetches of this process are under way."""


class Clock(Protocol):
    """Seconds that only ever go forward."""

    def __call__(self) -> float: ...


def system_clock() -> float:
    return time.monotonic()
