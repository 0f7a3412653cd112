"""Where a run's time went: spans with a parent each, collected while it runs and kept beside its record.

The same spans draw the timeline in the console and leave for a tracing backend (`pipeline.tracing`). A span has an
error exactly where the run has an envelope: what a run got over (an entry list that does not exist) is an attribute.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
from msgspec import Struct

from pipeline.errors import Kind, PipelineError
from pipeline.observe import Report

ROOT = "event_ingestion"
KEPT = 1_000  # spans of one run; an event of 450 races has about that many, and a larger one loses its last pages


class Span(Struct, frozen=True, omit_defaults=True):
    """One stretch of work. Times are nanoseconds since the epoch, spaced by a clock that never jumps."""

    number: int  # 1 is the root; in the order in which they began
    name: str  # event_ingestion, event_page_fetch, race_page_fetch, lap_extraction, normalise, db_persistence …
    parent: int | None
    began_ns: int
    ended_ns: int
    error: str | None = None  # the kind of the envelope
    attributes: dict[str, Any] = {}

    @property
    def duration_ms(self) -> float:
        return (self.ended_ns - self.began_ns) / 1e6


class _Open:
    """A span under way, or one that ended."""

    def __init__(self, number: int, name: str, parent: int | None, began_ns: int, attributes: dict[str, Any]) -> None:
        self.number = number
        self.name = name
        self.parent = parent
        self.began_ns = began_ns
        self.ended_ns: int | None = None
        self.error: str | None = None
        self.attributes = attributes


class Timeline:
    """The spans of one run. Belongs to the run's thread."""

    def __init__(self, **attributes: Any) -> None:
        self._epoch_ns = time.time_ns() - time.monotonic_ns()
        self._spans = [_Open(1, ROOT, None, self._now(), attributes)]
        self._open = [1]
        self.dropped = 0

    def _now(self) -> int:
        return self._epoch_ns + time.monotonic_ns()

    @contextmanager
    def span(self, name: str, **attributes: Any) -> Iterator[dict[str, Any]]:
        """Time a piece of work inside the one under way; yields its attributes, to which it may add.

        An exception ends it with the kind of that error, and goes on.
        """
        one = _Open(len(self._spans) + 1, name, self._open[-1], self._now(), _known(attributes))
        if one.number <= KEPT:
            self._spans.append(one)
            self._open.append(one.number)
        else:
            self.dropped += 1
        try:
            yield one.attributes
        except BaseException as error:
            one.error = str(error.kind if isinstance(error, PipelineError) else Kind.INTERNAL)
            raise
        finally:
            one.ended_ns = self._now()
            if one.number <= KEPT:
                self._open.pop()

    def spans(self, error: str | None, **attributes: Any) -> tuple[Span, ...]:
        """Every span as if all that is under way ended now; `error` is the kind of the run's envelope."""
        now = self._now()
        self._spans[0].attributes.update(_known(attributes))
        if self.dropped:
            self._spans[0].attributes["spans_dropped"] = self.dropped
        self._spans[0].error = error
        return tuple(_closed(one, now, failed=error is not None) for one in self._spans)


def _closed(one: _Open, now: int, *, failed: bool) -> Span:
    attributes = one.attributes
    if one.error is not None and not failed:
        attributes = {**attributes, "tolerated": one.error}
    return Span(
        one.number,
        one.name,
        one.parent,
        one.began_ns,
        now if one.ended_ns is None else one.ended_ns,
        one.error if failed else None,
        dict(attributes),
    )


def _known(attributes: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in attributes.items() if value is not None}


def trace_report(spans: tuple[Span, ...]) -> Report:
    """All spans of a run that ended, for subscribers; it is no line of any log."""
    return Report(
        "trace", f"{len(spans)} spans", "debug", fields={"spans": [msgspec.to_builtins(span) for span in spans]}
    )


def spans_of(report: Report) -> tuple[Span, ...]:
    """The spans that `trace_report` carried."""
    return msgspec.convert(report.fields["spans"], tuple[Span, ...])


def encode(spans: tuple[Span, ...]) -> str:
    """As the database keeps them."""
    return msgspec.json.encode(spans).decode()


def decode(text: str) -> tuple[Span, ...]:
    return msgspec.json.decode(text, type=tuple[Span, ...])
