"""A program in a real terminal: tmux on a socket of its own, keys in, the screen's text out."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import time
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.service import ServiceSettings

ROOT = Path(__file__).parents[2]
AT_LATEST_S = 60.0  # for one step, on the busiest machine
NOT_HERE = [part for name in ("NO_COLOR", "TEXTUAL_THEME", "COLUMNS", "LINES") for part in ("-u", name)]
SOCKETS = itertools.count()


def mre(settings: ServiceSettings, *words: str, crawl_delay: float) -> tuple[str, ...]:
    """The command that runs `mre` with these settings; `crawl_delay` is in seconds between two requests."""
    options = {
        "--db": settings.db_url,
        "--data": str(settings.data),
        "--site": str(settings.site),
        "--crawl-delay": str(crawl_delay),
    }
    program = "from mre_console.cli.main import main; main()"
    return (sys.executable, "-c", program, *chain.from_iterable(options.items()), *words)


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

    def wait_for(self, *texts: str, gone: str = "") -> str:
        """The screen, once all of the texts are on it, and `gone`, if given, is not any more.

        After an escape something has to be waited for: a terminal takes escape and the next key for one key with alt.
        """
        until = time.monotonic() + AT_LATEST_S
        while not all(text in (shown := self.screen()) for text in texts) or (gone and gone in shown):
            assert time.monotonic() < until, f"{texts} did not come:\n{shown}"
            time.sleep(0.05)  # a terminal has no event to wait for
        return shown

    def press_until(self, key: str, text: str) -> None:
        """Press a key, again and again, until the text is on the screen."""
        until = time.monotonic() + AT_LATEST_S
        while text not in (shown := self.screen()):
            assert time.monotonic() < until, f"{text} did not come:\n{shown}"
            self.press(key)
            time.sleep(0.5)

    def close(self) -> None:
        subprocess.run([*self._tmux, "kill-server"], check=False, capture_output=True)
