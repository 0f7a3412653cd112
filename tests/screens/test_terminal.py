"""The real program in a real terminal: add an event, watch it fail, retry it, look at its laps, resize, quit."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mre_console.demo import Demo
from pipeline.service import Service
from tests.support.terminal import Terminal, mre

pytestmark = [
    pytest.mark.tmux,
    pytest.mark.skipif(shutil.which("tmux") is None, reason="needs tmux"),
]


OpenConsole = Callable[[float], Terminal]


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Demo]:
    with Demo(tmp_path, crawl_delay=0.0) as demo:
        yield demo


@pytest.fixture
def open_console(demo: Demo, tmp_path: Path) -> Iterator[OpenConsole]:
    """Opens `mre` on an empty database beside the demo's site, with this many seconds between two requests."""
    opened: list[Terminal] = []

    def open_it(crawl_delay: float) -> Terminal:
        opened.append(Terminal(*mre(demo.settings, crawl_delay=crawl_delay), folder=tmp_path))
        return opened[-1]

    yield open_it
    for terminal in opened:
        terminal.close()


def test_an_event_from_its_url_to_its_laps(demo: Demo, open_console: OpenConsole) -> None:
    terminal = open_console(0.05)
    slug, event_id = demo.victim.split("/")
    terminal.wait_for("How to begin", "Add an event by its URL")
    terminal.press("a")
    terminal.wait_for("Add and ingest")
    terminal.type(f"https://{slug}.liverc.com/results/?p=view_event&id={event_id}")
    terminal.press("Enter")

    terminal.wait_for("✗ failed", "nothing served")
    terminal.press("e")
    terminal.wait_for("What happened", f"race id: {demo.broken_race}", "What to do")
    terminal.press("r")
    terminal.wait_for("● complete", "laps_full", "run 2")

    terminal.press("Enter")
    terminal.wait_for("Events › ", "Winner")
    terminal.press("G", "Enter")
    terminal.wait_for("Driver", "Fastest")
    terminal.press("Enter")
    terminal.wait_for("Against fastest", "● fastest", "median")
    terminal.resize(80, 24)
    shown = terminal.wait_for("Against fastest", "┏")  # the chart is below the table now
    assert max(map(len, shown.splitlines())) <= 80
    terminal.press("Escape")
    terminal.wait_for("Driver", "Fastest")
    terminal.press("Escape")
    terminal.wait_for("Winner")
    terminal.press("Escape")
    terminal.wait_for("▸Runs 0", "● complete")

    terminal.press("q")
    terminal.wait_for("ended with 0")


def test_quitting_amid_a_run_ends_it_as_interrupted_within_a_second(demo: Demo, open_console: OpenConsole) -> None:
    terminal = open_console(5.0)
    terminal.wait_for("How to begin")
    terminal.press("a")
    terminal.wait_for("Add and ingest")
    terminal.type(demo.victim)
    terminal.press("Enter")
    terminal.wait_for("▸fetch", " of ")
    started = time.monotonic()
    terminal.press("q")
    terminal.wait_for("ended with 0")
    assert time.monotonic() - started < 3  # of which the console takes one at most; the rest is this test's looking
    with Service(demo.settings) as service:
        status = service.status()
    assert (status.running, status.locks) == ((), ())
    ((failure,),) = [[line.failure for line in status.failed]]
    assert failure is not None
    assert failure.details["kind"] == "INTERRUPTED"
