"""What the pipeline's structs look like as rows of a table: one function per kind of row, and its columns.

Pure: the same line at the same moment gives the same row.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from screens.widgets.table import Column, Row
from screens.words import Phrase, Tone, ago, clean, lap_time, or_dash, state, verdict

if TYPE_CHECKING:
    from pipeline.errors import Envelope
    from pipeline.leases import LockView
    from pipeline.snapshot import EventLine, LapLine, LiveRun, RaceLine, ResultLine

# ---------------------------------------------------------------- events

EVENT_COLUMNS = (
    Column("State", 10),
    Column("Event", 16, flex=2, keep_end=True),
    Column("Name", 18, flex=3, rank=2),
    Column("Date", 10, rank=3),
    Column("Depth", 9, rank=1),
    Column("Ingested", 10),
    Column("Races", 5, right=True),
    Column("Laps", 7, right=True),
    Column("What is known", 17, flex=4),
)


def event_row(line: EventLine, now: int, live: Mapping[int, LiveRun], locks: Mapping[int, LockView]) -> Row:
    """An event at the moment `now` (UTC ms); `live` and `locks` are by event id."""
    serves = line.current_run_id is not None
    return Row(
        str(line.event_id),
        (
            state(line.state),
            Phrase(clean(line.event)),
            Phrase(clean(line.event_name) or "(not read yet)", Tone.PLAIN if line.event_name else Tone.QUIET),
            Phrase(or_dash(line.start_date), Tone.QUIET),
            Phrase(clean(line.ingest_depth), Tone.PLAIN if serves else Tone.QUIET),
            Phrase(ago(line.last_ingested_at, now), Tone.PLAIN if serves else Tone.QUIET),
            Phrase(f"{line.races:,}" if serves else "–", Tone.PLAIN if serves else Tone.QUIET),
            Phrase(f"{line.laps:,}" if serves else "–", Tone.PLAIN if serves else Tone.QUIET),
            known(line, now, live.get(line.event_id), locks.get(line.event_id)),
        ),
    )


def known(line: EventLine, now: int, run: LiveRun | None, lock: LockView | None) -> Phrase:
    """The last column: the failure in words, how far a run is, or that all is well."""
    serving = f"still serving run {line.current_run_id}" if line.current_run_id is not None else "nothing served"
    if line.state == "failed":
        held = "; held" if line.held_reason is not None else ""
        if line.failure is None:
            return Phrase(f"the last run failed; {serving}{held}")
        return Phrase(f"{line.failure.stage}: {_in_short(line.failure)}; {serving}{held}")
    if line.state == "running":
        if lock is not None and lock.verdict != "ALIVE":
            return Phrase(f"holder {str(lock.verdict).lower()}: {clean(lock.evidence)}", Tone.WARN)
        if run is None or run.pages_total is None:
            return Phrase("begins", Tone.QUIET)
        return Phrase(f"{clean(run.stage)}, {run.pages_done} of {run.pages_total} pages", Tone.QUIET)
    if line.held_reason is not None:
        return Phrase(f"▲ held: {clean(line.held_reason)}; {serving.removeprefix('still ')}", Tone.WARN)
    if line.current_run_id is None:
        return Phrase("not ingested yet", Tone.QUIET)
    if line.last_checked_at is not None and line.last_checked_at != line.last_ingested_at:
        return Phrase(f"run {line.current_run_id}, found unchanged {ago(line.last_checked_at, now)}", Tone.QUIET)
    return Phrase(f"run {line.current_run_id}", Tone.QUIET)


def _in_short(failure: Envelope) -> str:
    """The message with the page's address, if it holds it, as a few words: `race result 6304829 is not …`."""
    url, page_type = failure.details.get("url"), failure.details.get("page_type")
    if not (isinstance(url, str) and isinstance(page_type, str)):
        return clean(failure.message)
    page = f"{page_type.replace('_', ' ')} {failure.details.get('race_id') or ''}".strip()
    return clean(failure.message.replace(url, page))


# ---------------------------------------------------------------- locks

LOCK_COLUMNS = (
    Column("Event", 16, flex=2, keep_end=True),
    Column("Holder", 9),
    Column("Heartbeat", 11),
    Column("Who", 12, flex=3, rank=1),
    Column("Progress", 12, flex=1, rank=2),
    Column("Token", 5, right=True, rank=3),
)


