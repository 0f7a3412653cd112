"""The same event gives the same document, byte for byte, whatever process, hash seed, time zone, locale and engine."""

from __future__ import annotations

import hashlib
from pathlib import Path

from mre_console.simulator.generate import World
from mre_console.simulator.server import SimulatorServer
from mre_console.simulator.site import SimulatedSite
from pipeline import document
from tests.conftest import NewDatabase
from tests.support.commands import mre

ENVIRONMENTS = (
    {"PYTHONHASHSEED": "0", "TZ": "UTC", "LANG": "C", "LC_ALL": "C"},
    {"PYTHONHASHSEED": "4711", "TZ": "Pacific/Kiritimati", "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"},
    {"PYTHONHASHSEED": "90210", "TZ": "America/St_Johns", "LANG": "tr_TR.UTF-8", "PYTHONIOENCODING": "ascii"},
)


def test_every_process_publishes_and_exports_the_same_bytes(new_database: NewDatabase, tmp_path: Path) -> None:
    site = SimulatedSite(World(9, tracks=2, events=1, mix=("oddities",), catalogue_rows=5))  # no two fetches are alike
    slug, event_id = site.events()[1]
    true = document.encode(site.document(event_id))
    assert not true.isascii()
    said = set()
    with SimulatorServer(site) as server:
        for number, environment in enumerate(ENVIRONMENTS):
            place = tmp_path / str(number)
            place.mkdir()
            settings = {"MRE_DB": new_database(), "MRE_SITE": server.url, "MRE_CRAWL_DELAY": "0", **environment}
            report = mre("ingest", f"{slug}/{event_id}", "--json", place=place, environment=settings).answer
            exported = mre("export", event_id, "--format", "json", place=place, environment=settings).stdout
            assert exported.encode() == true
            said.add(report["document_sha256"])
    assert said == {hashlib.sha256(true).hexdigest()}
