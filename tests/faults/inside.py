"""What runs inside a launched process: the program's own `main`, after what the test wants to go wrong was prepared.

Preparations are called before the program starts. They live here, apart from the tests, because the process that is
forked must not load a test framework.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any


def run_mre(arguments: list[str], stdout: str, stderr: str, prepare: Callable[[], None] | None) -> None:
    """`mre ARGUMENTS` with its output in files; ends the process with the program's exit code."""
    for descriptor, path in ((1, stdout), (2, stderr)):
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, descriptor)
        os.close(file)
    sys.argv = ["mre", *arguments]
    if prepare is not None:
        prepare()
    from mre_console.cli.main import main

    main()


# ---------------------------------------------------------------- dying at a chosen statement


class KillPoints:
    """Counts the places where the process could die, and dies at the one that was chosen.

    A place is right before any statement goes to the database, in the midst of the rows of a bulk insert, right before
    and after a file of the page archive is written, and the end of the counting. `chosen` 0 only counts: the names of
    all places are written to `listing`, as JSON.
    """

    def __init__(self, chosen: int, listing: Path, *, only_publish: bool) -> None:
        self._chosen, self._listing, self._only_publish = chosen, listing, only_publish
        self._names: list[str] = []
        self._lock: Any = None  # made later: a lock cannot be sent to another process

    def __call__(self) -> None:
        from pipeline import runs

        self._lock = threading.Lock()
        if self._only_publish:
            _replace(runs.Run, "publish", self._around_publish)
        else:
            self._watch()
            _replace(sys, "exit", self._around_exit)

    def _around_publish(self, original: Any, *arguments: Any, **options: Any) -> Any:
        self._watch()
        outcome = original(*arguments, **options)
        self._end()
        return outcome

    def _around_exit(self, original: Any, code: int) -> None:
        self._end()
        original(code)

    def _watch(self) -> None:
        import peewee

        from pipeline.store import archive

        _replace(peewee.Database, "cursor", lambda cursor, *arguments: WatchedCursor(cursor(*arguments), self.reach))
        _replace(archive, "_write_file", self._around_file)

    def _around_file(self, original: Any, path: Path, content: bytes) -> None:
        self.reach(f"a file of {path.parent.name} not written")
        original(path, content)
        self.reach(f"a file of {path.parent.name} written")

    def reach(self, name: str) -> None:
        """This is a place to die at."""
        with self._lock:
            self._names.append(name)
            if len(self._names) == self._chosen:
                os.kill(os.getpid(), signal.SIGKILL)

    def _end(self) -> None:
        self.reach("the end")
        self._listing.write_text(json.dumps(self._names), encoding="utf-8")


class WatchedCursor:
    """A driver's cursor that says what it is about to do."""

    def __init__(self, cursor: Any, reach: Callable[[str], None]) -> None:
        self._cursor, self._reach = cursor, reach

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cursor, name)

    def execute(self, sql: str, *arguments: Any, **options: Any) -> Any:
        self._reach(sql)
        return self._cursor.execute(sql, *arguments, **options)

    def executemany(self, sql: str, rows: Iterable[Any]) -> Any:
        """SQLite's bulk insert."""

        def watched() -> Iterator[Any]:
            for number, row in enumerate(rows):
                if number == 1:
                    self._reach(f"rows of {sql}")
                yield row

        self._reach(sql)
        return self._cursor.executemany(sql, watched())

    @contextmanager
    def copy(self, sql: str) -> Iterator[Any]:
        """PostgreSQL's bulk insert."""
        self._reach(sql)
        with self._cursor.copy(sql) as copy:
            write_row, rows = copy.write_row, count()

            def watched(row: Any) -> None:
                if next(rows) == 1:
                    self._reach(f"rows of {sql}")
                write_row(row)

            copy.write_row = watched
            yield copy


def _replace(owner: Any, name: str, replacement: Callable[..., Any]) -> None:
    """Put `replacement(original, *arguments)` in the place of a function."""
    original = getattr(owner, name)

    def replaced(*arguments: Any, **options: Any) -> Any:
        return replacement(original, *arguments, **options)

    setattr(owner, name, replaced)


# ---------------------------------------------------------------- other preparations


def without_fence() -> None:
    """Take out what makes a woken holder harmless."""
    from pipeline.store import journal, leases, runs

    for module in (journal, leases, runs):
        module.lock_fence = lambda store, fence: None  # type: ignore[attr-defined]


def torn_publish() -> None:
    """Commit the rows before they are sealed, and die: what publishing in one transaction rules out."""
    from pipeline.store import publish

    def torn(original: Any, store: Any, *arguments: Any) -> None:
        original(store, *arguments)
        store.db.execute_sql("COMMIT")
        os.kill(os.getpid(), signal.SIGKILL)

    _replace(publish, "insert_rows", torn)


def torn_action() -> None:
    """Commit an action's removed rows before the rest of it, and die: what one transaction rules out."""
    from pipeline.store import partial_rows

    def torn(original: Any, store: Any, rows: Any) -> Any:
        gone = original(store, rows)
        if any(gone.values()):
            store.db.execute_sql("COMMIT")
            os.kill(os.getpid(), signal.SIGKILL)
        return gone

    _replace(partial_rows, "remove", torn)


class Impatient:
    """Wait less long than a person would for a database that somebody else holds."""

    def __init__(self, busy_timeout_s: float) -> None:
        self._busy_timeout_s = busy_timeout_s

    def __call__(self) -> None:
        from pipeline.store.database import Store

        _replace(Store, "open", lambda opened, url, **how: opened(url, busy_timeout_s=self._busy_timeout_s, **how))


class SmallFiles:
    """No file may grow beyond so many bytes: what a full disk does to one that is being written."""

    def __init__(self, limit: int) -> None:
        self._limit = limit

    def __call__(self) -> None:
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (self._limit, self._limit))


# ---------------------------------------------------------------- dying at a chosen line


class DieAtLine:
    """Dies right before the `chosen`-th line of the pipeline that a function reaches for the first time.

    The last place is after its return. `chosen` 0 only counts: the lines are written to `listing`, as JSON.
    """

    def __init__(self, module: str, function: str, chosen: int, listing: Path) -> None:
        self._module, self._function, self._chosen, self._listing = module, function, chosen, listing
        self._lines: dict[str, None] = {}

    def __call__(self) -> None:
        from importlib import import_module

        _replace(import_module(self._module), self._function, self._traced)

    def _traced(self, original: Any, *arguments: Any, **options: Any) -> Any:
        sys.settrace(self._enter)
        try:
            outcome = original(*arguments, **options)
        finally:
            sys.settrace(None)
        self._reach("the end")
        if not self._chosen:
            self._listing.write_text(json.dumps(list(self._lines)), encoding="utf-8")
        return outcome

    def _enter(self, frame: Any, event: str, argument: object) -> Any:
        return self._at if "/pipeline/" in frame.f_code.co_filename else None

    def _at(self, frame: Any, event: str, argument: object) -> Any:
        if event == "line":
            self._reach(f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}")
        return self._at

    def _reach(self, line: str) -> None:
        if line in self._lines:
            return
        self._lines[line] = None
        if len(self._lines) == self._chosen:
            os.kill(os.getpid(), signal.SIGKILL)
