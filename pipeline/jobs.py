"""What a schedule can do: one table of jobs. A new kind of work is one line here.

A job either only reads and writes the database, and is then done in one transaction with the note that it is done, or
it fetches, checks or deletes and may take its time. Either may be done twice where a worker died over it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from msgspec import Struct

from pipeline import due
from pipeline.errors import Kind, PipelineError, StateError
from pipeline.ways import Way

if TYPE_CHECKING:
    from pipeline.service import Service
    from pipeline.stopping import StopSignal
    from pipeline.store.tracks import TrackRow

WHO = "the schedule"
IN_A_ROW = 3  # so many tracks whose listings fail one after the other: it is the site, not the track

# Failures that every other page of the site would meet too.
SITE_IS_AWAY = frozenset(
    {
        Kind.UNREACHABLE,
        Kind.CONNECTION_LOST,
        Kind.TIMEOUT,
        Kind.SERVER_ERROR,
        Kind.RATE_LIMITED,
        Kind.ROBOTS_UNAVAILABLE,
    }
)


class NoOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """The job has nothing to choose."""


class ListingOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """How the job `listings` goes about it."""

    fresh_minutes: int = 60  # a listing that was read so lately is not read again: a run that failed goes on from there

    def __post_init__(self) -> None:
        due.within(self, fresh_minutes=(0, 10_080))


class PurgeOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """What the job `purge` keeps."""

    older_than_days: int = 30  # superseded runs
    keep_undo_days: int = 30  # actions that can be undone

    def __post_init__(self) -> None:
        due.within(self, older_than_days=(1, 36_500), keep_undo_days=(1, 36_500))


class Job(NamedTuple):
    """One kind of scheduled work."""

    summary: str
    way: Way  # what the global switch judges it by
    options: type[Struct]
    work: Callable[[Service, Any, StopSignal], str]  # returns one sentence: what was done
    only_database: bool = False  # done in one transaction


def _catalogue(house: Service, _options: NoOptions, _signal: StopSignal) -> str:
    counts = house.sync_tracks()
    return f"{counts.new} new tracks, {counts.updated} updated, {counts.inactive} not listed any more"


def _listings(house: Service, options: ListingOptions, signal: StopSignal) -> str:
    """Read the listings of the followed tracks that are in the catalogue. One that fails does not stop the others."""
    from pipeline.store import tracks

    followed = tracks.list_tracks(house.store, followed=True, active=True)
    now = house.store.clock_ms()
    stale = [track for track in followed if not _is_fresh(track, now, options)]
    failures: list[PipelineError] = []
    in_a_row = 0
    for track in stale:
        signal.check()
        try:
            house.refresh_track(track.slug)
            in_a_row = 0
        except PipelineError as error:
            if error.stage not in ("fetch", "parse"):
                raise
            failures.append(error)
            in_a_row = in_a_row + 1 if error.kind in SITE_IS_AWAY else 0
            if in_a_row == IN_A_ROW:
                break
    if failures:
        newest = failures[-1].with_details(failed=len(failures), tracks=len(stale))
        newest.message = f"{len(failures)} of {len(stale)} listings failed; the last said: {newest.message}"
        raise newest
    return f"{len(stale)} listings read, {len(followed) - len(stale)} were fresh"


def _is_fresh(track: TrackRow, now: int, options: ListingOptions) -> bool:
    """A time in the future is not believed."""
    return track.listed_at is not None and 0 <= now - track.listed_at < options.fresh_minutes * 60_000


def _checks(house: Service, _options: NoOptions, _signal: StopSignal) -> str:
    report = house.checks(asked_by=WHO)
    verdict = "passed" if report.passed else "FAILED"
    return f"{verdict}: {report.errors} errors, {report.warnings} warnings"


def _canaries(house: Service, _options: NoOptions, _signal: StopSignal) -> str:
    results = house.run_canaries()
    changed = [result.event for result in results if result.passed is False]
    if changed:
        return f"{len(changed)} of {len(results)} canary events read differently: {', '.join(changed)}"
    unknown = sum(result.passed is None for result in results)
    return f"{len(results) - unknown} canary events read equal, {unknown} could not be fetched"


def _purge(house: Service, options: PurgeOptions, _signal: StopSignal) -> str:
    plan = house.plan_purge(older_than_days=options.older_than_days, keep_undo_days=options.keep_undo_days)
    report = house.purge(plan, who=WHO, reason="as scheduled")
    return f"{len(report.runs)} superseded runs deleted for good, {len(report.undos)} undos closed"


JOBS: dict[str, Job] = {
    "catalogue": Job("read the track catalogue", Way.CATALOGUE, NoOptions, _catalogue),
    "listings": Job("read the events listings of followed tracks", Way.CATALOGUE, ListingOptions, _listings),
    "recent": Job(
        "ingest new events of followed tracks, and look at them again for a week",
        Way.INGEST,
        due.RecentOptions,
        lambda house, options, _signal: due.want_recent(house.store, options),
        only_database=True,
    ),
    "retries": Job(
        "try failed events again when that is due",
        Way.INGEST,
        due.RetryOptions,
        lambda house, options, _signal: due.want_retries(house.store, options),
        only_database=True,
    ),
    "canaries": Job("fetch canary events again: has LiveRC changed?", Way.CATALOGUE, NoOptions, _canaries),
    "checks": Job("run all checks", Way.RECOVERY, NoOptions, _checks),
    "purge": Job("delete superseded runs for good", Way.RECOVERY, PurgeOptions, _purge),
}


def require_job(name: str) -> Job:
    """Raises StateError USAGE for a job that does not exist."""
    job = JOBS.get(name)
    if job is None:
        raise StateError(Kind.USAGE, f"there is no job {name!r}; the jobs are {', '.join(JOBS)}")
    return job


def read_options(job: Job, text: str) -> Any:
    """A job's options from JSON, with their defaults. Raises StateError USAGE, saying which is wrong."""
    try:
        return msgspec.json.decode(text, type=job.options)
    except msgspec.MsgspecError as error:
        known = ", ".join(job.options.__struct_fields__) or "none"
        raise StateError(Kind.USAGE, f"the options are not accepted: {error}; known are: {known}") from error


def options_from(job: Job, given: dict[str, str], before: str = "{}") -> str:
    """Options as a person typed them (NAME → number) over those that were there, as JSON. Raises StateError USAGE."""
    values: dict[str, Any] = msgspec.json.decode(before)
    for name, text in given.items():
        try:
            values[name] = int(text)
        except ValueError as error:
            raise StateError(Kind.USAGE, f"the option {name} needs a whole number, not {text!r}") from error
    encoded = msgspec.json.encode(values).decode()
    read_options(job, encoded)
    return encoded
