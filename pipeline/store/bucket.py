"""Politeness that is shared by every thread, process and machine: one bucket per registrable domain, and robots.txt.

A slot is reserved before the wait, in one transaction, so that eight simultaneous callers start one after the other.
"""

from __future__ import annotations

from msgspec import Struct

from pipeline.store.database import Store
from pipeline.store.models import Politeness, RobotsFile

LONGEST_QUEUE_MS = 30 * 60_000  # nobody waits longer for a slot: one that lies further ahead was taken by a wrong clock
LONGEST_PAUSE_MS = 24 * 3_600_000  # as for a pause: no site may ask for a longer one


class RobotsRow(Struct, frozen=True):
    """The newest answer to a request for a host's robots.txt."""

    status: int
    body: str
    age_ms: int  # since it was saved, by the database's clock


def reserve_slot(store: Store, domain: str, delay_ms: int) -> int:
    """Take the domain's next free slot and keep the `delay_ms` after it free; milliseconds until the slot begins.

    A pause in force moves the slot behind it. With a delay of 0 nothing is reserved or written: only a pause counts.
    """
    if delay_ms <= 0:
        with store.read():
            row = store.fetch_one(Politeness.select(Politeness.paused_until).where(Politeness.domain == domain))
            return max(0, row["paused_until"] - store.clock_ms()) if row else 0
    with store.write():
        next_at, paused_until = _lock(store, domain)
        now = store.clock_ms()
        if paused_until > now + LONGEST_PAUSE_MS:
            store.change(Politeness.update(paused_until=now).where(Politeness.domain == domain))
            paused_until = now
        if next_at > max(now, paused_until) + LONGEST_QUEUE_MS + delay_ms:
            next_at = now + delay_ms  # the clock went back: after whoever may just have begun
        start = max(now, next_at, paused_until)
        store.change(Politeness.update(next_at=start + delay_ms).where(Politeness.domain == domain))
        return start - now


def pause_domain(store: Store, domain: str, ms: int) -> None:
    """Let no slot begin during the next `ms` milliseconds. A longer pause in force stays."""
    with store.write():
        _, paused_until = _lock(store, domain)
        until = store.clock_ms() + ms
        if until > paused_until:
            store.change(Politeness.update(paused_until=until).where(Politeness.domain == domain))


def load_robots(store: Store, host: str) -> RobotsRow | None:
    """The newest robots.txt saved for a host, however old it is."""
    row = store.fetch_one(
        RobotsFile.select(
            RobotsFile.status, RobotsFile.body, (store.now_ms() - RobotsFile.fetched_at).alias("age_ms")
        ).where(RobotsFile.host == host)
    )
    return RobotsRow(**row) if row else None


def save_robots(store: Store, host: str, status: int, body: str) -> None:
    """Keep a host's robots.txt in place of the one before."""
    store.change(
        RobotsFile.insert(host=host, status=status, body=body, fetched_at=store.now_ms()).on_conflict(
            conflict_target=[RobotsFile.host],
            preserve=[RobotsFile.status, RobotsFile.body, RobotsFile.fetched_at],
        )
    )


def _lock(store: Store, domain: str) -> tuple[int, int]:
    """The domain's bucket, made where it is missing and locked until the commit: next free moment, end of the pause."""
    find = "SELECT next_at, paused_until FROM politeness WHERE domain = ?"
    if store.engine == "postgresql":
        find += " FOR UPDATE"  # SQLite has locked everything already
    rows = store.sql(find, domain)
    if not rows:
        store.change(Politeness.insert(domain=domain).on_conflict_ignore())
        rows = store.sql(find, domain)
    ((next_at, paused_until),) = rows
    return next_at, paused_until
