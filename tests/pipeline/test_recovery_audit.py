"""Every recovery action through the front door, on both engines: the plan is what is done, others keep what they have,
an undo returns every byte, and whatever is refused changes nothing.

One table for all of them, so that a new action has to say how it stands to each promise. `test_recovery` goes through
the conditions that an event can be in, `test_cli_recovery` types the commands.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from mre_console.simulator.generate import World
from mre_console.simulator.site import SimulatedSite
from pipeline import planning, recovery
from pipeline.errors import FetchError, Kind, StateError
from pipeline.leases import LockPolicy
from pipeline.plans import Plan
from pipeline.recovering import Recovered
from pipeline.runs import Run
from pipeline.service import Service, ServiceSettings
from pipeline.store.database import Store
from tests.support.generations import SLUG, begin
from tests.support.recovering import (
    COUNTED,
    counts,
    event_row,
    exported,
    leave_partial_rows,
    publish_generation,
    rows_of_all,
    transitions,
)
from tests.support.site_client import SiteClient

EVENT, SERVING, PARTIAL, BUSY = "7000", "7001", "7002", "7003"
OTHERS = (SERVING, PARTIAL, BUSY)
NAME = f"{SLUG}/{EVENT}"
GOOD, BAD = "a1good", "b2bad"


class Case(NamedTuple):
    """One action, as it is asked for by name."""

    plan: Callable[[Service], Plan]
    unknown: Callable[[Service], object]  # the same of something that does not exist
    unknown_is: Kind
    prepare: Callable[[Service], object] = lambda service: None


def _one_of_a_rollback(service: Service) -> Plan:
    (plan,) = service.plan_restore_build(BAD).plans
    return plan


CASES: dict[str, Case] = {
    "cleanup": Case(
        lambda service: service.plan_cleanup(NAME), lambda service: service.plan_cleanup("x/1"), Kind.UNKNOWN_EVENT
    ),
    "cleanup --full": Case(
        lambda service: service.plan_cleanup(NAME, full=True),
        lambda service: service.plan_cleanup("x/1", full=True),
        Kind.UNKNOWN_EVENT,
    ),
    "reset": Case(
        lambda service: service.plan_reset(NAME), lambda service: service.plan_reset("x/1"), Kind.UNKNOWN_EVENT
    ),
    "restore": Case(lambda service: service.plan_restore(NAME, 1), lambda service: service.plan_restore(NAME, 99),
                    Kind.USAGE),
    "restore --parser-build": Case(
        _one_of_a_rollback, lambda service: service.plan_restore_build("no-such-build"), Kind.USAGE
    ),
    "undo": Case(
        lambda service: service.plan_undo(1),
        lambda service: service.plan_undo(99),
        Kind.UNKNOWN,
        lambda service: service.act(service.plan_reset(NAME)),
    ),
}  # fmt: skip


@pytest.fixture
def service(database_url: str, tmp_path: Path) -> Iterator[Service]:
    """An event that served two builds and failed after, three others in other conditions, one of them at work."""
    with Service(ServiceSettings(db_url=database_url, data=tmp_path / "data")) as service:
        store = service.store
        publish_generation(store, 1, EVENT, build=GOOD)
        publish_generation(store, 2, EVENT, build=BAD)
        leave_partial_rows(store, EVENT)
        publish_generation(store, 3, SERVING, build=GOOD)
        leave_partial_rows(store, PARTIAL)
        publish_generation(store, 2, BUSY, build=GOOD)
        begin(store, BUSY)
        yield service


@pytest.fixture(params=list(CASES.values()), ids=list(CASES))
def case(request: pytest.FixtureRequest, service: Service) -> Case:
    chosen: Case = request.param
    chosen.prepare(service)
    return chosen


def event_id(service: Service, name: str) -> int:
    return service.event(f"{SLUG}/{name}").id


def rest_of_the_world(service: Service) -> dict[str, Any]:
    """All that is known of the other events: columns, documents, runs, leases, log."""
    world: dict[str, Any] = {}
    for name in OTHERS:
        one = event_id(service, name)
        world[name] = (event_row(service.store, one), exported(service.store, one), transitions(service.store, one))
        world[f"runs of {name}"] = service.runs(name)
        world[f"log of {name}"] = service.log(event=name)
    world["locks"] = [(lock.event, lock.token, lock.run_id) for lock in service.locks()]
    return world


def everything(service: Service) -> Any:
    """All that a refusal must leave as it is."""
    one = event_id(service, EVENT)
    store = service.store
    return rest_of_the_world(service), counts(store), rows_of_all(store), event_row(store, one), exported(store, one)


def carries_out(store: Store, plan: Plan) -> Callable[[], None]:
    """Remember how things are; the returned function holds all that changed since to what the plan says."""
    before, counted = event_row(store, plan.event_id), counts(store)
    walked = len(transitions(store, plan.event_id))

    def compare() -> None:
        after = event_row(store, plan.event_id)
        moved = {table: plan.puts_back.get(table, 0) - plan.removes.get(table, 0) for table in COUNTED}
        moved |= {"run": 1, "action": 1, "transition": len(plan.steps)}
        found = {table: now - counted[table] for table, now in counts(store).items()}
        assert {**found, "journal": 0} == {**moved, "journal": 0}
        changed = {change.field: (change.before, change.after) for change in plan.changes}
        for field in (*planning.PLANNED_COLUMNS, "state"):
            expected = changed.get(field, (getattr(before, field), getattr(before, field)))
            assert (getattr(before, field), getattr(after, field)) == expected, field
        served = {"race": after.race_count, "result": after.result_count, "lap": after.lap_count}
        assert {table: plan.served_after.get(table, 0) for table in served} == served
        assert transitions(store, plan.event_id)[walked:] == list(pairwise((before.state, *plan.steps)))

    return compare


def refusal(call: Callable[[], object]) -> StateError:
    with pytest.raises(StateError) as caught:
        call()
    return caught.value


# ---------------------------------------------------------------- what is promised of each


def test_the_plan_is_what_is_done_and_others_keep_what_they_have(service: Service, case: Case) -> None:
    others, before = rest_of_the_world(service), everything(service)
    plan = case.plan(service)
    assert everything(service) == before, "planning changed something"
    assert plan.changes_anything
    holds = carries_out(service.store, plan)
    action = recovery.act(service.store, plan, who="tester")
    holds()
    assert action.plan == plan == service.action(action.id).plan
    assert rest_of_the_world(service) == others
    done = everything(service)
    assert refusal(lambda: service.act(plan)).kind in (Kind.PLAN_STALE, Kind.UNDO_REFUSED), "twice"
    assert everything(service) == done


def test_its_undo_returns_every_byte(service: Service, case: Case) -> None:
    one = event_id(service, EVENT)
    document, data, others = exported(service.store, one), rows_of_all(service.store), rest_of_the_world(service)
    action = recovery.act(service.store, case.plan(service), who="tester")
    if action.kind == "undo":
        assert refusal(lambda: service.plan_undo(action.id)).kind is Kind.UNDO_REFUSED
        return
    plan = service.plan_undo(action.id)
    holds = carries_out(service.store, plan)
    recovery.act(service.store, plan, who="tester")
    holds()
    assert exported(service.store, one) == document
    assert rows_of_all(service.store) == data
    assert rest_of_the_world(service) == others


def test_the_front_door_does_the_same_and_checks_it_whatever_the_switch_says(service: Service, case: Case) -> None:
    service.disable(reason="tested", protect=True)
    plan = case.plan(service)
    recovered = service.act(plan, reason="tested", who="tester")
    assert isinstance(recovered, Recovered)
    assert recovered.action.plan == plan
    assert (recovered.action.who, recovered.action.reason) == ("tester", "tested")
    assert recovered.checks is not None
    left = plan.kind == "undo" or not plan.removes  # rows of runs that published nothing
    assert recovered.checks.passed == (not left)


# ---------------------------------------------------------------- what is refused


def test_while_somebody_works_on_the_event(service: Service, case: Case) -> None:
    plan = case.plan(service)
    begin(service.store, EVENT)
    before = everything(service)
    assert refusal(lambda: service.act(plan)).kind is Kind.LOCK_HELD
    if plan.parser_build is not None:
        rollback = service.plan_restore_build(BAD)
        assert ([one.kind for one in rollback.refused], rollback.plans) == (["LOCK_HELD"], ())
    else:
        assert refusal(lambda: case.plan(service)).kind is Kind.LOCK_HELD
    assert everything(service) == before


@pytest.mark.parametrize("change", ["published", "failed"])
def test_once_the_event_changed_since_the_plan(service: Service, case: Case, change: str) -> None:
    plan = case.plan(service)
    publish_generation(service.store, 3, EVENT) if change == "published" else leave_partial_rows(service.store, EVENT)
    before = everything(service)
    error = refusal(lambda: service.act(plan))
    if plan.kind == "undo" and change == "published":
        assert error.kind is Kind.UNDO_REFUSED
        assert error.details["newer_run_id"] == service.runs(NAME)[0].id
    else:
        assert error.kind is Kind.PLAN_STALE
    assert everything(service) == before


def test_of_something_unknown(service: Service) -> None:
    before = everything(service)
    for name, case in CASES.items():
        assert refusal(lambda case=case: case.unknown(service)).kind is case.unknown_is, name  # type: ignore[misc]
    assert everything(service) == before


def test_read_only(service: Service) -> None:
    with Service(service.settings, read_only=True) as looking:
        for name, case in CASES.items():
            case.prepare(service)
            before = everything(service)
            plan = case.plan(looking)
            assert refusal(lambda plan=plan: looking.act(plan)).kind is Kind.READ_ONLY, name  # type: ignore[misc]
            assert everything(service) == before, name
        service.undo(1)
        assert refusal(lambda: looking.roll_back(looking.plan_restore_build(BAD))).kind is Kind.READ_ONLY


# ---------------------------------------------------------------- a purge, which nothing takes back


OLD = {"older_than_days": 0, "keep_undo_days": 30}


def test_a_purge_takes_what_it_planned_and_nobody_serves_less(service: Service) -> None:
    store = service.store
    for number in (1, 3):
        publish_generation(store, number, EVENT)
    one = event_id(service, EVENT)
    document, others, before = exported(store, one), rest_of_the_world(service), counts(store)
    plan = service.plan_purge(**OLD)
    assert [run.run_id for run in plan.runs] == [1, 2]
    report = service.purge(plan, who="tester")
    assert (report.runs, report.passed_over, report.rows) == ((1, 2), (), plan.rows())
    gone = {table: before[table] - after for table, after in counts(store).items() if before[table] > after}
    assert gone == plan.rows()
    assert exported(store, one) == document
    assert rest_of_the_world(service) == others


def test_what_a_purge_refuses(service: Service) -> None:
    store = service.store
    for number in (1, 3):
        publish_generation(store, number, EVENT)
    plan = service.plan_purge(**OLD)
    with Service(service.settings, read_only=True) as looking:
        assert looking.plan_purge(**OLD).runs == plan.runs
        assert refusal(lambda: looking.purge(plan)).kind is Kind.READ_ONLY
    fence = begin(store, EVENT)
    before = everything(service)
    assert [passed.why for passed in service.purge(plan).passed_over] == ["the event is being worked on"] * 2
    assert everything(service) == before
    service.clear_lock(NAME, reason="tested", token=fence.token)
    recovery.act(store, service.plan_restore(NAME, 1), who="tester")
    document = exported(store, fence.event_id)
    report = service.purge(plan)
    assert (report.runs, [(passed.run_id, passed.why) for passed in report.passed_over]) == (
        (2,), [(1, "it is needed again")],
    )  # fmt: skip
    assert exported(store, fence.event_id) == document


# ---------------------------------------------------------------- a retry, which is an ingestion


@pytest.fixture
def site() -> SimulatedSite:
    return SimulatedSite(World(5, tracks=1, events=4, mix=("small",), catalogue_rows=5), frozen_frame=True)


@pytest.fixture
def client(site: SimulatedSite) -> SiteClient:
    return SiteClient(site)


@pytest.fixture
def at_work(client: SiteClient, site: SimulatedSite, database_url: str, tmp_path: Path) -> Iterator[Service]:
    """Four events; the first is served and failed since, the second failed, the third is served, the fourth is new."""
    names = ["/".join(event) for event in site.events()]
    with Service(ServiceSettings(db_url=database_url, data=tmp_path / "data"), client=client) as service:
        service.ingest(names[0])
        service.ingest(names[2])
        client.before = unreachable
        for name in names[:2]:
            with pytest.raises(FetchError):
                service.ingest(name)
        client.before = None
        service.add_event(names[3])
        yield service


def unreachable(url: str) -> None:
    raise FetchError(Kind.TIMEOUT, "the site is away", url=url)


def documents(service: Service) -> dict[int, bytes | None]:
    return {row.id: exported(service.store, row.id) for row in service.events()}


def test_a_retry_tries_what_it_planned_and_touches_no_other(at_work: Service, site: SimulatedSite) -> None:
    names = ["/".join(event) for event in site.events()]
    rows = {row.source_event_id: row for row in at_work.events()}
    before, counted = documents(at_work), counts(at_work.store)
    plan = at_work.plan_retry()
    assert sorted(plan.events()) == sorted(names[:2])
    assert (documents(at_work), counts(at_work.store)) == (before, counted)
    steps = list(at_work.retry(plan))
    assert [(step.event, step.error) for step in steps] == [(event, None) for event in plan.events()]
    after = documents(at_work)
    for name in names:
        row = rows[name.partition("/")[2]]
        if name == names[1]:
            assert (before[row.id], after[row.id] is not None) == (None, True)
        else:
            assert after[row.id] == before[row.id]
        if name not in plan.events():
            assert at_work.event(name) == row


def test_what_a_retry_refuses(at_work: Service, client: SiteClient, site: SimulatedSite) -> None:
    names = ["/".join(event) for event in site.events()]
    plan = at_work.plan_retry(names[:2])
    before, counted = documents(at_work), counts(at_work.store)
    with Service(at_work.settings, client=client, read_only=True) as looking:
        assert looking.plan_retry(names[:2]) == plan
        assert refusal(lambda: looking.retry(plan)).kind is Kind.READ_ONLY
    assert refusal(lambda: at_work.plan_retry(["x/1", "99"])).kind is Kind.UNKNOWN_EVENT
    at_work.disable(reason="tested")
    assert refusal(lambda: at_work.retry(plan)).kind is Kind.DISABLED
    at_work.checks()
    at_work.enable()
    assert {**counts(at_work.store), "journal": 0} == {**counted, "journal": 0}
    run = Run.begin(
        at_work.store, at_work.bus, at_work.event(names[0]), kind="ingest", trigger="test", policy=LockPolicy(None)
    )
    client.before = unreachable
    steps = list(at_work.retry(plan))
    assert [step.error.kind for step in steps if step.error] == [Kind.LOCK_HELD, Kind.TIMEOUT]
    assert steps[-1].failed == 1  # an event at work is neither tried nor failed
    assert documents(at_work) == before  # and a failed one serves what it served
    run.fail(StateError(Kind.INTERRUPTED, "the test ends"))
