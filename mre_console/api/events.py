"""The routes of events and runs: what is known and served, ingesting, and following a run while it goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Literal

import msgspec
from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from mre_console.api.answers import REFUSALS, UPSTREAM, answer, described
from mre_console.api.door import Asked, EventId, Limit, Number, Operator, Reader, Slug, Text, door_of
from mre_console.api.shapes import (
    EventView,
    LogLineView,
    RunView,
    Started,
    event_view,
    log_line_view,
    run_view,
)
from mre_console.api.starting import start
from pipeline import document, records
from pipeline.errors import Kind, PipelineError, StateError
from pipeline.ingest import IngestReport, Options
from pipeline.service import Service

router = APIRouter(tags=["events and runs"])

FOLLOWERS = 32  # runs that may be followed at once
LOOK_EVERY_S = 0.5
LINES_AT_ONCE = 500
State = Literal["idle", "running", "complete", "failed"]


class IngestWish(BaseModel):
    """How an event shall be ingested."""

    model_config = ConfigDict(extra="forbid", strict=True)

    wait: Annotated[bool, Field(description="Answer when it has ended (200), not when it has begun (202).")] = False
    track: Annotated[
        str | None,
        Field(pattern=r"^[A-Za-z0-9]{1,63}$", description="The event's track, where the event is not known yet."),
    ] = None
    allow_shrink: Annotated[
        bool, Field(description="Publish even if over half of the served races or laps would go.")
    ] = False


# ---------------------------------------------------------------- events


@router.get("/events", **described(tuple[EventView, ...]))
def list_events(
    _: Reader,
    service: Asked,
    track: Slug | None = None,
    state: State | None = None,
    since: Annotated[str | None, Query(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$")] = None,
    text: Text | None = None,
    limit: Limit = 100,
    offset: Annotated[int, Query(ge=0, le=10_000_000)] = 0,
) -> Response:
    """Known events, newest first."""
    rows = service.events(track=track, state=state, since=since, text=text, limit=limit, offset=offset)
    return answer([event_view(row) for row in rows])


@router.get("/events/{event_id}", **described(EventView))
def show_event(_: Reader, service: Asked, event_id: EventId) -> Response:
    """One event: how its last attempt stands, and what is served."""
    return answer(event_view(service.event(event_id)))


@router.get("/events/{event_id}/export", **described(records.Event))
def export_event(_: Reader, service: Asked, event_id: EventId) -> Response:
    """The canonical document of what is served, byte for byte as `mre export`."""
    return Response(document.encode(service.export(event_id)), media_type="application/json")


@router.get("/events/{event_id}/runs", **described(tuple[RunView, ...]))
def list_event_runs(_: Reader, service: Asked, event_id: EventId, limit: Limit = 50) -> Response:
    """An event's runs, newest first."""
    return answer([run_view(row) for row in service.runs(event_id, limit=limit)])


@router.post(
    "/events/{event_id}/ingest", **described(Started, *REFUSALS, *UPSTREAM, status=202, also={200: IngestReport})
)
def ingest_event(_: Operator, service: Asked, request: Request, event_id: EventId, wish: IngestWish) -> Response:
    """Ingest an event; one that is not known yet needs its `track`.

    202 with the run that began; with `wait` 200 once it is published or unchanged, else the failure's envelope.
    """
    event = f"{wish.track}/{event_id}" if wish.track else event_id
    options = Options(trigger="api", allow_shrink=wish.allow_shrink)
    if not wish.track:
        service.event(event_id)  # 404 before anything begins
    return begun(request, lambda: service.ingest(event, options), wait=wish.wait, name=event_id)


def begun(request: Request, work: object, *, wait: bool, name: str) -> Response:
    """Start an ingestion in a thread of its own and answer with its run, or wait for its end."""
    service = door_of(request).service
    outcome = start(service, work, wait=wait, name=name)  # type: ignore[arg-type]
    if isinstance(outcome, int):
        return answer(Started(run_view(service.run(outcome))), 202, {"Location": f"/runs/{outcome}"})
    return answer(outcome)


# ---------------------------------------------------------------- runs


@router.get("/runs", **described(tuple[RunView, ...]))
def list_runs(_: Reader, service: Asked, limit: Limit = 50) -> Response:
    """Runs of all events, newest first."""
    return answer([run_view(row) for row in service.runs(limit=limit)])


@router.get("/runs/{run_id}", **described(RunView))
def show_run(_: Reader, service: Asked, run_id: Number) -> Response:
    """One run, under way or ended."""
    return answer(run_view(service.run(run_id)))


@router.get("/runs/{run_id}/log", **described(tuple[LogLineView, ...]))
def run_log(_: Reader, service: Asked, run_id: Number, limit: Limit = 500) -> Response:
    """The newest lines of a run's log, oldest first."""
    return answer([log_line_view(line) for line in service.log(run_id=run_id, limit=limit)])


_FOLLOWED = described(RunView)
_FOLLOWED["responses"][200] = {
    "description": "Server-sent events: `progress` and `end` with a run, `log` with a line of its log.",
    "content": {"text/event-stream": {}},
}


@router.get("/runs/{run_id}/events", **_FOLLOWED)
async def follow_run(
    _: Reader,
    request: Request,
    run_id: Number,
    last_event_id: Annotated[str, Header(pattern=r"^[0-9]{1,18}$")] = "0",
) -> Response:
    """Follow a run of any process until it ends; `Last-Event-ID` goes on after a line of its log."""
    service = door_of(request).service
    await run_in_threadpool(_look, service, run_id, 0)  # 404 while there is still a status to answer with
    followers = request.app.state.followers
    if len(followers) >= FOLLOWERS:
        raise StateError(Kind.TOO_MANY_REQUESTS, f"{FOLLOWERS} runs are being followed already.", retry_after_s=5)
    stream = _follow(service, run_id, int(last_event_id), request, followers)
    return StreamingResponse(stream, media_type="text/event-stream", headers={"Cache-Control": "no-store"})


async def _follow(
    service: Service, run_id: int, seen: int, request: Request, followers: set[object]
) -> AsyncIterator[bytes]:
    me = object()
    followers.add(me)
    last: RunView | None = None
    try:
        while not await request.is_disconnected():
            try:
                run, lines = await run_in_threadpool(_look, service, run_id, seen)
            except PipelineError as error:
                yield _event("error", error.envelope())
                return
            for line in lines:
                seen = line.id
                yield _event("log", line, seen)
            ended = run.outcome is not None and len(lines) < LINES_AT_ONCE
            if run != last:
                last = run
                yield _event("end" if ended else "progress", run)
            elif not ended:
                yield b": still here\n\n"
            if ended:
                return
            await asyncio.sleep(LOOK_EVERY_S)
    finally:
        followers.discard(me)


def _look(service: Service, run_id: int, after_id: int) -> tuple[RunView, list[LogLineView]]:
    """The run and what its log has gained. The run is read first: an ended one has no lines to come."""
    with service.store.connection_scope():
        run = run_view(service.run(run_id))
        lines = service.log(run_id=run_id, after_id=after_id, limit=LINES_AT_ONCE)
    return run, [log_line_view(line) for line in lines]


def _event(name: str, value: object, number: int | None = None) -> bytes:
    head = f"event: {name}\n" + (f"id: {number}\n" if number is not None else "")
    return head.encode() + b"data: " + msgspec.json.encode(value) + b"\n\n"
