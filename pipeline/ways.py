"""Every way in, by what it would do: the one word that the global switch and the read-only mode judge by.

A service method that changes or fetches anything carries `@way_in(Way.…)`; one that carries nothing only reads. A test
holds both. Recovery is never refused by the switch: it is what the switch is turned off for.
"""

from __future__ import annotations

import getpass
from collections.abc import Callable
from enum import StrEnum
from functools import wraps
from typing import TYPE_CHECKING, Concatenate, ParamSpec, Protocol, TypeVar

from pipeline.errors import Kind, StateError

if TYPE_CHECKING:
    from pipeline.store.database import Store


class Way(StrEnum):
    """What somebody wants to do."""

    INGEST = "ingest"  # fetch an event and publish it
    CATALOGUE = "catalogue"  # read LiveRC's lists of tracks and events
    EDIT = "edit"  # change what is known or followed; nothing is fetched
    RECOVERY = "recovery"  # locks, cleanup, reset, undo, checks, the switch itself


ENABLED, DISABLED, PROTECTED = "enabled", "disabled", "protected"  # how the switch stands
REFUSED: dict[str, frozenset[Way]] = {
    ENABLED: frozenset(),
    DISABLED: frozenset({Way.INGEST, Way.CATALOGUE}),
    PROTECTED: frozenset({Way.INGEST, Way.CATALOGUE, Way.EDIT}),
}
"""How the switch stands → what is refused then."""


def operator() -> str:
    """The person at this process, for the audit."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


class _House(Protocol):
    @property
    def read_only(self) -> bool: ...
    @property
    def store(self) -> Store: ...


_P = ParamSpec("_P")
_R = TypeVar("_R")
_S = TypeVar("_S", bound=_House)


def way_in(way: Way) -> Callable[[Callable[Concatenate[_S, _P], _R]], Callable[Concatenate[_S, _P], _R]]:
    """Mark a service method as a way in: refused with READ_ONLY or DISABLED, at the call, before it does anything."""

    def mark(method: Callable[Concatenate[_S, _P], _R]) -> Callable[Concatenate[_S, _P], _R]:
        @wraps(method)
        def asked(service: _S, /, *args: _P.args, **kwargs: _P.kwargs) -> _R:
            refuse_in_read_only(service.read_only, method.__name__)
            if way is not Way.RECOVERY:
                from pipeline import control

                control.admit(service.store, way)
            return method(service, *args, **kwargs)

        asked.__dict__["way"] = way
        return asked

    return mark


def refuse_in_read_only(read_only: bool, action: str) -> None:
    """Raise StateError READ_ONLY where the program was started only to look."""
    if read_only:
        raise StateError(
            Kind.READ_ONLY, f"This program was started read-only: {action.replace('_', ' ')} is refused", action=action
        )
