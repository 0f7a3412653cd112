"""The real program in a real terminal: add an event, watch it fail, retry it, look at its laps, resize, quit."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mre_console.demo import Demo
from pipeline.service import Service

ROOT = Path(__file__).parents[2]
AT_LATEST_S = 60.0  # for one step, on the busiest machine
NOT_HERE = [part for name in ("NO_COLOR", "TEXTUAL_THEME", "COLUMNS", "LINES") for part in ("-u", name)]
SOCKETS = itertools.count()

pytestmark = [
    pytest.mark.tmux,
    pytest.mark.skipif(shutil.which("tmux") is None, reason="needs tmux"),
]


class Terminal:
    """One tmux session on a server of its own."""

    def __init__(self, *command: str, folder: Path) -> None:
        self._tmux = ("tmux", "-L", f"mre-{os.getpid()}-{next(SOCKETS)}", "-f", os.devnull)
        plain = ("env", *NOT_HERE, f"MRE_CONFIG={folder / 'config.toml'}")
        # The shell tells how the program ended, and keeps the screen for the test to read.
        telling = ("sh", "-c", '"$@"; echo "ended with $?"; read -r _', "sh")
        self._do("new-session", "-d", "-x", "120", "-y", "36", "-c", str(ROOT), *plain, *telling, *command)

    def _do(self, *arguments: str) -> str:
        ran = subprocess.run([*self._tmux, *arguments], check=True, capture_output=True, text=True)
        return ran.stdout

    def press(self, *keys: str) -> None:
        self._do("send-keys", *keys)

    def type(self, text: str) -> None:
        self._do("send-keys", "-l", text)

    def resize(self, width: int, height: int) -> None:
        self._do("resize-window", "-x", str(width), "-y", str(height))

    def screen(self) -> str:
        return self._do("capture-pane", "-p")

    def wait_for(self, *texts: str) -> str:
        """The screen, once all of the texts are on it."""
        until = time.monotonic() + AT_LATEST_S
        while not all(text in (shown := self.screen()) for text in texts):
            assert time.monotonic() < until, f"{texts} did not come:\n{shown}"
            time.sleep(0.05)  # a terminal has no event to wait for
        return shown

    def close(self) -> None:
        subprocess.run([*self._tmux, "kill-server"], check=False, capture_output=True)


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
        settings = demo.settings
        program = "from mre_console.cli.main import main; main()"
        options = {
            "--db": settings.db_url,
            "--data": str(settings.data),
            "--site": str(settings.site),
            "--crawl-delay": str(crawl_delay),
        }
        words = itertools.chain.from_iterable(options.items())
        opened.append(Terminal(sys.executable, "-c", program, *words, folder=tmp_path))
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
