"""Answers and their description: structs as JSON, errors as the one envelope, and both in the OpenAPI document.

FastAPI describes what it validates itself (parameters and bodies); what the service's structs look like comes from the
structs, so that a field is written down once.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec
from fastapi import Response

from pipeline.errors import Envelope, Kind, PipelineError

JSON = "application/json"
_ENCODER = msgspec.json.Encoder(decimal_format="number")
_MEANINGS = {
    401: "No token, or none that is known.",
    403: "The token's scope does not allow this, or the program is read-only.",
    404: "There is no such thing.",
    409: "The state of things is against it: a held lock (with what is known of its holder), a stale plan.",
    413: "The request's body is too large.",
    415: "The request's body is not JSON.",
    422: "The request makes no sense, or the event's pages do not make a valid document.",
    423: "Ingestion is disabled, the gate is closed, the page type is blocked, or the event is held.",
    429: "Too many requests, or too much under way; `Retry-After` says when.",
    500: "A fault of the program or of its database.",
    502: "LiveRC could not be asked, or answered with what cannot be read.",
    503: "The database or LiveRC does not answer at the moment.",
    504: "LiveRC is too slow at the moment.",
    507: "No room on the disk.",
}
EVERYWHERE = (401, 403, 404, 413, 422, 429, 500, 503)
REFUSALS = (409, 415, 423)
UPSTREAM = (502, 504, 507)


class Either(NamedTuple):
    """One of two shapes, told apart by what was asked."""

    one: Any
    other: Any


_described: dict[str, Any] = {"Envelope": Envelope}  # by a name that stands for it until the document is complete


def answer(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A struct, or a tuple of them, as JSON."""
    return Response(_ENCODER.encode(value), status, headers, JSON)


def error_answer(error: PipelineError, headers: dict[str, str] | None = None) -> Response:
    """A failure as its envelope, with the status that its kind has."""
    extra = {"WWW-Authenticate": "Bearer"} if error.kind is Kind.UNAUTHENTICATED else {}
    if error.kind is Kind.TOO_MANY_REQUESTS:
        extra["Retry-After"] = str(error.details.get("retry_after_s", 1))
    return answer(error.envelope(), error.rule.http_status, {**extra, **(headers or {})})


def described(returns: Any, *errors: int, status: int = 200, also: dict[int, Any] | None = None) -> dict[str, Any]:
    """What a route's decorator needs to be complete in the OpenAPI document: `**described(RunView)`.

    `returns` is the struct answered with `status`; `errors` are statuses beyond those that every route may answer.
    """
    answers = {status: returns, **(also or {})}
    responses: dict[int | str, dict[str, Any]] = {
        code: {"description": "As asked.", "content": {JSON: {"schema": _mark(shape)}}}
        for code, shape in answers.items()
    }
    for code in sorted({*EVERYWHERE, *errors}):
        responses.setdefault(
            code, {"description": _MEANINGS[code], "content": {JSON: {"schema": {"$struct": "Envelope"}}}}
        )
    return {"responses": responses, "status_code": status, "response_model": None}


def _mark(shape: Any) -> dict[str, Any]:
    if isinstance(shape, Either):
        return {"anyOf": [_mark(shape.one), _mark(shape.other)]}
    _described[str(shape)] = shape
    return {"$struct": str(shape)}


def complete(document: dict[str, Any]) -> dict[str, Any]:
    """FastAPI's document with the structs' schemas in place of their marks."""
    schemas, components = msgspec.json.schema_components(
        _described.values(), ref_template="#/components/schemas/{name}"
    )
    by_shape = dict(zip(_described, schemas, strict=True))
    document.setdefault("components", {}).setdefault("schemas", {}).update(_numbers(components))
    # FastAPI adds its own description of a refused parameter; here that is an envelope like any other.
    for name in ("HTTPValidationError", "ValidationError"):
        document["components"]["schemas"].pop(name, None)
    placed: dict[str, Any] = _placed(document, by_shape)
    return placed


def _placed(node: Any, by_shape: dict[str, dict[str, Any]]) -> Any:
    if isinstance(node, dict):
        if "$struct" in node:
            return _numbers(by_shape[node["$struct"]])
        return {key: _placed(value, by_shape) for key, value in node.items()}
    if isinstance(node, list):
        return [_placed(value, by_shape) for value in node]
    return node


def _numbers(node: Any) -> Any:
    """Decimals are written as JSON numbers here."""
    if isinstance(node, dict):
        if node.get("format") == "decimal":
            return {"type": "number"}
        return {key: _numbers(value) for key, value in node.items()}
    return [_numbers(value) for value in node] if isinstance(node, list) else node
