"""Probes and canaries: known pages of other events, fetched again politely and compared with their archive.

They decide a drift case: where other events still read equal, the case concerns its own event only; where one fails or
differs, LiveRC has changed. A probe that cannot be fetched proves nothing. Probes are exempt from the block that they
decide about.
"""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.drift import Case
from pipeline.liverc.client import Client
from pipeline.observe import Bus
from pipeline.stopping import StopGroup
from pipeline.store.archive import PageArchive
from pipeline.store.database import Store


@dataclass(frozen=True)
class Site:
    """What probing works with."""

    store: Store
    client: Client
    archive: PageArchive
    bus: Bus
    stops: StopGroup


def run_probes(site: Site, case_id: int) -> Case:
    """Fetch known pages of other events again and decide the case; the case as it stands then."""
    raise NotImplementedError
