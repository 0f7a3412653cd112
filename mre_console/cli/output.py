"""How the command line speaks: data on stdout, everything said to a person on stderr, failures in one shape.

Commands raise `PipelineError`; `guard` turns that, a usage error, Ctrl-C or a fault of the program into an exit code
from `errors.TABLE` and either one JSON line (with `--json`) or a block that says what happened, where, and what to do.
"""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

BROKEN_PIPE_EXIT_CODE = 141  # what a shell reports of a program whose reader went away
LOG_NAME = "mre.log"
LISTED = 10  # how many findings of a list a failure shows; with --json all of them are there
_HEADINGS = {"INTERNAL": "internal error", "INTERRUPTED": "stopped"}
_SAID_ELSEWHERE = ("kind", "retryable", "remedy")  # details that are shown apart from the list of facts


# ---------------------------------------------------------------- data on stdout


def print_json(value: Any) -> None:
    """One value as one line of JSON on stdout, flushed. Takes structs, dataclasses, dicts, decimals (as numbers)."""
    import msgspec

    with _answering():
        sys.stdout.write(msgspec.json.Encoder(decimal_format="number").encode(value).decode() + "\n")
        sys.stdout.flush()


def print_text(text: str) -> None:
    """A line of result for a person on stdout."""
    with _answering():
        sys.stdout.write(text + "\n")


def print_bytes(data: bytes) -> None:
    """A result exactly as it is, on stdout, flushed."""
    with _answering():
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()


@contextlib.contextmanager
def _answering() -> Iterator[None]:
    """Raise StateError OUTPUT_LOST where stdout takes nothing more, a full disk for instance."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        from pipeline.errors import Kind, StateError

        _drop_stdout()
        raise StateError(Kind.OUTPUT_LOST, f"the answer could not be written to stdout: {error.strerror}") from error


def _drop_stdout() -> None:
    """Python would complain once more while it flushes at exit: give it somewhere to write."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def table(rows: Sequence[Sequence[object]], headers: Sequence[str]) -> str:
    """Aligned plain text, one line a row; numbers stand to the right, `None` is shown as a dash."""
    cells = [[_cell(value) for value in row] for row in rows]
    numeric = [all(isinstance(row[i], int | float | None) for row in rows) and bool(rows) for i in range(len(headers))]
    widths = [max(map(_width, column)) for column in zip(headers, *cells, strict=True)]
    lines = [headers, ["-" * width for width in widths], *cells]
    return "\n".join(_line(line, widths, numeric) for line in lines)


def print_table(rows: Sequence[Sequence[object]], headers: Sequence[str], *, empty: str) -> None:
    """The table on stdout, or the sentence `empty` on stderr where there are no rows."""
    if rows:
        print_text(table(rows, headers))
    else:
        narrate(empty)


def _cell(value: object) -> str:
    return "-" if value is None or value == "" else one_line(str(value))


def one_line(text: str) -> str:
    """Text from outside, made harmless for a terminal: no line breaks, no control characters."""
    return "".join(c if c.isprintable() else " " for c in text)


def _width(text: str) -> int:
    """Columns that a terminal uses for `text`: wide East Asian characters take two, combining marks none."""
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def _line(cells: Sequence[str], widths: Sequence[int], numeric: Sequence[bool]) -> str:
    padded = []
    for cell, width, right in zip(cells, widths, numeric, strict=True):
        blank = " " * (width - _width(cell))
        padded.append(blank + cell if right else cell + blank)
    return "  ".join(padded).rstrip()


# ---------------------------------------------------------------- narration on stderr


def narrate(text: str) -> None:
    """Say something to the person at the terminal."""
    with _answering():
        sys.stdout.flush()  # so that the two streams stay in order on a terminal
    print(text, file=sys.stderr, flush=True)


class Progress:
    """One line on stderr that is rewritten in place, only where stderr is a terminal: `fetch  12/33 ███░░░ note`."""

    WIDTH = 24

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._live = self._stream.isatty()
        self._shown = False

    def show(self, label: str, done: int, total: int | None, note: str = "") -> None:
        """Redraw. `total` is None while it is not known."""
        if not self._live:
            return
        count = f"{done}/{total}" if total else str(done)
        filled = self.WIDTH * min(done, total) // total if total else 0
        bar = "█" * filled + "░" * (self.WIDTH - filled) if total else ""
        text = " ".join(part for part in (f"{label:<9}", f"{count:>9}", bar, one_line(note)) if part)
        columns = os.get_terminal_size(self._stream.fileno()).columns or 80
        self._stream.write("\r\x1b[K" + text[: columns - 1])
        self._stream.flush()
        self._shown = True

    def clear(self) -> None:
        """Remove the line, so that what is said next starts on a clean one."""
        if self._shown:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
            self._shown = False

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self.clear()


