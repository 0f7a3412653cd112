"""The front door's part for the global switch and the checks; `Service` inherits it.

Apart from its neighbours only because one file would be too long.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from pipeline.ways import Way, operator, way_in

if TYPE_CHECKING:
    from pipeline.control import ControlState
    from pipeline.store.database import Store


class _House(Protocol):
    @property
    def store(self) -> Store: ...
    @property
    def read_only(self) -> bool: ...


class ControlActions:
    """Disabling and enabling ingestion."""

    def control(self: _House) -> ControlState:
        """How the global switch stands, and what enabling would need."""
        from pipeline import control

        return control.show(self.store)

    @way_in(Way.RECOVERY)
    def disable(self: _House, *, reason: str, protect: bool = False, who: str | None = None) -> ControlState:
        """Refuse every ingestion from now on, and stop what is under way; with `protect`, every write but recovery.

        Raises StateError USAGE without a reason.
        """
        from pipeline import control

        return control.disable(self.store, reason=reason, who=who or operator(), protect=protect)

    @way_in(Way.RECOVERY)
    def enable(self: _House, *, reason: str = "", who: str | None = None) -> ControlState:
        """Allow ingestion again. Raises StateError CHECKS_FAILED where the checks have not passed since."""
        from pipeline import control

        return control.enable(self.store, reason=reason, who=who or operator())
