"""How long a person waits for `mre --help`: the wall time of a whole process, started from nothing."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

LIMITS = {"mre --help, s": 0.3}
ROUNDS = 9
_PROGRAM = "import sys; from mre_console.cli.main import main; sys.argv = ['mre', '--help']; main()"


def run() -> dict[str, float]:
    """The median, so that one round in which the machine was busy does not count."""
    seconds = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        subprocess.run([sys.executable, "-c", _PROGRAM], check=True, stdout=subprocess.DEVNULL)
        seconds.append(time.perf_counter() - started)
    return {"mre --help, s": statistics.median(seconds)}
