"""The picture that the console is drawn from holds the judgement that `mre status` and `/health` give."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline import attempts
from pipeline.errors import Kind, StoreError
from pipeline.health import DEGRADED, DISABLED, FAILING, HEALTHY, Health
from pipeline.service import Service, ServiceSettings


def judged(service: Service) -> tuple[Health, Health]:
    return service.snapshot().health, service.health()


def test_the_picture_says_what_the_service_says(database_url: str, tmp_path: Path) -> None:
    with Service(ServiceSettings(db_url=database_url, data=tmp_path)) as service:
        states = []
        for happens in (
            lambda: service.add_event("track/1"),
            lambda: attempts.hold(service.store, service.event("1").id, "it hangs"),
            lambda: service.disable(reason="enough"),
        ):
            happens()
            seen, said = judged(service)
            assert (seen.state, seen.reasons) == (said.state, said.reasons)
            states.append(seen.state)
        assert states == [HEALTHY, DEGRADED, DISABLED]


def test_a_damaged_contract_does_not_blind_the_picture(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def damaged() -> str:
        raise StoreError(Kind.ARCHIVE_FAILED, "An accepted contract is damaged")

    with Service(ServiceSettings(db_url=database_url, data=tmp_path)) as service:
        monkeypatch.setattr(service.contracts, "build", damaged)
        picture = service.snapshot()
        assert picture.gate is None
        assert picture.health.state == service.health().state == FAILING
