"""The row of the global switch. SQL only: what each mode refuses and who may leave it, `pipeline.control` decides."""

from __future__ import annotations

from msgspec import Struct

from pipeline.store.database import Store
from pipeline.store.models import Control

_READ = "SELECT mode, reason, changed_by, changed_at FROM control WHERE id = 1"


class ControlRow(Struct, frozen=True):
    """How the switch stands, and who put it there."""

    mode: str = "enabled"  # models.MODES
    reason: str | None = None
    changed_by: str | None = None  # None: never changed
    changed_at: int | None = None  # UTC milliseconds


def read(store: Store) -> ControlRow:
    """The switch as it was last committed."""
    with store.read():
        return ControlRow(*store.sql(_READ)[0])


def read_to_publish(store: Store) -> ControlRow:
    """The switch, held until the end of this write transaction for `wait_for_publishers` to wait on.

    A key share does not stand in the way of a change: nobody who hangs while publishing can keep ingestion enabled.
    """
    lock = " FOR KEY SHARE" if store.engine == "postgresql" else ""  # SQLite has locked everything already
    return ControlRow(*store.sql(_READ + lock)[0])


def change(store: Store, mode: str, reason: str | None, who: str) -> None:
    """Turn the switch."""
    now = store.now_ms()
    store.change(Control.update(mode=mode, reason=reason, changed_by=who, changed_at=now).where(Control.id == 1))


def wait_for_publishers(store: Store) -> None:
    """Return when nobody who read the switch before its last change is still publishing.

    Raises StoreError DB_BUSY where somebody takes longer than the lock timeout.
    """
    if store.engine == "postgresql":
        with store.write():
            store.sql(f"{_READ} FOR UPDATE")