def lock_row(lock: LockView) -> Row:
    beat = "never" if lock.heartbeat_age_ms is None else f"{lock.heartbeat_age_ms // 1_000} s ago"
    return Row(
        str(lock.event_id),
        (
            Phrase(clean(lock.event)),
            verdict(lock.verdict),
            Phrase(f"▲ {beat}" if lock.expired else beat, Tone.WARN if lock.expired else Tone.PLAIN),
            Phrase(clean(lock.holder.shown()) if lock.holder is not None else "nobody that can be read"),
            Phrase(lock_progress(lock), Tone.QUIET),
            Phrase(f"{lock.token}", Tone.QUIET),
        ),
    )


def lock_progress(lock: LockView) -> str:
    """How far the holder is, and whether it was asked to stop."""
    progress = clean(lock.progress) or "begins"
    return progress if lock.cancel_requested_at is None else f"{progress}, asked to stop"


# ---------------------------------------------------------------- what is served

RACE_COLUMNS = (
    Column("#", 3, right=True),
    Column("Race", 24, flex=3),
    Column("Class", 14, flex=1, rank=4),
    Column("Round", 10, flex=1, rank=2),
    Column("Completed", 16, rank=1),
    Column("Length", 7, right=True, rank=3),
    Column("Drivers", 7, right=True),
    Column("Laps", 6, right=True),
    Column("Winner", 12, flex=2),
)


def race_row(race: RaceLine) -> Row:
    label = clean(race.race_label)
    number = f"Race {race.race_number}: " if race.race_number is not None else ""
    return Row(
        str(race.race_id),
        (
            Phrase(str(race.race_order), Tone.QUIET),
            Phrase(number + label),
            Phrase(clean(race.class_name), Tone.QUIET),
            Phrase(or_dash(race.round), Tone.QUIET),
            Phrase(or_dash(race.completed_at_local).replace("T", " ")[:16]),
            Phrase("–" if race.length_seconds is None else lap_time(race.length_seconds * 1_000)[:-4]),
            Phrase(f"{race.results:,}"),
            Phrase(f"{race.laps:,}"),
            Phrase(or_dash(race.winner)),
        ),
    )


RESULT_COLUMNS = (
    Column("Pos", 3, right=True),
    Column("Driver", 16, flex=3),
    Column("Car", 3, right=True, rank=5),
    Column("Qual", 4, right=True, rank=4),
    Column("Laps", 4, right=True),
    Column("Total", 10, right=True),
    Column("Behind", 8, right=True, rank=1),
    Column("Fastest", 8, right=True),
    Column("in lap", 6, right=True, rank=6),
    Column("Average", 8, right=True, rank=2),
    Column("Consistency", 11, right=True, rank=3),
)


def result_row(result: ResultLine) -> Row:
    consistency = result.consistency_milli
    return Row(
        str(result.result_id),
        (
            Phrase(str(result.position)),
            Phrase(clean(result.driver_name)),
            Phrase(or_dash(result.car_number), Tone.QUIET),
            Phrase(or_dash(result.qualifying_position), Tone.QUIET),
            Phrase(str(result.laps_completed)),
            Phrase(lap_time(result.total_time_ms)),
            Phrase(or_dash(result.behind), Tone.QUIET),
            Phrase(lap_time(result.fast_lap_ms)),
            Phrase(or_dash(result.fast_lap_number), Tone.QUIET),
            Phrase(lap_time(result.avg_lap_ms)),
            Phrase("–" if consistency is None else f"{consistency / 1_000:.2f} %"),
        ),
    )


LAP_COLUMNS = (
    Column("Lap", 3, right=True),
    Column("Time", 9, right=True),
    Column("Against fastest", 15, right=True, rank=2),
    Column("Pos", 3, right=True),
    Column("Elapsed", 10, right=True, rank=1),
)


def lap_row(lap: LapLine, fastest_ms: int) -> Row:
    behind = lap.lap_time_ms - fastest_ms
    fastest = behind == 0
    return Row(
        str(lap.lap_number),
        (
            Phrase(str(lap.lap_number)),
            Phrase(lap_time(lap.lap_time_ms), Tone.GOOD if fastest else Tone.PLAIN),
            Phrase("● fastest" if fastest else f"+{lap_time(behind)}", Tone.GOOD if fastest else Tone.QUIET),
            Phrase(or_dash(lap.position)),
            Phrase(lap_time(lap.elapsed_ms), Tone.QUIET),
        ),
    )
