"""The thread that keeps the console's picture fresh: about once a second, and at once when the pipeline says something.

It is a plain daemon thread, so quitting never waits for it. It hands over one picture at a time and looks again only
when that one has been taken: a busy screen slows the looking down instead of piling pictures up.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from screens.picture import Looker, Picture

if TYPE_CHECKING:
    from pipeline.observe import Report
    from screens.ports import Clock, ConsoleService

INTERVAL_S = 1.0  # between two looks when nothing happens here
GAP_S = 0.1  # between two pictures, however much happens

Deliver = Callable[[Picture], object]


class PictureSource(Protocol):
    """What the console needs of whoever makes its pictures."""

    def start(self) -> None: ...
    def stop(self) -> None: ...
    def look_for(self, text: str) -> None:
        """Show the events that match, from the next look on, which comes at once."""

    def nudge(self) -> None:
        """Something was changed here: look at once."""

    def taken(self) -> None:
        """The picture that was delivered is on the screen."""


class Poller:
    """Looks, delivers, waits. All methods may be called from any thread and return at once."""

    def __init__(
        self,
        service: ConsoleService,
        clock: Clock,
        deliver: Deliver,
        *,
        interval_s: float = INTERVAL_S,
        gap_s: float = GAP_S,
    ) -> None:
        self._service = service
        self._looker = Looker(service, clock)
        self._deliver = deliver
        self._interval_s = interval_s
        self._gap_s = gap_s
        self._wake = threading.Condition()
        self._stopped = threading.Event()
        self._look_wanted = True
        self._progressed = False
        self._on_its_way = False
        self._text = ""
        self._next_look = 0.0  # monotonic seconds; progress alone must not put looks off
        self._thread = threading.Thread(target=self._run, name="console-poller", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        with self._wake:
            self._wake.notify()

    def look_for(self, text: str) -> None:
        with self._wake:
            self._text = text
        self.nudge()

    def nudge(self) -> None:
        with self._wake:
            self._look_wanted = True
            self._wake.notify()

    def taken(self) -> None:
        with self._wake:
            self._on_its_way = False
            self._wake.notify()

    def _hear(self, report: Report) -> None:
        """Called in the pipeline's threads: must be quick."""
        look = self._looker.hear(report)
        with self._wake:
            self._progressed = True
            self._look_wanted = self._look_wanted or look
            self._wake.notify()

    def _run(self) -> None:
        unsubscribe = self._service.bus.subscribe(self._hear)
        try:
            while not self._stopped.is_set():
                look, text = self._next()
                if self._stopped.is_set():
                    return
                self._deliver(self._looker.look(text) if look else self._looker.touch_up())
                self._stopped.wait(self._gap_s)
        finally:
            unsubscribe()

    def _next(self) -> tuple[bool, str]:
        """Wait until a picture is worth making; is it one that needs a look, and for which events?"""
        with self._wake:
            self._wake.wait_for(lambda: self._stopped.is_set() or not self._on_its_way)
            self._wake.wait_for(
                lambda: self._stopped.is_set() or self._look_wanted or self._progressed,
                timeout=max(0.0, self._next_look - time.monotonic()),
            )
            now = time.monotonic()
            look = self._look_wanted or now >= self._next_look
            if look:
                self._next_look = now + self._interval_s
            self._look_wanted = self._progressed = False
            self._on_its_way = True
            return look, self._text
