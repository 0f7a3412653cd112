"""Runs every `benchmarks/bench_*.py` in a process of its own and prints one table of what was measured.

A benchmark module has `run() -> dict[str, float]` and may have `LIMITS: dict[str, float]`: the most each value may be.
A fresh process per module keeps imports, caches and peak memory of one measurement out of the next.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
TIMEOUT_S = 600
# Run in the child. The result goes to a file of its own, so that a benchmark may print what it likes.
_CHILD = """
import importlib, json, pathlib, sys
module = importlib.import_module(sys.argv[1])
answer = {"values": module.run(), "limits": getattr(module, "LIMITS", {})}
pathlib.Path(sys.argv[2]).write_text(json.dumps(answer))
"""


class Row(NamedTuple):
    """One line of the table."""

    name: str
    value: float | None  # None: the benchmark failed
    limit: float | None

    @property
    def verdict(self) -> str:
        if self.value is None:
            return "FAILED"
        if self.limit is None:
            return ""
        return "ok" if self.value <= self.limit else "OVER"


def modules(names: Sequence[str] = ()) -> list[str]:
    """The benchmark modules in alphabetical order; `names` picks some by the part after `bench_`."""
    found = sorted(path.stem for path in Path(__file__).parent.glob("bench_*.py"))
    return [f"benchmarks.{stem}" for stem in found if not names or stem.removeprefix("bench_") in names]


def measure(module: str) -> list[Row]:
    """Run one module in a fresh interpreter and return its rows; a failure becomes one row that says so."""
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder, "answer.json")
        try:
            command = [sys.executable, "-c", _CHILD, module, str(answer)]
            subprocess.run(command, cwd=ROOT, check=True, timeout=TIMEOUT_S)
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            print(f"{module} failed: {type(error).__name__}", file=sys.stderr)
            return [Row(module, None, None)]
        return rows_of(json.loads(answer.read_text()))


def rows_of(answer: Mapping[str, Mapping[str, float]]) -> list[Row]:
    """A module's values with their limits; a limit whose value was not measured counts as a failure."""
    values, limits = answer["values"], answer["limits"]
    return [Row(name, values.get(name), limits.get(name)) for name in [*values, *(limits.keys() - values.keys())]]


def render(rows: Sequence[Row]) -> str:
    """The table as text."""
    cells = [("measured", "value", "limit", "")]
    for row in rows:
        value = "-" if row.value is None else f"{row.value:.3g}"
        cells.append((row.name, value, "-" if row.limit is None else f"≤ {row.limit:g}", row.verdict))
    widths = [max(len(line[i]) for line in cells) for i in range(4)]
    return "\n".join(
        f"{name:<{widths[0]}}  {value:>{widths[1]}}  {limit:>{widths[2]}}  {verdict}".rstrip()
        for name, value, limit, verdict in cells
    )


def main(names: Sequence[str]) -> int:
    rows: list[Row] = []
    for module in modules(names):
        started = time.perf_counter()
        rows += measure(module)
        print(f"{module} ({time.perf_counter() - started:.1f} s)", file=sys.stderr)
    print(render(rows))
    return 1 if any(row.verdict in ("OVER", "FAILED") for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
