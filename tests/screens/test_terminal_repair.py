"""From red to green by keyboard in a real terminal: the site's markup changes, a run names the field, the repair is
accepted, the page sets are replayed, the gate opens, and the event is ingested again, equal to its truth."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mre_console.demo import Demo
from mre_console.simulator.mutations import mutator
from pipeline.service import Service
from tests.screens.test_terminal import pytestmark  # noqa: F401  the marks are this module's, too
from tests.support.terminal import Terminal


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Demo]:
    with Demo(tmp_path, crawl_delay=0.0) as demo:
        yield demo


def healthy(demo: Demo) -> list[str]:
    """Events that can be published, the demo's victim first: its page fails once, and is fine from then on."""
    names = [f"{slug}/{event_id}" for slug, event_id in demo.site.events() if demo.site.failure(event_id) is None]
    return sorted(names, key=lambda name: name != demo.victim)


def truth(demo: Demo, name: str) -> object:
    return demo.site.document(name.rpartition("/")[2])


@pytest.fixture
def terminal(demo: Demo, tmp_path: Path) -> Iterator[Terminal]:
    """The console over a database that serves four events."""
    settings = demo.settings
    with Service(settings) as service:
        for name in healthy(demo)[1:5]:
            service.ingest(name)
    options = {"--db": settings.db_url, "--data": str(settings.data), "--site": str(settings.site)}
    words = itertools.chain.from_iterable({**options, "--crawl-delay": "0"}.items())
    opened = Terminal(sys.executable, "-c", "from mre_console.cli.main import main; main()", *words, folder=tmp_path)
    yield opened
    opened.close()


def test_from_red_to_green(demo: Demo, terminal: Terminal) -> None:
    with Service(demo.settings) as service:
        name = service.snapshot().events[0].event  # under the cursor
    terminal.wait_for("● complete", "Events 4")
    demo.site.change_markup(mutator(["header_renamed"]))
    demo.site.raise_build()
    terminal.press("r")
    terminal.wait_for("✗ failed", "fast_lap_ms", "LiveRC changed race_result")

    terminal.press("h")
    terminal.wait_for("column 'Fastest Lap' is gone", "its values stand in 'Best'", "▲ moved", "Proposal", "th “Best”")
    terminal.press("p")
    terminal.wait_for("It holds.", "read exactly as before", "nothing was changed")
    terminal.press("Escape")
    terminal.wait_for("▲ moved")
    terminal.press("y")
    terminal.wait_for("Accept the repair", "Reason")
    terminal.type("the column has a new title")
    terminal.press("Enter")
    terminal.wait_for("a does it, esc leaves it")
    terminal.press("y")  # the key that led here
    terminal.press("a")
    terminal.wait_for("The replay of the page sets", "● The gate is open", "is in force", "kept as page set")

    terminal.press("x")
    terminal.wait_for("Close drift case 1?", "[x] ingest 1 event again at once")
    terminal.type("it reads again")
    terminal.press("Enter")
    terminal.wait_for("y does it, esc leaves it")
    terminal.press("y")
    terminal.wait_for("● Ended: 1 of 1 event", "by run")
    terminal.press("Escape")
    terminal.wait_for("The case is closed as repaired")
    terminal.press("Escape")
    terminal.wait_for("what moved", "repaired")
    terminal.press("Escape")
    terminal.wait_for("Events 4", "4 served", "● live")
    terminal.press("q")
    terminal.wait_for("ended with 0")

    with Service(demo.settings) as service:
        assert service.export(name) == truth(demo, name)
        assert service.gate().state == "green"
        assert service.drift_cases(open_only=True) == ()
        demo.site.change_markup(None)  # pages as they were are still read
        assert service.ingest(name).outcome == "unchanged"
        assert all(report.passed for report in service.replay(archived=True))
