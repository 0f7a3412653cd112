"""The simulator's markup, changed from outside while it is served: a file names the mutations, one on each line.

It is looked at with every request, so that whoever writes it sees the change with the next page.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from mre_console.simulator.mutations import MUTATIONS, mutator


class MarkupFile:
    """For `SimulatedSite.change_markup`. A file that is not there, or is empty, changes nothing."""

    def __init__(self, path: Path, say: Callable[[str], None]) -> None:
        """`say` hears of every change, and of names that are none."""
        self._path = path
        self._say = say
        self._lock = threading.Lock()
        self._text = ""
        self._change: Callable[[str, bytes], bytes] = mutator(())

    def __call__(self, page_type: str, body: bytes) -> bytes:
        return self._current()(page_type, body)

    def _current(self) -> Callable[[str, bytes], bytes]:
        try:
            text = self._path.read_text(encoding="utf-8")
        except OSError:
            text = ""
        with self._lock:
            if text != self._text:
                self._text = text
                self._read(text.split())
            return self._change

    def _read(self, names: list[str]) -> None:
        for name in names:
            if name not in MUTATIONS:
                self._say(f"there is no change {name!r}; there are {', '.join(MUTATIONS)}")
        known = [name for name in names if name in MUTATIONS]
        self._change = mutator(known)
        self._say("; ".join(f"{MUTATIONS[name].page_type}: {MUTATIONS[name].says}" for name in known) or "known markup")
