"""How the program keeps from being a nuisance: one request per slot for a whole domain, and silence when asked for it.

What must be shared by all threads, processes and machines (the next free slot, pauses, robots.txt) lies behind
`SharedState`: in the database for real work, in memory where there is none. A slot is reserved before the wait, so that
eight threads that ask at once start one after the other.
"""

from __future__ import annotations

import math
import threading
from typing import NamedTuple, Protocol

from pipeline.errors import Kind
from pipeline.liverc.errand import Clock, Errand

ROBOTS_MAX_AGE_S = 24 * 3600.0
MAX_PAUSE_S = 24 * 3600.0  # no answer of a server may silence the program for longer than this


SLOTS_MISSED = 5  # after so many slots that came too late for a machine this slow, the next one has to do


def _tolerance(delay_s: float) -> float:
    """How many seconds into its slot a request may still begin."""
    return max(delay_s / 4, 0.05)


class RobotsCopy(NamedTuple):
    """A robots.txt as it was answered: 2xx with its text, or 4xx with none."""

    status: int
    body: str


class SharedState(Protocol):
    """What every fetcher of one site shares. All methods may be called from any thread."""

    def reserve_slot(self, domain: str, delay_ms: int) -> int:
        """Take the next free slot and keep the following `delay_ms` free → milliseconds until it begins."""

    def pause_domain(self, domain: str, ms: int) -> None:
        """No slot begins during the next `ms` milliseconds; a longer pause in force stays."""

    def load_robots(self, host: str) -> RobotsCopy | None:
        """The copy saved in the last 24 hours, if there is one."""

    def save_robots(self, host: str, status: int, body: str) -> None: ...


class MemoryState:
    """`SharedState` of one process."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or Clock()
        self._lock = threading.Lock()
        self._next: dict[str, float] = {}
        self._robots: dict[str, tuple[float, RobotsCopy]] = {}

    def reserve_slot(self, domain: str, delay_ms: int) -> int:
        with self._lock:
            now = self._clock.now()
            start = max(now, self._next.get(domain, now))
            self._next[domain] = start + delay_ms / 1000
            return math.ceil((start - now) * 1000)

    def pause_domain(self, domain: str, ms: int) -> None:
        with self._lock:
            until = self._clock.now() + ms / 1000
            self._next[domain] = max(until, self._next.get(domain, until))

    def load_robots(self, host: str) -> RobotsCopy | None:
        with self._lock:
            saved_at, copy = self._robots.get(host, (-math.inf, None))
            return copy if self._clock.now() - saved_at < ROBOTS_MAX_AGE_S else None

    def save_robots(self, host: str, status: int, body: str) -> None:
        with self._lock:
            self._robots[host] = (self._clock.now(), RobotsCopy(status, body))


class Turnstile:
    """Lets requests to one domain through, each in its slot. Shared by the threads of one client."""

    def __init__(self, state: SharedState, domain: str, clock: Clock) -> None:
        self._state = state
        self._domain = domain
        self._clock = clock
        self._lock = threading.Lock()
        self._paused_until = -math.inf
        self._free_at = -math.inf

    def pass_through(self, errand: Errand, delay_s: float) -> None:
        """Wait for the next slot.

        Raises at once if it begins after the errand's deadline: RATE_LIMITED where the site asked for silence, else
        TIMEOUT. Raises INTERRUPTED if stopped while waiting.

        Without a delay nothing is shared: no database is written, and only this process's pauses hold.
        """
        errand.check()
        tries = 0
        while True:
            silence_s = self._paused_until - self._clock.now()
            if silence_s > errand.left():
                message = f"The site asked for silence, which lasts another {silence_s:.0f} s."
                raise errand.error(Kind.RATE_LIMITED, message, retry_after_s=round(silence_s, 3))
            asked = self._clock.now()
            if delay_s > 0:
                wait_s = self._state.reserve_slot(self._domain, math.ceil(delay_s * 1000)) / 1000
            else:
                wait_s = silence_s
            errand.wait(wait_s, "its next turn (others wait too, or the site asked for silence)")
            tries += 1
            if delay_s > 0 and tries < SLOTS_MISSED and self._clock.now() - asked - wait_s > _tolerance(delay_s):
                continue  # stopped meanwhile, or held up: the slot is over, and the next one is somebody else's
            self._keep_distance(errand, delay_s)
            if self._clock.now() >= self._paused_until:  # else the site asked for silence while this request waited
                return

    def _keep_distance(self, errand: Errand, delay_s: float) -> None:
        """Whatever the shared clock says, which may jump: no two requests of this process are closer than the delay."""
        while True:
            with self._lock:
                now = self._clock.now()
                short_s = self._free_at - now
                if short_s <= 0:
                    self._free_at = now + delay_s
                    return
            errand.wait(short_s, "its next turn")

    def pause(self, seconds: float) -> None:
        """Keep every fetcher of the domain silent for so long, from now."""
        seconds = min(seconds, MAX_PAUSE_S)
        with self._lock:
            self._paused_until = max(self._paused_until, self._clock.now() + seconds)
        self._state.pause_domain(self._domain, math.ceil(seconds * 1000))
