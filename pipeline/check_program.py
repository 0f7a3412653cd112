"""The checks of the program itself: do the page sets still read as they must, and the same in any process?"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from pipeline import fixtures
from pipeline.findings import Finding
from pipeline.fixtures import FixtureRoots
from pipeline.liverc.readers import Readers

SHOWN_DIFFERENCES = 5
PROCESS_DEADLINE_S = 120.0
# What must not matter: the order of sets and dicts, the time zone, the language.
SURROUNDINGS = (
    {"PYTHONHASHSEED": "0", "TZ": "UTC", "LC_ALL": "C"},
    {"PYTHONHASHSEED": "1", "TZ": "Pacific/Auckland", "LC_ALL": "C.UTF-8"},
    {"PYTHONHASHSEED": "2", "TZ": "America/Los_Angeles", "LC_ALL": "C"},
)


def regression(roots: FixtureRoots, readers: Readers) -> Iterator[Finding]:
    """Every page set, shipped and captured, reads as its expected document: the gate's own replay."""
    for info in fixtures.all_sets(roots):
        replay = fixtures.replay_set(info, readers)
        if replay.failure is not None:
            yield _finding("regression", replay.event_id, f"cannot be read any more: {replay.failure}")
        elif replay.differences:
            shown = [difference.shown() for difference in replay.differences[:SHOWN_DIFFERENCES]]
            count = len(replay.differences)
            text = f"reads otherwise than it must in {count} fields, first {shown[0]}"
            yield _finding("regression", replay.event_id, text, differences=shown, count=count)


def determinism(roots: FixtureRoots) -> Iterator[Finding]:
    """Three processes with other hash seeds, time zones and languages read every set into the same bytes."""
    answers = _ask_processes(roots)
    for event_id in sorted({event_id for answer in answers for event_id in answer}):
        found = {str(answer.get(event_id)) for answer in answers}
        if len(found) > 1:
            text = f"gave {len(found)} documents in {len(answers)} processes"
            yield _finding("determinism", event_id, text, found=sorted(found))


def _ask_processes(roots: FixtureRoots) -> list[dict[str, str | None]]:
    places = [str(Path(fixtures.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]  # a checkout is not installed
    command = [sys.executable, "-m", "pipeline.fixtures", str(roots.shipped)]
    command += [] if roots.captured is None else [str(roots.captured.parent)]  # the data folder
    asked = [
        subprocess.Popen(  # noqa: S603  our own interpreter and module
            command,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, places)), **surroundings},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for surroundings in SURROUNDINGS
    ]
    try:
        return [_answer(process) for process in asked]
    finally:
        for process in asked:
            process.kill()
            process.communicate()


def _answer(process: subprocess.Popen[bytes]) -> dict[str, str | None]:
    out, error = process.communicate(timeout=PROCESS_DEADLINE_S)
    if process.returncode != 0:
        said = error.decode(errors="replace").strip().splitlines()
        raise RuntimeError(f"a process that replays the page sets ended with {process.returncode}: {said[-1:]}")
    answer: dict[str, str | None] = json.loads(out)
    return answer


def _finding(check: str, event_id: str, text: str, **facts: object) -> Finding:
    return Finding(check=check, message=f"the page set {event_id} {text}", facts={"page_set": event_id, **facts})
