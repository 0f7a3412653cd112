"""The checks that ask the database about itself: seals, parents, keys, order, states and leases.

Each is a function over a `Scope` that yields findings; what it asks is in `pipeline.store.consistency`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import msgspec

from pipeline.findings import Finding, Severity
from pipeline.store import consistency, migrations
from pipeline.store.database import Store

HISTORY = 20  # earlier runs that a duration is compared with
HISTORY_AT_LEAST = 5  # fewer say nothing
SLOWER_FACTOR = 5.0
SLOWER_AT_LEAST_MS = 10_000.0


@dataclass(frozen=True)
class Scope:
    """What is checked: one event, or everything."""

    store: Store
    event_id: int | None

    @cached_property
    def _events(self) -> list[consistency.Row]:
        with self.store.read():
            return consistency.events(self.store, self.event_id)

    @property
    def names(self) -> dict[int, str]:
        """Event → slug/id."""
        return {event_id: name for event_id, name, _ in self._events}

    def run_name(self, run_id: int) -> str:
        """`run 41`, or `run 41 (not served)`."""
        return f"run {run_id}" if self.severity(run_id) == "error" else f"run {run_id} (not served)"

    def severity(self, run_id: int | None) -> Severity:
        """Rows of a run that is kept but not served are told, not judged: they can never be put right, and whoever
        serves them again finds it as an error. None: no run's rows."""
        return "error" if run_id is None or run_id in {served for *_, served in self._events} else "warning"

    def finding(
        self,
        check: str,
        message: str,
        *,
        event_id: int | None = None,
        run_id: int | None = None,
        severity: Severity = "error",
        **facts: object,
    ) -> Finding:
        """A finding about an event of this scope, or about the database."""
        name = None if event_id is None else self.names.get(event_id)
        return Finding(
            check=check,
            severity=severity,
            message=message,
            event=name,
            event_id=event_id,
            run_id=run_id,
            facts={key: value for key, value in facts.items() if value is not None},
        )


RowCheck = Callable[[Scope], Iterator[Finding]]


# ---------------------------------------------------------------- what is served


def served_run(scope: Scope) -> Iterator[Finding]:
    """An event serves a sealed run of its own that was not purged."""
    for event_id, run_id, exists, run_event, sealed, purged_at in consistency.wrongly_served(
        scope.store, scope.event_id
    ):
        if not exists:
            why = "does not exist"
        elif run_event != event_id:
            why = "belongs to another event"
        elif not sealed:
            why = "was never sealed"
        else:
            why = "was purged"
        yield scope.finding(
            "served-run", f"serves run {run_id}, which {why}", event_id=event_id, run_id=run_id, purged_at=purged_at
        )


def depth(scope: Scope) -> Iterator[Finding]:
    """Depth, pointer, state and rows of an event agree."""
    for event_id, state, said, run_id, races in consistency.depth_against_data(scope.store, scope.event_id):
        serves = "serves nothing" if run_id is None else f"serves run {run_id} with {races} races"
        yield scope.finding("depth", f"is {state} with depth {said}, and {serves}", event_id=event_id, run_id=run_id)


def manifest(scope: Scope) -> Iterator[Finding]:
    """The rows of every sealed run add up to its manifest, to the millisecond."""
    names = ("races", "results", "laps", "lap milliseconds", "entries")
    for event_id, run_id, *counts in consistency.manifests(scope.store, scope.event_id):
        sealed, found = counts[:5], counts[5:]
        wrong = {name: (said, is_) for name, said, is_ in zip(names, sealed, found, strict=True) if said != is_}
        if wrong:
            text = ", ".join(f"{said} {name} and holds {is_}" for name, (said, is_) in wrong.items())
            yield scope.finding(
                "manifest", f"{scope.run_name(run_id)} was sealed with {text}",
                event_id=event_id, run_id=run_id, severity=scope.severity(run_id),
                sealed=dict(zip(names, sealed, strict=True)), found=dict(zip(names, found, strict=True)),
            )  # fmt: skip


def header(scope: Scope) -> Iterator[Finding]:
    """Every sealed run has the event's own facts."""
    for event_id, run_id in consistency.headerless(scope.store, scope.event_id):
        yield scope.finding(
            "header", f"{scope.run_name(run_id)} has no record of the event itself",
            event_id=event_id, run_id=run_id, severity=scope.severity(run_id),
        )  # fmt: skip


# ---------------------------------------------------------------- rows out of place


def orphans(scope: Scope) -> Iterator[Finding]:
    """No row has lost its parent. Whose they were cannot be told, so one event alone is not asked."""
    if scope.event_id is not None:
        return
    for what, count, parent in consistency.orphans(scope.store):
        yield scope.finding("orphans", f"{count} times a {what}, first {parent}", count=count, parent=parent)


def partial_rows(scope: Scope) -> Iterator[Finding]:
    """No run that was not sealed has rows."""
    for event_id, run_id, races, entries, headers in consistency.partial_rows(scope.store, scope.event_id):
        yield scope.finding(
            "partial-rows", f"run {run_id} was never sealed and holds {races} races, {entries} entries",
            event_id=event_id, run_id=run_id, races=races, entries=entries, headers=headers,
        )  # fmt: skip


