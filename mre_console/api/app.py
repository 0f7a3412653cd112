"""The app: routes, who may use them, and every failure as the one envelope.

What a request may cost is bounded here: the size of its body, how many a caller sends, how much is under way at once.
"""

from __future__ import annotations

import json
import logging
from typing import Any

from fastapi import Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mre_console.api import answers, events, looking, recovery
from mre_console.api.access import RateLimit, TokenFile
from mre_console.api.door import Door, known_host, reader
from pipeline.errors import Kind, PipelineError, StateError
from pipeline.holders import program_version
from pipeline.service import Service

BODY_BYTES = 64 * 1024
PARTS = (looking, events, recovery)
DESCRIPTION = """
LiveRC race results, ingested: what is known, how it stands, and the actions that console and command line have too.

Every error body is one envelope: `code`, `stage`, `message` and `details` with a machine-readable `kind`, whether a
retry may help, and what to do. Send a token as `Authorization: Bearer …`: scope `read` looks, scope `operate` acts. On
a loopback address without any token made, none is asked for.
"""

logger = logging.getLogger("mre.api")


def create_app(
    service: Service, tokens: TokenFile, *, rate: RateLimit | None = None, hosts: tuple[str, ...] = ()
) -> FastAPI:
    """The API over a service, which stays the caller's to close.

    `hosts` are the names by which it may be asked (none: any): without tokens a browser must not be talked into asking
    a loopback address under a name of somebody else's.
    """
    app = FastAPI(
        title="MRE",
        version=program_version(),
        description=DESCRIPTION,
        docs_url=None,  # its page loads scripts from elsewhere
        redoc_url=None,
        openapi_url=None,
        dependencies=[Depends(known_host)],
    )
    app.state.door = Door(service, tokens, rate or RateLimit(), hosts)
    app.state.metrics = service.metrics()
    app.state.followers = set()
    for part in PARTS:
        app.include_router(part.router)
    app.add_api_route("/openapi.json", _document, include_in_schema=False, dependencies=[Depends(reader)])
    app.add_middleware(_BodyLimit)
    app.add_exception_handler(PipelineError, _failed)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _fault)
    app.openapi = lambda: _described(app)  # type: ignore[method-assign]
    return app


def _document(request: Request) -> Response:
    return Response(json.dumps(request.app.openapi()), media_type=answers.JSON)


def _described(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema is None:
        document = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        app.openapi_schema = answers.complete(document)
    return app.openapi_schema


# ---------------------------------------------------------------- failures


def _failed(_request: Request, error: Exception) -> Response:
    assert isinstance(error, PipelineError)
    return answers.error_answer(error)


def _invalid(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"] if part not in ("path", "query", "body"))
    problems = [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()[:10]]
    return answers.error_answer(
        StateError(
            Kind.USAGE,
            f"{where or 'the body'}: {first['msg']}",
            problems=problems,
            remedy="See /openapi.json for what is accepted.",
        )
    )


def _http(request: Request, error: Exception) -> Response:
    """What the framework refuses by itself: an address or a method that is none."""
    assert isinstance(error, HTTPException)
    kinds = {404: Kind.UNKNOWN, 405: Kind.METHOD_NOT_ALLOWED, 400: Kind.USAGE}
    kind = kinds.get(error.status_code, Kind.INTERNAL)
    message = "There is nothing at this address." if kind is Kind.UNKNOWN else str(error.detail)
    headers = {"Allow": ", ".join(_methods(request))} if kind is Kind.METHOD_NOT_ALLOWED else {}
    return answers.error_answer(StateError(kind, message), headers)


def _methods(request: Request) -> list[str]:
    """What the address takes, over all routes that have it."""
    found: set[str] = set()
    for part in PARTS:
        for route in part.router.routes:
            if isinstance(route, APIRoute) and route.matches(request.scope)[0] is not Match.NONE:
                found |= route.methods or set()
    return sorted(found)


def _fault(_request: Request, error: Exception) -> Response:
    logger.error("the API failed", exc_info=error)
    return answers.error_answer(
        PipelineError(Kind.INTERNAL, f"The program failed unexpectedly: {type(error).__name__}.")
    )


# ---------------------------------------------------------------- bodies


class _BodyLimit:
    """Refuses a body that is too large before all of it is read."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        declared = headers.get(b"content-length", b"0")
        error = None
        if not declared.isdigit() or int(declared) > BODY_BYTES:
            error = _too_large()
        body = b"" if error is not None else await _whole_body(receive)
        if body is None:
            error = _too_large()
        if error is not None:
            await answers.error_answer(error)(scope, receive, send)
            return
        told = False

        async def replayed() -> Message:
            nonlocal told
            if told:
                return await receive()
            told = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self._app(scope, replayed, send)


async def _whole_body(receive: Receive) -> bytes | None:
    """The body; None where it is too large. What FastAPI reads itself it would refuse as something else."""
    body = b""
    while True:
        message = await receive()
        body += bytes(message.get("body", b""))
        if len(body) > BODY_BYTES:
            return None
        if not message.get("more_body", False):
            return body


def _too_large() -> StateError:
    return StateError(Kind.BODY_TOO_LARGE, f"A request's body may have {BODY_BYTES:,} bytes.")
