"""What tests of the fetching side share: a clock that can be wound on, and a client for a simulator."""

from __future__ import annotations

import threading
from typing import Any

from mre_console.simulator.server import SimulatorServer
from pipeline.liverc.client import Client, ClientSettings
from pipeline.liverc.errand import Clock


class FastClock(Clock):
    """Real time plus all the seconds that were waited, which pass at once. `waits` says how long each was."""

    def __init__(self) -> None:
        self.waits: list[float] = []
        self._ahead = 0.0
        self._lock = threading.Lock()

    def now(self) -> float:
        return super().now() + self._ahead

    def wall(self) -> float:
        return super().wall() + self._ahead

    def wait(self, seconds: float, stop: threading.Event | None) -> None:
        with self._lock:
            self.waits.append(seconds)
            self._ahead += seconds


def client_for(server: SimulatorServer | str, **parts: Any) -> Client:
    """A client whose site is the simulator. Settings go to `ClientSettings`; state, clock and on_retry to `Client`."""
    url = server if isinstance(server, str) else server.url
    to_client = {name: parts.pop(name) for name in ("state", "clock", "on_retry") if name in parts}
    settings = {"version": "1.0", "stand_in": url, "crawl_delay_s": 0.0, **parts}
    return Client(ClientSettings(**settings), **to_client)
