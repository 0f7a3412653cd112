"""Retrying many events: one, then ten, then the rest, and no further once too many fail."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pipeline import attempts, retrying
from pipeline.errors import FetchError, Kind, PipelineError, StateError
from pipeline.ingest import IngestReport
from pipeline.service import Service, ServiceSettings
from pipeline.store import attempts as attempt_rows
from pipeline.store.attempts import Attempts
from pipeline.store.database import Store
from tests.support.generations import begin, fail, published
from tests.support.recovering import event_row


def names(count: int) -> list[str]:
    return [f"harbour/{number}" for number in range(1, count + 1)]


def report(event: str) -> IngestReport:
    return IngestReport("published", event, "Harbour Cup", 1, 1, 1, 1, "0" * 64, 0, 0.1)


def attempt(bad: Callable[[str], PipelineError | None], tried: list[str]) -> Callable[[str], IngestReport]:
    def ingest(event: str) -> IngestReport:
        tried.append(event)
        error = bad(event)
        if error is not None:
            raise error
        return report(event)

    return ingest


def failing(*events: str, kind: Kind = Kind.TIMEOUT) -> Callable[[str], PipelineError | None]:
    return lambda event: FetchError(kind, "made to fail") if event in events else None


def run(
    count: int, bad: Callable[[str], PipelineError | None], failure_limit: float = 0.5
) -> tuple[list[str], list[retrying.RetryStep]]:
    tried: list[str] = []
    plan = retrying.plan_named(names(count), failure_limit=failure_limit)
    return tried, list(retrying.retry(plan, attempt(bad, tried)))


@pytest.mark.parametrize(
    ("count", "sizes"),
    [(0, []), (1, [1]), (2, [1, 1]), (11, [1, 10]), (12, [1, 10, 1]), (40, [1, 10, 29])],
)
def test_the_stages(count: int, sizes: list[int]) -> None:
    plan = retrying.plan_named(names(count))
    assert [len(stage) for stage in plan.stages] == sizes
    assert list(plan.events()) == names(count)


def test_all_are_tried_in_order_while_all_is_well() -> None:
    tried, steps = run(15, failing())
    assert tried == names(15)
    assert [step.stage for step in steps] == [1] + [2] * 10 + [3] * 4
    assert [(step.done, step.total) for step in steps] == [(n, 15) for n in range(1, 16)]
    assert all(step.stopped is None and step.report is not None for step in steps)


def test_a_failing_canary_stops_everything() -> None:
    tried, (step,) = run(20, failing("harbour/1"))
    assert tried == ["harbour/1"]
    assert step.stopped == "1 of 1 failed, which is more than 50%"


def test_the_ten_are_judged_together_and_the_rest_one_by_one() -> None:
    # Of the ten, the first eight fail: an unlucky start is not the end, the sum is.
    tried, steps = run(40, failing(*names(9)[1:]))
    assert len(tried) == 11
    assert steps[-1].stopped == "8 of 11 failed, which is more than 50%"
    # All of the rest fail: 11 were well, so the twelfth failure is one too many.
    tried, steps = run(40, failing(*names(40)[11:]))
    assert len(tried) == 23
    assert (steps[-1].failed, steps[-1].stopped) == (12, "12 of 23 failed, which is more than 50%")


@pytest.mark.parametrize(("limit", "tried_of_20"), [(0.0, 11), (0.1, 11), (0.2, 20), (1.0, 20)])
def test_the_limit(limit: float, tried_of_20: int) -> None:
    tried, _ = run(20, failing("harbour/5", "harbour/7"), limit)
    assert len(tried) == tried_of_20


def test_nothing_is_said_of_stopping_where_nothing_is_left() -> None:
    _, steps = run(1, failing("harbour/1"))
    assert steps[-1].stopped is None
    assert steps[-1].error is not None


def test_an_event_that_somebody_works_on_is_neither_tried_nor_failed() -> None:
    tried, steps = run(3, lambda event: StateError(Kind.LOCK_HELD, "busy") if event == "harbour/1" else None)
    assert len(tried) == 3
    assert [step.failed for step in steps] == [0, 0, 0]


@pytest.mark.parametrize("kind", retrying.HOPELESS, ids=str)
def test_a_refusal_that_all_would_meet_stops_at_once(kind: Kind) -> None:
    tried, steps = run(20, lambda event: StateError(kind, "no") if event == "harbour/3" else None, 1.0)
    assert len(tried) == 3
    assert steps[-1].stopped == "no"


def test_an_event_is_retried_once_however_often_it_is_named() -> None:
    assert retrying.plan_named(["a/1", "a/2", "a/1"]).events() == ("a/1", "a/2")


@pytest.mark.parametrize("limit", [-0.1, 1.1])
def test_a_limit_is_a_share(limit: float) -> None:
    with pytest.raises(StateError) as caught:
        retrying.plan_named(["a/1"], failure_limit=limit)
    assert caught.value.kind is Kind.USAGE


# ---------------------------------------------------------------- which events, in which order


@pytest.fixture
def service(store: Store, database_url: str, tmp_path: object) -> Service:
    service = Service(ServiceSettings(db_url=database_url, data=tmp_path))  # type: ignore[arg-type]
    service._store = store
    return service


def failed(store: Store, event_id: str, attempts_so_far: int, *, due: bool) -> int:
    fence = begin(store, event_id)
    fail(store, fence)
    counts = Attempts(attempts_so_far, 0)
    attempt_rows.set_counts(store, fence.event_id, counts, retry_in_ms=1 if due else None)
    return fence.event_id


def test_the_most_promising_first_and_held_ones_only_by_name(service: Service, store: Store) -> None:
    failed(store, "1", 1, due=False)
    failed(store, "2", 5, due=True)
    failed(store, "3", 2, due=True)
    held = failed(store, "4", 1, due=True)
    attempts.hold(store, held, "three runs died")
    published(store, "5")
    plan = service.plan_retry()
    assert [event.rpartition("/")[2] for event in plan.events()] == ["3", "2", "1"]
    assert [(one.event.rpartition("/")[2], one.reason) for one in plan.held] == [("4", "three runs died")]
    assert len(service.plan_retry(limit=2).events()) == 2
    assert service.plan_retry(["4"]).events() == (f"{event_row(store, held).track_slug}/4",)


def test_an_unknown_event_is_refused_before_anything_is_tried(service: Service) -> None:
    with pytest.raises(StateError) as caught:
        service.plan_retry(["999999"])
    assert caught.value.kind is Kind.UNKNOWN_EVENT
