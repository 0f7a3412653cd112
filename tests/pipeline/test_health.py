"""How the pipeline is judged: a table of evidence and what must follow, and the same from real databases."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from mre_console.simulator.generate import World
from mre_console.simulator.site import SimulatedSite
from pipeline import attempts
from pipeline.errors import FetchError, Kind, PipelineError
from pipeline.health import DEGRADED, DISABLED, FAILING, HEALTHY, Evidence, judge
from pipeline.service import Service, ServiceSettings
from tests.support.site_client import SiteClient

GOOD = Evidence(at=1, outcomes=("published",) * 20, tick_age_ms=10_000, tick_interval_ms=30_000)

CASES: dict[str, tuple[dict[str, object], str, str]] = {
    "database down": ({"database_error": "no connection"}, FAILING, "database_down"),
    "database down and switch off": ({"database_error": "no", "mode": "disabled"}, FAILING, "database_down"),
    "switch off": ({"mode": "disabled", "mode_reason": "maintenance"}, DISABLED, "switch_off"),
    "switch off while all fails": ({"mode": "protected", "outcomes": ("failed",) * 9}, DISABLED, "switch_off"),
    "gate": ({"gate_closed": "set 900101 differs"}, FAILING, "gate_closed"),
    "block": ({"blocked_page_types": ("race_result",)}, FAILING, "page_type_blocked"),
    "case": ({"open_drift_cases": 1}, DEGRADED, "drift_suspected"),
    "half the runs fail": ({"outcomes": ("failed", "published") * 5}, FAILING, "runs_failing"),
    "one of ten fails": ({"outcomes": ("failed", *("published",) * 9)}, DEGRADED, "runs_failing"),
    "late tick": ({"tick_age_ms": 90_001}, FAILING, "tick_late"),
    "expired lease": ({"expired_leases": ("a/1",)}, DEGRADED, "lease_expired"),
    "held": ({"held_events": 2}, DEGRADED, "events_held"),
    "warning": ({"open_warnings": 1}, DEGRADED, "warnings_open"),
}


@pytest.mark.parametrize("case", CASES)
def test_evidence_and_its_judgement(case: str) -> None:
    change, state, code = CASES[case]
    health = judge(msgspec.structs.replace(GOOD, **change))
    assert (health.state, health.reasons[0].code) == (state, code)


@pytest.mark.parametrize(
    "change",
    [{}, {"outcomes": ("failed",) * 3}, {"outcomes": ("failed", *("unchanged",) * 10)}, {"tick_age_ms": 90_000}],
    ids=["good", "too few to tell", "under the limit", "tick on time"],
)
def test_what_is_still_healthy(change: dict[str, object]) -> None:
    health = judge(msgspec.structs.replace(GOOD, **change))
    assert (health.state, health.reasons) == (HEALTHY, ())


def test_a_database_says_how_it_is(database_url: str, tmp_path: Path) -> None:
    site = SimulatedSite(World(5, tracks=1, events=5, mix=("small",), catalogue_rows=5))
    broken: set[str] = set()

    def refuse(url: str) -> None:
        if any(url.endswith(f"id={event}") for event in broken):
            raise FetchError(Kind.SERVER_ERROR, "the site is ill", url=url, page_type="event")

    settings = ServiceSettings(db_url=database_url, data=tmp_path)
    with Service(settings, client=SiteClient(site, refuse)) as service:
        names = [f"{slug}/{event}" for slug, event in site.events()]
        for name in names[:2]:
            service.ingest(name)
        assert service.health().state == HEALTHY
        broken |= {event for _, event in site.events()}
        for name in names[2:]:
            with pytest.raises(PipelineError):
                service.ingest(name)
        health = service.health()
        assert (health.state, health.reasons[0].text) == (FAILING, "3 of the newest 5 ingestions failed")
        assert health.evidence.last_success_age_ms is not None

        (group,) = service.failure_groups()
        assert (group.stage, group.kind, group.page_type) == ("fetch", "SERVER_ERROR", "event")
        assert (group.count, group.event_count, group.open_count) == (3, 3, 3)
        assert set(group.events) == set(names[2:])
        broken.clear()
        service.ingest(names[2])
        (group,) = service.failure_groups()
        assert (group.count, group.open_count) == (3, 2)

        service.disable(reason="enough")
        assert service.health().state == DISABLED
    with Service(msgspec.structs.replace(settings, db_url=str(tmp_path / "none" / "there.sqlite3?mode=ro"))) as service:
        assert service.health().reasons[0].code == "database_down"


def test_warnings_wait_until_a_person_has_seen_them(database_url: str, tmp_path: Path) -> None:
    with Service(ServiceSettings(db_url=database_url, data=tmp_path)) as service:
        service.add_event("track/1")
        attempts.hold(service.store, service.event("1").id, "it hangs")
        (warning,) = service.warnings()
        assert {reason.code for reason in service.health().reasons} == {"events_held", "warnings_open"}
        with pytest.raises(PipelineError, match="no warning 4711"):
            service.acknowledge([warning.id, 4711])
        assert service.warnings() == (warning,)
        assert service.acknowledge([warning.id], who="rita") == 1
        assert service.acknowledge([warning.id], who="paul") == 0
        assert service.warnings() == ()
        assert {reason.code for reason in service.health().reasons} == {"events_held"}
        (line,) = (line for line in service.log(event="1") if line.id == warning.id)
        assert line.acknowledged_by == "rita"
