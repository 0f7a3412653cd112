"""The routes that only look: tracks, locks, actions, failures, the switch, checks, health, metrics."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from mre_console.api.answers import answer, described
from mre_console.api.door import Asked, Limit, Number, Reader, Text, door_of
from mre_console.api.shapes import CheckRunView, Liveness, LogLineView, check_run_view, log_line_view
from pipeline import health as judged
from pipeline.control import ControlState
from pipeline.drift import Case
from pipeline.errors import PipelineError
from pipeline.failures import FailureGroup
from pipeline.health import Health
from pipeline.leases import LockView
from pipeline.metrics import CONTENT_TYPE
from pipeline.recovery import Action
from pipeline.schedule import ScheduleLine
from pipeline.store.tracks import TrackRow
from pipeline.store.workers import WorkerRow

router = APIRouter(tags=["looking"])


@router.get("/tracks", **described(tuple[TrackRow, ...]))
def tracks(
    _: Reader, service: Asked, followed: bool | None = None, text: Text | None = None, limit: Limit = 100
) -> Response:
    """LiveRC's tracks as they are known."""
    return answer(service.tracks(followed=followed, text=text, limit=limit))


@router.get("/locks", **described(tuple[LockView, ...]))
def locks(_: Reader, service: Asked) -> Response:
    """Every held lock, with what is known of its holder and how."""
    return answer(service.locks())


@router.get("/actions", **described(tuple[Action, ...]))
def actions(
    _: Reader,
    service: Asked,
    event_id: Annotated[str | None, Query(pattern=r"^[1-9][0-9]{0,17}$")] = None,
    limit: Limit = 50,
) -> Response:
    """Recovery actions, newest first, each with why it cannot be undone where that is so."""
    return answer(service.actions(event_id, limit=limit))


@router.get("/actions/{action_id}", **described(Action))
def action(_: Reader, service: Asked, action_id: Number) -> Response:
    """One action, exactly as it was carried out."""
    return answer(service.action(action_id))


@router.get("/failures", **described(tuple[FailureGroup, ...]))
def failures(_: Reader, service: Asked, days: Annotated[int, Query(ge=1, le=3650)] = 30) -> Response:
    """What fails, grouped by cause."""
    return answer(service.failure_groups(days=days))


@router.get("/warnings", **described(tuple[LogLineView, ...]))
def warnings(_: Reader, service: Asked, limit: Limit = 100) -> Response:
    """Warnings that nobody has acknowledged, newest first."""
    return answer([log_line_view(line) for line in service.warnings(limit=limit)])


@router.get("/control", **described(ControlState))
def control(_: Reader, service: Asked) -> Response:
    """How the global switch stands, and what enabling needs."""
    return answer(service.control())


@router.get("/checks", **described(tuple[CheckRunView, ...]))
def checks(
    _: Reader,
    service: Asked,
    event_id: Annotated[str | None, Query(pattern=r"^[1-9][0-9]{0,17}$")] = None,
    limit: Limit = 20,
) -> Response:
    """Recorded runs of the checks, newest first."""
    return answer([check_run_view(row) for row in service.check_runs(event_id, limit=limit)])


@router.get("/drift", **described(tuple[Case, ...]))
def drift_cases(_: Reader, service: Asked, open_only: bool = False, limit: Limit = 50) -> Response:
    """Has LiveRC changed its pages? Cases, newest first, with what is doubted and what the probes said."""
    return answer(service.drift_cases(open_only=open_only, limit=limit))


@router.get("/drift/{case_id}", **described(Case))
def drift_case(_: Reader, service: Asked, case_id: Number) -> Response:
    """One drift case, with the events that wait for its end."""
    return answer(service.drift_case(case_id))


@router.get("/schedule", **described(tuple[ScheduleLine, ...]))
def schedule(_: Reader, service: Asked) -> Response:
    """What is due when, and how it last went."""
    return answer(service.schedules())


@router.get("/workers", **described(tuple[WorkerRow, ...]))
def workers(_: Reader, service: Asked) -> Response:
    """The processes that run the schedule, on all machines, newest first."""
    return answer(service.workers())


@router.get("/health", **described(Health, also={503: Health}))
def health(_: Reader, request: Request) -> Response:
    """How everything is, with reasons and the age of the evidence; 503 while it is failing."""
    found = _judged(request)
    return answer(found, 503 if found.state == judged.FAILING else 200)


@router.get("/health/live", **described(Liveness))
def live(request: Request) -> Response:
    """Whether the program answers. Needs no token."""
    return answer(_liveness(request))


@router.get("/health/ready", **described(Liveness, also={503: Liveness}))
def ready(request: Request) -> Response:
    """Whether it can work: the database answers. Needs no token."""
    found = _liveness(request)
    return answer(found, 200 if found.ready else 503)


def _judged(request: Request) -> Health:
    service = door_of(request).service
    try:
        with service.store.connection_scope():
            return service.health()
    except PipelineError:  # not even to be opened; that is an answer too
        return service.health()


def _liveness(request: Request) -> Liveness:
    found = _judged(request)
    return Liveness(live=True, ready=found.evidence.database_error is None, state=found.state)


_SCRAPED = described(Liveness)
_SCRAPED["responses"][200] = {
    "description": "Prometheus' text format.",
    "content": {"text/plain": {"schema": {"type": "string"}}},
}


@router.get("/metrics", **_SCRAPED)
def metrics(_: Reader, request: Request) -> Response:
    """What Prometheus scrapes."""
    return Response(request.app.state.metrics.exposition(), media_type=CONTENT_TYPE)
