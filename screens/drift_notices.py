"""What the home screen's banner says of the gate and of drift: what is refused everywhere, what waits for a person."""

from __future__ import annotations

from typing import TYPE_CHECKING

from screens.drift_telling import waiting
from screens.telling import Line
from screens.words import Phrase, Tone, clean, count

if TYPE_CHECKING:
    from pipeline.drift import Case
    from pipeline.snapshot import Snapshot

GATE_CLOSED = "GATE CLOSED"


def gate_is_red(snapshot: Snapshot) -> bool:
    """Whether nothing may be ingested because a page set reads otherwise than it must."""
    return snapshot.gate is not None and snapshot.gate.state == "red"


def drift_notices(snapshot: Snapshot) -> list[Line]:
    """One line each: the gate, page types that are blocked, cases that are open."""
    lines: list[Line] = []
    gate, cases = snapshot.gate, snapshot.drift.cases
    if gate is not None and gate_is_red(snapshot):
        field = f"{clean(gate.failing_field)}: " if gate.failing_field else ""
        where = f"page set {clean(gate.failing_set)}: " if gate.failing_set else ""
        said = Phrase(f"{where}{field}{clean(gate.first_difference)}")
        lines.append([Phrase("■ The gate is closed. ", Tone.BAD), said, Phrase("  P looks", Tone.QUIET)])
    blocking = [case for case in cases if case.blocks]
    if blocking:
        names = ", ".join(f"{clean(case.page_type)} (case {case.id})" for case in blocking)
        wait = count(sum(waiting(case) for case in blocking), "event")
        blocked = Phrase(f"■ LiveRC changed {names}: ", Tone.BAD)
        lines.append([blocked, Phrase(f"read nowhere, {wait} on it"), Phrase("  D looks", Tone.QUIET)])
    undecided = [case for case in cases if not case.blocks]
    if undecided:
        lines.append([Phrase(_undecided(undecided), Tone.WARN), Phrase(_why(undecided)), Phrase("  D", Tone.QUIET)])
    return lines


def _undecided(cases: list[Case]) -> str:
    if len(cases) > 1:
        return f"▲ {len(cases)} drift cases are open: "
    case = cases[0]
    return f"▲ Drift case {case.id}, {clean(case.event) or clean(case.page_type)}: "


def _why(cases: list[Case]) -> str:
    return (
        clean(cases[0].reason) if len(cases) == 1 else ", ".join(f"{case.id} {clean(case.page_type)}" for case in cases)
    )
