"""What stands before every route: the caller's token and scope, the rate, the host name; and the service behind it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Path, Query, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from mre_console.api.access import OPERATE, READ, Caller, RateLimit, TokenFile
from pipeline.errors import Kind, StateError
from pipeline.service import Service

_bearer = HTTPBearer(auto_error=False, description="A token made with `mre tokens add`.")


@dataclass(frozen=True)
class Door:
    """What a request needs to know of the program."""

    service: Service
    tokens: TokenFile
    rate: RateLimit
    hosts: tuple[str, ...]


def door_of(request: Request) -> Door:
    door: Door = request.app.state.door
    return door


def known_host(request: Request) -> None:
    """Raises StateError FORBIDDEN for a name that this program does not go by."""
    hosts = door_of(request).hosts
    if hosts and request.url.hostname not in hosts:
        raise StateError(Kind.FORBIDDEN, f"This program does not answer to the name {request.url.hostname!r}.")


async def reader(
    request: Request, sent: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)] = None
) -> Caller:
    """Whoever may look. Raises StateError UNAUTHENTICATED, TOO_MANY_REQUESTS."""
    door = door_of(request)
    if not door.tokens.tokens():
        caller = Caller("loopback", OPERATE)
    else:
        found = None if sent is None else door.tokens.caller(sent.credentials)
        if found is None:
            raise StateError(Kind.UNAUTHENTICATED, "A token is needed: Authorization: Bearer …")
        caller = found
    door.rate.take(caller.name)
    return caller


async def operator(request: Request, caller: Annotated[Caller, Depends(reader)]) -> Caller:
    """Whoever may act. Raises StateError FORBIDDEN, UNSUPPORTED_MEDIA.

    That a body says it is JSON keeps a web page from posting here: a browser asks before it sends that elsewhere.
    """
    if caller.scope != OPERATE:
        raise StateError(Kind.FORBIDDEN, f"The token {caller.name} may only {READ}; this needs {OPERATE}.")
    sent = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if sent != "application/json":
        raise StateError(Kind.UNSUPPORTED_MEDIA, "Send application/json, if only {}.")
    return caller


def asked(request: Request) -> Iterator[Service]:
    """The service for one request: its database connection is given back afterwards."""
    service = door_of(request).service
    with service.store.connection_scope():
        yield service


Reader = Annotated[Caller, Depends(reader)]
Operator = Annotated[Caller, Depends(operator)]
Asked = Annotated[Service, Depends(asked)]

EventId = Annotated[str, Path(pattern=r"^[1-9][0-9]{0,17}$", description="LiveRC's number of the event.")]
Number = Annotated[int, Path(ge=1, le=2**53 - 1)]
Limit = Annotated[int, Query(ge=1, le=500, description="How many at most.")]
Text = Annotated[str, Query(max_length=100, pattern=r"^[^\x00-\x1f]+$")]
Slug = Annotated[str, Query(pattern=r"^[A-Za-z0-9]{1,63}$", description="A track, as in its address.")]


def who(caller: Caller) -> str:
    """How the audit names a caller."""
    return f"api:{caller.name}"
