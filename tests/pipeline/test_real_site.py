"""A real event from the command line: what is published, and what every page says, is what the truth files say.

The pages lie beside the repository and are served on loopback under their own hosts. `compare.py`, which knows the
truth, was written apart from this program.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from mre_console.simulator.server import SimulatorServer, SiteFile
from pipeline.service import Service, ServiceSettings
from tests.support.commands import Finished, mre
from tests.support.real_pages import REAL, needs_real_pages

pytestmark = needs_real_pages

EVENT = "canberraoffroad/486677"
COUNTS = {"races": 2, "results": 22, "laps": 540}
READ = ("track_catalogue", "track_dashboard", "events_listing", "event", "race_result", "entry_list")
# Where a truth file does not say which address its page had.
ADDRESSES = {
    "points": "https://sometrack.liverc.com/results/?p=view_points&id=1",
    "practice_month": "https://sometrack.liverc.com/practice/?p=calendar&d=2025-10",
}


class Truth(NamedTuple):
    """One truth file, and the page it is about."""

    file: Path
    page: Path
    page_type: str
    url: str


def truths() -> list[Truth]:
    found = []
    for file in sorted(REAL.glob("truth/*.json")):
        said = json.loads(file.read_text("utf-8"))
        page = REAL / "pages" / said["source_file"]
        found.append(Truth(file, page, said["page"], said.get("url") or ADDRESSES[said["page"]]))
    return found


def compare(*arguments: str | Path) -> str:
    """What `compare.py` prints; it must find nothing wrong."""
    command = [sys.executable, REAL / "compare.py", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith(" 0 wrong\n")
    return done.stdout


@pytest.fixture(scope="module")
def site() -> Iterator[SimulatorServer]:
    with SimulatorServer(SiteFile(REAL / "site" / "site.json")) as server:
        yield server


class Operator:
    """Somebody at a terminal, with a database."""

    def __init__(self, place: Path, database_url: str, site: SimulatorServer) -> None:
        self.place, self.database_url, self.site = place, database_url, site

    def mre(self, *arguments: str | Path, check: bool = True) -> Finished:
        settings = {"MRE_DB": self.database_url, "MRE_SITE": self.site.url, "MRE_CRAWL_DELAY": "0"}
        return mre(*arguments, place=self.place, check=check, environment=settings)

    def rows(self) -> dict[str, tuple[int, ...]]:
        """The ids of everything that publishing may write."""
        with Service(ServiceSettings(db_url=self.database_url, data=self.place)) as service, service.store.read():
            tables = {
                "race": "id",
                "result": "id",
                "lap": "lap_time_ms",
                "entry": "row_number",
                "event_header": "run_id",
            }
            return {
                table: tuple(row[0] for row in service.store.sql(f"SELECT {column} FROM {table} ORDER BY 1"))
                for table, column in tables.items()
            }


@pytest.fixture
def operator(tmp_path: Path, database_url: str, site: SimulatorServer) -> Operator:
    return Operator(tmp_path, database_url, site)


def test_a_real_event_is_published_whole_and_then_unchanged(operator: Operator, site: SimulatorServer) -> None:
    first = operator.mre("ingest", EVENT, "--json")
    report: dict[str, Any] = first.answer
    assert {name: report[name] for name in ("outcome", *COUNTS)} == {"outcome": "published", **COUNTS}
    assert first.stderr == ""

    export = operator.place / "export.json"
    export.write_text(operator.mre("export", EVENT, "--format", "json").stdout, "utf-8")
    race_ids = [race["source_race_id"] for race in json.loads(export.read_text("utf-8"))["races"]]
    assert len(race_ids) == COUNTS["races"]
    compare("export", export, REAL / "truth", *race_ids)

    rows = operator.rows()
    assert [len(rows[table]) for table in ("race", "result", "lap")] == list(COUNTS.values())
    again: dict[str, Any] = operator.mre("ingest", EVENT, "--json").answer
    assert again["outcome"] == "unchanged"
    assert again["document_sha256"] == report["document_sha256"]
    assert again["run_id"] > report["run_id"]
    assert operator.rows() == rows
    with Service(ServiceSettings(db_url=operator.database_url, data=operator.place)) as service:
        assert [run.outcome for run in service.runs(EVENT)] == ["unchanged", "published"]
        assert service.event(EVENT).current_run_id == report["run_id"]


@pytest.mark.parametrize("truth", [t for t in truths() if t.page_type in READ], ids=lambda truth: truth.file.stem)
def test_a_real_page_is_parsed_as_its_truth_says(truth: Truth, tmp_path: Path) -> None:
    parsed = tmp_path / "parsed.json"
    parsed.write_text(mre("parse", truth.page, "--url", truth.url, place=tmp_path).stdout, "utf-8")
    compare("parse", parsed, truth.file)


@pytest.mark.parametrize("truth", [t for t in truths() if t.page_type not in READ], ids=lambda truth: truth.file.stem)
def test_a_page_type_that_is_not_read_says_so(truth: Truth, tmp_path: Path) -> None:
    refused = mre("parse", truth.page, "--url", truth.url, "--json", place=tmp_path, check=False)
    assert refused.exit_code == 4
    envelope = refused.answer
    assert (envelope["code"], envelope["stage"]) == ("PAGE_TYPE_UNSUPPORTED", "parse")
    assert (envelope["details"]["kind"], envelope["details"]["page_type"]) == ("PAGE_TYPE_UNSUPPORTED", truth.page_type)
    assert truth.url in envelope["message"]
    told = mre("parse", truth.page, "--url", truth.url, place=tmp_path, check=False)
    assert (told.exit_code, told.stdout) == (4, "")
    assert "PAGE_TYPE_UNSUPPORTED" in told.stderr
    assert "what to do:" in told.stderr
