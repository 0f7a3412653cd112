"""The routes that act: retry, cleanup, reset, undo, clearing a lock, the switch, the checks."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from mre_console.api.answers import REFUSALS, UPSTREAM, Either, answer, described
from mre_console.api.door import Asked, EventId, Number, Operator, who
from mre_console.api.events import begun
from mre_console.api.shapes import Started
from pipeline.checks import CheckReport
from pipeline.control import ControlState
from pipeline.ingest import IngestReport, Options
from pipeline.leases import LockView
from pipeline.plans import Plan
from pipeline.recovering import Recovered
from pipeline.retrying import RetryPlan
from pipeline.service import Service

router = APIRouter(tags=["acting"])

PlanOnly = Annotated[bool, Query(description="Answer with what would change, and change nothing.")]
Reason = Annotated[str, Field(max_length=500, pattern=r"^[^\x00-\x08\x0e-\x1f]*$")]


Why = Annotated[
    str,
    Field(
        max_length=500,
        pattern=r"^[^\x00-\x08\x0e-\x1f]*[^\x00-\x20\s][^\x00-\x08\x0e-\x1f]*$",
        description="Why; it goes into the journal.",
    ),
]


def _whole(value: object) -> object:
    """To JSON 3.0 is an integer too."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


class Wish(BaseModel):
    """Why something is done."""

    model_config = ConfigDict(extra="forbid", strict=True)

    reason: Annotated[Reason, Field(description="Kept with the action and in the journal.")] = ""


class RetryWish(BaseModel):
    """How an event shall be tried again."""

    model_config = ConfigDict(extra="forbid", strict=True)

    wait: Annotated[bool, Field(description="Answer when it has ended (200), not when it has begun (202).")] = False


class CleanupWish(Wish):
    """What a cleanup takes away."""

    full: Annotated[bool, Field(description="Give up all that the event serves, not only partial rows.")] = False


class ClearWish(Wish):
    """What somebody who takes a lock away has seen and means."""

    reason: Why
    token: Annotated[
        int | None,
        Field(ge=0, le=2**53 - 1, description="The token that was seen: refused if it changed."),
        BeforeValidator(_whole),
    ] = None
    confirm: Annotated[
        str | None, Field(max_length=300, description="The event's name, typed, where the holder is alive.")
    ] = None


class ControlWish(Wish):
    """How the switch shall stand, and why."""

    reason: Why
    mode: Literal["enabled", "disabled", "protected"]


class ChecksWish(BaseModel):
    """What to check."""

    model_config = ConfigDict(extra="forbid", strict=True)

    event_id: Annotated[
        str | None, Field(pattern=r"^[1-9][0-9]{0,17}$", description="One event; without it everything.")
    ] = None


@router.post(
    "/events/{event_id}/retry",
    **described(Started, *REFUSALS, *UPSTREAM, status=202, also={200: Either(IngestReport, RetryPlan)}),
)
def retry_event(
    _: Operator,
    service: Asked,
    request: Request,
    event_id: EventId,
    wish: RetryWish,
    plan: PlanOnly = False,
) -> Response:
    """Ingest an event again, whatever kept it from it before (a hold ends), and check it afterwards."""
    service.event(event_id)
    planned = service.plan_retry([event_id])
    if plan:
        return answer(planned)
    wait = wish.wait
    return begun(request, lambda: _retry(service, planned), wait=wait, name=event_id)


def _retry(service: Service, planned: RetryPlan) -> IngestReport:
    (step,) = service.retry(planned, Options(trigger="api"))
    if step.error is not None:
        raise step.error
    assert step.report is not None
    return step.report


_ACTED = described(Recovered, *REFUSALS, also={200: Either(Recovered, Plan)})


@router.post("/events/{event_id}/cleanup", **_ACTED)
def clean_up(
    caller: Operator,
    service: Asked,
    event_id: EventId,
    wish: CleanupWish,
    plan: PlanOnly = False,
) -> Response:
    """Remove partial rows and orphans of an event; with `full` give up all that it serves. Can be undone."""
    return _act(service, service.plan_cleanup(event_id, full=wish.full), who(caller), wish.reason, plan=plan)


@router.post("/events/{event_id}/reset", **_ACTED)
def reset(caller: Operator, service: Asked, event_id: EventId, wish: Wish, plan: PlanOnly = False) -> Response:
    """Back to where the event was before any ingestion; what is known of it stays. Can be undone."""
    reason = wish.reason
    return _act(service, service.plan_reset(event_id), who(caller), reason, plan=plan)


@router.post("/actions/{action_id}/undo", **_ACTED)
def undo(caller: Operator, service: Asked, action_id: Number, wish: Wish, plan: PlanOnly = False) -> Response:
    """Take an action back: what the event serves is byte for byte what it served before."""
    reason = wish.reason
    planned = service.plan_undo(action_id)
    if plan:
        return answer(planned)
    return answer(service.undo(action_id, plan=planned, reason=reason, who=who(caller), trigger="api"))


def _act(service: Service, planned: Plan, by: str, reason: str, *, plan: bool) -> Response:
    return answer(planned if plan else service.act(planned, reason=reason, who=by, trigger="api"))


@router.post("/locks/{event_id}/clear", **described(LockView, *REFUSALS))
def clear_lock(caller: Operator, service: Asked, event_id: EventId, wish: ClearWish) -> Response:
    """Take an event's lock from its holder, with a warning in the journal; the lock as it was."""
    return answer(
        service.clear_lock(event_id, reason=wish.reason, who=who(caller), token=wish.token, confirm=wish.confirm)
    )


@router.post("/control", **described(ControlState, *REFUSALS))
def turn(caller: Operator, service: Asked, wish: ControlWish) -> Response:
    """Turn ingestion off everywhere, or on again once the checks have passed."""
    if wish.mode == "enabled":
        return answer(service.enable(reason=wish.reason, who=who(caller)))
    protect = wish.mode == "protected"
    return answer(service.disable(reason=wish.reason, protect=protect, who=who(caller)))


@router.post("/checks", **described(CheckReport, *REFUSALS))
def check(caller: Operator, service: Asked, wish: ChecksWish) -> Response:
    """Check an event or everything, now; an event with an error is held."""
    return answer(service.checks(wish.event_id, asked_by=who(caller)))
