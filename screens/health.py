"""How the pipeline is, and why: the judgement of `mre status` and `/health`, its reasons, and how old the evidence is.

Each reason names the key that leads to what it is about; the home screen, from which this one is opened, follows it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import Screen
from textual.widgets import Static

from pipeline import health as limits
from pipeline.ways import ENABLED
from screens.picture import Picture
from screens.ports import Clock
from screens.summary import judgement
from screens.telling import Line, plain
from screens.widgets.header import Facts, freshness
from screens.widgets.keys import KeyLine
from screens.widgets.tones import content
from screens.widgets.tones import lines as drawn
from screens.words import Phrase, Tone, ago, clean, count, health, span

if TYPE_CHECKING:
    from pipeline.health import Evidence, Health
    from pipeline.snapshot import Snapshot

NAME_WIDTH = 15
# What a reason is about → what to do: a key of the home screen, or a sentence.
REMEDIES = {
    "switch_off": "d shows what enabling needs",
    "gate_closed": "P shows which page set does not read as it must; nothing is read live meanwhile",
    "page_type_blocked": "D shows what LiveRC changed; a person ends the block",
    "drift_suspected": "D shows what is doubted, and what the probes said",
    "runs_failing": "F groups the failures by cause",
    "tick_late": "s shows who should run the schedule, and h runs it here",
    "lease_expired": "l shows the holder and what is known of it",
    "events_held": "F shows why they failed; r on one of them tries it again and ends its hold",
    "warnings_open": "w shows them; a says that you have seen one",
    "database_down": "it is asked again every second; look at the disk or the database server",
}
_TONES = {limits.FAILING: Tone.BAD, limits.DISABLED: Tone.BAD, limits.DEGRADED: Tone.WARN}
_MARKS = {limits.FAILING: "✗", limits.DISABLED: "■", limits.DEGRADED: "▲"}


def health_lines(judged: Health, snapshot: Snapshot | None) -> list[Line]:
    """The judgement with its reasons, the worst first, then all that it was judged by."""
    lines: list[Line] = [[health(judged.state)], []]
    if not judged.reasons:
        lines.append([Phrase("Nothing speaks against it.", Tone.QUIET)])
    for reason in judged.reasons:
        text = clean(reason.text)
        lines.append([Phrase(f"{_MARKS[reason.state]} {text[:1].upper()}{text[1:]}", _TONES[reason.state])])
        lines.append([Phrase(f"  {REMEDIES.get(reason.code, 'see the log')}", Tone.QUIET)])
    lines += [[], [Phrase("Judged by", Tone.BUSY)]]
    if judged.evidence.database_error is not None:
        return [*lines, _fact("Database", "does not answer: nothing else is known now", Tone.BAD)]
    return lines + _evidence(judged.evidence, snapshot)


def _evidence(e: Evidence, snapshot: Snapshot | None) -> list[Line]:
    success = "never" if e.last_success_age_ms is None else ago(e.at - e.last_success_age_ms, e.at)
    expired = ", ".join(map(clean, e.expired_leases)) or "none"
    return [
        _fact("Switch", "ingestion is enabled" if e.mode == ENABLED else f"{e.mode}: {clean(e.mode_reason)}"),
        _fact("Ingestions", _rate(e)),
        _fact("Last success", success),
        _fact("Schedule", _tick(e)),
        *_due(snapshot),
        _fact("Locks expired", expired, Tone.WARN if e.expired_leases else Tone.PLAIN),
        _fact("Events held", f"{e.held_events:,}"),
        _fact("Warnings", _warnings(e, snapshot)),
        *_gate(snapshot),
        _fact("Drift", _drift(e)),
    ]


def _fact(name: str, text: str, tone: Tone = Tone.PLAIN) -> Line:
    return [Phrase(f"{name:<{NAME_WIDTH}}", Tone.QUIET), Phrase(text, tone)]


def _rate(e: Evidence) -> str:
    if not e.outcomes:
        return "none in 24 hours"
    failed = sum(outcome in ("failed", "interrupted", "cleared") for outcome in e.outcomes)
    share = f"{failed} of the newest {len(e.outcomes)} failed ({failed / len(e.outcomes):.0%})"
    if len(e.outcomes) < limits.FEWEST_RUNS:
        return f"{share}: too few to tell"
    return f"{share}; the limits are {limits.RATE_DEGRADED:.0%} and {limits.RATE_FAILING:.0%}"


def _tick(e: Evidence) -> str:
    if e.tick_age_ms is None:
        return "nobody runs it"
    late = limits.LATE_TICKS * e.tick_interval_ms // 1_000
    return f"last tick {ago(e.at - e.tick_age_ms, e.at)}, late after {late} s"


def _due(snapshot: Snapshot | None) -> list[Line]:
    schedule = snapshot.schedule if snapshot is not None else None
    if schedule is None:
        return []
    waits = f", the oldest due work for {span(schedule.overdue_ms / 1_000)}" if schedule.overdue_ms else ""
    tone = Tone.WARN if schedule.late else Tone.PLAIN
    return [_fact("Due work", f"{count(schedule.wanted, 'event')} wanted{waits}", tone)]


def _warnings(e: Evidence, snapshot: Snapshot | None) -> str:
    if not e.open_warnings or snapshot is None or not snapshot.warnings:
        return "none"
    return f"{e.open_warnings:,} open, the newest {ago(snapshot.warnings[0].at, e.at)}"


def _gate(snapshot: Snapshot | None) -> list[Line]:
    gate = snapshot.gate if snapshot is not None else None
    if snapshot is None or gate is None:
        return []
    judged = "" if gate.checked_at is None else f", judged {ago(gate.checked_at, snapshot.taken_at)}"
    said = {
        "green": f"open: {count(gate.sets, 'page set')} right{judged}",
        "red": f"closed{judged}",
    }.get(gate.state, "not judged yet: the next ingestion does")
    return [_fact("Gate", said, Tone.BAD if gate.state == "red" else Tone.PLAIN)]


def _drift(e: Evidence) -> str:
    if not e.open_drift_cases:
        return "no open case"
    blocked = f", blocked: {', '.join(e.blocked_page_types)}" if e.blocked_page_types else ""
    return f"{count(e.open_drift_cases, 'open case')}{blocked}"


class HealthScreen(Screen[str | None]):
    """Dismissed with the home screen's action that the operator wants to go on with, or with None."""

    CSS_PATH = "health.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "back", "Back", id="health.back", tooltip="Back to where you were"),
        Binding("F", "lead('failures')", "Failures", id="health.failures", tooltip="On to the failures by cause"),
        Binding("w", "lead('warnings')", "Warnings", id="health.warnings", tooltip="On to the warnings"),
        Binding("s", "lead('schedule')", "Schedule", id="health.schedule", tooltip="On to the schedule"),
        Binding("l", "lead('locks')", "Locks", id="health.locks", tooltip="On to the locks"),
        Binding("d", "lead('switch')", "Switch", id="health.switch", tooltip="On to the switch", show=False),
        Binding("D", "lead('cases')", "Drift", id="health.drift", tooltip="On to the drift cases", show=False),
        Binding(
            "P", "lead('fixtures')", "Gate", id="health.gate", tooltip="On to the page sets and the gate", show=False
        ),
        Binding("c", "copy", "Copy", id="health.copy", tooltip="Copy all of this text to the clipboard"),
        Binding("down,j", "scroll(1)", "Down", id="health.down", tooltip="One line down", show=False),
        Binding("up,k", "scroll(-1)", "Up", id="health.up", tooltip="One line up", show=False),
        Binding("home,g", "top", "Top", id="health.first", tooltip="To the beginning", show=False),
        Binding("end,G", "bottom", "Bottom", id="health.last", tooltip="To the end", show=False),
    ]

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock
        self._picture = Picture()
        self._lines: list[Line] = []

    def compose(self) -> ComposeResult:
        yield Static(content([Phrase("Events › ", Tone.QUIET), Phrase("Health", Tone.BUSY)]), id="trail")
        yield Static(id="about")
        with VerticalScroll(id="health", can_focus=False):
            yield Static()
        yield KeyLine()

    def on_mount(self) -> None:
        self.watch(self.app, "picture", self._show)
        self.set_interval(1.0, self._draw_age)

    def _show(self, picture: Picture) -> None:
        self._picture = picture
        judged = judgement(picture)
        reading: list[Line] = [[Phrase("◐ Reading …", Tone.BUSY)]]
        said = health_lines(judged, picture.snapshot) if judged else reading
        if said != self._lines:
            self._lines = said
            self.query_one("#health Static", Static).update(drawn(said))
        self._draw_age()

    def _draw_age(self) -> None:
        seen = self._picture.seen_at
        age = None if seen is None else self._clock() - seen
        fresh = freshness(Facts(age_s=age, trouble=self._picture.trouble is not None))
        same = Phrase(" · as `mre status` and /health say it", Tone.QUIET)
        self.query_one("#about", Static).update(content([fresh, same]))

    def action_lead(self, action: str) -> None:
        self.dismiss(action)

    def action_back(self) -> None:
        self.dismiss(None)

    def action_copy(self) -> None:
        self.app.copy_to_clipboard(plain(self._lines))
        self.notify("Copied.", timeout=2)

    def action_scroll(self, lines: int) -> None:
        self.query_one("#health").scroll_relative(y=lines, animate=False)

    def action_top(self) -> None:
        self.query_one("#health").scroll_home(animate=False)

    def action_bottom(self) -> None:
        self.query_one("#health").scroll_end(animate=False)
