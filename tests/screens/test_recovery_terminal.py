"""The real program in a real terminal recovers a failed event, a stuck lock and a damaged event, by keys alone."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mre_console.demo import Demo
from pipeline import document
from pipeline.errors import TABLE, Kind
from pipeline.service import Service
from tests.support.terminal import ROOT, Terminal, mre
from tests.support.vandal import damage

pytestmark = [
    pytest.mark.tmux,
    pytest.mark.skipif(shutil.which("tmux") is None, reason="needs tmux"),
]
A_LAP = """lap_number = 2 AND result_id = (SELECT MIN(result_id) FROM lap JOIN result ON result.id = result_id
           JOIN race ON race.id = race_id WHERE run_id = {run})"""


@contextmanager
def stopped_halfway(command: tuple[str, ...], terminal: Terminal) -> Iterator[subprocess.Popen[str]]:
    """An `mre ingest` in a process of its own that was stopped (SIGSTOP) amid its pages, as the console saw it."""
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            terminal.wait_for("◐ running", " of ", " pages")
            os.kill(process.pid, signal.SIGSTOP)
            os.waitpid(process.pid, os.WUNTRACED)
            yield process
        finally:
            process.kill()


def show_all(terminal: Terminal) -> None:
    if "matching" in terminal.wait_for("Events ", "Runs ", "● live"):
        terminal.press("Escape")
        terminal.wait_for("Events ", "Runs ", "● live", gone="matching")


def back_home(terminal: Terminal) -> None:
    terminal.press("Escape")
    terminal.wait_for("Events ", "Runs 0", "● live")


def look_for(terminal: Terminal, event: str, state: str) -> None:
    """From the home screen, put the cursor on an event by filtering for it."""
    show_all(terminal)
    terminal.press("/")
    terminal.wait_for("enter keeps it")
    terminal.type(event)
    terminal.press("Enter")
    terminal.wait_for(f"matching “{event}”", state)


def test_a_failed_event_a_stuck_lock_and_a_damaged_event_are_recovered_by_keys(tmp_path: Path) -> None:
    with Demo(tmp_path, crawl_delay=0.0) as demo, Service(demo.settings) as service:
        healthy = [f"{slug}/{event_id}" for slug, event_id in demo.site.events() if demo.site.failure(event_id) is None]
        failing, stuck, damaged = demo.victim, *[name for name in healthy if name != demo.victim][:2]
        service.ingest(damaged)
        terminal = Terminal(*mre(demo.settings, crawl_delay=0.02), folder=tmp_path)
        try:
            terminal.wait_for("● complete", damaged)
            recover_the_failed_one(terminal, failing)
            recover_the_stuck_one(terminal, stuck, mre(demo.settings, "ingest", stuck, crawl_delay=2.0))
            a_lap = A_LAP.format(run=service.event(damaged).current_run_id)
            damage(service.store, f"UPDATE lap SET lap_time_ms = lap_time_ms + 1000 WHERE {a_lap}")
            recover_the_damaged_one(terminal, damaged)
            terminal.press("q")
            terminal.wait_for("ended with 0")
        finally:
            terminal.close()
        for name in (failing, stuck, damaged):
            truth = demo.site.document(name.rpartition("/")[2])
            assert document.encode(service.export(name)) == document.encode(truth), name
            assert service.event(name).state == "complete"
            assert service.event(name).held_at is None
        assert service.locks() == ()
        assert service.checks().passed


def recover_the_failed_one(terminal: Terminal, event: str) -> None:
    terminal.press("a")
    terminal.wait_for("Add and ingest")
    terminal.type(event)
    terminal.press("Enter")
    terminal.wait_for("✗ failed", "1 failed", "Runs 0")
    terminal.press("R")
    terminal.wait_for("held, retried only by name")  # its pages are doubted
    terminal.press("Escape")
    terminal.wait_for("✗ failed", "1 failed", "Runs 0")
    terminal.press("g", "r")  # to name it is to act on it: the hold ends
    look_for(terminal, event, "● complete")


def recover_the_stuck_one(terminal: Terminal, event: str, ingest: tuple[str, ...]) -> None:
    show_all(terminal)
    with stopped_halfway(ingest, terminal) as process:
        look_for(terminal, event, "◐ running")
        terminal.press("c")
        terminal.wait_for("LOCK_HELD", "l shows who holds it")
        terminal.press("l")
        terminal.wait_for("‖ stopped", event)
        terminal.press("x")
        terminal.wait_for("Nothing is done yet.")
        terminal.type("it hangs since midnight")
        terminal.press("Enter")
        terminal.press_until("y", "Nobody holds a lock")  # the field may still take the first one
        terminal.press("Escape")
        terminal.wait_for("Cleanup of", "failed → idle")
        terminal.press("y")
        terminal.wait_for("● Done: cleanup", "● The checks passed")
        back_home(terminal)
        terminal.press("r")
        terminal.wait_for("● complete", "laps_full")
        os.kill(process.pid, signal.SIGCONT)  # what wakes up has lost its lease and changes nothing
        told, _ = process.communicate(timeout=60)
        assert process.returncode == TABLE[Kind.LEASE_LOST].exit_code, told


def recover_the_damaged_one(terminal: Terminal, event: str) -> None:
    look_for(terminal, event, "● complete")
    terminal.resize(80, 24)
    terminal.press("v")
    terminal.wait_for("✗ The checks failed", "held", "document-hash", "⏎ goes to the event")
    terminal.press("Enter")
    terminal.wait_for("▸Runs 0", event)
    terminal.press("c")
    terminal.wait_for("Cleanup of", "f plans the full cleanup")
    terminal.press("f")
    terminal.wait_for("Full cleanup of", "complete → idle", "○ given up", "Nothing is touched yet.")
    terminal.press("c", "x", "Enter")  # Cancel has the focus
    terminal.wait_for("▸Runs 0", "● complete")
    terminal.press("c")
    terminal.wait_for("Cleanup of", "f plans the full cleanup")
    terminal.press("f")
    terminal.wait_for("Full cleanup of", "Nothing is touched yet.")
    terminal.press("y")
    terminal.wait_for("● Done: full cleanup", "▲ manifest", "z takes it back")
    back_home(terminal)
    terminal.wait_for("○ idle")
    terminal.press("r")
    terminal.wait_for("● complete", "Runs 0")
    terminal.press("v")
    terminal.wait_for("● The checks passed")
    back_home(terminal)
