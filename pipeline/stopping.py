"""How a run is asked to stop, and why.

One `StopSignal` per run: the first reason wins, the event wakes every wait, and `check()` between pages turns it into
the error that ends the run. A `StopGroup` stops all runs of a process at once (Ctrl-C, SIGTERM, quitting the console).
"""

from __future__ import annotations

import threading

from pipeline.errors import Kind, PipelineError, StateError


class StopSignal:
    """A one-way switch with a reason. Safe to use from any thread and from a signal handler."""

    def __init__(self) -> None:
        self.event = threading.Event()
        self._reason: tuple[Kind, str] | None = None

    def trip(self, kind: Kind, message: str) -> None:
        """Ask for the stop; later reasons are ignored."""
        if self._reason is None:
            self._reason = (kind, message)
        self.event.set()

    @property
    def tripped(self) -> bool:
        return self.event.is_set()

    def error(self) -> PipelineError:
        """The error that says why the run stops."""
        kind, message = self._reason or (Kind.INTERRUPTED, "the run was stopped")
        return StateError(kind, message)

    def check(self) -> None:
        """Raise `error()` if the stop was asked for."""
        if self.tripped:
            raise self.error()


class StopGroup:
    """The stop signals of all runs under way in this process."""

    def __init__(self) -> None:
        self._signals: set[StopSignal] = set()
        self._lock = threading.RLock()  # a signal handler may interrupt its own thread inside `add`
        self._closed: tuple[Kind, str] | None = None

    def add(self, signal: StopSignal) -> None:
        """Join a run; it is stopped at once if the group was stopped before."""
        with self._lock:
            self._signals.add(signal)
            if self._closed is not None:
                signal.trip(*self._closed)

    def discard(self, signal: StopSignal) -> None:
        with self._lock:
            self._signals.discard(signal)

    def __len__(self) -> int:
        with self._lock:
            return len(self._signals)

    def stop_all(self, message: str) -> None:
        """Ask every run to end as interrupted, and every run that joins later too."""
        with self._lock:
            self._closed = (Kind.INTERRUPTED, message)
            for signal in tuple(self._signals):
                signal.trip(Kind.INTERRUPTED, message)
