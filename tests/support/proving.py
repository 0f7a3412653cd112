"""What tests of the gate and of page sets share: sets to damage, confirmed drift cases, a service that knows sets."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

from mre_console.settings import shipped_fixtures
from mre_console.simulator.generate import World
from mre_console.simulator.site import SimulatedSite
from pipeline import drift
from pipeline.drift import Doubt
from pipeline.service import Service, ServiceSettings
from pipeline.store.database import Store
from tests.support.site_client import SiteClient

SMALL = "900101"


def confirmed_case(store: Store, page_type: str = "race_result") -> int:
    """A drift case that probes confirmed."""
    case = suspected_case(store, page_type)
    return drift.decide(store, case, drift.CONFIRMED, "2 of 3 probes fail too", ()).id


def suspected_case(store: Store, page_type: str = "race_result") -> int:
    """A drift case that nobody decided yet."""
    doubt = Doubt(page_type=page_type, url="https://x.liverc.com/", field="fast_lap_ms", why="gone", kind="coverage")
    return drift.suspect(store, (doubt,)).id


def small_sets(root: Path) -> Path:
    """A fixtures folder of a test's own with the smallest shipped set in it."""
    shutil.copytree(shipped_fixtures() / "liverc" / SMALL, root / "liverc" / SMALL)
    return root


def rewrite(folder: Path, name: str, content: bytes) -> None:
    """Change a file of a set and say so in the metadata, as a person who edits sets by hand would."""
    metadata = json.loads((folder / "metadata.json").read_bytes())
    metadata["sha256"][name] = hashlib.sha256(content).hexdigest()
    (folder / "metadata.json").write_text(json.dumps(metadata))
    (folder / name).write_bytes(content)


def falsify(folder: Path) -> None:
    """Let a set expect another fastest lap than its pages show; whole, but wrong."""
    expected = json.loads((folder / "expected.json").read_bytes())
    expected["races"][0]["results"][0]["fast_lap_ms"] += 1
    rewrite(folder, "expected.json", json.dumps(expected, ensure_ascii=False, separators=(",", ":")).encode())


def small_site() -> SimulatedSite:
    """One track with one small event."""
    return SimulatedSite(World(5, tracks=1, events=1, mix=("small",), catalogue_rows=5), frozen_frame=True)


def service_with(site: SimulatedSite, database_url: str, data: Path, sets: Path | None) -> tuple[Service, SiteClient]:
    """A service that asks the site directly and must pass the sets."""
    client = SiteClient(site)
    return Service(ServiceSettings(db_url=database_url, data=data, fixtures=sets), client=client), client
