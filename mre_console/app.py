"""The Textual app: holds the one picture, the themes and the keys that work everywhere, and knows how to quit.

Pictures arrive as one message each from the poller's thread; the handler assigns one reactive, and the screens that
watch it draw themselves. Quitting stops the runs of this process, gives them a moment to end as interrupted, and goes.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import App, SystemCommand
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.reactive import reactive
from textual.screen import Screen
from textual.theme import Theme

from mre_console.backend import ConsoleBackend
from screens import errands, home
from screens.help import entries, help_lines
from screens.picture import Picture
from screens.poller import PictureSource, Poller
from screens.ports import Clock, ConsoleService, system_clock
from screens.reading import ReadingScreen

if TYPE_CHECKING:
    from textual.dom import DOMNode

    from mre_console.settings import Settings
    from pipeline.service import Service

DEMO = "demo"  # the app's result where the operator wants to see the demo
STOPPING_S = 0.8  # how long runs may take to end as interrupted before the console goes anyway
Hidden = partial(Binding, show=False)  # in the help and the palette, not on the last line
DARK, LIGHT = "mre-dark", "mre-light"
QUIT = "Stop the runs and the schedule of this console and leave"
MakeSource = Callable[[ConsoleService, Clock, Callable[[Picture], object]], PictureSource]

THEMES = (
    Theme(
        name=DARK,
        primary="#5aa9e6",
        secondary="#7fc8a9",
        accent="#f6c453",
        warning="#f0a04b",
        error="#ef6f6c",
        success="#6cc58b",
        foreground="#d8dee6",
        background="#12161c",
        surface="#1a2029",
        panel="#222a35",
        variables={
            "block-cursor-background": "#2f5f8f",
            "block-cursor-foreground": "#ffffff",
            "block-cursor-blurred-background": "#26313f",
            "border": "#5aa9e6",
        },
    ),
    Theme(
        name=LIGHT,
        primary="#1f6fb2",
        secondary="#2a7f62",
        accent="#8a5a00",
        warning="#a65300",
        error="#b3261e",
        success="#1d7a3d",
        foreground="#1c2530",
        background="#f7f8fa",
        surface="#ffffff",
        panel="#e6eaef",
        dark=False,
        variables={
            "block-cursor-background": "#1f6fb2",
            "block-cursor-foreground": "#ffffff",
            "block-cursor-blurred-background": "#d5e3f0",
            "border": "#1f6fb2",
        },
    ),
)


class PictureTaken(Message):
    """The poller made a new picture."""

    def __init__(self, picture: Picture) -> None:
        super().__init__()
        self.picture = picture


class ConsoleApp(App[str | None]):
    """The console. Its result is `demo` where the operator asked for the demo, else None."""

    TITLE = "MRE"
    CSS_PATH = Path(home.__file__).with_suffix(".tcss")  # Textual reads a screen's own file only where it is pushed
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("question_mark", "help", "Help", id="app.help", tooltip="The keys that work here", key_display="?"),
        Binding("q", "quit", "Quit", id="app.quit", tooltip=QUIT),
        Hidden("ctrl+q", "quit", "Quit", id="app.quit_always", tooltip=QUIT, priority=True),
        Hidden("T", "toggle_theme", "Light/dark", id="app.theme", tooltip="The light theme, or back to the dark one"),
        Hidden("ctrl+c", "help_quit", "Copy", id="app.copy", tooltip="Copy the selected text"),
    ]

    picture: reactive[Picture] = reactive(Picture())

    def __init__(
        self,
        service: ConsoleService,
        *,
        clock: Clock = system_clock,
        make_source: MakeSource = Poller,
        welcome: bool = True,
    ) -> None:
        """`welcome`: greet whoever has no events yet."""
        super().__init__()
        self._welcome = welcome
        self._service = service
        self._clock = clock
        self._source = make_source(service, clock, self._deliver)
        self._quitting = False
        for theme in THEMES:
            self.register_theme(theme)
        if self.theme.startswith("textual-"):  # nobody chose another one with TEXTUAL_THEME
            self.theme = DARK

    def get_default_screen(self) -> home.HomeScreen:
        return home.HomeScreen(self._service, self._source, self._clock, welcome=self._welcome)

    def on_mount(self) -> None:
        self._catch_signals()
        self.call_after_refresh(self._source.start)  # the first frame comes before anything is read

    # ------------------------------------------------------------------ pictures

    def _deliver(self, picture: Picture) -> bool:
        """Called in the poller's thread."""
        try:
            return self.post_message(PictureTaken(picture))
        except RuntimeError:  # the loop is closed: the console is gone
            return False

    def on_picture_taken(self, message: PictureTaken) -> None:
        self.picture = message.picture
        self._source.taken()

    @on(errands.LookAgain)
    def _look_again(self) -> None:
        self._source.nudge()

    # ------------------------------------------------------------------ quitting

    def _catch_signals(self) -> None:
        """Signals that ask to end, and a closed terminal, end the console as `q` does."""
        if threading.current_thread() is not threading.main_thread() or sys.platform == "win32":
            return
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self.call_later, self.action_quit)

    async def action_quit(self) -> None:
        """Leave, once; the screens stay alive meanwhile."""
        if not self._quitting:
            self._quitting = True
            self.run_worker(self._stop_and_leave(), name="quitting")

    async def _stop_and_leave(self) -> None:
        """Stop what runs here, give it a moment to end as interrupted, and exit."""
        self._source.stop()
        self._service.stop("the console was closed")
        for screen in self.screen_stack:
            if isinstance(screen, home.HomeScreen):
                screen.show_closing()
        until = self._clock() + STOPPING_S
        while (self._service.running_here() or self._service.schedule_here()) and self._clock() < until:
            await asyncio.sleep(0.01)
        self.exit()

    # ------------------------------------------------------------------ keys that work everywhere

    def action_help(self) -> None:
        screen = self.screen
        if not isinstance(screen, ReadingScreen):
            self.push_screen(ReadingScreen("Keys", help_lines(self, screen)))

    def action_toggle_theme(self) -> None:
        self.theme = LIGHT if self.current_theme.dark else DARK

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """The command palette: every binding that works now, and what Textual offers beside."""
        for entry in entries(self, screen.active_bindings.values()):
            yield SystemCommand(
                f"{entry.tooltip} ({' '.join(entry.keys)})", entry.description, self._doing(entry.action, entry.node)
            )
        yield SystemCommand("Choose a theme", "All themes of the terminal library", self.action_change_theme)
        yield SystemCommand("Save a screenshot", "As an SVG file", lambda: self.set_timer(0.1, self.deliver_screenshot))

    def _doing(self, action: str, node: DOMNode) -> Callable[[], Awaitable[bool]]:
        return partial(self.run_action, action, node)


# ---------------------------------------------------------------- ways in


def run_console(settings: Settings) -> None:
    """Open the console on the operator's own database. Returns when it is closed; goes on with the demo if asked to."""
    from mre_console.cli.opening import observed, service_from

    with service_from(settings) as service, observed(service):
        result = _run(service, settings.config_file)
    if result == DEMO:
        from mre_console.cli.main import run

        raise SystemExit(run(["demo"]))


def run_demo(folder: Path) -> None:
    """Open the console on a simulated LiveRC whose database and pages are kept in `folder`."""
    from mre_console.demo import Demo, Director
    from pipeline.service import Service

    with Demo(folder) as demo, Service(demo.settings) as service:
        director = Director(demo, service)
        director.start()
        try:
            _run(service, welcome=False)  # its events arrive by themselves
        finally:
            director.stop()


def _run(service: Service, config_file: Path | None = None, *, welcome: bool = True) -> str | None:
    """Run the app to its end. What still runs afterwards is stopped: nothing goes on without being seen."""
    app = ConsoleApp(ConsoleBackend(service, config_file), welcome=welcome)
    try:
        result = app.run()
    finally:
        service.stop("the console was closed")
    if app.return_code:
        raise SystemExit(app.return_code)
    return result
