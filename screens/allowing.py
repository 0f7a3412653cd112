"""Which keys may act now. One that may not is greyed, and says why when it is pressed all the same.

The service refuses by itself whatever the switch or the read-only mode forbid; here the operator is told beforehand.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar, TypeVar

from textual import events
from textual.screen import Screen

from pipeline.ways import PROTECTED, REFUSED, Way
from screens.picture import Picture
from screens.ports import ConsoleService
from screens.words import clean

if TYPE_CHECKING:
    from pipeline.store.control import ControlRow

READ_ONLY = "This console was started read-only: it shows everything and refuses every action."
Result = TypeVar("Result")


def refused(way: Way, *, read_only: bool, control: ControlRow | None) -> str:
    """Why nothing of this way may be done now; empty where it may. `control` is None while nothing is known of it."""
    if read_only:
        return READ_ONLY
    if control is None or way not in REFUSED[control.mode]:
        return ""
    what = (
        "The database is protected: only recovery may write" if control.mode == PROTECTED else "Ingestion is disabled"
    )
    return f"{what}. {clean(control.changed_by)} said: {clean(control.reason)}"


class AllowingScreen(Screen[Result]):
    """A screen whose acting keys depend on the read-only mode, the switch, and what there is to act on."""

    ways: ClassVar[Mapping[str, Way]] = MappingProxyType({})  # action → what it would do; others only look

    def __init__(self, service: ConsoleService, picture: Picture) -> None:
        super().__init__()
        self._service = service
        self._picture = picture
        self._said_at: dict[str, float] = {}  # reason → when it was said last, in monotonic seconds
        self._reasons: list[str] = []  # why each of `ways` was greyed when the bindings were drawn last

    def why_not(self, action: str) -> str:
        """Why an action may not be done now, in a sentence; empty where it may."""
        if action not in self.ways:
            return ""
        snapshot = self._picture.snapshot
        control = snapshot.control if snapshot is not None else None
        return refused(self.ways[action], read_only=self._service.read_only, control=control)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return None if self.why_not(action) else True

    def regrey(self) -> None:
        """Draw the keys again where what may be done has changed."""
        reasons = [self.why_not(action) for action in self.acting]
        if reasons != self._reasons:
            self._reasons = reasons
            self.refresh_bindings()

    @property
    def acting(self) -> tuple[str, ...]:
        """The actions that may be greyed."""
        return tuple(self.ways)

    def on_key(self, event: events.Key) -> None:
        """Only keys that nothing else has taken arrive here."""
        active = self.active_bindings.get(event.key)
        if active is None or active.enabled:
            return
        if reason := self.why_not(active.binding.action.partition("(")[0]):
            self._say_once(reason)

    def _say_once(self, reason: str) -> None:
        """A key pressed again and again does not fill the screen with the same note."""
        now = time.monotonic()
        if now - self._said_at.get(reason, -self.app.NOTIFICATION_TIMEOUT) >= self.app.NOTIFICATION_TIMEOUT:
            self._said_at[reason] = now
            self.notify(reason, severity="warning", markup=False)
