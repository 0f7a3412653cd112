"""What all fetchers of a site share, kept in the database: the politeness bucket and the robots.txt copies."""

from __future__ import annotations

from pipeline.liverc.politeness import ROBOTS_MAX_AGE_S, RobotsCopy
from pipeline.store import bucket
from pipeline.store.database import Store


class StoreState:
    """`SharedState` for every thread, process and machine that uses one database."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def reserve_slot(self, domain: str, delay_ms: int) -> int:
        return bucket.reserve_slot(self._store, domain, delay_ms)

    def pause_domain(self, domain: str, ms: int) -> None:
        bucket.pause_domain(self._store, domain, ms)

    def load_robots(self, host: str) -> RobotsCopy | None:
        row = bucket.load_robots(self._store, host)
        if row is None or not 0 <= row.age_ms <= ROBOTS_MAX_AGE_S * 1000:  # one of the future: a clock was wrong
            return None
        return RobotsCopy(row.status, row.body)

    def save_robots(self, host: str, status: int, body: str) -> None:
        bucket.save_robots(self._store, host, status, body)
