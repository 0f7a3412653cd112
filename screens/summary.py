"""What a picture says in a few words: the header's facts, the panes' titles, one event, how old all of it is.

Pure functions between the picture and the home screen's widgets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pipeline.health import Evidence, Health, judge
from pipeline.ways import ENABLED, PROTECTED
from screens.drift_notices import GATE_CLOSED, drift_notices, gate_is_red
from screens.picture import Picture
from screens.ports import ConsoleService
from screens.rows import known
from screens.telling import Line
from screens.widgets.header import Facts
from screens.widgets.runs import RunCard
from screens.words import Phrase, Tone, ago, clean, count, span

if TYPE_CHECKING:
    from pipeline.snapshot import EventLine

STALE_S = 3.0  # older than this, the picture's age is told in words


class LogState(NamedTuple):
    """What the log's title tells."""

    level: str
    following: bool
    unseen: int  # lines below the one last seen


def header_facts(
    picture: Picture, service: ConsoleService, *, age_s: float | None = None, closing: bool = False
) -> Facts:
    """What the first line is made of."""
    snapshot, trouble = picture.snapshot, picture.trouble is not None
    database, site, badge = service.shown_database, service.shown_site, _badge(picture, service.read_only)
    judged = judgement(picture)
    state, here = "" if judged is None else judged.state, service.schedule_here()
    if snapshot is None:
        return Facts(
            database, site, badge=badge, age_s=age_s, trouble=trouble, closing=closing, health=state, schedule=here
        )
    totals = snapshot.totals
    return Facts(
        database=database,
        site=site,
        events=totals.events,
        served=totals.served,
        races=totals.races,
        laps=totals.laps,
        failed=totals.events_by_state.get("failed", 0),
        running=len(snapshot.live),
        warnings=len(snapshot.warnings),
        badge=badge,
        health=state,
        schedule=here,
        age_s=age_s,
        trouble=trouble,
        closing=closing,
    )


def judgement(picture: Picture) -> Health | None:
    """How the pipeline is, as `Service.health` says it; None while nothing is known. A database that does not answer
    is judged as the service judges it."""
    if picture.trouble is not None:
        return judge(Evidence(database_error=picture.trouble.message))
    return picture.snapshot.health if picture.snapshot is not None else None


def _badge(picture: Picture, read_only: bool) -> str:
    snapshot = picture.snapshot
    mode = snapshot.control.mode if snapshot is not None else ENABLED
    words = ([] if mode == ENABLED else [mode.upper()]) + (["READ-ONLY"] if read_only else [])
    if snapshot is not None and gate_is_red(snapshot):
        words.append(GATE_CLOSED)
    return " ".join(words)


def notices(picture: Picture) -> list[Line]:
    """What waits for a person, one line each: the switch, the gate, drift, locks."""
    snapshot = picture.snapshot
    if snapshot is None:
        return []
    lines: list[Line] = []
    control, now = snapshot.control, snapshot.taken_at
    if control.mode != ENABLED:
        what = "Ingestion is disabled" if control.mode != PROTECTED else "The database is protected"
        said = f"{clean(control.changed_by)} ({ago(control.changed_at, now)}): {clean(control.reason)}"
        lines.append([Phrase(f"■ {what}. ", Tone.BAD), Phrase(said), Phrase("  d enables", Tone.QUIET)])
    lines += drift_notices(snapshot)
    late = snapshot.expired
    if len(late) == 1:
        lock = late[0]
        known = f"its holder is {str(lock.verdict).lower()}: {clean(lock.evidence)}"
        lines.append(
            [
                Phrase(f"▲ The lock of {clean(lock.event)} expired; ", Tone.WARN),
                Phrase(known),
                Phrase("  l looks", Tone.QUIET),
            ]
        )
    elif late:
        names = ", ".join(clean(lock.event) for lock in late)
        lines.append(
            [Phrase(f"▲ {len(late)} locks expired: ", Tone.WARN), Phrase(names), Phrase("  l looks", Tone.QUIET)]
        )
    if picture.untidied is not None:
        why = f"{clean(picture.untidied.message)} [{picture.untidied.details.get('kind')}]"
        lines.append([Phrase("▲ Locks of dead holders could not be released: ", Tone.WARN), Phrase(why)])
    return lines


def trouble_text(picture: Picture, *, age_s: float | None, waited_s: float) -> str:
    """Why the picture is old, in words; empty while it is fresh. `waited_s` counts where there never was one."""
    trouble = picture.trouble
    if trouble is None and (waited_s if age_s is None else age_s) <= STALE_S:
        return ""
    what = f"What you see is {span(age_s)} old" if age_s is not None else f"Nothing could be read for {span(waited_s)}"
    why = "the database does not answer."
    if trouble is not None:
        why = f"{clean(trouble.message)} [{trouble.details.get('kind')}]."
        if not trouble.details.get("retryable"):
            why += f" {clean(str(trouble.details.get('remedy', '')))}"
    return f"▲ {what}: {why} Trying again every second."


def titles(picture: Picture, log: LogState) -> dict[str, str]:
    """Pane → its title."""
    snapshot = picture.snapshot
    shown, matching = (len(snapshot.events), snapshot.events_matching) if snapshot is not None else (0, 0)
    window = f"{shown} of {matching:,}" if matching > shown else f"{matching:,}"
    matches = f" matching “{clean(picture.text)}”" if picture.text else ""
    level = "everything" if log.level == "debug" else f"{log.level} and worse"
    following = "following" if log.following else f"paused · +{count(log.unseen, 'line')} · f follows"
    return {
        "events-pane": f"Events {window}{matches}",
        "runs": f"Runs {len(snapshot.live) if snapshot is not None else 0}",
        "locks": f"Locks {len(snapshot.locks) if snapshot is not None else 0}",
        "log": f"Log (UTC) · {level} · {following}",
    }


def no_events_text(picture: Picture) -> str:
    """What the table of events says where it is empty."""
    if picture.snapshot is None:
        return "reading the database …" if picture.trouble is None else "nothing could be read yet"
    return (
        f"no event matches “{clean(picture.text)}”" if picture.text else "no events yet: a adds one, t follows a track"
    )


def run_cards(picture: Picture) -> tuple[RunCard, ...]:
    """The runs under way with their speed and their locks."""
    if picture.snapshot is None:
        return ()
    locks = {lock.run_id: lock for lock in picture.snapshot.locks}
    return tuple(RunCard(run, picture.rates.get(run.run_id), locks.get(run.run_id)) for run in picture.snapshot.live)


def about_event(picture: Picture, event: EventLine | None) -> list[Phrase]:
    """What is known of an event, at a length that no column has room for."""
    snapshot = picture.snapshot
    if event is None or snapshot is None:
        return []
    live = next((run for run in snapshot.live if run.event_id == event.event_id), None)
    lock = next((lock for lock in snapshot.locks if lock.event_id == event.event_id), None)
    name = clean(event.event_name) or clean(event.event)
    return [Phrase(f"{name}: ", Tone.QUIET), known(event, snapshot.taken_at, live, lock)]