# ---------------------------------------------------------------- failures


def report(error: Exception, *, as_json: bool) -> int:
    """Show a PipelineError (any other exception becomes INTERNAL) and return the exit code that belongs to it."""
    from pipeline.errors import Kind, PipelineError

    known = error if isinstance(error, PipelineError) else PipelineError(Kind.INTERNAL, _summary(error))
    if as_json and known.kind is not Kind.OUTPUT_LOST:
        with contextlib.suppress(PipelineError):  # stdout takes nothing: then a person is told
            print_json(known.envelope())
            return known.rule.exit_code
    try:
        narrate(failure_text(known))
    except PipelineError:  # what was said before did not find its way to stdout; from now on nothing tries to
        narrate(failure_text(known))
    return known.rule.exit_code


def _summary(error: Exception) -> str:
    return f"The program failed unexpectedly: {type(error).__name__}: {one_line(str(error))[:300]}"


def failure_text(error: Any) -> str:
    """A PipelineError as a block for a person: what happened, where, what to do."""
    return envelope_text(error.envelope())


def envelope_text(envelope: Any) -> str:
    """As `failure_text`, of an `errors.Envelope`: a failure that was recorded earlier."""
    kind = envelope.details["kind"]
    heading = _HEADINGS.get(kind) or ("refused" if envelope.stage == "state" else f"{envelope.stage} failed")
    lines = [f"{heading} ({kind}): {one_line(envelope.message)}"]
    facts = {key: value for key, value in envelope.details.items() if key not in _SAID_ELSEWHERE}
    for key, value in facts.items():
        lines += _fact_lines(key.replace("_", " "), value)
    lines.append(f"  what to do: {envelope.details['remedy']}")
    return "\n".join(lines)


def _fact_lines(name: str, value: object) -> list[str]:
    """One line for a plain fact, a line each for the first of many findings."""
    if not isinstance(value, list | tuple):
        return [f"  {name}: {one_line(str(value))}"]
    shown = [item.get("message", item) if isinstance(item, dict) else item for item in value[:LISTED]]
    more = [f"    … and {len(value) - LISTED} more"] if len(value) > LISTED else []
    return [f"  {name}:", *(f"    - {one_line(str(item))}" for item in shown), *more]


@contextlib.contextmanager
def guard(*, as_json: bool, debug: bool, log_folder: Callable[[], Path | None]) -> Iterator[None]:
    """Run a command's body; any failure leaves as SystemExit with the right code, already shown.

    A fault of the program leaves its traceback in `log_folder()/mre.log` (on stderr too with `debug`), never in the
    message. `log_folder` is only asked when it is needed.
    """
    from pipeline.errors import Kind, PipelineError, StateError

    try:
        yield
        with _answering():
            sys.stdout.flush()
    except PipelineError as error:
        if debug:
            traceback.print_exc()
        raise SystemExit(report(error, as_json=as_json)) from None
    except KeyboardInterrupt:
        raise SystemExit(report(StateError(Kind.INTERRUPTED, "Stopped on request."), as_json=as_json)) from None
    except BrokenPipeError:
        _drop_stdout()  # nobody reads any more
        raise SystemExit(BROKEN_PIPE_EXIT_CODE) from None
    except Exception as error:  # noqa: BLE001 - the last line of defence: a person must never see a bare traceback
        kept = _keep_traceback(error, log_folder)
        if debug:
            traceback.print_exc()
        fault = PipelineError(Kind.INTERNAL, _summary(error), log=str(kept) if kept else None)
        raise SystemExit(report(fault, as_json=as_json)) from None


def _keep_traceback(error: Exception, log_folder: Callable[[], Path | None]) -> Path | None:
    """Append the traceback to the log file; None where that is impossible (a full disk, no permission)."""
    from pipeline.errors import PipelineError

    try:
        folder = log_folder()
        if folder is None:
            return None
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / LOG_NAME).open("a", encoding="utf-8") as stream:
            stream.write(f"{datetime.now(UTC).isoformat(timespec='seconds')} {' '.join(sys.argv[1:2])}\n")
            traceback.print_exception(error, file=stream)
        return folder / LOG_NAME
    except (OSError, PipelineError):
        return None
