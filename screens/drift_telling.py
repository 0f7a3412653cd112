"""Drift cases, proposals and repairs told: what is doubted, what the probes said, what would be accepted, what became.

Pure functions from the pipeline's values to rows and lines.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from screens.diff_rows import place
from screens.telling import Line
from screens.widgets.table import Column, Row
from screens.words import Phrase, Tone, ago, clean, count, moment, state

if TYPE_CHECKING:
    from pipeline.drift import Case, ProbeResult
    from pipeline.gate import GateSet, GateState
    from pipeline.liverc.contract_folder import ContractVersion
    from pipeline.repair import Preview, Previewed, RepairProposal
    from pipeline.service_repair import Accepted, Undone

SUSPECTED, CONFIRMED, EVENT_ONLY, REPAIRED, DISMISSED = "suspected", "confirmed", "event_only", "repaired", "dismissed"
OPEN = (SUSPECTED, CONFIRMED, EVENT_ONLY)
_STATES = {
    SUSPECTED: Phrase("? suspected", Tone.WARN),
    CONFIRMED: Phrase("■ confirmed", Tone.BAD),
    EVENT_ONLY: Phrase("▲ event only", Tone.WARN),
    REPAIRED: Phrase("● repaired", Tone.GOOD),
    DISMISSED: Phrase("○ dismissed", Tone.QUIET),
}
_MEANING = {
    SUSPECTED: "The probes have not decided yet: its event is held, everything else goes on.",
    CONFIRMED: "LiveRC has changed: pages of this type are read nowhere until somebody closes the case.",
    EVENT_ONLY: "Other events read as ever: only the event that raised it is held.",
    REPAIRED: "It is closed: these pages are read again.",
    DISMISSED: "It is closed: these pages are as they are, and are believed.",
}
_VERDICTS = {
    "equal": Phrase("● equal", Tone.GOOD),
    "corrected": Phrase("● corrected", Tone.GOOD),
    "differs": Phrase("✗ differs", Tone.BAD),
    "failed": Phrase("✗ failed", Tone.BAD),
    "unreachable": Phrase("? not fetched", Tone.WARN),
}
DOUBTS_SHOWN = 12
OBJECTIONS_SHOWN = 3
PREVIEWED_SHOWN = 80


def case_state(name: str) -> Phrase:
    """How a case stands."""
    return _STATES.get(name, Phrase(f"? {clean(name)}", Tone.WARN))


def heading(text: str) -> list[Line]:
    return [[], [Phrase(text, Tone.BUSY)]]


def waiting(case: Case) -> int:
    """How many of its events nobody has ingested again since."""
    return sum(event.released_at is None for event in case.events)


# ---------------------------------------------------------------- cases

CASE_COLUMNS = (
    Column("Case", 4, right=True),
    Column("State", 12),
    Column("Page type", 14),
    Column("Field", 16, flex=1, rank=1),
    Column("Events", 6, right=True),
    Column("Opened", 10, rank=2),
    Column("Why", 22, flex=4),
)


def case_row(case: Case, now: int) -> Row:
    """A case at the moment `now` (UTC ms)."""
    return Row(
        str(case.id),
        (
            Phrase(str(case.id)),
            case_state(case.state),
            Phrase(clean(case.page_type)),
            Phrase(clean(case.field) or "the page", Tone.QUIET),
            Phrase(str(len(case.events))),
            Phrase(ago(case.opened_at, now), Tone.QUIET),
            Phrase(clean(case.reason), Tone.PLAIN if case.state in OPEN else Tone.QUIET),
        ),
    )


def case_summary(case: Case) -> list[Phrase]:
    """A case in a few lines: what it means, and what the probes said."""
    said = case_state(case.state)
    verdict = clean(case.closed_why) if case.closed_at is not None else clean(case.verdict) or "not probed yet"
    return [said, Phrase(f"  {_MEANING.get(case.state, '')}  "), Phrase(verdict, Tone.QUIET)]


def case_lines(case: Case, repair: ContractVersion | None, remedy: Sequence[Line] = ()) -> list[Line]:
    """All that is known of a case; `remedy` is what would repair it."""
    field = f" · {clean(case.field)}" if case.field else ""
    lines: list[Line] = [
        [case_state(case.state), Phrase(f"  {clean(case.page_type)}{field}")],
        [Phrase(_MEANING.get(case.state, ""))],
    ]
    if repair is not None:
        lines.append([Phrase(f"● Version {repair.version} of the contract is in force for it", Tone.GOOD), _by(repair)])
    if case.closed_at is not None:
        lines.append([Phrase(f"Closed at {moment(case.closed_at)} by {clean(case.closed_by)}: "), *_why(case)])
    raised = f" by {clean(case.event)}, run {case.run_id}" if case.event else ""
    lines.append([Phrase(f"Opened at {moment(case.opened_at)}{raised}.", Tone.QUIET)])
    if remedy:
        lines += [*heading("What would repair it"), *remedy]
    lines += [
        *heading("What the probes said"),
        [Phrase(clean(case.verdict) or "They were not asked yet: f asks them.")],
    ]
    for probe in case.probes:
        lines += _probe_lines(probe)
    lines += [*heading(f"Its events ({len(case.events)})"), *_event_lines(case)]
    return [*lines, *heading(f"What is doubted ({len(case.doubts)})"), *_doubt_lines(case)]


def _by(repair: ContractVersion) -> Phrase:
    return Phrase(f", accepted by {clean(repair.who)}: {clean(repair.reason)}", Tone.QUIET)


def _why(case: Case) -> list[Phrase]:
    return [Phrase(clean(case.closed_why), Tone.BUSY)]


def _probe_lines(probe: ProbeResult) -> list[Line]:
    verdict = _VERDICTS.get(probe.verdict, Phrase(f"? {clean(probe.verdict)}", Tone.WARN))
    said = f": {clean(probe.message)}" if probe.message else ""
    return [[verdict, Phrase(f"  {clean(probe.event)}{said}")], [Phrase(f"    {clean(probe.url)}", Tone.QUIET)]]


def _doubt_lines(case: Case) -> list[Line]:
    lines: list[Line] = []
    for doubt in case.doubts[:DOUBTS_SHOWN]:
        lines.append([Phrase(f"▲ {clean(doubt.why)}", Tone.WARN)])
        lines.append([Phrase(f"    {clean(doubt.url)}", Tone.QUIET)])
    if len(case.doubts) > DOUBTS_SHOWN:
        lines.append([Phrase(f"  and {len(case.doubts) - DOUBTS_SHOWN} more", Tone.QUIET)])
    return lines


def _event_lines(case: Case) -> list[Line]:
    lines: list[Line] = []
    for event in case.events:
        role = "its run failed" if event.role == "failed" else "was asked for meanwhile and refused"
        again = f", ingested again at {moment(event.released_at)}" if event.released_at is not None else ""
        lines.append([state(event.state), Phrase(f"  {clean(event.event)}"), Phrase(f"  {role}{again}", Tone.QUIET)])
    return lines or [[Phrase("None.", Tone.QUIET)]]


# ---------------------------------------------------------------- a proposal


def proposal_line(found: RepairProposal) -> list[Phrase]:
    """A proposal in one line: what would be added and whether it may be accepted."""
    moved, lost, unsure = (found.proposal.of(status) for status in ("moved", "lost", "ambiguous"))
    parts = [f"{clean(one.field)} → {place(one.old, one.new)}" for one in moved[:2]]
    more = f" and {len(moved) - 2} more" if len(moved) > 2 else ""
    said = [Phrase("Proposal ", Tone.BUSY), Phrase(f"{', '.join(parts)}{more}" if parts else "nothing to add")]
    if lost:
        names = ", ".join(clean(one.field) for one in lost[:3]) + (
            f" and {len(lost) - 3} more" if len(lost) > 3 else ""
        )
        said.append(Phrase(f" · ✗ cannot be known: {names}", Tone.BAD))
    if unsure:
        said.append(Phrase(f" · ? ambiguous: {', '.join(clean(one.field) for one in unsure[:3])}", Tone.WARN))
    if found.acceptable:
        held = found.proposal.held_out
        proved = f"{sum(one.passed for one in held)} of {count(len(held), 'page')} held out read as known"
        said.append(Phrase(f" · ● {proved}", Tone.GOOD))
    elif not lost:
        said.append(Phrase(f" · ✗ {clean(found.objections[0])}", Tone.BAD))
    return said


def proposal_lines(found: RepairProposal) -> list[Line]:
    """What would be added and what speaks for it, for whoever is about to accept it."""
    lines: list[Line] = [[Phrase(f"Proposal {found.digest} for drift case {found.case.id}", Tone.QUIET)]]
    for one in found.proposal.of("moved"):
        where = f"{clean(one.old)} → "
        lines.append(
            [Phrase(f"▲ {clean(one.field)}: ", Tone.WARN), Phrase(where, Tone.QUIET), Phrase(place(one.old, one.new))]
        )
        runner = f"; runner-up {clean(one.runner_up)} in {one.runner_up_support}" if one.runner_up else ""
        lines.append([Phrase(f"    gives the known value in {one.support} of {one.of} places{runner}", Tone.QUIET)])
    lines += unknowable(found)
    right = sum(check.right for check in found.proposal.held_out)
    lines.append(
        [
            Phrase(f"Learnt from {count(len(found.learnt_from), 'page')}, tried on {len(found.held_out)} others: "),
            Phrase(f"{count(right, 'value')} as known."),
        ]
    )
    lines += [[Phrase(f"✗ {clean(objection)}", Tone.BAD)] for objection in found.objections[:OBJECTIONS_SHOWN]]
    more = len(found.objections) - OBJECTIONS_SHOWN
    return [*lines, [Phrase(f"  and {more} more", Tone.QUIET)]] if more > 0 else lines


def unknowable(found: RepairProposal) -> list[Line]:
    """What no selector can bring back."""
    lines: list[Line] = [
        [Phrase(f"✗ {clean(one.field)} cannot be known: its values stand nowhere on the new pages", Tone.BAD)]
        for one in found.proposal.of("lost")
    ]
    lines += [
        [Phrase(f"? {clean(one.field)} is ambiguous: {clean(one.note) or 'several places fit'}", Tone.WARN)]
        for one in found.proposal.of("ambiguous")
    ]
    return lines


def preview_lines(preview: Preview) -> list[Line]:
    """What the addition does to archived pages and to those of the case, what changed first."""
    archived = [page for page in preview.pages if page.origin == "archive"]
    changed = preview.changed
    case = [page for page in preview.pages if page.origin != "archive"]
    same = sum(bool(page.same) for page in archived)
    head = Phrase("✗ It would change how pages read. ", Tone.BAD) if changed else Phrase("● It holds. ", Tone.GOOD)
    lines: list[Line] = [
        [head, Phrase("Tried in a sandbox: nothing was changed.")],
        [Phrase(f"{same} of {count(len(archived), 'archived page')} read exactly as before.")],
        [Phrase(f"{sum(bool(page.same) for page in case)} of {len(case)} of the case's pages read as they must.")],
        [],
    ]
    ordered = sorted(preview.pages, key=lambda page: (bool(page.same), page.origin == "archive"))
    lines += [line for page in ordered[:PREVIEWED_SHOWN] for line in _previewed(page)]
    return lines


def _previewed(page: Previewed) -> list[Line]:
    mark = Phrase("● ", Tone.GOOD) if page.same else Phrase("✗ ", Tone.BAD)
    where = "archive" if page.origin == "archive" else "case"
    said = Phrase(f"{where:<8} {clean(page.message)}  ", Tone.PLAIN if page.same else Tone.BAD)
    return [[mark, said, Phrase(clean(page.url).removeprefix("https://"), Tone.QUIET)]]


# ---------------------------------------------------------------- what became of it


def accepted_lines(done: Accepted) -> list[Line]:
    """An accepted repair: the contract, the page set, the replay of all of them, the gate."""
    lines: list[Line] = [
        [Phrase(f"● Version {done.version} of the contract of {clean(done.page_type)} pages is in force.", Tone.GOOD)]
    ]
    if done.fixture:
        lines.append([Phrase(f"● The failing pages are kept as page set {clean(done.fixture)}.", Tone.GOOD)])
    else:
        lines.append([Phrase(f"▲ No page set was kept: {clean(done.fixture_note)}", Tone.WARN)])
    return [*lines, *heading("The replay of the page sets"), *gate_lines(done.gate)]


def undone_lines(done: Undone) -> list[Line]:
    """A repair that was taken back."""
    lines: list[Line] = [
        [Phrase(f"○ Version {done.version} of the contract takes the repair back, and only that.", Tone.BUSY)]
    ]
    lines += [[Phrase(f"○ Page set {clean(name)} is retired.")] for name in done.retired]
    if done.note:
        lines.append([Phrase(f"▲ {clean(done.note)}", Tone.WARN)])
    return [*lines, *heading("The replay of the page sets"), *gate_lines(done.gate)]


def gate_line(gate: GateState) -> list[Phrase]:
    """Whether the gate is open, in one line."""
    passed = sum(bool(one.passed) for one in gate.sets)
    build = f" (build {clean(gate.build)})"
    if gate.state == "green":
        sets = count(len(gate.sets), "page set")
        return [Phrase("● The gate is open: ", Tone.GOOD), Phrase(f"{passed} of {sets} read as they must{build}")]
    if gate.state == "red":
        where = f"page set {clean(gate.failing_set)}: " if gate.failing_set else ""
        field = f"{clean(gate.failing_field)}: " if gate.failing_field else ""
        what = f"{where}{field}{clean(gate.first_difference)}"
        return [Phrase("■ The gate is closed, nothing is ingested: ", Tone.BAD), Phrase(f"{what}{build}")]
    return [Phrase("? The gate was not judged yet", Tone.WARN), Phrase(f": the next ingestion does, or v{build}")]


def gate_lines(gate: GateState) -> list[Line]:
    """Every page set's replay, then the gate."""
    return [*(_set_line(one) for one in gate.sets), [], gate_line(gate)]