def natural_keys(scope: Scope) -> Iterator[Finding]:
    """What names a thing names it once."""
    for event_id, run_id, what, key, count in consistency.duplicate_keys(scope.store, scope.event_id):
        yield scope.finding(
            "natural-keys", f"{key} stands {count} times",
            event_id=event_id, run_id=run_id, severity=scope.severity(run_id), what=what, count=count,
        )  # fmt: skip


def row_order(scope: Scope) -> Iterator[Finding]:
    """The results of a race are its rows 1 to n."""
    for event_id, run_id, race, lowest, highest, count in consistency.broken_rows(scope.store, scope.event_id):
        yield scope.finding(
            "ordering", f"race {race} has {count} results, numbered {lowest} to {highest}",
            event_id=event_id, run_id=run_id, severity=scope.severity(run_id), race_id=race,
        )  # fmt: skip


# ---------------------------------------------------------------- states, leases, history


def states(scope: Scope) -> Iterator[Finding]:
    """An event's state is where its steps led, what its newest run left, and running exactly while it is leased."""
    store, only = scope.store, scope.event_id
    for event_id, state, run_id in consistency.states_against_leases(store, only):
        text = (
            f"is leased to run {run_id} and {state}" if run_id is not None else f"is {state} and nobody holds its lease"
        )
        yield scope.finding("states", text, event_id=event_id, run_id=run_id)
    for event_id, state, run_id, outcome in consistency.states_against_outcomes(store, only):
        yield scope.finding(
            "states", f"is {state}, its newest run {run_id} ended {outcome or 'not at all'}",
            event_id=event_id, run_id=run_id,
        )  # fmt: skip
    for event_id, from_state, to_state, expected in consistency.broken_transitions(store, only):
        yield scope.finding("states", f"went from {from_state} to {to_state} when it was {expected}", event_id=event_id)
    for event_id, run_id, outcome in consistency.unended_runs(store, only):
        text = "never ended and holds no lease" if outcome is None else f"is {outcome} and ended at no time"
        yield scope.finding("states", f"run {run_id} {text}", event_id=event_id, run_id=run_id)


def leases(scope: Scope) -> Iterator[Finding]:
    """A lease is held for a run of its event that is under way, and its token is never behind."""
    for event_id, run_id, token, highest in consistency.wrong_leases(scope.store, scope.event_id):
        if token < highest:
            text = f"the lease's token {token} is behind the {highest} that a run began with"
        else:
            text = f"the lease is held for run {run_id}, which is not under way for this event"
        yield scope.finding("leases", text, event_id=event_id, run_id=run_id, token=token)


def log(scope: Scope) -> Iterator[Finding]:
    """Since an event's newest run began, and it went well, nothing was logged as an error."""
    for event_id in scope.names:
        newest = consistency.newest_run(scope.store, event_id)
        if newest is None or newest[1] in (None, "failed", "interrupted", "cleared"):
            continue  # its errors are known: they are how it ended
        for run_id, name, message in consistency.errors_since(scope.store, event_id, newest[0]):
            yield scope.finding("log", f"logged {name}: {message}", event_id=event_id, run_id=run_id, name=name)


def durations(scope: Scope) -> Iterator[Finding]:
    """An event's newest ingestion took about as long a page as those before it."""
    for event_id in scope.names:
        newest = consistency.newest_run(scope.store, event_id)
        if newest is None or newest[1] not in ("published", "unchanged"):
            continue
        run_id, _, stage_ms, pages = newest
        earlier = consistency.earlier_durations(scope.store, event_id, run_id, limit=HISTORY)
        times = sorted(_page_ms(stages, done) for stages, done in earlier if done)
        if len(times) < HISTORY_AT_LEAST or not pages:
            continue
        usual, taken = times[len(times) // 2], _page_ms(stage_ms, pages)
        if taken > SLOWER_FACTOR * usual and (taken - usual) * pages > SLOWER_AT_LEAST_MS:
            yield scope.finding(
                "durations", f"run {run_id} took {taken:.0f} ms a page, {usual:.0f} ms are usual here",
                event_id=event_id, run_id=run_id, severity="warning", page_ms=round(taken), usual_ms=round(usual),
            )  # fmt: skip


def _page_ms(stage_ms: str, pages: int) -> float:
    return sum(msgspec.json.decode(stage_ms, type=dict[str, float]).values()) / pages


# ---------------------------------------------------------------- the database itself


def database_file(scope: Scope) -> Iterator[Finding]:
    """The file is whole, and every index has what its table has."""
    if scope.event_id is None:
        for problem in consistency.file_problems(scope.store):
            yield scope.finding("database-file", f"the database file is damaged: {problem}")


def guards(scope: Scope) -> Iterator[Finding]:
    """Every guard that the migrations made is in force."""
    if scope.event_id is None:
        missing = migrations.expected_triggers(scope.store.engine) - consistency.triggers(scope.store)
        for name in sorted(missing):
            yield scope.finding("guards", f"the guard {name} is missing or switched off", name=name)


ROW_CHECKS: dict[str, tuple[RowCheck, ...]] = {
    "database-file": (database_file,),
    "guards": (guards,),
    "served-run": (served_run,),
    "depth": (depth,),
    "header": (header,),
    "manifest": (manifest,),
    "orphans": (orphans,),
    "partial-rows": (partial_rows,),
    "natural-keys": (natural_keys,),
    "ordering": (row_order,),
    "states": (states,),
    "leases": (leases,),
    "log": (log,),
    "durations": (durations,),
}
