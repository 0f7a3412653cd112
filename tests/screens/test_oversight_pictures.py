"""What health, schedule, failures by cause, warnings and timelines look like, in every state, in three terminals."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from textual.pilot import Pilot

from pipeline.errors import Kind
from pipeline.health import Evidence
from tests.screens.fake_watch import ILL, LATE, TICKING, WORKERS, spans
from tests.screens.fakes import DISABLED, WARNINGS, FakeService, busy_service, console, failure, served
from tests.screens.pictures import press_all
from tests.screens.test_pictures import Scene

Compare = Callable[..., bool]
SIZES = ((80, 24), (120, 36), (200, 60))
BUSY = failure(Kind.DB_BUSY, "the database is locked by another process")
WELL = Evidence(outcomes=("published",) * 8, last_success_age_ms=240_000, tick_age_ms=2_000, tick_interval_ms=5_000)
TWO = (msgspec.structs.replace(WARNINGS[0], id=9, name="drift_suspected", message="drift is suspected"), *WARNINGS)


def quiet(**facts: object) -> FakeService:
    """One event, so that pictures of dialogs stay small."""
    return FakeService(events=(served(5, 33, 3),), **facts)  # type: ignore[arg-type]


def working(**facts: object) -> FakeService:
    return quiet(workers=WORKERS, schedule=TICKING, here="running", **facts)


def ill(**facts: object) -> FakeService:
    return busy_service(evidence=ILL, workers=WORKERS, schedule=LATE, **facts)


SCENES = {
    "home_failing_schedule_here": Scene(lambda: ill(here="running"), ("j", "j")),
    "health": Scene(ill, ("H",)),
    "health_well": Scene(lambda: quiet(evidence=WELL, schedule=TICKING), ("H",)),
    "health_disabled": Scene(lambda: busy_service(switch=DISABLED), ("H",)),
    "health_database_down": Scene(lambda: quiet(broken=BUSY), ("H",)),
    "schedule": Scene(working, ("s", "j", "j")),
    "schedule_late": Scene(lambda: ill(), ("s",)),
    "schedule_nobody": Scene(lambda: quiet(switch=DISABLED), ("s",)),
    "schedule_edit": Scene(working, ("s", "G", "k", "e")),
    "causes": Scene(busy_service, ("F",)),
    "causes_none": Scene(lambda: quiet(causes=()), ("F",)),
    "cause": Scene(busy_service, ("F", "enter")),
    "warnings_list": Scene(lambda: quiet(warnings=TWO), ("w", "a")),
    "warnings_none": Scene(quiet, ("w",)),
    "timeline": Scene(busy_service, ("j", "j", "e", "t")),
    "timeline_long": Scene(lambda: busy_service(run_spans=spans(40, fails=False)), ("j", "j", "o", "t", "s")),
}


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("scene", SCENES)
def test_picture(snap_compare: Compare, scene: str, size: tuple[int, int]) -> None:
    make, keys, _ = SCENES[scene]

    async def lead_there(pilot: Pilot[str | None]) -> None:
        await press_all(pilot, keys)

    assert snap_compare(console(make()), terminal_size=size, run_before=lead_there)


def test_no_picture_is_left_from_a_scene_that_is_gone() -> None:
    folder = Path(__file__).parent / "__snapshots__" / "test_oversight_pictures"
    wanted = {f"test_picture[{scene}-{width}x{height}].svg" for scene in SCENES for width, height in SIZES}
    assert {path.name for path in folder.iterdir()} == wanted
