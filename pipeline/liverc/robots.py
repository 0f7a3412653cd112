"""robots.txt: what the site allows us, and how fast. Rules are kept per host and shared through the database for a day.

RFC 9309, to the letter where it matters: a file that does not exist (any 4xx) allows everything, a server that cannot
say (5xx) forbids everything, and the query string is part of what is matched, since every LiveRC page is told by it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from protego import Protego

from pipeline.errors import FetchError, Kind
from pipeline.liverc.errand import Clock, Errand
from pipeline.liverc.politeness import RobotsCopy, SharedState

AGENT = "MRE-console"  # the product token that robots.txt may name
_RECHECK_S = 900.0  # how long parsed rules are used before the shared copy's age is asked for again
_READ_AT_MOST = 512_000  # characters; RFC 9309 asks for at least 500 KiB


class Rules:
    """One host's rules for this program."""

    def __init__(self, copy: RobotsCopy) -> None:
        # Protego remembers matches as it goes, so one thread at a time.
        self._lock = threading.Lock()
        self._rules = Protego.parse(copy.body[:_READ_AT_MOST]) if copy.status < 300 else None
        delay = self._rules.crawl_delay(AGENT) if self._rules else None
        self.crawl_delay_s: float = delay or 0.0

    def allow(self, url: str) -> bool:
        """Whether the whole URL, query string included, may be fetched."""
        if self._rules is None:
            return True
        with self._lock:
            return bool(self._rules.can_fetch(url, AGENT))


class Robots:
    """The rules of every host that is visited. Thread-safe; each host's file is fetched once, by whoever comes first.

    `key` gives the name under which a host's copy is shared; `fetch` asks the site for the file (status and text for
    200, status alone for 4xx) and raises FetchError for anything else.
    """

    def __init__(
        self,
        state: SharedState,
        clock: Clock,
        key: Callable[[str], str],
        fetch: Callable[[str, Errand], RobotsCopy],
    ) -> None:
        self._state = state
        self._clock = clock
        self._key = key
        self._fetch = fetch
        self._rules: dict[str, tuple[float, Rules]] = {}
        self._locks: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()

    def rules(self, host: str, errand: Errand) -> Rules:
        """The host's rules, from memory, the shared copy or the site. Raises what `fetch` raises."""
        known = self._rules.get(host)
        if known is not None and self._clock.now() < known[0]:
            return known[1]
        with self._lock:
            host_lock = self._locks.setdefault(host, threading.Lock())
        while not host_lock.acquire(timeout=0.1):
            errand.check()
        try:
            return self._learn(host, errand)
        finally:
            host_lock.release()

    def _learn(self, host: str, errand: Errand) -> Rules:
        known = self._rules.get(host)
        if known is not None and self._clock.now() < known[0]:  # learned by another thread meanwhile
            return known[1]
        copy = self._state.load_robots(self._key(host))
        if copy is None:
            copy = self._fetch(host, errand)
            self._state.save_robots(self._key(host), copy.status, copy.body)
        rules = Rules(copy)
        self._rules[host] = (self._clock.now() + _RECHECK_S, rules)
        return rules

    def require(self, host: str, url: str, errand: Errand) -> Rules:
        """As `rules`; raises ROBOTS_DISALLOWED if they forbid the URL."""
        rules = self.rules(host, errand)
        if not rules.allow(url):
            raise FetchError(Kind.ROBOTS_DISALLOWED, f"The robots.txt of {host} forbids fetching this page.")
        return rules
