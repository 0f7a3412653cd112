"""What follows from how runs end: the retry that is due, and the hold after three deaths, on both engines."""

from __future__ import annotations

import pytest

from mre_console.simulator.generate import World
from mre_console.simulator.site import SimulatedSite
from pipeline import attempts, leases, recovery
from pipeline.errors import TABLE, FetchError, Kind, ParseError, PipelineError, Stage, StateError
from pipeline.observe import Bus
from pipeline.runs import Run
from pipeline.store import events, journal, runs
from pipeline.store.database import Store
from tests.support.recovering import event_row

MINUTE_MS = 60_000


@pytest.fixture
def event(store: Store) -> events.EventRow:
    return events.add_event(store, "harbourraceway", "7000")


def attempt(store: Store, event: events.EventRow, *, trigger: str = "cli") -> Run:
    return Run.begin(store, Bus(), event, kind="ingest", trigger=trigger)


def fails(store: Store, event: events.EventRow, error: PipelineError) -> events.EventRow:
    attempt(store, event).fail(error)
    return event_row(store, event.id)


def clear(store: Store, event: events.EventRow) -> None:
    """Take the lock away; its holder is this process, hence the name to type."""
    lock = leases.require_lock(store, event.id)
    leases.clear(store, event.id, reason="its machine is gone", who="tester", confirm=lock.name_to_type)


def dies(store: Store, event: events.EventRow, *, trigger: str = "cli") -> events.EventRow:
    run = attempt(store, event, trigger=trigger)
    clear(store, event)
    run.keeper.stop()
    return event_row(store, event.id)


def succeeds(store: Store, event: events.EventRow) -> events.EventRow:
    site = SimulatedSite(World(5, tracks=1, events=1, mix=("small",), catalogue_rows=5))
    ((_, source_event_id),) = site.events()
    attempt(store, event).publish(site.document(source_event_id), "0" * 64)
    return event_row(store, event.id)


def wait_ms(store: Store, row: events.EventRow) -> int | None:
    return None if row.retry_at is None else row.retry_at - store.clock_ms()


def test_the_schedule_doubles_from_five_minutes_to_a_day() -> None:
    minutes = [attempts.backoff_ms(n) / MINUTE_MS for n in range(1, 12)]
    assert minutes == [5, 10, 20, 40, 80, 160, 320, 640, 1280, 1440, 1440]
    assert attempts.backoff_ms(10_000) == 1440 * MINUTE_MS


@pytest.mark.parametrize("kind", [kind for kind in Kind if TABLE[kind].exit_code != 0], ids=str)
def test_only_a_retryable_kind_is_due_again_and_a_parse_error_never(kind: Kind) -> None:
    delay = attempts.retry_delay_ms(PipelineError(kind, "x").envelope(), 1)
    rule = TABLE[kind]
    assert (delay is not None) == (rule.retryable and rule.stage != "parse")
    assert attempts.retry_delay_ms(PipelineError(kind, "x", stage=Stage.PARSE).envelope(), 1) is None


def test_failures_are_counted_and_the_next_attempt_is_due_ever_later(store: Store, event: events.EventRow) -> None:
    for count, minutes in ((1, 5), (2, 10), (3, 20)):
        row = fails(store, event, FetchError(Kind.TIMEOUT, "too slow"))
        assert (row.failed_attempts, row.lost_runs, row.held_at) == (count, 0, None)
        wait = wait_ms(store, row)
        assert wait is not None
        assert minutes * MINUTE_MS - 5_000 <= wait <= minutes * MINUTE_MS
    row = fails(store, event, ParseError(Kind.FIELD_MISSING, "no driver"))
    assert (row.failed_attempts, row.retry_at) == (4, None)
    row = succeeds(store, event)
    assert (row.failed_attempts, row.lost_runs, row.retry_at, row.state) == (0, 0, None, "complete")


def test_a_stopped_run_is_due_again(store: Store, event: events.EventRow) -> None:
    row = fails(store, event, PipelineError(Kind.INTERRUPTED, "the program was asked to stop"))
    assert row.failed_attempts == 1
    assert row.retry_at is not None


