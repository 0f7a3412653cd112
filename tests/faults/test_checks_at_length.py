"""The checks over 200 published events of every kind, and 170 that fail: nothing is found."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.conftest import FAULTS
from tests.support.quiet import ingest_all, service_of, simulated

EVENTS, SEEDS = 95, (1, 2, 3, 4)  # four in nine fail by design


@pytest.mark.skipif(not FAULTS, reason="long; `make test` has 27 events in tests/pipeline/test_checks_quiet.py")
@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
@pytest.mark.parametrize("seed", SEEDS)
def test_no_false_alarm(
    seed: int, database_url: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    site = simulated(seed, EVENTS)
    with service_of(site, database_url, tmp_path / "data") as service:
        published = ingest_all(service, site)
        everything = service.checks()
        alone = [service.checks("/".join(event)) for event in site.events()]
    assert everything.findings == ()
    assert [report.findings for report in alone if report.findings] == []
    assert published >= 50
    record_property("published", published)
