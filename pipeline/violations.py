"""What a rule says when it is broken, and what follows from it.

A `Violation` of severity "error" is certain to be wrong and refuses the document; a "warning" is reported and never
stops anything, because an official's edit or an unseen layout may explain it. Rule ids are stable: logs, fixture
results and drift signals refer to them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec
from msgspec import Struct

from pipeline.errors import Kind, NormaliseError

Severity = Literal["error", "warning"]

LAPS_MISSING = "laps-missing"  # the one rule that has a failure kind of its own
MAX_REPORTED = 50  # violations listed in an error's details; the count is always whole


class Violation(Struct, frozen=True):
    """One broken rule at one place."""

    rule: str  # stable id, e.g. "lap-sum"
    severity: Severity
    message: str  # one sentence for a person, with the values that contradict each other
    race_id: str | None = None
    driver: str | None = None  # the name as shown
    field: str | None = None  # as in the canonical document
    page_type: str | None = None  # the page to look at


def require_valid(violations: Iterable[Violation]) -> None:
    """Pass if no violation is an error; warnings pass.

    Raises `NormaliseError`: LAPS_MISSING if laps are missing anywhere, else INVALID_DOCUMENT. `details.violations`
    holds the first 50 errors as objects, `details.violation_count` the number of all. Equal violations count once.
    """
    errors = [violation for violation in dict.fromkeys(violations) if violation.severity == "error"]
    if not errors:
        return
    missing = [violation for violation in errors if violation.rule == LAPS_MISSING]
    errors = missing + [violation for violation in errors if violation.rule != LAPS_MISSING]
    first = errors[0]
    others = len(errors) - 1
    more = f" (and {others} more contradiction{'s' if others > 1 else ''})" if others else ""
    raise NormaliseError(
        Kind.LAPS_MISSING if missing else Kind.INVALID_DOCUMENT,
        first.message + more,
        race_id=first.race_id,
        page_type=first.page_type,
        field=first.field,
        violations=[_as_details(violation) for violation in errors[:MAX_REPORTED]],
        violation_count=len(errors),
    )


def _as_details(violation: Violation) -> dict[str, str]:
    facts: dict[str, str | None] = msgspec.to_builtins(violation)
    return {name: value for name, value in facts.items() if value is not None}


def repeated(values: Iterable[str | None]) -> list[str]:
    """The values that occur more than once, None left out, in order of first occurrence."""
    counts = Counter(value for value in values if value is not None)
    return [value for value, times in counts.items() if times > 1]


def some(names: Sequence[str], limit: int = 5) -> str:
    """The first names for a message: "A, B and 3 more"."""
    shown = ", ".join(names[:limit])
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit} more"
