"""A state machine that holds the real thing to the model, step by step: runs and their locks.

Every step calls what the program calls, and every answer and refusal must be the model's. After each step all that the
database says is compared. Actions, purge, checks and the switch are in `recovery_machine_actions`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from contextlib import ExitStack
from functools import lru_cache
from typing import TypeVar
from unittest import mock

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from msgspec.structs import replace

from pipeline import document as documents
from pipeline import leases, terminating
from pipeline import runs as runs_room
from pipeline.errors import TABLE, Kind, PipelineError, StateError
from pipeline.holders import encode_holder
from pipeline.keeper import Keeper
from pipeline.leases import LockPolicy
from pipeline.runs import Run
from pipeline.service import Service
from pipeline.store import events, publish, sessions
from pipeline.store import leases as lease_rows
from pipeline.store.models import Lease
from tests.support.generations import SLUG
from tests.support.recovering import exported, generation
from tests.support.recovery_model import Attempt, MadePlan, ModelEvent, ModelSwitch

GENERATIONS = (1, 2, 3)
EVENTS = (0, 1)
an_event, a_generation = st.sampled_from(EVENTS), st.sampled_from(GENERATIONS)
a_build = st.sampled_from(["good", "bad"])
mostly = st.sampled_from([True, True, False])
NEVER = float("inf")
WHO = "tester"


@lru_cache(maxsize=64)
def expected_export(number: int, event_id: str) -> bytes:
    return documents.encode(generation(number, event_id))


class Locks(RuleBasedStateMachine):
    """Runs of two events, and what becomes of the locks they hold."""

    open_service: Callable[[], Service]
    close_service: Callable[[Service], None]

    @initialize()
    def start(self) -> None:
        self.service = type(self).open_service()
        self.store = self.service.store
        self.build = "good"
        self.switch = ModelSwitch()
        self.plans: list[MadePlan] = []
        self.events = [ModelEvent(str(7_000 + place)) for place in EVENTS]
        for event in self.events:
            event.event_id = events.add_event(self.store, SLUG, event.source_event_id).id
        self.quiet = ExitStack()
        # What a run does in a thread of its own, these rules do: see `tend`.
        self.quiet.enter_context(mock.patch.object(Keeper, "start", return_value=None))
        self.quiet.enter_context(mock.patch.object(sessions, "keep", return_value=None))
        self.quiet.enter_context(mock.patch.object(runs_room, "FLUSH_EVERY_S", NEVER))  # no step depends on the time
        self.quiet.enter_context(mock.patch.object(runs_room, "parser_build", side_effect=lambda: self.build))

    def teardown(self) -> None:
        if hasattr(self, "quiet"):
            self.quiet.close()
            for event in self.events:
                for attempt in [*event.zombies, *filter(None, [event.running])]:
                    attempt.run.keeper.stop()
            type(self).close_service(self.service)

    # ------------------------------------------------------------------ runs

    @rule(index=an_event, trigger=st.sampled_from(["cli", "schedule"]), release_dead=mostly)
    def begin(self, index: int, trigger: str, release_dead: bool) -> None:
        event = self.events[index]
        expected = self._begin_refused(event, trigger, release_dead)
        policy = LockPolicy(self.service.settings.data / "locks", release_dead)
        row = events.get_event(self.store, event.event_id)
        assert row is not None
        run, refused = attempt_to(
            lambda: Run.begin(self.store, self.service.bus, row, kind="ingest", trigger=trigger, policy=policy)
        )
        assert refused == expected
        if run is not None:
            event.begins(Attempt(run))

    def _begin_refused(self, event: ModelEvent, trigger: str, release_dead: bool) -> Kind | None:
        """What stands in the way; a dead holder that may be released does not, and is released."""
        if self.switch.mode != "enabled":
            return Kind.DISABLED
        if event.running is not None:
            if event.running.life != "dead" or not release_dead:
                return Kind.LOCK_HELD
            event.dies("lock_released")
        return Kind.EVENT_HELD if event.now.held is not None and trigger == "schedule" else None

    def _under_way(self, index: int) -> ModelEvent | None:
        """An event with a run; one is begun where there is none, and the switch may refuse that."""
        if self.events[index].running is None:
            self.begin(index, "cli", release_dead=True)
        return self.events[index] if self.events[index].running is not None else None

    @rule(index=an_event, number=a_generation, build=a_build, again=st.booleans())
    def ingest(self, index: int, number: int, build: str, again: bool) -> None:
        """A whole ingestion; where one is under way, that one publishes."""
        event = self._under_way(index)
        if event is None:
            return
        assert event.running is not None
        run, self.build = event.running.run, build
        run.build = build  # the readers are those of now, whenever the run began
        document = generation(number, event.source_event_id)
        outcome, refused = attempt_to(lambda: run.publish(document, documents.sha256(document), again=again))
        if self.switch.mode != "enabled":
            assert refused is Kind.DISABLED
            self._ends(event, StateError(Kind.DISABLED, "the switch"))
        else:
            assert refused is None
            assert outcome == event.publishes(number, build, again=again)

    @rule(
        index=an_event,
        kind=st.sampled_from([Kind.TIMEOUT, Kind.FIELD_MISSING, Kind.INTERRUPTED, Kind.DISABLED]),
        partial=mostly,
    )
    def fail(self, index: int, kind: Kind, partial: bool) -> None:
        """A run fails, and may leave rows against the rules."""
        event = self._under_way(index)
        if event is not None:
            self._ends(event, PipelineError(kind, "made to fail"), partial=partial)

    def _ends(self, event: ModelEvent, error: PipelineError, *, partial: bool = False) -> None:
        assert event.running is not None
        run = event.running.run
        if partial:
            publish.insert_rows(self.store, run.run_id, generation(1, event.source_event_id))
        run.fail(error)
        assert "not_recorded" not in error.details
        event.fails(error.kind, retryable=TABLE[error.kind].retryable, partial=partial)

    # ------------------------------------------------------------------ what becomes of a holder

    @rule(index=an_event, life=st.sampled_from(["dead", "dead", "far"]), late=st.booleans())
    def lose_touch(self, index: int, life: str, late: bool) -> None:
        """The holder dies, or it turns out to run on another machine."""
        event = self._under_way(index)
        if event is None or event.running is None or event.running.life != "alive":
            return
        attempt = event.running
        attempt.life = life
        if life == "dead":
            attempt.run.keeper.stop(given_back=False)  # the kernel lets go of its lock file
        else:
            lock = leases.require_lock(self.store, event.event_id)
            assert lock.holder is not None
            elsewhere = encode_holder(replace(lock.holder, host="elsewhere"))
            self.store.change(Lease.update(holder=elsewhere).where(Lease.event == event.event_id))
        if late:
            self.time_passes(index)

    @rule(index=an_event)
    def time_passes(self, index: int) -> None:
        """No heartbeat for longer than the lease lasts."""
        event = self._under_way(index)
        if event is not None and event.running is not None:
            event.running.late = True
            self.store.change(Lease.update(heartbeat_at=1, expires_at=2).where(Lease.event == event.event_id))

    @rule(index=an_event, renew=st.booleans(), late=st.booleans(), cancelled=st.booleans())
    def tend(self, index: int, renew: bool, late: bool, cancelled: bool) -> None:
        """The holder's own thread looks after its lease; the run ends where it has to."""
        event = self._under_way(index)
        if event is None or event.running is None:
            return
        if late:
            self.time_passes(index)
        if cancelled:
            self.cancel(index)
        attempt = event.running
        assert self._keeper(attempt, renew).tend()
        why = None
        if renew:
            attempt.late = False
        elif attempt.cancelled:
            why = Kind.INTERRUPTED
        if why is None and self.switch.mode != "enabled":
            why = Kind.DISABLED
        assert attempt.run.signal.tripped == (why is not None)
        if why is not None:
            assert attempt.run.signal.error().kind is why
            self._ends(event, attempt.run.signal.error())

    def _keeper(self, attempt: Attempt, renew: bool) -> Keeper:
        run = attempt.run
        return Keeper(self.store, run.fence, run.signal, lambda: "fetch 1/2", renew_s=0 if renew else NEVER)

    @precondition(lambda self: self._any("zombies"))
    @rule(index=an_event, number=a_generation, renew=st.booleans())
    def wake_a_zombie(self, index: int, number: int, renew: bool) -> None:
        """Runs whose lock was taken go on, and change nothing."""
        event = self.events[index]
        document = generation(number, event.source_event_id)
        for attempt in event.zombies:
            run = attempt.run
            run.log("late", "a zombie says something", severity="error")
            for write in (run.flush, lambda run=run: run.publish(document, documents.sha256(document))):
                assert attempt_to(write)[1] is Kind.LEASE_LOST
            assert not self._keeper(attempt, renew).tend()
            error = PipelineError(Kind.TIMEOUT, "too late")
            run.fail(error)
            assert "not_recorded" in error.details
            assert not lease_rows.release(self.store, run.fence)
        event.zombies.clear()

    @rule(index=an_event, number=a_generation, life=st.sampled_from(["dead", "far"]))
    def overtake(self, index: int, number: int, life: str) -> None:
        """A run is given up and another one publishes; then the first comes back."""
        self.lose_touch(index, life, late=True)
        self.clear(index, seen=True, named=True, held=False)
        self.ingest(index, number, "good", again=True)
        if self.events[index].zombies:
            self.wake_a_zombie(index, number, renew=True)

    # ------------------------------------------------------------------ what people and ticks do about it

    @rule(release_dead=mostly)
    def tick(self, release_dead: bool) -> None:
        expected: dict[str, set[int]] = {"released": set(), "expired": set(), "blocked": set()}
        for event in self.events:
            attempt = event.running
            if attempt is None:
                continue
            if attempt.life == "dead" and release_dead:
                event.dies("lock_released")
                expected["released"].add(event.event_id)
            elif attempt.late and not attempt.reported:
                attempt.reported = True
                event.warnings["lease_expired"] += 1
                expected["expired"].add(event.event_id)
        ticked = leases.tick(self.store, self.service.bus, release_dead=release_dead)
        assert {name: {lock.event_id for lock in getattr(ticked, name)} for name in expected} == expected

    @rule(index=an_event, seen=mostly, named=st.booleans(), held=mostly)
    def clear(self, index: int, seen: bool, named: bool, held: bool) -> None:
        """A person takes the lock: the one they saw, and with its event's name where the holder is alive."""
        if held:
            self._under_way(index)
        event = self.events[index]
        lock, refused = attempt_to(
            lambda: leases.clear(
                self.store, event.event_id, reason="tested", who=WHO, token=event.token - (not seen),
                confirm=f"{SLUG}/{event.source_event_id}" if named else None,
            )
        )  # fmt: skip
        assert refused == self._take_refused(event, seen, named)
        if lock is not None:
            event.dies("lock_cleared")

    @rule(index=an_event, seen=mostly, named=st.booleans())
    def terminate(self, index: int, seen: bool, named: bool) -> None:
        """Only a dead holder can be terminated here: the others are this very process, or out of reach."""
        event = self.events[index]
        done, refused = attempt_to(
            lambda: terminating.terminate(
                self.store, event.event_id, reason="tested", who=WHO, token=event.token - (not seen),
                confirm=f"{SLUG}/{event.source_event_id}" if named else None,
            )
        )  # fmt: skip
        expected = self._take_refused(event, seen, named)
        if expected is None and event.running is not None and event.running.life != "dead":
            expected = Kind.USAGE
        assert refused == expected
        if done is not None:
            assert done.cleared
            event.dies("holder_terminated")

    def _take_refused(self, event: ModelEvent, seen: bool, named: bool) -> Kind | None:
        if event.running is None:
            return Kind.UNKNOWN
        if not seen:
            return Kind.LEASE_LOST
        return Kind.USAGE if event.running.life == "alive" and not named else None

    @rule(
        index=an_event,
        life=st.sampled_from(["alive", "dead", "far"]),
        late=st.booleans(),
        begins=st.booleans(),
        release_dead=st.booleans(),
    )
    def find_a_holder(self, index: int, life: str, late: bool, begins: bool, release_dead: bool) -> None:
        """The next run, or a tick, meets a lock; only a dead holder's may be released, if the setting lets it."""
        if life == "alive":
            self._under_way(index)
        else:
            self.lose_touch(index, life, late)
        if begins:
            self.begin(index, "cli", release_dead)
        else:
            self.tick(release_dead)

    @rule(index=an_event, times=st.integers(2, 3))
    def die_again_and_again(self, index: int, times: int) -> None:
        for _ in range(times):
            self.lose_touch(index, "dead", late=False)
            self.tick(release_dead=True)

    @rule(index=an_event)
    def cancel(self, index: int) -> None:
        event = self.events[index]
        lock, refused = attempt_to(lambda: leases.cancel(self.store, event.event_id, who=WHO))
        assert (lock is None) == (event.running is None) == (refused is Kind.UNKNOWN)
        if event.running is not None:
            event.running.cancelled = True

    # ------------------------------------------------------------------ what must hold

    def _any(self, name: str) -> bool:
        return any(getattr(event, name) for event in getattr(self, "events", ()))

    @invariant()
    def the_database_is_what_the_model_says(self) -> None:
        if not hasattr(self, "events"):
            return
        with self.store.read():
            (mode,) = self.store.sql("SELECT mode FROM control")[0]
            assert mode == self.switch.mode
            warnings: defaultdict[int, Counter[str]] = defaultdict(Counter)
            for event_id, name, count in self.store.sql(
                "SELECT event_id, name, COUNT(*) FROM journal WHERE entry_kind = 'warning' GROUP BY event_id, name"
            ):
                warnings[event_id][name] = int(count)
            for event in self.events:
                assert warnings[event.event_id] == event.warnings
                self._compare_event(event)
                self._compare_runs(event)
                self._compare_lock(event)

    def _compare_event(self, event: ModelEvent) -> None:
        now = event.now
        (row,) = self.store.sql(
            """SELECT state, current_run_id, ingest_depth, failed_attempts, lost_runs, retry_at IS NOT NULL,
                      held_reason, held_at IS NOT NULL FROM event WHERE id = ?""",
            event.event_id,
        )
        depth = "none" if now.served is None else "laps_full"
        assert tuple(row) == (
            event.state, now.served, depth, now.failed_attempts, now.lost_runs, now.due, now.held, now.held is not None,
        )  # fmt: skip
        document = exported(self.store, event.event_id)
        number = event.generation()
        assert document == (None if number is None else expected_export(number, event.source_event_id))

    def _compare_runs(self, event: ModelEvent) -> None:
        rows = self.store.sql(
            "SELECT id, outcome, sealed, purged_at IS NOT NULL FROM run WHERE event_id = ?", event.event_id
        )
        assert {run_id: outcome for run_id, outcome, _, _ in rows} == event.outcomes
        assert {run_id for run_id, _, sealed, _ in rows if sealed} == set(event.sealed)
        assert {run_id for run_id, _, _, purged in rows if purged} == event.purged
        partial = self.store.sql(
            """SELECT DISTINCT run.id FROM run JOIN race ON race.run_id = run.id
               WHERE NOT run.sealed AND run.event_id = ?""",
            event.event_id,
        )
        assert {run_id for (run_id,) in partial} == set(event.now.partial)
        ((actions,),) = self.store.sql("SELECT COUNT(*) FROM action WHERE event_id = ?", event.event_id)
        assert actions == len(event.actions)

    def _compare_lock(self, event: ModelEvent) -> None:
        rows = self.store.sql(
            """SELECT token, run_id, expires_at < 1000, cancel_requested_at IS NOT NULL
               FROM lease WHERE event_id = ?""",
            event.event_id,
        )
        token, run_id, late, cancelled = rows[0] if rows else (0, None, None, False)
        attempt = event.running
        assert token == event.token
        assert run_id == (attempt.run.run_id if attempt is not None else None)
        if attempt is not None:
            assert (bool(late), bool(cancelled)) == (attempt.late, attempt.cancelled)


Result = TypeVar("Result")


def attempt_to(call: Callable[[], Result]) -> tuple[Result | None, Kind | None]:
    """The result of a call, or what it was refused with."""
    try:
        return call(), None
    except StateError as error:
        return None, error.kind
