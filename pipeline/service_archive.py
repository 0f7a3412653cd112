"""The front door's part for the page archive; `Service` inherits it.

Apart from its neighbours only because one file would be too long.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

from pipeline.ways import Way, way_in

if TYPE_CHECKING:
    from pipeline.leases import LockPolicy
    from pipeline.liverc.readers import Readers
    from pipeline.observe import Bus
    from pipeline.rebuild import Mode, Rebuilt
    from pipeline.stopping import StopGroup
    from pipeline.store.archive import PageArchive
    from pipeline.store.database import Store


class _House(Protocol):
    bus: Bus
    stops: StopGroup

    @property
    def store(self) -> Store: ...
    @property
    def archive(self) -> PageArchive: ...
    @property
    def lock_policy(self) -> LockPolicy: ...
    @property
    def readers(self) -> Readers: ...
    @property
    def read_only(self) -> bool: ...


class ArchiveActions:
    """Getting back from archived pages what a database has lost."""

    @way_in(Way.RECOVERY)
    def rebuild(self: _House, event: str | None = None, *, mode: Mode | None = None) -> Iterator[Rebuilt]:
        """Publish again what the archive says that an event serves, or every event; no network. See `rebuild.Mode`.

        Raises StateError USAGE where the archive has nothing of it; INTERRUPTED.
        """
        from pipeline import rebuild
        from pipeline.liverc.urls import parse_event_ref

        chosen = rebuild.choose(self.archive, None if event is None else parse_event_ref(event)[1])
        site = rebuild.Site(
            self.store,
            self.archive,
            self.bus,
            self.stops,
            self.lock_policy,
            mode or rebuild.Mode.REBUILD,
            self.readers,
        )
        return rebuild.rebuild(site, chosen)
