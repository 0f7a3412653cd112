"""Failures, locks and warnings told at length: what happened, where, what is served, what to do.

Each function returns lines of phrases; `plain` makes of them the text that goes to the clipboard.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from pipeline.errors import Envelope
from screens.widgets.log import log_text
from screens.words import Phrase, Tone, ago, clean, count, moment, severity, span, verdict

if TYPE_CHECKING:
    from pipeline.leases import LockView
    from pipeline.snapshot import EventLine, LogLine

Line = Sequence[Phrase]
_SAID_IN_WORDS = ("kind", "retryable", "remedy", "event")  # details that are not listed among the facts
_FIRST = ("page_type", "url", "race_id", "race_label", "field", "selector", "run_id")  # the facts people look for


def plain(lines: Iterable[Line]) -> str:
    """The lines as bare text."""
    return "\n".join("".join(phrase.text for phrase in line).rstrip() for line in lines)


def _heading(text: str) -> list[Line]:
    return [[], [Phrase(text, Tone.BUSY)]]


def error_lines(envelope: Envelope, when: str = "") -> list[Line]:
    """An error as every dialog tells it: what happened (and when), where, what to do."""
    details = envelope.details
    lines: list[Line] = [[Phrase(clean(envelope.message), Tone.BAD)]]
    if when:
        lines.append([Phrase(when, Tone.QUIET)])
    lines += _heading("Where")
    lines.append([Phrase(f"stage {envelope.stage}, kind {details.get('kind', envelope.code)}")])
    lines += [[Phrase(f"{name.replace('_', ' ')}: ", Tone.QUIET), Phrase(text)] for name, text in _facts(details)]
    lines += _heading("What to do")
    lines.append([Phrase(clean(str(details.get("remedy", "See the log."))))])
    if "retryable" in details:
        helps = "A retry may help without any change." if details["retryable"] else "A retry alone will not help."
        lines.append([Phrase(helps, Tone.QUIET)])
    return lines


def _facts(details: dict[str, Any]) -> list[tuple[str, str]]:
    names = [name for name in _FIRST if name in details]
    names += [name for name in details if name not in names and name not in _SAID_IN_WORDS]
    return [(name, _shown(details[name])) for name in names]


def _shown(value: object) -> str:
    return clean(value if isinstance(value, str) else msgspec.json.encode(value).decode())


def failure_lines(event: EventLine, now: int, log: Sequence[LogLine]) -> list[Line]:
    """Everything about an event's failure: the envelope in words, what is served, the run's log."""
    lines: list[Line] = [
        [Phrase(clean(event.event_name) or clean(event.event)), Phrase(f"  {clean(event.event)}", Tone.QUIET)]
    ]
    lines += _heading("What happened")
    if event.failure is None:
        lines.append([Phrase("This event's last run did not fail.")])
    else:
        when = f"It failed {ago(event.failed_at, now)}, at {moment(event.failed_at)}."
        lines += error_lines(event.failure, when)
    lines += _heading("What is served")
    lines.append(_served(event))
    if log:
        lines += _heading(f"The run's log ({count(len(log), 'line')})")
        lines += [[Phrase(log_text(line, with_event=False), severity(line.severity).tone)] for line in log]
    return lines


def _served(event: EventLine) -> Line:
    if event.current_run_id is None:
        return [Phrase("Nothing: no run of this event was published yet. A failed run publishes nothing.")]
    what = f"{count(event.races, 'race')}, {count(event.results, 'result')}, {count(event.laps, 'lap')}"
    which = f"run {event.current_run_id} of {moment(event.last_ingested_at)}"
    return [Phrase(f"Still {which}: {what}. The failure changed nothing of it.")]


def lock_lines(lock: LockView, now: int) -> list[Line]:
    """A lock at the moment `now` (UTC ms): who holds it, what is known of the holder and why, what can be done."""
    since = "an unknown time" if lock.acquired_at is None else moment(lock.acquired_at)
    held = "" if lock.acquired_at is None else f", for {span((now - lock.acquired_at) / 1_000)}"
    kind = f"{clean(lock.run_kind)} " if lock.run_kind else ""
    facts = [
        ("Held by", f"{kind}run {lock.run_id}, token {lock.token}"),
        ("Holder", lock.holder.shown() if lock.holder is not None else "not readable"),
        ("Since", f"{since}{held}"),
        ("Progress", lock.progress or "begins"),
    ]
    lines: list[Line] = [
        [Phrase(clean(lock.event)), Phrase(f"  {clean(lock.event_name)}", Tone.QUIET)],
        *([Phrase(f"{name:<10}", Tone.QUIET), Phrase(clean(text))] for name, text in facts),
    ]
    if lock.cancel_requested_at is not None:
        asked = f"It was asked to stop {ago(lock.cancel_requested_at, now)}."
        lines.append([Phrase(f"{'':<10}"), Phrase(asked, Tone.BUSY)])
    lines += [*_heading("The holder, strongest evidence first"), *evidence_lines(lock)]
    return lines + _heading("What to do") + _lock_remedy(lock)


def evidence_lines(lock: LockView) -> list[Line]:
    """The verdict on a lock's holder, then what speaks for it, the strongest first; the heartbeat is a hint only."""
    lines: list[Line] = [[verdict(lock.verdict)]]
    evidence = lock.evidence.split("; ")
    if lock.session and lock.session not in lock.evidence:
        evidence.append(f"its connection to the database: {lock.session}")
    lines += [[Phrase(f"{number}. {clean(one)}")] for number, one in enumerate(evidence, 1)]
    beat = "never" if lock.heartbeat_age_ms is None else f"{span(lock.heartbeat_age_ms / 1_000)} ago"
    late = Phrase(" (expired; a lock is never taken for its age)", Tone.WARN) if lock.expired else Phrase("")
    return [*lines, [Phrase(f"Last heartbeat {beat}", Tone.QUIET), late]]


def _lock_remedy(lock: LockView) -> list[Line]:
    holder = lock.holder
    where, pid = (clean(holder.host), f" {holder.pid}") if holder is not None else ("its machine", "")
    can = {
        "ALIVE": "It works, and gives the lock back by itself. s asks it to stop.",
        "STOPPED": f"Wake it on {where} (kill -CONT{pid}), or take the lock with x.",
        "DEAD": "Its lock is released within seconds, unless the setting release_dead says no. x takes it at once.",
    }.get(lock.verdict, f"Look on {where} first. If it is gone or hangs, take the lock with x.")
    return [
        [Phrase(can)],
        [Phrase("Whoever lost the lock can change nothing any more, even if it wakes up.", Tone.QUIET)],
    ]
