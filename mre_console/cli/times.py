"""How stored times are shown to a person: UTC, to the second."""

from __future__ import annotations

from datetime import UTC, datetime


def shown_time(milliseconds: int | None) -> str:
    """UTC milliseconds → `2025-11-16 08:30:00Z`; `never` for None."""
    if milliseconds is None:
        return "never"
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
