"""The last line: the keys that matter here and now. Drawn in one go, so that it costs nothing when the focus moves."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from rich.cells import cell_len
from textual import events
from textual.app import RenderResult
from textual.content import Content
from textual.widget import Widget

if TYPE_CHECKING:
    from textual.screen import Screen

KEY, WORD, OFF = "bold $footer-key-foreground", "$footer-foreground", "$footer-foreground 40%"


class Hint(NamedTuple):
    """One key, and where it stands on the line."""

    key: str
    shown: str
    description: str
    tooltip: str
    enabled: bool
    left: int
    right: int


class KeyLine(Widget):
    """Shows the active bindings that want to be seen. A click does what the key does."""

    DEFAULT_CSS = "KeyLine { height: 1; dock: bottom; background: $footer-background; text-wrap: nowrap; }"
    ALLOW_SELECT = False

    def on_mount(self) -> None:
        self.screen.bindings_updated_signal.subscribe(self, self._bindings_changed)

    def _bindings_changed(self, _screen: Screen[object]) -> None:
        self.refresh()

    def _hints(self) -> list[Hint]:
        """The bindings in their order, those that do the same only once, with the palette at the end."""
        hints: list[Hint] = []
        done: set[str] = set()
        left = 0
        for _, binding, enabled, tooltip in self.screen.active_bindings.values():
            palette = binding.action == "command_palette"
            if binding.action in done or not (binding.show or palette):
                continue
            done.add(binding.action)
            shown = self.app.get_key_display(binding)
            description = "Palette" if palette else binding.description
            right = left + cell_len(shown) + cell_len(description) + 3
            hints.append(Hint(binding.key, shown, description, tooltip, enabled, left, right))
            left = right
        return hints

    def render(self) -> RenderResult:
        parts: list[tuple[str, str]] = []
        for hint in self._hints():
            parts.append((f" {hint.shown} ", KEY if hint.enabled else OFF))
            parts.append((f"{hint.description} ", WORD if hint.enabled else OFF))
        return Content.assemble(*parts)

    def _hint_at(self, x: int) -> Hint | None:
        return next((hint for hint in self._hints() if hint.left <= x < hint.right), None)

    def on_mouse_move(self, event: events.MouseMove) -> None:
        hint = self._hint_at(event.x)
        self.tooltip = hint.tooltip if hint is not None else None

    def on_click(self, event: events.Click) -> None:
        hint = self._hint_at(event.x)
        if hint is not None and hint.enabled:
            self.app.simulate_key(hint.key)
