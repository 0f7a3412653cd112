"""Runs the program as a person does: a process of its own, with a place of its own for what it keeps."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[2]
_PROGRAM = "from mre_console.cli.main import main; main()"
TIMEOUT_S = 120


class Finished(NamedTuple):
    """How a command ended."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def answer(self) -> Any:
        """The one JSON value on stdout."""
        (line,) = self.stdout.splitlines()
        return json.loads(line)


def mre(
    *arguments: str | Path, place: Path, environment: Mapping[str, str] | None = None, check: bool = True
) -> Finished:
    """Run `mre …` with settings and data in `place` and none of the caller's; `environment` is added.

    With `check`, a command that fails fails the test, with what it said.
    """
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("MRE_")}
    own = {"MRE_CONFIG": str(place / "config.toml"), "MRE_DATA": str(place / "data"), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, *map(str, arguments)],
        env={**inherited, **own, **(environment or {})},
        cwd=place,
        capture_output=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    finished = Finished(done.returncode, done.stdout.decode("utf-8"), done.stderr.decode("utf-8"))
    assert not check or finished.exit_code == 0, finished
    return finished
