"""What runs inside a launched process: the program's own `main`, after what the test wants to go wrong was prepared.

Preparations are called before the program starts. They live here, apart from the tests, because the process that is
forked must not load a test framework.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import reduce
from importlib import import_module
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


# ---------------------------------------------------------------- dying at a chosen place


class Places:
    """Counts the places that a process comes by; at the one that was chosen it dies, or waits at a `gate`.

    Args:
        chosen: the number of the place, from 1; 0 only counts and writes the names of all to `listing`, as JSON.
        within: `module:function` of what is watched, each call anew; nothing: the whole program, until it exits. The
            last place of a call is after its return.
        gate: a FIFO; the process waits there until somebody has opened it for writing, and closed it.
    """

    def __init__(self, chosen: int, listing: Path, *within: str, gate: Path | None = None) -> None:
        self._chosen, self._listing, self._within, self._gate = chosen, listing, within, gate
        self._names: list[str] = []
        self._calls = 0
        self._lock: Any = None  # made later: a lock cannot be sent to another process

    def __call__(self) -> None:
        self._lock = threading.Lock()
        for place in self._within:
            module, _, path = place.partition(":")
            *owners, name = path.split(".")
            _replace(reduce(getattr, owners, import_module(module)), name, self._around)
        if not self._within:
            self.begin()
            _replace(sys, "exit", self._around_exit)

    def begin(self) -> None:
        """Watch from here on."""
        raise NotImplementedError

    def end(self) -> None:
        """No more."""

    def reach(self, name: str) -> None:
        """This is a place."""
        with self._lock:
            self._names.append(name)
            if len(self._names) != self._chosen:
                return
            if self._gate is None:
                os.kill(os.getpid(), signal.SIGKILL)
        assert self._gate is not None
        self._gate.read_bytes()

    def _around(self, original: Any, *arguments: Any, **options: Any) -> Any:
        self._calls += 1
        self.begin()
        try:
            outcome = original(*arguments, **options)
        finally:
            self.end()
        self._last_place()
        return outcome

    def _around_exit(self, original: Any, code: int) -> None:
        self.end()
        self._last_place()
        original(code)

    def _last_place(self) -> None:
        self.reach("the end")
        if not self._chosen:
            self._listing.write_text(json.dumps(self._names), encoding="utf-8")


class Statements(Places):
    """Right before any statement goes to the database, in the midst of the rows of a bulk insert, and right before and
    after a file of the page archive is written. Where a function is watched, only what its own thread does counts."""

    _watched: int | None = 0  # 0: nothing yet; None: every thread

    def begin(self) -> None:
        import peewee

        from pipeline.store import archive

        if self._watched == 0:
            _replace(
                peewee.Database, "cursor", lambda cursor, *arguments: WatchedCursor(cursor(*arguments), self.pass_by)
            )
            _replace(archive, "_write_file", self._around_file)
        self._watched = threading.get_ident() if self._within else None

    def end(self) -> None:
        self._watched = -1

    def pass_by(self, name: str) -> None:
        if self._watched in (None, threading.get_ident()):
            self.reach(name)

    def _around_file(self, original: Any, path: Path, content: bytes) -> None:
        self.pass_by(f"a file of {path.parent.name} not written")
        original(path, content)
        self.pass_by(f"a file of {path.parent.name} written")


# Pure rooms: whoever dies there has changed nothing since the line before.
PURE = re.compile(
    r"/pipeline/(liverc/|store/translate|document|validate|violations|race_checks|lap_statistics|replay|fixtures|check_doc)"
)


class Lines(Places):
    """Right before each line of the pipeline that a call reaches for the first time; pure rooms are left out."""

    def begin(self) -> None:
        self._seen: set[str] = set()
        sys.settrace(self._enter)

    def end(self) -> None:
        sys.settrace(None)

    def _enter(self, frame: Any, event: str, argument: object) -> Any:
        path = frame.f_code.co_filename
        return self._at if "/pipeline/" in path and not PURE.search(path) else None

    def _at(self, frame: Any, event: str, argument: object) -> Any:
        if event == "line":
            line = f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"
            if line not in self._seen:
                self._seen.add(line)
                self.reach(line)
        return self._at


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


# ---------------------------------------------------------------- being traced


class Halted:
    """Stop, until somebody has attached a tracer and lets the process go on.

    The page archive then writes its files one after the other, so that the same system call has the same number each
    time.
    """

    def __call__(self) -> None:
        from pipeline.store import archive

        _replace(archive, "ThreadPoolExecutor", lambda original, *arguments: InTurn())
        allow_tracing()
        os.kill(os.getpid(), signal.SIGSTOP)


class HaltedKeeper:
    """As `Halted`, but only the thread that keeps the lease waits, at a gate, having told its number.

    It looks and renews so often that a short run sees all that it does.
    """

    def __init__(self, gate: Path, told: Path) -> None:
        self._gate, self._told = gate, told

    def __call__(self) -> None:
        from pipeline import keeper

        allow_tracing()
        _replace(keeper.Keeper, "__init__", lambda original, *given, **named: original(*given, **named, **LIVELY))
        _replace(keeper.Keeper, "_keep", self._around)

    def _around(self, original: Any, *arguments: Any) -> None:
        self._told.write_text(str(threading.get_native_id()), encoding="utf-8")
        self._gate.read_bytes()
        original(*arguments)


LIVELY = {"look_s": 0.01, "renew_s": 0.03}
PR_SET_PTRACER, PR_SET_PTRACER_ANY = 0x59616D61, -1


def allow_tracing() -> None:
    """Linux with Yama: otherwise only an ancestor may."""
    import ctypes

    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0)


class InTurn:
    """An executor without threads."""

    def __enter__(self) -> InTurn:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is left to wait for."""

    map = map
