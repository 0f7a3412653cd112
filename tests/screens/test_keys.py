"""Keys: each has an id and says what it does, all are in the palette and the help, the last line shows what matters."""

from __future__ import annotations

import importlib
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest
from textual.binding import Binding
from textual.dom import DOMNode
from textual.pilot import Pilot
from textual.widget import Widget

import screens
from mre_console import app as console_app
from screens.help import help_lines
from screens.telling import plain
from screens.widgets.keys import KeyLine
from tests.screens.fakes import busy_service, console
from tests.screens.pictures import play, press_all

ROOT = Path(__file__).parents[2]
UNWRITTEN = {"shift+tab", "ctrl+q", "ctrl+c", "space"}  # the help has them
HEAVY = ("numpy", "textual_plot", "peewee", "lxml", "httpx", "psutil", "pipeline.ingest", "pipeline.store.database")


def own_nodes() -> list[type[DOMNode]]:
    """Every screen, widget and app class of this project."""
    modules = [importlib.import_module(one.name) for one in pkgutil.walk_packages(screens.__path__, "screens.")]
    return [
        node
        for module in (*modules, console_app)
        for node in vars(module).values()
        if isinstance(node, type) and issubclass(node, DOMNode) and node.__module__ == module.__name__
    ]


def own_bindings() -> list[tuple[type[DOMNode], Binding]]:
    found = []
    for node in own_nodes():
        for binding in node.__dict__.get("BINDINGS", ()):
            assert isinstance(binding, Binding), f"{node.__name__}: {binding} has no id"
            found.append((node, binding))
    return found


def test_every_binding_has_an_id_of_its_own_and_a_tooltip() -> None:
    bindings = own_bindings()
    assert len(bindings) > 40
    for node, binding in bindings:
        assert binding.id, f"{node.__name__} {binding.key}"
        assert binding.tooltip, f"{node.__name__} {binding.key}"
        assert binding.description, f"{node.__name__} {binding.key}"
    ids = [binding.id for _, binding in bindings]
    assert len(set(ids)) == len(ids)


def test_the_readme_has_every_key_of_the_home_screen_and_the_locks() -> None:
    section = (ROOT / "README.md").read_text(encoding="utf-8").split("\n## The console\n")[1].split("\n## ")[0]
    written = set(re.findall(r"`([^`]+)`", section))
    shown = {"slash": "/", "escape": "esc", "question_mark": "?", "enter": "⏎"}
    numbers = {str(number) for number in range(1, 5)}  # "`1` to `4`"
    for node, binding in own_bindings():
        if (binding.id or "").split(".")[0] in ("home", "recovery", "oversee", "locks", "app"):
            keys = {shown.get(key, key) for key in binding.key.split(",")}
            assert keys & (written | numbers | UNWRITTEN), f"{node.__name__} {binding.key}"


def test_no_widget_brings_bindings_without_an_id_along() -> None:
    bringing = {
        node.__name__
        for node in own_nodes()
        if issubclass(node, Widget) and node.__module__.startswith("screens.widgets")
        if any(binding.id is None for _, binding in node._merge_bindings())
    }
    assert bringing == set()


@pytest.mark.parametrize("keys", [(), ("4",), ("3",), ("j", "enter"), ("j", "j", "e")])
def test_all_that_works_here_is_in_the_palette_and_in_the_help(keys: tuple[str, ...]) -> None:
    async def steps(pilot: Pilot[str | None]) -> None:
        await press_all(pilot, keys)
        app, screen = pilot.app, pilot.app.screen
        commands = [command.title for command in app.get_system_commands(screen)]
        shown = plain(help_lines(app, screen))
        for active in screen.active_bindings.values():
            if active.binding.id is None or not active.enabled:
                continue
            assert any(title.startswith(active.binding.tooltip) for title in commands), active.binding.id
            assert active.binding.tooltip in shown, active.binding.id

    play(console(busy_service()), steps)


def test_help_begins_with_the_pane_that_has_the_focus() -> None:
    async def steps(pilot: Pilot[str | None]) -> None:
        for pane in ("events", "runs", "locks", "log"):
            assert plain(help_lines(pilot.app, pilot.app.screen)).startswith(f"In the focused pane ({pane})")
            await press_all(pilot, ("tab",))

    play(console(busy_service()), steps)


def test_the_palette_does_what_the_key_does() -> None:
    async def steps(pilot: Pilot[str | None]) -> None:
        await press_all(pilot, ("ctrl+p", *"warnings", "enter"))
        assert type(pilot.app.screen).__name__ == "WarningsScreen"

    play(console(busy_service()), steps)


def test_a_click_on_the_last_line_does_what_the_key_does() -> None:
    async def steps(pilot: Pilot[str | None]) -> None:
        line = pilot.app.screen.query_one(KeyLine)
        add = next(hint for hint in line._hints() if hint.key == "a")
        await pilot.click(KeyLine, offset=(add.left + 1, 0))
        await press_all(pilot, ())
        assert type(pilot.app.screen).__name__ == "AskScreen"

    play(console(busy_service()), steps)


def test_a_click_on_a_tab_and_on_a_row_selects_it() -> None:
    async def steps(pilot: Pilot[str | None]) -> None:
        await pilot.click("PaneTabs", offset=(14, 0))
        await press_all(pilot, ())
        assert pilot.app.focused is not None
        assert pilot.app.focused.id == "locks"
        await pilot.click("#events", offset=(5, 3))
        await press_all(pilot, ("enter", "escape"))
        assert service.called[-1:] == [("races", 3)]

    service = busy_service()
    play(console(service), steps, size=(80, 24))


def test_the_console_appears_before_anything_heavy_is_loaded() -> None:
    """The first frame needs no database, no parser and no plotting; they are loaded when they are used."""
    program = f"""
import sys
from mre_console.app import ConsoleApp
from screens.ports import system_clock
class Service:
    shown_database = shown_site = ""
    read_only = False
    def schedule_here(self): return ""
class Source:
    def __init__(self, *_): pass
    def start(self): app.exit()
    def stop(self): pass
app = ConsoleApp(Service(), make_source=Source)
app.run(headless=True)
assert not app.return_code, "it crashed"
print(*(name for name in {HEAVY!r} if name in sys.modules))
"""
    ran = subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, capture_output=True, text=True)
    assert ran.stdout.split() == []