def test_a_run_that_the_switch_stopped_is_no_attempt(store: Store, event: events.EventRow) -> None:
    """Neither a failure nor a death is added or forgotten, and the next attempt is due once the switch lets it pass."""
    fails(store, event, FetchError(Kind.TIMEOUT, "slow"))
    dies(store, event)
    row = fails(store, event, StateError(Kind.DISABLED, "Ingestion is disabled; ann said: stop"))
    assert (row.failed_attempts, row.lost_runs, row.held_at, row.state) == (2, 1, None, "failed")
    assert row.retry_at is not None
    assert row.retry_at <= store.clock_ms()
    assert runs.list_runs(store, event.id)[0].outcome == "interrupted"
    dies(store, event)
    assert dies(store, event).held_at is not None  # the third death: the run in between was none


def test_three_deaths_in_a_row_hold_an_event(store: Store, event: events.EventRow) -> None:
    for count in (1, 2):
        row = dies(store, event)
        assert (row.lost_runs, row.held_at) == (count, None)
        assert row.retry_at is not None
    row = dies(store, event)
    assert row.lost_runs == 3
    assert row.held_at is not None
    assert row.retry_at is None
    assert row.held_reason == "3 runs in a row ended without saying how"
    assert [warning.name for warning in journal.open_warnings(store)].count("event_held") == 1


def test_a_failure_that_says_why_is_no_death(store: Store, event: events.EventRow) -> None:
    dies(store, event)
    dies(store, event)
    fails(store, event, FetchError(Kind.TIMEOUT, "too slow"))
    row = dies(store, event)
    assert (row.lost_runs, row.failed_attempts, row.held_at) == (1, 4, None)


@pytest.fixture
def held(store: Store, event: events.EventRow) -> events.EventRow:
    for _ in range(3):
        dies(store, event)
    return event_row(store, event.id)


def test_nothing_automatic_touches_a_held_event(store: Store, held: events.EventRow) -> None:
    with pytest.raises(StateError) as caught:
        attempt(store, held, trigger="schedule")
    assert (caught.value.kind, caught.value.rule.exit_code) == (Kind.EVENT_HELD, 10)
    assert event_row(store, held.id) == held
    assert leases.list_locks(store) == ()


@pytest.mark.parametrize("trigger", ["cli", "console", "api"])
def test_a_persons_attempt_ends_the_hold_and_the_journal_says_so(
    store: Store, held: events.EventRow, trigger: str
) -> None:
    run = attempt(store, held, trigger=trigger)
    row = event_row(store, held.id)
    assert (row.held_at, row.held_reason, row.lost_runs) == (None, None, 0)
    (released,) = [line for line in journal.for_run(store, run.run_id) if line.entry_kind == "audit"]
    assert released.name == "hold_released"
    assert trigger in released.message
    run.fail(FetchError(Kind.TIMEOUT, "too slow"))
    assert event_row(store, held.id).failed_attempts == 4


def test_a_released_event_may_die_three_times_more(store: Store, held: events.EventRow) -> None:
    assert [dies(store, held).held_at is None for _ in range(3)] == [True, True, False]


def test_a_reset_ends_the_hold_and_its_undo_brings_it_back(store: Store, held: events.EventRow) -> None:
    action = recovery.act(store, recovery.plan_reset(store, held.id), who="tester")
    assert event_row(store, held.id).held_at is None
    recovery.undo(store, action.id, who="tester")
    row = event_row(store, held.id)
    assert (row.held_at, row.held_reason, row.lost_runs, row.failed_attempts) == (held.held_at, held.held_reason, 3, 3)


def test_counts_are_not_written_by_a_run_that_lost_its_lease(store: Store, event: events.EventRow) -> None:
    run = attempt(store, event)
    clear(store, event)
    before = event_row(store, event.id)
    run.fail(FetchError(Kind.TIMEOUT, "too slow"))
    assert event_row(store, event.id) == before


def test_a_cleanup_leaves_counts_alone(store: Store, event: events.EventRow) -> None:
    row = fails(store, event, FetchError(Kind.TIMEOUT, "too slow"))
    recovery.act(store, recovery.plan_cleanup(store, event.id), who="tester")
    after = event_row(store, event.id)
    assert (after.failed_attempts, after.retry_at, after.state) == (row.failed_attempts, row.retry_at, "idle")