def set_state(one: GateSet) -> Phrase:
    """How a page set reads today."""
    if one.passed is None:
        return Phrase("? not replayed", Tone.WARN)
    return Phrase("● as expected", Tone.GOOD) if one.passed else Phrase("✗ otherwise", Tone.BAD)


def _set_line(one: GateSet) -> Line:
    took = f"  {one.took_ms} ms" if one.took_ms is not None else ""
    said = f"  {clean(one.field)}: {clean(one.first_difference)}" if one.passed is False else took
    name = f"  {clean(one.event_id)} v{one.version}, {clean(one.origin)}"
    return [set_state(one), Phrase(name), Phrase(said, Tone.QUIET)]


def next_step(case: Case | None, repair: ContractVersion | None, gate: GateState) -> Sequence[Phrase]:
    """What to do now, in words."""
    if case is None:
        return [Phrase("")]
    if case.state not in OPEN:
        left = waiting(case)
        again = f" i ingests {count(left, 'event')} again." if left else ""
        return [Phrase(f"The case is closed as {case.state}.", Tone.GOOD), Phrase(again)]
    if repair is None:
        return [Phrase("The case stays open; esc leads back to its pages.")]
    if gate.state != "green":
        return [Phrase("The gate stays closed: ", Tone.BAD), Phrase("z takes the repair back.")]
    return [
        Phrase("x", Tone.BUSY),
        Phrase(" closes the case as repaired and ingests its events again; z takes it back."),
    ]
