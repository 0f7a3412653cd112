"""The log as lines of JSON, for files and for whoever collects a server's output. A subscriber of the bus.

Each line has the report's stable name as `event`, `severity`, the time, and its fields; a failure has `error.kind`. The
journal in the database is the record that nothing may miss; these lines are for the tools that watch many programs.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Callable, MutableMapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from pipeline.observe import Bus, Report

if TYPE_CHECKING:
    from structlog.typing import EventDict

FILE_NAME = "mre.jsonl"
FILE_BYTES = 10 * 1024 * 1024
FILES_KEPT = 5
UNTOLD = frozenset({"progress", "trace"})  # reports that are no lines of a log
LIBRARIES = ("mre", "apscheduler", "uvicorn")  # whose own loggers speak through here too
_LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
_TAG = re.compile(r"<(?=[A-Za-z/!?])")
_PASSWORD = re.compile(r"(?<=://)([^/\s:@]*):[^/\s@]*(?=@)")


class JsonLog:
    """Writes reports as JSON lines, to a file that several processes share and that is rotated, or to a stream.

    Nothing is imported and no file made before the first line, so that a command that only looks leaves no trace.
    """

    def __init__(self, target: Path | TextIO, *, level: str = "info") -> None:
        self._target = target
        self._level = _LEVELS[level]
        self._handler: logging.Handler | None = None
        self._logger: Any = None

    def __call__(self, report: Report) -> None:
        level = _LEVELS[report.severity]
        if report.name in UNTOLD or level < self._level:
            return
        self._open()
        facts = {"event_id": report.event_id, "run_id": report.run_id, **_fields(report)}
        self._logger.log(level, report.name, message=report.message, at=report.at, **_known(facts))

    def attach(self, bus: Bus) -> Callable[[], None]:
        """Hear a bus, until the returned function is called."""
        unsubscribe = bus.subscribe(self)

        def detach() -> None:
            unsubscribe()
            self.close()

        return detach

    def hear_libraries(self) -> None:
        """Take what Python's own loggers say too (the program's faults, the scheduler's complaints)."""
        self._open()
        assert self._handler is not None
        for name in LIBRARIES:
            logger = logging.getLogger(name)
            logger.addHandler(self._handler)
            logger.propagate = False

    def close(self) -> None:
        if self._handler is not None:
            for name in LIBRARIES:
                logging.getLogger(name).removeHandler(self._handler)
            with suppress(OSError):  # what was still to be written found no room
                self._handler.close()
            self._handler = None

    def _open(self) -> None:
        if self._handler is not None:
            return
        import structlog

        shared: list[Any] = [_head, _plain]
        handler = _file_handler(self._target) if isinstance(self._target, Path) else logging.StreamHandler(self._target)
        handler.handleError = _ignore  # type: ignore[method-assign]
        handler.setFormatter(
            structlog.stdlib.ProcessorFormatter(
                foreign_pre_chain=[structlog.stdlib.add_log_level, structlog.stdlib.add_logger_name, _foreign],
                processors=[
                    structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                    structlog.processors.format_exc_info,
                    *shared,
                    structlog.processors.JSONRenderer(ensure_ascii=False, default=str),
                ],
            )
        )
        # Apart from the tree of loggers: their levels are not ours.
        writer = logging.Logger("mre.events", logging.DEBUG)  # noqa: LOG001
        writer.addHandler(handler)
        self._handler = handler
        self._logger = structlog.wrap_logger(
            writer,
            processors=[structlog.stdlib.add_log_level, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
            wrapper_class=structlog.stdlib.BoundLogger,
            cache_logger_on_first_use=True,
        )


def _file_handler(path: Path) -> logging.Handler:
    from concurrent_log_handler import ConcurrentRotatingFileHandler

    path.parent.mkdir(parents=True, exist_ok=True)
    # Consoles, workers and commands share the file: whoever finds it full rotates it, under a lock.
    return ConcurrentRotatingFileHandler(
        str(path), mode="a", maxBytes=FILE_BYTES, backupCount=FILES_KEPT, encoding="utf-8", keep_file_open=False
    )


def _ignore(record: logging.LogRecord) -> None:
    """A log that cannot be written stops nothing, and must not write into a terminal that shows the console."""


def _fields(report: Report) -> dict[str, Any]:
    """The report's fields; what says how something failed stands together under `error`."""
    fields = {name: value for name, value in report.fields.items() if name != "event"}  # that is a line's name
    if "event" in report.fields:
        fields["event_name"] = report.fields["event"]
    if "kind" in fields and report.severity == "error":
        fields["error"] = {"kind": fields.pop("kind")}
    return fields


def _known(facts: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in facts.items() if value is not None}


def _head(_logger: Any, _method: str, line: EventDict) -> EventDict:
    """What every line begins with: when, how bad, what."""
    at = line.pop("at", None)
    level = line.pop("level", None) or "info"
    when = datetime.now(UTC) if at is None else datetime.fromtimestamp(at, UTC)
    head: dict[str, Any] = {
        "time": when.isoformat(timespec="milliseconds"),
        "severity": level,
        "event": line.pop("event", ""),
    }
    return {**head, **line}


def _foreign(_logger: Any, _method: str, line: EventDict) -> EventDict:
    """A line of a library has no stable name: what it says is the message."""
    return {**line, "event": "library_line", "message": line["event"]}


def _plain(_logger: Any, _method: str, line: EventDict) -> EventDict:
    """No markup of pages and no password of a database URL in any text."""
    return {name: _clean(value) for name, value in line.items()}


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return _PASSWORD.sub(r"\1:***", _TAG.sub("‹", value))
    if isinstance(value, MutableMapping):
        return {name: _clean(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(inner) for inner in value]
    return value


def configure_json(bus: Bus, *, folder: Path | None = None, stream: TextIO | None = None) -> Callable[[], None]:
    """JSON lines of everything on the bus: to `folder`/mre.jsonl, to a stream, or both. Returns what ends it.

    With a stream (a program without a terminal) the libraries' own loggers are heard too.
    """
    logs = [JsonLog(folder / FILE_NAME)] if folder is not None else []
    if stream is not None:
        logs.append(JsonLog(stream))
        logs[-1].hear_libraries()
    ends = [log.attach(bus) for log in logs]

    def end() -> None:
        for one in ends:
            one()

    return end


def stdout_lines(bus: Bus, folder: Path | None = None) -> Callable[[], None]:
    """As `configure_json`, on standard output: for a program that runs as a service."""
    return configure_json(bus, folder=folder, stream=sys.stdout)
