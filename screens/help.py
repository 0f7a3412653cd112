"""Help about where the operator is: every key that works now, the focused pane's first. Made from the bindings themselves."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

from textual.app import App
from textual.binding import ActiveBinding
from textual.screen import Screen

from screens.telling import Line
from screens.words import Phrase, Tone

if TYPE_CHECKING:
    from textual.dom import DOMNode

KEYS_WIDTH = 16


class Entry(NamedTuple):
    """One thing that can be done now."""

    node: DOMNode
    action: str
    keys: tuple[str, ...]  # as they are shown
    description: str
    tooltip: str


def entries(app: App[str | None], bindings: Iterable[ActiveBinding]) -> list[Entry]:
    """What the bindings can do, in their order, keys for the same action together; unavailable ones are left out."""
    found: dict[tuple[int, str], Entry] = {}
    for node, binding, enabled, tooltip in bindings:
        if not enabled or binding.id is None:
            continue
        key = (id(node), binding.action)
        shown = app.get_key_display(binding)
        if key in found:
            found[key] = found[key]._replace(keys=(*found[key].keys, shown))
        else:
            found[key] = Entry(node, binding.action, (shown,), binding.description, tooltip or binding.description)
    return list(found.values())


def help_lines(app: App[str | None], screen: Screen[object]) -> list[Line]:
    """The help for a screen as it is now."""
    lines: list[Line] = []
    active = entries(app, screen.active_bindings.values())
    for node, group in groupby(active, key=lambda entry: entry.node):
        if lines:
            lines.append([])
        lines.append([Phrase(_heading(node), Tone.BUSY)])
        lines += [[Phrase(f"  {' '.join(one.keys):<{KEYS_WIDTH}}"), Phrase(one.tooltip, Tone.QUIET)] for one in group]
    return lines


def _heading(node: DOMNode) -> str:
    if isinstance(node, App):
        return "Everywhere"
    if isinstance(node, Screen):
        return "On this screen"
    return f"In the focused pane ({node.id})" if node.id else "In the focused pane"
