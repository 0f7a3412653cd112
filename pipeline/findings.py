"""What a check says when something is not as it must be.

A finding of severity "error" makes the checks fail; a "warning" is told and nothing follows from it. Check ids are
stable: records, holds and the console refer to them.
"""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct, field

Severity = Literal["error", "warning"]


class Finding(Struct, frozen=True, kw_only=True):
    """One thing that a check found."""

    check: str  # stable id, e.g. manifest
    severity: Severity = "error"
    message: str  # one sentence, with the values that contradict each other
    event: str | None = None  # slug/id
    event_id: int | None = None
    run_id: int | None = None
    facts: dict[str, Any] = field(default_factory=dict)
